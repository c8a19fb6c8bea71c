//! A PE program: instructions, descriptors, tasks and queue bindings.

use crate::instr::Instr;
use crate::operand::{Color, Dsd, InQueue, Reg, Shape, Size};
use serde::{Deserialize, Serialize};

/// Index into [`Program::tasks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub u8);

/// What makes a task ready, besides not being blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TaskKind {
    /// It has been activated.
    Local,
    /// A data wavelet is at the head of the queue; its payload goes into the register.
    Data(InQueue, Reg),
    /// A control wavelet is at the head of the queue; its payload goes into the register.
    Control(InQueue, Reg),
}

/// A task: runs to completion once launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Task {
    /// What makes it ready.
    pub kind: TaskKind,
    /// Index of its first instruction.
    pub entry: u16,
    /// Lower numbers are picked first.
    pub priority: u8,
    /// Whether it is activated at cycle 0 (local tasks only).
    pub activated: bool,
    /// Whether it is blocked at cycle 0.
    pub blocked: bool,
}

/// Everything a PE executes; shared by all PEs of a class.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Program {
    /// The instructions.
    pub instrs: Vec<Instr>,
    /// Loop nests named by vector operations.
    pub shapes: Vec<Shape>,
    /// Memory operands named by vector operations.
    pub dsds: Vec<Dsd>,
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Color of each input queue, by queue index.
    pub in_queues: Vec<Option<Color>>,
    /// Color of each output queue, by queue index.
    pub out_queues: Vec<Option<Color>>,
}

impl Program {
    /// Bytes of SRAM that the program takes: 4 an instruction (marks take none), descriptors as
    /// [`Dsd::code_bytes`], 8 a task.
    pub fn code_bytes(&self) -> u32 {
        let instrs = self.instrs.iter().filter(|i| !matches!(i, Instr::Mark(_))).count() as u32;
        4 * instrs
            + self.dsds.iter().map(Dsd::code_bytes).sum::<u32>()
            + 8 * self.tasks.len() as u32
    }

    /// Registers that suffice to run it: as many as the highest one that it names asks for.
    pub fn registers(&self) -> usize {
        let sizes = self.shapes.iter().flat_map(|shape| &shape.extents);
        let sizes = sizes.filter_map(|size| match size {
            Size::Reg(r) => Some(*r),
            Size::Imm(_) => None,
        });
        let tasks = self.tasks.iter().filter_map(|task| match task.kind {
            TaskKind::Data(_, r) | TaskKind::Control(_, r) => Some(r),
            TaskKind::Local => None,
        });
        let offsets = self.dsds.iter().filter_map(|dsd| dsd.offset);
        let named = self.instrs.iter().flat_map(Instr::registers);
        let all = named.chain(sizes).chain(offsets).chain(tasks);
        all.map(|r| usize::from(r.0) + 1).max().unwrap_or(0)
    }

    /// The input queue bound to `color`.
    pub fn in_queue(&self, color: Color) -> Option<InQueue> {
        let at = self.in_queues.iter().position(|&c| c == Some(color))?;
        Some(InQueue(at as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, DsdId, Operand, ShapeId, Size, Thread, VecOp, Vector};

    #[test]
    fn a_program_has_the_registers_that_it_names_in_any_place() {
        let argmax = Vector {
            op: VecOp::ArgMax,
            shape: ShapeId(0),
            dst: Operand::Reg(Reg(6), DType::F32),
            a: Operand::Mem(DsdId(0)),
            b: Operand::Imm(0, DType::U32),
            thread: Thread::Main,
        };
        let mut program = Program::default();
        assert_eq!(program.registers(), 0);
        program.instrs = vec![Instr::Li { rd: Reg(3), imm: 0 }, Instr::End];
        assert_eq!(program.registers(), 4);
        program.instrs.push(Instr::Vector(argmax));
        assert_eq!(program.registers(), 8, "argmax writes a pair");
        program.shapes = vec![Shape { extents: vec![Size::Imm(9), Size::Reg(Reg(9))] }];
        assert_eq!(program.registers(), 10);
        let offset = Some(Reg(11));
        program.dsds = vec![Dsd { base: 0, offset, strides: vec![0, 1], dtype: DType::F32 }];
        assert_eq!(program.registers(), 12);
        let kind = TaskKind::Control(InQueue(0), Reg(31));
        program.tasks =
            vec![Task { kind, entry: 0, priority: 0, activated: false, blocked: false }];
        assert_eq!(program.registers(), 32);
    }
}
