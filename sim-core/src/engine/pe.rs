//! The state of a PE, and when something can happen in it next.

use super::fifo::Room;
use super::net::Net;
use super::stream::Stream;
use super::wheel::Actor;
use crate::run::{Observer, PeCounters};
use fabric::{Machine, PeIdx};
use pe_isa::semantics::{self, Issued, Place};
use pe_isa::{
    CostTable, Cycle, Fault, Instr, OnDone, Operand, Program, REGISTERS, TaskId, TaskKind, Thread,
    Vector,
};
use std::ops::Range;

/// No queue.
pub(super) const NONE: u32 = u32::MAX;

/// The constants of the machine that PEs step by.
#[derive(Debug, Clone)]
pub(super) struct Constants {
    pub(super) dispatch_cycles: u64,
    pub(super) task_launch_cycles: u64,
    pub(super) data_task_cycles: u64,
    pub(super) cost: CostTable,
}

impl Constants {
    pub(super) fn new(machine: &Machine) -> Constants {
        Constants {
            dispatch_cycles: machine.pe.dispatch_cycles,
            task_launch_cycles: machine.pe.task_launch_cycles,
            data_task_cycles: machine.pe.data_task_cycles,
            cost: machine.pe.cost,
        }
    }
}

/// A program and what follows from it.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub(super) program: Program,
    /// Rank of each input queue among the bound ones.
    pub(super) in_rank: Vec<u8>,
    /// Rank of each output queue among the bound ones.
    pub(super) out_rank: Vec<u8>,
    /// Bound input queues.
    pub(super) ins: u8,
    /// Bound output queues.
    pub(super) outs: u8,
    /// The tasks in the order in which they are picked (rule K-1).
    pub(super) order: Vec<u8>,
    /// The main thread and the microthreads that the program uses: the others are never ready, so
    /// that a cursor (rule P-2) may pass over them.
    pub(super) threads: usize,
    /// Input queues bound to a control task, by rank.
    pub(super) control_tasks: u32,
    /// For each instruction that is a vector operation, what is known of it without the registers.
    pub(super) prepared: Vec<Option<Prepared>>,
}

/// A vector operation issued ahead of time.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) issued: Issued,
    /// Cost if it is memory-only, else of a step with a full wavelet.
    pub(super) cycles: u64,
}

impl Prepared {
    /// Issues what no register decides; `sram_bytes` is the least of any PE with the program.
    fn new(
        program: &Program,
        instr: &Instr,
        sram_bytes: u32,
        cost: &CostTable,
    ) -> Option<Prepared> {
        let Instr::Vector(v) = instr else { return None };
        let issued = semantics::issue_static(program, v, sram_bytes)?;
        let cycles = if is_fabric(v) {
            cost.step_cycles(&issued, full_wavelet(&issued))
        } else {
            cost.memory_cycles(&issued)
        };
        Some(Prepared { issued, cycles })
    }
}

/// Elements that one wavelet of the operation carries.
pub(super) fn full_wavelet(issued: &Issued) -> u32 {
    let fabric = [&issued.dst, &issued.a, &issued.b].into_iter();
    let lanes = fabric.filter_map(|p| match p {
        Place::Fabric(t) => Some(t.lanes()),
        _ => None,
    });
    lanes.max().unwrap_or(1)
}

fn ranks(queues: &[Option<pe_isa::Color>]) -> (Vec<u8>, u8) {
    let mut bound = 0;
    let ranks = queues.iter().map(|q| {
        let rank = bound;
        bound += u8::from(q.is_some());
        rank
    });
    let ranks = ranks.collect();
    (ranks, bound)
}

impl Code {
    /// `sram_bytes` is the least SRAM of any PE with the program.
    pub(super) fn new(program: &Program, sram_bytes: u32, cost: &CostTable) -> Code {
        let (in_rank, ins) = ranks(&program.in_queues);
        let (out_rank, outs) = ranks(&program.out_queues);
        let mut order: Vec<u8> = (0..program.tasks.len() as u8).collect();
        order.sort_by_key(|&t| (program.tasks[usize::from(t)].priority, t));
        let micro = program.instrs.iter().map(|i| match i {
            Instr::Vector(Vector { thread: Thread::Micro(u, _), .. }) => usize::from(*u) + 1,
            _ => 0,
        });
        let threads = 1 + micro.max().unwrap_or(0);
        let mut control_tasks = 0;
        for task in &program.tasks {
            if let TaskKind::Control(q, _) = task.kind {
                control_tasks |= 1 << in_rank[usize::from(q.0)];
            }
        }
        let prepare = |i| Prepared::new(program, i, sram_bytes, cost);
        Code {
            prepared: program.instrs.iter().map(prepare).collect(),
            in_rank,
            out_rank,
            ins,
            outs,
            order,
            threads,
            control_tasks,
            program: program.clone(),
        }
    }
}

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
    /// The change by the main thread's last step that is not visible yet.
    pub(super) effect: Option<(u64, Effect)>,
    pub(super) activated: u64,
    pub(super) blocked: u64,
    /// Threads with an operation that has steps left; bit 0 is the main thread.
    pub(super) running: u64,
    /// Microthreads whose operation has taken its last step and is not complete yet.
    pub(super) ending: u64,
    /// The operations, by thread; meaningless where neither running nor ending.
    pub(super) ops: Vec<Option<Op>>,
    pub(super) regs: [u32; REGISTERS],
    /// Its part of the SRAM of all PEs, in words.
    pub(super) sram: Range<usize>,
    pub(super) counters: PeCounters,
}

/// An instruction that faulted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trap {
    pub(super) pe: PeIdx,
    pub(super) instruction: u16,
    pub(super) fault: Fault,
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
    /// A visit: all that this PE decides in the current cycle. Decisions read the state at the
    /// start of the cycle (rule T-1): what a step or a discard takes from a queue shows its next
    /// head one cycle later, and a launch writes its register after the step has read its own.
    pub(super) fn visit<O: Observer + ?Sized>(
        &mut self,
        net: &mut Net,
        stream: &mut Stream,
        sram: &mut [u32],
        code: &Code,
        constants: &Constants,
        observer: &mut O,
    ) -> Option<Trap> {
        let gate = &mut net.gates[self.index as usize];
        if gate.end_stream() {
            stream.leave(self, code.threads);
        }
        let (free, controls) = (gate.free_at <= net.now, gate.controls > 0);
        if self.effect.is_some() || self.ending != 0 {
            self.settle(net.now);
        }
        self.pass_marks(net.now, code, &sram[self.sram.clone()], observer);
        if controls {
            self.discard(net, code);
        }
        let trap = if free { self.step(net, sram, code, constants).err() } else { None };
        if self.task.is_none() {
            self.launch(net, code, constants);
        }
        let next = self.next_visit(net, code);
        if next < u64::MAX {
            net.wake_pe(self.index, next.max(net.now + 1));
        }
        if self.running.is_power_of_two() && self.is_stream(net, code) {
            let op = self.ops[self.running.trailing_zeros() as usize].as_ref();
            let op = op.expect("a running operation");
            *stream = Stream::enter(op, net, self.sram.start, &self.regs);
            net.gates[self.index as usize].streaming = true;
        }
        trap
    }

    /// Whether nothing can happen here but steps of the one running operation, up to its last one.
    /// What can come from outside is a control wavelet, which [`Stream::visit`] looks out for.
    fn is_stream(&self, net: &Net, code: &Code) -> bool {
        let quiet = self.effect.is_none() && self.ending == 0;
        // A main thread that waits for this very operation's microthread is quiet, too; one that
        // could do anything else is not.
        let main = if self.task.is_none() {
            let mut launching = 0;
            self.next_launch_at(net, code, &mut launching) == u64::MAX && launching == 0
        } else if self.running & 1 != 0 {
            true
        } else {
            match &code.program.instrs[usize::from(self.pc)] {
                Instr::Vector(v) => self.micro_busy(v).is_some(),
                _ => false,
            }
        };
        quiet && main && net.gates[self.index as usize].controls == 0
    }

    /// Makes visible what has become visible (rules K-2, K-5, P-6). A visit is due at each cycle
    /// at which an effect becomes visible, so all of these are of this cycle.
    fn settle(&mut self, now: u64) {
        if let Some((_, effect)) = self.effect.take_if(|(at, _)| *at <= now) {
            self.apply(effect);
        }
        for thread in bits(self.ending) {
            let op = self.ops[thread].as_ref().expect("an ending operation");
            if op.ready_at <= now {
                let done = op.done;
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
            if head.is_some_and(|h| h.control && h.arrival <= now) {
                take_input(net, fifo, &mut self.counters);
                net.gates[self.index as usize].controls -= 1;
                net.activity = net.activity.max(net.now + 1);
            }
        }
    }

    /// The first cycle at which something can happen here by what is known now, and, noted in
    /// `net`, the queues and FIFOs whose change would make it earlier.
    #[inline]
    fn next_visit(&self, net: &mut Net, code: &Code) -> u64 {
        let mut next = u64::MAX;
        let mut wanted = 0u32;
        let mut launching = 0u32;
        let free_at = net.gates[self.index as usize].free_at;
        if let Some((at, _)) = self.effect {
            next = next.min(at);
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
            next = next.min(self.next_instruction(net, code, free_at));
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
                Some(head) if head.control => when = u64::MAX,
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
    fn next_instruction(&self, net: &mut Net, code: &Code, free_at: u64) -> u64 {
        let when = self.main_ready.max(free_at);
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

    fn next_launch_at(&self, net: &Net, code: &Code, launching: &mut u32) -> u64 {
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
                Some(head) if head.control == control => {
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
        let controls = heads.filter(|head| head.control);
        controls.map(|head| net.cycle(head.arrival)).min().unwrap_or(u64::MAX)
    }
}

/// Whether an operation is issued rather than carried out at once (rule P-4).
#[inline]
pub(super) fn is_fabric(v: &Vector) -> bool {
    [v.dst, v.a, v.b].into_iter().any(Operand::is_fabric)
}

/// Takes the head of an input queue.
#[inline]
pub(super) fn take_input(net: &mut Net, fifo: u32, counters: &mut PeCounters) {
    net.pop(fifo);
    let next = net.tick() + 1;
    net.fifos[fifo].hold_head(next);
    counters.wavelets_in += 1;
}
