//! PEs: queues, tasks and threads; rules P, K, R. What a step does is in `step.rs`.

use super::fifo::{Clock, Fifo, Wavelet};
use crate::observe::What;
use crate::run::{Data, FinalState, WaitFor};
use fabric::{PeIdx, WaferImage};
use pe_isa::semantics::Issued;
use pe_isa::void::{Draws, Registers};
use pe_isa::{
    Color, Cycle, Cycles, Instr, OnDone, Operand, Program, Task, TaskKind, Thread, VecOp, Vector,
};

/// A fabric operation under way (P-4 to P-6).
#[derive(Debug, Clone)]
pub(super) struct Op {
    pub(super) vector: Vector,
    pub(super) issued: Issued,
    /// Index of its instruction.
    pub(super) instruction: u16,
    /// Elements done.
    pub(super) done: u32,
    /// Cycle from which the next step can be taken.
    pub(super) from: Cycle,
    /// P-6: cycle at which it is complete, once known.
    pub(super) complete: Option<Cycle>,
}

/// The task of the main thread.
#[derive(Debug, Clone)]
pub(super) struct Running {
    /// Index of the next instruction, or of the operation under way.
    pub(super) pc: u16,
    /// Cycle from which that instruction is ready: its predecessor is complete then.
    pub(super) from: Cycle,
    /// The fabric operation that the thread waits for.
    pub(super) op: Option<Op>,
    /// K-4: `end` was taken, and frees the thread at this cycle.
    pub(super) ends: Option<Cycle>,
}

/// K-2: what a step does to a task.
#[derive(Debug, Clone, Copy)]
pub(super) enum Effect {
    Activate(usize),
    Block(usize),
    Unblock(usize),
}

/// One PE that has a program. Its SRAM, registers and counters are in [`FinalState`].
#[derive(Debug)]
pub(super) struct Pe<'a> {
    pub(super) program: &'a Program,
    pub(super) sram_bytes: u32,
    inputs: Vec<Option<Fifo>>,
    outputs: Vec<Option<Fifo>>,
    /// K-2: activated and blocked, by task.
    activated: Vec<bool>,
    blocked: Vec<bool>,
    pub(super) main: Option<Running>,
    pub(super) micro: Vec<Option<Op>>,
    /// K-2: what the main thread's last step does to a task, and when.
    pub(super) effect: Option<(Cycle, Effect)>,
    /// P-1: the datapath is free from this cycle on.
    pub(super) free_from: Cycle,
    /// P-2: 0 is main, `1 + u` is microthread `u`.
    pub(super) thread_cursor: usize,
    /// K-3.
    launch_from: Cycle,
    ///
    queue_cursor: usize,
    /// D-4; none with data.
    pub(super) draws: Option<Draws>,
    /// What it did in this cycle, for observers.
    pub(super) seen: Vec<What>,
}

/// What a PE does in one cycle.
#[derive(Debug, Default)]
pub(super) struct Acts {
    /// P-2: the thread that takes its step.
    pub(super) step: Option<usize>,
    /// K-1: the task that is launched.
    launch: Option<usize>,
    /// P-7: the input queues whose control wavelet is discarded.
    discards: Vec<usize>,
    /// the output queue that sends.
    pub(super) send: Option<usize>,
}

/// Where a thread stands that has something to do.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) instruction: u16,
    /// Cycle from which it could take its step, were the condition met and the datapath free.
    pub(super) since: Cycle,
    /// The first condition that is not met.
    pub(super) unmet: Option<WaitFor>,
}

impl Acts {
    pub(super) fn is_nothing(&self) -> bool {
        self.step.is_none()
            && self.launch.is_none()
            && self.discards.is_empty()
            && self.send.is_none()
    }
}

impl<'a> Pe<'a> {
    /// The PE of a tile at cycle 0; `None` where the tile has no program.
    pub(super) fn new(image: &'a WaferImage, at: usize, data: Data) -> Option<Pe<'a>> {
        let place = image.coord(PeIdx(at as u32));
        let program = image.program(fabric::PeIdx(at as u32))?;
        let pe = &image.machine.pe;
        let input = |(q, color): (usize, &Option<Color>)| {
            let capacity = u64::from(pe.input_queues[q]) + pe.ramp_cycles; // F-4
            color.map(|c| Fifo::new(c, capacity, pe.ramp_cycles, 1))
        };
        let output = |(q, color): (usize, &Option<Color>)| {
            color.map(|c| Fifo::new(c, pe.output_queues[q].into(), 0, 1)) // F-5
        };
        Some(Pe {
            program,
            sram_bytes: image.tiles[at].sram_bytes,
            inputs: program.in_queues.iter().enumerate().map(input).collect(),
            outputs: program.out_queues.iter().enumerate().map(output).collect(),
            activated: program.tasks.iter().map(|t| t.activated).collect(),
            blocked: program.tasks.iter().map(|t| t.blocked).collect(),
            main: None,
            micro: vec![None; usize::from(pe.microthreads)],
            effect: None,
            free_from: Cycle::ZERO,
            thread_cursor: 0,
            launch_from: Cycle::ZERO,
            queue_cursor: 0,
            draws: match data {
                Data::Full => None,
                Data::None { seed } => Some(Draws::new(seed, (place.x, place.y))),
            },
            seen: Vec::new(),
        })
    }

    pub(super) fn input(&mut self, queue: u8) -> &mut Fifo {
        let fifo = self.inputs[usize::from(queue)].as_mut();
        fifo.expect("checked: the queue is bound")
    }

    /// Takes the head of an input queue at `t`.
    pub(super) fn take(&mut self, queue: u8, t: Cycle, clock: &mut Clock) -> Wavelet {
        let fifo = self.input(queue);
        let (wavelet, color) = (fifo.pop(t, clock), fifo.color);
        self.seen.push(What::Take { wavelet: wavelet.of(color) });
        wavelet
    }

    /// F-5: puts a wavelet into an output queue, which it can leave from `leaves` on.
    pub(super) fn put(&mut self, queue: u8, leaves: Cycle, wavelet: Wavelet, clock: &mut Clock) {
        let fifo = self.outputs[usize::from(queue)].as_mut();
        let fifo = fifo.expect("checked: the queue is bound");
        fifo.push_from(leaves, wavelet, clock);
        self.seen.push(What::Put { wavelet: wavelet.of(fifo.color), leaves });
    }

    pub(super) fn bound_inputs(&self) -> impl Iterator<Item = &Fifo> {
        self.inputs.iter().flatten()
    }

    pub(super) fn bound_outputs(&self) -> impl Iterator<Item = &Fifo> {
        self.outputs.iter().flatten()
    }

    pub(super) fn instr(&self, pc: u16) -> Instr {
        self.program.instrs[usize::from(pc)]
    }

    /// Makes visible what becomes visible at `t` (K-2, K-4, K-5, P-6).
    pub(super) fn settle(&mut self, t: Cycle) {
        if let Some((_, effect)) = self.effect.take_if(|(at, _)| *at <= t) {
            self.affect(effect); // K-5: main thread first
        }
        for u in 0..self.micro.len() {
            let complete = |op: &mut Op| op.complete.is_some_and(|at| at <= t);
            let Some(op) = self.micro[u].take_if(complete) else {
                continue;
            };
            match op.vector.thread {
                Thread::Micro(_, OnDone::Activate(task)) => {
                    self.affect(Effect::Activate(usize::from(task.0)));
                }
                Thread::Micro(_, OnDone::Unblock(task)) => {
                    self.affect(Effect::Unblock(usize::from(task.0)));
                }
                Thread::Micro(_, OnDone::Nothing) | Thread::Main => {}
            }
        }
        let ended = |r: &mut Running| r.ends.is_some_and(|at| at <= t);
        self.main.take_if(ended); // K-4
    }

    fn affect(&mut self, effect: Effect) {
        match effect {
            Effect::Activate(task) => self.activated[task] = true,
            Effect::Block(task) => self.blocked[task] = true,
            Effect::Unblock(task) => self.blocked[task] = false,
        }
    }

    /// P-3: the mark that the main thread has reached at `t`, if it has; it is passed.
    pub(super) fn pass_mark(&mut self, t: Cycle) -> Option<u16> {
        let program = self.program;
        let running = self.main.as_mut()?;
        if running.op.is_some() || running.ends.is_some() || running.from > t {
            return None;
        }
        let Instr::Mark(mark) = program.instrs[usize::from(running.pc)] else {
            return None;
        };
        running.pc += 1;
        Some(mark)
    }

    /// Where a thread stands; `None` for one that has nothing to do.
    pub(super) fn waiting(&self, thread: usize, t: Cycle) -> Option<Waiting> {
        let op = if thread == 0 {
            let running = self.main.as_ref().filter(|r| r.ends.is_none())?;
            let Some(op) = &running.op else {
                return Some(Waiting {
                    instruction: running.pc,
                    since: running.from,
                    unmet: self.unmet_by_instr(&self.instr(running.pc), t),
                });
            };
            op
        } else {
            let op = self.micro[thread - 1].as_ref();
            op.filter(|op| op.complete.is_none())?
        };
        Some(Waiting {
            instruction: op.instruction,
            since: op.from,
            unmet: self.unmet_by_op(op, t),
        })
    }

    /// P-3, P-4: what an instruction that is no fabric step waits for.
    fn unmet_by_instr(&self, instr: &Instr, t: Cycle) -> Option<WaitFor> {
        match *instr {
            Instr::SendCtrl { queue, .. } => self.unmet_output(queue.0, t),
            Instr::Vector(v) => match v.thread {
                Thread::Micro(u, _) if self.micro[usize::from(u)].is_some() => {
                    Some(WaitFor::Microthread(u))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// P-5: what the next step of an operation waits for.
    fn unmet_by_op(&self, op: &Op, t: Cycle) -> Option<WaitFor> {
        for source in [op.vector.a, op.vector.b] {
            let Operand::FabIn(queue, _) = source else {
                continue;
            };
            let fifo = self.inputs[usize::from(queue.0)].as_ref()?;
            if fifo.head(t).is_none_or(|(_, wavelet)| wavelet.control) {
                return Some(WaitFor::Input(fifo.color));
            }
        }
        match op.vector.dst {
            Operand::FabOut(queue, _) => self.unmet_output(queue.0, t),
            _ => None,
        }
    }

    fn unmet_output(&self, queue: u8, t: Cycle) -> Option<WaitFor> {
        let fifo = self.outputs[usize::from(queue)].as_ref()?;
        (!fifo.has_slot(t)).then_some(WaitFor::Output(fifo.color))
    }

    /// All that the PE does in cycle `t`; `has_slot` looks at the up FIFO of a color.
    pub(super) fn decide(&self, t: Cycle, has_slot: impl Fn(Color) -> bool) -> Acts {
        Acts {
            step: self.decide_step(t),
            launch: self.decide_launch(t),
            discards: self.decide_discards(t),
            send: self.decide_send(t, has_slot),
        }
    }

    /// P-2: the first ready thread from the cursor on.
    fn decide_step(&self, t: Cycle) -> Option<usize> {
        if self.free_from > t {
            return None; // P-1
        }
        let threads = 1 + self.micro.len();
        let mut order = (0..threads).map(|k| (self.thread_cursor + k) % threads);
        order.find(|&thread| {
            let waiting = self.waiting(thread, t);
            waiting.is_some_and(|w| w.since <= t && w.unmet.is_none())
        })
    }

    /// K-1: the ready task of lowest priority number, then lowest index.
    fn decide_launch(&self, t: Cycle) -> Option<usize> {
        if self.main.is_some() || t < self.launch_from {
            return None;
        }
        let first = self.ready_tasks(t).min_by_key(|(at, task)| (task.priority, *at));
        first.map(|(at, _)| at)
    }

    /// K-2.
    fn ready_tasks(&self, t: Cycle) -> impl Iterator<Item = (usize, &Task)> {
        let tasks = self.program.tasks.iter().enumerate();
        tasks.filter(move |(at, task)| !self.blocked[*at] && self.has_cause(*at, task, t))
    }

    pub(super) fn some_task_is_ready(&self, t: Cycle) -> bool {
        self.ready_tasks(t).next().is_some()
    }

    /// K-2, but for being blocked.
    fn has_cause(&self, at: usize, task: &Task, t: Cycle) -> bool {
        let head_is = |queue: u8, control: bool| {
            let fifo = self.inputs[usize::from(queue)].as_ref();
            let head = fifo.and_then(|fifo| fifo.head(t));
            head.is_some_and(|(_, wavelet)| wavelet.control == control)
        };
        match task.kind {
            TaskKind::Local => self.activated[at],
            TaskKind::Data(queue, _) => head_is(queue.0, false),
            TaskKind::Control(queue, _) => head_is(queue.0, true),
        }
    }

    /// P-7: input queues with a control wavelet at the head that no task will take.
    fn decide_discards(&self, t: Cycle) -> Vec<usize> {
        let control = |at: usize| {
            let fifo = self.inputs[at].as_ref();
            let head = fifo.and_then(|fifo| fifo.head(t));
            head.is_some_and(|(_, wavelet)| wavelet.control)
        };
        let has_task = |at: usize| {
            let mut tasks = self.program.tasks.iter();
            tasks.any(|task| matches!(task.kind, TaskKind::Control(q, _) if usize::from(q.0) == at))
        };
        let queues = 0..self.inputs.len();
        queues.filter(|&at| control(at) && !has_task(at)).collect()
    }

    /// the first queue from the cursor on that can send.
    fn decide_send(&self, t: Cycle, has_slot: impl Fn(Color) -> bool) -> Option<usize> {
        let queues = self.outputs.len();
        let mut order = (0..queues).map(|k| (self.queue_cursor + k) % queues);
        order.find(|&at| {
            let fifo = self.outputs[at].as_ref();
            fifo.is_some_and(|fifo| fifo.head(t).is_some() && has_slot(fifo.color))
        })
    }

    /// the head of an output queue goes up; returns its color too.
    pub(super) fn send(&mut self, queue: usize, t: Cycle, clock: &mut Clock) -> (Color, Wavelet) {
        self.queue_cursor = (queue + 1) % self.outputs.len();
        let fifo = self.outputs[queue].as_mut().expect("a decision saw a queue");
        let (wavelet, color) = (fifo.pop(t, clock), fifo.color);
        self.seen.push(What::Rise { wavelet: wavelet.of(color) });
        (color, wavelet)
    }

    /// P-7 and K-3, after the step of the same cycle.
    pub(super) fn discard_and_launch(
        &mut self,
        acts: &Acts,
        (at, t): (usize, Cycle),
        machine: &fabric::Machine,
        (state, clock): (&mut FinalState, &mut Clock),
    ) {
        for &queue in &acts.discards {
            self.take(queue as u8, t, clock);
            state.pes[at].wavelets_in += 1;
            clock.activity(t + Cycles(1)); // E-1
        }
        let Some(launched) = acts.launch else { return };
        let task = self.program.tasks[launched];
        match task.kind {
            TaskKind::Local => self.activated[launched] = false,
            TaskKind::Data(queue, reg) | TaskKind::Control(queue, reg) => {
                let payload = self.take(queue.0, t, clock).payload;
                match state.void.get_mut(at) {
                    Some(void) => Registers { bits: &mut state.regs[at], void }.set(reg, payload),
                    None => state.regs[at][usize::from(reg.0)] = payload.bits,
                }
                state.pes[at].wavelets_in += 1;
            }
        }
        state.pes[at].launches += 1;
        let from = t + Cycles(machine.pe.task_launch_cycles);
        clock.activity(from); // E-1
        if matches!(task.kind, TaskKind::Data(..)) {
            self.launch_from = t + Cycles(machine.pe.data_task_cycles);
            clock.timer(self.launch_from);
        }
        self.main = Some(Running { pc: task.entry, from, op: None, ends: None });
    }
}

/// Elements that one wavelet of the operation carries (P-5, N-7).
pub(super) fn elements_per_step(vector: &Vector) -> u32 {
    let operands = [vector.dst, vector.a, vector.b];
    let lanes = operands.iter().find_map(|o| match o {
        Operand::FabIn(_, t) | Operand::FabOut(_, t) => Some(t.lanes()),
        _ => None,
    });
    debug_assert!(vector.op != VecOp::Fmac || !matches!(vector.dst, Operand::FabOut(..)));
    lanes.expect("a fabric operation has a queue")
}
