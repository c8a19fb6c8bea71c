//! Compilation for a whole wafer, placement and image without weights: `cargo bench --bench compile [-- FILTER]`.
//!
//! * `llama-3.1-8b`: 8 billion parameters on `wse3`.

#[path = "../../sim-core/benches/meter/mod.rs"]
mod meter;

use compiler::Options;
use fabric::presets;
use meter::{Memory, Meter, Spent, mib};
use models::ModelDir;
use std::path::Path;

/// Positions to make room for.
const POSITIONS: u32 = 512;

fn main() {
    let mut meter = Meter::new("compile");
    bench(&mut meter, "llama-3.1-8b");
    meter.end();
}

/// Measures compiling one of the shapes; criterion's elements are tiles.
fn bench(meter: &mut Meter, name: &str) {
    let machine = presets::preset("wse3").expect("a preset");
    let tiles = machine.tiles();
    let measured = meter.bench(name, || {
        let shapes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/data/shapes");
        let model = ModelDir::open(shapes.join(name)).expect("a shape");
        let options = Options { contexts: vec![POSITIONS], ..Options::default() };
        let compile = move || {
            compiler::compile(model.graph(), None, &machine, &options).expect("the model fits")
        };
        let (memory, ()) = Memory::of(&compile, drop);
        (tiles as u64, move || Spent::by(&compile), memory)
    });
    let Some((runs, memory)) = measured else { return };
    let size = format!("{} MiB of heap", mib(memory.heap as u64));
    let facts = [runs.rate(tiles as u64, "tiles"), runs.times(), memory.per_tile(tiles), size];
    meter.tell(name, &facts);
}
