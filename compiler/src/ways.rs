//! Ways of nets through the fabric, on links that work and tiles that have their color to spare.

use crate::detour::{Ground, Net};
use crate::place::Stage;
use crate::wires::tile_of;
use fabric::{PeCoord, Port};
use pe_isa::Color;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

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
type Links = Vec<(PeCoord, Port)>;

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

    /// Dijkstra's algorithm in the ends' bounding box with a margin; ties go to the north, then to the west.
    fn within(&self, margin: u32, from: PeCoord, to: PeCoord) -> Option<Links> {
        let range = |a: u32, b: u32| a.min(b).saturating_sub(margin)..=a.max(b) + margin;
        let (columns, rows) = (range(from.x, to.x), range(from.y, to.y));
        let mut best: BTreeMap<PeCoord, (u32, Port)> = BTreeMap::new();
        let mut open = BinaryHeap::from([Reverse((0, from.y, from.x))]);
        while let Some(Reverse((spent, y, x))) = open.pop() {
            let at = PeCoord::new(x, y);
            if at == to {
                return Some(trace(&best, from, to, |at, port| self.next(at, port)));
            }
            if best.get(&at).is_some_and(|&(least, _)| spent > least) {
                continue;
            }
            for port in Port::MESH {
                let Some(next) = self.next(at, port) else { continue };
                let inside = columns.contains(&next.x) && rows.contains(&next.y);
                let is_open = next == to || next != from && self.is_open(next);
                if !inside || !is_open || self.ground.map.is_dead_behind(at, port) {
                    continue;
                }
                let total = spent + LINK_WEIGHT + self.ground.colors.in_use(next);
                if best.get(&next).is_none_or(|&(least, _)| total < least) {
                    best.insert(next, (total, port));
                    open.push(Reverse((total, next.y, next.x)));
                }
            }
        }
        None
    }
}

/// Follows the ports by which tiles were reached back to `from`.
fn trace(
    best: &BTreeMap<PeCoord, (u32, Port)>,
    from: PeCoord,
    to: PeCoord,
    next: impl Fn(PeCoord, Port) -> Option<PeCoord>,
) -> Links {
    let mut links = Vec::new();
    let mut at = to;
    while at != from {
        let port = best[&at].1;
        at = next(at, port.opposite()).expect("a way stays on the grid");
        links.push((at, port));
    }
    links.reverse();
    links
}
