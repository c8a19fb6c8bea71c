//! Where a generated kernel promises no cycle: do closed forms and bands from the contract hold? And does an
//! expectation that is not met say what it is about?

use compiler::kernels::{formula, generate};
use fabric::text::{Ending, Expect, Kernel, Observed, Value, differences};
use fabric::{Machine, presets};
use pe_isa::Cycle;
use sim_core::{HostScript, NoObserver, Outcome, engine};

fn machine(preset: &str, width: u32, height: u32) -> Machine {
    let mut machine = presets::preset(preset).expect("a preset");
    (machine.width, machine.height) = (width, height);
    machine
}

fn make(name: &str, machine: &Machine, params: &[(&str, u32)]) -> Kernel {
    let value = |(name, value): &(&str, u32)| (name.to_string(), Value::Int(i64::from(*value)));
    let params: Vec<_> = params.iter().map(value).collect();
    generate(name, machine, &params).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn run(kernel: &Kernel) -> Outcome {
    let mut host = Vec::new();
    engine::run(&kernel.image, &HostScript::default(), &mut host, Cycle(1 << 30), &mut NoObserver)
}

/// The messages of all expectations that a run did not meet, as `exec` prints them.
fn unmet(kernel: &Kernel, outcome: &Outcome, name: &str) -> Vec<String> {
    let (cycle, sram) = (outcome.cycle, &outcome.state.sram);
    let seen = Observed { ending: Ending::Finished, cycle, sram, received: &[] };
    differences(kernel, &seen).iter().map(|d| d.render("", name)).collect()
}

/// The cycle at which a kernel stops that comes to the right results.
fn stops(name: &str, machine: &Machine, params: &[(&str, u32)]) -> u64 {
    let kernel = make(name, machine, params);
    let outcome = run(&kernel);
    assert_eq!(unmet(&kernel, &outcome, name), [""; 0], "{params:?}");
    outcome.cycle.0
}

/// Cycles from a completed operation to the completion of one that sends `words` over `hops`, at the PE that
/// receives them.
fn exchange(machine: &Machine, hops: u32, words: u32) -> u64 {
    formula::first_step(machine) + formula::way(machine, hops) + u64::from(words)
}

fn ends(machine: &Machine) -> u64 {
    machine.pe.task_launch_cycles + machine.pe.cost.scalar_cycles
}

#[test]
fn do_rings_wait_for_the_way_of_short_parts_and_for_the_datapath_with_long_ones() {
    for hop in ["1", "2"] {
        for p in [2, 3, 4, 8, 16, 33] {
            let keys = [("fabric.hop_cycles", hop), ("fabric.credit_cycles", hop)];
            let machine = machine("wse2", p, 1).with_overrides(&keys).expect("legal");
            for part in [1, 2, 3, 4, 5, 6, 7, 8, 9, 20] {
                for (name, phases) in
                    [("reduce-scatter", 1), ("all-gather", 1), ("ring-all-reduce", 2)]
                {
                    let rounds = phases * u64::from(p - 1);
                    // Each round waits for the one before it at the neighbour; the wire that closes the ring, P - 1
                    // hops, is on that way once a turn.
                    let wire = rounds.div_ceil(p.into()) * u64::from(p - 2);
                    let way =
                        rounds * exchange(&machine, 1, part) + wire * machine.fabric.hop_cycles;
                    // A step to receive and one to send each word; issue and dispatch between the rounds.
                    let issue = formula::first_step(&machine) + 1;
                    let steps = rounds * (2 * u64::from(part) + issue) - (phases - 1);
                    let want =
                        ends(&machine) + way.max(steps - issue + formula::first_step(&machine));
                    let cycle = stops(name, &machine, &[("P", p), ("B", p * part)]);
                    // Where both are about as long, and the wire longer, a round may wait for a bit of each.
                    let most = if hop == "1" { want } else { want + rounds };
                    let told =
                        format!("{name}, hop {hop}, P {p}, parts of {part}: {cycle}, not {want}");
                    assert!((want..=most).contains(&cycle), "{told}");
                }
            }
        }
    }
}

#[test]
fn does_a_pair_exchange_edges_at_the_larger_of_way_and_steps() {
    for n in [1, 2, 5, 6, 7, 20, 64, 100] {
        let machine = machine("wse2", 2, 1);
        let way = exchange(&machine, 1, n);
        let steps = formula::first_step(&machine) + 2 * u64::from(n);
        let cycle = stops("halo", &machine, &[("W", 2), ("H", 1), ("N", n)]);
        assert_eq!(cycle, ends(&machine) + way.max(steps), "N {n}");
    }
}

#[test]
fn do_halos_of_an_inner_pe_stay_between_its_steps_and_what_full_queues_add() {
    for (side, n) in [(3, 3), (3, 16), (5, 4), (5, 16), (12, 9), (12, 20), (5, 64), (12, 100)] {
        let machine = machine("wse2", side, side);
        let n64 = u64::from(n);
        // Four issues of sends, one of a receive; a step for each word, four edges each way; three more receives,
        // each issued and dispatched when the one before is complete.
        let floor = ends(&machine) + 4 + 1 + 8 * n64 + 3 * formula::first_step(&machine);
        let cycle = stops("halo", &machine, &[("W", side), ("H", side), ("N", n)]);
        // Edges of up to 20 words fit into the queues on their way: a PE waits for words that its neighbour takes a few
        // steps longer to send. Longer ones wait as well for neighbours that receive another edge first.
        let most = if n <= 20 { floor + 5 } else { floor + floor / 4 };
        assert!((floor..=most).contains(&cycle), "side {side}, N {n}: {floor} {cycle} {most}");
    }
}

const TILES: [(u32, u32, u32, u32); 11] = [
    (3, 2, 5, 3),
    (3, 8, 8, 8),
    (4, 2, 2, 2),
    (4, 4, 4, 4),
    (4, 8, 8, 8),
    (4, 16, 16, 16),
    (5, 2, 7, 2),
    (8, 2, 2, 2),
    (8, 8, 8, 8),
    (8, 1, 16, 32),
    (16, 4, 4, 4),
];

#[test]
fn does_summa_take_its_multiplications_two_broadcasts_a_step_and_one_more_of_each_tile() {
    for (p, m, k, n) in TILES {
        let machine = machine("wse2", p, p);
        let words = u64::from(m * k + k * n);
        let steps = u64::from(p);
        // A broadcast is dispatched, makes one hop and is received; the root between both ends sends it twice.
        let step = formula::multiply_adds(&machine, m * k, n) + 2 * exchange(&machine, 1, 1);
        let want = steps * step + (steps + 1) * words + 1;
        let cycle = stops("gemm-summa", &machine, &[("P", p), ("M", m), ("K", k), ("N", n)]);
        assert!((want - 3..=want).contains(&cycle), "P {p}, {m} {k} {n}: {cycle}, not {want}");
    }
}

#[test]
fn does_cannon_take_its_multiplications_its_steps_and_the_dispatch_of_two_receives() {
    for (p, m, k, n) in TILES {
        let machine = machine("wse2", p, p);
        let words = u64::from(m * k + k * n);
        let shifts = u64::from(p - 1);
        // Of each PE: P multiplications; in each shift two sends and two receives, issued, and a step a word each.
        let multiply = u64::from(p) * formula::multiply_adds(&machine, m * k, n);
        let floor = ends(&machine) + multiply + shifts * (2 * words + 4);
        let cycle = stops("gemm-cannon", &machine, &[("P", p), ("M", m), ("K", k), ("N", n)]);
        let most = if m * k <= 20 && k * n <= 20 {
            // Tiles fit into the queues on their way.
            floor + shifts * 2 * (formula::first_step(&machine) - 1)
        } else {
            floor + floor / 8
        };
        assert!((floor..=most).contains(&cycle), "P {p}, {m} {k} {n}: {floor} {cycle} {most}");
    }
}

#[test]
fn is_an_expectation_of_a_generated_kernel_told_without_a_place_in_a_text() {
    let machine = machine("wse2", 4, 1);
    let mut kernel = make("chain-reduce", &machine, &[("P", 4), ("B", 1000)]);
    let outcome = run(&kernel);
    for (expect, _) in &mut kernel.expects {
        match expect {
            Expect::Memory { values, .. } => values[7] = 2.5f32.to_bits(),
            Expect::Cycles { value, .. } => *value += 1,
            Expect::Host { .. } => {}
        }
    }
    assert_eq!(
        unmet(&kernel, &outcome, "chain-reduce"),
        [
            "chain-reduce: tile (0,0): v[7] is 22.0, expected 2.5\n",
            "chain-reduce: the run took 1,028 cycles, expected 1,029\n",
        ]
    );
}
