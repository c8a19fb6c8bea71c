//! Is what is called a bound one? No run may be faster, on whatever machine and cut.

mod request;

use compiler::{Mapping, Options, bound};
use fabric::Machine;
use models::ModelDir;
use request::{Request, examples, family_model, machine};
use sim_core::{Answers, Host, HostScript, NoObserver, Verdict, engine};
use std::num::NonZeroUsize;

/// Whatever the token, so many of them are taken.
struct Tokens {
    protocol: compiler::Protocol,
    wanted: usize,
    cycles: Vec<u64>,
}

impl Host for Tokens {
    fn receive(&mut self, cycle: pe_isa::Cycle, _: usize, word: u32, _: &mut Answers) -> Verdict {
        if self.protocol.output(word).is_some() {
            self.cycles.push(cycle.0);
        }
        if self.cycles.len() == self.wanted { Verdict::Stop } else { Verdict::Continue }
    }
}

const PROMPT: u32 = 3;
const NEW: u32 = 4;

/// Cycles per output token of a run without data.
fn measured(model: &ModelDir, machine: &Machine, options: &Options) -> (compiler::Compiled, f64) {
    let compiled = compiler::compile(model.graph(), None, machine, options).expect("it compiles");
    let request = Request { prompt: vec![0; PROMPT as usize], new: NEW, eos: Vec::new() };
    let script: HostScript = request.script(&compiled);
    let mut host =
        Tokens { protocol: compiled.protocol.clone(), wanted: NEW as usize, cycles: Vec::new() };
    let how = (sim_core::Data::None { seed: 0 }, NonZeroUsize::MIN);
    engine::run_for(&compiled.image, how, &script, &mut host, request::LIMIT, &mut NoObserver);
    let span = host.cycles[host.cycles.len() - 1] - host.cycles[0];
    (compiled, span as f64 / f64::from(NEW - 1))
}

fn assert_bounded(name: &str, model: &ModelDir) {
    let slow_wires: &[(&str, &str)] = &[("fabric.hop_cycles", "30"), ("pe.ramp_cycles", "20")];
    let fast_datapath: &[(&str, &str)] = &[
        ("pe.cost.row_cycles", "0"),
        ("pe.cost.setup_fmac_16", "0"),
        ("pe.cost.setup_copy", "0"),
        ("pe.dispatch_cycles", "1"),
    ];
    let slow_ports: &[(&str, &str)] = &[("pe.cost.read_bytes_per_cycle", "1")];
    let cuts = [(0, 0, 0), (5, 8, 1), (1, 30, 1), (24, 1, 1), (3, 13, 2), (16, 3, 2)];
    for changes in [&[], slow_wires, fast_datapath, slow_ports] {
        for (stage_width, stage_height, layers_per_stage) in cuts {
            let machine = machine(64, 64).with_overrides(changes).expect("legal");
            let mapping =
                Mapping { stage_width, stage_height, layers_per_stage, ..Mapping::default() };
            let contexts = vec![PROMPT + NEW];
            let options = Options { contexts, mapping, ..Options::default() };
            let (compiled, measured) = measured(model, &machine, &options);
            let decoded = PROMPT..PROMPT + NEW - 1;
            let found = bound(model.graph(), &machine, &options, &compiled.mapping, decoded);
            let found = found.expect("it lowers");
            let what = format!("{name}, {mapping:?}, {changes:?}: {found:?}, {measured} measured");
            assert!(0 < found.cycles && found.cycles <= found.mapped_cycles, "{what}");
            assert!(found.mapped_cycles as f64 <= measured, "{what}");
            // A bound that says nothing would pass, too.
            assert!(found.mapped_cycles as f64 > measured / 40.0, "{what}");
        }
    }
}

#[test]
fn is_no_llama_faster_than_its_bound() {
    for name in ["llama", "llama-odd", "llama-gqa-rope-llama3"] {
        let model = ModelDir::open(examples("oracle").join(name).join("model")).expect("it opens");
        assert_bounded(name, &model);
    }
}

#[test]
fn is_no_family_faster_than_its_bound() {
    for name in ["gpt2", "gpt-neox", "phi", "gemma2", "qwen3", "qwen3-moe", "gpt-oss"] {
        assert_bounded(name, &family_model(name));
    }
}
