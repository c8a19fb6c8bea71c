//! What a user sees while a command works: a line on standard error, if that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use pe_isa::Cycle;
use std::io::IsTerminal as _;
use std::time::Duration;

/// A spinner with a message; nothing where standard error is no terminal or nobody wants to see it.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Whether text that streams to standard output would be torn by the spinner.
    shares_terminal: bool,
}

impl Progress {
    /// Starts with `message`; hidden when `quiet`.
    pub(crate) fn start(message: &str, quiet: bool) -> Progress {
        let bar = if quiet || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]");
            bar.set_style(style.expect("the template is well-formed"));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        };
        bar.set_message(message.to_string());
        Progress { bar, shares_terminal: std::io::stdout().is_terminal() }
    }

    /// Starts a bar of so many steps; hidden when `quiet`.
    pub(crate) fn steps(message: &str, count: usize, quiet: bool) -> Progress {
        let progress = Progress::start(message, quiet);
        let style = ProgressStyle::with_template("{spinner} {msg} {pos}/{len} [{elapsed}]");
        progress.bar.set_style(style.expect("the template is well-formed"));
        progress.bar.set_length(count as u64);
        progress
    }

    /// Says that a step is done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }

    /// Says what is being done.
    pub(crate) fn say(&self, message: &str) {
        self.bar.set_message(message.to_string());
    }

    /// Says how far the simulation is.
    pub(crate) fn at(&self, cycle: Cycle, tokens: usize) {
        if self.bar.is_hidden() {
            return;
        }
        let cycle = crate::figures::grouped(cycle.0);
        self.bar.set_message(format!("simulating: cycle {cycle}, {tokens} new tokens"));
    }

    /// Takes the line away while something else is printed.
    pub(crate) fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// Makes room for text that is about to be printed.
    pub(crate) fn give_way(&self) {
        if self.shares_terminal {
            self.end();
        }
    }

    /// Takes the line away.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
