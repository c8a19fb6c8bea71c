//! What a validation says: sections of rows, each a published figure beside the simulated one.

use serde::Serialize;

/// Largest difference that needs no reason, of the published figure.
pub(super) const TOLERANCE: f64 = 0.05;

/// Rounding of quotients that are not binary fractions, relative.
const ROUNDING: f64 = 1e-9;

/// A figure: a number, or one number for each of several like things.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Figure {
    /// One number.
    Number(f64),
    /// Several.
    List(Vec<u64>),
}

impl From<f64> for Figure {
    fn from(value: f64) -> Figure {
        Figure::Number(value)
    }
}

impl From<u64> for Figure {
    fn from(value: u64) -> Figure {
        Figure::Number(value as f64)
    }
}

impl Figure {
    /// Whether they are the same number, but for rounding.
    fn is(&self, other: &Figure) -> bool {
        match (self, other) {
            (Figure::Number(a), Figure::Number(b)) => (a - b).abs() <= ROUNDING * b.abs(),
            _ => self == other,
        }
    }
}

/// What the simulated figure may be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Allowed {
    /// The published one.
    Exact,
    /// The published one within [`TOLERANCE`].
    Near,
    /// What the contract makes of it, which the row states, exactly; a cause says why that is another number.
    Contract,
    /// Between the contract's floor, which the row states, and so much more; a cause says why.
    Above(f64),
}

/// How near a row came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// The published figure.
    Exact,
    /// Within [`TOLERANCE`] of it.
    Near,
    /// Further, by the cause that is given and as far as it predicts.
    Explained,
    /// Outside what is allowed.
    Wrong,
}

/// A published figure beside the simulated one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    /// The preset that ran.
    pub(super) preset: &'static str,
    /// What was measured.
    pub(super) what: String,
    /// Its unit.
    pub(super) unit: &'static str,
    /// Who published it.
    pub(super) source: &'static str,
    /// The published figure.
    pub(super) published: Figure,
    /// What follows from the timing contract, where that is another number.
    pub(super) contract: Option<f64>,
    /// What the simulation gave.
    pub(super) simulated: Figure,
    /// What it may be.
    pub(super) allowed: Allowed,
    /// Number of the cause of the difference.
    pub(super) cause: Option<usize>,
}

impl Row {
    /// Simulated less published; for lists the sum of all distances.
    pub(super) fn difference(&self) -> f64 {
        match (&self.simulated, &self.published) {
            (Figure::Number(a), Figure::Number(b)) => a - b,
            (Figure::List(a), Figure::List(b)) if a.len() == b.len() => {
                a.iter().zip(b).map(|(a, b)| a.abs_diff(*b) as f64).sum()
            }
            _ => f64::INFINITY,
        }
    }

    /// The difference as a part of the published figure; none where that is 0 or a list.
    pub(super) fn relative(&self) -> Option<f64> {
        match self.published {
            Figure::Number(published) if published != 0.0 => Some(self.difference() / published),
            _ => None,
        }
    }

    /// How near it came.
    pub(super) fn standing(&self) -> Standing {
        let is_exact = self.simulated.is(&self.published);
        let is_near = is_exact || self.relative().is_some_and(|r| r.abs() <= TOLERANCE);
        let simulated = match self.simulated {
            Figure::Number(value) => Some(value),
            Figure::List(_) => None,
        };
        let holds = match (self.allowed, simulated.zip(self.contract)) {
            (Allowed::Exact, _) => is_exact,
            (Allowed::Near, _) => is_near,
            (Allowed::Contract, Some((simulated, contract))) => {
                (simulated - contract).abs() <= ROUNDING * contract.abs()
            }
            (Allowed::Above(more), Some((simulated, floor))) => {
                floor <= simulated && simulated <= floor + more
            }
            (Allowed::Contract | Allowed::Above(_), None) => false,
        };
        match () {
            () if !holds => Standing::Wrong,
            () if is_exact => Standing::Exact,
            () if is_near => Standing::Near,
            // Far off is only right with a reason.
            () if self.cause.is_none() => Standing::Wrong,
            () => Standing::Explained,
        }
    }
}

/// Rows that belong to one formula, or to one kind of constant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Section {
    /// Heading.
    pub(super) title: &'static str,
    /// What was run and how it was counted.
    pub(super) about: &'static str,
    /// Results, in a fixed order.
    pub(super) rows: Vec<Row>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(simulated: f64, allowed: Allowed, contract: Option<f64>, cause: Option<usize>) -> Row {
        Row {
            preset: "wse2",
            what: "something".into(),
            unit: "cycles",
            source: "HPDC",
            published: Figure::Number(100.0),
            contract,
            simulated: Figure::Number(simulated),
            allowed,
            cause,
        }
    }

    #[test]
    fn is_a_row_wrong_when_it_leaves_what_is_allowed() {
        use Standing::{Exact, Explained, Near, Wrong};
        let cases = [
            (row(100.0, Allowed::Exact, None, None), Exact),
            (row(101.0, Allowed::Exact, None, None), Wrong),
            (row(105.0, Allowed::Near, None, None), Near),
            (row(106.0, Allowed::Near, None, None), Wrong),
            (row(94.0, Allowed::Near, None, None), Wrong),
            (row(150.0, Allowed::Contract, Some(150.0), Some(1)), Explained),
            (row(150.0, Allowed::Contract, Some(150.0), None), Wrong),
            (row(151.0, Allowed::Contract, Some(150.0), Some(1)), Wrong),
            (row(102.0, Allowed::Contract, Some(102.0), Some(1)), Near),
            (row(150.0, Allowed::Contract, None, Some(1)), Wrong),
            (row(150.0, Allowed::Above(10.0), Some(140.0), Some(1)), Explained),
            (row(151.0, Allowed::Above(10.0), Some(140.0), Some(1)), Wrong),
            (row(139.0, Allowed::Above(10.0), Some(140.0), Some(1)), Wrong),
        ];
        for (row, standing) in cases {
            assert_eq!(row.standing(), standing, "{row:?}");
        }
    }

    #[test]
    fn are_lists_equal_or_wrong() {
        let list = |simulated: &[u64]| Row {
            published: Figure::List(vec![6, 4]),
            simulated: Figure::List(simulated.to_vec()),
            ..row(0.0, Allowed::Exact, None, None)
        };
        assert_eq!(list(&[6, 4]).standing(), Standing::Exact);
        assert_eq!(list(&[6, 5]).standing(), Standing::Wrong);
        assert_eq!(list(&[6]).standing(), Standing::Wrong);
        assert_eq!(list(&[6, 5]).difference(), 1.0);
    }
}
