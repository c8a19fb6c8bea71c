//! The events of a run, gone through once in the order of their cycles.

use super::fifo::{Fifo, Link, Place};
use crate::observe::{Event, Wavelet, What};
use crate::run::HostScript;
use fabric::{PeIdx, Port, Ports, WaferImage};
use pe_isa::semantics::pop_switch_command;
use pe_isa::{Color, Cycle, Cycles, Ratio};
use std::collections::BTreeMap;

/// Findings after which the others are left out.
const FINDINGS: usize = 20;

/// How many wavelets of a color there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Balance {
    /// Put by PEs or entered by the host.
    pub(super) injected: u64,
    /// Made by multicasts: one less than the outputs, each time.
    pub(super) copies: u64,
    /// Taken by PEs, or sent to the host.
    pub(super) delivered: u64,
}

/// What the events of a tile come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Cycles that steps hold the datapath.
    pub(super) busy: u64,
    /// The datapath is free from here on.
    pub(super) free: Cycle,
    pub(super) put: u64,
    pub(super) taken: u64,
    /// Wavelets sent through each output.
    pub(super) sent: [u64; 5],
}

/// The books.
pub(super) struct Replay<'a> {
    image: &'a WaferImage,
    script: &'a HostScript,
    pub(super) fifos: BTreeMap<Place, Fifo>,
    links: BTreeMap<(PeIdx, Port), Link>,
    /// The rate of what the host sends, and how much that was; by port of the image.
    lanes: Vec<(Link, usize)>,
    pub(super) colors: BTreeMap<Color, Balance>,
    pub(super) tallies: Vec<Tally>,
    /// What is on its way to the host or there: cycle, port, payload.
    pub(super) to_host: Vec<(Cycle, usize, u32)>,
    pub(super) broken: Vec<String>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(image: &'a WaferImage, script: &'a HostScript) -> Replay<'a> {
        Replay {
            image,
            script,
            fifos: BTreeMap::new(),
            links: BTreeMap::new(),
            lanes: vec![(Link::default(), 0); image.host_in.len()],
            colors: BTreeMap::new(),
            tallies: vec![Tally::default(); image.tiles.len()],
            to_host: Vec::new(),
            broken: Vec::new(),
        }
    }

    fn check(&mut self, t: Cycle, place: impl std::fmt::Display, result: Result<(), String>) {
        match result {
            Err(what) if self.broken.len() < FINDINGS => {
                self.broken.push(format!("cycle {t}, {place}: {what}"));
            }
            _ => {}
        }
    }

    /// Goes through events that are sorted by their cycles.
    pub(super) fn all(&mut self, events: &[Event]) {
        for &Event { cycle: t, tile, what } in events {
            match what {
                What::Step { cycles } => self.step(t, tile, cycles),
                What::Enter { port, wavelet } => self.enter(t, tile, port, wavelet),
                What::Put { wavelet, leaves } => {
                    self.tallies[tile.0 as usize].put += 1;
                    self.balance(wavelet).injected += 1;
                    let free = self.tallies[tile.0 as usize].free;
                    if free != leaves {
                        let what =
                            format!("a wavelet is put until {leaves}, the step ends at {free}");
                        self.check(t, Place::Output(tile, wavelet.color), Err(what));
                    }
                    self.claim(t, Some(leaves), Place::Output(tile, wavelet.color), wavelet);
                }
                What::Rise { wavelet } => self.rise(t, tile, wavelet),
                What::Fire { from, to, wavelet } => self.fire(t, tile, (from, to), wavelet),
                What::Take { wavelet } => {
                    self.tallies[tile.0 as usize].taken += 1;
                    self.balance(wavelet).delivered += 1;
                    self.leave(t, Place::Input(tile, wavelet.color), wavelet);
                }
            }
        }
    }

    /// P-1: steps do not overlap, so that no cycle is held twice.
    fn step(&mut self, t: Cycle, tile: PeIdx, cycles: u64) {
        let tally = &mut self.tallies[tile.0 as usize];
        let held = tally.free;
        tally.busy += cycles;
        tally.free = t + Cycles(cycles);
        if held > t {
            let what = format!("a step begins while another one holds the datapath until {held}");
            self.check(t, format!("PE {}", tile.0), Err(what));
        }
    }

    /// H-1.
    fn enter(&mut self, t: Cycle, tile: PeIdx, port: Port, wavelet: Wavelet) {
        self.balance(wavelet).injected += 1;
        let place = Place::Router(tile, port, wavelet.color);
        let mut lanes = self.image.host_in.iter();
        let lane = lanes.position(|h| (h.tile, h.port, h.color) == (tile, port, wavelet.color));
        let Some(lane) = lane else {
            return self.check(t, place, Err("the host has no port here".to_string()));
        };
        let (link, sent) = &mut self.lanes[lane];
        let rate = link.depart(t, self.image.machine.fabric.link_cycles);
        let next = self.script.ports.get(lane).and_then(|script| script.get(*sent));
        *sent += 1;
        self.check(t, place, rate);
        let as_told = next.is_some_and(|next| {
            next.cycle <= t && (next.control, next.payload) == (wavelet.control, wavelet.payload)
        });
        if !as_told {
            self.check(t, place, Err("the host sends what its script does not say".to_string()));
        }
        self.claim(t, None, place, wavelet);
    }

    ///
    fn rise(&mut self, t: Cycle, tile: PeIdx, wavelet: Wavelet) {
        let place = Place::Output(tile, wavelet.color);
        self.leave(t, place, wavelet);
        self.claim(t, None, Place::Router(tile, Port::Ramp, wavelet.color), wavelet);
    }

    /// A-3, L-1, S-3, H-2.
    fn fire(&mut self, t: Cycle, tile: PeIdx, (from, to): (Port, Ports), mut wavelet: Wavelet) {
        let color = wavelet.color;
        let place = Place::Router(tile, from, color);
        let route = self.image.routes(tile).and_then(|set| set.get(color));
        let positions = route.map_or(&[][..], |route| &route.positions);
        if !positions.iter().any(|position| (position.rx, position.tx) == (from, to)) {
            let what = format!("goes to {to}, as no position of the route does");
            self.check(t, place, Err(what));
        }
        self.leave(t, place, wavelet);
        if wavelet.control && positions.len() > 1 {
            wavelet.payload = pop_switch_command(wavelet.payload, 0, positions.len() as u8).1;
        }
        self.balance(wavelet).copies += (to.iter().count() as u64).saturating_sub(1);
        for port in to.iter() {
            self.tallies[tile.0 as usize].sent[port.index()] += 1;
            self.depart(t, tile, port);
            let (here, machine) = (self.image.coord(tile), &self.image.machine);
            let next = here.neighbour(port, machine.width, machine.height);
            match next {
                _ if port == Port::Ramp => {
                    self.claim(t, None, Place::Input(tile, color), wavelet);
                }
                Some(next) => {
                    let next = self.image.index(next);
                    self.claim(t, None, Place::Router(next, port.opposite(), color), wavelet);
                }
                None => {
                    self.balance(wavelet).delivered += 1;
                    let delay = machine.fabric.hop_cycles + machine.host_latency_cycles();
                    let mut ports = self.image.host_out.iter();
                    let at = ports.position(|h| (h.tile, h.port, h.color) == (tile, port, color));
                    self.to_host.push((
                        t + Cycles(delay),
                        at.unwrap_or(usize::MAX),
                        wavelet.payload,
                    ));
                }
            }
        }
    }

    fn depart(&mut self, t: Cycle, tile: PeIdx, port: Port) {
        let one = Ratio::new(1, 1).expect("1/1 is a ratio");
        let rate = if port == Port::Ramp { one } else { self.image.machine.fabric.link_cycles };
        let result = self.links.entry((tile, port)).or_default().depart(t, rate);
        self.check(t, format!("router {}, output {port}", tile.0), result);
    }

    fn balance(&mut self, wavelet: Wavelet) -> &mut Balance {
        self.colors.entry(wavelet.color).or_default()
    }

    /// `from`: when it can be the head, where the FIFO's latency does not say so.
    fn claim(&mut self, t: Cycle, from: Option<Cycle>, place: Place, wavelet: Wavelet) {
        let result = match self.fifo(place) {
            Some(fifo) => fifo.claim(t, from.unwrap_or(t + Cycles(fifo.latency)), wavelet),
            None => Err("there is no such FIFO".to_string()),
        };
        self.check(t, place, result);
    }

    fn leave(&mut self, t: Cycle, place: Place, wavelet: Wavelet) {
        let result = match self.fifo(place) {
            Some(fifo) => fifo.leave(t, wavelet),
            None => Err("there is no such FIFO".to_string()),
        };
        self.check(t, place, result);
    }

    fn fifo(&mut self, place: Place) -> Option<&mut Fifo> {
        use std::collections::btree_map::Entry;
        match self.fifos.entry(place) {
            Entry::Occupied(found) => Some(found.into_mut()),
            Entry::Vacant(free) => Some(free.insert(Fifo::at(self.image, place)?)),
        }
    }
}
