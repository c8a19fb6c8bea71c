//! Rectangles with their port rows on a grid, past its dead PEs. All stages of a band share its seams, so that the exit row
//! of one stage is in line with the port row of the next.

use crate::bands::{Bands, first_column, is_transposed, size};
use crate::place::Cut;
use crate::seams::Gaps;
use crate::stage::Lie;
use fabric::{DefectMap, Machine, PeCoord};

/// The live PEs of a grid, by row; rows and columns are exchanged where the bands have them so.
#[derive(Debug)]
pub(crate) struct Live {
    /// Columns of the live PEs of each row, ascending.
    rows: Vec<Vec<u32>>,
    width: u32,
}

impl Live {
    pub(crate) fn new(machine: &Machine, map: &DefectMap) -> Live {
        let (width, height) = size(machine);
        let is_live = |x, y| {
            let (x, y) = if is_transposed(machine) { (y, x) } else { (x, y) };
            !map.is_dead(PeCoord::new(x, y))
        };
        let row = |y| (0..width).filter(|&x| is_live(x, y)).collect();
        Live { rows: (0..height).map(row).collect(), width }
    }

    /// Live PEs of row `y` in columns `from..to`, ascending.
    pub(crate) fn within(&self, y: u32, from: u32, to: u32) -> &[u32] {
        let row = &self.rows[y as usize];
        &row[row.partition_point(|&x| x < from)..row.partition_point(|&x| x < to)]
    }

    /// Whether so much of a row is dead that a rectangle goes without it: a quarter, and more than one.
    fn is_given_up(&self, y: u32) -> bool {
        let dead = self.width - self.rows[y as usize].len() as u32;
        dead > 1 && 4 * dead > self.width
    }

    /// The rows that have PEs enough for rectangles of a cut, with or without those to give up.
    fn usable_rows(&self, cut: &Cut, gives_up: bool) -> Vec<u32> {
        let is_usable = |&y: &u32| {
            let live = self.within(y, first_column(self.width), self.width);
            live.len() >= cut.width as usize && !(gives_up && self.is_given_up(y))
        };
        (0..self.rows.len() as u32).filter(is_usable).collect()
    }

    /// The narrowest of the windows that end first: `w` live PEs in each of the rows, none before column `from`.
    fn window(&self, rows: &[u32], from: u32, w: u32) -> Option<std::ops::Range<u32>> {
        let end = |&y: &u32| self.within(y, from, self.width).get(w as usize - 1).map(|x| x + 1);
        let end = rows.iter().map(end).collect::<Option<Vec<u32>>>()?.into_iter().max()?;
        let start = |&y: &u32| {
            let live = self.within(y, from, end);
            live[live.len() - w as usize]
        };
        let start = rows.iter().map(start).min()?;
        Some(start..end)
    }
}

/// Where a rectangle lies with its port row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    /// North-west corner of the window; column and row are exchanged where `lie` says so.
    pub(crate) corner: PeCoord,
    pub(crate) lie: Lie,
    /// Tiles of the window that are neither the rectangle's nor ports.
    pub(crate) gaps: Gaps,
}

/// Places `wanted` rectangles behind their port rows, as `bands` describes.
pub(crate) fn pack(machine: &Machine, live: &Live, cut: &Cut, wanted: usize) -> Option<Vec<Cell>> {
    // Where a part of the wafer is dead from north to south, no row may be given up for it.
    [true, false].into_iter().find_map(|gives_up| pack_bands(machine, live, cut, wanted, gives_up))
}

fn pack_bands(
    machine: &Machine,
    live: &Live,
    cut: &Cut,
    wanted: usize,
    gives_up: bool,
) -> Option<Vec<Cell>> {
    let rows = live.usable_rows(cut, gives_up);
    let bands = Bands::new(machine, rows.len() as u32, cut, wanted as u32)?;
    let each = cut.height as usize + 1;
    let rows = &rows[bands.corridor as usize..][..bands.stages as usize * each];
    let mut cells = Vec::with_capacity(wanted);
    let mut from = first_column(live.width);
    let mut lie = Lie { turned: false, transposed: is_transposed(machine) };
    while cells.len() < wanted {
        let window = live.window(rows, from, cut.width)?;
        let gaps = Gaps::new(live, rows, &window, cut.width);
        let mut starts: Vec<usize> = (0..rows.len()).step_by(each).collect();
        if lie.turned {
            starts.reverse();
        }
        starts.truncate(wanted - cells.len());
        cells.extend(starts.into_iter().map(|start| Cell {
            corner: PeCoord::new(window.start, rows[start]),
            lie,
            gaps: gaps.of_rows(start..start + each),
        }));
        (from, lie.turned) = (window.end, !lie.turned);
    }
    Some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roots::Roots;
    use crate::stage::{Stage, Work};
    use fabric::{Defects, Port};
    use std::collections::BTreeSet;

    fn machine(width: u32, height: u32, defects: Defects) -> Machine {
        let preset = fabric::presets::preset("wse2").expect("a preset");
        Machine { width, height, defects, ..preset }
    }

    fn packed(machine: &Machine, (width, height): (u32, u32), wanted: usize) -> Option<Vec<Stage>> {
        let cut = Cut { layers_per_stage: 1, width, height };
        let cells = pack(machine, &Live::new(machine, &DefectMap::of(machine)), &cut, wanted)?;
        let stage =
            |cell| Stage { work: Work::Embed, width, height, cell, roots: Roots::default() };
        Some(cells.into_iter().map(stage).collect())
    }

    fn row(stage: &Stage, r: u32) -> Vec<u32> {
        (0..stage.width).map(|c| stage.tile(c, r).x).collect()
    }

    #[test]
    fn do_bands_turn_in_the_corridors_at_both_ends() {
        let machine = machine(10, 20, Defects::default());
        let stages = packed(&machine, (3, 4), 7).expect("room for nine");
        let ports: Vec<PeCoord> = stages.iter().map(|stage| stage.port(0)).collect();
        let expected = [(1, 2), (1, 7), (1, 12), (6, 16), (6, 11), (6, 6), (7, 2)]
            .map(|(x, y)| PeCoord::new(x, y));
        assert_eq!(ports, expected);
        assert_eq!(
            (stages[3].port(2), stages[3].exit(2)),
            (PeCoord::new(4, 16), PeCoord::new(4, 12))
        );
        assert_eq!(stages[3].area(), (PeCoord::new(4, 12), 3, 4));
        assert_eq!(packed(&machine, (3, 4), 10), None);
    }

    #[test]
    fn does_one_band_do_without_corridors_and_lie_along_a_grid_of_few_rows() {
        let stages = packed(&machine(3, 15, Defects::default()), (2, 4), 3).expect("room");
        assert_eq!(
            (stages[0].port(0), stages[2].exit(1)),
            (PeCoord::new(1, 0), PeCoord::new(2, 14))
        );
        let stages = packed(&machine(15, 1, Defects::default()), (1, 4), 3).expect("room");
        assert_eq!(
            (stages[1].port(0), stages[1].exit(0)),
            (PeCoord::new(5, 0), PeCoord::new(9, 0))
        );
        assert_eq!(
            (stages[1].window(), stages[1].cell.lie.port(Port::South)),
            ((PeCoord::new(5, 0), 5, 1), Port::East)
        );
    }

    #[test]
    fn is_one_column_enough_for_a_band_with_one_dead_pe_in_some_rows() {
        let machine = machine(20, 9, Defects { pes: vec![(4, 3), (6, 5)], ..Defects::default() });
        let stages = packed(&machine, (8, 8), 1).expect("room for one");
        assert_eq!(stages[0].window(), (PeCoord::new(1, 0), 9, 9));
        assert_eq!(row(&stages[0], 2), [1, 2, 3, 5, 6, 7, 8, 9]);
        assert_eq!(row(&stages[0], 3), row(&stages[0], 2), "the seam stays where it is");
        assert_eq!(row(&stages[0], 4), [1, 2, 3, 4, 5, 7, 8, 9]);
    }

    #[test]
    fn are_all_tiles_of_all_stages_alive_and_different() {
        for (seed, (width, height), (w, h)) in [
            (1, (64, 64), (9, 20)),
            (2, (64, 64), (20, 9)),
            (3, (300, 1), (1, 7)),
            (4, (1, 300), (1, 7)),
            (5, (40, 40), (3, 3)),
        ] {
            let defects = Defects { rate: 0.03, seed, ..Defects::default() };
            let machine = machine(width, height, defects);
            let map = DefectMap::of(&machine);
            let stages = packed(&machine, (w, h), 6).expect("there is room");
            let mut taken = BTreeSet::new();
            for stage in &stages {
                let tiles = (0..h).flat_map(|r| (0..w).map(move |c| (c, r)));
                let ports = (0..w).map(|c| stage.port(c));
                for at in tiles.map(|(c, r)| stage.tile(c, r)).chain(ports) {
                    assert!(!map.is_dead(at), "{at} is dead (seed {seed})");
                    assert!(taken.insert(at), "{at} is taken twice (seed {seed})");
                }
            }
        }
    }

    #[test]
    fn is_a_row_that_is_mostly_dead_left_out_and_a_column_passed() {
        let dead_row = (0..20).map(|x| (x, 3));
        let dead_column = (0..12).map(|y| (5, y));
        let pes = dead_row.chain(dead_column).collect();
        let machine = machine(20, 12, Defects { pes, ..Defects::default() });
        let stages = packed(&machine, (6, 3), 2).expect("room for two");
        assert_eq!(row(&stages[0], 1), [1, 2, 3, 4, 6, 7]);
        assert_eq!(stages[0].window(), (PeCoord::new(1, 0), 7, 5));
        assert_eq!((stages[0].exit(0).y, stages[1].port(0).y), (4, 5));
    }

    #[test]
    fn is_a_wafer_used_that_is_dead_from_north_to_south_on_one_side() {
        let east = (0..14).flat_map(|y| (14..20).map(move |x| (x, y))).collect();
        let machine = machine(20, 14, Defects { pes: east, ..Defects::default() });
        let stages = packed(&machine, (6, 4), 4).expect("room for four");
        assert_eq!(stages[3].port(0), PeCoord::new(12, 6));
        assert!(stages.iter().all(|stage| stage.cell.gaps.is_empty()));
    }
}
