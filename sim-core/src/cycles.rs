//! Where the cycles of a PE go (contract rules ).

use std::iter::Sum;
use std::ops::AddAssign;

/// What a PE does in a cycle: the first that applies (rule X-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// A step holds the datapath.
    Working,
    /// A task or an operation is in hand, and has not begun.
    Launching,
    /// A thread lacks room in an output queue, and nothing else.
    WaitingOutput,
    /// A thread lacks a wavelet.
    WaitingInput,
    /// There is nothing to do.
    Idle,
}

/// The cycles of a PE from 0 to the stop cycle, each counted once; all zero without a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeCycles {
    /// See [`Spent::Working`].
    pub working: u64,
    /// See [`Spent::WaitingInput`].
    pub waiting_input: u64,
    /// See [`Spent::WaitingOutput`].
    pub waiting_output: u64,
    /// See [`Spent::Launching`].
    pub launching: u64,
    /// See [`Spent::Idle`].
    pub idle: u64,
}

impl PeCycles {
    /// Counts `cycles` more.
    pub fn add(&mut self, spent: Spent, cycles: u64) {
        *match spent {
            Spent::Working => &mut self.working,
            Spent::Launching => &mut self.launching,
            Spent::WaitingOutput => &mut self.waiting_output,
            Spent::WaitingInput => &mut self.waiting_input,
            Spent::Idle => &mut self.idle,
        } += cycles;
    }

    /// All of them: the stop cycle, for a PE with a program (rule X-4).
    pub fn total(&self) -> u64 {
        let waiting = self.waiting_input + self.waiting_output;
        self.working + waiting + self.launching + self.idle
    }
}

impl AddAssign for PeCycles {
    fn add_assign(&mut self, other: PeCycles) {
        self.working += other.working;
        self.waiting_input += other.waiting_input;
        self.waiting_output += other.waiting_output;
        self.launching += other.launching;
        self.idle += other.idle;
    }
}

impl Sum for PeCycles {
    fn sum<I: Iterator<Item = PeCycles>>(each: I) -> PeCycles {
        let mut all = PeCycles::default();
        each.for_each(|cycles| all += cycles);
        all
    }
}
