//! A Hugging Face model directory, opened and checked.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::chat::ChatTemplate;
use crate::config::Config;
use crate::error::ModelError;
use crate::families;
use crate::files::{CONFIG_LIMIT, exists, parse_object, read_bounded};
use crate::generation::{self, Generation};
use crate::graph::DecoderGraph;
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;

/// A model directory: its graph and, where it holds any, its weights.
pub struct ModelDir {
    dir: PathBuf,
    config: Vec<u8>,
    graph: DecoderGraph,
    stop_strings: Vec<String>,
    weights: Option<Weights>,
    digest: OnceLock<String>,
}

impl ModelDir {
    /// Opens `dir` with its weights, all of which are checked (see [`Weights`]). A directory without weights is a shape:
    /// it opens, and [`require_weights`](Self::require_weights) refuses it.
    ///
    /// # Errors
    /// Whatever is wrong with `config.json`, the weights files, or the ends of answers in `generation_config.json`. The tokenizer is
    /// not looked at.
    pub fn open(dir: impl AsRef<Path>) -> Result<ModelDir, ModelError> {
        let mut model = ModelDir::open_shape(dir)?;
        model.weights = Weights::open(&model.dir, &model.graph)?;
        Ok(model)
    }

    /// Opens `dir` as a shape: weights are not looked at even where there are some.
    ///
    /// # Errors
    /// Whatever is wrong with `config.json`, or with the ends of answers in `generation_config.json`.
    pub fn open_shape(dir: impl AsRef<Path>) -> Result<ModelDir, ModelError> {
        let dir = dir.as_ref().to_path_buf();
        if !dir.is_dir() {
            return Err(ModelError::NotADirectory { dir });
        }
        let file = dir.join("config.json");
        let Some(bytes) = read_bounded(&file, CONFIG_LIMIT)? else {
            return Err(ModelError::FileMissing {
                file,
                cure: "every model directory holds one; copy it from where the model came from",
            });
        };
        let keys = parse_object(&file, &bytes)?;
        let config = Config::new(&file, &keys);
        let mut graph = families::build(&config)?;
        let ends = generation::ends(&dir, &config)?;
        if let Some(ids) = ends.eos_ids {
            graph.eos_ids = ids;
        }
        Ok(ModelDir {
            dir,
            config: bytes,
            graph,
            stop_strings: ends.stop_strings,
            weights: None,
            digest: OnceLock::new(),
        })
    }

    /// The directory as given to `open`.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// What is to be computed.
    pub fn graph(&self) -> &DecoderGraph {
        &self.graph
    }

    /// The weights; none for a shape.
    pub fn weights(&self) -> Option<&Weights> {
        self.weights.as_ref()
    }

    /// The weights, for a run that needs them.
    ///
    /// # Errors
    /// [`ModelError::WeightsMissing`] for a shape.
    pub fn require_weights(&self) -> Result<&Weights, ModelError> {
        let hint =
            || match ["pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth"]
                .into_iter()
                .find(|name| exists(&self.dir.join(name)))
            {
                Some(other) => {
                    format!(" ({other} is there, but only safetensors are read: convert it)")
                }
                None => String::new(),
            };
        self.weights
            .as_ref()
            .ok_or_else(|| ModelError::WeightsMissing { dir: self.dir.clone(), hint: hint() })
    }

    /// Reads `tokenizer.json`; only text prompts and text answers need it.
    ///
    /// # Errors
    /// The file is missing or cannot be used.
    pub fn tokenizer(&self) -> Result<Tokenizer, ModelError> {
        Tokenizer::open(&self.dir)
    }

    /// Reads the chat template; only prompts that are messages need it.
    ///
    /// # Errors
    /// There is none, or a file that holds it cannot be read or parsed.
    pub fn chat_template(&self) -> Result<ChatTemplate, ModelError> {
        ChatTemplate::open(&self.dir)
    }

    /// Texts by which the model's authors end an answer; none is empty.
    pub fn stop_strings(&self) -> &[String] {
        &self.stop_strings
    }

    /// Reads how the model's authors draw tokens; only runs that draw some need it.
    ///
    /// # Errors
    /// `generation_config.json` cannot be read, or one of these keys holds what it cannot.
    pub fn generation(&self) -> Result<Generation, ModelError> {
        generation::settings(&self.dir)
    }

    /// What a user may want to know although it is no error.
    pub fn notes(&self) -> &[String] {
        self.weights.as_ref().map_or(&[], Weights::notes)
    }

    /// Digest of what determines the logits and the end of an answer, as 64 hexadecimal digits: the bytes of
    /// `config.json`, the end-of-sequence ids and, unless this is a shape, name, format and stored bytes of every tensor
    /// that the graph uses. How the tensors are spread over files, extra tensors and the tokenizer do not enter. Computed
    /// on first use, in one pass over the weights.
    pub fn digest(&self) -> &str {
        self.digest.get_or_init(|| {
            let mut hasher = blake3::Hasher::new();
            let mut part = |bytes: &[u8]| {
                hasher.update(&(bytes.len() as u64).to_le_bytes());
                hasher.update(bytes);
            };
            part(&self.config);
            part(&self.graph.eos_ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>());
            if let Some(weights) = &self.weights {
                for (name, format, bytes) in weights.stored() {
                    part(name.as_bytes());
                    part(format!("{format:?}").as_bytes());
                    part(bytes);
                }
            }
            hasher.finalize().to_hex().to_string()
        })
    }
}
