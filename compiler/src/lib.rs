//! Lowers a decoder graph onto the wafer: graph and weights in, [`fabric::WaferImage`] out.
//!
//! The passes, in order, one module each:
//!
//! 1. `check`: what the graph may contain;
//! 2. `place`: layers to stages, stages to rectangles of tiles, by predicted time (`estimate`);
//! 3. `tiling`: which elements of every tensor each PE holds;
//! 4. `lines`: collectives on rows and columns, and their fixed colors;
//! 5. `layout`: SRAM addresses;
//! 6. `lanes`: paths and colors between stages;
//! 7. `emit`: programs;
//! 8. `fill`: weights into SRAM;
//! 9. `assemble`: all of it into one image, which `fabric::lint` then judges.
//!
//! Collectives and other kernels that stand alone, by name and numbers, are made by [`kernels`].
//!
//! Between the passes, `verify` checks what they promise one another, in another way than they made it.
//!
//! **Architecture Invariant:** number formats are the user's; no pass changes them.

mod asm;
mod assemble;
mod check;
mod emit;
mod error;
mod estimate;
mod fill;
pub mod kernels;
mod lanes;
mod layout;
mod lines;
mod options;
mod place;
mod plan;
mod protocol;
mod split;
mod tiling;
mod verify;

pub use emit::marks;
pub use error::CompileError;
pub use options::{Goal, Mapping, Numerics, Options};
pub use plan::{Plan, PlannedStage};
pub use protocol::{NewToken, Protocol};

use fabric::{Finding, Machine, WaferImage};
use models::{DecoderGraph, Weights};

/// A model on a wafer.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// What the simulator runs.
    pub image: WaferImage,
    /// What lies where, for people.
    pub plan: Plan,
    /// How to talk to it.
    pub protocol: Protocol,
    /// What the linter finds suspicious in the image; it has no errors.
    pub warnings: Vec<Finding>,
}

/// Compiles a model for a machine.
///
/// # Errors
/// All reasons why the model cannot be lowered or does not fit, with the smallest grid that would do; all
/// errors that the linter finds in the image, with kinds and cures.
pub fn compile(
    graph: &DecoderGraph,
    weights: &Weights,
    machine: &Machine,
    options: &Options,
) -> Result<Compiled, CompileError> {
    let estimate = check::check(graph, machine, options)?;
    let stages = place::place(machine, &estimate, &options.mapping)?;
    verify::placement(machine, estimate.layers, &stages);
    let image = assemble::assemble(graph, weights, &estimate, &stages)?;
    let (errors, warnings): (Vec<_>, Vec<_>) =
        fabric::lint(&image).into_iter().partition(|finding| finding.error);
    if !errors.is_empty() {
        return Err(CompileError { diagnostics: errors.iter().map(ToString::to_string).collect() });
    }
    let plan = Plan::new(&image, &stages, &estimate, graph.context);
    Ok(Compiled { image, plan, protocol: Protocol::default(), warnings })
}
