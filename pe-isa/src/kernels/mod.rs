//! Whole memory-only operations: the loops that a simulation of a model spends its arithmetic in.
//!
//! Each is a rewriting of [`crate::semantics::execute`] over rows whose operands do
//! not overlap in a way that its order of reads and writes would show: the sources are staged as
//! `f32`, combined, and stored, a block of elements at a time. Property tests hold the two equal. `pulp` compiles the
//! loops for the vector units that hosts have and picks at run time; the arithmetic is IEEE 754 on all of them, and
//! nothing is contracted or reordered, so that the bits do not depend on the pick.

mod accumulate;
mod walk;

use crate::DType;
use crate::instr::VecOp;
use crate::semantics::{Issued, PeMemory, Place, canonical, execute, float_op, load, store};
use accumulate::accumulate;
use walk::{Block, Walk, halves_mut};

/// Elements that are staged at a time.
const CHUNK: usize = 64;

/// Operations of so few elements are not worth the choice of vector units.
const FEW: usize = 16;

/// How a whole memory-only operation is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Not at all: it has no elements.
    Nothing,
    /// Element after element.
    Elements,
    /// One destination element for each: `d[i] = op(a[i], b[i], d[i])`.
    Map {
        /// Rows of the third loop do not see what the ones before have written.
        apart: bool,
    },
    /// The same, where bits are moved and nothing is computed.
    Copy,
    /// Row by row into the same `f32`s: `d[i] = d[i] + a[row][i] × b[row]`, a GEMV by columns, or several.
    Accumulate {
        /// The factors are the first source.
        swapped: bool,
    },
    /// All into one `f32`: `d = d + a[i] × b[i]`.
    Dot,
    /// All into one `f32`: `d = op(a[i], d)`.
    Fold,
}

impl Form {
    /// The fastest form of an operation.
    pub fn of(issued: &Issued) -> Form {
        if issued.total == 0 {
            return Form::Nothing;
        }
        Form::by_rows(issued).unwrap_or(Form::Elements)
    }

    fn by_rows(issued: &Issued) -> Option<Form> {
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
            let map = Form::Map { apart: are_apart(issued) };
            let form = match issued.op {
                _ if moves => Form::Copy,
                VecOp::Fmac => accumulates(issued).unwrap_or(map),
                _ => map,
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

    /// Carries out the operation whose form this is. Equal to [`execute`] over all elements, bit for bit.
    pub fn execute(self, issued: &Issued, mem: &mut PeMemory) {
        match self {
            Form::Nothing => {}
            Form::Elements => {
                execute(issued, mem, 0, issued.total, 0, 0);
            }
            Form::Copy => blocks(issued, 1, usize::MAX, |row| copy_row(issued, mem, row)),
            Form::Accumulate { swapped } => {
                pulp::Arch::new().dispatch(Accumulation { issued, mem, swapped });
            }
            Form::Map { apart } => {
                let rows = if apart { usize::MAX } else { 1 };
                if issued.total <= FEW as u32 {
                    blocks(issued, rows, FEW, |block| map_few(issued, mem, block));
                } else {
                    blocks(issued, rows, CHUNK, |block| map_many(issued, mem, block));
                }
            }
            Form::Dot | Form::Fold => {
                blocks(issued, usize::MAX, CHUNK, |block| reduce(issued, mem, block));
            }
        }
    }
}

/// Calls `f` with blocks of up to `rows` rows and `most` elements, in order.
#[inline(always)]
fn blocks(issued: &Issued, rows: usize, most: usize, mut f: impl FnMut(&Block)) {
    let [e0, e1, e2, n] = issued.extents.map(|e| e as usize);
    let rows = if n < most { rows.min(most / n) } else { 1 };
    for i0 in 0..e0 {
        for i1 in 0..e1 {
            let mut i2 = 0;
            while i2 < e2 {
                let rows = rows.min(e2 - i2);
                let mut i3 = 0;
                while i3 < n {
                    let columns = most.min(n - i3);
                    f(&Block { index: [i0, i1, i2, i3].map(|i| i as i32), rows, columns });
                    i3 += columns;
                }
                i2 += rows;
            }
        }
    }
}

/// [`Form::Accumulate`]. A closure would not do: the call of one stands in a function of its own, which is compiled
/// for the least of all hosts.
struct Accumulation<'a, 'm> {
    issued: &'a Issued,
    mem: &'a mut PeMemory<'m>,
    swapped: bool,
}

impl pulp::WithSimd for Accumulation<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Accumulation { issued, mem, swapped } = self;
        let (rows, factors) = if swapped { (&issued.b, &issued.a) } else { (&issued.a, &issued.b) };
        accumulate(issued, mem, rows, factors);
    }
}

/// A block of [`Form::Map`].
struct Mapping<'a, 'm> {
    issued: &'a Issued,
    mem: &'a mut PeMemory<'m>,
    block: &'a Block,
}

impl pulp::WithSimd for Mapping<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        map::<CHUNK>(self.issued, self.mem, self.block);
    }
}

/// [`Form::Map`]: no row of the third loop reads, as its destination, what another one writes.
fn are_apart(issued: &Issued) -> bool {
    let Place::Mem { strides, dtype, .. } = issued.dst else {
        return false;
    };
    let reads = issued.op.reads_dst() || issued.a == issued.dst || issued.b == issued.dst;
    let row = (issued.extents[3] - 1) * strides[3].unsigned_abs() + dtype.bytes();
    !reads || strides[2].unsigned_abs() >= row
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

/// Reads the elements of a source.
#[inline(always)]
fn stage<const N: usize>(source: &Place, mem: &PeMemory, block: &Block, out: &mut [f32; N]) {
    match *source {
        Place::Mem { .. } => {
            let walk = Walk::of(source, &block.index);
            walk.stage(mem.sram, block, &mut out[..block.elements()]);
        }
        Place::Imm(v, t) => *out = [t.to_f32(v); N],
        Place::Reg(r, t) => *out = [t.to_f32(mem.regs[usize::from(r.0)]); N],
        Place::None | Place::Fabric(_) => {}
    }
}

// In functions of their own, so that nothing is computed ahead of the one block that there mostly is.

#[inline(never)]
fn map_few(issued: &Issued, mem: &mut PeMemory, block: &Block) {
    map::<FEW>(issued, mem, block);
}

#[inline(never)]
fn map_many(issued: &Issued, mem: &mut PeMemory, block: &Block) {
    pulp::Arch::new().dispatch(Mapping { issued, mem, block });
}

#[inline(always)]
fn map<const N: usize>(issued: &Issued, mem: &mut PeMemory, block: &Block) {
    let (mut a, mut b, mut d) = ([0f32; N], [0f32; N], [0f32; N]);
    let n = block.elements();
    let walk = Walk::of(&issued.dst, &block.index);
    stage(&issued.a, mem, block, &mut a);
    stage(&issued.b, mem, block, &mut b);
    if issued.op.reads_dst() {
        walk.stage(mem.sram, block, &mut d[..n]);
    }
    // Loops of a length that is known come without remainders, which cost more than the elements that nobody needs.
    match issued.op {
        VecOp::Fmac => combine(&mut d, &a, &b, |a, b, d| d + a * b),
        VecOp::Mul => combine(&mut d, &a, &b, |a, b, _| a * b),
        VecOp::Add => combine(&mut d, &a, &b, |a, b, _| a + b),
        VecOp::Sub => combine(&mut d, &a, &b, |a, b, _| a - b),
        VecOp::Mov => combine(&mut d, &a, &b, |a, _, _| a),
        op => combine(&mut d[..n], &a[..n], &b[..n], |a, b, d| float_op(op, a, b, d)),
    }
    walk.unstage(mem.sram, block, &d[..n]);
}

#[inline(always)]
fn combine(d: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(f32, f32, f32) -> f32) {
    for ((d, &a), &b) in d.iter_mut().zip(a).zip(b) {
        *d = canonical(f(a, b, *d));
    }
}

/// A block of [`Form::Dot`] or [`Form::Fold`].
#[inline(never)]
fn reduce(issued: &Issued, mem: &mut PeMemory, block: &Block) {
    let (mut a, mut b) = ([0f32; CHUNK], [0f32; CHUNK]);
    stage(&issued.a, mem, block, &mut a);
    match issued.op {
        VecOp::Fmac => {
            stage(&issued.b, mem, block, &mut b);
            fold(issued, mem, block, &a, &b, |a, b, d| d + a * b);
        }
        VecOp::Add => fold(issued, mem, block, &a, &b, |a, _, d| a + d),
        op => fold(issued, mem, block, &a, &b, |a, _, d| float_op(op, a, d, d)),
    }
}

/// Folds each row into one `f32`, element after element. A NaN stays one until the end, so that its bits
/// need to be made canonical only there.
#[inline(always)]
fn fold(
    issued: &Issued,
    mem: &mut PeMemory,
    block: &Block,
    a: &[f32],
    b: &[f32],
    f: impl Fn(f32, f32, f32) -> f32,
) {
    let walk = Walk::of(&issued.dst, &block.index);
    let (a, b) = (&a[..block.elements()], &b[..block.elements()]);
    let rows = a.chunks_exact(block.columns).zip(b.chunks_exact(block.columns));
    for (row, (a, b)) in rows.enumerate() {
        let word = &mut mem.sram[walk.address(row, 0) as usize / 4];
        let mut sum = f32::from_bits(*word);
        for (&a, &b) in a.iter().zip(b) {
            sum = f(a, b, sum);
        }
        *word = canonical(sum).to_bits();
    }
}

/// A row of [`Form::Copy`], moved bit by bit.
#[inline(never)]
fn copy_row(issued: &Issued, mem: &mut PeMemory, row: &Block) {
    let to = Walk::of(&issued.dst, &row.index);
    let value = match issued.a {
        Place::Reg(r, _) => mem.regs[usize::from(r.0)],
        Place::Imm(v, _) => v,
        _ => return move_row(Walk::of(&issued.a, &row.index), to, mem.sram, row),
    };
    match to.range(row) {
        Some(to_words) if to.dtype.bytes() == 4 => mem.sram[to_words].fill(value),
        Some(to_halves) => halves_mut(mem.sram)[to_halves].fill(value as u16),
        None => {
            for column in 0..row.columns {
                store(mem.sram, to.address(0, column) as u32, to.dtype, value);
            }
        }
    }
}

fn move_row(from: Walk, to: Walk, sram: &mut [u32], row: &Block) {
    match (from.range(row), to.range(row), to.dtype.bytes()) {
        (Some(from), Some(to), 4) => sram.copy_within(from, to.start),
        (Some(from), Some(to), _) => halves_mut(sram).copy_within(from, to.start),
        _ => {
            for column in 0..row.columns {
                let [from_at, to_at] = [from, to].map(|walk| walk.address(0, column) as u32);
                let bits = load(sram, from_at, from.dtype);
                store(sram, to_at, to.dtype, bits);
            }
        }
    }
}

#[cfg(test)]
mod tests;
