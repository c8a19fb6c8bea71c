//! Rectangles with their ports on a grid, past its dead PEs.

use crate::place::Cut;
use crate::seams::Gaps;
use fabric::{DefectMap, Machine, PeCoord, Port};

/// The live PEs of a grid, by row.
#[derive(Debug)]
pub(crate) struct Live {
    /// Columns of the live PEs of each row, ascending.
    rows: Vec<Vec<u32>>,
    width: u32,
}

impl Live {
    pub(crate) fn new(machine: &Machine, map: &DefectMap) -> Live {
        let row = |y| (0..machine.width).filter(|&x| !map.is_dead(PeCoord::new(x, y))).collect();
        Live { rows: (0..machine.height).map(row).collect(), width: machine.width }
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

    /// The next rows from `y` on for rectangles of a cut: those with PEs enough, with or without those to give up.
    fn next_rows(&self, y: u32, cut: &Cut, gives_up: bool) -> Option<Vec<u32>> {
        let is_usable = |&y: &u32| {
            self.rows[y as usize].len() >= cut.width as usize && !(gives_up && self.is_given_up(y))
        };
        let usable = (y..self.rows.len() as u32).filter(is_usable);
        let rows: Vec<u32> = usable.take(cut.height as usize).collect();
        (rows.len() == cut.height as usize).then_some(rows)
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

/// A rectangle with its port on the grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    /// North-west corner of the window.
    pub(crate) origin: PeCoord,
    pub(crate) port: PeCoord,
    /// Side of the north-west tile on which the port lies.
    pub(crate) entry: Port,
    pub(crate) gaps: Gaps,
}

/// Places `wanted` rectangles with their ports, as `place` describes.
pub(crate) fn pack(machine: &Machine, live: &Live, cut: &Cut, wanted: usize) -> Option<Vec<Cell>> {
    match (machine.width, machine.height) {
        (_, 1) => pack_row(live, cut, wanted),
        (1, _) => pack_column(live, cut, wanted),
        // Where a part of the wafer is dead from north to south, no row may be given up for it.
        _ => pack_bands(live, cut, wanted, true).or_else(|| pack_bands(live, cut, wanted, false)),
    }
}

fn pack_bands(live: &Live, cut: &Cut, wanted: usize, gives_up: bool) -> Option<Vec<Cell>> {
    let mut cells = Vec::new();
    let mut corridor = 0;
    while cells.len() < wanted {
        let rows = live.next_rows(corridor + 1, cut, gives_up)?;
        let before = cells.len();
        let mut from = 1;
        while cells.len() < wanted
            && let Some(window) = live.window(&rows, from, cut.width)
        {
            let Some(&x) = live.within(corridor, window.start, window.end).first() else {
                from = window.start + 1; // No PE above it can be the port.
                continue;
            };
            cells.push(Cell {
                origin: PeCoord::new(window.start, rows[0]),
                port: PeCoord::new(x, corridor),
                entry: Port::North,
                gaps: Gaps::new(live, &rows, &window, cut.width),
            });
            from = window.end;
        }
        let last = *rows.last()?;
        corridor = if cells.len() > before { last + 1 } else { corridor + 1 };
    }
    Some(cells)
}

fn pack_row(live: &Live, cut: &Cut, wanted: usize) -> Option<Vec<Cell>> {
    let mut from = 0;
    let cell = |_| {
        let port = *live.within(0, from, live.width).first()?;
        let window = live.window(&[0], port + 1, cut.width)?;
        from = window.end;
        Some(Cell {
            origin: PeCoord::new(window.start, 0),
            port: PeCoord::new(port, 0),
            entry: Port::West,
            gaps: Gaps::new(live, &[0], &window, cut.width),
        })
    };
    (0..wanted).map(cell).collect()
}

fn pack_column(live: &Live, cut: &Cut, wanted: usize) -> Option<Vec<Cell>> {
    let mut rows = (0..live.rows.len() as u32).filter(|&y| !live.rows[y as usize].is_empty());
    let cell = |_| {
        let port = rows.next()?;
        let rows: Vec<u32> = rows.by_ref().take(cut.height as usize).collect();
        (rows.len() == cut.height as usize).then(|| Cell {
            origin: PeCoord::new(0, rows[0]),
            port: PeCoord::new(0, port),
            entry: Port::North,
            gaps: Gaps::new(live, &rows, &(0..1), 1),
        })
    };
    (0..wanted).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric::Defects;
    use std::collections::BTreeSet;

    fn machine(width: u32, height: u32, defects: Defects) -> Machine {
        let preset = fabric::presets::preset("wse2").expect("a preset");
        Machine { width, height, defects, ..preset }
    }

    fn packed(machine: &Machine, cut: &Cut, wanted: usize) -> Option<Vec<Cell>> {
        pack(machine, &Live::new(machine, &DefectMap::of(machine)), cut, wanted)
    }

    #[test]
    fn is_one_column_enough_for_a_rectangle_with_one_dead_pe_in_some_rows() {
        let machine = machine(20, 9, Defects { pes: vec![(4, 3), (6, 5)], ..Defects::default() });
        let cut = Cut { layers_per_stage: 1, width: 8, height: 8 };
        let cells = packed(&machine, &cut, 2).expect("room for two");
        assert_eq!((cells[0].origin, cells[0].gaps.spare), (PeCoord::new(1, 1), 1));
        assert_eq!((cells[1].origin, cells[1].gaps.spare), (PeCoord::new(10, 1), 0));
        let row = |r: u32| -> Vec<u32> {
            (0..8).map(|c| cells[0].gaps.tile(cells[0].origin, c, r).x).collect()
        };
        assert_eq!(row(2), [1, 2, 3, 5, 6, 7, 8, 9]);
        assert_eq!(row(3), row(2), "the seam stays where it is");
        assert_eq!(row(4), [1, 2, 3, 4, 5, 7, 8, 9]);
        assert_eq!(packed(&machine, &cut, 3), None);
    }

    #[test]
    fn are_all_tiles_of_all_cells_alive_and_different() {
        for (seed, (width, height), (w, h)) in [
            (1, (64, 64), (9, 20)),
            (2, (64, 64), (20, 9)),
            (3, (300, 1), (7, 1)),
            (4, (1, 300), (1, 7)),
            (5, (40, 40), (3, 3)),
        ] {
            let defects = Defects { rate: 0.03, seed, ..Defects::default() };
            let machine = machine(width, height, defects);
            let map = DefectMap::of(&machine);
            let cut = Cut { layers_per_stage: 1, width: w, height: h };
            let cells = packed(&machine, &cut, 6).expect("there is room");
            let mut taken = BTreeSet::new();
            for cell in &cells {
                let tiles = (0..h).flat_map(|r| (0..w).map(move |c| (c, r)));
                let tiles = tiles.map(|(c, r)| cell.gaps.tile(cell.origin, c, r));
                for at in tiles.chain([cell.port]) {
                    assert!(!map.is_dead(at), "{at} is dead (seed {seed})");
                    assert!(taken.insert(at), "{at} is taken twice (seed {seed})");
                }
            }
        }
    }

    #[test]
    fn is_a_row_that_is_mostly_dead_left_out_and_a_column_passed() {
        let row = (0..20).map(|x| (x, 3));
        let column = (0..12).map(|y| (5, y));
        let machine =
            machine(20, 12, Defects { pes: row.chain(column).collect(), ..Defects::default() });
        let cut = Cut { layers_per_stage: 1, width: 6, height: 4 };
        let cells = packed(&machine, &cut, 2).expect("room for two");
        let tile = |c, r| cells[0].gaps.tile(cells[0].origin, c, r);
        assert_eq!((tile(3, 1), tile(4, 2)), (PeCoord::new(4, 2), PeCoord::new(6, 4)));
        assert_eq!(cells[0].gaps.window_rows(4), 5);
        assert_eq!(cells[1].origin, PeCoord::new(8, 1));
    }

    #[test]
    fn is_a_wafer_used_that_is_dead_from_north_to_south_on_one_side() {
        let east = (0..12).flat_map(|y| (14..20).map(move |x| (x, y))).collect();
        let machine = machine(20, 12, Defects { pes: east, ..Defects::default() });
        let cut = Cut { layers_per_stage: 1, width: 6, height: 4 };
        let cells = packed(&machine, &cut, 4).expect("room for four");
        assert_eq!(cells[3].origin, PeCoord::new(7, 6));
        assert!(cells.iter().all(|cell| cell.gaps.is_empty()));
    }
}
