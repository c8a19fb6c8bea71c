//! The steps of a walk along the routes of one color.

use crate::geometry::{PeIdx, Port};
use crate::image::WaferImage;
use crate::route::Route;
use pe_isa::Color;

/// The routes of one color.
#[derive(Clone, Copy)]
pub(super) struct Wiring<'a> {
    pub(super) image: &'a WaferImage,
    pub(super) color: Color,
}

impl<'a> Wiring<'a> {
    /// The colors of an image's routes and machine, with their wiring.
    pub(super) fn all(image: &'a WaferImage) -> impl Iterator<Item = Wiring<'a>> {
        (0..image.machine.fabric.colors).map(move |color| Wiring { image, color: Color(color) })
    }

    /// The color's route at a tile.
    pub(super) fn route(&self, at: PeIdx) -> Option<&'a Route> {
        self.image.routes(at)?.get(self.color)
    }

    /// The tiles whose routers have a route for the color. Tiles share sets of routes, so whether a
    /// set has one is looked up once.
    pub(super) fn tiles(&self) -> impl Iterator<Item = (PeIdx, &'a Route)> {
        let (image, color) = (self.image, self.color);
        let of: Vec<Option<&Route>> = image.route_sets.iter().map(|s| s.get(color)).collect();
        image.tiles.iter().enumerate().filter_map(move |(at, tile)| {
            let route = of[tile.routes?.0 as usize]?;
            Some((PeIdx(at as u32), route))
        })
    }

    /// The neighbour behind a mesh port, if there is one.
    pub(super) fn neighbour(&self, at: PeIdx, port: Port) -> Option<PeIdx> {
        let machine = &self.image.machine;
        let next = self.image.coord(at).neighbour(port, machine.width, machine.height)?;
        Some(self.image.index(next))
    }

    /// The neighbour that a wavelet reaches through mesh port `tx`, if it takes the color from there.
    pub(super) fn next(&self, at: PeIdx, tx: Port) -> Option<PeIdx> {
        let next = self.neighbour(at, tx)?;
        self.route(next)?.receives().contains(tx.opposite()).then_some(next)
    }

    /// The neighbour from which a wavelet comes to port `rx`, if it sends the color there.
    pub(super) fn previous(&self, at: PeIdx, rx: Port) -> Option<PeIdx> {
        let previous = self.neighbour(at, rx)?;
        self.route(previous)?.transmits().contains(rx.opposite()).then_some(previous)
    }
}
