//! Fast loops for the shapes that compiled programs spend their host time in.
//!
//! Each is a rewriting of [`crate::semantics::execute`] over one innermost row whose operands do
//! not overlap in a way that its order of reads and writes would show. A property test holds the
//! two equal.

use crate::DType;
use crate::instr::VecOp;
use crate::semantics::{Issued, PeMemory, Place, canonical, float_op, load};

/// Longest row that is staged on the stack.
const ROW: usize = 256;

/// Exact conversion of a binary16, written without branches so that rows vectorise.
#[inline(always)]
fn half_to_f32(h: u32) -> f32 {
    let magnitude = f32::from_bits((h & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    let bits = magnitude.to_bits();
    let bits = if magnitude >= 65536.0 { bits | 0x7f80_0000 } else { bits };
    f32::from_bits(bits | ((h & 0x8000) << 16))
}

#[inline(always)]
fn to_f32(dtype: DType, bits: u32) -> f32 {
    match dtype {
        DType::F16 => half_to_f32(bits),
        other => other.to_f32(bits),
    }
}

/// Runs the operation row by row. Returns false, having done nothing, where the operation has no
/// fast form.
pub(crate) fn execute_rows(issued: &Issued, mem: &mut PeMemory) -> bool {
    let Place::Mem { base, strides, dtype } = issued.dst else {
        return false;
    };
    let n = issued.extents[3] as usize;
    let reduces = strides[3] == 0 && n > 1;
    let contiguous = strides[3] == dtype.bytes() as i32;
    if dtype != DType::F32 || !(reduces && issued.op == VecOp::Fmac || contiguous) {
        return false;
    }
    if !matches!(issued.op, VecOp::Fmac | VecOp::Mul | VecOp::Add | VecOp::Sub) {
        return false;
    }
    if overlaps(issued, &issued.a) || overlaps(issued, &issued.b) {
        return false;
    }
    let e = issued.extents;
    for i0 in 0..e[0] {
        for i1 in 0..e[1] {
            for i2 in 0..e[2] {
                let index = [i0 as i32, i1 as i32, i2 as i32];
                let at = row_base(base, &strides, &index);
                if reduces {
                    dot_row(issued, mem, at, &index, n);
                } else {
                    map_row(issued, mem, at, &index, n);
                }
            }
        }
    }
    true
}

fn row_base(base: u32, strides: &[i32; 4], index: &[i32; 3]) -> u32 {
    let offset: i32 = index.iter().zip(strides).map(|(i, s)| i * s).sum();
    (base as i32 + offset) as u32
}

/// Whether a source shares bytes with the destination other than element for element.
fn overlaps(issued: &Issued, source: &Place) -> bool {
    let Place::Mem { .. } = source else {
        return false;
    };
    let Place::Mem { strides: ds, base: db, dtype: dt } = issued.dst else {
        return false;
    };
    if let Place::Mem { base, strides, dtype } = *source
        && base == db
        && strides == ds
        && dtype == dt
        && ds[3] != 0
    {
        return false;
    }
    let (d0, d1) = span(&issued.dst, &issued.extents);
    let (s0, s1) = span(source, &issued.extents);
    d0 <= s1 && s0 <= d1
}

fn span(place: &Place, extents: &[u32; 4]) -> (i64, i64) {
    let Place::Mem { base, strides, dtype } = place else {
        return (0, -1);
    };
    let (mut first, mut last) = (i64::from(*base), i64::from(*base));
    for (&n, &s) in extents.iter().zip(strides) {
        let reach = i64::from(n - 1) * i64::from(s);
        if reach < 0 { first += reach } else { last += reach }
    }
    (first, last + i64::from(dtype.bytes()) - 1)
}

/// Stages up to [`ROW`] elements of a source row as f32, starting at element `from`.
#[inline]
fn stage(source: &Place, mem: &PeMemory, index: &[i32; 3], from: usize, out: &mut [f32]) {
    match *source {
        Place::None | Place::Fabric(_) => out.fill(0.0),
        Place::Imm(v, t) => out.fill(t.to_f32(v)),
        Place::Reg(r, t) => out.fill(t.to_f32(mem.regs[usize::from(r.0)])),
        Place::Mem { base, strides, dtype } => {
            let start = row_base(base, &strides, index) as i32 + from as i32 * strides[3];
            match (strides[3], dtype) {
                (0, _) => out.fill(to_f32(dtype, load(mem.sram, start as u32, dtype))),
                (2, DType::F16) => stage_halves(mem.sram, start as usize, out),
                (4, DType::F32) => {
                    let words = &mem.sram[start as usize / 4..][..out.len()];
                    for (o, &w) in out.iter_mut().zip(words) {
                        *o = f32::from_bits(w);
                    }
                }
                (step, _) => {
                    for (k, o) in out.iter_mut().enumerate() {
                        let at = (start + k as i32 * step) as u32;
                        *o = to_f32(dtype, load(mem.sram, at, dtype));
                    }
                }
            }
        }
    }
}

#[inline]
fn stage_halves(sram: &[u32], start: usize, out: &mut [f32]) {
    let mut out = out;
    let mut word = start / 4;
    if start % 4 == 2 {
        let (first, rest) = out.split_at_mut(1);
        first[0] = half_to_f32(sram[word] >> 16);
        out = rest;
        word += 1;
    }
    let pairs = out.len() / 2;
    let words = &sram[word..word + pairs];
    let (body, tail) = out.split_at_mut(2 * pairs);
    for (o, &w) in body.chunks_exact_mut(2).zip(words) {
        o[0] = half_to_f32(w & 0xffff);
        o[1] = half_to_f32(w >> 16);
    }
    if let Some(last) = tail.first_mut() {
        *last = half_to_f32(sram[word + pairs] & 0xffff);
    }
}

fn map_row(issued: &Issued, mem: &mut PeMemory, at: u32, index: &[i32; 3], n: usize) {
    let (mut a, mut b) = ([0f32; ROW], [0f32; ROW]);
    let mut from = 0;
    while from < n {
        let m = (n - from).min(ROW);
        stage(&issued.a, mem, index, from, &mut a[..m]);
        stage(&issued.b, mem, index, from, &mut b[..m]);
        let dst = &mut mem.sram[at as usize / 4 + from..][..m];
        match issued.op {
            VecOp::Fmac => combine(dst, &a[..m], &b[..m], |a, b, d| d + a * b),
            VecOp::Mul => combine(dst, &a[..m], &b[..m], |a, b, _| a * b),
            VecOp::Add => combine(dst, &a[..m], &b[..m], |a, b, _| a + b),
            _ => combine(dst, &a[..m], &b[..m], |a, b, _| a - b),
        }
        from += m;
    }
}

#[inline(always)]
fn combine(dst: &mut [u32], a: &[f32], b: &[f32], f: impl Fn(f32, f32, f32) -> f32) {
    for ((d, &a), &b) in dst.iter_mut().zip(a).zip(b) {
        *d = canonical(f(a, b, f32::from_bits(*d))).to_bits();
    }
}

fn dot_row(issued: &Issued, mem: &mut PeMemory, at: u32, index: &[i32; 3], n: usize) {
    let (mut a, mut b) = ([0f32; ROW], [0f32; ROW]);
    let mut sum = f32::from_bits(mem.sram[at as usize / 4]);
    let mut from = 0;
    while from < n {
        let m = (n - from).min(ROW);
        stage(&issued.a, mem, index, from, &mut a[..m]);
        stage(&issued.b, mem, index, from, &mut b[..m]);
        for (&a, &b) in a[..m].iter().zip(&b[..m]) {
            sum = float_op(VecOp::Fmac, a, b, sum);
        }
        from += m;
    }
    mem.sram[at as usize / 4] = sum.to_bits();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_branchless_half_conversion_is_exact_for_every_bit_pattern() {
        for h in 0..=0xffffu32 {
            let want = DType::F16.to_f32(h);
            let got = half_to_f32(h);
            if want.is_nan() {
                assert!(got.is_nan(), "{h:#x}");
            } else {
                assert_eq!(got.to_bits(), want.to_bits(), "{h:#x}");
            }
        }
    }

    fn place(words: u32) -> impl Strategy<Value = Place> {
        let dtype = prop_oneof![Just(DType::F16), Just(DType::BF16), Just(DType::F32)];
        (dtype, 0..words / 4, prop::array::uniform4(0..6i32), prop::bool::ANY).prop_map(
            |(dtype, base, mut strides, unit)| {
                let size = dtype.bytes() as i32;
                if unit {
                    strides[3] = 1;
                }
                Place::Mem { base: base * 4, strides: strides.map(|s| s * size), dtype }
            },
        )
    }

    proptest! {
        #[test]
        fn fast_rows_equal_the_element_loop(
            op in prop::sample::select(vec![VecOp::Fmac, VecOp::Mul, VecOp::Add, VecOp::Sub]),
            extents in prop::array::uniform4(1..5u32),
            long in 1..300u32,
            dst in place(4000), a in place(4000), b in place(4000),
            seed in any::<u64>(),
        ) {
            let extents = [extents[0], extents[1], extents[2], long];
            let issued = Issued { op, extents, total: extents.iter().product(), dst, a, b };
            let mut state = seed | 1;
            let sram: Vec<u32> = (0..8000).map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 33) as u32
            }).collect();
            let (mut fast, mut slow) = (sram.clone(), sram);
            let mut regs = [0u32; crate::REGISTERS];
            let mut regs2 = regs;
            crate::semantics::execute_all(&issued, &mut PeMemory { sram: &mut fast, regs: &mut regs });
            crate::semantics::execute(&issued, &mut PeMemory { sram: &mut slow, regs: &mut regs2 }, 0, issued.total, 0, 0);
            prop_assert_eq!(fast, slow);
        }
    }
}
