//! Pass 2, place: stages become rectangles of tiles, each behind a row of ports, in `bands`.
//!
//! A rectangle has its columns and rows in the order in which items go through them: the *port row* lies before row 0, the
//! *exit row* is the last. In every other band all this is turned by 180 degrees; on grids of few rows, rows and columns are
//! exchanged. Dead PEs are stepped over (`pack`, `seams`).

use crate::bands::{self, Bands};
use crate::error::CompileError;
use crate::estimate::{Estimate, Fit};
use crate::lines::{COLUMN, LinePos, ROW};
use crate::options::{Goal, Mapping};
use crate::pack::{Cell, Live, pack};
use crate::roots::Roots;
use fabric::{DefectMap, Machine, PeCoord, Port, Position, Route};
use std::fmt::Write as _;
use std::ops::Range;

/// What a stage computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// Token id to residual stream.
    Embed,
    /// Some layers, one after another.
    Layers(Range<usize>),
    /// Residual stream to token id.
    Head,
}

/// How a rectangle lies on the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lie {
    /// By 180 degrees.
    pub(crate) turned: bool,
    /// Rows and columns of the grid are exchanged.
    pub(crate) transposed: bool,
}

impl Lie {
    /// The grid's name for a side of the rectangle's tiles, by which south is where items go.
    pub(crate) fn port(self, port: Port) -> Port {
        let port = if self.turned { port.opposite() } else { port };
        match (self.transposed, port) {
            (true, Port::North) => Port::West,
            (true, Port::West) => Port::North,
            (true, Port::South) => Port::East,
            (true, Port::East) => Port::South,
            (_, same) => same,
        }
    }

    /// The side of the grid on which the next band lies.
    pub(crate) fn aside(self) -> Port {
        if self.transposed { Port::South } else { Port::East }
    }

    /// A route in a rectangle, as it is on the grid.
    pub(crate) fn route(self, route: &Route) -> Route {
        let position = |p: &Position| Position {
            rx: self.port(p.rx),
            tx: p.tx.iter().map(|tx| self.port(tx)).collect(),
        };
        Route { color: route.color, positions: route.positions.iter().map(position).collect() }
    }

    /// The tile of the grid for one that is counted with rows and columns exchanged where they are.
    fn tile(self, at: PeCoord) -> PeCoord {
        if self.transposed { PeCoord::new(at.y, at.x) } else { at }
    }
}

/// A stage on the grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) work: Work,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) cell: Cell,
    pub(crate) roots: Roots,
}

impl Stage {
    /// The tile in column `c`, row `r` of the rectangle.
    pub(crate) fn tile(&self, c: u32, r: u32) -> PeCoord {
        self.at(c, r + 1)
    }

    /// The tile of the port of column `c`.
    pub(crate) fn port(&self, c: u32) -> PeCoord {
        self.at(c, 0)
    }

    /// Where items leave column `c`.
    pub(crate) fn exit(&self, c: u32) -> PeCoord {
        self.tile(c, self.height - 1)
    }

    /// The place of column `c` in its row.
    pub(crate) fn in_row(&self, c: u32) -> LinePos {
        LinePos { at: c, len: self.width, root: self.roots.row, colors: ROW }
    }

    /// The place of row `r` in its column.
    pub(crate) fn in_column(&self, r: u32) -> LinePos {
        LinePos { at: r, len: self.height, root: self.roots.column, colors: COLUMN }
    }

    /// The tile in column `c`, the port row being row 0.
    fn at(&self, c: u32, r: u32) -> PeCoord {
        let Cell { corner, lie, gaps } = &self.cell;
        let (c, r) = if lie.turned { (self.width - 1 - c, self.height - r) } else { (c, r) };
        lie.tile(gaps.tile(*corner, c, r))
    }

    /// North-west corner, columns and rows of the window: rectangle and port row with the tiles that they leave out.
    pub(crate) fn window(&self) -> (PeCoord, u32, u32) {
        let Cell { corner, lie, gaps } = &self.cell;
        let (width, height) = (self.width + gaps.spare, gaps.window_rows(self.height + 1));
        let size = lie.tile(PeCoord::new(width, height));
        (lie.tile(*corner), size.x, size.y)
    }

    /// Whether the window holds a tile.
    pub(crate) fn contains(&self, at: PeCoord) -> bool {
        let (corner, width, height) = self.window();
        (corner.x..corner.x + width).contains(&at.x)
            && (corner.y..corner.y + height).contains(&at.y)
    }

    /// North-west corner, columns and rows of the smallest area that holds the rectangle.
    pub(crate) fn area(&self) -> (PeCoord, u32, u32) {
        let ends = [self.tile(0, 0), self.exit(self.width - 1)];
        let (corner, width, height) = self.window();
        let rows = ends.map(|at| if self.cell.lie.transposed { at.x } else { at.y });
        let (first, last) = (rows[0].min(rows[1]), rows[0].max(rows[1]));
        match self.cell.lie.transposed {
            true => (PeCoord::new(first, corner.y), last - first + 1, height),
            false => (PeCoord::new(corner.x, first), width, last - first + 1),
        }
    }
}

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

fn best_cut(
    machine: &Machine,
    map: &DefectMap,
    estimate: &Estimate,
    mapping: &Mapping,
    refused: &[Cut],
) -> Option<(Cut, Vec<Cell>)> {
    let live = Live::new(machine, map);
    let mut best: Option<(u128, Cut, Vec<Cell>)> = None;
    for cut in candidates(machine, estimate.layers(), mapping) {
        let stages = partition(estimate.layers(), cut.layers_per_stage).len() as u32;
        if Bands::of(machine, &cut, stages).is_none() || refused.contains(&cut) {
            continue;
        }
        // Most candidates are worse than the best so far and need no look at their SRAM.
        let score = score(estimate, mapping.goal, &cut, stages);
        if best.as_ref().is_some_and(|(least, ..)| score >= *least) {
            continue;
        }
        if matches!(estimate.fit(&cut), Fit::Fits)
            && let Some(cells) = pack(machine, &live, &cut, stages as usize)
        {
            best = Some((score, cut, cells));
        }
    }
    best.map(|(_, cut, cells)| (cut, cells))
}

/// What a cut is judged by; less is better.
fn score(estimate: &Estimate, goal: Goal, cut: &Cut, stages: u32) -> u128 {
    let cycles = u128::from(estimate.cycles(cut));
    let pes = u128::from(stages) * u128::from(cut.width) * (u128::from(cut.height) + 1);
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
    for cut in candidates(machine, estimate.layers(), mapping) {
        let stages = partition(estimate.layers(), cut.layers_per_stage).len() as u32;
        if Bands::of(machine, &cut, stages).is_none()
            || pack(machine, &live, &cut, stages as usize).is_none()
        {
            continue;
        }
        if let Fit::Over { bytes, stage } = estimate.fit(&cut) {
            let text = format!(
                "SRAM over by {bytes} bytes on the fullest PE of the {stage} rectangle of {} x {} tiles \
                 ({} layers each)",
                cut.width, cut.height, cut.layers_per_stage
            );
            if nearest.as_ref().is_none_or(|(least, _)| bytes < *least) {
                nearest = Some((bytes, text));
            }
        }
    }
    let mut grid =
        format!("machine `{}` has {} x {} tiles", machine.name, machine.width, machine.height);
    let dead = map.dead_pes().count();
    if dead > 0 {
        let _ = write!(grid, ", and {dead} of its PEs are dead");
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

/// The side of the smallest square grid on which some cut fits, where nothing is dead.
fn smallest_square(machine: &Machine, estimate: &Estimate, mapping: &Mapping) -> Option<u32> {
    let fits = |side: u32| {
        let machine = Machine { width: side, height: side, ..machine.clone() };
        candidates(&machine, estimate.layers(), mapping).into_iter().any(|cut| {
            let stages = partition(estimate.layers(), cut.layers_per_stage).len() as u32;
            Bands::of(&machine, &cut, stages).is_some() && matches!(estimate.fit(&cut), Fit::Fits)
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
