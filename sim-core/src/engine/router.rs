//! Routers: one FIFO at a time where nothing is shared, by arbitration where outputs are.

use super::fifo::Taken;
use super::net::{Net, Outs};
use super::wheel::Actor;

/// No tick is that late: nothing will happen here unless somebody else does something.
const NEVER: u32 = Taken::NOTHING;

impl Net {
    /// The tick from which the head of `fifo` is a candidate (rules A-2, L-2) with a free slot at
    /// all its destinations. [`NEVER`] where it must wait for a switch or for a full FIFO, which
    /// then wakes `actor`.
    #[inline(always)]
    fn candidate_with_room(&mut self, fifo: u32, outs: Outs, actor: Actor) -> u32 {
        let head = self.fifos[fifo].head().expect("a visited FIFO has a head");
        if outs.count == 0 {
            return NEVER;
        }
        let from = self.candidate_from(fifo, outs, head);
        if from > self.tick() {
            return from;
        }
        match self.room(outs) {
            (room, None) => room,
            (_, Some(dest)) => {
                self.fifos.wait(dest, actor);
                NEVER
            }
        }
    }

    /// A visit of a FIFO that no other one of its router can disturb.
    #[inline]
    pub(super) fn visit_fifo(&mut self, fifo: u32) {
        let outs = self.outs(fifo);
        let room = self.candidate_with_room(fifo, outs, Actor::fifo(fifo));
        let from = room.max(self.rate(outs));
        if from <= self.tick() {
            match self.fire(fifo, outs) {
                NEVER => self.fifos[fifo].disarm(),
                next => {
                    let when = self.cycle(next).max(self.now + 1);
                    self.wheel.at_fifo(when, fifo);
                }
            }
        } else if from < NEVER {
            let when = self.cycle(from);
            self.wheel.at_fifo(when, fifo);
        } else if outs.count == 0 {
            self.fifos[fifo].disarm();
        }
    }

    /// Reads what visits of these routers will read, so that the host's memory serves them together
    /// and not one after the other.
    #[inline(always)]
    pub(super) fn touch_routers(&self, routers: &[u32]) {
        let mut seen = 0;
        let mut fifos = [0; super::AHEAD];
        for (fifo, &at) in fifos.iter_mut().zip(routers) {
            let router = &self.routers[at as usize];
            *fifo = router.first + (router.waiting[0].trailing_zeros() & 63);
        }
        let mut outs = [0; super::AHEAD];
        for (out, &fifo) in outs.iter_mut().zip(&fifos[..routers.len()]) {
            *out = self.fifos.touch(fifo);
        }
        for &out in &outs[..routers.len()] {
            // A broadcast has two outputs; the second one is the ramp, and a PE may have to be
            // woken behind it.
            for out in self.outs.iter().skip(out as usize).take(2) {
                let owner = self.fifos.touch_owner(out.dest);
                seen ^= owner.map_or(0, |pe| self.gates[pe as usize].wanted);
            }
        }
        std::hint::black_box(seen);
    }

    /// A visit of a router with contention (rules ). FIFOs that nobody competes with at present
    /// go their way; the others meet. `rivals` are the layout's.
    #[inline]
    pub(super) fn visit_router(&mut self, at: u32, rivals: &[[u64; 2]]) {
        let router = &mut self.routers[at as usize];
        if router.next != self.now {
            return;
        }
        router.next = u64::MAX;
        let next = match router.waiting {
            [one, 0] if one.is_power_of_two() => self.visit_alone(at, one.trailing_zeros()),
            waiting => self.visit_several(at, waiting, rivals),
        };
        if next < NEVER {
            let when = self.cycle(next).max(self.now + 1);
            self.wake_router(at, when);
        }
    }

    /// The visit of all that are not empty. Returns when the next visit is due.
    #[inline(never)]
    fn visit_several(&mut self, at: u32, waiting: [u64; 2], rivals: &[[u64; 2]]) -> u32 {
        let first = self.routers[at as usize].rivals;
        let mut meeting = [0; 2];
        let mut next = NEVER;
        for word in 0..2 {
            for bit in super::pe::bits(waiting[word]) {
                let rank = (64 * word + bit) as u32;
                let rivals = rivals[(first + rank) as usize];
                if rivals[0] & waiting[0] | rivals[1] & waiting[1] == 0 {
                    next = next.min(self.visit_alone(at, rank));
                } else {
                    meeting[word] |= 1 << bit;
                }
            }
        }
        if meeting == [0; 2] { next } else { next.min(self.arbitrate(at, meeting)) }
    }

    /// The visit of a FIFO that nobody competes with at present. Returns when it should be visited next.
    #[inline(always)]
    fn visit_alone(&mut self, at: u32, rank: u32) -> u32 {
        let fifo = self.routers[at as usize].first + rank;
        let outs = self.outs(fifo);
        let room = self.candidate_with_room(fifo, outs, Actor::router(at));
        let from = room.max(self.rate(outs));
        if from > self.tick() {
            return from;
        }
        let next = self.fire(fifo, outs);
        if next == NEVER {
            self.routers[at as usize].waiting[rank as usize >> 6] &= !(1 << (rank & 63));
        }
        next
    }

    /// The visit of those in `meeting`, each of whom may compete with another one. Returns when the next visit is due.
    #[inline(never)]
    fn arbitrate(&mut self, at: u32, meeting: [u64; 2]) -> u32 {
        let cursor = self.routers[at as usize].cursor;
        let mut visit = Visit {
            router: at,
            next: NEVER,
            closed: 0,
            fired: [(0, 0); 5],
            count: 0,
            lost_to: None,
            lost: false,
        };
        // In key order from the cursor on, wrapping (rule A-1).
        let [low, high] = meeting;
        let waiting = u128::from(high) << 64 | u128::from(low);
        let mut wrapped = waiting & !(u128::MAX << cursor);
        let mut ahead = waiting ^ wrapped;
        while ahead | wrapped != 0 {
            if ahead == 0 {
                (ahead, wrapped) = (wrapped, 0);
            }
            self.visit_rank(&mut visit, ahead.trailing_zeros());
            ahead &= ahead - 1;
        }
        if let Some(winner) = visit.lost_to {
            self.routers[at as usize].pass(visit.fired[winner].0);
        }
        // Who found an output taken or reserved may find it free after a cycle in which
        // something fired. After one in which nothing did, the visit would go the same way
        // until one of the noted times.
        if visit.lost && visit.count > 0 {
            visit.next = self.tick() + 1;
        }
        visit.next
    }

    #[inline(always)]
    fn visit_rank(&mut self, visit: &mut Visit, rank: u32) {
        let fifo = self.routers[visit.router as usize].first + rank;
        let outs = self.outs(fifo);
        let room = self.candidate_with_room(fifo, outs, Actor::router(visit.router));
        if room > self.tick() {
            visit.next = visit.next.min(room);
            return;
        }
        let rate = self.rate(outs);
        let disputed = visit.closed & outs.ports != 0;
        visit.closed |= outs.ports;
        if disputed || rate > self.tick() {
            visit.reserve(outs.ports);
            visit.lost |= disputed;
            if !disputed {
                visit.next = visit.next.min(rate);
            }
            return;
        }
        visit.fired[visit.count] = (rank as u8, outs.ports);
        visit.count += 1;
        let next = self.fire(fifo, outs);
        visit.next = visit.next.min(next);
        if next == NEVER {
            let waiting = &mut self.routers[visit.router as usize].waiting;
            waiting[rank as usize >> 6] &= !(1 << (rank & 63));
        }
    }
}

impl super::net::Router {
    /// The cursor moves past the FIFO `rank` (rule A-5).
    #[inline(always)]
    fn pass(&mut self, rank: u8) {
        self.cursor = if rank + 1 == self.count { 0 } else { rank + 1 };
    }
}

/// What is known in the middle of a visit of a router.
struct Visit {
    router: u32,
    /// The next tick at which something may change by itself.
    next: u32,
    /// Output ports that are taken or reserved.
    closed: u8,
    /// Rank and output ports of those that fired, in the order of the visit; each takes an output.
    fired: [(u8, u8); 5],
    /// How many those are.
    count: usize,
    /// The first of them to whom another candidate lost (rule A-5).
    lost_to: Option<usize>,
    /// Some candidate found an output taken or reserved.
    lost: bool,
}

impl Visit {
    /// A candidate reserves all its outputs (rule A-4).
    fn reserve(&mut self, ports: u8) {
        let winner = self.fired[..self.count].iter().position(|(_, taken)| taken & ports != 0);
        self.lost_to = self.lost_to.into_iter().chain(winner).min();
    }
}
