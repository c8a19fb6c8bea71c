//! Two documents side by side: every leaf that differs, whatever the document is.

use crate::figures::grouped;
use serde_json::{Number, Value, json};

/// A place at which two documents differ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// Keys and indices on the way to it, such as `requests[0].latency.ttft_cycles`.
    pub(crate) path: String,
    /// How they differ.
    pub(crate) difference: Difference,
}

/// How two documents differ at one place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Difference {
    /// Two numbers.
    Number(Number, Number),
    /// Two lists of numbers, not necessarily of the same length.
    Series(Vec<Number>, Vec<Number>),
    /// Anything else; none where a document has nothing at that place.
    Other(Option<Value>, Option<Value>),
}

/// All places at which `a` and `b` differ, in the order of `a`, what only `b` has behind.
pub(crate) fn changes(a: &Value, b: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    walk("", Some(a), Some(b), &mut found);
    found
}

fn walk(path: &str, a: Option<&Value>, b: Option<&Value>, found: &mut Vec<Change>) {
    if a == b {
        return;
    }
    let difference = match (a, b) {
        (Some(Value::Object(x)), Some(Value::Object(y))) => {
            let only_in_b = y.keys().filter(|key| !x.contains_key(*key));
            for key in x.keys().chain(only_in_b) {
                let dot = if path.is_empty() { "" } else { "." };
                walk(&format!("{path}{dot}{key}"), x.get(key), y.get(key), found);
            }
            return;
        }
        (Some(Value::Array(x)), Some(Value::Array(y))) => match (numbers(x), numbers(y)) {
            (Some(x), Some(y)) => Difference::Series(x, y),
            _ => {
                for at in 0..x.len().max(y.len()) {
                    walk(&format!("{path}[{at}]"), x.get(at), y.get(at), found);
                }
                return;
            }
        },
        (Some(Value::Number(x)), Some(Value::Number(y))) => {
            Difference::Number(x.clone(), y.clone())
        }
        _ => Difference::Other(a.cloned(), b.cloned()),
    };
    found.push(Change { path: path.to_string(), difference });
}

/// The list as numbers, if it is one of nothing else.
fn numbers(list: &[Value]) -> Option<Vec<Number>> {
    let number = |value: &Value| match value {
        Value::Number(number) => Some(number.clone()),
        _ => None,
    };
    list.iter().map(number).collect()
}

impl Change {
    /// Whether no number has moved by more than this share of what it was.
    pub(crate) fn is_within(&self, share: f64) -> bool {
        let near = |a: &Number, b: &Number| {
            let (a, b) = (float(a), float(b));
            (b - a).abs() <= share * a.abs()
        };
        match &self.difference {
            Difference::Number(a, b) => near(a, b),
            Difference::Series(a, b) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a, b))
            }
            Difference::Other(..) => false,
        }
    }

    /// The change as rows of five cells: what, before, after, difference, share.
    pub(crate) fn rows(&self) -> Vec<[String; 5]> {
        let number = |what: String, a: &Number, b: &Number| {
            [what, figure(a), figure(b), absolute(a, b), relative(a, b)]
        };
        match &self.difference {
            Difference::Number(a, b) => vec![number(self.path.clone(), a, b)],
            Difference::Series(a, b) => self.series_rows(a, b),
            Difference::Other(a, b) => {
                vec![[
                    self.path.clone(),
                    shown(a.as_ref()),
                    shown(b.as_ref()),
                    String::new(),
                    String::new(),
                ]]
            }
        }
    }

    /// How many of a list differ, the first that does, and the last.
    fn series_rows(&self, a: &[Number], b: &[Number]) -> Vec<[String; 5]> {
        let path = &self.path;
        let differing = differing(a, b);
        let both = a.len().min(b.len());
        let mut rows = Vec::new();
        let mut row = |what: String, at: usize| {
            let (a, b) = (&a[at], &b[at]);
            rows.push([what, figure(a), figure(b), absolute(a, b), relative(a, b)]);
        };
        if let Some(&first) = differing.first() {
            row(format!("{path}[{first}], first of {} of {both}", differing.len()), first);
            let last = both - 1;
            if last > first {
                row(format!("{path}[{last}], the last"), last);
            }
        }
        if a.len() != b.len() {
            let (a, b) = (Number::from(a.len()), Number::from(b.len()));
            let moved = absolute(&a, &b);
            rows.push([
                format!("{path}, how many"),
                figure(&a),
                figure(&b),
                moved,
                relative(&a, &b),
            ]);
        }
        rows
    }

    /// The change as documents hold it.
    pub(crate) fn entry(&self) -> Value {
        let path = &self.path;
        match &self.difference {
            Difference::Number(a, b) => json!({
                "path": path, "a": a, "b": b,
                "absolute": float(b) - float(a), "relative": share(a, b),
            }),
            Difference::Series(a, b) => {
                let differing = differing(a, b);
                json!({
                    "path": path, "a": a, "b": b,
                    "differing": differing.len(), "first": differing.first(),
                })
            }
            Difference::Other(a, b) => json!({ "path": path, "a": a, "b": b }),
        }
    }
}

/// Places at which two lists of numbers differ, as far as both go.
fn differing(a: &[Number], b: &[Number]) -> Vec<usize> {
    let pairs = a.iter().zip(b).enumerate();
    pairs.filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect()
}

fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

/// By what share of `a` the number moved; none from 0.
fn share(a: &Number, b: &Number) -> Option<f64> {
    let (a, b) = (float(a), float(b));
    (a != 0.0).then(|| (b - a) / a.abs())
}

/// A number as people read it: integers exact, others to six digits.
fn figure(number: &Number) -> String {
    match number.as_u64() {
        Some(whole) => grouped(whole),
        None if number.is_i64() => number.to_string(),
        None => format!("{:.6e}", float(number)),
    }
}

fn absolute(a: &Number, b: &Number) -> String {
    match (a.as_u64(), b.as_u64()) {
        (Some(a), Some(b)) if b >= a => format!("+{}", grouped(b - a)),
        (Some(a), Some(b)) => format!("-{}", grouped(a - b)),
        _ => format!("{:+.3e}", float(b) - float(a)),
    }
}

fn relative(a: &Number, b: &Number) -> String {
    match share(a, b) {
        None => "from 0".into(),
        Some(share) if share.abs() < 0.000_1 => format!("{:+.5} %", share * 100.0),
        Some(share) => format!("{:+.2} %", share * 100.0),
    }
}

/// What is at one place of a document, cut where it is long.
fn shown(value: Option<&Value>) -> String {
    const LONGEST: usize = 48;
    let text = match value {
        None => return "(absent)".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(a: Value, b: Value) -> Vec<Change> {
        changes(&a, &b)
    }

    #[test]
    fn are_all_leaves_that_differ_found_and_no_other() {
        let a = json!({"x": 1, "same": [1, {"y": 2}], "list": [{"z": 1}], "gone": "a"});
        let b = json!({"x": 2, "same": [1, {"y": 2}], "list": [{"z": 3}, 5], "new": null});
        let paths: Vec<String> = found(a, b).into_iter().map(|change| change.path).collect();
        assert_eq!(paths, ["x", "list[0].z", "list[1]", "gone", "new"]);
    }

    #[test]
    fn are_lists_of_numbers_summarised() {
        let change = &found(json!({"c": [10, 20, 30, 40]}), json!({"c": [10, 22, 30, 44]}))[0];
        let rows = change.rows();
        assert_eq!(rows[0], ["c[1], first of 2 of 4", "20", "22", "+2", "+10.00 %"]);
        assert_eq!(rows[1], ["c[3], the last", "40", "44", "+4", "+10.00 %"]);
        assert!(change.is_within(0.1) && !change.is_within(0.09));
        let shorter = &found(json!({"c": [1, 2]}), json!({"c": [1]}))[0];
        assert_eq!(shorter.rows(), [["c, how many", "2", "1", "-1", "-50.00 %"]]);
        assert!(!shorter.is_within(9.0));
    }

    #[test]
    fn is_one_cycle_among_billions_not_rounded_away() {
        let change = &found(json!(9_000_000_000_u64), json!(9_000_000_001_u64))[0];
        assert_eq!(change.rows()[0][3], "+1");
        assert!(!change.is_within(0.0));
    }
}
