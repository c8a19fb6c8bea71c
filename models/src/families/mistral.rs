//! Mistral: Llama's layers, all of which look back over a sliding window only.

use crate::config::Config;
use crate::error::ModelError;
use crate::families::limits;
use crate::families::parts::{self, Frame, NormStyle, Parts};
use crate::families::sizes::{Defaults, Sizes};
use crate::graph::{Block, DecoderGraph, Mlp, MlpKind, Residual};
use crate::rope::{self, Spelling};

/// Defaults: Transformers' `MistralConfig`.
pub(super) fn build(config: &Config<'_>) -> Result<DecoderGraph, ModelError> {
    let defaults = Defaults { context: 131_072, kv_heads: Some(8), head_dim: None };
    let sizes = Sizes::grouped(config, &defaults)?;
    let intermediate = config.size("intermediate_size", limits::WIDTH)?;
    let activation = parts::activation(config, "hidden_act", "silu")?;
    let window = config.nullable_size("sliding_window", limits::CONTEXT, Some(4_096))?;
    let rope = rope::read(config, sizes.head_dim, &Spelling::USUAL)?;
    let parts = Parts::new(sizes, NormStyle::rms(config, 1e-6)?);
    parts.decoder(config, Frame::new("mistral", Some(2), rope), |parts, _, prefix| {
        let norm = parts.norm(&format!("{prefix}.input_layernorm"));
        let linears = parts.projections(&format!("{prefix}.self_attn"), "o_proj", (false, false));
        let mut attention = parts.attention(norm, linears);
        attention.window = window;
        let norm = parts.norm(&format!("{prefix}.post_attention_layernorm"));
        let dense = parts.gated(&format!("{prefix}.mlp"), intermediate, activation, false);
        let mlp = Mlp { norm, kind: MlpKind::Dense(dense), post_norm: None };
        Block { attention, mlp, residual: Residual::Sequential }
    })
}
