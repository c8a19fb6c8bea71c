//! Where things are: coordinates, ports, sets of ports.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A tile's place for people: `x` grows east, `y` grows south.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PeCoord {
    /// Column, from 0 in the west.
    pub x: u32,
    /// Row, from 0 in the north.
    pub y: u32,
}

impl PeCoord {
    /// The tile in column `x` and row `y`.
    pub const fn new(x: u32, y: u32) -> PeCoord {
        PeCoord { x, y }
    }

    /// The neighbour behind a mesh port, if it lies on a `width` × `height` grid.
    pub fn neighbour(self, port: Port, width: u32, height: u32) -> Option<PeCoord> {
        let (x, y) = (self.x, self.y);
        match port {
            Port::North => (y > 0).then(|| PeCoord::new(x, y - 1)),
            Port::East => (x + 1 < width).then(|| PeCoord::new(x + 1, y)),
            Port::South => (y + 1 < height).then(|| PeCoord::new(x, y + 1)),
            Port::West => (x > 0).then(|| PeCoord::new(x - 1, y)),
            Port::Ramp => None,
        }
    }
}

impl fmt::Display for PeCoord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.x, self.y)
    }
}

/// A tile's place for arrays: `y * width + x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeIdx(pub u32);

/// A port of a router, in the order in which arbitration visits them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Port {
    /// Towards smaller `y`.
    North,
    /// Towards larger `x`.
    East,
    /// Towards larger `y`.
    South,
    /// Towards smaller `x`.
    West,
    /// To and from the tile's own PE.
    Ramp,
}

impl Port {
    /// All five, in arbitration order.
    pub const ALL: [Port; 5] = [Port::North, Port::East, Port::South, Port::West, Port::Ramp];
    /// The four that lead to neighbours.
    pub const MESH: [Port; 4] = [Port::North, Port::East, Port::South, Port::West];

    /// Position in [`Port::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The port of the neighbour that faces this one; the ramp faces itself.
    pub const fn opposite(self) -> Port {
        match self {
            Port::North => Port::South,
            Port::East => Port::West,
            Port::South => Port::North,
            Port::West => Port::East,
            Port::Ramp => Port::Ramp,
        }
    }

    /// `N`, `E`, `S`, `W` or `R`.
    pub const fn letter(self) -> char {
        match self {
            Port::North => 'N',
            Port::East => 'E',
            Port::South => 'S',
            Port::West => 'W',
            Port::Ramp => 'R',
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.letter())
    }
}

/// A set of ports.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Ports(u8);

impl Ports {
    /// No port.
    pub const NONE: Ports = Ports(0);

    /// The set of one port.
    pub const fn one(port: Port) -> Ports {
        Ports(1 << port as u8)
    }

    /// This set and `port`.
    #[must_use]
    pub const fn with(self, port: Port) -> Ports {
        Ports(self.0 | 1 << port as u8)
    }

    /// Whether the set has no members but ports, which a set read from a file may have.
    pub const fn is_sound(self) -> bool {
        self.0 < 1 << Port::ALL.len()
    }

    /// Whether `port` is in the set.
    pub const fn contains(self, port: Port) -> bool {
        self.0 & (1 << port as u8) != 0
    }

    /// Whether the sets share a port.
    pub const fn intersects(self, other: Ports) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Ports) -> Ports {
        Ports(self.0 | other.0)
    }

    /// The ports, in arbitration order.
    pub fn iter(self) -> impl Iterator<Item = Port> {
        Port::ALL.into_iter().filter(move |&p| self.contains(p))
    }
}

impl FromIterator<Port> for Ports {
    fn from_iter<I: IntoIterator<Item = Port>>(ports: I) -> Ports {
        ports.into_iter().fold(Ports::NONE, Ports::with)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|p| write!(f, "{p}"))
    }
}
