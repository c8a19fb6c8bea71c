//! Memory-only operations by rows: the loops that a simulation of a model spends its arithmetic in.
//!
//! Each is a rewriting of [`crate::semantics::execute`] over one innermost row whose operands do
//! not overlap in a way that its order of reads and writes would show: the sources are staged as
//! `f32`, combined, and stored. Property tests hold the two equal. `pulp` compiles the loops for the
//! vector units that hosts have and picks at run time; the arithmetic is IEEE 754 on all of them, and nothing
//! is contracted or reordered, so that the bits do not depend on the pick.

use crate::DType;
use crate::dtype::{half_from_f32, half_to_f32};
use crate::instr::VecOp;
use crate::semantics::{Issued, PeMemory, Place, canonical, float_op, load, store};

/// Elements that are staged at a time.
const CHUNK: usize = 64;

/// Runs the operation row by row. Returns false, having done nothing, where the operation has no
/// form by rows.
pub(crate) fn execute_rows(issued: &Issued, mem: &mut PeMemory) -> bool {
    let Some(form) = Form::of(issued) else {
        return false;
    };
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            if form == Form::Accumulate {
                return accumulate(issued, mem);
            }
            let e = issued.extents;
            for i0 in 0..e[0] {
                for i1 in 0..e[1] {
                    for i2 in 0..e[2] {
                        form.row(issued, mem, &[i0 as i32, i1 as i32, i2 as i32]);
                    }
                }
            }
        },
    );
    true
}

/// How a row is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One destination element for each: `d[i] = op(a[i], b[i], d[i])`.
    Map,
    /// The same, where bits are moved and nothing is computed.
    Copy,
    /// Row by row into the same `f32`s: `d[i] = d[i] + a[row][i] × b[row]`, a GEMV by columns.
    Accumulate,
    /// All into one `f32`: `d = d + a[i] × b[i]`.
    Dot,
    /// All into one `f32`: `d = op(a[i], d)`.
    Fold,
}

impl Form {
    fn of(issued: &Issued) -> Option<Form> {
        let Place::Mem { strides, dtype, .. } = issued.dst else {
            return None;
        };
        let types = [issued.dst.dtype(), issued.a.dtype(), issued.b.dtype()];
        let fabric = [issued.a, issued.b].iter().any(|p| matches!(p, Place::Fabric(_)));
        if types.contains(&Some(DType::U32)) || fabric || issued.op == VecOp::ArgMax {
            return None;
        }
        let free = !overlaps(issued, &issued.a) && !overlaps(issued, &issued.b);
        if strides[3] != 0 || issued.extents[3] == 1 {
            let moves = issued.op == VecOp::Mov && issued.a.dtype() == Some(dtype);
            let form = match issued.op {
                _ if moves => Form::Copy,
                VecOp::Fmac if dtype == DType::F32 && accumulates(issued) => Form::Accumulate,
                _ => Form::Map,
            };
            return free.then_some(form);
        }
        if dtype != DType::F32 {
            return None;
        }
        match issued.op {
            VecOp::Fmac if free => Some(Form::Dot),
            VecOp::Add | VecOp::Mul | VecOp::Max | VecOp::Min => {
                (issued.b == issued.dst && !overlaps(issued, &issued.a)).then_some(Form::Fold)
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn row(self, issued: &Issued, mem: &mut PeMemory, index: &[i32; 3]) {
        match self {
            Form::Map | Form::Accumulate => map_row(issued, mem, index),
            Form::Copy => copy_row(issued, mem, index),
            Form::Dot => reduce_row(issued, mem, index, |a, b, d| d + a * b),
            Form::Fold => match issued.op {
                VecOp::Add => reduce_row(issued, mem, index, |a, _, d| a + d),
                op => reduce_row(issued, mem, index, |a, _, d| float_op(op, a, d, d)),
            },
        }
    }
}

/// Whether all rows go into the same one, each times a factor of its own.
fn accumulates(issued: &Issued) -> bool {
    let repeats = |p: &Place| matches!(p, Place::Mem { strides, .. } if strides[..3] == [0; 3]);
    let walks = |p: &Place| matches!(p, Place::Mem { strides, dtype, .. } if strides[3] == dtype.bytes() as i32);
    let factor = matches!(issued.b, Place::Mem { strides, .. } if strides[3] == 0);
    repeats(&issued.dst) && walks(&issued.dst) && walks(&issued.a) && factor
}

/// Whether a source shares bytes with the destination other than element for element.
fn overlaps(issued: &Issued, source: &Place) -> bool {
    let (Place::Mem { .. }, Place::Mem { strides, .. }) = (source, issued.dst) else {
        return false;
    };
    if *source == issued.dst && strides[3] != 0 {
        return false;
    }
    let (d0, d1) = span(&issued.dst, &issued.extents);
    let (s0, s1) = span(source, &issued.extents);
    d0 <= s1 && s0 <= d1
}

/// First and last byte of an operand.
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

/// Elements `from ..` of a row of an operand in memory: where the first one is, the distance to the next one (bytes), and their type.
#[derive(Debug, Clone, Copy)]
struct Row {
    start: i32,
    step: i32,
    dtype: DType,
}

impl Row {
    #[inline(always)]
    fn of(place: &Place, index: &[i32; 3], from: usize) -> Option<Row> {
        let Place::Mem { base, strides, dtype } = *place else {
            return None;
        };
        let offset: i32 = index.iter().zip(&strides).map(|(i, s)| i * s).sum();
        let start = base as i32 + offset + from as i32 * strides[3];
        Some(Row { start, step: strides[3], dtype })
    }

    /// Where the `n` elements stand among all of their size, if they lie one behind the other.
    #[inline(always)]
    fn range(self, n: usize) -> Option<std::ops::Range<usize>> {
        let size = self.dtype.bytes() as i32;
        let first = (self.start / size) as usize;
        (self.step == size).then_some(first..first + n)
    }

    #[inline(always)]
    fn address(self, at: usize) -> u32 {
        (self.start + at as i32 * self.step) as u32
    }

    /// Reads elements as `f32`.
    #[inline(always)]
    fn stage(self, sram: &[u32], out: &mut [f32]) {
        match (self.range(out.len()), self.dtype) {
            (Some(range), DType::F32) => {
                for (o, &w) in out.iter_mut().zip(&sram[range]) {
                    *o = f32::from_bits(w);
                }
            }
            (Some(range), DType::F16) => {
                for (o, &h) in out.iter_mut().zip(&halves(sram)[range]) {
                    *o = half_to_f32(h);
                }
            }
            _ if self.step == 0 => {
                out.fill(self.dtype.to_f32(load(sram, self.address(0), self.dtype)))
            }
            _ => {
                for (at, o) in out.iter_mut().enumerate() {
                    *o = self.dtype.to_f32(load(sram, self.address(at), self.dtype));
                }
            }
        }
    }

    /// Writes elements, rounded to the type.
    #[inline(always)]
    fn unstage(self, sram: &mut [u32], values: &[f32]) {
        match (self.range(values.len()), self.dtype) {
            (Some(range), DType::F32) => {
                for (w, v) in sram[range].iter_mut().zip(values) {
                    *w = v.to_bits();
                }
            }
            (Some(range), DType::F16) => {
                for (h, v) in halves_mut(sram)[range].iter_mut().zip(values) {
                    *h = half_from_f32(*v);
                }
            }
            _ => {
                for (at, &v) in values.iter().enumerate() {
                    store(sram, self.address(at), self.dtype, self.dtype.from_f32(v));
                }
            }
        }
    }
}

// SRAM is little-endian within a word, and its halves are taken from the host's words.
const _: () = assert!(cfg!(target_endian = "little"), "the host must be little-endian");

/// The 16-bit elements of an SRAM.
#[inline(always)]
fn halves(sram: &[u32]) -> &[u16] {
    bytemuck::cast_slice(sram)
}

#[inline(always)]
fn halves_mut(sram: &mut [u32]) -> &mut [u16] {
    bytemuck::cast_slice_mut(sram)
}

/// Reads elements `from ..` of a source.
#[inline(always)]
fn stage(source: &Place, mem: &PeMemory, index: &[i32; 3], from: usize, out: &mut [f32]) {
    match (*source, Row::of(source, index, from)) {
        (_, Some(row)) => row.stage(mem.sram, out),
        (Place::Imm(v, t), _) => out.fill(t.to_f32(v)),
        (Place::Reg(r, t), _) => out.fill(t.to_f32(mem.regs[usize::from(r.0)])),
        _ => out.fill(0.0),
    }
}

#[inline(always)]
fn map_row(issued: &Issued, mem: &mut PeMemory, index: &[i32; 3]) {
    let n = issued.extents[3] as usize;
    let (mut a, mut b, mut d) = ([0f32; CHUNK], [0f32; CHUNK], [0f32; CHUNK]);
    for from in (0..n).step_by(CHUNK) {
        let m = (n - from).min(CHUNK);
        let (a, b, d) = (&mut a[..m], &mut b[..m], &mut d[..m]);
        let row = Row::of(&issued.dst, index, from).expect("a destination in memory");
        stage(&issued.a, mem, index, from, a);
        stage(&issued.b, mem, index, from, b);
        if issued.op.reads_dst() {
            row.stage(mem.sram, d);
        }
        match issued.op {
            VecOp::Fmac => combine(d, a, b, |a, b, d| d + a * b),
            VecOp::Mul => combine(d, a, b, |a, b, _| a * b),
            VecOp::Add => combine(d, a, b, |a, b, _| a + b),
            VecOp::Sub => combine(d, a, b, |a, b, _| a - b),
            VecOp::Mov => combine(d, a, b, |a, _, _| a),
            op => combine(d, a, b, |a, b, d| float_op(op, a, b, d)),
        }
        row.unstage(mem.sram, d);
    }
}

/// [`Form::Accumulate`]. A NaN stays one until the end, so that its bits need to be made canonical only there.
#[inline(always)]
fn accumulate(issued: &Issued, mem: &mut PeMemory) {
    let [e0, e1, e2, n] = issued.extents.map(|e| e as i32);
    let mut d = [0f32; CHUNK];
    for from in (0..n as usize).step_by(CHUNK) {
        let d = &mut d[..(n as usize - from).min(CHUNK)];
        let row = Row::of(&issued.dst, &[0; 3], from).expect("a destination in memory");
        row.stage(mem.sram, d);
        for i0 in 0..e0 {
            for i1 in 0..e1 {
                for i2 in 0..e2 {
                    add_row(issued, mem.sram, &[i0, i1, i2], from, d);
                }
            }
        }
        d.iter_mut().for_each(|d| *d = canonical(*d));
        row.unstage(mem.sram, d);
    }
}

#[inline(always)]
fn add_row(issued: &Issued, sram: &[u32], index: &[i32; 3], from: usize, d: &mut [f32]) {
    let mut factor = [0f32];
    let b = Row::of(&issued.b, index, 0).expect("a factor in memory");
    b.stage(sram, &mut factor);
    let a = Row::of(&issued.a, index, from).expect("a source in memory");
    match (a.range(d.len()), a.dtype) {
        (Some(range), DType::F16) => {
            for (d, &h) in d.iter_mut().zip(&halves(sram)[range]) {
                *d += half_to_f32(h) * factor[0];
            }
        }
        _ => {
            let mut staged = [0f32; CHUNK];
            let staged = &mut staged[..d.len()];
            a.stage(sram, staged);
            for (d, &a) in d.iter_mut().zip(&*staged) {
                *d += a * factor[0];
            }
        }
    }
}

#[inline(always)]
fn combine(d: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(f32, f32, f32) -> f32) {
    for ((d, &a), &b) in d.iter_mut().zip(a).zip(b) {
        *d = canonical(f(a, b, *d));
    }
}

/// Moves a row bit by bit.
#[inline(always)]
fn copy_row(issued: &Issued, mem: &mut PeMemory, index: &[i32; 3]) {
    let n = issued.extents[3] as usize;
    let to = Row::of(&issued.dst, index, 0).expect("a destination in memory");
    let from = Row::of(&issued.a, index, 0);
    let value = match issued.a {
        Place::Reg(r, _) => mem.regs[usize::from(r.0)],
        Place::Imm(v, _) => v,
        _ => 0,
    };
    match (from.map(|row| row.range(n)), to.range(n), to.dtype.bytes()) {
        (Some(Some(from)), Some(to), 4) => mem.sram.copy_within(from, to.start),
        (Some(Some(from)), Some(to), _) => halves_mut(mem.sram).copy_within(from, to.start),
        (None, Some(to), 4) => mem.sram[to].fill(value),
        _ => {
            for at in 0..n {
                let bits = from.map_or(value, |row| load(mem.sram, row.address(at), row.dtype));
                store(mem.sram, to.address(at), to.dtype, bits);
            }
        }
    }
}

/// Folds a row into one `f32`, element after element. A NaN stays one until the end, so that its bits
/// need to be made canonical only there.
#[inline(always)]
fn reduce_row(
    issued: &Issued,
    mem: &mut PeMemory,
    index: &[i32; 3],
    f: impl Fn(f32, f32, f32) -> f32,
) {
    let n = issued.extents[3] as usize;
    let (mut a, mut b) = ([0f32; CHUNK], [0f32; CHUNK]);
    let row = Row::of(&issued.dst, index, 0).expect("a destination in memory");
    let mut sum = [0f32];
    row.stage(mem.sram, &mut sum);
    for from in (0..n).step_by(CHUNK) {
        let m = (n - from).min(CHUNK);
        stage(&issued.a, mem, index, from, &mut a[..m]);
        if issued.op == VecOp::Fmac {
            stage(&issued.b, mem, index, from, &mut b[..m]);
        }
        for (&a, &b) in a[..m].iter().zip(&b[..m]) {
            sum[0] = f(a, b, sum[0]);
        }
    }
    row.unstage(mem.sram, &sum.map(canonical));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    fn source() -> impl Strategy<Value = Place> {
        let constant =
            (any::<u32>(), prop::bool::ANY, prop::bool::ANY).prop_map(|(v, reg, half)| {
                let dtype = if half { DType::F16 } else { DType::F32 };
                let bits = if half { v & 0xffff } else { v };
                if reg { Place::Reg(crate::Reg(3), dtype) } else { Place::Imm(bits, dtype) }
            });
        prop_oneof![4 => place(4000), 1 => constant]
    }

    /// The same element over and over.
    fn reducing(place: Place) -> Place {
        match place {
            Place::Mem { base, strides: [i, j, k, _], .. } => {
                Place::Mem { base, strides: [2 * i, 2 * j, 2 * k, 0], dtype: DType::F32 }
            }
            other => other,
        }
    }

    /// A GEMV by columns.
    fn gemv(dst: Place, a: Place, b: Place) -> (VecOp, Place, Place, Place) {
        let with = |place, outer: Option<i32>, inner: Option<i32>, wide: bool| match place {
            Place::Mem { base, strides: [i, j, k, _], dtype } => {
                let dtype = if wide { DType::F32 } else { dtype };
                let size = dtype.bytes() as i32;
                let [i, j, k] = [i, j, k].map(|s| outer.unwrap_or(s / 4 * 4));
                Place::Mem { base, strides: [i, j, k, inner.unwrap_or(size)], dtype }
            }
            other => other,
        };
        let dst = with(dst, Some(0), None, true);
        (VecOp::Fmac, dst, with(a, None, None, false), with(b, None, Some(0), false))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn fast_rows_equal_the_element_loop(
            op in prop::sample::select(VecOp::ALL.to_vec()),
            extents in prop::array::uniform4(1..5u32),
            long in 1..300u32,
            dst in place(4000), a in source(), b in source(), fold in 0..6,
            seed in any::<u64>(),
        ) {
            let (dst, b) = if fold == 0 { (reducing(dst), reducing(dst)) } else { (dst, b) };
            let dst = if fold == 1 { reducing(dst) } else { dst };
            let (op, dst, a, b) = if fold == 2 { gemv(dst, a, b) } else { (op, dst, a, b) };
            let b = if op.is_binary() { b } else { Place::None };
            let extents = [extents[0], extents[1], extents[2], long];
            let issued = Issued { op, extents, total: extents.iter().product(), dst, a, b };
            let mut state = seed | 1;
            let sram: Vec<u32> = (0..8000).map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 33) as u32
            }).collect();
            let (mut fast, mut slow) = (sram.clone(), sram);
            let mut regs = [0x3f8c_cccd; crate::REGISTERS];
            let mut regs2 = regs;
            crate::semantics::execute_all(&issued, &mut PeMemory { sram: &mut fast, regs: &mut regs });
            crate::semantics::execute(&issued, &mut PeMemory { sram: &mut slow, regs: &mut regs2 }, 0, issued.total, 0, 0);
            prop_assert_eq!(fast, slow);
        }
    }
}
