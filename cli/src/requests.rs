//! Requests: prompts as token ids, and how many new tokens each may have.

use crate::args::{ChatArgs, Prompt};
use anyhow::{Context as _, Result, bail};
use models::{ChatTemplate, Date, DecoderGraph, ModelDir, ModelError, Tokenizer};
use std::num::NonZeroUsize;
use std::time::SystemTime;

/// New tokens of a request that asks for no number.
const DEFAULT_NEW_TOKENS: usize = 128;

/// A request that the model can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Token ids, at least one, all within the vocabulary.
    pub(crate) prompt: Vec<u32>,
    /// Position of the first of them: so many are in the KV cache already.
    pub(crate) start: u32,
    /// New tokens at most, at least one; prompt and new tokens fit the context.
    pub(crate) max_new: usize,
    /// Whether `max_new` is less than the default because the context ends there.
    pub(crate) is_cut: bool,
}

impl Request {
    /// Positions that the request can use, those before it included.
    pub(crate) fn positions(&self) -> usize {
        self.start as usize + self.prompt.len() + self.max_new
    }
}

/// Tokens of the longest prompt; 0 without any.
pub(crate) fn longest_prompt(requests: &[Request]) -> usize {
    requests.iter().map(|request| request.prompt.len()).max().unwrap_or(0)
}

/// What makes prompts the messages of users.
pub(crate) struct Chat {
    template: ChatTemplate,
    system: Option<String>,
    /// What the template is told of the time.
    pub(crate) date: Date,
}

impl Chat {
    /// The model's chat, if one is asked for.
    ///
    /// # Errors
    /// A template that is missing or cannot be read.
    pub(crate) fn open(args: &ChatArgs, model: &ModelDir) -> Result<Option<Chat>> {
        if !args.chat {
            return Ok(None);
        }
        let today = || {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            Date::of_unix_seconds(now.map_or(0, |now| now.as_secs()))
        };
        let date = args.chat_date.unwrap_or_else(today);
        Ok(Some(Chat { template: model.chat_template()?, system: args.system.clone(), date }))
    }

    fn render(&self, user: &str) -> Result<String> {
        Ok(self.template.render(self.system.as_deref(), user, self.date)?)
    }
}

/// The model's tokenizer, where the directory holds one. Prompts given as ids do without, unless text is to stop the answers.
///
/// # Errors
/// A tokenizer that is needed and missing, or there and broken.
pub(crate) fn open_tokenizer(
    model: &ModelDir,
    prompts: &[Prompt],
    text_stops: bool,
) -> Result<Option<Tokenizer>> {
    let is_needed =
        text_stops || prompts.iter().any(|p| matches!(p, Prompt::Text(_) | Prompt::File(_)));
    match model.tokenizer() {
        Ok(tokenizer) => Ok(Some(tokenizer)),
        Err(ModelError::FileMissing { .. }) if !is_needed => Ok(None),
        Err(error) => Err(error)?,
    }
}

/// Turns prompts into checked requests.
///
/// # Errors
/// A prompt file that cannot be read, a chat template that refuses a prompt, text that cannot be encoded, a number of `--max-new-tokens`
/// that does not go with the prompts, and whatever the model refuses.
pub(crate) fn resolve(
    model: &ModelDir,
    tokenizer: Option<&Tokenizer>,
    (prompts, chat): (&[Prompt], Option<&Chat>),
    max_new: &[NonZeroUsize],
    start: u32,
) -> Result<Vec<Request>> {
    let graph = model.graph();
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
        .map(|(at, prompt)| {
            // Whichever tokens are meant; of a prompt beyond the context, which is refused, no more than tells that.
            let any = |n: usize| (0..n.min(graph.context + 1)).map(|k| (k % graph.vocab) as u32);
            let ids = match prompt {
                Prompt::Tokens(n) if chat.is_none() => any(*n).collect(),
                _ => encode(tokenizer, prompt, chat)?,
            };
            request(graph, (ids, start), asked(at))
        })
        .collect()
}

fn request(
    graph: &DecoderGraph,
    (prompt, start): (Vec<u32>, u32),
    asked: Option<usize>,
) -> Result<Request> {
    let used = start as usize + prompt.len();
    let room = graph.context.saturating_sub(used);
    // At least 1, so that a prompt that fills the context is refused rather than left unanswered.
    let max_new = asked.unwrap_or(DEFAULT_NEW_TOKENS.min(room).max(1));
    graph.check_request(&prompt, max_new)?;
    graph
        .check_length(used, max_new)
        .with_context(|| format!("--start-position {start} counts to the prompt"))?;
    Ok(Request { prompt, start, max_new, is_cut: asked.is_none() && max_new < DEFAULT_NEW_TOKENS })
}

fn encode(tokenizer: Option<&Tokenizer>, prompt: &Prompt, chat: Option<&Chat>) -> Result<Vec<u32>> {
    let text = match prompt {
        Prompt::Ids(_) if chat.is_some() => {
            bail!("--chat needs the prompt as text; --prompt-ids gives token ids")
        }
        Prompt::Tokens(_) => bail!("--chat needs the prompt as text; --prompt-tokens gives none"),
        Prompt::Ids(ids) => return Ok(ids.clone()),
        Prompt::Text(text) => text.clone(),
        Prompt::File(path) => std::fs::read_to_string(path)
            .with_context(|| format!("prompt file {} could not be read", path.display()))?,
    };
    let tokenizer = tokenizer.context("text needs a tokenizer")?;
    match chat {
        None => Ok(tokenizer.encode(&text)?),
        // The template writes the special tokens; the tokenizer would add some once more.
        Some(chat) => Ok(tokenizer.encode_bare(&chat.render(&text)?)?),
    }
}
