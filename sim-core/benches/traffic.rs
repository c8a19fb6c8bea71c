//! Programs that do little but move wavelets: `cargo bench -p sim-core --bench traffic [-- FILTER]`.
//!
//! * `broadcast-reduce/WIDTHxHEIGHT/WORDS`: along each row a broadcast, up each column a chain of sums, of vectors of so
//!   many words.
//! * `calendar/…`: the same wavelet by wavelet, as where something competes.
//! * `two-threads/…`: that by two threads; the ratio of the wall times is what the second one brings.
//! * `corner/…`: the same in the north-west corner of a whole wafer, which is to cost no more than without the rest.
//! * `all-to-one/…`: twenty colors through the same links.
//! * `naive/…`: the yardstick, `broadcast-reduce` with 64 words by a program that can do nothing else.

mod meter;
mod naive;
mod scene;

use fabric::{Machine, WaferImage, presets};
use meter::{Meter, Spent};
use naive::Naive;
use scene::End;
use sim_core::HostScript;
use sim_core::testing::traffic::{Traffic, all_to_one, broadcast_reduce};
use std::num::NonZeroUsize;

const WHOLE_WAFER: (u32, u32) = (750, 994);

fn main() {
    let mut meter = Meter::new("traffic");
    for (side, rounds) in [(8, 640), (32, 40)] {
        collective(&mut meter, (side, side), 64, rounds);
    }
    for (words, rounds) in [(1, 640), (16, 40), (64, 10), (256, 2)] {
        collective(&mut meter, (64, 64), words, rounds);
    }
    for (words, rounds) in [(1, 32), (16, 8), (64, 2), (256, 1)] {
        collective(&mut meter, (256, 256), words, rounds);
    }
    collective(&mut meter, (600, 600), 64, 1);
    collective(&mut meter, WHOLE_WAFER, 64, 1);
    for ((width, height), rounds) in
        [((8, 8), 640), ((32, 32), 40), ((64, 64), 10), ((256, 256), 2), ((600, 600), 1)]
    {
        let traffic = Traffic { width, height, words: 64, rounds };
        let name = format!("calendar/{width}x{height}/64");
        bench(&mut meter, &name, || broadcast_reduce(&machine((width, height)), traffic));
        let name = format!("two-threads/{width}x{height}/64");
        let image = || broadcast_reduce(&machine((width, height)), traffic);
        let end = End { threads: NonZeroUsize::new(2), ..End::default() };
        scene::bench(&mut meter, &name, || (image(), HostScript::default(), end));
    }
    let corner = Traffic { width: 64, height: 64, words: 64, rounds: 10 };
    bench(&mut meter, "corner/64x64/64", || broadcast_reduce(&machine(WHOLE_WAFER), corner));
    let contention = Traffic { width: 64, height: 64, words: 64, rounds: 4 };
    bench(&mut meter, "all-to-one/64x64/64", || all_to_one(&machine((64, 64)), contention));
    for ((width, height), rounds) in
        [((64, 64), 10), ((256, 256), 2), ((600, 600), 1), (WHOLE_WAFER, 1)]
    {
        naive(&mut meter, width, height, rounds);
    }
    meter.end();
}

fn naive(meter: &mut Meter, width: u32, height: u32, rounds: u32) {
    let name = format!("naive/{width}x{height}/64");
    let measured = meter.bench(&name, || {
        let fresh = Naive::new(width as usize, height as usize, rounds);
        let mut done = fresh.clone();
        let cycles = done.run();
        let once = move || {
            let mut naive = fresh.clone();
            Spent::by(|| naive.run())
        };
        (done.hops, once, (done.hops, cycles))
    });
    let Some((runs, (hops, cycles))) = measured else { return };
    let facts = [runs.rate(hops, "hops"), runs.times(), format!("{hops} hops, {cycles} cycles")];
    meter.tell(&name, &facts);
}

fn collective(meter: &mut Meter, (width, height): (u32, u32), words: u32, rounds: u32) {
    let name = format!("broadcast-reduce/{width}x{height}/{words}");
    let traffic = Traffic { width, height, words, rounds };
    let image = || broadcast_reduce(&machine((width, height)), traffic);
    let end = End { flows: true, ..End::default() };
    scene::bench(meter, &name, || (image(), HostScript::default(), end));
}

fn bench(meter: &mut Meter, name: &str, image: impl FnOnce() -> WaferImage) {
    scene::bench(meter, name, || (image(), HostScript::default(), End::default()));
}

fn machine((width, height): (u32, u32)) -> Machine {
    Machine { width, height, ..presets::preset("wse2").expect("a preset") }
}
