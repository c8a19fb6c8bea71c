//! The program of a PE in the embedding stage.

use crate::asm::{Asm, Mem, mem, n};
use crate::emit::chunk::{Factors, token_offset};
use crate::emit::collective::{reduce, share_in_place};
use crate::emit::layers::{exit_of, send_on};
use crate::emit::port::{self, ID, TransferColors};
use crate::emit::{Formats, Place, f32_reg, regs};
use crate::layout::EmbedLayout;
use crate::lines::{INGRESS, READY};
use crate::split::Split;
use pe_isa::{AluOp, DType, Operand, Program, Reg, Src, VecOp};

/// The embedding stage, as its programs need it.
#[derive(Debug, Clone)]
pub(crate) struct EmbedStage {
    pub(crate) hidden: Split,
    pub(crate) vocab: Split,
    /// Rows of the position table over rows of PEs, if there is one.
    pub(crate) positions: Option<Split>,
    pub(crate) layout: EmbedLayout,
    pub(crate) formats: Formats,
    /// Factor on the looked-up row.
    pub(crate) scale: f32,
    /// Lanes to the next stage, by column.
    pub(crate) transfers: Vec<TransferColors>,
}

/// The program of the PE at `place`. Every PE reads some row of its tile and multiplies it with the scale if the id is one
/// of its rows, with zero otherwise; the column's sum is the embedding. So all ids take the same time. A table of positions is
/// dealt, and its rows are added, in the same way.
pub(crate) fn program(stage: &EmbedStage, place: Place) -> Program {
    let column = place.in_column;
    let hidden = stage.hidden.len(place.column);
    let mut asm = Asm::new();
    let next_item = asm.here();
    let exit = exit_of(&stage.transfers, place);
    if let Some(lanes) = exit {
        asm.recv(regs::VOID, lanes.grant);
        asm.send(READY, regs::VOID);
    }
    let chunk = stage.formats.chunk;
    port::receive_header(&mut asm, INGRESS, chunk);
    let x = mem(stage.layout.x, &[1], DType::F32);
    if chunk.is_one() {
        asm.recv(ID, INGRESS);
        look_up(&mut asm, stage, place, &x);
    } else {
        chunk.for_each(&mut asm, |asm| look_up_next(asm, stage, place, &x));
    }
    let shape = chunk.flat(&mut asm, hidden);
    reduce(&mut asm, &column, VecOp::Add, &shape, &x, DType::F32);
    share_in_place(&mut asm, &column, &shape, &x);
    if let Some(lanes) = exit {
        let factors = Factors { chunk, scale: stage.layout.scales, ..Factors::IN_REGISTERS };
        if let Some(scales) = factors.scale().stored() {
            let all = chunk.flat(&mut asm, 1);
            asm.mov(&all, scales, Operand::f32(1.0));
        }
        send_on(&mut asm, lanes, &factors, (stage.layout.x, hidden));
    }
    asm.jump(next_item);
    asm.finish()
}

/// This PE's part of the row of one of several tokens, which goes behind those of the tokens before it.
fn look_up_next(asm: &mut Asm, stage: &EmbedStage, place: Place, x: &Mem) {
    let hidden = stage.hidden.len(place.column);
    let to = regs::LEN;
    asm.recv(ID, INGRESS);
    token_offset(asm, to, hidden * DType::F32.bytes());
    look_up(asm, stage, place, &x.clone().plus(to));
}

/// This PE's part of the row of the token in register [`ID`], and of its position's, to `x`.
fn look_up(asm: &mut Asm, stage: &EmbedStage, place: Place, x: &Mem) {
    let shape = [n(stage.hidden.len(place.column))];
    let weights = stage.formats.numerics.weights;
    let row_bytes = stage.layout.hidden_stride * weights.bytes();
    find(asm, ID, (regs::VOCAB, stage.vocab.len(place.row)), row_bytes);
    let scale = Operand::f32(stage.scale);
    asm.vec(VecOp::Mul, &[n(1)], f32_reg(IS_MINE), f32_reg(IS_MINE), scale);
    let table = mem(stage.layout.table, &[1], weights).plus(ROW);
    asm.vec(VecOp::Mul, &shape, x.clone(), table, f32_reg(IS_MINE));
    if let Some(positions) = stage.positions {
        asm.alu(AluOp::And, regs::POSITION, regs::WHERE, Src::Imm(super::POSITION_MASK));
        if !stage.formats.chunk.is_one() {
            asm.alu(AluOp::Add, regs::POSITION, regs::POSITION, Src::Reg(regs::TOKEN));
        }
        let dealt = (regs::POSITIONS, positions.len(place.row));
        find(asm, regs::POSITION, dealt, row_bytes);
        let table = mem(stage.layout.positions, &[1], weights).plus(ROW);
        asm.vec(VecOp::Fmac, &shape, x.clone(), table, f32_reg(IS_MINE));
    }
}

/// Byte offset of the row that [`find`] found.
const ROW: Reg = regs::B;
/// Whether it is the one that was asked for: 1 or 0, f32.
const IS_MINE: Reg = regs::D;

/// Finds row `index` of a table of which this PE holds `rows` rows of `row_bytes` bytes, from the one in register `first` on.
/// Where it has not that row, it takes its first or last one.
fn find(asm: &mut Asm, index: Reg, (first, rows): (Reg, u32), row_bytes: u32) {
    let is_mine = regs::C;
    asm.alu(AluOp::Sub, ROW, index, Src::Reg(first));
    asm.alu(AluOp::Lt, is_mine, ROW, Src::Imm(rows));
    asm.alu(AluOp::Min, ROW, ROW, Src::Imm(rows.saturating_sub(1)));
    asm.alu(AluOp::Mul, ROW, ROW, Src::Imm(row_bytes));
    asm.mov(&[n(1)], f32_reg(IS_MINE), Operand::Reg(is_mine, DType::U32));
}
