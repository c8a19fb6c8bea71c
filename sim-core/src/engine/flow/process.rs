//! A PE as a process: its steps, as far as they follow from what is known.

use super::Flow;
use super::wires::Left;
use crate::cycles::Spent;
use crate::engine::Layout;
use crate::engine::domain::Domain;
use crate::engine::pe::{NONE, Op, Pe, bits};
use pe_isa::void::{self, Registers};
use pe_isa::{Instr, Thread, Word, semantics};

/// What a process does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The step of a thread at a cycle.
    Step(u64, usize),
    /// The same, unless another thread, of which not all is known, comes before it.
    Perhaps(u64, usize),
    /// It waits for others.
    Blocked,
}

impl Flow<'_> {
    /// Carries out all steps of PE `at` that are known, before the horizon. Returns the cycle of the next one where that is
    /// known and must not be taken yet.
    pub(super) fn advance_pe(&mut self, at: u32) -> Option<u64> {
        loop {
            let is_plain = self.processes[at as usize].is_plain;
            let pe = &self.domain.pes[at as usize];
            if is_plain && pe.running == 0 {
                self.running.push(at);
                return None;
            }
            if pe.task.is_none() && pe.activated != 0 {
                self.launch(at);
                continue;
            }
            self.settle_outputs(at);
            match self.next(at) {
                Next::Blocked => {
                    if is_plain {
                        self.open(at);
                    }
                    return None;
                }
                Next::Step(time, _) if time >= self.horizon => return Some(time),
                Next::Perhaps(time, _) if time > self.safe.min(self.horizon - 1) => {
                    return Some(time);
                }
                Next::Step(time, thread) | Next::Perhaps(time, thread) => {
                    self.step(at, time, thread);
                    if self.fault {
                        return None;
                    }
                }
            }
        }
    }

    /// Launches the one task, at cycle 0.
    pub(super) fn launch(&mut self, at: u32) {
        let Domain { net, memory, pes, .. } = &mut *self.domain;
        let pe = &mut pes[at as usize];
        net.now = 0;
        pe.launch(net, memory, &self.layout.codes[pe.code as usize], &self.layout.constants);
    }

    fn settle_outputs(&mut self, at: u32) {
        for thread in bits(self.domain.pes[at as usize].running) {
            let op = self.domain.pes[at as usize].ops[thread].as_ref();
            let dst = op.expect("a running operation").dst;
            if dst != NONE {
                self.settle(self.trees.of[dst as usize]);
            }
        }
    }

    /// Passes marks, at which nobody looks.
    pub(super) fn pass_marks(&mut self, at: u32) {
        let pe = &mut self.domain.pes[at as usize];
        let code = &self.layout.codes[pe.code as usize];
        while pe.main_at_instruction() && code.is_mark(pe.pc) {
            pe.pc += 1;
        }
    }

    /// What PE `at` does next, by what is known (rules P-2, P-5).
    fn next(&mut self, at: u32) -> Next {
        self.pass_marks(at);
        let free = self.domain.net.gates[at as usize].free_at;
        let pe = &self.domain.pes[at as usize];
        let code = &self.layout.codes[pe.code as usize];
        let mut best: Option<(u64, usize)> = None;
        let mut unknown = u64::MAX;
        let threads = code.threads;
        for n in 0..threads {
            let thread = (usize::from(pe.cursor) + n) % threads;
            let when = if pe.running >> thread & 1 != 0 {
                let op = pe.ops[thread].as_ref().expect("a running operation");
                match self.step_from(op, free) {
                    Ok(when) => when,
                    Err(lowest) => {
                        unknown = unknown.min(lowest);
                        continue;
                    }
                }
            } else if thread == 0 && pe.task.is_some() {
                let when = pe.main_ready.max(free);
                match &code.program.instrs[usize::from(pe.pc)] {
                    Instr::Vector(v) => match pe.micro_busy(v) {
                        None => when,
                        Some(Some(until)) => when.max(until),
                        Some(None) => continue,
                    },
                    _ => when,
                }
            } else {
                continue;
            };
            if best.is_none_or(|(time, _)| when < time) {
                best = Some((when, thread));
            }
        }
        match best {
            None => Next::Blocked,
            Some((time, thread)) if unknown <= time => Next::Perhaps(time, thread),
            Some((time, thread)) => Next::Step(time, thread),
        }
    }

    /// From when on the next step of an operation can be taken, or, where that is not known, no earlier than when.
    #[inline(always)]
    fn step_from(&self, op: &Op, free: u64) -> Result<u64, u64> {
        let mut when = op.ready_at.max(free);
        for queue in [op.a, op.b] {
            if queue != NONE {
                when = when.max(u64::from(self.wires.head(queue).ok_or(when)?.time));
            }
        }
        if op.dst != NONE {
            when = when.max(u64::from(self.wires.room(op.dst).ok_or(when)?));
        }
        Ok(when)
    }

    /// A step of a thread.
    fn step(&mut self, at: u32, now: u64, thread: usize) {
        self.account(at, now);
        if self.domain.pes[at as usize].running >> thread & 1 != 0 {
            self.fabric_step(at, now, thread);
        } else {
            self.instruction(at, now);
        }
    }

    /// The main thread's instruction, which is no step of an operation.
    pub(super) fn instruction(&mut self, at: u32, now: u64) {
        let Domain { net, memory, pes, .. } = &mut *self.domain;
        let pe = &mut pes[at as usize];
        let code = &self.layout.codes[pe.code as usize];
        if let Instr::Vector(v) = &code.program.instrs[usize::from(pe.pc)]
            && let Thread::Micro(u, _) = v.thread
        {
            pe.ending &= !(2 << u);
        }
        match pe.instruction(now, net, memory, code, &self.layout.constants) {
            Ok(cost) => pe.hold(0, now, cost, net, code),
            Err(_) => self.fault = true,
        }
    }

    /// As [`Pe::fabric_step`], in lines.
    fn fabric_step(&mut self, at: u32, now: u64, thread: usize) {
        let Domain { net, memory, pes, .. } = &mut *self.domain;
        let pe = &mut pes[at as usize];
        let code = &self.layout.codes[pe.code as usize];
        let op = pe.ops[thread].as_mut().expect("a running operation");
        let (inputs, dst) = ([op.a, op.b], op.dst);
        let count = op.lanes.min(op.issued.total - op.next);
        let words = inputs.map(|queue| match queue {
            NONE => Word::default(),
            queue => self.wires.take(queue, now as u32),
        });
        pe.counters.wavelets_in += inputs.iter().filter(|&&queue| queue != NONE).count() as u64;
        let out = if self.layout.constants.has_data {
            let [a, b] = words.map(|word| word.bits);
            let memory = &mut pe.memory.of(memory);
            Word::known(semantics::execute(&op.issued, memory, op.next, count, a, b))
        } else {
            let regs = &mut Registers { bits: &mut memory[pe.memory.regs()], void: &mut pe.void };
            void::execute(&op.issued, regs, &mut pe.draws, (op.next, count), words)
        };
        let cost = match count == op.lanes {
            true => op.step_cycles,
            false => self.layout.constants.cost.step_cycles(&op.issued, count),
        };
        op.next += count;
        op.ready_at = now + cost;
        let is_done = op.next == op.issued.total;
        pe.counters.fabric_steps += 1;
        if dst != NONE {
            pe.counters.wavelets_out += 1;
            let steps = self.wires.lines[dst as usize].upstream;
            self.wires.leave(steps, Left { time: (now + cost) as u32, word: out });
        }
        if is_done {
            pe.complete(thread, now + cost);
        }
        pe.hold(thread, now, cost, net, code);
        if is_done {
            self.close(at, inputs[0]);
        }
        for queue in inputs.into_iter().filter(|&queue| queue != NONE) {
            self.list_line(self.wires.lines[queue as usize].upstream);
        }
        if dst != NONE {
            self.advance_line(dst);
        }
    }

    /// As [`Pe::account`], by what is known here.
    pub(super) fn account(&mut self, at: u32, until: u64) {
        let free = self.domain.net.gates[at as usize].free_at;
        let pe = &self.domain.pes[at as usize];
        let from = pe.accounted.max(free);
        if from >= until {
            return;
        }
        let begun = pe.begun().clamp(from, until);
        let mut lacks = u64::MAX;
        for thread in bits(pe.running) {
            let op = pe.ops[thread].as_ref().expect("a running operation");
            let mut inputs = op.ready_at;
            for queue in [op.a, op.b] {
                if queue != NONE {
                    inputs = inputs.max(self.wires.head(queue).map_or(u64::MAX, |h| h.time.into()));
                }
            }
            lacks = lacks.min(inputs);
        }
        let full = lacks.clamp(begun, until);
        let before = if pe.running != 0 { Spent::WaitingInput } else { Spent::Idle };
        let pe: &mut Pe = &mut self.domain.pes[at as usize];
        pe.accounted = until;
        let cycles = &mut pe.counters.cycles;
        cycles.launching += begun - from;
        cycles.waiting_output += until - full;
        cycles.add(before, full - begun);
    }
}

/// Whether an image's programs are processes: one task that begins at cycle 0, no control wavelets.
pub(super) fn are_processes(layout: &Layout) -> bool {
    use pe_isa::{OnDone, TaskKind};
    layout.codes.iter().all(|code| {
        let program = &code.program;
        let plain = |i: &Instr| match i {
            Instr::SendCtrl { .. } | Instr::Activate(_) | Instr::Block(_) | Instr::Unblock(_) => {
                false
            }
            Instr::Vector(v) => {
                !matches!(v.thread, Thread::Micro(_, done) if done != OnDone::Nothing)
            }
            _ => true,
        };
        let [task] = &program.tasks[..] else { return false };
        matches!(task.kind, TaskKind::Local)
            && task.activated
            && !task.blocked
            && program.instrs.iter().all(plain)
    })
}
