//! Threads: who visits which domains.

use super::Layout;
use super::domain::Domain;
use super::pe::Trap;
use crate::observe::NoObserver;
use std::sync::{Arc, Mutex};

/// Visits that a cycle must have for each thread, so that they outweigh the hand-over to the others, some microseconds.
const LEAST_VISITS: usize = 128;

/// The threads of an engine: the one that calls it, and those of a pool.
#[derive(Debug, Clone)]
pub(super) struct Threads {
    pool: Option<Arc<rayon::ThreadPool>>,
    count: usize,
    /// Cycles with fewer visits are not shared.
    least_visits: usize,
}

impl Threads {
    /// `count` threads for `domains` domains: no more than there is work for, and one where the host gives no more.
    pub(super) fn new(count: usize, domains: usize) -> Threads {
        let count = count.min(domains);
        let more = (count > 1).then(|| rayon::ThreadPoolBuilder::new().num_threads(count - 1));
        let pool = more.and_then(|pool| pool.build().ok()).map(Arc::new);
        let count = if pool.is_some() { count } else { 1 };
        Threads { pool, count, least_visits: LEAST_VISITS * count }
    }

    /// How many there are, that which calls included.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Has every cycle shared.
    pub(super) fn share_all(&mut self) {
        self.least_visits = 0;
    }

    /// Whether the visits of cycle `now` are to be shared.
    #[inline(always)]
    pub(super) fn share(&self, domains: &[Domain], now: u64) -> bool {
        let due = |d: &Domain| if d.next == now { d.net.wheel.due(now) } else { 0 };
        self.pool.is_some() && domains.iter().map(due).sum::<usize>() >= self.least_visits
    }

    /// [`Domain::cycle`] of all domains with something to do, shared. A thread that has finished one takes the next; every
    /// other thread begins with the last ones, so that most domains stay with a thread, in whose cache they are.
    pub(super) fn cycle(&self, domains: &mut [Domain], layout: &Layout, now: u64) -> Option<Trap> {
        let due = Mutex::new(domains.iter_mut().filter(|d| d.next == now));
        let trap: Mutex<Option<Trap>> = Mutex::new(None);
        let work = |from_behind: bool| {
            let take = || {
                let mut due = due.lock().expect("no thread has panicked");
                if from_behind { due.next_back() } else { due.next() }
            };
            while let Some(domain) = take() {
                if let Some(new) = domain.cycle(now, layout, &mut NoObserver) {
                    let mut trap = trap.lock().expect("no thread has panicked");
                    *trap = trap.filter(|old| old.pe < new.pe).or(Some(new));
                }
            }
        };
        let pool = self.pool.as_ref().expect("more than one thread");
        pool.in_place_scope(|scope| {
            for thread in 1..self.count {
                scope.spawn(move |_| work(thread % 2 == 1));
            }
            work(false);
        });
        trap.into_inner().expect("no thread has panicked")
    }
}
