//! What operations compute where there is no data (contract rules D-1 to D-4): SRAM holds nothing, and a word is either
//! known or void. What follows from known words alone is computed by [`crate::semantics`]; the rest is void.

use crate::instr::{AluOp, VecOp, Vector};
use crate::operand::{Operand, Reg, Size};
use crate::program::Program;
use crate::semantics::{self, Fault, Issued, Place};
use std::fmt;

/// A register or the payload of a wavelet: 32 known bits, or void (rule D-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Word {
    /// The bits; 0 where it is void.
    pub bits: u32,
    /// Whether nothing is known of it.
    pub void: bool,
}

impl Word {
    /// A word of which nothing is known.
    pub const VOID: Word = Word { bits: 0, void: true };

    /// A word of these bits.
    pub const fn known(bits: u32) -> Word {
        Word { bits, void: false }
    }

    /// The bits, unless it is void.
    pub fn bits(self) -> Option<u32> {
        (!self.void).then_some(self.bits)
    }
}

/// What would decide about time or control, and is void (rule D-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decider {
    /// The operand of a branch.
    Branch(Reg),
    /// The extent of a loop nest.
    Extent(Reg),
    /// The payload of a control wavelet, which is a list of switch commands.
    Control(Reg),
}

impl fmt::Display for Decider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (register, what) = match self {
            Decider::Branch(r) => (r, "the branch"),
            Decider::Extent(r) => (r, "the number of elements"),
            Decider::Control(r) => (r, "the switch commands"),
        };
        write!(f, "data decides here, and the run has none: {what} depends on {register}")
    }
}

/// The registers of a PE without data.
#[derive(Debug)]
pub struct Registers<'a> {
    /// Their bits; 0 where they are void.
    pub bits: &'a mut [u32],
    /// The void ones: bit *r* stands for register *r*.
    pub void: &'a mut u32,
}

impl Registers<'_> {
    /// What a register holds.
    pub fn get(&self, reg: Reg) -> Word {
        let at = usize::from(reg.0);
        Word { bits: self.bits[at], void: *self.void >> at & 1 != 0 }
    }

    /// Puts a word into a register.
    pub fn set(&mut self, reg: Reg, word: Word) {
        let at = usize::from(reg.0);
        self.bits[at] = word.bits;
        *self.void = (*self.void & !(1 << at)) | (u32::from(word.void) << at);
    }
}

/// Which elements searches over void ones find (rule D-4): those of a PE, by how many it has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draws {
    seed: u64,
    made: u64,
}

impl Draws {
    /// None made yet, by the PE in column `x` of row `y`, in a run with this seed.
    pub fn new(seed: u64, (x, y): (u32, u32)) -> Draws {
        let place = (u64::from(x) << 32) | u64::from(y);
        Draws { seed: mix(mix(seed) ^ place), made: 0 }
    }

    /// The element that the next search over `n` finds. Of `n` searches over `n` elements each finds another one: block
    /// after block of `n` draws is a permutation of its own.
    fn draw(&mut self, n: u32) -> u32 {
        let (block, place) = (self.made / u64::from(n), (self.made % u64::from(n)) as usize);
        self.made += 1;
        let mut state = mix(self.seed ^ mix(block));
        let mut order: Vec<u32> = (0..n).collect();
        for at in 0..=place {
            state = state.wrapping_add(GOLDEN);
            let left = u64::from(n) - at as u64;
            let ahead = ((u128::from(mix(state)) * u128::from(left)) >> 64) as usize;
            order.swap(at, at + ahead);
        }
        order[place]
    }
}

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's output function.
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(GOLDEN);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// As [`semantics::issue`]. An address that a void register moves is not checked, since it is not used.
///
/// # Errors
/// Those of [`semantics::issue`], and [`Fault::Void`] where an extent is void.
pub fn issue(
    program: &Program,
    vector: &Vector,
    (regs, void): (&[u32], u32),
    sram_bytes: u32,
) -> Result<Issued, Fault> {
    let is_void = |r: Reg| void >> r.0 & 1 != 0;
    for size in &program.shapes[usize::from(vector.shape.0)].extents {
        if let Size::Reg(r) = *size
            && is_void(r)
        {
            return Err(Fault::Void(Decider::Extent(r)));
        }
    }
    let moved = |operand| match operand {
        Operand::Mem(id) => program.dsds[usize::from(id.0)].offset.is_some_and(is_void),
        _ => false,
    };
    semantics::issue_unless(program, vector, regs, sram_bytes, moved)
}

/// Carries out an integer instruction (rule D-2).
///
/// # Errors
/// [`Fault::DivideByZero`], where the divisor is known.
pub fn alu(op: AluOp, a: Word, b: Word) -> Result<Word, Fault> {
    match (a.bits(), b.bits()) {
        (Some(a), Some(b)) => Ok(Word::known(semantics::alu(op, a, b)?)),
        (None, Some(b)) => semantics::alu(op, 0, b).map(|_| Word::VOID),
        _ => Ok(Word::VOID),
    }
}

/// `if f32(a) > f32(b) { taken } else { kept }` (rule D-2).
pub fn select(a: Word, b: Word, taken: Word, kept: Word) -> Word {
    if [a, b, taken, kept].iter().any(|word| word.void) {
        return Word::VOID;
    }
    if f32::from_bits(a.bits) > f32::from_bits(b.bits) { taken } else { kept }
}

/// Carries out elements `first .. first + count` of an operation, element after element, as [`semantics::execute`]
/// does with data. `fabric` are the payloads of the wavelets that the step consumes. Returns the payload of the wavelet that it
/// produces.
pub fn execute(
    issued: &Issued,
    regs: &mut Registers<'_>,
    draws: &mut Draws,
    (first, count): (u32, u32),
    fabric: [Word; 2],
) -> Word {
    let mut out = Word::default();
    for k in 0..count {
        let a = read(&issued.a, regs, lane(&issued.a, fabric[0], k));
        let b = read(&issued.b, regs, lane(&issued.b, fabric[1], k));
        match issued.dst {
            Place::Reg(rd, _) if issued.op == VecOp::ArgMax => {
                search(issued, regs, draws, (rd, first + k), (a, b));
            }
            Place::Reg(rd, _) => {
                let d = regs.get(rd);
                regs.set(rd, element(issued, a, b, d));
            }
            Place::Fabric(t) => {
                let value = element(issued, a, b, Word::default());
                out.void |= value.void;
                out.bits |= match t.bytes() {
                    2 => (value.bits & 0xffff) << (16 * (k & 1)),
                    _ => value.bits,
                };
            }
            Place::Mem { .. } | Place::None | Place::Imm(..) => {}
        }
    }
    if out.void { Word::VOID } else { out }
}

/// Element `k` of a payload.
fn lane(place: &Place, payload: Word, k: u32) -> Word {
    match place.dtype() {
        Some(t) if t.bytes() == 2 && !payload.void => {
            Word::known((payload.bits >> (16 * (k & 1))) & 0xffff)
        }
        _ => payload,
    }
}

fn read(place: &Place, regs: &Registers<'_>, fabric: Word) -> Word {
    match *place {
        Place::None => Word::default(),
        Place::Mem { .. } => Word::VOID,
        Place::Reg(r, _) => regs.get(r),
        Place::Imm(v, _) => Word::known(v),
        Place::Fabric(_) => fabric,
    }
}

/// Rule D-2.
fn element(issued: &Issued, a: Word, b: Word, d: Word) -> Word {
    if a.void || b.void || d.void && issued.op.reads_dst() {
        return Word::VOID;
    }
    Word::known(semantics::element(issued, a.bits, b.bits, d.bits))
}

/// One element of a search (rule D-4).
fn search(
    issued: &Issued,
    regs: &mut Registers<'_>,
    draws: &mut Draws,
    (rd, ordinal): (Reg, u32),
    (a, b): (Word, Word),
) {
    let index = Reg(rd.0 + 1);
    let found = |b: Word, ordinal: u32| match b.bits() {
        Some(b) => Word::known(b.wrapping_add(ordinal)),
        None => Word::VOID,
    };
    match (a.bits(), regs.get(rd).bits()) {
        (Some(a), Some(d)) => {
            let t = issued.a.dtype().expect("a search has a source");
            let value = t.to_f32(a);
            if value > f32::from_bits(d) {
                regs.set(rd, Word::known(value.to_bits()));
                regs.set(index, found(b, ordinal));
            }
        }
        _ => regs.set(rd, Word::VOID),
    }
    if ordinal + 1 == issued.total && regs.get(rd).void {
        let drawn = draws.draw(issued.total);
        regs.set(index, found(b, drawn));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_draws_of_a_block_a_permutation_and_uniform() {
        for n in [1u32, 2, 3, 8, 60] {
            let mut counts = vec![0u32; n as usize];
            let mut draws = Draws::new(7, (3, 4));
            for _ in 0..2_000 {
                let mut block: Vec<u32> = (0..n).map(|_| draws.draw(n)).collect();
                counts[block[0] as usize] += 1;
                block.sort_unstable();
                assert!(block.iter().copied().eq(0..n), "{block:?}");
            }
            let expected = 2_000.0 / f64::from(n);
            let chi: f64 =
                counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
            assert!(chi < 3.0 * f64::from(n) + 20.0, "{n}: {counts:?}");
        }
    }

    #[test]
    fn do_draws_depend_on_seed_and_place() {
        let first = |seed, place| {
            let mut draws = Draws::new(seed, place);
            (0..8).map(|_| draws.draw(1_000)).collect::<Vec<u32>>()
        };
        let all = [first(1, (0, 0)), first(2, (0, 0)), first(1, (1, 0)), first(1, (0, 1))];
        for (at, one) in all.iter().enumerate() {
            assert_eq!(all.iter().position(|other| other == one), Some(at));
        }
        assert_eq!(first(1, (0, 0)), all[0]);
    }
}
