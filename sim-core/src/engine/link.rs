//! Links and their rate (rule L-1).

use pe_isa::Ratio;

/// One output of a router, or a port of the host.
#[derive(Debug, Clone, Copy, Default)]
struct Link {
    /// Wavelets sent (rule X-2).
    sent: u64,
    /// First tick at which the next one may leave.
    next: u32,
    /// Place of the oldest departure in the history.
    oldest: u32,
}

/// All links.
#[derive(Debug, Clone)]
pub(super) struct Links {
    list: Vec<Link>,
    /// For each link the last q departures, each as departure + p; nothing at one wavelet a cycle.
    history: Vec<u32>,
    p: u32,
    q: u32,
}

impl Links {
    pub(super) fn new(rate: Ratio) -> Links {
        Links { list: Vec::new(), history: Vec::new(), p: rate.num(), q: rate.den() }
    }

    /// Whether a FIFO that sends at most once a cycle can meet the rate's limit at all.
    pub(super) fn is_limited(&self) -> bool {
        (self.p, self.q) != (1, 1)
    }

    /// Adds `count` links and returns the index of the first.
    pub(super) fn add(&mut self, count: usize) -> u32 {
        let first = self.list.len();
        self.list.resize(first + count, Link::default());
        if self.is_limited() {
            let history = self.list.len() * self.q as usize;
            self.history.resize(history, 0);
        }
        first as u32
    }

    /// The first tick at which a wavelet may leave.
    #[inline]
    pub(super) fn next(&self, at: u32) -> u32 {
        self.list[at as usize].next
    }

    /// A wavelet leaves at `now`.
    #[inline]
    pub(super) fn depart(&mut self, at: u32, now: u32) {
        let link = &mut self.list[at as usize];
        link.sent += 1;
        if (self.p, self.q) == (1, 1) {
            return;
        }
        let history = at as usize * self.q as usize;
        self.history[history + link.oldest as usize] = now + self.p;
        link.oldest += 1;
        if link.oldest == self.q {
            link.oldest = 0;
        }
        link.next = (now + 1).max(self.history[history + link.oldest as usize]);
    }

    /// Counts a wavelet on an output without a rate: the ramp.
    #[inline]
    pub(super) fn count(&mut self, at: u32) {
        self.list[at as usize].sent += 1;
    }

    pub(super) fn sent(&self, at: u32) -> u64 {
        self.list[at as usize].sent
    }

    /// Moves all times `span` ticks towards zero.
    pub(super) fn rebase(&mut self, span: u32) {
        for link in &mut self.list {
            link.next = link.next.saturating_sub(span);
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
    fn a_saturated_link_of_nine_eighths_sends_eight_wavelets_in_nine_cycles() {
        let mut links = Links::new(Ratio::new(9, 8).unwrap());
        let link = links.add(1);
        let mut departures = Vec::new();
        for now in 0..90 {
            if links.next(link) <= now {
                links.depart(link, now);
                departures.push(now);
            }
        }
        assert_eq!(departures.len(), 80);
        for pair in departures.windows(9) {
            assert!(pair[8] >= pair[0] + 9);
        }
    }
}
