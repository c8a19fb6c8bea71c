//! Attention on a PE: its row's heads and dimensions, its column's tokens.

use crate::asm::{Asm, Mem, Op, mem, n};
use crate::emit::chunk::{Chunk, Factor, token_offset};
use crate::emit::layers::{Norming, Pe, add_to_residual, finish_normed, half_sums, start_normed};
use crate::emit::linear::{self, TileAt, soft_cap};
use crate::emit::{cache, head_norm};
use crate::emit::{f32_reg, marks, regs};
use crate::extras::is_biased;
use crate::layout::RopeAt;
use models::{Attention, Block, Residual};
use pe_isa::{AluOp, DType, Operand, Src, VecOp};

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

    /// Elements of queries and keys.
    pub(super) fn turned(&self) -> u32 {
        self.groups * (self.queries + 1) * self.dims
    }

    pub(super) fn qkv(&self) -> u32 {
        self.groups * (self.queries + 2) * self.dims
    }
}

/// The positions of all tokens of the item, f32, to SRAM, where it may hold several and some layer rotates.
pub(crate) fn positions(asm: &mut Asm, pe: &Pe) {
    let layout = &pe.stage.layout;
    if pe.chunk().is_one() || layout.ropes.is_empty() {
        return;
    }
    pe.chunk().for_each(asm, |asm| {
        token_offset(asm, regs::A, F.bytes());
        asm.alu(AluOp::Add, regs::B, regs::POSITION, Src::Reg(regs::TOKEN));
        let to = mem(layout.positions, &[1], F).plus(regs::A);
        asm.mov(&[n(1)], to, Operand::Reg(regs::B, DType::U32));
    });
}

/// Cosines and sines of the row's rotary pairs at the positions of the item's tokens, times `factor`, for one of the stage's rotary
/// embeddings.
pub(crate) fn angles(asm: &mut Asm, pe: &Pe, rope: &RopeAt, factor: f32) {
    let (layout, chunk, pairs) = (&pe.stage.layout, pe.chunk(), pe.heads.pairs);
    let at = |base| mem(base, &[1], F);
    let position = if chunk.is_one() {
        asm.mov(&[n(1)], f32_reg(regs::A), Operand::Reg(regs::POSITION, DType::U32));
        f32_reg(regs::A).into()
    } else {
        Op::from(mem(layout.positions, &[1, 0], F))
    };
    let angles = chunk.mem(layout.turn[0], pairs, &[1], F);
    let frequencies = chunk.mem(rope.frequencies, 0, &[1], F);
    asm.vec(VecOp::Mul, &chunk.each(&[n(pairs)]), angles, frequencies, position);
    let angle = at(layout.turn[0]);
    let all = chunk.flat(asm, pairs);
    asm.vec(VecOp::Cos, &all, at(rope.cosines), angle.clone(), Operand::None);
    asm.vec(VecOp::Sin, &all, at(rope.sines), angle, Operand::None);
    if factor != 1.0 {
        for base in [rope.cosines, rope.sines] {
            asm.vec(VecOp::Mul, &all, at(base), at(base), Operand::f32(factor));
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
        step: pe.hidden,
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
        let (shape, scores) = cache::all_scores(pe, &sizes, layout.scores, F);
        soft_cap(asm, &shape, &scores, cap);
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
        step: sizes.heads() * sizes.dims,
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
    let (chunk, step) = (pe.chunk(), s.turned());
    let from = if is_normed {
        Heads { chunk, base: layout.normed, dtype: F, group: to_group, step }
    } else {
        let group = (s.queries + 2) * s.dims;
        Heads { chunk, base: layout.qkv, dtype: act, group, step: s.qkv() }
    };
    let to = Heads { chunk, base: layout.rotated, dtype: act, group: to_group, step };
    let lacking = (!is_normed).then_some(layout.factors.ratio());
    let mut turned = 0;
    if let (Some(rope), true) = (attention.rope, pe.heads.pairs > 0) {
        turn(asm, pe, s, (&from, &to), lacking, layout.rope(rope));
        turned = 2 * pe.heads.pairs;
    }
    if turned < s.dims {
        pass(asm, s, turned, (&from, &to), lacking);
    }
    if attention.score_scale != 1.0 {
        let shape = chunk.each(&[n(s.groups), n(s.queries * s.dims)]);
        let queries = chunk.mem(layout.rotated, step, &[to_group, 1], act);
        let scale = Operand::f32(attention.score_scale);
        asm.vec(VecOp::Mul, &shape, queries.clone(), queries, scale);
    }
}

/// Queries and keys in SRAM, those of a key-value head side by side.
struct Heads {
    chunk: Chunk,
    base: u32,
    dtype: DType,
    /// Elements from one key-value head to the next.
    group: u32,
    /// Elements from one token to the next.
    step: u32,
}

impl Heads {
    /// Dimensions from `first` on of the `dims` of each, for loops over tokens, key-value heads, their queries and key, dimensions.
    fn from(&self, first: u32, dims: u32) -> Mem {
        let base = self.base + first * self.dtype.bytes();
        self.chunk.mem(base, self.step, &[self.group, dims, 1], self.dtype)
    }
}

/// Takes dimensions from `first` on as they are, times the factor that they lack.
fn pass(
    asm: &mut Asm,
    s: &Sizes,
    first: u32,
    (from, to): (&Heads, &Heads),
    lacking: Option<Factor>,
) {
    let (each, chunk) = (s.queries + 1, from.chunk);
    let (shape, [from, to]) = if first == 0 {
        let flat =
            |heads: &Heads| chunk.mem(heads.base, heads.step, &[heads.group, 1], heads.dtype);
        (vec![n(s.groups), n(each * s.dims)], [flat(from), flat(to)])
    } else {
        let some = |heads: &Heads| heads.from(first, s.dims);
        (vec![n(s.groups), n(each), n(s.dims - first)], [some(from), some(to)])
    };
    let all = chunk.each(&shape);
    match lacking {
        Some(factor) => asm.vec(VecOp::Mul, &all, to, from, factor.over(shape.len())),
        None => asm.mov(&all, to, from),
    }
}

/// Rotates the rotary pairs, times the factor that they lack.
fn turn(
    asm: &mut Asm,
    pe: &Pe,
    s: &Sizes,
    (from, to): (&Heads, &Heads),
    lacking: Option<Factor>,
    rope: &RopeAt,
) {
    let (layout, chunk) = (&pe.stage.layout, pe.chunk());
    let half = pe.heads.pairs;
    let shape = chunk.each(&[n(s.groups), n(s.queries + 1), n(half)]);
    let turned = [(s.queries + 1) * half, half, 1];
    let work = layout.turn.map(|base| chunk.mem(base, s.groups * turned[0], &turned, F));
    let mut turn_by = [rope.cosines, rope.sines];
    if let Some(factor) = lacking {
        let second = layout.turn_by + 4 * half * chunk.most;
        for (from, to) in turn_by.iter_mut().zip([layout.turn_by, second]) {
            let of = |base| chunk.mem(base, half, &[1], F);
            let factor = factor.over(1);
            asm.vec(VecOp::Mul, &chunk.each(&[n(half)]), of(to), of(*from), factor);
            *from = to;
        }
    }
    let [cos, sin] = turn_by.map(|base| chunk.mem(base, half, &[0, 0, 1], F));
    for (combine, kept, crossed) in [(VecOp::Sub, 0, half), (VecOp::Add, half, 0)] {
        asm.vec(VecOp::Mul, &shape, work[0].clone(), from.from(kept, s.dims), cos.clone());
        asm.vec(VecOp::Mul, &shape, work[1].clone(), from.from(crossed, s.dims), sin.clone());
        asm.vec(combine, &shape, to.from(kept, s.dims), work[0].clone(), work[1].clone());
    }
}
