//! Do texts and bytes say all there is of an image, and do hand-written kernels do what they expect?

use fabric::text::{Ending, Kernel, Observed, differences, parse, print};
use fabric::{Machine, lint, presets};
use pe_isa::Cycle;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use sim_core::testing::{Case, Runner, engine, generate, spec};
use sim_core::{HostScript, HostWavelet, StopReason, oracle};
use std::path::Path;

fn machine() -> Machine {
    presets::preset(presets::DEFAULT).expect("the default is a preset")
}

fn config(cases: u32) -> Config {
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

/// What the host sends, as the runners take it.
fn script(kernel: &Kernel) -> HostScript {
    let word = |w: &fabric::text::HostWord| HostWavelet {
        cycle: w.cycle,
        payload: w.payload,
        control: w.control,
    };
    HostScript { ports: kernel.sends.iter().map(|s| s.iter().map(word).collect()).collect() }
}

fn ending(stop: &StopReason) -> Ending {
    match stop {
        StopReason::Finished => Ending::Finished,
        StopReason::Deadlock { .. } => Ending::Deadlock,
        StopReason::Trap { .. } => Ending::Trap,
        StopReason::Host | StopReason::CycleLimit => Ending::Stopped,
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
        all.push((name, std::fs::read_to_string(&path).expect("kernels are text")));
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
