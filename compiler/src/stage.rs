//! A stage on the grid.
//!
//! A rectangle has its columns and rows in the order in which items go through them: the *port row* lies before row 0, the
//! *exit row* is the last. In every other band all this is turned by 180 degrees; on grids of few rows, rows and columns are
//! exchanged.

use crate::lines::{COLUMN, LinePos, ROW};
use crate::pack::Cell;
use crate::roots::Roots;
use fabric::{PeCoord, Port, Position, Route};
use std::ops::Range;

/// What a stage computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// Token id to residual stream.
    Embed,
    /// Some layers, one after another.
    Layers(Range<usize>),
    /// Residual stream to token id.
    Head,
}

/// How a rectangle lies on the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lie {
    /// By 180 degrees.
    pub(crate) turned: bool,
    /// Rows and columns of the grid are exchanged.
    pub(crate) transposed: bool,
}

impl Lie {
    /// The grid's name for a side of the rectangle's tiles, by which south is where items go.
    pub(crate) fn port(self, port: Port) -> Port {
        let port = if self.turned { port.opposite() } else { port };
        match (self.transposed, port) {
            (true, Port::North) => Port::West,
            (true, Port::West) => Port::North,
            (true, Port::South) => Port::East,
            (true, Port::East) => Port::South,
            (_, same) => same,
        }
    }

    /// The side of the grid on which the next band lies.
    pub(crate) fn aside(self) -> Port {
        if self.transposed { Port::South } else { Port::East }
    }

    /// A route in a rectangle, as it is on the grid.
    pub(crate) fn route(self, route: &Route) -> Route {
        let position = |p: &Position| Position {
            rx: self.port(p.rx),
            tx: p.tx.iter().map(|tx| self.port(tx)).collect(),
        };
        Route { color: route.color, positions: route.positions.iter().map(position).collect() }
    }

    /// The tile of the grid for one that is counted with rows and columns exchanged where they are.
    fn tile(self, at: PeCoord) -> PeCoord {
        if self.transposed { PeCoord::new(at.y, at.x) } else { at }
    }
}

/// A stage on the grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) work: Work,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) cell: Cell,
    pub(crate) roots: Roots,
}

impl Stage {
    /// The tile in column `c`, row `r` of the rectangle.
    pub(crate) fn tile(&self, c: u32, r: u32) -> PeCoord {
        self.at(c, r + 1)
    }

    /// The tile of the port of column `c`.
    pub(crate) fn port(&self, c: u32) -> PeCoord {
        self.at(c, 0)
    }

    /// Where items leave column `c`.
    pub(crate) fn exit(&self, c: u32) -> PeCoord {
        self.tile(c, self.height - 1)
    }

    /// Whether another stage's wires, by column and row, are the same: all but which layers it has and where it lies.
    pub(crate) fn is_wired_as(&self, other: &Stage) -> bool {
        let wiring = |stage: &Stage| (stage.width, stage.height, stage.roots);
        let kind = |stage: &Stage| std::mem::discriminant(&stage.work);
        wiring(self) == wiring(other) && kind(self) == kind(other)
    }

    /// The place of column `c` in its row.
    pub(crate) fn in_row(&self, c: u32) -> LinePos {
        LinePos { at: c, len: self.width, root: self.roots.row, colors: ROW }
    }

    /// The place of row `r` in its column.
    pub(crate) fn in_column(&self, r: u32) -> LinePos {
        LinePos { at: r, len: self.height, root: self.roots.column, colors: COLUMN }
    }

    /// The tile in column `c`, the port row being row 0.
    fn at(&self, c: u32, r: u32) -> PeCoord {
        let Cell { corner, lie, gaps } = &self.cell;
        let (c, r) = if lie.turned { (self.width - 1 - c, self.height - r) } else { (c, r) };
        lie.tile(gaps.tile(*corner, c, r))
    }

    /// North-west corner, columns and rows of the window: rectangle and port row with the tiles that they leave out.
    pub(crate) fn window(&self) -> (PeCoord, u32, u32) {
        let Cell { corner, lie, gaps } = &self.cell;
        let (width, height) = (self.width + gaps.spare, gaps.window_rows(self.height + 1));
        let size = lie.tile(PeCoord::new(width, height));
        (lie.tile(*corner), size.x, size.y)
    }

    /// Whether the window holds a tile.
    pub(crate) fn contains(&self, at: PeCoord) -> bool {
        let (corner, width, height) = self.window();
        (corner.x..corner.x + width).contains(&at.x)
            && (corner.y..corner.y + height).contains(&at.y)
    }

    /// North-west corner, columns and rows of the smallest area that holds the rectangle.
    pub(crate) fn area(&self) -> (PeCoord, u32, u32) {
        let ends = [self.tile(0, 0), self.exit(self.width - 1)];
        let (corner, width, height) = self.window();
        let rows = ends.map(|at| if self.cell.lie.transposed { at.x } else { at.y });
        let (first, last) = (rows[0].min(rows[1]), rows[0].max(rows[1]));
        match self.cell.lie.transposed {
            true => (PeCoord::new(first, corner.y), last - first + 1, height),
            false => (PeCoord::new(corner.x, first), width, last - first + 1),
        }
    }
}
