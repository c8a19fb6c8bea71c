//! A whole run of an image as a benchmark. The benchmarks of `cli` include this file by its path.

use crate::meter::{Memory, Meter, Spent};
use fabric::{PeIdx, WaferImage};
use pe_isa::Cycle;
use sim_core::{Answers, Data, Engine, Host, HostScript, NoObserver, StopReason, Verdict};
use std::num::NonZeroUsize;

/// What is run, and when it is over.
#[derive(Default)]
pub(crate) struct End {
    /// Wavelets that the host takes before it ends the run; 0: until nothing is left to do.
    pub(crate) words: usize,
    /// Tokens of a request (prompt and new), to be told by the second.
    pub(crate) tokens: Option<u64>,
    /// Threads that run it; the calling one where not given.
    pub(crate) threads: Option<NonZeroUsize>,
    /// Whether it goes without a calendar.
    pub(crate) flows: bool,
}

/// Takes everything, and ends the run with the last word that it waits for.
struct Listener {
    words: usize,
}

impl Host for Listener {
    fn receive(
        &mut self,
        _cycle: Cycle,
        _port: usize,
        _payload: u32,
        _answers: &mut Answers,
    ) -> Verdict {
        self.words = self.words.saturating_sub(1);
        if self.words == 0 { Verdict::Stop } else { Verdict::Continue }
    }
}

fn run(mut engine: Engine, script: &HostScript, (words, flows): (usize, bool)) -> (Engine, Cycle) {
    // A host that waits for nothing never ends a run.
    let words = if words == 0 { usize::MAX } else { words };
    let mut host = Listener { words };
    let (stop, cycle) = if flows {
        engine.flow(script, &mut host, Cycle::NEVER).expect("nothing competes")
    } else {
        engine.run(script, &mut host, Cycle::NEVER, &mut NoObserver)
    };
    let is_over = matches!(stop, StopReason::Finished | StopReason::Host);
    assert!(is_over, "a benchmark's run must end well: {stop:?}");
    (engine, cycle)
}

/// What happened in a run.
struct Happened {
    hops: u64,
    /// Fabric steps and instructions of all PEs.
    operations: u64,
    cycles: u64,
}

impl Happened {
    fn of(engine: &Engine, cycle: Cycle, tiles: usize) -> Happened {
        let counters = (0..tiles as u32).map(|tile| engine.counters(PeIdx(tile)));
        let operations = counters.map(|c| c.fabric_steps + c.instructions).sum();
        Happened { hops: engine.wavelet_hops(), operations, cycles: cycle.0 }
    }
}

/// Measures runs of an image, each from a fresh copy of the loaded engine; criterion's elements are wavelet hops. Making
/// the image and loading it is no part of it.
pub(crate) fn bench(
    meter: &mut Meter,
    name: &str,
    make: impl FnOnce() -> (WaferImage, HostScript, End),
) {
    let measured = meter.bench(name, || {
        let (image, script, End { words, tokens, threads, flows }) = make();
        let how = (words, flows);
        let load = || Engine::load_for(&image, Data::Full, threads.unwrap_or(NonZeroUsize::MIN));
        let tiles = image.tiles.len();
        let (memory, (done, cycle)) = Memory::of(load, |engine| run(engine, &script, how));
        let happened = Happened::of(&done, cycle, tiles);
        drop(done);
        let loaded = load();
        drop(image);
        let once = move || {
            let fresh = loaded.clone();
            Spent::by(|| run(fresh, &script, how))
        };
        (happened.hops, once, (happened, memory, tiles, tokens))
    });
    let Some((runs, (happened, memory, tiles, tokens))) = measured else { return };
    let mut facts = vec![
        runs.rate(happened.hops, "hops"),
        runs.rate(happened.operations, "PE operations"),
        runs.times(),
        format!(
            "{} hops, {} operations, {} cycles",
            happened.hops, happened.operations, happened.cycles
        ),
        memory.per_tile(tiles),
    ];
    facts.extend(tokens.map(|tokens| runs.rate(tokens, "tokens")));
    meter.tell(name, &facts);
}
