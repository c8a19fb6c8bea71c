//! Operands of instructions: registers, queues and data structure descriptors.

use crate::DType;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A virtual channel of the fabric. Machines have up to 32 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Color(pub u8);

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// A 32-bit scalar register, `0..32`. Holds an integer or the bits of an `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reg(pub u8);

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// Index of an input queue of a PE; its color is bound in the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InQueue(pub u8);

/// Index of an output queue of a PE; its color is bound in the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OutQueue(pub u8);

/// An extent: a constant, or the value that a register holds when the operation is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Size {
    /// Known when the program is written.
    Imm(u32),
    /// Read from a register at issue.
    Reg(Reg),
}

/// Index into [`crate::Program::shapes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShapeId(pub u16);

/// Index into [`crate::Program::dsds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DsdId(pub u16);

/// The loop nest of a vector operation: one to four extents, outermost first.
///
/// All operands of an operation share one shape, so operands of different lengths cannot be
/// written down. Fabric operands run through the elements in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// One to four extents, outermost first.
    pub extents: Vec<Size>,
}

/// A memory operand (data structure descriptor): where the elements of a loop nest lie in SRAM.
///
/// Element `(i0, …, ik)` is at byte `base + offset + dtype.bytes() * Σ i_d * strides[d]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dsd {
    /// Byte address of the first element.
    pub base: u32,
    /// Register whose value (bytes) is added to `base` at issue.
    pub offset: Option<Reg>,
    /// Distance in elements for each loop of the shape, outermost first; 0 repeats an element.
    pub strides: Vec<i32>,
    /// Type of the elements.
    pub dtype: DType,
}

impl Dsd {
    /// Bytes that the descriptor takes in SRAM: 4 for base and type, 4 a dimension (machine.md:
    /// "descriptors and tables besides"; the split is ours).
    pub fn code_bytes(&self) -> u32 {
        4 + 4 * self.strides.len() as u32
    }
}

/// One operand of a vector operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operand {
    /// Absent (unary operations have no `b`).
    None,
    /// Elements in SRAM.
    Mem(DsdId),
    /// One register for all elements.
    Reg(Reg, DType),
    /// A constant for all elements, as bits of the type.
    Imm(u32, DType),
    /// Wavelets from an input queue; source only.
    FabIn(InQueue, DType),
    /// Wavelets into an output queue; destination only.
    FabOut(OutQueue, DType),
}

impl Operand {
    /// An `f32` constant.
    pub fn f32(value: f32) -> Operand {
        Operand::Imm(value.to_bits(), DType::F32)
    }

    /// Whether the operand is a queue.
    pub const fn is_fabric(self) -> bool {
        matches!(self, Operand::FabIn(..) | Operand::FabOut(..))
    }
}
