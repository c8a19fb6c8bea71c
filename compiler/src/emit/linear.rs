//! Norm and linear layer on a PE.

use crate::asm::{Asm, Mem, mem, n};
use crate::emit::{Formats, f32_reg, regs};
use crate::lines::LinePos;
use pe_isa::{DType, Operand, Reg, Size, VecOp};

/// A weight tile, `[rows][stride]` with `columns` used, multiplied with a vector of `rows` elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileAt {
    pub(crate) base: u32,
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) stride: u32,
    /// Bytes by which it lies behind `base`.
    pub(crate) offset: Option<Reg>,
}

/// `sums[columns] = tile^T × input[rows]`, as fused multiply-adds along the columns.
pub(crate) fn multiply(asm: &mut Asm, f: &Formats, tile: TileAt, input: u32, sums: u32) {
    let acc = f.numerics.accumulate;
    asm.mov(&[n(tile.columns)], mem(sums, &[1], acc), Operand::Imm(0, acc));
    add_tile(asm, f, tile, input, sums);
}

/// `sums[columns] += tile^T × input[rows]`.
pub(crate) fn add_tile(asm: &mut Asm, f: &Formats, tile: TileAt, input: u32, sums: u32) {
    let (act, acc) = (f.numerics.activations, f.numerics.accumulate);
    let matrix = mem(tile.base, &[tile.stride, 1], f.numerics.weights).shifted(tile.offset);
    add_product(asm, (tile.rows, tile.columns), (sums, acc), matrix, (input, act));
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
/// sum of squares. The mean that a layer norm subtracts is zero ([`crate::fill`] sees to that). The norm's own factor is a scalar, so it is applied to the layer's sums ([`norm_factor`]); `SCALE`, the
/// factor of the norm before, keeps the rounded input near one.
pub(crate) fn prepare_norm(asm: &mut Asm, f: &Formats, at: NormAt) {
    let t = DType::F32;
    let len = [n(at.len)];
    asm.vec(VecOp::Mul, &len, mem(at.scaled, &[1], t), mem(at.x, &[1], t), mem(at.weight, &[1], t));
    asm.vec(
        VecOp::Mul,
        &len,
        mem(at.input, &[1], f.numerics.activations),
        mem(at.scaled, &[1], t),
        f32_reg(regs::SCALE),
    );
    sum_squares(asm, at.len, &mem(at.x, &[1], t), at.squares);
}

/// On the root of a row, with the whole sum of squares in SRAM: `SCALE` = the norm's factor, `RATIO` = the same ×
/// `UNSCALE`, by which the sums are to be multiplied.
pub(crate) fn norm_factor(asm: &mut Asm, squares: u32, hidden: u32, epsilon: f32) {
    inverse_root(asm, regs::SCALE, squares, hidden, epsilon);
    let (to, scale) = (f32_reg(regs::RATIO), f32_reg(regs::SCALE));
    asm.vec(VecOp::Mul, &[n(1)], to, scale, f32_reg(regs::UNSCALE));
}

/// `to = 1 / sqrt(squares / count + epsilon)`; `squares` is an address. Register `A` is overwritten.
pub(crate) fn inverse_root(asm: &mut Asm, to: Reg, squares: u32, count: u32, epsilon: f32) {
    let a = f32_reg(regs::A);
    let one = [n(1)];
    let mean = Operand::f32(1.0 / count as f32);
    asm.vec(VecOp::Mul, &one, a, mem(squares, &[1], DType::F32), mean);
    asm.vec(VecOp::Add, &one, a, a, Operand::f32(epsilon));
    asm.vec(VecOp::Rsqrt, &one, f32_reg(to), a, Operand::None);
}

/// Sum of the squares of the `len` elements of `x`, f32, to address `squares`.
pub(crate) fn sum_squares(asm: &mut Asm, len: u32, x: &Mem, squares: u32) {
    let t = DType::F32;
    asm.mov(&[n(1)], mem(squares, &[1], t), Operand::f32(0.0));
    asm.vec(VecOp::Fmac, &[n(len)], mem(squares, &[0], t), x.clone(), x.clone());
}

/// `x = cap · tanh(x / cap)` for each element.
pub(crate) fn soft_cap(asm: &mut Asm, shape: &[Size], x: &Mem, cap: f32) {
    asm.vec(VecOp::Mul, shape, x.clone(), x.clone(), Operand::f32(1.0 / cap));
    asm.vec(VecOp::Tanh, shape, x.clone(), x.clone(), Operand::None);
    asm.vec(VecOp::Mul, shape, x.clone(), x.clone(), Operand::f32(cap));
}

/// `UNSCALE = 1 / SCALE` on the root of a row.
pub(crate) fn renew_unscale(asm: &mut Asm, row: &LinePos) {
    if row.is_root() {
        let (to, from) = (f32_reg(regs::UNSCALE), f32_reg(regs::SCALE));
        asm.vec(VecOp::Recip, &[n(1)], to, from, Operand::None);
    }
}
