//! What the linear-algebra kernels have in common: the matrices' elements, their tiles, and the product of two tiles.

use super::draft::Region;
use super::params::{Most, Param};
use crate::asm::{Asm, Mem, mem, n};
use pe_isa::{DType, VecOp};

/// PEs along each side of a square.
pub(super) const SIDE: Param =
    Param::places("P", "PEs along each side of the square", 4, 2, Most::Square);

/// A size of a tile.
const fn size(name: &'static str, about: &'static str) -> Param {
    Param::elements(name, about, 8, 128)
}

/// Rows of a tile of the result.
pub(super) const M: Param = size("M", "rows of a PE's tile of the result");
/// Length of a tile's sums.
pub(super) const K: Param = size("K", "elements that a PE's tiles add up over");
/// Columns of a tile of the result.
pub(super) const N: Param = size("N", "columns of a PE's tile of the result");

/// Element of the left matrix: a small integer, so that sums of up to four million products are exact in f32.
pub(super) fn left(i: u32, j: u32) -> f32 {
    ((i + 2 * j) % 5) as f32
}

/// Both matrices repeat after so many columns (of the left) or rows (of the right).
const PERIOD: u32 = 10;

/// Element of the right matrix.
pub(super) fn right(i: u32, j: u32) -> f32 {
    ((3 * i + j) % 2) as f32
}

/// Tile (`row`, `column`) of a matrix, `rows` × `columns` elements, row-major.
pub(super) fn tile(
    element: fn(u32, u32) -> f32,
    (row, column): (u32, u32),
    (rows, columns): (u32, u32),
) -> Vec<f32> {
    let at = |k: u32| element(row * rows + k / columns, column * columns + k % columns);
    (0..rows * columns).map(at).collect()
}

/// Tile (`row`, `column`) of the product, `m` × `n` elements, over `depth` products an element.
pub(super) fn product(at: (u32, u32), (m, n): (u32, u32), depth: u32) -> Vec<f32> {
    let element = |k: u32| {
        let (i, j) = (at.0 * m + k / n, at.1 * n + k % n);
        let times = |d: u32| ((depth + PERIOD - 1 - d) / PERIOD) as f32;
        (0..PERIOD).map(|d| left(i, d) * right(d, j) * times(d)).sum()
    };
    (0..m * n).map(element).collect()
}

/// A matrix in memory with strides (in elements) for three loops.
fn strided(region: &Region, strides: [u32; 3]) -> Mem {
    mem(region.address, &strides, DType::F32)
}

/// `c += a b` for tiles `a` (m × k), `b` (k × n) and `c` (m × n): rows of n multiply-adds, none of which folds into one
/// element, because that is slower (contract rule C-3).
pub(super) fn multiply(asm: &mut Asm, [a, b, c]: [&Region; 3], (m, k, cols): (u32, u32, u32)) {
    let (c, a, b) = (strided(c, [cols, 0, 1]), strided(a, [k, 1, 0]), strided(b, [0, cols, 1]));
    asm.vec(VecOp::Fmac, &[n(m), n(k), n(cols)], c, a, b);
}
