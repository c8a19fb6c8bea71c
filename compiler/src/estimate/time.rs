//! Predicted time of a cut.

use super::Estimate;
use crate::bands::Bands;
use crate::cache::LayerKind;
use crate::emit::mlp::deals_activation;
use crate::place::Cut;
use crate::roots;
use crate::tiling::{MlpDims, MlpTiling};
use pe_isa::DType;
use std::collections::BTreeSet;

/// Prompt tokens per new token of the request that cuts are judged by; an assumption. Prompt tokens follow one another
/// at the distance of the slowest stage.
const PROMPT_PER_NEW: u64 = 4;

/// What the time of a layer depends on: its window, its MLP.
type TimedKind = (Option<u32>, MlpDims);

/// The layers of a model's stages, as far as time depends on them.
#[derive(Debug)]
pub(crate) struct Timed {
    /// Those that differ.
    kinds: Vec<TimedKind>,
    /// How many layers of each kind the model has.
    all: Vec<u64>,
    /// The same of each stage of layers; equal ones once.
    stages: Vec<Vec<u64>>,
    /// Number of stages, embedding and head included.
    count: u32,
}

impl Timed {
    /// Number of stages, embedding and head included.
    pub(crate) fn stages(&self) -> u32 {
        self.count
    }
}

impl Estimate<'_> {
    /// What the time of stages of so many layers each depends on.
    pub(crate) fn timed(&self, layers_per_stage: u32) -> Timed {
        let timed = |kind: &LayerKind| (kind.window, kind.mlp);
        let kinds: BTreeSet<TimedKind> = self.kinds.iter().map(timed).collect();
        let kinds: Vec<TimedKind> = kinds.into_iter().collect();
        let counts = |layers: &[LayerKind]| -> Vec<u64> {
            let count = |kind: &TimedKind| {
                layers.iter().filter(|layer| timed(layer) == *kind).count() as u64
            };
            kinds.iter().map(count).collect()
        };
        let stages = self.kinds.chunks(layers_per_stage.max(1) as usize);
        let (all, count) = (counts(&self.kinds), stages.len() as u32 + 2);
        let stages: BTreeSet<Vec<u64>> = stages.map(counts).collect();
        Timed { kinds, all, stages: stages.into_iter().collect(), count }
    }

    /// Cycles that a new token and [`PROMPT_PER_NEW`] prompt tokens take, about: what a cut is judged by, so that both
    /// answers and prompts are fast.
    pub(crate) fn cycles(&self, cut: &Cut, timed: &Timed) -> u64 {
        let [through, step] = self.item_cycles(cut, timed, 1);
        if self.chunk.is_one() {
            return through + PROMPT_PER_NEW * step;
        }
        let [_, step] = self.item_cycles(cut, timed, self.chunk.most);
        through + PROMPT_PER_NEW * step / u64::from(self.chunk.most)
    }

    /// Cycles until the first token of an answer to the longest prompt, about.
    pub(crate) fn first_token_cycles(&self, cut: &Cut, timed: &Timed) -> u64 {
        let [through, step] = self.item_cycles(cut, timed, self.chunk.most.min(self.prompt));
        let items = u64::from(self.prompt.div_ceil(self.chunk.most));
        through + items.saturating_sub(1) * step
    }

    /// Cycles of an item of `tokens` tokens, about: through all stages, and until the next can follow.
    fn item_cycles(&self, cut: &Cut, timed: &Timed, tokens: u32) -> [u64; 2] {
        let layers: Vec<u64> =
            timed.kinds.iter().map(|kind| self.layer_cycles(cut, *kind, tokens)).collect();
        let sum =
            |counts: &Vec<u64>| -> u64 { counts.iter().zip(&layers).map(|(n, c)| n * c).sum() };
        let slowest = timed.stages.iter().map(sum).max().unwrap_or(0);
        let transfer = self.transfer_cycles(cut, tokens);
        let through = sum(&timed.all) + self.head_cycles(cut) + transfer * u64::from(timed.count);
        [through + self.turn_cycles(cut, timed.count), slowest + transfer]
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
    fn layer_cycles(&self, cut: &Cut, (window, mlp): TimedKind, held: u32) -> u64 {
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

    /// A sum along a line and a broadcast of the result.
    fn line(&self, len: u32, elements: u32) -> u64 {
        if len <= 1 {
            return 0;
        }
        roots::sum_cycles(self.machine, len, elements) + 2 * u64::from(elements) + 40
    }
}
