//! The steps of a walk along the routes of one color.

use crate::geometry::{PeIdx, Port, Ports};
use crate::image::{Tile, WaferImage};
use crate::route::Route;
use pe_isa::{Color, OutQueue};
use std::rc::Rc;

/// No set of routes: beyond all that there are.
const NONE: u32 = u32::MAX;

/// The routes of one color.
pub(super) struct Wiring<'a> {
    pub(super) image: &'a WaferImage,
    pub(super) color: Color,
    /// The color's route in each set of routes; tiles share sets.
    pub(super) routes: Vec<Option<&'a Route>>,
    /// The ports from which each of these takes wavelets.
    receives: Vec<Ports>,
    /// The number of each tile's set: the image's, but side by side.
    set_of: Rc<[u32]>,
    /// The tiles whose routers have a route for it, ascending.
    tiles: Vec<PeIdx>,
}

impl<'a> Wiring<'a> {
    /// The wiring of each of the machine's colors, by color.
    pub(super) fn all(image: &'a WaferImage) -> Vec<Wiring<'a>> {
        let set_of = |tile: &Tile| tile.routes.map_or(NONE, |set| set.0);
        let set_of: Rc<[u32]> = image.tiles.iter().map(set_of).collect();
        let of = |color: u8| {
            let color = Color(color);
            let routes: Vec<_> = image.route_sets.iter().map(|set| set.get(color)).collect();
            let receives = routes.iter().map(|r| r.map(Route::receives).unwrap_or_default());
            let (receives, set_of) = (receives.collect(), Rc::clone(&set_of));
            Wiring { image, color, routes, receives, set_of, tiles: Vec::new() }
        };
        let mut all: Vec<Wiring<'a>> = (0..image.machine.fabric.colors).map(of).collect();
        for (at, tile) in image.tiles.iter().enumerate() {
            let Some(set) = tile.routes else { continue };
            for route in &image.route_sets[set.0 as usize].routes {
                // A color that the machine does not have, or that is there twice, is told as malformed.
                let Some(wiring) = all.get_mut(usize::from(route.color.0)) else { continue };
                if wiring.tiles.last() != Some(&PeIdx(at as u32)) {
                    wiring.tiles.push(PeIdx(at as u32));
                }
            }
        }
        all
    }

    /// The color's route at a tile.
    #[inline]
    pub(super) fn route(&self, at: PeIdx) -> Option<&'a Route> {
        self.routes.get(self.set_of[at.0 as usize] as usize).copied().flatten()
    }

    /// Whether some router has several positions for the color.
    pub(super) fn is_switched(&self) -> bool {
        self.routes.iter().flatten().any(|route| route.positions.len() > 1)
    }

    /// The tiles whose routers have a route for the color.
    pub(super) fn tiles(&self) -> impl Iterator<Item = (PeIdx, &'a Route)> {
        self.tiles.iter().filter_map(|&at| Some((at, self.route(at)?)))
    }

    /// The neighbour behind a mesh port, if there is one.
    #[inline]
    pub(super) fn neighbour(&self, at: PeIdx, port: Port) -> Option<PeIdx> {
        let PeIdx(at) = at;
        let width = self.image.machine.width;
        let tiles = self.image.tiles.len() as u32;
        match port {
            Port::North => at.checked_sub(width),
            Port::East => ((at + 1) % width != 0).then_some(at + 1),
            Port::South => (at + width < tiles).then_some(at + width),
            Port::West => (at % width != 0).then(|| at - 1),
            Port::Ramp => None,
        }
        .map(PeIdx)
    }

    /// The neighbour that a wavelet reaches through mesh port `tx`, if it takes the color from there.
    #[inline]
    pub(super) fn next(&self, at: PeIdx, tx: Port) -> Option<PeIdx> {
        let next = self.neighbour(at, tx)?;
        let receives = self.receives.get(self.set_of[next.0 as usize] as usize)?;
        receives.contains(tx.opposite()).then_some(next)
    }

    /// The neighbour from which a wavelet comes to port `rx`, if it sends the color there.
    pub(super) fn previous(&self, at: PeIdx, rx: Port) -> Option<PeIdx> {
        let previous = self.neighbour(at, rx)?;
        self.route(previous)?.transmits().contains(rx.opposite()).then_some(previous)
    }

    /// The PEs that wavelets reach which come up the ramp at `from`, over routes without switches: each with the
    /// words that the FIFOs behind the first router hold on the way to it while it takes none (rules F-2, F-4). No
    /// router is passed twice: each takes the color from one port only.
    pub(super) fn arrivals(&self, from: PeIdx) -> Vec<(PeIdx, u64)> {
        let machine = &self.image.machine;
        let mut found = Vec::new();
        let mut open = vec![(from, 0)];
        while let Some((at, fit)) = open.pop() {
            let outs = self.route(at).map(Route::transmits).unwrap_or_default();
            for tx in outs.iter() {
                if let Some(next) = self.next(at, tx).filter(|_| tx != Port::Ramp) {
                    open.push((next, fit + u64::from(machine.fabric.queue_depth)));
                }
            }
            let queue = self.image.program(at).and_then(|p| p.in_queue(self.color));
            let depth = queue.and_then(|q| machine.pe.input_queues.get(usize::from(q.0)));
            if let Some(&depth) = depth.filter(|_| outs.contains(Port::Ramp)) {
                found.push((at, fit + u64::from(depth) + machine.pe.ramp_cycles));
            }
        }
        found
    }

    /// Words of a PE that its output queue and its router's up FIFO hold (rules F-5 and F-3).
    pub(super) fn near(&self, queue: OutQueue) -> Option<u64> {
        let machine = &self.image.machine;
        let depth = *machine.pe.output_queues.get(usize::from(queue.0))?;
        Some(u64::from(depth) + u64::from(machine.fabric.queue_depth) + machine.pe.ramp_cycles)
    }
}
