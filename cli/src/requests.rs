//! Requests: prompts as token ids, and how many new tokens each may have.

use crate::args::Prompt;
use anyhow::{Context as _, Result, bail};
use models::{ModelDir, ModelError, Tokenizer};
use std::num::NonZeroUsize;

/// New tokens of a request that asks for no number.
const DEFAULT_NEW_TOKENS: usize = 128;

/// A request that the model can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Token ids, at least one, all within the vocabulary.
    pub(crate) prompt: Vec<u32>,
    /// New tokens at most, at least one; prompt and new tokens fit the context.
    pub(crate) max_new: usize,
    /// Whether `max_new` is less than the default because the context ends there.
    pub(crate) is_cut: bool,
}

impl Request {
    /// Positions that the request can use.
    pub(crate) fn positions(&self) -> usize {
        self.prompt.len() + self.max_new
    }
}

/// The model's tokenizer, where the directory holds one. Prompts given as ids do without.
///
/// # Errors
/// A tokenizer that is needed and missing, or there and broken.
pub(crate) fn open_tokenizer(model: &ModelDir, prompts: &[Prompt]) -> Result<Option<Tokenizer>> {
    let is_needed = prompts.iter().any(|p| !matches!(p, Prompt::Ids(_)));
    match model.tokenizer() {
        Ok(tokenizer) => Ok(Some(tokenizer)),
        Err(ModelError::FileMissing { .. }) if !is_needed => Ok(None),
        Err(error) => Err(error)?,
    }
}

/// Turns prompts into checked requests.
///
/// # Errors
/// A prompt file that cannot be read, text that cannot be encoded, a number of `--max-new-tokens`
/// that does not go with the prompts, and whatever the model refuses.
pub(crate) fn resolve(
    model: &ModelDir,
    tokenizer: Option<&Tokenizer>,
    prompts: &[Prompt],
    max_new: &[NonZeroUsize],
) -> Result<Vec<Request>> {
    if max_new.len() > 1 && max_new.len() != prompts.len() {
        bail!(
            "--max-new-tokens is given {} times for {} prompts; give it once for all, or once per prompt",
            max_new.len(),
            prompts.len()
        );
    }
    let asked = |at: usize| max_new.get(at).or(max_new.first()).map(|n| n.get());
    prompts
        .iter()
        .enumerate()
        .map(|(at, prompt)| request(model, encode(tokenizer, prompt)?, asked(at)))
        .collect()
}

fn request(model: &ModelDir, prompt: Vec<u32>, asked: Option<usize>) -> Result<Request> {
    let graph = model.graph();
    let room = graph.context.saturating_sub(prompt.len());
    // At least 1, so that a prompt that fills the context is refused rather than left unanswered.
    let max_new = asked.unwrap_or(DEFAULT_NEW_TOKENS.min(room).max(1));
    graph.check_request(&prompt, max_new)?;
    Ok(Request { prompt, max_new, is_cut: asked.is_none() && max_new < DEFAULT_NEW_TOKENS })
}

fn encode(tokenizer: Option<&Tokenizer>, prompt: &Prompt) -> Result<Vec<u32>> {
    let text = match prompt {
        Prompt::Ids(ids) => return Ok(ids.clone()),
        Prompt::Text(text) => text.clone(),
        Prompt::File(path) => std::fs::read_to_string(path)
            .with_context(|| format!("prompt file {} could not be read", path.display()))?,
    };
    let tokenizer = tokenizer.context("text needs a tokenizer")?;
    Ok(tokenizer.encode(&text)?)
}
