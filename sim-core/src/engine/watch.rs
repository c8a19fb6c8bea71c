//! What the engine tells an observer. Moves are noted by FIFO where they happen, and get their tiles,
//! ports and colors at the end of the cycle; without an observer for them nothing is noted.

use super::domain::Domain;
use super::fifo::Marks;
use super::net::Net;
use super::{Engine, Layout};
use crate::observe::{Event, Observer, Wavelet, What};
use fabric::{PeIdx, Port};
use pe_isa::{Color, Cycle};

/// A move or a step, as its maker knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Note {
    /// When it happens: now, but for a rise that is certain already.
    pub(super) cycle: u64,
    pub(super) what: Noted,
    /// The FIFO that is left, or entered by [`Noted::Put`] and [`Noted::Enter`]; the PE of a step.
    pub(super) at: u32,
    pub(super) payload: u32,
    pub(super) marks: Marks,
}

/// As [`What`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Noted {
    Step(u64),
    Enter,
    Put(u64),
    Rise,
    /// The output ports as bits.
    Fire(u8),
    Take,
}

/// What there is to tell, and where it happens.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    pub(super) notes: Vec<Note>,
    /// Tile, port (of a router) and color of each FIFO.
    places: Vec<(PeIdx, Port, Color)>,
}

impl Net {
    /// Notes that the wavelet at the head of `fifo` leaves it.
    #[cold]
    #[inline(never)]
    pub(super) fn note_head(&mut self, fifo: u32, what: Noted) {
        let head = self.fifos[fifo].head().expect("what leaves is here");
        self.note(fifo, what, head.payload, head.marks);
    }

    /// Notes a move of this cycle.
    #[cold]
    #[inline(never)]
    pub(super) fn note(&mut self, at: u32, what: Noted, payload: u32, marks: Marks) {
        self.watch.notes.push(Note { cycle: self.now, what, at, payload, marks });
    }

    /// Notes that a wavelet leaves its output queue at `cycle`, which is certain already.
    #[cold]
    #[inline(never)]
    pub(super) fn note_rise(&mut self, queue: u32, cycle: u64, payload: u32, marks: Marks) {
        self.watch.notes.push(Note { cycle, what: Noted::Rise, at: queue, payload, marks });
    }
}

impl Engine {
    /// From now on moves are noted.
    pub(super) fn watch(&mut self) {
        self.domains.iter_mut().for_each(|d| d.watch(&self.layout));
    }

    /// Tells the observer what was noted in this cycle, in ascending order.
    #[inline(always)]
    pub(super) fn tell(&mut self, observer: &mut (impl Observer + ?Sized)) {
        if self.domains[0].net.watched {
            let mut events: Vec<Event> = self.domains.iter_mut().flat_map(Domain::events).collect();
            events.sort_unstable();
            events.iter().for_each(|event| observer.event(event));
        }
    }
}

impl Domain {
    fn watch(&mut self, layout: &Layout) {
        self.net.watched = true;
        let mut places = vec![(PeIdx(0), Port::Ramp, Color(0)); self.net.fifos.len() as usize];
        for tile in self.tiles.clone() {
            let first = layout.tiles.first_fifo[tile as usize] as usize;
            let plan = layout.plans.get(layout.tiles.plan[tile as usize] as usize);
            let keys = plan.map_or(&[][..], |p| &p.keys);
            for (&(port, color), place) in keys.iter().zip(&mut places[first..]) {
                *place = (PeIdx(tile), port, color);
            }
        }
        for pe in &self.pes {
            let program = &layout.codes[pe.code as usize].program;
            for (queues, first) in [(&program.in_queues, pe.ins), (&program.out_queues, pe.outs)] {
                for (&color, at) in queues.iter().flatten().zip(first as usize..) {
                    places[at] = (pe.tile, Port::Ramp, color);
                }
            }
        }
        self.net.watch.places = places;
    }

    /// What was noted.
    #[cold]
    #[inline(never)]
    fn events(&mut self) -> Vec<Event> {
        let notes = std::mem::take(&mut self.net.watch.notes);
        notes.iter().map(|note| self.event(note)).collect()
    }

    fn event(&self, note: &Note) -> Event {
        let cycle = Cycle(note.cycle);
        if let Noted::Step(cycles) = note.what {
            let tile = self.pes[note.at as usize].tile;
            return Event { cycle, tile, what: What::Step { cycles } };
        }
        let (tile, port, color) = self.net.watch.places[note.at as usize];
        let (control, void) = (note.marks.is_control(), note.marks.is_void());
        let wavelet = Wavelet { color, control, payload: note.payload, void };
        let what = match note.what {
            Noted::Step(cycles) => What::Step { cycles },
            Noted::Enter => What::Enter { port, wavelet },
            Noted::Put(leaves) => What::Put { wavelet, leaves: Cycle(leaves) },
            Noted::Rise => What::Rise { wavelet },
            Noted::Fire(ports) => {
                let to = Port::ALL.into_iter().filter(|p| ports >> p.index() & 1 != 0).collect();
                What::Fire { from: port, to, wavelet }
            }
            Noted::Take => What::Take { wavelet },
        };
        Event { cycle, tile, what }
    }
}
