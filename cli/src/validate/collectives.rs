//! Collectives and messages against their published formulas.

use super::cause;
use super::contract;
use super::job::{Job, Plan};
use super::probe::{kernel_cycles, machine};
use super::published;
use super::row::{Allowed, Figure, Row};
use anyhow::Result;
use compiler::kernels::formula;
use fabric::Machine;

/// PEs in the row.
const P: [u32; 8] = [4, 8, 16, 32, 64, 128, 256, 512];
/// Those of them that are squares, and the largest square below 512.
const SQUARES: [u32; 5] = [4, 16, 64, 256, 484];
/// Wavelets.
const B: [u32; 7] = [1, 4, 16, 64, 256, 1024, 4096];

/// What the simulation may give, and why it is something else than published.
type Limits = fn(&Machine, u32, u32) -> (Option<u64>, Allowed, Option<usize>);

/// A formula and the kernel that it is about.
#[derive(Clone, Copy)]
struct Collective {
    title: &'static str,
    about: &'static str,
    kernel: &'static str,
    sizes: &'static [u32],
    published: fn(f64, f64) -> f64,
    limits: Limits,
    /// Wavelet hops of a run, about: what it takes to simulate.
    hops: fn(u64, u64) -> u64,
}

const COLLECTIVES: [Collective; 6] = [
    Collective {
        title: "Broadcast",
        about: "`broadcast`: B + P − 1 + 2 T_R + 1.",
        kernel: "broadcast",
        sizes: &P,
        published: published::broadcast,
        limits: |_, _, _| (None, Allowed::Exact, None),
        hops: |p, b| 2 * p * b,
    },
    Collective {
        title: "Star reduce",
        about: "`star-reduce`: B (P − 1) + 2 T_R + 1.",
        kernel: "star-reduce",
        sizes: &P,
        published: published::star,
        limits: |m, p, b| by(contract::star(m, p, b), cause::STAR),
        hops: |p, b| p * p * b / 2,
    },
    Collective {
        title: "Chain reduce",
        about: "`chain-reduce`: B + (2 T_R + 2)(P − 1).",
        kernel: "chain-reduce",
        sizes: &P,
        published: published::chain,
        limits: |_, _, _| (None, Allowed::Exact, None),
        hops: |p, b| 2 * p * b,
    },
    Collective {
        title: "Binary-tree reduce",
        about: "`tree-reduce`: max(B log2 P, B P / (2 (P − 1)) log2 P + P − 1) + (2 T_R + 1) log2 P. The column *contract* is the \
                floor of cause 2; *allowed* is how much may be on top.",
        kernel: "tree-reduce",
        sizes: &P,
        published: published::tree,
        limits: |m, p, b| {
            let more = if b <= 4 { 0 } else { contract::tree_slots(m, p, b) };
            (Some(contract::tree_floor(m, p, b)), Allowed::Above(more as f64), Some(cause::TREE))
        },
        hops: |p, b| p * b * u64::from(p.ilog2()),
    },
    Collective {
        title: "Two-phase reduce",
        about: "`two-phase-reduce`: T = max(C, E / N + L) + (2 T_R + 1) D with D = 2 √P − 2, C = 2 B, E = 2 B (P − √P), \
                N = L = P − 1; 484 is the largest square below 512.",
        kernel: "two-phase-reduce",
        sizes: &SQUARES,
        published: published::two_phase,
        limits: |m, p, b| by(contract::two_phase(m, p, b), cause::TWO_PHASE),
        hops: |p, b| 4 * p * b,
    },
    Collective {
        title: "Ring all-reduce",
        about: "`ring-all-reduce`: 2 (P − 1) B / P + 4 P − 6 + 2 (P − 1)(2 T_R + 1).",
        kernel: "ring-all-reduce",
        sizes: &P,
        published: published::ring,
        limits: |m, p, b| by(contract::ring(m, p, b), cause::RING),
        hops: |p, b| 4 * p * (b + p),
    },
];

fn by(contract: u64, cause: usize) -> (Option<u64>, Allowed, Option<usize>) {
    (Some(contract), Allowed::Contract, Some(cause))
}

/// Adds a section for each formula, on `wse2`, and one for the relay, on `wse3-sdk`.
pub(super) fn plan(plan: &mut Plan) {
    for collective in COLLECTIVES {
        plan.section(collective.title, collective.about);
        for (p, b) in grid(collective.sizes) {
            let hops = (collective.hops)(p.into(), b.into());
            plan.add(Job { weight: hops, measure: Box::new(move || measure(&collective, p, b)) });
        }
    }
    plan.section(
        "Relay",
        "`relay` on `wse3-sdk`, P standing for the N stages: 1.001 N B + 16.1 N + 16.5. The first eight rows are the \
         points of the published fit.",
    );
    let fitted = [1, 2, 4, 8].into_iter().flat_map(|n| [(n, 64), (n, 512)]);
    for (n, b) in fitted.chain(grid(&P)) {
        let weight = 4 * u64::from(n) * u64::from(b);
        plan.add(Job { weight, measure: Box::new(move || relay(n, b)) });
    }
}

fn grid(sizes: &'static [u32]) -> impl Iterator<Item = (u32, u32)> {
    sizes.iter().flat_map(|&p| B.into_iter().map(move |b| (p, b)))
}

fn measure(collective: &Collective, p: u32, b: u32) -> Result<Row> {
    let machine = machine("wse2", p, 1)?;
    let cycle = kernel_cycles(&machine, collective.kernel, &[("P", p), ("B", b)])?;
    let simulated = formula::work(&machine, cycle);
    let published = (collective.published)(p.into(), b.into());
    let limits = (collective.limits)(&machine, p, b);
    Ok(row("wse2", "HPDC", (p, b), published, simulated, limits))
}

fn relay(n: u32, b: u32) -> Result<Row> {
    let machine = machine("wse3-sdk", n + 1, 1)?;
    let simulated = kernel_cycles(&machine, "relay", &[("N", n), ("B", b)])?;
    let published = published::relay(n.into(), b.into());
    let limits = by(contract::relay(&machine, n, b), cause::RELAY);
    Ok(row("wse3-sdk", "SIM", (n, b), published, simulated, limits))
}

fn row(
    preset: &'static str,
    source: &'static str,
    (p, b): (u32, u32),
    published: f64,
    simulated: u64,
    (contract, allowed, cause): (Option<u64>, Allowed, Option<usize>),
) -> Row {
    Row {
        preset,
        what: format!("P = {p}, B = {b}"),
        unit: "cycles",
        source,
        published: published.into(),
        contract: contract.map(|c| c as f64),
        // A cause is for differences.
        cause: cause.filter(|_| Figure::from(published) != Figure::from(simulated)),
        simulated: simulated.into(),
        allowed,
    }
}
