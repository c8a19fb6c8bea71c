//! Pass 1, check: what the graph may contain, and the sizes that all other passes work with.

use crate::emit::{POSITION_BITS, SLOT_BITS};
use crate::error::CompileError;
use crate::estimate::Estimate;
use crate::options::{Numerics, Options};
use crate::tiling::LayerDims;
use fabric::Machine;
use models::{Block, DecoderGraph, MlpKind};
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
    if graph.embedding.positions.is_some() {
        found.push("learned position embeddings are not supported yet".to_string());
    }
    for (at, block) in graph.blocks.iter().enumerate() {
        attention(graph, at, block, &mut found);
    }
    let dims = block_dims(graph, &graph.blocks[0]);
    if graph.blocks.iter().any(|b| block_dims(graph, b) != dims) {
        found.push("layers of different sizes are not supported yet".to_string());
    }
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
    let block = &graph.blocks[0];
    let MlpKind::Gated { gate, down, .. } = &block.mlp.kind;
    Ok(Estimate {
        machine,
        numerics: options.numerics,
        dims,
        layers: graph.blocks.len(),
        vocab: graph.vocab as u32,
        slots: slots as u32,
        positions,
        biases: [
            block.attention.query.bias.is_some(),
            block.attention.output.bias.is_some(),
            gate.bias.is_some(),
            down.bias.is_some(),
        ],
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
    if a.window.is_some() {
        found.push(format!("layer {at}: sliding windows are not supported yet"));
    }
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

fn block_dims(graph: &DecoderGraph, block: &Block) -> LayerDims {
    let a = &block.attention;
    let MlpKind::Gated { gate, .. } = &block.mlp.kind;
    LayerDims {
        hidden: graph.hidden as u32,
        heads: a.heads as u32,
        kv_heads: a.kv_heads as u32,
        head_dim: a.head_dim as u32,
        intermediate: gate.out_features as u32,
        rotary: a.rope.is_some(),
    }
}
