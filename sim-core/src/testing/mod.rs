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
use crate::run::{Data, Host, HostScript, HostWavelet, Outcome};
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
    Engine::load(image).outcome(script, host, limit, observer)
}

/// The engine, without its calendar where it can do without, as a [`Runner`].
pub fn flow(
    image: &WaferImage,
    script: &HostScript,
    host: &mut dyn Host,
    limit: Cycle,
    observer: &mut dyn Observer,
) -> Outcome {
    crate::engine::run(image, script, host, limit, observer)
}

/// What runs without data are made with.
pub const NO_DATA: Data = Data::None { seed: 11 };

/// The oracle, without data.
pub fn oracle_without_data(
    image: &WaferImage,
    script: &HostScript,
    host: &mut dyn Host,
    limit: Cycle,
    observer: &mut dyn Observer,
) -> Outcome {
    crate::oracle::run_with(image, NO_DATA, script, host, limit, observer)
}

/// The engine, without data.
pub fn engine_without_data(
    image: &WaferImage,
    script: &HostScript,
    host: &mut dyn Host,
    limit: Cycle,
    observer: &mut dyn Observer,
) -> Outcome {
    let engine = Engine::load_for(image, NO_DATA, NonZeroUsize::MIN);
    engine.outcome(script, host, limit, observer)
}

/// The same without data.
pub fn flow_without_data(
    image: &WaferImage,
    script: &HostScript,
    host: &mut dyn Host,
    limit: Cycle,
    observer: &mut dyn Observer,
) -> Outcome {
    crate::engine::run_for(image, (NO_DATA, NonZeroUsize::MIN), script, host, limit, observer).0
}

/// The engine cut into three domains, on two threads.
pub fn thirds(
    image: &WaferImage,
    script: &HostScript,
    host: &mut dyn Host,
    limit: Cycle,
    observer: &mut dyn Observer,
) -> Outcome {
    in_thirds(image, Data::Full).outcome(script, host, limit, observer)
}

/// The same without data.
pub fn thirds_without_data(
    image: &WaferImage,
    script: &HostScript,
    host: &mut dyn Host,
    limit: Cycle,
    observer: &mut dyn Observer,
) -> Outcome {
    in_thirds(image, NO_DATA).outcome(script, host, limit, observer)
}

fn in_thirds(image: &WaferImage, data: Data) -> Engine {
    let cuts = [1, 2].map(|n| n * image.tiles.len() as u32 / 3);
    Engine::load_cut(image, data, &cuts, NonZeroUsize::MIN.saturating_add(1))
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
    Engine::load_cut(image, Data::Full, &cuts, seven).outcome(script, host, limit, observer)
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
