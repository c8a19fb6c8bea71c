//! Predicted time and memory of a cut, without making programs: data exactly, code by a bound.

use crate::bands::Bands;
use crate::cache::LayerKind;
use crate::emit::choice::MOST_OF_A_ROW;
use crate::emit::chunk::Chunk;
use crate::emit::mlp::deals_activation;
use crate::emit::port;
use crate::extras::Extras;
use crate::layout::{EmbedLayout, HeadLayout, LayersLayout, LayersNeed};
use crate::options::Numerics;
use crate::place::Cut;
use crate::roots::{self, Roots};
use crate::split::Split;
use crate::stage::Work;
use crate::tiling::{LayerDims, LayerTiling, MlpDims, MlpTiling};
use fabric::Machine;
use pe_isa::DType;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

#[cfg(test)]
mod tests;

/// Bytes that a program of the compiler takes at most, per layer and besides. Compared with real programs in `estimate/tests.rs`.
const CODE_PER_LAYER: u64 = 1_500;
const CODE_BESIDES: u64 = 900;
/// What programs have more where items hold several tokens, besides as much again for extras.
const CHUNK_CODE_PER_LAYER: u64 = 1_100;
const CHUNK_CODE_BESIDES: u64 = 500;

/// Prompt tokens per new token of the request that cuts are judged by; an assumption. Prompt tokens follow one another
/// at the distance of the slowest stage.
const PROMPT_PER_NEW: u64 = 4;

/// What time and memory depend on, besides the cut.
#[derive(Debug, Clone)]
pub(crate) struct Estimate<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) numerics: Numerics,
    pub(crate) dims: LayerDims,
    /// One for each layer.
    pub(crate) kinds: Vec<LayerKind>,
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
        let tiling = |kind: &LayerKind| MlpTiling { dims: kind.mlp, height: cut.height };
        let experts = self.kinds.iter().map(|kind| tiling(kind).max_experts()).max().unwrap_or(0);
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
        let layer = self.kinds.iter().map(|kind| self.layer_weights(&kind.mlp)).min().unwrap_or(0);
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

    /// Cycles that a new token and [`PROMPT_PER_NEW`] prompt tokens take, about: what a cut is judged by, so that both
    /// answers and prompts are fast.
    pub(crate) fn cycles(&self, cut: &Cut) -> u64 {
        let [through, step] = self.item_cycles(cut, 1);
        if self.chunk.is_one() {
            return through + PROMPT_PER_NEW * step;
        }
        let [_, step] = self.item_cycles(cut, self.chunk.most);
        through + PROMPT_PER_NEW * step / u64::from(self.chunk.most)
    }

    /// Cycles until the first token of an answer to the longest prompt, about.
    pub(crate) fn first_token_cycles(&self, cut: &Cut) -> u64 {
        let [through, step] = self.item_cycles(cut, self.chunk.most.min(self.prompt));
        let items = u64::from(self.prompt.div_ceil(self.chunk.most));
        through + items.saturating_sub(1) * step
    }

    /// Cycles of an item of `tokens` tokens, about: through all stages, and until the next can follow.
    fn item_cycles(&self, cut: &Cut, tokens: u32) -> [u64; 2] {
        let timed = |kind: &LayerKind| (kind.window, kind.mlp);
        let kinds: BTreeSet<(Option<u32>, MlpDims)> = self.kinds.iter().map(timed).collect();
        let cycles = |kind| (kind, self.layer_cycles(cut, kind, tokens));
        let layer: BTreeMap<(Option<u32>, MlpDims), u64> = kinds.into_iter().map(cycles).collect();
        let of_stage = |kinds: &[LayerKind]| kinds.iter().map(|kind| layer[&timed(kind)]).sum();
        let layers: Vec<u64> = self.stages(cut).map(of_stage).collect();
        let slowest = layers.iter().copied().max().unwrap_or(0);
        let head = self.head_cycles(cut);
        let stages = layers.len() as u32 + 2;
        let transfer = self.transfer_cycles(cut, tokens);
        let through = layers.iter().sum::<u64>() + head + transfer * u64::from(stages);
        [through + self.turn_cycles(cut, stages), slowest + transfer]
    }

    /// Cycles from one stage to the next: a column's slices to its port and from there down the column.
    fn transfer_cycles(&self, cut: &Cut, tokens: u32) -> u64 {
        let slice = u64::from(tokens * self.dims.hidden.div_ceil(cut.width));
        2 * slice + u64::from(cut.height) * self.machine.fabric.hop_cycles + 100
    }

    /// Cycles of all turns from band to band: lanes around one another, several on a row.
    fn turn_cycles(&self, cut: &Cut, stages: u32) -> u64 {
        let Some(bands) = Bands::of(self.machine, cut, stages) else { return 0 };
        if bands.corridor == 0 {
            return 0;
        }
        let slice = self.dims.hidden.div_ceil(cut.width);
        let others = cut.width.div_ceil(bands.corridor) - 1;
        let way = u64::from(2 * cut.width + bands.corridor) * self.machine.fabric.hop_cycles;
        u64::from(bands.turns(stages)) * (u64::from(others * slice) + way)
    }

    /// Cycles of the head: multiply, sum, choose.
    fn head_cycles(&self, cut: &Cut) -> u64 {
        let vocab = self.vocab.div_ceil(cut.height);
        let hidden = self.dims.hidden.div_ceil(cut.width);
        self.multiply(hidden, vocab, 1)
            + self.line(cut.width, vocab)
            + self.line(cut.height, 2)
            + 4 * u64::from(vocab)
            + if self.logit_cap {
                (self.machine.pe.cost.tanh_cycles + 4) * u64::from(vocab)
            } else {
                0
            }
    }

    /// Cycles of one layer: multiply-adds, chains and broadcasts, softmax, MLP.
    fn layer_cycles(&self, cut: &Cut, (window, mlp): (Option<u32>, MlpDims), held: u32) -> u64 {
        let (w, h) = (cut.width, cut.height);
        let d = &self.dims;
        let hidden = d.hidden.div_ceil(w);
        let kv = (d.kv_heads * d.head_dim).div_ceil(h);
        let attended = (d.heads * d.head_dim).div_ceil(h);
        let heads = held * d.heads.div_ceil(h.min(d.kv_heads));
        let usual = self.positions.div_ceil(2);
        let tokens = window.map_or(usual, |window| usual.min(window)).div_ceil(w).max(1);
        let rows_per_head = (h / d.kv_heads).max(1);
        let mut layer =
            self.multiply(hidden, attended + 2 * kv, held) + self.multiply(attended, hidden, held);
        layer += self.line(w, held * (attended + 2 * kv));
        layer +=
            2 * self.line(h, held * hidden) + self.line(w, heads) + self.line(w, held * attended);
        layer += self.line(rows_per_head, heads * tokens);
        layer +=
            22 * u64::from(heads * tokens) + 4 * u64::from(heads * tokens) * u64::from(kv.max(1));
        layer + 400 + self.mlp_cycles(cut, mlp, held)
    }

    /// Cycles of an MLP but for the sum along the columns. Of a mixture, the row of a chosen expert has as many chosen ones as
    /// when every choice is equally likely.
    fn mlp_cycles(&self, cut: &Cut, dims: MlpDims, held: u32) -> u64 {
        let tiling = MlpTiling { dims, height: cut.height };
        let Some((experts, chosen)) = dims.routed else {
            return self.expert_cycles(cut, &tiling, held);
        };
        let expert = self.expert_cycles(cut, &tiling, 1);
        let others = (u64::from(chosen) - 1) * u64::from(tiling.max_experts() - 1);
        let experts_at_work = expert + expert * others / u64::from(experts - 1).max(1);
        u64::from(held) * (self.router_cycles(cut, &tiling) + experts_at_work)
    }

    /// Cycles of one expert's layers on its rows.
    fn expert_cycles(&self, cut: &Cut, tiling: &MlpTiling, held: u32) -> u64 {
        let (w, hidden) = (cut.width, self.dims.hidden.div_ceil(cut.width));
        let inner = tiling.max_inner();
        let ups = tiling.dims.ups() * inner;
        let each = self.activation_cycles;
        let share = if deals_activation(inner, w, each) { inner.div_ceil(w) } else { inner };
        let gather = if share < inner { self.line(w, held * inner) } else { 0 };
        self.multiply(hidden, ups, held)
            + self.line(w, held * ups)
            + u64::from(each) * u64::from(held * share)
            + gather
            + self.multiply(inner, hidden, held)
    }

    /// Cycles from a mixture's input to the choice: the logits, along rows and the column of their roots, a search for each of the
    /// chosen, whose index goes back.
    fn router_cycles(&self, cut: &Cut, tiling: &MlpTiling) -> u64 {
        let (experts, chosen) = tiling.dims.routed.unwrap_or_default();
        let cost = &self.machine.pe.cost;
        let search = cost.reduce_cycles * u64::from(experts) + cost.setup_reduce + 70;
        self.multiply(self.dims.hidden.div_ceil(cut.width), tiling.logits().max(), 1)
            + self.line(cut.width, tiling.logits().max() + 1)
            + self.line(cut.height, experts.div_ceil(2) + 1)
            + search * u64::from(chosen)
    }

    fn multiply(&self, rows: u32, columns: u32, held: u32) -> u64 {
        let cost = &self.machine.pe.cost;
        let (rows, columns) = (u64::from(held * rows), u64::from(columns));
        let wide = self.numerics.weights == DType::F32 || self.numerics.activations == DType::F32;
        let rate = if wide { cost.fmac_32 } else { cost.fmac_mixed };
        let setup = if wide { cost.setup_fmac_32 } else { cost.setup_fmac_16 };
        setup + rate.cycles_for(rows * columns) + cost.row_cycles * rows
    }

    /// The roots of a stage's lines.
    pub(crate) fn roots(&self, cut: &Cut, work: &Work) -> Roots {
        Roots::new(self.machine, cut, work, (&self.dims, self.vocab, &self.kinds))
    }

    /// A sum along a line and a broadcast of the result.
    fn line(&self, len: u32, elements: u32) -> u64 {
        if len <= 1 {
            return 0;
        }
        roots::sum_cycles(self.machine, len, elements) + 2 * u64::from(elements) + 40
    }
}
