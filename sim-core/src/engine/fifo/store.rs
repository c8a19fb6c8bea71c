//! All FIFOs: sending, taking, credits.

use super::{
    AWAITED, CONTENDED, Credits, Delays, Fifo, FifoSpec, Fifos, INLINE, Marks, Room, Slot, Stage,
    Taken, Wavelet,
};
use crate::engine::wheel::Actor;
use std::hash::{Hash, Hasher};

impl Fifos {
    pub(in crate::engine) fn new(delays: [Delays; 5]) -> Fifos {
        Fifos { delays, ..Fifos::default() }
    }

    pub(in crate::engine) fn len(&self) -> u32 {
        self.list.len() as u32
    }

    pub(in crate::engine) fn reserve(&mut self, fifos: usize) {
        self.list.reserve_exact(fifos);
        self.waiters.reserve_exact(fifos);
    }

    pub(in crate::engine) fn add(&mut self, spec: FifoSpec) -> u32 {
        let at = self.len();
        let capacity = u16::try_from(spec.capacity).expect("a legal capacity fits 16 bits");
        let credits = match self.delays[spec.stage as usize].credit {
            1 => Credits::Last,
            _ if capacity == INLINE => Credits::Slots,
            _ => Credits::Ring,
        };
        let mut fifo = Fifo {
            slots: [Slot::default(); INLINE as usize],
            first_out: 0,
            owner: spec.owner,
            departed: 0,
            left: 0,
            side: u32::MAX,
            len: 0,
            capacity,
            head: 0,
            stage: spec.stage,
            credits,
            rank: spec.rank,
            out_count: 0,
            out_ports: 0,
            flags: if spec.contended { CONTENDED } else { 0 },
        };
        if credits == Credits::Ring {
            Self::add_side(&mut self.side, &mut fifo);
        }
        self.list.push(fifo);
        self.waiters.push(Actor::NONE);
        at
    }

    /// Gives `fifo` its place in [`Fifos::side`].
    fn add_side(side: &mut Vec<Slot>, fifo: &mut Fifo) {
        let spilled = usize::from(fifo.capacity.saturating_sub(INLINE));
        let ring = if fifo.credits == Credits::Ring { usize::from(fifo.capacity) } else { 0 };
        fifo.side = u32::try_from(side.len()).expect("side slots fit 32 bits");
        side.resize(side.len() + 1 + spilled + ring, Slot::default());
    }

    /// Has `actor` woken when a wavelet leaves the full FIFO `at`.
    #[inline]
    pub(in crate::engine) fn wait(&mut self, at: u32, actor: Actor) {
        debug_assert!(self[at].len == self[at].capacity);
        self.waiters[at as usize] = actor;
    }

    /// Something from the cache line of `at`, if that is a FIFO at all.
    #[inline(always)]
    pub(in crate::engine) fn touch(&self, at: u32) -> u32 {
        self.list.get(at as usize).map_or(0, |fifo| fifo.first_out)
    }

    /// The PE behind `at`, if that is an input queue.
    #[inline(always)]
    pub(in crate::engine) fn touch_owner(&self, at: u32) -> Option<u32> {
        self.list.get(at as usize).filter(|fifo| fifo.stage == Stage::Down).map(|fifo| fifo.owner)
    }

    /// Wavelets that have left `at` so far.
    pub(in crate::engine) fn departed(&self, at: u32) -> u64 {
        let before = self.departed.get(at as usize).copied().unwrap_or(0);
        before + u64::from(self[at].departed)
    }

    /// Cycles from departure upstream of `at` to arrival in it.
    #[inline(always)]
    pub(in crate::engine) fn latency(&self, stage: Stage) -> u32 {
        self.delays[stage as usize].latency
    }

    /// Hashes what lies in each FIFO and who waits for it, but no times. False where more lies in one than in its own slots.
    pub(in crate::engine) fn hash_contents(&self, to: &mut impl Hasher) -> bool {
        for (fifo, waiter) in self.list.iter().zip(&self.waiters) {
            if fifo.len > INLINE {
                return false;
            }
            (fifo.len, fifo.flags, waiter.number()).hash(to);
            for at in 0..fifo.len {
                let slot = fifo.slots[(usize::from(fifo.head) + usize::from(at)) & 3];
                (slot.stamp & Marks::ALL, slot.payload).hash(to);
            }
        }
        true
    }

    /// Whether a sender finds a free slot (rule F-1).
    #[inline(always)]
    pub(in crate::engine) fn room(&self, at: u32) -> Room {
        let fifo = &self[at];
        if fifo.len == fifo.capacity {
            return Room::Full;
        }
        Room::From(match fifo.credits {
            Credits::Last if fifo.len + 1 == fifo.capacity => fifo.left,
            Credits::Last => 0,
            Credits::Slots => fifo.slots[fifo.tail()].stamp,
            Credits::Ring => self.side[self.departure(fifo, fifo.len)].stamp,
        })
    }

    /// The place in the ring of departures of the one that is `ahead` of the next.
    fn departure(&self, fifo: &Fifo, ahead: u16) -> usize {
        let next = self.side[fifo.side as usize].payload as usize;
        let at = (next + usize::from(ahead)) % usize::from(fifo.capacity);
        fifo.side as usize + 1 + usize::from(fifo.capacity.saturating_sub(INLINE)) + at
    }

    /// Sends a wavelet that arrives at `wavelet.arrival`. Returns the FIFO.
    #[inline(always)]
    pub(in crate::engine) fn push(&mut self, at: u32, wavelet: Wavelet) -> &mut Fifo {
        let fifo = &mut self.list[at as usize];
        debug_assert!(fifo.len < fifo.capacity);
        let slot = Slot { stamp: wavelet.arrival | wavelet.marks.0, payload: wavelet.payload };
        if fifo.len < INLINE {
            fifo.slots[fifo.tail()] = slot;
        } else {
            Self::spill(&mut self.side, fifo, slot);
        }
        fifo.len += 1;
        fifo
    }

    /// Puts `slot` behind the first four.
    #[cold]
    fn spill(side: &mut Vec<Slot>, fifo: &mut Fifo, slot: Slot) {
        if fifo.side == u32::MAX {
            Self::add_side(side, fifo);
        }
        let first = side[fifo.side as usize].stamp as usize;
        let behind = usize::from(fifo.len - INLINE);
        let at = (first + behind) % usize::from(fifo.capacity - INLINE);
        side[fifo.side as usize + 1 + at] = slot;
    }

    /// Takes back the first of those behind the first four.
    #[cold]
    fn unspill(side: &mut [Slot], fifo: &Fifo) -> Slot {
        let first = side[fifo.side as usize].stamp;
        side[fifo.side as usize].stamp = (first + 1) % u32::from(fifo.capacity - INLINE);
        side[fifo.side as usize + 1 + first as usize]
    }

    /// Takes the head at `now`; its slot is visibly free after the credit delay.
    #[inline(always)]
    pub(in crate::engine) fn pop(&mut self, at: u32, now: u32) -> Taken {
        let fifo = &mut self.list[at as usize];
        debug_assert!(fifo.len > 0);
        let head = usize::from(fifo.head & 3);
        let slot = fifo.slots[head];
        fifo.head = (fifo.head + 1) & 3;
        fifo.left = now + 1;
        fifo.departed += 1;
        let is_awaited = fifo.len == fifo.capacity || fifo.flags & AWAITED != 0;
        if fifo.len > INLINE {
            fifo.slots[head] = Self::unspill(&mut self.side, fifo);
        }
        fifo.len -= 1;
        let empty = fifo.len == 0;
        let next = fifo.slots[usize::from(fifo.head & 3)].stamp & !Marks::ALL;
        let taken = Taken {
            payload: slot.payload,
            marks: Marks(slot.stamp & Marks::ALL),
            is_awaited,
            next: if empty { Taken::NOTHING } else { next },
        };
        match fifo.credits {
            Credits::Last => {}
            Credits::Slots => {
                fifo.slots[head].stamp = now + self.delays[fifo.stage as usize].credit;
            }
            Credits::Ring => self.note_departure(at, now),
        }
        taken
    }

    /// Who waits for a wavelet to leave `at`; nobody any more, unless it is to be told of each one.
    pub(in crate::engine) fn take_waiter(&mut self, at: u32) -> Actor {
        let waiter = self.waiters[at as usize];
        if self[at].flags & AWAITED == 0 {
            self.waiters[at as usize] = Actor::NONE;
        }
        waiter
    }

    /// Has `actor` told of each wavelet that leaves `at`.
    pub(in crate::engine) fn await_all(&mut self, at: u32, actor: Actor) {
        self.waiters[at as usize] = actor;
        self[at].flags |= AWAITED;
    }

    #[cold]
    fn note_departure(&mut self, at: u32, now: u32) {
        let fifo = &self.list[at as usize];
        let place = self.departure(fifo, 0);
        self.side[place].stamp = now + self.delays[fifo.stage as usize].credit;
        let next = &mut self.side[fifo.side as usize].payload;
        *next = (*next + 1) % u32::from(fifo.capacity);
    }

    /// Moves all times `span` ticks towards zero; what is longer ago stays at zero. Done at least
    /// every 2^29 cycles, so that the counts of departures keep within 32 bits.
    pub(in crate::engine) fn rebase(&mut self, span: u32) {
        self.departed.resize(self.list.len(), 0);
        for (total, fifo) in self.departed.iter_mut().zip(&mut self.list) {
            *total += u64::from(std::mem::take(&mut fifo.departed));
        }
        let earlier = |stamp: &mut u32| {
            let marks = *stamp & Marks::ALL;
            *stamp = marks | (*stamp & !Marks::ALL).saturating_sub(span);
        };
        for fifo in &mut self.list {
            fifo.slots.iter_mut().for_each(|slot| earlier(&mut slot.stamp));
            fifo.left = fifo.left.saturating_sub(span);
            if fifo.side == u32::MAX {
                continue;
            }
            let spilled = usize::from(fifo.capacity.saturating_sub(INLINE));
            let ring = if fifo.credits == Credits::Ring { usize::from(fifo.capacity) } else { 0 };
            let first = fifo.side as usize + 1;
            let side = &mut self.side[first..first + spilled + ring];
            side.iter_mut().for_each(|slot| earlier(&mut slot.stamp));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Rule F-1, literally: departures and sends in order.
    #[derive(Default)]
    struct Literal {
        queue: VecDeque<Wavelet>,
        sent: usize,
        departures: Vec<u32>,
    }

    #[test]
    fn a_fifo_of_any_capacity_and_credit_delay_counts_its_slots_by_the_rule() {
        let mut random = 1u64;
        let mut below = |n: u64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) % n
        };
        for (capacity, credit) in [(1, 1), (2, 1), (4, 1), (9, 1), (4, 3), (1, 2), (3, 5), (7, 2)] {
            let mut fifos = Fifos::new([Delays { latency: 2, credit }; 5]);
            let stage = Stage::Mesh;
            let spec = FifoSpec { capacity, stage, contended: false, rank: 0, owner: 0 };
            let at = fifos.add(spec);
            let mut literal = Literal::default();
            for tick in 0..2_000u32 {
                let visible = literal.departures.iter().filter(|&&u| u + credit <= tick);
                let free = capacity as usize + visible.count() - literal.sent;
                let room = fifos.room(at);
                assert_eq!(matches!(room, Room::From(from) if from <= tick), free > 0);
                let here = fifos[at].head().filter(|w| w.arrival <= tick);
                assert_eq!(fifos[at].head(), literal.queue.front().copied());
                if free > 0 && below(3) > 0 {
                    let kinds = [Marks::PLAIN, Marks::CONTROL, Marks::VOID];
                    let marks = kinds[below(3) as usize];
                    let wavelet = Wavelet { arrival: tick + 2, payload: below(99) as u32, marks };
                    literal.queue.push_back(wavelet);
                    literal.sent += 1;
                    fifos.push(at, wavelet);
                }
                if here.is_some() && below(3) > 0 {
                    let taken = fifos.pop(at, tick);
                    literal.queue.pop_front();
                    let next = literal.queue.front().map_or(Taken::NOTHING, |w| w.arrival);
                    assert_eq!(taken.next, next);
                    literal.departures.push(tick);
                }
            }
        }
    }
}
