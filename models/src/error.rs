//! Everything that can be wrong with a model directory or a request, each with what to do about it.

use std::fmt::Write as _;
use std::path::PathBuf;

/// At most so many items of a list are spelled out in a message; the rest is counted.
const LISTED: usize = 24;

/// A tensor that the graph needs and the checkpoint lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingTensor {
    /// Name under which the architecture stores it.
    pub name: String,
    /// The name in the checkpoint that looks most like it, if any is close.
    pub nearest: Option<String>,
}

/// A tensor whose stored shape is not the one that `config.json` calls for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeMismatch {
    /// Name in the checkpoint.
    pub name: String,
    /// Shape in the checkpoint, outermost dimension first.
    pub found: Vec<usize>,
    /// Shape that follows from the configuration.
    pub wanted: Vec<usize>,
    /// The configuration keys that `wanted` comes from, in the order of its dimensions.
    pub keys: &'static str,
}

/// Why a model directory, a tokenizer or a request was refused. Each message names the file, the key or tensor, the value
/// found, and the cure.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The path given as MODEL is not a directory.
    #[error("{}: not a directory; give the folder that holds config.json and model.safetensors", dir.display())]
    NotADirectory {
        /// The path as given.
        dir: PathBuf,
    },
    /// A file that is needed is not there.
    #[error("{} not found: {cure}", file.display())]
    FileMissing {
        /// The file that was looked for.
        file: PathBuf,
        /// What the file is for and where to get it.
        cure: &'static str,
    },
    /// The operating system would not open or read a file.
    #[error("{}: could not open or read it: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The reason that the operating system gives.
        source: std::io::Error,
    },
    /// A text file is far larger than any real one.
    #[error("{} has {bytes} bytes; at most {limit} are read. Is it the right file?", file.display())]
    FileTooLarge {
        /// The file.
        file: PathBuf,
        /// Its size.
        bytes: u64,
        /// The largest size accepted.
        limit: u64,
    },
    /// A file is not JSON, or not the JSON object that belongs there.
    #[error("{} is not valid JSON: {problem}; restore the file from where the model came from", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// What is wrong, with line and column where known.
        problem: String,
    },
    /// A key that has no default is absent (or null).
    #[error("{}: {key} is missing; it must be {want}", file.display())]
    KeyMissing {
        /// The configuration file.
        file: PathBuf,
        /// The key, with the object it belongs to.
        key: String,
        /// What would be accepted.
        want: String,
    },
    /// A key holds a value of the wrong type or outside its range.
    #[error("{}: {key} is {found}; it must be {want}", file.display())]
    KeyValue {
        /// The configuration file.
        file: PathBuf,
        /// The key, with the object it belongs to.
        key: String,
        /// The value as JSON, shortened where long.
        found: String,
        /// What would be accepted.
        want: String,
    },
    /// Two keys contradict each other.
    #[error("{}: {problem}", file.display())]
    KeysDisagree {
        /// The configuration file.
        file: PathBuf,
        /// Both keys, both values, and what would be consistent.
        problem: String,
    },
    /// The architecture is not one of those that can be built.
    #[error("{}: model_type {found} is not supported; supported: {supported}", file.display())]
    UnsupportedArchitecture {
        /// The configuration file.
        file: PathBuf,
        /// The `model_type` found.
        found: String,
        /// The accepted ones, separated by commas.
        supported: String,
    },
    /// A feature of the architecture is not supported.
    #[error("{}: {key} {found} is not supported; supported: {supported}", file.display())]
    UnsupportedValue {
        /// The configuration file.
        file: PathBuf,
        /// The key, with the object it belongs to.
        key: String,
        /// The value found.
        found: String,
        /// The accepted values.
        supported: String,
    },
    /// The checkpoint is quantized.
    #[error(
        "{}: quantization_config ({method}) is not supported; take the checkpoint as F32, F16 or BF16 (save it \
         dequantized, or download the unquantized one)", file.display()
    )]
    Quantized {
        /// The configuration file.
        file: PathBuf,
        /// `quant_method`, where stated.
        method: String,
    },
    /// The directory holds no weights and a run with data was asked for.
    #[error(
        "{}: holds neither model.safetensors nor model.safetensors.index.json, so it is a shape without weights: add \
         the weights, or run it with `--data none`{hint}", dir.display()
    )]
    WeightsMissing {
        /// The model directory.
        dir: PathBuf,
        /// What else was found there that could be converted; empty, or begins with a space.
        hint: String,
    },
    /// The index names something that is not a file name in the model directory.
    #[error(
        "{} names {shard:?}, which is not a plain file name; shards must lie inside the model directory, and nothing \
         outside of it is read", index.display()
    )]
    ShardPath {
        /// The index file.
        index: PathBuf,
        /// The entry.
        shard: String,
    },
    /// The index names a shard that is not there.
    #[error("{} names {shard}, which does not exist in the model directory; download the missing shard", index.display())]
    ShardMissing {
        /// The index file.
        index: PathBuf,
        /// The file name of the shard.
        shard: String,
    },
    /// A weights file breaks the safetensors format.
    #[error("{} is not a valid safetensors file: {problem}; download or convert it again", file.display())]
    Safetensors {
        /// The weights file.
        file: PathBuf,
        /// What is wrong, naming header or tensor.
        problem: String,
    },
    /// A weights file ends before the data that its header promises.
    #[error(
        "{} is truncated: its header promises {promised} bytes of tensor data, past the end of the file, which holds \
         {held}; download it again", file.display()
    )]
    Truncated {
        /// The weights file.
        file: PathBuf,
        /// Bytes of tensor data according to the header.
        promised: u64,
        /// Bytes of tensor data in the file.
        held: u64,
    },
    /// Tensors that the architecture needs are absent; all of them are listed here.
    #[error(
        "{}: {} that the {architecture} architecture needs {} not in the checkpoint: {}; check that config.json belongs \
         to these weights", dir.display(), count(.missing.len(), "tensor"), are(.missing.len()), list_missing(.missing)
    )]
    TensorsMissing {
        /// The model directory.
        dir: PathBuf,
        /// The architecture that needs them.
        architecture: &'static str,
        /// All of them, in the order of the graph.
        missing: Vec<MissingTensor>,
    },
    /// Tensors have another shape than the configuration calls for; all of them are listed here.
    #[error("{}: {}; correct config.json, or take the weights that belong to it", dir.display(), list_shapes(.mismatches))]
    TensorShapes {
        /// The model directory.
        dir: PathBuf,
        /// All of them, in the order of the graph.
        mismatches: Vec<ShapeMismatch>,
    },
    /// A tensor has a number format that is not read.
    #[error(
        "{}: tensor {name} has dtype {found}; weights must be F32, F16 or BF16: convert the checkpoint to one of them",
        file.display()
    )]
    TensorDtype {
        /// The weights file.
        file: PathBuf,
        /// The tensor.
        name: String,
        /// Its dtype as the header spells it.
        found: String,
    },
    /// A weight is NaN or infinite.
    #[error(
        "{}: tensor {name} holds a non-finite value: {value} at {index:?}; the checkpoint is damaged or its training \
         diverged: take another one", file.display()
    )]
    NonFinite {
        /// The weights file.
        file: PathBuf,
        /// The tensor.
        name: String,
        /// Position of the first such value, outermost dimension first.
        index: Vec<usize>,
        /// `NaN`, `inf` or `-inf`.
        value: f32,
    },
    /// `tokenizer.json` cannot be used.
    #[error("{}: the tokenizer cannot be used: {problem}; restore the file, or give token ids instead of text", file.display())]
    Tokenizer {
        /// The tokenizer file.
        file: PathBuf,
        /// What the tokenizer library says.
        problem: String,
    },
    /// Messages were given to a model that has no chat template.
    #[error(
        "{} states no chat_template, and there is no chat_template.jinja beside it: copy the template from where the \
         model came from, or give the prompt as plain text, without --chat", file.display()
    )]
    NoChatTemplate {
        /// The tokenizer's configuration, be it there or not.
        file: PathBuf,
    },
    /// The chat template cannot be used, or refuses the messages.
    #[error("{}: the chat template {problem}", file.display())]
    ChatTemplate {
        /// The file that holds it.
        file: PathBuf,
        /// What is wrong, with the template's line where known.
        problem: String,
    },
    /// The request has no prompt tokens.
    #[error("the prompt is empty: give at least one token")]
    EmptyPrompt,
    /// A prompt token does not exist in the vocabulary.
    #[error("prompt token {id} (at place {place}, counted from 0) is outside the vocabulary of {vocab}: ids run from 0 to {}", vocab - 1)]
    PromptToken {
        /// The token id.
        id: u32,
        /// Its index in the prompt.
        place: usize,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// Prompt and answer together do not fit the context.
    #[error(
        "a prompt of {prompt} plus {new} new tokens does not fit the context of {context} (max_position_embeddings \
         or n_positions in config.json): shorten the prompt or ask for fewer new tokens"
    )]
    TooLong {
        /// Prompt tokens.
        prompt: usize,
        /// New tokens asked for.
        new: usize,
        /// The model's context in tokens.
        context: usize,
    },
}

/// `name` fit for a message: control characters escaped, cut after 120 characters.
pub(crate) fn shown(name: &str) -> String {
    let mut text: String = name.chars().take(120).flat_map(char::escape_debug).collect();
    if name.chars().nth(120).is_some() {
        text.push('…');
    }
    text
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("a {what}") } else { format!("{n} {what}s") }
}

fn are(n: usize) -> &'static str {
    if n == 1 { "is" } else { "are" }
}

fn list_missing(missing: &[MissingTensor]) -> String {
    list(missing, |tensor, text| {
        text.push_str(&tensor.name);
        if let Some(nearest) = &tensor.nearest {
            let _ = write!(text, " (nearest name there: {})", shown(nearest));
        }
    })
}

fn list_shapes(mismatches: &[ShapeMismatch]) -> String {
    list(mismatches, |tensor, text| {
        let ShapeMismatch { name, found, wanted, keys } = tensor;
        let _ = write!(
            text,
            "tensor {name} has shape {found:?}, config.json calls for {wanted:?} ({keys})"
        );
    })
}

fn list<T>(items: &[T], write_item: impl Fn(&T, &mut String)) -> String {
    let mut text = String::new();
    for (place, item) in items.iter().take(LISTED).enumerate() {
        if place > 0 {
            text.push_str("; ");
        }
        write_item(item, &mut text);
    }
    if items.len() > LISTED {
        let _ = write!(text, "; and {} more", items.len() - LISTED);
    }
    text
}
