//! Pass 2, place: stages become rectangles of tiles, each behind a row of ports, in `bands`. Dead PEs are stepped over
//! (`pack`, `seams`).

use crate::bands::{self, Bands};
use crate::emit::choice::MOST_OF_A_ROW;
use crate::emit::chunk::Chunk;
use crate::error::CompileError;
use crate::estimate::{Estimate, Fit, Timed};
use crate::options::{Goal, Mapping};
use crate::pack::{Cell, Live, pack};
use crate::stage::{Stage, Work};
use fabric::{DefectMap, Machine};
use std::fmt::Write as _;

/// Prompt tokens of an item that are chosen without being told, at most.
const MOST_CHOSEN: u32 = 64;

/// How a grid is cut into equal rectangles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) layers_per_stage: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// The stages of a model of `layers` layers.
pub(crate) fn partition(layers: usize, per_stage: u32) -> Vec<Work> {
    let mut works = vec![Work::Embed];
    let step = per_stage.max(1) as usize;
    works.extend((0..layers).step_by(step).map(|l| Work::Layers(l..(l + step).min(layers))));
    works.push(Work::Head);
    works
}

/// Chooses the cut with the least predicted time among those that fit and are not `refused`, and places the stages.
///
/// # Errors
/// When none fits: by how much the best one fails, where, and which square grid would do.
pub(crate) fn place(
    machine: &Machine,
    map: &DefectMap,
    estimate: &Estimate,
    mapping: &Mapping,
    refused: &[Cut],
) -> Result<(Cut, Vec<Stage>), CompileError> {
    let Some((cut, cells)) = best_cut(machine, map, estimate, mapping, refused) else {
        return Err(does_not_fit(machine, map, estimate, mapping));
    };
    let works = partition(estimate.layers(), cut.layers_per_stage);
    let (width, height) = (cut.width, cut.height);
    let stages = works.into_iter().zip(cells);
    let stage = |(work, cell)| {
        let roots = estimate.roots(&cut, &work);
        Stage { work, width, height, cell, roots }
    };
    Ok((cut, stages.map(stage).collect()))
}

/// The number of prompt tokens of an item with which the first token of an answer to the longest prompt is predicted to come earliest,
/// among powers of two with which the model fits; of equal ones the least.
pub(crate) fn best_chunk(
    machine: &Machine,
    map: &DefectMap,
    estimate: &Estimate,
    mapping: &Mapping,
) -> Chunk {
    let most = estimate.prompt.min(MOST_CHOSEN);
    let sizes = std::iter::successors(Some(1), |size| Some(2 * size)).take_while(|&s| s <= most);
    let timed = sizes.map_while(|size| {
        let estimate = Estimate { chunk: Chunk { most: size }, ..estimate.clone() };
        let (cut, _) = best_cut(machine, map, &estimate, mapping, &[])?;
        let timed = estimate.timed(cut.layers_per_stage);
        Some((estimate.first_token_cycles(&cut, &timed), size))
    });
    timed.min().map_or(Chunk::ONE, |(_, most)| Chunk { most })
}

fn best_cut(
    machine: &Machine,
    map: &DefectMap,
    estimate: &Estimate,
    mapping: &Mapping,
    refused: &[Cut],
) -> Option<(Cut, Vec<Cell>)> {
    let live = Live::new(machine, map);
    let mut best: Option<(u128, Cut, Vec<Cell>)> = None;
    let candidates = candidates(machine, estimate.layers(), mapping);
    for alike in candidates.chunk_by(|a, b| a.layers_per_stage == b.layers_per_stage) {
        let timed = estimate.timed(alike[0].layers_per_stage);
        for cut in alike {
            // What costs least to ask comes first: of most candidates it leaves nothing.
            if estimate.least_over(cut) > 0
                || Bands::of(machine, cut, timed.stages()).is_none()
                || refused.contains(cut)
            {
                continue;
            }
            let score = score(estimate, mapping.goal, cut, &timed);
            if best.as_ref().is_some_and(|(least, ..)| score >= *least) {
                continue;
            }
            if matches!(estimate.fit(cut), Fit::Fits)
                && let Some(cells) = pack(machine, &live, cut, timed.stages() as usize)
            {
                best = Some((score, *cut, cells));
            }
        }
    }
    best.map(|(_, cut, cells)| (cut, cells))
}

/// Stages of a cut, embedding and head included.
fn stages_of(estimate: &Estimate, cut: &Cut) -> u32 {
    estimate.layers().div_ceil(cut.layers_per_stage.max(1) as usize) as u32 + 2
}

/// What a cut is judged by; less is better.
fn score(estimate: &Estimate, goal: Goal, cut: &Cut, timed: &Timed) -> u128 {
    let cycles = u128::from(estimate.cycles(cut, timed));
    let pes = u128::from(timed.stages()) * u128::from(cut.width) * (u128::from(cut.height) + 1);
    match goal {
        Goal::Balanced => cycles.pow(3).saturating_mul(pes.pow(2)),
        Goal::Latency => cycles,
    }
}

/// Cuts to try, small rectangles first, so that of equally fast ones the smallest wins.
fn candidates(machine: &Machine, layers: usize, mapping: &Mapping) -> Vec<Cut> {
    let sizes = |fixed: u32, most: u32| -> Vec<u32> {
        if fixed != 0 {
            return vec![fixed];
        }
        let mut sizes: Vec<u32> = Vec::new();
        let mut next = 1u32;
        while next <= most {
            sizes.push(next);
            next += (next / 24).max(1);
        }
        sizes
    };
    let shared = match mapping.layers_per_stage {
        0 => sizes(0, layers as u32),
        fixed => vec![fixed.min(layers as u32)],
    };
    let (columns, rows) = bands::size(machine);
    let mut cuts = Vec::new();
    for &layers_per_stage in &shared {
        for &height in &sizes(mapping.stage_height, rows) {
            for &width in &sizes(mapping.stage_width, columns) {
                cuts.push(Cut { layers_per_stage, width, height });
            }
        }
    }
    cuts
}

fn does_not_fit(
    machine: &Machine,
    map: &DefectMap,
    estimate: &Estimate,
    mapping: &Mapping,
) -> CompileError {
    let live = Live::new(machine, map);
    let mut nearest: Option<(u64, String)> = None;
    let mut candidates: Vec<(u64, Cut)> = candidates(machine, estimate.layers(), mapping)
        .into_iter()
        .filter(|cut| Bands::of(machine, cut, stages_of(estimate, cut)).is_some())
        .map(|cut| (estimate.least_over(&cut), cut))
        .collect();
    candidates.sort_by_key(|(least, _)| *least);
    for (least, cut) in candidates {
        if nearest.as_ref().is_some_and(|(bytes, _)| least >= *bytes) {
            break;
        }
        let stages = stages_of(estimate, &cut) as usize;
        if pack(machine, &live, &cut, stages).is_none() {
            continue;
        }
        let Some((lack, text)) = lack(estimate, &cut) else { continue };
        if nearest.as_ref().is_none_or(|(least, _)| lack < *least) {
            nearest = Some((lack, text));
        }
    }
    let mut grid =
        format!("machine `{}` has {} x {} tiles", machine.name, machine.width, machine.height);
    let dead = map.dead_pes().count();
    if dead > 0 {
        let _ = write!(grid, ", and {dead} of its PEs are dead");
    }
    let most = estimate.chunk.most;
    if most > 1 {
        let _ = write!(
            grid,
            "; each item holds up to {most} prompt tokens (mapping.prefill_chunk = {most}; fewer need less room)"
        );
    }
    let mut diagnostics = vec![match nearest {
        Some((_, text)) => format!("the model does not fit: {text}; {grid}"),
        None => format!(
            "the model does not fit: {} stages do not find room one behind another; {grid}",
            partition(estimate.layers(), estimate.layers() as u32).len()
        ),
    }];
    let whole = if map.is_empty() { "" } else { " if nothing of it were dead" };
    diagnostics.push(match smallest_square(machine, estimate, mapping) {
        Some(side) => format!(
            "the smallest square grid that would do{whole} has {side} x {side} tiles \
             (--set machine.width={side} --set machine.height={side})"
        ),
        None => "no grid of up to 2,048 x 2,048 such tiles would do with this mapping".to_string(),
    });
    CompileError { diagnostics }
}

/// By how much a cut fails, and how; none where it fits.
fn lack(estimate: &Estimate, cut: &Cut) -> Option<(u64, String)> {
    let Cut { width, height, layers_per_stage } = cut;
    match estimate.fit(cut) {
        Fit::Fits => None,
        Fit::Over { bytes, stage } => {
            let text = format!(
                "SRAM over by {bytes} bytes on the fullest PE of the {stage} rectangle of {width} x {height} tiles \
                 ({layers_per_stage} layers each)"
            );
            Some((bytes, text))
        }
        Fit::Crowded { experts } => {
            let text = format!(
                "{experts} experts on a row of rectangles of {height} rows, where {MOST_OF_A_ROW} are the limit"
            );
            Some((u64::MAX, text))
        }
    }
}

/// The side of the smallest square grid on which some cut fits, where nothing is dead.
fn smallest_square(machine: &Machine, estimate: &Estimate, mapping: &Mapping) -> Option<u32> {
    let fits = |side: u32| {
        let machine = Machine { width: side, height: side, ..machine.clone() };
        candidates(&machine, estimate.layers(), mapping).into_iter().any(|cut| {
            Bands::of(&machine, &cut, stages_of(estimate, &cut)).is_some()
                && estimate.least_over(&cut) == 0
                && matches!(estimate.fit(&cut), Fit::Fits)
        })
    };
    let mut high = 2;
    while !fits(high) {
        if high >= 2048 {
            return None;
        }
        high *= 2;
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = (low + high) / 2;
        if fits(middle) { high = middle } else { low = middle }
    }
    Some(high)
}
