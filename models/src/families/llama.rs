//! Llama 2 and 3: RMS norm before each half, rotary positions, grouped heads, SwiGLU, sequential residual.

use crate::config::Config;
use crate::error::ModelError;
use crate::families::limits;
use crate::families::parts::{self, Frame, NormStyle, Parts};
use crate::families::sizes::{Defaults, Sizes};
use crate::graph::{Block, DecoderGraph, Mlp, MlpKind, Residual};
use crate::rope::{self, Spelling};

/// Defaults: Transformers' `LlamaConfig`.
pub(super) fn build(config: &Config<'_>) -> Result<DecoderGraph, ModelError> {
    let defaults = Defaults { context: 2_048, kv_heads: None, head_dim: None };
    let sizes = Sizes::grouped(config, &defaults)?;
    let intermediate = config.size("intermediate_size", limits::WIDTH)?;
    let activation = parts::activation(config, "hidden_act", "silu")?;
    let attention_bias = config.flag("attention_bias", false)?;
    let mlp_bias = config.flag("mlp_bias", false)?;
    let rope = rope::read(config, sizes.head_dim, &Spelling::USUAL)?;
    let parts = Parts::new(sizes, NormStyle::rms(config, 1e-6)?);
    parts.decoder(config, Frame::new("llama", Some(2), rope), |parts, _, prefix| {
        let norm = parts.norm(&format!("{prefix}.input_layernorm"));
        let attention = format!("{prefix}.self_attn");
        let linears = parts.projections(&attention, "o_proj", (attention_bias, attention_bias));
        let attention = parts.attention(norm, linears);
        let norm = parts.norm(&format!("{prefix}.post_attention_layernorm"));
        let dense = parts.gated(&format!("{prefix}.mlp"), intermediate, activation, mlp_bias);
        let mlp = Mlp { norm, kind: MlpKind::Dense(dense), post_norm: None };
        Block { attention, mlp, residual: Residual::Sequential }
    })
}
