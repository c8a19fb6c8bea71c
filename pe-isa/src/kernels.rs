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
    pulp::Arch::new().dispatch(ByRows { issued, mem, form });
    true
}

/// An operation with its form. A closure would not do: the call of one stands in a function of its own, which is compiled
/// for the least of all hosts.
struct ByRows<'a, 'm> {
    issued: &'a Issued,
    mem: &'a mut PeMemory<'m>,
    form: Form,
}

impl pulp::WithSimd for ByRows<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let ByRows { issued, mem, form } = self;
        match form {
            Form::Accumulate { swapped: false } => {
                return accumulate(issued, mem, &issued.a, &issued.b);
            }
            Form::Accumulate { swapped: true } => {
                return accumulate(issued, mem, &issued.b, &issued.a);
            }
            _ => {}
        }
        let e = issued.extents;
        for i0 in 0..e[0] {
            for i1 in 0..e[1] {
                for i2 in 0..e[2] {
                    form.row(issued, mem, &[i0 as i32, i1 as i32, i2 as i32]);
                }
            }
        }
    }
}

/// How a row is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One destination element for each: `d[i] = op(a[i], b[i], d[i])`.
    Map,
    /// The same, where bits are moved and nothing is computed.
    Copy,
    /// Row by row into the same `f32`s: `d[i] = d[i] + a[row][i] × b[row]`, a GEMV by columns, or several; with
    /// `a` and `b` swapped where the factors are the first source.
    Accumulate { swapped: bool },
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
                VecOp::Fmac => accumulates(issued).unwrap_or(Form::Map),
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
            Form::Map | Form::Accumulate { .. } => map_row(issued, mem, index),
            Form::Copy => copy_row(issued, mem, index),
            Form::Dot => reduce_row(issued, mem, index, |a, b, d| d + a * b),
            Form::Fold => match issued.op {
                VecOp::Add => reduce_row(issued, mem, index, |a, _, d| a + d),
                op => reduce_row(issued, mem, index, |a, _, d| float_op(op, a, d, d)),
            },
        }
    }
}

/// [`Form::Accumulate`], where the rows of the third loop go into one row of `f32`s, each times a factor of its own.
#[inline]
fn accumulates(issued: &Issued) -> Option<Form> {
    let Place::Mem { strides: [_, _, 0, 4], dtype: DType::F32, .. } = issued.dst else {
        return None;
    };
    // Rows that are the destination themselves change from one to the next.
    let are = |rows: &Place, factors: &Place| {
        let walk =
            matches!(rows, Place::Mem { strides, dtype, .. } if strides[3] == dtype.bytes() as i32);
        let repeat = matches!(factors, Place::Mem { strides: [.., 0], .. });
        walk && repeat && *rows != issued.dst
    };
    if are(&issued.a, &issued.b) {
        Some(Form::Accumulate { swapped: false })
    } else {
        are(&issued.b, &issued.a).then_some(Form::Accumulate { swapped: true })
    }
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

    /// The elements of the third loop, beginning with the first of this row.
    #[inline(always)]
    fn down(self, place: &Place) -> Row {
        let step = match place {
            Place::Mem { strides, .. } => strides[2],
            _ => 0,
        };
        Row { step, ..self }
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

/// [`Form::Accumulate`]: each destination row takes all its sources row by row, some columns at a time.
#[inline(always)]
fn accumulate(issued: &Issued, mem: &mut PeMemory, rows: &Place, factors: &Place) {
    let [e0, e1, e2, n] = issued.extents.map(|e| e as i32);
    let mut staged = [0f32; CHUNK];
    for index in (0..e0).flat_map(|i0| (0..e1).map(move |i1| [i0, i1])) {
        for from in (0..e2).step_by(CHUNK) {
            let index = [index[0], index[1], from];
            let row = |place| Row::of(place, &index, 0).expect("an operand in memory");
            let values = &mut staged[..CHUNK.min((e2 - from) as usize)];
            row(factors).down(factors).stage(mem.sram, values);
            let (to, rows) = (row(&issued.dst).start / 4, row(rows).down(rows));
            add_rows(mem.sram, to as usize, rows, values, n as usize);
        }
    }
}

/// Adds `n` columns of `rows`, each row times its factor, to the `f32`s at word `to`.
#[inline(always)]
fn add_rows(sram: &mut [u32], to: usize, rows: Row, factors: &[f32], n: usize) {
    let mut at = 0;
    while at < n {
        let start = rows.start + at as i32 * rows.dtype.bytes() as i32;
        let rows = Row { start, ..rows };
        at += match n - at {
            32.. => add_columns::<32>(sram, to + at, rows, factors),
            8.. => add_columns::<8>(sram, to + at, rows, factors),
            4.. => add_columns::<4>(sram, to + at, rows, factors),
            _ => add_columns::<1>(sram, to + at, rows, factors),
        };
    }
}

/// [`add_rows`] for `N` columns, which are so few that their sums stay in registers. A NaN stays one until the end, so
/// that its bits need to be made canonical only there. Returns `N`.
#[inline(always)]
fn add_columns<const N: usize>(sram: &mut [u32], to: usize, rows: Row, factors: &[f32]) -> usize {
    let mut sums = [0f32; N];
    for (sum, &word) in sums.iter_mut().zip(&sram[to..to + N]) {
        *sum = f32::from_bits(word);
    }
    let sums = match rows.dtype {
        DType::F16 => add_products(sums, halves(sram), rows, factors, half_to_f32),
        DType::F32 => add_products(sums, sram, rows, factors, f32::from_bits),
        t => {
            let widen = |half: u16| t.to_f32(u32::from(half));
            add_products(sums, halves(sram), rows, factors, widen)
        }
    };
    for (word, sum) in sram[to..to + N].iter_mut().zip(sums) {
        *word = canonical(sum).to_bits();
    }
    N
}

#[inline(always)]
fn add_products<T: Copy, const N: usize>(
    mut sums: [f32; N],
    elements: &[T],
    rows: Row,
    factors: &[f32],
    widen: impl Fn(T) -> f32,
) -> [f32; N] {
    let size = size_of::<T>() as i32;
    let (mut at, step) = (rows.start / size, rows.step / size);
    for &factor in factors {
        let row = &elements[at as usize..at as usize + N];
        for (sum, &element) in sums.iter_mut().zip(row) {
            *sum += widen(element) * factor;
        }
        at += step;
    }
    sums
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

    /// GEMVs by columns; the factors are the first source, the second one, or the rows themselves are the sums.
    fn gemv(dst: Place, a: Place, b: Place, how: u32) -> (VecOp, Place, Place, Place) {
        let with = |place, third: Option<i32>, inner: Option<i32>, wide: bool| match place {
            Place::Mem { base, strides: [i, j, k, _], dtype } => {
                let dtype = if wide { DType::F32 } else { dtype };
                let size = dtype.bytes() as i32;
                let [i, j, k] = [i, j, k].map(|s| s / 4 * 4);
                let strides = [i, j, third.unwrap_or(k), inner.unwrap_or(size)];
                Place::Mem { base, strides, dtype }
            }
            other => other,
        };
        let dst = with(dst, Some(0), None, true);
        let (rows, factors) = (with(a, None, None, false), with(b, None, Some(0), false));
        match how % 4 {
            0 => (VecOp::Fmac, dst, dst, factors),
            1 => (VecOp::Fmac, dst, factors, rows),
            _ => (VecOp::Fmac, dst, rows, factors),
        }
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
            let (op, dst, a, b) = if fold == 2 { gemv(dst, a, b, long) } else { (op, dst, a, b) };
            let b = if op.is_binary() { b } else { Place::None };
            let extents = [extents[0], extents[1], extents[2], long];
            let issued = Issued { op, extents, total: extents.iter().product(), dst, a, b };
            let mut state = seed | 1;
            let sram: Vec<u32> = (0..8000).map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let bits = (state >> 32) as u32;
                // One in eight: zeroes, infinities, NaNs, subnormals, of either type.
                let special = [0x7fc0_0001, 0x7f80_0000, 0x8000_0003, 0x7c00_fc00, 0xfe01_0001, 0x8000_0000];
                if state >> 29 & 7 == 0 { special[bits as usize % 6] } else { bits }
            }).collect();
            let (mut fast, mut slow, mut plain) = (sram.clone(), sram.clone(), sram);
            let mut regs = [0x3f8c_cccd; crate::REGISTERS];
            let mut regs2 = regs;
            crate::semantics::execute_all(&issued, &mut PeMemory { sram: &mut fast, regs: &mut regs });
            crate::semantics::execute(&issued, &mut PeMemory { sram: &mut slow, regs: &mut regs2 }, 0, issued.total, 0, 0);
            prop_assert_eq!(&fast, &slow);
            // As on a host without vector units.
            if let Some(form) = Form::of(&issued) {
                let mem = &mut PeMemory { sram: &mut plain, regs: &mut regs };
                pulp::WithSimd::with_simd(ByRows { issued: &issued, mem, form }, pulp::Scalar::new());
                prop_assert_eq!(&plain, &slow);
            }
        }
    }
}
