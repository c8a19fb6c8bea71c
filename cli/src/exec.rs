//! `wafersim exec`: runs a hand-written or compiled program and tells what it left behind.

use crate::args::{Emit, ExecArgs};
use crate::failure::{Failure, note};
use crate::kernel::{self, Loaded};
use crate::listener::Listener;
use crate::misbehaviour::Misbehaviour;
use crate::output::{print, print_json};
use crate::process::peak_rss_bytes;
use crate::progress::Progress;
use crate::{listing, session};
use fabric::text::{self, Difference, Ending, Observed, differences};
use pe_isa::Cycle;
use sim_core::{Data, NoObserver, Outcome, StopReason, engine};
use std::time::{Duration, Instant};
use traces::{ExecReport, Executed, HostFacts};

/// Expectations that were not met and are shown; the rest are counted.
const SHOWN_DIFFERENCES: usize = 32;

/// Runs the program and prints what came of it. `started` is when the command began.
pub(crate) fn exec(args: &ExecArgs, started: Instant) -> Result<(), Failure> {
    if args.list {
        return print(&listing::built_in());
    }
    let loaded = kernel::load(args)?;
    let kernel = &loaded.kernel;
    if args.emit == Some(Emit::Asm) {
        return print(&(text::print(&kernel.image) + &text::print_host(&kernel.host)));
    }
    let progress = Progress::start("simulating", args.quiet);
    let mut host = Listener::new(&kernel.host.stops);
    let script = session::script(&kernel.host);
    let engine_started = Instant::now();
    let limit = Cycle(args.limit.get());
    let how = (Data::Full, args.host.threads());
    let (outcome, threads) =
        engine::run_for(&kernel.image, how, &script, &mut host, limit, &mut NoObserver);
    let engine_time = engine_started.elapsed();
    progress.end();
    let received = &host.received;
    let run = Executed { kernel, ending: ending(&outcome.stop), outcome: &outcome, received };
    let facts = host_facts(&outcome, engine_time, started, threads);
    let report = ExecReport::of(&run, &args.set, facts);
    let failure = failure(args, &loaded, &run);
    if failure.is_none() && !args.quiet && matches!(run.ending, Ending::Deadlock | Ending::Trap) {
        note(&misbehaviour(&loaded, &run));
    }
    match failure {
        Some(failure) => Err(with_report(failure, args, &report)),
        None if args.json => print_json(&report),
        None => print(&told(args, &report)),
    }
}

fn ending(stop: &StopReason) -> Ending {
    match stop {
        StopReason::Finished => Ending::Finished,
        StopReason::Host => Ending::Stopped,
        StopReason::CycleLimit => Ending::Limit,
        StopReason::Deadlock { .. } => Ending::Deadlock,
        StopReason::Trap { .. } => Ending::Trap,
    }
}

fn host_facts(
    outcome: &Outcome,
    engine_time: Duration,
    started: Instant,
    threads: usize,
) -> HostFacts {
    let hops = outcome.state.wavelet_hops();
    HostFacts {
        seconds: started.elapsed().as_secs_f64(),
        events: None,
        hops_per_second: hops as f64 / engine_time.as_secs_f64(),
        peak_rss_bytes: peak_rss_bytes(),
        threads,
    }
}

/// Why the run stopped, of a run that misbehaved.
fn misbehaviour(loaded: &Loaded, run: &Executed<'_>) -> String {
    let misbehaviour = Misbehaviour {
        image: &run.kernel.image,
        outcome: run.outcome,
        so_far: None,
        limit_option: "--limit",
        line: &|program, instruction| loaded.line(program, instruction),
    };
    misbehaviour.describe()
}

/// What the program did that it should not have done, if anything: misbehaviour that nobody expects
/// comes before expectations that were not met.
fn failure(args: &ExecArgs, loaded: &Loaded, run: &Executed<'_>) -> Option<Failure> {
    let kernel = run.kernel;
    let misbehaved = matches!(run.ending, Ending::Deadlock | Ending::Trap | Ending::Limit);
    if misbehaved && run.ending != kernel.ending {
        return Some(Failure::Program(misbehaviour(loaded, run)));
    }
    let seen = Observed {
        ending: run.ending,
        cycle: run.outcome.cycle,
        sram: &run.outcome.state.sram,
        received: run.received,
    };
    let found = differences(kernel, &seen);
    if found.is_empty() {
        return None;
    }
    let name = args.kernel().display().to_string();
    let source = loaded.source.as_deref().unwrap_or_default();
    let shown = found.iter().take(SHOWN_DIFFERENCES);
    let mut text = match found.len() {
        1 => "an expectation was not met:\n".to_string(),
        n => format!("{n} expectations were not met:\n"),
    };
    shown.for_each(|difference: &Difference| text.push_str(&difference.render(source, &name)));
    if found.len() > SHOWN_DIFFERENCES {
        text.push_str(&format!("and {} more\n", found.len() - SHOWN_DIFFERENCES));
    }
    Some(Failure::Difference(text.trim_end().to_string()))
}

/// The failure with what was seen, unless that is for a script to read.
fn with_report(failure: Failure, args: &ExecArgs, report: &ExecReport) -> Failure {
    if args.json || args.quiet {
        return failure;
    }
    let told = told(args, report);
    let joined = |text: String| format!("{text}\n\n{}", told.trim_end());
    match failure {
        Failure::Program(text) => Failure::Program(joined(text)),
        Failure::Difference(text) => Failure::Difference(joined(text)),
        other => other,
    }
}

/// Results and, unless only these are wanted, counters.
fn told(args: &ExecArgs, report: &ExecReport) -> String {
    let results = listing::results(report);
    if args.quiet {
        return results;
    }
    let gap = if results.is_empty() { "" } else { "\n" };
    format!("{results}{gap}{}", listing::counters(report))
}
