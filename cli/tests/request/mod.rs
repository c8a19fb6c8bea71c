//! Requests to compiled models on simulated wafers.
#![allow(dead_code, reason = "each test file uses its share")]

pub(crate) mod batch;

use compiler::{Compiled, Mapping, NewToken, Options, Protocol, marks};
use fabric::{Machine, PeIdx, WaferImage};
use models::ModelDir;
use pe_isa::Cycle;
use serde_json::Value;
use sim_core::{
    Answers, Host, HostScript, HostWavelet, NoObserver, Observer, Outcome, Verdict, engine,
};
use std::path::{Path, PathBuf};

pub(crate) const LIMIT: Cycle = Cycle(1_000_000_000);

pub(crate) fn examples(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(path)
}

/// A family's case among the tests' data of the crate `models`.
fn family(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/data/oracle").join(name)
}

/// The model of a family's case.
pub(crate) fn family_model(name: &str) -> ModelDir {
    ModelDir::open(family(name).join("model")).expect("the model opens")
}

/// Runs a family's case on a grid of so many columns and rows: the tokens must be those of Transformers.
pub(crate) fn assert_answered(name: &str, grid: (u32, u32)) {
    assert_answered_by(name, grid, Mapping::default());
}

/// The same with a mapping.
pub(crate) fn assert_answered_by(name: &str, (width, height): (u32, u32), mapping: Mapping) {
    let (model, case) = (family_model(name), json(&family(name).join("case.json")));
    let request = Request::of_case(&case, &model.graph().eos_ids);
    let compiled = request.compile(&model, &machine(width, height), mapping);
    let (tokens, _) = request.run(&compiled, &mut NoObserver);
    assert_eq!(tokens, ids(&case["expected_ids_fp16_weights"]), "{name} on {width} x {height}");
}

pub(crate) fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("the file is there");
    serde_json::from_str(&text).expect("the file is JSON")
}

pub(crate) fn ids(value: &Value) -> Vec<u32> {
    let list = value.as_array().expect("ids are a list");
    list.iter().map(|v| v.as_u64().expect("an id") as u32).collect()
}

pub(crate) fn machine(width: u32, height: u32) -> Machine {
    Machine { width, height, ..fabric::presets::preset("wse3-64").expect("a preset") }
}

/// Takes `wanted` tokens, or as many as come before one of `eos`, then ends the run.
pub(crate) struct Listener {
    protocol: Protocol,
    eos: Vec<u32>,
    wanted: usize,
    pub(crate) tokens: Vec<NewToken>,
}

impl Listener {
    /// Takes `wanted` tokens of all requests together.
    pub(crate) fn new(compiled: &Compiled, wanted: u32, eos: &[u32]) -> Listener {
        let (protocol, wanted) = (compiled.protocol.clone(), wanted as usize);
        Listener { protocol, eos: eos.to_vec(), wanted, tokens: Vec::new() }
    }

    /// The ids of what has arrived.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }
}

impl Host for Listener {
    fn receive(
        &mut self,
        _cycle: Cycle,
        _port: usize,
        payload: u32,
        _answers: &mut Answers,
    ) -> Verdict {
        let Some(token) = self.protocol.output(payload) else { return Verdict::Continue };
        self.tokens.push(token);
        if self.tokens.len() == self.wanted || self.eos.contains(&token.id) {
            return Verdict::Stop;
        }
        Verdict::Continue
    }
}

pub(crate) struct Request {
    pub(crate) prompt: Vec<u32>,
    pub(crate) new: u32,
    pub(crate) eos: Vec<u32>,
}

impl Request {
    pub(crate) fn of_case(case: &Value, eos: &[u32]) -> Request {
        let new = case["max_new_tokens"].as_u64().expect("a number") as u32;
        Request { prompt: ids(&case["prompt_ids"]), new, eos: eos.to_vec() }
    }

    pub(crate) fn compile(
        &self,
        model: &ModelDir,
        machine: &Machine,
        mapping: Mapping,
    ) -> Compiled {
        let contexts = vec![self.prompt.len() as u32 + self.new - 1];
        let options = Options { contexts, mapping, ..Options::default() };
        let weights = model.weights().expect("weights are there");
        compiler::compile(model.graph(), weights, machine, &options).expect("it compiles")
    }

    pub(crate) fn script(&self, compiled: &Compiled) -> HostScript {
        script(compiled, std::slice::from_ref(&self.prompt), &[self.new])
    }

    pub(crate) fn listener(&self, compiled: &Compiled) -> Listener {
        Listener::new(compiled, self.new, &self.eos)
    }

    pub(crate) fn run(
        &self,
        compiled: &Compiled,
        observer: &mut impl Observer,
    ) -> (Vec<u32>, Outcome) {
        let mut listener = self.listener(compiled);
        let script = self.script(compiled);
        let outcome = engine::run(&compiled.image, &script, &mut listener, LIMIT, observer);
        (listener.ids(), outcome)
    }
}

/// Collects the logits of each token, part by part, from the roots of the head's rows.
pub(crate) struct Logits<'a> {
    image: &'a WaferImage,
    /// Tokens whose logits each part has shown.
    seen: Vec<usize>,
    /// `[token][vocab]`.
    pub(crate) values: Vec<f32>,
}

impl Logits<'_> {
    pub(crate) fn of(image: &WaferImage) -> Logits<'_> {
        Logits { image, seen: vec![0; image.probes[0].parts.len()], values: Vec::new() }
    }
}

impl Observer for Logits<'_> {
    fn mark(&mut self, _cycle: Cycle, pe: PeIdx, mark: u16, sram: &[u32]) {
        if mark != marks::LOGITS {
            return;
        }
        let parts = &self.image.probes[0].parts;
        let at = parts.iter().position(|p| p.0 == pe).expect("a probed PE");
        let vocab: u32 = parts.iter().map(|p| p.2).sum();
        let before: u32 = parts[..at].iter().map(|p| p.2).sum();
        let (_, address, len) = parts[at];
        let start = self.seen[at] * vocab as usize + before as usize;
        self.seen[at] += 1;
        self.values.resize(self.values.len().max(self.seen[at] * vocab as usize), f32::NAN);
        let words = &sram[address as usize / 4..][..len as usize];
        for (value, &word) in self.values[start..].iter_mut().zip(words) {
            *value = f32::from_bits(word);
        }
    }
}

/// What the host sends for these prompts, each of which asks for so many new tokens.
pub(crate) fn script(compiled: &Compiled, prompts: &[Vec<u32>], new: &[u32]) -> HostScript {
    let machine = &compiled.image.machine;
    let port = |payloads: Vec<u32>| -> Vec<HostWavelet> {
        let numbered = payloads.into_iter().enumerate();
        let wavelet = |(n, payload)| HostWavelet {
            cycle: Cycle(machine.host_arrival_cycle(n as u64)),
            payload,
            control: false,
        };
        numbered.map(wavelet).collect()
    };
    HostScript { ports: compiled.protocol.inputs(prompts, new).into_iter().map(port).collect() }
}
