//! A domain: a contiguous range of tiles with all that changes on them, a small wafer of its own.
//!
//! Within a cycle a domain looks at nothing outside (rule T-1 leaves nothing to look at), so that domains can be
//! visited in any order, or at the same time. What crosses their edges is exchanged between cycles, see
//! [`super::edge`].

use super::net::Net;
use super::pe::{Pe, Trap};
use super::stream::Stream;
use super::wheel::{Bucket, Kind};
use super::{AHEAD, Layout};
use crate::observe::Observer;
use crate::run::{FinalState, PeCounters};
use fabric::PeIdx;
use std::ops::Range;

/// The state of a range of tiles. Indices of FIFOs, links and PEs are its own.
#[derive(Debug, Clone)]
pub(super) struct Domain {
    pub(super) tiles: Range<u32>,
    pub(super) net: Net,
    pub(super) pes: Vec<Pe>,
    /// The operation of each PE that is a stream.
    pub(super) streams: Vec<Stream>,
    /// Registers and SRAM of all PEs, see [`super::pe::Memory`].
    pub(super) memory: Vec<u32>,
    pub(super) bucket: Bucket,
    /// The first cycle in which there is something to do here, [`u64::MAX`] where there is none.
    pub(super) next: u64,
}

impl Domain {
    /// All decisions of one cycle. Returns the trap of the PE with the lowest index (rule P-8).
    pub(super) fn cycle<O: Observer + ?Sized>(
        &mut self,
        now: u64,
        layout: &Layout,
        observer: &mut O,
    ) -> Option<Trap> {
        let mut bucket = std::mem::take(&mut self.bucket);
        self.net.now = now;
        self.net.wheel.take(now, &mut bucket);
        for &fifo in &bucket.fifos {
            self.net.visit_fifo(fifo);
        }
        for routers in bucket.routers.chunks(AHEAD) {
            if layout.spread {
                self.net.touch_routers(routers);
            }
            routers.iter().for_each(|&at| self.net.visit_router(at, &layout.rivals));
        }
        for actor in &bucket.others {
            match actor.kind() {
                Kind::Ramp(at) => self.net.visit_ramp(at),
                Kind::HostIn(at) => self.net.visit_host_in(at),
                Kind::Fifo(_) | Kind::Pe(_) | Kind::Router(_) => {
                    unreachable!("these have lists of their own")
                }
                Kind::Edge(_) => unreachable!("what lies beyond an edge is told, not visited"),
            }
        }
        if observer.active() {
            bucket.pes.sort_unstable();
        }
        let mut first: Option<Trap> = None;
        for pes in bucket.pes.chunks(AHEAD) {
            if layout.spread {
                self.touch_pes(pes);
            }
            for &at in pes {
                let trap = self.visit_pe(at, layout, observer);
                if first.is_none_or(|f| trap.is_some_and(|t| t.pe < f.pe)) {
                    first = trap;
                }
            }
        }
        self.net.end_cycle();
        self.bucket = bucket;
        self.look_ahead();
        first
    }

    /// Finds the next cycle with something to do.
    #[inline(always)]
    pub(super) fn look_ahead(&mut self) {
        let visit = self.net.wheel.next().unwrap_or(u64::MAX);
        self.next = self.net.to_host.front().map_or(visit, |w| w.cycle.min(visit));
    }

    /// Whether a wavelet reaches the host from here at `now`.
    #[inline(always)]
    pub(super) fn delivers(&self, now: u64) -> bool {
        self.net.to_host.front().is_some_and(|w| w.cycle == now)
    }

    #[inline(always)]
    fn visit_pe<O: Observer + ?Sized>(
        &mut self,
        at: u32,
        layout: &Layout,
        observer: &mut O,
    ) -> Option<Trap> {
        let gate = &mut self.net.gates[at as usize];
        if gate.next != self.net.now {
            return None;
        }
        gate.next = u64::MAX;
        let (streaming, pe) = (gate.streaming, &mut self.pes[at as usize]);
        let (stream, memory) = (&mut self.streams[at as usize], &mut self.memory[..]);
        if streaming && stream.visit(at, &mut self.net, pe, memory) {
            return None;
        }
        let code = &layout.codes[pe.code as usize];
        pe.visit(&mut self.net, stream, memory, code, &layout.constants, observer)
    }

    /// Reads what visits of these PEs will read, so that the host's memory serves them together
    /// and not one after the other.
    #[inline(always)]
    fn touch_pes(&self, pes: &[u32]) {
        let mut seen = 0;
        for &at in pes {
            seen ^= self.net.gates[at as usize].wanted ^ self.streams[at as usize].touch();
        }
        for &at in pes {
            seen ^= self.streams[at as usize].touch_behind(&self.net, &self.memory);
        }
        std::hint::black_box(seen);
    }

    /// Brings all PEs up to date.
    pub(super) fn end_streams(&mut self, layout: &Layout) {
        for pe in &mut self.pes {
            let gate = &mut self.net.gates[pe.index as usize];
            if gate.end_stream() {
                let threads = layout.codes[pe.code as usize].threads;
                self.streams[pe.index as usize].leave(pe, threads, gate);
            }
        }
    }

    /// The PE on one of its tiles; none where there is no program.
    pub(super) fn pe(&self, tile: PeIdx, layout: &Layout) -> Option<&Pe> {
        self.pes.get(layout.tiles.pe[tile.0 as usize] as usize)
    }

    /// The SRAM of a PE in words; empty where there is no program.
    pub(super) fn sram(&self, tile: PeIdx, layout: &Layout) -> &[u32] {
        self.pe(tile, layout).map_or(&[], |pe| &self.memory[pe.memory.sram()])
    }

    /// The counters of a PE (rules ).
    pub(super) fn counters(&self, tile: PeIdx, layout: &Layout) -> PeCounters {
        self.pe(tile, layout).map_or_else(PeCounters::default, |pe| pe.counters)
    }

    /// Wavelets sent through each output port of a tile's router (rule X-2).
    pub(super) fn links(&self, tile: PeIdx, layout: &Layout) -> [u64; 5] {
        let (at, tiles) = (tile.0 as usize, &layout.tiles);
        let mut sent = [0; 5];
        for (port, link) in tiles.links(at, &layout.plans) {
            sent[port] = self.net.switched_sent.get(link as usize).copied().unwrap_or(0);
        }
        let plan = layout.plans.get(tiles.plan[at] as usize);
        let fifos = plan.map_or(0, |p| p.keys.len() as u32);
        for fifo in tiles.first_fifo[at]..tiles.first_fifo[at] + fifos {
            self.net.add_sent(fifo, &mut sent);
        }
        sent
    }

    /// Copies its tiles' state.
    pub(super) fn copy_to(&self, state: &mut FinalState, layout: &Layout) {
        for tile in self.tiles.clone() {
            state.links[tile as usize] = self.links(PeIdx(tile), layout);
        }
        for pe in &self.pes {
            let at = pe.tile.0 as usize;
            state.sram[at] = self.memory[pe.memory.sram()].to_vec();
            let regs = &self.memory[pe.memory.regs()];
            state.regs[at][..regs.len()].copy_from_slice(regs);
            if let Some(void) = state.void.get_mut(at) {
                *void = pe.void;
            }
            state.pes[at] = pe.counters;
        }
    }
}
