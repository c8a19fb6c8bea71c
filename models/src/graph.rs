//! The decoder graph: what a decoder-only transformer computes, as data, whatever family it comes from.
//!
//! The embedding of token `t` at position `p` is row `t` of the table times `scale`, plus row `p` of the position table
//! where there is one. Each block adds the output of attention and of the MLP to that residual stream (in which order,
//! says [`Residual`]); the final norm and the head turn it into one logit per vocabulary entry.
//!
//! There are few kinds of operations, and whatever tells families apart is a field of one of them:
//!
//! | operation | fields |
//! |---|---|
//! | [`Norm`] | root mean square or layer norm, offset on the weight, bias, epsilon |
//! | [`LinearRef`] | bias |
//! | [`Rope`] | rotated dimensions, one frequency per pair, factor on cosine and sine |
//! | [`Attention`] | groups of heads, norms of queries and keys, rope, window, scale, soft cap, sinks, norm behind |
//! | [`FeedForward`] | gated or not, activation, limit and offset of the gating |
//! | [`Experts`] | router, number chosen, what the softmax runs over; each expert is a [`FeedForward`] |
//! | [`Residual`] | sequential or parallel |
//!
//! **Architecture Invariant:** an absent field costs nothing and means nothing is done; no field names a family.

use crate::rope::Rope;
use crate::tensors::{LinearRef, TensorRef, TensorSpec};

/// A whole model as a compiler or an interpreter consumes it. Sizes are counts of elements; all are at least 1.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderGraph {
    /// The `model_type` of the configuration, for reports.
    pub architecture: &'static str,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Number of token ids; ids run from 0 to `vocab - 1`.
    pub vocab: usize,
    /// The most positions that a request may use, prompt and new tokens together.
    pub context: usize,
    /// From token id to residual stream.
    pub embedding: Embedding,
    /// The rotary embeddings that the blocks refer to.
    pub ropes: Vec<Rope>,
    /// The layers, first to last.
    pub blocks: Vec<Block>,
    /// Applied to the residual stream after the last block.
    pub final_norm: Norm,
    /// From normed residual stream to logits, `[vocab, hidden]`. Its weight is the embedding's table where they are tied.
    pub head: LinearRef,
    /// Logits `z` become `cap · tanh(z / cap)`; none where they stay as they are.
    pub logit_soft_cap: Option<f32>,
    /// Token ids that end an answer, ascending; may be empty.
    pub eos_ids: Vec<u32>,
    /// The number format that the configuration states; the tensors themselves may be stored otherwise.
    pub declared_format: Option<WeightFormat>,
    /// Every tensor that the graph refers to, each once; a [`TensorRef`] is an index into this list.
    pub tensors: Vec<TensorSpec>,
    /// Prefix that some checkpoints leave off the tensor names.
    pub optional_prefix: &'static str,
}

/// Number format of stored weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightFormat {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
}

impl WeightFormat {
    /// Bytes per element.
    pub fn bytes(self) -> usize {
        match self {
            WeightFormat::F32 => 4,
            WeightFormat::F16 | WeightFormat::Bf16 => 2,
        }
    }
}

/// From token id to residual stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Shape `[vocab, hidden]`.
    pub table: TensorRef,
    /// Shape `[context, hidden]`: learned positions, added after scaling.
    pub positions: Option<TensorRef>,
    /// Factor on the row of the table.
    pub scale: f32,
}

/// A normalisation over the `n` elements of a vector: the residual stream, or one head.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// Which statistics it uses.
    pub kind: NormKind,
    /// Shape `[n]`.
    pub weight: TensorRef,
    /// Added to every element of the weight: 0, or 1 where checkpoints store the weight less one.
    pub weight_offset: f32,
    /// Shape `[n]`, added last.
    pub bias: Option<TensorRef>,
    /// Added to the mean square or the variance under the root.
    pub epsilon: f32,
}

/// The kinds of normalisation, with `w` the weight and its offset and `b` the bias or 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// `x · w / sqrt(mean(x²) + epsilon) + b`.
    Rms,
    /// `(x − mean(x)) · w / sqrt(mean((x − mean(x))²) + epsilon) + b`.
    Layer,
}

/// One layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Reads and extends the KV cache.
    pub attention: Attention,
    /// Works on each position alone.
    pub mlp: Mlp,
    /// How the two are added to the residual stream `x`.
    pub residual: Residual,
}

/// How a block's halves are added to the residual stream. Each half begins with its own norm; where both name the same
/// tensors, it needs to be computed once only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residual {
    /// `x += attention(x)`, then `x += mlp(x)` on the new `x`.
    Sequential,
    /// `x += attention(x) + mlp(x)`, both on the old `x`.
    Parallel,
}

/// Names one of the graph's rotary embeddings: an index into its `ropes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RopeRef(pub u32);

/// Causal self-attention. Query head `h` reads key-value head `h / (heads / kv_heads)`. Queries and keys are projected,
/// normed, rotated, then multiplied; scores are scaled, capped, masked, then go through the softmax.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Applied to the residual stream before the projections.
    pub norm: Norm,
    /// Number of query heads; a multiple of `kv_heads`.
    pub heads: usize,
    /// Number of key heads and of value heads.
    pub kv_heads: usize,
    /// Elements per head.
    pub head_dim: usize,
    /// `[heads · head_dim, hidden]`.
    pub query: LinearRef,
    /// `[kv_heads · head_dim, hidden]`.
    pub key: LinearRef,
    /// `[kv_heads · head_dim, hidden]`.
    pub value: LinearRef,
    /// `[hidden, heads · head_dim]`.
    pub output: LinearRef,
    /// Over the `head_dim` elements of each query head.
    pub query_norm: Option<Norm>,
    /// Over the `head_dim` elements of each key head.
    pub key_norm: Option<Norm>,
    /// Rotates queries and keys; none where positions come from elsewhere.
    pub rope: Option<RopeRef>,
    /// Position `p` attends to the last `window` positions, itself included; to all where none.
    pub window: Option<usize>,
    /// Factor on query · key.
    pub score_scale: f32,
    /// Scaled scores `s` become `cap · tanh(s / cap)`.
    pub score_soft_cap: Option<f32>,
    /// Shape `[heads]`: one more score for each head that takes part in the softmax and belongs to no value.
    pub sinks: Option<TensorRef>,
    /// Applied to the output before it is added to the residual stream.
    pub post_norm: Option<Norm>,
}

/// The position-wise half of a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Mlp {
    /// Applied to the residual stream first.
    pub norm: Norm,
    /// What is computed from it.
    pub kind: MlpKind,
    /// Applied to the output before it is added to the residual stream.
    pub post_norm: Option<Norm>,
}

/// The kinds of MLP.
#[derive(Debug, Clone, PartialEq)]
pub enum MlpKind {
    /// The same layers for every token.
    Dense(FeedForward),
    /// Each token through a few of many.
    Experts(Experts),
}

/// `down(activation(up(x)))`, or with a gate `down(activation(g) · (u + up_offset))`, where `g` and `u` are `gate(x)` and
/// `up(x)`, limited where the gate says so; element-wise product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeedForward {
    /// None where the activation is applied to `up(x)` alone.
    pub gate: Option<Gate>,
    /// `[intermediate, hidden]`.
    pub up: LinearRef,
    /// `[hidden, intermediate]`.
    pub down: LinearRef,
    /// Applied to the gate, or to `up(x)` where there is none.
    pub activation: Activation,
}

/// The gate of a [`FeedForward`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// `[intermediate, hidden]`.
    pub linear: LinearRef,
    /// `gate(x)` is cut off above `limit`, `up(x)` above `limit` and below `-limit`.
    pub limit: Option<f32>,
    /// Added to `up(x)` after that.
    pub up_offset: f32,
}

/// A mixture of experts: `Σ weight(e) · expert_e(x)` over the `chosen` experts with the largest router logits; of equal
/// logits, the lower index counts as larger.
#[derive(Debug, Clone, PartialEq)]
pub struct Experts {
    /// `[experts, hidden]`.
    pub router: LinearRef,
    /// All of them, of equal sizes.
    pub experts: Vec<FeedForward>,
    /// How many work on a token; at most as many as there are.
    pub chosen: usize,
    /// Where the weights come from.
    pub weighting: Weighting,
}

/// What the softmax that weighs the chosen experts runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weighting {
    /// The logits of the chosen experts: their weights add up to 1. The same as the softmax over all, divided by the sum
    /// over the chosen.
    OverChosen,
    /// The logits of all experts: the weights of the chosen add up to less than 1.
    OverAll,
}

/// Element-wise functions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `x / (1 + exp(-alpha · x))`.
    Silu {
        /// 1, except in approximations of [`Activation::Gelu`].
        alpha: f32,
    },
    /// `x / 2 · (1 + erf(x / sqrt(2)))`.
    Gelu,
    /// `x / 2 · (1 + tanh(sqrt(2 / π) · (x + 0.044715 x³)))`.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
}

impl FeedForward {
    /// The layers that read `x`: the gate where there is one, then `up`.
    pub fn inputs(&self) -> Vec<LinearRef> {
        self.gate.map(|gate| gate.linear).into_iter().chain([self.up]).collect()
    }
}

impl Mlp {
    /// The layers of an MLP without experts, or those of all its experts.
    pub fn feed_forwards(&self) -> &[FeedForward] {
        match &self.kind {
            MlpKind::Dense(dense) => std::slice::from_ref(dense),
            MlpKind::Experts(experts) => &experts.experts,
        }
    }

    /// The layers of an MLP without experts.
    pub fn dense(&self) -> Option<&FeedForward> {
        match &self.kind {
            MlpKind::Dense(dense) => Some(dense),
            MlpKind::Experts(_) => None,
        }
    }
}

impl DecoderGraph {
    /// The tensor that `tensor` names.
    ///
    /// # Panics
    /// Where `tensor` belongs to another graph and lies outside this one's list.
    pub fn tensor(&self, tensor: TensorRef) -> &TensorSpec {
        &self.tensors[tensor.0 as usize]
    }

    /// The rotary embedding that `rope` names.
    ///
    /// # Panics
    /// Where `rope` belongs to another graph and lies outside this one's list.
    pub fn rope(&self, rope: RopeRef) -> &Rope {
        &self.ropes[rope.0 as usize]
    }

    /// Every tensor with its reference, in the order in which the graph was written.
    pub fn tensor_refs(&self) -> impl Iterator<Item = (TensorRef, &TensorSpec)> {
        self.tensors.iter().enumerate().map(|(index, spec)| (TensorRef(index as u32), spec))
    }

    /// Number of weights, each tensor counted once.
    pub fn parameters(&self) -> u64 {
        self.tensors
            .iter()
            .map(|spec| spec.shape.iter().map(|&size| size as u64).product::<u64>())
            .sum()
    }

    /// Bytes of all weights in the declared format; in f32, as Transformers has it, where none is declared.
    pub fn declared_bytes(&self) -> u64 {
        self.parameters() * self.declared_format.unwrap_or(WeightFormat::F32).bytes() as u64
    }

    /// Whether the head multiplies by the embedding's table.
    pub fn is_head_tied(&self) -> bool {
        self.head.weight == self.embedding.table
    }
}
