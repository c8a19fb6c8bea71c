//! Where the FIFOs of each tile stand in flat arrays.

use fabric::{PeIdx, Port, RouteSet, WaferImage};
use pe_isa::{Color, Program};

/// No FIFO.
const NONE: u16 = u16::MAX;
const PORTS: usize = Port::ALL.len();
const COLORS: usize = 32;

/// The FIFOs of a router, or of a PE, by port and color.
#[derive(Debug, Clone)]
struct Ranks {
    by_key: Vec<u16>,
    /// Slots of each, by rank.
    capacity: Vec<u32>,
}

impl Ranks {
    fn new(keys: impl Iterator<Item = (usize, Color, u32)>, groups: usize) -> Ranks {
        let mut ranks = Ranks { by_key: vec![NONE; groups * COLORS], capacity: Vec::new() };
        for (group, color, capacity) in keys {
            ranks.by_key[group * COLORS + usize::from(color.0)] = ranks.capacity.len() as u16;
            ranks.capacity.push(capacity);
        }
        ranks
    }

    fn rank(&self, group: usize, color: Color) -> Option<u32> {
        let rank = self.by_key[group * COLORS + usize::from(color.0)];
        (rank != NONE).then_some(u32::from(rank))
    }
}

/// A FIFO's index and its slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) fifo: u32,
    pub(super) capacity: u32,
}

/// All FIFOs of an image.
#[derive(Debug, Clone)]
pub(super) struct Sites {
    routers: Vec<Ranks>,
    pes: Vec<Ranks>,
    /// For each tile the first FIFO of its router, and of its PE.
    first: Vec<(u32, u32)>,
    tiles: Vec<(u32, u32)>,
    /// How many there are.
    pub(super) count: usize,
}

impl Sites {
    pub(super) fn new(image: &WaferImage) -> Sites {
        let (fabric, pe) = (&image.machine.fabric, &image.machine.pe);
        let ramp = pe.ramp_cycles as u32;
        let router = |set: &RouteSet| {
            let keys = set.routes.iter().flat_map(|route| {
                route.receives().iter().map(|port| {
                    let more = if port == Port::Ramp { ramp } else { 0 };
                    (port.index(), route.color, fabric.queue_depth + more)
                })
            });
            Ranks::new(keys, PORTS)
        };
        let queues = |program: &Program| {
            let bound = |queues: &[Option<Color>], depths: &[u32], group: usize, more: u32| {
                let pairs = queues.iter().zip(depths);
                let keys =
                    pairs.filter_map(|(color, depth)| Some((group, (*color)?, depth + more)));
                keys.collect::<Vec<_>>()
            };
            let mut keys = bound(&program.in_queues, &pe.input_queues, 0, ramp);
            keys.extend(bound(&program.out_queues, &pe.output_queues, 1, 0));
            Ranks::new(keys.into_iter(), 2)
        };
        let routers: Vec<Ranks> = image.route_sets.iter().map(router).collect();
        let pes: Vec<Ranks> = image.programs.iter().map(queues).collect();
        let mut next = 0;
        let mut place = |ranks: Option<&Ranks>| {
            let first = next;
            next += ranks.map_or(0, |ranks| ranks.capacity.len() as u32);
            first
        };
        let tiles = image.tiles.iter().map(|tile| {
            (tile.routes.map_or(u32::MAX, |r| r.0), tile.program.map_or(u32::MAX, |p| p.0))
        });
        let tiles: Vec<(u32, u32)> = tiles.collect();

        let first = tiles.iter().map(|&(routes, program)| {
            let router = place(routers.get(routes as usize));
            (router, place(pes.get(program as usize)))
        });
        let first = first.collect();
        Sites { first, tiles, count: next as usize, routers, pes }
    }

    fn site(ranks: &Ranks, first: u32, (group, color): (usize, Color)) -> Option<Site> {
        let rank = ranks.rank(group, color)?;
        Some(Site { fifo: first + rank, capacity: ranks.capacity[rank as usize] })
    }

    /// A router's, behind a port (rules F-2, F-3).
    pub(super) fn router(&self, tile: PeIdx, port: Port, color: Color) -> Option<Site> {
        let at = tile.0 as usize;
        let ranks = self.routers.get(self.tiles[at].0 as usize)?;
        Sites::site(ranks, self.first[at].0, (port.index(), color))
    }

    /// A PE's input queue (rule F-4).
    pub(super) fn input(&self, tile: PeIdx, color: Color) -> Option<Site> {
        let at = tile.0 as usize;
        Sites::site(self.pes.get(self.tiles[at].1 as usize)?, self.first[at].1, (0, color))
    }

    /// A PE's output queue (rule F-5).
    pub(super) fn output(&self, tile: PeIdx, color: Color) -> Option<Site> {
        let at = tile.0 as usize;
        Sites::site(self.pes.get(self.tiles[at].1 as usize)?, self.first[at].1, (1, color))
    }
}
