//! Pass 4, collectives on a line of PEs: how they are routed.
//!
//! A line is a row of a rectangle, a column, or the rows of a column that share a head. Sums run as two chains
//! from both ends to the root ([`crate::roots`]); results are broadcast from the root. A chain alternates
//! between two colors, because a router takes a color from one port only; the colors are dealt so that the root's two
//! neighbours send on different ones.

use fabric::{Port, Ports, Route};
use pe_isa::Color;
use std::collections::BTreeMap;

/// The colors of the collectives of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LineColors {
    /// Chain links from even positions before the root and odd ones behind it.
    pub(crate) even: Color,
    /// The other chain links.
    pub(crate) odd: Color,
    /// From the root to all others.
    pub(crate) broadcast: Color,
}

/// Colors of collectives along rows.
pub(crate) const ROW: LineColors =
    LineColors { even: Color(0), odd: Color(1), broadcast: Color(2) };
/// Colors of collectives along columns.
pub(crate) const COLUMN: LineColors =
    LineColors { even: Color(3), odd: Color(4), broadcast: Color(5) };
/// Colors of collectives along the rows of a column that share a head.
pub(crate) const BLOCK: LineColors =
    LineColors { even: Color(6), odd: Color(7), broadcast: Color(8) };
/// From each port down its column.
pub(crate) const INGRESS: Color = Color(9);
/// Up each column to its port.
pub(crate) const READY: Color = Color(10);
/// Colors from here on are free for lanes everywhere.
pub(crate) const FIRST_LANE: u8 = 11;

/// A PE's place in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinePos {
    pub(crate) at: u32,
    pub(crate) len: u32,
    pub(crate) root: u32,
    pub(crate) colors: LineColors,
}

/// What a PE does in the collectives of a line. The root of a line has nothing outgoing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Role {
    /// Colors on which the chains from the low and from the high end arrive.
    arrivals: [Option<Color>; 2],
    /// Color on which it sends towards the root.
    outgoing: Option<Color>,
}

impl LinePos {
    /// Place `at` in a line of `len` PEs whose root is in the middle.
    pub(crate) fn centred(at: u32, len: u32, colors: LineColors) -> LinePos {
        LinePos { at, len, root: len / 2, colors }
    }

    /// All that a PE's part in the line's collectives, and its routes for them, depend on.
    pub(crate) fn role(&self) -> Role {
        Role { arrivals: [self.low_arrival(), self.high_arrival()], outgoing: self.outgoing() }
    }

    /// Whether this PE is the root.
    pub(crate) fn is_root(&self) -> bool {
        self.at == self.root
    }

    /// The color on which the PE at `at` sends towards the root.
    fn link(&self, at: u32) -> Color {
        let parity = if at < self.root { at % 2 } else { (at + 1) % 2 };
        if parity == 0 { self.colors.even } else { self.colors.odd }
    }

    /// The color on which this PE sends towards the root; none for the root.
    pub(crate) fn outgoing(&self) -> Option<Color> {
        (!self.is_root()).then(|| self.link(self.at))
    }

    /// The color on which the lower neighbour's chain arrives, if it comes this way.
    pub(crate) fn low_arrival(&self) -> Option<Color> {
        (self.at > 0 && self.at <= self.root).then(|| self.link(self.at - 1))
    }

    /// The color on which the higher neighbour's chain arrives, if it comes this way.
    pub(crate) fn high_arrival(&self) -> Option<Color> {
        (self.at + 1 < self.len && self.at >= self.root).then(|| self.link(self.at + 1))
    }

    /// Adds this tile's routes of chain and broadcast; `low` and `high` are the ports towards the line's ends.
    pub(crate) fn route(&self, routes: &mut TileRoutes, low: Port, high: Port) {
        self.route_chain(routes, low, high);
        self.route_broadcast(routes, low, high);
    }

    /// Adds this tile's routes of the chains to the root.
    pub(crate) fn route_chain(&self, routes: &mut TileRoutes, low: Port, high: Port) {
        if let Some(color) = self.outgoing() {
            let towards = if self.at < self.root { high } else { low };
            routes.add(Route::fixed(color, Port::Ramp, Ports::one(towards)));
        }
        if let Some(color) = self.low_arrival() {
            routes.add(Route::fixed(color, low, Ports::one(Port::Ramp)));
        }
        if let Some(color) = self.high_arrival() {
            routes.add(Route::fixed(color, high, Ports::one(Port::Ramp)));
        }
    }

    /// Adds this tile's route of the broadcast from the root.
    pub(crate) fn route_broadcast(&self, routes: &mut TileRoutes, low: Port, high: Port) {
        if self.len == 1 {
            return;
        }
        let has_low = self.at > 0;
        let has_high = self.at + 1 < self.len;
        let (mut tx, rx) = match self.at.cmp(&self.root) {
            std::cmp::Ordering::Equal => (Ports::NONE, Port::Ramp),
            std::cmp::Ordering::Less => (Ports::one(Port::Ramp), high),
            std::cmp::Ordering::Greater => (Ports::one(Port::Ramp), low),
        };
        if has_low && self.at <= self.root {
            tx = tx.with(low);
        }
        if has_high && self.at >= self.root {
            tx = tx.with(high);
        }
        routes.add(Route::fixed(self.colors.broadcast, rx, tx));
    }
}

/// The routes of one tile under construction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct TileRoutes(BTreeMap<Color, Route>);

impl TileRoutes {
    /// Adds a route; its color must still be free on this tile.
    pub(crate) fn add(&mut self, route: Route) {
        let color = route.color;
        let before = self.0.insert(color, route);
        assert!(before.is_none(), "color {color} is routed twice on one tile");
    }

    /// The route of a color.
    pub(crate) fn get(&self, color: Color) -> Option<&Route> {
        self.0.get(&color)
    }

    /// The routes, by color.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.values()
    }

    /// Their colors, as a bit set.
    pub(crate) fn colors(&self) -> u32 {
        self.0.keys().fold(0, |set, color| set | 1 << color.0)
    }

    /// The finished routes, by color.
    pub(crate) fn finish(self) -> fabric::RouteSet {
        fabric::RouteSet { routes: self.0.into_values().collect() }
    }
}
