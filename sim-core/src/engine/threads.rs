//! Threads: who visits which domains.

use super::Layout;
use super::domain::Domain;
use super::pe::Trap;
use crate::observe::NoObserver;
use std::sync::Arc;

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
    /// `count` threads for `domains` domains: no more than there is work for.
    ///
    /// # Panics
    /// When the host gives no more threads.
    pub(super) fn new(count: usize, domains: usize) -> Threads {
        let count = count.min(domains);
        let pool = (count > 1).then(|| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(count - 1).build();
            Arc::new(pool.expect("the host gives threads"))
        });
        Threads { pool, count, least_visits: LEAST_VISITS * count }
    }

    /// Has every cycle shared.
    pub(super) fn share_all(&mut self) {
        self.least_visits = 0;
    }

    /// Whether the visits of this cycle are to be shared.
    pub(super) fn share(&self, domains: &[Domain]) -> bool {
        let due = |d: &Domain| d.net.wheel.due(d.net.now);
        self.pool.is_some() && domains.iter().map(due).sum::<usize>() >= self.least_visits
    }

    /// [`Domain::cycle`] of all domains, shared.
    pub(super) fn cycle(&self, domains: &mut [Domain], layout: &Layout) -> Option<Trap> {
        let pool = self.pool.as_ref().expect("more than one thread");
        let visit = |domains: &mut [Domain]| {
            let traps = domains.iter_mut().map(|d| d.cycle(layout, &mut NoObserver));
            traps.fold(None, Option::or)
        };
        let mut groups = domains.chunks_mut(domains.len().div_ceil(self.count));
        let own = groups.next().expect("there is a domain");
        let mut first = None;
        let mut others = vec![None; self.count - 1];
        pool.in_place_scope(|scope| {
            for (group, trap) in groups.zip(&mut others) {
                scope.spawn(move |_| *trap = visit(group));
            }
            first = visit(own);
        });
        others.into_iter().fold(first, Option::or)
    }
}
