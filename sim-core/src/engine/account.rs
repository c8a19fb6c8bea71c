//! What the cycles of a PE were spent on (rules ), counted when something changes: between
//! two changes of a PE, its own state says from when to when it launched and waited.

use super::Engine;
use super::code::Code;
use super::domain::Domain;
use super::net::{Gate, Net};
use super::pe::{NONE, Op, Pe, bits};
use crate::cycles::Spent;
use crate::run::StopReason;
use pe_isa::{Cycle, Instr, TaskKind};

impl Engine {
    /// Counts the cycles before `epoch`, in which waits began that ticks will not tell from then on; but none that the
    /// run may not have (rule E-1).
    #[cold]
    pub(super) fn account_before(&mut self, epoch: u64) {
        self.catch_up(epoch);
        let until = epoch.min(self.activity());
        for Domain { pes, net, .. } in &mut self.domains {
            for pe in pes {
                pe.account(until, net, &self.layout.codes[pe.code as usize]);
            }
        }
    }

    /// The run stopped: all that is not counted yet, up to there.
    pub(super) fn close_accounts(&mut self, stop: &(StopReason, Cycle)) {
        let (reason, Cycle(stop)) = stop;
        let stop = *stop;
        // All other decisions of the cycle of a trap are taken (rule P-8).
        self.catch_up(stop + u64::from(matches!(reason, StopReason::Trap { .. })));
        for Domain { pes, net, .. } in &mut self.domains {
            for pe in pes {
                pe.account(stop, net, &self.layout.codes[pe.code as usize]);
                pe.close_account(stop, &net.gates[pe.index as usize]);
            }
        }
    }
}

impl Pe {
    /// What the cycles of a run that stopped at `stop` were spent on adds up to it.
    pub(super) fn close_account(&mut self, stop: u64, gate: &Gate) {
        // A step that is not over at the stop was counted in full (rule X-1).
        let beyond = gate.free_at.saturating_sub(stop);
        let counters = &mut self.counters;
        counters.cycles.working = counters.busy_cycles - beyond;
        let total = counters.cycles.total();
        assert!(total == stop, "PE {}: {stop} cycles, {total} accounted for", self.tile.0);
    }

    /// Counts the cycles before `until`. To be called before anything changes that rule X-3 looks
    /// at; nothing but arrivals may have changed since the last call. Datapath cycles are counted
    /// by the steps that hold it.
    #[inline(always)]
    pub(super) fn account(&mut self, until: u64, net: &Net, code: &Code) {
        let from = self.accounted.max(net.gates[self.index as usize].free_at);
        if from < until {
            self.account_gap(from, until, net, code);
        }
    }

    /// Counts `from .. until`, in which no step was taken and the datapath was free. Hence a thread
    /// that could have taken a step by its inputs lacked room for its output, and a task that was
    /// ready waited for its launch.
    #[inline(never)]
    fn account_gap(&mut self, from: u64, until: u64, net: &Net, code: &Code) {
        self.accounted = until;
        let begun = self.begun().clamp(from, until);
        let task = if self.task.is_none() { self.task_from(net, code) } else { u64::MAX };
        let ready = task.clamp(begun, until);
        let full = self.lacks_output_from(net, code).clamp(begun, ready);
        let before = if self.running != 0 { Spent::WaitingInput } else { Spent::Idle };
        let cycles = &mut self.counters.cycles;
        cycles.launching += (begun - from) + (until - ready);
        cycles.waiting_output += ready - full;
        cycles.add(before, full - begun);
    }

    /// The cycle from which all that is in hand has begun: the task (rule K-3) and the operations
    /// (rules P-4, P-6).
    pub(super) fn begun(&self) -> u64 {
        let main = if self.main_at_instruction() { self.main_ready } else { 0 };
        let op = |thread: usize| self.ops[thread].as_ref().expect("an operation").ready_at;
        bits(self.running | self.ending).map(op).fold(main, u64::max)
    }

    /// The cycle from which some task is ready (rule K-2), by what is known.
    fn task_from(&self, net: &Net, code: &Code) -> u64 {
        let tasks = code.program.tasks.iter().enumerate();
        let from = tasks.map(|(at, task)| {
            let (queue, control) = match task.kind {
                _ if self.blocked >> at & 1 != 0 => return u64::MAX,
                TaskKind::Local if self.activated >> at & 1 != 0 => return 0,
                TaskKind::Local => return u64::MAX,
                TaskKind::Data(queue, _) => (queue, false),
                TaskKind::Control(queue, _) => (queue, true),
            };
            let rank = code.in_rank[usize::from(queue.0)];
            match net.fifos[self.ins + u32::from(rank)].head() {
                Some(head) if head.is_control() == control => arrived(head.arrival, net),
                _ => u64::MAX,
            }
        });
        from.min().unwrap_or(u64::MAX)
    }

    /// The cycle from which some thread had all it needed but for room in its output queue.
    fn lacks_output_from(&self, net: &Net, code: &Code) -> u64 {
        let mut from = u64::MAX;
        if self.main_at_instruction() {
            let instr = &code.program.instrs[usize::from(self.pc)];
            if matches!(instr, Instr::SendCtrl { .. }) {
                from = self.main_ready;
            }
        }
        for thread in bits(self.running) {
            let op = self.ops[thread].as_ref().expect("a running operation");
            from = from.min(inputs_from(op, net));
        }
        from
    }
}

/// The cycle from which all sources of the next step are there, by what is known.
fn inputs_from(op: &Op, net: &Net) -> u64 {
    let sources = [op.a, op.b].into_iter().filter(|&fifo| fifo != NONE);
    let from = sources.map(|fifo| match net.fifos[fifo].head() {
        Some(head) if !head.is_control() => arrived(head.arrival, net),
        _ => u64::MAX,
    });
    from.fold(op.ready_at, u64::max)
}

/// The cycle of an arrival. One before the epoch stands at tick 0, and the cycles before it are counted.
fn arrived(tick: u32, net: &Net) -> u64 {
    if tick == 0 { 0 } else { net.cycle(tick) }
}
