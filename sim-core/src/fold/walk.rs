//! All cells in the order of time.

use super::Folded;
use super::cells::Cut;
use super::memory::Memory;
use super::walker::{Place, Walker};
use crate::engine::{Crossed, Totals};
use crate::run::{Answers, Data, Host, HostScript, HostWavelet, Verdict};
use pe_isa::Cycle;
use std::collections::BTreeSet;

/// A run.
#[derive(Debug)]
pub(super) struct Walk {
    walkers: Vec<Walker>,
    memories: Vec<Memory>,
    /// Wavelets on their way to the host: cycle, port, payload.
    to_host: BTreeSet<(u64, usize, u32)>,
    host_latency: u64,
    /// What leaves cells in this cycle: from which, what.
    left: Vec<(usize, Crossed)>,
}

impl Walk {
    pub(super) fn new(cut: Cut, data: Data, script: &HostScript) -> Walk {
        let host_latency = cut.kinds[0].image.machine.host_latency_cycles();
        let mut memories: Vec<Memory> =
            cut.kinds.into_iter().map(|kind| Memory::new(kind, data)).collect();
        let mut led = vec![false; memories.len()];
        let walkers = cut.cells.into_iter().map(|cell| {
            let leads = !std::mem::replace(&mut led[cell.class], true);
            let place = match leads {
                true => Place::Leads { segment: 0, begun: 0 },
                false => Place::Follows { segment: 0, begun: 0, arrived: 0, departed: 0 },
            };
            let (counted, inbox) = (Totals::default(), Vec::new());
            Walker { cell, place, counted, simulated: leads, inbox }
        });
        let walkers = walkers.collect();
        for memory in &mut memories {
            let live = memory.segments[0].live.as_mut().expect("the run begins");
            for (at, &port) in memory.kind.host_in.iter().enumerate() {
                for &wavelet in script.ports.get(port).into_iter().flatten() {
                    live.engine.send_from_host(at, wavelet);
                }
            }
        }
        Walk { walkers, memories, to_host: BTreeSet::new(), host_latency, left: Vec::new() }
    }

    /// Runs until the host ends it. None where it stops otherwise.
    pub(super) fn run(mut self, host: &mut impl Host, limit: u64) -> Option<Folded> {
        loop {
            let now = self.next()?;
            if self.tell_host(now, host) == Verdict::Stop {
                return Some(self.folded(now));
            }
            if now >= limit {
                return None;
            }
            self.come_to_rest(now);
            self.simulate(now)?;
            self.replay(now);
            self.deliver(now);
        }
    }

    /// The next cycle in which something happens.
    fn next(&self) -> Option<u64> {
        let next = self.walkers.iter().filter_map(|walker| self.next_of(walker));
        next.chain(self.to_host.first().map(|&(cycle, ..)| cycle)).min()
    }

    fn next_of(&self, walker: &Walker) -> Option<u64> {
        let memory = &self.memories[walker.cell.class];
        match walker.place {
            Place::Rest { .. } => None,
            Place::Leads { segment, begun } => {
                let live = memory.segments[segment].live.as_ref().expect("it is led");
                Some(begun + live.next().or_else(|| memory.ends(segment))?)
            }
            Place::Follows { segment, begun, arrived, departed } => {
                let segment = &memory.segments[segment];
                let arrives = segment.arrivals.get(arrived).map(|a| a.0);
                let departs = segment.departures.get(departed).map(|d| d.0);
                let times = arrives.into_iter().chain(departs).chain(segment.end.map(|e| e.time));
                Some(begun + times.min()?)
            }
        }
    }

    /// Hands over the wavelets that reach the host at `now` (rule H-3), and takes its answers (rule H-4).
    fn tell_host(&mut self, now: u64, host: &mut impl Host) -> Verdict {
        while let Some(&(cycle, port, payload)) = self.to_host.first().filter(|w| w.0 == now) {
            self.to_host.pop_first();
            let mut answers = Answers::after(Cycle(cycle), self.host_latency);
            if host.receive(Cycle(cycle), port, payload, &mut answers) == Verdict::Stop {
                return Verdict::Stop;
            }
            answers.sent().iter().for_each(|&(port, wavelet)| self.send_from_host(port, wavelet));
        }
        Verdict::Continue
    }

    fn send_from_host(&mut self, port: usize, wavelet: HostWavelet) {
        for memory in &mut self.memories {
            if let Some(at) = memory.kind.host_in.iter().position(|&p| p == port) {
                let live = memory.segments[0].live.as_mut().expect("cells with a port are alone");
                return live.engine.send_from_host(at, wavelet);
            }
        }
        panic!("the image has no host port {port}");
    }

    /// Ends the segments whose time has come, first those that are led.
    fn come_to_rest(&mut self, now: u64) {
        for walker in &self.walkers {
            if let Place::Leads { segment, begun } = walker.place {
                let memory = &mut self.memories[walker.cell.class];
                if memory.ends(segment).is_some_and(|time| begun + time == now) {
                    memory.end(segment);
                }
            }
        }
        for walker in &mut self.walkers {
            let (Place::Leads { segment, begun } | Place::Follows { segment, begun, .. }) =
                walker.place
            else {
                continue;
            };
            let end = self.memories[walker.cell.class].segments[segment].end;
            if let Some(end) = end.filter(|end| begun + end.time == now) {
                walker.counted.add(&end.counted, 1);
                walker.place = Place::Rest { rest: end.rest, since: now };
            }
        }
    }

    /// Simulates cycle `now` of all segments that are led. None where a PE traps.
    fn simulate(&mut self, now: u64) -> Option<()> {
        for (at, walker) in self.walkers.iter().enumerate() {
            let Place::Leads { segment, begun } = walker.place else { continue };
            let memory = &mut self.memories[walker.cell.class];
            let live = memory.segments[segment].live.as_mut().expect("it is led");
            if live.next() != Some(now - begun) {
                continue;
            }
            let mut departures = Vec::new();
            if !live.step(now - begun, &mut departures) {
                return None;
            }
            for (cycle, port, payload) in live.engine.take_to_host() {
                self.to_host.insert((cycle, memory.kind.host_out[port as usize], payload));
            }
            self.left.extend(departures.iter().map(|&(_, crossed)| (at, crossed)));
            if !memory.is_alone() {
                memory.segments[segment].departures.append(&mut departures);
            }
        }
        Some(())
    }

    /// What leaves those that follow at `now`.
    fn replay(&mut self, now: u64) {
        for (at, walker) in self.walkers.iter_mut().enumerate() {
            let Place::Follows { segment, begun, departed, .. } = &mut walker.place else {
                continue;
            };
            let known = &self.memories[walker.cell.class].segments[*segment].departures;
            while let Some(&(_, crossed)) = known.get(*departed).filter(|d| *begun + d.0 == now) {
                *departed += 1;
                self.left.push((at, crossed));
            }
        }
    }

    /// Brings what has left cells to their neighbours: first to those that are simulated, then to those that are compared with
    /// them, then to those that begin something.
    fn deliver(&mut self, now: u64) {
        for (from, crossed) in self.left.drain(..) {
            let (to, way) = self.walkers[from].cell.peers[crossed.way as usize];
            self.walkers[to as usize].inbox.push(crossed.through(way));
        }
        let order = |place: &Place| match place {
            Place::Leads { .. } => 0,
            Place::Follows { .. } => 1,
            Place::Rest { .. } => 2,
        };
        for turn in 0..3 {
            let memories = &mut self.memories[..];
            for walker in self.walkers.iter_mut().filter(|walker| order(&walker.place) == turn) {
                let mut inbox = std::mem::take(&mut walker.inbox);
                inbox.sort_unstable();
                walker.receive(&mut memories[walker.cell.class], now, &inbox);
                inbox.clear();
                walker.inbox = inbox;
            }
        }
    }

    /// The run ends at `now`, before its decisions.
    fn folded(mut self, now: u64) -> Folded {
        let last = self.last_counts(now);
        let mut totals = Totals::default();
        let mut hash = blake3::Hasher::new();
        hash.update(b"folded");
        hash.update(&now.to_le_bytes());
        for (walker, last) in self.walkers.iter_mut().zip(last) {
            walker.counted.add(&last, 1);
            totals.add(&walker.counted, 1);
            walker.counted.numbers().iter().for_each(|n| {
                hash.update(&n.to_le_bytes());
            });
        }
        let (rest, stages) = self.walkers.split_last().expect("there is the rest of the wafer");
        debug_assert!(rest.simulated);
        Folded {
            cycle: Cycle(now),
            totals,
            stages: stages.len(),
            simulated: stages.iter().filter(|walker| walker.simulated).count(),
            instructions_simulated: self.memories.iter().map(|memory| memory.simulated).sum(),
            digest: hash.finalize().to_hex()[..32].to_string(),
        }
    }

    /// What each cell has counted by `now` since it has been where it is.
    fn last_counts(&mut self, now: u64) -> Vec<Totals> {
        let mut counts = vec![Totals::default(); self.walkers.len()];
        let mut following = Vec::new();
        for (at, walker) in self.walkers.iter().enumerate() {
            let memory = &mut self.memories[walker.cell.class];
            match walker.place {
                Place::Rest { rest, since } => {
                    counts[at].add(&memory.rest_cycle(rest), now - since)
                }
                Place::Leads { segment, begun } => {
                    let live = memory.segments[segment].live.as_mut().expect("it is led");
                    counts[at] = live.counted(now - begun);
                    memory.simulated += counts[at].pes.instructions;
                }
                Place::Follows { segment, begun, .. } => {
                    following.push((walker.cell.class, segment, now - begun, at));
                }
            }
        }
        following.sort_unstable();
        for alike in following.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let times: Vec<u64> = alike.iter().map(|&(_, _, time, _)| time).collect();
            let counted = self.memories[alike[0].0].counted(alike[0].1, &times);
            alike.iter().zip(counted).for_each(|(&(.., at), counted)| counts[at] = counted);
        }
        counts
    }
}
