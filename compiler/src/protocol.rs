//! What host and wafer say to each other.

use crate::emit::{POSITION_BITS, SLOT_BITS, WANTED_BIT};
use fabric::{HostStop, WordTest};

/// A token that the wafer has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewToken {
    /// Index of the request.
    pub request: usize,
    /// The token's id.
    pub id: u32,
}

/// Packs requests into wavelets and unpacks answers.
///
/// In, on host port 0: the number of prompt tokens of all requests; then three words for each of them: its position (bits
/// 0–19), slot (20–27) and whether a new token is wanted after it (28); the first position that is not fed back; its id. Out, on host
/// port 0: two words for each new token, the first with the slot in bits 20–27, the second its id.
#[derive(Debug, Clone, Default)]
pub struct Protocol {
    half: Option<u32>,
}

impl Protocol {
    /// The wavelets' payloads, for each host input port, of `prompts` (ids; each at least one) that ask for `max_new` tokens.
    pub fn inputs(&self, prompts: &[Vec<u32>], max_new: &[u32]) -> Vec<Vec<u32>> {
        let count: usize = prompts.iter().map(Vec::len).sum();
        let mut words = vec![count as u32];
        for (slot, (prompt, &new)) in prompts.iter().zip(max_new).enumerate() {
            let end = prompt.len() as u32 + new - 1;
            for (position, &id) in prompt.iter().enumerate() {
                let wanted = u32::from(position + 1 == prompt.len() && new > 0);
                let place = position as u32 | (slot as u32) << POSITION_BITS;
                words.extend([place | wanted << WANTED_BIT, end, id]);
            }
        }
        vec![words]
    }

    /// When the host has the answers of all requests: of each `max_new` tokens (at least one each), or a
    /// token of `eos`.
    pub fn stops(&self, max_new: &[u32], eos: &[u32]) -> Vec<HostStop> {
        let stop = |(slot, &new): (usize, &u32)| {
            let mask = ((1 << SLOT_BITS) - 1) << POSITION_BITS;
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

    /// Takes a payload that reached the host; returns a token when it is complete.
    pub fn output(&mut self, _port: usize, payload: u32) -> Option<NewToken> {
        match self.half.take() {
            None => {
                self.half = Some(payload);
                None
            }
            Some(first) => {
                let request = (first >> POSITION_BITS) & ((1 << SLOT_BITS) - 1);
                Some(NewToken { request: request as usize, id: payload })
            }
        }
    }
}
