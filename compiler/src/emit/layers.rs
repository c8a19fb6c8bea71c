//! The program of a PE in a stage of layers.

use crate::asm::{Asm, Op, mem, n};
use crate::emit::chunk::{Chunk, Factor, Factors};
use crate::emit::collective::{broadcast, broadcast_reg, copy_of, reduce, share_in_place};
use crate::emit::linear::NormAt;
use crate::emit::port::TransferColors;
use crate::emit::{Formats, Place, attention, cache, f32_reg, linear, marks, mlp, regs};
use crate::layout::LayersLayout;
use crate::lines::{INGRESS, LinePos, READY};
use crate::tiling::{LayerTiling, RowHeads};
use models::{Block, DecoderGraph, Norm, Residual};
use pe_isa::{AluOp, Cond, DType, Program, Reg, Src, VecOp};
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

impl LayersStage<'_> {
    /// The same for the tokens of an item one by one: scalars in registers, work vectors of one token where the first one's are.
    pub(crate) fn of_one(&self) -> Self {
        let formats = Formats { chunk: Chunk::ONE, ..self.formats };
        let layout = LayersLayout {
            factors: Factors::IN_REGISTERS,
            waiting: self.layout.waiting_of_one,
            ..self.layout.clone()
        };
        LayersStage { formats, layout, ..self.clone() }
    }
}

impl Pe<'_> {
    /// The tokens of an item.
    pub(crate) fn chunk(&self) -> Chunk {
        self.stage.formats.chunk
    }
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
    receive(&mut asm, &stage.layout.factors, stage.layout.x, pe.hidden);
    asm.mark(marks::ITEM);
    unpack(&mut asm, &pe);
    linear::renew_unscale(&mut asm, &pe.row, &stage.layout.factors);
    attention::positions(&mut asm, &pe);
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
        let factors = &stage.layout.factors;
        if stage.only_wanted && !factors.chunk.is_one() {
            send_last(&mut asm, lanes, factors, (stage.layout.x, pe.hidden));
        } else {
            send_on(&mut asm, lanes, factors, (stage.layout.x, pe.hidden));
        }
    }
    asm.jump(next_item);
    asm.finish()
}

/// The lanes of a PE of the exit row.
pub(crate) fn exit_of(transfers: &[TransferColors], place: Place) -> Option<TransferColors> {
    (place.row + 1 == place.height).then(|| transfers[place.column as usize])
}

/// Receives an item from the column's port: header into registers (but where items hold several tokens for their scales, which go to
/// SRAM), the residual slices of `len` elements to `x`.
pub(crate) fn receive(asm: &mut Asm, factors: &Factors, x: u32, len: u32) {
    let chunk = factors.chunk;
    header(factors).for_each(|reg| asm.recv(reg, INGRESS));
    chunk.count(asm);
    let source = asm.from(INGRESS, DType::F32);
    if let Some(scales) = factors.scale().stored() {
        let all = chunk.flat(asm, 1);
        asm.mov(&all, scales, source);
    }
    let all = chunk.flat(asm, len);
    asm.mov(&all, mem(x, &[1], DType::F32), source);
}

/// What of an item's header stands in registers.
pub(crate) fn header(factors: &Factors) -> impl Iterator<Item = Reg> + use<> {
    let is_one = factors.chunk.is_one();
    regs::HEADER.into_iter().filter(move |&reg| is_one || reg != regs::SCALE)
}

/// Splits the header into registers.
fn unpack(asm: &mut Asm, pe: &Pe) {
    use regs::*;
    asm.alu(AluOp::And, POSITION, WHERE, Src::Imm(super::POSITION_MASK));
    asm.alu(AluOp::Shr, OWNER, SHARE, Src::Imm(super::POSITION_BITS));
    cache::locate(asm, pe, &pe.stage.layout.layers[0].cache);
}

/// Passes the column's part of the item to the next stage: header, and for each token `len` elements at `x`.
pub(crate) fn send_on(
    asm: &mut Asm,
    lanes: TransferColors,
    factors: &Factors,
    (x, len): (u32, u32),
) {
    header(factors).for_each(|reg| asm.send(lanes.item, reg));
    let target = asm.to(lanes.item, DType::F32);
    if let Some(scales) = factors.scale().stored() {
        let all = factors.chunk.flat(asm, 1);
        asm.mov(&all, target, scales);
    }
    let all = factors.chunk.flat(asm, len);
    asm.mov(&all, target, mem(x, &[1], DType::F32));
}

/// The same for the last of several tokens alone, as an item of one token.
fn send_last(asm: &mut Asm, lanes: TransferColors, factors: &Factors, (x, len): (u32, u32)) {
    use regs::{A, B, END, HEADER, SCALE, TOKENS_HELD, WHERE};
    let t = DType::F32;
    asm.alu(AluOp::Sub, A, TOKENS_HELD, Src::Imm(1));
    asm.alu(AluOp::Add, WHERE, WHERE, Src::Reg(A));
    asm.alu(AluOp::And, END, END, Src::Imm(super::POSITION_MASK));
    asm.alu(AluOp::Mul, B, A, Src::Imm(t.bytes()));
    asm.mov(&[n(1)], f32_reg(SCALE), mem(factors.scale, &[1], t).plus(B));
    asm.alu(AluOp::Mul, B, A, Src::Imm(len * t.bytes()));
    HEADER.into_iter().for_each(|reg| asm.send(lanes.item, reg));
    let target = asm.to(lanes.item, t);
    asm.mov(&[n(len)], target, mem(x, &[1], t).plus(B));
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
    let (chunk, acc, act) = (pe.chunk(), numerics.accumulate, numerics.activations);
    let shape = chunk.flat(asm, pe.hidden);
    let all_sums = mem(sums, &[1], acc);
    reduce(asm, &pe.column, VecOp::Add, &shape, &all_sums, acc);
    let delta = mem(layout.delta, &[1], act);
    let each = chunk.each(&[n(pe.hidden)]);
    let for_each = |base, dtype| chunk.mem(base, pe.hidden, &[1], dtype);
    if pe.column.is_root() {
        for &bias in biases {
            let (sums, bias) = (for_each(sums, acc), chunk.mem(bias, 0, &[1], DType::F32));
            asm.vec(VecOp::Add, &each, sums.clone(), sums, bias);
        }
    }
    if let (true, Some((norm, weight))) = (pe.column.is_root(), post_norm) {
        let normed = norm_behind(asm, pe, (sums, acc), norm.epsilon, weight);
        broadcast(asm, &pe.column, &each, normed, &for_each(layout.delta, act), act);
    } else {
        let shape = chunk.flat(asm, pe.hidden);
        broadcast(asm, &pe.column, &shape, copy_of(&all_sums), &delta, act);
    }
    let shape = chunk.flat(asm, pe.hidden);
    let x = mem(layout.x, &[1], DType::F32);
    asm.vec(VecOp::Add, &shape, x.clone(), x, delta);
}

/// An RMS norm of a half's output, which lies in slices on the roots of all columns, a row. Returns the operation that makes
/// the normed slice of each token.
fn norm_behind(
    asm: &mut Asm,
    pe: &Pe,
    (sums, acc): (u32, DType),
    epsilon: f32,
    weight: u32,
) -> (VecOp, Op, Op) {
    let (layout, chunk, t) = (&pe.stage.layout, pe.chunk(), DType::F32);
    let sums = chunk.mem(sums, pe.hidden, &[1], acc);
    linear::sum_squares(asm, chunk, pe.hidden, &sums, layout.squares);
    let all = chunk.flat(asm, 1);
    reduce(asm, &pe.row, VecOp::Add, &all, &mem(layout.squares, &[1], t), t);
    let factor = layout.factors.behind();
    if pe.row.is_root() {
        let hidden = pe.stage.tiling.dims.hidden;
        linear::inverse_root(asm, (chunk, factor), layout.squares, (hidden, epsilon));
    }
    broadcast_factor(asm, pe, factor);
    let scaled = chunk.mem(layout.scaled, pe.hidden, &[1], t);
    let weight = chunk.mem(weight, 0, &[1], t);
    asm.vec(VecOp::Mul, &chunk.each(&[n(pe.hidden)]), scaled.clone(), sums, weight);
    (VecOp::Mul, scaled.into(), factor.over(1))
}

/// Sends a factor of each token from the root of the row to all its PEs.
fn broadcast_factor(asm: &mut Asm, pe: &Pe, factor: Factor) {
    match factor.stored() {
        None => broadcast_reg(asm, &pe.row, factor.reg),
        Some(all) => {
            let tokens = pe.chunk().flat(asm, 1);
            share_in_place(asm, &pe.row, &tokens, &all);
        }
    }
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
        linear::prepare_norm(asm, &pe.stage.formats, at, &layout.factors);
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
    let (chunk, factors) = (pe.chunk(), &layout.factors);
    let sums = mem(layout.sums, &[1], acc);
    sum_norm(asm, pe, norming);
    let shape = chunk.flat(asm, len);
    reduce(asm, &pe.row, VecOp::Add, &shape, &sums, acc);
    let hidden = (pe.stage.tiling.dims.hidden, epsilon);
    if let Some(bias) = bias {
        if pe.row.is_root() {
            linear::norm_factor(asm, factors, layout.squares, hidden);
            let (each, of_each) = (chunk.each(&[n(len)]), chunk.mem(layout.sums, len, &[1], acc));
            let factor = factors.ratio().over(1);
            asm.vec(VecOp::Mul, &each, of_each.clone(), of_each.clone(), factor);
            let b = chunk.mem(bias, 0, &[1], DType::F32);
            asm.vec(VecOp::Add, &each, of_each.clone(), of_each, b);
        }
        let shape = chunk.flat(asm, len);
        broadcast(asm, &pe.row, &shape, copy_of(&sums), &mem(dst, &[1], act), act);
        set_ratio(asm, pe, 1.0);
    } else {
        let shape = chunk.flat(asm, len);
        broadcast(asm, &pe.row, &shape, copy_of(&sums), &mem(dst, &[1], act), act);
        if pe.row.is_root() {
            linear::norm_factor(asm, factors, layout.squares, hidden);
        }
        broadcast_factor(asm, pe, factors.ratio());
    }
    if norming != Norming::First {
        share_scale(asm, pe);
    }
}

/// Sums the squares behind a norm along the row, unless the half before has done so.
pub(crate) fn sum_norm(asm: &mut Asm, pe: &Pe, norming: Norming) {
    if norming != Norming::Again {
        let squares = mem(pe.stage.layout.squares, &[1], DType::F32);
        let all = pe.chunk().flat(asm, 1);
        reduce(asm, &pe.row, VecOp::Add, &all, &squares, DType::F32);
    }
}

/// Sets what sums still lack, for all tokens.
fn set_ratio(asm: &mut Asm, pe: &Pe, ratio: f32) {
    match pe.stage.layout.factors.ratio().stored() {
        None => asm.li(regs::RATIO, ratio.to_bits()),
        Some(all) => {
            let tokens = pe.chunk().flat(asm, 1);
            asm.mov(&tokens, all, pe_isa::Operand::f32(ratio));
        }
    }
}

/// The norm's factor from the root of the row to all its PEs, for the norms to come.
pub(crate) fn share_scale(asm: &mut Asm, pe: &Pe) {
    let factors = &pe.stage.layout.factors;
    broadcast_factor(asm, pe, factors.scale());
    linear::renew_unscale(asm, &pe.row, factors);
}
