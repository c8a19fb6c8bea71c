//! A PE, as far as a timeline needs it: which instruction a step belongs to, and what the PE waited for before it.

use fabric::ProgramId;
use pe_isa::{Color, Instr, Operand, Program, Thread, Vector};

/// A span before a step in which the datapath stood still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) cause: String,
    pub(super) from: u64,
    pub(super) to: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Pe {
    pub(super) program: ProgramId,
    /// What it works on, and since when.
    pub(super) operation: Option<(u16, u64)>,
    /// The instruction of the main thread; none without a task.
    main: Option<u16>,
    /// Instructions of operations with queues: the main thread's, those of microthreads.
    operations: Vec<Option<u16>>,
    /// The end of the last step, and the last launch.
    free: u64,
    launched: u64,
}

impl Pe {
    pub(super) fn new(program: ProgramId) -> Pe {
        Pe { program, operation: None, main: None, operations: Vec::new(), free: 0, launched: 0 }
    }

    /// A task was launched by a wavelet.
    pub(super) fn launch(&mut self, cycle: u64) {
        self.launched = cycle;
    }

    /// The main thread has come to an instruction.
    pub(super) fn reach(&mut self, cycle: u64, pc: u16, launch_cycles: u64) {
        if self.main.is_none() {
            self.launched = self.launched.max(cycle.saturating_sub(launch_cycles));
        }
        self.main = Some(pc);
    }

    pub(super) fn is_at_end(&self, program: &Program) -> bool {
        self.main.is_some_and(|pc| program.instrs[usize::from(pc)] == Instr::End)
    }

    /// What the PE did between its last step and one at `now`: the wavelet that the step takes had not come, the slot that it
    /// fills was not free, there was no task, or something was being launched.
    pub(super) fn gap(
        &self,
        now: u64,
        arrived: Option<(Color, u64)>,
        room: Option<(Color, u64)>,
    ) -> Vec<Wait> {
        let mut waits = Vec::new();
        let mut from = self.free;
        let mut wait = |cause: String, until: u64| {
            let to = until.min(now);
            if to > from {
                waits.push(Wait { cause, from, to });
                from = to;
            }
        };
        if self.launched > self.free {
            wait("idle".into(), self.launched);
        }
        if let Some((color, at)) = arrived {
            wait(format!("waits for input {color}"), at);
        }
        if let Some((color, at)) = room {
            wait(format!("waits for room in {color}"), at);
        }
        wait("launching".into(), now);
        waits
    }

    /// A step: its name, and whether it ends the task.
    pub(super) fn step(
        &mut self,
        program: &Program,
        (cycle, cost): (u64, u64),
        taken: &[Color],
        put: Option<Color>,
    ) -> (String, bool) {
        self.free = cycle + cost;
        let moves = !taken.is_empty() || put.is_some();
        let instr = |pc: u16| &program.instrs[usize::from(pc)];
        if moves && let Some(pc) = self.mover(program, taken, put) {
            return (named(instr(pc)), false);
        }
        let Some(pc) = self.main else { return ("step".into(), false) };
        let main = instr(pc);
        if let Instr::Vector(v) = main
            && [v.dst, v.a, v.b].into_iter().any(Operand::is_fabric)
        {
            let thread = match v.thread {
                Thread::Main => 0,
                Thread::Micro(u, _) => usize::from(u) + 1,
            };
            if self.operations.len() <= thread {
                self.operations.resize(thread + 1, None);
            }
            self.operations[thread] = Some(pc);
            return (format!("issue {}", named(main)), false);
        }
        let ends = *main == Instr::End;
        if ends {
            self.main = None;
        }
        (named(main), ends)
    }

    /// The operation whose queues a step uses.
    fn mover(&self, program: &Program, taken: &[Color], put: Option<Color>) -> Option<u16> {
        let mut issued = self.operations.iter().flatten().copied();
        issued.find(|pc| {
            let instr = &program.instrs[usize::from(*pc)];
            let inputs = instr.inputs().filter_map(|q| program.in_queues[usize::from(q.0)]);
            let output = instr.output().and_then(|q| program.out_queues[usize::from(q.0)]);
            let inputs: Vec<Color> = inputs.collect();
            output == put
                && taken.iter().all(|color| inputs.contains(color))
                && (!taken.is_empty() || inputs.is_empty())
        })
    }
}

/// An instruction in a word or two.
fn named(instr: &Instr) -> String {
    match instr {
        Instr::Vector(Vector { op, thread, .. }) => {
            let op = format!("{op:?}").to_lowercase();
            match thread {
                Thread::Main => op,
                Thread::Micro(u, _) => format!("{op} (microthread {u})"),
            }
        }
        Instr::Alu { op, .. } => format!("{op:?}").to_lowercase(),
        Instr::Branch { cond, .. } => cond.name().to_string(),
        Instr::Li { .. } => "li".into(),
        Instr::SelGt { .. } => "selgt".into(),
        Instr::Jump { .. } => "jump".into(),
        Instr::SendCtrl { .. } => "sendctrl".into(),
        Instr::Activate(_) => "activate".into(),
        Instr::Block(_) => "block".into(),
        Instr::Unblock(_) => "unblock".into(),
        Instr::End => "end".into(),
        Instr::Mark(_) => "mark".into(),
    }
}
