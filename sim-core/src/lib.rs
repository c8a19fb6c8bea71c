//! Runs a [`fabric::WaferImage`], cycle by cycle, by the timing contract (docs, "Timing contract").
//!
//! * [`oracle`]: executes the contract literally; slow and obvious.
//! * [`engine`]: the same contract, event-driven.
//! * [`cycles`]: what each cycle of a PE was spent on.
//! * [`fold`]: stages that behave alike simulated once.
//! * [`deadlock`]: why a run came to a halt, in words.
//! * [`observe`]: what can be seen of a run while it goes on.
//! * [`run`]: what goes in and what comes out of either.
//! * `testing` (feature): random wafers and the harness that compares runners.
//!
//! **Architecture Invariant:** oracle and engine share opcode arithmetic and data types, never
//! stepping code.

pub mod cycles;
pub mod deadlock;
pub mod engine;
pub mod fold;
pub mod observe;
pub mod oracle;
pub mod run;
#[cfg(feature = "testing")]
pub mod testing;

pub use cycles::{PeCycles, Spent};
pub use engine::Engine;
pub use observe::{Event, NoObserver, Observer, Wavelet, What};
pub use run::{
    Answers, Data, FinalState, Head, Host, HostScript, HostWavelet, Outcome, PeCounters,
    StopReason, Verdict, Wait, WaitFor,
};
