//! Pass 6, lanes and colors: single-source paths between stages, ports and host, each with a color that is free on
//! all its tiles.

use crate::error::CompileError;
use crate::lines::{FIRST_LANE, INGRESS, TileRoutes};
use crate::place::Stage;
use fabric::{Machine, PeCoord, Port, Ports, Route};
use pe_isa::Color;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Where a lane begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The PE of a tile.
    Pe(PeCoord),
    /// The west edge of a tile, where the host is.
    Host(PeCoord),
}

impl End {
    fn tile(self) -> PeCoord {
        match self {
            End::Pe(at) | End::Host(at) => at,
        }
    }
}

/// A path through the fabric with its color.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) from: End,
    pub(crate) to: End,
    pub(crate) path: Vec<PeCoord>,
    pub(crate) color: Color,
}

/// Finds paths and gives out colors.
pub(crate) struct LaneRouter<'a> {
    machine: &'a Machine,
    stages: &'a [Stage],
    /// Bit set of the colors in use, by tile.
    used: Vec<u32>,
    /// Stage whose rectangle holds the tile, by tile; `u32::MAX` for none.
    owner: Vec<u32>,
}

impl<'a> LaneRouter<'a> {
    pub(crate) fn new(machine: &'a Machine, stages: &'a [Stage]) -> LaneRouter<'a> {
        let mut used = vec![0u32; machine.tiles()];
        let mut owner = vec![u32::MAX; machine.tiles()];
        let index = |at: PeCoord| (at.y * machine.width + at.x) as usize;
        for (s, stage) in stages.iter().enumerate() {
            used[index(stage.port)] |= 1 << INGRESS.0;
            for r in 0..stage.height {
                for c in 0..stage.width {
                    let tile = index(stage.tile(c, r));
                    used[tile] |= (1 << FIRST_LANE) - 1;
                    owner[tile] = s as u32;
                }
            }
        }
        LaneRouter { machine, stages, used, owner }
    }

    fn index(&self, at: PeCoord) -> usize {
        (at.y * self.machine.width + at.x) as usize
    }

    /// A lane from one end to the other on the cheapest path: corridors before the ends' own rectangles, those before
    /// the rectangles of others.
    ///
    /// # Errors
    /// When no color of the machine is free on the whole path.
    pub(crate) fn lane(&mut self, from: End, to: End) -> Result<Lane, CompileError> {
        let path = self.path(from.tile(), to.tile());
        let taken = path.iter().fold(0u32, |set, &at| set | self.used[self.index(at)]);
        let color = (0..self.machine.fabric.colors).find(|&c| taken & (1 << c) == 0);
        let Some(color) = color.map(Color) else {
            return Err(CompileError::one(format!(
                "no color is left for the lane from tile {} to tile {}: all {} are in use on its way \
                 (--set machine.fabric.colors, or a larger grid)",
                from.tile(),
                to.tile(),
                self.machine.fabric.colors
            )));
        };
        for &at in &path {
            let at = self.index(at);
            self.used[at] |= 1 << color.0;
        }
        Ok(Lane { from, to, path, color })
    }

    /// Dijkstra's algorithm; ties go to the lower tile index.
    fn path(&self, from: PeCoord, to: PeCoord) -> Vec<PeCoord> {
        let own = |at: PeCoord| self.stages.iter().position(|s| s.contains(at) || s.port == at);
        let own = [own(from), own(to)];
        let cost = |tile: usize| match self.owner[tile] {
            u32::MAX => 1u64,
            s if own.contains(&Some(s as usize)) => 3,
            _ => 64,
        };
        let mut best = vec![u64::MAX; self.machine.tiles()];
        let mut before = vec![u32::MAX; self.machine.tiles()];
        let mut open = BinaryHeap::new();
        best[self.index(from)] = 0;
        open.push(Reverse((0u64, from.y, from.x)));
        while let Some(Reverse((spent, y, x))) = open.pop() {
            let at = PeCoord::new(x, y);
            if at == to {
                break;
            }
            if spent > best[self.index(at)] {
                continue;
            }
            for port in Port::MESH {
                let Some(next) = at.neighbour(port, self.machine.width, self.machine.height) else {
                    continue;
                };
                let tile = self.index(next);
                let total = spent + cost(tile);
                if total < best[tile] {
                    best[tile] = total;
                    before[tile] = self.index(at) as u32;
                    open.push(Reverse((total, next.y, next.x)));
                }
            }
        }
        self.trace(from, to, &before)
    }

    fn trace(&self, from: PeCoord, to: PeCoord, before: &[u32]) -> Vec<PeCoord> {
        let mut path = vec![to];
        let mut at = to;
        while at != from {
            let previous = before[self.index(at)];
            assert_ne!(previous, u32::MAX, "a grid is connected");
            at = PeCoord::new(previous % self.machine.width, previous / self.machine.width);
            path.push(at);
        }
        path.reverse();
        path
    }
}

impl Lane {
    /// Adds the lane's routes; `tile` finds the routes of a tile.
    pub(crate) fn route(&self, mut add: impl FnMut(PeCoord, Route)) {
        for (step, &at) in self.path.iter().enumerate() {
            let rx = match step.checked_sub(1) {
                Some(before) => towards(at, self.path[before]),
                None if matches!(self.from, End::Host(_)) => Port::West,
                None => Port::Ramp,
            };
            let tx = match self.path.get(step + 1) {
                Some(&next) => towards(at, next),
                None if matches!(self.to, End::Host(_)) => Port::West,
                None => Port::Ramp,
            };
            add(at, Route::fixed(self.color, rx, Ports::one(tx)));
        }
    }
}

/// The port of `at` that leads to its neighbour `next`.
fn towards(at: PeCoord, next: PeCoord) -> Port {
    match (next.x.cmp(&at.x), next.y.cmp(&at.y)) {
        (std::cmp::Ordering::Greater, _) => Port::East,
        (std::cmp::Ordering::Less, _) => Port::West,
        (_, std::cmp::Ordering::Greater) => Port::South,
        _ => Port::North,
    }
}

/// Adds routes to tiles by coordinate.
pub(crate) fn add_routes(lane: &Lane, machine: &Machine, tiles: &mut [TileRoutes]) {
    lane.route(|at, route| tiles[(at.y * machine.width + at.x) as usize].add(route));
}
