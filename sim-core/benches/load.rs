//! How long a whole wafer takes before its first cycle, and how much memory: `cargo bench -p sim-core --bench load`.
//!
//! * `idle`: no tile has a program or a route.
//! * `programs`: each has both, and no data.
//! * `read`: the same image from the bytes of its binary form; the engine is not loaded.

mod meter;

use fabric::{HostPlan, Machine, WaferImage, binary, presets};
use meter::{Memory, Meter, Spent, mib};
use sim_core::Engine;
use sim_core::testing::traffic::{Traffic, broadcast_reduce};

fn main() {
    let mut meter = Meter::new("load");
    bench(&mut meter, "idle/755x1170", || WaferImage::empty(machine()), Engine::load);
    bench(&mut meter, "programs/755x1170", programs, Engine::load);
    let file = || binary::write(&programs(), &HostPlan::default());
    bench(&mut meter, "read/755x1170", file, |file| binary::read(file).expect("an image"));
    meter.end();
}

/// The whole of the wafer.
fn machine() -> Machine {
    presets::preset("wse3").expect("a preset")
}

fn programs() -> WaferImage {
    let machine = machine();
    let (width, height) = (machine.width, machine.height);
    broadcast_reduce(&machine, Traffic { width, height, words: 64, rounds: 1 })
}

/// Measures making a `T` for a whole wafer of `I`; criterion's elements are tiles.
fn bench<I, T>(meter: &mut Meter, name: &str, make: impl FnOnce() -> I, load: impl Fn(&I) -> T) {
    let tiles = machine().tiles();
    let measured = meter.bench(name, || {
        let from = make();
        let (memory, ()) = Memory::of(|| load(&from), drop);
        (tiles as u64, move || Spent::by(|| load(&from)), memory)
    });
    let Some((runs, memory)) = measured else { return };
    let size = format!("{} MiB of heap", mib(memory.heap as u64));
    let facts = [runs.rate(tiles as u64, "tiles"), runs.times(), memory.per_tile(tiles), size];
    meter.tell(name, &facts);
}
