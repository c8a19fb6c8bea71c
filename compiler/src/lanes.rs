//! Pass 7, lanes: single-source paths between stages, ports and host, each with a color that is free on all its
//! tiles.

use crate::detour::Ground;
use crate::emit::FEEDBACK_WORDS;
use crate::error::CompileError;
use crate::lines::TileRoutes;
use crate::place::Stage;
use crate::ways;
use fabric::{Machine, PeCoord, Port, Ports, Route};
use pe_isa::Color;
use std::collections::BTreeMap;

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
    /// From each stage but the last to the ports of the next, by column.
    pub(crate) transfers: Vec<Vec<Transfer>>,
}

/// The lanes of a column between a stage and the next.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// From the stage's exit row to the next one's port.
    pub(crate) item: Lane,
    /// Back.
    pub(crate) grant: Lane,
}

impl Lanes {
    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Lane> {
        let single = [&self.prompts, &self.answers];
        let transfers = self.transfers.iter().flatten();
        let pairs = transfers.flat_map(|transfer| [&transfer.item, &transfer.grant]);
        single.into_iter().chain(&self.feedback).chain(pairs)
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
    let mut router = LaneRouter { ground };
    let host = End::Host(PeCoord::new(0, 0));
    let first = End::Pe(stages[0].port(0));
    let head = stages.last().expect("there are at least three stages");
    let root = End::Pe(head.tile(head.roots.row, head.roots.column));
    let transfers = stages.windows(2).map(|pair| router.transfers(&pair[0], &pair[1]));
    let transfers = transfers.collect::<Result<_, CompileError>>()?;
    let lanes = Lanes {
        prompts: router.lane(host, first, None)?,
        answers: router.lane(root, host, None)?,
        feedback: (!logits_to_host).then(|| router.lane(root, first, None)).transpose()?,
        transfers,
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

/// How far beyond the ends of a lane between stages a way is looked for before it may go anywhere, tiles.
const MARGINS: [u32; 3] = [2, 8, 32];
/// Cost of a tile in no stage's window, in that of one of the ends' stages, in another's; of equally long paths the one with
/// fewer other lanes is taken.
const COSTS: [u32; 3] = [32, 96, 2048];

/// Finds paths and gives out colors.
struct LaneRouter<'a, 'g> {
    ground: &'a mut Ground<'g>,
}

impl LaneRouter<'_, '_> {
    /// The lanes between two stages; those first that have their usual paths.
    fn transfers(&mut self, from: &Stage, to: &Stage) -> Result<Vec<Transfer>, CompileError> {
        let paths = (0..from.width).map(|column| (column, self.beaten(from, to, column)));
        let (usual, others): (Vec<_>, Vec<_>) = paths.partition(|(_, path)| path.is_some());
        let mut lanes = BTreeMap::new();
        for (column, path) in usual.into_iter().chain(others) {
            let (exit, port) = (End::Pe(from.exit(column)), End::Pe(to.port(column)));
            let back = path.clone().map(|path| path.into_iter().rev().collect());
            let item = self.lane(exit, port, path)?;
            lanes.insert(column, Transfer { item, grant: self.lane(port, exit, back)? });
        }
        Ok(lanes.into_values().collect())
    }

    /// The usual path of a column from one stage to the next: straight on, or through the corridor behind the exit row. The
    /// paths of a turn lie within one another; each corridor row has equally many.
    fn beaten(&self, from: &Stage, to: &Stage, column: u32) -> Option<Vec<PeCoord>> {
        let (start, end) = (from.exit(column), to.port(column));
        let on = from.cell.lie.port(Port::South);
        let (along, aside) = match on {
            Port::North | Port::South => (start.y.abs_diff(end.y), start.x.abs_diff(end.x)),
            _ => (start.x.abs_diff(end.x), start.y.abs_diff(end.y)),
        };
        let mut path = vec![start];
        if from.cell.lie == to.cell.lie {
            self.walk(&mut path, on, along)?;
        } else {
            let towards = to.cell.lie.port(Port::South);
            let inner = if from.cell.lie.turned { column } else { from.width - 1 - column };
            let depth = 1 + inner * self.room(start, on).min(from.width) / from.width;
            self.walk(&mut path, on, depth)?;
            self.walk(&mut path, from.cell.lie.aside(), aside)?;
            let &last = path.last()?;
            let back = last.x.abs_diff(end.x) + last.y.abs_diff(end.y);
            self.walk(&mut path, towards, back)?;
        }
        (path.last() == Some(&end)).then_some(path)
    }

    /// Tiles from `at` to the edge of the grid.
    fn room(&self, at: PeCoord, port: Port) -> u32 {
        let machine = self.ground.machine;
        match port {
            Port::North => at.y,
            Port::West => at.x,
            Port::South => machine.height - 1 - at.y,
            _ => machine.width - 1 - at.x,
        }
    }

    /// Continues a path over `steps` live links in one direction.
    fn walk(&self, path: &mut Vec<PeCoord>, port: Port, steps: u32) -> Option<()> {
        let machine = self.ground.machine;
        for _ in 0..steps {
            let &at = path.last()?;
            if self.ground.map.is_dead_behind(at, port) {
                return None;
            }
            path.push(at.neighbour(port, machine.width, machine.height)?);
        }
        Some(())
    }

    /// A lane from one end to the other on this path, if it has a color to spare; else on the cheapest one that has: corridors
    /// before the ends' own rectangles, those before the rectangles of others.
    ///
    /// # Errors
    /// When dead links leave no path, or no color of the machine is free on the whole path.
    fn lane(
        &mut self,
        from: End,
        to: End,
        path: Option<Vec<PeCoord>>,
    ) -> Result<Lane, CompileError> {
        let is_between_stages = !matches!((from, to), (End::Host(_), _) | (_, End::Host(_)));
        let beaten = path.and_then(|path| Some((self.color_of(&path)?, path)));
        let ends = (from.tile(), to.tile());
        let near = || MARGINS.iter().find_map(|&margin| self.colored(ends, margin));
        let found = beaten.or_else(|| if is_between_stages { near() } else { None });
        let (color, path) = match found {
            Some(found) => found,
            None => self.anywhere(ends)?,
        };
        path.iter().for_each(|&at| self.ground.colors.take(at, color));
        Ok(Lane { from, to, path, color })
    }

    /// A color that is free on a whole path.
    fn color_of(&self, path: &[PeCoord]) -> Option<Color> {
        let free = path.iter().fold(u32::MAX, |set, &at| set & self.ground.colors.free(at, None));
        (free != 0).then(|| Color(free.trailing_zeros() as u8))
    }

    /// The cheapest path that has a color, near its ends and not through other stages.
    fn colored(&self, ends: (PeCoord, PeCoord), margin: u32) -> Option<(Color, Vec<PeCoord>)> {
        let ways = (0..self.ground.machine.fabric.colors).map(Color).filter_map(|color| {
            let path = self.path(ends, margin, Some(color))?;
            Some((path.len(), color, path))
        });
        ways.min_by_key(|(len, color, _)| (*len, *color)).map(|(_, color, path)| (color, path))
    }

    fn anywhere(&self, ends: (PeCoord, PeCoord)) -> Result<(Color, Vec<PeCoord>), CompileError> {
        let (from, to) = ends;
        let Some(path) = self.path(ends, u32::MAX / 2, None) else {
            return Err(CompileError::one(format!(
                "dead links cut tile {from} off from tile {to}, which have to exchange tokens"
            )));
        };
        let shortest = self.color_of(&path).map(|color| (color, path));
        shortest.or_else(|| self.colored(ends, u32::MAX / 2)).ok_or_else(|| {
            let colors = self.ground.machine.fabric.colors;
            CompileError::one(format!(
                "no color is left for the lane from tile {from} to tile {to}: all {colors} are in use on its way \
                 (--set machine.fabric.colors, or a larger grid)"
            ))
        })
    }

    /// The cheapest path, on tiles where a color is free if one is named. Only with the largest margin does it go through
    /// the windows of stages that it does not begin or end in.
    fn path(
        &self,
        (from, to): (PeCoord, PeCoord),
        margin: u32,
        color: Option<Color>,
    ) -> Option<Vec<PeCoord>> {
        let colors = &self.ground.colors;
        let is_free =
            |at: PeCoord| color.is_none_or(|color| colors.free(at, None) & 1 << color.0 != 0);
        let own = [from, to].map(|at| colors.owner(at));
        let is_far = !MARGINS.contains(&margin);
        let cost = |at: PeCoord| {
            let place = match colors.owner(at) {
                None => COSTS[0],
                stage if own.contains(&stage) => COSTS[1],
                Some(_) if is_far => COSTS[2],
                Some(_) => return None,
            };
            is_free(at).then(|| place + colors.in_use(at))
        };
        if !is_free(from) {
            return None;
        }
        let links = ways::cheapest(self.ground, (from, to), margin, cost)?;
        Some(links.into_iter().map(|(at, _)| at).chain([to]).collect())
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
