//! Published cycles of collectives and messages.
//!
//! Sources: Luczynski et al., *Near-Optimal Wafer-Scale Reduce*, HPDC 2024 (arXiv 2404.15888), on a WSE-2; FABRICA,
//! docs/PERFORMANCE_MODEL.md, on the vendor's simulator of a WSE-3. `p` PEs in a line, `b` wavelets, `tr` the cycles of
//! a ramp.

/// Cycles of a ramp (HPDC 2024).
pub(super) const RAMP: f64 = 2.0;

/// Broadcast in a row (HPDC 2024).
pub(super) fn broadcast(p: f64, b: f64) -> f64 {
    b + p - 1.0 + 2.0 * RAMP + 1.0
}

/// Star reduce (HPDC 2024).
pub(super) fn star(p: f64, b: f64) -> f64 {
    b * (p - 1.0) + 2.0 * RAMP + 1.0
}

/// Chain reduce (HPDC 2024).
pub(super) fn chain(p: f64, b: f64) -> f64 {
    b + (2.0 * RAMP + 2.0) * (p - 1.0)
}

/// Binary-tree reduce (HPDC 2024).
pub(super) fn tree(p: f64, b: f64) -> f64 {
    let rounds = p.log2();
    let links = b * p / (2.0 * (p - 1.0)) * rounds + p - 1.0;
    (b * rounds).max(links) + (2.0 * RAMP + 1.0) * rounds
}

/// Two-phase reduce (HPDC 2024) with groups of √p: `max(C, E / N + L) + (2 tr + 1) D` with depth `D` = 2√p − 2, most
/// elements through one PE `C` = 2b, element-hops `E` = 2b (p − √p), links `N` = p − 1, hops `L` = p − 1.
pub(super) fn two_phase(p: f64, b: f64) -> f64 {
    let s = p.sqrt();
    let links = 2.0 * b * (p - s) / (p - 1.0) + p - 1.0;
    (2.0 * b).max(links) + (2.0 * RAMP + 1.0) * (2.0 * s - 2.0)
}

/// Ring all-reduce in a row, the ring closed by a wire over the whole row (HPDC 2024).
pub(super) fn ring(p: f64, b: f64) -> f64 {
    2.0 * (p - 1.0) * b / p + 4.0 * p - 6.0 + 2.0 * (p - 1.0) * (2.0 * RAMP + 1.0)
}

/// `n` store-and-forward stages of `b` words on the vendor's simulator (FABRICA).
pub(super) fn relay(n: f64, b: f64) -> f64 {
    1.001 * n * b + 16.1 * n + 16.5
}
