//! Links and their rate (rule L-1).

use pe_isa::Ratio;

/// One output of a router, or a port of the host.
#[derive(Debug, Clone, Copy, Default)]
struct Link {
    /// First tick at which the next one may leave.
    next: u32,
    /// The last departure.
    last: u32,
    /// The departures of the last cycles: bit *i* stands for `last` − *i*.
    recent: u32,
    /// Place of the oldest departure in the history.
    oldest: u32,
}

/// Longest period p whose departures fit [`Link::recent`].
const MASK_CYCLES: u32 = 32;

/// All links.
#[derive(Debug, Clone)]
pub(super) struct Links {
    list: Vec<Link>,
    /// For each link the last q departures, each as departure + p; only with long periods.
    history: Vec<u32>,
    p: u32,
    q: u32,
}

impl Links {
    pub(super) fn new(rate: Ratio) -> Links {
        Links { list: Vec::new(), history: Vec::new(), p: rate.num(), q: rate.den() }
    }

    /// Whether a FIFO that sends at most once a cycle can meet the rate's limit at all.
    #[inline(always)]
    pub(super) fn is_limited(&self) -> bool {
        self.p != 1
    }

    /// At most q departures in any p cycles, as p and q.
    pub(super) fn rate(&self) -> (u32, u32) {
        (self.p, self.q)
    }

    /// Adds `count` links and returns the index of the first.
    pub(super) fn add(&mut self, count: usize) -> u32 {
        let first = self.list.len();
        self.list.resize(first + count, Link::default());
        if self.p > MASK_CYCLES {
            let history = self.list.len() * self.q as usize;
            self.history.resize(history, 0);
        }
        first as u32
    }

    /// The first tick at which a wavelet may leave.
    #[inline(always)]
    pub(super) fn next(&self, at: u32) -> u32 {
        self.list[at as usize].next
    }

    /// A wavelet leaves at `now`.
    #[inline(always)]
    pub(super) fn depart(&mut self, at: u32, now: u32) {
        if self.p == 1 {
            return;
        }
        let link = &mut self.list[at as usize];
        if self.p > MASK_CYCLES {
            self.depart_by_history(at, now);
            return;
        }
        // The departures in now − p + 2 … now are at most q. If they are q, the next one must wait
        // until p cycles after the oldest of them.
        let recent = link.recent.checked_shl(now - link.last).unwrap_or(0) | 1;
        link.last = now;
        link.recent = recent;
        let window = recent & ((1 << (self.p - 1)) - 1);
        let oldest = 31 - window.leading_zeros();
        let full = window.count_ones() >= self.q;
        link.next = if full { now - oldest + self.p } else { now + 1 };
    }

    fn depart_by_history(&mut self, at: u32, now: u32) {
        let link = &mut self.list[at as usize];
        let history = at as usize * self.q as usize;
        self.history[history + link.oldest as usize] = now + self.p;
        link.oldest += 1;
        if link.oldest == self.q {
            link.oldest = 0;
        }
        link.next = (now + 1).max(self.history[history + link.oldest as usize]);
    }

    /// Moves all times `span` ticks towards zero.
    pub(super) fn rebase(&mut self, span: u32) {
        for link in &mut self.list {
            link.next = link.next.saturating_sub(span);
            // What is further back than the mask need not be told apart.
            let shift = span.saturating_sub(link.last);
            link.recent = link.recent.checked_shl(shift).unwrap_or(0);
            link.last = link.last.saturating_sub(span);
        }
        for departure in &mut self.history {
            *departure = departure.saturating_sub(span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn departures_keep_the_rate_and_none_waits_longer_than_it_must() {
        for (p, q) in [(9, 8), (1, 1), (2, 1), (5, 4), (32, 31), (33, 32), (40, 1), (100, 63)] {
            let mut links = Links::new(Ratio::new(p, q).unwrap());
            let link = links.add(1);
            let mut departures: Vec<u32> = Vec::new();
            let mut random = 7u32;
            for tick in 0..3_000 {
                let back = |n: usize| departures.len().checked_sub(n).map(|at| departures[at]);
                let allowed = back(1).is_none_or(|d| tick > d)
                    && back(q as usize).is_none_or(|d| tick >= d + p);
                assert_eq!(links.next(link) <= tick, allowed, "{p}/{q} at {tick}");
                random = random.wrapping_mul(1664525).wrapping_add(1013904223);
                let quiet = (tick / 200) % 2 == 1;
                if allowed && (!quiet || random >> 30 == 0) {
                    links.depart(link, tick);
                    departures.push(tick);
                }
            }
        }
    }
}
