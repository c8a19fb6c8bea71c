//! `wafersim run`: a prompt in, the wafer's tokens out, and when each of them left.

use crate::args::{RunArgs, ViewArgs};
use crate::attribution;
use crate::data;
use crate::defects::{self, Ran};
use crate::failure::{Failure, note};
use crate::output::{print, print_json};
use crate::process::peak_rss_bytes;
use crate::progress::Progress;
use crate::receiver::{Answer, Rules};
use crate::reference::{self, Compared, Comparison};
use crate::report::ReportFolder;
use crate::requests::{self, Chat, Request};
use crate::sampling;
use crate::session::{self, Finished, Session};
use crate::settings::Settings;
use crate::summary;
use crate::taps::Taps;
use crate::timeline::Recording;
use anyhow::{anyhow, bail};
use compiler::{Binding, Compiled};
use models::{
    Date, DecoderGraph, MlpKind, ModelDir, NormKind, Reference, Sampler, Sampling, StopStrings,
    Tokenizer, Weights,
};
use pe_isa::Cycle;
use std::time::Instant;
use traces::{
    Attribution, BoundEntry, Counters, DefectsEntry, ExpertsEntry, HostFacts, Latency,
    MachineEntry, ModelEntry, Output, RequestEntry, Resources, RunReport,
};

/// Runs the requests and prints what came of them. `started` is when the command began.
pub(crate) fn run(args: &RunArgs, views: &ViewArgs, started: Instant) -> Result<(), Failure> {
    let (report, check) = perform(args, views, started)?;
    print_result(args, &report, check.as_deref())
}

/// Runs the requests and writes what `views` ask for. With `args.json` and `args.quiet`, nothing is printed.
///
/// # Errors
/// Wrong input, and a simulated program that misbehaved.
pub(crate) fn perform(
    args: &RunArgs,
    views: &ViewArgs,
    started: Instant,
) -> Result<(RunReport, Option<Vec<Comparison>>), Failure> {
    let folder = views.report.as_deref().map(ReportFolder::claim).transpose()?;
    let mut job = Job::read(args)?;
    let recording = Recording::of(views, &job.settings.machine)?;
    // What is drawn is every tile.
    job.fold &= folder.is_none() && recording.is_none();
    let weights = job.model.weights();
    let progress = Progress::start("placing the model", args.quiet);
    let mut compiled = job.place()?;
    job.settings.mapping.prefill_chunk = compiled.mapping.prefill_chunk;
    if !args.quiet && !compiled.warnings.is_empty() {
        let count = compiled.warnings.len();
        progress.suspend(|| {
            note(&format!("the linter warns of {count} things; `wafersim compile` tells them"))
        });
    }
    let mut taps = args.check_reference.then(|| Taps::new(&compiled, &job.requests));
    let streams = !args.json && job.requests.len() == 1 && job.data.is_full();
    let finished = job.simulate(args, &mut compiled, &progress, (taps.as_mut(), streams))?;
    if args.check_reference {
        progress.say("computing the reference");
    }
    let check = weights.filter(|_| args.check_reference);
    let check = check.map(|weights| job.check(weights, &finished, taps.as_ref()));
    let defects = job.defects(args, (weights, &compiled), &finished, &progress)?;
    let is_due = attribution::is_due(args.attribution, finished.tally.wavelet_hops);
    let attribution = if is_due {
        progress.say("looking where the cycles went");
        job.attribute(&mut compiled, &finished)
    } else {
        None
    };
    let report = job.report(args, &compiled, &finished, started)?;
    let report = RunReport { defects, attribution, ..report };
    if let Some(folder) = folder {
        progress.say("drawing");
        folder.write(&report, (&job.settings, &compiled, finished.outcome()))?;
    }
    if let Some(recording) = recording {
        progress.say("recording");
        let told = recording.write(&mut compiled, job.data, &finished)?;
        if !args.quiet {
            progress.suspend(|| note(&told));
        }
    }
    progress.end();
    Ok((report, check))
}

/// A checked command: what to run, and on what.
pub(crate) struct Job {
    pub(crate) data: sim_core::Data,
    /// Stages that behave alike are to be simulated once.
    fold: bool,
    pub(crate) settings: Settings,
    pub(crate) model: ModelDir,
    tokenizer: Option<Tokenizer>,
    pub(crate) requests: Vec<Request>,
    stops: StopStrings,
    pub(crate) sampling: Option<Sampling>,
    /// What a chat template was told.
    chat_date: Option<Date>,
}

impl Job {
    /// Reads and checks all that the command names.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub(crate) fn read(args: &RunArgs) -> anyhow::Result<Job> {
        let data = data::resolve(args)?;
        let settings = Settings::resolve(&args.wafer)?;
        let model = data::open(args, data)?;
        if !args.quiet {
            model.notes().iter().for_each(|text| note(text));
        }
        let prompts = &args.prompts.0;
        let sampling = match data {
            sim_core::Data::Full => sampling::resolve(&args.sampling, || model.generation())?,
            sim_core::Data::None { .. } => None,
        };
        if args.stop.iter().any(String::is_empty) {
            bail!("--stop is empty, which would end every answer at once; give a text");
        }
        let own = model.stop_strings().iter().filter(|_| data.is_full());
        let stops = StopStrings::new(args.stop.iter().chain(own).cloned());
        let tokenizer = requests::open_tokenizer(&model, prompts, !stops.is_empty())?;
        let chat = Chat::open(&args.chat, &model)?;
        let new = &args.max_new_tokens;
        let prompts = (&prompts[..], chat.as_ref());
        let start = args.start_position;
        let requests = requests::resolve(&model, tokenizer.as_ref(), prompts, new, start)?;
        let requests = data::replicate(requests, args.streams.get());
        let fold = data::folds(args, data, &requests)?;
        let tokenizer = tokenizer.filter(|_| data.is_full()); // Without data there will be no text.
        let chat_date = chat.map(|chat| chat.date);
        Ok(Job { data, fold, settings, model, tokenizer, requests, stops, sampling, chat_date })
    }

    /// Places the model for the requests.
    ///
    /// # Errors
    /// As [`session::place`].
    pub(crate) fn place(&self) -> anyhow::Result<Compiled> {
        let positions: Vec<usize> = self.requests.iter().map(Request::positions).collect();
        let longest_prompt = requests::longest_prompt(&self.requests);
        let wanted = (&positions[..], longest_prompt, self.sampling.is_some());
        session::place(self.model.graph(), self.model.weights(), &self.settings, wanted)
    }

    /// How answers are made, and where they end.
    pub(crate) fn rules(&self) -> Rules<'_> {
        Rules {
            eos_ids: if self.data.is_full() { &self.model.graph().eos_ids } else { &[] },
            tokenizer: self.tokenizer.as_ref(),
            stops: &self.stops,
            sampling: self.sampling,
        }
    }

    /// Runs the wafer. If `streams`, the text of the request streams to standard output: of a single one, where no JSON document
    /// will stand; several are in flight together, so their texts would be torn.
    ///
    /// # Errors
    /// As [`Session::simulate`].
    pub(crate) fn simulate(
        &self,
        args: &RunArgs,
        compiled: &mut Compiled,
        progress: &Progress,
        (taps, streams): (Option<&mut Taps>, bool),
    ) -> Result<Finished, Failure> {
        let graph = self.model.graph();
        let positions = self.requests.iter().map(Request::positions).sum::<usize>() as u64;
        let limit = args.cycle_limit.map_or_else(
            || session::generous_limit(graph, &compiled.image, positions),
            |limit| Cycle(limit.get()),
        );
        let session = Session {
            requests: &self.requests,
            rules: &self.rules(),
            data: self.data,
            limit,
            threads: args.host.threads(),
            fold: self.fold,
            quiet: args.quiet,
            progress,
        };
        progress.say("simulating");
        if !streams {
            return session.simulate(compiled, &mut |_, _, _| Ok(()), taps);
        }
        progress.give_way();
        let mut show = |_request: usize, id: u32, text: &str| match &self.tokenizer {
            Some(_) if text.is_empty() => Ok(()),
            Some(_) => print(text),
            None => print(&format!("{id} ")),
        };
        let finished = session.simulate(compiled, &mut show, taps)?;
        print("\n")?;
        Ok(finished)
    }

    fn check(
        &self,
        weights: &Weights,
        finished: &Finished,
        taps: Option<&Taps>,
    ) -> Vec<Comparison> {
        let rounding = session::rounding(self.settings.numerics.weights);
        let graph = self.model.graph();
        let mut reference = Reference::with_rounding(graph, weights, rounding);
        let pairs = self.requests.iter().zip(&finished.answers).enumerate();
        let mut items_before = 0;
        pairs
            .map(|(n, (request, answer))| {
                let compared = Compared {
                    prompt: &request.prompt,
                    answer,
                    items_before,
                    is_alone: self.requests.len() == 1,
                    is_centred: graph.final_norm.kind == NormKind::Layer,
                };
                items_before += request.prompt.len();
                let sampler = self.sampling.map(|s| Sampler::new(s, n, &request.prompt));
                reference::compare(&mut reference, compared, taps, sampler)
            })
            .collect()
    }

    /// What the wafer's defects cost, if it has any.
    fn defects(
        &self,
        args: &RunArgs,
        (weights, compiled): (Option<&Weights>, &Compiled),
        finished: &Finished,
        progress: &Progress,
    ) -> Result<Option<DefectsEntry>, Failure> {
        let Settings { machine, .. } = &self.settings;
        let Some(counted) = defects::count(machine, compiled.detours) else { return Ok(None) };
        let (graph, settings, requests) = (self.model.graph(), &self.settings, &self.requests);
        let (threads, quiet) = (args.host.threads(), args.quiet);
        let rules = &self.rules();
        let (data, fold) = (self.data, self.fold);
        let ran =
            Ran { graph, weights, data, settings, requests, rules, compiled, threads, fold, quiet };
        let healthy = ran.compare(&finished.answers[0], progress)?;
        Ok(Some(DefectsEntry { healthy, ..counted }))
    }

    /// Where the cycles until the first request's last token went, by a second pass.
    pub(crate) fn attribute(
        &self,
        compiled: &mut Compiled,
        finished: &Finished,
    ) -> Option<Attribution> {
        let last = *finished.answers[0].cycles.last()?;
        attribution::attribute(compiled, self.data, &finished.sent, last)
    }

    /// The least cycles of a decoded token of the first request.
    fn bound(&self, compiled: &Compiled, latency: &Latency) -> anyhow::Result<BoundEntry> {
        let request = &self.requests[0];
        let first = request.start as usize + request.prompt.len();
        let decoded = latency.token_cycles.len().saturating_sub(1).max(1);
        let positions = first as u32..(first + decoded) as u32;
        let (machine, numerics) = (&self.settings.machine, self.settings.numerics);
        let positions_of = |r: &Request| r.positions() as u32;
        let options = compiler::Options {
            numerics,
            mapping: self.settings.mapping,
            contexts: self.requests.iter().map(positions_of).collect(),
            longest_prompt: requests::longest_prompt(&self.requests) as u32,
            logits_to_host: self.sampling.is_some(),
        };
        let graph = self.model.graph();
        let bound = compiler::bound(graph, machine, &options, &compiled.mapping, positions)?;
        let binding = match bound.binding {
            Binding::Compute => "compute",
            Binding::Sram => "sram",
            Binding::Wire => "wire",
        };
        Ok(BoundEntry::new((bound.cycles, bound.mapped_cycles), binding, latency))
    }

    /// What the command reports of a run.
    ///
    /// # Errors
    /// None in practice: answers are complete, and the model has been placed.
    pub(crate) fn report(
        &self,
        args: &RunArgs,
        compiled: &Compiled,
        finished: &Finished,
        started: Instant,
    ) -> anyhow::Result<RunReport> {
        let machine = &self.settings.machine;
        let (graph, weights) = (self.model.graph(), self.model.weights());
        let tally = &finished.tally;
        let requests = self.requests.iter().zip(&finished.answers);
        let requests = requests
            .map(|(request, answer)| self.request_entry(request, answer))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let latencies: Vec<Latency> = requests.iter().map(|r| r.latency.clone()).collect();
        let hops = tally.wavelet_hops;
        let context_max = u64::from(compiled.plan.longest_context);
        Ok(RunReport {
            schema: traces::SCHEMA,
            contract: fabric::CONTRACT_VERSION,
            wafersim: env!("CARGO_PKG_VERSION"),
            machine: MachineEntry::of(machine),
            model: ModelEntry {
                architecture: graph.architecture.to_string(),
                parameters: graph.parameters(),
                weight_bytes: weights.map_or_else(|| graph.declared_bytes(), Weights::stored_bytes),
                digest: self.model.digest().to_string(),
                experts: experts(graph, self.data),
            },
            settings: traces::Settings {
                data: if self.data.is_full() { "full" } else { "none" },
                data_seed: match self.data {
                    sim_core::Data::Full => None,
                    sim_core::Data::None { seed } => Some(seed),
                },
                fold: if tally.folding.is_some() { "on" } else { "off" },
                streams: args.streams.get(),
                sampling: sampling::entry(self.sampling.as_ref()),
                stop_strings: self.stops.texts().to_vec(),
                chat_date: self.chat_date.map(|date| date.to_string()),
                ..self.settings.entry()?
            },
            requests,
            throughput_tokens_per_s: traces::throughput_tokens_per_s(machine, &latencies),
            attribution: None,
            bound: self.bound(compiled, &latencies[0])?,
            resources: Resources::of(&compiled.image, context_max),
            defects: None,
            folding: tally.folding,
            counters: Counters {
                wavelet_hops: hops,
                instructions: tally.instructions,
                pe_cycles: tally.pe_cycles.into(),
            },
            digest: tally.digest.clone(),
            host: HostFacts {
                seconds: started.elapsed().as_secs_f64(),
                events: None,
                hops_per_second: hops as f64 / finished.engine_time.as_secs_f64(),
                peak_rss_bytes: peak_rss_bytes(),
                threads: finished.threads,
            },
        })
    }

    fn request_entry(&self, request: &Request, answer: &Answer) -> anyhow::Result<RequestEntry> {
        let stop = answer.stop.ok_or_else(|| anyhow!("an answer is not complete"))?;
        Ok(RequestEntry {
            prompt_tokens: request.prompt.len(),
            max_new_tokens: request.max_new,
            start_position: request.start,
            output: match self.data {
                sim_core::Data::Full => Output {
                    token_ids: answer.ids.clone(),
                    text: answer.text.clone(),
                    source: "wafer",
                    stop,
                },
                sim_core::Data::None { .. } => {
                    Output { token_ids: Vec::new(), text: None, source: "none", stop }
                }
            },
            latency: Latency::of(&self.settings.machine, &answer.cycles),
        })
    }
}

/// The mixtures of experts of a graph, if it has any.
fn experts(graph: &DecoderGraph, data: sim_core::Data) -> Option<ExpertsEntry> {
    let choice = if data.is_full() { "router" } else { "uniform" };
    let mixtures = graph.blocks.iter().filter_map(|block| match &block.mlp.kind {
        MlpKind::Dense(_) => None,
        MlpKind::Experts(mixture) => Some((mixture.experts.len(), mixture.chosen)),
    });
    mixtures.fold(None, |all: Option<ExpertsEntry>, (experts, chosen)| {
        let all = all.unwrap_or(ExpertsEntry { layers: 0, experts: 0, chosen: 0, choice });
        Some(ExpertsEntry {
            layers: all.layers + 1,
            experts: all.experts.max(experts),
            chosen: all.chosen.max(chosen),
            choice,
        })
    })
}

/// Prints report and check; a difference is a failure, and then neither is printed.
fn print_result(
    args: &RunArgs,
    report: &RunReport,
    check: Option<&[Comparison]>,
) -> Result<(), Failure> {
    let comparisons = check.unwrap_or_default();
    let told: Vec<String> = comparisons.iter().map(ToString::to_string).collect();
    if comparisons.iter().any(|c| !c.is_equal()) {
        return Err(Failure::Difference(told.join("\n")));
    }
    if !args.json && report.requests.len() > 1 && report.settings.data == "full" {
        print(&summary::answers(report))?;
    }
    if !args.json && !args.quiet {
        print(&format!("\n{}\n", summary::table(report)))?;
    }
    match (args.json, args.quiet) {
        (true, _) => {
            told.iter().for_each(|line| note(line));
            print_json(report)
        }
        (false, true) => Ok(()),
        (false, false) => told.iter().try_for_each(|line| print(&format!("{line}\n"))),
    }
}
