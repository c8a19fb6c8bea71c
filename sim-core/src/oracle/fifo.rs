//! FIFOs with credits, links with a rate, and the clock that remembers what is still to come.

use fabric::Port;
use pe_isa::{Color, Cycle, Cycles, Ratio, Word};
use std::collections::{BTreeSet, VecDeque};

/// What travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wavelet {
    pub(super) control: bool,
    pub(super) payload: Word,
}

impl Wavelet {
    /// As observers see it.
    pub(super) fn of(self, color: Color) -> crate::observe::Wavelet {
        let Word { bits: payload, void } = self.payload;
        crate::observe::Wavelet { color, control: self.control, payload, void }
    }
}

/// A router's input FIFO, in the order in which arbitration visits them.
pub(super) type Key = (Port, Color);

/// A bounded FIFO (F-1).
#[derive(Debug, Clone)]
pub(super) struct Fifo {
    pub(super) color: Color,
    capacity: usize,
    latency: u64,
    credit_delay: u64,
    /// Arrival and wavelet, oldest first; a wavelet in flight is in here too.
    waiting: VecDeque<(Cycle, Wavelet)>,
    /// The cycles at which slots of departed wavelets become visible as free.
    credits: Vec<Cycle>,
    /// The last departure, for L-2.
    pub(super) last_left: Option<Cycle>,
}

impl Fifo {
    pub(super) fn new(color: Color, capacity: u64, latency: u64, credit_delay: u64) -> Fifo {
        Fifo {
            color,
            capacity: capacity as usize,
            latency,
            credit_delay,
            waiting: VecDeque::new(),
            credits: Vec::new(),
            last_left: None,
        }
    }

    /// F-1: the head, if it is there at `t`, with the cycle of its arrival.
    pub(super) fn head(&self, t: Cycle) -> Option<(Cycle, Wavelet)> {
        self.waiting.front().copied().filter(|(from, _)| *from <= t)
    }

    /// F-1: whether a sender sees a free slot at `t`.
    pub(super) fn has_slot(&self, t: Cycle) -> bool {
        let unseen = self.credits.iter().filter(|&&at| at > t).count();
        self.waiting.len() + unseen < self.capacity
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The oldest wavelet, here or still in flight.
    pub(super) fn first(&self) -> Option<Wavelet> {
        self.waiting.front().map(|&(_, wavelet)| wavelet)
    }

    /// Wavelets that are here or in flight.
    pub(super) fn words(&self) -> usize {
        self.waiting.len()
    }

    /// F-1: a wavelet is sent at `t`.
    pub(super) fn push(&mut self, t: Cycle, wavelet: Wavelet, clock: &mut Clock) {
        self.push_from(t + Cycles(self.latency), wavelet, clock);
    }

    /// F-5: a wavelet that can be the head from `from` on.
    pub(super) fn push_from(&mut self, from: Cycle, wavelet: Wavelet, clock: &mut Clock) {
        assert!(self.waiting.len() < self.capacity, "sent without a free slot");
        self.waiting.push_back((from, wavelet));
        clock.activity(from);
    }

    /// F-1: the head leaves at `t`.
    pub(super) fn pop(&mut self, t: Cycle, clock: &mut Clock) -> Wavelet {
        let (from, wavelet) = self.waiting.pop_front().expect("a decision saw a head");
        assert!(from <= t, "left before it arrived");
        let credit = t + Cycles(self.credit_delay);
        self.credits.retain(|&at| at > t);
        self.credits.push(credit);
        self.last_left = Some(t);
        clock.timer(credit);
        wavelet
    }
}

/// An output with a rate (L-1).
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// Cycles `p` in which at most `q` wavelets depart.
    rate: Ratio,
    /// The last `q` departures, oldest first.
    departures: VecDeque<Cycle>,
}

impl Link {
    pub(super) fn new(rate: Ratio) -> Link {
        Link { rate, departures: VecDeque::new() }
    }

    /// L-1: whether a departure at `t` is within the rate.
    pub(super) fn has_rate(&self, t: Cycle) -> bool {
        let last = self.departures.back();
        let after_last = last.is_none_or(|&last| t >= last + Cycles(1));
        let full = self.departures.len() == self.rate.den() as usize;
        let oldest = self.departures.front().filter(|_| full);
        after_last && oldest.is_none_or(|&old| t >= old + Cycles(self.rate.num().into()))
    }

    pub(super) fn depart(&mut self, t: Cycle, clock: &mut Clock) {
        assert!(self.has_rate(t), "departed faster than the link's rate");
        if self.departures.len() == self.rate.den() as usize {
            self.departures.pop_front();
        }
        self.departures.push_back(t);
        clock.timer(t + Cycles(self.rate.num().into()));
    }
}

/// Every future cycle at which something that is known now changes what can be decided.
#[derive(Debug, Default)]
pub(super) struct Clock {
    timers: BTreeSet<Cycle>,
    /// E-1: the end of the activity so far.
    pub(super) end_of_activity: Cycle,
}

impl Clock {
    /// Something may become possible at `at`.
    pub(super) fn timer(&mut self, at: Cycle) {
        self.timers.insert(at);
    }

    /// E-1: something ends or arrives at `at`.
    pub(super) fn activity(&mut self, at: Cycle) {
        self.timers.insert(at);
        self.end_of_activity = self.end_of_activity.max(at);
    }

    /// The first timer after `t`; earlier ones are forgotten.
    pub(super) fn next_after(&mut self, t: Cycle) -> Option<Cycle> {
        self.timers = self.timers.split_off(&(t + Cycles(1)));
        self.timers.first().copied()
    }
}
