//! A PE as a process: its steps, as far as they follow from what is known.

use super::Flow;
use super::wires::{Left, NONE};
use crate::cycles::Spent;
use crate::engine::pe::{self, Op, Pe, bits};
use crate::engine::Layout;
use pe_isa::{Instr, Thread, semantics};

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
            let layout = self.layout;
            for thread in bits(self.domain.pes[at as usize].running) {
                let op = self.domain.pes[at as usize].ops[thread].as_ref();
                let dst = op.expect("a running operation").dst;
                if dst != NONE {
                    self.settle(self.nets.tree_of[dst as usize]);
                }
            }
            let pe = &self.domain.pes[at as usize];
            let code = &layout.codes[pe.code as usize];
            if self.is_plain[at as usize] && pe.running == 0 {
                self.fast.push(at);
                return None;
            }
            if pe.task.is_none() && pe.activated != 0 {
                self.domain.net.now = 0;
                let domain = &mut *self.domain;
                let pe = &mut domain.pes[at as usize];
                pe.launch(&mut domain.net, &mut domain.memory, code, &layout.constants);
                continue;
            }
            match self.next(at, layout) {
                Next::Blocked => {
                    let waits = |op: &Op| op.a != pe::NONE;
                    let pe = &self.domain.pes[at as usize];
                    if self.is_plain[at as usize] && pe.ops.first().is_some_and(|op| op.as_ref().is_some_and(waits)) {
                        self.open(at);
                    }
                    return None;
                }
                Next::Step(time, _) if time >= self.horizon => return Some(time),
                Next::Perhaps(time, _) if time > self.safe || time >= self.horizon => {
                    return Some(time);
                }
                Next::Step(time, thread) | Next::Perhaps(time, thread) => {
                    self.step(at, time, thread, layout);
                    if self.fault {
                        return None;
                    }
                }
            }
        }
    }

    fn next(&mut self, at: u32, layout: &Layout) -> Next {
        let free = self.domain.net.gates[at as usize].free_at;
        let pe = &mut self.domain.pes[at as usize];
        let code = &layout.codes[pe.code as usize];
        while pe.main_at_instruction() && code.is_mark(pe.pc) {
            pe.pc += 1;
        }
        let pe = &self.domain.pes[at as usize];
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
            if queue != pe::NONE {
                when = when.max(u64::from(self.wires.head(queue).ok_or(when)?.time));
            }
        }
        if op.dst != pe::NONE {
            when = when.max(u64::from(self.wires.room(op.dst).ok_or(when)?));
        }
        Ok(when)
    }

    fn step(&mut self, at: u32, now: u64, thread: usize, layout: &Layout) {
        self.account(at, now);
        self.stats[4] += 1;
        let mut rise = pe::NONE;
        let mut closed = pe::NONE;
        let domain = &mut *self.domain;
        let pe = &mut domain.pes[at as usize];
        let code = &layout.codes[pe.code as usize];
        let cost = if pe.running >> thread & 1 != 0 {
            let op = pe.ops[thread].as_mut().expect("a running operation");
            let count = op.lanes.min(op.issued.total - op.next);
            let mut payloads = [0; 2];
            for (queue, payload) in [op.a, op.b].into_iter().zip(&mut payloads) {
                if queue != pe::NONE {
                    *payload = self.wires.head(queue).expect("a ready step").payload;
                    self.wires.leave(queue, Left { time: now as u32, payload: 0 });
                    pe.counters.wavelets_in += 1;
                    let up = self.wires.lines[queue as usize].upstream;
                    Self::queue_line(&mut self.work, &mut self.wires, up);
                }
            }
            let memory = &mut pe.memory.of(&mut domain.memory);
            let [a, b] = payloads;
            let out = semantics::execute(&op.issued, memory, op.next, count, a, b);
            let cost = if count == op.lanes {
                op.step_cycles
            } else {
                layout.constants.cost.step_cycles(&op.issued, count)
            };
            if op.dst != pe::NONE {
                pe.counters.wavelets_out += 1;
                let steps = self.wires.lines[op.dst as usize].upstream;
                self.wires.leave(steps, Left { time: (now + cost) as u32, payload: out });
                rise = op.dst;
            }
            pe.counters.fabric_steps += 1;
            op.next += count;
            op.ready_at = now + cost;
            if op.next == op.issued.total {
                closed = op.a;
                pe.complete(thread, now + cost);
            }
            cost
        } else {
            if let Instr::Vector(v) = &code.program.instrs[usize::from(pe.pc)]
                && let Thread::Micro(u, _) = v.thread
            {
                pe.ending &= !(2 << u);
            }
            let constants = &layout.constants;
            match pe.instruction(now, &mut domain.net, &mut domain.memory, code, constants) {
                Ok(cost) => cost,
                Err(_) => {
                    self.fault = true;
                    return;
                }
            }
        };
        pe.hold(thread, now, cost, &mut domain.net, code);
        if closed != pe::NONE {
            self.close(at, closed);
        }
        if rise != pe::NONE {
            self.rise(rise);
        }
    }

    /// What a step has put into an output queue goes on as far as is known.
    fn rise(&mut self, queue: u32) {
        self.advance_line(queue);
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
            Instr::SendCtrl { .. } | Instr::Activate(_) | Instr::Block(_) | Instr::Unblock(_) => false,
            Instr::Vector(v) => !matches!(v.thread, Thread::Micro(_, done) if done != OnDone::Nothing),
            _ => true,
        };
        let [task] = &program.tasks[..] else { return false };
        matches!(task.kind, TaskKind::Local)
            && task.activated
            && !task.blocked
            && program.instrs.iter().all(plain)
    })
}
