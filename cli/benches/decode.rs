//! One decode step, at the first position: `cargo bench --bench decode [-- FILTER]`.
//!
//! * `stdlib-1m`: the model of the examples on the default machine.
//! * `gpt2-small`: 124 million random weights on 112 x 112 tiles of `wse3`; its set-up takes a minute.

#[path = "../../sim-core/benches/meter/mod.rs"]
mod meter;
mod model;
#[path = "../../sim-core/benches/scene/mod.rs"]
mod scene;
mod shape;

use fabric::{Machine, WaferImage, presets};
use meter::Meter;
use models::ModelDir;
use scene::End;
use sim_core::HostScript;

fn main() {
    let mut meter = Meter::new("decode");
    scene::bench(&mut meter, "stdlib-1m", || {
        step(&model::stdlib_1m(), &presets::preset(presets::DEFAULT).expect("a preset"))
    });
    scene::bench(&mut meter, "gpt2-small", || {
        let folder = tempfile::tempdir().expect("a folder for the weights");
        shape::gpt2_small(folder.path()).expect("room on the disk");
        let model = ModelDir::open(folder.path()).expect("a sound directory");
        let preset = presets::preset("wse3").expect("a preset");
        step(&model, &Machine { width: 112, height: 112, ..preset })
    });
    meter.end();
}

fn step(model: &ModelDir, machine: &Machine) -> (WaferImage, HostScript, End) {
    let (image, script) = model::request(model, machine, &[1], 1);
    (image, script, End { words: model::TOKEN_WORDS, ..End::default() })
}
