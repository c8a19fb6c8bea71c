//! What a processing element (PE) of the wafer can execute.
//!
//! * [`units`]: cycles and exact ratios, the only notion of time, and how they are printed.
//! * [`dtype`]: the number formats of SRAM and wavelets.
//! * [`operand`], [`instr`], [`program`]: the instruction set as data.
//! * [`semantics`]: what each operation computes. It exists once; oracle and engine both call it.
//! * [`void`]: what is left of that where there is no data.
//! * [`cost`]: how many cycles an operation holds the datapath.
//! * [`check`]: what makes a program malformed.
//! * [`asm`]: the text form of programs.
//!
//! **Architecture Invariant:** nothing here knows about routers, neighbours or time steps. A PE is a
//! datapath, registers, SRAM and queues named by number.

pub mod asm;
pub mod check;
pub mod cost;
pub mod dtype;
pub mod flow;
pub mod instr;
mod kernels;
pub mod operand;
pub mod program;
pub mod semantics;
pub mod units;
pub mod void;

pub use check::ProgramError;
pub use cost::{CostTable, Spent};
pub use dtype::DType;
pub use instr::{AluOp, Cond, Instr, OnDone, Src, Thread, VecOp, Vector};
pub use operand::{Color, Dsd, DsdId, InQueue, Operand, OutQueue, Reg, Shape, ShapeId, Size};
pub use program::{Program, Task, TaskId, TaskKind};
pub use semantics::{Fault, PeMemory};
pub use units::{Cycle, Cycles, Ratio, grouped};
pub use void::{Decider, Word};

/// Number of 32-bit scalar registers of a PE.
pub const REGISTERS: usize = 32;
