//! Which colors are in use on which tile, and which are kept for whom.

use crate::lines::FIRST_LANE;
use crate::stage::Stage;
use fabric::{Machine, PeCoord};
use pe_isa::Color;

/// The colors of all tiles.
#[derive(Debug)]
pub(crate) struct Colors {
    width: u32,
    /// All colors of the machine, as a bit set.
    all: u32,
    /// By tile: colors that some route has there.
    taken: Vec<u32>,
    /// By tile: the stage in whose window it lies; `u32::MAX` for none.
    owner: Vec<u32>,
}

impl Colors {
    /// All colors are free, but those of the stages are kept for them in their windows.
    pub(crate) fn new(machine: &Machine, stages: &[Stage]) -> Colors {
        let tiles = machine.tiles();
        let all = ((1u64 << machine.fabric.colors) - 1) as u32;
        let (taken, owner) = (vec![0; tiles], vec![u32::MAX; tiles]);
        let mut colors = Colors { width: machine.width, all, taken, owner };
        for (at, stage) in stages.iter().enumerate() {
            let (corner, width, height) = stage.window();
            for y in corner.y..corner.y + height {
                for x in corner.x..corner.x + width {
                    colors.keep(PeCoord::new(x, y), at);
                }
            }
        }
        colors
    }

    fn index(&self, at: PeCoord) -> usize {
        at.y as usize * self.width as usize + at.x as usize
    }

    fn keep(&mut self, at: PeCoord, stage: usize) {
        let at = self.index(at);
        self.owner[at] = stage as u32;
    }

    /// The stage in whose window a tile lies.
    pub(crate) fn owner(&self, at: PeCoord) -> Option<usize> {
        let owner = self.owner[self.index(at)];
        (owner != u32::MAX).then_some(owner as usize)
    }

    /// The colors, as a bit set, that a wire of `stage` (none for a lane) may take on a tile.
    pub(crate) fn free(&self, at: PeCoord, stage: Option<usize>) -> u32 {
        let owner = self.owner(at);
        let kept = if owner.is_some() && owner != stage { (1 << FIRST_LANE) - 1 } else { 0 };
        self.all & !self.taken[self.index(at)] & !kept
    }

    /// How many colors are in use on a tile.
    pub(crate) fn in_use(&self, at: PeCoord) -> u32 {
        self.taken[self.index(at)].count_ones()
    }

    /// Takes a color on a tile.
    pub(crate) fn take(&mut self, at: PeCoord, color: Color) {
        self.take_all(at, 1 << color.0);
    }

    /// Takes a set of colors on a tile.
    pub(crate) fn take_all(&mut self, at: PeCoord, colors: u32) {
        let tile = self.index(at);
        let twice = self.taken[tile] & colors;
        assert_eq!(twice, 0, "color c{} is taken twice on {at}", twice.trailing_zeros());
        self.taken[tile] |= colors;
    }
}
