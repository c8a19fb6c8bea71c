//! Axes of a sweep: each a list of steps, each step values for one or more keys.

use crate::ask::{Setting, check_key};
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// Points that a sweep may have, and steps that an axis may.
pub(super) const MOST_POINTS: usize = 100_000;

/// Values for some keys, set together.
pub(super) type Step = Vec<(String, Setting)>;

/// An axis as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum Axis {
    /// These values.
    List { key: String, values: Vec<Setting> },
    /// From `from` by `step` as long as `to` is not passed.
    Range { key: String, from: Setting, to: Setting, step: Setting },
    /// So many values from `from` to `to`, each the same multiple of the one before; integers are rounded, and stand
    /// once each.
    Log { key: String, from: Setting, to: Setting, count: usize },
    /// Axes that go together: first with first, second with second.
    Zip(Vec<Axis>),
    /// So many points at random.
    Random { count: usize, seed: u64, of: Vec<Span> },
    /// So many points at random, of which each key's range, cut in as many parts, sees one in each.
    LatinHypercube { count: usize, seed: u64, of: Vec<Span> },
}

/// A range that is drawn from; of integers where both ends are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    key: String,
    from: Setting,
    to: Setting,
    /// Whether each order of magnitude is as likely as any other.
    #[serde(default)]
    log: bool,
}

impl Axis {
    /// The axis's steps, in order.
    ///
    /// # Errors
    /// Keys that there are none of, an axis without steps or with too many, and ranges that are none.
    pub(super) fn steps(&self) -> Result<Vec<Step>> {
        let steps = match self {
            Axis::List { key, values } => single(key, values.clone())?,
            Axis::Range { key, from, to, step } => {
                single(key, range(from, to, step).with_context(|| key.clone())?)?
            }
            Axis::Log { key, from, to, count } => {
                let span = Span { key: key.clone(), from: from.clone(), to: to.clone(), log: true };
                let ends = span.ends()?;
                check_count(*count).with_context(|| key.clone())?;
                let share = |n: usize| if *count > 1 { n as f64 / (count - 1) as f64 } else { 0.0 };
                let mut values: Vec<Setting> =
                    (0..*count).map(|n| span.at(ends, share(n))).collect();
                values.dedup();
                single(key, values)?
            }
            Axis::Zip(axes) => zip(axes)?,
            Axis::Random { count, seed, of } => {
                draw(*count, of, |key, n| uniform(*seed, key, n, 0))?
            }
            Axis::LatinHypercube { count, seed, of } => {
                check_count(*count)?;
                let places: Vec<Vec<usize>> =
                    of.iter().map(|span| shuffled(*count, *seed, &span.key)).collect();
                let part = |key: &str, n: usize| {
                    let at = of.iter().position(|span| span.key == key).unwrap_or(0);
                    (places[at][n] as f64 + uniform(*seed, key, n, 0)) / *count as f64
                };
                draw(*count, of, part)?
            }
        };
        if steps.is_empty() || steps[0].is_empty() {
            bail!("{}: the axis is empty; give it at least one value", self.keys().join(", "));
        }
        Ok(steps)
    }

    /// The keys that it sets.
    pub(super) fn keys(&self) -> Vec<String> {
        match self {
            Axis::List { key, .. } | Axis::Range { key, .. } | Axis::Log { key, .. } => {
                vec![key.clone()]
            }
            Axis::Zip(axes) => axes.iter().flat_map(Axis::keys).collect(),
            Axis::Random { of, .. } | Axis::LatinHypercube { of, .. } => {
                of.iter().map(|span| span.key.clone()).collect()
            }
        }
    }
}

fn single(key: &str, values: Vec<Setting>) -> Result<Vec<Step>> {
    check_key(key)?;
    if values.len() > MOST_POINTS {
        bail!(
            "{key}: {} values are more than the {MOST_POINTS} that a sweep may have",
            values.len()
        );
    }
    Ok(values.into_iter().map(|value| vec![(key.to_string(), value)]).collect())
}

fn check_count(count: usize) -> Result<()> {
    match count {
        0 => bail!("the axis is empty: count is 0"),
        n if n > MOST_POINTS => {
            bail!("count {n} is more than the {MOST_POINTS} that a sweep may have")
        }
        _ => Ok(()),
    }
}

fn number(value: &Setting) -> Result<f64> {
    match value {
        Setting::Whole(number) => Ok(*number as f64),
        Setting::Real(number) if number.is_finite() => Ok(*number),
        other => bail!("`{other}` is no number"),
    }
}

fn range(from: &Setting, to: &Setting, step: &Setting) -> Result<Vec<Setting>> {
    let (low, high, by) = (number(from)?, number(to)?, number(step)?);
    if by == 0.0 || (high - low) * by < 0.0 {
        bail!("the axis is empty: {to} is not reached from {from} by steps of {step}");
    }
    // A hair more, so that 0.1 + 0.1 + 0.1 reaches 0.3.
    let steps = ((high - low) / by + 1e-9).floor();
    if steps >= MOST_POINTS as f64 {
        bail!(
            "{from} to {to} by {step} are more than the {MOST_POINTS} values that a sweep may have"
        );
    }
    let count = steps as i64 + 1;
    Ok(match (from, step) {
        (Setting::Whole(from), Setting::Whole(step)) => {
            (0..count).map(|n| Setting::Whole(from + n * step)).collect()
        }
        _ => (0..count).map(|n| Setting::Real(low + n as f64 * by)).collect(),
    })
}

fn zip(axes: &[Axis]) -> Result<Vec<Step>> {
    let all = axes.iter().map(Axis::steps).collect::<Result<Vec<_>>>()?;
    let lengths: Vec<usize> = all.iter().map(Vec::len).collect();
    if lengths.iter().any(|length| *length != lengths[0]) {
        let keys: Vec<String> = axes
            .iter()
            .zip(&lengths)
            .map(|(axis, n)| format!("{}: {n}", axis.keys().join(", ")))
            .collect();
        bail!("zipped axes have different numbers of values ({})", keys.join("; "));
    }
    let length = lengths.first().copied().unwrap_or(0);
    Ok((0..length).map(|n| all.iter().flat_map(|steps| steps[n].clone()).collect()).collect())
}

impl Span {
    fn ends(&self) -> Result<(f64, f64)> {
        check_key(&self.key)?;
        let ends = (number(&self.from), number(&self.to));
        let (low, high) =
            (ends.0.with_context(|| self.key.clone())?, ends.1.with_context(|| self.key.clone())?);
        if low > high {
            bail!("{}: the axis is empty: {} is more than {}", self.key, self.from, self.to);
        }
        if self.log && low <= 0.0 {
            bail!("{}: only numbers above 0 have a logarithm, and {} is none", self.key, self.from);
        }
        Ok((low, high))
    }

    /// The value at this share of the way.
    fn at(&self, (low, high): (f64, f64), share: f64) -> Setting {
        let value = match self.log {
            true => low * libm::pow(high / low, share),
            false => low + (high - low) * share,
        };
        match (&self.from, &self.to) {
            (Setting::Whole(from), Setting::Whole(to)) => {
                Setting::Whole((value.round() as i64).clamp(*from, *to))
            }
            _ => Setting::Real(value.clamp(low, high)),
        }
    }

    /// The value for a share that was drawn from 0 to 1; of integers, each end is as likely as what lies between.
    fn drawn(&self, (low, high): (f64, f64), share: f64) -> Setting {
        match (&self.from, &self.to, self.log) {
            (Setting::Whole(from), Setting::Whole(to), false) => {
                let width = (to - from) as f64 + 1.0;
                Setting::Whole((from + (share * width).floor() as i64).clamp(*from, *to))
            }
            _ => self.at((low, high), share),
        }
    }
}

fn draw(count: usize, of: &[Span], share: impl Fn(&str, usize) -> f64) -> Result<Vec<Step>> {
    check_count(count)?;
    let ends = of.iter().map(Span::ends).collect::<Result<Vec<_>>>()?;
    let step = |n: usize| {
        let pairs = of.iter().zip(&ends);
        pairs
            .map(|(span, &ends)| (span.key.clone(), span.drawn(ends, share(&span.key, n))))
            .collect()
    };
    Ok((0..count).map(step).collect())
}

/// A number from 0 to 1, 1 left out, that depends on these and nothing else.
fn uniform(seed: u64, key: &str, n: usize, purpose: u8) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&(n as u64).to_le_bytes()).update(&[purpose]);
    hasher.update(key.as_bytes());
    let mut bits = [0; 8];
    bits.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    (u64::from_le_bytes(bits) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The numbers below `count`, in an order by chance.
fn shuffled(count: usize, seed: u64, key: &str) -> Vec<usize> {
    let mut all: Vec<(f64, usize)> = (0..count).map(|n| (uniform(seed, key, n, 1), n)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.into_iter().map(|(_, n)| n).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::parse_ron;

    fn values(text: &str) -> Vec<String> {
        let steps = parse_ron::<Axis>(text).unwrap().steps().unwrap();
        let cells =
            |step: Step| step.iter().map(|(_, v)| v.to_string()).collect::<Vec<_>>().join(" ");
        steps.into_iter().map(cells).collect()
    }

    fn refused(text: &str) -> String {
        format!("{:#}", parse_ron::<Axis>(text).and_then(|axis| axis.steps()).unwrap_err())
    }

    #[test]
    fn do_ranges_hold_both_ends_and_whole_numbers_stay_whole() {
        assert_eq!(values(r#"Range(key: "seed", from: 1, to: 7, step: 3)"#), ["1", "4", "7"]);
        assert_eq!(values(r#"Range(key: "seed", from: 3, to: 1, step: -1)"#), ["3", "2", "1"]);
        assert_eq!(values(r#"Range(key: "top_p", from: 0.1, to: 0.3, step: 0.1)"#).len(), 3);
        assert_eq!(
            values(r#"Log(key: "seed", from: 1, to: 64, count: 4)"#),
            ["1", "4", "16", "64"]
        );
        assert_eq!(values(r#"Log(key: "seed", from: 1, to: 3, count: 9)"#), ["1", "2", "3"]);
    }

    #[test]
    fn do_zipped_axes_go_together() {
        let zip = r#"Zip([List(key: "seed", values: [1, 2]), List(key: "data", values: ["full", "none"])])"#;
        assert_eq!(values(zip), ["1 full", "2 none"]);
        let unequal = refused(&zip.replace("[1, 2]", "[1, 2, 3]"));
        assert!(unequal.contains("seed: 3; data: 2"), "{unequal}");
    }

    #[test]
    fn does_a_latin_hypercube_see_every_part_once() {
        let text = r#"LatinHypercube(count: 8, seed: 5, of: [(key: "seed", from: 0, to: 7), (key: "top_p", from: 0.0, to: 1.0)])"#;
        let drawn = values(text);
        let mut wholes: Vec<&str> = drawn.iter().filter_map(|v| v.split(' ').next()).collect();
        wholes.sort_unstable();
        assert_eq!(wholes, ["0", "1", "2", "3", "4", "5", "6", "7"]);
        let reals = drawn.iter().filter_map(|v| v.split(' ').nth(1)?.parse::<f64>().ok());
        let mut parts: Vec<u8> = reals.map(|v| (v * 8.0) as u8).collect();
        parts.sort_unstable();
        assert_eq!(parts, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(values(text), drawn);
        assert_ne!(values(&text.replace("seed: 5", "seed: 6")), drawn);
    }

    #[test]
    fn are_random_points_within_their_range() {
        let drawn = values(r#"Random(count: 200, seed: 1, of: [(key: "seed", from: 2, to: 4)])"#);
        for whole in ["2", "3", "4"] {
            assert!(drawn.iter().filter(|v| *v == whole).count() > 40, "{whole}");
        }
    }

    #[test]
    fn are_axes_without_sense_refused() {
        assert!(refused(r#"List(key: "seed", values: [])"#).contains("seed: the axis is empty"));
        assert!(refused(r#"List(key: "sed", values: [1])"#).contains("did you mean `seed`?"));
        assert!(refused(r#"Lists(key: "seed", values: [1])"#).contains("did you mean `List`?"));
        assert!(refused(r#"List(key: "seed", value: [1])"#).contains("did you mean `values`?"));
        assert!(refused(r#"Range(key: "seed", from: 1, to: 9, step: 0)"#).contains("empty"));
        assert!(
            refused(r#"Range(key: "seed", from: 1, to: 9999999999, step: 1)"#).contains("100000")
        );
        assert!(refused(r#"Log(key: "seed", from: 0, to: 9, count: 3)"#).contains("logarithm"));
        assert!(refused(r#"Random(count: 9999999, seed: 1, of: [])"#).contains("100000"));
        assert!(refused("Zip([])").contains("empty"));
    }
}
