//! A FIFO and an output with a rate, as far as they tell why something could not happen earlier.

use super::tree::Moment;
use pe_isa::Ratio;
use std::collections::VecDeque;

/// A FIFO (rules F-1 to F-5): when what is in it came, and when slots became free.
#[derive(Debug, Clone, Default)]
pub(super) struct Fifo {
    waiting: VecDeque<Moment>,
    /// Departures whose slots have not been claimed again.
    left: VecDeque<Moment>,
    /// Wavelets that have claimed a slot, as far as they are no more than the slots.
    claimed: u32,
    /// The last departure.
    last: Option<Moment>,
}

impl Fifo {
    /// The departure whose slot the next wavelet takes, if it takes a used one of `capacity` slots.
    pub(super) fn slot(&self, capacity: u32) -> Option<Moment> {
        if self.claimed < capacity { None } else { self.left.front().copied() }
    }

    /// A wavelet claims that slot.
    pub(super) fn claim(&mut self, capacity: u32, wavelet: Moment) {
        if self.claimed < capacity {
            self.claimed += 1;
        } else {
            self.left.pop_front();
        }
        self.waiting.push_back(wavelet);
    }

    /// When the head was sent; none where the FIFO is empty.
    pub(super) fn head(&self) -> Option<Moment> {
        self.waiting.front().copied()
    }

    /// The head leaves.
    pub(super) fn leave(&mut self, departure: Moment) {
        self.waiting.pop_front();
        self.left.push_back(departure);
        self.last = Some(departure);
    }

    /// The departure of the wavelet before the head.
    pub(super) fn last(&self) -> Option<Moment> {
        self.last
    }

    pub(super) fn each(&mut self, visit: &mut dyn FnMut(&mut Moment)) {
        self.waiting.iter_mut().chain(&mut self.left).chain(&mut self.last).for_each(visit);
    }
}

/// An output (rules L-1, R-1): its latest departures, and from which FIFO each came.
#[derive(Debug, Clone, Default)]
pub(super) struct Output(VecDeque<(Moment, u32)>);

impl Output {
    /// From when on the next wavelet may leave: by the one before it, then by the rate; each with the departure that it
    /// depends on and that one's FIFO.
    pub(super) fn earliest(&self, rate: Ratio) -> [Option<(u64, Moment, u32)>; 2] {
        let (p, q) = (u64::from(rate.num()), rate.den() as usize);
        let last = self.0.back().map(|&(moment, fifo)| (moment.cycle + 1, moment, fifo));
        let nth = self.0.len().checked_sub(q).map(|at| self.0[at]);
        [last, nth.map(|(moment, fifo)| (moment.cycle + p, moment, fifo))]
    }

    pub(super) fn depart(&mut self, rate: Ratio, departure: Moment, fifo: u32) {
        if self.0.len() == rate.den() as usize {
            self.0.pop_front();
        }
        self.0.push_back((departure, fifo));
    }

    pub(super) fn each(&mut self, visit: &mut dyn FnMut(&mut Moment)) {
        self.0.iter_mut().for_each(|(moment, _)| visit(moment));
    }
}
