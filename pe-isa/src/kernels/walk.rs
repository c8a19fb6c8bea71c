//! Blocks of elements between SRAM and staged `f32`s.

use crate::DType;
use crate::dtype::{half_from_f32, half_to_f32};
use crate::semantics::{Place, load, store};

/// Some columns of some rows of the two inner loops.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// Element of each loop that it begins with, outermost first.
    pub(super) index: [i32; 4],
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Block {
    #[inline(always)]
    pub(super) fn elements(&self) -> usize {
        self.rows * self.columns
    }
}

/// The elements of a block in memory: where the first one is, and the distances of rows and of elements (bytes).
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    pub(super) start: i32,
    pub(super) row: i32,
    pub(super) step: i32,
    pub(super) dtype: DType,
}

// SRAM is little-endian within a word, and its halves are taken from the host's words.
const _: () = assert!(cfg!(target_endian = "little"), "the host must be little-endian");

/// The 16-bit elements of an SRAM.
#[inline(always)]
pub(super) fn halves(sram: &[u32]) -> &[u16] {
    bytemuck::cast_slice(sram)
}

#[inline(always)]
pub(super) fn halves_mut(sram: &mut [u32]) -> &mut [u16] {
    bytemuck::cast_slice_mut(sram)
}

impl Walk {
    /// The operand must be in memory.
    #[inline(always)]
    pub(super) fn of(place: &Place, [i0, i1, i2, i3]: &[i32; 4]) -> Walk {
        let Place::Mem { base, strides: [s0, s1, row, step], dtype } = *place else {
            unreachable!("an operand in memory");
        };
        let start = base as i32 + i0 * s0 + i1 * s1 + i2 * row + i3 * step;
        Walk { start, row, step, dtype }
    }

    /// Where the elements stand among all of their size, if they lie one behind the other.
    #[inline(always)]
    pub(super) fn range(self, block: &Block) -> Option<std::ops::Range<usize>> {
        let size = self.dtype.bytes() as i32;
        let rows = block.rows == 1 || self.row == size * block.columns as i32;
        let first = self.start as usize >> size.ilog2();
        (self.step == size && rows).then_some(first..first + block.elements())
    }

    #[inline(always)]
    pub(super) fn address(self, row: usize, column: usize) -> i32 {
        self.start + row as i32 * self.row + column as i32 * self.step
    }

    /// Reads elements as `f32`.
    #[inline(always)]
    pub(super) fn stage(self, sram: &[u32], block: &Block, out: &mut [f32]) {
        match (self.range(block), self.dtype) {
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
            (_, DType::F32) => self.gather(block, out, |at| f32::from_bits(sram[at as usize / 4])),
            (_, DType::F16) => {
                let halves = halves(sram);
                self.gather(block, out, |at| half_to_f32(halves[at as usize / 2]));
            }
            (_, t) => self.gather(block, out, |at| t.to_f32(load(sram, at as u32, t))),
        }
    }

    #[inline(always)]
    fn gather(self, block: &Block, out: &mut [f32], read: impl Fn(i32) -> f32) {
        for (row, out) in out.chunks_exact_mut(block.columns).enumerate() {
            let mut at = self.address(row, 0);
            for o in out {
                *o = read(at);
                at += self.step;
            }
        }
    }

    /// Writes elements, rounded to the type.
    #[inline(always)]
    pub(super) fn unstage(self, sram: &mut [u32], block: &Block, values: &[f32]) {
        match (self.range(block), self.dtype) {
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
            (_, DType::F32) => {
                self.scatter(block, values, |at, v| sram[at as usize / 4] = v.to_bits());
            }
            (_, DType::F16) => {
                let halves = halves_mut(sram);
                self.scatter(block, values, |at, v| halves[at as usize / 2] = half_from_f32(v));
            }
            (_, t) => self.scatter(block, values, |at, v| store(sram, at as u32, t, t.from_f32(v))),
        }
    }

    #[inline(always)]
    fn scatter(self, block: &Block, values: &[f32], mut write: impl FnMut(i32, f32)) {
        for (row, values) in values.chunks_exact(block.columns).enumerate() {
            let mut at = self.address(row, 0);
            for &value in values {
                write(at, value);
                at += self.step;
            }
        }
    }
}
