//! The program of a PE in a stage of layers.

use crate::asm::{Asm, Mem, Op, mem, n};
use crate::emit::collective::{broadcast, broadcast_reg, copy_of, reduce};
use crate::emit::linear::NormAt;
use crate::emit::port::TransferColors;
use crate::emit::{Formats, Place, attention, cache, f32_reg, linear, marks, mlp, regs};
use crate::layout::LayersLayout;
use crate::lines::{INGRESS, LinePos, READY};
use crate::tiling::{LayerTiling, RowHeads};
use models::{Block, DecoderGraph, Norm, Residual};
use pe_isa::{AluOp, Cond, DType, Program, Src, VecOp};
use std::ops::Range;

/// A stage of layers, as its programs need it.
#[derive(Debug, Clone)]
pub(crate) struct LayersStage<'a> {
    pub(crate) graph: &'a DecoderGraph,
    pub(crate) layers: Range<usize>,
    pub(crate) tiling: LayerTiling,
    pub(crate) layout: LayersLayout,
    pub(crate) formats: Formats,
    /// Lanes to the next stage, by column.
    pub(crate) transfers: Vec<TransferColors>,
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
        row: place.in_row,
        column: place.in_column,
        heads: stage.tiling.row_heads(place.row),
        hidden: stage.tiling.hidden.len(place.column),
    };
    let mut asm = Asm::new();
    let next_item = asm.here();
    let exit = exit_of(&stage.transfers, place);
    if let Some(lanes) = exit {
        asm.recv(regs::VOID, lanes.grant);
    }
    let ready = asm.here();
    if exit.is_some() {
        asm.send(READY, regs::VOID);
    }
    receive(&mut asm, stage.layout.x, pe.hidden);
    asm.mark(marks::ITEM);
    unpack(&mut asm, &pe);
    linear::renew_unscale(&mut asm, &pe.row);
    for at in &stage.layout.ropes {
        attention::angles(&mut asm, &pe, at, stage.graph.rope(at.rope).attention_factor);
    }
    asm.mark(marks::BEGUN);
    for (local, layer) in stage.layers.clone().enumerate() {
        let block = &stage.graph.blocks[layer];
        let cache = |local: usize| &stage.layout.layers[local].cache;
        if local > 0 && cache(local) != cache(local - 1) {
            cache::locate(&mut asm, &pe, cache(local));
        }
        attention::emit(&mut asm, &pe, local, block);
        mlp::emit(&mut asm, &pe, local, block);
    }
    if let Some(lanes) = exit {
        if stage.only_wanted {
            asm.alu(AluOp::Shr, regs::A, regs::WHERE, Src::Imm(super::WANTED_BIT));
            asm.branch(Cond::Eq, regs::A, Src::Imm(0), ready);
        }
        send_on(&mut asm, lanes, stage.layout.x, pe.hidden);
    }
    asm.jump(next_item);
    asm.finish()
}

/// The lanes of a PE of the exit row.
pub(crate) fn exit_of(transfers: &[TransferColors], place: Place) -> Option<TransferColors> {
    (place.row + 1 == place.height).then(|| transfers[place.column as usize])
}

/// Receives an item from the column's port: header into registers, the residual slice of `len` elements to `x`.
pub(crate) fn receive(asm: &mut Asm, x: u32, len: u32) {
    regs::HEADER.into_iter().for_each(|reg| asm.recv(reg, INGRESS));
    let source = asm.from(INGRESS, DType::F32);
    asm.mov(&[n(len)], mem(x, &[1], DType::F32), source);
}

/// Splits the header into registers.
fn unpack(asm: &mut Asm, pe: &Pe) {
    use regs::*;
    asm.alu(AluOp::And, POSITION, WHERE, Src::Imm(super::POSITION_MASK));
    asm.alu(AluOp::Shr, OWNER, SHARE, Src::Imm(super::POSITION_BITS));
    cache::locate(asm, pe, &pe.stage.layout.layers[0].cache);
}

/// Passes the column's part of the item to the next stage.
pub(crate) fn send_on(asm: &mut Asm, lanes: TransferColors, x: u32, len: u32) {
    regs::HEADER.into_iter().for_each(|reg| asm.send(lanes.item, reg));
    let target = asm.to(lanes.item, DType::F32);
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
