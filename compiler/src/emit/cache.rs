//! The KV cache on a PE: storing a token's key and value, and attending to what its column keeps.
//!
//! A layer with a window keeps the last tokens of a column in a ring. Work runs over all of the ring, in whatever order its
//! tokens lie, since a softmax does not depend on the order but for the rounding of sums. A ring has no more places than the
//! window needs on some column, so that at most one token on a PE is too old: the oldest, which lies where the next one will.
//! Its score becomes minus infinity.

mod owned;

use crate::asm::{Asm, Mem, mem, n};
use crate::cache::{CacheSize, Ring};
use crate::emit::attention::Sizes;
use crate::emit::chunk::token_offset;
use crate::emit::collective::{broadcast, reduce, share_in_place};
use crate::emit::layers::Pe;
use crate::emit::{POSITION_BITS, POSITION_MASK, SLOT_MASK, f32_reg, regs};
use crate::lines::{BLOCK, LinePos};
use pe_isa::{AluOp, Cond, DType, Operand, Reg, Size, Src, VecOp};

const F: DType = DType::F32;

/// Finds the item's places in a cache: registers `SLOT`, `APPEND` and `TOKENS`, and in a ring `STALE` and `OLDEST`.
pub(super) fn locate(asm: &mut Asm, pe: &Pe, cache: &CacheSize) {
    use regs::*;
    if !pe.chunk().is_one() {
        return owned::locate(asm, pe, cache);
    }
    let act = pe.stage.formats.numerics.activations.bytes();
    asm.alu(AluOp::Shr, SLOT, WHERE, Src::Imm(POSITION_BITS));
    asm.alu(AluOp::And, SLOT, SLOT, Src::Imm(SLOT_MASK));
    asm.alu(AluOp::Mul, SLOT, SLOT, Src::Imm(cache.slot_bytes));
    asm.alu(AluOp::And, A, SHARE, Src::Imm(POSITION_MASK));
    let place = if let Some(ring) = cache.ring {
        asm.alu(AluOp::Rem, APPEND, A, Src::Imm(ring.tokens));
        APPEND
    } else {
        A
    };
    asm.alu(AluOp::Mul, APPEND, place, Src::Imm(act));
    asm.alu(AluOp::Add, APPEND, APPEND, Src::Reg(SLOT));
    asm.alu(AluOp::Lt, B, OWNER, Src::Reg(COLUMN));
    asm.alu(AluOp::Add, TOKENS, A, Src::Imm(1));
    asm.alu(AluOp::Sub, TOKENS, TOKENS, Src::Reg(B));
    if let Some(ring) = cache.ring {
        if has_stale(pe, &ring) {
            find_stale(asm, pe, &ring);
        }
        asm.alu(AluOp::Min, TOKENS, TOKENS, Src::Imm(ring.tokens));
    }
}

/// Whether some columns have a token less in the window than they keep.
fn has_stale(pe: &Pe, ring: &Ring) -> bool {
    ring.full_columns < pe.place.width
}

/// Sets `STALE` and `OLDEST`, with all tokens of the column so far in `TOKENS` and in `B` whether the owner lies west of it.
/// The column's newest token is as many positions old as the owner lies behind it, going round; from `full_columns` on, a
/// full ring reaches back beyond the window. In one that is not full, `OLDEST` is a place that nobody looks at.
fn find_stale(asm: &mut Asm, pe: &Pe, ring: &Ring) {
    use regs::*;
    asm.alu(AluOp::Sub, A, OWNER, Src::Reg(COLUMN));
    asm.alu(AluOp::Mul, B, B, Src::Imm(pe.place.width));
    asm.alu(AluOp::Add, A, A, Src::Reg(B));
    asm.alu(AluOp::Lt, A, A, Src::Imm(ring.full_columns));
    asm.alu(AluOp::Eq, STALE, A, Src::Imm(0));
    asm.alu(AluOp::Rem, OLDEST, TOKENS, Src::Imm(ring.tokens));
    asm.alu(AluOp::Mul, OLDEST, OLDEST, Src::Imm(F.bytes()));
}

/// On the owning column, puts the token's key and value into the caches.
pub(super) fn append(asm: &mut Asm, pe: &Pe, s: &Sizes, local: usize) {
    let (layout, at) = (&pe.stage.layout, &pe.stage.layout.layers[local]);
    if !pe.chunk().is_one() {
        return owned::append(asm, pe, s, local);
    }
    let act = pe.stage.formats.numerics.activations;
    let done = asm.label();
    asm.branch(Cond::Ne, regs::COLUMN, Src::Reg(regs::OWNER), done);
    let shape = [n(s.groups), n(s.dims)];
    let cache = [s.dims * s.tokens, s.tokens];
    let key = layout.rotated + s.queries * s.dims * act.bytes();
    let key = mem(key, &[(s.queries + 1) * s.dims, 1], act);
    asm.mov(&shape, mem(at.keys, &cache, act).plus(regs::APPEND), key);
    let value = layout.qkv + (s.queries + 1) * s.dims * act.bytes();
    let value = mem(value, &[(s.queries + 2) * s.dims, 1], act);
    let cached = mem(at.values, &cache, act).plus(regs::APPEND);
    asm.vec(VecOp::Mul, &shape, cached, value, f32_reg(regs::RATIO));
    asm.place(done);
}

/// Loops over tokens of the item, query heads and the column's tokens, and what lies so in SRAM at `base`.
pub(super) fn all_scores(pe: &Pe, s: &Sizes, base: u32, dtype: DType) -> (Vec<Size>, Mem) {
    let chunk = pe.chunk();
    let shape = chunk.each(&[n(s.heads()), Size::Reg(regs::TOKENS)]);
    (shape, chunk.mem(base, s.heads() * s.tokens, &[s.tokens, 1], dtype))
}

/// A vector or matrix of each token: address, elements from one token's to the next one's, strides over key-value heads, their
/// queries, dimensions and the column's tokens, type.
type OfTokens = (u32, u32, [u32; 4], DType);

/// Multiply-adds of a cache with something of each query.
struct Products {
    sums: OfTokens,
    /// Key or value cache.
    cached: (u32, DType),
    factors: OfTokens,
    /// From so many tokens of the item on are runs along these faster than runs along the column's tokens; where that depends on the
    /// number of the latter, if there are more.
    runs: Option<u32>,
}

/// Tokens of an item from which on the weighted values are faster in runs along these: a run takes about 9 cycles, and a product that
/// is folded into a sum with others 1.3 more than one that is not.
const MANY_TOKENS: u32 = 7;

/// Multiplies and adds over tokens of the item, key-value heads, their queries, dimensions and the column's tokens. Where items hold
/// several tokens that is a loop too many for one operation, and rows with several key-value heads take these one after another.
fn add_products(asm: &mut Asm, pe: &Pe, s: &Sizes, products: &Products) {
    let chunk = pe.chunk();
    let inner = [n(s.groups), n(s.queries), n(s.dims), Size::Reg(regs::TOKENS)];
    let strides = [s.dims * s.tokens, 0, s.tokens, 1];
    let (cache, dtype) = products.cached;
    if chunk.is_one() || s.groups > 1 {
        let one = |asm: &mut Asm, offsets: Option<[Reg; 2]>| {
            let of = |(base, _, strides, dtype): OfTokens, at: usize| {
                mem(base, &strides, dtype).shifted(offsets.map(|offsets| offsets[at]))
            };
            let cached = mem(cache, &strides, dtype).plus(regs::SLOT);
            asm.vec(VecOp::Fmac, &inner, of(products.sums, 0), cached, of(products.factors, 1));
        };
        if chunk.is_one() {
            return one(asm, None);
        }
        return chunk.for_each(asm, |asm| {
            let offsets = [regs::A, regs::B];
            for (to, (_, step, _, dtype)) in
                offsets.into_iter().zip([products.sums, products.factors])
            {
                token_offset(asm, to, step * dtype.bytes());
            }
            one(asm, Some(offsets));
        });
    }
    let (few, done) = (asm.label(), asm.label());
    if products.runs.is_none_or(|least| least <= chunk.most) {
        let held = regs::TOKENS_HELD;
        match products.runs {
            Some(least) => asm.branch(Cond::Lt, held, Src::Imm(least), few),
            None => asm.branch(Cond::Ge, regs::TOKENS, Src::Reg(held), few),
        }
        let shape = [n(s.queries), n(s.dims), Size::Reg(regs::TOKENS), Size::Reg(held)];
        let of = |(base, step, [_, a, b, c], dtype): OfTokens| mem(base, &[a, b, c, step], dtype);
        let cached = mem(cache, &[0, s.tokens, 1, 0], dtype).plus(regs::SLOT);
        asm.vec(VecOp::Fmac, &shape, of(products.sums), cached, of(products.factors));
        asm.jump(done);
    }
    asm.place(few);
    let of = |(base, step, strides, dtype): OfTokens| chunk.mem(base, step, &strides[1..], dtype);
    let cached = chunk.mem(cache, 0, &strides[1..], dtype).plus(regs::SLOT);
    let shape = chunk.each(&inner[1..]);
    asm.vec(VecOp::Fmac, &shape, of(products.sums), cached, of(products.factors));
    asm.place(done);
}

/// Scores of the column's tokens: multiply-adds along tokens, one dimension after another, then summed over the
/// rows that share the head.
pub(super) fn score(asm: &mut Asm, pe: &Pe, s: &Sizes, local: usize) {
    let (layout, at) = (&pe.stage.layout, &pe.stage.layout.layers[local]);
    let act = pe.stage.formats.numerics.activations;
    let (flat, scores) = all_scores(pe, s, layout.scores, F);
    asm.mov(&flat, scores.clone(), Operand::f32(0.0));
    let sums = [s.queries * s.tokens, s.tokens, 0, 1];
    let queries = [(s.queries + 1) * s.dims, s.dims, 1, 0];
    let operands = Products {
        sums: (layout.scores, s.heads() * s.tokens, sums, F),
        cached: (at.keys, act),
        factors: (layout.rotated, s.turned(), queries, act),
        runs: None,
    };
    add_products(asm, pe, s, &operands);
    let within = pe.place.row - pe.heads.block_start;
    let block = LinePos::centred(within, pe.heads.block_len, BLOCK);
    if block.len > 1 {
        reduce(asm, &block, VecOp::Add, &flat, &scores, F);
        share_in_place(asm, &block, &flat, &scores);
    }
}

/// Softmax over all tokens of the row: the largest score of the row, then the exponentials and their sum on this PE. Sinks
/// take part in both at the row's root, in f32.
pub(super) fn soften(asm: &mut Asm, pe: &Pe, s: &Sizes, local: usize, has_sinks: bool) {
    let (layout, at) = (&pe.stage.layout, &pe.stage.layout.layers[local]);
    let sinks = (has_sinks && pe.row.is_root()).then(|| pe.chunk().mem(at.sinks, 0, &[1], F));
    let act = pe.stage.formats.numerics.activations;
    let chunk = pe.chunk();
    let (flat, scores) = all_scores(pe, s, layout.scores, F);
    let per_head = |base| chunk.mem(base, s.heads(), &[1, 0], F);
    let largest = mem(layout.largest, &[1], F);
    let lowest = Operand::f32(f32::NEG_INFINITY);
    if !chunk.is_one() {
        owned::mask(asm, pe, s, local);
    } else if at.cache.ring.is_some_and(|ring| has_stale(pe, &ring)) {
        let oldest = mem(layout.scores, &[s.tokens, 1], F).plus(regs::OLDEST);
        asm.mov(&[n(s.heads()), Size::Reg(regs::STALE)], oldest, lowest);
    }
    let each = chunk.each(&[n(s.heads())]);
    let for_each = |base| chunk.mem(base, s.heads(), &[1], F);
    match &sinks {
        Some(sinks) => asm.mov(&each, for_each(layout.largest), sinks.clone()),
        None => {
            let heads = chunk.flat(asm, s.heads());
            asm.mov(&heads, largest.clone(), lowest);
        }
    }
    let running = per_head(layout.largest);
    asm.vec(VecOp::Max, &flat, running.clone(), scores.clone(), running.clone());
    let heads = chunk.flat(asm, s.heads());
    reduce(asm, &pe.row, VecOp::Max, &heads, &largest, F);
    share_in_place(asm, &pe.row, &heads, &largest);
    asm.vec(VecOp::Sub, &flat, scores.clone(), scores.clone(), running);
    let (_, weights) = all_scores(pe, s, layout.weights, act);
    asm.vec(VecOp::Exp, &flat, weights.clone(), scores, Operand::None);
    let sum = mem(layout.total, &[1], F);
    if let Some(sinks) = sinks {
        asm.vec(VecOp::Sub, &each, for_each(layout.total), sinks, for_each(layout.largest));
        asm.vec(VecOp::Exp, &heads, sum.clone(), sum, Operand::None);
    } else {
        asm.mov(&heads, sum, Operand::f32(0.0));
    }
    let total = per_head(layout.total);
    asm.vec(VecOp::Add, &flat, total.clone(), weights, total);
}

/// Values weighted by the softmax, summed over the row and divided by the sum of weights.
pub(super) fn mix(asm: &mut Asm, pe: &Pe, s: &Sizes, local: usize) {
    let (layout, at) = (&pe.stage.layout, &pe.stage.layout.layers[local]);
    let numerics = &pe.stage.formats.numerics;
    let (act, acc) = (numerics.activations, numerics.accumulate);
    let chunk = pe.chunk();
    let step = s.heads() * s.dims;
    let elements = chunk.flat(asm, step);
    let mixed = mem(layout.mixed, &[1], acc);
    asm.mov(&elements, mixed.clone(), Operand::Imm(0, acc));
    let weights = [s.queries * s.tokens, s.tokens, 0, 1];
    let operands = Products {
        sums: (layout.mixed, step, [s.queries * s.dims, s.dims, 1, 0], acc),
        cached: (at.values, act),
        factors: (layout.weights, s.heads() * s.tokens, weights, act),
        runs: Some(MANY_TOKENS),
    };
    add_products(asm, pe, s, &operands);
    let total = mem(layout.total, &[1], F);
    let heads = chunk.flat(asm, s.heads());
    reduce(asm, &pe.row, VecOp::Add, &heads, &total, F);
    let elements = chunk.flat(asm, step);
    reduce(asm, &pe.row, VecOp::Add, &elements, &mixed, acc);
    if pe.row.is_root() {
        let heads = chunk.flat(asm, s.heads());
        asm.vec(VecOp::Recip, &heads, total.clone(), total, Operand::None);
    }
    let shape = chunk.each(&[n(s.heads()), n(s.dims)]);
    let sent = (
        VecOp::Mul,
        chunk.mem(layout.mixed, step, &[s.dims, 1], acc).into(),
        chunk.mem(layout.total, s.heads(), &[1, 0], F).into(),
    );
    let attended = chunk.mem(layout.attended, step, &[s.dims, 1], act);
    broadcast(asm, &pe.row, &shape, sent, &attended, act);
}
