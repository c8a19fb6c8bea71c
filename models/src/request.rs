//! Whether a request can be run on a model at all.

use crate::error::ModelError;
use crate::graph::DecoderGraph;

impl DecoderGraph {
    /// Checks a request for `max_new` tokens after the prompt `prompt_ids`.
    ///
    /// # Errors
    /// An empty prompt, an id outside the vocabulary, or prompt and new tokens together beyond the context.
    pub fn check_request(&self, prompt_ids: &[u32], max_new: usize) -> Result<(), ModelError> {
        self.check_length(prompt_ids.len(), max_new)?;
        match prompt_ids.iter().enumerate().find(|(_, id)| **id as usize >= self.vocab) {
            Some((place, &id)) => Err(ModelError::PromptToken { id, place, vocab: self.vocab }),
            None => Ok(()),
        }
    }

    /// Checks the lengths alone, for requests whose tokens are not known: `prompt` counts every position that is in use
    /// before the first new token.
    ///
    /// # Errors
    /// As [`check_request`](Self::check_request), without the ids.
    pub fn check_length(&self, prompt: usize, max_new: usize) -> Result<(), ModelError> {
        if prompt == 0 {
            return Err(ModelError::EmptyPrompt);
        }
        match prompt.checked_add(max_new) {
            Some(total) if total <= self.context => Ok(()),
            _ => Err(ModelError::TooLong { prompt, new: max_new, context: self.context }),
        }
    }
}
