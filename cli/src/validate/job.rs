//! What is to be measured, and measuring it: in parallel, with results in the order of the plan.

use super::row::{Row, Section};
use anyhow::Result;
use rayon::prelude::*;

/// Weight of a measurement from which it is left out of the fast part.
const HEAVY: u64 = 1 << 20;

/// A measurement that makes a row.
pub(super) struct Job {
    /// About how many wavelet hops it simulates.
    pub(super) weight: u64,
    /// Runs it.
    pub(super) measure: Box<dyn Fn() -> Result<Row> + Send + Sync>,
}

/// Sections and their measurements.
#[derive(Default)]
pub(super) struct Plan {
    sections: Vec<Section>,
    /// With the index of their section.
    jobs: Vec<(usize, Job)>,
}

impl Plan {
    /// Begins a section.
    pub(super) fn section(&mut self, title: &'static str, about: &'static str) {
        self.sections.push(Section { title, about, rows: Vec::new() });
    }

    /// Adds a measurement to the last section.
    pub(super) fn add(&mut self, job: Job) {
        self.jobs.push((self.sections.len() - 1, job));
    }

    /// Leaves out what takes long.
    pub(super) fn keep_fast(&mut self) {
        self.jobs.retain(|(_, job)| job.weight < HEAVY);
    }

    /// Number of measurements.
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Measures everything; `done` is told after each measurement.
    ///
    /// # Errors
    /// The first, in the order of the plan, that could not be measured.
    pub(super) fn run(self, done: impl Fn() + Sync) -> Result<Vec<Section>> {
        let Plan { mut sections, jobs } = self;
        // The longest first, so that none of them is left alone at the end.
        let mut order: Vec<usize> = (0..jobs.len()).collect();
        order.sort_by_key(|&at| std::cmp::Reverse(jobs[at].1.weight));
        let measured = order.into_par_iter().with_max_len(1).map(|at| {
            let row = (jobs[at].1.measure)();
            done();
            (at, row)
        });
        let mut rows: Vec<(usize, Result<Row>)> = measured.collect();
        rows.sort_by_key(|(at, _)| *at);
        for (at, row) in rows {
            sections[jobs[at].0].rows.push(row?);
        }
        Ok(sections)
    }
}
