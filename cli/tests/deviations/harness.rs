//! Runs small texts and tells when what happened.

use fabric::text::parse;
use fabric::{Machine, lint, presets};
use pe_isa::Cycle;
use sim_core::{HostScript, HostWavelet, NoObserver, Outcome, engine};

/// Presets of whole wafers.
pub(crate) const PRESETS: [&str; 3] = ["wse2", "wse3", "wse3-sdk"];

/// What a run showed.
pub(crate) struct Seen {
    pub(crate) outcome: Outcome,
    /// Cycles at which the host received wavelets.
    pub(crate) received: Vec<u64>,
    /// The ports at which it did.
    pub(crate) ports: Vec<usize>,
}

/// A preset of a few tiles.
pub(crate) fn machine(preset: &str, width: u32, height: u32) -> Machine {
    let mut machine = presets::preset(preset).expect("the preset is there");
    (machine.width, machine.height) = (width, height);
    machine
}

/// Whether a text is legal.
pub(crate) fn is_legal(machine: &Machine, text: &str) -> bool {
    parse(text, "text", machine, &[]).is_ok_and(|k| lint(&k.image).iter().all(|f| !f.error))
}

/// Runs a text.
pub(crate) fn run(machine: &Machine, text: &str) -> Seen {
    let kernel = parse(text, "text", machine, &[]).unwrap_or_else(|e| panic!("{e}"));
    let errors: Vec<_> = lint(&kernel.image).into_iter().filter(|f| f.error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let wavelet = |w: &fabric::HostWord| HostWavelet {
        cycle: w.cycle,
        payload: w.payload,
        control: w.control,
    };
    let port = |words: &Vec<_>| words.iter().map(wavelet).collect();
    let script = HostScript { ports: kernel.host.sends.iter().map(port).collect() };
    let mut host = Vec::new();
    let limit = Cycle(1_000_000);
    let outcome = engine::run(&kernel.image, &script, &mut host, limit, &mut NoObserver);
    let received = host.iter().map(|(cycle, _, _)| cycle.0).collect();
    let ports = host.iter().map(|(_, port, _)| *port).collect();
    Seen { outcome, received, ports }
}

/// The cycle at which a text stops.
pub(crate) fn cycles(machine: &Machine, text: &str) -> u64 {
    run(machine, text).outcome.cycle.0
}

/// The cycle at which one PE stops that has these regions and this code.
pub(crate) fn alone(preset: &str, regions: &str, code: &str) -> u64 {
    cycles(&machine(preset, 1, 1), &program(regions, code))
}

/// One PE with these regions and this code.
pub(crate) fn program(regions: &str, code: &str) -> String {
    format!("program p {{\n{regions}\ntask main activated:\n{code}\nend\n}}\nplace p at (0, 0)")
}

/// The keys of a machine file, with their paths.
pub(crate) fn keys() -> Vec<String> {
    let text = machine("wse3", 1, 1).to_ron();
    let key = |line: &str| line.trim().split_once(':').map(|(key, _)| key.to_string());
    text.lines().filter_map(key).collect()
}
