//! What can be seen of a run while it goes on.

use fabric::{PeIdx, Port, Ports};
use pe_isa::{Color, Cycle};

/// Sees what happens, changes nothing.
pub trait Observer {
    /// Whether it looks at all. Marks of one cycle are then shown in the order of their PEs.
    fn active(&self) -> bool {
        true
    }

    /// PE `pe` passed `mark` at `cycle`; `sram` is its memory at that moment, in words, and empty without data.
    fn mark(&mut self, cycle: Cycle, pe: PeIdx, mark: u16, sram: &[u32]) {
        let _ = (cycle, pe, mark, sram);
    }

    /// Whether it wants [`Observer::event`] to be called. Asked once, before the run.
    fn sees_events(&self) -> bool {
        false
    }

    /// Something happened. What is told in one cycle comes in ascending order. A [`What::Rise`] may be told before its
    /// cycle; if the run stops at that cycle or before, it never was.
    fn event(&mut self, event: &Event) {
        let _ = event;
    }
}

/// Looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn active(&self) -> bool {
        false
    }
}

/// A decision that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// When.
    pub cycle: Cycle,
    /// On which tile.
    pub tile: PeIdx,
    /// What it was.
    pub what: What,
}

/// What travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wavelet {
    /// Its color.
    pub color: Color,
    /// Whether it is a control wavelet.
    pub control: bool,
    /// Payload; 0 where it is void.
    pub payload: u32,
    /// Whether the payload is void (rule D-1).
    pub void: bool,
}

/// The kinds of events: steps of PEs, and each move of a wavelet from one FIFO to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A step holds the PE's datapath for so many cycles (rule P-1).
    Step {
        /// From the event's cycle on.
        cycles: u64,
    },
    /// The host sends a wavelet into the router's FIFO of a mesh port (rule H-1).
    Enter {
        /// The port.
        port: Port,
        /// What is sent.
        wavelet: Wavelet,
    },
    /// A step of the PE puts a wavelet into its output queue (rule F-5).
    Put {
        /// What is put.
        wavelet: Wavelet,
        /// From when on it can leave: the end of the step.
        leaves: Cycle,
    },
    /// A wavelet goes from the PE's output queue to its router (rule R-1).
    Rise {
        /// What goes.
        wavelet: Wavelet,
    },
    /// A router sends the head of a FIFO (rule A-3).
    Fire {
        /// The port of the FIFO.
        from: Port,
        /// The ports through which it goes.
        to: Ports,
        /// The head, as it stood in the FIFO: before rule S-3.
        wavelet: Wavelet,
    },
    /// The PE takes a wavelet from an input queue: a step, a launch, or a discard (rule P-7).
    Take {
        /// What is taken.
        wavelet: Wavelet,
    },
}

impl What {
    /// What travels, if something does.
    pub fn wavelet(&self) -> Option<&Wavelet> {
        match self {
            What::Step { .. } => None,
            What::Enter { wavelet, .. }
            | What::Put { wavelet, .. }
            | What::Rise { wavelet }
            | What::Fire { wavelet, .. }
            | What::Take { wavelet } => Some(wavelet),
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn wavelet_mut(&mut self) -> Option<&mut Wavelet> {
        match self {
            What::Step { .. } => None,
            What::Enter { wavelet, .. }
            | What::Put { wavelet, .. }
            | What::Rise { wavelet }
            | What::Fire { wavelet, .. }
            | What::Take { wavelet } => Some(wavelet),
        }
    }
}
