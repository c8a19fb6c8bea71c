//! What is wired to what inside a stage, in columns and rows of its rectangle. Which tiles these are, and which
//! ways and colors the wires take between them where some are dead, is for `detour` to say.

use crate::estimate::Estimate;
use crate::lines::{BLOCK, INGRESS, LinePos, READY, ROW, TileRoutes};
use crate::stage::{Stage, Work};
use crate::tiling::LayerTiling;
use fabric::{PeCoord, Port, Ports, Route};
use indexmap::{IndexMap, IndexSet};

/// A node of a stage: column and row of its rectangle, row by row, and behind them the ports.
pub(crate) type Node = usize;

/// The routes of a stage as if its rectangle were one of tiles side by side, the ports being north of its first row.
#[derive(Debug)]
pub(crate) struct Wires {
    /// The different sets of routes of its nodes.
    pub(crate) sets: IndexSet<TileRoutes>,
    /// The number of its set, by node.
    pub(crate) set_of: Vec<u32>,
}

/// The node of a column's port.
pub(crate) fn port_node(stage: &Stage, column: u32) -> Node {
    (stage.width * stage.height + column) as usize
}

/// The tile of a node.
pub(crate) fn tile_of(stage: &Stage, node: Node) -> PeCoord {
    let (column, row) = (node as u32 % stage.width, node as u32 / stage.width);
    if row == stage.height { stage.port(column) } else { stage.tile(column, row) }
}

/// The node behind a mesh port of a node.
pub(crate) fn neighbour(stage: &Stage, node: Node, port: Port) -> Option<Node> {
    let (w, rows) = (stage.width, stage.height + 1);
    // With the port row first.
    let at = PeCoord::new(node as u32 % w, (node as u32 / w + 1) % rows);
    let next = at.neighbour(port, w, rows)?;
    Some((((next.y + rows - 1) % rows) * w + next.x) as usize)
}

impl Wires {
    /// The wires of a stage. Those of stages that are [`Stage::is_wired_as`] one another are equal.
    pub(crate) fn new(stage: &Stage, estimate: &Estimate) -> Wires {
        let (width, nodes) = (stage.width as usize, port_node(stage, stage.width));
        let mut wires = Wires { sets: IndexSet::new(), set_of: Vec::with_capacity(nodes) };
        let tiling = LayerTiling::new(estimate.dims, stage.width, stage.height);
        // On the root of a row are all routes along its columns, so rows are equal that have the same there.
        let mut known: IndexMap<TileRoutes, usize> = IndexMap::new();
        for row in 0..stage.height {
            let at_root = rectangle(stage, &tiling, (stage.roots.row, row));
            let first = *known.entry(at_root).or_insert(row as usize);
            if first < row as usize {
                wires.set_of.extend_from_within(first * width..(first + 1) * width);
                continue;
            }
            for column in 0..stage.width {
                wires.push(rectangle(stage, &tiling, (column, row)));
            }
        }
        for column in 0..stage.width {
            let mut routes = TileRoutes::default();
            port(stage, column, &mut routes);
            wires.push(routes);
        }
        wires
    }

    /// Adds the next node.
    fn push(&mut self, routes: TileRoutes) {
        let set = self.sets.insert_full(routes).0;
        self.set_of.push(set as u32);
    }

    /// The routes of a node.
    pub(crate) fn of(&self, node: Node) -> &TileRoutes {
        &self.sets[self.set_of[node] as usize]
    }
}

/// The routes of a node of the rectangle.
fn rectangle(stage: &Stage, tiling: &LayerTiling, (column, row): (u32, u32)) -> TileRoutes {
    let mut routes = TileRoutes::default();
    match &stage.work {
        Work::Embed => stage.in_column(row).route(&mut routes, Port::North, Port::South),
        Work::Layers(_) => layers(stage, tiling, (column, row), &mut routes),
        Work::Head => head(stage, (column, row), &mut routes),
    }
    transfer(stage, row, &mut routes);
    routes
}

/// The row from which a stage's port row is told that all is done.
pub(crate) fn ready_row(stage: &Stage) -> u32 {
    match stage.work {
        Work::Head => stage.roots.column,
        _ => stage.height - 1,
    }
}

/// The place of a column's port among those of the embedding, whose first one alone takes items.
pub(crate) fn in_port_row(column: u32, width: u32) -> LinePos {
    LinePos { at: column, len: width, root: 0, colors: ROW }
}

/// A port's: items down the column, and up the column that all is done. The embedding's first port sends items to the others.
fn port(stage: &Stage, column: u32, routes: &mut TileRoutes) {
    if stage.work == Work::Embed {
        in_port_row(column, stage.width).route_broadcast(routes, Port::West, Port::East);
    }
    routes.add(Route::fixed(INGRESS, Port::Ramp, Ports::one(Port::South)));
    routes.add(Route::fixed(READY, Port::South, Ports::one(Port::Ramp)));
}

/// The same in a row of the rectangle.
fn transfer(stage: &Stage, row: u32, routes: &mut TileRoutes) {
    let tx = Ports::one(Port::Ramp);
    let tx = if row + 1 < stage.height { tx.with(Port::South) } else { tx };
    routes.add(Route::fixed(INGRESS, Port::North, tx));
    let from = ready_row(stage);
    if row <= from {
        let rx = if row == from { Port::Ramp } else { Port::South };
        routes.add(Route::fixed(READY, rx, Ports::one(Port::North)));
    }
}

fn layers(stage: &Stage, tiling: &LayerTiling, (column, row): (u32, u32), routes: &mut TileRoutes) {
    let heads = tiling.row_heads(row);
    let within = row - heads.block_start;
    stage.in_row(column).route(routes, Port::West, Port::East);
    stage.in_column(row).route(routes, Port::North, Port::South);
    LinePos::centred(within, heads.block_len, BLOCK).route(routes, Port::North, Port::South);
}

fn head(stage: &Stage, (column, row): (u32, u32), routes: &mut TileRoutes) {
    let line = stage.in_row(column);
    line.route_chain(routes, Port::West, Port::East);
    if line.is_root() {
        stage.in_column(row).route_chain(routes, Port::North, Port::South);
    }
    if row == ready_row(stage) {
        line.route_broadcast(routes, Port::West, Port::East);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check;
    use crate::pack::Cell;
    use crate::roots::Roots;
    use crate::seams::Gaps;
    use crate::stage::Lie;
    use models::ModelDir;
    use std::path::Path;

    #[test]
    fn has_every_node_the_routes_that_it_would_have_alone() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/data/oracle");
        let model = ModelDir::open(data.join("qwen2/model")).expect("the model opens");
        let machine = fabric::presets::preset("wse3-64").expect("a preset");
        let estimate = check(model.graph(), &machine, &crate::Options::default());
        let estimate = estimate.expect("it can be lowered");
        for (width, height) in [(1, 1), (5, 1), (1, 9), (7, 4), (3, 23)] {
            let tiling = LayerTiling::new(estimate.dims, width, height);
            for work in [Work::Embed, Work::Layers(0..1), Work::Head] {
                let (corner, lie, gaps) = (PeCoord::new(0, 1), Lie::default(), Gaps::default());
                let roots = Roots { row: width / 3, column: height / 4 };
                let stage = Stage { work, width, height, cell: Cell { corner, lie, gaps }, roots };
                let wires = Wires::new(&stage, &estimate);
                for (column, row) in (0..height).flat_map(|r| (0..width).map(move |c| (c, r))) {
                    let alone = rectangle(&stage, &tiling, (column, row));
                    assert_eq!(*wires.of((row * width + column) as usize), alone);
                }
            }
        }
    }
}
