//! Pass 7, lanes: single-source paths between stages, ports and host, each with a color that is free on all its
//! tiles.

use crate::detour::Ground;
use crate::emit::FEEDBACK_WORDS;
use crate::error::CompileError;
use crate::lines::TileRoutes;
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

/// The lanes of an image.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// Prompt ids, host to first port.
    pub(crate) prompts: Lane,
    /// New tokens, or their logits, head to host.
    pub(crate) answers: Lane,
    /// New tokens, head to first port; none where the host sends them there.
    pub(crate) feedback: Option<Lane>,
    /// From each stage to the port of the next.
    pub(crate) items: Vec<Lane>,
    /// From each port but the first to the one before.
    pub(crate) grants: Vec<Lane>,
}

impl Lanes {
    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Lane> {
        let single = [&self.prompts, &self.answers];
        single.into_iter().chain(&self.feedback).chain(&self.items).chain(&self.grants)
    }
}

/// Lays all lanes between the stages, for `slots` requests at a time. `logits_to_host`: the host draws new tokens.
///
/// # Errors
/// No way or no color for a lane; too short a lane back to the embedding.
pub(crate) fn lay(
    ground: &mut Ground<'_>,
    stages: &[Stage],
    (slots, logits_to_host): (u32, bool),
) -> Result<Lanes, CompileError> {
    let machine = ground.machine;
    let mut router = LaneRouter { ground, stages };
    let host = End::Host(PeCoord::new(0, 0));
    let first = End::Pe(stages[0].port);
    let head = stages.last().expect("there are at least three stages");
    let root = End::Pe(head.tile(head.width / 2, head.height / 2));
    let mut items = Vec::new();
    let mut grants = Vec::new();
    for pair in stages.windows(2) {
        let exit = End::Pe(pair[0].tile(pair[0].width - 1, 0));
        items.push(router.lane(exit, End::Pe(pair[1].port))?);
        grants.push(router.lane(End::Pe(pair[1].port), End::Pe(pair[0].port))?);
    }
    let lanes = Lanes {
        prompts: router.lane(host, first)?,
        answers: router.lane(root, host)?,
        feedback: (!logits_to_host).then(|| router.lane(root, first)).transpose()?,
        items,
        grants,
    };
    if let Some(feedback) = &lanes.feedback {
        check_feedback(feedback, machine, slots)?;
    }
    Ok(lanes)
}

/// The first port takes all prompt items before any token that is fed back, so the lane must be able to hold one
/// such item of every request; else the head would wait for the port and the port for the head.
fn check_feedback(lane: &Lane, machine: &Machine, slots: u32) -> Result<(), CompileError> {
    let words = (lane.path.len() as u64 - 1) * u64::from(machine.fabric.queue_depth);
    let most = words / u64::from(FEEDBACK_WORDS);
    if slots > 1 && u64::from(slots) > most {
        return Err(CompileError::one(format!(
            "{slots} requests at a time: the lane back to the embedding holds {most} of them on this placement; ask \
             for fewer at a time (or --set machine.fabric.queue_depth)"
        )));
    }
    Ok(())
}

/// Finds paths and gives out colors.
struct LaneRouter<'a, 'g> {
    ground: &'a mut Ground<'g>,
    stages: &'a [Stage],
}

impl LaneRouter<'_, '_> {
    fn index(&self, at: PeCoord) -> usize {
        (at.y * self.ground.machine.width + at.x) as usize
    }

    /// A lane from one end to the other on the cheapest path: corridors before the ends' own rectangles, those before
    /// the rectangles of others.
    ///
    /// # Errors
    /// When dead links leave no path, or no color of the machine is free on the whole path.
    fn lane(&mut self, from: End, to: End) -> Result<Lane, CompileError> {
        let colors = self.ground.machine.fabric.colors;
        let Some(path) = self.path(from.tile(), to.tile()) else {
            return Err(CompileError::one(format!(
                "dead links cut tile {} off from tile {}, which have to exchange tokens",
                from.tile(),
                to.tile()
            )));
        };
        let free = path.iter().fold(u32::MAX, |set, &at| set & self.ground.colors.free(at, None));
        let color = (0..colors).find(|&c| free & (1 << c) != 0);
        let Some(color) = color.map(Color) else {
            return Err(CompileError::one(format!(
                "no color is left for the lane from tile {} to tile {}: all {} are in use on its way \
                 (--set machine.fabric.colors, or a larger grid)",
                from.tile(),
                to.tile(),
                colors
            )));
        };
        path.iter().for_each(|&at| self.ground.colors.take(at, color));
        Ok(Lane { from, to, path, color })
    }

    /// Dijkstra's algorithm; ties go to the lower tile index.
    fn path(&self, from: PeCoord, to: PeCoord) -> Option<Vec<PeCoord>> {
        let machine = self.ground.machine;
        let own = |at: PeCoord| self.stages.iter().position(|s| s.contains(at) || s.port == at);
        let own = [own(from), own(to)];
        let inside = |at: PeCoord, stage: usize| self.stages[stage].contains(at);
        let cost = |at: PeCoord| match self.ground.colors.owner(at).filter(|&s| inside(at, s)) {
            None => 1u64,
            stage if own.contains(&stage) => 3,
            Some(_) => 64,
        };
        let mut best = vec![u64::MAX; machine.tiles()];
        let mut before = vec![u32::MAX; machine.tiles()];
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
                let Some(next) = at.neighbour(port, machine.width, machine.height) else {
                    continue;
                };
                if self.ground.map.is_dead_behind(at, port) {
                    continue;
                }
                let tile = self.index(next);
                let total = spent + cost(next);
                if total < best[tile] {
                    best[tile] = total;
                    before[tile] = self.index(at) as u32;
                    open.push(Reverse((total, next.y, next.x)));
                }
            }
        }
        self.trace(from, to, &before)
    }

    fn trace(&self, from: PeCoord, to: PeCoord, before: &[u32]) -> Option<Vec<PeCoord>> {
        let width = self.ground.machine.width;
        let mut path = vec![to];
        let mut at = to;
        while at != from {
            let previous = before[self.index(at)];
            if previous == u32::MAX {
                return None;
            }
            at = PeCoord::new(previous % width, previous / width);
            path.push(at);
        }
        path.reverse();
        Some(path)
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
