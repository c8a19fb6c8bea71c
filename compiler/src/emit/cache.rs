//! The KV cache on a PE: storing a token's key and value, and attending to what its column keeps.

use crate::asm::{Asm, mem, n};
use crate::emit::attention::Sizes;
use crate::emit::collective::{broadcast, reduce, share_in_place};
use crate::emit::layers::Pe;
use crate::emit::{f32_reg, regs};
use crate::lines::{BLOCK, LinePos};
use pe_isa::{Cond, DType, Operand, Size, Src, VecOp};

const F: DType = DType::F32;

/// On the owning column, puts the token's key and value into the caches.
pub(super) fn append(asm: &mut Asm, pe: &Pe, s: &Sizes, local: usize) {
    let (layout, at) = (&pe.stage.layout, &pe.stage.layout.layers[local]);
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

/// Scores of the column's tokens: multiply-adds along tokens, one dimension after another, then summed over the
/// rows that share the head.
pub(super) fn score(asm: &mut Asm, pe: &Pe, s: &Sizes, local: usize) {
    let (layout, at) = (&pe.stage.layout, &pe.stage.layout.layers[local]);
    let act = pe.stage.formats.numerics.activations;
    let tokens = Size::Reg(regs::TOKENS);
    let flat = [n(s.heads()), tokens];
    let scores = mem(layout.scores, &[s.tokens, 1], F);
    asm.mov(&flat, scores.clone(), Operand::f32(0.0));
    asm.vec(
        VecOp::Fmac,
        &[n(s.groups), n(s.queries), n(s.dims), tokens],
        mem(layout.scores, &[s.queries * s.tokens, s.tokens, 0, 1], F),
        mem(at.keys, &[s.dims * s.tokens, 0, s.tokens, 1], act).plus(regs::SLOT),
        mem(layout.rotated, &[(s.queries + 1) * s.dims, s.dims, 1, 0], act),
    );
    let within = pe.place.row - pe.heads.block_start;
    let block = LinePos::centred(within, pe.heads.block_len, BLOCK);
    if block.len > 1 {
        reduce(asm, &block, VecOp::Add, &flat, &scores, F);
        share_in_place(asm, &block, &flat, &scores);
    }
}

/// Softmax over all tokens of the row: the largest score of the row, then the exponentials and their sum on this PE.
pub(super) fn soften(asm: &mut Asm, pe: &Pe, s: &Sizes) {
    let layout = &pe.stage.layout;
    let act = pe.stage.formats.numerics.activations;
    let heads = [n(s.heads())];
    let flat = [n(s.heads()), Size::Reg(regs::TOKENS)];
    let scores = mem(layout.scores, &[s.tokens, 1], F);
    let per_head = |base| mem(base, &[1, 0], F);
    let largest = mem(layout.largest, &[1], F);
    asm.mov(&heads, largest.clone(), Operand::f32(f32::NEG_INFINITY));
    let running = per_head(layout.largest);
    asm.vec(VecOp::Max, &flat, running.clone(), scores.clone(), running.clone());
    reduce(asm, &pe.row, VecOp::Max, &heads, &largest, F);
    share_in_place(asm, &pe.row, &heads, &largest);
    asm.vec(VecOp::Sub, &flat, scores.clone(), scores.clone(), running);
    let weights = mem(layout.weights, &[s.tokens, 1], act);
    asm.vec(VecOp::Exp, &flat, weights.clone(), scores, Operand::None);
    asm.mov(&heads, mem(layout.total, &[1], F), Operand::f32(0.0));
    let total = per_head(layout.total);
    asm.vec(VecOp::Add, &flat, total.clone(), weights, total);
}

/// Values weighted by the softmax, summed over the row and divided by the sum of weights.
pub(super) fn mix(asm: &mut Asm, pe: &Pe, s: &Sizes, local: usize) {
    let (layout, at) = (&pe.stage.layout, &pe.stage.layout.layers[local]);
    let numerics = &pe.stage.formats.numerics;
    let (act, acc) = (numerics.activations, numerics.accumulate);
    let elements = [n(s.heads() * s.dims)];
    let mixed = mem(layout.mixed, &[1], acc);
    asm.mov(&elements, mixed.clone(), Operand::Imm(0, acc));
    asm.vec(
        VecOp::Fmac,
        &[n(s.groups), n(s.queries), n(s.dims), Size::Reg(regs::TOKENS)],
        mem(layout.mixed, &[s.queries * s.dims, s.dims, 1, 0], acc),
        mem(at.values, &[s.dims * s.tokens, 0, s.tokens, 1], act).plus(regs::SLOT),
        mem(layout.weights, &[s.queries * s.tokens, s.tokens, 0, 1], act),
    );
    let total = mem(layout.total, &[1], F);
    reduce(asm, &pe.row, VecOp::Add, &[n(s.heads())], &total, F);
    reduce(asm, &pe.row, VecOp::Add, &elements, &mixed, acc);
    if pe.row.is_root() {
        let heads = [n(s.heads())];
        asm.vec(VecOp::Recip, &heads, total.clone(), total, Operand::None);
    }
    let shape = [n(s.heads()), n(s.dims)];
    let sent = (
        VecOp::Mul,
        mem(layout.mixed, &[s.dims, 1], acc).into(),
        mem(layout.total, &[1, 0], F).into(),
    );
    broadcast(asm, &pe.row, &shape, sent, &mem(layout.attended, &[s.dims, 1], act), act);
}
