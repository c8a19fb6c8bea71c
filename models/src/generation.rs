//! What `generation_config.json` says about answers: where they end, and how tokens are drawn.

use std::path::Path;

use crate::config::Config;
use crate::error::ModelError;
use crate::files::{CONFIG_LIMIT, parse_object, read_bounded};

/// Where answers end.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Ends {
    /// Texts that end an answer; none is empty.
    pub(crate) stop_strings: Vec<String>,
    /// End-of-sequence ids, ascending: those that the file states, or none where neither it nor `config.json` does, as in
    /// Transformers; nothing where there is no such file or `config.json` decides.
    pub(crate) eos_ids: Option<Vec<u32>>,
}

/// How the model's authors have tokens drawn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Generation {
    /// Whether they draw tokens at all.
    pub do_sample: bool,
    /// What logits are divided by; 0 for the most likely token.
    pub temperature: Option<f64>,
    /// Draw from so many tokens; 0 for all.
    pub top_k: Option<usize>,
    /// Draw from the most likely tokens that have this probability together.
    pub top_p: Option<f64>,
    /// Draw from tokens with at least this share of the most likely one's probability.
    pub min_p: Option<f64>,
    /// What the logits of tokens that were there before are divided by.
    pub repetition_penalty: Option<f64>,
}

/// Reads where answers end; what the file says of drawing is not looked at.
///
/// # Errors
/// The file cannot be read, or a key holds what it cannot.
pub(crate) fn ends(dir: &Path, config: &Config<'_>) -> Result<Ends, ModelError> {
    read(dir, |stated| {
        let decides = stated.states_eos_ids() || !config.states_eos_ids();
        let eos_ids = decides.then(|| stated.eos_ids(None)).transpose()?;
        Ok(Ends { stop_strings: stated.text_or_texts("stop_strings")?, eos_ids })
    })
}

/// Reads how tokens are drawn.
///
/// # Errors
/// The file cannot be read, or a key holds what it cannot.
pub(crate) fn settings(dir: &Path) -> Result<Generation, ModelError> {
    read(dir, drawing)
}

/// What `take` finds in `dir/generation_config.json`; the default where there is no such file.
fn read<T: Default>(
    dir: &Path,
    take: impl FnOnce(&Config<'_>) -> Result<T, ModelError>,
) -> Result<T, ModelError> {
    let file = dir.join("generation_config.json");
    let Some(bytes) = read_bounded(&file, CONFIG_LIMIT)? else {
        return Ok(T::default());
    };
    let keys = parse_object(&file, &bytes)?;
    take(&Config::new(&file, &keys))
}

fn drawing(stated: &Config<'_>) -> Result<Generation, ModelError> {
    let share =
        |key| stated.number(key, "a number from 0 to 1", |number| (0.0..=1.0).contains(&number));
    let temperature =
        stated.number("temperature", "a number of at least 0", |number| number >= 0.0)?;
    Ok(Generation {
        do_sample: stated.flag("do_sample", false)?,
        temperature,
        top_k: stated.optional_size("top_k", 0..=usize::MAX)?,
        top_p: share("top_p")?,
        min_p: share("min_p")?,
        repetition_penalty: stated.positive("repetition_penalty")?,
    })
}
