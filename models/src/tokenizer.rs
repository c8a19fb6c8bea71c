//! Text to token ids and back, as `tokenizer.json` prescribes.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::Tokenizer as Inner;
use tokenizers::normalizers::Precompiled;

use crate::error::ModelError;
use crate::files::{parse_object, read_bounded};

/// Largest `tokenizer.json` that is read, in bytes; vocabularies of a quarter million tokens take about 35 MB.
const LIMIT: u64 = 96 << 20;

/// The tokenizer of a model directory. Truncation and padding that the file may ask for are switched off, as Transformers
/// does for generation.
pub struct Tokenizer {
    file: PathBuf,
    inner: Inner,
}

impl Tokenizer {
    /// Reads `dir/tokenizer.json`.
    ///
    /// # Errors
    /// The file is missing, not readable or not a tokenizer.
    pub(crate) fn open(dir: &Path) -> Result<Tokenizer, ModelError> {
        let file = dir.join("tokenizer.json");
        let Some(bytes) = read_bounded(&file, LIMIT)? else {
            return Err(ModelError::FileMissing {
                file,
                cure: "text needs a tokenizer; copy the file here, or give token ids",
            });
        };
        let problem = |problem: String| ModelError::Tokenizer { file: file.clone(), problem };
        let content = Value::Object(parse_object(&file, &bytes)?);
        check_character_maps(&content["normalizer"]).map_err(problem)?;
        check_templates(&content["post_processor"]).map_err(problem)?;
        // As text, through `FromStr`: the one way in that the library itself holds compiled. Any other
        // compiles all of its reader again in this crate. The text is that of the checked value, not of the
        // file, where a key may stand twice.
        let mut inner: Inner = content
            .to_string()
            .parse()
            .map_err(|error: tokenizers::Error| problem(error.to_string()))?;
        inner.with_truncation(None).map_err(|error| problem(error.to_string()))?;
        inner.with_padding(None);
        Ok(Tokenizer { file, inner })
    }

    /// The ids of `text`, with the special tokens that the tokenizer adds (such as a begin-of-sequence token).
    ///
    /// # Errors
    /// Text that the tokenizer's model cannot represent.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        self.encode_with(text, true)
    }

    /// The ids of `text` alone, as for a rendered chat, whose template writes the special tokens itself.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_bare(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        self.encode_with(text, false)
    }

    fn encode_with(&self, text: &str, add_special: bool) -> Result<Vec<u32>, ModelError> {
        let encoding =
            self.inner.encode_fast(text, add_special).map_err(|error| self.problem(&error))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of `ids`, special tokens skipped, bytes that are no UTF-8 replaced by U+FFFD. Ids without a token are
    /// skipped too.
    ///
    /// # Errors
    /// Tokens that the tokenizer's decoder cannot join.
    pub fn decode(&self, ids: &[u32]) -> Result<String, ModelError> {
        self.inner.decode(ids, true).map_err(|error| self.problem(&error))
    }

    /// A decoder for ids that arrive one by one.
    pub fn stream(&self) -> StreamDecoder<'_> {
        StreamDecoder { tokenizer: self, ids: Vec::new(), shown: 0 }
    }

    /// Whether `id` leaves a trace in decoded text.
    fn is_visible(&self, id: u32) -> bool {
        self.inner.id_to_token(id).is_some() && self.special(id).is_none()
    }

    /// The spelling of `id` if that is a special token, which decoded text leaves out.
    pub(crate) fn special(&self, id: u32) -> Option<String> {
        let token = self.inner.id_to_token(id);
        token.filter(|token| self.inner.get_added_vocabulary().is_special_token(token))
    }

    /// Whether `id` stands for one raw byte, spelled `<0x0A>`: a run of those is decoded as a whole.
    fn is_raw_byte(&self, id: u32) -> bool {
        let token = self.inner.id_to_token(id).unwrap_or_default();
        token.len() == 6 && token.starts_with("<0x") && token.ends_with('>')
    }

    fn problem(&self, error: &tokenizers::Error) -> ModelError {
        ModelError::Tokenizer { file: self.file.clone(), problem: error.to_string() }
    }
}

/// Checks the precompiled character maps of a normalizer. The library panics on broken ones, as it does on JSON that
/// breaks off inside the decoder, which is why the file is parsed before the library sees it.
fn check_character_maps(normalizer: &Value) -> Result<(), String> {
    if normalizer["type"] == "Precompiled" {
        let map = serde_json::from_value::<Precompiled>(normalizer.clone());
        map.map_err(|error| format!("its precompiled character map is broken: {error}"))?;
    }
    normalizer["normalizers"].as_array().into_iter().flatten().try_for_each(check_character_maps)
}

/// Checks the templates that put special tokens around one text. The library panics on a token that the template's own
/// table lacks, and on the second text of a pair.
fn check_templates(processor: &Value) -> Result<(), String> {
    for piece in processor["single"].as_array().into_iter().flatten() {
        let second = piece["Sequence"]["id"] == "B";
        let token = piece["SpecialToken"]["id"].as_str();
        if second || token.is_some_and(|token| processor["special_tokens"].get(token).is_none()) {
            return Err(format!("post_processor.single: {piece} stands for nothing"));
        }
    }
    processor["processors"].as_array().into_iter().flatten().try_for_each(check_templates)
}

/// Decodes ids as they arrive. The pieces, followed by that of [`flush`](Self::flush), make up the text that
/// [`Tokenizer::decode`] gives for all ids at once; no piece ends inside a character.
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    /// A window on the visible ids: those of the last piece, as context for the next, then those not yet handed out.
    ids: Vec<u32>,
    /// How many of `ids` have been handed out.
    shown: usize,
}

impl StreamDecoder<'_> {
    /// Takes the next id; returns the text that has become final by it, if any.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn push(&mut self, id: u32) -> Result<Option<String>, ModelError> {
        if !self.tokenizer.is_visible(id) {
            return Ok(None);
        }
        self.ids.push(id);
        if self.tokenizer.is_raw_byte(id) {
            return Ok(None);
        }
        let piece = self.pending()?;
        if piece.is_empty() || piece.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(None);
        }
        self.ids.drain(..self.shown);
        self.shown = self.ids.len();
        Ok(Some(piece))
    }

    /// The text of what is still held back (an incomplete character, as U+FFFD), and a fresh start.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn flush(&mut self) -> Result<Option<String>, ModelError> {
        let piece = self.pending()?;
        self.ids.clear();
        self.shown = 0;
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }

    /// What is held back, as far as it is certain: an incomplete character at its end is left out.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub(crate) fn peek(&self) -> Result<String, ModelError> {
        let mut text = self.pending()?;
        text.truncate(text.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
        Ok(text)
    }

    /// The text of the ids not yet handed out. Decoding them behind those before keeps what a decoder does only at the
    /// start of a text, such as dropping a space.
    fn pending(&self) -> Result<String, ModelError> {
        let before = self.tokenizer.decode(&self.ids[..self.shown])?;
        let mut all = self.tokenizer.decode(&self.ids)?;
        let kept = before.bytes().zip(all.bytes()).take_while(|(a, b)| a == b).count();
        let split = (0..=kept).rev().find(|&at| all.is_char_boundary(at)).unwrap_or(0);
        Ok(all.split_off(split))
    }
}
