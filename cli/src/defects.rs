//! What a wafer's defects cost: counted, and measured against the same wafer without them.

use crate::failure::{Failure, note};
use crate::progress::Progress;
use crate::receiver::{Answer, Rules};
use crate::requests::{self, Request};
use crate::session::{self, Session};
use crate::settings::Settings;
use compiler::{Compiled, Detours};
use fabric::{DefectMap, Defects, Machine};
use models::{DecoderGraph, Weights};
use sim_core::Data;
use std::num::NonZeroUsize;
use traces::{DefectsEntry, HealthyEntry, Latency};

/// Tokens of each request that the wafer without defects has to make.
const COMPARED: usize = 2;

/// The defects of a machine and the ways around them; none where all works.
pub(crate) fn count(machine: &Machine, detours: Detours) -> Option<DefectsEntry> {
    let map = DefectMap::of(machine);
    (!map.is_empty()).then(|| DefectsEntry {
        dead_pes: map.dead_pes().count() as u64,
        dead_links: map.dead_links().count() as u64,
        spare_pes: detours.spare_pes,
        longer_nets: detours.longer_nets,
        extra_links: detours.extra_links,
        healthy: None,
    })
}

/// What ran, for a comparison.
pub(crate) struct Ran<'a> {
    pub(crate) graph: &'a DecoderGraph,
    pub(crate) weights: Option<&'a Weights>,
    pub(crate) data: Data,
    pub(crate) settings: &'a Settings,
    pub(crate) requests: &'a [Request],
    pub(crate) rules: &'a Rules<'a>,
    pub(crate) compiled: &'a Compiled,
    pub(crate) threads: NonZeroUsize,
    pub(crate) fold: bool,
    pub(crate) quiet: bool,
}

impl Ran<'_> {
    /// Runs the first tokens of the same requests on the machine without its defects, with the same cut of the model, and
    /// compares those of the first request with `answer`.
    ///
    /// # Errors
    /// As running the model.
    pub(crate) fn compare(
        &self,
        answer: &Answer,
        progress: &Progress,
    ) -> Result<Option<HealthyEntry>, Failure> {
        progress.say("running without defects, to compare");
        let settings = Settings {
            machine: Machine { defects: Defects::default(), ..self.settings.machine.clone() },
            numerics: self.settings.numerics,
            mapping: self.compiled.mapping,
            overrides: Vec::new(),
        };
        let positions: Vec<usize> = self.requests.iter().map(Request::positions).collect();
        // Lanes can be shorter there, and then hold fewer requests. What has run is worth its report all the same.
        let longest_prompt = requests::longest_prompt(self.requests);
        let wanted = (&positions[..], longest_prompt, self.rules.sampling.is_some());
        let mut compiled = match session::place(self.graph, self.weights, &settings, wanted) {
            Ok(compiled) => compiled,
            Err(reason) => {
                if !self.quiet {
                    let told = format!("not compared with the wafer without defects: {reason}");
                    progress.suspend(|| note(&told));
                }
                return Ok(None);
            }
        };
        let shorter =
            |r: &Request| Request { max_new: r.max_new.min(COMPARED), is_cut: false, ..r.clone() };
        let requests: Vec<Request> = self.requests.iter().map(shorter).collect();
        let total = positions.iter().sum::<usize>() as u64;
        let limit = session::generous_limit(self.graph, &compiled.image, total);
        let session = Session {
            requests: &requests,
            rules: self.rules,
            data: self.data,
            limit,
            threads: self.threads,
            fold: self.fold,
            quiet: true,
            progress,
        };
        let finished = session.simulate(&mut compiled, &mut |_, _, _| Ok(()), None)?;
        let healthy = &finished.answers[0];
        let latency = |answer: &Answer| Latency::of(&settings.machine, &answer.cycles);
        let entry = HealthyEntry::compare(
            (&answer.ids, &latency(answer)),
            (&healthy.ids, &latency(healthy)),
        );
        let tokens_equal = entry.tokens_equal.filter(|_| self.data.is_full());
        Ok(Some(HealthyEntry { tokens_equal, ..entry }))
    }
}
