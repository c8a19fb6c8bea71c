//! Routes: one by one, by paths, and as whole sets.

use super::super::ast::{Hop, Point, Rect, RouteDef};
use super::{Elaborator, Step, one_port, ports};
use crate::geometry::{PeCoord, PeIdx, Port, Ports};
use crate::image::RouteSetId;
use crate::route::{Position, Route, RouteSet};
use pe_isa::Color;
use pe_isa::asm::cursor::Name;
use pe_isa::asm::spelling::nearest;
use pe_isa::asm::{Diagnostic, Expr, Span};
use std::collections::BTreeMap;

/// Routes that are stated one by one. Wafers have a million tiles and few different positions, so
/// tiles hold numbers of those.
#[derive(Default)]
pub(super) struct Routes {
    /// For each tile, colors ascending with indices into `ways`.
    of_tiles: Vec<Vec<(u8, u32)>>,
    /// Lists of switch positions, all different.
    ways: Vec<Vec<Position>>,
    /// Indices into `ways` by contents.
    known: BTreeMap<Vec<(Port, Ports)>, u32>,
}

impl Routes {
    pub(super) fn new(tiles: usize) -> Routes {
        Routes { of_tiles: vec![Vec::new(); tiles], ..Routes::default() }
    }

    /// The number of a list of positions.
    fn way(&mut self, positions: Vec<Position>) -> u32 {
        let key = positions.iter().map(|p| (p.rx, p.tx)).collect();
        *self.known.entry(key).or_insert_with(|| {
            self.ways.push(positions);
            self.ways.len() as u32 - 1
        })
    }
}

impl Elaborator {
    fn route_color(&mut self, expr: &Expr) -> Step<u8> {
        Ok(self.scope.within(expr, "the color", 0, 255)? as u8)
    }

    pub(super) fn route_block(&mut self, name: &Name, routes: &[RouteDef]) -> Step<()> {
        let mut set = RouteSet::default();
        for route in routes {
            let color = Color(self.route_color(&route.color)?);
            set.routes.push(Route { color, positions: positions(&route.hops)? });
        }
        let id = RouteSetId(self.image.route_sets.len() as u32);
        self.image.route_sets.push(set);
        if self.route_sets.insert(name.text.clone(), id).is_some() {
            let message = format!("there are two `routes {}`", name.text);
            return Err(Diagnostic::new(name.span, message));
        }
        Ok(())
    }

    pub(super) fn route_set(&self, name: &Name) -> Step<RouteSetId> {
        self.route_sets.get(&name.text).copied().ok_or_else(|| {
            let near = nearest(&name.text, self.route_sets.keys().map(String::as_str));
            let cure = near.map(|n| format!("did you mean `{n}`?")).unwrap_or_default();
            let message = format!("there are no `routes {}`", name.text);
            Diagnostic::new(name.span, message).cure(cure)
        })
    }

    pub(super) fn route(&mut self, route: &RouteDef, rect: &Rect) -> Step<()> {
        let way = self.routes.way(positions(&route.hops)?);
        self.each_tile(rect, |e, tile| {
            let color = e.route_color(&route.color)?;
            e.add_route(tile, color, way, rect.span)
        })
    }

    fn add_route(&mut self, tile: PeIdx, color: u8, way: u32, span: Span) -> Step<()> {
        let at = self.image.coord(tile);
        if self.image.tile(tile).routes.is_some() {
            let message = format!("tile {at} has a whole set of routes already");
            return Err(Diagnostic::new(span, message));
        }
        let routes = &mut self.routes.of_tiles[tile.0 as usize];
        match routes.binary_search_by_key(&color, |(c, _)| *c) {
            Err(place) => {
                routes.insert(place, (color, way));
                Ok(())
            }
            Ok(_) => {
                let message = format!("tile {at} has a route for color c{color} already");
                Err(Diagnostic::new(span, message)
                    .cure("a router has one route a color; take another color here"))
            }
        }
    }

    /// Routes a color along straight lines, from the ramp of the first tile to that of the last. A
    /// path that stays on its tile routes nothing.
    pub(super) fn path(&mut self, color: &Expr, points: &[Point], broadcast: bool) -> Step<()> {
        let color = self.route_color(color)?;
        let mut tiles: Vec<PeCoord> = vec![self.point(&points[0])?];
        for point in &points[1..] {
            let to = self.point(point)?;
            let mut at = tiles[tiles.len() - 1];
            if at.x != to.x && at.y != to.y {
                let message = format!("a path from {at} to {to} is not straight");
                return Err(Diagnostic::new(point.span, message).cure("put a corner between them"));
            }
            while at != to {
                self.scope.burn(1, point.span)?;
                at = step(at, to);
                tiles.push(at);
            }
        }
        if tiles.len() == 1 {
            return Ok(());
        }
        let span = points[0].span.to(points[points.len() - 1].span);
        for (k, &at) in tiles.iter().enumerate() {
            let rx = if k == 0 { Port::Ramp } else { towards(at, tiles[k - 1]) };
            let mut tx = tiles.get(k + 1).map_or(Ports::NONE, |&to| Ports::one(towards(at, to)));
            if k + 1 == tiles.len() || (broadcast && k > 0) {
                tx = tx.with(Port::Ramp);
            }
            let way = self.routes.way(vec![Position { rx, tx }]);
            self.add_route(self.image.index(at), color, way, span)?;
        }
        Ok(())
    }

    /// Gives the tiles whose routes were stated one by one their sets; equal ones share one.
    pub(super) fn intern_routes(&mut self) {
        let Routes { of_tiles, ways, .. } = std::mem::take(&mut self.routes);
        let mut known: BTreeMap<Vec<(u8, u32)>, RouteSetId> = BTreeMap::new();
        for (tile, routes) in of_tiles.into_iter().enumerate() {
            if routes.is_empty() {
                continue;
            }
            let sets = &mut self.image.route_sets;
            let route = |&(c, way): &(u8, u32)| Route {
                color: Color(c),
                positions: ways[way as usize].clone(),
            };
            let id = known.get(&routes).copied().unwrap_or_else(|| {
                sets.push(RouteSet { routes: routes.iter().map(route).collect() });
                RouteSetId(sets.len() as u32 - 1)
            });
            self.image.tiles[tile].routes = Some(id);
            known.entry(routes).or_insert(id);
        }
    }
}

fn positions(hops: &[Hop]) -> Step<Vec<Position>> {
    let position = |hop: &Hop| {
        let mut tx = Ports::NONE;
        for name in &hop.tx {
            if name.text != "nowhere" {
                tx = ports(name)?.into_iter().fold(tx, Ports::with);
            }
        }
        Ok(Position { rx: one_port(&hop.rx)?, tx })
    };
    hops.iter().map(position).collect()
}

/// The neighbour of `at` on a straight way to `to`.
fn step(at: PeCoord, to: PeCoord) -> PeCoord {
    let closer = |a: u32, b: u32| if a < b { a + 1 } else { a.max(1) - 1 };
    if at.x == to.x {
        PeCoord::new(at.x, closer(at.y, to.y))
    } else {
        PeCoord::new(closer(at.x, to.x), at.y)
    }
}

/// The port of `at` that leads to its neighbour `to`.
fn towards(at: PeCoord, to: PeCoord) -> Port {
    match (to.x.cmp(&at.x), to.y.cmp(&at.y)) {
        (std::cmp::Ordering::Greater, _) => Port::East,
        (std::cmp::Ordering::Less, _) => Port::West,
        (_, std::cmp::Ordering::Greater) => Port::South,
        _ => Port::North,
    }
}
