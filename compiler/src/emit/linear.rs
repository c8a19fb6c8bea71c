//! Norm and linear layer on a PE.

use crate::asm::{Asm, Mem, Op, mem, n};
use crate::emit::Formats;
use crate::emit::chunk::{Chunk, Factor, Factors};
use crate::emit::{f32_reg, regs};
use crate::lines::LinePos;
use pe_isa::{Cond, DType, Operand, Reg, Size, Src, VecOp};

/// A weight tile, `[rows][stride]` with `columns` used, multiplied with a vector of `rows` elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileAt {
    pub(crate) base: u32,
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) stride: u32,
    /// Elements from one token's input to the next one's.
    pub(crate) step: u32,
    /// Bytes by which it lies behind `base`.
    pub(crate) offset: Option<Reg>,
}

/// `sums[columns] = tile^T × input[rows]` for each token, as fused multiply-adds along the columns.
pub(crate) fn multiply(asm: &mut Asm, f: &Formats, tile: TileAt, input: u32, sums: u32) {
    let acc = f.numerics.accumulate;
    let all = f.chunk.flat(asm, tile.columns);
    asm.mov(&all, mem(sums, &[1], acc), Operand::Imm(0, acc));
    add_tile(asm, f, tile, input, sums);
}

/// `sums[columns] += tile^T × input[rows]` for each token.
pub(crate) fn add_tile(asm: &mut Asm, f: &Formats, tile: TileAt, input: u32, sums: u32) {
    let (Formats { numerics, chunk }, TileAt { rows, columns, stride, step, .. }) = (f, tile);
    let product = |asm: &mut Asm, shape: &[Size], strides: [&[u32]; 3]| {
        let matrix = mem(tile.base, strides[1], numerics.weights).shifted(tile.offset);
        let (sums, input) = (
            mem(sums, strides[0], numerics.accumulate),
            mem(input, strides[2], numerics.activations),
        );
        asm.vec(VecOp::Fmac, shape, sums, matrix, input);
    };
    if chunk.is_one() {
        return product(asm, &[n(rows), n(columns)], [&[0, 1], &[stride, 1], &[1, 0]]);
    }
    let tokens = Size::Reg(regs::TOKENS_HELD);
    let (few, done) = (asm.label(), asm.label());
    let (order, most) = order_of(rows, columns);
    if most < chunk.most {
        asm.branch(Cond::Lt, regs::TOKENS_HELD, Src::Imm(most + 1), few);
        let strides: [&[u32]; 3] = [&[0, 1, columns], &[stride, 1, 0], &[1, 0, step]];
        product(asm, &[n(rows), n(columns), tokens], strides);
        asm.jump(done);
    }
    asm.place(few);
    match order {
        Order::RunsOfColumns => {
            let strides: [&[u32]; 3] = [&[columns, 0, 1], &[0, stride, 1], &[step, 1, 0]];
            product(asm, &[tokens, n(rows), n(columns)], strides);
        }
        Order::Folds => {
            let strides: [&[u32]; 3] = [&[columns, 1, 0], &[0, 1, stride], &[step, 0, 1]];
            product(asm, &[tokens, n(columns), n(rows)], strides);
        }
    }
    asm.place(done);
}

/// How several vectors are multiplied with a tile. Each sum has its products added in the order of the tile's rows, whichever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Each run of multiply-adds along the columns, for one input.
    RunsOfColumns,
    /// Each run along the rows, into one sum.
    Folds,
}

/// The faster order, and up to how many tokens it is faster than runs along the tokens, for one element of the tile each. A run takes
/// about 9 cycles besides its multiply-adds, and each of these about 1.3 more in a run that folds.
fn order_of(rows: u32, columns: u32) -> (Order, u32) {
    const RUN: u32 = 9_000;
    const FOLD: u32 = 1_300;
    let (along, fold) = (RUN / columns.max(1), FOLD + RUN / rows.max(1));
    let order = if along <= fold { Order::RunsOfColumns } else { Order::Folds };
    (order, RUN / along.min(fold).max(1))
}

/// `sums[inner] += Σ matrix[outer][inner] × factors[outer]`, in runs of multiply-adds that each add one factor's share to
/// all sums: folding a run into one sum is slower (contract rule C-3). `sums` and `factors` are vectors, each an address
/// and a type; the strides of `matrix` are those of the outer and the inner loop.
pub(crate) fn add_product(
    asm: &mut Asm,
    (outer, inner): (u32, u32),
    sums: (u32, DType),
    matrix: Mem,
    factors: (u32, DType),
) {
    let sums = mem(sums.0, &[0, 1], sums.1);
    let factors = mem(factors.0, &[1, 0], factors.1);
    asm.vec(VecOp::Fmac, &[n(outer), n(inner)], sums, matrix, factors);
}

/// Where a norm works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NormAt {
    pub(crate) x: u32,
    pub(crate) weight: u32,
    pub(crate) scaled: u32,
    pub(crate) input: u32,
    pub(crate) squares: u32,
    pub(crate) len: u32,
}

/// Prepares the input of a linear layer behind a norm: `input = round(x × weight × SCALE)` and the slice's
/// sum of squares, for each token. The mean that a layer norm subtracts is zero ([`crate::fill`] sees to that). The norm's own factor is a scalar, so it is applied to the layer's sums ([`norm_factor`]); `SCALE`, the
/// factor of the norm before, keeps the rounded input near one.
pub(crate) fn prepare_norm(asm: &mut Asm, f: &Formats, at: NormAt, factors: &Factors) {
    let (t, chunk) = (DType::F32, f.chunk);
    let each = chunk.each(&[n(at.len)]);
    let of = |base, dtype| chunk.mem(base, at.len, &[1], dtype);
    asm.vec(VecOp::Mul, &each, of(at.scaled, t), of(at.x, t), chunk.mem(at.weight, 0, &[1], t));
    let input = of(at.input, f.numerics.activations);
    asm.vec(VecOp::Mul, &each, input, of(at.scaled, t), factors.scale().over(1));
    sum_squares(asm, chunk, at.len, &of(at.x, t), at.squares);
}

/// On the root of a row, with the whole sums of squares in SRAM: `SCALE` = the norm's factor, `RATIO` = the same ×
/// `UNSCALE`, by which the sums are to be multiplied.
pub(crate) fn norm_factor(
    asm: &mut Asm,
    factors: &Factors,
    squares: u32,
    (hidden, epsilon): (u32, f32),
) {
    let [scale, unscale, ratio] = [factors.scale(), factors.unscale(), factors.ratio()];
    inverse_root(asm, (factors.chunk, scale), squares, (hidden, epsilon));
    let all = factors.chunk.flat(asm, 1);
    asm.vec(VecOp::Mul, &all, ratio.over(0), scale.over(0), unscale.over(0));
}

/// `to = 1 / sqrt(squares / count + epsilon)`; `squares` is an address. Register `A` is overwritten.
pub(crate) fn inverse_root(
    asm: &mut Asm,
    (chunk, to): (Chunk, Factor),
    squares: u32,
    (count, epsilon): (u32, f32),
) {
    let mean = to.stored().map_or(f32_reg(regs::A).into(), Op::from);
    let all = chunk.flat(asm, 1);
    let share = Operand::f32(1.0 / count as f32);
    asm.vec(VecOp::Mul, &all, mean.clone(), mem(squares, &[1], DType::F32), share);
    asm.vec(VecOp::Add, &all, mean.clone(), mean.clone(), Operand::f32(epsilon));
    asm.vec(VecOp::Rsqrt, &all, to.over(0), mean, Operand::None);
}

/// Sum of the squares of the `len` elements of each token's `x`, f32, to address `squares`.
pub(crate) fn sum_squares(asm: &mut Asm, chunk: Chunk, len: u32, x: &Mem, squares: u32) {
    let t = DType::F32;
    let all = chunk.flat(asm, 1);
    asm.mov(&all, mem(squares, &[1], t), Operand::f32(0.0));
    let sum = chunk.mem(squares, 1, &[0], t);
    asm.vec(VecOp::Fmac, &chunk.each(&[n(len)]), sum, x.clone(), x.clone());
}

/// `x = cap · tanh(x / cap)` for each element.
pub(crate) fn soft_cap(asm: &mut Asm, shape: &[Size], x: &Mem, cap: f32) {
    asm.vec(VecOp::Mul, shape, x.clone(), x.clone(), Operand::f32(1.0 / cap));
    asm.vec(VecOp::Tanh, shape, x.clone(), x.clone(), Operand::None);
    asm.vec(VecOp::Mul, shape, x.clone(), x.clone(), Operand::f32(cap));
}

/// `UNSCALE = 1 / SCALE` on the root of a row.
pub(crate) fn renew_unscale(asm: &mut Asm, row: &LinePos, factors: &Factors) {
    if row.is_root() {
        let all = factors.chunk.flat(asm, 1);
        let (to, from) = (factors.unscale().over(0), factors.scale().over(0));
        asm.vec(VecOp::Recip, &all, to, from, Operand::None);
    }
}
