//! Host ports: on the edge, with a route, one a color.

use super::{Findings, Kind};
use crate::geometry::Port;
use std::collections::BTreeSet;

pub(super) fn check(found: &mut Findings<'_>) {
    let image = found.image;
    let ends = image.host_in.iter().map(|h| (h.tile, h.port, h.color, true));
    let ends = ends.chain(image.host_out.iter().map(|h| (h.tile, h.port, h.color, false)));
    let mut known = BTreeSet::new();
    for (tile, port, color, inward) in ends {
        if !known.insert((inward, tile, port, color)) {
            let message = format!("two host ports of one direction at {port} have color {color}");
            found.error(Kind::HostPort, tile, message);
        }
        let (width, height) = (image.machine.width, image.machine.height);
        let on_edge =
            port != Port::Ramp && image.coord(tile).neighbour(port, width, height).is_none();
        if !on_edge {
            let message = format!("the host port at {port} is not on the wafer's edge");
            found.error(Kind::HostPort, tile, message);
            continue;
        }
        let route = image.routes(tile).and_then(|r| r.get(color));
        let good = route.is_some_and(|r| {
            if inward { r.receives().contains(port) } else { r.transmits().contains(port) }
        });
        if !good {
            let way = if inward { "from" } else { "to" };
            let message = format!(
                "the host port at {port} has color {color}, for which the router has no route {way} there"
            );
            found.error(Kind::HostPort, tile, message);
        }
    }
}
