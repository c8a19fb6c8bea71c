//! Element-wise functions of the MLP, on f32 vectors in SRAM.

use crate::asm::{Asm, mem};
use models::Activation;
use pe_isa::{DType, Operand, Size, VecOp};
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// Abramowitz & Stegun, Handbook of Mathematical Functions, 7.1.26: for `z ≥ 0`, `erfc(z) = (a1 t + … + a5 t⁵) e^(−z²)` with
/// `t = 1 / (1 + p z)`, to within 1.5e-7.
const ERFC_P: f32 = 0.327_591_1;
/// `a1` to `a5` of that formula.
const ERFC_A: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_7, -1.453_152, 1.061_405_4];

/// Datapath cycles of one element, about: the activation, the factors before and behind it, the product with up.
pub(crate) fn cycles(activation: Activation) -> u32 {
    match activation {
        Activation::Silu { .. } | Activation::GeluTanh => 30,
        Activation::Gelu => 110,
        Activation::Relu => 8,
    }
}

/// Vector operations on `len` elements in place.
struct Vectors<'a> {
    asm: &'a mut Asm,
    len: [Size; 1],
}

impl Vectors<'_> {
    /// `to = op(a, b)` with a vector `b`.
    fn pair(&mut self, op: VecOp, to: u32, a: u32, b: u32) {
        let at = |base| mem(base, &[1], DType::F32);
        self.asm.vec(op, &self.len, at(to), at(a), at(b));
    }

    /// `to = op(a, b)` with a constant `b`.
    fn with(&mut self, op: VecOp, to: u32, a: u32, b: f32) {
        let at = |base| mem(base, &[1], DType::F32);
        self.asm.vec(op, &self.len, at(to), at(a), Operand::f32(b));
    }

    /// `to = op(a)`.
    fn of(&mut self, op: VecOp, to: u32, a: u32) {
        let at = |base| mem(base, &[1], DType::F32);
        self.asm.vec(op, &self.len, at(to), at(a), Operand::None);
    }
}

/// Replaces the `len` elements of the vector at `x` by their activations. `free` are two other vectors; the second is used by
/// [`Activation::Gelu`] alone.
pub(crate) fn emit(asm: &mut Asm, activation: Activation, len: [Size; 1], x: u32, free: [u32; 2]) {
    let mut vectors = Vectors { asm, len };
    match activation {
        Activation::Silu { alpha } => silu(&mut vectors, alpha, x, free[0]),
        Activation::GeluTanh => gelu_tanh(&mut vectors, x, free[0]),
        Activation::Gelu => gelu(&mut vectors, x, free),
        Activation::Relu => vectors.with(VecOp::Max, x, x, 0.0),
    }
}

/// `x · sigmoid(alpha · x)`.
fn silu(vectors: &mut Vectors<'_>, alpha: f32, x: u32, s: u32) {
    if alpha == 1.0 {
        vectors.of(VecOp::Sigmoid, s, x);
    } else {
        vectors.with(VecOp::Mul, s, x, alpha);
        vectors.of(VecOp::Sigmoid, s, s);
    }
    vectors.pair(VecOp::Mul, x, x, s);
}

/// `x · sigmoid(2k (x + 0.044715 x³))` with `k = sqrt(2 / π)`, which is `x / 2 · (1 + tanh(k (x + 0.044715 x³)))`.
fn gelu_tanh(vectors: &mut Vectors<'_>, x: u32, s: u32) {
    let twice = 2.0 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
    vectors.pair(VecOp::Mul, s, x, x);
    vectors.with(VecOp::Mul, s, s, 0.044_715 * twice);
    vectors.with(VecOp::Add, s, s, twice);
    vectors.pair(VecOp::Mul, s, s, x);
    vectors.of(VecOp::Sigmoid, s, s);
    vectors.pair(VecOp::Mul, x, x, s);
}

/// `max(x, 0) − |x| · erfc(|x| / sqrt(2)) / 2`, with `erfc` by [`ERFC_A`].
fn gelu(vectors: &mut Vectors<'_>, x: u32, [t, sum]: [u32; 2]) {
    vectors.of(VecOp::Abs, t, x);
    vectors.with(VecOp::Mul, t, t, ERFC_P * FRAC_1_SQRT_2);
    vectors.with(VecOp::Add, t, t, 1.0);
    vectors.of(VecOp::Recip, t, t);
    vectors.with(VecOp::Mul, sum, t, ERFC_A[4] / 2.0);
    for a in ERFC_A[..4].iter().rev() {
        vectors.with(VecOp::Add, sum, sum, a / 2.0);
        vectors.pair(VecOp::Mul, sum, sum, t);
    }
    vectors.pair(VecOp::Mul, t, x, x);
    vectors.with(VecOp::Mul, t, t, -0.5);
    vectors.of(VecOp::Exp, t, t);
    vectors.pair(VecOp::Mul, sum, sum, t);
    vectors.of(VecOp::Abs, t, x);
    vectors.pair(VecOp::Mul, sum, sum, t);
    vectors.with(VecOp::Max, x, x, 0.0);
    vectors.pair(VecOp::Sub, x, x, sum);
}
