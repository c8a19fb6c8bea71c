//! Routes: for each color of a router, where wavelets come from and where they go.

use crate::geometry::{Port, Ports};
use pe_isa::Color;
use serde::{Deserialize, Serialize};

/// One switch position of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The port that wavelets are taken from.
    pub rx: Port,
    /// The ports that each of them is sent to, all in the same cycle.
    pub tx: Ports,
}

/// The route of one color through one router: one to four switch positions, the first one selected
/// at cycle 0.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Route {
    /// The color.
    pub color: Color,
    /// The positions; control wavelets select among them.
    pub positions: Vec<Position>,
}

impl Route {
    /// A route without switching.
    pub fn fixed(color: Color, rx: Port, tx: Ports) -> Route {
        Route { color, positions: vec![Position { rx, tx }] }
    }

    /// Every port that some position takes wavelets from.
    pub fn receives(&self) -> Ports {
        self.positions.iter().map(|p| p.rx).collect()
    }

    /// Every port that some position sends wavelets to.
    pub fn transmits(&self) -> Ports {
        self.positions.iter().fold(Ports::NONE, |set, p| set.union(p.tx))
    }
}

/// All routes of one router, ordered by color. Routers with equal routes share one set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct RouteSet {
    /// The routes, ascending by color, one per color.
    pub routes: Vec<Route>,
}

impl RouteSet {
    /// The route of `color`.
    pub fn get(&self, color: Color) -> Option<&Route> {
        let at = self.routes.binary_search_by_key(&color, |r| r.color).ok()?;
        Some(&self.routes[at])
    }
}
