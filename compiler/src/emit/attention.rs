//! Attention on a PE: its row's heads and dimensions, its column's tokens.

use crate::asm::{Asm, Mem, mem, n};
use crate::emit::layers::{Norming, Pe, add_to_residual, finish_normed, half_sums, start_normed};
use crate::emit::linear::{self, TileAt, soft_cap};
use crate::emit::{cache, head_norm};
use crate::emit::{f32_reg, marks, regs};
use crate::extras::is_biased;
use crate::layout::RopeAt;
use models::{Attention, Block, Residual};
use pe_isa::{DType, Operand, Size, VecOp};

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
    let pairs = [n(pe.heads.pairs)];
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
pub(crate) fn emit(asm: &mut Asm, pe: &Pe, local: usize, block: &Block) {
    let (stage, attention) = (pe.stage, &block.attention);
    let (layout, at) = (&stage.layout, &stage.layout.layers[local]);
    let sizes = Sizes::of(pe, local);
    let norming = Norming::of_attention(block);
    start_normed(asm, pe, norming, at.norm1);
    let tile = TileAt {
        base: at.qkv,
        rows: pe.hidden,
        columns: sizes.qkv(),
        stride: layout.qkv_stride,
        offset: None,
    };
    linear::multiply(asm, &stage.formats, tile, layout.input, layout.sums);
    let linears = [attention.query, attention.key, attention.value];
    let bias = is_biased(&attention.norm, &linears).then_some(at.qkv_bias);
    let shape = (sizes.qkv(), attention.norm.epsilon);
    finish_normed(asm, pe, norming, shape, bias, layout.qkv);
    asm.mark(marks::PROJECTED);
    if let Some(norm) = &attention.query_norm {
        head_norm::emit(asm, pe, &sizes, at, norm);
    }
    rotate(asm, pe, &sizes, attention);
    cache::append(asm, pe, &sizes, local);
    asm.mark(marks::CACHED);
    cache::score(asm, pe, &sizes, local);
    if let Some(cap) = attention.score_soft_cap {
        let shape = [n(sizes.heads()), Size::Reg(regs::TOKENS)];
        soft_cap(asm, &shape, &mem(layout.scores, &[sizes.tokens, 1], F), cap);
    }
    asm.mark(marks::SCORED);
    cache::soften(asm, pe, &sizes, local, attention.sinks.is_some());
    asm.mark(marks::SOFTENED);
    cache::mix(asm, pe, &sizes, local);
    asm.mark(marks::ATTENDED);
    let tile = TileAt {
        base: at.output,
        rows: sizes.heads() * sizes.dims,
        columns: pe.hidden,
        stride: layout.hidden_stride,
        offset: None,
    };
    linear::multiply(asm, &stage.formats, tile, layout.attended, half_sums(pe, block));
    if block.residual == Residual::Sequential {
        let post_norm = attention.post_norm.as_ref().map(|norm| (norm, at.post_norms[0]));
        let biases = attention.output.bias.map(|_| at.output_bias);
        add_to_residual(asm, pe, layout.sums, biases.as_slice(), post_norm);
    }
    asm.mark(marks::ATTENTION);
}

/// Rotates queries and keys by their position and scales the queries; the result is `[head][query…, key][dimension]`.
fn rotate(asm: &mut Asm, pe: &Pe, s: &Sizes, attention: &Attention) {
    let layout = &pe.stage.layout;
    let act = pe.stage.formats.numerics.activations;
    let to_group = (s.queries + 1) * s.dims;
    let is_normed = attention.query_norm.is_some();
    let from = if is_normed {
        Heads { base: layout.normed, dtype: F, group: to_group }
    } else {
        Heads { base: layout.qkv, dtype: act, group: (s.queries + 2) * s.dims }
    };
    let to = Heads { base: layout.rotated, dtype: act, group: to_group };
    let lacking = (!is_normed).then_some(f32_reg(regs::RATIO));
    let mut turned = 0;
    if let (Some(rope), true) = (attention.rope, pe.heads.pairs > 0) {
        turn(asm, pe, s, (&from, &to), lacking, layout.rope(rope));
        turned = 2 * pe.heads.pairs;
    }
    if turned < s.dims {
        pass(asm, s, turned, (&from, &to), lacking);
    }
    if attention.score_scale != 1.0 {
        let shape = [n(s.groups), n(s.queries * s.dims)];
        let queries = mem(layout.rotated, &[to_group, 1], act);
        let scale = Operand::f32(attention.score_scale);
        asm.vec(VecOp::Mul, &shape, queries.clone(), queries, scale);
    }
}

/// Queries and keys in SRAM, those of a key-value head side by side.
struct Heads {
    base: u32,
    dtype: DType,
    /// Elements from one key-value head to the next.
    group: u32,
}

impl Heads {
    /// Dimensions from `first` on of the `dims` of each, for loops over key-value heads, their queries and key, dimensions.
    fn from(&self, first: u32, dims: u32) -> Mem {
        mem(self.base + first * self.dtype.bytes(), &[self.group, dims, 1], self.dtype)
    }
}

/// Takes dimensions from `first` on as they are, times the factor that they lack.
fn pass(
    asm: &mut Asm,
    s: &Sizes,
    first: u32,
    (from, to): (&Heads, &Heads),
    lacking: Option<Operand>,
) {
    let each = s.queries + 1;
    let (shape, [from, to]) = if first == 0 {
        let flat = |heads: &Heads| mem(heads.base, &[heads.group, 1], heads.dtype);
        (vec![n(s.groups), n(each * s.dims)], [flat(from), flat(to)])
    } else {
        let some = |heads: &Heads| heads.from(first, s.dims);
        (vec![n(s.groups), n(each), n(s.dims - first)], [some(from), some(to)])
    };
    match lacking {
        Some(factor) => asm.vec(VecOp::Mul, &shape, to, from, factor),
        None => asm.mov(&shape, to, from),
    }
}

/// Rotates the rotary pairs, times the factor that they lack.
fn turn(
    asm: &mut Asm,
    pe: &Pe,
    s: &Sizes,
    (from, to): (&Heads, &Heads),
    lacking: Option<Operand>,
    rope: &RopeAt,
) {
    let layout = &pe.stage.layout;
    let half = pe.heads.pairs;
    let shape = [n(s.groups), n(s.queries + 1), n(half)];
    let turned = [(s.queries + 1) * half, half, 1];
    let work = layout.turn.map(|base| mem(base, &turned, F));
    let mut turn_by = [rope.cosines, rope.sines];
    if let Some(factor) = lacking {
        for (from, to) in turn_by.iter_mut().zip([layout.turn_by, layout.turn_by + 4 * half]) {
            asm.vec(VecOp::Mul, &[n(half)], mem(to, &[1], F), mem(*from, &[1], F), factor);
            *from = to;
        }
    }
    let [cos, sin] = turn_by.map(|base| mem(base, &[0, 0, 1], F));
    for (combine, kept, crossed) in [(VecOp::Sub, 0, half), (VecOp::Add, half, 0)] {
        asm.vec(VecOp::Mul, &shape, work[0].clone(), from.from(kept, s.dims), cos.clone());
        asm.vec(VecOp::Mul, &shape, work[1].clone(), from.from(crossed, s.dims), sin.clone());
        asm.vec(combine, &shape, to.from(kept, s.dims), work[0].clone(), work[1].clone());
    }
}
