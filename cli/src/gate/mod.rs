//! `wafersim check`: runs that must come out as they did when their baselines were renewed.

mod baseline;
mod feeds;
mod splice;

use crate::args::ViewArgs;
use crate::compare::{Change, changes};
use crate::failure::Failure;
use crate::figures::{counted, grouped};
use crate::output::{print, write_file};
use crate::progress::Progress;
use crate::run;
use crate::summary::STYLE;
use anyhow::{Context as _, Result, bail};
use baseline::{Baseline, Expected};
use clap::{Args, value_parser};
use comfy_table::{CellAlignment, Table};
use rayon::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Run baselines and compare tokens, cycles and counters with what they expect; exit code 3 where something moved.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Baselines (.ron), or folders of them
    #[arg(value_name = "BASELINE", required = true)]
    baselines: Vec<PathBuf>,
    /// Write what came out into the baselines as what is expected; comments stay
    #[arg(long)]
    update: bool,
    /// Write a report as JUnit has it
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the figures as github-action-benchmark takes them (customSmallerIsBetter)
    #[arg(long, value_name = "FILE")]
    benchmark: Option<PathBuf>,
    /// Baselines that run at the same time [default: as many as the host runs at a time]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print nothing unless something moved
    #[arg(long)]
    quiet: bool,
}

/// What came of a baseline.
struct Checked {
    name: String,
    baseline: Baseline,
    verdict: Verdict,
    /// What came out, if it ran.
    found: Option<Expected>,
    seconds: f64,
}

enum Verdict {
    Equal,
    /// What moved by more than it may.
    Moved(Vec<Change>),
    /// It was made under another version of the timing contract, so that nothing can be said of regressions.
    OtherContract {
        expected: String,
        found: String,
    },
    /// It expects nothing yet.
    New,
    /// It could not be run.
    Failed(Failure),
}

impl Verdict {
    /// In a few words.
    fn word(&self) -> String {
        match self {
            Verdict::Equal => "equal".into(),
            Verdict::Moved(list) => format!("MOVED: {}", counted(list.len() as u64, "metric")),
            Verdict::OtherContract { expected, found } => {
                format!("contract {expected} -> {found}, not a regression: renew with --update")
            }
            Verdict::New => "expects nothing yet: fill in with --update".into(),
            Verdict::Failed(_) => "FAILED".into(),
        }
    }

    fn is_equal(&self) -> bool {
        matches!(self, Verdict::Equal)
    }
}

/// Runs all baselines and tells what moved.
pub(crate) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let baselines = collect(&args.baselines)?;
    let progress = Progress::steps("checking", baselines.len(), args.quiet);
    let threads = args.threads.map_or(0, usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let run = |baseline: Baseline| {
        let checked = Checked::of(baseline);
        progress.step();
        checked
    };
    let all: Vec<Checked> = pool.install(|| baselines.into_par_iter().map(run).collect());
    progress.end();
    if let Some(path) = &args.junit {
        write_file(path, feeds::junit(&all).as_bytes())?;
    }
    if let Some(path) = &args.benchmark {
        write_file(path, feeds::benchmark(&all)?.as_bytes())?;
    }
    feeds::append_summary(&all)?;
    if !args.quiet || !all.iter().all(|checked| checked.verdict.is_equal()) {
        print(&told(&all))?;
    }
    if args.update {
        return update(&all, args.quiet);
    }
    outcome(all)
}

/// All baselines that are named, those of a folder by name.
fn collect(named: &[PathBuf]) -> Result<Vec<Baseline>> {
    let mut paths = Vec::new();
    for path in named {
        if !path.is_dir() {
            paths.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).and_then(|entries| {
            entries.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>()
        });
        let entries = entries.with_context(|| format!("{} could not be read", path.display()))?;
        let mut found: Vec<PathBuf> =
            entries.into_iter().filter(|p| p.extension().is_some_and(|e| e == "ron")).collect();
        if found.is_empty() {
            bail!("{} holds no baselines (.ron)", path.display());
        }
        found.sort();
        paths.extend(found);
    }
    paths.iter().map(|path| Baseline::read(path)).collect()
}

impl Checked {
    fn of(baseline: Baseline) -> Checked {
        let started = Instant::now();
        let (verdict, found) = match measure(&baseline) {
            Ok(found) => (verdict(&baseline, &found), Some(found)),
            Err(failure) => (Verdict::Failed(failure), None),
        };
        let name = name(&baseline.path);
        Checked { name, baseline, verdict, found, seconds: started.elapsed().as_secs_f64() }
    }

    /// Why it could not be run.
    fn failure(&self) -> Option<String> {
        match &self.verdict {
            Verdict::Failed(failure) => Some(failure.to_string()),
            _ => None,
        }
    }
}

fn name(path: &Path) -> String {
    path.file_stem().map_or_else(|| path.display().to_string(), |s| s.to_string_lossy().into())
}

fn measure(baseline: &Baseline) -> Result<Expected, Failure> {
    let args = baseline.run.args(baseline.folder())?;
    let (report, _) = run::perform(&args, &ViewArgs::default(), Instant::now())?;
    Ok(Expected::of(&report)?)
}

fn verdict(baseline: &Baseline, found: &Expected) -> Verdict {
    let Some(expected) = &baseline.expected else { return Verdict::New };
    if expected.contract != found.contract {
        let (expected, found) = (expected.contract.clone(), found.contract.clone());
        return Verdict::OtherContract { expected, found };
    }
    let mut moved = changes(&expected.document(expected), &found.document(expected));
    moved.retain(|change| !change.is_within(baseline.tolerance(&change.path)));
    if moved.is_empty() { Verdict::Equal } else { Verdict::Moved(moved) }
}

/// A line for each baseline, then what moved, and why some could not be run.
fn told(all: &[Checked]) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_header(["baseline", "ttft cycles", "tpot cycles", "result"]);
    for checked in all {
        let first = checked.found.as_ref().and_then(|found| found.requests.first());
        let ttft = first.and_then(|request| request.ttft()).map_or(String::new(), grouped);
        let tpot = first.and_then(|request| request.tpot());
        let tpot = tpot.map_or(String::new(), |tpot| grouped(tpot.round() as u64));
        table.add_row([checked.name.clone(), ttft, tpot, checked.verdict.word()]);
    }
    for column in [1, 2] {
        let column = table.column_mut(column).expect("the header has four columns");
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut told = format!("{table}\n");
    for checked in all {
        match &checked.verdict {
            Verdict::Moved(list) => {
                let heads = [checked.name.as_str(), "expected", "found"];
                told.push_str(&format!("\n{}", crate::diff::table(heads, list)));
            }
            Verdict::Failed(failure) => {
                told.push_str(&format!("\n {}: {failure}\n", checked.name));
            }
            _ => {}
        }
    }
    told
}

/// Renews all baselines that differ.
fn update(all: &[Checked], quiet: bool) -> Result<(), Failure> {
    let mut renewed = 0;
    for checked in all.iter().filter(|checked| !checked.verdict.is_equal()) {
        if let Some(found) = &checked.found {
            let text = checked.baseline.with_expected(found)?;
            write_file(&checked.baseline.path, text.as_bytes())?;
            renewed += 1;
        }
    }
    if !quiet {
        print(&format!("\n{} renewed\n", counted(renewed, "baseline")))?;
    }
    match all.iter().filter_map(Checked::failure).count() {
        0 => Ok(()),
        n => Err(anyhow::anyhow!("{} could not be run", counted(n as u64, "baseline")).into()),
    }
}

/// Wrong input comes before misbehaviour, and that before differences.
fn outcome(all: Vec<Checked>) -> Result<(), Failure> {
    let several = all.len() > 1;
    let count = |is: fn(&Verdict) -> bool| all.iter().filter(|c| is(&c.verdict)).count() as u64;
    let moved = count(|v| matches!(v, Verdict::Moved(_)));
    let other = count(|v| matches!(v, Verdict::OtherContract { .. }));
    let new = count(|v| matches!(v, Verdict::New));
    let failed = count(|v| matches!(v, Verdict::Failed(_)));
    let first = all.into_iter().find_map(|checked| match checked.verdict {
        Verdict::Failed(failure) => Some(failure),
        _ => None,
    });
    match first {
        Some(failure) if !several => return Err(failure),
        Some(Failure::Program(_)) => {
            return Err(Failure::Program(format!(
                "{} misbehaved or could not be run",
                counted(failed, "baseline")
            )));
        }
        Some(_) => Err(anyhow::anyhow!("{} could not be run", counted(failed, "baseline")))?,
        None => {}
    }
    if new > 0 {
        Err(anyhow::anyhow!(
            "{} nothing yet; renew with --update",
            counted(new, "baseline expect")
        ))?;
    }
    match (moved, other) {
        (0, 0) => Ok(()),
        (0, n) => Err(Failure::Difference(format!(
            "{} made under another version of the timing contract; nothing can be said of regressions until renewed with --update",
            counted(n, "baseline")
        ))),
        (n, _) => Err(Failure::Difference(format!("{} moved", counted(n, "baseline")))),
    }
}
