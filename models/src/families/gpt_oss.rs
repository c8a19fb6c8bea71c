//! gpt-oss: experts with biases and a limited SwiGLU, one sink for each head, every other layer sliding, YaRN.

use crate::config::Config;
use crate::error::ModelError;
use crate::families::experts::ExpertSizes;
use crate::families::limits;
use crate::families::parts::{self, Frame, NormStyle, Parts};
use crate::families::sizes::{Defaults, Sizes};
use crate::graph::{
    Activation, Block, DecoderGraph, Experts, FeedForward, Gate, Mlp, MlpKind, Residual, Weighting,
};
use crate::rope::{self, Scaling, Spelling, Yarn};
use crate::tensors::{LinearRef, Stored, View};

/// Defaults: Transformers' `GptOssConfig`.
pub(super) fn build(config: &Config<'_>) -> Result<DecoderGraph, ModelError> {
    let defaults = Defaults { context: 131_072, kv_heads: Some(8), head_dim: Some(64) };
    let sizes = Sizes::grouped(config, &defaults)?;
    let names = ["num_local_experts", "num_experts"];
    let expert_sizes = ExpertSizes::read(config, names, 4, "intermediate_size")?;
    let has_bias = config.flag("attention_bias", true)?;
    let window = config.nullable_size("sliding_window", limits::CONTEXT, Some(128))?;
    let windows = parts::windows(config, sizes.layers, window, |layer| layer % 2 == 0)?;
    let alpha = config.positive("swiglu_alpha")?.unwrap_or(1.702) as f32;
    let limit = config.positive("swiglu_limit")?.unwrap_or(7.0) as f32;
    let rope = rope::read(config, sizes.head_dim, &spelling())?;
    let parts = Parts::new(sizes, NormStyle::rms(config, 1e-5)?);
    parts.decoder(config, Frame::new("gpt_oss", None, rope), |parts, layer, prefix| {
        let norm = parts.norm(&format!("{prefix}.input_layernorm"));
        let attention = format!("{prefix}.self_attn");
        let linears = parts.projections(&attention, "o_proj", (has_bias, has_bias));
        let sinks = format!("{attention}.sinks");
        let sinks = parts.tensors.add(sinks, &[sizes.heads], "num_attention_heads");
        let mut attention = parts.attention(norm, linears);
        attention.window = windows[layer];
        attention.sinks = Some(sinks);
        let norm = parts.norm(&format!("{prefix}.post_attention_layernorm"));
        let size = (expert_sizes.count, sizes.hidden);
        let keys = "num_local_experts, hidden_size";
        let router = parts.tensors.add_linear(&format!("{prefix}.mlp.router"), size, true, keys);
        let experts =
            experts(parts, &format!("{prefix}.mlp.experts"), expert_sizes, (alpha, limit));
        let chosen = expert_sizes.chosen;
        let weighting = Weighting::OverChosen;
        let kind = MlpKind::Experts(Experts { router, experts, chosen, weighting });
        let mlp = Mlp { norm, kind, post_norm: None };
        Block { attention, mlp, residual: Residual::Sequential }
    })
}

/// YaRN is what an absent scaling means here.
fn spelling() -> Spelling {
    let factor = 32.0;
    let scaling = Scaling::Yarn(Yarn {
        factor,
        attention_factor: Yarn::sharpening(factor, 1.0),
        beta_fast: 32.0,
        beta_slow: 1.0,
        original_context: 4_096.0,
        truncate: false,
    });
    Spelling { theta: ("rope_theta", 150_000.0), share: None, scaling }
}

/// All experts of a layer lie in one tensor each for gate and up (`[experts, hidden, 2 · intermediate]`, the two taking
/// turns in the last dimension), for down (`[experts, intermediate, hidden]`), and for their biases.
fn experts(
    parts: &mut Parts,
    prefix: &str,
    sizes: ExpertSizes,
    (alpha, limit): (f32, f32),
) -> Vec<FeedForward> {
    let ExpertSizes { count, intermediate, .. } = sizes;
    let hidden = parts.sizes.hidden;
    let mut linear = |name: &str, (out, input): (usize, usize), keys: [_; 2], place| {
        let (expert, part, among): (usize, usize, usize) = place;
        let wide = among * out;
        let weight = Stored {
            name: format!("{prefix}.{name}"),
            shape: vec![count, input, wide],
            keys: keys[0],
            view: View::transposed(expert * input * wide + part, out, among, wide),
        };
        let bias = Stored {
            name: format!("{prefix}.{name}_bias"),
            shape: vec![count, wide],
            keys: keys[1],
            view: View::transposed(expert * wide + part, out, among, 1),
        };
        parts.tensors.add_linear_stored((out, input), vec![weight], Some(vec![bias]))
    };
    let inward = [
        "num_local_experts, hidden_size, 2 × intermediate_size",
        "num_local_experts, 2 × intermediate_size",
    ];
    let outward =
        ["num_local_experts, intermediate_size, hidden_size", "num_local_experts, hidden_size"];
    let mut expert = |expert: usize| -> FeedForward {
        let size = (intermediate, hidden);
        let gate: LinearRef = linear("gate_up_proj", size, inward, (expert, 0, 2));
        let up = linear("gate_up_proj", size, inward, (expert, 1, 2));
        let down = linear("down_proj", (hidden, intermediate), outward, (expert, 0, 1));
        let gate = Some(Gate { linear: gate, limit: Some(limit), up_offset: 1.0 });
        FeedForward { gate, up, down, activation: Activation::Silu { alpha } }
    };
    (0..count).map(&mut expert).collect()
}
