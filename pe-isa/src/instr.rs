//! The instructions of a PE.

use crate::operand::{InQueue, Operand, OutQueue, Reg, ShapeId};
use crate::program::TaskId;
use serde::{Deserialize, Serialize};

/// What a vector operation does with each element. `d` is the destination's value before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum VecOp {
    /// `d = a`, converting between types; between equal types the bits are kept.
    Mov,
    /// `d = a + b`.
    Add,
    /// `d = a - b`.
    Sub,
    /// `d = a * b`.
    Mul,
    /// `d = d + a * b`, product rounded to f32, then the sum.
    Fmac,
    /// The larger of `a` and `b`; `b` where `a` is NaN.
    Max,
    /// The smaller of `a` and `b`; `b` where `a` is NaN.
    Min,
    /// `d = -a`.
    Neg,
    /// `d = |a|`.
    Abs,
    /// `d = e^a`.
    Exp,
    /// `d = 1 / sqrt(a)`.
    Rsqrt,
    /// `d = 1 / a`.
    Recip,
    /// Hyperbolic tangent.
    Tanh,
    /// `d = 1 / (1 + e^-a)`.
    Sigmoid,
    /// Sine of `a` radians.
    Sin,
    /// Cosine of `a` radians.
    Cos,
    /// Running maximum with index: where `a > d`, `d = a` and the register after `d` takes the
    /// element's ordinal plus `b`. `d` is a register, `b` an integer register or constant.
    ArgMax,
}

impl VecOp {
    /// Every operation, in assembly order.
    pub const ALL: [VecOp; 17] = [
        VecOp::Mov,
        VecOp::Add,
        VecOp::Sub,
        VecOp::Mul,
        VecOp::Fmac,
        VecOp::Max,
        VecOp::Min,
        VecOp::Neg,
        VecOp::Abs,
        VecOp::Exp,
        VecOp::Rsqrt,
        VecOp::Recip,
        VecOp::Tanh,
        VecOp::Sigmoid,
        VecOp::Sin,
        VecOp::Cos,
        VecOp::ArgMax,
    ];

    /// Name in assembly.
    pub const fn name(self) -> &'static str {
        match self {
            VecOp::Mov => "mov",
            VecOp::Add => "add",
            VecOp::Sub => "sub",
            VecOp::Mul => "mul",
            VecOp::Fmac => "fmac",
            VecOp::Max => "max",
            VecOp::Min => "min",
            VecOp::Neg => "neg",
            VecOp::Abs => "abs",
            VecOp::Exp => "exp",
            VecOp::Rsqrt => "rsqrt",
            VecOp::Recip => "recip",
            VecOp::Tanh => "tanh",
            VecOp::Sigmoid => "sigmoid",
            VecOp::Sin => "sin",
            VecOp::Cos => "cos",
            VecOp::ArgMax => "argmax",
        }
    }

    /// Whether the operation reads `b`.
    pub const fn is_binary(self) -> bool {
        matches!(
            self,
            VecOp::Add
                | VecOp::Sub
                | VecOp::Mul
                | VecOp::Fmac
                | VecOp::Max
                | VecOp::Min
                | VecOp::ArgMax
        )
    }

    /// Whether the operation reads its destination before it writes it.
    pub const fn reads_dst(self) -> bool {
        matches!(self, VecOp::Fmac | VecOp::ArgMax)
    }
}

/// What a finished asynchronous operation does to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OnDone {
    /// Nothing.
    Nothing,
    /// Activates the task.
    Activate(TaskId),
    /// Unblocks the task.
    Unblock(TaskId),
}

/// Where a vector operation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Thread {
    /// In the main thread, which waits for its end.
    Main,
    /// In microthread `.0`; the main thread goes on at once.
    Micro(u8, OnDone),
}

/// A vector operation over a loop nest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Vector {
    /// What is done with each element.
    pub op: VecOp,
    /// The loop nest.
    pub shape: ShapeId,
    /// Destination: memory, a register or an output queue.
    pub dst: Operand,
    /// First source.
    pub a: Operand,
    /// Second source, [`Operand::None`] for unary operations.
    pub b: Operand,
    /// Main thread or a microthread.
    pub thread: Thread,
}

/// An integer operand of scalar instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Src {
    /// The value of a register.
    Reg(Reg),
    /// A constant.
    Imm(u32),
}

/// Integer operations on registers; 32 bits, wrapping, unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AluOp {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`; traps when `b` is 0.
    Div,
    /// `a mod b`; traps when `b` is 0.
    Rem,
    /// Bitwise and.
    And,
    /// Bitwise or.
    Or,
    /// Bitwise exclusive or.
    Xor,
    /// `a << (b mod 32)`.
    Shl,
    /// `a >> (b mod 32)`, zeros shifted in.
    Shr,
    /// The smaller.
    Min,
    /// The larger.
    Max,
    /// 1 if `a < b`, else 0.
    Lt,
    /// 1 if `a == b`, else 0.
    Eq,
}

impl AluOp {
    /// Every operation, in assembly order.
    pub const ALL: [AluOp; 14] = [
        AluOp::Add,
        AluOp::Sub,
        AluOp::Mul,
        AluOp::Div,
        AluOp::Rem,
        AluOp::And,
        AluOp::Or,
        AluOp::Xor,
        AluOp::Shl,
        AluOp::Shr,
        AluOp::Min,
        AluOp::Max,
        AluOp::Lt,
        AluOp::Eq,
    ];

    /// Name in assembly.
    pub const fn name(self) -> &'static str {
        match self {
            AluOp::Add => "iadd",
            AluOp::Sub => "isub",
            AluOp::Mul => "imul",
            AluOp::Div => "idiv",
            AluOp::Rem => "irem",
            AluOp::And => "and",
            AluOp::Or => "or",
            AluOp::Xor => "xor",
            AluOp::Shl => "shl",
            AluOp::Shr => "shr",
            AluOp::Min => "imin",
            AluOp::Max => "imax",
            AluOp::Lt => "ilt",
            AluOp::Eq => "ieq",
        }
    }
}

/// Condition of a branch, on unsigned integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cond {
    /// `a == b`.
    Eq,
    /// `a != b`.
    Ne,
    /// `a < b`.
    Lt,
    /// `a >= b`.
    Ge,
}

impl Cond {
    /// Every condition.
    pub const ALL: [Cond; 4] = [Cond::Eq, Cond::Ne, Cond::Lt, Cond::Ge];

    /// Name of the branch in assembly.
    pub const fn name(self) -> &'static str {
        match self {
            Cond::Eq => "beq",
            Cond::Ne => "bne",
            Cond::Lt => "blt",
            Cond::Ge => "bge",
        }
    }
}

/// One instruction; 4 bytes of SRAM each, besides the descriptors it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Instr {
    /// A vector operation.
    Vector(Vector),
    /// `rd = imm`.
    Li {
        /// Destination.
        rd: Reg,
        /// Value.
        imm: u32,
    },
    /// `rd = ra op b`.
    Alu {
        /// Operation.
        op: AluOp,
        /// Destination.
        rd: Reg,
        /// Left operand.
        ra: Reg,
        /// Right operand.
        b: Src,
    },
    /// `if f32(ra) > f32(rb) { rd = rs }`: a choice between payloads without a branch.
    SelGt {
        /// Destination, kept where the comparison fails (or either is NaN).
        rd: Reg,
        /// The value taken where it holds.
        rs: Reg,
        /// Left side, as f32.
        ra: Reg,
        /// Right side, as f32.
        rb: Reg,
    },
    /// Continues at `target` if the condition holds.
    Branch {
        /// Condition.
        cond: Cond,
        /// Left operand.
        ra: Reg,
        /// Right operand.
        b: Src,
        /// Index of the instruction to continue at.
        target: u16,
    },
    /// Continues at `target`.
    Jump {
        /// Index of the instruction to continue at.
        target: u16,
    },
    /// Puts a control wavelet with this payload into an output queue.
    SendCtrl {
        /// The queue.
        queue: OutQueue,
        /// Payload: switch commands in the low 16 bits (contract rule S-3).
        payload: Src,
    },
    /// Activates a task.
    Activate(TaskId),
    /// Blocks a task.
    Block(TaskId),
    /// Unblocks a task.
    Unblock(TaskId),
    /// Ends the running task.
    End,
    /// A label for observers; takes no time, no energy and no SRAM.
    Mark(u16),
}

impl Instr {
    /// The input queues that the instruction reads, at most two.
    pub fn inputs(&self) -> impl Iterator<Item = InQueue> + use<> {
        let pair = match self {
            Instr::Vector(v) => [v.a, v.b],
            _ => [Operand::None; 2],
        };
        pair.into_iter().filter_map(|o| match o {
            Operand::FabIn(q, _) => Some(q),
            _ => None,
        })
    }

    /// The output queue that the instruction writes.
    pub fn output(&self) -> Option<OutQueue> {
        match self {
            Instr::Vector(Vector { dst: Operand::FabOut(q, _), .. }) => Some(*q),
            Instr::SendCtrl { queue, .. } => Some(*queue),
            _ => None,
        }
    }

    /// The registers that the instruction itself names or implies, at most four.
    pub fn registers(&self) -> impl Iterator<Item = Reg> + use<> {
        let of = |operand| match operand {
            Operand::Reg(r, _) => Some(r),
            _ => None,
        };
        let src = |src| match src {
            Src::Reg(r) => Some(r),
            Src::Imm(_) => None,
        };
        let named = match *self {
            Instr::Vector(v) => {
                let second = of(v.dst).filter(|_| v.op == VecOp::ArgMax);
                [of(v.dst), of(v.a), of(v.b), second.map(|r| Reg(r.0.saturating_add(1)))]
            }
            Instr::Li { rd, .. } => [Some(rd), None, None, None],
            Instr::Alu { rd, ra, b, .. } => [Some(rd), Some(ra), src(b), None],
            Instr::SelGt { rd, rs, ra, rb } => [rd, rs, ra, rb].map(Some),
            Instr::Branch { ra, b, .. } => [Some(ra), src(b), None, None],
            Instr::SendCtrl { payload, .. } => [src(payload), None, None, None],
            Instr::Jump { .. }
            | Instr::Activate(_)
            | Instr::Block(_)
            | Instr::Unblock(_)
            | Instr::End
            | Instr::Mark(_) => [None; 4],
        };
        named.into_iter().flatten()
    }
}
