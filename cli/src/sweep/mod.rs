//! `wafersim sweep`: many runs that differ by what the axes say, each kept as soon as it is done.

mod axis;
mod constraint;
mod folder;
mod plan;
mod rows;
mod watch;
mod work;

use crate::failure::{Failure, note};
use crate::figures::{counted, grouped};
use crate::output::print;
use anyhow::{Context as _, Result, bail};
use clap::{Args, value_parser};
use folder::Folder;
use plan::{Plan, Point};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use work::Tally;

/// Variables in which job arrays say which of their tasks this is.
const TASK_VARIABLES: [&str; 2] = ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"];

/// Whether the user has asked to end.
static STOP: AtomicBool = AtomicBool::new(false);

/// Run every point of a sweep; results in DIR/points/, a table of them in DIR/results.csv. Begins where an earlier call ended.
#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// The sweep: a run and the axes along which it varies (.ron)
    #[arg(value_name = "SWEEP.ron")]
    sweep: PathBuf,
    /// The folder of results
    #[arg(short, long, value_name = "DIR", required_unless_present = "plan")]
    output: Option<PathBuf>,
    /// Leave out points that have a result (always so)
    #[arg(long)]
    resume: bool,
    /// List the points: index, digest, what the axes set; run none
    #[arg(long, conflicts_with_all = ["point", "gather"])]
    plan: bool,
    /// Run point K, or those from K up to but without L, and write no table; `task`: K as SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX has it
    #[arg(long, value_name = "K|K..L|task", conflicts_with = "gather")]
    point: Option<String>,
    /// Run no point; write the table of the results that there are
    #[arg(long)]
    gather: bool,
    /// Points that run at the same time, each on one thread; results do not depend on it [default: as many as the host runs at a time]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// No progress
    #[arg(long)]
    quiet: bool,
}

/// Plans, runs, gathers.
pub(crate) fn sweep(args: &SweepArgs) -> Result<(), Failure> {
    let plan = Plan::read(&args.sweep)?;
    if args.plan {
        return print(&listed(&plan));
    }
    let root = args.output.as_deref().context("-o DIR is missing")?;
    let points = match &args.point {
        Some(text) => &plan.points[chosen(text, plan.points.len())?],
        None => &plan.points[..],
    };
    let folder = Folder::make(root)?;
    if args.gather {
        return gather(args, &plan, &folder);
    }
    let threads = args.threads.map(usize::from);
    let threads = threads.or_else(|| available_parallelism().ok().map(usize::from)).unwrap_or(1);
    work::watch_for_interrupt(&STOP)?;
    let tally = work::run((&plan, points), &folder, threads, (&STOP, args.quiet))?;
    if args.point.is_none() {
        gather(args, &plan, &folder)?;
    }
    outcome(args, &tally)
}

/// Index, digest and settings of each point, separated by tabs.
fn listed(plan: &Plan) -> String {
    let mut text = String::new();
    for point in &plan.points {
        let Point { index, digest, .. } = point;
        let _ = writeln!(text, "{index}\t{digest}\t{}", point.told());
    }
    text
}

/// The points that `--point` names.
fn chosen(text: &str, count: usize) -> Result<Range<usize>> {
    let task = match text {
        "task" => {
            let found = TASK_VARIABLES.iter().find_map(|name| std::env::var(name).ok());
            Some(found.with_context(|| {
                format!("--point task: neither {} is set", TASK_VARIABLES.join(" nor "))
            })?)
        }
        _ => None,
    };
    let text = task.as_deref().unwrap_or(text);
    let number = |part: &str| {
        let part = part.trim();
        part.parse::<usize>().with_context(|| format!("--point {text}: write K, K..L or task"))
    };
    let (first, end) = match text.split_once("..") {
        Some((first, end)) => (number(first)?, number(end)?.min(count)),
        None => (number(text)?, number(text)?.saturating_add(1)),
    };
    if first >= end || end > count {
        bail!("--point {text}: there are the points 0 to {}", count - 1);
    }
    Ok(first..end)
}

fn gather(args: &SweepArgs, plan: &Plan, folder: &Folder) -> Result<(), Failure> {
    let (csv, done) = rows::csv(plan, folder)?;
    let path = folder.write_table(&csv)?;
    if args.quiet {
        return Ok(());
    }
    let all = grouped(plan.points.len() as u64);
    print(&format!("{} of {all} points in {}\n", grouped(done as u64), path.display()))
}

fn outcome(args: &SweepArgs, tally: &Tally) -> Result<(), Failure> {
    let Tally { done_before, done, failed, left } = tally;
    if *left > 0 {
        return Err(Failure::Interrupted(format!(
            "interrupted: {} left; the same command goes on from here",
            counted(*left as u64, "point")
        )));
    }
    let Some((index, reason)) = failed.first() else {
        // An interrupt that came with the last point changes nothing.
        if STOP.load(Ordering::Relaxed) && !args.quiet {
            note("all points were done when the interrupt came");
        }
        return Ok(());
    };
    let first = reason.lines().next().unwrap_or_default();
    let all = done_before + done + failed.len();
    let failed = grouped(failed.len() as u64);
    Err(anyhow::anyhow!(
        "{failed} of {} failed, see points/*/error.json; the first, point {index}: {first}",
        counted(all as u64, "point")
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn are_points_chosen_by_number_and_range() {
        assert_eq!(chosen("3", 10).unwrap(), 3..4);
        assert_eq!(chosen("3..5", 10).unwrap(), 3..5);
        // The last task of an array may reach beyond the end.
        assert_eq!(chosen("8..16", 10).unwrap(), 8..10);
        for wrong in ["10", "5..5", "12..16", "x", "1-2"] {
            assert!(chosen(wrong, 10).is_err(), "{wrong}");
        }
    }
}
