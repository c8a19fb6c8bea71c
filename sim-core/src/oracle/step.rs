//! What a step of the datapath does: rules P-3 to P-6, P-8, K-4.

use super::fifo::{Clock, Wavelet};
use super::pe::{Effect, Op, Pe, Running, elements_per_step};
use crate::observe::What;
use crate::run::{FinalState, PeCounters};
use fabric::Machine;
use pe_isa::semantics::{Issued, PeMemory, execute, issue};
use pe_isa::void::{self, Draws, Registers};
use pe_isa::{
    AluOp, Cond, CostTable, Cycle, Cycles, Decider, Fault, Instr, Operand, Src, TaskId, Thread,
    Vector, Word,
};

/// What a step works on, besides the PE.
pub(super) struct Bench<'a> {
    pub(super) at: usize,
    pub(super) t: Cycle,
    pub(super) machine: &'a Machine,
    pub(super) state: &'a mut FinalState,
    pub(super) clock: &'a mut Clock,
}

impl Bench<'_> {
    fn memory(&mut self) -> PeMemory<'_> {
        PeMemory { sram: &mut self.state.sram[self.at], regs: &mut self.state.regs[self.at] }
    }

    /// D-1: the void registers; none with data.
    fn void(&self) -> u32 {
        self.state.void.get(self.at).copied().unwrap_or(0)
    }

    fn reg(&self, reg: pe_isa::Reg) -> Word {
        let at = usize::from(reg.0);
        Word { bits: self.state.regs[self.at][at], void: self.void() >> at & 1 != 0 }
    }

    fn set(&mut self, reg: pe_isa::Reg, word: Word) {
        let bits = &mut self.state.regs[self.at];
        match self.state.void.get_mut(self.at) {
            Some(void) => Registers { bits, void }.set(reg, word),
            None => bits[usize::from(reg.0)] = word.bits,
        }
    }

    fn src(&self, src: Src) -> Word {
        match src {
            Src::Reg(reg) => self.reg(reg),
            Src::Imm(value) => Word::known(value),
        }
    }

    /// D-3: a word that decides, which stands in a register if it is void.
    fn decider(&self, src: Src, decider: fn(pe_isa::Reg) -> Decider) -> Result<u32, Fault> {
        match (src, self.src(src).bits()) {
            (_, Some(bits)) => Ok(bits),
            (Src::Reg(reg), None) => Err(Fault::Void(decider(reg))),
            (Src::Imm(value), None) => Ok(value),
        }
    }

    /// Elements `first .. first + count` of an operation.
    fn execute(
        &mut self,
        draws: &mut Option<Draws>,
        issued: &Issued,
        (first, count): (u32, u32),
        fabric: [Word; 2],
    ) -> Word {
        let Some(draws) = draws else {
            let [a, b] = fabric.map(|word| word.bits);
            return Word::known(execute(issued, &mut self.memory(), first, count, a, b));
        };
        let (bits, void) = (&mut self.state.regs[self.at], &mut self.state.void[self.at]);
        void::execute(issued, &mut Registers { bits, void }, draws, (first, count), fabric)
    }

    fn counters(&mut self) -> &mut PeCounters {
        &mut self.state.pes[self.at]
    }

    fn cost(&self) -> &CostTable {
        &self.machine.pe.cost
    }
}

impl Pe<'_> {
    /// Takes the step of `thread`. A fault leaves everything as it was (P-8), and comes with the
    /// instruction's index.
    pub(super) fn step(&mut self, thread: usize, bench: &mut Bench) -> Result<(), (u16, Fault)> {
        let threads = 1 + self.micro.len();
        let op_under_way = thread > 0 || self.main.as_ref().is_some_and(|r| r.op.is_some());
        let cost = if op_under_way {
            self.fabric_step(thread, bench)
        } else {
            let running = self.main.take().expect("the main thread's step needs a task");
            let mut next = running.clone();
            match self.instruction_step(&mut next, bench) {
                Ok(cost) => {
                    self.main = Some(next);
                    bench.counters().instructions += 1;
                    cost
                }
                Err(fault) => {
                    let pc = running.pc;
                    self.main = Some(running);
                    return Err((pc, fault));
                }
            }
        };
        // P-1, P-2
        self.free_from = bench.t + Cycles(cost);
        self.thread_cursor = (thread + 1) % threads;
        bench.counters().busy_cycles += cost;
        self.seen.push(What::Step { cycles: cost });
        bench.clock.activity(self.free_from); // E-1
        Ok(())
    }

    /// P-3: one instruction of the main thread. Returns its cost.
    fn instruction_step(&mut self, running: &mut Running, bench: &mut Bench) -> Result<u64, Fault> {
        let instr = self.instr(running.pc);
        let mut next = running.pc + 1;
        let k = match instr {
            Instr::Vector(vector) => {
                let (regs, void) = (&bench.state.regs[bench.at], bench.void());
                let issued = match self.draws {
                    None => issue(self.program, &vector, regs, self.sram_bytes)?,
                    Some(_) => void::issue(self.program, &vector, (regs, void), self.sram_bytes)?,
                };
                let operands = [vector.dst, vector.a, vector.b];
                if operands.iter().any(|o| o.is_fabric()) {
                    self.issue_fabric(running, vector, issued, bench);
                    return Ok(1); // P-4
                }
                self.run_in_memory(&issued, bench)
            }
            Instr::Branch { cond, ra, b, target } => {
                let [a, b] = [Src::Reg(ra), b].map(|src| bench.decider(src, Decider::Branch)); // D-3
                if holds(cond, a?, b?) {
                    next = target;
                    bench.cost().branch_taken_cycles
                } else {
                    bench.cost().branch_not_taken_cycles
                }
            }
            Instr::Jump { target } => {
                next = target;
                bench.cost().branch_taken_cycles
            }
            Instr::Alu { op, rd, ra, b } => {
                let result = void::alu(op, bench.reg(ra), bench.src(b))?;
                bench.set(rd, result);
                match op {
                    AluOp::Div | AluOp::Rem => bench.cost().recip_cycles,
                    _ => bench.cost().scalar_cycles,
                }
            }
            Instr::SendCtrl { queue, payload } => {
                let payload = Word::known(bench.decider(payload, Decider::Control)?); // D-3
                let wavelet = Wavelet { control: true, payload };
                let end = bench.t + Cycles(bench.cost().scalar_cycles);
                self.put(queue.0, end, wavelet, bench.clock); // F-5
                bench.counters().wavelets_out += 1;
                bench.cost().scalar_cycles
            }
            _ => {
                self.scalar_step(instr, running, bench);
                bench.cost().scalar_cycles
            }
        };
        running.pc = next;
        running.from = bench.t + Cycles(k);
        Ok(k)
    }

    /// P-3: the instructions that take `scalar_cycles` and do not fault.
    fn scalar_step(&mut self, instr: Instr, running: &mut Running, bench: &mut Bench) {
        let end = bench.t + Cycles(bench.cost().scalar_cycles);
        let task = |id: TaskId| usize::from(id.0);
        match instr {
            Instr::Li { rd, imm } => bench.set(rd, Word::known(imm)),
            Instr::SelGt { rd, rs, ra, rb } => {
                let [a, b, taken, kept] = [ra, rb, rs, rd].map(|reg| bench.reg(reg));
                bench.set(rd, void::select(a, b, taken, kept));
            }
            // K-2
            Instr::Activate(id) => self.effect = Some((end, Effect::Activate(task(id)))),
            Instr::Block(id) => self.effect = Some((end, Effect::Block(task(id)))),
            Instr::Unblock(id) => self.effect = Some((end, Effect::Unblock(task(id)))),
            Instr::End => running.ends = Some(end), // K-4
            _ => unreachable!("marks are passed, the others are not scalar"),
        }
    }

    /// P-4: starts an operation with a fabric operand.
    fn issue_fabric(
        &mut self,
        running: &mut Running,
        vector: Vector,
        issued: Issued,
        bench: &mut Bench,
    ) {
        let t = bench.t;
        let dispatched = Cycle((t.0 + bench.machine.pe.dispatch_cycles).saturating_sub(1));
        let from = dispatched.max(t + Cycles(1));
        let empty = issued.total == 0;
        if empty {
            bench.clock.activity(from); // P-6, E-1
        }
        bench.clock.timer(from);
        let op = Op {
            vector,
            issued,
            instruction: running.pc,
            done: 0,
            from,
            complete: empty.then_some(from), // P-6
        };
        match vector.thread {
            Thread::Main if empty => {
                running.pc += 1;
                running.from = from;
            }
            Thread::Main => running.op = Some(op),
            Thread::Micro(u, _) => {
                self.micro[usize::from(u)] = Some(op);
                running.pc += 1;
                running.from = t + Cycles(1);
            }
        }
    }

    /// P-5, P-6: the next step of a fabric operation. Returns its cost.
    fn fabric_step(&mut self, thread: usize, bench: &mut Bench) -> u64 {
        let t = bench.t;
        let mut op = if thread == 0 {
            self.main.as_mut().and_then(|running| running.op.take())
        } else {
            self.micro[thread - 1].take()
        }
        .expect("the thread has an operation");
        let mut payloads = [Word::default(); 2];
        for (payload, source) in payloads.iter_mut().zip([op.vector.a, op.vector.b]) {
            if let Operand::FabIn(queue, _) = source {
                *payload = self.take(queue.0, t, bench.clock).payload;
                bench.counters().wavelets_in += 1;
            }
        }
        let count = elements_per_step(&op.vector).min(op.issued.total - op.done);
        let payload = bench.execute(&mut self.draws, &op.issued, (op.done, count), payloads);
        let k = bench.cost().step_cycles(&op.issued, count);
        let end = t + Cycles(k);
        if let Operand::FabOut(queue, _) = op.vector.dst {
            let wavelet = Wavelet { control: false, payload };
            self.put(queue.0, end, wavelet, bench.clock); // F-5
            bench.counters().wavelets_out += 1;
        }
        bench.counters().fabric_steps += 1;
        op.done += count;
        op.from = end;
        let complete = op.done == op.issued.total;
        op.complete = complete.then_some(end); // P-6
        if thread > 0 {
            self.micro[thread - 1] = Some(op);
        } else if let Some(running) = self.main.as_mut() {
            if complete {
                running.pc += 1;
                running.from = end;
            } else {
                running.op = Some(op);
            }
        }
        k
    }

    /// A memory-only operation, element by element (N-3). Returns its cost (C-1).
    fn run_in_memory(&mut self, issued: &Issued, bench: &mut Bench) -> u64 {
        for element in 0..issued.total {
            bench.execute(&mut self.draws, issued, (element, 1), [Word::default(); 2]);
        }
        bench.cost().memory_cycles(issued)
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
