//! Programs and constants, as PEs step by them.

use super::stretch::Stretches;
use crate::run::Data;
use fabric::Machine;
use pe_isa::semantics::{self, Form, Issued, Place};
use pe_isa::{CostTable, Instr, Operand, Program, TaskKind, Thread, Vector};

/// The constants of the machine that PEs step by.
#[derive(Debug, Clone)]
pub(super) struct Constants {
    pub(super) dispatch_cycles: u64,
    pub(super) task_launch_cycles: u64,
    pub(super) data_task_cycles: u64,
    pub(super) cost: CostTable,
    /// Rule D-1.
    pub(super) has_data: bool,
}

impl Constants {
    pub(super) fn new(machine: &Machine, data: Data) -> Constants {
        Constants {
            has_data: data.is_full(),
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
    /// Registers that a PE with the program has: the others keep their 0.
    pub(super) registers: usize,
    /// Input queues bound to a control task, by rank.
    pub(super) control_tasks: u32,
    /// For each instruction that is a vector operation, what is known of it without the registers.
    pub(super) prepared: Vec<Option<Prepared>>,
    pub(super) stretches: Stretches,
}

/// A vector operation issued ahead of time.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) issued: Issued,
    /// How it is carried out if it is memory-only.
    pub(super) work: Work,
    /// Cost if it is memory-only, else of a step with a full wavelet.
    pub(super) cycles: u64,
}

/// How a memory-only operation is carried out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// With data, or not at all.
    Form(Form),
    /// Without data, into a register.
    Register,
}

impl Work {
    fn of(issued: &Issued, has_data: bool) -> Work {
        match issued.dst {
            _ if has_data => Work::Form(Form::of(issued)),
            Place::Reg(..) if issued.total > 0 => Work::Register,
            _ => Work::Form(Form::Nothing),
        }
    }
}

impl Prepared {
    /// Issues what no register decides; `sram_bytes` is the least of any PE with the program.
    fn new(
        program: &Program,
        instr: &Instr,
        sram_bytes: u32,
        constants: &Constants,
    ) -> Option<Prepared> {
        let Instr::Vector(v) = instr else { return None };
        let issued = semantics::issue_static(program, v, sram_bytes)?;
        Some(Prepared::of(v, issued, constants))
    }

    pub(super) fn of(v: &Vector, issued: Issued, constants: &Constants) -> Prepared {
        let cost = &constants.cost;
        let (work, cycles) = if is_fabric(v) {
            (Work::Form(Form::Elements), cost.step_cycles(&issued, full_wavelet(&issued)))
        } else {
            (Work::of(&issued, constants.has_data), cost.memory_cycles(&issued))
        };
        Prepared { issued, work, cycles }
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
    #[inline]
    pub(super) fn is_mark(&self, pc: u16) -> bool {
        matches!(self.program.instrs[usize::from(pc)], Instr::Mark(_))
    }

    /// `sram_bytes` is the least SRAM of any PE with the program, `params` the registers that any of them starts with.
    pub(super) fn new(
        program: &Program,
        sram_bytes: u32,
        params: usize,
        constants: &Constants,
    ) -> Code {
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
        let prepare = |i| Prepared::new(program, i, sram_bytes, constants);
        let prepared: Vec<_> = program.instrs.iter().map(prepare).collect();
        Code {
            stretches: Stretches::new(&program.instrs, &prepared, &constants.cost),
            prepared,
            in_rank,
            out_rank,
            ins,
            outs,
            order,
            threads,
            registers: program.registers().max(params),
            control_tasks,
            program: program.clone(),
        }
    }
}

/// Whether an operation is issued rather than carried out at once (rule P-4).
#[inline]
pub(super) fn is_fabric(v: &Vector) -> bool {
    [v.dst, v.a, v.b].into_iter().any(Operand::is_fabric)
}
