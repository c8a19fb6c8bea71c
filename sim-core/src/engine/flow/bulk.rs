//! The values of many steps of one operation.

use crate::engine::pe::{Memory, Op};
use crate::engine::stream::is_by_words;
use pe_isa::semantics::{self, Place};
use pe_isa::void::{self, Draws, Registers};
use pe_isa::{VecOp, Word};

/// Where the words of an operand are, step by step.
#[derive(Debug, Clone, Copy)]
enum Words {
    Constant(u32),
    Fabric,
    Memory { at: u32, step: i32 },
}

/// Carries out the next `wavelets` steps of `op` with the payloads `input`; what it sends goes to `output`.
pub(super) fn carry_out(
    op: &Op,
    wavelets: usize,
    input: &[u32],
    output: &mut [u32],
    memory: &mut [u32],
    own: Memory,
) {
    let is_whole = op.next + wavelets as u32 * op.lanes <= op.issued.total;
    let by_words = is_by_words(&op.issued, op.next);
    let fast = match (by_words, is_whole) {
        (true, true) => wavelets,
        (true, false) => wavelets - 1,
        _ => 0,
    };
    if fast > 0 {
        carry_words(op, fast, input, output, memory, own);
    }
    let mut memory = own.of(memory);
    for n in fast..wavelets {
        let next = op.next + n as u32 * op.lanes;
        let count = op.lanes.min(op.issued.total - next);
        let word = input.get(n).copied().unwrap_or(0);
        let out = semantics::execute(&op.issued, &mut memory, next, count, word, 0);
        if let Some(place) = output.get_mut(n) {
            *place = out;
        }
    }
}

/// The same without data (rule D-2).
pub(super) fn carry_out_void(
    op: &Op,
    wavelets: usize,
    input: &[Word],
    output: &mut [Word],
    (regs, draws): (&mut Registers<'_>, &mut Draws),
) {
    let in_sram = |place: &Place| matches!(place, Place::Mem { .. });
    let issued = &op.issued;
    // What goes into SRAM is lost, and what comes of it is void.
    if in_sram(&issued.dst) {
        return;
    }
    let is_void = in_sram(&issued.a) || in_sram(&issued.b);
    if is_void && matches!(issued.dst, Place::Fabric(_)) {
        return output.fill(Word::VOID);
    }
    for n in 0..wavelets {
        let next = op.next + n as u32 * op.lanes;
        let count = op.lanes.min(issued.total - next);
        let word = input.get(n).copied().unwrap_or_default();
        let out = void::execute(issued, regs, draws, (next, count), [word, Word::default()]);
        if let Some(place) = output.get_mut(n) {
            *place = out;
        }
    }
}

fn carry_words(
    op: &Op,
    wavelets: usize,
    input: &[u32],
    output: &mut [u32],
    memory: &mut [u32],
    own: Memory,
) {
    let regs = &memory[own.regs()];
    let words = |place: &Place| match *place {
        Place::Mem { base, strides, .. } => {
            let first = i64::from(base) + i64::from(op.next) * i64::from(strides[3]);
            let at = own.sram + (first / 4) as u32;
            Words::Memory { at, step: strides[3] * op.lanes as i32 / 4 }
        }
        Place::Reg(r, _) => Words::Constant(regs[usize::from(r.0)]),
        Place::Imm(bits, _) => Words::Constant(bits),
        Place::Fabric(_) => Words::Fabric,
        Place::None => Words::Constant(0),
    };
    let (a, b, dst) = (words(&op.issued.a), words(&op.issued.b), words(&op.issued.dst));
    let kind = op.issued.op;
    let at = |words: Words, n: usize, memory: &[u32]| match words {
        Words::Constant(bits) => bits,
        Words::Fabric => input[n],
        Words::Memory { at, step } => memory[(i64::from(at) + n as i64 * i64::from(step)) as usize],
    };
    if let (VecOp::Mov, Words::Fabric, Words::Memory { at: first, step: 1 }) = (kind, a, dst) {
        memory[first as usize..first as usize + wavelets].copy_from_slice(&input[..wavelets]);
        return;
    }
    if let (VecOp::Mov, Words::Memory { at: first, step: 1 }, Words::Fabric) = (kind, a, dst) {
        output[..wavelets].copy_from_slice(&memory[first as usize..first as usize + wavelets]);
        return;
    }
    if let (Words::Fabric, Words::Memory { at: first, step: 1 }, Words::Fabric) = (a, b, dst) {
        let own = &memory[first as usize..first as usize + wavelets];
        for ((out, &x), &y) in output.iter_mut().zip(input).zip(own) {
            *out = semantics::f32_element(kind, x, y, 0);
        }
        return;
    }
    #[expect(clippy::needless_range_loop, reason = "there is not always an output")]
    for n in 0..wavelets {
        let (x, y) = (at(a, n, memory), at(b, n, memory));
        match dst {
            Words::Memory { at, step } => {
                let place = (i64::from(at) + n as i64 * i64::from(step)) as usize;
                memory[place] = semantics::f32_element(kind, x, y, memory[place]);
            }
            _ => output[n] = semantics::f32_element(kind, x, y, 0),
        }
    }
}
