//! The program of a PE in a stage of layers.

use crate::asm::{Asm, Mem, Op, mem, n};
use crate::emit::collective::{broadcast, broadcast_reg, copy_of, reduce};
use crate::emit::linear::NormAt;
use crate::emit::{Formats, Place, attention, cache, f32_reg, linear, marks, mlp, regs};
use crate::layout::LayersLayout;
use crate::lines::{self, COLUMN, INGRESS, INGRESS_COLUMN, LinePos, ROW};
use crate::tiling::{LayerTiling, RowHeads};
use models::{Block, DecoderGraph, Norm, Residual};
use pe_isa::{AluOp, Color, Cond, DType, Operand, Program, Size, Src, VecOp};
use std::ops::Range;

/// A stage of layers, as its programs need it.
#[derive(Debug, Clone)]
pub(crate) struct LayersStage<'a> {
    pub(crate) graph: &'a DecoderGraph,
    pub(crate) layers: Range<usize>,
    pub(crate) tiling: LayerTiling,
    pub(crate) layout: LayersLayout,
    pub(crate) formats: Formats,
    /// Color of the lane to the next stage.
    pub(crate) lane: Color,
    /// Whether only items that want a token go on from here.
    pub(crate) only_wanted: bool,
}

/// What one PE's emitters share.
pub(crate) struct Pe<'a> {
    pub(crate) stage: &'a LayersStage<'a>,
    pub(crate) place: Place,
    pub(crate) row: LinePos,
    pub(crate) column: LinePos,
    pub(crate) heads: RowHeads,
    /// Elements of the residual slice.
    pub(crate) hidden: u32,
}

/// The program of the PE at `place`.
pub(crate) fn program(stage: &LayersStage, place: Place) -> Program {
    let pe = Pe {
        stage,
        place,
        row: LinePos::centred(place.column, place.width, ROW),
        column: LinePos::centred(place.row, place.height, COLUMN),
        heads: stage.tiling.row_heads(place.row),
        hidden: stage.tiling.hidden.len(place.column),
    };
    let mut asm = Asm::new();
    let next_item = asm.here();
    receive(&mut asm, place, stage.layout.x, pe.hidden);
    asm.mark(marks::ITEM);
    unpack(&mut asm, &pe);
    linear::renew_unscale(&mut asm, &pe.row);
    for at in &stage.layout.ropes {
        attention::angles(&mut asm, &pe, at, stage.graph.rope(at.rope).attention_factor);
    }
    for (local, layer) in stage.layers.clone().enumerate() {
        let block = &stage.graph.blocks[layer];
        let cache = |local: usize| &stage.layout.layers[local].cache;
        if local > 0 && cache(local) != cache(local - 1) {
            cache::locate(&mut asm, &pe, cache(local));
        }
        attention::emit(&mut asm, &pe, local, block);
        mlp::emit(&mut asm, &pe, local, block);
    }
    if place.row == 0 {
        if stage.only_wanted {
            asm.alu(AluOp::Shr, regs::A, regs::WHERE, Src::Imm(super::WANTED_BIT));
            asm.branch(Cond::Eq, regs::A, Src::Imm(0), next_item);
        }
        send_on(&mut asm, place, stage.layout.x, pe.hidden, stage.lane);
    }
    asm.jump(next_item);
    asm.finish()
}

/// Receives an item: header into registers, the residual slice of `len` elements to `x`. The first row takes it from
/// the stage's port and passes each column's slice down, while it goes on: nobody may receive the next item before that is done.
/// In a stage of layers the sums along the columns see to it, to which every row adds after it has its slice.
pub(crate) fn receive(asm: &mut Asm, place: Place, x: u32, len: u32) {
    let slice = mem(x, &[1], DType::F32);
    if place.row > 0 {
        for reg in [regs::WHERE, regs::SCALE, regs::SHARE] {
            asm.recv(reg, INGRESS_COLUMN);
        }
        let source = asm.from(INGRESS_COLUMN, DType::F32);
        return asm.mov(&[n(len)], slice, source);
    }
    for reg in [regs::WHERE, regs::END, regs::SCALE, regs::SHARE] {
        asm.recv(reg, INGRESS);
    }
    if place.height > 1 {
        for reg in [regs::WHERE, regs::SCALE, regs::SHARE] {
            asm.send(INGRESS_COLUMN, reg);
        }
    }
    let void = Operand::Reg(regs::VOID, DType::U32);
    let words = asm.from(INGRESS, DType::U32);
    let source = asm.from(INGRESS, DType::F32);
    if place.column > 0 {
        asm.mov(&[Size::Reg(regs::BEFORE)], void, words);
    }
    asm.mov(&[n(len)], slice.clone(), source);
    if place.height > 1 {
        let down = asm.to(INGRESS_COLUMN, DType::F32);
        asm.mov_async(0, &[n(len)], down, slice);
    }
    if place.column + 1 < place.width {
        asm.mov(&[Size::Reg(regs::BEHIND)], void, words);
    }
}

/// Splits the header into registers.
fn unpack(asm: &mut Asm, pe: &Pe) {
    use regs::*;
    asm.alu(AluOp::And, POSITION, WHERE, Src::Imm(super::POSITION_MASK));
    asm.alu(AluOp::Shr, OWNER, SHARE, Src::Imm(super::POSITION_BITS));
    cache::locate(asm, pe, &pe.stage.layout.layers[0].cache);
}

/// Passes the item to the next stage: along the first row, each PE forwards what comes from the west and adds its slice.
pub(crate) fn send_on(asm: &mut Asm, place: Place, x: u32, len: u32, lane: Color) {
    let last = place.column + 1 == place.width;
    let out = if last { lane } else { lines::egress(place.column) };
    if place.column == 0 {
        for reg in [regs::WHERE, regs::END, regs::SCALE] {
            asm.send(out, reg);
        }
    } else {
        let source = asm.from(lines::egress(place.column - 1), DType::U32);
        let target = asm.to(out, DType::U32);
        asm.mov(&[Size::Reg(regs::FORWARD)], target, source);
    }
    let target = asm.to(out, DType::F32);
    asm.mov(&[n(len)], target, mem(x, &[1], DType::F32));
}

/// Where the partial sums of a half's output gather: those of both halves in one place where they are added at once.
pub(crate) fn half_sums(pe: &Pe, block: &Block) -> u32 {
    match block.residual {
        Residual::Sequential => pe.stage.layout.sums,
        Residual::Parallel => pe.stage.layout.waiting,
    }
}

/// Sums a column's partial outputs of `hidden` elements at `sums` and adds them to the residual stream on all its PEs, behind
/// biases and a norm if there are any. The norm's weight is an address.
pub(crate) fn add_to_residual(
    asm: &mut Asm,
    pe: &Pe,
    sums: u32,
    biases: &[u32],
    post_norm: Option<(&Norm, u32)>,
) {
    let (layout, numerics) = (&pe.stage.layout, &pe.stage.formats.numerics);
    let shape = [n(pe.hidden)];
    let sums = mem(sums, &[1], numerics.accumulate);
    reduce(asm, &pe.column, VecOp::Add, &shape, &sums, numerics.accumulate);
    let mut result = copy_of(&sums);
    if pe.column.is_root() {
        for &bias in biases {
            asm.vec(VecOp::Add, &shape, sums.clone(), sums.clone(), mem(bias, &[1], DType::F32));
        }
        if let Some((norm, weight)) = post_norm {
            result = norm_behind(asm, pe, &sums, norm.epsilon, weight);
        }
    }
    let delta = mem(layout.delta, &[1], numerics.activations);
    broadcast(asm, &pe.column, &shape, result, &delta, numerics.activations);
    let x = mem(layout.x, &[1], DType::F32);
    asm.vec(VecOp::Add, &shape, x.clone(), x, delta);
}

/// An RMS norm of a half's output, which lies in slices on the roots of all columns, a row. Returns the operation that makes
/// the normed slice.
fn norm_behind(asm: &mut Asm, pe: &Pe, sums: &Mem, epsilon: f32, weight: u32) -> (VecOp, Op, Op) {
    let layout = &pe.stage.layout;
    let squares = mem(layout.squares, &[1], DType::F32);
    linear::sum_squares(asm, pe.hidden, sums, layout.squares);
    reduce(asm, &pe.row, VecOp::Add, &[n(1)], &squares, DType::F32);
    let factor = regs::B;
    if pe.row.is_root() {
        linear::inverse_root(asm, factor, layout.squares, pe.stage.tiling.dims.hidden, epsilon);
    }
    broadcast_reg(asm, &pe.row, factor);
    let scaled = mem(layout.scaled, &[1], DType::F32);
    let weight = mem(weight, &[1], DType::F32);
    asm.vec(VecOp::Mul, &[n(pe.hidden)], scaled.clone(), sums.clone(), weight);
    (VecOp::Mul, scaled.into(), f32_reg(factor).into())
}

/// Whose norm a half's input goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Norming {
    /// The half's own.
    Own,
    /// One that the next half uses as well.
    First,
    /// That of the half before, which read the same residual stream.
    Again,
}

impl Norming {
    /// For the attention half of a layer.
    pub(crate) fn of_attention(block: &Block) -> Norming {
        if Norming::is_shared(block) { Norming::First } else { Norming::Own }
    }

    /// For its MLP half.
    pub(crate) fn of_mlp(block: &Block) -> Norming {
        if Norming::is_shared(block) { Norming::Again } else { Norming::Own }
    }

    fn is_shared(block: &Block) -> bool {
        block.residual == Residual::Parallel && block.attention.norm == block.mlp.norm
    }
}

/// Prepares the input of a half, unless the half before has done so; `weight` is the norm's.
pub(crate) fn start_normed(asm: &mut Asm, pe: &Pe, norming: Norming, weight: u32) {
    let layout = &pe.stage.layout;
    let (x, scaled, input, squares) = (layout.x, layout.scaled, layout.input, layout.squares);
    if norming != Norming::Again {
        let at = NormAt { x, weight, scaled, input, squares, len: pe.hidden };
        linear::prepare_norm(asm, &pe.stage.formats, at);
    }
}

/// Sums a row's `len` partial outputs behind a norm and gives them, rounded, to all its PEs at `dst`. They still lack the
/// factor in register `RATIO`, which is near one: whoever uses an element multiplies it, in f32.
pub(crate) fn finish_normed(
    asm: &mut Asm,
    pe: &Pe,
    norming: Norming,
    (len, epsilon): (u32, f32),
    bias: Option<u32>,
    dst: u32,
) {
    let (layout, numerics) = (&pe.stage.layout, &pe.stage.formats.numerics);
    let (acc, act) = (numerics.accumulate, numerics.activations);
    let shape = [n(len)];
    let sums = mem(layout.sums, &[1], acc);
    sum_norm(asm, pe, norming);
    reduce(asm, &pe.row, VecOp::Add, &shape, &sums, acc);
    let hidden = pe.stage.tiling.dims.hidden;
    if let Some(bias) = bias {
        if pe.row.is_root() {
            linear::norm_factor(asm, layout.squares, hidden, epsilon);
            let factor = f32_reg(regs::RATIO);
            asm.vec(VecOp::Mul, &shape, sums.clone(), sums.clone(), factor);
            let b = mem(bias, &[1], DType::F32);
            asm.vec(VecOp::Add, &shape, sums.clone(), sums.clone(), b);
        }
        broadcast(asm, &pe.row, &shape, copy_of(&sums), &mem(dst, &[1], act), act);
        asm.li(regs::RATIO, 1.0f32.to_bits());
    } else {
        broadcast(asm, &pe.row, &shape, copy_of(&sums), &mem(dst, &[1], act), act);
        if pe.row.is_root() {
            linear::norm_factor(asm, layout.squares, hidden, epsilon);
        }
        broadcast_reg(asm, &pe.row, regs::RATIO);
    }
    if norming != Norming::First {
        share_scale(asm, pe);
    }
}

/// Sums the squares behind a norm along the row, unless the half before has done so.
pub(crate) fn sum_norm(asm: &mut Asm, pe: &Pe, norming: Norming) {
    if norming != Norming::Again {
        let squares = mem(pe.stage.layout.squares, &[1], DType::F32);
        reduce(asm, &pe.row, VecOp::Add, &[n(1)], &squares, DType::F32);
    }
}

/// The norm's factor from the root of the row to all its PEs, for the norms to come.
pub(crate) fn share_scale(asm: &mut Asm, pe: &Pe) {
    broadcast_reg(asm, &pe.row, regs::SCALE);
    linear::renew_unscale(asm, &pe.row);
}
