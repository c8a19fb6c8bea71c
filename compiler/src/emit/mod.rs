//! Pass 8, programs: what each PE executes, written with the builder in `asm`.
//!
//! Every program is one task that loops over items for ever. The words of an item in each column: *where* (position, slot
//! and whether a token is wanted), *end* (the position that is not to be fed back any more), *scale* (the last norm's factor,
//! f32), *share* (position divided by the columns, and the remainder), then the column's slice of the residual stream. Where
//! items hold several tokens ([`chunk`]), position and share are the first token's, *end* has the number of the others in its high bits,
//! and behind *share* come the scales of all tokens, then their slices.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod cache;
pub(crate) mod choice;
pub(crate) mod chunk;
pub(crate) mod collective;
pub(crate) mod embed;
pub(crate) mod experts;
pub(crate) mod head;
pub(crate) mod head_norm;
pub(crate) mod layers;
pub(crate) mod linear;
pub(crate) mod mlp;
pub(crate) mod port;
pub(crate) mod router;

use crate::lines::LinePos;
use crate::options::Numerics;
use pe_isa::{Operand, Reg};

/// Registers with one meaning in all programs.
pub(crate) mod regs {
    use pe_isa::Reg;
    /// Item: position in bits 0–19, slot in 20–27, 28: a token is wanted.
    pub(crate) const WHERE: Reg = Reg(0);
    /// Item: first position that is not fed back.
    pub(crate) const END: Reg = Reg(1);
    /// Item, then running: factor of the latest norm of this residual stream, f32.
    pub(crate) const SCALE: Reg = Reg(2);
    /// Item: position / columns in bits 0–19, position mod columns in 20–31.
    pub(crate) const SHARE: Reg = Reg(3);
    /// What an item begins with, in this order.
    pub(crate) const HEADER: [Reg; 4] = [WHERE, END, SCALE, SHARE];
    /// Position.
    pub(crate) const POSITION: Reg = Reg(4);
    /// Byte offset of the slot in the key and value caches of the layers at work.
    pub(crate) const SLOT: Reg = Reg(5);
    /// Byte offset in the caches of the token's place.
    pub(crate) const APPEND: Reg = Reg(6);
    /// Column that keeps the token's key and value.
    pub(crate) const OWNER: Reg = Reg(7);
    /// Tokens of the slot in those caches, the current one included.
    pub(crate) const TOKENS: Reg = Reg(8);
    /// 1 / [`SCALE`] on roots of rows, f32.
    pub(crate) const UNSCALE: Reg = Reg(9);
    /// Where items hold several tokens: elements of all their vectors, for the operation at hand.
    pub(crate) const LEN: Reg = Reg(9);
    /// Work.
    pub(crate) const A: Reg = Reg(10);
    /// Work.
    pub(crate) const B: Reg = Reg(11);
    /// Work.
    pub(crate) const C: Reg = Reg(12);
    /// Work.
    pub(crate) const D: Reg = Reg(13);
    /// Factor that the latest normed sums still lack, f32.
    pub(crate) const RATIO: Reg = Reg(14);
    /// Receives words that nobody wants.
    pub(crate) const VOID: Reg = Reg(15);
    /// Parameter: this PE's column.
    pub(crate) const COLUMN: Reg = Reg(16);
    /// Where items hold several tokens: how many this one has.
    pub(crate) const TOKENS_HELD: Reg = Reg(17);
    /// The one at work in a loop over them, from 0.
    pub(crate) const TOKEN: Reg = Reg(18);
    /// Tokens of the slot so far on this column, those of the chunk included, whether the cache still has them or not.
    pub(crate) const TOKENS_SO_FAR: Reg = Reg(19);
    /// Parameter: first vocabulary entry of this row.
    pub(crate) const VOCAB: Reg = Reg(20);
    /// Parameters of the gather of the MLP's inner vector.
    pub(crate) const GATHER_BEFORE: Reg = Reg(21);
    /// See [`GATHER_BEFORE`].
    pub(crate) const GATHER_BEHIND: Reg = Reg(22);
    /// Parameter of the head, where its logits go to the host: vocabulary entries behind this row's.
    pub(crate) const VOCAB_BEHIND: Reg = Reg(22);
    /// Parameter of the embedding: first position of this row's part of the position table.
    pub(crate) const POSITIONS: Reg = Reg(21);
    /// See [`GATHER_BEFORE`]; also the byte offset of the share in the rounded gate and up vectors.
    pub(crate) const GATHER_OFFSET: Reg = Reg(23);
    /// 1 if the oldest token of a full ring on this PE lies before the window, else 0.
    pub(crate) const STALE: Reg = Reg(24);
    /// Byte offset of that token's score.
    pub(crate) const OLDEST: Reg = Reg(25);
    /// Where items hold several tokens: the first of the chunk that this column keeps, if it is that long.
    pub(crate) const FIRST_OWNED: Reg = Reg(24);
    /// Tokens of the slot on this column before the chunk.
    pub(crate) const BEFORE: Reg = Reg(25);
    /// Choices that have yet to come, before an expert is at work.
    pub(crate) const CHOICES: Reg = Reg(26);
    /// Byte offset of the expert at work among those of the row.
    pub(crate) const EXPERT: Reg = Reg(26);
    /// Its weight, f32; where a row has several experts, work before one is at work.
    pub(crate) const WEIGHT: Reg = Reg(28);
    /// On roots of rows: factor that the weights of all chosen experts lack, f32; on the root that chooses first their sum.
    pub(crate) const NORMALISER: Reg = Reg(20);
    /// Which of the row's experts are chosen and still to be worked on, one bit each, the first expert's the lowest of the first.
    pub(crate) const CHOSEN: [Reg; 4] = [Reg(27), Reg(29), Reg(30), Reg(31)];
}

/// Words of a new token on its way back to the embedding.
pub(crate) const FEEDBACK_WORDS: u32 = 3;
/// Bits of a position in [`regs::WHERE`].
pub(crate) const POSITION_BITS: u32 = 20;
/// Bits of a slot in [`regs::WHERE`].
pub(crate) const SLOT_BITS: u32 = 8;
/// A position in its lowest bits.
pub(crate) const POSITION_MASK: u32 = (1 << POSITION_BITS) - 1;
/// A slot in the lowest bits.
pub(crate) const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;
/// Bit of [`regs::WHERE`] that asks for a token.
pub(crate) const WANTED_BIT: u32 = POSITION_BITS + SLOT_BITS;

/// Marks for observers.
pub mod marks {
    /// A root of a row of the head stage has this row's logits in SRAM.
    pub const LOGITS: u16 = 1;
    /// The head's root has chosen a token.
    pub const TOKEN: u16 = 2;
    /// A PE of a stage of layers has its slice of an item.
    pub const ITEM: u16 = 16;
    /// Queries, keys and values of the layer are on the PE.
    pub const PROJECTED: u16 = 17;
    /// Queries and keys are rotated and cached.
    pub const CACHED: u16 = 18;
    /// Scores are complete.
    pub const SCORED: u16 = 19;
    /// The attention result is on the PE.
    pub const ATTENDED: u16 = 20;
    /// Attention has been added to the residual stream.
    pub const ATTENTION: u16 = 21;
    /// Gate and up are on the PE.
    pub const GATED: u16 = 22;
    /// The activation is on the PE.
    pub const ACTIVATED: u16 = 23;
    /// The MLP has been added to the residual stream.
    pub const LAYER: u16 = 24;
    /// The PE knows which of the row's experts are chosen.
    pub const ROUTED: u16 = 25;
    /// The layer's scores have become weights of values.
    pub const SOFTENED: u16 = 26;
    /// The PE has what it needs of an item besides its slice, and begins with the layers.
    pub const BEGUN: u16 = 27;
}

/// A PE's place in its rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) column: u32,
    pub(crate) row: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Its place in its row.
    pub(crate) in_row: LinePos,
    /// Its place in its column.
    pub(crate) in_column: LinePos,
}

/// What all emitters need to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Formats {
    pub(crate) numerics: Numerics,
    /// Tokens of an item.
    pub(crate) chunk: chunk::Chunk,
}

/// A register as an f32 operand.
pub(crate) fn f32_reg(reg: Reg) -> Operand {
    Operand::Reg(reg, pe_isa::DType::F32)
}
