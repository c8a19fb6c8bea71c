//! The choice of experts: from all logits on the root of the rectangle to a bit for each of the row's experts on all PEs.
//!
//! For each choice the root sends a pair down the column of the rows' roots: the expert's index, an integer, as soon as the search
//! has found it, then what it weighs, f32. Behind the pairs follows the factor that all these weights lack. A row's root turns indices
//! into bits of registers `CHOSEN` and sends those to its row, whose PEs branch on them: on indices that a search has found, never
//! on weights. The last weight and the factor come while the row may be at work already; see [`weigh`].

use crate::asm::{Asm, Mem, Op, mem, n};
use crate::emit::collective::broadcast_reg;
use crate::emit::layers::Pe;
use crate::emit::{f32_reg, marks, regs};
use crate::tiling::RowExperts;
use models::{Experts, Weighting};
use pe_isa::{AluOp, Cond, DType, Operand, Reg, Src, VecOp};

const F: DType = DType::F32;
/// What a choice weighs before all are made, f32; first its logit.
const VALUE: Reg = regs::A;
/// The chosen expert.
const INDEX: Reg = regs::B;
/// The same counted from the row's first expert; not less than their number where it is not one of them.
const WITHIN: Reg = regs::C;
/// The first choice's logit, f32, on the root that chooses.
const HIGHEST: Reg = regs::D;
/// On other roots of rows, once indices have come: whether the last weight and the factor have too.
const SETTLED: Reg = regs::D;
/// Byte offset of the weight of the expert at work among those of the row's experts, on the row's root.
const WEIGHT_AT: Reg = regs::B;

/// Experts of a row at most: bits of the registers that tell which of them are chosen.
pub(crate) const MOST_OF_A_ROW: u32 = 32 * regs::CHOSEN.len() as u32;

/// Registers with the bits of a row's experts.
fn chosen_bits(row: &RowExperts) -> &'static [Reg] {
    &regs::CHOSEN[..row.count.div_ceil(32) as usize]
}

/// Whether this PE is the root of the rectangle.
pub(super) fn chooses(pe: &Pe) -> bool {
    pe.row.is_root() && pe.column.is_root()
}

/// From all `experts` logits on the root of the rectangle to the bits on all PEs. The last weight and the factor are still on
/// their way to the roots of the other rows.
pub(super) fn emit(asm: &mut Asm, pe: &Pe, row: &RowExperts, experts: u32, mixture: &Experts) {
    let bits = chosen_bits(row);
    if pe.row.is_root() {
        bits.iter().for_each(|&reg| asm.li(reg, 0));
        if chooses(pe) {
            begin(asm, pe, experts, mixture.weighting);
        }
        take_indices(asm, pe, row, experts, mixture);
    }
    bits.iter().for_each(|&reg| broadcast_reg(asm, &pe.row, reg));
    if chooses(pe) {
        settle(asm, pe, row, mixture.weighting);
    } else if pe.row.is_root() {
        asm.li(SETTLED, 0);
    }
    asm.mark(marks::ROUTED);
}

/// All pairs but the last weight, on the root of a row.
fn take_indices(asm: &mut Asm, pe: &Pe, row: &RowExperts, experts: u32, mixture: &Experts) {
    asm.li(regs::CHOICES, mixture.chosen as u32);
    let (next, last) = (asm.here(), asm.label());
    broadcast_reg(asm, &pe.column, INDEX);
    claim(asm, row);
    if mixture.chosen > 1 {
        asm.alu(AluOp::Sub, regs::CHOICES, regs::CHOICES, Src::Imm(1));
        asm.branch(Cond::Eq, regs::CHOICES, Src::Imm(0), last);
        take_weight(asm, pe, row, mixture.weighting);
        if chooses(pe) {
            let left = mem(pe.stage.layout.logits, &[1], F);
            let at = VALUE;
            asm.alu(AluOp::Mul, at, INDEX, Src::Imm(F.bytes()));
            asm.mov(&[n(1)], left.clone().plus(at), Operand::f32(f32::NEG_INFINITY));
            largest(asm, experts, &left);
        }
        asm.jump(next);
    }
    asm.place(last);
}

/// The largest logit that is left: its value in register `VALUE`, its index in `INDEX`, of equal ones the lowest.
fn largest(asm: &mut Asm, experts: u32, left: &Mem) {
    asm.li(VALUE, f32::NEG_INFINITY.to_bits());
    let base = Operand::Imm(0, DType::U32);
    asm.vec(VecOp::ArgMax, &[n(experts)], f32_reg(VALUE), left.clone(), base);
}

/// On the root of the rectangle: the first search, and what the sum of weights begins with; over all experts it is complete.
fn begin(asm: &mut Asm, pe: &Pe, experts: u32, weighting: Weighting) {
    let layout = &pe.stage.layout;
    let [left, exponentials] = [layout.logits, layout.exponentials].map(|base| mem(base, &[1], F));
    let (all, sum) = ([n(experts)], f32_reg(regs::NORMALISER));
    asm.li(INDEX, 0);
    largest(asm, experts, &left);
    asm.alu(AluOp::Add, HIGHEST, VALUE, Src::Imm(0));
    asm.li(regs::NORMALISER, 0.0f32.to_bits());
    if weighting == Weighting::OverAll {
        asm.vec(VecOp::Sub, &all, exponentials.clone(), left, f32_reg(HIGHEST));
        asm.vec(VecOp::Exp, &all, exponentials.clone(), exponentials.clone(), Operand::None);
        asm.vec(VecOp::Add, &all, sum, exponentials, sum);
    }
}

/// Sets the bit of the expert in register `INDEX` if it is one of the row's.
fn claim(asm: &mut Asm, row: &RowExperts) {
    let other = asm.label();
    asm.alu(AluOp::Sub, WITHIN, INDEX, Src::Imm(row.first));
    asm.branch(Cond::Ge, WITHIN, Src::Imm(row.count), other);
    if row.count == 1 {
        asm.li(regs::CHOSEN[0], 1);
    } else {
        let (word, bit) = (regs::VOID, regs::WEIGHT);
        asm.alu(AluOp::Shr, word, WITHIN, Src::Imm(5));
        for (at, &reg) in chosen_bits(row).iter().enumerate() {
            asm.alu(AluOp::Eq, bit, word, Src::Imm(at as u32));
            asm.alu(AluOp::Shl, bit, bit, Src::Reg(WITHIN));
            asm.alu(AluOp::Or, reg, reg, Src::Reg(bit));
        }
    }
    asm.place(other);
}

/// What the latest choice weighs, from the root of the rectangle to the roots of rows; the one whose expert it is keeps it.
fn take_weight(asm: &mut Asm, pe: &Pe, row: &RowExperts, weighting: Weighting) {
    let (one, value, sum) = ([n(1)], f32_reg(VALUE), f32_reg(regs::NORMALISER));
    if chooses(pe) {
        asm.vec(VecOp::Sub, &one, value, value, f32_reg(HIGHEST));
        asm.vec(VecOp::Exp, &one, value, value, Operand::None);
    }
    broadcast_reg(asm, &pe.column, VALUE);
    if chooses(pe) && weighting == Weighting::OverChosen {
        asm.vec(VecOp::Add, &one, sum, sum, value);
    }
    let other = asm.label();
    asm.branch(Cond::Ge, WITHIN, Src::Imm(row.count), other);
    if row.count > 1 {
        asm.alu(AluOp::Mul, WITHIN, WITHIN, Src::Imm(F.bytes()));
    }
    asm.mov(&one, held(pe, row, WITHIN), value);
    asm.place(other);
}

/// The last weight, and the factor that all of them lack.
fn settle(asm: &mut Asm, pe: &Pe, row: &RowExperts, weighting: Weighting) {
    take_weight(asm, pe, row, weighting);
    if chooses(pe) {
        let sum = f32_reg(regs::NORMALISER);
        asm.vec(VecOp::Recip, &[n(1)], sum, sum, Operand::None);
    }
    broadcast_reg(asm, &pe.column, regs::NORMALISER);
}

/// Where the root of a row keeps the weights of its experts, which lack the factor: of the only one in a register, of several in
/// SRAM, of which this is the one at the byte offset in register `at`.
fn held(pe: &Pe, row: &RowExperts, at: Reg) -> Op {
    if row.count == 1 {
        f32_reg(regs::WEIGHT).into()
    } else {
        mem(pe.stage.layout.row_weights, &[1], F).plus(at).into()
    }
}

/// For each chosen expert of the row, the lowest index first, what `work` makes. On the root of a row that has none, takes what
/// is on its way to it.
pub(super) fn each_chosen(
    asm: &mut Asm,
    pe: &Pe,
    row: &RowExperts,
    expert_bytes: u32,
    work: impl FnOnce(&mut Asm),
) {
    let bits = chosen_bits(row);
    let done = asm.label();
    let any = any_of(asm, bits);
    if pe.row.is_root() && !chooses(pe) {
        let some = asm.label();
        asm.branch(Cond::Ne, any, Src::Imm(0), some);
        broadcast_reg(asm, &pe.column, VALUE);
        broadcast_reg(asm, &pe.column, regs::NORMALISER);
        asm.jump(done);
        asm.place(some);
    } else {
        asm.branch(Cond::Eq, any, Src::Imm(0), done);
    }
    if row.count == 1 {
        work(asm);
    } else {
        each_bit(asm, pe, bits, expert_bytes, work);
    }
    asm.place(done);
}

/// What `work` makes for each set bit, of which there is at least one.
fn each_bit(asm: &mut Asm, pe: &Pe, bits: &[Reg], bytes: u32, work: impl FnOnce(&mut Asm)) {
    asm.li(regs::EXPERT, 0);
    if pe.row.is_root() {
        asm.li(WEIGHT_AT, 0);
    }
    let (next, skip, bit) = (asm.here(), asm.label(), regs::A);
    asm.alu(AluOp::And, bit, bits[0], Src::Imm(1));
    asm.alu(AluOp::Shr, bits[0], bits[0], Src::Imm(1));
    asm.branch(Cond::Eq, bit, Src::Imm(0), skip);
    work(asm);
    asm.place(skip);
    for pair in bits.windows(2) {
        asm.alu(AluOp::Shl, regs::A, pair[1], Src::Imm(31));
        asm.alu(AluOp::Or, pair[0], pair[0], Src::Reg(regs::A));
        asm.alu(AluOp::Shr, pair[1], pair[1], Src::Imm(1));
    }
    asm.alu(AluOp::Add, regs::EXPERT, regs::EXPERT, Src::Imm(bytes));
    if pe.row.is_root() {
        asm.alu(AluOp::Add, WEIGHT_AT, WEIGHT_AT, Src::Imm(F.bytes()));
    }
    let any = any_of(asm, bits);
    asm.branch(Cond::Ne, any, Src::Imm(0), next);
}

/// A register that is 0 only where all of `bits` are.
fn any_of(asm: &mut Asm, bits: &[Reg]) -> Reg {
    let Some((&first, rest)) = bits.split_first() else { unreachable!("a row has an expert") };
    if rest.is_empty() {
        return first;
    }
    asm.alu(AluOp::Or, regs::A, first, Src::Reg(rest[0]));
    for &reg in &rest[1..] {
        asm.alu(AluOp::Or, regs::A, regs::A, Src::Reg(reg));
    }
    regs::A
}

/// Gives the weight of the expert at work to all PEs of the row, in register `WEIGHT`. Roots of rows do it when they have multiplied
/// for the first time, so that nobody waits for the last weight and the factor.
pub(super) fn weigh(asm: &mut Asm, pe: &Pe, row: &RowExperts, weighting: Weighting) {
    if pe.row.is_root() {
        if !chooses(pe) {
            let known = asm.label();
            if row.count > 1 {
                asm.branch(Cond::Ne, SETTLED, Src::Imm(0), known);
                asm.li(SETTLED, 1);
            }
            settle(asm, pe, row, weighting);
            asm.place(known);
        }
        let (weight, factor) = (f32_reg(regs::WEIGHT), f32_reg(regs::NORMALISER));
        asm.vec(VecOp::Mul, &[n(1)], weight, held(pe, row, WEIGHT_AT), factor);
    }
    broadcast_reg(asm, &pe.row, regs::WEIGHT);
}
