//! The same requests on a machine that differs in some constants.

use crate::failure::Failure;
use crate::progress::Progress;
use crate::receiver::Rules;
use crate::requests;
use crate::requests::Request;
use crate::run::Job;
use crate::session::{self, Finished, Session};
use crate::settings::Settings;
use anyhow::anyhow;
use compiler::Mapping;
use models::{MlpKind, StopStrings};
use sim_core::Data;
use std::num::NonZeroUsize;
use traces::explain::Speed;

/// New tokens of each request that machines are compared by.
const COMPARED: usize = 8;

/// What runs on every machine.
pub(super) struct Bench<'a> {
    job: &'a Job,
    /// Of the machine as it is, for all: what would be gained by another cut is another question.
    mapping: Mapping,
    requests: Vec<Request>,
    data: Data,
    no_stops: StopStrings,
}

/// A run that ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ran {
    pub(super) speed: Speed,
    /// When each token of the first request came.
    pub(super) cycles: Vec<u64>,
}

impl<'a> Bench<'a> {
    /// The first tokens that the requests were answered with. Without data, unless time depends on it.
    pub(super) fn new(job: &'a Job, mapping: &Mapping, finished: &Finished) -> Bench<'a> {
        let graph = job.model.graph();
        let decides =
            graph.blocks.iter().any(|block| matches!(block.mlp.kind, MlpKind::Experts(_)));
        let keeps_data = job.data.is_full() && (decides || job.sampling.is_some());
        let data = match job.data {
            Data::Full if keeps_data => Data::Full,
            Data::Full => Data::None { seed: 0 },
            none => none,
        };
        let shorter = |(request, answer): (&Request, &crate::receiver::Answer)| Request {
            max_new: answer.cycles.len().min(COMPARED),
            is_cut: false,
            ..request.clone()
        };
        let requests = job.requests.iter().zip(&finished.answers).map(shorter).collect();
        let no_stops = StopStrings::new(std::iter::empty());
        Bench { job, mapping: *mapping, requests, data, no_stops }
    }

    /// New tokens of the first request that are compared.
    pub(super) fn tokens(&self) -> usize {
        self.requests[0].max_new
    }

    /// Whether values are simulated.
    pub(super) fn is_full(&self) -> bool {
        self.data.is_full()
    }

    /// Runs on the machine with these constants.
    ///
    /// # Errors
    /// Constants that are not legal, a model that cannot be placed, or a run that does not end.
    pub(super) fn run(&self, changes: &[(&str, &str)]) -> Result<Ran, Failure> {
        let job = self.job;
        let settings = Settings {
            machine: job.settings.machine.with_overrides(changes)?,
            numerics: job.settings.numerics,
            mapping: self.mapping,
            overrides: Vec::new(),
        };
        let graph = job.model.graph();
        let weights = job.model.weights().filter(|_| self.is_full());
        let positions: Vec<usize> = job.requests.iter().map(Request::positions).collect();
        let longest_prompt = requests::longest_prompt(&job.requests);
        let wanted = (&positions[..], longest_prompt, job.sampling.is_some());
        let mut compiled = session::place(graph, weights, &settings, wanted)?;
        let rules = match self.is_full() {
            true => job.rules(),
            false => Rules { eos_ids: &[], tokenizer: None, stops: &self.no_stops, sampling: None },
        };
        let total = positions.iter().sum::<usize>() as u64;
        let session = Session {
            requests: &self.requests,
            rules: &rules,
            data: self.data,
            limit: session::generous_limit(graph, &compiled.image, total),
            threads: NonZeroUsize::MIN,
            fold: false,
            quiet: true,
            progress: &Progress::start("", true),
        };
        let finished = session.simulate(&mut compiled, &mut |_, _, _| Ok(()), None)?;
        let cycles: Vec<u64> = finished.answers[0].cycles.iter().map(|cycle| cycle.0).collect();
        let speed = super::speed(settings.machine.clock_hz, &cycles);
        let speed = speed.ok_or_else(|| anyhow!("the answer has no token"))?;
        Ok(Ran { speed, cycles })
    }
}
