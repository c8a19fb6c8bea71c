//! One file per architecture: each reads its configuration keys and writes the family-neutral graph.
//!
//! A file states what its family computes, under which names, and which values absent keys have; `sizes`, `parts` and
//! `experts` hold what several of them share. Absent keys take the defaults of Transformers' configuration classes, except for
//! sizes that shape tensors, which must be stated: there the default is the size of some other model.

mod experts;
mod gemma2;
mod gpt2;
mod gpt_neox;
mod gpt_oss;
mod llama;
mod mistral;
mod mixtral;
mod parts;
mod phi;
mod qwen2;
mod qwen3;
mod qwen3_moe;
mod sizes;

use crate::config::Config;
use crate::error::{ModelError, shown};
use crate::graph::DecoderGraph;

/// Writes the graph that a configuration describes.
type Build = fn(&Config<'_>) -> Result<DecoderGraph, ModelError>;

const FAMILIES: &[(&str, Build)] = &[
    ("gemma2", gemma2::build),
    ("gpt2", gpt2::build),
    ("gpt_neox", gpt_neox::build),
    ("gpt_oss", gpt_oss::build),
    ("llama", llama::build),
    ("mistral", mistral::build),
    ("mixtral", mixtral::build),
    ("phi", phi::build),
    ("qwen2", qwen2::build),
    ("qwen3", qwen3::build),
    ("qwen3_moe", qwen3_moe::build),
];

/// The values of `model_type` that can be built.
pub const SUPPORTED_MODEL_TYPES: &[&str] = &{
    let mut names = [""; FAMILIES.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = FAMILIES[index].0;
        index += 1;
    }
    names
};

/// Bounds within which every size of a configuration must lie. They are far above any model that exists, and so low
/// that the bytes of a whole model (16,384 layers of at most 2^47 weights, a vocabulary of 2^52) fit 64 bits and no list
/// that is built from them is large.
pub(crate) mod limits {
    use std::ops::RangeInclusive;

    /// Layers: each costs a few hundred bytes of graph.
    pub(crate) const LAYERS: RangeInclusive<usize> = 1..=16_384;
    /// Width of the residual stream and of the MLP.
    pub(crate) const WIDTH: RangeInclusive<usize> = 1..=(1 << 20);
    /// Heads of either kind.
    pub(crate) const HEADS: RangeInclusive<usize> = 1..=(1 << 12);
    /// Elements per head.
    pub(crate) const HEAD_DIM: RangeInclusive<usize> = 1..=(1 << 12);
    /// Experts of a layer.
    pub(crate) const EXPERTS: RangeInclusive<usize> = 1..=(1 << 12);
    /// Experts of all layers: each costs about a kilobyte of graph.
    pub(crate) const ALL_EXPERTS: usize = 1 << 16;
    /// Token ids are 32 bits wide.
    pub(crate) const VOCAB: RangeInclusive<usize> = 1..=(1 << 32);
    /// Positions.
    pub(crate) const CONTEXT: RangeInclusive<usize> = 1..=(1 << 32);
}

/// Chooses the family by `model_type` and lets it write the graph.
///
/// # Errors
/// A `model_type` that is absent or not supported, a quantized checkpoint, and whatever the family refuses.
pub(crate) fn build(config: &Config<'_>) -> Result<DecoderGraph, ModelError> {
    let file = || config.file().to_path_buf();
    let supported = SUPPORTED_MODEL_TYPES.join(", ");
    let Some(found) = config.text("model_type")? else {
        let want = format!("the name of a supported architecture: {supported}");
        return Err(ModelError::KeyMissing { file: file(), key: "model_type".to_owned(), want });
    };
    let Some((_, build)) = FAMILIES.iter().find(|(name, _)| *name == found) else {
        return Err(ModelError::UnsupportedArchitecture {
            file: file(),
            found: shown(found),
            supported,
        });
    };
    if let Some(quantization) = config.value("quantization_config") {
        let method = quantization
            .get("quant_method")
            .and_then(|method| method.as_str())
            .unwrap_or("no quant_method");
        return Err(ModelError::Quantized { file: file(), method: shown(method) });
    }
    build(config)
}
