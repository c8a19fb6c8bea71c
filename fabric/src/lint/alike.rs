//! Findings that hold alike for many tiles are told once.

use crate::geometry::PeIdx;
use std::collections::BTreeMap;

/// Tiles about which the same is to be said, by what they share: the first one and their number.
pub(super) struct Alike<K>(pub(super) BTreeMap<K, (PeIdx, usize)>);

impl<K> Default for Alike<K> {
    fn default() -> Alike<K> {
        Alike(BTreeMap::new())
    }
}

impl<K: Ord> Alike<K> {
    pub(super) fn add(&mut self, key: K, idx: PeIdx) {
        self.0.entry(key).or_insert((idx, 0)).1 += 1;
    }
}

/// Says that a finding holds for more tiles than the one that it names.
pub(super) fn on_tiles(count: usize) -> String {
    if count == 1 { String::new() } else { format!(" (so on {count} tiles)") }
}
