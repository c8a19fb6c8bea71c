//! The steps of a PE: launches, instructions and fabric steps.

use super::code::{Code, Constants, Prepared, Work, full_wavelet, is_fabric};
use super::fifo::{Marks, Room};
use super::net::Net;
use super::pe::{Effect, NONE, Op, Pe, Trap, take_input};
use super::watch::Noted;
use pe_isa::semantics::{self, Issued, Place};
use pe_isa::void::{self, Registers};
use pe_isa::{
    AluOp, Cond, Decider, Fault, Instr, OnDone, Operand, Reg, Src, TaskId, TaskKind, Thread, VecOp,
    Vector, Word,
};

impl Pe {
    /// Rule P-2: the first ready thread from the cursor on takes its step.
    #[inline]
    pub(super) fn step(
        &mut self,
        net: &mut Net,
        memory: &mut [u32],
        code: &Code,
        constants: &Constants,
    ) -> Result<(), Trap> {
        let cursor = usize::from(self.cursor);
        let mut thread = cursor;
        loop {
            if self.is_ready(thread, net, code) {
                self.account(net.now, net, code);
                let cost = if self.running >> thread & 1 != 0 {
                    match constants.has_data {
                        true => self.fabric_step::<true>(thread, net, memory, constants),
                        false => self.fabric_step::<false>(thread, net, memory, constants),
                    }
                } else {
                    self.instruction(net.now, net, memory, code, constants)
                        .map_err(|fault| Trap { pe: self.tile, instruction: self.pc, fault })?
                };
                if net.watched {
                    net.note(self.index, Noted::Step(cost), 0, Marks::PLAIN);
                }
                self.hold(thread, net.now, cost, net, code);
                return Ok(());
            }
            thread += 1;
            if thread == code.threads {
                thread = 0;
            }
            if thread == cursor {
                return Ok(());
            }
        }
    }

    /// A step that `thread` takes at `now` holds the datapath (rules P-1, P-2).
    #[inline(always)]
    pub(super) fn hold(&mut self, thread: usize, now: u64, cost: u64, net: &mut Net, code: &Code) {
        self.counters.busy_cycles += cost;
        let end = now + cost;
        net.gates[self.index as usize].free_at = end;
        net.activity = net.activity.max(end);
        self.cursor = if thread + 1 == code.threads { 0 } else { thread as u8 + 1 };
    }

    #[inline]
    fn is_ready(&self, thread: usize, net: &Net, code: &Code) -> bool {
        if self.running >> thread & 1 != 0 {
            let op = self.ops[thread].as_ref().expect("a running operation");
            return step_is_ready(op, net);
        }
        if thread != 0 || self.task.is_none() || self.main_ready > net.now {
            return false;
        }
        match &code.program.instrs[usize::from(self.pc)] {
            Instr::SendCtrl { queue, .. } => {
                let fifo = self.outs + u32::from(code.out_rank[usize::from(queue.0)]);
                has_room(net, fifo)
            }
            Instr::Vector(v) => self.micro_busy(v).is_none(),
            _ => true,
        }
    }

    /// Rule P-5. Returns the cost.
    #[inline]
    fn fabric_step<const DATA: bool>(
        &mut self,
        thread: usize,
        net: &mut Net,
        memory: &mut [u32],
        constants: &Constants,
    ) -> u64 {
        let op = self.ops[thread].as_mut().expect("a running operation");
        let count = op.lanes.min(op.issued.total - op.next);
        let (mut payloads, mut marks) = ([0u32; 2], [Marks::PLAIN; 2]);
        for (at, fifo) in [op.a, op.b].into_iter().enumerate() {
            if fifo != NONE {
                let head = net.fifos[fifo].head().expect("a ready step");
                (payloads[at], marks[at]) = (head.payload, head.marks);
                take_input(net, fifo, &mut self.counters);
            }
        }
        let (out, marks) = if DATA {
            let ([a, b], memory) = (payloads, &mut self.memory.of(memory));
            (semantics::execute(&op.issued, memory, op.next, count, a, b), Marks::PLAIN)
        } else {
            let (bits, void) = (&mut memory[self.memory.regs()], &mut self.void);
            let regs = &mut Registers { bits, void };
            let words = [marks[0].word(payloads[0]), marks[1].word(payloads[1])];
            let out = void::execute(&op.issued, regs, &mut self.draws, (op.next, count), words);
            (out.bits, Marks::of(out))
        };
        let cost = if count == op.lanes {
            op.step_cycles
        } else {
            constants.cost.step_cycles(&op.issued, count)
        };
        let end = net.now + cost;
        if op.dst != NONE {
            self.counters.wavelets_out += 1;
            let up = net.fifos[op.dst].up();
            net.enqueue(self.index, op.dst, up, end, out, marks);
        }
        self.counters.fabric_steps += 1;
        op.next += count;
        op.ready_at = end;
        if op.next == op.issued.total {
            self.complete(thread, end);
        }
        cost
    }

    /// Rule P-6: the operation of `thread` is complete at `end`.
    pub(super) fn complete(&mut self, thread: usize, end: u64) {
        self.running &= !(1 << thread);
        if thread == 0 {
            self.pc += 1;
            self.main_ready = end;
        } else {
            self.ending |= 1 << thread;
        }
    }

    /// Carries out the main thread's instruction, at `now` (rule P-3), and returns its cost. Changes nothing
    /// when it faults (rule P-8).
    pub(super) fn instruction(
        &mut self,
        now: u64,
        net: &mut Net,
        memory: &mut [u32],
        code: &Code,
        constants: &Constants,
    ) -> Result<u64, Fault> {
        let costs = &constants.cost;
        let scalar = costs.scalar_cycles;
        let mut next = self.pc + 1;
        let regs = &mut memory[self.memory.regs()];
        let cost = match code.program.instrs[usize::from(self.pc)] {
            Instr::Vector(v) => return self.vector(&v, now, net, memory, code, constants),
            Instr::Li { rd, imm } => {
                regs[usize::from(rd.0)] = imm;
                self.void &= !(1 << rd.0);
                scalar
            }
            Instr::Alu { op, rd, ra, b } => {
                if self.void == 0 {
                    let (a, b) = (regs[usize::from(ra.0)], value(b, regs));
                    regs[usize::from(rd.0)] = semantics::alu(op, a, b)?;
                } else {
                    alu(op, rd, (ra, b), Registers { bits: regs, void: &mut self.void })?;
                }
                match op {
                    AluOp::Div | AluOp::Rem => costs.recip_cycles,
                    _ => scalar,
                }
            }
            Instr::SelGt { rd, rs, ra, rb } => {
                let float = |r: pe_isa::Reg| f32::from_bits(regs[usize::from(r.0)]);
                if self.void != 0 {
                    select([ra, rb, rs, rd], Registers { bits: regs, void: &mut self.void });
                } else if float(ra) > float(rb) {
                    regs[usize::from(rd.0)] = regs[usize::from(rs.0)];
                }
                scalar
            }
            Instr::Branch { cond, ra, b, target } => {
                if self.void != 0 {
                    self.decides_branch(ra, b)?;
                }
                if holds(cond, regs[usize::from(ra.0)], value(b, regs)) {
                    next = target;
                    costs.branch_taken_cycles
                } else {
                    costs.branch_not_taken_cycles
                }
            }
            Instr::Jump { target } => {
                next = target;
                costs.branch_taken_cycles
            }
            Instr::SendCtrl { queue, payload } => {
                let fifo = self.outs + u32::from(code.out_rank[usize::from(queue.0)]);
                self.decides(payload, Decider::Control)?;
                let payload = value(payload, regs);
                self.counters.wavelets_out += 1;
                let up = net.fifos[fifo].up();
                net.enqueue(self.index, fifo, up, now + scalar, payload, Marks::CONTROL);
                scalar
            }
            Instr::Activate(task) => self.begin_effect(Effect::Activate(task), scalar),
            Instr::Block(task) => self.begin_effect(Effect::Block(task), scalar),
            Instr::Unblock(task) => self.begin_effect(Effect::Unblock(task), scalar),
            Instr::End => {
                self.task = None;
                self.next_launch = self.next_launch.max(now + scalar);
                scalar
            }
            Instr::Mark(_) => unreachable!("marks are passed before the step"),
        };
        self.counters.instructions += 1;
        self.pc = next;
        self.main_ready = now + cost;
        Ok(cost)
    }

    #[cold]
    fn decides_branch(&self, ra: Reg, b: Src) -> Result<(), Fault> {
        self.decides(Src::Reg(ra), Decider::Branch)?;
        self.decides(b, Decider::Branch)
    }

    /// Rule D-3.
    fn decides(&self, src: Src, decider: fn(Reg) -> Decider) -> Result<(), Fault> {
        match src {
            Src::Reg(reg) if self.void >> reg.0 & 1 != 0 => Err(Fault::Void(decider(reg))),
            _ => Ok(()),
        }
    }

    /// The effect of a step of this cost is visible when the main thread is ready again.
    fn begin_effect(&mut self, effect: Effect, cost: u64) -> u64 {
        debug_assert!(self.effect.is_none(), "one step at a time");
        self.effect = Some(effect);
        cost
    }

    /// A vector operation: carried out, or issued (rule P-4).
    fn vector(
        &mut self,
        v: &Vector,
        now: u64,
        net: &mut Net,
        memory: &mut [u32],
        code: &Code,
        constants: &Constants,
    ) -> Result<u64, Fault> {
        let prepared = match &code.prepared[usize::from(self.pc)] {
            Some(prepared) => prepared,
            None => &self.prepare(v, memory, code, constants)?,
        };
        if !is_fabric(v) {
            self.carry_out(prepared, now, memory);
            return Ok(prepared.cycles);
        }
        self.counters.instructions += 1;
        let pc = self.pc;
        let (thread, done) = match v.thread {
            Thread::Main => (0, OnDone::Nothing),
            Thread::Micro(u, done) => {
                self.pc += 1;
                self.main_ready = now + 1;
                (usize::from(u) + 1, done)
            }
        };
        let first = (now + 1).max(now + constants.dispatch_cycles - 1);
        let op = self.operation(v, prepared, code, first, done, pc);
        if self.ops.is_empty() {
            self.ops = vec![None; code.threads];
        }
        self.ops[thread] = Some(op);
        if prepared.issued.total == 0 {
            net.activity = net.activity.max(first);
            self.complete(thread, first);
        } else {
            self.running |= 1 << thread;
        }
        Ok(1)
    }

    /// Carries out a memory-only operation at `now`.
    #[inline(always)]
    pub(super) fn carry_out(&mut self, prepared: &Prepared, now: u64, memory: &mut [u32]) {
        match prepared.work {
            Work::Form(form) => form.execute(&prepared.issued, &mut self.memory.of(memory)),
            Work::Register => self.fill_register(&prepared.issued, memory),
        }
        self.counters.instructions += 1;
        self.pc += 1;
        self.main_ready = now + prepared.cycles;
    }

    /// Carries out a memory-only operation into a register without data. With a source in SRAM its last element tells all:
    /// what comes of it is void, and a search draws at its end (rules D-2, D-4).
    #[inline(never)]
    fn fill_register(&mut self, issued: &Issued, memory: &mut [u32]) {
        let in_sram = |place: &Place| matches!(place, Place::Mem { .. });
        let is_search = issued.op == VecOp::ArgMax;
        let is_void = in_sram(&issued.a) || in_sram(&issued.b) && !is_search;
        let first = if is_void { issued.total - 1 } else { 0 };
        let (bits, void) = (&mut memory[self.memory.regs()], &mut self.void);
        let elements = (first, issued.total - first);
        let regs = &mut Registers { bits, void };
        void::execute(issued, regs, &mut self.draws, elements, [Word::default(); 2]);
    }

    /// Reads sizes and offsets from the registers.
    fn prepare(
        &self,
        v: &Vector,
        memory: &[u32],
        code: &Code,
        constants: &Constants,
    ) -> Result<Prepared, Fault> {
        let (regs, sram_bytes) = (&memory[self.memory.regs()], self.sram_bytes);
        let issued = if constants.has_data {
            semantics::issue(&code.program, v, regs, sram_bytes)?
        } else {
            void::issue(&code.program, v, (regs, self.void), sram_bytes)?
        };
        Ok(Prepared::of(v, issued, constants))
    }

    fn operation(
        &self,
        v: &Vector,
        prepared: &Prepared,
        code: &Code,
        first: u64,
        done: OnDone,
        pc: u16,
    ) -> Op {
        let input = |operand| match operand {
            Operand::FabIn(q, _) => self.ins + u32::from(code.in_rank[usize::from(q.0)]),
            _ => NONE,
        };
        let dst = match v.dst {
            Operand::FabOut(q, _) => self.outs + u32::from(code.out_rank[usize::from(q.0)]),
            _ => NONE,
        };
        Op {
            next: 0,
            lanes: full_wavelet(&prepared.issued),
            step_cycles: prepared.cycles,
            a: input(v.a),
            b: input(v.b),
            dst,
            ready_at: first,
            done,
            pc,
            issued: prepared.issued,
        }
    }

    /// Rules K-1 to K-3.
    pub(super) fn launch(
        &mut self,
        net: &mut Net,
        memory: &mut [u32],
        code: &Code,
        constants: &Constants,
    ) {
        if net.now < self.next_launch {
            return;
        }
        let ready = |&&id: &&u8| self.task_is_ready(id, net, code);
        let Some(&id) = code.order.iter().find(ready) else {
            return;
        };
        self.account(net.now, net, code);
        let task = code.program.tasks[usize::from(id)];
        match task.kind {
            TaskKind::Local => self.activated &= !(1 << id),
            TaskKind::Data(queue, reg) | TaskKind::Control(queue, reg) => {
                let fifo = self.ins + u32::from(code.in_rank[usize::from(queue.0)]);
                let head = net.fifos[fifo].head().expect("a ready task");
                take_input(net, fifo, &mut self.counters);
                memory[self.memory.regs()][usize::from(reg.0)] = head.payload;
                if !constants.has_data {
                    let void = u32::from(head.marks.is_void());
                    self.void = (self.void & !(1 << reg.0)) | (void << reg.0);
                }
                net.gates[self.index as usize].controls -= u32::from(head.is_control());
            }
        }
        if matches!(task.kind, TaskKind::Data(..)) {
            self.next_launch = net.now + constants.data_task_cycles;
        }
        self.task = Some(TaskId(id));
        self.pc = task.entry;
        self.main_ready = net.now + constants.task_launch_cycles;
        self.counters.launches += 1;
        net.activity = net.activity.max(self.main_ready);
    }

    fn task_is_ready(&self, id: u8, net: &Net, code: &Code) -> bool {
        if self.blocked >> id & 1 != 0 {
            return false;
        }
        let (queue, control) = match code.program.tasks[usize::from(id)].kind {
            TaskKind::Local => return self.activated >> id & 1 != 0,
            TaskKind::Data(queue, _) => (queue, false),
            TaskKind::Control(queue, _) => (queue, true),
        };
        let fifo = self.ins + u32::from(code.in_rank[usize::from(queue.0)]);
        let head = net.fifos[fifo].head();
        head.is_some_and(|h| h.arrival <= net.tick() && h.is_control() == control)
    }
}

/// Rule P-5.
#[inline]
fn step_is_ready(op: &Op, net: &Net) -> bool {
    if op.ready_at > net.now {
        return false;
    }
    let here = |fifo: u32| {
        let head = net.fifos[fifo].head();
        head.is_some_and(|h| h.arrival <= net.tick() && !h.is_control())
    };
    (op.a == NONE || here(op.a))
        && (op.b == NONE || here(op.b))
        && (op.dst == NONE || has_room(net, op.dst))
}

#[inline]
fn has_room(net: &Net, fifo: u32) -> bool {
    matches!(net.fifos.room(fifo), Room::From(from) if from <= net.tick())
}

/// An integer instruction where some registers are void.
#[inline(never)]
fn alu(op: AluOp, rd: Reg, (ra, b): (Reg, Src), mut regs: Registers<'_>) -> Result<(), Fault> {
    let b = match b {
        Src::Reg(r) => regs.get(r),
        Src::Imm(value) => Word::known(value),
    };
    let result = void::alu(op, regs.get(ra), b)?;
    regs.set(rd, result);
    Ok(())
}

/// `selgt` where some registers are void: those compared, the one taken, the destination.
#[inline(never)]
fn select(four: [Reg; 4], mut regs: Registers<'_>) {
    let [a, b, taken, kept] = four.map(|reg| regs.get(reg));
    regs.set(four[3], void::select(a, b, taken, kept));
}

fn value(src: Src, regs: &[u32]) -> u32 {
    match src {
        Src::Reg(r) => regs[usize::from(r.0)],
        Src::Imm(value) => value,
    }
}

fn holds(cond: Cond, a: u32, b: u32) -> bool {
    match cond {
        Cond::Eq => a == b,
        Cond::Ne => a != b,
        Cond::Lt => a < b,
        Cond::Ge => a >= b,
    }
}
