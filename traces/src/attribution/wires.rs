//! Why a wavelet moved when it did: it had come, there was room, its outputs were free and within their rates.

use super::sites::Site;
use super::tree::{Category, Moment};
use super::{Attributor, Latest};
use fabric::{PeIdx, Port, Ports};
use pe_isa::Ratio;
use sim_core::Wavelet;

/// One a cycle.
fn each_cycle() -> Ratio {
    Ratio::new(1, 1).expect("1/1 is a ratio")
}

impl Attributor<'_> {
    /// Rule H-1.
    pub(super) fn enter(&mut self, t: u64, tile: PeIdx, port: Port, wavelet: Wavelet) {
        let mut ports = self.image.host_in.iter();
        let key = (tile, port, wavelet.color);
        let lane = ports.position(|h| (h.tile, h.port, h.color) == key);
        let site = self.sites.router(tile, port, wavelet.color);
        let (Some(lane), Some(site)) = (lane, site) else { return };
        let rate = self.image.machine.fabric.link_cycles;
        let at = self.lanes[lane].0;
        let stands = self.sent.script.ports.get(lane).and_then(|port| port.get(at));
        let stands = stands.map_or(t, |wavelet| wavelet.cycle.0);
        let cause = self.sent.causes.get(lane).and_then(|causes| *causes.get(at)?);
        let cause = cause.and_then(|key| *self.received.get(&key)?).unwrap_or(Moment::START);
        // Its way from the host belongs to no PE.
        let cause = self.tree.extend_at(cause, (Category::Host, 0), stands.min(t));
        let mut latest = Latest::new(t, stands, cause, Category::Host);
        for (due, from, _) in self.lanes[lane].1.earliest(rate).into_iter().flatten() {
            latest.offer(due, from, Category::Wire);
        }
        self.offer_slot(&mut latest, site, self.image.machine.fabric.credit_cycles);
        self.arbitrated += latest.rest();
        let entered = latest.end(&mut self.tree, Category::Queue);
        self.lanes[lane].0 += 1;
        self.lanes[lane].1.depart(rate, entered, 0);
        self.fifos[site.fifo as usize].claim(site.capacity, entered);
    }

    /// Rule R-1.
    pub(super) fn rise(&mut self, t: u64, tile: PeIdx, wavelet: Wavelet) {
        let from = self.sites.output(tile, wavelet.color);
        let to = self.sites.router(tile, Port::Ramp, wavelet.color);
        let (Some(from), Some(to)) = (from, to) else { return };
        let Some(put) = self.fifos[from.fifo as usize].head() else { return };
        let ramp = self.pe_at[tile.0 as usize] as usize;
        let mut latest = Latest::new(t, put.cycle, put, Category::Wire);
        let [last, _] = self.ramps[ramp].earliest(each_cycle());
        if let Some((due, moment, fifo)) = last {
            latest.offer(due, moment, rival(fifo, from));
        }
        self.offer_slot(&mut latest, to, 1);
        self.arbitrated += latest.rest();
        let risen = latest.end(&mut self.tree, Category::Queue);
        self.fifos[from.fifo as usize].leave(risen);
        self.ramps[ramp].depart(each_cycle(), risen, from.fifo);
        self.fifos[to.fifo as usize].claim(to.capacity, risen);
    }

    /// Rules, L-1, L-2, S-2.
    pub(super) fn fire(
        &mut self,
        t: u64,
        tile: PeIdx,
        (from, to): (Port, Ports),
        wavelet: Wavelet,
    ) {
        let color = wavelet.color;
        let Some(site) = self.sites.router(tile, from, color) else { return };
        let Some(sent) = self.fifos[site.fifo as usize].head() else { return };
        let mut latest = self.arrival(t, (from, to), site, sent);
        let positions = self.image.routes(tile).and_then(|set| set.get(color));
        let is_switched = positions.is_some_and(|route| route.positions.len() > 1);
        if let Some(&switched) = self.switches.get(&(tile, color)).filter(|_| is_switched) {
            latest.offer(switched.cycle + 1, switched, Category::Queue);
        }
        for port in to.iter() {
            let departures = self.outputs[self.output(tile, port)].earliest(self.rate(port));
            for (due, moment, fifo) in departures.into_iter().flatten() {
                latest.offer(due, moment, rival(fifo, site));
            }
        }
        for port in to.iter() {
            if let Some((next, delay)) = self.behind(tile, port, wavelet) {
                self.offer_slot(&mut latest, next, delay);
            }
        }
        self.arbitrated += latest.rest();
        let fired = latest.end(&mut self.tree, Category::Queue);
        self.fifos[site.fifo as usize].leave(fired);
        if wavelet.control && is_switched {
            self.switches.insert((tile, color), fired);
        }
        for port in to.iter() {
            let (at, rate) = (self.output(tile, port), self.rate(port));
            self.outputs[at].depart(rate, fired, site.fifo);
            match self.behind(tile, port, wavelet) {
                Some((next, _)) => {
                    self.fifos[next.fifo as usize].claim(next.capacity, fired);
                }
                None => self.leave_wafer(t, tile, port, wavelet, fired),
            }
        }
    }

    /// When the head of a router's FIFO could be sent as far as its way there and the turn are concerned.
    fn arrival(&self, t: u64, (from, to): (Port, Ports), site: Site, sent: Moment) -> Latest {
        let (fabric, pe) = (&self.image.machine.fabric, &self.image.machine.pe);
        let latency = if from == Port::Ramp { pe.ramp_cycles } else { fabric.hop_cycles };
        let mut due = sent.cycle + latency;
        let bends =
            from != Port::Ramp && to.iter().any(|p| p != Port::Ramp && p != from.opposite());
        if bends && fabric.turn_cycles > 0 {
            let last = self.fifos[site.fifo as usize].last();
            if last.is_none_or(|last| last.cycle + fabric.turn_cycles < due) {
                due += fabric.turn_cycles;
            }
        }
        Latest::new(t, due, sent, Category::Wire)
    }

    /// Rule H-2.
    fn leave_wafer(&mut self, t: u64, tile: PeIdx, port: Port, wavelet: Wavelet, fired: Moment) {
        let machine = &self.image.machine;
        let edge = t + machine.fabric.hop_cycles;
        let arrival = edge + machine.host_latency_cycles();
        let mut ports = self.image.host_out.iter();
        let key = (tile, port, wavelet.color);
        let Some(at) = ports.position(|h| (h.tile, h.port, h.color) == key) else { return };
        if let Some(slot) = self.received.get_mut(&(pe_isa::Cycle(arrival), at)) {
            let edge = self.tree.extend(fired, Category::Wire, edge);
            *slot = Some(self.tree.extend_at(edge, (Category::Host, 0), arrival));
        }
    }

    /// The FIFO behind an output, and its credit delay; none beyond the edge.
    fn behind(&self, tile: PeIdx, port: Port, wavelet: Wavelet) -> Option<(Site, u64)> {
        if port == Port::Ramp {
            return Some((self.sites.input(tile, wavelet.color)?, 1));
        }
        let machine = &self.image.machine;
        let next = self.image.coord(tile).neighbour(port, machine.width, machine.height)?;
        let site = self.sites.router(self.image.index(next), port.opposite(), wavelet.color)?;
        Some((site, machine.fabric.credit_cycles))
    }

    fn output(&self, tile: PeIdx, port: Port) -> usize {
        self.first_output[tile.0 as usize] as usize + port.index()
    }

    fn rate(&self, port: Port) -> Ratio {
        if port == Port::Ramp { each_cycle() } else { self.image.machine.fabric.link_cycles }
    }

    /// Rule F-1.
    pub(super) fn offer_slot(&self, latest: &mut Latest, site: Site, delay: u64) {
        if let Some(left) = self.fifos[site.fifo as usize].slot(site.capacity) {
            latest.offer(left.cycle + delay, left, Category::Queue);
        }
    }
}

/// What waiting behind a departure from `fifo` is to one from `own`: the rate, or another that went first.
fn rival(fifo: u32, own: Site) -> Category {
    if fifo == own.fifo { Category::Wire } else { Category::Queue }
}
