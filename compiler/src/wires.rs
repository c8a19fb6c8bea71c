//! What is wired to what inside a stage, in columns and rows of its rectangle. Which tiles these are, and which
//! ways and colors the wires take between them where some are dead, is for `detour` to say.

use crate::estimate::Estimate;
use crate::lines::{self, BLOCK, COLUMN, INGRESS, LinePos, ROW, TileRoutes};
use crate::place::{Stage, Work};
use crate::tiling::LayerTiling;
use fabric::{PeCoord, Port, Ports, Route};

/// A node of a stage: column and row of its rectangle, row by row, and behind them the port.
pub(crate) type Node = usize;

/// The routes of a stage as if its rectangle were one of tiles side by side with the port beside its first.
#[derive(Debug)]
pub(crate) struct Wires {
    /// By node.
    pub(crate) routes: Vec<TileRoutes>,
}

/// The node of a stage's port.
pub(crate) fn port_node(stage: &Stage) -> Node {
    (stage.width * stage.height) as usize
}

/// The tile of a node.
pub(crate) fn tile_of(stage: &Stage, node: Node) -> PeCoord {
    if node == port_node(stage) {
        return stage.port;
    }
    stage.tile(node as u32 % stage.width, node as u32 / stage.width)
}

/// The node behind a mesh port of a node.
pub(crate) fn neighbour(stage: &Stage, node: Node, port: Port) -> Option<Node> {
    let of_port = port_node(stage);
    if node == of_port {
        return (port == stage.entry.opposite()).then_some(0);
    }
    let (w, h) = (stage.width, stage.height);
    let at = PeCoord::new(node as u32 % w, node as u32 / w);
    match at.neighbour(port, w, h) {
        Some(next) => Some((next.y * w + next.x) as usize),
        None => (node == 0 && port == stage.entry).then_some(of_port),
    }
}

impl Wires {
    /// The wires of a stage.
    pub(crate) fn new(stage: &Stage, estimate: &Estimate) -> Wires {
        let mut wires = Wires { routes: vec![TileRoutes::default(); port_node(stage) + 1] };
        let into = Ports::one(stage.entry.opposite());
        wires.routes[port_node(stage)].add(Route::fixed(INGRESS, Port::Ramp, into));
        let tiling = LayerTiling::new(estimate.dims, stage.width, stage.height);
        for row in 0..stage.height {
            for column in 0..stage.width {
                let routes = &mut wires.routes[(row * stage.width + column) as usize];
                match &stage.work {
                    Work::Embed => {
                        let line = LinePos::centred(row, stage.height, COLUMN);
                        line.route(routes, Port::North, Port::South);
                    }
                    Work::Layers(_) => layers(stage, &tiling, (column, row), routes),
                    Work::Head => head(stage, (column, row), routes),
                }
                let sends_on = stage.work != Work::Head;
                let size = (stage.width, stage.height);
                lines::route_edges(routes, (column, row), size, stage.entry, sends_on);
            }
        }
        wires
    }
}

fn layers(stage: &Stage, tiling: &LayerTiling, (column, row): (u32, u32), routes: &mut TileRoutes) {
    let heads = tiling.row_heads(row);
    let within = row - heads.block_start;
    LinePos::centred(column, stage.width, ROW).route(routes, Port::West, Port::East);
    LinePos::centred(row, stage.height, COLUMN).route(routes, Port::North, Port::South);
    LinePos::centred(within, heads.block_len, BLOCK).route(routes, Port::North, Port::South);
}

fn head(stage: &Stage, (column, row): (u32, u32), routes: &mut TileRoutes) {
    let line = LinePos::centred(column, stage.width, ROW);
    line.route_chain(routes, Port::West, Port::East);
    if line.is_root() {
        let roots = LinePos::centred(row, stage.height, COLUMN);
        roots.route_chain(routes, Port::North, Port::South);
        end_of_item(stage, row, routes);
    }
}

/// The way of the item's end from the first row of the head's root column to its root.
fn end_of_item(stage: &Stage, row: u32, routes: &mut TileRoutes) {
    let root = stage.height / 2;
    if root == 0 || row > root {
        return;
    }
    let rx = if row == 0 { Port::Ramp } else { Port::North };
    let tx = if row == root { Port::Ramp } else { Port::South };
    routes.add(Route::fixed(COLUMN.broadcast, rx, Ports::one(tx)));
}
