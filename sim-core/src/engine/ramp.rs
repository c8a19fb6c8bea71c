//! The fabric's ends: the output queues of PEs (rule R-1) and the host (rules H-1, H-2).

use super::fifo::{Marks, Room, Wavelet};
use super::net::{Gate, Net, ToHost};
use super::watch::Noted;
use super::wheel::Actor;
use crate::run::HostWavelet;
use std::collections::VecDeque;

/// A port through which the host sends.
#[derive(Debug, Clone)]
pub(super) struct HostIn {
    /// Its index among all ports of the image.
    pub(super) port: usize,
    /// The mesh FIFO of the edge router.
    pub(super) fifo: u32,
    /// Keeps the rate of the port.
    pub(super) link: u32,
    /// What is still to be sent.
    pub(super) script: VecDeque<HostWavelet>,
}

impl Net {
    /// A step puts a wavelet into the output queue `queue`, behind which `up` lies; it can leave from
    /// `leaves` on, the end of the step (rule F-5).
    #[inline]
    pub(super) fn enqueue(
        &mut self,
        pe: u32,
        queue: u32,
        up: u32,
        leaves: u64,
        payload: u32,
        marks: Marks,
    ) {
        let tick = (leaves - self.epoch) as u32;
        if self.watched {
            self.note(queue, Noted::Put(leaves), payload, marks);
        }
        self.fifos.push(queue, Wavelet { arrival: tick, payload, marks });
        let gate = &mut self.gates[pe as usize];
        gate.queued += 1;
        if gate.queued > 1 {
            self.wake(Actor::ramp(pe), leaves);
            return;
        }
        // The queues hold nothing else, and no step can fill them before this one has ended. So
        // where the up FIFO is known to have room by then, the departure is certain already.
        match self.fifos.room(up) {
            Room::From(from) if from <= tick => {
                gate.queued = 0;
                gate.pass((queue - gate.outs) as u8);
                if self.watched {
                    self.note_rise(queue, leaves, payload, marks);
                }
                // Nobody waits for the slot: the PE has just stepped.
                self.fifos.pop(queue, tick);
                self.send(up, tick, payload, marks);
            }
            _ => self.wake(Actor::ramp(pe), leaves),
        }
    }

    /// A visit of the output queues of a PE.
    pub(super) fn visit_ramp(&mut self, pe: u32) {
        let gate = &mut self.gates[pe as usize];
        if gate.ramp_next != self.now {
            return;
        }
        gate.ramp_next = u64::MAX;
        let (first, count, cursor) = (gate.outs, gate.out_count, gate.out_cursor);
        let now = self.tick();
        for rank in (cursor..count).chain(0..cursor) {
            let queue = first + u32::from(rank);
            let Some(head) = self.fifos[queue].head() else { continue };
            let up = self.fifos[queue].up();
            let room = matches!(self.fifos.room(up), Room::From(from) if from <= now);
            if head.arrival <= now && room {
                if self.watched {
                    self.note_head(queue, Noted::Rise);
                }
                self.pop(queue);
                self.send(up, now, head.payload, head.marks);
                let gate = &mut self.gates[pe as usize];
                gate.queued -= 1;
                gate.pass(rank);
                break;
            }
        }
        for queue in first..first + u32::from(count) {
            let Some(head) = self.fifos[queue].head() else { continue };
            let up = self.fifos[queue].up();
            match self.fifos.room(up) {
                Room::Full => self.fifos.wait(up, Actor::ramp(pe)),
                Room::From(from) => {
                    let when = self.cycle(from.max(head.arrival)).max(self.now + 1);
                    self.wake(Actor::ramp(pe), when);
                }
            }
        }
    }

    /// Rule H-2. Kept sorted by cycle and port (rule H-3): all of one cycle have one arrival.
    #[inline(never)]
    pub(super) fn send_to_host(&mut self, port: u32, payload: u32) {
        let cycle = self.now + self.host_cycles;
        self.activity = self.activity.max(cycle);
        let wavelet = ToHost { cycle, port, payload };
        let at = self.to_host.partition_point(|w| *w < wavelet);
        self.to_host.insert(at, wavelet);
    }

    /// The host sends one more wavelet through a port (rule H-4), at a later cycle than this. Returns whether the port
    /// has to be visited then; else it is known that it has something to send.
    pub(super) fn send_later(&mut self, at: u32, wavelet: HostWavelet) -> bool {
        let script = &mut self.host_in[at as usize].script;
        let is_first = script.is_empty();
        script.push_back(wavelet);
        if is_first {
            self.wheel.at(wavelet.cycle.0, Actor::host_in(at));
        }
        is_first
    }

    /// A visit of a host port: sends its next wavelet if the edge takes it.
    pub(super) fn visit_host_in(&mut self, at: u32) {
        let now = self.tick();
        let (fifo, link) = (self.host_in[at as usize].fifo, self.host_in[at as usize].link);
        let next = self.host_in[at as usize].script.front().copied();
        let wavelet = next.expect("a port is visited while it has wavelets");
        let room = match self.fifos.room(fifo) {
            Room::Full => return self.fifos.wait(fifo, Actor::host_in(at)),
            Room::From(from) => from,
        };
        let from = self.cycle(room.max(self.links.next(link)));
        let from = from.max(wavelet.cycle.0);
        if from > self.now {
            return self.wheel.at(from, Actor::host_in(at));
        }
        let marks = Marks::of_host(wavelet.control);
        if self.watched {
            self.note(fifo, Noted::Enter, wavelet.payload, marks);
        }
        self.links.depart(link, now);
        self.send(fifo, now, wavelet.payload, marks);
        self.host_in[at as usize].script.pop_front();
        if let Some(next) = self.host_in[at as usize].script.front() {
            let when = next.cycle.0.max(self.now + 1);
            self.wheel.at(when, Actor::host_in(at));
        }
    }
}

impl Gate {
    /// The cursor moves past the output queue `rank`.
    #[inline]
    fn pass(&mut self, rank: u8) {
        self.out_cursor = if rank + 1 == self.out_count { 0 } else { rank + 1 };
    }
}
