//! The routes of all tiles: those of the stages, and of the lanes that pass through them. Tiles whose routes are equal share a
//! set, and so do tiles here before they get more.

use crate::detour::Laid;
use crate::lanes::Lanes;
use crate::lines::TileRoutes;
use fabric::{PeCoord, Route, RouteSetId, WaferImage};
use indexmap::{IndexMap, IndexSet};

/// No set.
const NONE: u32 = u32::MAX;

/// Sets of routes in the making.
struct Routing {
    /// Some of them may be equal.
    sets: Vec<TileRoutes>,
    /// The number of its set, by tile.
    set_of: Vec<u32>,
    /// What became of a set when a route was added.
    added: IndexMap<(u32, Route), u32>,
}

/// Gives all tiles of an image their routes. Sets are numbered in the order in which tiles need them.
pub(crate) fn route(image: &mut WaferImage, laid: &[Laid], lanes: &Lanes) {
    let set_of = vec![NONE; image.tiles.len()];
    let mut routing = Routing { sets: Vec::new(), set_of, added: IndexMap::new() };
    let index = |at: PeCoord| image.index(at).0 as usize;
    for laid in laid {
        routing.stage(laid, index);
    }
    lanes.all().for_each(|lane| lane.route(|at, route| routing.add(index(at), &route)));
    let Routing { sets, set_of, .. } = routing;
    let mut ids: Vec<Option<RouteSetId>> = vec![None; sets.len()];
    let mut different = IndexSet::new();
    let routed = image.tiles.iter_mut().zip(set_of).filter(|(_, set)| *set != NONE);
    for (tile, set) in routed {
        let id = ids[set as usize].get_or_insert_with(|| {
            let routes = sets[set as usize].clone().finish();
            RouteSetId(different.insert_full(routes).0 as u32)
        });
        tile.routes = Some(*id);
    }
    image.route_sets = different.into_iter().collect();
}

impl Routing {
    /// Adds the routes of a stage. A way around defects may pass through another stage's window.
    fn stage(&mut self, laid: &Laid, index: impl Fn(PeCoord) -> usize) {
        let first = self.sets.len() as u32;
        self.sets.extend(laid.sets.iter().cloned());
        for &(at, set) in &laid.tiles {
            let tile = index(at);
            if self.set_of[tile] == NONE {
                self.set_of[tile] = first + set;
            } else {
                laid.sets[set as usize].iter().for_each(|route| self.add(tile, route));
            }
        }
    }

    /// Adds a route to a tile.
    fn add(&mut self, tile: usize, route: &Route) {
        let before = self.set_of[tile];
        let sets = &mut self.sets;
        let grown = || {
            let mut routes = sets.get(before as usize).cloned().unwrap_or_default();
            routes.add(route.clone());
            sets.push(routes);
            sets.len() as u32 - 1
        };
        self.set_of[tile] = *self.added.entry((before, route.clone())).or_insert_with(grown);
    }
}
