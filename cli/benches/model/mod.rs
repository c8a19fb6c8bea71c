//! Compiled models and their requests, for benchmarks.

use compiler::{Compiled, Options};
use fabric::{Machine, WaferImage};
use models::ModelDir;
use pe_isa::Cycle;
use sim_core::{HostScript, HostWavelet};
use std::path::Path;

/// Wavelets that reach the host for each new token.
pub(crate) const TOKEN_WORDS: usize = 2;

/// The small trained model of the examples.
pub(crate) fn stdlib_1m() -> ModelDir {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/stdlib-1m");
    ModelDir::open(folder).expect("the example")
}

/// The image of a model that answers one request, and what the host sends for it.
pub(crate) fn request(
    model: &ModelDir,
    machine: &Machine,
    prompt: &[u32],
    new: u32,
) -> (WaferImage, HostScript) {
    let weights = model.weights().expect("a model with weights");
    let options = Options { contexts: vec![prompt.len() as u32 + new], ..Options::default() };
    let Compiled { image, protocol, .. } =
        compiler::compile(model.graph(), weights, machine, &options).expect("the model fits");
    let payloads = protocol.inputs(&[prompt.to_vec()], &[new]);
    let wavelet = |(n, payload): (usize, u32)| HostWavelet {
        cycle: Cycle(machine.host_arrival_cycle(n as u64)),
        payload,
        control: false,
    };
    let port = |words: Vec<u32>| words.into_iter().enumerate().map(wavelet).collect();
    (image, HostScript { ports: payloads.into_iter().map(port).collect() })
}
