//! Edges: where the wafer is cut into [domains](super::domain).
//!
//! A FIFO that a router of another domain sends into exists twice. The true one is with its receiver. With the sender
//! is a *proxy* of the same capacity and delays, which is never visited: it counts slots and credits by rule F-1, and has
//! who waits for a slot. At the end of a cycle the wavelets that went into proxies are sent into the true FIFOs, and
//! what has left those leaves their proxies, by the very operations that do it within a domain. That is in time,
//! since arrivals and credits take at least a cycle (rule T-1).

use super::domain::Domain;
use super::fifo::Marks;
use super::net::Net;
use super::wheel::Actor;
use std::collections::BTreeMap;

/// A FIFO of another domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Beyond {
    pub(super) domain: u32,
    /// Its index there.
    pub(super) fifo: u32,
}

/// What one domain tells another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    pub(super) to: Beyond,
    pub(super) what: Crossing,
}

/// What has crossed an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Crossing {
    /// A wavelet was sent into the FIFO.
    Wavelet { payload: u32, marks: Marks },
    /// The head of the FIFO, a proxy, has left.
    Credit,
}

impl Net {
    /// Tells the domain with the true FIFO that a wavelet has been sent into the proxy of edge `edge`, now.
    #[inline(never)]
    pub(super) fn cross(&mut self, edge: u32, payload: u32, marks: Marks) {
        let to = self.edges[edge as usize];
        self.outbox.push(Message { to, what: Crossing::Wavelet { payload, marks } });
    }

    /// Tells the domain with the proxy of edge `edge` that a wavelet has left the true FIFO, now.
    pub(super) fn give_credit(&mut self, edge: u32) {
        let to = self.edges[edge as usize];
        self.outbox.push(Message { to, what: Crossing::Credit });
    }

    pub(super) fn receive(&mut self, message: &Message) {
        let fifo = message.to.fifo;
        match message.what {
            Crossing::Wavelet { payload, marks } => {
                self.send(fifo, self.tick(), payload, marks);
            }
            Crossing::Credit => {
                self.pop(fifo);
            }
        }
    }
}

/// Tells each FIFO that has a proxy of it. `proxies` names the proxies of each domain.
pub(super) fn connect(domains: &mut [Domain], proxies: &[BTreeMap<Beyond, u32>]) {
    for (domain, proxies) in (0..).zip(proxies) {
        for (receiver, &proxy) in proxies {
            let net = &mut domains[receiver.domain as usize].net;
            net.fifos.await_all(receiver.fifo, Actor::edge(net.edges.len() as u32));
            net.edges.push(Beyond { domain, fifo: proxy });
        }
    }
}

/// Exchanges what has crossed edges at `now`.
#[inline(always)]
pub(super) fn exchange(domains: &mut [Domain], now: u64) {
    if domains.len() > 1 {
        exchange_among(domains, now);
    }
}

fn exchange_among(domains: &mut [Domain], now: u64) {
    for from in 0..domains.len() {
        let mut outbox = std::mem::take(&mut domains[from].net.outbox);
        for message in outbox.drain(..) {
            domains[message.to.domain as usize].receive(&message, now);
        }
        domains[from].net.outbox = outbox;
    }
    for domain in domains.iter_mut().filter(|d| d.next == now) {
        domain.look_ahead();
    }
}

impl Domain {
    /// Takes in a message of cycle `now`, all of whose visits are over.
    pub(super) fn receive(&mut self, message: &Message, now: u64) {
        if self.next != now {
            // Perhaps it had nothing to do until now. Either way, it must look ahead again.
            self.net.now = now;
            self.net.wheel.skip_to(now);
            self.next = now;
        }
        self.net.receive(message);
    }
}
