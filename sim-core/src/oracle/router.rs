//! Routers and the wafer's edge: rules A, L, S, H.

use super::fifo::{Fifo, Key, Link, Wavelet};
use super::{Contention, Decided, Wafer};
use crate::observe::What;
use fabric::{PeIdx, Port, Ports, WaferImage};
use pe_isa::semantics::pop_switch_command;
use pe_isa::{Color, Cycle, Cycles, Ratio, Word};
use std::collections::BTreeMap;

/// One router.
#[derive(Debug)]
pub(super) struct Router {
    /// F-2, F-3: one FIFO per input port and color in use.
    pub(super) fifos: BTreeMap<Key, Fifo>,
    /// S-1: the selected position of each color.
    pub(super) selected: BTreeMap<Color, u8>,
    /// a key number.
    cursor: usize,
    /// L-1: the outputs, by port.
    links: [Link; 5],
}

/// What a router does in one cycle.
#[derive(Debug, Default)]
pub(super) struct Firing {
    /// The FIFOs whose heads go, and where to.
    pub(super) fired: Vec<(Key, Ports)>,
    ///
    cursor: Option<usize>,
    pub(super) held: Contention,
}

/// the number of a key.
fn number(key: Key) -> usize {
    key.0.index() * 32 + usize::from(key.1.0)
}

impl Router {
    pub(super) fn new(image: &WaferImage, at: usize) -> Router {
        let (fabric, pe) = (&image.machine.fabric, &image.machine.pe);
        let mut fifos = BTreeMap::new();
        let mut selected = BTreeMap::new();
        let set = image.routes(PeIdx(at as u32));
        for route in set.iter().flat_map(|set| &set.routes) {
            selected.insert(route.color, 0); // S-1
            for port in route.receives().iter() {
                let depth = u64::from(fabric.queue_depth);
                let fifo = if port == Port::Ramp {
                    // F-3
                    Fifo::new(route.color, depth + pe.ramp_cycles, pe.ramp_cycles, 1)
                } else {
                    // F-2
                    Fifo::new(route.color, depth, fabric.hop_cycles, fabric.credit_cycles)
                };
                fifos.insert((port, route.color), fifo);
            }
        }
        let one = Ratio::new(1, 1).expect("1/1 is a ratio");
        let links = Port::ALL.map(|port| match port {
            Port::Ramp => Link::new(one),
            _ => Link::new(fabric.link_cycles),
        });
        Router { fifos, selected, cursor: 0, links }
    }

    /// A-2, L-2: where the head of a FIFO wants to go, if it is a candidate.
    fn candidate(&self, wafer: &Wafer, at: usize, key: Key, t: Cycle) -> Option<Ports> {
        let (port, color) = key;
        let fifo = &self.fifos[&key];
        let (arrival, _) = fifo.head(t)?;
        let route = wafer.image.routes(PeIdx(at as u32))?.get(color)?;
        let position = route.positions[usize::from(self.selected[&color])];
        if position.rx != port {
            return None;
        }
        let turn = Cycles(wafer.image.machine.fabric.turn_cycles);
        let straight = Ports::one(port.opposite()).with(Port::Ramp);
        let bends = port != Port::Ramp && position.tx.iter().any(|tx| !straight.contains(tx));
        let in_burst = fifo.last_left.is_some_and(|left| left + turn >= arrival);
        if turn.0 > 0 && bends && !in_burst && t < arrival + turn {
            return None;
        }
        Some(position.tx)
    }

    ///
    pub(super) fn decide(&self, wafer: &Wafer, at: usize, t: Cycle) -> Firing {
        let mut firing = Firing::default();
        let mut closed = Ports::NONE; // taken or reserved in this cycle
        let mut lost_to: Option<usize> = None;
        let keys = || self.fifos.keys().copied();
        let from_cursor = keys().filter(|&key| number(key) >= self.cursor);
        let wrapped = keys().filter(|&key| number(key) < self.cursor);
        for key in from_cursor.chain(wrapped) {
            let Some(tx) = self.candidate(wafer, at, key, t) else {
                continue;
            };
            if !tx.iter().all(|out| wafer.has_slot(at, out, key.1, t)) {
                firing.held.by_slot += 1;
                continue; // reserves nothing
            }
            let in_rate = tx.iter().all(|out| self.links[out.index()].has_rate(t));
            if in_rate && !tx.intersects(closed) {
                firing.fired.push((key, tx));
            } else {
                firing.held.by_output += 1;
                let winner = firing.fired.iter().position(|(_, taken)| taken.intersects(tx));
                lost_to = lost_to.into_iter().chain(winner).min();
            }
            closed = closed.union(tx);
        }
        firing.cursor = lost_to.map(|place| number(firing.fired[place].0) + 1);
        firing
    }
}

/// Carries out what a router decided.
pub(super) fn fire(wafer: &mut Wafer, at: usize, firing: &Firing, t: Cycle) {
    if let Some(cursor) = firing.cursor {
        wafer.routers[at].cursor = cursor;
    }
    for &(key, tx) in &firing.fired {
        let (_, color) = key;
        let router = &mut wafer.routers[at];
        let fifo = router.fifos.get_mut(&key).expect("a decision saw it");
        let mut wavelet = fifo.pop(t, &mut wafer.clock);
        let head = wavelet;
        let route = wafer.image.routes(PeIdx(at as u32));
        let positions = route.and_then(|set| set.get(color)).map_or(1, |r| r.positions.len());
        if wavelet.control && positions > 1 {
            // S-2, S-3
            let now = router.selected[&color];
            let commands = wavelet.payload.bits().expect("D-3: switch commands are known");
            let (next, payload) = pop_switch_command(commands, now, positions as u8);
            router.selected.insert(color, next);
            wavelet.payload = Word::known(payload);
        }
        for out in tx.iter() {
            router.links[out.index()].depart(t, &mut wafer.clock);
            wafer.state.links[at][out.index()] += 1;
        }
        wafer.saw(t, at, What::Fire { from: key.0, to: tx, wavelet: head.of(color) });
        for out in tx.iter() {
            deliver(wafer, at, out, color, wavelet, t);
        }
    }
}

/// A wavelet leaves router `at` through `out` at `t`.
fn deliver(wafer: &mut Wafer, at: usize, out: Port, color: Color, wavelet: Wavelet, t: Cycle) {
    if out == Port::Ramp {
        let pe = wafer.pes[at].as_mut().expect("lint: the ramp has a PE");
        let queue = pe.program.in_queue(color).expect("lint: a queue is bound");
        pe.input(queue.0).push(t, wavelet, &mut wafer.clock); // F-4
    } else if let Some(next) = wafer.neighbour(at, out) {
        push_mesh(wafer, next, (out.opposite(), color), wavelet, t);
    } else {
        // H-2
        let machine = &wafer.image.machine;
        let arrival = t + Cycles(machine.fabric.hop_cycles) + Cycles(machine.host_latency_cycles());
        let port = wafer.host_port(at, out, color);
        wafer.to_host.insert((arrival, port), wavelet.payload.bits().unwrap_or(0)); // D-5
        wafer.clock.activity(arrival);
    }
}

/// A wavelet is sent into a mesh FIFO at `t`.
fn push_mesh(wafer: &mut Wafer, at: usize, key: Key, wavelet: Wavelet, t: Cycle) {
    let fabric = &wafer.image.machine.fabric;
    let fifo = wafer.routers[at].fifos.get_mut(&key);
    let fifo = fifo.expect("lint: the neighbour receives the color");
    fifo.push(t, wavelet, &mut wafer.clock); // F-2
    // L-2: the cycle at which it may become a candidate.
    let delay = Cycles(fabric.hop_cycles) + Cycles(fabric.turn_cycles);
    wafer.clock.timer(t + delay);
}

/// A port through which the host sends.
#[derive(Debug)]
pub(super) struct HostLane {
    tile: usize,
    key: Key,
    link: Link,
    /// Wavelets of the script that have departed.
    pub(super) sent: usize,
}

impl HostLane {
    pub(super) fn new(image: &WaferImage, port: &fabric::HostIn) -> HostLane {
        HostLane {
            tile: port.tile.0 as usize,
            key: (port.port, port.color),
            link: Link::new(image.machine.fabric.link_cycles),
            sent: 0,
        }
    }

    /// H-1: whether the next wavelet of the script departs at `t`.
    pub(super) fn decide(&self, wafer: &Wafer, port: usize, t: Cycle) -> bool {
        let next = wafer.script(port).get(self.sent);
        let fifo = &wafer.routers[self.tile].fifos[&self.key];
        next.is_some_and(|w| w.cycle <= t) && self.link.has_rate(t) && fifo.has_slot(t)
    }
}

/// H-1: the next wavelet of a host port departs.
pub(super) fn send_from_host(wafer: &mut Wafer, port: usize, t: Cycle) {
    let lane = &mut wafer.lanes[port];
    let next = wafer.script[port][lane.sent];
    lane.sent += 1;
    lane.link.depart(t, &mut wafer.clock);
    let payload = Word::known(next.payload); // D-5
    let wavelet = Wavelet { control: next.control, payload };
    let (tile, key) = (lane.tile, lane.key);
    wafer.saw(t, tile, What::Enter { port: key.0, wavelet: wavelet.of(key.1) });
    push_mesh(wafer, tile, key, wavelet, t);
}

impl Decided {
    /// Whether the tile does nothing in this cycle.
    pub(super) fn is_nothing(&self) -> bool {
        self.firing.fired.is_empty() && self.pe.is_nothing()
    }
}
