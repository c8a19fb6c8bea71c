//! Llama: RMSNorm before each half, rotary positions, grouped-query attention, SwiGLU, sequential residual.

use crate::config::Config;
use crate::error::ModelError;
use crate::families::{declared_format, limits};
use crate::graph::{
    Activation, Attention, Block, DecoderGraph, Embedding, FeedForward, Gate, Mlp, MlpKind, Norm,
    NormKind, Residual, RopeRef,
};
use crate::rope;
use crate::tensors::{LinearRef, TensorList};

/// The sizes and switches that shape every layer.
struct Layer {
    hidden: usize,
    intermediate: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    epsilon: f32,
    attention_bias: bool,
    mlp_bias: bool,
    activation: Activation,
}

pub(super) fn build(config: &Config<'_>) -> Result<DecoderGraph, ModelError> {
    let layer = Layer::read(config)?;
    let hidden = layer.hidden;
    let vocab = config.size("vocab_size", limits::VOCAB)?;
    let layers = config.size("num_hidden_layers", limits::LAYERS)?;
    let context = config.size("max_position_embeddings", limits::CONTEXT)?;
    let tied = config.flag("tie_word_embeddings", false)?;
    let rope = rope::read(config, layer.head_dim)?;
    let declared_format = declared_format(config)?;

    let mut tensors = TensorList::default();
    let table = tensors.add(
        "model.embed_tokens.weight".to_owned(),
        &[vocab, hidden],
        "vocab_size, hidden_size",
    );
    let blocks = (0..layers).map(|index| layer.block(index, &mut tensors)).collect();
    let final_norm = layer.norm("model.norm", &mut tensors);
    let head = if tied {
        LinearRef { weight: table, bias: None, out_features: vocab, in_features: hidden }
    } else {
        tensors.add_linear("lm_head", (vocab, hidden), false, "vocab_size, hidden_size")
    };
    Ok(DecoderGraph {
        architecture: "llama",
        hidden,
        vocab,
        context,
        embedding: Embedding { table, positions: None, scale: 1.0 },
        ropes: vec![rope],
        blocks,
        final_norm,
        head,
        logit_soft_cap: None,
        eos_ids: Vec::new(),
        declared_format,
        tensors: tensors.0,
        optional_prefix: "model.",
    })
}

impl Layer {
    fn read(config: &Config<'_>) -> Result<Layer, ModelError> {
        let hidden = config.size("hidden_size", limits::WIDTH)?;
        let heads = config.size("num_attention_heads", limits::HEADS)?;
        let kv_heads = config.optional_size("num_key_value_heads", limits::HEADS)?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(config.disagree(format!(
                "num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}; each key-value head \
                 must serve the same number of query heads"
            )));
        }
        let activation = match config.text("hidden_act")?.unwrap_or("silu") {
            "silu" | "swish" => Activation::Silu { alpha: 1.0 },
            other => return Err(config.unsupported("hidden_act", other, "silu")),
        };
        let epsilon =
            config.number("rms_norm_eps", "a number of at least 0", |epsilon| epsilon >= 0.0)?;
        Ok(Layer {
            hidden,
            intermediate: config.size("intermediate_size", limits::WIDTH)?,
            heads,
            kv_heads,
            head_dim: head_dim(config, hidden, heads)?,
            epsilon: epsilon.unwrap_or(1e-6) as f32,
            attention_bias: config.flag("attention_bias", false)?,
            mlp_bias: config.flag("mlp_bias", false)?,
            activation,
        })
    }

    fn block(&self, index: usize, tensors: &mut TensorList) -> Block {
        let prefix = format!("model.layers.{index}");
        Block {
            attention: self.attention(&prefix, tensors),
            mlp: self.mlp(&prefix, tensors),
            residual: Residual::Sequential,
        }
    }

    fn norm(&self, name: &str, tensors: &mut TensorList) -> Norm {
        let weight = tensors.add(format!("{name}.weight"), &[self.hidden], "hidden_size");
        let (kind, epsilon) = (NormKind::Rms, self.epsilon);
        Norm { kind, weight, weight_offset: 0.0, bias: None, epsilon }
    }

    fn attention(&self, prefix: &str, tensors: &mut TensorList) -> Attention {
        let hidden = self.hidden;
        let (query, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let norm = self.norm(&format!("{prefix}.input_layernorm"), tensors);
        let mut linear = |name: &str, size: (usize, usize), keys: &'static str| {
            tensors.add_linear(
                &format!("{prefix}.self_attn.{name}"),
                size,
                self.attention_bias,
                keys,
            )
        };
        let kv_keys = "num_key_value_heads × head_dim, hidden_size";
        Attention {
            norm,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            query: linear("q_proj", (query, hidden), "num_attention_heads × head_dim, hidden_size"),
            key: linear("k_proj", (kv, hidden), kv_keys),
            value: linear("v_proj", (kv, hidden), kv_keys),
            output: linear(
                "o_proj",
                (hidden, query),
                "hidden_size, num_attention_heads × head_dim",
            ),
            query_norm: None,
            key_norm: None,
            rope: Some(RopeRef(0)),
            window: None,
            score_scale: (self.head_dim as f64).sqrt().recip() as f32,
            score_soft_cap: None,
            sinks: None,
            post_norm: None,
        }
    }

    fn mlp(&self, prefix: &str, tensors: &mut TensorList) -> Mlp {
        let (hidden, intermediate) = (self.hidden, self.intermediate);
        let norm = self.norm(&format!("{prefix}.post_attention_layernorm"), tensors);
        let mut linear = |name: &str, size: (usize, usize), keys: &'static str| {
            tensors.add_linear(&format!("{prefix}.mlp.{name}"), size, self.mlp_bias, keys)
        };
        let gate = linear("gate_proj", (intermediate, hidden), "intermediate_size, hidden_size");
        let up = linear("up_proj", (intermediate, hidden), "intermediate_size, hidden_size");
        let down = linear("down_proj", (hidden, intermediate), "hidden_size, intermediate_size");
        let gate = Some(Gate { linear: gate, limit: None, up_offset: 0.0 });
        let dense = FeedForward { gate, up, down, activation: self.activation };
        Mlp { norm, kind: MlpKind::Dense(dense), post_norm: None }
    }
}

/// The stated `head_dim`, or `hidden_size / num_attention_heads`; even, because rotary embedding pairs dimensions.
fn head_dim(config: &Config<'_>, hidden: usize, heads: usize) -> Result<usize, ModelError> {
    let stated = config.optional_size("head_dim", limits::HEAD_DIM)?;
    if stated.is_none() && !hidden.is_multiple_of(heads) {
        return Err(config.disagree(format!(
            "hidden_size {hidden} is not a multiple of num_attention_heads {heads}, and no head_dim is given; state \
             head_dim, or correct either size"
        )));
    }
    let head_dim = stated.unwrap_or(hidden / heads);
    if head_dim % 2 == 1 || !limits::HEAD_DIM.contains(&head_dim) {
        return Err(config.disagree(format!(
            "head_dim {head_dim} (stated, or hidden_size {hidden} / num_attention_heads {heads}) must be even, because \
             rotary embedding turns pairs, and at most {}",
            limits::HEAD_DIM.end()
        )));
    }
    Ok(head_dim)
}
