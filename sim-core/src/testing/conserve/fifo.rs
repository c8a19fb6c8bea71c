//! A FIFO and a link, as far as they keep books.

use crate::observe::Wavelet;
use fabric::{PeIdx, Port, WaferImage};
use pe_isa::{Color, Cycle, Cycles, Ratio};
use std::collections::VecDeque;
use std::fmt;

/// A FIFO of the wafer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A router's, behind a port (rules F-2, F-3).
    Router(PeIdx, Port, Color),
    /// A PE's input queue (rule F-4).
    Input(PeIdx, Color),
    /// A PE's output queue (rule F-5).
    Output(PeIdx, Color),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Router(tile, port, color) => {
                write!(f, "router {}, port {port}, color {}", tile.0, color.0)
            }
            Place::Input(tile, color) => {
                write!(f, "input queue of PE {}, color {}", tile.0, color.0)
            }
            Place::Output(tile, color) => {
                write!(f, "output queue of PE {}, color {}", tile.0, color.0)
            }
        }
    }
}

/// A bounded FIFO (rules F-1, F-6).
#[derive(Debug, Clone)]
pub(super) struct Fifo {
    /// Slots.
    capacity: usize,
    pub(super) latency: u64,
    credit_delay: u64,
    /// What is in it or on its way, and from when on it can be the head.
    waiting: VecDeque<(Cycle, Wavelet)>,
    /// When slots were left whose credit may not be visible yet.
    left: VecDeque<Cycle>,
}

impl Fifo {
    /// The sizes and delays of a FIFO; `None` where the image has none such.
    pub(super) fn at(image: &WaferImage, place: Place) -> Option<Fifo> {
        let (fabric, pe) = (&image.machine.fabric, &image.machine.pe);
        let (depth, ramp) = (u64::from(fabric.queue_depth), pe.ramp_cycles);
        let (capacity, latency, credit_delay) = match place {
            Place::Router(_, Port::Ramp, _) => (depth + ramp, ramp, 1),
            Place::Router(..) => (depth, fabric.hop_cycles, fabric.credit_cycles),
            Place::Input(tile, color) => {
                let queue = image.program(tile)?.in_queue(color)?;
                (u64::from(pe.input_queues[usize::from(queue.0)]) + ramp, ramp, 1)
            }
            Place::Output(tile, color) => {
                let queues = &image.program(tile)?.out_queues;
                let queue = queues.iter().position(|bound| *bound == Some(color))?;
                (pe.output_queues[queue].into(), 0, 1)
            }
        };
        let (waiting, left) = (VecDeque::new(), VecDeque::new());
        Some(Fifo { capacity: capacity as usize, latency, credit_delay, waiting, left })
    }

    /// A wavelet claims a slot at `t` and can be the head from `from` on.
    pub(super) fn claim(&mut self, t: Cycle, from: Cycle, wavelet: Wavelet) -> Result<(), String> {
        let visible = |left: Cycle| left + Cycles(self.credit_delay) <= t;
        while self.left.front().is_some_and(|&left| visible(left)) {
            self.left.pop_front();
        }
        let claimed = self.waiting.len() + self.left.len();
        self.waiting.push_back((from, wavelet));
        if claimed < self.capacity {
            return Ok(());
        }
        Err(format!("slot {} of {} is claimed", claimed + 1, self.capacity))
    }

    /// The head leaves at `t`, which gives a credit back.
    pub(super) fn leave(&mut self, t: Cycle, wavelet: Wavelet) -> Result<(), String> {
        if self.left.back() == Some(&t) {
            return Err("two wavelets leave in one cycle".to_string());
        }
        let Some(&(from, head)) = self.waiting.front() else {
            return Err("a wavelet leaves and gives a credit where no slot was claimed".to_string());
        };
        self.left.push_back(t);
        if head == wavelet {
            self.waiting.pop_front();
            let early = format!("a wavelet leaves that is there from cycle {from} on");
            return if from <= t { Ok(()) } else { Err(early) };
        }
        let place = self.waiting.iter().position(|&(_, other)| other == wavelet);
        let Some(place) = place else {
            let (payload, head) = (wavelet.payload, head.payload);
            return Err(format!("{payload:#x} leaves and never came; the head is {head:#x}"));
        };
        self.waiting.remove(place);
        Err(format!("{:#x} overtakes {place} before it", wavelet.payload))
    }

    /// What is in it or on its way.
    pub(super) fn words(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the first of them is a control wavelet.
    pub(super) fn control(&self) -> Option<bool> {
        self.waiting.front().map(|(_, wavelet)| wavelet.control)
    }
}

/// An output with a rate (rule L-1): at most q departures in any p cycles, one in any cycle.
#[derive(Debug, Clone, Default)]
pub(super) struct Link(VecDeque<Cycle>);

impl Link {
    /// A departure at `t`.
    pub(super) fn depart(&mut self, t: Cycle, rate: Ratio) -> Result<(), String> {
        let (p, q) = (rate.num(), rate.den());
        let last = self.0.back().copied();
        self.0.push_back(t);
        while self.0.front().is_some_and(|&old| old + Cycles(p.into()) <= t) {
            self.0.pop_front();
        }
        if last == Some(t) {
            return Err("two departures in one cycle".to_string());
        }
        if self.0.len() > q as usize {
            return Err(format!("{} departures in {p} cycles, the rate allows {q}", self.0.len()));
        }
        Ok(())
    }
}
