//! Pass 3, tile: which elements of every tensor each PE of a rectangle holds.
//!
//! In a rectangle of `width` × `height` PEs the residual stream is dealt over columns: slice `c` lives on
//! every PE of column `c`. Projections into heads and MLP have their outputs dealt over rows; the projections
//! back have their inputs dealt over rows and their outputs over columns. So each linear layer sums along
//! one axis, and the next one along the other, and nothing is ever transposed.

mod mlp;

pub(crate) use mlp::{MlpDims, MlpTiling, RowExperts};

use crate::split::{Dealt, Split, deal};
use std::ops::Range;

/// Sizes of one decoder layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LayerDims {
    pub(crate) hidden: u32,
    pub(crate) heads: u32,
    pub(crate) kv_heads: u32,
    pub(crate) head_dim: u32,
    /// Leading dimensions of a head that are rotated; `p` and `p + rotary_dims / 2` must stay together.
    pub(crate) rotary_dims: u32,
}

/// The tiles of one layer on a rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerTiling {
    pub(crate) dims: LayerDims,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// The residual stream over columns.
    pub(crate) hidden: Split,
}

/// What a row does in attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowHeads {
    /// First key-value head of the row.
    pub(crate) group: u32,
    /// Number of key-value heads of the row; more than one only where rows are fewer than heads.
    pub(crate) groups: u32,
    /// Dimensions of each head that the row holds: all first halves of its rotary pairs, then all second ones, then those
    /// that are not rotated.
    pub(crate) dims: Vec<u32>,
    /// Number of the row's rotary pairs.
    pub(crate) pairs: u32,
    /// First row of the block of rows that shares the row's head.
    pub(crate) block_start: u32,
    /// Number of rows of that block.
    pub(crate) block_len: u32,
}

/// The row of a weight matrix that an output of the fused query-key-value projection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QkvRow {
    Query(u32),
    Key(u32),
    Value(u32),
}

impl LayerTiling {
    pub(crate) fn new(dims: LayerDims, width: u32, height: u32) -> LayerTiling {
        LayerTiling { dims, width, height, hidden: Split::new(dims.hidden, width) }
    }

    /// Query heads per key-value head.
    pub(crate) fn queries(&self) -> u32 {
        self.dims.heads / self.dims.kv_heads
    }

    /// The heads and dimensions of row `row`.
    pub(crate) fn row_heads(&self, row: u32) -> RowHeads {
        let Dealt { first, count, part, parts } = deal(self.dims.kv_heads, self.height, row);
        let (dims, pairs) = self.head_share(part, parts);
        RowHeads {
            group: first,
            groups: count,
            dims,
            pairs,
            block_start: row - part,
            block_len: parts,
        }
    }

    /// The dimensions that row `part` of the `parts` rows of a head holds, and how many rotary pairs are among them. Pairs
    /// are dealt first; the other dimensions go to the rows with the fewest.
    fn head_share(&self, part: u32, parts: u32) -> (Vec<u32>, u32) {
        let LayerDims { head_dim, rotary_dims, .. } = self.dims;
        let half = rotary_dims / 2;
        let pairs = Split::new(half, parts);
        let mut held: Vec<u32> = (0..parts).map(|p| 2 * pairs.len(p)).collect();
        for _ in rotary_dims..head_dim {
            let least = held.iter_mut().min().expect("a head has rows");
            *least += 1;
        }
        let others = |p: u32| held[p as usize] - 2 * pairs.len(p);
        let first = rotary_dims + (0..part).map(others).sum::<u32>();
        let turned = pairs.start(part)..pairs.end(part);
        let crossed = turned.clone().map(|p| p + half);
        let dims = turned.chain(crossed).chain(first..first + others(part)).collect();
        (dims, pairs.len(part))
    }

    /// Outputs of the fused projection on a row, in SRAM order: for each key-value head its queries, its
    /// key, its value, each with the row's dimensions.
    pub(crate) fn qkv_rows(&self, row: &RowHeads) -> Vec<QkvRow> {
        let head_dim = self.dims.head_dim;
        let mut rows = Vec::new();
        for g in row.group..row.group + row.groups {
            for q in 0..self.queries() {
                let head = g * self.queries() + q;
                rows.extend(row.dims.iter().map(|d| QkvRow::Query(head * head_dim + d)));
            }
            rows.extend(row.dims.iter().map(|d| QkvRow::Key(g * head_dim + d)));
            rows.extend(row.dims.iter().map(|d| QkvRow::Value(g * head_dim + d)));
        }
        rows
    }

    /// The query heads of a row.
    pub(crate) fn query_heads(&self, row: &RowHeads) -> Range<u32> {
        row.group * self.queries()..(row.group + row.groups) * self.queries()
    }

    /// Columns of the output projection that a row's attention results stand for, in SRAM order.
    pub(crate) fn output_columns(&self, row: &RowHeads) -> Vec<u32> {
        self.query_heads(row)
            .flat_map(|h| row.dims.iter().map(move |d| h * self.dims.head_dim + d))
            .collect()
    }

    /// Over all rows, the largest number of (key-value heads × dimensions).
    pub(crate) fn max_kv_elements(&self) -> u32 {
        self.row_max(|r| r.groups * r.dims.len() as u32)
    }

    /// Over all rows, the largest number of query heads.
    pub(crate) fn max_row_queries(&self) -> u32 {
        self.row_max(|r| r.groups * self.queries())
    }

    /// Over all rows, the most dimensions of a head.
    pub(crate) fn max_dims(&self) -> u32 {
        self.row_max(|r| r.dims.len() as u32)
    }

    /// Over all rows, the most rotary pairs of a head.
    pub(crate) fn max_pairs(&self) -> u32 {
        self.row_max(|r| r.pairs)
    }

    /// Over all rows, the largest number of (key-value heads × rotary pairs).
    pub(crate) fn max_kv_pairs(&self) -> u32 {
        self.row_max(|r| r.groups * r.pairs)
    }

    fn row_max(&self, f: impl Fn(&RowHeads) -> u32) -> u32 {
        self.telling_rows().map(|r| f(&self.row_heads(r))).max().unwrap_or(0)
    }

    /// Rows of which every other row is like one, but for which head it has: with fewer rows than heads the first, which has the
    /// most; else those of the first head, which has the most rows, and of the last.
    fn telling_rows(&self) -> impl Iterator<Item = u32> {
        let heads = self.dims.kv_heads;
        let (first, last) = if self.height < heads {
            (0..1, 0..0)
        } else {
            let blocks = Split::new(self.height, heads);
            (0..blocks.end(0), blocks.start(heads - 1)..self.height)
        };
        first.chain(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_any_row_has_at_most_on_the_rows_that_tell() {
        for (kv_heads, head_dim, rotary_dims) in [(4, 16, 16), (1, 24, 6), (3, 10, 0), (8, 4, 4)] {
            for height in 1..40 {
                let dims = LayerDims { hidden: 64, heads: 24, kv_heads, head_dim, rotary_dims };
                let tiling = LayerTiling::new(dims, 3, height);
                let facts: [fn(&RowHeads) -> u32; 4] = [
                    |r| r.groups * r.dims.len() as u32,
                    |r| r.groups * r.pairs,
                    |r| r.dims.len() as u32 - 2 * r.pairs,
                    |r| r.block_len,
                ];
                for fact in facts {
                    let of_all = (0..height).map(|r| fact(&tiling.row_heads(r))).max();
                    assert_eq!(
                        Some(tiling.row_max(fact)),
                        of_all,
                        "{kv_heads} heads, {height} rows"
                    );
                }
            }
        }
    }

    #[test]
    fn every_projection_row_is_held_by_exactly_one_row_of_pes() {
        for (heads, kv_heads, head_dim, rotary_dims) in [
            (8, 4, 16, 16),
            (4, 1, 24, 24),
            (3, 3, 10, 10),
            (8, 8, 4, 0),
            (2, 2, 24, 6),
            (6, 2, 20, 10),
        ] {
            for height in 1..40 {
                let dims = LayerDims { hidden: 64, heads, kv_heads, head_dim, rotary_dims };
                let tiling = LayerTiling::new(dims, 3, height);
                let mut seen: Vec<u32> = Vec::new();
                let mut columns: Vec<u32> = Vec::new();
                for r in 0..height {
                    let row = tiling.row_heads(r);
                    assert!((row.block_start..row.block_start + row.block_len).contains(&r));
                    let (low, high) = row.dims.split_at(row.pairs as usize);
                    assert!(low.iter().zip(high).all(|(l, h)| l + rotary_dims / 2 == *h));
                    let others = &high[row.pairs as usize..];
                    assert!(others.iter().all(|d| *d >= rotary_dims));
                    seen.extend(tiling.qkv_rows(&row).iter().map(|q| match *q {
                        QkvRow::Query(n) => n,
                        QkvRow::Key(n) => heads * head_dim + n,
                        QkvRow::Value(n) => (heads + kv_heads) * head_dim + n,
                    }));
                    columns.extend(tiling.output_columns(&row));
                }
                seen.sort();
                assert!(seen.into_iter().eq(0..(heads + 2 * kv_heads) * head_dim));
                columns.sort();
                assert!(columns.into_iter().eq(0..heads * head_dim));
            }
        }
    }
}
