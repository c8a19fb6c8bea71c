//! What a machine at rest is: finished, or waiting for what never comes (rule E-2).

use super::code::Code;
use super::domain::Domain;
use super::fifo::Room;
use super::pe::{NONE, Op, Pe, bits};
use super::{Engine, Layout};
use crate::run::{Head, StopReason, Wait, WaitFor};
use fabric::PeIdx;
use pe_isa::{Color, Cycle, Instr, Thread};

impl Engine {
    /// Why nothing can happen any more.
    pub(super) fn rest_reason(&self) -> StopReason {
        let waits = self.domains.iter().flat_map(|d| d.waits(&self.layout)).collect();
        let heads: Vec<Head> = self.domains.iter().flat_map(|d| d.heads(&self.layout)).collect();
        if !heads.is_empty() || self.domains.iter().any(Domain::is_waiting) {
            StopReason::Deadlock { waits, heads }
        } else {
            StopReason::Finished
        }
    }
}

impl Domain {
    /// Whether a task or an operation is under way, or the host has something to send.
    fn is_waiting(&self) -> bool {
        self.pes.iter().any(|pe| pe.task.is_some() || pe.running != 0)
            || self.net.host_in.iter().any(|port| !port.script.is_empty())
    }

    fn waits(&self, layout: &Layout) -> Vec<Wait> {
        let mut waits = Vec::new();
        for pe in &self.pes {
            let code = &layout.codes[pe.code as usize];
            if pe.main_at_instruction() {
                waits.extend(self.main_wait(pe, code));
            }
            for thread in bits(pe.running) {
                let op = pe.ops[thread].as_ref().expect("a running operation");
                waits.extend(self.operation_wait(pe, code, thread, op));
            }
        }
        waits
    }

    fn main_wait(&self, pe: &Pe, code: &Code) -> Option<Wait> {
        let waits_for = match code.program.instrs[usize::from(pe.pc)] {
            Instr::SendCtrl { queue, .. } => {
                WaitFor::Output(code.program.out_queues[usize::from(queue.0)]?)
            }
            Instr::Vector(v) => match v.thread {
                Thread::Micro(u, _) => WaitFor::Microthread(u),
                Thread::Main => return None,
            },
            _ => return None,
        };
        Some(Wait {
            pe: pe.tile,
            microthread: None,
            instruction: pe.pc,
            waits_for,
            since: Cycle(pe.main_ready),
        })
    }

    /// The first unmet condition of an operation's next step.
    fn operation_wait(&self, pe: &Pe, code: &Code, thread: usize, op: &Op) -> Option<Wait> {
        let fifos = &self.net.fifos;
        let starved = |q: u32| q != NONE && fifos[q].head().is_none_or(|head| head.is_control());
        let input = |q: u32| color_of(&code.program.in_queues, q - pe.ins).map(WaitFor::Input);
        let waits_for = if starved(op.a) {
            input(op.a)?
        } else if starved(op.b) {
            input(op.b)?
        } else if op.dst != NONE && fifos.room(op.dst) == Room::Full {
            WaitFor::Output(color_of(&code.program.out_queues, op.dst - pe.outs)?)
        } else {
            return None;
        };
        Some(Wait {
            pe: pe.tile,
            microthread: (thread > 0).then(|| thread as u8 - 1),
            instruction: op.pc,
            waits_for,
            since: Cycle(op.ready_at),
        })
    }

    /// Heads that are left, by tile, then port (routers before PEs), then color.
    fn heads(&self, layout: &Layout) -> Vec<Head> {
        let mut heads = Vec::new();
        for pe in self.tiles.clone().map(PeIdx) {
            let tile = pe.0 as usize;
            let first = layout.tiles.first_fifo[tile];
            let plan = layout.plans.get(layout.tiles.plan[tile] as usize);
            let keys = plan.map_or(&[][..], |p| &p.keys);
            for (&(port, color), fifo) in keys.iter().zip(first..) {
                if let Some(head) = self.head(pe, color, fifo) {
                    heads.push(Head {
                        port: Some(port),
                        selected: self.net.selected(fifo),
                        ..head
                    });
                }
            }
            let Some(owner) = self.pe(pe, layout) else { continue };
            let queues = &layout.codes[owner.code as usize].program.in_queues;
            let bound = queues.iter().flatten().zip(owner.ins..);
            let left = bound.filter_map(|(&color, fifo)| self.head(pe, color, fifo));
            let mut left: Vec<Head> = left.collect();
            left.sort_unstable();
            heads.extend(left);
        }
        heads
    }

    /// What is left in a FIFO, as the head of an input queue.
    fn head(&self, pe: PeIdx, color: Color, fifo: u32) -> Option<Head> {
        let fifo = &self.net.fifos[fifo];
        let control = fifo.head()?.is_control();
        Some(Head { pe, port: None, color, words: fifo.words(), control, selected: 0 })
    }
}

/// The color of the bound queue of a rank.
fn color_of(queues: &[Option<Color>], rank: u32) -> Option<Color> {
    queues.iter().flatten().nth(rank as usize).copied()
}
