//! Finds paths for lanes and gives out their colors.

use super::{End, Lane, Transfer};
use crate::detour::Ground;
use crate::error::CompileError;
use crate::stage::Stage;
use crate::ways;
use fabric::{PeCoord, Port};
use pe_isa::Color;
use std::collections::BTreeMap;

/// How far beyond the ends of a lane between stages a way is looked for before it may go anywhere, tiles.
const MARGINS: [u32; 3] = [2, 8, 32];
/// Cost of a tile in no stage's window, in that of one of the ends' stages, in another's; of equally long paths the one with
/// fewer other lanes is taken.
const COSTS: [u32; 3] = [32, 96, 2048];

/// Finds paths and gives out colors.
pub(super) struct LaneRouter<'a, 'g> {
    pub(super) ground: &'a mut Ground<'g>,
}

impl LaneRouter<'_, '_> {
    /// The lanes between two stages; those first that have their usual paths.
    pub(super) fn transfers(
        &mut self,
        from: &Stage,
        to: &Stage,
    ) -> Result<Vec<Transfer>, CompileError> {
        let paths = (0..from.width).map(|column| (column, self.beaten(from, to, column)));
        let (usual, others): (Vec<_>, Vec<_>) = paths.partition(|(_, path)| path.is_some());
        let mut lanes = BTreeMap::new();
        for (column, path) in usual.into_iter().chain(others) {
            let (exit, port) = (End::Pe(from.exit(column)), End::Pe(to.port(column)));
            let back = path.clone().map(|path| path.into_iter().rev().collect());
            let item = self.between(exit, port, path)?;
            lanes.insert(column, Transfer { item, grant: self.between(port, exit, back)? });
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

    /// A lane from one stage to another on this path, if there is one with a color to spare; else on the shortest one near its
    /// ends that has, and goes through no other stage.
    ///
    /// # Errors
    /// As [`LaneRouter::lane`].
    fn between(
        &mut self,
        from: End,
        to: End,
        path: Option<Vec<PeCoord>>,
    ) -> Result<Lane, CompileError> {
        let ends = (from.tile(), to.tile());
        let usual = path.and_then(|path| Some((self.color_of(&path)?, path)));
        let near = || MARGINS.iter().find_map(|&margin| self.colored(ends, margin));
        match usual.or_else(near) {
            Some(found) => Ok(self.take(from, to, found)),
            None => self.lane(from, to),
        }
    }

    /// A lane from one end to the other on the cheapest path: corridors before the ends' own rectangles, those before
    /// the rectangles of others.
    ///
    /// # Errors
    /// When dead links leave no path, or no color of the machine is free on a whole path.
    pub(super) fn lane(&mut self, from: End, to: End) -> Result<Lane, CompileError> {
        let found = self.anywhere((from.tile(), to.tile()))?;
        Ok(self.take(from, to, found))
    }

    fn take(&mut self, from: End, to: End, (color, path): (Color, Vec<PeCoord>)) -> Lane {
        path.iter().for_each(|&at| self.ground.colors.take(at, color));
        Lane { from, to, path, color }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::colors::Colors;
    use crate::lines::FIRST_LANE;
    use crate::pack::{Live, pack};
    use crate::place::Cut;
    use crate::roots::Roots;
    use crate::stage::Work;
    use fabric::{DefectMap, Defects, Machine};

    /// The lanes between stages of 12 columns and 2 rows on a grid that has room for two stages in a band.
    fn transfers(defects: Defects) -> Vec<Vec<Transfer>> {
        let preset = fabric::presets::preset("wse3-64").expect("a preset");
        let machine = Machine { width: 40, height: 14, defects, ..preset };
        let map = DefectMap::of(&machine);
        let cut = Cut { layers_per_stage: 1, width: 12, height: 2 };
        let cells = pack(&machine, &Live::new(&machine, &map), &cut, 5).expect("there is room");
        let stage = |cell| {
            let (work, roots) = (Work::Head, Roots::default());
            Stage { work, width: cut.width, height: cut.height, cell, roots }
        };
        let stages: Vec<Stage> = cells.into_iter().map(stage).collect();
        let mut ground =
            Ground { machine: &machine, map: &map, colors: Colors::new(&machine, &stages) };
        let mut router = LaneRouter { ground: &mut ground };
        let pairs = stages.windows(2).map(|pair| router.transfers(&pair[0], &pair[1]));
        pairs.collect::<Result<_, CompileError>>().expect("there are colors")
    }

    #[test]
    fn are_lanes_one_hop_or_turn_around_one_another_on_few_colors() {
        let lanes = transfers(Defects::default());
        let hops = |pair: usize| -> Vec<usize> {
            lanes[pair].iter().map(|lane| lane.item.path.len() - 1).collect()
        };
        assert!(hops(0).into_iter().chain(hops(2)).all(|hops| hops == 1));
        // Two turns, at the south and at the north: the innermost lane has a step to the next column, four rows deep or less.
        assert!(hops(1).is_sorted_by(|a, b| a > b) && hops(3).is_sorted_by(|a, b| a < b));
        assert_eq!((hops(1)[11], hops(1)[0]), (3, 23 + 2 * 4));
        let colors = lanes.iter().flatten().flat_map(|l| [l.item.color.0, l.grant.color.0]);
        assert_eq!(colors.max(), Some(FIRST_LANE + 5), "three lanes and their grants on a row");
    }

    #[test]
    fn does_a_lane_past_a_dead_link_leave_the_others_where_they_are() {
        let whole = transfers(Defects::default());
        let links = vec![(12, 12, Port::East), (3, 6, Port::South)];
        let lanes = transfers(Defects { links, ..Defects::default() });
        let pairs = whole.iter().flatten().zip(lanes.iter().flatten());
        let moved = pairs.filter(|(before, after)| before.item.path != after.item.path).count();
        assert!((2..=5).contains(&moved), "{moved} lanes moved");
    }
}
