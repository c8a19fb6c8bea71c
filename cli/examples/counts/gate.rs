//! What is said of counts beside those of the baseline.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The file of the baseline.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    pub(crate) made_by: MadeBy,
    /// Of each run.
    pub(crate) instructions: BTreeMap<String, u64>,
}

/// What the counts depend on beside the sources.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MadeBy {
    /// Version of the compiler, with its commit.
    pub(crate) rustc: String,
    /// Such as `x86_64-unknown-linux-gnu`.
    pub(crate) target: String,
    /// The vector instructions that the host offers, as far as arithmetic of vectors chooses by them.
    pub(crate) vectors: String,
}

impl MadeBy {
    /// Of what `rustc -vV` prints.
    pub(crate) fn of(rustc: &str) -> Option<MadeBy> {
        let target = rustc.lines().find_map(|line| line.strip_prefix("host: "))?;
        let version = rustc.lines().next()?.strip_prefix("rustc ")?;
        Some(MadeBy { rustc: version.to_string(), target: target.to_string(), vectors: vectors() })
    }
}

impl fmt::Display for MadeBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rustc {}, {}, {}", self.rustc, self.target, self.vectors)
    }
}

fn vectors() -> String {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        return "AVX2 and FMA".to_string();
    }
    "no AVX2 and FMA".to_string()
}

/// The count in what callgrind says at its end.
pub(crate) fn collected(told: &str) -> Option<u64> {
    let count = told.lines().find_map(|line| line.split_once("Collected : "))?.1;
    count.trim().parse().ok().filter(|&count| count > 0)
}

/// By which a count may differ from the baseline's, of a hundred.
const PERCENT: u64 = 2;

/// One run beside the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Less than 2 % away.
    Same { before: u64, now: u64 },
    /// 2 % more, or worse.
    Worse { before: u64, now: u64 },
    /// 2 % less, or better.
    Better { before: u64, now: u64 },
    /// Not in the baseline.
    New { now: u64 },
    /// In the baseline, and not run.
    Gone,
}

impl Verdict {
    fn of(before: Option<u64>, now: Option<u64>) -> Verdict {
        match (before, now) {
            (Some(before), Some(now)) if now * 100 >= before * (100 + PERCENT) => {
                Verdict::Worse { before, now }
            }
            (Some(before), Some(now)) if now * 100 <= before * (100 - PERCENT) => {
                Verdict::Better { before, now }
            }
            (Some(before), Some(now)) => Verdict::Same { before, now },
            (None, Some(now)) => Verdict::New { now },
            (_, None) => Verdict::Gone,
        }
    }

    /// Whether the gate fails. So it does where baseline and program do not name the same runs.
    pub(crate) fn fails(self) -> bool {
        matches!(self, Verdict::Worse { .. } | Verdict::New { .. } | Verdict::Gone)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, before, now) = match *self {
            Verdict::Same { before, now } => ("ok", before, now),
            Verdict::Worse { before, now } => ("FAILED, 2 % more or worse", before, now),
            Verdict::Better { before, now } => ("better by 2 % or more", before, now),
            Verdict::New { now } => return write!(f, "FAILED, {now} instructions, no baseline"),
            Verdict::Gone => return write!(f, "FAILED, in the baseline, but not run"),
        };
        let change = 100.0 * (now as f64 / before as f64 - 1.0);
        write!(f, "{word}: {now} instructions, {change:+.2} % (baseline: {before})")
    }
}

/// The verdict on every run that either side names.
pub(crate) fn compare(
    before: &BTreeMap<String, u64>,
    now: &BTreeMap<String, u64>,
) -> Vec<(String, Verdict)> {
    let mut names: Vec<&String> = before.keys().chain(now.keys()).collect();
    names.sort();
    names.dedup();
    let verdict = |name: &String| Verdict::of(before.get(name).copied(), now.get(name).copied());
    names.into_iter().map(|name| (name.clone(), verdict(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_the_gate_fail_at_two_percent_and_not_below() {
        let of = |now| Verdict::of(Some(1_000), Some(now));
        assert_eq!(of(1_019), Verdict::Same { before: 1_000, now: 1_019 });
        assert_eq!(of(1_020), Verdict::Worse { before: 1_000, now: 1_020 });
        assert_eq!(of(981), Verdict::Same { before: 1_000, now: 981 });
        assert_eq!(of(980), Verdict::Better { before: 1_000, now: 980 });
        assert!(of(1_020).fails() && !of(1_019).fails() && !of(980).fails());
        assert_eq!(
            of(1_020).to_string(),
            "FAILED, 2 % more or worse: 1020 instructions, +2.00 % (baseline: 1000)"
        );
    }

    #[test]
    fn are_runs_that_only_one_side_names_failures() {
        let one = |name: &str| BTreeMap::from([(name.to_string(), 5)]);
        let verdicts = compare(&one("old"), &one("new"));
        let told =
            [("new".to_string(), Verdict::New { now: 5 }), ("old".to_string(), Verdict::Gone)];
        assert_eq!(verdicts, told);
        assert!(verdicts.iter().all(|(_, verdict)| verdict.fails()));
    }

    #[test]
    fn is_a_count_read_only_where_there_is_one() {
        assert_eq!(collected("==1== \n==1== Collected : 1234\n==1== "), Some(1_234));
        assert_eq!(collected("==1== Collected : 0"), None);
        assert_eq!(collected("==1== Command: x"), None);
    }

    #[test]
    fn do_compiler_and_target_come_from_rustc() {
        let made = MadeBy::of("rustc 1.95.0 (59807616e 2026-04-14)\nhost: wafer\n").expect("both");
        assert_eq!(made.rustc, "1.95.0 (59807616e 2026-04-14)");
        assert_eq!(made.target, "wafer");
        assert!(MadeBy::of("rustc 1.95.0").is_none());
    }
}
