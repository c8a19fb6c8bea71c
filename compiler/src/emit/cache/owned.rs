//! The KV cache on a PE where items hold several tokens: those of them that its column keeps, and who may look at what.
//!
//! The column's tokens of a chunk are every W-th from the first one on, and lie at places one behind another. A query may not look at
//! tokens behind its own, nor at those before its window: such scores become minus infinity. All tokens of a chunk are stored before
//! the first score is made, so that a ring has places for the window of the chunk's first token and all tokens behind that.

use crate::asm::{Asm, mem, n};
use crate::cache::{CacheSize, Ring};
use crate::emit::attention::Sizes;
use crate::emit::layers::Pe;
use crate::emit::{POSITION_BITS, POSITION_MASK, SLOT_MASK, regs};
use pe_isa::{AluOp, Cond, DType, Operand, Reg, Size, Src, VecOp};

const F: DType = DType::F32;
/// A token of the chunk that the column keeps: its number in the chunk.
const MINE: Reg = regs::A;
/// How many of the slot's tokens lie before it on the column.
const OLDER: Reg = regs::B;

/// Finds the item's places in a cache: registers `SLOT`, `TOKENS`, `FIRST_OWNED`, `BEFORE` and `TOKENS_SO_FAR`.
pub(super) fn locate(asm: &mut Asm, pe: &Pe, cache: &CacheSize) {
    use regs::*;
    let width = pe.place.width;
    asm.alu(AluOp::Shr, SLOT, WHERE, Src::Imm(POSITION_BITS));
    asm.alu(AluOp::And, SLOT, SLOT, Src::Imm(SLOT_MASK));
    asm.alu(AluOp::Mul, SLOT, SLOT, Src::Imm(cache.slot_bytes));
    asm.alu(AluOp::Add, FIRST_OWNED, COLUMN, Src::Imm(width));
    asm.alu(AluOp::Sub, FIRST_OWNED, FIRST_OWNED, Src::Reg(OWNER));
    asm.alu(AluOp::Rem, FIRST_OWNED, FIRST_OWNED, Src::Imm(width));
    asm.alu(AluOp::And, BEFORE, SHARE, Src::Imm(POSITION_MASK));
    asm.alu(AluOp::Lt, A, COLUMN, Src::Reg(OWNER));
    asm.alu(AluOp::Add, BEFORE, BEFORE, Src::Reg(A));
    // The column's share of the chunk, rounded up from its first token on.
    asm.alu(AluOp::Add, A, TOKENS_HELD, Src::Imm(width - 1));
    asm.alu(AluOp::Sub, A, A, Src::Reg(FIRST_OWNED));
    asm.alu(AluOp::Div, A, A, Src::Imm(width));
    asm.alu(AluOp::Add, TOKENS_SO_FAR, BEFORE, Src::Reg(A));
    let held = cache.ring.map_or(u32::MAX, |ring| ring.tokens);
    asm.alu(AluOp::Min, TOKENS, TOKENS_SO_FAR, Src::Imm(held));
}

/// What `work` makes for each token of the chunk that the column keeps, in registers [`MINE`] and [`OLDER`], which it leaves as they
/// are.
fn for_each_owned(asm: &mut Asm, pe: &Pe, work: impl FnOnce(&mut Asm)) {
    let width = pe.place.width;
    let done = asm.label();
    asm.alu(AluOp::Add, MINE, regs::FIRST_OWNED, Src::Imm(0));
    asm.alu(AluOp::Add, OLDER, regs::BEFORE, Src::Imm(0));
    let next = asm.here();
    asm.branch(Cond::Ge, MINE, Src::Reg(regs::TOKENS_HELD), done);
    work(asm);
    if pe.chunk().most > width {
        asm.alu(AluOp::Add, MINE, MINE, Src::Imm(width));
        asm.alu(AluOp::Add, OLDER, OLDER, Src::Imm(1));
        asm.jump(next);
    }
    asm.place(done);
}

/// `to` = byte offset of the place, of elements of `bytes` bytes, of the token before which there are as many on the column as `older`
/// says.
fn place_of(asm: &mut Asm, to: Reg, older: Reg, ring: Option<Ring>, bytes: u32) {
    let place = match ring {
        Some(ring) => {
            asm.alu(AluOp::Rem, to, older, Src::Imm(ring.tokens));
            to
        }
        None => older,
    };
    asm.alu(AluOp::Mul, to, place, Src::Imm(bytes));
}

/// Puts the keys and values of the column's tokens into the caches.
pub(super) fn append(asm: &mut Asm, pe: &Pe, s: &Sizes, local: usize) {
    let (layout, at) = (&pe.stage.layout, &pe.stage.layout.layers[local]);
    let act = pe.stage.formats.numerics.activations;
    let shape = [n(s.groups), n(s.dims)];
    let cache = [s.dims * s.tokens, s.tokens];
    let key = layout.rotated + s.queries * s.dims * act.bytes();
    let value = layout.qkv + (s.queries + 1) * s.dims * act.bytes();
    let (to, from) = (regs::APPEND, regs::C);
    for_each_owned(asm, pe, |asm| {
        place_of(asm, to, OLDER, at.cache.ring, act.bytes());
        asm.alu(AluOp::Add, to, to, Src::Reg(regs::SLOT));
        asm.alu(AluOp::Mul, from, MINE, Src::Imm(s.turned() * act.bytes()));
        let key = mem(key, &[(s.queries + 1) * s.dims, 1], act).plus(from);
        asm.mov(&shape, mem(at.keys, &cache, act).plus(to), key);
        asm.alu(AluOp::Mul, from, MINE, Src::Imm(s.qkv() * act.bytes()));
        let value = mem(value, &[(s.queries + 2) * s.dims, 1], act).plus(from);
        asm.alu(AluOp::Mul, regs::D, MINE, Src::Imm(F.bytes()));
        let ratio = mem(layout.factors.ratio, &[0, 0], F).plus(regs::D);
        asm.vec(VecOp::Mul, &shape, mem(at.values, &cache, act).plus(to), value, ratio);
    });
}

/// Makes the scores minus infinity of tokens that a query may not look at: those of the chunk behind it, and those before its window.
pub(super) fn mask(asm: &mut Asm, pe: &Pe, s: &Sizes, local: usize) {
    let (layout, at) = (&pe.stage.layout, &pe.stage.layout.layers[local]);
    let lowest = Operand::f32(f32::NEG_INFINITY);
    let step = s.heads() * s.tokens;
    let scores = |offset| mem(layout.scores, &[step, s.tokens], F).plus(offset);
    for_each_owned(asm, pe, |asm| {
        place_of(asm, regs::C, OLDER, at.cache.ring, F.bytes());
        asm.mov(&[Size::Reg(MINE), n(s.heads())], scores(regs::C), lowest);
    });
    let Some(ring) = at.cache.ring else { return };
    // From the oldest token that the ring has to the last that is before the window of the chunk's last token.
    let (older, first) = (regs::A, regs::B);
    asm.alu(AluOp::Max, older, regs::TOKENS_SO_FAR, Src::Imm(ring.tokens));
    asm.alu(AluOp::Sub, older, older, Src::Imm(ring.tokens));
    let (next, done) = (asm.here(), asm.label());
    // The first position to which the token is too old, and as a number in the chunk.
    asm.alu(AluOp::Mul, first, older, Src::Imm(pe.place.width));
    asm.alu(AluOp::Add, first, first, Src::Reg(regs::COLUMN));
    asm.alu(AluOp::Add, first, first, Src::Imm(ring.window));
    asm.alu(AluOp::Max, first, first, Src::Reg(regs::POSITION));
    asm.alu(AluOp::Sub, first, first, Src::Reg(regs::POSITION));
    asm.branch(Cond::Ge, first, Src::Reg(regs::TOKENS_HELD), done);
    let (queries, offset) = (regs::C, regs::D);
    asm.alu(AluOp::Sub, queries, regs::TOKENS_HELD, Src::Reg(first));
    asm.alu(AluOp::Mul, first, first, Src::Imm(step * F.bytes()));
    place_of(asm, offset, older, Some(ring), F.bytes());
    asm.alu(AluOp::Add, offset, offset, Src::Reg(first));
    asm.mov(&[Size::Reg(queries), n(s.heads())], scores(offset), lowest);
    asm.alu(AluOp::Add, older, older, Src::Imm(1));
    asm.jump(next);
    asm.place(done);
}
