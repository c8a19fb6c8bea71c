//! Attention on a PE: its row's heads and dimensions, its column's tokens.

use crate::asm::{Asm, mem, n};
use crate::emit::cache;
use crate::emit::layers::{Pe, add_to_residual, finish_normed};
use crate::emit::linear::{self, NormAt, TileAt};
use crate::emit::{f32_reg, marks, regs};
use crate::layout::RopeAt;
use models::Attention;
use pe_isa::{DType, Operand, VecOp};

const F: DType = DType::F32;

/// Sizes of a row's attention.
pub(super) struct Sizes {
    /// Key-value heads.
    pub(super) groups: u32,
    /// Query heads per key-value head.
    pub(super) queries: u32,
    /// Dimensions of each.
    pub(super) dims: u32,
    /// Stride of the caches and of the scores.
    pub(super) tokens: u32,
}

impl Sizes {
    fn of(pe: &Pe, local: usize) -> Sizes {
        Sizes {
            groups: pe.heads.groups,
            queries: pe.stage.tiling.queries(),
            dims: pe.heads.dims.len() as u32,
            tokens: pe.stage.layout.layers[local].cache.stride,
        }
    }

    pub(super) fn heads(&self) -> u32 {
        self.groups * self.queries
    }

    fn qkv(&self) -> u32 {
        self.groups * (self.queries + 2) * self.dims
    }
}

/// Cosines and sines of the row's rotary pairs at the item's position, times `factor`, for one of the stage's rotary embeddings.
pub(crate) fn angles(asm: &mut Asm, pe: &Pe, rope: &RopeAt, factor: f32) {
    let layout = &pe.stage.layout;
    let pairs = [n(pe.heads.dims.len() as u32 / 2)];
    let at = |base| mem(base, &[1], F);
    asm.mov(&[n(1)], f32_reg(regs::A), Operand::Reg(regs::POSITION, DType::U32));
    let (angle, frequency) = (at(layout.turn[0]), at(rope.frequencies));
    asm.vec(VecOp::Mul, &pairs, angle.clone(), frequency, f32_reg(regs::A));
    asm.vec(VecOp::Cos, &pairs, at(rope.cosines), angle.clone(), Operand::None);
    asm.vec(VecOp::Sin, &pairs, at(rope.sines), angle, Operand::None);
    if factor != 1.0 {
        for base in [rope.cosines, rope.sines] {
            asm.vec(VecOp::Mul, &pairs, at(base), at(base), Operand::f32(factor));
        }
    }
}

/// The whole attention half of a layer.
pub(crate) fn emit(asm: &mut Asm, pe: &Pe, local: usize, attention: &Attention) {
    let stage = pe.stage;
    let (layout, at) = (&stage.layout, &stage.layout.layers[local]);
    let sizes = Sizes::of(pe, local);
    linear::prepare_norm(
        asm,
        &stage.formats,
        NormAt {
            x: layout.x,
            weight: at.norm1,
            scaled: layout.scaled,
            input: layout.input,
            squares: layout.squares,
            len: pe.hidden,
        },
    );
    let tile =
        TileAt { base: at.qkv, rows: pe.hidden, columns: sizes.qkv(), stride: layout.qkv_stride };
    linear::multiply(asm, &stage.formats, tile, layout.input, layout.sums);
    let bias = attention.query.bias.map(|_| at.qkv_bias);
    finish_normed(asm, pe, sizes.qkv(), attention.norm.epsilon, bias, layout.qkv);
    asm.mark(marks::PROJECTED);
    rotate(asm, pe, &sizes, attention);
    cache::append(asm, pe, &sizes, local);
    asm.mark(marks::CACHED);
    cache::score(asm, pe, &sizes, local);
    asm.mark(marks::SCORED);
    cache::soften(asm, pe, &sizes, local, attention.sinks.is_some());
    cache::mix(asm, pe, &sizes, local);
    asm.mark(marks::ATTENDED);
    let tile = TileAt {
        base: at.output,
        rows: sizes.heads() * sizes.dims,
        columns: pe.hidden,
        stride: layout.hidden_stride,
    };
    linear::multiply(asm, &stage.formats, tile, layout.attended, layout.sums);
    add_to_residual(asm, pe, attention.output.bias.map(|_| at.output_bias));
    asm.mark(marks::ATTENTION);
}

/// Rotates queries and keys by their position and scales the queries; the result is `[head][query…, key][dimension]`.
fn rotate(asm: &mut Asm, pe: &Pe, s: &Sizes, attention: &Attention) {
    let layout = &pe.stage.layout;
    let act = pe.stage.formats.numerics.activations;
    let from_group = (s.queries + 2) * s.dims;
    let to_group = (s.queries + 1) * s.dims;
    if let Some(rope) = attention.rope {
        let rope = layout.rope(rope);
        let half = s.dims / 2;
        let shape = [n(s.groups), n(s.queries + 1), n(half)];
        let strides = [from_group, s.dims, 1];
        let (first, second) =
            (mem(layout.qkv, &strides, act), mem(layout.qkv + half * act.bytes(), &strides, act));
        let turned = [(s.queries + 1) * half, half, 1];
        let work = layout.turn.map(|base| mem(base, &turned, F));
        let scaled = [layout.turn_by, layout.turn_by + 4 * half];
        for (to, from) in scaled.into_iter().zip([rope.cosines, rope.sines]) {
            let (to, from) = (mem(to, &[1], F), mem(from, &[1], F));
            asm.vec(VecOp::Mul, &[n(half)], to, from, f32_reg(regs::RATIO));
        }
        let [cos, sin] = scaled.map(|base| mem(base, &[0, 0, 1], F));
        let halves = [(VecOp::Sub, &first, &second, 0), (VecOp::Add, &second, &first, half)];
        for (combine, kept, crossed, offset) in halves {
            asm.vec(VecOp::Mul, &shape, work[0].clone(), kept.clone(), cos.clone());
            asm.vec(VecOp::Mul, &shape, work[1].clone(), crossed.clone(), sin.clone());
            let to = mem(layout.rotated + offset * act.bytes(), &[to_group, s.dims, 1], act);
            asm.vec(combine, &shape, to, work[0].clone(), work[1].clone());
        }
    } else {
        let shape = [n(s.groups), n(to_group)];
        let from = mem(layout.qkv, &[from_group, 1], act);
        let to = mem(layout.rotated, &[to_group, 1], act);
        asm.vec(VecOp::Mul, &shape, to, from, f32_reg(regs::RATIO));
    }
    if attention.score_scale != 1.0 {
        let shape = [n(s.groups), n(s.queries * s.dims)];
        let queries = mem(layout.rotated, &[to_group, 1], act);
        let scale = Operand::f32(attention.score_scale);
        asm.vec(VecOp::Mul, &shape, queries.clone(), queries, scale);
    }
}
