//! Where a layer's keys and values lie: token *t* on column *t* mod W, at place (*t* div W) mod the tokens that a PE keeps.
//! A window makes a ring of these places, so that the cache never outgrows it.

use crate::tiling::MlpDims;
use models::RopeRef;

/// What may tell the layers of a model apart, the sizes of their attention being equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LayerKind {
    /// Positions that a token attends to, itself included; all where none.
    pub(crate) window: Option<u32>,
    /// Turns queries and keys.
    pub(crate) rope: Option<RopeRef>,
    /// Whether each head has one more score, which belongs to no value.
    pub(crate) has_sinks: bool,
    /// Sizes of the MLP.
    pub(crate) mlp: MlpDims,
}

/// The size of a layer's KV cache on a PE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CacheSize {
    /// Elements from one dimension's tokens to the next one's.
    pub(crate) stride: u32,
    /// Bytes of one slot in the key (or value) cache.
    pub(crate) slot_bytes: u32,
    /// None where the cache holds every position.
    pub(crate) ring: Option<Ring>,
}

/// A cache that is shorter than the answers, so that new tokens take the places of old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ring {
    /// Tokens of one slot on one PE.
    pub(crate) tokens: u32,
    /// Positions that a token attends to, itself included.
    pub(crate) window: u32,
    /// Columns on which as many tokens lie within the window; on the others, of which there may be none, it is one less.
    pub(crate) full_columns: u32,
}

impl CacheSize {
    /// The cache on `width` columns of which a PE holds `elements` elements of each token's key, of `bytes` bytes. A ring has room for
    /// a window of each of the `chunk` tokens of an item, which are stored together.
    pub(crate) fn new(
        (window, positions): (Option<u32>, u32),
        (width, chunk): (u32, u32),
        (elements, bytes): (u32, u32),
    ) -> CacheSize {
        let ring = window.filter(|&window| window < positions).map(|window| {
            let full_columns = window - (window.div_ceil(width) - 1) * width;
            let tokens = (window + chunk - 1).min(positions).div_ceil(width);
            Ring { tokens, window, full_columns }
        });
        let tokens = ring.map_or(positions.div_ceil(width).max(1), |ring| ring.tokens);
        let stride = tokens.next_multiple_of(2);
        let slot = u64::from(elements) * u64::from(stride) * u64::from(bytes);
        CacheSize { stride, slot_bytes: u32::try_from(slot).unwrap_or(u32::MAX), ring }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_a_ring_hold_the_window_and_on_each_column_at_most_one_token_more() {
        for (window, width) in [(16, 5), (16, 4), (3, 7), (7, 7), (1, 1), (1, 4), (13, 1)] {
            let size = CacheSize::new((Some(window), 100), (width, 1), (8, 2));
            let ring = size.ring.expect("the window is shorter than the positions");
            let (full, rest) = (ring.full_columns, width - ring.full_columns);
            assert_eq!(full * ring.tokens + rest * (ring.tokens - 1), window);
            assert!(full >= 1 && size.stride >= ring.tokens && size.stride.is_multiple_of(2));
        }
    }

    #[test]
    fn is_a_window_that_no_position_leaves_no_ring() {
        let whole = CacheSize::new((None, 16), (3, 1), (8, 2));
        assert_eq!(CacheSize::new((Some(16), 16), (3, 1), (8, 2)), whole);
        assert_ne!(CacheSize::new((Some(15), 16), (3, 1), (8, 2)), whole);
    }
}
