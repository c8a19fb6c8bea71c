//! Which tiles make up a domain, and which number everything on them gets.

use super::Plan;
use crate::engine::{Layout, Tiles};
use fabric::{Tile, WaferImage};
use std::ops::Range;

/// FIFOs that a domain must have at least. A wafer with fewer has no cycles that are worth sharing.
const LEAST_FIFOS: usize = 1 << 12;

/// Domains for each thread. What happens in a cycle is seldom spread evenly over the wafer; with more domains than threads
/// it can still be dealt evenly. Each edge costs something.
const DOMAINS_PER_THREAD: usize = 8;

/// How an image is cut into domains.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) enum Cut<'a> {
    /// For so many threads, into domains with about as many FIFOs each.
    For(usize),
    /// At these tiles, ascending; the first domain begins at tile 0.
    At(&'a [u32]),
}

/// How much of everything a domain has.
#[derive(Debug, Clone, Default)]
pub(super) struct Sizes {
    pub(super) tiles: Range<u32>,
    pub(super) fifos: usize,
    pub(super) links: usize,
    pub(super) outs: usize,
    /// Routers with contention.
    pub(super) routers: usize,
    pub(super) programs: usize,
    /// Words of registers and SRAM.
    pub(super) memory: usize,
    /// A route has several positions.
    pub(super) switched: bool,
}

impl Sizes {
    fn add(&mut self, tile: &Tile, layout: &Layout) {
        let plan = tile.routes.map(|r| &layout.plans[r.0 as usize]);
        self.fifos += layout.fifos(tile);
        self.links += plan.map_or(0, |p| p.outputs.count_ones() as usize);
        self.outs += plan.map_or(0, |p| p.outs);
        self.routers += usize::from(plan.is_some_and(|p| p.contended));
        self.switched |= plan.is_some_and(|p| p.switched);
        if let Some(program) = tile.program {
            self.programs += 1;
            let registers = layout.codes[program.0 as usize].registers;
            let sram = if layout.constants.has_data { tile.sram_bytes as usize / 4 } else { 0 };
            self.memory += registers + sram;
        }
    }
}

impl Cut<'_> {
    /// The tiles at which the domains but the first begin.
    pub(super) fn cuts(self, image: &WaferImage, layout: &Layout) -> Vec<u32> {
        match self {
            Cut::At(tiles) => {
                assert!(tiles.is_sorted(), "domains begin at ascending tiles: {tiles:?}");
                tiles.to_vec()
            }
            Cut::For(0 | 1) => Vec::new(),
            Cut::For(threads) => {
                let all: usize = image.tiles.iter().map(|tile| layout.fifos(tile)).sum();
                let domains = (threads * DOMAINS_PER_THREAD).min(all / LEAST_FIFOS);
                let (mut before, mut cuts) = (0, Vec::new());
                for (at, tile) in (0..).zip(&image.tiles) {
                    if before * domains > all * (cuts.len() + 1) {
                        cuts.push(at);
                    }
                    before += layout.fifos(tile);
                }
                cuts
            }
        }
    }
}

impl Layout {
    /// FIFOs of a tile.
    fn fifos(&self, tile: &Tile) -> usize {
        let router = tile.routes.map_or(0, |r| self.plans[r.0 as usize].keys.len());
        let queues = |code: &crate::engine::Code| usize::from(code.ins) + usize::from(code.outs);
        router + tile.program.map_or(0, |p| queues(&self.codes[p.0 as usize]))
    }

    /// Numbers the FIFOs, links and PEs of each domain: tile by tile; in a tile router inputs in key order, then input
    /// queues, then output queues. So a tile's state lies together, and a range of tiles is a range of everything.
    pub(super) fn number(&mut self, image: &WaferImage, cuts: &[u32]) -> Vec<Sizes> {
        let mut tiles = Tiles::with_capacity(image.tiles.len());
        let mut domains = vec![Sizes::default()];
        let mut cuts = cuts.iter().copied().peekable();
        for (at, tile) in (0..).zip(&image.tiles) {
            while cuts.next_if_eq(&at).is_some() {
                domains.push(Sizes { tiles: at..at, ..Sizes::default() });
            }
            let sizes = domains.last_mut().expect("there is a domain");
            tiles.first_fifo.push(sizes.fifos as u32);
            tiles.first_link.push(sizes.links as u32);
            tiles.pe.push(tile.program.map_or(u32::MAX, |_| sizes.programs as u32));
            tiles.plan.push(tile.routes.map_or(u32::MAX, |r| r.0));
            sizes.add(tile, self);
            sizes.tiles.end = at + 1;
        }
        for sizes in &domains {
            assert!(sizes.fifos < 1 << 29, "the calendar names FIFOs by 29 bits");
            assert!(sizes.memory < 1 << 32, "the memory of a domain's PEs has at most 2^32 words");
        }
        self.tiles = tiles;
        domains
    }
}

impl Tiles {
    fn with_capacity(tiles: usize) -> Tiles {
        let list = || Vec::with_capacity(tiles);
        Tiles { first_fifo: list(), first_link: list(), pe: list(), plan: list() }
    }

    /// The links of a tile, as pairs of output port index and link.
    pub(in crate::engine) fn links(
        &self,
        tile: usize,
        plans: &[Plan],
    ) -> impl Iterator<Item = (usize, u32)> {
        let plan = plans.get(self.plan[tile] as usize);
        let outputs = plan.map_or(0, |p| p.outputs);
        let first = self.first_link[tile];
        let used = (0..5).filter(move |port| outputs >> port & 1 != 0);
        used.zip(first..)
    }
}
