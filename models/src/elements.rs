//! Elements of stored tensors: little-endian numbers of one format, read as f32.

use std::ops::Range;

use half::{bf16, f16};

use crate::graph::WeightFormat;

/// Elements that are tested for NaN and infinity before the loop looks at the outcome.
const SCAN_BLOCK: usize = 1 << 14;
/// Columns that are read together where columns are not contiguous: the f32 elements of a host cache line.
const COLUMN_BLOCK: usize = 16;

/// Appends the values of little-endian `data` to `out`.
pub(crate) fn append(data: &[u8], format: WeightFormat, out: &mut Vec<f32>) {
    match format {
        WeightFormat::F32 => {
            out.extend(data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)))
        }
        WeightFormat::F16 => {
            out.extend(data.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()))
        }
        WeightFormat::Bf16 => {
            out.extend(data.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()))
        }
    }
}

/// Fills `out`, row by row, with the rectangle `rows` × `cols` of a matrix whose element `[row, col]` is element
/// `place(row, col)` of little-endian `data`.
pub(crate) fn gather(
    data: &[u8],
    format: WeightFormat,
    (rows, cols): (Range<usize>, Range<usize>),
    place: impl Fn(usize, usize) -> usize,
    out: &mut [f32],
) {
    match format {
        WeightFormat::F32 => {
            let elements = data.as_chunks().0;
            scatter((rows, cols), out, |r, c| f32::from_le_bytes(elements[place(r, c)]));
        }
        WeightFormat::F16 => {
            let elements = data.as_chunks().0;
            scatter((rows, cols), out, |r, c| f16::from_le_bytes(elements[place(r, c)]).to_f32());
        }
        WeightFormat::Bf16 => {
            let elements = data.as_chunks().0;
            scatter((rows, cols), out, |r, c| bf16::from_le_bytes(elements[place(r, c)]).to_f32());
        }
    }
}

/// Writes `value(row, col)` to every place of a rectangle, in blocks of columns, so that each cache line of a transposed
/// matrix is fetched once.
fn scatter(
    (rows, cols): (Range<usize>, Range<usize>),
    out: &mut [f32],
    value: impl Fn(usize, usize) -> f32,
) {
    let width = cols.len();
    for first in (0..width).step_by(COLUMN_BLOCK) {
        for (line, row) in rows.clone().enumerate() {
            for col in first..(first + COLUMN_BLOCK).min(width) {
                out[line * width + col] = value(row, cols.start + col);
            }
        }
    }
}

/// The first element that is NaN or infinite, with its index; in all three formats those are the values with all exponent
/// bits set.
pub(crate) fn first_non_finite(data: &[u8], format: WeightFormat) -> Option<(usize, f32)> {
    let flat = match format {
        WeightFormat::F32 => first_with_all(data, 0x7f80_0000, u32::from_le_bytes),
        WeightFormat::F16 => first_with_all(data, 0x7c00, |b| u32::from(u16::from_le_bytes(b))),
        WeightFormat::Bf16 => first_with_all(data, 0x7f80, |b| u32::from(u16::from_le_bytes(b))),
    }?;
    let size = format.bytes();
    let mut value = Vec::with_capacity(1);
    append(&data[flat * size..(flat + 1) * size], format, &mut value);
    Some((flat, value[0]))
}

/// Index of the first element whose bits contain all of `mask`. Blocks are tested without a branch per element.
fn first_with_all<const N: usize>(
    data: &[u8],
    mask: u32,
    bits: fn([u8; N]) -> u32,
) -> Option<usize> {
    let (elements, _) = data.as_chunks::<N>();
    let hit = |element: &[u8; N]| bits(*element) & mask == mask;
    let block = elements
        .chunks(SCAN_BLOCK)
        .position(|block| block.iter().fold(false, |any, e| any | hit(e)))?;
    let start = block * SCAN_BLOCK;
    elements[start..].iter().position(hit).map(|place| start + place)
}
