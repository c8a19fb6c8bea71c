//! Do generated kernels compute what they say, at the cycles that the contract and the literature predict?

use compiler::kernels::{self, KernelError, formula, generate};
use fabric::text::{Ending, Expect, Kernel, Observed, Value, differences};
use fabric::{Machine, lint, presets};
use pe_isa::Cycle;
use sim_core::{HostScript, NoObserver, Outcome, StopReason, engine, oracle};

/// Far more than any of these runs takes.
const LIMIT: Cycle = Cycle(50_000_000);

/// A preset cut to a few tiles: what lies beyond a kernel's PEs has no part in it.
fn machine(preset: &str, width: u32, height: u32) -> Machine {
    let mut machine = presets::preset(preset).expect("a preset");
    (machine.width, machine.height) = (width, height);
    machine
}

fn make(name: &str, machine: &Machine, params: &[(&str, u32)]) -> Result<Kernel, KernelError> {
    let params: Vec<_> =
        params.iter().map(|(n, v)| (n.to_string(), Value::Int(i64::from(*v)))).collect();
    generate(name, machine, &params)
}

/// Asserts that a run did all that the kernel expects.
fn judge(what: &str, kernel: &Kernel, outcome: &Outcome) {
    let ending = match outcome.stop {
        StopReason::Finished => Ending::Finished,
        StopReason::Deadlock { .. } => Ending::Deadlock,
        StopReason::Trap { .. } => Ending::Trap,
        StopReason::Host | StopReason::CycleLimit => Ending::Stopped,
    };
    let (cycle, sram) = (outcome.cycle, &outcome.state.sram);
    let found = differences(kernel, &Observed { ending, cycle, sram, received: &[] });
    let found: Vec<_> = found.into_iter().map(|d| d.message).take(5).collect();
    assert!(found.is_empty(), "{what}: {found:#?}");
}

/// Runs a kernel on the engine, checks every expectation, and gives the cycle at which it stopped and whether the
/// kernel promised it. With `small`, the oracle must come to the same digest.
fn run(name: &str, machine: &Machine, params: &[(&str, u32)], small: bool) -> (u64, bool) {
    let what = format!("{name} {params:?} on {}", machine.name);
    let kernel = make(name, machine, params).unwrap_or_else(|e| panic!("{what}: {e}"));
    let findings: Vec<_> = lint(&kernel.image).iter().map(ToString::to_string).take(5).collect();
    assert!(findings.is_empty(), "{what}: {findings:#?}");
    let script = HostScript::default();
    let (mut host, mut none) = (Vec::new(), NoObserver);
    let outcome = engine::run(&kernel.image, &script, &mut host, LIMIT, &mut none);
    judge(&what, &kernel, &outcome);
    if small {
        let slow = oracle::run(&kernel.image, &script, &mut host, LIMIT, &mut none);
        assert_eq!(slow.digest(), outcome.digest(), "{what}: oracle and engine");
    }
    let promised = kernel.expects.iter().any(|(e, _)| matches!(e, Expect::Cycles { .. }));
    (outcome.cycle.0, promised)
}

/// A published formula of P, B and the ramp's cycles.
type Formula = fn(f64, f64, f64) -> f64;

/// Runs a kernel on a row of `wse2` with each P and B, and asserts that its work takes the published cycles and
/// `extra(P, B)` more, a number that the comment at the call explains.
fn compare(name: &str, sizes: &[(u32, u32)], published: Formula, extra: fn(f64, f64) -> f64) {
    for &(p, b) in sizes {
        let machine = machine("wse2", p, 1);
        let (cycle, promised) = run(name, &machine, &[("P", p), ("B", b)], p * b <= 2_000);
        assert!(promised, "{name}: the cycle follows from the contract");
        let work = formula::work(&machine, cycle) as f64;
        let (p, b) = (f64::from(p), f64::from(b));
        let analytic = published(p, b, machine.pe.ramp_cycles as f64);
        let difference = work - analytic;
        println!("| {name} | {p} | {b} | {work} | {analytic:.1} | {difference:+.1} |");
        assert!((difference - extra(p, b)).abs() < 1e-6, "{name}, P {p}, B {b}");
    }
}

const SIZES: [(u32, u32); 7] = [(2, 1), (3, 5), (4, 16), (8, 64), (9, 100), (33, 7), (64, 256)];
const LARGE: [(u32, u32); 3] = [(512, 1), (512, 64), (512, 4096)];

#[test]
fn do_broadcast_and_chain_take_the_published_cycles_exactly() {
    for sizes in [&SIZES[..], &LARGE[..]] {
        compare("broadcast", sizes, formula::broadcast, |_, _| 0.0);
        compare("chain-reduce", sizes, formula::chain, |_, _| 0.0);
    }
}

#[test]
fn does_star_reduce_take_the_published_cycles_a_hop_and_the_switches() {
    // The formula counts no hop; and a control wavelet stands behind each vector but the last.
    compare("star-reduce", &SIZES, formula::star, |p, _| 1.0 + (p - 2.0));
    compare("star-reduce", &LARGE[..2], formula::star, |p, _| 1.0 + (p - 2.0));
}

#[test]
fn does_two_phase_reduce_take_the_published_cycles_or_up_to_the_second_streams_difference() {
    // Squares of whole groups. The formula lets the second phase's B words pass at the links' mean load, 2B √P / (√P + 1)
    // with the hops or 2B without; in the run the head's two operations follow each other, and the second is dispatched.
    let extra = |p: f64, b: f64| {
        let s = p.sqrt();
        let simulated = 2.0 * b + p - 1.0 + 5.0 * (2.0 * s - 2.0) + 4.0;
        simulated - formula::two_phase(p, b, 2.0)
    };
    let squares = [(4, 1), (4, 16), (9, 100), (16, 64), (64, 256), (256, 1024), (484, 4096)];
    compare("two-phase-reduce", &squares, formula::two_phase, extra);
}

#[test]
fn does_a_relay_take_the_published_cycles_per_stage() {
    // The published constant of 16.5 holds the start and the end of the measurement, which a run here does not have; the
    // fractions of a cycle per word and stage are those of a fit.
    let machine = machine("wse3-sdk", 65, 1);
    for (stages, b) in [(1, 8), (8, 8), (16, 64), (64, 500), (64, 4096)] {
        let (cycle, promised) = run("relay", &machine, &[("N", stages), ("B", b)], b < 100);
        let (n, b) = (f64::from(stages), f64::from(b));
        let analytic = formula::relay(n, b);
        println!(
            "| relay | {stages} | {b} | {cycle} | {analytic:.1} | {:+.1} |",
            cycle as f64 - analytic
        );
        assert!(promised && cycle as f64 == n * (b + 16.0));
        assert!((analytic - cycle as f64 - 16.5 - 0.1 * n - 0.001 * n * b).abs() < 1e-6);
    }
}

#[test]
fn do_uneven_rows_and_lengths_reduce_to_the_same_sums() {
    for p in [2, 3, 5, 7, 10, 31, 100] {
        for b in [1, 2, 33] {
            let machine = machine("wse2", p, 1);
            for name in ["star-reduce", "chain-reduce", "tree-reduce", "two-phase-reduce"] {
                run(name, &machine, &[("P", p), ("B", b)], p < 20);
            }
        }
    }
}

#[test]
fn are_sizes_that_cannot_be_told_with_the_largest_legal_value() {
    let mut machine = machine("wse2", 8, 8);
    let error = |machine: &Machine, name: &str, params: &[(&str, u32)]| {
        make(name, machine, params).expect_err("it is refused").to_string()
    };
    assert_eq!(
        error(&machine, "chain-reduce", &[("P", 9)]),
        "P = 9 is outside its legal range, 2 to 8 (machine wse2 has 8 columns)"
    );
    assert_eq!(
        error(&machine, "chain-reduce", &[("B", 4097)]),
        "B = 4097 is outside its legal range, 1 to 4096"
    );
    assert_eq!(
        error(&machine, "chain-reduce", &[("Q", 1)]),
        "kernel chain-reduce: no parameter `Q` (it has P, B)"
    );
    assert!(error(&machine, "chain-reduc", &[]).contains("did you mean `chain-reduce`?"));
    (machine.pe.sram_bytes, machine.pe.reserve_bytes) = (8_000, 4_000);
    let message = error(&machine, "chain-reduce", &[("B", 1024)]);
    let largest: u32 = message.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!(message.starts_with("B = 1024 needs more than the 4000 usable bytes"), "{message}");
    assert!(make("chain-reduce", &machine, &[("B", largest)]).is_ok());
    assert!(make("chain-reduce", &machine, &[("B", largest + 1)]).is_err());
    let message = error(&machine, "gemm-summa", &[("K", 128), ("M", 2), ("N", 2)]);
    assert!(
        message.starts_with("K = 128 needs") || message.starts_with("M = 2 needs"),
        "{message}"
    );
    machine.pe.microthreads = 1;
    let message = error(&machine, "gemm-cannon", &[("P", 2)]);
    assert!(message.contains("microthread 1 does not exist"), "{message}");
}

#[test]
fn does_every_kernel_work_on_every_preset() {
    for preset in ["wse2", "wse3", "wse3-sdk"] {
        let machine = machine(preset, 16, 16);
        for entry in &kernels::REGISTRY {
            run(entry.name, &machine, &[], false);
        }
        for entry in &kernels::REGISTRY {
            let least = |p: &kernels::Param| (p.name, p.least);
            let least: Vec<_> = entry.params.iter().filter(|p| p.name != "S").map(least).collect();
            let sizes: Vec<_> = least.iter().map(|(n, v)| (*n, *v)).collect();
            if entry.name != "multicast" {
                run(entry.name, &machine, &sizes, true);
            }
        }
    }
}

#[test]
fn does_a_message_of_eight_words_over_one_hop_take_19_cycles() {
    let machine = machine("wse3-sdk", 20, 1);
    for (hops, b) in [(1, 8), (1, 1), (19, 8), (7, 1000)] {
        let (cycle, _) = run("message", &machine, &[("N", hops), ("B", b)], true);
        let ends = machine.pe.task_launch_cycles + machine.pe.cost.scalar_cycles;
        let hop = f64::from(hops) * machine.fabric.hop_cycles as f64;
        let dispatch = machine.pe.dispatch_cycles as f64;
        let analytic = formula::message(dispatch, f64::from(b), 2.0, hop);
        assert_eq!((cycle - ends) as f64, analytic);
        assert!(hops > 1 || b != 8 || analytic == 19.0);
    }
}

#[test]
fn does_tree_reduce_take_the_published_cycles_and_part_of_the_distance() {
    // The formula takes the larger of contention and distance where a run pays part of both; besides, every operation after
    // the first of a PE is dispatched, and words of later rounds take slots of a link from earlier ones.
    let sizes = [(2, 1), (4, 16), (8, 64), (16, 100), (64, 256), (512, 1), (512, 64), (512, 4096)];
    for (p, b) in sizes {
        let machine = machine("wse2", p, 1);
        let (cycle, promised) = run("tree-reduce", &machine, &[("P", p), ("B", b)], p * b <= 2_000);
        assert_eq!(
            promised,
            b == 1,
            "words of several rounds share links unless there is one of each"
        );
        let work = formula::work(&machine, cycle) as f64;
        let (p, b) = (f64::from(p), f64::from(b));
        let analytic = formula::tree(p, b, 2.0);
        let difference = work - analytic;
        println!("| tree-reduce | {p} | {b} | {work} | {analytic:.1} | {difference:+.1} |");
        assert!(difference >= -0.01 * analytic, "P {p}, B {b}: {difference}");
        assert!(difference <= p - 1.0 + 9.0 * (p.log2() - 1.0), "P {p}, B {b}: {difference}");
    }
}

#[test]
fn does_ring_all_reduce_take_the_published_cycles_and_the_datapaths_second_step() {
    // The formula counts a cycle for each word that a PE receives. The datapath takes one step a cycle, and a word costs it
    // two, one to receive and one to send; each round is dispatched. Parts of less than eight words wait for their way.
    let sizes = [(4, 64), (8, 64), (8, 1024), (16, 4096), (64, 4096), (512, 4096)];
    for (p, b) in sizes {
        let machine = machine("wse2", p, 1);
        let (cycle, _) = run("ring-all-reduce", &machine, &[("P", p), ("B", b)], p * b <= 2_000);
        let work = formula::work(&machine, cycle) as f64;
        let (p, b) = (f64::from(p), f64::from(b));
        let (rounds, part) = (2.0 * (p - 1.0), b / p);
        let analytic = formula::ring(p, b, 2.0);
        println!(
            "| ring-all-reduce | {p} | {b} | {work} | {analytic:.1} | {:+.1} |",
            work - analytic
        );
        assert_eq!(work, rounds * (2.0 * part + 5.0) - 6.0, "P {p}, B {b}");
    }
}

#[test]
fn do_reduce_scatter_and_all_gather_take_half_a_ring_each() {
    for (p, b) in [(4, 64), (8, 1024), (64, 4096)] {
        let machine = machine("wse2", p, 1);
        for name in ["reduce-scatter", "all-gather"] {
            let (cycle, _) = run(name, &machine, &[("P", p), ("B", b)], false);
            let work = formula::work(&machine, cycle);
            println!("| {name} | {p} | {b} | {work} |");
            assert_eq!(work, u64::from(p - 1) * u64::from(2 * b / p + 5) - 5, "P {p}, B {b}");
        }
    }
}

#[test]
fn do_rings_end_with_the_right_parts_whatever_the_lengths() {
    for p in [2, 3, 4, 7, 8, 33] {
        for b in [1, 2, 7, 33, 200] {
            let machine = machine("wse2", p, 1);
            for name in ["reduce-scatter", "all-gather", "ring-all-reduce"] {
                run(name, &machine, &[("P", p), ("B", b)], p * b < 300);
            }
        }
    }
}

#[test]
fn do_matrix_kernels_multiply_tiles_of_any_shape() {
    for (p, m, k, n) in [(2, 1, 1, 1), (3, 2, 5, 3), (4, 8, 8, 8), (5, 1, 7, 2), (16, 4, 4, 4)] {
        let machine = machine("wse2", p, p);
        let params = [("P", p), ("M", m), ("K", k), ("N", n)];
        for name in ["gemm-cannon", "gemm-summa"] {
            let (cycle, _) = run(name, &machine, &params, p < 5);
            // The floor: every PE does all its multiply-adds, row by row.
            let multiply = formula::multiply_adds(&machine, m * k, n);
            println!("| {name} | {p} | {m} {k} {n} | {cycle} | {} |", u64::from(p) * multiply);
            assert!(cycle > u64::from(p) * multiply);
        }
    }
    for (w, h, m, n) in [(2, 2, 1, 1), (3, 5, 4, 9), (16, 2, 33, 7), (64, 64, 16, 16)] {
        let machine = machine("wse2", w, h);
        let params = [("W", w), ("H", h), ("M", m), ("N", n)];
        let (cycle, promised) = run("gemv", &machine, &params, w * h < 40);
        println!("| gemv | {w} {h} | {m} {n} | {cycle} |");
        assert!(promised);
    }
}

#[test]
fn do_halos_hold_the_neighbours_edges() {
    for (w, h, n) in [(1, 1, 3), (2, 1, 1), (3, 4, 8), (8, 8, 64), (33, 17, 5)] {
        let machine = machine("wse2", w, h);
        let (cycle, _) = run("halo", &machine, &[("W", w), ("H", h), ("N", n)], w * h < 20);
        println!("| halo | {w} {h} | {n} | {cycle} |");
        // Four edges out and four in, a step a word.
        assert!(w < 3 || h < 3 || cycle >= u64::from(8 * n));
    }
}

#[test]
fn does_butterfly_all_reduce_stay_near_the_datapaths_floor() {
    for (p, b) in [(2, 1), (2, 100), (4, 16), (8, 1), (8, 64), (16, 256), (32, 1), (64, 64)] {
        let machine = machine("wse2", p, 1);
        let params = [("P", p), ("B", b)];
        let (cycle, _) = run("butterfly-all-reduce", &machine, &params, p * b < 2_000);
        let work = formula::work(&machine, cycle);
        // Each PE receives P - 1 vectors and sends one a round, a step a word.
        let rounds = u64::from(p.ilog2());
        let floor = u64::from(b) * (u64::from(p - 1) + rounds);
        println!("| butterfly-all-reduce | {p} | {b} | {work} | {floor} |");
        assert!(work >= floor, "P {p}, B {b}: {work}");
        assert!(work <= 2 * floor + 30 * rounds + 4 * u64::from(p), "P {p}, B {b}: {work}");
    }
    let machine = machine("wse2", 128, 1);
    let error = make("butterfly-all-reduce", &machine, &[("P", 12)]).expect_err("no power");
    assert!(error.to_string().contains("a power of two"), "{error}");
    let error = make("butterfly-all-reduce", &machine, &[("P", 128)]).expect_err("too long");
    let limit = "P = 128 is outside its legal range, 2 to 64";
    assert!(error.to_string().starts_with(limit), "{error}");
}

#[test]
fn does_every_kernel_work_on_a_row_of_512() {
    let machine = machine("wse2", 512, 1);
    let params: &[(&str, &[(&str, u32)])] = &[
        ("message", &[("N", 511), ("B", 4096)]),
        ("multicast", &[("P", 512), ("S", 3), ("B", 4096)]),
        ("relay", &[("N", 511), ("B", 100)]),
        ("star-reduce", &[("P", 512), ("B", 200)]),
        ("two-phase-reduce", &[("P", 512), ("B", 4096)]),
        ("reduce-scatter", &[("P", 512), ("B", 1000)]),
        ("all-gather", &[("P", 512), ("B", 1000)]),
        ("ring-all-reduce", &[("P", 512), ("B", 1000)]),
        ("halo", &[("W", 512), ("H", 1), ("N", 9)]),
    ];
    for (name, params) in params {
        run(name, &machine, params, false);
    }
}

#[test]
fn does_every_kernel_finish_with_the_shallowest_queues_and_slow_turns() {
    let mut machine = machine("wse2", 8, 8);
    machine.fabric.queue_depth = 1;
    machine.fabric.turn_cycles = 20;
    machine.pe.input_queues.fill(1);
    machine.pe.output_queues.fill(1);
    for entry in &kernels::REGISTRY {
        let (_, promised) = run(entry.name, &machine, &[], true);
        assert!(!promised, "{}: the formulas are for queues that flow", entry.name);
    }
}

#[test]
fn are_kernels_made_for_a_whole_wafer_and_refused_where_far_too_large() {
    let machine = presets::preset("wse2").expect("a preset");
    let error = |name: &str, params: &[(&str, u32)]| {
        make(name, &machine, params).expect_err("it is refused").to_string()
    };
    let range = "P = 751 is outside its legal range, 2 to 750 (machine wse2 has 750 columns)";
    assert_eq!(error("chain-reduce", &[("P", 751)]), range);
    for (name, params) in [
        ("gemv", &[("M", 4096), ("N", 4096)][..]),
        ("gemm-summa", &[("M", 128), ("K", 128), ("N", 128)]),
        ("halo", &[("N", 256)]),
    ] {
        let message = error(name, params);
        println!("{name}: {message}");
        assert!(message.contains("usable bytes of a PE's SRAM; "), "{message}");
    }
    for (name, params) in [("chain-reduce", [("P", 750)]), ("ring-all-reduce", [("P", 750)])] {
        run(name, &machine, &params, false);
    }
}

#[test]
fn do_promised_cycles_hold_on_machines_of_any_constants() {
    let rows: [[&str; 8]; 8] = [
        ["1", "1", "1", "1", "2", "1", "1", "1"],
        ["1", "5", "2", "9", "4", "1", "3", "2"],
        ["2", "2", "9", "5", "4", "9/8", "1", "1"],
        ["3", "1", "5", "2", "8", "1", "2", "7"],
        ["3", "4", "5", "5", "6", "5/4", "9", "1"],
        ["1", "2", "5", "5", "4", "2", "1", "1"],
        ["5", "3", "7", "1", "16", "9/8", "1", "3"],
        ["2", "7", "3", "40", "3", "1", "1", "1"],
    ];
    let keys = [
        "fabric.hop_cycles",
        "pe.ramp_cycles",
        "pe.dispatch_cycles",
        "pe.task_launch_cycles",
        "fabric.queue_depth",
        "fabric.link_cycles",
        "pe.cost.row_cycles",
        "pe.cost.scalar_cycles",
    ];
    let base = machine("wse2", 9, 9);
    for values in rows {
        // Credits take as long as the hop itself, as on all presets.
        let mut overrides: Vec<(&str, &str)> = keys.into_iter().zip(values).collect();
        overrides.push(("fabric.credit_cycles", values[0]));
        let machine = base.with_overrides(&overrides).expect("legal values");
        let promises = |e: &&kernels::Entry| run(e.name, &machine, &[], true).1;
        let promised = kernels::REGISTRY.iter().filter(promises).count();
        assert!(promised >= 5 || !formula::flows(&machine), "{overrides:?}: {promised}");
    }
}

#[test]
fn do_kernels_run_to_the_same_digest_once_printed() {
    let machine = machine("wse3-sdk", 8, 8);
    let script = HostScript::default();
    for entry in &kernels::REGISTRY {
        let kernel = make(entry.name, &machine, &[]).expect("defaults fit");
        let text = fabric::text::print(&kernel.image);
        let printed = fabric::text::parse(&text, entry.name, &machine, &[]);
        let printed = printed.unwrap_or_else(|e| panic!("{}: {e}", entry.name)).image;
        assert!(printed == kernel.image, "{}", entry.name);
        let digest = |image| {
            let (mut host, mut none) = (Vec::new(), NoObserver);
            engine::run(image, &script, &mut host, LIMIT, &mut none).digest()
        };
        assert_eq!(digest(&printed), digest(&kernel.image), "{}", entry.name);
    }
}
