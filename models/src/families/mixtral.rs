//! Mixtral: Mistral's attention, and a few of many gated experts, weighed by the softmax over the chosen.

use crate::config::Config;
use crate::error::ModelError;
use crate::families::experts::{self, ExpertNames, ExpertSizes};
use crate::families::limits;
use crate::families::parts::{self, Frame, NormStyle, Parts};
use crate::families::sizes::{Defaults, Sizes};
use crate::graph::{Activation, Block, DecoderGraph, Experts, Mlp, MlpKind, Residual, Weighting};
use crate::rope::{self, Spelling};
use crate::tensors::Stored;

/// Defaults: Transformers' `MixtralConfig`.
pub(super) fn build(config: &Config<'_>) -> Result<DecoderGraph, ModelError> {
    let defaults = Defaults { context: 131_072, kv_heads: Some(8), head_dim: None };
    let sizes = Sizes::grouped(config, &defaults)?;
    let names = ["num_local_experts", "num_experts"];
    let expert_sizes = ExpertSizes::read(config, names, 2, "intermediate_size")?;
    let activation = parts::activation(config, "hidden_act", "silu")?;
    let window = config.nullable_size("sliding_window", limits::CONTEXT, None)?;
    let spelling = Spelling { theta: ("rope_theta", 1_000_000.0), ..Spelling::USUAL };
    let rope = rope::read(config, sizes.head_dim, &spelling)?;
    let parts = Parts::new(sizes, NormStyle::rms(config, 1e-5)?);
    parts.decoder(config, Frame::new("mixtral", Some(2), rope), |parts, _, prefix| {
        let norm = parts.norm(&format!("{prefix}.input_layernorm"));
        let linears = parts.projections(&format!("{prefix}.self_attn"), "o_proj", (false, false));
        let mut attention = parts.attention(norm, linears);
        attention.window = window;
        let norm = parts.norm(&format!("{prefix}.post_attention_layernorm"));
        let kind = MlpKind::Experts(mixture(parts, prefix, expert_sizes, activation));
        let mlp = Mlp { norm, kind, post_norm: None };
        Block { attention, mlp, residual: Residual::Sequential }
    })
}

fn mixture(parts: &mut Parts, prefix: &str, sizes: ExpertSizes, activation: Activation) -> Experts {
    let size = (sizes.count, parts.sizes.hidden);
    let router = ["block_sparse_moe.gate", "mlp.gate"].map(|name| {
        let name = format!("{prefix}.{name}.weight");
        Stored::whole(name, &[size.0, size.1], "num_local_experts, hidden_size")
    });
    let router = parts.tensors.add_linear_stored(size, router.to_vec(), None);
    let names = ExpertNames {
        single: &format!("{prefix}.block_sparse_moe.experts"),
        linears: ["w1", "w3", "w2"],
        packed: &format!("{prefix}.mlp.experts"),
    };
    let keys = ["intermediate_size, hidden_size", "hidden_size, intermediate_size"];
    let experts = experts::gated(parts, sizes, &names, (activation, keys));
    Experts { router, experts, chosen: sizes.chosen, weighting: Weighting::OverChosen }
}
