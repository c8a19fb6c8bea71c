//! Sums of the vectors of all PEs of a row, at its west end.

use super::broadcast::in_row;
use super::draft::{Draft, Region, row, sum, vector};
use super::error::KernelError;
use super::params::{Args, B, P};
use super::{Entry, formula};
use crate::asm::{Asm, SWITCH_FIRST, n};
use crate::emit::collective;
use crate::lines::{COLUMN, LinePos, ROW};
use fabric::{Machine, Port, Ports, Position, Route};
use pe_isa::{DType, VecOp};

/// Everybody sends to the root.
pub(super) const STAR: Entry = Entry {
    name: "star-reduce",
    about: "every PE of a row sends its vector to the first, which adds them all",
    params: &[P, B],
    make: star,
};

/// Everybody adds its own to what comes from its neighbour.
pub(super) const CHAIN: Entry = Entry {
    name: "chain-reduce",
    about: "a sum goes west along a row; every PE adds its vector to it",
    params: &[P, B],
    make: chain,
};

/// Chains in groups, then a chain of the groups.
pub(super) const TWO_PHASE: Entry = Entry {
    name: "two-phase-reduce",
    about: "chain reduce in groups of about the square root of P, then over the groups",
    params: &[P, B],
    make: two_phase,
};

fn star(machine: &Machine, args: &Args) -> Result<Draft, KernelError> {
    let (p, b) = (args.get("P"), args.get("B"));
    let color = ROW.even;
    let v = Region::vector("v", 0, b);
    let mut draft = Draft::new(machine);
    for x in 0..p {
        let mut asm = Asm::new();
        if x == 0 {
            draft.route(row(x), color, Port::East, Ports::one(Port::Ramp));
            // One operation for all vectors: dispatch is paid once.
            let source = asm.from(color, DType::F32);
            let repeated = crate::asm::mem(v.address, &[0, 1], DType::F32);
            asm.vec(VecOp::Add, &[n(p - 1), n(b)], repeated.clone(), source, repeated);
        } else {
            let west = Ports::one(Port::West);
            let own = Position { rx: Port::Ramp, tx: west };
            let others = Position { rx: Port::East, tx: west };
            let last = x + 1 == p;
            let positions = if last { vec![own] } else { vec![own, others] };
            draft.routes(row(x)).add(Route { color, positions });
            let target = asm.to(color, DType::F32);
            asm.mov(&[n(b)], target, v.flat());
            if !last {
                asm.send_control(color, SWITCH_FIRST);
            }
        }
        asm.end();
        draft.place(row(x), asm, v.end(), &[(&v, vector(x, b))]);
    }
    draft.result(row(0), &v, &sum(p, b));
    // A control wavelet that took longer to make than a word would leave a gap behind the first vector.
    if formula::flows_freely(machine) && machine.pe.cost.scalar_cycles == 1 {
        // All words one after another into the root, and a control wavelet behind every vector but the last.
        let words = u64::from(p - 1) * u64::from(b) + u64::from(p - 2);
        draft.cycles(formula::stop(machine, formula::way(machine, 1) + words));
    }
    Ok(draft)
}

fn chain(machine: &Machine, args: &Args) -> Result<Draft, KernelError> {
    let (p, b) = (args.get("P"), args.get("B"));
    let v = Region::vector("v", 0, b);
    let mut draft = Draft::new(machine);
    for x in 0..p {
        let line = in_row(x, p);
        line.route_chain(draft.routes(row(x)), Port::West, Port::East);
        let mut asm = Asm::new();
        collective::reduce(&mut asm, &line, VecOp::Add, &[n(b)], &v.flat(), DType::F32);
        asm.end();
        draft.place(row(x), asm, v.end(), &[(&v, vector(x, b))]);
    }
    draft.result(row(0), &v, &sum(p, b));
    if formula::flows(machine) {
        let work = u64::from(p - 1) * formula::way(machine, 1) + formula::stream(machine, b) + 1;
        draft.cycles(formula::stop(machine, work));
    }
    Ok(draft)
}

/// PEs of a group: the square root of `p`, rounded up.
fn group(p: u32) -> u32 {
    let root = p.isqrt();
    if root * root < p { root + 1 } else { root }
}

fn two_phase(machine: &Machine, args: &Args) -> Result<Draft, KernelError> {
    let (p, b) = (args.get("P"), args.get("B"));
    let size = group(p);
    let groups = p.div_ceil(size);
    let v = Region::vector("v", 0, b);
    let mut draft = Draft::new(machine);
    for x in 0..p {
        let (of, at) = (x / size, x % size);
        let inner = LinePos { at, len: size.min(p - of * size), root: 0, colors: ROW };
        inner.route_chain(draft.routes(row(x)), Port::West, Port::East);
        let mut asm = Asm::new();
        collective::reduce(&mut asm, &inner, VecOp::Add, &[n(b)], &v.flat(), DType::F32);
        if at == 0 {
            let outer = LinePos { at: of, len: groups, root: 0, colors: COLUMN };
            if let Some(color) = outer.outgoing() {
                draft.path(color, row(x), row(x - size));
            }
            collective::reduce(&mut asm, &outer, VecOp::Add, &[n(b)], &v.flat(), DType::F32);
        }
        asm.end();
        draft.place(row(x), asm, v.end(), &[(&v, vector(x, b))]);
    }
    draft.result(row(0), &v, &sum(p, b));
    // A smaller last group would send while the others' chains still use the links.
    if formula::flows_freely(machine) && p == size * groups {
        let work = two_phase_work(machine, p, b);
        draft.cycles(formula::stop(machine, work));
    }
    Ok(draft)
}

/// Cycles from the first step to the end of the last one where all groups are alike: a chain in each of them, then a
/// second operation of all heads.
fn two_phase_work(machine: &Machine, p: u32, b: u32) -> u64 {
    let size = group(p);
    let more = u64::from(p.div_ceil(size) - 1);
    let chain = u64::from(size - 1) * formula::way(machine, 1) + u64::from(b);
    if more == 0 {
        return chain;
    }
    let second = formula::first_step(machine) + more * formula::way(machine, size) + u64::from(b);
    chain + second
}
