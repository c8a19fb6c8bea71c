//! Cells: an engine for some of a wafer's tiles, with wires that lead beyond them.
//!
//! A wire that leaves a cell ends in a proxy, and one that comes in tells of each wavelet that has left its first FIFO, as between
//! [domains](super::edge). What crosses the border is handed out after each cycle, and is taken in after the same cycle
//! on the other side.

use super::Engine;
use super::domain::Domain;
use super::edge::{Beyond, Crossing, Message};
use super::elaborate::{self, Cut};
use super::net::ToHost;
use super::threads::Threads;
use crate::observe::NoObserver;
use crate::run::{Data, HostWavelet, PeCounters};
use fabric::{PeCoord, PeIdx, Port, WaferImage};
use pe_isa::Color;
use std::hash::{Hash, Hasher};

/// A wire over the border of a cell, by its end within: the tile, and the port and color through which wavelets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Gateway {
    pub(crate) tile: PeIdx,
    pub(crate) port: Port,
    pub(crate) color: Color,
}

/// The border of a cell. Its *ways* are its outlets, ascending, then its inlets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Border {
    /// Where wires leave it, ascending.
    pub(crate) outlets: Vec<Gateway>,
    /// Where they come in.
    pub(crate) inlets: Vec<Gateway>,
    /// The wafer's tile that is tile (0, 0) here.
    pub(crate) origin: PeCoord,
}

impl Border {
    /// The way of an outlet.
    pub(super) fn outlet(&self, gateway: Gateway) -> Option<u32> {
        self.outlets.binary_search(&gateway).ok().map(|at| at as u32)
    }
}

/// What has crossed the border of a cell through one of its ways: a wavelet, or the credit for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Crossed {
    pub(crate) way: u32,
    what: Crossing,
}

impl Crossed {
    /// The same, at the other side's name of the way.
    pub(crate) fn through(self, way: u32) -> Crossed {
        Crossed { way, ..self }
    }
}

/// The counters of all PEs and routers of some tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Of all PEs (rules ).
    pub pes: PeCounters,
    /// Wavelets sent, by output port (rule X-2).
    pub links: [u64; 5],
}

impl Totals {
    /// Adds `times` times what `other` counts.
    pub(crate) fn add(&mut self, other: &Totals, times: u64) {
        self.combine(other, |sum, more| *sum += more * times);
    }

    /// What was counted since `earlier`.
    pub(crate) fn since(&self, earlier: &Totals) -> Totals {
        let mut rest = *self;
        rest.combine(earlier, |all, before| *all -= before);
        rest
    }

    fn combine(&mut self, other: &Totals, with: impl Fn(&mut u64, u64)) {
        let Totals { pes, links } = self;
        let cycles = &mut pes.cycles;
        let counts = [&mut pes.instructions, &mut pes.fabric_steps, &mut pes.busy_cycles];
        let queues = [&mut pes.launches, &mut pes.wavelets_in, &mut pes.wavelets_out];
        let waits = [&mut cycles.waiting_input, &mut cycles.waiting_output];
        let spent = [&mut cycles.working, &mut cycles.launching, &mut cycles.idle];
        let mine = counts.into_iter().chain(queues).chain(waits).chain(spent).chain(links);
        mine.zip(other.numbers()).for_each(|(mine, other)| with(mine, other));
    }

    /// All of them, in one order.
    pub(crate) fn numbers(&self) -> [u64; 16] {
        let Totals { pes, links } = self;
        let cycles = &pes.cycles;
        let [north, east, south, west, ramp] = *links;
        [
            pes.instructions,
            pes.fabric_steps,
            pes.busy_cycles,
            pes.launches,
            pes.wavelets_in,
            pes.wavelets_out,
            cycles.waiting_input,
            cycles.waiting_output,
            cycles.working,
            cycles.launching,
            cycles.idle,
            north,
            east,
            south,
            west,
            ramp,
        ]
    }

    /// Wavelets sent through mesh outputs.
    pub fn wavelet_hops(&self) -> u64 {
        self.links[..4].iter().sum()
    }
}

impl Engine {
    /// Elaborates a cell, whose tiles are those of `image`.
    pub(crate) fn load_cell(image: &WaferImage, data: Data, border: &Border) -> Engine {
        let (layout, domains) = elaborate::elaborate(image, data, Cut::For(1), Some(border));
        let threads = Threads::new(1, domains.len());
        let host_latency = image.machine.host_latency_cycles();
        let mut engine =
            Engine { layout, domains, threads, host_latency, data, now: 0, started: true };
        engine.domains[0].look_ahead();
        engine
    }

    /// The first cycle with something to do.
    pub(crate) fn next_cycle(&self) -> Option<u64> {
        self.next()
    }

    /// The last cycle of its activity, by what is known (rule E-1).
    pub(crate) fn active_until(&self) -> u64 {
        self.activity().max(self.now)
    }

    /// All decisions of cycle `now`, before which there is nothing to do. Adds to `out` what crosses the border. False where a
    /// PE traps.
    pub(crate) fn step(&mut self, now: u64, out: &mut Vec<Crossed>) -> bool {
        self.go_to(now);
        let trap = self.cycle(&mut NoObserver);
        let crossed = self.domains[0].net.outbox.drain(..);
        out.extend(crossed.map(|Message { to, what }| Crossed { way: to.fifo, what }));
        trap.is_none()
    }

    /// Takes in what has crossed the border in cycle `now`, all of whose decisions are taken.
    pub(crate) fn take(&mut self, now: u64, crossed: &[Crossed]) {
        if crossed.is_empty() {
            return;
        }
        self.go_to(now);
        let domain = &mut self.domains[0];
        for crossed in crossed {
            let fifo = self.layout.ways[crossed.way as usize];
            domain.receive(&Message { to: Beyond { domain: 0, fifo }, what: crossed.what }, now);
        }
        domain.look_ahead();
    }

    /// Takes the wavelets that are on their way to the host, as cycle, port and payload.
    pub(crate) fn take_to_host(&mut self) -> Vec<(u64, u32, u32)> {
        let domain = &mut self.domains[0];
        if domain.net.to_host.is_empty() {
            return Vec::new();
        }
        let all = domain.net.to_host.drain(..);
        let all = all.map(|ToHost { cycle, port, payload }| (cycle, port, payload)).collect();
        domain.look_ahead();
        all
    }

    /// The host sends one more wavelet through port `port`, at a later cycle than the last one that was decided.
    pub(crate) fn send_from_host(&mut self, port: usize, wavelet: HostWavelet) {
        let domain = &mut self.domains[0];
        let at = domain.net.host_in.iter().position(|h| h.port == port);
        domain.net.send_later(at.expect("the cell has the port") as u32, wavelet);
        domain.look_ahead();
    }

    /// Brings all counters up to the beginning of cycle `now`, and adds them up.
    pub(crate) fn totals_at(&mut self, now: u64) -> Totals {
        self.end_streams();
        self.catch_up(now);
        let Engine { layout, domains, .. } = self;
        let Domain { pes, net, .. } = &mut domains[0];
        let mut totals = Totals::default();
        for pe in pes {
            pe.account(now, net, &layout.codes[pe.code as usize]);
            let beyond = net.gates[pe.index as usize].free_at.saturating_sub(now);
            let mut counters = pe.counters;
            counters.cycles.working = counters.busy_cycles - beyond;
            assert!(counters.cycles.total() == now, "the cycles of a PE add up");
            totals.pes += counters;
        }
        for tile in 0..layout.tiles.pe.len() as u32 {
            let links = domains[0].links(PeIdx(tile), layout);
            totals.links.iter_mut().zip(links).for_each(|(sum, sent)| *sum += sent);
        }
        totals
    }

    /// A name for the state of a cell that draws nothing (rule D-4), at rest, whose last decision lies so far back that no delay of the machine remembers it: equal
    /// names, equal behaviour. None where it holds more than is looked at.
    pub(crate) fn rest_name(&self) -> Option<[u8; 32]> {
        let Domain { net, pes, memory, .. } = &self.domains[0];
        let mut bytes = Bytes(Vec::new());
        if !net.fifos.hash_contents(&mut bytes) {
            return None;
        }
        for router in &net.routers {
            (router.waiting, router.cursor).hash(&mut bytes);
        }
        for switch in &net.switches {
            switch.position.hash(&mut bytes);
        }
        for gate in &net.gates {
            (gate.wanted, gate.launching, gate.controls, gate.queued, gate.out_cursor)
                .hash(&mut bytes);
        }
        for pe in pes {
            pe.hash_state(memory, &mut bytes);
        }
        Some(*blake3::hash(&bytes.0).as_bytes())
    }
}

/// What was hashed, as it was.
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn finish(&self) -> u64 {
        unreachable!("the bytes are what is asked for")
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}
