//! `--check-reference`: the wafer's tokens and logits against the forward pass on the host.

use crate::logits::LogitsTap;
use crate::receiver::Answer;
use models::{Reference, Sampler, argmax};
use std::fmt;

/// A token that the reference would have chosen otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WrongToken {
    /// Place in the answer, from 0.
    place: usize,
    wafer: u32,
    reference: u32,
}

/// The largest difference between a logit of the wafer and the reference's.
#[derive(Debug, Clone, Copy, PartialEq)]
struct LogitGap {
    difference: f32,
    /// Place of the token in the answer, from 0.
    place: usize,
    /// Which logit.
    id: usize,
}

/// How an answer compares.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    tokens: usize,
    wrong: Vec<WrongToken>,
    /// None where the wafer's logits could not be observed.
    largest: Option<LogitGap>,
    /// New tokens whose logits were observed.
    observed: usize,
}

/// Runs the reference over the prompt and the wafer's own answer, so that one wrong token does not
/// make all later ones wrong. Where the host drew the tokens, `sampler` draws from the reference's logits with the same
/// random numbers.
pub(crate) fn compare(
    reference: &mut Reference<'_>,
    (prompt, answer): (&[u32], &Answer),
    tap: Option<&LogitsTap>,
    mut sampler: Option<Sampler>,
) -> Comparison {
    reference.reset();
    let mut comparison =
        Comparison { tokens: answer.ids.len(), wrong: Vec::new(), largest: None, observed: 0 };
    let mut logits = Vec::new();
    for (position, &token) in prompt.iter().enumerate() {
        logits = reference.step(token, position);
    }
    for (place, &wafer) in answer.ids.iter().enumerate() {
        if place > 0 {
            logits = reference.step(answer.ids[place - 1], prompt.len() + place - 1);
        }
        let chosen = sampler.as_mut().map_or_else(|| argmax(&logits), |s| s.choose(&logits));
        if chosen != wafer {
            comparison.wrong.push(WrongToken { place, wafer, reference: chosen });
        }
        if let Some(sampler) = &mut sampler {
            sampler.take(wafer);
        }
        if let Some(seen) = tap.and_then(|tap| tap.of_token(answer.places[place])) {
            comparison.see(place, &seen, &logits);
        }
    }
    comparison
}

impl Comparison {
    /// Whether all tokens are those of the reference.
    pub(crate) fn is_equal(&self) -> bool {
        self.wrong.is_empty()
    }

    fn see(&mut self, place: usize, wafer: &[f32], reference: &[f32]) {
        assert_eq!(wafer.len(), reference.len(), "one logit per vocabulary entry");
        self.observed += 1;
        for (id, (a, b)) in wafer.iter().zip(reference).enumerate() {
            // A NaN is as far away as can be.
            let difference = Some((a - b).abs()).filter(|d| !d.is_nan());
            let difference = difference.unwrap_or(f32::INFINITY);
            if self.largest.is_none_or(|gap| difference > gap.difference) {
                self.largest = Some(LogitGap { difference, place, id });
            }
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let equal = self.tokens - self.wrong.len();
        write!(f, "{equal} of {} tokens equal the reference's; ", self.tokens)?;
        match self.largest {
            Some(LogitGap { difference, place, id }) => write!(
                f,
                "largest difference of a logit {difference:.6} (new token {place}, logit {id}; logits of {} tokens compared)",
                self.observed
            )?,
            None => write!(f, "logits not compared, the image shows none")?,
        }
        for WrongToken { place, wafer, reference } in self.wrong.iter().take(10) {
            write!(f, "\n  new token {place}: the wafer says {wafer}, the reference {reference}")?;
        }
        Ok(())
    }
}
