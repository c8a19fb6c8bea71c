//! `wafersim validate`: every published figure that a program can show, beside the one that the engine gives.
//!
//! Each kind of figure has a file; [`plan`] lists them in the order of the page.

mod cause;
mod collectives;
mod contract;
mod datapath;
mod figure;
mod job;
mod latencies;
mod links;
mod page;
mod probe;
mod published;
mod row;
mod storage;

use crate::args::ValidateArgs;
use crate::failure::Failure;
use crate::output::{print, print_json, write_file};
use crate::progress::Progress;
use anyhow::{Result, bail};
use job::Plan;
use page::Validation;
use std::path::Path;

/// Runs all rows, or the fast ones, and prints or writes the page. Rows outside what they are allowed are a
/// [`Failure::Difference`]; the page is made nevertheless.
pub(crate) fn validate(args: &ValidateArgs) -> Result<(), Failure> {
    if let Some(path) = &args.output {
        check_folder(path)?;
    }
    let mut plan = plan();
    if args.fast {
        plan.keep_fast();
    }
    let progress = Progress::steps("validating", plan.len(), args.quiet);
    let sections = plan.run(|| progress.step());
    progress.end();
    let validation = Validation::of(sections?, args.fast);
    match &args.output {
        Some(path) => write_file(path, validation.markdown().as_bytes())?,
        None if args.json => {}
        None => print(&validation.markdown())?,
    }
    if args.json {
        print_json(&validation)?;
    }
    match validation.wrong() {
        Some(table) => Err(Failure::Difference(table)),
        None => Ok(()),
    }
}

/// Whoever waited for all rows should not learn only then that there is no such folder.
fn check_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty());
    match folder.filter(|f| !f.is_dir()) {
        Some(folder) => {
            bail!("{} cannot be written: there is no folder {}", path.display(), folder.display())
        }
        None => Ok(()),
    }
}

/// All measurements.
fn plan() -> Plan {
    let mut plan = Plan::default();
    collectives::plan(&mut plan);
    latencies::plan(&mut plan);
    links::plan(&mut plan);
    datapath::plan(&mut plan);
    storage::plan(&mut plan);
    plan
}
