//! FIFOs (rules F-1 to F-6): one cache line each, with credits as times instead of events.
//!
//! The *n*-th wavelet that is sent into a FIFO of capacity *c* takes the slot that the (*n* − *c*)-th
//! one has left. Whoever leaves writes down from when on its slot is visibly free, so that the
//! question of F-1, "is a slot free at *t*?", is one comparison. How it is written down depends on
//! the credit delay, see [`Credits`].

mod store;

use super::net::Outs;
use super::wheel::Actor;
use pe_isa::Word;

/// What a FIFO stands in front of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// A mesh input of a router.
    Mesh,
    /// The ramp input of a router.
    Up,
    /// An output queue of a PE; `owner` is the PE.
    Out,
    /// An input queue of a PE; `owner` is the PE.
    Down,
    /// Stands for a mesh input of a router of another domain; `owner` is the edge, see [`super::edge`].
    Proxy,
}

/// Latency and credit delay of the FIFOs of one stage.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Delays {
    /// Cycles from departure upstream to arrival here.
    pub(super) latency: u32,
    /// Cycles from departure here to visible freedom upstream.
    pub(super) credit: u32,
}

/// How a FIFO knows since when its slots are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credits {
    /// The credit delay is 1: of the slots that are free by now, at most the last one that was
    /// left is not visibly so yet.
    Last,
    /// The capacity is [`INLINE`]: each slot remembers it.
    Slots,
    /// A ring of the last departures, as long as the capacity.
    Ring,
}

/// A slot: taken, with the arrival of its wavelet, or free, with the cycle from which the sender
/// sees that. Times are ticks since the engine's epoch.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Arrival or freedom, and [`Marks`].
    stamp: u32,
    payload: u32,
}

/// What a wavelet is beside its payload: the upper bits of [`Slot::stamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Marks(u32);

impl Marks {
    /// Of a data wavelet whose payload is known.
    pub(super) const PLAIN: Marks = Marks(0);
    pub(super) const CONTROL: Marks = Marks(1 << 31);
    /// Of a data wavelet whose payload is void (rule D-1).
    pub(super) const VOID: Marks = Marks(1 << 30);
    /// The bits of all marks; below them are ticks.
    const ALL: u32 = 3 << 30;

    #[inline(always)]
    pub(super) fn is_control(self) -> bool {
        self.0 & Marks::CONTROL.0 != 0
    }

    #[inline(always)]
    pub(super) fn is_void(self) -> bool {
        self.0 & Marks::VOID.0 != 0
    }

    /// Of a data wavelet with this payload.
    #[inline(always)]
    pub(super) fn of(word: Word) -> Marks {
        Marks(u32::from(word.void) << 30)
    }

    /// A payload with these marks.
    #[inline(always)]
    pub(super) fn word(self, payload: u32) -> Word {
        Word { bits: payload, void: self.is_void() }
    }

    pub(super) fn of_host(control: bool) -> Marks {
        if control { Marks::CONTROL } else { Marks::PLAIN }
    }
}

/// Slots in the FIFO itself. What stands behind the first four wavelets is spilled.
const INLINE: u16 = 4;

/// The wavelet at a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wavelet {
    /// The tick from which it can be the head (rule F-1).
    pub(super) arrival: u32,
    /// 0 where it is void.
    pub(super) payload: u32,
    pub(super) marks: Marks,
}

impl Wavelet {
    #[inline(always)]
    pub(super) fn is_control(&self) -> bool {
        self.marks.is_control()
    }
}

/// What has left a FIFO, and what it leaves behind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) payload: u32,
    pub(super) marks: Marks,
    /// Somebody may wait for the slot.
    pub(super) is_awaited: bool,
    /// Arrival of the next wavelet, or [`Taken::NOTHING`].
    pub(super) next: u32,
}

impl Taken {
    /// No tick is that late.
    pub(super) const NOTHING: u32 = u32::MAX;
}

/// Whether a sender finds a free slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// From this tick on.
    From(u32),
    /// Not before a wavelet has left.
    Full,
}

/// One FIFO.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Fifo {
    slots: [Slot; INLINE as usize],
    /// The first of its [`super::net::Out`]s. With a switched route the index of the routes by
    /// position; in an output queue the up FIFO.
    first_out: u32,
    /// Router with contention, or PE, see [`Stage`].
    pub(super) owner: u32,
    /// Wavelets that have left since the last rebase.
    departed: u32,
    /// One more than the last departure, 0 before the first.
    left: u32,
    /// Its place in [`Fifos::side`]: a counter for the spilled wavelets and one for the departures,
    /// then the spilled wavelets, then the ring of departures. [`u32::MAX`] until it needs one.
    side: u32,
    len: u16,
    capacity: u16,
    head: u8,
    pub(super) stage: Stage,
    credits: Credits,
    /// Place among the FIFOs of its router (key order) or among the queues of its PE.
    pub(super) rank: u8,
    /// See [`Outs`].
    out_count: u8,
    out_ports: u8,
    flags: u8,
}

/// The router arbitrates.
const CONTENDED: u8 = 1;
/// The route has several positions.
const SWITCHED: u8 = 2;
/// See [`Fifo::is_armed`].
const ARMED: u8 = 4;
/// See [`Outs::bend`].
const BEND: u8 = 8;
/// Somebody beyond an edge waits for every departure.
const AWAITED: u8 = 16;

const _: () = assert!(size_of::<Fifo>() == 64, "a FIFO is one cache line");

/// All FIFOs of the wafer.
#[derive(Debug, Clone, Default)]
pub(super) struct Fifos {
    list: Vec<Fifo>,
    side: Vec<Slot>,
    /// Who is to be woken when a wavelet leaves a full FIFO.
    waiters: Vec<Actor>,
    /// Departures before the last rebase; empty before the first.
    departed: Vec<u64>,
    /// By [`Stage`].
    pub(super) delays: [Delays; 5],
}

impl std::ops::Index<u32> for Fifos {
    type Output = Fifo;
    #[inline(always)]
    fn index(&self, at: u32) -> &Fifo {
        &self.list[at as usize]
    }
}

impl std::ops::IndexMut<u32> for Fifos {
    #[inline(always)]
    fn index_mut(&mut self, at: u32) -> &mut Fifo {
        &mut self.list[at as usize]
    }
}

impl Fifo {
    /// The one wavelet that was pushed last is the only one.
    #[inline(always)]
    pub(super) fn is_single(&self) -> bool {
        self.len == 1
    }

    pub(super) fn capacity(&self) -> u32 {
        self.capacity.into()
    }

    /// Notes that so many wavelets have passed through it, which is empty.
    pub(super) fn set_departed(&mut self, departed: u32) {
        self.departed = departed;
    }

    /// Wavelets that are here or on their way.
    pub(super) fn words(&self) -> u32 {
        self.len.into()
    }

    #[inline(always)]
    pub(super) fn is_contended(&self) -> bool {
        self.flags & CONTENDED != 0
    }

    #[inline(always)]
    pub(super) fn is_switched(&self) -> bool {
        self.flags & SWITCHED != 0
    }

    /// A visit is due, or somebody has promised to wake this FIFO (without contention only).
    #[inline(always)]
    pub(super) fn is_armed(&self) -> bool {
        self.flags & ARMED != 0
    }

    #[inline(always)]
    pub(super) fn arm(&mut self) {
        self.flags |= ARMED;
    }

    #[inline(always)]
    pub(super) fn disarm(&mut self) {
        self.flags &= !ARMED;
    }

    /// The fixed route; with [`Fifo::is_switched`] `first` names the routes by position.
    #[inline(always)]
    pub(super) fn outs(&self) -> Outs {
        Outs {
            first: self.first_out,
            count: self.out_count,
            ports: self.out_ports,
            bend: self.flags & BEND != 0,
        }
    }

    pub(super) fn set_outs(&mut self, outs: Outs) {
        self.first_out = outs.first;
        self.out_count = outs.count;
        self.out_ports = outs.ports;
        self.flags |= if outs.bend { BEND } else { 0 };
    }

    /// Gives it routes by position.
    pub(super) fn set_switched(&mut self, first: u32) {
        self.first_out = first;
        self.flags |= SWITCHED;
    }

    /// Where an output queue leads.
    #[inline(always)]
    pub(super) fn up(&self) -> u32 {
        debug_assert!(self.stage == Stage::Out);
        self.first_out
    }

    pub(super) fn set_up(&mut self, up: u32) {
        self.first_out = up;
    }

    /// One more than the tick of the last departure; 0 before the first.
    #[inline(always)]
    pub(super) fn left(&self) -> u32 {
        self.left
    }

    #[inline(always)]
    fn tail(&self) -> usize {
        (usize::from(self.head) + usize::from(self.len)) & 3
    }

    /// The first wavelet, here or still on its way.
    #[inline(always)]
    pub(super) fn head(&self) -> Option<Wavelet> {
        if self.len == 0 {
            return None;
        }
        let slot = self.slots[usize::from(self.head & 3)];
        Some(Wavelet {
            arrival: slot.stamp & !Marks::ALL,
            payload: slot.payload,
            marks: Marks(slot.stamp & Marks::ALL),
        })
    }

    /// Has the next wavelet be the head no earlier than `tick`: a PE takes at most one wavelet of
    /// a queue a cycle (rules P-5, P-7).
    #[inline(always)]
    pub(super) fn hold_head(&mut self, tick: u32) {
        let slot = &mut self.slots[usize::from(self.head & 3)];
        if slot.stamp & !Marks::ALL < tick && self.len > 0 {
            slot.stamp = slot.stamp & Marks::ALL | tick;
        }
    }
}

/// The constant part of a FIFO, as elaboration finds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct FifoSpec {
    pub(super) capacity: u64,
    pub(super) stage: Stage,
    pub(super) contended: bool,
    pub(super) rank: u8,
    pub(super) owner: u32,
}
