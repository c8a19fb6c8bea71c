//! How stages follow one another on a grid: in *bands*, one behind another, down the first band, up the next and so on.
//!
//! Column 0 is a corridor. Where there are several bands, so are some rows at both ends of them, in which items turn from one
//! band to the next.

use crate::lines::FIRST_LANE;
use crate::place::Cut;
use fabric::Machine;

/// Colors of a corridor that are kept for the lanes of the host and of new tokens.
const HOST_LANES: u32 = 3;
/// A grid with fewer rows is used with its columns as rows: too few for a rectangle, a port row and corridors.
const LEAST_ROWS: u32 = 4;

/// Whether rows and columns are exchanged.
pub(crate) fn is_transposed(machine: &Machine) -> bool {
    machine.height < LEAST_ROWS && machine.width > machine.height
}

/// Columns and rows, exchanged or not.
pub(crate) fn size(machine: &Machine) -> (u32, u32) {
    let (width, height) = (machine.width, machine.height);
    if is_transposed(machine) { (height, width) } else { (width, height) }
}

/// The first column of a grid of so many that is no corridor.
pub(crate) fn first_column(columns: u32) -> u32 {
    u32::from(columns > 1)
}

/// The bands of a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bands {
    /// Stages of each but the last.
    pub(crate) stages: u32,
    /// Rows before the first stage's, and at least as many behind the last one's, in which one band turns to the next; 0 where
    /// there is one band.
    pub(crate) corridor: u32,
}

impl Bands {
    /// The bands for `wanted` stages on so many `rows`: one if they find room in it; else the corridors get all rows that
    /// the stages leave over.
    pub(crate) fn new(machine: &Machine, rows: u32, cut: &Cut, wanted: u32) -> Option<Bands> {
        let each = cut.height.checked_add(1)?;
        if wanted <= rows / each {
            return Some(Bands { stages: wanted, corridor: 0 });
        }
        // An item's lane and that of its grant, for each column.
        let lanes =
            u32::from(machine.fabric.colors).saturating_sub(u32::from(FIRST_LANE) + HOST_LANES) / 2;
        let least = cut.width.div_ceil(lanes.max(1));
        let stages = rows.checked_sub(2 * least)? / each;
        let corridor = rows.checked_sub(stages * each)? / 2;
        (stages > 0 && lanes > 0).then_some(Bands { stages, corridor })
    }

    /// The bands for `wanted` stages on a grid without defects, if it has room for them.
    pub(crate) fn of(machine: &Machine, cut: &Cut, wanted: u32) -> Option<Bands> {
        let (columns, rows) = size(machine);
        let bands = Bands::new(machine, rows, cut, wanted)?;
        let room = (columns - first_column(columns)) / cut.width;
        (wanted.div_ceil(bands.stages) <= room).then_some(bands)
    }

    /// How often items turn on their way through so many stages.
    pub(crate) fn turns(&self, stages: u32) -> u32 {
        stages.div_ceil(self.stages) - 1
    }
}
