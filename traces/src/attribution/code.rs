//! Programs, as an observer can follow them: with a mark before each instruction, which takes no time (rule P-3).

use super::tree::Category;
use pe_isa::semantics::{Issued, Place, issue_static};
use pe_isa::{CostTable, Instr, Operand, Program, VecOp, Vector};

/// The programs with a mark before each instruction that bears its index, and without their own marks. They run as the
/// others do, to the cycle.
pub fn with_marks(programs: &[Program]) -> Vec<Program> {
    programs.iter().map(marked).collect()
}

fn marked(program: &Program) -> Program {
    let mut instrs = Vec::with_capacity(2 * program.instrs.len());
    let mut moved = Vec::with_capacity(program.instrs.len());
    for (at, instr) in program.instrs.iter().enumerate() {
        moved.push(instrs.len() as u16);
        if !matches!(instr, Instr::Mark(_)) {
            instrs.push(Instr::Mark(at as u16));
            instrs.push(*instr);
        }
    }
    for instr in &mut instrs {
        if let Instr::Branch { target, .. } | Instr::Jump { target } = instr {
            *target = moved[usize::from(*target)];
        }
    }
    let mut marked = Program { instrs, ..program.clone() };
    marked.tasks.iter_mut().for_each(|task| task.entry = moved[usize::from(task.entry)]);
    marked
}

/// The first instruction from `at` on that is no mark.
pub(super) fn unmarked(program: &Program, at: u16) -> u16 {
    let rest = &program.instrs[usize::from(at)..];
    let marks = rest.iter().take_while(|instr| matches!(instr, Instr::Mark(_))).count();
    at + marks as u16
}

/// A program and its operations, issued as far as registers do not decide.
#[derive(Debug, Clone)]
pub(super) struct Code<'a> {
    pub(super) program: &'a Program,
    issued: Vec<Option<Issued>>,
}

impl<'a> Code<'a> {
    pub(super) fn new(program: &'a Program) -> Code<'a> {
        let issue = |instr: &Instr| match instr {
            Instr::Vector(v) => issue_static(program, v, u32::MAX),
            _ => None,
        };
        Code { program, issued: program.instrs.iter().map(issue).collect() }
    }

    pub(super) fn instr(&self, pc: u16) -> &'a Instr {
        &self.program.instrs[usize::from(pc)]
    }

    /// A vector operation whose sizes are in these registers; none where they are not known.
    pub(super) fn issue(&self, pc: u16, v: &Vector, regs: (&[u32], u32)) -> Option<Issued> {
        let issued = self.issued[usize::from(pc)];
        issued.or_else(|| pe_isa::void::issue(self.program, v, regs, u32::MAX).ok())
    }
}

/// What the elements of an operation are: movements between memory and anything, or arithmetic.
pub(super) fn kind(v: &Vector) -> Category {
    let in_memory = [v.dst, v.a, v.b].iter().any(|o| matches!(o, Operand::Mem(_)));
    if v.op == VecOp::Mov && in_memory { Category::Sram } else { Category::Compute }
}

/// What the `cycles` of a memory-only operation go to, in this order. Where its size is not known, or not the one that was
/// held, all go to its elements.
pub(super) fn spent(
    cost: &CostTable,
    v: &Vector,
    issued: Option<&Issued>,
    cycles: u64,
) -> [(Category, u64); 3] {
    let spent = issued.map(|issued| cost.spent(issued)).unwrap_or_default();
    if spent.begin + spent.elements + spent.ports != cycles {
        return [(Category::Launch, 0), (kind(v), cycles), (Category::Sram, 0)];
    }
    [(Category::Launch, spent.begin), (kind(v), spent.elements), (Category::Sram, spent.ports)]
}

/// Elements that one wavelet of the operation carries.
pub(super) fn lanes(issued: &Issued) -> u32 {
    let fabric = [&issued.dst, &issued.a, &issued.b].into_iter();
    let lanes = fabric.filter_map(|p| match p {
        Place::Fabric(t) => Some(t.lanes()),
        _ => None,
    });
    lanes.max().unwrap_or(1)
}
