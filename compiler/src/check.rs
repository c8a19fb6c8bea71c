//! Pass 1, check: what the graph may contain, and the sizes that all other passes work with.

use crate::cache::LayerKind;
use crate::emit::{POSITION_BITS, SLOT_BITS};
use crate::error::CompileError;
use crate::estimate::Estimate;
use crate::options::{Numerics, Options};
use crate::tiling::LayerDims;
use fabric::Machine;
use models::{
    Activation, Attention, Block, DecoderGraph, FeedForward, LinearRef, Mlp, Norm, NormKind,
    Residual,
};
use pe_isa::DType;

/// Collects everything that cannot be lowered.
///
/// # Errors
/// One diagnostic each.
pub(crate) fn check<'a>(
    graph: &DecoderGraph,
    machine: &'a Machine,
    options: &Options,
) -> Result<Estimate<'a>, CompileError> {
    let mut found = Vec::new();
    numerics(&options.numerics, &mut found);
    if graph.blocks.is_empty() {
        found.push("the model has no layers".to_string());
        return Err(CompileError { diagnostics: found });
    }
    for (at, block) in graph.blocks.iter().enumerate() {
        attention(graph, at, block, &mut found);
    }
    found.extend(not_lowered(graph));
    let positions = options.contexts.iter().copied().max().unwrap_or(1).max(1);
    if positions >= 1 << POSITION_BITS {
        found.push(format!("{positions} positions are beyond the limit of {}", 1 << POSITION_BITS));
    }
    let slots = options.contexts.len().max(1);
    if slots > 1 << SLOT_BITS {
        found
            .push(format!("{slots} requests at a time are beyond the limit of {}", 1 << SLOT_BITS));
    }
    if !found.is_empty() {
        return Err(CompileError { diagnostics: found });
    }
    let shape = |block| (block_dims(graph, block), biases(block));
    let (dims, biases) = shape(&graph.blocks[0]);
    if graph.blocks.iter().any(|block| shape(block) != (dims, biases)) {
        let what = "layers of different sizes, or of which some have a bias, are not supported yet";
        return Err(CompileError { diagnostics: vec![what.to_string()] });
    }
    Ok(Estimate {
        machine,
        numerics: options.numerics,
        dims,
        kinds: graph.blocks.iter().map(kind).collect(),
        vocab: graph.vocab as u32,
        slots: slots as u32,
        positions,
        biases,
        head_bias: graph.head.bias.is_some(),
    })
}

fn numerics(numerics: &Numerics, found: &mut Vec<String>) {
    for (key, format) in [("weights", numerics.weights), ("activations", numerics.activations)] {
        if !format.is_float() {
            found.push(format!("numerics.{key} = {}: choose f16, bf16 or f32", format.name()));
        }
    }
    if !matches!(numerics.accumulate, DType::F32 | DType::F16) {
        let name = numerics.accumulate.name();
        found.push(format!("numerics.accumulate = {name}: choose f32 or f16"));
    }
}

fn attention(graph: &DecoderGraph, at: usize, block: &Block, found: &mut Vec<String>) {
    let a = &block.attention;
    if let Some(rope) = a.rope
        && graph.rope(rope).rotary_dims != a.head_dim
    {
        found.push(format!("layer {at}: partial rotary embeddings are not supported yet"));
    }
    let biases = [a.query.bias, a.key.bias, a.value.bias].map(|b| b.is_some());
    if biases != [biases[0]; 3] {
        found.push(format!("layer {at}: queries, keys and values have a bias all or none"));
    }
}

/// Operations of the graph that no pass lowers, each with the first layer that has it.
fn not_lowered(graph: &DecoderGraph) -> Vec<String> {
    let mut found = Vec::new();
    let mut missing = |is_there: bool, what: &str| {
        if is_there {
            found.push(format!("{what} are not supported yet"));
        }
    };
    missing(graph.embedding.positions.is_some(), "learned position embeddings");
    missing(graph.logit_soft_cap.is_some(), "soft caps on logits");
    missing(!is_plain(&graph.final_norm), "final norms other than plain RMS norms");
    type Test = fn(&Block) -> bool;
    let tests: [(&str, Test); 8] = [
        ("parallel residuals", |b| b.residual != Residual::Sequential),
        ("norms other than plain RMS norms", |b| {
            !is_plain(&b.attention.norm) || !is_plain(&b.mlp.norm)
        }),
        ("norms behind a half", |b| b.attention.post_norm.is_some() || b.mlp.post_norm.is_some()),
        ("norms of queries or keys", |b| has_head_norms(&b.attention)),
        ("soft caps on scores", |b| b.attention.score_soft_cap.is_some()),
        ("mixtures of experts", |b| b.mlp.dense().is_none()),
        ("MLPs without a gate", |b| b.mlp.dense().is_some_and(|dense| dense.gate.is_none())),
        ("gates other than a plain SiLU", |b| {
            b.mlp.dense().is_some_and(|dense| dense.gate.is_some() && !is_plain_silu(dense))
        }),
    ];
    for (what, has) in tests {
        if let Some(layer) = graph.blocks.iter().position(has) {
            found.push(format!("layer {layer}: {what} are not supported yet"));
        }
    }
    found
}

fn is_plain(norm: &Norm) -> bool {
    norm.kind == NormKind::Rms && norm.weight_offset == 0.0 && norm.bias.is_none()
}

fn has_head_norms(attention: &Attention) -> bool {
    attention.query_norm.is_some() || attention.key_norm.is_some()
}

fn is_plain_silu(dense: &FeedForward) -> bool {
    dense.activation == Activation::Silu { alpha: 1.0 }
        && dense.gate.is_some_and(|gate| gate.limit.is_none() && gate.up_offset == 0.0)
}

/// The linear layers of the only MLP that is lowered: `down(silu(gate(x)) · up(x))`.
pub(crate) struct Gated {
    pub(crate) gate: LinearRef,
    pub(crate) up: LinearRef,
    pub(crate) down: LinearRef,
}

/// The linear layers of an MLP that the check has let through.
pub(crate) fn gated(mlp: &Mlp) -> Gated {
    let dense = mlp.dense().expect("the check refuses experts");
    let gate = dense.gate.expect("the check refuses MLPs without a gate").linear;
    Gated { gate, up: dense.up, down: dense.down }
}

/// What tells a layer from the others.
fn kind(block: &Block) -> LayerKind {
    let a = &block.attention;
    LayerKind {
        window: a.window.map(|window| u32::try_from(window).unwrap_or(u32::MAX)),
        rope: a.rope,
        has_sinks: a.sinks.is_some(),
    }
}

/// Which projections have a bias: query-key-value, output, gate-up, down.
fn biases(block: &Block) -> [bool; 4] {
    let Gated { gate, down, .. } = gated(&block.mlp);
    let linears = [block.attention.query, block.attention.output, gate, down];
    linears.map(|linear| linear.bias.is_some())
}

fn block_dims(graph: &DecoderGraph, block: &Block) -> LayerDims {
    let a = &block.attention;
    let Gated { gate, .. } = gated(&block.mlp);
    LayerDims {
        hidden: graph.hidden as u32,
        heads: a.heads as u32,
        kv_heads: a.kv_heads as u32,
        head_dim: a.head_dim as u32,
        intermediate: gate.out_features as u32,
        rotary: a.rope.is_some(),
    }
}
