//! Qwen3: Llama's layers with an RMS norm over each query head and each key head; later layers may slide.

use crate::config::Config;
use crate::error::ModelError;
use crate::families::parts::{self, Frame, NormStyle, Parts};
use crate::families::sizes::{Defaults, Sizes};
use crate::families::{limits, qwen2};
use crate::graph::{Attention, Block, DecoderGraph, Mlp, MlpKind, Residual};
use crate::rope::{self, Spelling};

/// Defaults: Transformers' `Qwen3Config`.
pub(super) fn build(config: &Config<'_>) -> Result<DecoderGraph, ModelError> {
    let defaults = Defaults { context: 32_768, kv_heads: Some(32), head_dim: Some(128) };
    let sizes = Sizes::grouped(config, &defaults)?;
    let intermediate = config.size("intermediate_size", limits::WIDTH)?;
    let activation = parts::activation(config, "hidden_act", "silu")?;
    let has_bias = config.flag("attention_bias", false)?;
    let windows = qwen2::windows(config, sizes.layers)?;
    let rope = rope::read(config, sizes.head_dim, &Spelling::USUAL)?;
    let parts = Parts::new(sizes, NormStyle::rms(config, 1e-6)?);
    parts.decoder(config, Frame::new("qwen3", None, rope), |parts, layer, prefix| {
        let mut attention = attention(parts, prefix, has_bias);
        attention.window = windows[layer];
        let norm = parts.norm(&format!("{prefix}.post_attention_layernorm"));
        let dense = parts.gated(&format!("{prefix}.mlp"), intermediate, activation, false);
        let mlp = Mlp { norm, kind: MlpKind::Dense(dense), post_norm: None };
        Block { attention, mlp, residual: Residual::Sequential }
    })
}

/// Attention with norms of queries and keys.
pub(super) fn attention(parts: &mut Parts, prefix: &str, has_bias: bool) -> Attention {
    let norm = parts.norm(&format!("{prefix}.input_layernorm"));
    let prefix = format!("{prefix}.self_attn");
    let linears = parts.projections(&prefix, "o_proj", (has_bias, has_bias));
    let mut attention = parts.attention(norm, linears);
    attention.query_norm = Some(parts.head_norm(&format!("{prefix}.q_norm")));
    attention.key_norm = Some(parts.head_norm(&format!("{prefix}.k_norm")));
    attention
}
