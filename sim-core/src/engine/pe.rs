//! The state of a PE and its visits.

use super::code::{Code, Constants};
use super::net::Net;
use super::stream::Stream;
use super::watch::Noted;
use crate::observe::Observer;
use crate::run::PeCounters;
use fabric::PeIdx;
use pe_isa::semantics::{Issued, Place};
use pe_isa::void::Draws;
use pe_isa::{Cycle, Fault, Instr, OnDone, PeMemory, TaskId};
use std::hash::{Hash, Hasher};
use std::ops::Range;

/// No queue.
pub(super) const NONE: u32 = u32::MAX;

/// A change of a task by an instruction or a completed operation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Effect {
    Activate(TaskId),
    Block(TaskId),
    Unblock(TaskId),
}

/// A vector operation with a fabric operand in a thread.
#[derive(Debug, Clone)]
pub(super) struct Op {
    pub(super) issued: Issued,
    /// The element that the next step begins with.
    pub(super) next: u32,
    /// Elements of a full wavelet.
    pub(super) lanes: u32,
    /// Cost of a step with a full wavelet.
    pub(super) step_cycles: u64,
    /// Input queues of the sources, output queue of the destination (FIFOs) or [`NONE`].
    pub(super) a: u32,
    pub(super) b: u32,
    pub(super) dst: u32,
    /// First cycle in which the next step can be taken, or the completion of an ending operation.
    pub(super) ready_at: u64,
    pub(super) done: OnDone,
    /// Its instruction.
    pub(super) pc: u16,
}

/// Where the memory of a PE is in that of all PEs: first the registers that its program has, then its SRAM. In words.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    /// Its first register.
    pub(super) first: u32,
    /// Its SRAM, and the end of it; without data it is empty (rule D-1).
    pub(super) sram: u32,
    pub(super) end: u32,
}

impl Memory {
    pub(super) fn regs(self) -> Range<usize> {
        self.first as usize..self.sram as usize
    }

    pub(super) fn sram(self) -> Range<usize> {
        self.sram as usize..self.end as usize
    }

    /// What instructions reach, out of the memory of all PEs.
    #[inline(always)]
    pub(super) fn of(self, memory: &mut [u32]) -> PeMemory<'_> {
        let memory = &mut memory[self.first as usize..self.end as usize];
        let (regs, sram) = memory.split_at_mut((self.sram - self.first) as usize);
        PeMemory { sram, regs }
    }
}

/// A PE with a program.
#[derive(Debug, Clone)]
pub(super) struct Pe {
    pub(super) tile: PeIdx,
    /// Index among the PEs with programs.
    pub(super) index: u32,
    pub(super) code: u32,
    /// Its input queues are the FIFOs `ins ..`, its output queues `outs ..`, by rank.
    pub(super) ins: u32,
    pub(super) outs: u32,
    /// Thread that is visited first (rule P-2).
    pub(super) cursor: u8,
    /// The running task.
    pub(super) task: Option<TaskId>,
    /// The main thread's next instruction, and when it is ready.
    pub(super) pc: u16,
    pub(super) main_ready: u64,
    /// No launch before this cycle (rules K-3, K-4).
    pub(super) next_launch: u64,
    /// The main thread may have begun instructions of a [stretch](super::stretch) that are not carried out yet.
    pub(super) behind: bool,
    /// The change by the main thread's last step that is not visible before [`Pe::main_ready`].
    pub(super) effect: Option<Effect>,
    pub(super) activated: u64,
    pub(super) blocked: u64,
    /// Threads with an operation that has steps left; bit 0 is the main thread.
    pub(super) running: u64,
    /// Microthreads whose operation has taken its last step and is not complete yet.
    pub(super) ending: u64,
    /// The operations, by thread; meaningless where neither running nor ending. Empty before the first.
    pub(super) ops: Vec<Option<Op>>,
    pub(super) memory: Memory,
    pub(super) sram_bytes: u32,
    /// The void registers (rule D-1), whose bits are 0: bit *r* stands for register *r*.
    pub(super) void: u32,
    /// Rule D-4.
    pub(super) draws: Draws,
    pub(super) counters: PeCounters,
    /// The cycles before this one are counted (rule X-3), as are those that a step holds.
    pub(super) accounted: u64,
}

/// An instruction that faulted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trap {
    pub(super) pe: PeIdx,
    pub(super) instruction: u16,
    pub(super) fault: Fault,
}

fn hash_place(place: &Place, to: &mut impl Hasher) {
    std::mem::discriminant(place).hash(to);
    match *place {
        Place::None => (),
        Place::Mem { base, strides, dtype } => (base, strides, dtype).hash(to),
        Place::Reg(reg, dtype) => (reg, dtype).hash(to),
        Place::Imm(bits, dtype) => (bits, dtype).hash(to),
        Place::Fabric(dtype) => dtype.hash(to),
    }
}

/// The bits that are set, ascending.
#[inline]
pub(super) fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (set != 0).then(|| {
            let at = set.trailing_zeros() as usize;
            set &= set - 1;
            at
        })
    })
}

impl Pe {
    /// Everything that decides what it does when it is at rest, but times and what it has drawn.
    pub(super) fn hash_state(&self, memory: &[u32], to: &mut impl Hasher) {
        let mode = (self.cursor, self.task, self.pc, self.behind);
        (mode, self.activated, self.blocked, self.running, self.ending, self.void).hash(to);
        memory[self.memory.regs()].hash(to);
        memory[self.memory.sram()].hash(to);
        for thread in bits(self.running | self.ending) {
            let op = self.ops[thread].as_ref().expect("an operation");
            (op.issued.op, op.issued.extents, op.next, op.lanes, op.step_cycles, op.pc).hash(to);
            [op.issued.dst, op.issued.a, op.issued.b].iter().for_each(|p| hash_place(p, to));
            (op.a, op.b, op.dst, op.done).hash(to);
        }
    }

    /// A visit: all that this PE decides in the current cycle. Decisions read the state at the
    /// start of the cycle (rule T-1): what a step or a discard takes from a queue shows its next
    /// head one cycle later, and a launch writes its register after the step has read its own.
    pub(super) fn visit<O: Observer + ?Sized>(
        &mut self,
        net: &mut Net,
        stream: &mut Stream,
        memory: &mut [u32],
        code: &Code,
        constants: &Constants,
        observer: &mut O,
    ) -> Option<Trap> {
        let gate = &mut net.gates[self.index as usize];
        if gate.end_stream() {
            stream.leave(self, code.threads, gate);
        }
        if std::mem::take(&mut self.behind) {
            self.catch_up(net.now, net, memory, code, constants);
        }
        let gate = &net.gates[self.index as usize];
        let (free, controls) = (gate.free_at <= net.now, gate.controls > 0);
        if self.effect.is_some() || self.ending != 0 {
            self.settle(net, code);
        }
        self.pass_marks(net.now, code, &memory[self.memory.sram()], observer);
        if controls {
            self.discard(net, code);
        }
        let trap = if free { self.step(net, memory, code, constants).err() } else { None };
        if self.task.is_none() {
            self.launch(net, memory, code, constants);
        }
        let next = self.next_visit(observer.active(), net, code);
        if next < u64::MAX {
            net.wake_pe(self.index, next.max(net.now + 1));
        }
        if self.running.is_power_of_two() && self.is_stream(net, code) {
            // A launch that ended before the wait for the operation began is none of the stream's.
            self.account(net.now, net, code);
            let op = self.ops[self.running.trailing_zeros() as usize].as_ref();
            let op = op.expect("a running operation");
            self.accounted = self.accounted.max(net.gates[self.index as usize].free_at);
            let since = (constants.has_data, self.accounted);
            *stream = Stream::enter(op, net, (self.memory, memory), since);
            net.gates[self.index as usize].streaming = true;
        }
        trap
    }

    /// Whether nothing can happen here but steps of the one running operation, up to its last one.
    /// What can come from outside is a control wavelet, which [`Stream::visit`] looks out for.
    fn is_stream(&self, net: &Net, code: &Code) -> bool {
        let quiet = self.effect.is_none() && self.ending == 0;
        // A main thread that waits for this very operation's microthread is quiet, too; one that
        // could do anything else is not, nor one that has not begun to wait (rule X-3).
        let main = if self.task.is_none() {
            let mut launching = 0;
            self.next_launch_at(net, code, &mut launching) == u64::MAX && launching == 0
        } else if self.running & 1 != 0 {
            true
        } else {
            match &code.program.instrs[usize::from(self.pc)] {
                Instr::Vector(v) => {
                    let free_at = net.gates[self.index as usize].free_at;
                    self.main_ready <= free_at.max(net.now) && self.micro_busy(v).is_some()
                }
                _ => false,
            }
        };
        quiet && main && net.gates[self.index as usize].controls == 0
    }

    /// Makes visible what has become visible (rules K-2, K-5, P-6). A visit is due at each cycle
    /// at which an effect becomes visible, so all of these are of this cycle.
    fn settle(&mut self, net: &Net, code: &Code) {
        let now = net.now;
        if self.main_ready <= now
            && let Some(effect) = self.effect.take()
        {
            self.account(self.main_ready, net, code);
            self.apply(effect);
        }
        for thread in bits(self.ending) {
            let op = self.ops[thread].as_ref().expect("an ending operation");
            let (complete, done) = (op.ready_at, op.done);
            if complete <= now {
                self.account(complete, net, code);
                self.ending &= !(1 << thread);
                match done {
                    OnDone::Nothing => {}
                    OnDone::Activate(task) => self.apply(Effect::Activate(task)),
                    OnDone::Unblock(task) => self.apply(Effect::Unblock(task)),
                }
            }
        }
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Activate(task) => self.activated |= 1 << task.0,
            Effect::Block(task) => self.blocked |= 1 << task.0,
            Effect::Unblock(task) => self.blocked &= !(1 << task.0),
        }
    }

    /// Whether the main thread has an instruction (rather than a fabric operation) before it.
    pub(super) fn main_at_instruction(&self) -> bool {
        self.task.is_some() && self.running & 1 == 0
    }

    /// Rule P-3: marks take no time.
    #[inline]
    fn pass_marks<O: Observer + ?Sized>(
        &mut self,
        now: u64,
        code: &Code,
        sram: &[u32],
        observer: &mut O,
    ) {
        if !self.main_at_instruction() || self.main_ready > now {
            return;
        }
        while let Instr::Mark(mark) = code.program.instrs[usize::from(self.pc)] {
            observer.mark(Cycle(now), self.tile, mark, sram);
            self.pc += 1;
        }
    }

    /// Rule P-7.
    #[cold]
    fn discard(&mut self, net: &mut Net, code: &Code) {
        let now = net.tick();
        for rank in 0..code.ins {
            if code.control_tasks & 1 << rank != 0 {
                continue;
            }
            let fifo = self.ins + u32::from(rank);
            let head = net.fifos[fifo].head();
            if head.is_some_and(|h| h.is_control() && h.arrival <= now) {
                self.account(net.now, net, code);
                take_input(net, fifo, &mut self.counters);
                net.gates[self.index as usize].controls -= 1;
                net.activity = net.activity.max(net.now + 1);
            }
        }
    }
}

/// Takes the head of an input queue.
#[inline]
pub(super) fn take_input(net: &mut Net, fifo: u32, counters: &mut PeCounters) {
    if net.watched {
        net.note_head(fifo, Noted::Take);
    }
    net.pop(fifo);
    let next = net.tick() + 1;
    net.fifos[fifo].hold_head(next);
    counters.wavelets_in += 1;
}
