//! What the timing contract makes of the published formulas: the same programs, counted by its rules. Where a row
//! cites one of these, the simulation must come to it, to the cycle or within what the cause of the row predicts.

use compiler::kernels::formula::{first_step, start, stream, way};
use fabric::Machine;

/// A star: the formula's words, a hop, and a control wavelet behind each vector but the last.
pub(super) fn star(m: &Machine, p: u32, b: u32) -> u64 {
    let words = u64::from(p - 1) * u64::from(b) + u64::from(p - 2);
    way(m, 1) + words
}

/// Two phases, one after the other, `p` a square: a chain in each group, a dispatch, a chain of the heads.
pub(super) fn two_phase(m: &Machine, p: u32, b: u32) -> u64 {
    let size = p.isqrt();
    let chain = |hops: u32| u64::from(size - 1) * way(m, hops) + u64::from(b);
    chain(1) + first_step(m) + chain(size)
}

/// A tree whose rounds share no link: a round begins when the one before is added up and the next operation is
/// dispatched, or when its words have come their way, whichever is later.
pub(super) fn tree_floor(m: &Machine, p: u32, b: u32) -> u64 {
    let b = u64::from(b);
    let round = |r: u32| (b + first_step(m)).max(way(m, 1 << r));
    way(m, 1) + (1..p.ilog2()).map(round).sum::<u64>() + b
}

/// Link slots that rounds can lose to words of later ones, which enter the links before their turn. To the second round:
/// what stands in the root's router and input queue. To later ones: a bound that was found by running all sizes, not derived.
pub(super) fn tree_slots(m: &Machine, p: u32, b: u32) -> u64 {
    let held = u64::from(m.fabric.queue_depth) + u64::from(m.pe.input_queues[0]);
    let slots = |r: u32| if r == 1 { held + m.pe.ramp_cycles } else { (1 << r) + 3 };
    (1..p.ilog2()).map(|r| slots(r).min(b.into())).sum()
}

/// A ring of store and forward. A round is the steps of its two operations, one to receive and one to send each word,
/// or the way of a part to the next PE, whichever is longer; with the issue and the dispatch.
pub(super) fn ring(m: &Machine, p: u32, b: u32) -> u64 {
    let rounds = 2 * u64::from(p - 1);
    let part = u64::from(b.div_ceil(p));
    let issue = first_step(m) + 1;
    let round = (2 * part).max(part + way(m, 1)) + issue;
    // A single word is in one PE only, which then never sends and receives in one round: a cycle less in P - 2 rounds.
    let alone = if b == 1 { u64::from(p - 2) } else { 0 };
    rounds * round - issue - 1 - alone
}

/// Stages one after another: a launch, a dispatch, a hop, and all words.
pub(super) fn relay(m: &Machine, n: u32, b: u32) -> u64 {
    u64::from(n) * (start(m) + way(m, 1) + stream(m, b) + 1)
}
