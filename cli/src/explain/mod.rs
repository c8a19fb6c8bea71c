//! `wafersim explain`: where the cycles of a run went, and which constants of the machine would buy some back.

mod parameters;
mod table;
mod variant;

use crate::args::RunArgs;
use crate::failure::{Failure, note};
use crate::output::{print, print_json};
use crate::progress::Progress;
use crate::run::Job;
use anyhow::anyhow;
use fabric::guesses::{Guess, guesses};
use rayon::prelude::*;
use std::time::Instant;
use traces::explain::{Compared, ExplainReport, GuessEntry, ParameterEntry, Speed};
use variant::Bench;

/// Runs the requests, then the first tokens of them on machines that differ in one constant.
pub(crate) fn explain(args: &RunArgs, started: Instant) -> Result<(), Failure> {
    let job = Job::read(args)?;
    let progress = Progress::start("placing the model", args.quiet);
    let mut compiled = job.place()?;
    let finished = job.simulate(args, &mut compiled, &progress, (None, false))?;
    progress.say("looking where the cycles went");
    let attribution = job.attribute(&mut compiled, &finished);
    let report = job.report(args, &compiled, &finished, started)?;
    let bench = Bench::new(&job, &compiled.mapping, &finished);
    let base = bench.run(&[])?;
    let speed = base.clone();
    let tokens = bench.tokens();
    let data = if bench.is_full() { "full" } else { "none" };
    let compared = Compared { tokens, data, speed: speed.speed };
    let report = ExplainReport::of(traces::RunReport { attribution, ..report }, compared);
    let report = report.ok_or_else(|| anyhow!("the last token was not seen to leave"))?;
    let changes = parameters::of(&job.settings.machine);
    let unsure = guesses(&job.settings.machine.name);
    if unsure.is_empty() && !args.quiet {
        progress.suspend(|| note("which constants of this machine have no source is not known"));
    }
    let count = changes.len() + 2 * unsure.len();
    progress.end();
    let progress = Progress::steps("running changed machines", count, args.quiet);
    // A machine that the model cannot run on is an answer, too.
    let run = |key: &str, value: &str| {
        let run = bench.run(&[(key, value)]).ok();
        progress.step();
        run
    };
    let mut parameters: Vec<ParameterEntry> = changes
        .into_par_iter()
        .map(|parameters::Change { key, from, to }| {
            let speed = run(key, &to).map(|run| run.speed);
            let gain = speed.map(|speed| speed.gain_over(&base.speed));
            ParameterEntry { key, from, to, speed, gain }
        })
        .collect();
    parameters.sort_by(|a, b| b.gain.unwrap_or(-1.0).total_cmp(&a.gain.unwrap_or(-1.0)));
    let guesses = unsure.into_par_iter().map(|guess| {
        let Guess { key, low, high, reason } = guess;
        let ends = [low, high].map(|value| run(key, value));
        let moves =
            |run: &Option<variant::Ran>| run.as_ref().is_none_or(|r| r.cycles != base.cycles);
        let on_critical_path = ends.iter().any(moves);
        let [at_low, at_high] = ends.map(|run| run.map(|run| run.speed));
        let value = parameters::value(&job.settings.machine, key);
        GuessEntry { key, value, low, high, reason, at_low, at_high, on_critical_path }
    });
    let guesses = guesses.collect();
    progress.end();
    let report = ExplainReport { parameters, guesses, ..report };
    match args.json {
        true => print_json(&report),
        false => print(&table::tables(&report)),
    }
}

/// How fast a machine with this clock is whose tokens came at these cycles.
fn speed(clock_hz: u64, cycles: &[u64]) -> Option<Speed> {
    let (first, last) = cycles.first().zip(cycles.last())?;
    let clock = clock_hz as f64;
    let gaps = cycles.len() - 1;
    Some(Speed {
        last_token_cycle: *last,
        last_token_s: *last as f64 / clock,
        tokens_per_s: (gaps > 0).then(|| gaps as f64 * clock / (last - first) as f64),
    })
}
