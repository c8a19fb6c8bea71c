//! Points at work: several at a time, each simulated on one thread.

use super::folder::Folder;
use super::plan::{Plan, Point};
use super::watch::Watch;
use crate::args::ViewArgs;
use crate::failure::Failure;
use crate::run;
use anyhow::{Result, anyhow};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What was done with the points that were asked for.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) done_before: usize,
    pub(super) done: usize,
    /// Points that failed, each with the reason.
    pub(super) failed: Vec<(usize, String)>,
    /// Points that were not begun.
    pub(super) left: usize,
}

/// Runs those of the points that have no result yet, until all are done or `stop` is set.
///
/// # Errors
/// A result that could not be written.
pub(super) fn run(
    (plan, points): (&Plan, &[Point]),
    folder: &Folder,
    threads: usize,
    (stop, quiet): (&AtomicBool, bool),
) -> Result<Tally> {
    // Points that ask for the same share a result.
    let mut seen = BTreeSet::new();
    let (before, open): (Vec<&Point>, Vec<&Point>) =
        points.iter().filter(|p| seen.insert(&p.digest)).partition(|p| folder.is_done(&p.digest));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let watch = Watch::start(open.len(), before.len(), pool.current_num_threads(), quiet);
    let one = |point: &&Point| -> Result<Option<Result<(), (usize, String)>>> {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        watch.begin(rayon::current_thread_index().unwrap_or(0), point);
        let outcome = perform(plan, point, folder)?;
        watch.end(outcome.is_err());
        Ok(Some(outcome.map_err(|reason| (point.index, reason))))
    };
    // One at a time per thread: the longest points are not dealt out in advance.
    let outcomes: Result<Vec<_>> =
        pool.install(|| open.par_iter().with_max_len(1).map(one).collect());
    watch.finish();
    let mut tally = Tally { done_before: before.len(), ..Tally::default() };
    for outcome in outcomes? {
        match outcome {
            None => tally.left += 1,
            Some(Ok(())) => tally.done += 1,
            Some(Err(failed)) => tally.failed.push(failed),
        }
    }
    Ok(tally)
}

/// Runs a point and keeps what came of it; inside, why it failed.
fn perform(plan: &Plan, point: &Point, folder: &Folder) -> Result<Result<(), String>> {
    let simulate = || -> Result<_, Failure> {
        let args = point.ask.args(&plan.folder)?;
        Ok(run::perform(&args, &ViewArgs::default(), Instant::now())?.0)
    };
    // One point that breaks the simulator should not take the others with it.
    let outcome = catch_unwind(AssertUnwindSafe(simulate)).unwrap_or_else(|_| {
        Err(Failure::Program("the simulator broke; the message stands on standard error".into()))
    });
    match outcome {
        Ok(report) => folder.keep(point, &report).map(Ok),
        Err(failure) => {
            folder.keep_failure(point, &failure)?;
            Ok(Err(failure.to_string()))
        }
    }
}

/// Says so when the user wants to end (Ctrl-C): points at work are finished, none is begun.
///
/// # Errors
/// A system that does not tell.
pub(super) fn watch_for_interrupt(stop: &'static AtomicBool) -> Result<()> {
    ctrlc::set_handler(move || stop.store(true, Ordering::Relaxed))
        .map_err(|error| anyhow!("cannot watch for Ctrl-C: {error}"))
}
