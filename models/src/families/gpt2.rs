//! GPT-2: learned positions, layer norms, matrices stored `[in, out]` with queries, keys and values side by side.

use crate::config::Config;
use crate::error::ModelError;
use crate::families::limits;
use crate::families::parts::{self, Body, NormStyle, Parts};
use crate::families::sizes::{self, Sizes};
use crate::graph::{Block, DecoderGraph, Embedding, FeedForward, Mlp, MlpKind, Residual};
use crate::tensors::{LinearRef, Stored, View};

/// Defaults: Transformers' `GPT2Config`, which also takes the usual names of the sizes.
pub(super) fn build(config: &Config<'_>) -> Result<DecoderGraph, ModelError> {
    let sizes = read_sizes(config)?;
    let Sizes { hidden, layers, context, .. } = sizes;
    let intermediate = config.optional_size("n_inner", limits::WIDTH)?.unwrap_or(4 * hidden);
    let activation = parts::activation(config, "activation_function", "gelu_new")?;
    parts::refuse(config, "add_cross_attention")?;
    let is_scaled = config.flag("scale_attn_weights", true)?;
    let is_scaled_by_layer = config.flag("scale_attn_by_inverse_layer_idx", false)?;
    let is_tied = config.flag("tie_word_embeddings", true)?;

    let mut parts = Parts::new(sizes, NormStyle::layer(config, "layer_norm_epsilon")?);
    let tokens = parts.table("transformer.wte", is_tied.then_some("lm_head"));
    let positions = "transformer.wpe.weight".to_owned();
    let positions = parts.tensors.add(positions, &[context, hidden], "n_positions, n_embd");
    let block = |layer: usize| {
        let prefix = format!("transformer.h.{layer}");
        let norm = parts.norm(&format!("{prefix}.ln_1"));
        let name = format!("{prefix}.attn.c_attn");
        let keys = "n_embd, 3 × n_embd";
        let [query, key, value] =
            [0, 1, 2].map(|part| conv(&mut parts, &name, (hidden, hidden), (part, 3), keys));
        let linear = |parts: &mut Parts, name: &str, size: (usize, usize), keys| {
            conv(parts, &format!("{prefix}.{name}"), size, (0, 1), keys)
        };
        let output = linear(&mut parts, "attn.c_proj", (hidden, hidden), "n_embd, n_embd");
        let mut attention = parts.attention(norm, [query, key, value, output]);
        attention.rope = None;
        attention.score_scale = if is_scaled { sizes.score_scale() } else { 1.0 };
        if is_scaled_by_layer {
            attention.score_scale /= (layer + 1) as f32;
        }
        let norm = parts.norm(&format!("{prefix}.ln_2"));
        let up = linear(&mut parts, "mlp.c_fc", (intermediate, hidden), "n_embd, n_inner");
        let down = linear(&mut parts, "mlp.c_proj", (hidden, intermediate), "n_inner, n_embd");
        let kind = MlpKind::Dense(FeedForward { gate: None, up, down, activation });
        let mlp = Mlp { norm, kind, post_norm: None };
        Block { attention, mlp, residual: Residual::Sequential }
    };
    let blocks = (0..layers).map(block).collect();
    let final_norm = parts.norm("transformer.ln_f");
    let head = parts.head("lm_head", is_tied.then_some(tokens), false);
    let embedding = Embedding { table: tokens, positions: Some(positions), scale: 1.0 };
    let body = Body { embedding, ropes: Vec::new(), blocks, final_norm, head };
    parts.graph(config, ("gpt2", "transformer."), Some(50_256), body)
}

fn read_sizes(config: &Config<'_>) -> Result<Sizes, ModelError> {
    let hidden_key = config.spelling(["n_embd", "hidden_size"]);
    let hidden = config.size(hidden_key, limits::WIDTH)?;
    let heads = config.size(config.spelling(["n_head", "num_attention_heads"]), limits::HEADS)?;
    let context = config.spelling(["n_positions", "max_position_embeddings"]);
    Ok(Sizes {
        hidden,
        layers: config.size(config.spelling(["n_layer", "num_hidden_layers"]), limits::LAYERS)?,
        vocab: config.size("vocab_size", limits::VOCAB)?,
        context: config.optional_size(context, limits::CONTEXT)?.unwrap_or(1_024),
        heads,
        kv_heads: heads,
        head_dim: sizes::head_dim(config, (hidden_key, hidden), heads, "; correct either")?,
    })
}

/// Part `part` of `count` linear layers of equal size that are stored side by side as one matrix `[in, count · out]`.
fn conv(
    parts: &mut Parts,
    name: &str,
    (out, input): (usize, usize),
    (part, count): (usize, usize),
    keys: &'static str,
) -> LinearRef {
    let weight = Stored {
        name: format!("{name}.weight"),
        shape: vec![input, count * out],
        keys,
        view: View::transposed(part * out, out, 1, count * out),
    };
    let bias = Stored {
        name: format!("{name}.bias"),
        shape: vec![count * out],
        keys,
        view: View::rows(part * out, out, 1),
    };
    parts.tensors.add_linear_stored((out, input), vec![weight], Some(vec![bias]))
}
