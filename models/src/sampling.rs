//! Drawing tokens from logits, in the order in which Transformers applies its settings.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

/// How a token is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// What logits are divided by; 0: the most likely token is taken.
    pub temperature: f64,
    /// Draw from so many of the most likely tokens; 0: from all. Of equal ones the lower id comes first.
    pub top_k: usize,
    /// Draw from the fewest most likely tokens that have at least this probability together; 1: from all.
    pub top_p: f64,
    /// Draw from tokens that have at least this share of the most likely one's probability; 0: from all.
    pub min_p: f64,
    /// Logits of tokens of prompt and answer are divided by this where positive and multiplied where negative; 1: not.
    pub repetition_penalty: f64,
    /// Seed of the first request; that of each further one is higher by 1.
    pub seed: u64,
}

/// Nothing but the logits decides: temperature 1, no cuts, no penalty, seed 0.
impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            seed: 0,
        }
    }
}

impl Sampling {
    /// Whether the answer is that of taking the largest logit each time, the lowest id of equal ones.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0 && self.repetition_penalty == 1.0
    }

    /// The tokens that may be drawn, with their probabilities, most likely first and equal ones by id. `seen` are the tokens
    /// that the repetition penalty is for.
    ///
    /// # Panics
    /// Without logits.
    pub fn distribution(&self, logits: &[f32], seen: &BTreeSet<u32>) -> Vec<(u32, f64)> {
        let penalty = self.repetition_penalty;
        let mut tokens: Vec<(u32, f64)> =
            // Zeroes are equal, whatever their sign.
            (0..).zip(logits.iter().map(|&logit| f64::from(logit) + 0.0)).collect();
        for &id in seen {
            let Some((_, logit)) = tokens.get_mut(id as usize) else { continue };
            *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
        }
        // A NaN is never drawn.
        tokens.iter_mut().filter(|t| t.1.is_nan()).for_each(|t| t.1 = f64::NEG_INFINITY);
        tokens.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if self.temperature == 0.0 {
            return vec![(tokens[0].0, 1.0)];
        }
        tokens.truncate(if self.top_k == 0 { usize::MAX } else { self.top_k });
        // Probabilities up to a factor, the most likely token's being 1.
        let most = tokens[0].1;
        let weight = |logit: f64| match logit == most {
            true => 1.0, // Even where both are infinite.
            false => libm::exp((logit - most) / self.temperature),
        };
        tokens.iter_mut().for_each(|token| token.1 = weight(token.1));
        let nucleus = self.top_p * total(&tokens);
        let mut before = 0.0;
        let kept = tokens.iter().take_while(|token| {
            let is_kept = before < nucleus;
            before += token.1;
            is_kept
        });
        let kept = kept.count().max(1);
        tokens.truncate(if self.top_p < 1.0 { kept } else { usize::MAX });
        tokens.retain(|token| token.1 >= self.min_p);
        let whole = total(&tokens);
        tokens.iter_mut().for_each(|token| token.1 /= whole);
        tokens
    }
}

fn total(tokens: &[(u32, f64)]) -> f64 {
    tokens.iter().map(|token| token.1).sum()
}

/// Draws the tokens of one request. What it draws is a function of its settings, its number, its prompt and the logits alone.
#[derive(Debug, Clone)]
pub struct Sampler {
    settings: Sampling,
    seen: BTreeSet<u32>,
    random: ChaCha8Rng,
}

impl Sampler {
    /// The sampler of request number `request` (from 0).
    pub fn new(settings: Sampling, request: usize, prompt: &[u32]) -> Sampler {
        let seed = settings.seed.wrapping_add(request as u64);
        let seen = prompt.iter().copied().collect();
        Sampler { settings, seen, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Draws the next token, given the logits of all.
    ///
    /// # Panics
    /// Without logits.
    pub fn draw(&mut self, logits: &[f32]) -> u32 {
        let id = self.choose(logits);
        self.take(id);
        id
    }

    /// Draws the next token, but leaves what the repetition penalty is for as it is: [`take`](Self::take) tells that, of this token
    /// or another one. Uses up one random number, so that a second call may choose otherwise.
    ///
    /// # Panics
    /// Without logits.
    pub fn choose(&mut self, logits: &[f32]) -> u32 {
        let mut tokens = self.settings.distribution(logits, &self.seen);
        // By ids, so that logits with other last bits draw the same token but where the number falls just between two.
        tokens.sort_unstable_by_key(|(id, _)| *id);
        // 53 random bits: every multiple of 2⁻⁵³ below 1 is as likely as another.
        pick(&tokens, (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// The token that was drawn, for the repetition penalty.
    pub fn take(&mut self, id: u32) {
        self.seen.insert(id);
    }
}

/// Of tokens with their probabilities, at least one, that where their running sum passes `left`, which is below 1.
fn pick(tokens: &[(u32, f64)], mut left: f64) -> u32 {
    for &(id, probability) in tokens {
        if left < probability {
            return id;
        }
        left -= probability;
    }
    // The probabilities' sum may be rounded to below 1.
    let possible = tokens.iter().rev().find(|(_, probability)| *probability > 0.0);
    possible.or(tokens.last()).expect("there are logits").0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: BTreeSet<u32> = BTreeSet::new();

    /// Logits whose softmax is `probabilities`.
    fn logits(probabilities: &[f64]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln() as f32).collect()
    }

    fn check(settings: Sampling, seen: &[u32], wanted: &[(u32, f64)]) {
        let seen = seen.iter().copied().collect();
        let found = settings.distribution(&logits(&[0.1, 0.4, 0.2, 0.3]), &seen);
        assert_eq!(found.len(), wanted.len(), "{found:?}, not {wanted:?}");
        for (a, b) in found.iter().zip(wanted) {
            assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-6, "{found:?}, not {wanted:?}");
        }
    }

    #[test]
    fn does_each_setting_give_the_distribution_computed_by_hand() {
        let plain = Sampling::default();
        check(plain, &[], &[(1, 0.4), (3, 0.3), (2, 0.2), (0, 0.1)]);
        check(Sampling { temperature: 0.0, ..plain }, &[], &[(1, 1.0)]);
        // Temperature ½ squares: 16 + 9 + 4 + 1 = 30.
        let half = Sampling { temperature: 0.5, ..plain };
        check(half, &[], &[(1, 16. / 30.), (3, 9. / 30.), (2, 4. / 30.), (0, 1. / 30.)]);
        check(Sampling { top_k: 2, ..plain }, &[], &[(1, 4. / 7.), (3, 3. / 7.)]);
        // 0.4 + 0.3 < 0.75: the third is needed too.
        check(Sampling { top_p: 0.75, ..plain }, &[], &[(1, 4. / 9.), (3, 3. / 9.), (2, 2. / 9.)]);
        check(Sampling { top_p: 0.0, ..plain }, &[], &[(1, 1.0)]);
        check(Sampling { min_p: 0.6, ..plain }, &[], &[(1, 4. / 7.), (3, 3. / 7.)]);
        check(Sampling { min_p: 1.0, ..plain }, &[], &[(1, 1.0)]);
        // Negative logits are multiplied: 0.4² = 0.16, 0.3² = 0.09; 0.16 + 0.09 + 0.2 + 0.1 = 0.55.
        let penalty = Sampling { repetition_penalty: 2.0, ..plain };
        let wanted = [(2, 0.2 / 0.55), (1, 0.16 / 0.55), (0, 0.1 / 0.55), (3, 0.09 / 0.55)];
        check(penalty, &[1, 3, 99], &wanted);
        // Temperature comes before top-p (squares: 16 + 9 of 30 are 0.83), top-k before it too.
        check(Sampling { top_p: 0.8, ..half }, &[], &[(1, 16. / 25.), (3, 9. / 25.)]);
        check(Sampling { top_k: 2, top_p: 0.5, ..plain }, &[], &[(1, 1.0)]);
    }

    #[test]
    fn positive_logits_are_divided_by_the_penalty() {
        let penalty = Sampling { repetition_penalty: 4.0, temperature: 0.0, ..Sampling::default() };
        assert!(!penalty.is_greedy());
        assert_eq!(penalty.distribution(&[4.0, 3.0], &BTreeSet::from([0])), [(1, 1.0)]);
    }

    #[test]
    fn of_equal_logits_the_lower_ids_are_kept() {
        let two = Sampling { top_k: 2, ..Sampling::default() };
        assert_eq!(two.distribution(&[1.0; 5], &NONE), [(0, 0.5), (1, 0.5)]);
        let one = Sampling { top_k: 1, ..two };
        assert_eq!(one.distribution(&[f32::NAN, 2.0, 2.0], &NONE), [(1, 1.0)]);
        let greedy = Sampling { temperature: 0.0, ..one };
        assert!(greedy.is_greedy());
        let infinite = [f32::NEG_INFINITY, f32::INFINITY, 0.0];
        assert_eq!(Sampling::default().distribution(&infinite, &NONE)[0], (1, 1.0));
    }

    #[test]
    fn is_a_token_drawn_even_where_no_logit_is_a_number() {
        let nothing = [f32::NAN; 3];
        for settings in [
            Sampling::default(),
            Sampling {
                top_k: 2,
                top_p: 0.5,
                min_p: 0.5,
                repetition_penalty: 2.0,
                ..Sampling::default()
            },
        ] {
            let found = settings.distribution(&nothing, &BTreeSet::from([0]));
            let share = 1.0 / found.len() as f64;
            assert!(found.iter().all(|token| token.1 == share), "{found:?}");
            assert!(Sampler::new(settings, 0, &[]).draw(&nothing) < 3);
        }
        let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
        assert_eq!(greedy.distribution(&nothing, &NONE), [(0, 1.0)]);
    }

    #[test]
    fn does_the_last_possible_token_take_what_rounding_leaves() {
        // Tenths add up to less than one: the largest random number is behind all of them.
        let tenths: Vec<(u32, f64)> = (0..10).map(|id| (id, 0.1)).collect();
        let largest = 1.0 - f64::EPSILON / 2.0;
        assert_eq!(pick(&tenths, largest), 9);
        assert_eq!(pick(&[&tenths[..], &[(10, 0.0)]].concat(), largest), 9);
        assert_eq!(pick(&tenths, 0.0), 0);
        assert_eq!(pick(&[(4, f64::NAN), (7, f64::NAN)], 0.5), 7);
    }

    #[test]
    fn are_tokens_drawn_as_often_as_the_softmax_says() {
        let wanted = [0.1, 0.4, 0.2, 0.3];
        let mut sampler = Sampler::new(Sampling { seed: 7, ..Sampling::default() }, 0, &[]);
        let mut counts = [0.0f64; 4];
        let draws = 40_000;
        let logits = logits(&wanted);
        (0..draws).for_each(|_| counts[sampler.draw(&logits) as usize] += 1.0);
        // χ² with three degrees of freedom is below 16.3 in 999 of 1,000 cases.
        let expected = wanted.map(|p| p * f64::from(draws));
        let chi: f64 = counts.iter().zip(&expected).map(|(c, e)| (c - e) * (c - e) / e).sum();
        assert!(chi < 16.3, "χ² = {chi}: {counts:?}, not {expected:?}");
    }

    #[test]
    fn does_a_seed_decide_what_is_drawn() {
        let logits = logits(&[0.25; 4]);
        let of = |seed, request| {
            let settings = Sampling { seed, ..Sampling::default() };
            let mut sampler = Sampler::new(settings, request, &[]);
            (0..40).map(|_| sampler.draw(&logits)).collect::<Vec<u32>>()
        };
        assert_eq!(of(1, 0), of(1, 0));
        assert_ne!(of(1, 0), of(2, 0));
        assert_eq!(of(1, 2), of(3, 0), "the request's number is added to the seed");
    }
}
