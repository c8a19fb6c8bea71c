//! A PE program: instructions, descriptors, tasks and queue bindings.

use crate::instr::Instr;
use crate::operand::{Color, Dsd, InQueue, Reg, Shape};
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

    /// The input queue bound to `color`.
    pub fn in_queue(&self, color: Color) -> Option<InQueue> {
        let at = self.in_queues.iter().position(|&c| c == Some(color))?;
        Some(InQueue(at as u8))
    }
}
