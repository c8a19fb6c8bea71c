//! The router of a mixture of experts on a PE: logits, the choice, the weights of those chosen.
//!
//! Logits are dealt over rows, like experts. Each row sums its own along the row; the column of the rows' roots puts all of them together
//! on the root of the rectangle, which chooses and sends the weights back down that column. Every row's root sends its
//! row the weights of the row's experts: 0 for one that is not chosen.

use crate::asm::{Asm, Mem, mem, n};
use crate::emit::collective::{broadcast, copy_of, reduce, share_in_place};
use crate::emit::layers::{Norming, Pe, share_scale, sum_norm};
use crate::emit::linear::{self, TileAt};
use crate::emit::{f32_reg, marks, regs};
use crate::extras::is_biased;
use models::{Block, Experts, Weighting};
use pe_isa::{AluOp, Cond, DType, Operand, Src, VecOp};

const F: DType = DType::F32;

/// From the normed input on all PEs to the weights of the row's experts on all PEs. The root of each row keeps the factor that
/// sums behind the norm lack in register `RATIO`.
pub(super) fn emit(asm: &mut Asm, pe: &Pe, local: usize, (block, mixture): (&Block, &Experts)) {
    let layout = &pe.stage.layout;
    let at = &layout.layers[local].mlp;
    logits(asm, pe, local, (block, mixture));
    let experts = [n(at.tiling.logits().total())];
    let vector = |base| mem(base, &[1], F);
    if pe.row.is_root() {
        reduce(asm, &pe.column, VecOp::Add, &experts, &vector(layout.logits), F);
        if pe.column.is_root() {
            choose(asm, pe, at.tiling.logits().total(), mixture);
        }
        share_in_place(asm, &pe.column, &experts, &vector(layout.expert_weights));
    }
    let row = at.tiling.row(pe.place.row);
    let own = copy_of(&vector(layout.expert_weights + F.bytes() * row.first));
    broadcast(asm, &pe.row, &[n(row.count)], own, &vector(layout.row_weights), F);
    asm.mark(marks::ROUTED);
}

/// The logits of the row, on its root, among zeros for those of the other rows; and the norm's factor, on all its PEs.
fn logits(asm: &mut Asm, pe: &Pe, local: usize, (block, mixture): (&Block, &Experts)) {
    let (layout, formats) = (&pe.stage.layout, &pe.stage.formats);
    let at = &layout.layers[local].mlp;
    let dealt = at.tiling.logits();
    let (first, own) = (dealt.start(pe.place.row), dealt.len(pe.place.row));
    let acc = formats.numerics.accumulate;
    let (sums, shape) = (mem(layout.sums, &[1], acc), [n(own)]);
    if own > 0 {
        let (rows, stride) = (pe.hidden, at.router_stride);
        let tile = TileAt { base: at.router, rows, columns: own, stride, offset: None };
        linear::multiply(asm, formats, tile, layout.input, layout.sums);
    }
    sum_norm(asm, pe, Norming::of_mlp(block));
    if pe.row.is_root() {
        let hidden = pe.stage.tiling.dims.hidden;
        linear::norm_factor(asm, layout.squares, hidden, block.mlp.norm.epsilon);
    }
    share_scale(asm, pe);
    if own > 0 {
        reduce(asm, &pe.row, VecOp::Add, &shape, &sums, acc);
    }
    if pe.row.is_root() {
        let all = mem(layout.logits, &[1], F);
        asm.mov(&[n(dealt.total())], all, Operand::f32(0.0));
    }
    if pe.row.is_root() && own > 0 {
        let logits = mem(layout.logits + F.bytes() * first, &[1], F);
        asm.vec(VecOp::Mul, &shape, logits.clone(), sums, f32_reg(regs::RATIO));
        if is_biased(&block.mlp.norm, &[mixture.router]) {
            let bias = mem(at.router_bias, &[1], F);
            asm.vec(VecOp::Add, &shape, logits.clone(), logits, bias);
        }
    }
}

/// The largest logit that is left: its value in register `A`, its index in `B`, of equal ones the lowest.
fn largest(asm: &mut Asm, experts: u32, left: &Mem) {
    asm.li(regs::A, f32::NEG_INFINITY.to_bits());
    let base = Operand::Imm(0, DType::U32);
    asm.vec(VecOp::ArgMax, &[n(experts)], f32_reg(regs::A), left.clone(), base);
}

/// On the root of the rectangle: from the logits of all experts to their weights, 0 where not chosen. In each round the largest
/// logit that is left is weighed and taken out.
fn choose(asm: &mut Asm, pe: &Pe, experts: u32, mixture: &Experts) {
    let layout = &pe.stage.layout;
    let [left, weights] = [layout.logits, layout.expert_weights].map(|base| mem(base, &[1], F));
    let (all, one) = ([n(experts)], [n(1)]);
    let (value, highest, at, rounds) = (f32_reg(regs::A), regs::C, regs::D, regs::WEIGHT_AT);
    let (total, sum) = (mem(layout.total, &[1], F), mem(layout.total, &[0], F));
    let zero = Operand::f32(0.0);
    asm.li(regs::B, 0);
    largest(asm, experts, &left);
    asm.alu(AluOp::Add, highest, regs::A, Src::Imm(0));
    asm.mov(&one, total.clone(), zero);
    if mixture.weighting == Weighting::OverAll {
        asm.vec(VecOp::Sub, &all, weights.clone(), left.clone(), f32_reg(highest));
        asm.vec(VecOp::Exp, &all, weights.clone(), weights.clone(), Operand::None);
        asm.vec(VecOp::Add, &all, sum.clone(), weights.clone(), sum);
    }
    asm.mov(&all, weights.clone(), zero);
    asm.li(rounds, mixture.chosen as u32);
    let (next, done) = (asm.here(), asm.label());
    asm.vec(VecOp::Sub, &one, value, value, f32_reg(highest));
    asm.vec(VecOp::Exp, &one, value, value, Operand::None);
    asm.alu(AluOp::Mul, at, regs::B, Src::Imm(F.bytes()));
    asm.vec(VecOp::Add, &one, weights.clone().plus(at), weights.clone().plus(at), value);
    if mixture.weighting == Weighting::OverChosen {
        asm.vec(VecOp::Add, &one, total.clone(), total.clone(), value);
    }
    asm.mov(&one, left.clone().plus(at), Operand::f32(f32::NEG_INFINITY));
    asm.alu(AluOp::Sub, rounds, rounds, Src::Imm(1));
    asm.branch(Cond::Eq, rounds, Src::Imm(0), done);
    largest(asm, experts, &left);
    asm.jump(next);
    asm.place(done);
    asm.vec(VecOp::Recip, &one, value, total, Operand::None);
    asm.vec(VecOp::Mul, &all, weights.clone(), weights, value);
}
