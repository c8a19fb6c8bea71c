//! What the user chooses and what the mapping search may choose.

use pe_isa::DType;
use serde::{Deserialize, Serialize};

/// Number formats. Chosen by the user, never by the mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numerics {
    /// Weights of linear layers and the embedding in SRAM: `f16`, `bf16` or `f32`.
    pub weights: DType,
    /// Inputs of linear layers, the KV cache and broadcast results: `f16`, `bf16` or `f32`.
    pub activations: DType,
    /// Partial sums, on the PE and on the wire: `f32` or `f16`.
    pub accumulate: DType,
}

impl Default for Numerics {
    fn default() -> Numerics {
        Numerics { weights: DType::F16, activations: DType::F16, accumulate: DType::F32 }
    }
}

/// What a layout is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// Time × PEs used to the power of 2/3: twice the PEs must make a model 1.59 times as fast.
    #[default]
    Balanced,
    /// Time alone, at whatever number of PEs.
    Latency,
}

/// How the model is laid out. Zero means that the compiler chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Layers that share one rectangle of tiles.
    pub layers_per_stage: u32,
    /// Columns of a rectangle.
    pub stage_width: u32,
    /// Rows of a rectangle.
    pub stage_height: u32,
    /// What the compiler's choice is judged by: `balanced` or `latency`.
    pub goal: Goal,
    /// Consecutive prompt tokens that go through the stages together, at most. Zero: as many as bring the first token earliest, by
    /// predicted time.
    pub prefill_chunk: u32,
}

impl Default for Mapping {
    fn default() -> Mapping {
        let goal = Goal::default();
        let [layers_per_stage, stage_width, stage_height] = [0; 3];
        Mapping { layers_per_stage, stage_width, stage_height, goal, prefill_chunk: 1 }
    }
}

/// Everything besides model and machine that the image depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Number formats.
    pub numerics: Numerics,
    /// Layout.
    pub mapping: Mapping,
    /// For each request, the positions that its KV cache must hold.
    pub contexts: Vec<u32>,
    /// Tokens of the longest prompt, by which the number of prompt tokens of an item is chosen; 0 if that is not known.
    pub longest_prompt: u32,
    /// Whether all logits of a new token go to the host, which sends a token back; else the wafer takes the most likely one.
    pub logits_to_host: bool,
}
