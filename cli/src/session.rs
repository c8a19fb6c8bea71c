//! One simulation: a compiled model, what the host sends, and the tokens that come back.

use crate::attribution::Recorder;
use crate::failure::{Failure, note};
use crate::misbehaviour::Misbehaviour;
use crate::progress::Progress;
use crate::receiver::{Answer, Listener, Receiver, Rules};
use crate::requests::Request;
use crate::settings::Settings;
use crate::taps::Taps;
use compiler::{Compiled, Options};
use fabric::{HostPlan, HostWord, Machine, WaferImage};
use models::{DecoderGraph, Weights};
use pe_isa::{Cycle, DType};
use sim_core::fold::{self, Ended, Folded, Unfolded};
use sim_core::{Data, HostScript, HostWavelet, NoObserver, Outcome, PeCycles, engine};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};
use traces::FoldingEntry;
use traces::attribution::Sent;

/// Places the model for requests of these numbers of positions, the longest prompt of which has so many tokens (0 if that is not
/// known); without weights, for runs without data. `host_draws`: whether the host draws the tokens.
///
/// # Errors
/// Everything that keeps the model from fitting, collected.
pub(crate) fn place(
    graph: &DecoderGraph,
    weights: Option<&Weights>,
    settings: &Settings,
    (positions, longest_prompt, host_draws): (&[usize], usize, bool),
) -> anyhow::Result<Compiled> {
    let contexts = positions.iter().map(|&p| u32::try_from(p));
    let options = Options {
        numerics: settings.numerics,
        mapping: settings.mapping,
        contexts: contexts.collect::<Result<_, _>>()?,
        longest_prompt: u32::try_from(longest_prompt)?,
        logits_to_host: host_draws,
    };
    Ok(compiler::compile(graph, weights, &settings.machine, &options)?)
}

/// A run that ended with all answers complete.
pub(crate) struct Finished {
    /// One per request.
    pub(crate) answers: Vec<Answer>,
    /// What the wafer has done.
    pub(crate) tally: Tally,
    /// Wall-clock time of the engine.
    pub(crate) engine_time: Duration,
    /// Threads that simulated.
    pub(crate) threads: usize,
    /// What the host sent.
    pub(crate) sent: Sent,
    /// The machine at the end, of a run that was not folded.
    outcome: Option<Outcome>,
}

impl Finished {
    /// The machine at the end.
    ///
    /// # Panics
    /// Of a folded run.
    pub(crate) fn outcome(&self) -> &Outcome {
        self.outcome.as_ref().expect("every stage was simulated")
    }
}

/// What the wafer has done by the end of a run.
pub(crate) struct Tally {
    pub(crate) wavelet_hops: u64,
    pub(crate) instructions: u64,
    pub(crate) pe_cycles: PeCycles,
    pub(crate) digest: String,
    /// Stages of a folded run, all and those simulated.
    pub(crate) folding: Option<FoldingEntry>,
}

impl Tally {
    fn of(outcome: &Outcome) -> Tally {
        Tally {
            wavelet_hops: outcome.state.wavelet_hops(),
            instructions: outcome.state.instructions(),
            pe_cycles: outcome.state.pe_cycles(),
            digest: outcome.digest(),
            folding: None,
        }
    }

    fn of_folded(folded: Folded) -> Tally {
        Tally {
            wavelet_hops: folded.totals.wavelet_hops(),
            instructions: folded.totals.pes.instructions,
            pe_cycles: folded.totals.pes.cycles,
            digest: folded.digest,
            folding: Some(FoldingEntry {
                stages: folded.stages,
                simulated: folded.simulated,
                instructions_simulated: folded.instructions_simulated,
            }),
        }
    }
}

/// What a simulation needs beside the compiled model.
pub(crate) struct Session<'a> {
    pub(crate) requests: &'a [Request],
    pub(crate) rules: &'a Rules<'a>,
    pub(crate) data: Data,
    pub(crate) limit: Cycle,
    pub(crate) threads: NonZeroUsize,
    /// Stages that behave alike are to be simulated once.
    pub(crate) fold: bool,
    /// No notes.
    pub(crate) quiet: bool,
    pub(crate) progress: &'a Progress,
}

impl Session<'_> {
    /// Runs until every request has its answer.
    ///
    /// # Errors
    /// A simulated program that misbehaved, and whatever `listener` reports.
    pub(crate) fn simulate(
        &self,
        compiled: &mut Compiled,
        listener: &mut Listener<'_>,
        taps: Option<&mut Taps>,
    ) -> Result<Finished, Failure> {
        let script = script(&host_plan(compiled, self.requests, self.rules.eos_ids));
        let sent = script.ports.iter().map(|port| port.len() as u64).sum();
        let (image, protocol) = (&compiled.image, &mut compiled.protocol);
        let wafer = (protocol, &image.machine);
        let asked = (self.requests, sent);
        let mut receiver = Receiver::new(asked, self.rules, self.progress, wafer, listener);
        let started = Instant::now();
        let (how, limit) = ((self.data, self.threads), self.limit);
        let mut host = Recorder::new(&mut receiver, script.clone());
        let (ended, threads) = match taps {
            Some(taps) => whole(engine::run_for(image, how, &script, &mut host, limit, taps)),
            None if self.fold => match fold::run_for(image, how, &script, &mut host, limit) {
                Ended::Folded(folded) => (Err(folded), 1),
                Ended::Whole(outcome, threads, why) => {
                    self.note_unfolded(why);
                    (Ok(outcome), threads)
                }
            },
            None => {
                let nobody = &mut NoObserver;
                whole(engine::run_for(image, how, &script, &mut host, limit, nobody))
            }
        };
        let (engine_time, sent) = (started.elapsed(), host.end());
        receiver.failure.map_or(Ok(()), Err)?;
        let answers = receiver.answers;
        if answers.iter().any(|answer| answer.stop.is_none()) {
            let tokens: usize = answers.iter().map(|a| a.ids.len()).sum();
            let wanted: usize = self.requests.iter().map(|r| r.max_new).sum();
            let so_far = format!("after {tokens} of {wanted} new tokens");
            let Ok(outcome) = ended else { unreachable!("the host ends a folded run") };
            let misbehaviour = Misbehaviour {
                image,
                outcome: &outcome,
                so_far: Some(&so_far),
                limit_option: "--cycle-limit",
                line: &|_, _| None,
            };
            return Err(Failure::Program(misbehaviour.describe()));
        }
        let (tally, outcome) = match ended {
            Ok(outcome) => (Tally::of(&outcome), Some(outcome)),
            Err(folded) => (Tally::of_folded(folded), None),
        };
        Ok(Finished { answers, tally, outcome, engine_time, threads, sent })
    }

    fn note_unfolded(&self, why: Unfolded) {
        if !self.quiet && why != Unfolded::NothingAlike {
            self.progress.suspend(|| note(&format!("every stage was simulated: {why}")));
        }
    }
}

/// A run that was not folded.
fn whole((outcome, threads): (Outcome, usize)) -> (Result<Outcome, Folded>, usize) {
    (Ok(outcome), threads)
}

/// What the host does to get the answers of all requests. Wavelet `n` of each port stands at the edge
/// when the host link has brought it there.
pub(crate) fn host_plan(compiled: &Compiled, requests: &[Request], eos_ids: &[u32]) -> HostPlan {
    let prompts: Vec<Vec<u32>> = requests.iter().map(|r| r.prompt.clone()).collect();
    let max_new: Vec<u32> = requests.iter().map(|r| r.max_new as u32).collect();
    let start = requests.first().map_or(0, |request| request.start);
    let payloads = compiled.protocol.inputs_from(start, &prompts, &max_new);
    let machine = &compiled.image.machine;
    let word = |(n, &payload): (usize, &u32)| HostWord {
        cycle: Cycle(machine.host_arrival_cycle(n as u64)),
        payload,
        control: false,
    };
    let port = |words: &Vec<u32>| words.iter().enumerate().map(word).collect();
    let sends = payloads.iter().map(port).collect();
    HostPlan { sends, stops: compiled.protocol.stops(&max_new, eos_ids) }
}

/// What the host sends, as the engine takes it.
pub(crate) fn script(host: &HostPlan) -> HostScript {
    let wavelet = |word: &HostWord| HostWavelet {
        cycle: word.cycle,
        payload: word.payload,
        control: word.control,
    };
    let port = |words: &Vec<HostWord>| words.iter().map(wavelet).collect();
    HostScript { ports: host.sends.iter().map(port).collect() }
}

/// A number of cycles that no working program comes near, so that one that spins is ended: every
/// element that a PE handles for one position is charged many times the machine's slowest constant.
pub(crate) fn generous_limit(graph: &DecoderGraph, image: &WaferImage, positions: u64) -> Cycle {
    let machine = &image.machine;
    let pes = image.tiles.iter().filter(|t| t.program.is_some()).count() as u64;
    let blocks = graph.blocks.len() as u64;
    let cached = 2 * blocks * positions * graph.hidden as u64;
    let elements = (graph.parameters() + cached).div_ceil(pes.max(1));
    let steps = (blocks + 2) * (1_024 + 4 * u64::from(machine.width + machine.height));
    let per_position = (64 * elements + steps).saturating_mul(slowest_cycles(machine));
    // A token that the host draws has its logits go to the host, and itself comes back.
    let way = machine.host_arrival_cycle(graph.vocab as u64 + 8).saturating_mul(4);
    let host = way.saturating_mul(positions + 1);
    Cycle(per_position.saturating_mul(positions + 1).saturating_add(host))
}

/// The longest that one element, one hop or one task takes on the machine.
fn slowest_cycles(machine: &Machine) -> u64 {
    let cost = &machine.pe.cost;
    let rates = [
        cost.fmac_16,
        cost.fmac_mixed,
        cost.fmac_32,
        cost.add_16,
        cost.add_32,
        cost.copy_16,
        cost.copy_32,
    ];
    let link = &machine.fabric.link_cycles;
    let cycles = [
        machine.fabric.hop_cycles + machine.fabric.turn_cycles + machine.fabric.credit_cycles,
        u64::from(link.num().div_ceil(link.den())),
        machine.pe.ramp_cycles + machine.pe.dispatch_cycles,
        machine.pe.task_launch_cycles + machine.pe.data_task_cycles,
        cost.reduce_cycles,
        cost.row_cycles,
        cost.setup_reduce.max(cost.setup_copy),
        cost.setup_fmac_16.max(cost.setup_fmac_32),
        cost.exp_cycles.max(cost.rsqrt_cycles),
        cost.tanh_cycles.max(cost.sin_cycles),
        cost.recip_cycles.max(cost.scalar_cycles),
        cost.branch_taken_cycles.max(cost.branch_not_taken_cycles),
    ];
    let slowest_rate = rates.iter().map(|r| r.cycles_for(1)).max();
    cycles.into_iter().chain(slowest_rate).max().unwrap_or(1)
}

/// How the reference rounds weights that are stored as `dtype` on the wafer.
pub(crate) fn rounding(dtype: DType) -> models::WeightRounding {
    match dtype {
        DType::F16 => models::WeightRounding::F16,
        DType::BF16 => models::WeightRounding::Bf16,
        DType::F32 | DType::U32 => models::WeightRounding::None,
    }
}
