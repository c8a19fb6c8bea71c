//! What is to be computed: a Hugging Face directory read into data, with no hardware in sight.
//!
//! The way through the crate: [`ModelDir::open`] reads `config.json` and hands it to the one file under `families` that
//! knows the architecture. That file writes a [`DecoderGraph`], plain data that names every tensor it needs; [`Weights`]
//! maps the safetensors files and proves, before anything is computed, that each of those tensors is there with the
//! right shape, an accepted number format and finite values. [`Tokenizer`] turns text into ids and back, [`ChatTemplate`]
//! messages into such text; [`AnswerText`] tells where an answer's text ends, [`Sampler`] draws tokens from logits;
//! [`Reference`] is the forward pass on the host that simulated results are compared with.
//!
//! **Architecture Invariant:** nothing here knows a PE, a wavelet or a cycle, and nothing here depends on another crate
//! of the workspace. **Architecture Invariant:** family names appear only under `families`; everything else works on the
//! graph. **Architecture Invariant:** files are hostile until checked: no size that a file declares is allocated before
//! the file has been shown to hold it, and no input makes this crate panic.

mod chat;
mod config;
mod elements;
mod error;
mod families;
mod files;
#[cfg(feature = "testing")]
pub mod fuzz;
mod generation;
mod graph;
mod header;
mod matching;
mod model_dir;
mod reference;
mod request;
mod rope;
mod sampling;
mod shards;
mod stop;
mod tensors;
mod tokenizer;
mod weights;

pub use chat::{ChatTemplate, Date};
pub use error::{MissingTensor, ModelError, ShapeMismatch};
pub use families::SUPPORTED_MODEL_TYPES;
pub use generation::Generation;
pub use graph::{
    Activation, Attention, Block, DecoderGraph, Embedding, Experts, FeedForward, Gate, Mlp,
    MlpKind, Norm, NormKind, Residual, RopeRef, WeightFormat, Weighting,
};
pub use model_dir::ModelDir;
pub use reference::{Reference, WeightRounding, argmax};
pub use rope::Rope;
pub use sampling::{Sampler, Sampling};
pub use stop::{AnswerText, StopStrings};
pub use tensors::{LinearRef, Stored, TensorRef, TensorSpec, View};
pub use tokenizer::{StreamDecoder, Tokenizer};
pub use weights::Weights;
