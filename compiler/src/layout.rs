//! Pass 5, SRAM: where everything lies on the PEs of a stage. All PEs of a stage share one map, sized for
//! the largest slice, so that they share programs.

mod ends;
mod mlp;

pub(crate) use ends::{EmbedLayout, HeadLayout};
pub(crate) use mlp::MlpAt;

use crate::cache::{CacheSize, LayerKind};
use crate::emit::chunk::{Chunk, Factors};
use crate::extras::Extras;
use crate::options::Numerics;
use crate::tiling::LayerTiling;
use mlp::LongestWork;
use models::RopeRef;
use pe_isa::DType;
use std::collections::BTreeSet;

/// Hands out bytes from address 0 upwards, in multiples of 4.
#[derive(Debug, Default)]
struct Bump {
    next: u64,
}

impl Bump {
    fn take(&mut self, elements: u64, bytes: u32) -> u32 {
        let at = self.next;
        self.next += (elements * u64::from(bytes)).next_multiple_of(4);
        u32::try_from(at).unwrap_or(u32::MAX)
    }
}

/// Addresses of one layer's weights and KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerAt {
    /// Norm weight before attention, f32 `[hidden slice]`.
    pub(crate) norm1: u32,
    /// Norm weights of queries and keys, f32 `[2 × dimension]`, and the norms' biases, the same.
    pub(crate) head_norms: u32,
    pub(crate) head_norm_biases: u32,
    /// Fused query-key-value tile, `[hidden slice][qkv stride]`.
    pub(crate) qkv: u32,
    /// Its bias, f32 `[qkv]`.
    pub(crate) qkv_bias: u32,
    /// Output projection tile, `[row's attention elements][hidden stride]`.
    pub(crate) output: u32,
    /// Its bias, f32 `[hidden slice]`.
    pub(crate) output_bias: u32,
    /// Norm weights behind attention and behind the MLP, f32 `[hidden slice]`.
    pub(crate) post_norms: [u32; 2],
    /// Norm weight before the MLP, f32 `[hidden slice]`.
    pub(crate) norm2: u32,
    pub(crate) mlp: MlpAt,
    /// Key cache, `[slot][head][dimension][token]`.
    pub(crate) keys: u32,
    /// Value cache, the same.
    pub(crate) values: u32,
    /// How many tokens they hold.
    pub(crate) cache: CacheSize,
    /// Scores that belong to no value, f32 `[query head]`.
    pub(crate) sinks: u32,
}

/// Addresses of what a rotary embedding needs, all f32 `[pair]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RopeAt {
    pub(crate) rope: RopeRef,
    /// Inverse frequencies.
    pub(crate) frequencies: u32,
    /// Of the angles at the item's position.
    pub(crate) cosines: u32,
    pub(crate) sines: u32,
}

impl RopeAt {
    fn take(b: &mut Bump, rope: RopeRef, pairs: u32, chunk: Chunk) -> RopeAt {
        let [frequencies, cosines, sines] = [1, chunk.most, chunk.most]
            .map(|tokens| b.take(u64::from(tokens) * u64::from(pairs), 4));
        RopeAt { rope, frequencies, cosines, sines }
    }
}

/// The rotary embeddings of some layers, each once.
fn ropes_of(kinds: &[LayerKind]) -> impl Iterator<Item = RopeRef> {
    let ropes: BTreeSet<RopeRef> = kinds.iter().filter_map(|kind| kind.rope).collect();
    ropes.into_iter()
}

/// The SRAM map of a stage of layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayersLayout {
    pub(crate) layers: Vec<LayerAt>,
    /// Residual stream, f32 `[hidden slice]`.
    pub(crate) x: u32,
    /// Input of a linear layer, f32 before rounding `[hidden slice]`.
    pub(crate) scaled: u32,
    /// Input of a linear layer, rounded `[hidden slice]`.
    pub(crate) input: u32,
    /// Partial sums `[longest output]`.
    pub(crate) sums: u32,
    /// Sum of squares, f32.
    pub(crate) squares: u32,
    /// Scalars of each token, where items hold several.
    pub(crate) factors: Factors,
    /// Positions of the item's tokens, f32, where it may hold several.
    pub(crate) positions: u32,
    /// Partial sums that wait for others, `[hidden slice]`: of attention's output for those of the MLP, of one expert's
    /// output for those of the next.
    pub(crate) waiting: u32,
    /// The same for one of an item's tokens, where it may hold several.
    pub(crate) waiting_of_one: u32,
    /// Queries, keys and values of the row.
    pub(crate) qkv: u32,
    /// Queries and keys behind their norms, f32 `[head][query…, key][dimension]`.
    pub(crate) normed: u32,
    /// Sums over the dimensions of each query and key, f32 `[2][head][query…, key]`: of squares, and of the elements.
    pub(crate) head_sums: u32,
    /// Rotated queries and keys, `[head][query…, key][dimension]`.
    pub(crate) rotated: u32,
    /// Two f32 work vectors for the rotation.
    pub(crate) turn: [u32; 2],
    /// Cosines and sines times the factor of the norm, f32 `[2 × pair]`.
    pub(crate) turn_by: u32,
    /// The rotary embeddings of its layers, each once.
    pub(crate) ropes: Vec<RopeAt>,
    /// Scores, f32 `[query head][token]`.
    pub(crate) scores: u32,
    /// Probabilities `[query head][token]`.
    pub(crate) weights: u32,
    /// Largest score, f32 `[query head]`.
    pub(crate) largest: u32,
    /// Sum of probabilities, f32 `[query head]`.
    pub(crate) total: u32,
    /// Attention result, partial sums `[query head][dimension]`.
    pub(crate) mixed: u32,
    /// Attention result, rounded.
    pub(crate) attended: u32,
    /// Gate and up, rounded `[2 × inner slice]`; of an MLP without a gate, up.
    pub(crate) gate_up: u32,
    /// Work vectors of the activation, f32 `[inner slice]`.
    pub(crate) gate: u32,
    pub(crate) sigmoid: u32,
    /// A third one, where the activation needs it.
    pub(crate) third: u32,
    /// Input of the down projection, rounded `[inner slice]`.
    pub(crate) inner: u32,
    /// Logits of the router, on the roots of rows, and their exponentials, on the root that chooses, f32 `[expert]` both.
    pub(crate) logits: u32,
    pub(crate) exponentials: u32,
    /// Weights of the row's experts, on its root, f32 `[expert of the row]`.
    pub(crate) row_weights: u32,
    /// A rounded output `[hidden slice]`.
    pub(crate) delta: u32,
    /// Strides in elements.
    pub(crate) hidden_stride: u32,
    pub(crate) qkv_stride: u32,
    /// All bytes.
    pub(crate) bytes: u64,
}

/// What a stage of layers must hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayersNeed<'a> {
    /// One for each layer.
    pub(crate) kinds: &'a [LayerKind],
    /// Rows of the rectangle.
    pub(crate) height: u32,
    pub(crate) slots: u32,
    pub(crate) positions: u32,
    /// Tokens of an item.
    pub(crate) chunk: Chunk,
    pub(crate) extras: Extras,
}

/// Elements of the longest slice on any PE.
struct Longest {
    hidden: u32,
    /// Keys, or values.
    kv: u32,
    /// Attention results.
    attended: u32,
    qkv: u32,
    /// Query heads of a row.
    queries: u32,
    /// Dimensions of a head.
    dims: u32,
}

impl Longest {
    fn of(t: &LayerTiling) -> Longest {
        let kv = t.max_kv_elements();
        let attended = kv * t.queries();
        Longest {
            hidden: t.hidden.max(),
            kv,
            attended,
            qkv: attended + 2 * kv,
            queries: t.max_row_queries(),
            dims: t.max_dims(),
        }
    }
}

fn only_if(has: bool, elements: u32) -> u64 {
    if has { elements.into() } else { 0 }
}

impl LayerAt {
    fn take(
        b: &mut Bump,
        longest: &Longest,
        weights: DType,
        need: &LayersNeed<'_>,
        (kind, cache): (&LayerKind, CacheSize),
    ) -> LayerAt {
        let Longest { hidden, attended, qkv, queries, dims, .. } = *longest;
        let (x, weight) = (need.extras, weights.bytes());
        let area = |rows: u32, columns: u32| u64::from(rows) * u64::from(columns);
        let bias = |at: usize, n: u32| only_if(x.biases[at], n);
        LayerAt {
            norm1: b.take(hidden.into(), 4),
            head_norms: b.take(only_if(x.head_norms, 2 * dims), 4),
            head_norm_biases: b.take(only_if(x.head_layer_norms, 2 * dims), 4),
            qkv: b.take(area(hidden, qkv), weight),
            qkv_bias: b.take(bias(0, qkv), 4),
            output: b.take(area(attended, hidden), weight),
            output_bias: b.take(bias(1, hidden), 4),
            post_norms: x.post_norms.map(|has| b.take(only_if(has, hidden), 4)),
            norm2: b.take(hidden.into(), 4),
            mlp: MlpAt::take(b, (kind.mlp, need.height), hidden, weights, &x),
            keys: b.take(area(cache.slot_bytes, need.slots), 1),
            values: b.take(area(cache.slot_bytes, need.slots), 1),
            cache,
            sinks: b.take(only_if(kind.has_sinks, queries), 4),
        }
    }
}

impl LayersLayout {
    pub(crate) fn new(t: &LayerTiling, numerics: &Numerics, need: LayersNeed<'_>) -> LayersLayout {
        let (act, acc) = (numerics.activations.bytes(), numerics.accumulate.bytes());
        let (x, chunk) = (need.extras, need.chunk);
        // Work vectors, and scalars that are registers elsewhere, of all tokens of an item.
        let w = |n: u32| u64::from(n) * u64::from(chunk.most);
        let scalar = only_if(!chunk.is_one(), chunk.most);
        let single = |has: bool, n: u32| only_if(has && !chunk.is_one(), n);
        let only_if = |has: bool, n: u32| only_if(has, n) * u64::from(chunk.most);
        let longest = Longest::of(t);
        let Longest { hidden, kv, attended, qkv, queries, .. } = longest;
        let pairs = t.max_pairs();
        let turned = t.max_kv_pairs() * (1 + t.queries());
        let head_count = queries + queries / t.queries();
        let cache = |kind: &LayerKind| {
            CacheSize::new((kind.window, need.positions), (t.width, chunk.most), (kv, act))
        };
        let mut b = Bump::default();
        let layer =
            |kind| LayerAt::take(&mut b, &longest, numerics.weights, &need, (kind, cache(kind)));
        let layers: Vec<LayerAt> = need.kinds.iter().map(layer).collect();
        let tokens = layers.iter().map(|at| at.cache.stride).max().unwrap_or(0);
        let mlp = LongestWork::of(layers.iter().map(|at| &at.mlp));
        let LongestWork { inner, ups, .. } = mlp;
        let heads = kv + attended;
        let mut layout = LayersLayout {
            layers,
            x: b.take(w(hidden), 4),
            scaled: b.take(w(hidden), 4),
            input: b.take(w(hidden), act),
            sums: b.take(w(qkv.max(ups).max(mlp.row_logits).max(hidden)), acc),
            squares: b.take(w(1), 4),
            factors: Factors {
                chunk,
                scale: b.take(scalar, 4),
                unscale: b.take(scalar, 4),
                ratio: b.take(scalar, 4),
                behind: b.take(scalar, 4),
            },
            positions: b.take(scalar, 4),
            waiting: b.take(only_if(x.parallel || mlp.experts > 0, hidden), acc),
            waiting_of_one: b.take(single(mlp.experts > 0, hidden), acc),
            qkv: b.take(w(qkv), act),
            normed: b.take(only_if(x.head_norms, heads), 4),
            head_sums: b.take(only_if(x.head_norms, 2 * head_count), 4),
            rotated: b.take(w(heads), act),
            turn: [b.take(w(turned), 4), b.take(w(turned), 4)],
            turn_by: b.take(w(2 * pairs), 4),
            ropes: ropes_of(need.kinds)
                .map(|rope| RopeAt::take(&mut b, rope, pairs, chunk))
                .collect(),
            scores: b.take(w(queries) * u64::from(tokens), 4),
            weights: b.take(w(queries) * u64::from(tokens), act),
            largest: b.take(w(queries), 4),
            total: b.take(w(queries), 4),
            mixed: b.take(w(attended), acc),
            attended: b.take(w(attended), act),
            gate_up: b.take(w(ups), act),
            gate: b.take(w(inner), 4),
            sigmoid: b.take(w(inner), 4),
            third: b.take(only_if(x.exact_gelu, inner), 4),
            inner: b.take(w(inner.next_multiple_of(2)), act),
            logits: b.take(mlp.experts.into(), 4),
            exponentials: b.take(mlp.experts.into(), 4),
            row_weights: b.take(mlp.row_experts.into(), 4),
            delta: b.take(w(hidden), act),
            hidden_stride: hidden,
            qkv_stride: qkv,
            bytes: 0,
        };
        layout.bytes = b.next;
        layout
    }

    /// Where a rotary embedding of one of the layers lies.
    pub(crate) fn rope(&self, rope: RopeRef) -> &RopeAt {
        self.ropes.iter().find(|at| at.rope == rope).expect("the ropes of all layers have a place")
    }
}
