//! Qwen2: Llama's layers with a bias on queries, keys and values; later layers may slide.

use crate::config::Config;
use crate::error::ModelError;
use crate::families::limits;
use crate::families::parts::{self, Frame, NormStyle, Parts};
use crate::families::sizes::{Defaults, Sizes};
use crate::graph::{Block, DecoderGraph, Mlp, MlpKind, Residual};
use crate::rope::{self, Spelling};

/// Defaults: Transformers' `Qwen2Config`.
pub(super) fn build(config: &Config<'_>) -> Result<DecoderGraph, ModelError> {
    let defaults = Defaults { context: 32_768, kv_heads: Some(32), head_dim: None };
    let sizes = Sizes::grouped(config, &defaults)?;
    let intermediate = config.size("intermediate_size", limits::WIDTH)?;
    let activation = parts::activation(config, "hidden_act", "silu")?;
    let windows = windows(config, sizes.layers)?;
    let rope = rope::read(config, sizes.head_dim, &Spelling::USUAL)?;
    let parts = Parts::new(sizes, NormStyle::rms(config, 1e-6)?);
    parts.decoder(config, Frame::new("qwen2", None, rope), |parts, layer, prefix| {
        let norm = parts.norm(&format!("{prefix}.input_layernorm"));
        let linears = parts.projections(&format!("{prefix}.self_attn"), "o_proj", (true, false));
        let mut attention = parts.attention(norm, linears);
        attention.window = windows[layer];
        let norm = parts.norm(&format!("{prefix}.post_attention_layernorm"));
        let dense = parts.gated(&format!("{prefix}.mlp"), intermediate, activation, false);
        let mlp = Mlp { norm, kind: MlpKind::Dense(dense), post_norm: None };
        Block { attention, mlp, residual: Residual::Sequential }
    })
}

/// The window of each layer: none unless `use_sliding_window`, and then from layer `max_window_layers` on.
pub(super) fn windows(
    config: &Config<'_>,
    layers: usize,
) -> Result<Vec<Option<usize>>, ModelError> {
    let slides = config.flag("use_sliding_window", false)?;
    let window = config.nullable_size("sliding_window", limits::CONTEXT, Some(4_096))?;
    let window = window.filter(|_| slides);
    let first = config.optional_size("max_window_layers", 0..=usize::MAX)?.unwrap_or(28);
    parts::windows(config, layers, window, |layer| layer >= first)
}
