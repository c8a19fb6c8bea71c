//! The calendar: which actors are to be visited at which cycle.
//!
//! Near events stand in a ring of buckets with an occupancy bitmap, far ones in a heap. Within a
//! cycle the order of visits does not matter (rule T-1), so buckets are plain lists.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Buckets of the ring; a power of two. Events further ahead go to the heap.
const SPAN: u64 = 256;
const WORDS: usize = SPAN as usize / 64;

/// Who is to be visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Actor(u32);

/// An [`Actor`], taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A FIFO of a router without contention.
    Fifo(u32),
    /// A router with contention.
    Router(u32),
    /// A PE: its threads, tasks and input queues.
    Pe(u32),
    /// The output queues of a PE.
    Ramp(u32),
    /// A port through which the host sends.
    HostIn(u32),
    /// What lies beyond an edge. It is told at once and never visited.
    Edge(u32),
}

impl Actor {
    /// Nobody.
    pub(super) const NONE: Actor = Actor(u32::MAX);
    const BITS: u32 = 29;

    pub(super) const fn fifo(at: u32) -> Actor {
        Actor(at)
    }

    pub(super) const fn router(at: u32) -> Actor {
        Actor(1 << Actor::BITS | at)
    }

    pub(super) const fn pe(at: u32) -> Actor {
        Actor(2 << Actor::BITS | at)
    }

    pub(super) const fn ramp(at: u32) -> Actor {
        Actor(3 << Actor::BITS | at)
    }

    pub(super) const fn host_in(at: u32) -> Actor {
        Actor(4 << Actor::BITS | at)
    }

    pub(super) const fn edge(at: u32) -> Actor {
        Actor(5 << Actor::BITS | at)
    }

    #[inline]
    /// Kind and index in one number.
    pub(super) fn number(self) -> u32 {
        self.0
    }

    pub(super) fn kind(self) -> Kind {
        let at = self.0 & ((1 << Actor::BITS) - 1);
        match self.0 >> Actor::BITS {
            0 => Kind::Fifo(at),
            1 => Kind::Router(at),
            2 => Kind::Pe(at),
            3 => Kind::Ramp(at),
            4 => Kind::HostIn(at),
            _ => Kind::Edge(at),
        }
    }
}

/// The visits of one cycle.
#[derive(Debug, Clone, Default)]
pub(super) struct Bucket {
    pub(super) fifos: Vec<u32>,
    pub(super) pes: Vec<u32>,
    pub(super) routers: Vec<u32>,
    pub(super) others: Vec<Actor>,
}

impl Bucket {
    #[inline]
    fn push(&mut self, actor: Actor) {
        match actor.kind() {
            Kind::Fifo(at) => self.fifos.push(at),
            Kind::Pe(at) => self.pes.push(at),
            Kind::Router(at) => self.routers.push(at),
            _ => self.others.push(actor),
        }
    }

    fn len(&self) -> usize {
        self.fifos.len() + self.pes.len() + self.routers.len() + self.others.len()
    }

    fn clear(&mut self) {
        self.fifos.clear();
        self.pes.clear();
        self.routers.clear();
        self.others.clear();
    }
}

/// Calendar of visits.
#[derive(Debug, Clone)]
pub(super) struct Wheel {
    now: u64,
    buckets: Box<[Bucket; SPAN as usize]>,
    occupied: [u64; WORDS],
    far: BinaryHeap<Reverse<(u64, Actor)>>,
}

impl Wheel {
    pub(super) fn new() -> Wheel {
        Wheel {
            now: 0,
            buckets: Box::new(std::array::from_fn(|_| Bucket::default())),
            occupied: [0; WORDS],
            far: BinaryHeap::new(),
        }
    }

    #[inline]
    fn slot(&mut self, when: u64) -> &mut Bucket {
        let slot = (when % SPAN) as usize;
        self.occupied[slot / 64] |= 1 << (slot % 64);
        &mut self.buckets[slot]
    }

    /// Has `actor` visited at `when`, which is now only before the first visit of this cycle.
    #[inline]
    pub(super) fn at(&mut self, when: u64, actor: Actor) {
        debug_assert!(when >= self.now);
        if when - self.now < SPAN {
            self.slot(when).push(actor);
        } else {
            self.far.push(Reverse((when, actor)));
        }
    }

    /// [`Wheel::at`] for a FIFO.
    #[inline]
    pub(super) fn at_fifo(&mut self, when: u64, fifo: u32) {
        debug_assert!(when >= self.now);
        if when - self.now < SPAN {
            self.slot(when).fifos.push(fifo);
        } else {
            self.far.push(Reverse((when, Actor::fifo(fifo))));
        }
    }

    /// [`Wheel::at`] for a router.
    #[inline]
    pub(super) fn at_router(&mut self, when: u64, router: u32) {
        debug_assert!(when >= self.now);
        if when - self.now < SPAN {
            self.slot(when).routers.push(router);
        } else {
            self.far.push(Reverse((when, Actor::router(router))));
        }
    }

    /// [`Wheel::at`] for a PE.
    #[inline]
    pub(super) fn at_pe(&mut self, when: u64, pe: u32) {
        debug_assert!(when >= self.now);
        if when - self.now < SPAN {
            self.slot(when).pes.push(pe);
        } else {
            self.far.push(Reverse((when, Actor::pe(pe))));
        }
    }

    /// Visits at cycle `when` that are known by now, which is less than [`SPAN`] before it; but for those noted long ago.
    pub(super) fn due(&self, when: u64) -> usize {
        self.buckets[(when % SPAN) as usize].len()
    }

    /// Moves to cycle `when`, before which there is no visit.
    pub(super) fn skip_to(&mut self, when: u64) {
        debug_assert!(self.next().is_none_or(|next| next >= when));
        self.now = when;
    }

    /// The first cycle with a visit.
    pub(super) fn next(&self) -> Option<u64> {
        let near = self.next_near();
        let far = self.far.peek().map(|Reverse((when, _))| *when);
        match (near, far) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn next_near(&self) -> Option<u64> {
        let from = (self.now % SPAN) as usize;
        let (word, bit) = (from / 64, from % 64);
        let first = self.occupied[word] & (u64::MAX << bit);
        if first != 0 {
            return Some(self.now + u64::from(first.trailing_zeros()) - bit as u64);
        }
        for ahead in 1..=WORDS {
            let at = (word + ahead) % WORDS;
            let mut bits = self.occupied[at];
            if ahead == WORDS {
                bits &= !(u64::MAX << bit);
            }
            if bits != 0 {
                let distance = 64 * ahead as u64 + u64::from(bits.trailing_zeros());
                return Some(self.now + distance - bit as u64);
            }
        }
        None
    }

    /// Moves to cycle `when`, the one that [`Wheel::next`] named or one before it, and takes its
    /// visits. `bucket` comes back through it with its storage, so that nothing is allocated.
    pub(super) fn take(&mut self, when: u64, bucket: &mut Bucket) {
        self.now = when;
        bucket.clear();
        let slot = (when % SPAN) as usize;
        std::mem::swap(bucket, &mut self.buckets[slot]);
        self.occupied[slot / 64] &= !(1 << (slot % 64));
        while let Some(Reverse((due, actor))) = self.far.peek().copied() {
            if due > when {
                break;
            }
            self.far.pop();
            bucket.push(actor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_come_in_the_order_of_their_cycles_near_and_far() {
        let mut wheel = Wheel::new();
        let mut bucket = Bucket::default();
        let times = [0u64, 1, 63, 64, 255, 256, 257, 1000, 5000, 5001];
        for (at, &when) in times.iter().enumerate().rev() {
            wheel.at(when, Actor::fifo(at as u32));
        }
        for (at, &when) in times.iter().enumerate() {
            assert_eq!(wheel.next(), Some(when));
            wheel.take(when, &mut bucket);
            assert_eq!(bucket.fifos, [at as u32]);
        }
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn an_actor_survives_being_packed() {
        assert_eq!(Actor::host_in(7).kind(), Kind::HostIn(7));
        assert_eq!(Actor::ramp(9).kind(), Kind::Ramp(9));
        assert_eq!(Actor::pe(0).kind(), Kind::Pe(0));
    }
}
