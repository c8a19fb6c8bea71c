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

    /// A visit of a router with contention (rules ).
    #[inline]
    pub(super) fn visit_router(&mut self, at: u32) {
        let router = &mut self.routers[at as usize];
        if router.next != self.now {
            return;
        }
        router.next = u64::MAX;
        match router.waiting {
            [one, 0] if one.is_power_of_two() => self.visit_alone(at, one.trailing_zeros()),
            _ => self.arbitrate(at),
        }
    }

    /// The visit of a router with one FIFO that is not empty: [`Net::arbitrate`] with nobody to meet.
    #[inline(always)]
    fn visit_alone(&mut self, at: u32, rank: u32) {
        let fifo = self.routers[at as usize].first + rank;
        let outs = self.outs(fifo);
        let room = self.candidate_with_room(fifo, outs, Actor::router(at));
        let from = room.max(self.rate(outs));
        let next = if from > self.tick() {
            from
        } else {
            let next = self.fire(fifo, outs);
            let router = &mut self.routers[at as usize];
            router.pass(rank);
            if next == NEVER {
                router.waiting[0] = 0;
            }
            next
        };
        if next != NEVER {
            let when = self.cycle(next).max(self.now + 1);
            self.wake_router(at, when);
        }
    }

    #[inline(never)]
    fn arbitrate(&mut self, at: u32) {
        let router = &self.routers[at as usize];
        let mut visit = Visit {
            router: at,
            next: NEVER,
            taken: 0,
            first_fired: None,
            reserved_before: false,
            lost: false,
        };
        // In key order from the cursor on, wrapping (rule A-1).
        let [low, high] = router.waiting;
        let waiting = u128::from(high) << 64 | u128::from(low);
        let mut wrapped = waiting & !(u128::MAX << router.cursor);
        let mut ahead = waiting ^ wrapped;
        while ahead | wrapped != 0 {
            if ahead == 0 {
                (ahead, wrapped) = (wrapped, 0);
            }
            self.visit_rank(&mut visit, ahead.trailing_zeros());
            ahead &= ahead - 1;
        }
        if let Some(fired) = visit.first_fired {
            if !visit.reserved_before {
                self.routers[at as usize].pass(fired);
            }
            // Who found an output taken or reserved may find it free after a cycle in which
            // something fired. After one in which nothing did, the visit would go the same way
            // until one of the noted times.
            if visit.lost {
                visit.next = self.tick() + 1;
            }
        }
        if visit.next < NEVER {
            let when = self.cycle(visit.next).max(self.now + 1);
            self.wake_router(at, when);
        }
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
        let disputed = visit.taken & outs.ports != 0;
        visit.taken |= outs.ports;
        if disputed || rate > self.tick() {
            // Rule A-4: it reserves all its outputs.
            visit.reserved_before |= visit.first_fired.is_none();
            visit.lost |= disputed;
            if !disputed {
                visit.next = visit.next.min(rate);
            }
            return;
        }
        visit.first_fired.get_or_insert(rank);
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
    fn pass(&mut self, rank: u32) {
        let behind = rank as u8 + 1;
        self.cursor = if behind == self.count { 0 } else { behind };
    }
}

/// What is known in the middle of a visit of a router.
struct Visit {
    router: u32,
    /// The next tick at which something may change by itself.
    next: u32,
    /// Output ports that are taken or reserved.
    taken: u8,
    first_fired: Option<u32>,
    /// Some candidate reserved before the first one fired (rule A-5).
    reserved_before: bool,
    /// Some candidate found an output taken or reserved.
    lost: bool,
}
