//! Where an answer's text ends.

use crate::error::ModelError;
use crate::tokenizer::{StreamDecoder, Tokenizer};

/// Texts that end an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StopStrings(Vec<String>);

impl StopStrings {
    /// Stops at each of `texts`; empty ones, which would stop everything, are left out.
    pub fn new(texts: impl IntoIterator<Item = String>) -> StopStrings {
        StopStrings(texts.into_iter().filter(|text| !text.is_empty()).collect())
    }

    /// Whether nothing stops an answer.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The texts.
    pub fn texts(&self) -> &[String] {
        &self.0
    }

    /// Byte at which the stop string begins that ends first in `text`; of several that end there, the longest.
    fn find(&self, text: &str) -> Option<usize> {
        let ends = |stop: &String| text.find(stop.as_str()).map(|at| (at + stop.len(), at));
        self.0.iter().filter_map(ends).min().map(|(_, at)| at)
    }

    /// Bytes at the end of `text` with which a stop string may begin.
    fn held(&self, text: &str) -> usize {
        let begins = |at: usize| self.0.iter().any(|stop| stop.starts_with(&text[at..]));
        let mut places = text.char_indices().map(|(at, _)| at);
        places.find(|&at| begins(at)).map_or(0, |at| text.len() - at)
    }
}

/// The text of an answer whose ids arrive one by one: whole characters only, and nothing of a stop string.
pub struct AnswerText<'a> {
    tokenizer: &'a Tokenizer,
    stream: StreamDecoder<'a>,
    stops: &'a StopStrings,
    text: String,
    /// Bytes of `text` that have been handed out.
    shown: usize,
}

impl<'a> AnswerText<'a> {
    /// An answer without tokens.
    pub fn new(tokenizer: &'a Tokenizer, stops: &'a StopStrings) -> AnswerText<'a> {
        let stream = tokenizer.stream();
        AnswerText { tokenizer, stream, stops, text: String::new(), shown: 0 }
    }

    /// Takes the next id. Returns the text that has become final by it, and whether it completed a stop string, which may
    /// have begun in the middle of an earlier token: then the text ends before it, and no more ids belong to the answer.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn push(&mut self, id: u32) -> Result<(String, bool), ModelError> {
        if self.stops.is_empty() {
            let piece = self.stream.push(id)?.unwrap_or_default();
            self.text.push_str(&piece);
            self.shown = self.text.len();
            return Ok((piece, false));
        }
        if self.tokenizer.special(id).is_some_and(|token| self.stops.0.contains(&token)) {
            return Ok((self.finish()?, true));
        }
        self.text.extend(self.stream.push(id)?);
        // What the stream holds back shows a stop string as soon as it is complete.
        let certain = format!("{}{}", &self.text[self.shown..], self.stream.peek()?);
        let (end, is_stopped) = match self.stops.find(&certain) {
            Some(at) => {
                self.text.truncate(self.shown);
                self.text.push_str(&certain[..at]);
                (self.text.len(), true)
            }
            None => (self.text.len() - self.stops.held(&self.text[self.shown..]), false),
        };
        let piece = self.text[self.shown..end].to_string();
        self.shown = end;
        Ok((piece, is_stopped))
    }

    /// No more ids come, though no stop string is complete: the text that was held back.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn finish(&mut self) -> Result<String, ModelError> {
        self.text.extend(self.stream.flush()?);
        let rest = self.text[self.shown..].to_string();
        self.shown = self.text.len();
        Ok(rest)
    }

    /// The text so far; all of it once the answer is complete.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops(texts: &[&str]) -> StopStrings {
        StopStrings::new(texts.iter().map(ToString::to_string))
    }

    #[test]
    fn which_stop_string_ends_an_answer() {
        assert_eq!(
            stops(&["b", "ab"]).find("xxab"),
            Some(2),
            "the longest of those that end first"
        );
        assert_eq!(stops(&["bcd", "c"]).find("abcd"), Some(2), "the one that ends first");
        assert_eq!(stops(&["é"]).find("caf"), None);
        assert!(stops(&["", ""]).is_empty());
    }

    #[test]
    fn how_much_text_may_be_the_beginning_of_a_stop_string() {
        let stops = stops(&["\n\ndef", "éé"]);
        assert_eq!(stops.held("x = 1\n"), 1);
        assert_eq!(stops.held("x = 1\n\nde"), 4);
        assert_eq!(stops.held("x = 1\n\n\nd"), 3, "the later of two beginnings");
        assert_eq!(stops.held("x = 1\n\nx"), 0);
        assert_eq!(stops.held("é"), 2);
        assert_eq!(stops.held(""), 0);
    }
}
