//! When something can happen in a PE next, by what is known now.

use super::code::Code;
use super::fifo::Room;
use super::net::Net;
use super::pe::{NONE, Op, Pe, bits};
use super::wheel::Actor;
use pe_isa::{Instr, OnDone, TaskKind, Thread, Vector};

impl Pe {
    /// The first cycle at which something can happen here by what is known now (a mark only if an observer `looks`),
    /// and, noted in `net`, the queues and FIFOs whose change would make it earlier. A stretch may begin here.
    #[inline]
    pub(super) fn next_visit(&mut self, looks: bool, net: &mut Net, code: &Code) -> u64 {
        let mut next = u64::MAX;
        let mut wanted = 0u32;
        let mut launching = 0u32;
        let free_at = net.gates[self.index as usize].free_at;
        if self.effect.is_some() {
            next = next.min(self.main_ready);
        }
        for thread in bits(self.ending) {
            let op = self.ops[thread].as_ref().expect("an ending operation");
            if op.done != OnDone::Nothing {
                next = next.min(op.ready_at);
            }
        }
        for thread in bits(self.running) {
            let op = self.ops[thread].as_ref().expect("a running operation");
            next = next.min(self.next_step(op, free_at, net, &mut wanted));
        }
        if self.task.is_none() {
            next = next.min(self.next_launch_at(net, code, &mut launching));
        } else if self.running & 1 == 0 {
            next = next.min(self.next_instruction(looks, net, code, free_at));
        }
        if net.gates[self.index as usize].controls > 0 {
            next = next.min(self.next_discard(net, code));
        }
        let gate = &mut net.gates[self.index as usize];
        gate.wanted = wanted;
        gate.launching = launching;
        next
    }

    #[inline]
    fn next_step(&self, op: &Op, free_at: u64, net: &mut Net, wanted: &mut u32) -> u64 {
        let mut when = op.ready_at.max(free_at);
        for fifo in [op.a, op.b] {
            if fifo == NONE {
                continue;
            }
            match net.fifos[fifo].head() {
                None => {
                    *wanted |= 1 << (fifo - self.ins);
                    when = u64::MAX;
                }
                // A control task takes it, or it is discarded; both end in a visit.
                Some(head) if head.is_control() => when = u64::MAX,
                Some(head) => when = when.max(net.cycle(head.arrival)),
            }
        }
        if op.dst != NONE {
            match net.fifos.room(op.dst) {
                Room::From(from) => when = when.max(net.cycle(from)),
                Room::Full => {
                    net.fifos.wait(op.dst, Actor::pe(self.index));
                    when = u64::MAX;
                }
            }
        }
        when
    }

    #[inline]
    fn next_instruction(&mut self, looks: bool, net: &mut Net, code: &Code, free_at: u64) -> u64 {
        let when = self.main_ready.max(free_at);
        if let Some(end) = self.begin_stretch(when, looks, net, code) {
            return end;
        }
        match &code.program.instrs[usize::from(self.pc)] {
            Instr::Mark(_) => self.main_ready,
            Instr::SendCtrl { queue, .. } => {
                let fifo = self.outs + u32::from(code.out_rank[usize::from(queue.0)]);
                match net.fifos.room(fifo) {
                    Room::From(from) => when.max(net.cycle(from)),
                    Room::Full => {
                        net.fifos.wait(fifo, Actor::pe(self.index));
                        u64::MAX
                    }
                }
            }
            Instr::Vector(v) => match self.micro_busy(v) {
                None => when,
                Some(until) => until.map_or(u64::MAX, |at| when.max(at)),
            },
            _ => when,
        }
    }

    /// Whether the microthread that `v` is for is busy, and until when if that is known.
    #[inline]
    pub(super) fn micro_busy(&self, v: &Vector) -> Option<Option<u64>> {
        let Thread::Micro(u, _) = v.thread else {
            return None;
        };
        let thread = usize::from(u) + 1;
        if self.running >> thread & 1 != 0 {
            return Some(None);
        }
        if self.ending >> thread & 1 != 0 {
            return Some(self.ops[thread].as_ref().map(|op| op.ready_at));
        }
        None
    }

    pub(super) fn next_launch_at(&self, net: &Net, code: &Code, launching: &mut u32) -> u64 {
        let mut next = u64::MAX;
        for (at, task) in code.program.tasks.iter().enumerate() {
            if self.blocked >> at & 1 != 0 {
                continue;
            }
            let (queue, control) = match task.kind {
                TaskKind::Local => {
                    if self.activated >> at & 1 != 0 {
                        next = next.min(self.next_launch);
                    }
                    continue;
                }
                TaskKind::Data(queue, _) => (queue, false),
                TaskKind::Control(queue, _) => (queue, true),
            };
            let rank = code.in_rank[usize::from(queue.0)];
            match net.fifos[self.ins + u32::from(rank)].head() {
                None => *launching |= 1 << rank,
                Some(head) if head.is_control() == control => {
                    let arrival = net.cycle(head.arrival);
                    next = next.min(self.next_launch.max(arrival));
                }
                Some(_) => {}
            }
        }
        next
    }

    #[cold]
    fn next_discard(&self, net: &Net, code: &Code) -> u64 {
        let free = (0..code.ins).filter(|rank| code.control_tasks & 1 << rank == 0);
        let heads = free.filter_map(|rank| net.fifos[self.ins + u32::from(rank)].head());
        let controls = heads.filter(|head| head.is_control());
        controls.map(|head| net.cycle(head.arrival)).min().unwrap_or(u64::MAX)
    }
}
