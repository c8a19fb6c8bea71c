//! GEMVs by columns: rows times factors, added to one row of sums.

use super::CHUNK;
use super::walk::{Block, Walk, halves};
use crate::DType;
use crate::dtype::half_to_f32;
use crate::semantics::{Issued, PeMemory, Place, canonical};

/// [`Form::Accumulate`]: each destination row takes all its sources row by row, some columns at a time.
#[inline(always)]
pub(super) fn accumulate(issued: &Issued, mem: &mut PeMemory, rows: &Place, factors: &Place) {
    let [e0, e1, e2, n] = issued.extents.map(|e| e as i32);
    let mut staged = [0f32; CHUNK];
    for index in (0..e0).flat_map(|i0| (0..e1).map(move |i1| [i0, i1])) {
        for from in (0..e2).step_by(CHUNK) {
            let index = [index[0], index[1], from, 0];
            let walk = |place| Walk::of(place, &index);
            let (factors, rows, to) = (walk(factors), walk(rows), walk(&issued.dst).start / 4);
            let values = &mut staged[..CHUNK.min((e2 - from) as usize)];
            // One of each row.
            let column = Block { index, rows: 1, columns: values.len() };
            Walk { step: factors.row, ..factors }.stage(mem.sram, &column, values);
            add_rows(mem.sram, to as usize, rows, values, n as usize);
        }
    }
}

/// Adds `n` columns of `rows`, each row times its factor, to the `f32`s at word `to`.
#[inline(always)]
fn add_rows(sram: &mut [u32], to: usize, rows: Walk, factors: &[f32], n: usize) {
    let mut at = 0;
    while at < n {
        let start = rows.start + at as i32 * rows.dtype.bytes() as i32;
        let rows = Walk { start, ..rows };
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
fn add_columns<const N: usize>(sram: &mut [u32], to: usize, rows: Walk, factors: &[f32]) -> usize {
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
    rows: Walk,
    factors: &[f32],
    widen: impl Fn(T) -> f32,
) -> [f32; N] {
    let size = size_of::<T>() as i32;
    let (mut at, step) = (rows.start / size, rows.row / size);
    for &factor in factors {
        let row = &elements[at as usize..at as usize + N];
        for (sum, &element) in sums.iter_mut().zip(row) {
            *sum += widen(element) * factor;
        }
        at += step;
    }
    sums
}
