//! Phi 1, 1.5 and 2: parallel residual behind one layer norm, rotary on a part of each head, biases everywhere.

use crate::config::Config;
use crate::error::ModelError;
use crate::families::limits;
use crate::families::parts::{self, Frame, NormStyle, Parts};
use crate::families::sizes::{Defaults, Sizes};
use crate::graph::{Block, DecoderGraph, FeedForward, Mlp, MlpKind, Residual};
use crate::rope::{self, Spelling};

/// Defaults: Transformers' `PhiConfig`.
pub(super) fn build(config: &Config<'_>) -> Result<DecoderGraph, ModelError> {
    let defaults = Defaults { context: 2_048, kv_heads: None, head_dim: None };
    let sizes = Sizes::grouped(config, &defaults)?;
    let (hidden, intermediate) = (sizes.hidden, config.size("intermediate_size", limits::WIDTH)?);
    let activation = parts::activation(config, "hidden_act", "gelu_new")?;
    let has_head_norms = config.flag("qk_layernorm", false)?;
    let spelling = Spelling { share: Some(("partial_rotary_factor", 0.5)), ..Spelling::USUAL };
    let rope = rope::read(config, sizes.head_dim, &spelling)?;
    let frame = Frame {
        final_norm: "model.final_layernorm",
        has_head_bias: true,
        ..Frame::new("phi", Some(2), rope)
    };
    let parts = Parts::new(sizes, NormStyle::layer(config, "layer_norm_eps")?);
    parts.decoder(config, frame, |parts, _, prefix| {
        let norm = parts.norm(&format!("{prefix}.input_layernorm"));
        let attention = format!("{prefix}.self_attn");
        let linears = parts.projections(&attention, "dense", (true, true));
        let head_norm = |parts: &mut Parts, name: &str| {
            has_head_norms.then(|| parts.head_norm(&format!("{attention}.{name}")))
        };
        let query_norm = head_norm(parts, "q_layernorm");
        let key_norm = head_norm(parts, "k_layernorm");
        let mut attention = parts.attention(norm.clone(), linears);
        (attention.query_norm, attention.key_norm) = (query_norm, key_norm);
        let mut linear = |name: &str, size: (usize, usize), keys: &'static str| {
            parts.tensors.add_linear(&format!("{prefix}.mlp.{name}"), size, true, keys)
        };
        let up = linear("fc1", (intermediate, hidden), "intermediate_size, hidden_size");
        let down = linear("fc2", (hidden, intermediate), "hidden_size, intermediate_size");
        let kind = MlpKind::Dense(FeedForward { gate: None, up, down, activation });
        let mlp = Mlp { norm, kind, post_norm: None };
        Block { attention, mlp, residual: Residual::Parallel }
    })
}
