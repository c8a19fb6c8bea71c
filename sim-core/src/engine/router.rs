//! Routers: one FIFO at a time where nothing is shared, by arbitration where outputs are.

use super::fifo::Wavelet;
use super::net::{Net, Outs};
use super::wheel::Actor;

/// What a FIFO of a router without contention does at a visit.
enum Ready {
    /// It fires.
    Now(Outs, Wavelet),
    /// Nothing before this tick.
    At(u32),
    /// Nothing before a wavelet leaves this full FIFO.
    Full(u32),
    /// Nothing before the switch turns.
    Unselected,
}

/// What a FIFO of a router with contention does at a visit.
enum Bid {
    /// It is no candidate, or a candidate without room, before this tick.
    At(u32),
    /// Its destination is full.
    Full(u32),
    /// The selected position takes from another port.
    Unselected,
    /// It wants its outputs, which are within their rate from this tick on.
    Wants(Outs, Wavelet, u32),
}

impl Net {
    #[inline(always)]
    fn ready(&self, fifo: u32) -> Ready {
        match self.bid(fifo) {
            Bid::Wants(outs, head, rate) if rate <= self.tick() => Ready::Now(outs, head),
            Bid::Wants(_, _, rate) => Ready::At(rate),
            Bid::At(tick) => Ready::At(tick),
            Bid::Full(dest) => Ready::Full(dest),
            Bid::Unselected => Ready::Unselected,
        }
    }

    /// Rules but for what other FIFOs take.
    #[inline(always)]
    fn bid(&self, fifo: u32) -> Bid {
        let now = self.tick();
        let head = self.fifos[fifo].head().expect("a visited FIFO has a head");
        let outs = self.outs(fifo);
        if outs.count == 0 {
            return Bid::Unselected;
        }
        let from = self.candidate_from(fifo, outs, head);
        if from > now {
            return Bid::At(from);
        }
        match self.room(outs) {
            Err(dest) => Bid::Full(dest),
            Ok(room) if room > now => Bid::At(room),
            Ok(_) => Bid::Wants(outs, head, self.rate(outs)),
        }
    }

    /// A visit of a FIFO that no other one of its router can disturb.
    #[inline]
    pub(super) fn visit_fifo(&mut self, fifo: u32) {
        match self.ready(fifo) {
            Ready::Now(outs, head) => {
                self.fire(fifo, outs, head);
                match self.fifos[fifo].head() {
                    Some(next) => {
                        let when = self.cycle(next.arrival).max(self.now + 1);
                        self.wheel.at_fifo(when, fifo);
                    }
                    None => self.fifos[fifo].disarm(),
                }
            }
            Ready::At(tick) => {
                let when = self.cycle(tick);
                self.wheel.at_fifo(when, fifo);
            }
            Ready::Full(dest) => self.fifos.wait(dest, Actor::fifo(fifo)),
            Ready::Unselected => self.fifos[fifo].disarm(),
        }
    }

    /// A visit of a router with contention (rules ).
    pub(super) fn visit_router(&mut self, at: u32) {
        let router = &mut self.routers[at as usize];
        if router.next != self.now {
            return;
        }
        router.next = u64::MAX;
        if router.waiting.is_power_of_two() {
            let rank = router.waiting.trailing_zeros();
            return self.visit_alone(at, rank);
        }
        // In key order from the cursor on, wrapping (rule A-1).
        let mut wrapped = router.waiting & !(u128::MAX << router.cursor);
        let mut ahead = router.waiting ^ wrapped;
        let mut visit = Visit {
            router: at,
            next: u64::MAX,
            taken: 0,
            first_fired: None,
            reserved_before: false,
            lost: false,
        };
        while ahead | wrapped != 0 {
            if ahead == 0 {
                (ahead, wrapped) = (wrapped, 0);
            }
            self.visit_rank(&mut visit, ahead.trailing_zeros());
            ahead &= ahead - 1;
        }
        if let Some(fired) = visit.first_fired {
            if !visit.reserved_before {
                let router = &mut self.routers[at as usize];
                router.cursor = if fired + 1 == router.count { 0 } else { fired + 1 };
            }
            // Who found an output taken or reserved may find it free after a cycle in which
            // something fired. After one in which nothing did, the visit would go the same way
            // until one of the noted times.
            if visit.lost {
                visit.next = self.now + 1;
            }
        }
        if visit.next < u64::MAX {
            self.wake_router(at, visit.next);
        }
    }

    /// The visit of a router with one FIFO that is not empty: the same with nobody to meet.
    #[inline(always)]
    fn visit_alone(&mut self, at: u32, rank: u32) {
        let fifo = self.routers[at as usize].first + rank;
        let next = match self.ready(fifo) {
            Ready::Now(outs, head) => {
                self.fire(fifo, outs, head);
                let next = self.fifos[fifo].head();
                let next = next.map(|w| self.cycle(w.arrival).max(self.now + 1));
                let router = &mut self.routers[at as usize];
                let behind = rank as u8 + 1;
                router.cursor = if behind == router.count { 0 } else { behind };
                match next {
                    Some(when) => when,
                    None => return router.waiting = 0,
                }
            }
            Ready::At(tick) => self.cycle(tick),
            Ready::Full(dest) => return self.fifos.wait(dest, Actor::router(at)),
            Ready::Unselected => return,
        };
        self.wake_router(at, next);
    }

    #[inline]
    fn visit_rank(&mut self, visit: &mut Visit, rank: u32) {
        let fifo = self.routers[visit.router as usize].first + rank;
        match self.bid(fifo) {
            Bid::Unselected => {}
            Bid::Full(dest) => self.fifos.wait(dest, Actor::router(visit.router)),
            Bid::At(tick) => visit.next = visit.next.min(self.cycle(tick)),
            Bid::Wants(outs, head, rate) => {
                let disputed = visit.taken & outs.ports != 0;
                visit.taken |= outs.ports;
                if disputed || rate > self.tick() {
                    // Rule A-4: it reserves all its outputs.
                    visit.reserved_before |= visit.first_fired.is_none();
                    visit.lost |= disputed;
                    if !disputed {
                        visit.next = visit.next.min(self.cycle(rate));
                    }
                    return;
                }
                visit.first_fired.get_or_insert(rank as u8);
                self.fire(fifo, outs, head);
                match self.fifos[fifo].head() {
                    Some(next) => {
                        let when = self.cycle(next.arrival).max(self.now + 1);
                        visit.next = visit.next.min(when);
                    }
                    None => self.routers[visit.router as usize].waiting &= !(1 << rank),
                }
            }
        }
    }
}

/// What is known in the middle of a visit of a router.
struct Visit {
    router: u32,
    /// The next cycle at which something may change by itself.
    next: u64,
    /// Output ports that are taken or reserved.
    taken: u8,
    first_fired: Option<u8>,
    /// Some candidate reserved before the first one fired (rule A-5).
    reserved_before: bool,
    /// Some candidate found an output taken or reserved.
    lost: bool,
}
