//! A mixture of experts on a PE. The PEs of a row know which of the row's experts are chosen and branch alike: one that is not
//! chosen costs them that branch.

use crate::asm::{Asm, mem, n};
use crate::emit::chunk::token_offset;
use crate::emit::collective::{broadcast, reduce};
use crate::emit::layers::{Pe, add_to_residual};
use crate::emit::mlp::{Gating, activate, locate_share, tiles};
use crate::emit::{choice, f32_reg, linear, marks, regs, router};
use crate::extras::is_biased;
use crate::layout::MlpAt;
use crate::tiling::RowExperts;
use models::{Block, Experts, FeedForward, Mlp, Residual, Weighting};
use pe_isa::{DType, Operand, Reg, VecOp};

/// What the code of one expert needs.
struct Expert<'a> {
    at: &'a MlpAt,
    row: RowExperts,
    mlp: &'a Mlp,
    layers: &'a FeedForward,
    weighting: Weighting,
    /// The byte offset of the expert's tiles, where the row has several.
    offset: Option<Reg>,
}

/// The whole half behind the norm's first step.
pub(super) fn emit(asm: &mut Asm, pe: &Pe, local: usize, (block, mixture): (&Block, &Experts)) {
    let layout = &pe.stage.layout;
    let at = &layout.layers[local];
    if pe.chunk().is_one() {
        of_token(asm, pe, local, (block, mixture));
    } else {
        of_tokens(asm, pe, local, (block, mixture));
    }
    let is_parallel = block.residual == Residual::Parallel;
    let biases = block.attention.output.bias.filter(|_| is_parallel).map(|_| at.output_bias);
    let post_norm = block.mlp.post_norm.as_ref().map(|norm| (norm, at.post_norms[1]));
    add_to_residual(asm, pe, layout.waiting, biases.as_slice(), post_norm);
}

/// The mixture's partial sums for each token of an item of several, one after another: as for the only token of an item, with its input
/// where the first token's was, its scalars in registers, and partial sums of its own.
fn of_tokens(asm: &mut Asm, pe: &Pe, local: usize, (block, mixture): (&Block, &Experts)) {
    let (stage, layout, t) = (pe.stage, &pe.stage.layout, DType::F32);
    let stage_of_one = stage.of_one();
    let one = Pe { stage: &stage_of_one, heads: pe.heads.clone(), ..*pe };
    let numerics = &stage.formats.numerics;
    let (acc, act) = (numerics.accumulate, numerics.activations);
    let hidden = [n(pe.hidden)];
    let (scalar, slice) = (regs::A, regs::B);
    let waiting = |base| mem(base, &[1], acc);
    pe.chunk().for_each(asm, |asm| {
        token_offset(asm, slice, pe.hidden * act.bytes());
        let input = mem(layout.input, &[1], act);
        asm.mov(&hidden, input.clone(), input.plus(slice));
        token_offset(asm, scalar, t.bytes());
        let squares = mem(layout.squares, &[1], t);
        asm.mov(&[n(1)], squares.clone(), squares.plus(scalar));
        if pe.row.is_root() {
            let unscale = mem(layout.factors.unscale, &[1], t).plus(scalar);
            asm.mov(&[n(1)], f32_reg(regs::UNSCALE), unscale);
        }
        if block.residual == Residual::Parallel {
            token_offset(asm, slice, pe.hidden * acc.bytes());
            let from = waiting(layout.waiting).plus(slice);
            asm.mov(&hidden, waiting(layout.waiting_of_one), from);
        }
        of_token(asm, &one, local, (block, mixture));
        token_offset(asm, slice, pe.hidden * acc.bytes());
        let to = waiting(layout.waiting).plus(slice);
        asm.mov(&hidden, to, waiting(layout.waiting_of_one));
        token_offset(asm, scalar, t.bytes());
        let scale = mem(layout.factors.scale, &[1], t).plus(scalar);
        asm.mov(&[n(1)], scale, f32_reg(regs::SCALE));
    });
    linear::renew_unscale(asm, &pe.row, &layout.factors);
}

/// The mixture's partial sums for the only token of an item.
fn of_token(asm: &mut Asm, pe: &Pe, local: usize, (block, mixture): (&Block, &Experts)) {
    let at = &pe.stage.layout.layers[local];
    let experts = at.mlp.tiling.logits().total();
    let row = at.mlp.tiling.row(pe.place.row);
    router::logits(asm, pe, local, (block, mixture));
    // The root that chooses waits for other rows' logits, the other PEs for its choice.
    if choice::chooses(pe) {
        prepare(asm, pe, local, block);
    }
    router::collect(asm, pe, experts);
    if !choice::chooses(pe) {
        prepare(asm, pe, local, block);
    }
    choice::emit(asm, pe, &row, experts, mixture);
    let offset = (row.count > 1).then_some(regs::EXPERT);
    let (mlp, layers, weighting) = (&block.mlp, &mixture.experts[0], mixture.weighting);
    let expert = Expert { at: &at.mlp, row, mlp, layers, weighting, offset };
    let bytes = at.mlp.expert_bytes;
    choice::each_chosen(asm, pe, &expert.row, bytes, |asm| one(asm, pe, &expert));
}

/// What depends on no choice.
fn prepare(asm: &mut Asm, pe: &Pe, local: usize, block: &Block) {
    let layout = &pe.stage.layout;
    let acc = pe.stage.formats.numerics.accumulate;
    if block.residual != Residual::Parallel {
        asm.mov(&[n(pe.hidden)], mem(layout.waiting, &[1], acc), Operand::Imm(0, acc));
    }
    locate_share(asm, pe, &layout.layers[local].mlp);
}

/// One expert: its weighted output is added to what waits for the sum along the column.
fn one(asm: &mut Asm, pe: &Pe, expert: &Expert<'_>) {
    let (layout, formats) = (&pe.stage.layout, &pe.stage.formats);
    let (inner, weight) = (expert.row.inner_len(), f32_reg(regs::WEIGHT));
    let acc = formats.numerics.accumulate;
    let [mut up, mut down] = tiles(pe, expert.at, inner);
    (up.offset, down.offset) = (expert.offset, expert.offset);
    linear::multiply(asm, formats, up, layout.input, layout.sums);
    finish_up(asm, pe, expert, up.columns);
    asm.mark(marks::GATED);
    let gating =
        Gating { inner, layers: expert.layers, lacking: None, weight: Some(weight.into()) };
    activate(asm, pe, &gating);
    asm.mark(marks::ACTIVATED);
    linear::add_tile(asm, formats, down, layout.inner, layout.waiting);
    if expert.layers.down.bias.is_some() && expert.row.leads {
        let bias = mem(expert.at.down_bias, &[1], DType::F32).shifted(expert.offset);
        let waiting = mem(layout.waiting, &[1], acc);
        asm.vec(VecOp::Fmac, &[n(pe.hidden)], waiting, bias, weight);
    }
}

/// Sums the `len` partial outputs of the projections up along the row and gives them to all its PEs, rounded, with the norm's
/// factor and the bias; and the expert's weight.
fn finish_up(asm: &mut Asm, pe: &Pe, expert: &Expert<'_>, len: u32) {
    let (layout, numerics) = (&pe.stage.layout, &pe.stage.formats.numerics);
    let (acc, act) = (numerics.accumulate, numerics.activations);
    let (shape, sums) = ([n(len)], mem(layout.sums, &[1], acc));
    let weigh = |asm: &mut Asm| choice::weigh(asm, pe, &expert.row, expert.weighting);
    // The root sends the weight while sums are on their way to it.
    if pe.row.is_root() {
        weigh(asm);
    }
    reduce(asm, &pe.row, VecOp::Add, &shape, &sums, acc);
    if !pe.row.is_root() {
        weigh(asm);
    }
    let mut whole = (VecOp::Mul, sums.clone().into(), f32_reg(regs::RATIO).into());
    if is_biased(&expert.mlp.norm, &expert.layers.inputs()) {
        if pe.row.is_root() {
            asm.vec(VecOp::Mul, &shape, sums.clone(), sums.clone(), f32_reg(regs::RATIO));
        }
        let bias = mem(expert.at.gate_up_bias, &[1], DType::F32).shifted(expert.offset);
        whole = (VecOp::Add, sums.into(), bias.into());
    }
    broadcast(asm, &pe.row, &shape, whole, &mem(layout.gate_up, &[1], act), act);
}
