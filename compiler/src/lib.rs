//! Lowers a decoder graph onto the wafer: graph and weights in, [`fabric::WaferImage`] out.
//!
//! The passes, in order, one module each:
//!
//! 1. `check`: what the graph may contain;
//! 2. `place`: layers to stages, each `stage` to a rectangle of tiles in `bands`, by predicted time (`estimate`) and past
//!    dead PEs (`pack`, `seams`);
//! 3. `tiling`: which elements of every tensor each PE holds;
//! 4. `wires`: what is wired to what inside a stage, by the collectives on its `lines` to their `roots`;
//! 5. `layout`: SRAM addresses, of them the KV `cache`;
//! 6. `detour`: wires on tiles, around what is dead (`ways`), with the `colors` that are free there;
//! 7. `lanes`: paths and colors between stages;
//! 8. `emit`: programs, one for each class of places (`stamp`), for stages that are `alike` once;
//! 9. `fill`: weights into SRAM, where there are some;
//! 10. `assemble`: all of it into one image, with the routes of all tiles (`routing`), which `fabric::lint` then judges.
//!
//! Collectives and other kernels that stand alone, by name and numbers, are made by [`kernels`].
//!
//! What no mapping can beat says [`bound()`].
//!
//! Between the passes, `verify` checks what they promise one another, in another way than they made it.
//!
//! **Architecture Invariant:** number formats are the user's; no pass changes them.

mod alike;
mod asm;
mod assemble;
mod bands;
mod bound;
mod cache;
mod check;
mod colors;
mod detour;
mod emit;
mod error;
mod estimate;
mod extras;
mod fill;
#[cfg(feature = "testing")]
pub mod fuzz;
pub mod kernels;
mod lanes;
mod layout;
mod lines;
mod options;
mod pack;
mod place;
mod plan;
mod protocol;
mod roots;
mod routing;
mod seams;
mod split;
mod stage;
mod stamp;
mod tiling;
mod verify;
mod ways;
mod wires;

pub use bound::{Binding, Bound, bound};
pub use detour::Detours;
pub use emit::marks;
pub use error::CompileError;
pub use options::{Goal, Mapping, Numerics, Options};
pub use plan::{Plan, PlannedStage};
pub use protocol::{Logits, NewToken, Protocol};

use assemble::Placed;
use colors::Colors;
use detour::{Ground, Laid, Net};
use estimate::Estimate;
use fabric::{DefectMap, Finding, Machine, WaferImage};
use lanes::Lanes;
use models::{DecoderGraph, Weights};
use place::Cut;
use stage::Stage;
use wires::Wires;

/// A model on a wafer.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// What the simulator runs.
    pub image: WaferImage,
    /// What lies where, for people.
    pub plan: Plan,
    /// How to talk to it.
    pub protocol: Protocol,
    /// The layout with every choice made.
    pub mapping: Mapping,
    /// What was done to get past dead PEs and links.
    pub detours: Detours,
    /// What the linter finds suspicious in the image; it has no errors.
    pub warnings: Vec<Finding>,
    /// Where the residual stream lies, for each stage of layers.
    pub residuals: Vec<Residual>,
}

/// The residual stream of a stage of layers, for observers: f32, complete whenever PEs pass [`marks::LAYER`], which they
/// do once for each layer of the stage and item. Where norms are layer norms, its mean has been taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Residual {
    /// The layers of the stage.
    pub layers: std::ops::Range<usize>,
    /// Consecutive elements: PE, byte address, number of elements.
    pub parts: Vec<(fabric::PeIdx, u32, u32)>,
}

/// Compiles a model for a machine. Without weights SRAM stays empty and all else is the same, which is enough for runs without
/// data.
///
/// # Errors
/// All reasons why the model cannot be lowered or does not fit, with the smallest grid that would do; all
/// errors that the linter finds in the image, with kinds and cures.
pub fn compile<'w>(
    graph: &DecoderGraph,
    weights: impl Into<Option<&'w Weights>>,
    machine: &Machine,
    options: &Options,
) -> Result<Compiled, CompileError> {
    let mut estimate = check::check(graph, machine, options)?;
    let map = &DefectMap::of(machine);
    if options.mapping.prefill_chunk == 0 {
        estimate.chunk = place::best_chunk(machine, map, &estimate, &options.mapping);
    }
    let wired = wire((machine, map), &estimate, options)?;
    let Wired { cut, stages, laid, lanes } = &wired;
    let placed = Placed { stages, laid, lanes };
    let (image, residuals) = assemble::assemble(graph, weights.into(), &estimate, &placed)?;
    let (errors, warnings): (Vec<_>, Vec<_>) =
        fabric::lint(&image).into_iter().partition(|finding| finding.error);
    if !errors.is_empty() {
        return Err(CompileError { diagnostics: errors.iter().map(ToString::to_string).collect() });
    }
    let plan = Plan::new(&image, stages, &estimate, graph.context);
    let detours = laid.iter().map(|l| l.detours).sum();
    let mapping = Mapping {
        layers_per_stage: cut.layers_per_stage,
        stage_width: cut.width,
        stage_height: cut.height,
        goal: options.mapping.goal,
        prefill_chunk: estimate.chunk.most,
    };
    let vocab = options.logits_to_host.then_some(graph.vocab);
    let protocol = Protocol::new(vocab, estimate.chunk.most);
    Ok(Compiled { image, plan, protocol, mapping, detours, warnings, residuals })
}

/// Cuts that are tried on a wafer with defects, whose rectangles may have no way around them.
const CUTS_TRIED: usize = 16;

/// Stages with their wires and lanes on tiles.
struct Wired {
    cut: Cut,
    stages: Vec<Stage>,
    laid: Vec<Laid>,
    lanes: Lanes,
}

/// Places and wires the stages: by the best cut, or by the best one that the defects leave ways for.
///
/// # Errors
/// As `place`; when no cut of those tried can be wired, what is in the way of the best.
fn wire(
    (machine, map): (&Machine, &DefectMap),
    estimate: &Estimate<'_>,
    options: &Options,
) -> Result<Wired, CompileError> {
    let mut refused = Vec::new();
    let mut reason: Option<CompileError> = None;
    loop {
        let (cut, stages) = match place::place(machine, map, estimate, &options.mapping, &refused) {
            Ok(placed) => placed,
            Err(none_left) => return Err(reason.unwrap_or(none_left)),
        };
        verify::placement(machine, map, estimate.layers(), &stages);
        match wire_stages((machine, map), estimate, options, (cut, stages)) {
            Ok(wired) => return Ok(wired),
            Err(in_the_way) => reason = reason.or(Some(in_the_way)),
        }
        refused.push(cut);
        if map.is_empty() || refused.len() == CUTS_TRIED {
            return Err(reason.expect("a cut has been refused"));
        }
    }
}

fn wire_stages(
    (machine, map): (&Machine, &DefectMap),
    estimate: &Estimate<'_>,
    options: &Options,
    (cut, stages): (Cut, Vec<Stage>),
) -> Result<Wired, CompileError> {
    let mut ground = Ground { machine, map, colors: Colors::new(machine, &stages) };
    let mut laid = Vec::with_capacity(stages.len());
    let mut known: Vec<(&Stage, Wires, Vec<Net>)> = Vec::new();
    for (at, stage) in stages.iter().enumerate() {
        if !known.iter().any(|(first, ..)| first.is_wired_as(stage)) {
            let wires = Wires::new(stage, estimate);
            let nets = detour::nets(stage, &wires);
            known.push((stage, wires, nets));
        }
        let same = known.iter().find(|(first, ..)| first.is_wired_as(stage));
        let (_, wires, nets) = same.expect("these wires are known");
        laid.push(detour::lay(&mut ground, (at, stage), wires, nets)?);
        verify::laid(machine, map, stage, nets, &laid[at]);
    }
    let lanes = lanes::lay(&mut ground, &stages, (estimate.slots, options.logits_to_host))?;
    verify::lanes(machine, map, &stages, lanes.all());
    Ok(Wired { cut, stages, laid, lanes })
}
