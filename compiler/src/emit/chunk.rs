//! The tokens of an item. An item holds up to `most` consecutive tokens of one request; where that is one, a token's scalars
//! are registers and nothing loops over tokens. Elsewhere vectors of all tokens lie in SRAM one behind another, and the
//! scalars that the norms make, one for each token, lie there too.

use crate::asm::{Asm, Mem, Op, mem, n};
use crate::emit::{POSITION_BITS, f32_reg, regs};
use pe_isa::{AluOp, Cond, DType, Reg, Size, Src};

/// Tokens that an item may hold at most: those behind the first are counted in the bits of its second word that a position leaves free.
pub(crate) const MOST_OF_CHUNK: u32 = 1 << (32 - POSITION_BITS);

/// How many tokens an item holds at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) most: u32,
}

impl Chunk {
    /// Items of one token.
    pub(crate) const ONE: Chunk = Chunk { most: 1 };

    pub(crate) fn is_one(self) -> bool {
        self.most == 1
    }

    /// One loop over the vectors of `len` elements of all tokens, which lie one behind another. Register `LEN` is overwritten.
    pub(crate) fn flat(self, asm: &mut Asm, len: u32) -> [Size; 1] {
        if self.is_one() {
            return [n(len)];
        }
        if len == 1 {
            return [Size::Reg(regs::TOKENS_HELD)];
        }
        asm.alu(AluOp::Mul, regs::LEN, regs::TOKENS_HELD, Src::Imm(len));
        [Size::Reg(regs::LEN)]
    }

    /// The loops `inner`, for each token.
    pub(crate) fn each(self, inner: &[Size]) -> Vec<Size> {
        let tokens = (!self.is_one()).then_some(Size::Reg(regs::TOKENS_HELD));
        tokens.into_iter().chain(inner.iter().copied()).collect()
    }

    /// Memory for loops of [`Chunk::each`]: what belongs to a token lies `step` elements behind what belongs to the one before.
    pub(crate) fn mem(self, base: u32, step: u32, inner: &[u32], dtype: DType) -> Mem {
        let tokens = (!self.is_one()).then_some(step);
        let strides: Vec<u32> = tokens.into_iter().chain(inner.iter().copied()).collect();
        mem(base, &strides, dtype)
    }

    /// What `work` makes for each token, whose number within the chunk is in register `TOKEN`.
    pub(crate) fn for_each(self, asm: &mut Asm, work: impl FnOnce(&mut Asm)) {
        asm.li(regs::TOKEN, 0);
        let next = asm.here();
        work(asm);
        asm.alu(AluOp::Add, regs::TOKEN, regs::TOKEN, Src::Imm(1));
        asm.branch(Cond::Lt, regs::TOKEN, Src::Reg(regs::TOKENS_HELD), next);
    }

    /// Sets register `TOKENS_HELD` from the item's second word.
    pub(crate) fn count(self, asm: &mut Asm) {
        if !self.is_one() {
            asm.alu(AluOp::Shr, regs::TOKENS_HELD, regs::END, Src::Imm(POSITION_BITS));
            asm.alu(AluOp::Add, regs::TOKENS_HELD, regs::TOKENS_HELD, Src::Imm(1));
        }
    }
}

/// `to` = bytes from the first token's vector to that of the token in register `TOKEN`, for vectors of `bytes` bytes.
pub(crate) fn token_offset(asm: &mut Asm, to: Reg, bytes: u32) {
    asm.alu(AluOp::Mul, to, regs::TOKEN, Src::Imm(bytes));
}

/// Where the factors of norms are: in registers where items hold one token, else in SRAM, f32 `[token]` each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Factors {
    pub(crate) chunk: Chunk,
    /// Of the latest norm of the residual stream, register `SCALE`.
    pub(crate) scale: u32,
    /// One over it, on roots of rows, register `UNSCALE`.
    pub(crate) unscale: u32,
    /// What the latest normed sums still lack, register `RATIO`.
    pub(crate) ratio: u32,
    /// Of the latest norm behind a half, register `B`.
    pub(crate) behind: u32,
}

/// One of [`Factors`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Factor {
    chunk: Chunk,
    pub(crate) reg: Reg,
    pub(crate) at: u32,
}

impl Factor {
    /// As an operand of loops of [`Chunk::each`] with so many inner loops, or of [`Chunk::flat`] with one element each.
    pub(crate) fn over(self, inner: usize) -> Op {
        if self.chunk.is_one() {
            return f32_reg(self.reg).into();
        }
        let strides: Vec<u32> = [1].into_iter().chain(vec![0; inner]).collect();
        mem(self.at, &strides, DType::F32).into()
    }

    /// All tokens' in SRAM; where items hold one token there is none.
    pub(crate) fn stored(self) -> Option<Mem> {
        (!self.chunk.is_one()).then(|| mem(self.at, &[1], DType::F32))
    }
}

impl Factors {
    /// Those of items of one token.
    pub(crate) const IN_REGISTERS: Factors =
        Factors { chunk: Chunk::ONE, scale: 0, unscale: 0, ratio: 0, behind: 0 };

    fn factor(&self, reg: Reg, at: u32) -> Factor {
        Factor { chunk: self.chunk, reg, at }
    }

    pub(crate) fn scale(&self) -> Factor {
        self.factor(regs::SCALE, self.scale)
    }

    pub(crate) fn unscale(&self) -> Factor {
        self.factor(regs::UNSCALE, self.unscale)
    }

    pub(crate) fn ratio(&self) -> Factor {
        self.factor(regs::RATIO, self.ratio)
    }

    pub(crate) fn behind(&self) -> Factor {
        self.factor(regs::B, self.behind)
    }
}
