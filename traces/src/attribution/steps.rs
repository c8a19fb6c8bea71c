//! Why a PE did something when it did: the step before was over, the datapath was free, wavelets had come, there was room, a
//! task was ready.

use super::code;
use super::pe::{Main, Op, Visit};
use super::tree::{Category, Moment};
use super::{Attributor, Latest};
use fabric::PeIdx;
use pe_isa::{Instr, OnDone, Operand, Program, Reg, TaskId, TaskKind, Thread, Vector, Word};
use sim_core::Wavelet;

/// What takes a wavelet from an input queue.
enum Taker {
    /// The launch of a task (rule K-3), which puts it into a register.
    Task(TaskId, Reg),
    /// A step (rule P-5).
    Step,
    /// A discard (rule P-7).
    Nobody,
}

impl Taker {
    fn of(program: &Program, wavelet: &Wavelet) -> Taker {
        let bound = |kind: &TaskKind| match *kind {
            TaskKind::Data(queue, reg) if !wavelet.control => Some((queue, reg)),
            TaskKind::Control(queue, reg) if wavelet.control => Some((queue, reg)),
            _ => None,
        };
        let mut tasks = program.tasks.iter().enumerate();
        let task = tasks.find_map(|(at, task)| {
            let (queue, reg) = bound(&task.kind)?;
            let color = program.in_queues[usize::from(queue.0)];
            (color == Some(wavelet.color)).then_some((TaskId(at as u8), reg))
        });
        match task {
            Some((task, reg)) => Taker::Task(task, reg),
            None if wavelet.control => Taker::Nobody,
            None => Taker::Step,
        }
    }
}

impl<'a> Attributor<'a> {
    /// All of a PE's cycle is told.
    pub(super) fn end_visit(&mut self) {
        let (tile, visit) = std::mem::replace(&mut self.visit, (PeIdx(u32::MAX), Visit::default()));
        let Visit { cycle, step, put, taken } = visit;
        if step.is_none() && taken.is_empty() {
            return;
        }
        let program = self.program(tile);
        let (mut operands, mut others) = (Vec::new(), Vec::new());
        for wavelet in taken {
            match Taker::of(program, &wavelet) {
                Taker::Step => operands.push(wavelet),
                taker => others.push((taker, wavelet)),
            }
        }
        match step {
            Some(cost) if !operands.is_empty() || put.is_some_and(|put| !put.control) => {
                self.fabric_step((cycle.0, cost), tile, &operands, put);
            }
            Some(cost) => self.main_step((cycle.0, cost), tile, put),
            None => {}
        }
        for (taker, wavelet) in others {
            self.launch_or_discard(cycle.0, tile, taker, wavelet);
        }
    }

    fn program(&self, tile: PeIdx) -> &'a Program {
        self.codes[self.pes[self.pe_at(tile)].code as usize].program
    }

    fn pe_at(&self, tile: PeIdx) -> usize {
        self.pe_at[tile.0 as usize] as usize
    }

    /// The main thread has come to an instruction, which may be the first one of a task.
    pub(super) fn reach(&mut self, cycle: u64, tile: PeIdx, pc: u16) {
        let at = self.pe_at(tile);
        let place = (Category::Launch, self.place(tile, pc));
        match self.pes[at].main {
            Main::At(_) => {
                // The end of an operation whose size is not known.
                let pe = &mut self.pes[at];
                if let Some(op) = pe.ops[0].as_mut().filter(|op| !op.is_complete) {
                    op.is_complete = true;
                    pe.ready = op.ready;
                }
            }
            Main::Launched(launch) => {
                self.pes[at].ready = self.tree.extend_at(launch, place, cycle);
            }
            Main::Idle => {
                let launch = cycle.saturating_sub(self.image.machine.pe.task_launch_cycles);
                let launched = self.launch_local(launch, at, pc);
                let launched = self.tree.extend_at(launched, place, cycle);
                self.pes[at].ready = launched;
            }
        }
        self.pes[at].main = Main::At(pc);
    }

    /// The launch of the local task that begins at `pc` (rules K-1 to K-3).
    fn launch_local(&mut self, launch: u64, at: usize, pc: u16) -> Moment {
        let pe = &mut self.pes[at];
        let found = pe.launch_local(&self.codes[pe.code as usize], pc);
        let (task, activated) = found.unwrap_or((usize::MAX, pe.ended));
        let mut latest = Latest::new(launch, activated.cycle, activated, Category::Launch);
        self.offer_launch(&mut latest, at, task);
        self.unexplained += latest.rest();
        latest.end(&mut self.tree, Category::Launch)
    }

    /// What every launch of task `task` waits for.
    fn offer_launch(&self, latest: &mut Latest, at: usize, task: usize) {
        let pe = &self.pes[at];
        latest.offer(pe.ended.cycle, pe.ended, Category::Launch);
        if let Some(launch) = pe.data_launch {
            let due = launch.cycle + self.image.machine.pe.data_task_cycles;
            latest.offer(due, launch, Category::Launch);
        }
        if let Some(unblocked) = pe.unblocked.get(task) {
            latest.offer(unblocked.cycle, *unblocked, Category::Launch);
        }
    }

    /// Rules K-3, P-7.
    fn launch_or_discard(&mut self, t: u64, tile: PeIdx, taker: Taker, wavelet: Wavelet) {
        let at = self.pe_at(tile);
        let Some(site) = self.sites.input(tile, wavelet.color) else { return };
        let Some(sent) = self.fifos[site.fifo as usize].head() else { return };
        let due = sent.cycle + self.image.machine.pe.ramp_cycles;
        let mut latest = Latest::new(t, due, sent, Category::Wire);
        if let Taker::Task(task, _) = taker {
            self.offer_launch(&mut latest, at, usize::from(task.0));
            self.unexplained += latest.rest();
        }
        let taken = latest.end(&mut self.tree, Category::Queue);
        self.fifos[site.fifo as usize].leave(taken);
        let Taker::Task(task, reg) = taker else { return };
        let kind = self.program(tile).tasks[usize::from(task.0)].kind;
        let pe = &mut self.pes[at];
        pe.registers().set(reg, word(&wavelet));
        pe.main = Main::Launched(taken);
        if matches!(kind, TaskKind::Data(..)) {
            pe.data_launch = Some(taken);
        }
    }

    /// A step of the main thread that takes nothing (rules P-3, P-4).
    fn main_step(&mut self, (t, cost): (u64, u64), tile: PeIdx, put: Option<Wavelet>) {
        let at = self.pe_at(tile);
        let pe = &self.pes[at];
        let Main::At(pc) = pe.main else {
            self.unexplained += cost;
            return;
        };
        let instr = self.codes[pe.code as usize].instr(pc);
        let mut latest = Latest::new(t, pe.ready.cycle, pe.ready, Category::Queue);
        latest.offer(pe.datapath.cycle, pe.datapath, Category::Queue);
        if let Instr::Vector(Vector { thread: Thread::Micro(u, _), .. }) = instr
            && let Some(before) = &pe.ops[usize::from(*u) + 1]
        {
            latest.offer(before.ready.cycle, before.ready, Category::Queue);
        }
        let to = put.and_then(|put| self.sites.output(tile, put.color));
        if let Some(to) = to {
            self.offer_slot(&mut latest, to, 1);
        }
        self.unexplained += latest.rest();
        let begun = latest.end(&mut self.tree, Category::Queue);
        let end = match instr {
            Instr::Vector(v) => self.vector(begun, (tile, pc), v, cost),
            _ => {
                let of_tasks = matches!(
                    instr,
                    Instr::Activate(_) | Instr::Block(_) | Instr::Unblock(_) | Instr::End
                );
                let category = if of_tasks { Category::Launch } else { Category::Compute };
                let place = (category, self.place(tile, pc));
                let end = self.tree.extend_at(begun, place, t + cost);
                self.pes[at].ready = end;
                end
            }
        };
        if let Some(to) = to {
            self.fifos[to.fifo as usize].claim(to.capacity, end);
        }
        let pe = &mut self.pes[at];
        pe.datapath = end;
        match *instr {
            Instr::Activate(task) => pe.activate(task, end),
            Instr::Unblock(task) => pe.unblocked[usize::from(task.0)] = end,
            Instr::End => (pe.main, pe.ended) = (Main::Idle, end),
            _ => pe.compute(instr),
        }
    }

    /// A vector operation that begins at a moment: the whole of it, or its issue.
    fn vector(
        &mut self,
        begun: Moment,
        (tile, pc): (PeIdx, u16),
        v: &'a Vector,
        cost: u64,
    ) -> Moment {
        let at = self.pe_at(tile);
        let pe = &self.pes[at];
        let issued = self.codes[pe.code as usize].issue(pc, v, pe.known());
        let place = self.place(tile, pc);
        if ![v.dst, v.a, v.b].into_iter().any(Operand::is_fabric) {
            let mut end = begun;
            let costs = &self.image.machine.pe.cost;
            for (category, cycles) in code::spent(costs, v, issued.as_ref(), cost) {
                end = self.tree.extend_at(end, (category, place), end.cycle + cycles);
            }
            let total = issued.map_or(0, |issued| issued.total);
            let pe = &mut self.pes[at];
            pe.execute(v, issued.as_ref(), (0, total), [Word::default(); 2]);
            pe.ready = end;
            return end;
        }
        let launch = (Category::Launch, place);
        let end = self.tree.extend_at(begun, launch, begun.cycle + cost);
        let dispatched = begun.cycle + self.image.machine.pe.dispatch_cycles - 1;
        let first = self.tree.extend_at(end, launch, dispatched.max(end.cycle));
        let (thread, done) = match v.thread {
            Thread::Main => (0, OnDone::Nothing),
            Thread::Micro(u, done) => (usize::from(u) + 1, done),
        };
        let op = self.operation(tile, (pc, v), issued, (first, done));
        let (is_complete, pe) = (op.is_complete, &mut self.pes[at]);
        pe.ops[thread] = Some(op);
        pe.ready = if thread == 0 { first } else { end };
        if is_complete {
            pe.apply(done, first);
        }
        end
    }

    fn operation(
        &self,
        tile: PeIdx,
        (pc, v): (u16, &Vector),
        issued: Option<pe_isa::semantics::Issued>,
        (ready, done): (Moment, OnDone),
    ) -> Op {
        let program = self.program(tile);
        let input = |operand| match operand {
            Operand::FabIn(q, _) => {
                let color = program.in_queues[usize::from(q.0)]?;
                self.sites.input(tile, color).map(|site| site.fifo)
            }
            _ => None,
        };
        let output = match v.dst {
            Operand::FabOut(q, _) => {
                let color = program.out_queues[usize::from(q.0)];
                color.and_then(|color| self.sites.output(tile, color)).map(|site| site.fifo)
            }
            _ => None,
        };
        let is_complete = issued.is_some_and(|issued| issued.total == 0);
        let inputs = [input(v.a), input(v.b)];
        Op { pc, issued, next: 0, inputs, output, ready, done, is_complete }
    }

    /// Rule P-5.
    fn fabric_step(
        &mut self,
        (t, cost): (u64, u64),
        tile: PeIdx,
        operands: &[Wavelet],
        put: Option<Wavelet>,
    ) {
        let at = self.pe_at(tile);
        let to = put.and_then(|put| self.sites.output(tile, put.color));
        let sites = operands.iter().filter_map(|w| self.sites.input(tile, w.color));
        let from: Vec<u32> = sites.map(|site| site.fifo).collect();
        let is_it = |op: &Op| {
            let mut inputs = op.inputs.iter().flatten();
            !op.is_complete
                && op.output == to.map(|site| site.fifo)
                && inputs.clone().count() == from.len()
                && inputs.all(|fifo| from.contains(fifo))
        };
        let mut threads = self.pes[at].ops.iter();
        let Some(thread) = threads.position(|op| op.as_ref().is_some_and(is_it)) else {
            self.unexplained += cost;
            return;
        };
        let Some(mut op) = self.pes[at].ops[thread].take() else { return };
        let mut latest = Latest::new(t, op.ready.cycle, op.ready, Category::Queue);
        for fifo in op.inputs.into_iter().flatten() {
            if let Some(sent) = self.fifos[fifo as usize].head() {
                let due = sent.cycle + self.image.machine.pe.ramp_cycles;
                latest.offer(due, sent, Category::Wire);
            }
        }
        if let Some(to) = to {
            self.offer_slot(&mut latest, to, 1);
        }
        let datapath = self.pes[at].datapath;
        latest.offer(datapath.cycle, datapath, Category::Queue);
        self.unexplained += latest.rest();
        let begun = latest.end(&mut self.tree, Category::Queue);
        let Instr::Vector(v) = self.codes[self.pes[at].code as usize].instr(op.pc) else { return };
        let place = (code::kind(v), self.place(tile, op.pc));
        let end = self.tree.extend_at(begun, place, t + cost);
        from.iter().for_each(|&fifo| self.fifos[fifo as usize].leave(begun));
        if let Some(to) = to {
            self.fifos[to.fifo as usize].claim(to.capacity, end);
        }
        let words = op.inputs.map(|fifo| {
            let place = from.iter().position(|&from| Some(from) == fifo);
            place.map_or(Word::default(), |place| word(&operands[place]))
        });
        op.ready = end;
        let pe = &mut self.pes[at];
        pe.datapath = end;
        if let Some(issued) = op.issued {
            let count = code::lanes(&issued).min(issued.total - op.next);
            pe.execute(v, Some(&issued), (op.next, count), words);
            op.next += count;
            op.is_complete = op.next == issued.total;
        } else {
            pe.execute(v, None, (0, 0), words);
        }
        if thread == 0 {
            pe.ready = end;
        }
        if op.is_complete {
            pe.apply(op.done, end);
        }
        pe.ops[thread] = Some(op);
    }
}

/// What a wavelet carries.
fn word(wavelet: &Wavelet) -> Word {
    Word { bits: wavelet.payload, void: wavelet.void }
}
