//! What a user sees while a sweep works: bars on a terminal, elsewhere a line every few seconds.

use super::plan::Point;
use crate::figures::grouped;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two lines.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// The progress of a sweep.
pub(super) struct Watch {
    kind: Kind,
    started: Instant,
    counts: Mutex<Counts>,
}

struct Counts {
    all: usize,
    done: usize,
    failed: usize,
    last_line: Instant,
}

enum Kind {
    Silent,
    Lines,
    /// All points, and what each thread is at.
    Bars(ProgressBar, Vec<ProgressBar>),
}

impl Watch {
    /// Starts with `open` points to run, `before` having been run earlier.
    pub(super) fn start(open: usize, before: usize, threads: usize, quiet: bool) -> Watch {
        let kind = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Kind::Silent,
            (false, false) => Kind::Lines,
            (false, true) => bars(open, threads),
        };
        let started = Instant::now();
        if before > 0 && !quiet {
            let before = grouped(before as u64);
            tell(&format!("{before} points were done before, {} are to run", grouped(open as u64)));
        }
        let counts = Counts { all: open, done: 0, failed: 0, last_line: started };
        Watch { kind, started, counts: Mutex::new(counts) }
    }

    /// Says which point a thread is at.
    pub(super) fn begin(&self, thread: usize, point: &Point) {
        if let Kind::Bars(_, threads) = &self.kind
            && let Some(bar) = threads.get(thread)
        {
            bar.set_message(format!("{}: {}", point.index, point.told()));
        }
    }

    /// Says that a point has ended.
    pub(super) fn end(&self, is_failed: bool) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.done += 1;
        counts.failed += usize::from(is_failed);
        match &self.kind {
            Kind::Silent => {}
            Kind::Bars(total, _) => {
                total.inc(1);
                total.set_message(failures(counts.failed));
            }
            Kind::Lines => {
                let is_due = counts.last_line.elapsed() >= BETWEEN_LINES;
                if is_due || counts.done == counts.all {
                    counts.last_line = Instant::now();
                    tell(&self.line(&counts));
                }
            }
        }
    }

    fn line(&self, counts: &Counts) -> String {
        let Counts { all, done, failed, .. } = *counts;
        let rate = done as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let left = (all - done) as f64 / rate;
        format!(
            "{} of {} points{}, {rate:.1} points/s, {left:.0} s left",
            grouped(done as u64),
            grouped(all as u64),
            failures(failed)
        )
    }

    /// Takes the bars away.
    pub(super) fn finish(&self) {
        if let Kind::Bars(total, threads) = &self.kind {
            threads.iter().chain([total]).for_each(ProgressBar::finish_and_clear);
        }
    }
}

fn failures(failed: usize) -> String {
    if failed == 0 { String::new() } else { format!(", {} failed", grouped(failed as u64)) }
}

fn bars(open: usize, threads: usize) -> Kind {
    let all = MultiProgress::new();
    let style = |text| ProgressStyle::with_template(text).expect("the template is well-formed");
    let total = all.add(ProgressBar::new(open as u64));
    total.set_style(style("{bar:30} {pos}/{len} points{msg}, {per_sec}, {eta} left [{elapsed}]"));
    let thread = |_| {
        let bar = all.add(ProgressBar::new_spinner());
        bar.set_style(style("  {spinner} {wide_msg}"));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    };
    Kind::Bars(total, (0..threads.min(open)).map(thread).collect())
}

fn tell(line: &str) {
    // A closed standard error is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{line}");
}
