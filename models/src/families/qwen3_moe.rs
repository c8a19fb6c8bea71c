//! Qwen3-MoE: Qwen3's attention, and a few of many gated experts in most layers, dense layers in the others.

use crate::config::Config;
use crate::error::ModelError;
use crate::families::experts::{self, ExpertNames, ExpertSizes};
use crate::families::parts::{self, Frame, NormStyle, Parts};
use crate::families::sizes::{Defaults, Sizes};
use crate::families::{limits, qwen3};
use crate::graph::{Block, DecoderGraph, Experts, Mlp, MlpKind, Residual, Weighting};
use crate::rope::{self, Spelling};

/// Defaults: Transformers' `Qwen3MoeConfig`.
pub(super) fn build(config: &Config<'_>) -> Result<DecoderGraph, ModelError> {
    let defaults = Defaults { context: 32_768, kv_heads: Some(4), head_dim: None };
    let sizes = Sizes::grouped(config, &defaults)?;
    let names = ["num_experts", "num_local_experts"];
    let expert_sizes = ExpertSizes::read(config, names, 8, "moe_intermediate_size")?;
    let is_mixture = mixtures(config, sizes.layers)?;
    let intermediate = match is_mixture.contains(&false) {
        true => config.size("intermediate_size", limits::WIDTH)?,
        false => expert_sizes.intermediate,
    };
    let activation = parts::activation(config, "hidden_act", "silu")?;
    let has_bias = config.flag("attention_bias", false)?;
    let slides = config.flag("use_sliding_window", false)?;
    let window = config.nullable_size("sliding_window", limits::CONTEXT, Some(4_096))?;
    let weighting = match config.flag("norm_topk_prob", false)? {
        true => Weighting::OverChosen,
        false => Weighting::OverAll,
    };
    let rope = rope::read(config, sizes.head_dim, &Spelling::USUAL)?;
    let parts = Parts::new(sizes, NormStyle::rms(config, 1e-6)?);
    parts.decoder(config, Frame::new("qwen3_moe", None, rope), |parts, layer, prefix| {
        let mut attention = qwen3::attention(parts, prefix, has_bias);
        attention.window = window.filter(|_| slides);
        let norm = parts.norm(&format!("{prefix}.post_attention_layernorm"));
        let prefix = format!("{prefix}.mlp");
        let kind = if is_mixture[layer] {
            let size = (expert_sizes.count, sizes.hidden);
            let keys = "num_experts, hidden_size";
            let router = parts.tensors.add_linear(&format!("{prefix}.gate"), size, false, keys);
            let single = format!("{prefix}.experts");
            let linears = ["gate_proj", "up_proj", "down_proj"];
            let names = ExpertNames { single: &single, linears, packed: &single };
            let keys = ["moe_intermediate_size, hidden_size", "hidden_size, moe_intermediate_size"];
            let experts = experts::gated(parts, expert_sizes, &names, (activation, keys));
            MlpKind::Experts(Experts { router, experts, chosen: expert_sizes.chosen, weighting })
        } else {
            MlpKind::Dense(parts.gated(&prefix, intermediate, activation, false))
        };
        let mlp = Mlp { norm, kind, post_norm: None };
        Block { attention, mlp, residual: Residual::Sequential }
    })
}

/// Which layers are mixtures: every `decoder_sparse_step`th one that `mlp_only_layers` does not name.
fn mixtures(config: &Config<'_>, layers: usize) -> Result<Vec<bool>, ModelError> {
    let step = config.optional_size("decoder_sparse_step", limits::LAYERS)?.unwrap_or(1);
    let dense = config.sizes("mlp_only_layers")?.unwrap_or_default();
    let mut is_mixture: Vec<bool> = (1..=layers).map(|layer| layer % step == 0).collect();
    for layer in dense {
        if let Some(is_mixture) = is_mixture.get_mut(layer) {
            *is_mixture = false;
        }
    }
    Ok(is_mixture)
}
