//! What host and wafer say to each other.

use crate::emit::{POSITION_BITS, POSITION_MASK, SLOT_MASK, WANTED_BIT};
use fabric::{HostStop, WordTest};

/// A token that the wafer has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewToken {
    /// Index of the request.
    pub request: usize,
    /// The token's id.
    pub id: u32,
}

/// The logits of a new token, for the host to draw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    /// Index of the request.
    pub request: usize,
    /// Of the token before the new one: position in bits 0–19, slot in 20–27. Bit 28 is set: a new token was wanted after it.
    place: u32,
    /// One for each vocabulary entry.
    pub values: Vec<f32>,
}

/// Packs requests into wavelets and unpacks answers.
///
/// In, on host port 0: the number of prompt items of all requests; then for each of them, which holds a chunk of consecutive tokens:
/// the first one's position (bits 0–19), slot (20–27) and whether a new token is wanted after the last one (28); the first position
/// that is not fed back (0–19) and the number of tokens behind the first (20–31); all ids. Out, on host
/// port 0: two words for each new token, the first with the slot in bits 20–27, the second its id.
///
/// Where the host draws tokens, the number of prompt items is left out; out come, for each new token, the first of those
/// two words and the logits of all vocabulary entries (f32, ascending); and the host sends three words as for a prompt
/// token for each one that it has drawn and that has a successor.
#[derive(Debug, Clone)]
pub struct Protocol {
    half: Option<u32>,
    /// Where the host draws tokens, the entries of the vocabulary.
    vocab: Option<usize>,
    logits: Vec<f32>,
    /// Prompt tokens of an item, at most.
    chunk: usize,
}

impl Protocol {
    /// The protocol of an image whose wafer chooses tokens, or whose host draws them from the logits of `vocab` entries.
    pub(crate) fn new(vocab: Option<usize>, chunk: u32) -> Protocol {
        Protocol { vocab, chunk: chunk as usize, half: None, logits: Vec::new() }
    }

    /// The number of tokens of each item of a prompt of so many tokens.
    pub fn item_sizes(&self, tokens: usize) -> impl Iterator<Item = usize> + use<> {
        let chunk = self.chunk;
        (0..tokens).step_by(chunk).map(move |at| chunk.min(tokens - at))
    }

    /// The wavelets' payloads, for each host input port, of `prompts` (ids; each at least one) that ask for `max_new` tokens.
    pub fn inputs(&self, prompts: &[Vec<u32>], max_new: &[u32]) -> Vec<Vec<u32>> {
        self.inputs_from(0, prompts, max_new)
    }

    /// The same for prompts that begin at position `start`.
    pub fn inputs_from(&self, start: u32, prompts: &[Vec<u32>], max_new: &[u32]) -> Vec<Vec<u32>> {
        let count: usize = prompts.iter().map(|prompt| prompt.len().div_ceil(self.chunk)).sum();
        let mut words = if self.vocab.is_none() { vec![count as u32] } else { Vec::new() };
        for (slot, (prompt, &new)) in prompts.iter().zip(max_new).enumerate() {
            let end = start + prompt.len() as u32 + new - 1;
            let mut position = 0;
            for ids in prompt.chunks(self.chunk) {
                let wanted = u32::from(position + ids.len() == prompt.len() && new > 0);
                let place = (start + position as u32) | (slot as u32) << POSITION_BITS;
                let others = ids.len() as u32 - 1;
                words.extend([place | wanted << WANTED_BIT, end | others << POSITION_BITS]);
                words.extend(ids);
                position += ids.len();
            }
        }
        vec![words]
    }

    /// When the host has the answers of all requests: of each `max_new` tokens (at least one each), or a
    /// token of `eos`.
    pub fn stops(&self, max_new: &[u32], eos: &[u32]) -> Vec<HostStop> {
        let stop = |(slot, &new): (usize, &u32)| {
            let mask = SLOT_MASK << POSITION_BITS;
            let slot = WordTest { word: 0, mask, values: vec![(slot as u32) << POSITION_BITS] };
            let ends = WordTest { word: 1, mask: u32::MAX, values: eos.to_vec() };
            HostStop {
                port: 0,
                words: 2,
                only: (max_new.len() > 1).then_some(slot),
                after: new.into(),
                last: (!eos.is_empty()).then_some(ends),
            }
        };
        max_new.iter().enumerate().map(stop).collect()
    }

    /// Takes a payload that reached a host that draws tokens; returns the logits when they are complete.
    ///
    /// # Panics
    /// Where the wafer chooses tokens.
    pub fn logits(&mut self, payload: u32) -> Option<Logits> {
        let vocab = self.vocab.expect("the image sends logits");
        let Some(place) = self.half else {
            self.half = Some(payload);
            self.logits.reserve(vocab);
            return None;
        };
        self.logits.push(f32::from_bits(payload));
        if self.logits.len() < vocab {
            return None;
        }
        self.half = None;
        let values = std::mem::take(&mut self.logits);
        Some(Logits { request: slot(place), place, values })
    }

    /// What the host sends on port 0 when it has drawn token `id` from `logits` and wants the next one.
    pub fn feed_back(&self, logits: &Logits, id: u32) -> [u32; 3] {
        // Nobody on the wafer asks where the answer ends: the host does not go on after its end.
        [logits.place + 1, POSITION_MASK, id]
    }

    /// Takes a payload that reached the host; returns a token when it is complete.
    pub fn output(&mut self, payload: u32) -> Option<NewToken> {
        match self.half.take() {
            None => {
                self.half = Some(payload);
                None
            }
            Some(first) => Some(NewToken { request: slot(first), id: payload }),
        }
    }
}

/// The slot of a place, which is the index of its request.
fn slot(place: u32) -> usize {
    (place >> POSITION_BITS & SLOT_MASK) as usize
}
