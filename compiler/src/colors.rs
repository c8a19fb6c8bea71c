//! Which colors are in use on which tile, and which are kept for whom.

use crate::lines::{FIRST_LANE, INGRESS};
use crate::place::Stage;
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
    /// By tile: colors that only the stage there may use.
    kept: Vec<u32>,
    /// By tile: the stage whose window or port it is; `u32::MAX` for none.
    owner: Vec<u32>,
}

impl Colors {
    /// All colors are free, but those of the collectives are kept for the stages.
    pub(crate) fn new(machine: &Machine, stages: &[Stage]) -> Colors {
        let tiles = machine.tiles();
        let all = ((1u64 << machine.fabric.colors) - 1) as u32;
        let (taken, kept, owner) = (vec![0; tiles], vec![0; tiles], vec![u32::MAX; tiles]);
        let mut colors = Colors { width: machine.width, all, taken, kept, owner };
        for (at, stage) in stages.iter().enumerate() {
            let (width, height) = stage.window();
            for y in stage.origin.y..stage.origin.y + height {
                for x in stage.origin.x..stage.origin.x + width {
                    colors.keep(PeCoord::new(x, y), at, (1 << FIRST_LANE) - 1);
                }
            }
            colors.keep(stage.port, at, 1 << INGRESS.0);
        }
        colors
    }

    fn index(&self, at: PeCoord) -> usize {
        at.y as usize * self.width as usize + at.x as usize
    }

    fn keep(&mut self, at: PeCoord, stage: usize, set: u32) {
        let at = self.index(at);
        self.kept[at] = set;
        self.owner[at] = stage as u32;
    }

    /// The stage whose window or port a tile is.
    pub(crate) fn owner(&self, at: PeCoord) -> Option<usize> {
        let owner = self.owner[self.index(at)];
        (owner != u32::MAX).then_some(owner as usize)
    }

    /// The colors, as a bit set, that a wire of `stage` (none for a lane) may take on a tile.
    pub(crate) fn free(&self, at: PeCoord, stage: Option<usize>) -> u32 {
        let kept =
            if stage.is_some() && stage == self.owner(at) { 0 } else { self.kept[self.index(at)] };
        self.all & !self.taken[self.index(at)] & !kept
    }

    /// How many colors are in use on a tile.
    pub(crate) fn in_use(&self, at: PeCoord) -> u32 {
        self.taken[self.index(at)].count_ones()
    }

    /// Takes a color on a tile.
    pub(crate) fn take(&mut self, at: PeCoord, color: Color) {
        let tile = self.index(at);
        assert_eq!(self.taken[tile] & 1 << color.0, 0, "color {color} is taken twice on {at}");
        self.taken[tile] |= 1 << color.0;
    }
}
