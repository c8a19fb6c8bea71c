//! Norms of queries and keys on a PE, each over the dimensions of its head, which may lie on several rows.

use crate::asm::{Asm, mem, n};
use crate::emit::attention::Sizes;
use crate::emit::collective::{reduce, share_in_place};
use crate::emit::layers::Pe;
use crate::layout::LayerAt;
use crate::lines::{BLOCK, LinePos};
use models::{Norm, NormKind};
use pe_isa::{DType, Operand, VecOp};

const F: DType = DType::F32;

/// Norms every query and key of the row into f32 `[head][query…, key][dimension]`; `norm` stands for both norms, whose weights
/// and biases lie at the layer's addresses. The factor `r` in `RATIO`, which the projections still lack, is made up for: with
/// `q` as projected, the norm's factor on `q` is `r / sqrt(r² · mean(q²) + epsilon)`.
pub(super) fn emit(asm: &mut Asm, pe: &Pe, s: &Sizes, at: &LayerAt, norm: &Norm) {
    sum(asm, pe, s, norm);
    factors(asm, pe, s, norm);
    let layout = &pe.stage.layout;
    let each = s.queries + 1;
    let chunk = pe.chunk();
    let shape = chunk.each(&[n(s.groups), n(each), n(s.dims)]);
    let normed = chunk.mem(layout.normed, s.turned(), &[each * s.dims, s.dims, 1], F);
    let per_head = |base| chunk.mem(base, count(s), &[each, 1, 0], F);
    let mut from = projected(pe, s);
    if norm.kind == NormKind::Layer {
        asm.vec(VecOp::Add, &shape, normed.clone(), from, per_head(means(pe, s)));
        from = normed.clone();
    }
    asm.vec(VecOp::Mul, &shape, normed, from, per_head(layout.head_sums));
    element_wise(asm, pe, s, VecOp::Mul, at.head_norms);
    if norm.bias.is_some() {
        element_wise(asm, pe, s, VecOp::Add, at.head_norm_biases);
    }
}

/// Queries and keys as projected, for loops over key-value heads, their queries and key, dimensions.
fn projected(pe: &Pe, s: &Sizes) -> crate::asm::Mem {
    let act = pe.stage.formats.numerics.activations;
    let strides = [(s.queries + 2) * s.dims, s.dims, 1];
    pe.chunk().mem(pe.stage.layout.qkv, s.qkv(), &strides, act)
}

/// Number of the row's queries and keys.
fn count(s: &Sizes) -> u32 {
    s.groups * (s.queries + 1)
}

/// Address of the means, behind the sums of squares of as many tokens as the item has at most.
fn means(pe: &Pe, s: &Sizes) -> u32 {
    pe.stage.layout.head_sums + F.bytes() * count(s) * pe.chunk().most
}

/// Sums over the dimensions of each query and key: of squares, and for a layer norm of the elements, over all rows that
/// share the head.
fn sum(asm: &mut Asm, pe: &Pe, s: &Sizes, norm: &Norm) {
    let layout = &pe.stage.layout;
    let each = s.queries + 1;
    let has_mean = norm.kind == NormKind::Layer;
    let chunk = pe.chunk();
    // Where items hold several tokens, means lie behind the squares of all of them.
    let kinds = 1 + u32::from(has_mean);
    let (all, sums) = if chunk.is_one() {
        (vec![n(count(s) * kinds)], mem(layout.head_sums, &[1], F))
    } else {
        let [tokens] = chunk.flat(asm, count(s));
        let sums = mem(layout.head_sums, &[chunk.most * count(s), 1], F);
        (vec![n(kinds), tokens], sums)
    };
    asm.mov(&all, sums.clone(), Operand::f32(0.0));
    let shape = chunk.each(&[n(s.groups), n(each), n(s.dims)]);
    let per_head = |base| chunk.mem(base, count(s), &[each, 1, 0], F);
    let x = projected(pe, s);
    asm.vec(VecOp::Fmac, &shape, per_head(layout.head_sums), x.clone(), x.clone());
    if has_mean {
        let mean = per_head(means(pe, s));
        asm.vec(VecOp::Add, &shape, mean.clone(), x, mean);
    }
    let within = pe.place.row - pe.heads.block_start;
    let block = LinePos::centred(within, pe.heads.block_len, BLOCK);
    if block.len > 1 {
        reduce(asm, &block, VecOp::Add, &all, &sums, F);
        share_in_place(asm, &block, &all, &sums);
    }
}

/// Turns the sums into what is multiplied with and, negative means, what is added before.
fn factors(asm: &mut Asm, pe: &Pe, s: &Sizes, norm: &Norm) {
    let chunk = pe.chunk();
    let shape = chunk.flat(asm, count(s));
    let at = |base| mem(base, &[1], F);
    let (factor, mean) = (at(pe.stage.layout.head_sums), at(means(pe, s)));
    let share = 1.0 / pe.stage.tiling.dims.head_dim as f32;
    let mut scale =
        |m: &crate::asm::Mem, by: Operand| asm.vec(VecOp::Mul, &shape, m.clone(), m.clone(), by);
    match norm.kind {
        NormKind::Rms => scale(&factor, Operand::f32(share)),
        // The variance is the mean square less the squared mean.
        NormKind::Layer => {
            scale(&mean, Operand::f32(-share));
            scale(&factor, Operand::f32(-share));
            asm.vec(VecOp::Fmac, &shape, factor.clone(), mean.clone(), mean);
            asm.vec(VecOp::Neg, &shape, factor.clone(), factor.clone(), Operand::None);
            // Rounding may have made a variance that is near zero negative.
            asm.vec(VecOp::Max, &shape, factor.clone(), factor.clone(), Operand::f32(0.0));
        }
    }
    let each = chunk.each(&[n(count(s))]);
    let of_each = chunk.mem(pe.stage.layout.head_sums, count(s), &[1], F);
    let ratio = pe.stage.layout.factors.ratio().over(1);
    for _ in 0..2 {
        asm.vec(VecOp::Mul, &each, of_each.clone(), of_each.clone(), ratio.clone());
    }
    asm.vec(VecOp::Add, &shape, factor.clone(), factor.clone(), Operand::f32(norm.epsilon));
    asm.vec(VecOp::Rsqrt, &shape, factor.clone(), factor, Operand::None);
    asm.vec(VecOp::Mul, &each, of_each.clone(), of_each, ratio);
}

/// Combines normed queries, then keys, with a vector of their dimensions each.
fn element_wise(asm: &mut Asm, pe: &Pe, s: &Sizes, op: VecOp, vectors: u32) {
    let each = s.queries + 1;
    let strides = [each * s.dims, s.dims, 1];
    let parts = [(0, s.queries, vectors), (s.queries, 1, vectors + F.bytes() * s.dims)];
    for (first, heads, vector) in parts {
        let chunk = pe.chunk();
        let base = pe.stage.layout.normed + F.bytes() * first * s.dims;
        let x = chunk.mem(base, s.turned(), &strides, F);
        let shape = chunk.each(&[n(s.groups), n(heads), n(s.dims)]);
        asm.vec(op, &shape, x.clone(), x, chunk.mem(vector, 0, &[0, 0, 1], F));
    }
}
