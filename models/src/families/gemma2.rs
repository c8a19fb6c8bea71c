//! Gemma 2: norms before and behind each half with the weight less one stored, soft caps on scores and logits, every
//! other layer sliding, embeddings scaled by the root of the hidden size.

use crate::config::Config;
use crate::error::ModelError;
use crate::families::limits;
use crate::families::parts::{self, Frame, NormStyle, Parts};
use crate::families::sizes::{Defaults, Sizes};
use crate::graph::{Block, DecoderGraph, Mlp, MlpKind, Residual};
use crate::rope::{self, Spelling};

/// Defaults: Transformers' `Gemma2Config`.
pub(super) fn build(config: &Config<'_>) -> Result<DecoderGraph, ModelError> {
    let defaults = Defaults { context: 8_192, kv_heads: Some(4), head_dim: Some(256) };
    let sizes = Sizes::grouped(config, &defaults)?;
    let intermediate = config.size("intermediate_size", limits::WIDTH)?;
    let activation = parts::activation(config, "hidden_activation", "gelu_pytorch_tanh")?;
    let has_bias = config.flag("attention_bias", false)?;
    parts::refuse(config, "use_bidirectional_attention")?;
    let window = config.nullable_size("sliding_window", limits::CONTEXT, Some(4_096))?;
    let windows = parts::windows(config, sizes.layers, window, |layer| layer % 2 == 0)?;
    let query_scalar = config.positive("query_pre_attn_scalar")?.unwrap_or(256.0);
    let score_cap = config.nullable_positive("attn_logit_softcapping", Some(50.0))?;
    let logit_cap = config.nullable_positive("final_logit_softcapping", Some(30.0))?;
    let rope = rope::read(config, sizes.head_dim, &Spelling::USUAL)?;
    let norms = NormStyle { weight_offset: 1.0, ..NormStyle::rms(config, 1e-6)? };
    let frame = Frame { is_tied: true, ..Frame::new("gemma2", Some(1), rope) };
    let parts = Parts::new(sizes, norms);
    let mut graph = parts.decoder(config, frame, |parts, layer, prefix| {
        let norm = parts.norm(&format!("{prefix}.input_layernorm"));
        let linears =
            parts.projections(&format!("{prefix}.self_attn"), "o_proj", (has_bias, has_bias));
        let mut attention = parts.attention(norm, linears);
        attention.window = windows[layer];
        attention.score_scale = query_scalar.sqrt().recip() as f32;
        attention.score_soft_cap = score_cap.map(|cap| cap as f32);
        attention.post_norm = Some(parts.norm(&format!("{prefix}.post_attention_layernorm")));
        let norm = parts.norm(&format!("{prefix}.pre_feedforward_layernorm"));
        let dense = parts.gated(&format!("{prefix}.mlp"), intermediate, activation, false);
        let post_norm = Some(parts.norm(&format!("{prefix}.post_feedforward_layernorm")));
        let mlp = Mlp { norm, kind: MlpKind::Dense(dense), post_norm };
        Block { attention, mlp, residual: Residual::Sequential }
    })?;
    graph.embedding.scale = (sizes.hidden as f64).sqrt() as f32;
    graph.logit_soft_cap = logit_cap.map(|cap| cap as f32);
    Ok(graph)
}
