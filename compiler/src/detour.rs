//! Pass 6, wires to tiles: the routes of every stage on the tiles that it has, around what is dead.
//!
//! Where a rectangle has no gaps and no dead links, its wires lie as they are. Elsewhere they are taken apart into
//! *nets*, each one source with all that it reaches. A net whose steps are straight lines of live links (past dead
//! PEs, whose routers work) keeps its color. The others come after: each takes the shortest way that one color leaves
//! it, and its ends are told the color.

use crate::colors::Colors;
use crate::error::CompileError;
use crate::lines::{FIRST_LANE, TileRoutes};
use crate::stage::Stage;
use crate::ways::{self, Way};
use crate::wires::{Node, Wires, neighbour, port_node, tile_of};
use fabric::{DefectMap, Machine, PeCoord, Port, Ports, Route};
use indexmap::IndexSet;
use pe_isa::{Color, Program};
use std::collections::BTreeMap;

/// One source and everything that its wavelets reach, on one color.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Net {
    pub(crate) color: Color,
    pub(crate) source: Node,
    /// Steps from node to neighbour, each after the one that leads to it.
    pub(crate) steps: Vec<(Node, Node)>,
    /// Nodes whose PEs receive.
    pub(crate) sinks: Vec<Node>,
}

/// A stage's wires on tiles.
#[derive(Debug, Default)]
pub(crate) struct Laid {
    /// The different sets of routes of its tiles.
    pub(crate) sets: IndexSet<TileRoutes>,
    /// Tiles, each once, with the numbers of their sets.
    pub(crate) tiles: Vec<(PeCoord, u32)>,
    /// Colors that are others on a node's tile than the programs know them by.
    pub(crate) renamed: BTreeMap<(Node, Color), Color>,
    /// What the ways around cost.
    pub(crate) detours: Detours,
}

/// What the ways around dead PEs and links cost, in all stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Detours {
    /// Live PEs that rectangles leave out because others in their columns or rows are dead.
    pub spare_pes: u64,
    /// Nets (one source and all that it reaches) that are longer than on a wafer without defects.
    pub longer_nets: u64,
    /// Links that these nets have more than there.
    pub extra_links: u64,
}

impl std::iter::Sum for Detours {
    fn sum<I: Iterator<Item = Detours>>(all: I) -> Detours {
        all.fold(Detours::default(), |sum, one| Detours {
            spare_pes: sum.spare_pes + one.spare_pes,
            longer_nets: sum.longer_nets + one.longer_nets,
            extra_links: sum.extra_links + one.extra_links,
        })
    }
}

/// What detours are found on.
pub(crate) struct Ground<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) map: &'a DefectMap,
    pub(crate) colors: Colors,
}

/// Lays the wires of stage number `at`, of which `nets` are the nets.
///
/// # Errors
/// No color is left for a wire.
pub(crate) fn lay(
    ground: &mut Ground<'_>,
    (at, stage): (usize, &Stage),
    wires: &Wires,
    nets: &[Net],
) -> Result<Laid, CompileError> {
    if is_whole(ground, stage) {
        return Ok(as_it_is(ground, stage, wires));
    }
    let mut laid = Laid::default();
    let mut routes = BTreeMap::new();
    laid.detours.spare_pes = spare_pes(ground.map, stage);
    let mut bent = Vec::new();
    for net in nets {
        match ways::straight(ground, stage, at, net) {
            Some(way) => laid.add(ground, stage, (net, &way), &mut routes),
            None => bent.push(net),
        }
    }
    for net in bent {
        let Some(way) = shortest(ground, stage, at, net) else {
            return Err(no_way(ground, stage, net));
        };
        laid.add(ground, stage, (net, &way), &mut routes);
    }
    for (tile, routes) in routes {
        laid.tiles.push((tile, laid.sets.insert_full(routes).0 as u32));
    }
    Ok(laid)
}

/// Whether the stage has its tiles side by side and all links between them.
fn is_whole(ground: &Ground<'_>, stage: &Stage) -> bool {
    let cell = &stage.cell;
    cell.gaps.is_empty()
        && (0..port_node(stage, stage.width)).all(|node| {
            let mut inner =
                Port::MESH.into_iter().filter(|&port| neighbour(stage, node, port).is_some());
            inner.all(|port| !ground.map.is_dead_behind(tile_of(stage, node), cell.lie.port(port)))
        })
}

fn as_it_is(ground: &mut Ground<'_>, stage: &Stage, wires: &Wires) -> Laid {
    let lain = |routes: &TileRoutes| {
        let mut lain = TileRoutes::default();
        routes.iter().for_each(|route| lain.add(stage.cell.lie.route(route)));
        lain
    };
    let sets: IndexSet<TileRoutes> = wires.sets.iter().map(lain).collect();
    let colors: Vec<u32> = sets.iter().map(TileRoutes::colors).collect();
    let tiles = wires.set_of.iter().enumerate().map(|(node, &set)| (tile_of(stage, node), set));
    let tiles: Vec<(PeCoord, u32)> = tiles.collect();
    tiles.iter().for_each(|&(tile, set)| ground.colors.take_all(tile, colors[set as usize]));
    Laid { sets, tiles, ..Laid::default() }
}

/// Live PEs of the window that are not the stage's.
fn spare_pes(map: &DefectMap, stage: &Stage) -> u64 {
    let (corner, width, height) = stage.window();
    let columns = corner.x..corner.x + width;
    let rows = corner.y..corner.y + height;
    let tiles = rows.flat_map(|y| columns.clone().map(move |x| PeCoord::new(x, y)));
    let live = tiles.filter(|&at| !map.is_dead(at)).count() as u64;
    live - u64::from(stage.width * (stage.height + 1))
}

/// Takes a stage's wires apart.
pub(crate) fn nets(stage: &Stage, wires: &Wires) -> Vec<Net> {
    let mut nets = Vec::new();
    for source in 0..wires.set_of.len() {
        for route in wires.of(source).iter().filter(|r| r.receives().contains(Port::Ramp)) {
            let mut net = Net { color: route.color, source, steps: Vec::new(), sinks: Vec::new() };
            let mut open = vec![(source, route)];
            while let Some((node, route)) = open.pop() {
                for port in route.transmits().iter() {
                    if port == Port::Ramp {
                        net.sinks.push(node);
                        continue;
                    }
                    let next = neighbour(stage, node, port).expect("wires stay in their stage");
                    let onward = wires.of(next).get(net.color).expect("wires have no loose ends");
                    net.steps.push((node, next));
                    open.push((next, onward));
                }
            }
            nets.push(net);
        }
    }
    nets
}

/// The shortest way that any color leaves a net; of equally short ones that of its own color, else of one that is no
/// stage's own, else of the first.
fn shortest(ground: &Ground<'_>, stage: &Stage, at: usize, net: &Net) -> Option<Way> {
    let count = ground.machine.fabric.colors;
    let others = (FIRST_LANE..count).chain(0..FIRST_LANE.min(count)).filter(|&c| c != net.color.0);
    let mut best: Option<Way> = None;
    for color in [net.color.0].into_iter().chain(others).map(Color) {
        if let Some(way) = ways::around(ground, stage, at, net, color)
            && best.as_ref().is_none_or(|b| way.links.len() < b.links.len())
        {
            best = Some(way);
        }
    }
    best
}

impl Laid {
    /// Whether some color is another on a node's tile.
    pub(crate) fn is_renamed(&self, node: Node) -> bool {
        self.renamed.range((node, Color(0))..(node + 1, Color(0))).next().is_some()
    }

    /// Binds a node's queues to the colors that its wires have.
    pub(crate) fn rename(&self, node: Node, program: &mut Program) {
        if self.renamed.is_empty() {
            return;
        }
        for color in program.in_queues.iter_mut().chain(&mut program.out_queues).flatten() {
            *color = self.renamed.get(&(node, *color)).copied().unwrap_or(*color);
        }
    }

    /// Adds a net on its way to the routes of tiles.
    fn add(
        &mut self,
        ground: &mut Ground<'_>,
        stage: &Stage,
        (net, way): (&Net, &Way),
        tiles: &mut BTreeMap<PeCoord, TileRoutes>,
    ) {
        let color = way.color;
        let mut routes: BTreeMap<PeCoord, (Port, Ports)> = BTreeMap::new();
        routes.insert(tile_of(stage, net.source), (Port::Ramp, Ports::NONE));
        for (from, port) in &way.links {
            let (width, height) = (ground.machine.width, ground.machine.height);
            let next = from.neighbour(*port, width, height).expect("ways stay on the grid");
            let out = routes.get_mut(from).expect("steps follow one another");
            out.1 = out.1.with(*port);
            let before = routes.insert(next, (port.opposite(), Ports::NONE));
            assert!(before.is_none(), "a way comes to {next} twice");
        }
        for &sink in &net.sinks {
            let out = routes.get_mut(&tile_of(stage, sink)).expect("a way reaches all sinks");
            out.1 = out.1.with(Port::Ramp);
        }
        for (tile, (rx, tx)) in routes {
            ground.colors.take(tile, color);
            tiles.entry(tile).or_default().add(Route::fixed(color, rx, tx));
        }
        if color != net.color {
            let ends = net.sinks.iter().chain([&net.source]);
            self.renamed.extend(ends.map(|&node| ((node, net.color), color)));
        }
        let extra = way.links.len() - net.steps.len();
        self.detours.longer_nets += u64::from(extra > 0);
        self.detours.extra_links += extra as u64;
    }
}

fn no_way(ground: &Ground<'_>, stage: &Stage, net: &Net) -> CompileError {
    let (corner, width, height) = stage.window();
    let last = net.sinks.last().copied().unwrap_or(net.source);
    let (from, to) = (tile_of(stage, net.source), tile_of(stage, last));
    let beyond = |at: PeCoord, port| {
        let next = at.neighbour(port, ground.machine.width, ground.machine.height);
        next.is_some_and(|next| stage.contains(next))
    };
    let pes = ground.map.dead_pes().filter(|&at| stage.contains(at)).count();
    let links =
        ground.map.dead_links().filter(|&(at, port)| stage.contains(at) || beyond(at, port));
    CompileError::one(format!(
        "no way with a free color leads from tile {from} to tile {to} around the defects of the rectangle of {width} x \
         {height} tiles at {corner}; dead PEs there: {pes}, dead links: {} (a larger grid leaves more to choose from)",
        links.count()
    ))
}
