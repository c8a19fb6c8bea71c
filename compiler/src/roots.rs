//! Where the roots of a stage's lines lie: where the sums along them are predicted to take the least time.
//!
//! A root first takes in the chain from the low end, then the one from the high end, each as long as a vector is. So the best
//! place is where the second chain arrives just when the first has been taken in: nearer to the low end the longer the vectors are,
//! and at that end where they are longer than the line.

use crate::cache::LayerKind;
use crate::place::Cut;
use crate::stage::Work;
use crate::tiling::{LayerDims, MlpTiling};
use fabric::Machine;

/// The roots of all rows and of all columns of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Roots {
    /// A column.
    pub(crate) row: u32,
    /// A row.
    pub(crate) column: u32,
}

impl Roots {
    /// The roots of a stage, of which a PE holds so much of the model.
    pub(crate) fn new(
        machine: &Machine,
        cut: &Cut,
        work: &Work,
        (dims, vocab, kinds): (&LayerDims, u32, &[LayerKind]),
    ) -> Roots {
        let hidden = dims.hidden.div_ceil(cut.width);
        let (row, column) = match work {
            Work::Embed => (Vec::new(), vec![hidden]),
            Work::Layers(layers) => (row_words(dims, &kinds[layers.clone()], cut), vec![hidden]),
            Work::Head => (vec![1, vocab.div_ceil(cut.height)], vec![2]),
        };
        Roots { row: best(machine, cut.width, &row), column: best(machine, cut.height, &column) }
    }
}

/// Words of the vectors that are summed along a row in some layers.
fn row_words(dims: &LayerDims, kinds: &[LayerKind], cut: &Cut) -> Vec<u32> {
    let attended = (dims.heads * dims.head_dim).div_ceil(cut.height);
    let kv = (dims.kv_heads * dims.head_dim).div_ceil(cut.height);
    let heads = dims.heads.div_ceil(cut.height.min(dims.kv_heads));
    let of_layer = |kind: &LayerKind| {
        let tiling = MlpTiling { dims: kind.mlp, height: cut.height };
        let ups = kind.mlp.ups() * tiling.max_inner();
        [1, attended + 2 * kv, heads, attended, heads, 1, ups]
    };
    kinds.iter().flat_map(of_layer).collect()
}

/// The place of the root of a line in which vectors of these lengths are summed.
fn best(machine: &Machine, len: u32, words: &[u32]) -> u32 {
    let cycles =
        |root: &u32| words.iter().map(|&n| cycles_with(machine, len, n, *root)).sum::<u64>();
    (0..len.div_ceil(2)).rev().min_by_key(cycles).unwrap_or(0)
}

/// Cycles that one PE adds to a chain: up and down its ramp, its step, the hop.
fn chain_cycles(machine: &Machine) -> u64 {
    machine.fabric.hop_cycles + 2 * machine.pe.ramp_cycles + 1
}

/// Cycles of a sum of vectors of `words` words with this root, which lies in the low half, and of its way to the far end.
fn cycles_with(machine: &Machine, len: u32, words: u32, root: u32) -> u64 {
    let (low, high, words) = (u64::from(root), u64::from(len - 1 - root), u64::from(words));
    let each = chain_cycles(machine);
    let first = if low > 0 { low * each + words } else { 0 };
    first.max(high * each) + words + high * machine.fabric.hop_cycles
}

/// The same with the root that is best for such vectors.
pub(crate) fn sum_cycles(machine: &Machine, len: u32, words: u32) -> u64 {
    let taken = u64::from(words) / chain_cycles(machine);
    let root = u64::from(len - 1).saturating_sub(taken) / 2;
    cycles_with(machine, len, words, root as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_the_root_move_to_the_end_as_vectors_get_longer() {
        let machine = fabric::presets::preset("wse3-64").expect("a preset");
        assert_eq!([1, 7, 14, 28, 50, 1000].map(|n| best(&machine, 9, &[n])), [4, 4, 3, 2, 1, 0]);
        assert_eq!([1, 2, 3].map(|len| best(&machine, len, &[1])), [0, 0, 1]);
        for (len, words) in [(9, 1), (9, 14), (9, 1000), (2, 5), (40, 64), (1, 3)] {
            let root = best(&machine, len, &[words]);
            let least = cycles_with(&machine, len, words, root);
            assert!(sum_cycles(&machine, len, words) <= least + chain_cycles(&machine));
        }
    }
}
