//! FIFOs (rules F-1 to F-6): rings whose free slots remember since when they are visibly free.
//!
//! The *n*-th wavelet that is sent into a FIFO of capacity *c* goes into the slot that the
//! (*n* − *c*)-th one left. That slot holds the cycle at which its freedom is visible upstream, so
//! the question of F-1, "is a slot free at *t*?", is one comparison and credits need no events.

use super::net::Outs;
use super::wheel::Actor;

/// What a FIFO stands in front of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// An input of a router in which no two colors share an output.
    Free,
    /// An input of a router with contention; `owner` is the router.
    Contended,
    /// An input queue of a PE; `owner` is the PE.
    Down,
    /// An output queue of a PE; `owner` is the PE.
    Out,
}

/// A slot: taken, with the arrival of its wavelet, or free, with the cycle from which the sender
/// sees that. Times are ticks since the engine's epoch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slot {
    /// Arrival or freedom; the top bit marks a control wavelet.
    stamp: u32,
    payload: u32,
}

/// Marks a control wavelet in [`Slot::stamp`].
const CONTROL: u32 = 1 << 31;

/// The wavelet at a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wavelet {
    /// The tick from which it can be the head (rule F-1).
    pub(super) arrival: u32,
    pub(super) payload: u32,
    pub(super) control: bool,
}

/// Whether a sender finds a free slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// From this tick on.
    From(u32),
    /// Not before a wavelet has left.
    Full,
}

/// One FIFO. Its slots are `Fifos::slots[slots .. slots + capacity]`.
#[derive(Debug, Clone)]
pub(super) struct Fifo {
    slots: u32,
    capacity: u16,
    head: u16,
    len: u16,
    /// Cycles from departure upstream to arrival here.
    pub(super) latency: u16,
    /// Cycles from departure here to visible freedom upstream.
    pub(super) credit: u16,
    pub(super) stage: Stage,
    /// A visit is due or somebody has promised to wake this FIFO (stage `Free` only).
    pub(super) armed: bool,
    /// The fixed route. With `switched`, `outs.first` is the index of the routes by position; in an
    /// output queue that of the up FIFO.
    pub(super) outs: Outs,
    pub(super) switched: bool,
    /// Place among the FIFOs of its router (key order) or among the queues of its PE.
    pub(super) rank: u8,
    /// Router or PE, see [`Stage`].
    pub(super) owner: u32,
}

/// All FIFOs of the wafer.
#[derive(Debug, Clone, Default)]
pub(super) struct Fifos {
    list: Vec<Fifo>,
    slots: Vec<Slot>,
    /// Who is to be woken when a wavelet leaves a full FIFO.
    waiters: Vec<Actor>,
}

impl std::ops::Index<u32> for Fifos {
    type Output = Fifo;
    #[inline]
    fn index(&self, at: u32) -> &Fifo {
        &self.list[at as usize]
    }
}

impl std::ops::IndexMut<u32> for Fifos {
    #[inline]
    fn index_mut(&mut self, at: u32) -> &mut Fifo {
        &mut self.list[at as usize]
    }
}

impl Fifo {
    #[inline]
    fn tail(&self) -> usize {
        let at = self.head + self.len;
        let at = if at >= self.capacity { at - self.capacity } else { at };
        self.slots as usize + usize::from(at)
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The constant part of a FIFO, as elaboration finds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct FifoSpec {
    pub(super) capacity: u64,
    pub(super) latency: u64,
    pub(super) credit: u64,
    pub(super) stage: Stage,
    pub(super) rank: u8,
    pub(super) owner: u32,
}

impl Fifos {
    pub(super) fn len(&self) -> u32 {
        self.list.len() as u32
    }

    pub(super) fn reserve(&mut self, fifos: usize, slots: usize) {
        self.list.reserve_exact(fifos);
        self.waiters.reserve_exact(fifos);
        self.slots.reserve_exact(slots);
    }

    pub(super) fn add(&mut self, spec: FifoSpec) -> u32 {
        let at = self.len();
        self.list.push(Fifo {
            slots: u32::try_from(self.slots.len()).expect("slots fit 32 bits"),
            capacity: u16::try_from(spec.capacity).expect("a legal capacity fits 16 bits"),
            head: 0,
            len: 0,
            latency: spec.latency as u16,
            credit: spec.credit as u16,
            stage: spec.stage,
            armed: false,
            outs: Outs::default(),
            switched: false,
            rank: spec.rank,
            owner: spec.owner,
        });
        self.waiters.push(Actor::NONE);
        let slots = self.slots.len() + spec.capacity as usize;
        self.slots.resize(slots, Slot::default());
        at
    }

    /// Whether a sender finds a free slot (rule F-1).
    #[inline]
    pub(super) fn room(&self, at: u32) -> Room {
        let fifo = &self[at];
        if fifo.len == fifo.capacity {
            Room::Full
        } else {
            Room::From(self.slots[fifo.tail()].stamp)
        }
    }

    /// The first wavelet, here or still on its way.
    #[inline]
    pub(super) fn head(&self, at: u32) -> Option<Wavelet> {
        let fifo = &self[at];
        if fifo.len == 0 {
            return None;
        }
        let slot = self.slots[fifo.slots as usize + usize::from(fifo.head)];
        Some(Wavelet {
            arrival: slot.stamp & !CONTROL,
            payload: slot.payload,
            control: slot.stamp & CONTROL != 0,
        })
    }

    /// Sends a wavelet that arrives at `wavelet.arrival`. Returns whether it is the only one.
    #[inline]
    pub(super) fn push(&mut self, at: u32, wavelet: Wavelet) -> bool {
        let fifo = &mut self.list[at as usize];
        debug_assert!(fifo.len < fifo.capacity);
        let tail = fifo.tail();
        fifo.len += 1;
        let first = fifo.len == 1;
        let control = if wavelet.control { CONTROL } else { 0 };
        self.slots[tail] = Slot { stamp: wavelet.arrival | control, payload: wavelet.payload };
        first
    }

    /// Takes the head at `now`; the slot is visibly free after the credit delay. Returns who
    /// waited for that.
    #[inline]
    pub(super) fn pop(&mut self, at: u32, now: u32) -> Actor {
        let fifo = &mut self.list[at as usize];
        debug_assert!(fifo.len > 0);
        let head = fifo.slots as usize + usize::from(fifo.head);
        fifo.head += 1;
        if fifo.head == fifo.capacity {
            fifo.head = 0;
        }
        let was_full = fifo.len == fifo.capacity;
        fifo.len -= 1;
        self.slots[head].stamp = now + u32::from(fifo.credit);
        if !was_full {
            return Actor::NONE;
        }
        std::mem::replace(&mut self.waiters[at as usize], Actor::NONE)
    }

    /// Has the next wavelet be the head no earlier than `tick`: a PE takes at most one wavelet of
    /// a queue a cycle (rules P-5, P-7).
    #[inline]
    pub(super) fn hold_head(&mut self, at: u32, tick: u32) {
        let fifo = &self.list[at as usize];
        if fifo.len > 0 {
            let slot = &mut self.slots[fifo.slots as usize + usize::from(fifo.head)];
            if slot.stamp & !CONTROL < tick {
                slot.stamp = slot.stamp & CONTROL | tick;
            }
        }
    }

    /// Has `actor` woken when a wavelet leaves the full FIFO `at`.
    #[inline]
    pub(super) fn wait(&mut self, at: u32, actor: Actor) {
        debug_assert!(self[at].len == self[at].capacity);
        self.waiters[at as usize] = actor;
    }

    /// Moves all times `span` ticks towards zero; what is longer ago stays at zero.
    pub(super) fn rebase(&mut self, span: u32) {
        for slot in &mut self.slots {
            let control = slot.stamp & CONTROL;
            slot.stamp = control | (slot.stamp & !CONTROL).saturating_sub(span);
        }
    }
}
