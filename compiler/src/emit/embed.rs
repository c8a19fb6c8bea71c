//! The program of a PE in the embedding stage.

use crate::asm::{Asm, mem, n};
use crate::emit::collective::{reduce, share_in_place};
use crate::emit::layers::send_on;
use crate::emit::{Formats, Place, f32_reg, regs};
use crate::layout::EmbedLayout;
use crate::lines::{COLUMN, INGRESS, INGRESS_COLUMN, LinePos};
use crate::split::Split;
use pe_isa::{AluOp, Color, DType, Operand, Program, Src, VecOp};

/// The embedding stage, as its programs need it.
#[derive(Debug, Clone)]
pub(crate) struct EmbedStage {
    pub(crate) hidden: Split,
    pub(crate) vocab: Split,
    pub(crate) layout: EmbedLayout,
    pub(crate) formats: Formats,
    /// Factor on the looked-up row.
    pub(crate) scale: f32,
    /// Color of the lane to the next stage.
    pub(crate) lane: Color,
}

/// The program of the PE at `place`. Every PE reads some row of its tile and multiplies it with the scale if the id is one
/// of its rows, with zero otherwise; the column's sum is the embedding. So all ids take the same time.
pub(crate) fn program(stage: &EmbedStage, place: Place) -> Program {
    let column = LinePos::centred(place.row, place.height, COLUMN);
    let hidden = stage.hidden.len(place.column);
    let rows = stage.vocab.len(place.row);
    let mut asm = Asm::new();
    let next_item = asm.here();
    let id = regs::A;
    receive(&mut asm, place, id);
    let (row, is_mine) = (regs::B, regs::C);
    let row_bytes = stage.layout.hidden_stride * stage.formats.numerics.weights.bytes();
    asm.alu(AluOp::Sub, row, id, Src::Reg(regs::VOCAB));
    asm.alu(AluOp::Lt, is_mine, row, Src::Imm(rows));
    asm.alu(AluOp::Min, row, row, Src::Imm(rows.saturating_sub(1)));
    asm.alu(AluOp::Mul, row, row, Src::Imm(row_bytes));
    let one = [n(1)];
    asm.mov(&one, f32_reg(regs::D), Operand::Reg(is_mine, DType::U32));
    asm.vec(VecOp::Mul, &one, f32_reg(regs::D), f32_reg(regs::D), Operand::f32(stage.scale));
    let shape = [n(hidden)];
    let x = mem(stage.layout.x, &[1], DType::F32);
    let table = mem(stage.layout.table, &[1], stage.formats.numerics.weights).plus(row);
    asm.vec(VecOp::Mul, &shape, x.clone(), table, f32_reg(regs::D));
    reduce(&mut asm, &column, VecOp::Add, &shape, &x, DType::F32);
    share_in_place(&mut asm, &column, &shape, &x);
    if place.row == 0 {
        send_on(&mut asm, place, stage.layout.x, hidden, stage.lane);
    }
    asm.jump(next_item);
    asm.finish()
}

/// Receives an item's header and token id; the first row passes the id down.
fn receive(asm: &mut Asm, place: Place, id: pe_isa::Reg) {
    if place.row > 0 {
        return asm.recv(id, INGRESS_COLUMN);
    }
    for reg in [regs::WHERE, regs::END, regs::SCALE, regs::SHARE, id] {
        asm.recv(reg, INGRESS);
    }
    if place.height > 1 {
        asm.send(INGRESS_COLUMN, id);
    }
}
