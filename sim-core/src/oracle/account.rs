//! What each cycle of a PE is spent on: rules.

use super::pe::{Acts, Pe};
use crate::cycles::{PeCycles, Spent};
use crate::run::WaitFor;
use pe_isa::Cycle;

/// What the cycles of a PE are spent on, from the given ones on; oldest first.
#[derive(Debug, Default)]
pub(super) struct Account(Vec<(Cycle, Spent)>);

impl Account {
    /// From `t` on it is `spent`, until something else is noted.
    pub(super) fn note(&mut self, t: Cycle, spent: Spent) {
        if self.0.last().is_none_or(|(_, last)| *last != spent) {
            self.0.push((t, spent));
        }
    }

    /// the cycles before `stop`. A run at rest is looked at beyond its end; that counts for
    /// nothing.
    pub(super) fn close(&self, stop: Cycle) -> PeCycles {
        let mut cycles = PeCycles::default();
        let ends = self.0.iter().skip(1).map(|(t, _)| *t).chain([stop]);
        for (&(from, spent), end) in self.0.iter().zip(ends) {
            cycles.add(spent, end.min(stop).0 - from.min(stop).0);
        }
        cycles
    }
}

impl Pe<'_> {
    /// what cycle `t` is spent on, by the state at its start and what is decided in it.
    pub(super) fn spends(&self, t: Cycle, acts: &Acts) -> Spent {
        if self.free_from > t || acts.step.is_some() {
            return Spent::Working;
        }
        if self.is_launching(t) {
            return Spent::Launching;
        }
        let threads = (0..=self.micro.len()).filter_map(|thread| self.waiting(thread, t));
        let unmet: Vec<WaitFor> = threads.filter_map(|waiting| waiting.unmet).collect();
        if unmet.iter().any(|unmet| matches!(unmet, WaitFor::Output(_))) {
            return Spent::WaitingOutput;
        }
        if unmet.iter().any(|unmet| matches!(unmet, WaitFor::Input(_))) {
            return Spent::WaitingInput;
        }
        let nothing = self.main.is_none() && self.micro.iter().all(Option::is_none);
        assert!(nothing, "at cycle {t} something is to be done and nothing is waited for");
        Spent::Idle
    }

    /// whether something is in hand that a delay of the PE itself keeps from beginning.
    fn is_launching(&self, t: Cycle) -> bool {
        let Some(running) = &self.main else {
            return self.some_task_is_ready(t) || self.some_dispatch(t); // K-1, K-3
        };
        // K-3; P-6 for an operation without elements.
        let instruction = running.op.is_none() && running.from > t;
        let operation = running.op.as_ref().is_some_and(|op| op.from > t); // P-4
        instruction || operation || self.some_dispatch(t)
    }

    /// P-4, P-6: whether some microthread's operation cannot take its first step yet, or, without
    /// elements, is not complete yet.
    fn some_dispatch(&self, t: Cycle) -> bool {
        let mut ops = self.micro.iter().flatten();
        ops.any(|op| op.complete.unwrap_or(op.from) > t)
    }
}
