//! The `wafersim` command: files, terminal and wall clock. Each subcommand has a file of its name;
//! what they share stands beside it.
//!
//! **Architecture Invariant:** this is the only crate that prints, reads a clock or knows an exit code.

mod args;
mod ask;
mod attribution;
mod compare;
mod compile;
mod data;
mod defects;
mod diff;
mod exec;
mod explain;
mod failure;
mod figures;
mod findings;
mod gate;
mod kernel;
mod listener;
mod listing;
mod logits;
mod machine;
mod misbehaviour;
mod output;
mod places;
mod process;
mod progress;
mod receiver;
mod reference;
mod report;
mod requests;
mod residual;
mod run;
mod sampling;
mod session;
mod settings;
mod summary;
mod sweep;
mod taps;
mod timeline;
mod validate;

use args::{Cli, Command};
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let started = Instant::now();
    let done = Cli::read().and_then(|cli| match cli.command {
        Command::Run { args, views } => run::run(&args, &views, started),
        Command::Explain(args) => explain::explain(&args, started),
        Command::Compile(args) => compile::compile(&args),
        Command::Exec(args) => exec::exec(&args, started),
        Command::Check(args) => gate::check(&args),
        Command::Sweep(args) => sweep::sweep(&args),
        Command::Diff(args) => diff::diff(&args),
        Command::Validate(args) => validate::validate(&args),
        Command::Machine(args) => machine::machine(&args.command),
    });
    failure::exit_code(done)
}
