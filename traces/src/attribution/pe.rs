//! A PE, as far as it tells why a step was not taken earlier: which instruction its threads are at, what its tasks wait for,
//! and those of its registers that follow from known words.

use super::code::Code;
use super::tree::Moment;
use pe_isa::semantics::Issued;
use pe_isa::void::{self, Draws, Registers};
use pe_isa::{
    Cycle, Instr, OnDone, Operand, REGISTERS, Reg, Src, TaskId, TaskKind, Thread, VecOp, Vector,
    Word,
};

/// Where the main thread is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Main {
    /// It has no task.
    Idle,
    /// A task was launched then.
    Launched(Moment),
    /// It has come to an instruction.
    At(u16),
}

/// A vector operation with a fabric operand.
#[derive(Debug, Clone)]
pub(super) struct Op {
    pub(super) pc: u16,
    pub(super) issued: Option<Issued>,
    pub(super) next: u32,
    /// FIFOs of its sources and of its destination.
    pub(super) inputs: [Option<u32>; 2],
    pub(super) output: Option<u32>,
    /// Since when its next step, or its end, has waited for nothing of its own.
    pub(super) ready: Moment,
    pub(super) done: OnDone,
    pub(super) is_complete: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Pe {
    pub(super) code: u32,
    regs: [u32; REGISTERS],
    void: u32,
    pub(super) main: Main,
    /// Since when the main thread's instruction has waited for nothing of its own.
    pub(super) ready: Moment,
    /// The end of the last step.
    pub(super) datapath: Moment,
    /// The end of the last task, and the last launch of a data task.
    pub(super) ended: Moment,
    pub(super) data_launch: Option<Moment>,
    /// The latest operation of each thread, the main thread's first.
    pub(super) ops: Vec<Option<Op>>,
    /// When each task was activated, unless it has been launched since; and unblocked.
    activated: Vec<Option<Moment>>,
    pub(super) unblocked: Vec<Moment>,
}

impl Pe {
    pub(super) fn new(code: u32, program: &pe_isa::Program, params: &[(Reg, u32)]) -> Pe {
        let threads = program.instrs.iter().map(|instr| match instr {
            Instr::Vector(Vector { thread: Thread::Micro(u, _), .. }) => usize::from(*u) + 2,
            _ => 1,
        });
        let mut regs = [0; REGISTERS];
        params.iter().for_each(|&(reg, value)| regs[usize::from(reg.0)] = value);
        let start = Moment::START;
        let activated = program.tasks.iter().map(|task| task.activated.then_some(start));
        Pe {
            code,
            regs,
            void: 0,
            main: Main::Idle,
            ready: start,
            datapath: start,
            ended: start,
            data_launch: None,
            ops: vec![None; threads.max().unwrap_or(1)],
            activated: activated.collect(),
            unblocked: vec![start; program.tasks.len()],
        }
    }

    /// The local task that begins at `entry`, of several the first one that is activated; and since when it is, which it is no more.
    pub(super) fn launch_local(&mut self, code: &Code<'_>, entry: u16) -> Option<(usize, Moment)> {
        let mut tasks = code.program.tasks.iter().enumerate();
        let (at, _) = tasks.find(|(at, task)| {
            task.kind == TaskKind::Local
                && super::code::unmarked(code.program, task.entry) == entry
                && self.activated[*at].is_some()
        })?;
        self.activated[at].take().map(|moment| (at, moment))
    }

    pub(super) fn activate(&mut self, task: TaskId, moment: Moment) {
        self.activated[usize::from(task.0)].get_or_insert(moment);
    }

    /// What the end of an operation does to tasks (rule P-6).
    pub(super) fn apply(&mut self, done: OnDone, moment: Moment) {
        match done {
            OnDone::Nothing => {}
            OnDone::Activate(task) => self.activate(task, moment),
            OnDone::Unblock(task) => self.unblocked[usize::from(task.0)] = moment,
        }
    }

    /// The registers, and which of them are not known.
    pub(super) fn known(&self) -> (&[u32], u32) {
        (&self.regs, self.void)
    }

    pub(super) fn registers(&mut self) -> Registers<'_> {
        Registers { bits: &mut self.regs, void: &mut self.void }
    }

    /// What an instruction on registers leaves in them.
    pub(super) fn compute(&mut self, instr: &Instr) {
        let mut regs = self.registers();
        match *instr {
            Instr::Li { rd, imm } => regs.set(rd, Word::known(imm)),
            Instr::Alu { op, rd, ra, b } => {
                let b = match b {
                    Src::Reg(reg) => regs.get(reg),
                    Src::Imm(value) => Word::known(value),
                };
                let result = void::alu(op, regs.get(ra), b).unwrap_or(Word::VOID);
                regs.set(rd, result);
            }
            Instr::SelGt { rd, rs, ra, rb } => {
                let [a, b, taken, kept] = [ra, rb, rs, rd].map(|reg| regs.get(reg));
                regs.set(rd, void::select(a, b, taken, kept));
            }
            _ => {}
        }
    }

    /// What elements of a vector operation leave in registers.
    pub(super) fn execute(
        &mut self,
        v: &Vector,
        issued: Option<&Issued>,
        elements: (u32, u32),
        fabric: [Word; 2],
    ) {
        let Operand::Reg(rd, _) = v.dst else { return };
        let mut regs = self.registers();
        let from_memory = [v.a, v.b].iter().any(|o| matches!(o, Operand::Mem(_)));
        match issued {
            Some(issued) if v.op != VecOp::ArgMax && !from_memory => {
                let draws = &mut Draws::new(0, (0, 0));
                void::execute(issued, &mut regs, draws, elements, fabric);
            }
            _ => {
                regs.set(rd, Word::VOID);
                if v.op == VecOp::ArgMax {
                    regs.set(Reg(rd.0 + 1), Word::VOID);
                }
            }
        }
    }

    pub(super) fn each(&mut self, visit: &mut dyn FnMut(&mut Moment)) {
        let own = [&mut self.ready, &mut self.datapath, &mut self.ended];
        own.into_iter().for_each(&mut *visit);
        if let Main::Launched(moment) = &mut self.main {
            visit(moment);
        }
        self.data_launch.iter_mut().for_each(&mut *visit);
        self.ops.iter_mut().flatten().for_each(|op| visit(&mut op.ready));
        self.activated.iter_mut().flatten().for_each(&mut *visit);
        self.unblocked.iter_mut().for_each(visit);
    }
}

/// What is told of one PE in one cycle.
#[derive(Debug, Clone, Default)]
pub(super) struct Visit {
    pub(super) cycle: Cycle,
    pub(super) step: Option<u64>,
    pub(super) put: Option<sim_core::Wavelet>,
    pub(super) taken: Vec<sim_core::Wavelet>,
}
