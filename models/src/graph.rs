//! The decoder graph: what a decoder-only transformer computes, as data, whatever family it comes from.
//!
//! The embedding of token `t` at position `p` is row `t` of the table times `scale`, plus row `p` of the position table
//! where there is one. Each block adds the output of attention and then of the MLP to that residual stream (how, says
//! [`Residual`]); the final norm and the head turn it into one logit per vocabulary entry.

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

/// A normalisation over the `hidden` elements of the residual stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// Which statistic it divides by.
    pub kind: NormKind,
    /// Shape `[hidden]`.
    pub weight: TensorRef,
    /// Added to the mean square under the root.
    pub epsilon: f32,
}

/// The kinds of normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// `x · weight / sqrt(mean(x²) + epsilon)`.
    Rms,
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

/// How a block's halves are added to the residual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residual {
    /// `x += attention(norm(x))`, then `x += mlp(norm(x))` on the new `x`.
    Sequential,
}

/// Names one of the graph's rotary embeddings: an index into its `ropes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RopeRef(pub u32);

/// Causal self-attention. Query head `h` reads key-value head `h / (heads / kv_heads)`.
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
    /// Rotates queries and keys; none where positions come from elsewhere.
    pub rope: Option<RopeRef>,
    /// Position `p` attends to the last `window` positions, itself included; to all where none.
    pub window: Option<usize>,
    /// Factor on query · key before the softmax.
    pub score_scale: f32,
}

/// The position-wise half of a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Mlp {
    /// Applied to the residual stream first.
    pub norm: Norm,
    /// What is computed from it.
    pub kind: MlpKind,
}

/// The kinds of MLP.
#[derive(Debug, Clone, PartialEq)]
pub enum MlpKind {
    /// `down(activation(gate(x)) · up(x))`, element-wise product.
    Gated {
        /// `[intermediate, hidden]`.
        gate: LinearRef,
        /// `[intermediate, hidden]`.
        up: LinearRef,
        /// `[hidden, intermediate]`.
        down: LinearRef,
        /// Applied to the gate.
        activation: Activation,
    },
}

/// Element-wise functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + exp(-x))`.
    Silu,
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

    /// Whether the head multiplies by the embedding's table.
    pub fn is_head_tied(&self) -> bool {
        self.head.weight == self.embedding.table
    }
}
