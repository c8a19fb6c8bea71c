//! Constraints: comparisons between two keys, or a key and a value, that leave points out.

use crate::ask::{Ask, Setting, known_keys};
use anyhow::{Context as _, Result, bail};
use std::cmp::Ordering;

/// Whether a comparison that came out this way passes.
type Test = fn(Ordering) -> bool;

/// Longer operators first, so that `<=` is not read as `<`.
const OPERATORS: [(&str, Test); 6] = [
    ("<=", Ordering::is_le),
    (">=", Ordering::is_ge),
    ("==", Ordering::is_eq),
    ("!=", Ordering::is_ne),
    ("<", Ordering::is_lt),
    (">", Ordering::is_gt),
];

/// A comparison that a point must pass.
#[derive(Debug)]
pub(super) struct Constraint {
    left: Operand,
    holds: Test,
    right: Operand,
}

#[derive(Debug)]
enum Operand {
    Key(String),
    Value(Setting),
}

impl Constraint {
    /// Reads `LEFT OPERATOR RIGHT`.
    ///
    /// # Errors
    /// No operator.
    pub(super) fn parse(text: &str) -> Result<Constraint> {
        let known = known_keys();
        let operand = |text: &str| {
            let text = text.trim();
            match (known.iter().any(|key| key == text), text.parse(), text.parse()) {
                (true, ..) => Operand::Key(text.to_string()),
                (_, Ok(whole), _) => Operand::Value(Setting::Whole(whole)),
                (_, _, Ok(real)) => Operand::Value(Setting::Real(real)),
                _ => Operand::Value(Setting::Text(text.trim_matches('"').to_string())),
            }
        };
        for (operator, holds) in OPERATORS {
            if let Some((left, right)) = text.split_once(operator) {
                let constraint = Constraint { left: operand(left), holds, right: operand(right) };
                let is_key = |side: &Operand| matches!(side, Operand::Key(_));
                if !is_key(&constraint.left) && !is_key(&constraint.right) {
                    crate::ask::check_key(left.trim()).context("neither side is a key")?;
                }
                return Ok(constraint);
            }
        }
        bail!("write KEY <= KEY, or KEY != VALUE (operators: <= >= == != < >)")
    }

    /// Whether the point passes.
    ///
    /// # Errors
    /// A key that is not set.
    pub(super) fn holds(&self, point: &Ask) -> Result<bool> {
        let (left, right) = (self.left.value(point)?, self.right.value(point)?);
        let ordering = match (size(left), size(right)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => left.to_string().cmp(&right.to_string()),
        };
        Ok((self.holds)(ordering))
    }
}

impl Operand {
    fn value<'a>(&'a self, point: &'a Ask) -> Result<&'a Setting> {
        match self {
            Operand::Value(value) => Ok(value),
            Operand::Key(key) => point.0.get(key).with_context(|| {
                format!("neither the axes nor `run` set {key}, so that it cannot be compared")
            }),
        }
    }
}

fn size(value: &Setting) -> Option<f64> {
    match value {
        Setting::Whole(number) => Some(*number as f64),
        Setting::Real(number) => Some(*number),
        Setting::Text(text) => text.parse().ok(),
        _ => None,
    }
}
