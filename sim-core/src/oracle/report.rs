//! How a run ended that came to rest by itself: rule E-2.

use super::Wafer;
use super::fifo::Fifo;
use crate::run::{Head, StopReason, Wait};
use fabric::PeIdx;
use pe_isa::Cycle;

impl Wafer<'_> {
    /// E-2: `Finished` or `Deadlock`, nothing being able to happen any more at `t`.
    pub(super) fn at_rest(&self, t: Cycle) -> StopReason {
        let runs = |pe: &super::Pe| pe.main.is_some() || pe.micro.iter().any(Option::is_some);
        let running = self.pes.iter().flatten().any(runs);
        let lanes = self.lanes.iter().enumerate();
        let mut unsent = lanes.map(|(port, lane)| self.script(port).len() - lane.sent);
        let routers = self.routers.iter().flat_map(|r| r.fifos.values());
        let pes = self.pes.iter().flatten();
        let queues = pes.flat_map(|pe| pe.bound_inputs().chain(pe.bound_outputs()));
        let left = routers.chain(queues).any(|fifo| !fifo.is_empty());
        if !running && !left && unsent.all(|n| n == 0) {
            return StopReason::Finished;
        }
        StopReason::Deadlock { waits: self.waits(t), heads: self.heads() }
    }

    fn waits(&self, t: Cycle) -> Vec<Wait> {
        let mut waits = Vec::new();
        for (at, pe) in self.pes.iter().enumerate() {
            let Some(pe) = pe else { continue };
            for thread in 0..=pe.micro.len() {
                let Some(waiting) = pe.waiting(thread, t) else {
                    continue;
                };
                waits.push(Wait {
                    pe: PeIdx(at as u32),
                    microthread: thread.checked_sub(1).map(|u| u as u8),
                    instruction: waiting.instruction,
                    waits_for: waiting.unmet.expect("a thread at rest waits for something"),
                    since: waiting.since,
                });
            }
        }
        waits
    }

    fn heads(&self) -> Vec<Head> {
        let mut heads = Vec::new();
        for (at, router) in self.routers.iter().enumerate() {
            let pe = PeIdx(at as u32);
            let waiting = router.fifos.iter().filter(|(_, fifo)| !fifo.is_empty());
            heads.extend(waiting.map(|(&(port, color), fifo)| Head {
                port: Some(port),
                selected: router.selected[&color],
                ..head(pe, fifo)
            }));
            let inputs = self.pes[at].iter().flat_map(|pe| pe.bound_inputs());
            let waiting = inputs.filter(|fifo| !fifo.is_empty());
            let mut waiting: Vec<_> = waiting.map(|fifo| head(pe, fifo)).collect();
            waiting.sort();
            heads.extend(waiting);
        }
        heads
    }
}

/// The head of an input queue that is not empty.
fn head(pe: PeIdx, fifo: &Fifo) -> Head {
    let control = fifo.first().is_some_and(|wavelet| wavelet.control);
    let words = fifo.words() as u32;
    Head { pe, port: None, color: fifo.color, words, control, selected: 0 }
}
