//! Kernels of the compiler: `cargo bench --bench kernels [-- FILTER]`.
//!
//! * `gemv/768x768/32x32`: a matrix of 768 x 768 `f32` times a vector, on 32 x 32 PEs.

#[path = "../../sim-core/benches/meter/mod.rs"]
mod meter;
#[path = "../../sim-core/benches/scene/mod.rs"]
mod scene;

use compiler::kernels;
use fabric::text::Value;
use fabric::{Machine, WaferImage, presets};
use meter::Meter;
use scene::End;
use sim_core::HostScript;

fn main() {
    let mut meter = Meter::new("kernels");
    scene::bench(&mut meter, "gemv/768x768/32x32", || {
        (gemv(), HostScript::default(), End::default())
    });
    meter.end();
}

fn gemv() -> WaferImage {
    let params = [("W", 32), ("H", 32), ("M", 24), ("N", 24)];
    let params = params.map(|(name, value)| (name.to_string(), Value::Int(value)));
    let preset = presets::preset("wse3").expect("a preset");
    let machine = Machine { width: 32, height: 32, ..preset };
    kernels::generate("gemv", &machine, &params).expect("a kernel").image
}
