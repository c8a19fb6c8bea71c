//! Do texts and bytes say all there is of an image, and do hand-written kernels do what they expect?

use fabric::text::{Ending, Kernel, Observed, differences, parse, print};
use fabric::{HostPlan, HostWord, Machine, binary, lint, presets};
use pe_isa::Cycle;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use sim_core::testing::{Case, Runner, engine, generate, spec};
use sim_core::{HostScript, HostWavelet, StopReason, deadlock, oracle};
use std::path::Path;

fn machine() -> Machine {
    presets::preset(presets::DEFAULT).expect("the default is a preset")
}

/// `WAFERSIM_CASES` cases, if that is set.
fn config(cases: u32) -> Config {
    let set = std::env::var("WAFERSIM_CASES").ok().and_then(|n| n.parse().ok());
    let cases = set.unwrap_or(cases);
    Config { cases, rng_seed: RngSeed::Fixed(11), failure_persistence: None, ..Config::default() }
}

#[test]
fn does_every_image_read_back_equal_from_text() {
    let mut tests = TestRunner::new(config(500));
    let result = tests.run(&spec::case(), |spec| {
        let image = generate::case(&spec).image;
        let text = print(&image);
        let read = parse(&text, "printed", &machine(), &[]);
        let read = read.map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert!(read.image == image, "{text}");
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn does_every_image_read_back_equal_from_bytes() {
    let mut tests = TestRunner::new(config(500));
    let result = tests.run(&spec::case(), |spec| {
        let case = generate::case(&spec);
        let (image, host) = (case.image, plan(&case.script));
        let read = binary::read(&binary::write(&image, &host));
        let read = read.map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert!(read == (image, host));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// What a script lets the host send.
fn plan(script: &HostScript) -> HostPlan {
    let word =
        |w: &HostWavelet| HostWord { cycle: w.cycle, payload: w.payload, control: w.control };
    let sends = script.ports.iter().map(|p| p.iter().map(word).collect()).collect();
    HostPlan { sends, stops: Vec::new() }
}

/// Random damage: where, and the bytes to put there.
fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, Vec<u8>)>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..4);
    prop::collection::vec((any::<prop::sample::Index>(), bytes), 1..5)
}

fn damaged(mut bytes: Vec<u8>, damage: &[(prop::sample::Index, Vec<u8>)]) -> Vec<u8> {
    for (at, with) in damage {
        let at = at.index(bytes.len());
        let end = (at + with.len().max(1)).min(bytes.len());
        bytes.splice(at..end, with.iter().copied());
    }
    bytes
}

/// Whether engine and oracle agree on an image, unless the linter refuses it; a deadlock has a cause.
fn runs(image: &fabric::WaferImage) -> bool {
    let runnable = !lint(image).iter().any(|f| f.error);
    let (image, script) = (image.clone(), HostScript::default());
    let case = Case { image, script, replies: Vec::new(), stop_after: None, limit: Cycle(1_000) };
    if !runnable {
        return true;
    }
    let record = case.run(engine);
    if let StopReason::Deadlock { waits, heads } = &record.outcome.stop {
        let report = deadlock::explain(&case.image, waits, heads);
        assert!(!report.causes.is_empty());
    }
    case.run(oracle::run) == record
}

#[test]
fn do_damaged_bytes_and_texts_never_panic() {
    let mut tests = TestRunner::new(config(400));
    let result = tests.run(&(spec::case(), damage()), |(spec, damage)| {
        let image = generate::case(&spec).image;
        let bytes = damaged(binary::write(&image, &HostPlan::default()), &damage);
        prop_assert!(
            bytes == binary::write(&image, &HostPlan::default()) || binary::read(&bytes).is_err()
        );
        // The same with a checksum that fits, as somebody might make it.
        let header = binary::write(&image, &HostPlan::default())[..36].to_vec();
        let body = damaged(binary::write(&image, &HostPlan::default())[36..].to_vec(), &damage);
        let mut bytes = header[..12].to_vec();
        bytes.extend((body.len() as u64).to_le_bytes());
        bytes.extend(&blake3::hash(&body).as_bytes()[..16]);
        bytes.extend(body);
        if let Ok((read, _)) = binary::read(&bytes) {
            print(&read);
            prop_assert!(runs(&read));
        }
        let text = damaged(print(&image).into_bytes(), &damage);
        let text = String::from_utf8_lossy(&text);
        if let Ok(kernel) = parse(&text, "damaged", &image.machine, &[]) {
            prop_assert!(runs(&kernel.image));
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// What the host sends, as the runners take it.
fn script(kernel: &Kernel) -> HostScript {
    let word =
        |w: &HostWord| HostWavelet { cycle: w.cycle, payload: w.payload, control: w.control };
    HostScript { ports: kernel.host.sends.iter().map(|s| s.iter().map(word).collect()).collect() }
}

fn ending(stop: &StopReason) -> Ending {
    match stop {
        StopReason::Finished => Ending::Finished,
        StopReason::Deadlock { .. } => Ending::Deadlock,
        StopReason::Trap { .. } => Ending::Trap,
        StopReason::Host => Ending::Stopped,
        StopReason::CycleLimit => Ending::Limit,
    }
}

/// Runs a kernel on oracle and engine; all that either did not do as expected.
fn unmet(name: &str, source: &str, machine: &Machine, params: &[(&str, i64)]) -> Vec<String> {
    let params: Vec<_> =
        params.iter().map(|(n, v)| (n.to_string(), fabric::text::Value::Int(*v))).collect();
    let kernel = parse(source, name, machine, &params).unwrap_or_else(|e| panic!("{e}"));
    let errors: Vec<String> =
        lint(&kernel.image).iter().filter(|f| f.error).map(ToString::to_string).collect();
    assert!(errors.is_empty(), "{name}: {errors:#?}");
    let runners: [(&str, Runner); 2] = [("oracle", oracle::run), ("engine", engine)];
    let mut all = Vec::new();
    for (runner, run) in runners {
        let case = Case {
            image: kernel.image.clone(),
            script: script(&kernel),
            replies: Vec::new(),
            stop_after: None,
            limit: Cycle(200_000),
        };
        let record = case.run(run);
        let seen = Observed {
            ending: ending(&record.outcome.stop),
            cycle: record.outcome.cycle,
            sram: &record.outcome.state.sram,
            received: &record.received,
        };
        let found = differences(&kernel, &seen);
        all.extend(found.into_iter().map(|d| format!("{name} on {runner}: {}", d.message)));
    }
    all
}

/// The kernels of `examples/kernels`, by name.
fn examples() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/kernels");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("there are examples") {
        let path = entry.expect("entries can be read").path();
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let source = std::fs::read_to_string(&path).expect("kernels are text");
        // One deliberately does not fit: here it is run at a size that does.
        all.push((name, source.replace("param B = 11_240", "param B = 11_000")));
    }
    all.sort();
    all
}

/// The kernels in the documentation of the language.
fn documented() -> Vec<(String, String)> {
    let page = include_str!("../../docs/src/assembly.md");
    let blocks = page.split("```wsk\n").skip(1);
    let kernel = |(k, rest): (usize, &str)| {
        let source = rest.split("```").next().unwrap_or("").to_string();
        (format!("assembly.md, kernel {}", k + 1), source)
    };
    blocks.enumerate().map(kernel).collect()
}

#[test]
fn do_the_examples_do_what_they_expect() {
    let mut wrong = Vec::new();
    for preset in ["wse2", "wse3-sdk", "wse3"] {
        let mut machine = presets::preset(preset).expect("a preset");
        (machine.width, machine.height) = (20, 20);
        for (name, source) in examples().iter().chain(&documented()) {
            let name = format!("{name} on {preset}");
            wrong.extend(unmet(&name, source, &machine, &[]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn is_an_expectation_that_fails_told_with_its_place() {
    let source = "\
program p {
    mem v: f16[3] = [1, 2, 3]
    task t activated:
        neg v, v
        end
}
place p at (2, 1)
expect v at (2, 1) = [-1, -2.0, -4]
expect v at (2, 1) = -(i + 1.25) within 0.25
expect cycles = 7
expect stop = trap
";
    let told = unmet("k", source, &machine(), &[]);
    let want = [
        "k on oracle: the run ended at cycle",
        "k on oracle: tile (2,1): v[2] is -3.0, expected -4.0",
        "k on oracle: the run took",
        "k on engine: the run ended at cycle",
    ];
    assert_eq!(told.len(), 6, "{told:#?}");
    for (told, want) in told.iter().zip(want) {
        assert!(told.starts_with(want), "{told}");
    }
}

#[test]
fn do_kernels_run_to_the_same_digest_once_printed() {
    let digest = |kernel: &Kernel| {
        let (image, script) = (&kernel.image, script(kernel));
        let mut host = Vec::new();
        let mut none = sim_core::NoObserver;
        oracle::run(image, &script, &mut host, Cycle(200_000), &mut none).digest()
    };
    for (name, source) in examples().iter().chain(&documented()) {
        let kernel = parse(source, name, &machine(), &[]).unwrap_or_else(|e| panic!("{e}"));
        let text = print(&kernel.image);
        let mut printed = parse(&text, name, &machine(), &[]).unwrap_or_else(|e| panic!("{e}"));
        assert!(printed.states_machine && printed.image == kernel.image, "{name}\n{text}");
        printed.host = kernel.host.clone();
        assert_eq!(digest(&printed), digest(&kernel), "{name}");
    }
}

#[test]
fn do_damaged_kernels_never_panic() {
    let kernels: Vec<String> =
        examples().into_iter().chain(documented()).map(|(_, source)| source).collect();
    let mut tests = TestRunner::new(config(3_000));
    let cut = (any::<prop::sample::Index>(), "[ -~\n]{0,4}");
    let cuts = prop::collection::vec(cut, 1..4);
    let mut machine = machine();
    (machine.width, machine.height) = (12, 12);
    let result = tests.run(&(prop::sample::select(kernels), cuts), |(mut source, cuts)| {
        for (at, with) in cuts {
            let boundaries: Vec<usize> = source.char_indices().map(|(at, _)| at).collect();
            let at = at.index(boundaries.len().max(1));
            let end = (at + with.len() / 2).min(boundaries.len().saturating_sub(1));
            source.replace_range(boundaries[at]..boundaries[end.max(at)], &with);
        }
        if let Ok(kernel) = parse(&source, "damaged", &machine, &[]) {
            lint(&kernel.image);
            let bytes = binary::write(&kernel.image, &kernel.host);
            prop_assert!(binary::read(&bytes) == Ok((kernel.image, kernel.host)));
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn do_their_formulas_hold_at_other_sizes() {
    let mut machine = presets::preset("wse2").expect("a preset");
    (machine.width, machine.height) = (40, 20);
    let mut wrong = Vec::new();
    for (name, source) in examples() {
        let sets: &[&[(&str, i64)]] = match name.as_str() {
            "message.wsk" => &[&[("N", 1), ("B", 1)], &[("N", 30), ("B", 40)]],
            "broadcast.wsk" => &[&[("P", 2), ("B", 1)], &[("P", 32), ("B", 128)]],
            "chain_reduce.wsk" => &[&[("P", 2), ("B", 8)], &[("P", 17), ("B", 3)]],
            "relay.wsk" => &[&[("P", 1), ("N", 1)], &[("P", 9), ("N", 20)]],
            "queue_overflow.wsk" => &[&[("B", 1)], &[("B", 20)], &[("B", 33)]],
            "gemv.wsk" => &[&[("P", 2)], &[("P", 7), ("M", 3), ("N", 5)]],
            _ => &[],
        };
        for params in sets {
            wrong.extend(unmet(&name, &source, &machine, params));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
