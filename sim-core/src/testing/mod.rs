//! Random small wafers, and the harness that runs one image on several runners and compares.
//!
//! * [`build`]: puts images together by hand.
//! * [`spec`]: what a random case is made of: plain data, with the strategies that draw it.
//! * [`generate`]: makes a [`Case`] of a spec. Total: every spec gives an image that passes the
//!   linter, so that shrinking never leaves the valid ones.
//! * [`conserve`]: what must hold of the counters of any run.
//! * [`fuzz`]: entry points for fuzzers.
//! * [`traffic`]: images for benchmarks.

pub mod build;
mod code;
pub mod conserve;
pub mod fuzz;
pub mod generate;
pub mod lines;
mod load;
mod nets;
mod programs;
mod record;
pub mod spec;
pub mod traffic;

pub use record::{Mark, Record, watched};

use crate::engine::Engine;
use crate::observe::Observer;
use crate::run::{Host, HostScript, HostWavelet, Outcome};
use fabric::WaferImage;
use pe_isa::Cycle;
use std::num::NonZeroUsize;

/// Something that runs images by the contract: the oracle, the engine.
pub type Runner = fn(&WaferImage, &HostScript, &mut dyn Host, Cycle, &mut dyn Observer) -> Outcome;

/// The engine as a [`Runner`].
pub fn engine(
    image: &WaferImage,
    script: &HostScript,
    host: &mut dyn Host,
    limit: Cycle,
    observer: &mut dyn Observer,
) -> Outcome {
    crate::engine::run(image, script, host, limit, observer)
}

/// The engine cut into three domains, on two threads.
pub fn thirds(
    image: &WaferImage,
    script: &HostScript,
    host: &mut dyn Host,
    limit: Cycle,
    observer: &mut dyn Observer,
) -> Outcome {
    let cuts = [1, 2].map(|n| n * image.tiles.len() as u32 / 3);
    let two = NonZeroUsize::MIN.saturating_add(1);
    Engine::load_cut(image, &cuts, two).outcome(script, host, limit, observer)
}

/// The engine with each tile a domain of its own, on seven threads.
pub fn shattered(
    image: &WaferImage,
    script: &HostScript,
    host: &mut dyn Host,
    limit: Cycle,
    observer: &mut dyn Observer,
) -> Outcome {
    let cuts: Vec<u32> = (1..image.tiles.len() as u32).collect();
    let seven = NonZeroUsize::MIN.saturating_add(6);
    Engine::load_cut(image, &cuts, seven).outcome(script, host, limit, observer)
}

/// Passes on all words but the first ones.
struct Rest<'a> {
    host: &'a mut dyn Host,
    heard: usize,
    skip: usize,
    stopped: bool,
}

impl Host for Rest<'_> {
    fn receive(
        &mut self,
        cycle: Cycle,
        port: usize,
        payload: u32,
        answers: &mut crate::run::Answers,
    ) -> crate::run::Verdict {
        self.heard += 1;
        if self.heard <= self.skip {
            let is_last = self.stopped && self.heard == self.skip;
            return if is_last { crate::run::Verdict::Stop } else { crate::run::Verdict::Continue };
        }
        let verdict = self.host.receive(cycle, port, payload, answers);
        self.stopped = verdict == crate::run::Verdict::Stop;
        verdict
    }
}

/// Runs that went as processes, and others.
pub static FLOWED: [std::sync::atomic::AtomicUsize; 2] =
    [const { std::sync::atomic::AtomicUsize::new(0) }; 2];

/// The engine's processes where they can be, as a [`Runner`].
pub fn flow(
    image: &WaferImage,
    script: &HostScript,
    host: &mut dyn Host,
    limit: Cycle,
    observer: &mut dyn Observer,
) -> Outcome {
    if observer.active() || observer.sees_events() {
        return crate::engine::run(image, script, host, limit, observer);
    }
    let mut rest = Rest { host, heard: 0, skip: 0, stopped: false };
    let outcome = Engine::load(image).try_flow(script, &mut rest, limit);
    FLOWED[usize::from(outcome.is_none())].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    outcome.unwrap_or_else(|| {
        let (skip, stopped) = (rest.heard, rest.stopped);
        let mut rest = Rest { host: rest.host, heard: 0, skip, stopped };
        crate::engine::run(image, script, &mut rest, limit, observer)
    })
}

/// A run to be made.
#[derive(Debug, Clone)]
pub struct Case {
    /// What runs.
    pub image: WaferImage,
    /// What the host sends.
    pub script: HostScript,
    /// What the host sends in answer to the first, second, … wavelet that it receives: ports, and wavelets whose cycles
    /// count from then.
    pub replies: Vec<Vec<(usize, HostWavelet)>>,
    /// The host ends the run at this many wavelets received.
    pub stop_after: Option<usize>,
    /// The cycle limit.
    pub limit: Cycle,
}

impl Case {
    /// The least cycle limit with which two runners differ, and how; `None` where they never do.
    pub fn first_difference(&self, one: Runner, other: Runner) -> Option<(Cycle, String)> {
        let until = |limit| {
            let case = Case { limit: Cycle(limit), ..self.clone() };
            case.run(one).difference(&case.run(other))
        };
        until(self.limit.0)?;
        let end = self.run(one).outcome.cycle.0.max(self.run(other).outcome.cycle.0);
        (1..=end.saturating_add(1)).find_map(|limit| Some((Cycle(limit), until(limit)?)))
    }
}
