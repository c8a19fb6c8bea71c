//! `--check-reference`: the wafer's tokens, logits and residual streams against the forward pass on the host.

use crate::receiver::Answer;
use crate::residual::LayerGap;
use crate::taps::Taps;
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
    /// One for each layer; empty where none of its items could be told from others.
    layers: Vec<LayerGap>,
}

/// An answer that is compared, and what is known of its way through the layers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compared<'a> {
    pub(crate) prompt: &'a [u32],
    pub(crate) answer: &'a Answer,
    /// Prompt tokens of the requests before it. That is the number of items which went through the layers before the first one of its
    /// own prompt: prompts enter in order, and new tokens behind all of them.
    pub(crate) items_before: usize,
    /// No other request's tokens came between its own.
    pub(crate) is_alone: bool,
    /// The wafer's residual stream has its mean taken off.
    pub(crate) is_centred: bool,
}

/// Runs the reference over the prompt and the wafer's own answer, so that one wrong token does not
/// make all later ones wrong. Where the host drew the tokens, `sampler` draws from the reference's logits with the same
/// random numbers.
pub(crate) fn compare(
    reference: &mut Reference<'_>,
    compared: Compared<'_>,
    taps: Option<&Taps>,
    mut sampler: Option<Sampler>,
) -> Comparison {
    reference.reset();
    let Compared { prompt, answer, .. } = compared;
    let mut comparison = Comparison {
        tokens: answer.ids.len(),
        wrong: Vec::new(),
        largest: None,
        observed: 0,
        layers: Vec::new(),
    };
    let mut logits = Vec::new();
    for (position, &token) in prompt.iter().enumerate() {
        logits = comparison.step(reference, token, position, (&compared, taps));
    }
    for (place, &wafer) in answer.ids.iter().enumerate() {
        if place > 0 {
            let position = prompt.len() + place - 1;
            logits = comparison.step(reference, answer.ids[place - 1], position, (&compared, taps));
        }
        let chosen = sampler.as_mut().map_or_else(|| argmax(&logits), |s| s.choose(&logits));
        if chosen != wafer {
            comparison.wrong.push(WrongToken { place, wafer, reference: chosen });
        }
        if let Some(sampler) = &mut sampler {
            sampler.take(wafer);
        }
        let logits_tap = taps.and_then(|taps| taps.logits.as_ref());
        if let Some(seen) = logits_tap.and_then(|tap| tap.of_token(answer.places[place])) {
            comparison.see(place, &seen, &logits);
        }
    }
    comparison
}

impl Comparison {
    /// A step of the reference, whose residual streams are compared where the wafer's are known. Returns the logits.
    fn step(
        &mut self,
        reference: &mut Reference<'_>,
        token: u32,
        position: usize,
        (compared, taps): (&Compared<'_>, Option<&Taps>),
    ) -> Vec<f32> {
        let is_known = position < compared.prompt.len() || compared.is_alone;
        let item = compared.items_before + position;
        reference.step_shown(token, position, |layer, stream| {
            let taps = taps.filter(|_| is_known);
            let Some(seen) = taps.and_then(|taps| taps.residual.behind(layer, item)) else {
                return;
            };
            let mean = if compared.is_centred { mean(stream) } else { 0.0 };
            let expected: Vec<f32> = stream.iter().map(|x| x - mean).collect();
            self.layers.extend((self.layers.len()..=layer).map(LayerGap::new));
            self.layers[layer].see(&seen, &expected);
        })
    }

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
        if !self.layers.is_empty() {
            write!(f, "\nlargest differences of an element of the residual stream:")?;
        }
        for gap in &self.layers {
            write!(f, "\n  {gap}")?;
        }
        for WrongToken { place, wafer, reference } in self.wrong.iter().take(10) {
            write!(f, "\n  new token {place}: the wafer says {wafer}, the reference {reference}")?;
        }
        Ok(())
    }
}

fn mean(values: &[f32]) -> f32 {
    let sum: f64 = values.iter().map(|&x| f64::from(x)).sum();
    (sum / values.len() as f64) as f32
}
