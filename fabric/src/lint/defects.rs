//! What an image would have dead PEs and links do.

use super::{Findings, Kind};
use crate::defects::DefectMap;
use crate::geometry::{PeIdx, Port};
use crate::route::Route;

pub(super) fn check(found: &mut Findings<'_>) {
    let image = found.image;
    let map = DefectMap::of(&image.machine);
    if map.is_empty() {
        return;
    }
    for at in 0..image.tiles.len() {
        let idx = PeIdx(at as u32);
        let routes = image.routes(idx).map_or(&[][..], |set| &set.routes);
        let place = image.coord(idx);
        if map.is_dead(place) {
            pe(found, idx, routes);
        }
        for port in Port::MESH.into_iter().filter(|&port| map.is_dead_behind(place, port)) {
            for route in routes.iter().filter(|route| route.transmits().contains(port)) {
                let color = route.color;
                let message =
                    format!("color {color} leaves through {port}, where the link is dead");
                found.error(Kind::DeadLink, idx, message);
            }
        }
    }
}

fn pe(found: &mut Findings<'_>, idx: PeIdx, routes: &[Route]) {
    if found.image.tile(idx).program.is_some() {
        found.error(Kind::DeadPe, idx, "the PE is dead, but has a program".to_string());
        return; // Its routes say the same.
    }
    let ramp = |route: &&Route| route.receives().union(route.transmits()).contains(Port::Ramp);
    for route in routes.iter().filter(ramp) {
        let message =
            format!("the PE is dead, but the route of color {} uses its ramp", route.color);
        found.error(Kind::DeadPe, idx, message);
    }
}
