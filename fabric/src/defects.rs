//! Defects: PEs and links of a wafer that do not work, as a machine file states them and as a map.
//!
//! A dead PE executes nothing and its ramp carries nothing; its router works, so that routes pass it. A
//! dead link carries nothing in either direction.

use crate::geometry::{PeCoord, Port};
use crate::machine::Machine;
use bitvec::vec::BitVec;
use serde::{Deserialize, Serialize};

/// The defects of a machine file: some drawn at random, some listed. Every key may be left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Defects {
    /// Probability that a PE is dead, 0 to 1.
    pub rate: f64,
    /// Probability that a link between two tiles is dead, 0 to 1.
    pub link_rate: f64,
    /// Seed of the draws. A tile's draws depend on the seed and its place, not on the grid's size.
    pub seed: u64,
    /// Dead PEs besides: column, row.
    pub pes: Vec<(u32, u32)>,
    /// Dead links besides: column and row of a tile, and the side of it on which the link lies.
    pub links: Vec<(u32, u32, Port)>,
}

impl Defects {
    /// Entries of the lists that lie outside of a grid, as key and entry.
    pub(crate) fn outside(&self, width: u32, height: u32) -> Vec<(&'static str, String)> {
        let lies = |x: u32, y: u32| x < width && y < height;
        let pes = self.pes.iter().filter(|(x, y)| !lies(*x, *y));
        let mut found: Vec<(&'static str, String)> =
            pes.map(|(x, y)| ("defects.pes", format!("({x}, {y})"))).collect();
        let leads = |&(x, y, port): &(u32, u32, Port)| {
            lies(x, y) && PeCoord::new(x, y).neighbour(port, width, height).is_some()
        };
        let links = self.links.iter().filter(|link| !leads(link));
        found.extend(links.map(|(x, y, p)| ("defects.links", format!("({x}, {y}, {p:?})"))));
        found
    }
}

/// Which PEs and links of a machine are dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefectMap {
    width: u32,
    height: u32,
    /// By tile.
    pes: BitVec,
    /// By tile: its link to the east, its link to the south.
    links: BitVec,
}

impl DefectMap {
    /// The map of a machine. Time and memory are linear in its tiles.
    ///
    /// # Panics
    /// When a listed defect lies outside of the grid, which [`Machine::validate`] refuses.
    pub fn of(machine: &Machine) -> DefectMap {
        let tiles = machine.tiles();
        let mut map = DefectMap {
            width: machine.width,
            height: machine.height,
            pes: BitVec::repeat(false, tiles),
            links: BitVec::repeat(false, 2 * tiles),
        };
        let defects = &machine.defects;
        if defects.rate > 0.0 || defects.link_rate > 0.0 {
            (0..machine.height).for_each(|y| map.draw_row(defects, y));
        }
        for &(x, y) in &defects.pes {
            let at = map.index(PeCoord::new(x, y));
            map.pes.set(at, true);
        }
        for &(x, y, port) in &defects.links {
            let link = map.link(PeCoord::new(x, y), port).expect("a listed link lies on the grid");
            map.links.set(link, true);
        }
        map
    }

    fn draw_row(&mut self, defects: &Defects, y: u32) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"wafersim defects");
        hasher.update(&defects.seed.to_le_bytes());
        hasher.update(&y.to_le_bytes());
        let mut stream = hasher.finalize_xof();
        let mut is_hit = |probability: f64| {
            let mut bytes = [0; 8];
            stream.fill(&mut bytes);
            // The upper 53 bits are a multiple of 2^-53 in 0..1, exactly.
            let draw = (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64;
            draw < probability
        };
        for x in 0..self.width {
            let at = PeCoord::new(x, y);
            let tile = self.index(at);
            let is_dead = is_hit(defects.rate);
            self.pes.set(tile, is_dead);
            for port in [Port::East, Port::South] {
                let is_dead = is_hit(defects.link_rate);
                if let Some(link) = self.link(at, port) {
                    self.links.set(link, is_dead);
                }
            }
        }
    }

    fn index(&self, at: PeCoord) -> usize {
        assert!(at.x < self.width && at.y < self.height, "tile {at} is not on the grid");
        at.y as usize * self.width as usize + at.x as usize
    }

    /// The bit of the link behind a mesh port; none at the wafer's edge.
    fn link(&self, at: PeCoord, port: Port) -> Option<usize> {
        let next = at.neighbour(port, self.width, self.height)?;
        Some(match port {
            Port::East => 2 * self.index(at),
            Port::South => 2 * self.index(at) + 1,
            Port::West => 2 * self.index(next),
            Port::North => 2 * self.index(next) + 1,
            Port::Ramp => return None,
        })
    }

    /// Whether everything works.
    pub fn is_empty(&self) -> bool {
        self.pes.not_any() && self.links.not_any()
    }

    /// Whether a tile's PE is dead.
    pub fn is_dead(&self, at: PeCoord) -> bool {
        self.pes[self.index(at)]
    }

    /// Whether what lies behind a port of a tile is dead: the link to a neighbour, or the PE behind the
    /// ramp. Beyond the wafer's edge nothing is.
    pub fn is_dead_behind(&self, at: PeCoord, port: Port) -> bool {
        match port {
            Port::Ramp => self.is_dead(at),
            _ => self.link(at, port).is_some_and(|link| self.links[link]),
        }
    }

    /// The dead PEs, row by row.
    pub fn dead_pes(&self) -> impl Iterator<Item = PeCoord> {
        self.pes.iter_ones().map(|at| self.coord(at))
    }

    /// The dead links, row by row, each as the tile to its west or north and the port there.
    pub fn dead_links(&self) -> impl Iterator<Item = (PeCoord, Port)> {
        let port = |bit: usize| if bit.is_multiple_of(2) { Port::East } else { Port::South };
        self.links.iter_ones().map(move |bit| (self.coord(bit / 2), port(bit)))
    }

    fn coord(&self, at: usize) -> PeCoord {
        let width = self.width as usize;
        PeCoord::new((at % width) as u32, (at / width) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::preset;

    fn map(width: u32, height: u32, defects: Defects) -> DefectMap {
        let machine = Machine { width, height, defects, ..preset("wse3").unwrap() };
        machine.validate().unwrap();
        DefectMap::of(&machine)
    }

    #[test]
    fn is_a_listed_link_dead_from_both_sides() {
        let links = vec![(1, 1, Port::West), (2, 0, Port::South)];
        let map = map(3, 2, Defects { links, pes: vec![(2, 1)], ..Defects::default() });
        let at = PeCoord::new;
        assert!(
            map.is_dead_behind(at(0, 1), Port::East) && map.is_dead_behind(at(1, 1), Port::West)
        );
        assert!(map.is_dead_behind(at(2, 1), Port::North));
        assert!(
            !map.is_dead_behind(at(0, 0), Port::East) && !map.is_dead_behind(at(0, 0), Port::West)
        );
        assert!(map.is_dead_behind(at(2, 1), Port::Ramp) && !map.is_dead(at(1, 1)));
        let links: Vec<_> = map.dead_links().collect();
        assert_eq!(links, [(at(2, 0), Port::South), (at(0, 1), Port::East)]);
        assert_eq!(map.dead_pes().collect::<Vec<_>>(), [at(2, 1)]);
    }

    #[test]
    fn do_draws_come_at_their_rates_and_stay_when_the_grid_grows() {
        let defects = Defects { rate: 0.01, link_rate: 0.002, seed: 5, ..Defects::default() };
        let (large, small) = (map(700, 300, defects.clone()), map(500, 200, defects.clone()));
        let dead = large.dead_pes().count() as f64 / 210_000.0;
        assert!((0.009..0.011).contains(&dead), "{dead}");
        let links = large.dead_links().count() as f64 / (699.0 * 300.0 + 700.0 * 299.0);
        assert!((0.0018..0.0022).contains(&links), "{links}");
        let on_both: Vec<_> = large.dead_pes().filter(|at| at.x < 500 && at.y < 200).collect();
        assert_eq!(on_both, small.dead_pes().collect::<Vec<_>>());
        let other = map(500, 200, Defects { seed: 6, ..defects });
        assert_ne!(other, small);
        assert!(map(50, 20, Defects { seed: 6, ..Defects::default() }).is_empty());
        assert_eq!(
            map(50, 20, Defects { rate: 1.0, ..Defects::default() }).dead_pes().count(),
            1_000
        );
    }
}
