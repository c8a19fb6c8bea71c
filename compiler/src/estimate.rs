//! Predicted memory (and in `time` predicted time) of a cut, without making programs: data exactly, code by a bound.

use crate::cache::LayerKind;
use crate::emit::choice::MOST_OF_A_ROW;
use crate::emit::chunk::Chunk;
use crate::emit::port;
use crate::extras::Extras;
use crate::layout::{EmbedLayout, HeadLayout, LayersLayout, LayersNeed};
use crate::options::Numerics;
use crate::place::Cut;
use crate::roots::Roots;
use crate::split::Split;
use crate::stage::Work;
use crate::tiling::{LayerDims, LayerTiling, MlpDims, MlpTiling};
use fabric::Machine;
use std::collections::BTreeSet;
use std::ops::Range;

#[cfg(test)]
mod tests;
mod time;

pub(crate) use time::Timed;

/// Bytes that a program of the compiler takes at most, per layer and besides. Compared with real programs in `estimate/tests.rs`.
const CODE_PER_LAYER: u64 = 1_500;
const CODE_BESIDES: u64 = 900;
/// What programs have more where items hold several tokens, besides as much again for extras.
const CHUNK_CODE_PER_LAYER: u64 = 1_100;
const CHUNK_CODE_BESIDES: u64 = 500;

/// What time and memory depend on, besides the cut.
#[derive(Debug, Clone)]
pub(crate) struct Estimate<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) numerics: Numerics,
    pub(crate) dims: LayerDims,
    /// One for each layer.
    pub(crate) kinds: Vec<LayerKind>,
    /// The different sizes of their MLPs.
    pub(crate) mlps: Vec<MlpDims>,
    pub(crate) vocab: u32,
    pub(crate) slots: u32,
    pub(crate) positions: u32,
    /// Tokens of an item.
    pub(crate) chunk: Chunk,
    /// Tokens of the longest prompt.
    pub(crate) prompt: u32,
    pub(crate) extras: Extras,
    /// Datapath cycles of an element of the MLP's activation.
    pub(crate) activation_cycles: u32,
    /// Rows of the table of learned positions that requests need, where there is one.
    pub(crate) learned_positions: Option<u32>,
    /// Whether something is added to the logits' sums.
    pub(crate) head_bias: bool,
    /// Whether logits are capped.
    pub(crate) logit_cap: bool,
}

/// Whether a cut's data and code fit into every PE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fit {
    Fits,
    Over {
        bytes: u64,
        stage: &'static str,
    },
    /// A row has more experts than its PEs can tell apart.
    Crowded {
        experts: u32,
    },
}

impl Estimate<'_> {
    /// The SRAM map of a stage of layers.
    pub(crate) fn layers_layout(&self, tiling: &LayerTiling, layers: Range<usize>) -> LayersLayout {
        self.layout_for(tiling, &self.kinds[layers], self.positions)
    }

    /// The same for layers of these kinds, with a KV cache for so many positions of each slot.
    fn layout_for(
        &self,
        tiling: &LayerTiling,
        kinds: &[LayerKind],
        positions: u32,
    ) -> LayersLayout {
        let (slots, extras, chunk, height) = (self.slots, self.extras, self.chunk, tiling.height);
        let need = LayersNeed { kinds, height, slots, positions, chunk, extras };
        LayersLayout::new(tiling, &self.numerics, need)
    }

    /// The SRAM map of the embedding stage on a rectangle.
    pub(crate) fn embed_layout(&self, width: u32, height: u32) -> EmbedLayout {
        let hidden = Split::new(self.dims.hidden, width).max();
        let vocab = Split::new(self.vocab, height).max();
        let positions = self.learned_positions.map(|rows| Split::new(rows, height).max());
        EmbedLayout::new(hidden, vocab, positions, (&self.numerics, self.chunk))
    }

    /// Bytes of data on a PE of the largest of a cut's stages of layers, with such a KV cache.
    fn layers_bytes(&self, cut: &Cut, positions: u32) -> u64 {
        let tiling = LayerTiling::new(self.dims, cut.width, cut.height);
        let stages: BTreeSet<&[LayerKind]> = self.stages(cut).collect();
        let bytes = |kinds| self.layout_for(&tiling, kinds, positions).bytes;
        stages.into_iter().map(bytes).max().unwrap_or(0)
    }

    /// Layers of the model.
    pub(crate) fn layers(&self) -> usize {
        self.kinds.len()
    }

    /// The layers of each of a cut's stages of layers.
    fn stages(&self, cut: &Cut) -> impl Iterator<Item = &[LayerKind]> {
        self.kinds.chunks(cut.layers_per_stage.max(1) as usize)
    }

    /// Bytes that code of a PE takes at most in a stage of `layers` layers; of 0, in any other stage.
    fn code_bytes(&self, layers: u32) -> u64 {
        let (extras, layers) = (self.extras.code_bytes(), u64::from(layers));
        let one = CODE_BESIDES + (CODE_PER_LAYER + extras) * layers;
        if self.chunk.is_one() {
            return one;
        }
        one + CHUNK_CODE_BESIDES + (CHUNK_CODE_PER_LAYER + extras) * layers
    }

    /// Bytes that data of a PE may take in a stage of `layers` layers.
    pub(crate) fn data_bytes(&self, layers: u32) -> u64 {
        u64::from(self.machine.usable_bytes()).saturating_sub(self.code_bytes(layers))
    }

    /// Whether everything fits.
    pub(crate) fn fit(&self, cut: &Cut) -> Fit {
        let tiling = |&dims: &MlpDims| MlpTiling { dims, height: cut.height };
        let experts = self.mlps.iter().map(|mlp| tiling(mlp).max_experts()).max().unwrap_or(0);
        if experts > MOST_OF_A_ROW {
            return Fit::Crowded { experts };
        }
        let hidden = Split::new(self.dims.hidden, cut.width).max();
        let vocab = Split::new(self.vocab, cut.height).max();
        let layers = self.layers_bytes(cut, self.positions);
        let port = port::buffer_bytes(self.chunk, hidden).into();
        let stages = [
            ("layers", layers, self.data_bytes(cut.layers_per_stage)),
            ("embedding", self.embed_layout(cut.width, cut.height).bytes, self.data_bytes(0)),
            (
                "head",
                HeadLayout::new(hidden, vocab, self.head_bias, &self.numerics).bytes,
                self.data_bytes(0),
            ),
            ("port", port, self.data_bytes(0)),
        ];
        let worst = stages.into_iter().map(|(s, need, have)| (need.saturating_sub(have), s)).max();
        debug_assert!(worst.is_some_and(|(bytes, _)| bytes >= self.least_over(cut)), "{cut:?}");
        match worst {
            Some((bytes, stage)) if bytes > 0 => Fit::Over { bytes, stage },
            _ => Fit::Fits,
        }
    }

    /// Bytes that a cut is over by at least, 0 if it may fit: its matrices alone, dealt evenly. Much faster than [`Estimate::fit`],
    /// which never says less.
    pub(crate) fn least_over(&self, cut: &Cut) -> u64 {
        let pes = u64::from(cut.width) * u64::from(cut.height);
        let weight = u64::from(self.numerics.weights.bytes());
        let layer = self.mlps.iter().map(|mlp| self.layer_weights(mlp)).min().unwrap_or(0);
        let layers = u64::from(cut.layers_per_stage).min(self.layers() as u64);
        let table = u64::from(self.vocab) * u64::from(self.dims.hidden);
        let over = |elements: u64, have: u64| (elements * weight / pes).saturating_sub(have);
        over(layers * layer, self.data_bytes(cut.layers_per_stage))
            .max(over(table, self.data_bytes(0)))
    }

    /// Elements of a layer's matrices.
    fn layer_weights(&self, mlp: &MlpDims) -> u64 {
        let [hidden, heads, kv_heads, head_dim] =
            [self.dims.hidden, self.dims.heads, self.dims.kv_heads, self.dims.head_dim]
                .map(u64::from);
        let attention = 2 * hidden * head_dim * (heads + kv_heads);
        let matrices = if mlp.gated { 3 } else { 2 };
        let experts = mlp.routed.map_or(1, |(experts, _)| u64::from(experts));
        attention + matrices * experts * hidden * u64::from(mlp.intermediate)
    }

    /// Positions of each slot that the KV cache could hold on this cut.
    pub(crate) fn longest_context(&self, cut: &Cut) -> u32 {
        let have = self.data_bytes(cut.layers_per_stage);
        let fits = |positions: u32| self.layers_bytes(cut, positions) <= have;
        let (mut low, mut high) = (0u32, 1 << crate::emit::POSITION_BITS);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle) { low = middle } else { high = middle }
        }
        low
    }

    /// The roots of a stage's lines.
    pub(crate) fn roots(&self, cut: &Cut, work: &Work) -> Roots {
        Roots::new(self.machine, cut, work, (&self.dims, self.vocab, &self.kinds))
    }
}
