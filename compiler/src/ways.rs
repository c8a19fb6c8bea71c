//! Ways of nets through the fabric, on links that work and tiles that have their color to spare.

use crate::detour::{Ground, Net};
use crate::stage::Stage;
use crate::wires::tile_of;
use fabric::{PeCoord, Port};
use pe_isa::Color;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// How far from the straight line between two tiles a way is looked for, tiles; one after another.
const MARGINS: [u32; 3] = [1, 3, 9];
/// Weight of a link against that of a color in use on the tile behind it, so that of equally long ways the one with
/// fewer neighbours is taken.
const LINK_WEIGHT: u32 = 64;

/// The way of a net.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) color: Color,
    /// Links, each from a tile through a port, and each after the one that leads to it.
    pub(crate) links: Links,
}

/// The way of a net on its own color where all its steps are straight lines.
pub(crate) fn straight(ground: &Ground<'_>, stage: &Stage, at: usize, net: &Net) -> Option<Way> {
    Search::new(ground, stage, at, net, net.color)?.way(net, |_, _| None)
}

/// The way of a net on `color`, with steps that bend where they must.
pub(crate) fn around(
    ground: &Ground<'_>,
    stage: &Stage,
    at: usize,
    net: &Net,
    color: Color,
) -> Option<Way> {
    Search::new(ground, stage, at, net, color)?.way(net, |search, ends| search.bent(ends))
}

/// Tiles and ports that lead from each to the next.
pub(crate) type Links = Vec<(PeCoord, Port)>;

struct Search<'a> {
    ground: &'a Ground<'a>,
    stage: &'a Stage,
    /// Number of the stage.
    at: usize,
    color: Color,
    /// Tiles of the net so far, and those that it still has to reach.
    own: BTreeSet<PeCoord>,
}

impl<'a> Search<'a> {
    /// None when the color is not free on every tile that the net must have.
    fn new(
        ground: &'a Ground<'a>,
        stage: &'a Stage,
        at: usize,
        net: &Net,
        color: Color,
    ) -> Option<Search<'a>> {
        let nodes = net.steps.iter().map(|step| step.1).chain([net.source]);
        let own = nodes.map(|node| tile_of(stage, node)).collect();
        let search = Search { ground, stage, at, color, own };
        search.own.iter().all(|&tile| search.is_free(tile)).then_some(search)
    }

    fn is_free(&self, tile: PeCoord) -> bool {
        self.ground.colors.free(tile, Some(self.at)) & 1 << self.color.0 != 0
    }

    /// Straight steps first, since they leave no choice; then those that `bend` finds a way for.
    fn way(
        mut self,
        net: &Net,
        bend: impl Fn(&Search<'a>, (PeCoord, PeCoord)) -> Option<Links>,
    ) -> Option<Way> {
        let tiles =
            |step: &(usize, usize)| (tile_of(self.stage, step.0), tile_of(self.stage, step.1));
        let ends: Vec<(PeCoord, PeCoord)> = net.steps.iter().map(tiles).collect();
        let mut found: Vec<Option<Links>> = Vec::with_capacity(ends.len());
        for &(from, to) in &ends {
            let links = self.line(from, to);
            self.claim(links.as_ref());
            found.push(links);
        }
        for (at, &ends) in ends.iter().enumerate() {
            if found[at].is_none() {
                let links = bend(&self, ends)?;
                self.claim(Some(&links));
                found[at] = Some(links);
            }
        }
        Some(Way { color: self.color, links: found.into_iter().flatten().flatten().collect() })
    }

    fn claim(&mut self, links: Option<&Links>) {
        self.own.extend(links.into_iter().flatten().map(|(tile, _)| *tile));
    }

    /// The straight line, if there is one, its links work and the color is free between its ends.
    fn line(&self, from: PeCoord, to: PeCoord) -> Option<Links> {
        let port = match (from.x == to.x, from.y == to.y) {
            (true, false) if from.y > to.y => Port::North,
            (true, false) => Port::South,
            (false, true) if from.x > to.x => Port::West,
            (false, true) => Port::East,
            _ => return None,
        };
        let mut links = Vec::new();
        let mut at = from;
        while at != to {
            if self.ground.map.is_dead_behind(at, port) {
                return None;
            }
            links.push((at, port));
            at = self.next(at, port)?;
            if at != to && !self.is_open(at) {
                return None;
            }
        }
        Some(links)
    }

    fn next(&self, at: PeCoord, port: Port) -> Option<PeCoord> {
        at.neighbour(port, self.ground.machine.width, self.ground.machine.height)
    }

    /// Whether the net may pass a tile that it has not been to.
    fn is_open(&self, at: PeCoord) -> bool {
        self.is_free(at) && !self.own.contains(&at)
    }

    /// The shortest way between two tiles, and of these one on tiles with few colors.
    fn bent(&self, (from, to): (PeCoord, PeCoord)) -> Option<Links> {
        MARGINS.iter().find_map(|&margin| self.within(margin, from, to))
    }

    fn within(&self, margin: u32, from: PeCoord, to: PeCoord) -> Option<Links> {
        let cost = |at| {
            let is_open = at == to || at != from && self.is_open(at);
            is_open.then(|| LINK_WEIGHT + self.ground.colors.in_use(at))
        };
        cheapest(self.ground, (from, to), margin, cost)
    }
}

/// The cheapest way from one tile to another in their bounding box with a margin; `cost` is that of a step to a tile, none where
/// there is no way. Dijkstra's algorithm; ties go to the north, then to the west.
pub(crate) fn cheapest(
    ground: &Ground<'_>,
    (from, to): (PeCoord, PeCoord),
    margin: u32,
    cost: impl Fn(PeCoord) -> Option<u32>,
) -> Option<Links> {
    let (width, height) = (ground.machine.width, ground.machine.height);
    let low = PeCoord::new(
        from.x.min(to.x).saturating_sub(margin),
        from.y.min(to.y).saturating_sub(margin),
    );
    let columns = (from.x.max(to.x).saturating_add(margin) + 1).min(width) - low.x;
    let rows = (from.y.max(to.y).saturating_add(margin) + 1).min(height) - low.y;
    let index = |at: PeCoord| {
        let (x, y) = (at.x.checked_sub(low.x)?, at.y.checked_sub(low.y)?);
        (x < columns && y < rows).then(|| (y * columns + x) as usize)
    };
    let mut best = vec![(u32::MAX, Port::Ramp); (columns * rows) as usize];
    let mut open = BinaryHeap::from([Reverse((0, from.y, from.x))]);
    while let Some(Reverse((spent, y, x))) = open.pop() {
        let at = PeCoord::new(x, y);
        if at == to {
            let before = |at: PeCoord| {
                let port = best[index(at)?].1;
                Some((at.neighbour(port.opposite(), width, height)?, port))
            };
            let mut links: Links =
                std::iter::successors(
                    before(to),
                    |&(at, _)| {
                        if at == from { None } else { before(at) }
                    },
                )
                .collect();
            links.reverse();
            return Some(links);
        }
        if index(at).is_some_and(|at| spent > best[at].0) {
            continue;
        }
        for port in Port::MESH {
            let next = at.neighbour(port, width, height);
            let Some((next, tile)) = next.and_then(|next| Some((next, index(next)?))) else {
                continue;
            };
            if next == from || ground.map.is_dead_behind(at, port) {
                continue;
            }
            let Some(cost) = cost(next) else { continue };
            let total = spent + cost;
            if total < best[tile].0 {
                best[tile] = (total, port);
                open.push(Reverse((total, next.y, next.x)));
            }
        }
    }
    None
}
