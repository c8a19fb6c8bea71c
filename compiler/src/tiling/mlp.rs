//! Which experts a row of PEs has, and which part of their inner width.

use crate::split::{Dealt, Split, deal};
use std::ops::Range;

/// Sizes of a layer's MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MlpDims {
    /// Experts, and how many of them are chosen for a token; none where there is nothing to choose.
    pub(crate) routed: Option<(u32, u32)>,
    /// Inner width, of each expert.
    pub(crate) intermediate: u32,
    /// Whether there is a gate beside the projection up.
    pub(crate) gated: bool,
}

impl MlpDims {
    /// Outputs of the first projection for each element of the inner width.
    pub(crate) fn ups(&self) -> u32 {
        1 + u32::from(self.gated)
    }

    /// Experts; an MLP without a router is one.
    pub(crate) fn experts(&self) -> u32 {
        self.routed.map_or(1, |(experts, _)| experts)
    }
}

/// An MLP on a rectangle of `height` rows. Experts are dealt over the rows as key-value heads are: with at least as many rows
/// as experts, each has a block of rows that share its inner width; with fewer, a row has several experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct MlpTiling {
    pub(crate) dims: MlpDims,
    pub(crate) height: u32,
}

/// What a row does in the MLP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowExperts {
    /// First expert of the row.
    pub(crate) first: u32,
    /// Number of its experts, at least one; more only where rows are fewer than experts.
    pub(crate) count: u32,
    /// The row's elements of the inner width of each.
    pub(crate) inner: Range<u32>,
    /// Whether the row is the first of those that share an expert.
    pub(crate) leads: bool,
}

impl RowExperts {
    /// Elements of the inner width.
    pub(crate) fn inner_len(&self) -> u32 {
        self.inner.end - self.inner.start
    }
}

impl MlpTiling {
    /// What row `row` has.
    pub(crate) fn row(&self, row: u32) -> RowExperts {
        let Dealt { first, count, part, parts } = deal(self.dims.experts(), self.height, row);
        let inner = Split::new(self.dims.intermediate, parts);
        let inner = inner.start(part)..inner.end(part);
        RowExperts { first, count, inner, leads: part == 0 }
    }

    /// Over all rows, the most experts.
    pub(crate) fn max_experts(&self) -> u32 {
        self.dims.experts().div_ceil(self.height)
    }

    /// Over all rows, the most elements of the inner width.
    pub(crate) fn max_inner(&self) -> u32 {
        self.dims.intermediate.div_ceil((self.height / self.dims.experts()).max(1))
    }

    /// The router's outputs over rows; none without a router.
    pub(crate) fn logits(&self) -> Split {
        Split::new(self.dims.routed.map_or(0, |(experts, _)| experts), self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_every_element_of_every_expert_on_exactly_one_row() {
        for (experts, intermediate) in [(1, 7), (1, 50), (4, 6), (5, 9), (8, 1)] {
            for height in 1..30 {
                let dims = MlpDims { routed: Some((experts, 1)), intermediate, gated: true };
                let tiling = MlpTiling { dims, height };
                let (mut seen, mut led, mut most) = (Vec::new(), Vec::new(), (0, 0));
                for row in (0..height).map(|row| tiling.row(row)) {
                    assert!(row.count >= 1);
                    most = (most.0.max(row.count), most.1.max(row.inner_len()));
                    for expert in row.first..row.first + row.count {
                        seen.extend(row.inner.clone().map(|i| expert * intermediate + i));
                        led.extend(row.leads.then_some(expert));
                    }
                }
                assert_eq!(most, (tiling.max_experts(), tiling.max_inner()));
                assert!(seen.into_iter().eq(0..experts * intermediate));
                assert!(led.into_iter().eq(0..experts));
            }
        }
    }
}
