//! A mixture of experts on a PE. The PEs of a row know the weights of the row's experts and branch alike: an expert that is not
//! chosen costs them that branch.

use crate::asm::{Asm, mem, n};
use crate::emit::collective::{broadcast, reduce};
use crate::emit::layers::{Pe, add_to_residual};
use crate::emit::mlp::{Gating, activate, locate_share, tiles};
use crate::emit::{f32_reg, linear, marks, regs, router};
use crate::extras::is_biased;
use crate::layout::MlpAt;
use crate::tiling::RowExperts;
use models::{Block, Experts, FeedForward, Mlp, Residual};
use pe_isa::{AluOp, Cond, DType, Operand, Reg, Src, VecOp};

/// What the code of one expert needs.
struct Expert<'a> {
    at: &'a MlpAt,
    row: RowExperts,
    mlp: &'a Mlp,
    layers: &'a FeedForward,
    /// The byte offset of the expert's tiles and that of its weight, where the row has several.
    offsets: Option<[Reg; 2]>,
}

/// The whole half behind the norm's first step.
pub(super) fn emit(asm: &mut Asm, pe: &Pe, local: usize, (block, mixture): (&Block, &Experts)) {
    let layout = &pe.stage.layout;
    let at = &layout.layers[local];
    let acc = pe.stage.formats.numerics.accumulate;
    let is_parallel = block.residual == Residual::Parallel;
    router::emit(asm, pe, local, (block, mixture));
    if !is_parallel {
        asm.mov(&[n(pe.hidden)], mem(layout.waiting, &[1], acc), Operand::Imm(0, acc));
    }
    locate_share(asm, pe, &at.mlp);
    let row = at.mlp.tiling.row(pe.place.row);
    let offsets = (row.count > 1).then_some([regs::EXPERT, regs::WEIGHT_AT]);
    let expert = Expert { at: &at.mlp, row, mlp: &block.mlp, layers: &mixture.experts[0], offsets };
    each(asm, pe, &expert);
    let biases = block.attention.output.bias.filter(|_| is_parallel).map(|_| at.output_bias);
    let post_norm = block.mlp.post_norm.as_ref().map(|norm| (norm, at.post_norms[1]));
    add_to_residual(asm, pe, layout.waiting, biases.as_slice(), post_norm);
}

/// Every chosen expert of the row, one after another.
fn each(asm: &mut Asm, pe: &Pe, expert: &Expert<'_>) {
    let Some([tiles, weight]) = expert.offsets else { return chosen(asm, pe, expert) };
    asm.li(tiles, 0);
    asm.li(weight, 0);
    let next = asm.here();
    chosen(asm, pe, expert);
    asm.alu(AluOp::Add, tiles, tiles, Src::Imm(expert.at.expert_bytes));
    asm.alu(AluOp::Add, weight, weight, Src::Imm(DType::F32.bytes()));
    asm.branch(Cond::Lt, weight, Src::Imm(expert.row.count * DType::F32.bytes()), next);
}

/// One expert, if it is chosen: its weighted output is added to what waits for the sum along the column.
fn chosen(asm: &mut Asm, pe: &Pe, expert: &Expert<'_>) {
    let (layout, formats) = (&pe.stage.layout, &pe.stage.formats);
    let (offset, weight_at) = (expert.offsets.map(|o| o[0]), expert.offsets.map(|o| o[1]));
    let (inner, weight) = (expert.row.inner_len(), f32_reg(regs::WEIGHT));
    let acc = formats.numerics.accumulate;
    let done = asm.label();
    let held = mem(layout.row_weights, &[1], DType::F32).shifted(weight_at);
    asm.mov(&[n(1)], weight, held);
    asm.branch(Cond::Eq, regs::WEIGHT, Src::Imm(0), done);
    let [mut up, mut down] = tiles(pe, expert.at, inner);
    (up.offset, down.offset) = (offset, offset);
    linear::multiply(asm, formats, up, layout.input, layout.sums);
    finish_up(asm, pe, expert, up.columns);
    asm.mark(marks::GATED);
    let gating = Gating { inner, layers: expert.layers, lacking: None, weight: Some(weight) };
    activate(asm, pe, &gating);
    asm.mark(marks::ACTIVATED);
    linear::add_tile(asm, formats, down, layout.inner, layout.waiting);
    if expert.layers.down.bias.is_some() && expert.row.leads {
        let bias = mem(expert.at.down_bias, &[1], DType::F32).shifted(offset);
        let waiting = mem(layout.waiting, &[1], acc);
        asm.vec(VecOp::Fmac, &[n(pe.hidden)], waiting, bias, weight);
    }
    asm.place(done);
}

/// Sums the `len` partial outputs of the projections up along the row and gives them to all its PEs, rounded, with the norm's
/// factor and the bias.
fn finish_up(asm: &mut Asm, pe: &Pe, expert: &Expert<'_>, len: u32) {
    let (layout, numerics) = (&pe.stage.layout, &pe.stage.formats.numerics);
    let (acc, act) = (numerics.accumulate, numerics.activations);
    let (shape, sums) = ([n(len)], mem(layout.sums, &[1], acc));
    reduce(asm, &pe.row, VecOp::Add, &shape, &sums, acc);
    let mut whole = (VecOp::Mul, sums.clone().into(), f32_reg(regs::RATIO).into());
    if is_biased(&expert.mlp.norm, &expert.layers.inputs()) {
        if pe.row.is_root() {
            asm.vec(VecOp::Mul, &shape, sums.clone(), sums.clone(), f32_reg(regs::RATIO));
        }
        let offset = expert.offsets.map(|o| o[0]);
        let bias = mem(expert.at.gate_up_bias, &[1], DType::F32).shifted(offset);
        whole = (VecOp::Add, sums.into(), bias.into());
    }
    broadcast(asm, &pe.row, &shape, whole, &mem(layout.gate_up, &[1], act), act);
}
