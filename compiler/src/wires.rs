//! What is wired to what inside a stage, in columns and rows of its rectangle. Which tiles these are, and which
//! ways and colors the wires take between them where some are dead, is for `detour` to say.

use crate::estimate::Estimate;
use crate::lines::{BLOCK, INGRESS, LinePos, READY, ROW, TileRoutes};
use crate::stage::{Stage, Work};
use crate::tiling::LayerTiling;
use fabric::{PeCoord, Port, Ports, Route};

/// A node of a stage: column and row of its rectangle, row by row, and behind them the ports.
pub(crate) type Node = usize;

/// The routes of a stage as if its rectangle were one of tiles side by side, the ports being north of its first row.
#[derive(Debug)]
pub(crate) struct Wires {
    /// By node.
    pub(crate) routes: Vec<TileRoutes>,
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
    /// The wires of a stage.
    pub(crate) fn new(stage: &Stage, estimate: &Estimate) -> Wires {
        let nodes = port_node(stage, stage.width);
        let mut wires = Wires { routes: vec![TileRoutes::default(); nodes] };
        let tiling = LayerTiling::new(estimate.dims, stage.width, stage.height);
        for column in 0..stage.width {
            let routes = &mut wires.routes[port_node(stage, column)];
            port(stage, column, routes);
            for row in 0..stage.height {
                let routes = &mut wires.routes[(row * stage.width + column) as usize];
                match &stage.work {
                    Work::Embed => {
                        stage.in_column(row).route(routes, Port::North, Port::South);
                    }
                    Work::Layers(_) => layers(stage, &tiling, (column, row), routes),
                    Work::Head => head(stage, (column, row), routes),
                }
                transfer(stage, row, routes);
            }
        }
        wires
    }
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
