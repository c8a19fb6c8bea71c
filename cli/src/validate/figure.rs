//! Published constants, each with the measurement that shows it.

use super::job::{Job, Plan};
use super::probe::machine;
use super::row::{Allowed, Figure, Row};
use anyhow::Result;
use fabric::Machine;

/// Measures one thing on a machine of a few tiles.
pub(super) type Measure = fn(&Machine) -> Result<Figure>;

/// A published constant of a preset.
pub(super) struct Published {
    /// The preset that its source belongs to.
    pub(super) preset: &'static str,
    /// Who published it.
    pub(super) source: &'static str,
    /// The figure.
    pub(super) figure: Figure,
    /// What the simulation may give, and what it gives instead, with the number of the cause.
    pub(super) limits: (Allowed, Option<f64>, Option<usize>),
}

/// A figure that must come out as published.
pub(super) fn exact(
    preset: &'static str,
    source: &'static str,
    figure: impl Into<Figure>,
) -> Published {
    Published { preset, source, figure: figure.into(), limits: (Allowed::Exact, None, None) }
}

/// A figure that the contract makes something else of, by a cause.
pub(super) fn instead(
    preset: &'static str,
    source: &'static str,
    figure: f64,
    (contract, cause): (f64, usize),
) -> Published {
    let limits = (Allowed::Contract, Some(contract), Some(cause));
    Published { preset, source, figure: figure.into(), limits }
}

impl Published {
    /// The same figure, of which a reader wants to know how it was counted.
    pub(super) fn see(self, cause: usize) -> Published {
        Published { limits: (self.limits.0, self.limits.1, Some(cause)), ..self }
    }

    /// The same figure, near which it is enough to be.
    pub(super) fn near(self) -> Published {
        Published { limits: (Allowed::Near, self.limits.1, self.limits.2), ..self }
    }
}

/// Adds a measurement for each preset for which a figure is published.
pub(super) fn add(
    plan: &mut Plan,
    (what, unit): (&'static str, &'static str),
    measure: Measure,
    published: impl IntoIterator<Item = Published>,
) {
    for Published { preset, source, figure, limits: (allowed, contract, cause) } in published {
        let measure = Box::new(move || {
            Ok(Row {
                preset,
                what: what.to_string(),
                unit,
                source,
                published: figure.clone(),
                contract,
                simulated: measure(&machine(preset, 4, 2)?)?,
                allowed,
                cause,
            })
        });
        plan.add(Job { weight: 1, measure });
    }
}
