//! Reduce-scatter, all-gather and all-reduce on a ring: a row whose last PE sends back to the first over the whole row.
//!
//! The vector is cut into a part for each PE. In every round each PE sends one part to its neighbour and receives
//! another. It sends from memory in a microthread and receives in the main thread: a ring in which everybody sends on
//! what it receives without storing it would have nowhere to put a part, and stand still.

use super::Entry;
use super::draft::{Draft, Region, row, sum, vector};
use super::error::KernelError;
use super::params::{Args, B, P};
use crate::asm::{Asm, Mem, mem, n};
use crate::lines::{LineColors, ROW};
use crate::split::Split;
use fabric::Machine;
use pe_isa::{Color, DType, VecOp};

/// Sum to parts.
pub(super) const REDUCE_SCATTER: Entry = Entry {
    name: "reduce-scatter",
    about: "each PE of a row ends with its part of the sum of all vectors, on a ring",
    params: &[P, B],
    make: reduce_scatter,
};

/// Parts to whole.
pub(super) const ALL_GATHER: Entry = Entry {
    name: "all-gather",
    about: "each PE of a row gives its part to all others, on a ring",
    params: &[P, B],
    make: all_gather,
};

/// Sum to all.
pub(super) const ALL_REDUCE: Entry = Entry {
    name: "ring-all-reduce",
    about: "each PE of a row ends with the sum of all vectors: reduce-scatter, then all-gather",
    params: &[P, B],
    make: all_reduce,
};

/// A PE's place in a ring.
#[derive(Debug, Clone, Copy)]
struct Ring {
    x: u32,
    p: u32,
    parts: Split,
}

/// The color on which the PE at place `at` of a ring of `p` sends; the last one's goes back over the whole line.
pub(super) fn color(at: u32, p: u32, colors: LineColors) -> Color {
    match at {
        _ if at + 1 == p => colors.broadcast,
        _ if at.is_multiple_of(2) => colors.even,
        _ => colors.odd,
    }
}

impl Ring {
    /// The part that this PE sends in round `round` of a phase in which it first sends part `first`.
    fn part(self, first: u32, round: u32) -> u32 {
        (first + self.p - round % self.p) % self.p
    }

    /// The part of the sum that this PE has after a reduce-scatter.
    fn own(self) -> u32 {
        (self.x + 1) % self.p
    }

    /// The elements of a part, and their number.
    fn slice(self, part: u32) -> (Mem, u32) {
        (mem(4 * self.parts.start(part), &[1], DType::F32), self.parts.len(part))
    }

    /// P − 1 rounds, beginning with the sending of part `first`; what is received is added or, if `keeps`, kept.
    fn phase(self, asm: &mut Asm, first: u32, keeps: bool) {
        let t = DType::F32;
        let before = (self.x + self.p - 1) % self.p;
        let (from, to) = (color(before, self.p, ROW), color(self.x, self.p, ROW));
        for round in 0..self.p - 1 {
            // Parts of no elements, where there are more PEs than elements, take a round like any other.
            let (part, len) = self.slice(self.part(first, round));
            let target = asm.to(to, t);
            asm.mov_async(0, &[n(len)], target, part);
            let (part, len) = self.slice(self.part(first, round + 1));
            let source = asm.from(from, t);
            if keeps {
                asm.mov(&[n(len)], part, source);
            } else {
                asm.vec(VecOp::Add, &[n(len)], part.clone(), source, part);
            }
        }
    }
}

/// What a PE's vector holds, B elements.
struct Values {
    /// Before cycle 0.
    before: Vec<f32>,
    /// After the run.
    after: Vec<f32>,
    /// The part that counts after the run; all if none.
    part: Option<u32>,
}

/// Routes the ring, and programs each PE: `program` writes its instructions and says what its vector holds.
fn ring(machine: &Machine, args: &Args, program: impl Fn(&mut Asm, Ring) -> Values) -> Draft {
    let (p, b) = (args.get("P"), args.get("B"));
    let mut draft = Draft::new(machine);
    let parts = Split::new(b, p);
    let v = Region::vector("v", 0, b);
    for x in 0..p {
        draft.path(color(x, p, ROW), row(x), row((x + 1) % p));
        let ring = Ring { x, p, parts };
        let mut asm = Asm::new();
        let Values { before, after, part } = program(&mut asm, ring);
        asm.end();
        draft.place(row(x), asm, v.end(), &[(&v, before)]);
        match part {
            None if x == 0 => draft.result(row(x), &v, &after),
            None => draft.expect(row(x), &v, &after),
            Some(part) if parts.len(part) > 0 => {
                let (start, len) = (parts.start(part), parts.len(part));
                let region = Region::vector("part", 4 * start, len);
                draft.result(row(x), &region, &after[start as usize..(start + len) as usize]);
            }
            Some(_) => {}
        }
    }
    draft
}

fn reduce_scatter(machine: &Machine, args: &Args) -> Result<Draft, KernelError> {
    Ok(ring(machine, args, |asm, ring| {
        ring.phase(asm, ring.x, false);
        let b = ring.parts.total();
        Values { before: vector(ring.x, b), after: sum(ring.p, b), part: Some(ring.own()) }
    }))
}

fn all_gather(machine: &Machine, args: &Args) -> Result<Draft, KernelError> {
    Ok(ring(machine, args, |asm, ring| {
        ring.phase(asm, ring.own(), true);
        let whole = vector(1, ring.parts.total());
        let mut before = vec![0.0; whole.len()];
        let own = ring.own();
        let range = ring.parts.start(own) as usize..ring.parts.end(own) as usize;
        before[range.clone()].copy_from_slice(&whole[range]);
        Values { before, after: whole, part: None }
    }))
}

fn all_reduce(machine: &Machine, args: &Args) -> Result<Draft, KernelError> {
    Ok(ring(machine, args, |asm, ring| {
        ring.phase(asm, ring.x, false);
        ring.phase(asm, ring.own(), true);
        let b = ring.parts.total();
        Values { before: vector(ring.x, b), after: sum(ring.p, b), part: None }
    }))
}
