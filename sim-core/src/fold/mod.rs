//! Folding: cells that behave alike are simulated once, the others replayed, shifted in time (docs, "Folding").
//!
//! * `cells`: cuts the wafer, and finds cells that are alike.
//! * `memory`: what has been simulated of each kind of cell.
//! * `walk`: all cells in the order of time, each along what is remembered, or simulated where nothing fits (`walker`).
//!
//! **Architecture Invariant:** nothing is taken to be alike that has not been compared: tiles before the run, and everything that
//! crosses a border, with its time, in it.

mod cells;
mod memory;
mod walk;
mod walker;

use crate::engine::{self, Replayed};
use crate::observe::NoObserver;
use crate::run::{Data, Host, HostScript, Outcome};
use fabric::WaferImage;
use pe_isa::Cycle;
use std::fmt;
use std::num::NonZeroUsize;

pub use crate::engine::Totals;

/// A run that the host has ended, with stages replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// At which cycle.
    pub cycle: Cycle,
    /// The counters of the whole wafer at that cycle.
    pub totals: Totals,
    /// Stages of the image.
    pub stages: usize,
    /// Stages that were simulated, all the time or for a time.
    pub simulated: usize,
    /// Instructions that were simulated, on the whole wafer and more than once where a simulation was taken up again.
    pub instructions_simulated: u64,
    /// Hash of the stop cycle and of the counters of each stage and of the rest.
    pub digest: String,
}

/// Why a run could not be folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfolded {
    /// It is with data.
    Data,
    /// No two stages are alike.
    NothingAlike,
    /// It stopped by itself, or at the cycle limit.
    Stopped,
}

impl fmt::Display for Unfolded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unfolded::Data => "runs with data are not folded",
            Unfolded::NothingAlike => "no two stages are alike",
            Unfolded::Stopped => "the host did not end the run",
        })
    }
}

/// The end of a run, folded or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Folded.
    Folded(Folded),
    /// The run of [`engine::run_for`], and how many threads were of use.
    Whole(Outcome, usize, Unfolded),
}

/// Runs an image as [`engine::run_for`] does, but simulates one of the stages that behave alike. Where that does not work out, it
/// begins again with all of them; the host does not hear twice.
///
/// # Panics
/// As [`engine::Engine::load`].
pub fn run_for(
    image: &WaferImage,
    (data, threads): (Data, NonZeroUsize),
    script: &HostScript,
    host: &mut (impl Host + ?Sized),
    limit: Cycle,
) -> Ended {
    let mut host = Replayed::new(host);
    match folded(image, data, script, &mut host, limit) {
        Ok(folded) => Ended::Folded(folded),
        Err(why) => {
            host.again();
            let how = (data, threads);
            let (outcome, threads) =
                engine::run_for(image, how, script, &mut host, limit, &mut NoObserver);
            Ended::Whole(outcome, threads, why)
        }
    }
}

fn folded(
    image: &WaferImage,
    data: Data,
    script: &HostScript,
    host: &mut impl Host,
    limit: Cycle,
) -> Result<Folded, Unfolded> {
    if data.is_full() {
        return Err(Unfolded::Data);
    }
    let cut = cells::cut(image);
    if cut.kinds.iter().all(|kind| kind.members == 1) {
        return Err(Unfolded::NothingAlike);
    }
    walk::Walk::new(cut, data, script).run(host, limit.0).ok_or(Unfolded::Stopped)
}
