//! Pass 1, check: what the graph may contain, and the sizes that all other passes work with.

use crate::cache::LayerKind;
use crate::emit::activation;
use crate::emit::chunk::{Chunk, MOST_OF_CHUNK};
use crate::emit::{POSITION_BITS, POSITION_MASK, SLOT_BITS};
use crate::error::CompileError;
use crate::estimate::Estimate;
use crate::extras::{Extras, is_biased};
use crate::options::{Numerics, Options};
use crate::tiling::{LayerDims, MlpDims};
use fabric::Machine;
use models::{Block, DecoderGraph, FeedForward, LinearRef, Mlp, MlpKind, Norm, NormKind, Residual};
use pe_isa::DType;
use std::collections::BTreeSet;

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
    found.extend(not_lowered(graph));
    let positions = options.contexts.iter().copied().max().unwrap_or(1).max(1);
    if positions >= 1 << POSITION_BITS {
        found.push(format!("{positions} positions are beyond the limit of {}", POSITION_MASK));
    }
    let rows = graph.embedding.positions.map(|table| graph.tensor(table).shape[0]);
    if let Some(rows) = rows.filter(|rows| positions as usize > *rows) {
        found.push(format!(
            "{positions} positions are beyond the model's table of learned positions, which has {rows}"
        ));
    }
    if options.mapping.prefill_chunk > MOST_OF_CHUNK {
        let chunk = options.mapping.prefill_chunk;
        found.push(format!(
            "mapping.prefill_chunk = {chunk} is beyond the limit of {MOST_OF_CHUNK}"
        ));
    }
    let slots = options.contexts.len().max(1);
    if slots > 1 << SLOT_BITS {
        found
            .push(format!("{slots} requests at a time are beyond the limit of {}", 1 << SLOT_BITS));
    }
    if !found.is_empty() {
        return Err(CompileError { diagnostics: found });
    }
    let dims = block_dims(graph, &graph.blocks[0]);
    if graph.blocks.iter().any(|block| block_dims(graph, block) != dims) {
        let what = "layers whose attention differs in sizes are not supported yet";
        return Err(CompileError { diagnostics: vec![what.to_string()] });
    }
    let layers = graph.blocks.iter().flat_map(|block| block.mlp.feed_forwards());
    let activations = layers.map(|layers| layers.activation);
    let kinds: Vec<LayerKind> = graph.blocks.iter().map(kind).collect();
    let mlps: BTreeSet<MlpDims> = kinds.iter().map(|kind| kind.mlp).collect();
    Ok(Estimate {
        machine,
        numerics: options.numerics,
        dims,
        kinds,
        mlps: mlps.into_iter().collect(),
        vocab: graph.vocab as u32,
        slots: slots as u32,
        positions,
        chunk: Chunk { most: options.mapping.prefill_chunk.clamp(1, positions) },
        prompt: if options.longest_prompt == 0 { positions } else { options.longest_prompt },
        extras: Extras::of(&graph.blocks),
        activation_cycles: activations.map(activation::cycles).max().unwrap_or(0),
        learned_positions: graph.embedding.positions.map(|_| positions),
        logit_cap: graph.logit_soft_cap.is_some(),
        head_bias: is_biased(&graph.final_norm, &[graph.head]),
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

/// Operations of the graph that no pass lowers, each with the first layer that has it.
fn not_lowered(graph: &DecoderGraph) -> Vec<String> {
    let mut found = Vec::new();
    let mut missing = |is_there: bool, what: &str| {
        if is_there {
            found.push(format!("{what} are not supported yet"));
        }
    };
    let inner = |b: &Block| [b.attention.norm.kind, b.mlp.norm.kind];
    let kinds: Vec<NormKind> = graph.blocks.iter().flat_map(inner).collect();
    let is_mixed = kinds.iter().any(|kind| *kind != graph.final_norm.kind);
    missing(is_mixed, "layer norms and RMS norms of one residual stream");
    type Test = fn(&Block) -> bool;
    let tests: [(&str, Test); 6] = [
        ("layer norms together with norms behind a half", |b| {
            let norms =
                [Some(&b.attention.norm), b.attention.post_norm.as_ref(), b.mlp.post_norm.as_ref()];
            has_post_norm(b) && norms.into_iter().flatten().any(|norm| norm.kind == NormKind::Layer)
        }),
        ("norms with a bias behind a half", |b| {
            let norms = [&b.attention.post_norm, &b.mlp.post_norm];
            norms.into_iter().flatten().any(|norm| norm.bias.is_some())
        }),
        ("parallel residuals with norms behind a half", |b| {
            has_post_norm(b) && b.residual == Residual::Parallel
        }),
        ("norms of queries unlike those of keys", |b| {
            let shape =
                |norm: &Option<Norm>| norm.as_ref().map(|n| (n.kind, n.bias.is_some(), n.epsilon));
            shape(&b.attention.query_norm) != shape(&b.attention.key_norm)
        }),
        ("experts that differ in sizes, gate, activation or biases", |b| {
            b.mlp.feed_forwards().windows(2).any(|pair| !are_alike(&pair[0], &pair[1]))
        }),
        ("mixtures that choose no expert, or more than there are", |b| match &b.mlp.kind {
            MlpKind::Dense(_) => false,
            MlpKind::Experts(e) => e.chosen == 0 || e.chosen > e.experts.len(),
        }),
    ];
    for (what, has) in tests {
        if let Some(layer) = graph.blocks.iter().position(has) {
            found.push(format!("layer {layer}: {what} are not supported yet"));
        }
    }
    found
}

fn has_post_norm(block: &Block) -> bool {
    block.attention.post_norm.is_some() || block.mlp.post_norm.is_some()
}

/// Whether two experts can be computed by one program.
fn are_alike(one: &FeedForward, other: &FeedForward) -> bool {
    let linear = |l: LinearRef| (l.in_features, l.out_features, l.bias.is_some());
    let gate = |layers: &FeedForward| {
        layers.gate.map(|gate| (linear(gate.linear), gate.limit, gate.up_offset))
    };
    let all = |layers: &FeedForward| {
        (gate(layers), linear(layers.up), linear(layers.down), layers.activation)
    };
    all(one) == all(other)
}

/// What tells a layer from the others.
fn kind(block: &Block) -> LayerKind {
    let a = &block.attention;
    LayerKind {
        window: a.window.map(|window| u32::try_from(window).unwrap_or(u32::MAX)),
        rope: a.rope,
        has_sinks: a.sinks.is_some(),
        mlp: mlp_dims(&block.mlp),
    }
}

fn mlp_dims(mlp: &Mlp) -> MlpDims {
    let routed = match &mlp.kind {
        MlpKind::Dense(_) => None,
        MlpKind::Experts(e) => Some((e.experts.len() as u32, e.chosen as u32)),
    };
    let layers = &mlp.feed_forwards()[0];
    let intermediate = layers.up.out_features as u32;
    MlpDims { routed, intermediate, gated: layers.gate.is_some() }
}

fn block_dims(graph: &DecoderGraph, block: &Block) -> LayerDims {
    let a = &block.attention;
    LayerDims {
        hidden: graph.hidden as u32,
        heads: a.heads as u32,
        kv_heads: a.kv_heads as u32,
        head_dim: a.head_dim as u32,
        rotary_dims: a.rope.map_or(0, |rope| graph.rope(rope).rotary_dims as u32),
    }
}
