//! What each vector operation computes. The arithmetic of the instruction set exists once, here.
//!
//! Rounding (contract rules N-1 to N-5): sources are converted to `f32` (exact for 16-bit types),
//! the operation is done in `f32` with one rounding per elementary step, and the result is rounded
//! once to the type of the destination. Elements are processed one after another in loop order, so
//! a sum into a repeated destination has a defined order. Every NaN that arithmetic produces is the
//! same one, so that no host's choice of NaN bits reaches a result.

use crate::DType;
use crate::instr::{AluOp, VecOp, Vector};
use crate::operand::{Operand, Reg, Size};
use crate::program::Program;
use crate::void::Decider;
use std::fmt;

pub use crate::kernels::Form;

/// Longest loop nest of one operation, in elements; longer ones fault at issue.
pub const MAX_ELEMENTS: u64 = 1 << 24;

/// The storage of one PE that instructions reach.
#[derive(Debug)]
pub struct PeMemory<'a> {
    /// SRAM as 32-bit words, little-endian within a word.
    pub sram: &'a mut [u32],
    /// The scalar registers.
    pub regs: &'a mut [u32],
}

/// Why an instruction cannot be carried out. The simulated program is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The bytes `first..=last` of an operand lie outside the SRAM.
    Address {
        /// First byte touched, possibly negative.
        first: i64,
        /// Last byte touched.
        last: i64,
        /// Size of the SRAM in bytes.
        size: u32,
    },
    /// The address is not a multiple of the element's size.
    Alignment {
        /// Byte address.
        address: i64,
        /// Element size in bytes.
        element: u32,
    },
    /// The loop nest has more than [`MAX_ELEMENTS`] elements.
    TooManyElements(u64),
    /// Integer division by zero.
    DivideByZero,
    /// The run has no data, and data decides what happens next (contract rule D-3).
    Void(Decider),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Address { first, last, size } => {
                write!(f, "operand spans bytes {first} to {last}, but the SRAM has {size} bytes")
            }
            Fault::Alignment { address, element } => {
                write!(f, "address {address} is not a multiple of the element size {element}")
            }
            Fault::TooManyElements(n) => {
                write!(f, "vector operation over {n} elements; the most is {MAX_ELEMENTS}")
            }
            Fault::DivideByZero => write!(f, "integer division by zero"),
            Fault::Void(decider) => decider.fmt(f),
        }
    }
}

/// Where the elements of an issued operand are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// No operand.
    None,
    /// SRAM: byte address of element 0 and byte strides, outermost first.
    Mem {
        /// Byte address of the first element.
        base: u32,
        /// Byte strides of the four loops.
        strides: [i32; 4],
        /// Element type.
        dtype: DType,
    },
    /// A register.
    Reg(Reg, DType),
    /// A constant.
    Imm(u32, DType),
    /// A queue.
    Fabric(DType),
}

impl Place {
    /// Element type; `None` for an absent operand.
    pub const fn dtype(&self) -> Option<DType> {
        match *self {
            Place::None => None,
            Place::Mem { dtype, .. }
            | Place::Reg(_, dtype)
            | Place::Imm(_, dtype)
            | Place::Fabric(dtype) => Some(dtype),
        }
    }

    /// Whether the operand walks through memory in the innermost loop.
    pub const fn streams_memory(&self) -> bool {
        matches!(self, Place::Mem { strides, .. } if strides[3] != 0)
    }
}

/// A vector operation whose sizes and addresses have been read from the registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issued {
    /// The operation.
    pub op: VecOp,
    /// Extents padded with leading ones to four loops, outermost first.
    pub extents: [u32; 4],
    /// Product of the extents.
    pub total: u32,
    /// Destination.
    pub dst: Place,
    /// First source.
    pub a: Place,
    /// Second source.
    pub b: Place,
}

/// Reads sizes and offsets from the registers and checks every address the operation will touch. `regs` has at least
/// [`Program::registers`] of them.
///
/// # Errors
/// A [`Fault`] when an operand leaves the SRAM, is misaligned, or the loop nest is too large.
pub fn issue(
    program: &Program,
    vector: &Vector,
    regs: &[u32],
    sram_bytes: u32,
) -> Result<Issued, Fault> {
    issue_unless(program, vector, regs, sram_bytes, |_| false)
}

/// The same, for operands that `moved` tells to be somewhere unknown: their addresses are neither computed nor checked.
#[inline(always)]
pub(crate) fn issue_unless(
    program: &Program,
    vector: &Vector,
    regs: &[u32],
    sram_bytes: u32,
    moved: impl Fn(Operand) -> bool,
) -> Result<Issued, Fault> {
    let shape = &program.shapes[usize::from(vector.shape.0)];
    let rank = shape.extents.len();
    let mut extents = [1u32; 4];
    for (slot, size) in extents[4 - rank..].iter_mut().zip(&shape.extents) {
        *slot = match *size {
            Size::Imm(n) => n,
            Size::Reg(r) => regs[usize::from(r.0)],
        };
    }
    let total = if extents.contains(&0) {
        0
    } else {
        let product = extents.iter().try_fold(1u64, |acc, &n| acc.checked_mul(u64::from(n)));
        product.unwrap_or(u64::MAX)
    };
    if total > MAX_ELEMENTS {
        return Err(Fault::TooManyElements(total));
    }
    let place = |operand| {
        let unknown = total == 0 || moved(operand);
        resolve(program, operand, &extents, unknown, regs, sram_bytes)
    };
    Ok(Issued {
        op: vector.op,
        extents,
        total: total as u32,
        dst: place(vector.dst)?,
        a: place(vector.a)?,
        b: place(vector.b)?,
    })
}

/// [`issue`] ahead of time, for an operation whose sizes and addresses no register decides. `None` where one does, or
/// where it would fault.
pub fn issue_static(program: &Program, vector: &Vector, sram_bytes: u32) -> Option<Issued> {
    let shape = &program.shapes[usize::from(vector.shape.0)];
    let constant = shape.extents.iter().all(|size| matches!(size, Size::Imm(_)))
        && [vector.dst, vector.a, vector.b].iter().all(|operand| match operand {
            Operand::Mem(id) => program.dsds[usize::from(id.0)].offset.is_none(),
            _ => true,
        });
    if !constant {
        return None;
    }
    issue(program, vector, &[], sram_bytes).ok()
}

fn resolve(
    program: &Program,
    operand: Operand,
    extents: &[u32; 4],
    unknown: bool,
    regs: &[u32],
    sram_bytes: u32,
) -> Result<Place, Fault> {
    let dsd = match operand {
        Operand::None => return Ok(Place::None),
        Operand::Reg(r, t) => return Ok(Place::Reg(r, t)),
        Operand::Imm(v, t) => return Ok(Place::Imm(v, t)),
        Operand::FabIn(_, t) | Operand::FabOut(_, t) => return Ok(Place::Fabric(t)),
        Operand::Mem(id) => &program.dsds[usize::from(id.0)],
    };
    let element = dsd.dtype.bytes();
    let base =
        i64::from(dsd.base) + dsd.offset.map_or(0, |r| i64::from(regs[usize::from(r.0)] as i32));
    let mut strides = [0i32; 4];
    for (slot, &s) in strides[4 - dsd.strides.len()..].iter_mut().zip(&dsd.strides) {
        *slot = s * element as i32;
    }
    if unknown {
        return Ok(Place::Mem { base: 0, strides, dtype: dsd.dtype });
    }
    let (mut first, mut last) = (base, base);
    for (&n, &s) in extents.iter().zip(&strides) {
        let reach = i64::from(n - 1) * i64::from(s);
        if reach < 0 { first += reach } else { last += reach }
    }
    last += i64::from(element) - 1;
    if first < 0 || last >= i64::from(sram_bytes) {
        return Err(Fault::Address { first, last, size: sram_bytes });
    }
    if base % i64::from(element) != 0 {
        return Err(Fault::Alignment { address: base, element });
    }
    Ok(Place::Mem { base: base as u32, strides, dtype: dsd.dtype })
}

/// The one definition of every floating-point operation: `a`, `b` are the sources, `d` the
/// destination before.
#[inline(always)]
pub fn float_op(op: VecOp, a: f32, b: f32, d: f32) -> f32 {
    let r = match op {
        VecOp::Mov | VecOp::ArgMax => a,
        VecOp::Add => a + b,
        VecOp::Sub => a - b,
        VecOp::Mul => a * b,
        VecOp::Fmac => d + a * b,
        VecOp::Max => {
            if a > b {
                a
            } else {
                b
            }
        }
        VecOp::Min => {
            if a < b {
                a
            } else {
                b
            }
        }
        VecOp::Neg => -a,
        VecOp::Abs => a.abs(),
        VecOp::Exp => libm::expf(a),
        VecOp::Rsqrt => 1.0 / a.sqrt(),
        VecOp::Recip => 1.0 / a,
        VecOp::Tanh => libm::tanhf(a),
        VecOp::Sigmoid => 1.0 / (1.0 + libm::expf(-a)),
        VecOp::Sin => libm::sinf(a),
        VecOp::Cos => libm::cosf(a),
    };
    canonical(r)
}

/// Replaces any NaN by the positive quiet NaN without payload.
#[inline(always)]
pub fn canonical(value: f32) -> f32 {
    if value.is_nan() { f32::from_bits(0x7fc0_0000) } else { value }
}

/// The integer meaning of an operation whose operands are all [`DType::U32`]; none for those that are done in f32
/// (contract rule N-6).
#[inline]
fn int_op(op: VecOp, a: u32, b: u32, d: u32) -> Option<u32> {
    match op {
        VecOp::Add => Some(a.wrapping_add(b)),
        VecOp::Sub => Some(a.wrapping_sub(b)),
        VecOp::Mul => Some(a.wrapping_mul(b)),
        VecOp::Fmac => Some(d.wrapping_add(a.wrapping_mul(b))),
        VecOp::Max => Some(a.max(b)),
        VecOp::Min => Some(a.min(b)),
        _ => None,
    }
}

/// One element: source bits in, destination bits out.
#[inline]
pub(crate) fn element(issued: &Issued, a: u32, b: u32, d: u32) -> u32 {
    let dst = issued.dst.dtype().expect("an issued operation has a destination");
    let ta = issued.a.dtype().expect("an issued operation has a first source");
    let tb = issued.b.dtype().unwrap_or(ta);
    if issued.op == VecOp::Mov && ta == dst {
        return a;
    }
    if dst == DType::U32
        && ta == DType::U32
        && tb == DType::U32
        && let Some(value) = int_op(issued.op, a, b, d)
    {
        return value;
    }
    let b = if issued.b == Place::None { 0.0 } else { tb.to_f32(b) };
    dst.from_f32(float_op(issued.op, ta.to_f32(a), b, dst.to_f32(d)))
}

/// One element of an operation other than `argmax` whose operands are all [`DType::F32`] (an absent
/// one is 0): what [`execute`] does with it, for those who keep the addresses themselves.
#[inline(always)]
pub fn f32_element(op: VecOp, a: u32, b: u32, d: u32) -> u32 {
    let [x, y, z] = [a, b, d].map(f32::from_bits);
    let value = match op {
        VecOp::Mov => return a,
        VecOp::Add => x + y,
        VecOp::Mul => x * y,
        VecOp::Fmac => z + x * y,
        _ => return f32_other(op, x, y, z),
    };
    canonical(value).to_bits()
}

#[inline(never)]
fn f32_other(op: VecOp, a: f32, b: f32, d: f32) -> u32 {
    float_op(op, a, b, d).to_bits()
}

/// Reads element bits at a byte address.
#[inline]
pub(crate) fn load(sram: &[u32], address: u32, dtype: DType) -> u32 {
    let word = sram[(address >> 2) as usize];
    if dtype.bytes() == 4 { word } else { (word >> ((address & 2) * 8)) & 0xffff }
}

/// Writes element bits at a byte address.
#[inline]
pub(crate) fn store(sram: &mut [u32], address: u32, dtype: DType, bits: u32) {
    let word = &mut sram[(address >> 2) as usize];
    if dtype.bytes() == 4 {
        *word = bits;
    } else {
        let shift = (address & 2) * 8;
        *word = (*word & !(0xffff << shift)) | ((bits & 0xffff) << shift);
    }
}

#[inline]
fn address(issued: &Issued, base: u32, strides: &[i32; 4], ordinal: u32) -> u32 {
    let e = &issued.extents;
    if ordinal < e[3] {
        return (i64::from(base) + i64::from(ordinal) * i64::from(strides[3])) as u32;
    }
    let i3 = ordinal % e[3];
    let mut rest = ordinal / e[3];
    let mut offset = i64::from(i3) * i64::from(strides[3]);
    for d in (0..3).rev() {
        if rest == 0 {
            break;
        }
        offset += i64::from(rest % e[d]) * i64::from(strides[d]);
        rest /= e[d];
    }
    (i64::from(base) + offset) as u32
}

#[inline]
fn read(issued: &Issued, place: &Place, mem: &PeMemory, ordinal: u32, fabric: u32) -> u32 {
    match place {
        Place::None => 0,
        Place::Mem { base, strides, dtype } => {
            load(mem.sram, address(issued, *base, strides, ordinal), *dtype)
        }
        Place::Reg(r, _) => mem.regs[usize::from(r.0)],
        Place::Imm(v, _) => *v,
        Place::Fabric(_) => fabric,
    }
}

fn argmax(issued: &Issued, mem: &mut PeMemory, ordinal: u32, a: u32, b: u32) {
    let Place::Reg(rd, _) = issued.dst else {
        return;
    };
    let at = usize::from(rd.0);
    let ta = issued.a.dtype().expect("argmax has a source");
    let value = ta.to_f32(a);
    if value > f32::from_bits(mem.regs[at]) {
        mem.regs[at] = value.to_bits();
        mem.regs[at + 1] = b.wrapping_add(ordinal);
    }
}

/// Carries out elements `first .. first + count` of an operation.
///
/// `fabric_a` and `fabric_b` are the payloads of the wavelets that this step consumes (16-bit
/// elements: element `first` in the low half). Returns the payload of the wavelet that the step
/// produces, 0 where the destination is no queue.
#[inline]
pub fn execute(
    issued: &Issued,
    mem: &mut PeMemory,
    first: u32,
    count: u32,
    fabric_a: u32,
    fabric_b: u32,
) -> u32 {
    let mut out = 0u32;
    let lane = |place: &Place, payload: u32, k: u32| match place.dtype() {
        Some(t) if t.bytes() == 2 => (payload >> (16 * (k & 1))) & 0xffff,
        _ => payload,
    };
    for k in 0..count {
        let ordinal = first + k;
        let a = read(issued, &issued.a, mem, ordinal, lane(&issued.a, fabric_a, k));
        let b = read(issued, &issued.b, mem, ordinal, lane(&issued.b, fabric_b, k));
        if issued.op == VecOp::ArgMax {
            argmax(issued, mem, ordinal, a, b);
            continue;
        }
        match issued.dst {
            Place::Mem { base, strides, dtype } => {
                let at = address(issued, base, &strides, ordinal);
                let d = if issued.op.reads_dst() { load(mem.sram, at, dtype) } else { 0 };
                store(mem.sram, at, dtype, element(issued, a, b, d));
            }
            Place::Reg(r, _) => {
                let d = mem.regs[usize::from(r.0)];
                mem.regs[usize::from(r.0)] = element(issued, a, b, d);
            }
            Place::Fabric(t) => {
                let bits = element(issued, a, b, 0);
                out |= if t.bytes() == 2 { (bits & 0xffff) << (16 * (k & 1)) } else { bits };
            }
            Place::None | Place::Imm(..) => {}
        }
    }
    out
}

/// Carries out a whole memory-only operation, by rows where a fast loop exists for it. Equal to
/// [`execute`] over all elements, bit for bit.
pub fn execute_all(issued: &Issued, mem: &mut PeMemory) {
    Form::of(issued).execute(issued, mem);
}

/// Carries out an integer instruction.
///
/// # Errors
/// [`Fault::DivideByZero`].
pub fn alu(op: AluOp, a: u32, b: u32) -> Result<u32, Fault> {
    Ok(match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).ok_or(Fault::DivideByZero)?,
        AluOp::Rem => a.checked_rem(b).ok_or(Fault::DivideByZero)?,
        AluOp::And => a & b,
        AluOp::Or => a | b,
        AluOp::Xor => a ^ b,
        AluOp::Shl => a.wrapping_shl(b),
        AluOp::Shr => a.wrapping_shr(b),
        AluOp::Min => a.min(b),
        AluOp::Max => a.max(b),
        AluOp::Lt => u32::from(a < b),
        AluOp::Eq => u32::from(a == b),
    })
}

/// Applies the first switch command of a control payload and shifts the list (contract rule S-3).
/// Returns the switch position after it and the payload to forward.
pub fn pop_switch_command(payload: u32, position: u8, positions: u8) -> (u8, u32) {
    let next = match payload & 3 {
        1 => (position + 1) % positions,
        2 => 0,
        _ => position,
    };
    let commands = payload & 0xffff;
    let shifted = (commands >> 2) | (commands & 0xc000);
    (next, (payload & 0xffff_0000) | shifted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::REGISTERS;

    #[test]
    fn the_last_switch_command_repeats_for_all_routers_behind_it() {
        let first_only = 0x0001;
        let (at, rest) = pop_switch_command(first_only, 0, 2);
        assert_eq!((at, rest), (1, 0));
        let all_but_first = 0x5554;
        let (at, rest) = pop_switch_command(all_but_first, 1, 2);
        assert_eq!(at, 1);
        let (mut at, mut rest) = (at, rest);
        for _ in 0..20 {
            let before = at;
            (at, rest) = pop_switch_command(rest, at, 2);
            assert_ne!(at, before);
        }
    }

    #[test]
    fn an_f32_element_by_itself_is_the_one_of_the_loop() {
        let specials = [0x7fc0_0001, 0x7f80_0000, 0xff80_0000, 0x8000_0000, 1, 0x3f80_0000];
        for op in VecOp::ALL.into_iter().filter(|&op| op != VecOp::ArgMax) {
            for n in 0..2_000u32 {
                let bits = |k: u32| match (n + k) % 5 {
                    0 => specials[((n * 7 + k) % 6) as usize],
                    _ => (n * 3 + k).wrapping_mul(2_654_435_761),
                };
                let (a, b, d) = (bits(0), bits(1), bits(2));
                let b_place = if op.is_binary() { Place::Imm(b, DType::F32) } else { Place::None };
                let issued = Issued {
                    op,
                    extents: [1; 4],
                    total: 1,
                    dst: Place::Mem { base: 0, strides: [0; 4], dtype: DType::F32 },
                    a: Place::Imm(a, DType::F32),
                    b: b_place,
                };
                let (mut sram, mut regs) = ([d], [0; REGISTERS]);
                let mut memory = PeMemory { sram: &mut sram, regs: &mut regs };
                execute(&issued, &mut memory, 0, 1, 0, 0);
                let b = if op.is_binary() { b } else { 0 };
                assert_eq!(f32_element(op, a, b, d), sram[0], "{op:?} {a:x} {b:x} {d:x}");
            }
        }
    }

    #[test]
    fn arithmetic_makes_one_nan_only() {
        for payload in [0x7fc0_0001u32, 0xffc0_0000, 0x7f80_0001] {
            let r = float_op(VecOp::Add, f32::from_bits(payload), 1.0, 0.0);
            assert_eq!(r.to_bits(), 0x7fc0_0000);
        }
    }
}
