//! The program of a PE in the head stage: final norm, logits, and the largest of them, or all of them to the host.

use crate::asm::{Asm, mem, n};
use crate::emit::chunk::Factors;
use crate::emit::collective::{broadcast_reg, reduce};
use crate::emit::layers::receive;
use crate::emit::linear::{self, NormAt, TileAt};
use crate::emit::{Formats, Place, f32_reg, marks, regs};
use crate::layout::HeadLayout;
use crate::lines::READY;
use crate::split::Split;
use pe_isa::{AluOp, Color, Cond, DType, Operand, Program, Size, Src, VecOp};

/// The head stage, as its programs need it.
#[derive(Debug, Clone)]
pub(crate) struct HeadStage {
    pub(crate) hidden_size: u32,
    pub(crate) hidden: Split,
    pub(crate) vocab: Split,
    pub(crate) layout: HeadLayout,
    pub(crate) formats: Formats,
    pub(crate) epsilon: f32,
    pub(crate) has_bias: bool,
    /// Cap on the logits.
    pub(crate) soft_cap: Option<f32>,
    /// Color of the lane to the host.
    pub(crate) to_host: Color,
    /// Color of the lane back to the embedding's port; none where all logits go to the host, which sends tokens back.
    pub(crate) feedback: Option<Color>,
}

/// The program of the PE at `place`.
pub(crate) fn program(stage: &HeadStage, place: Place) -> Program {
    let row = place.in_row;
    let layout = &stage.layout;
    let hidden = stage.hidden.len(place.column);
    let vocab = stage.vocab.len(place.row);
    let mut asm = Asm::new();
    let next_item = asm.here();
    let in_root_row = place.in_column.is_root();
    if in_root_row {
        asm.send(READY, regs::VOID);
    }
    let factors = &Factors::IN_REGISTERS;
    receive(&mut asm, factors, layout.x, hidden);
    linear::renew_unscale(&mut asm, &row, factors);
    linear::prepare_norm(
        &mut asm,
        &stage.formats,
        NormAt {
            x: layout.x,
            weight: layout.norm,
            scaled: layout.scaled,
            input: layout.input,
            squares: layout.squares,
            len: hidden,
        },
        factors,
    );
    let tile = TileAt {
        base: layout.head,
        rows: hidden,
        columns: vocab,
        stride: layout.vocab_stride,
        step: hidden,
        offset: None,
    };
    linear::multiply(&mut asm, &stage.formats, tile, layout.input, layout.sums);
    let acc = stage.formats.numerics.accumulate;
    let sums = mem(layout.sums, &[1], acc);
    let squares = mem(layout.squares, &[1], DType::F32);
    reduce(&mut asm, &row, VecOp::Add, &[n(1)], &squares, DType::F32);
    reduce(&mut asm, &row, VecOp::Add, &[n(vocab)], &sums, acc);
    if row.is_root() {
        logits(&mut asm, stage, vocab);
    }
    match stage.feedback {
        Some(feedback) => {
            if row.is_root() {
                choose(&mut asm, stage, place);
            }
            if row.is_root() && in_root_row {
                answer(&mut asm, stage.to_host, feedback);
            }
        }
        None if row.is_root() => send_logits(&mut asm, stage, place),
        None => {}
    }
    if in_root_row {
        // The root has had everybody's sums: all are done.
        broadcast_reg(&mut asm, &row, regs::VOID);
    }
    asm.jump(next_item);
    asm.finish()
}

/// Logits of the row on its root: sums times the norm's factor, plus bias, capped.
fn logits(asm: &mut Asm, stage: &HeadStage, vocab: u32) {
    let layout = &stage.layout;
    let hidden = (stage.hidden_size, stage.epsilon);
    linear::norm_factor(asm, &Factors::IN_REGISTERS, layout.squares, hidden);
    let shape = [n(vocab)];
    let logits = mem(layout.logits, &[1], DType::F32);
    let sums = mem(layout.sums, &[1], stage.formats.numerics.accumulate);
    asm.vec(VecOp::Mul, &shape, logits.clone(), sums, f32_reg(regs::RATIO));
    if stage.has_bias {
        let bias = mem(layout.bias, &[1], DType::F32);
        asm.vec(VecOp::Add, &shape, logits.clone(), logits.clone(), bias);
    }
    if let Some(cap) = stage.soft_cap {
        linear::soft_cap(asm, &shape, &logits, cap);
    }
    asm.mark(marks::LOGITS);
}

/// All logits to the host, behind a word that says whose they are, in the order of the ids: what comes from the north has
/// lower ids than this row, what comes from the south has higher ones.
fn send_logits(asm: &mut Asm, stage: &HeadStage, place: Place) {
    let column = place.in_column;
    if column.is_root() {
        asm.send(stage.to_host, regs::WHERE);
    }
    let out = column.outgoing().unwrap_or(stage.to_host);
    let t = DType::F32;
    if let Some(color) = column.low_arrival() {
        let (source, target) = (asm.from(color, t), asm.to(out, t));
        asm.mov(&[Size::Reg(regs::VOCAB)], target, source);
    }
    let target = asm.to(out, t);
    asm.mov(&[n(stage.vocab.len(place.row))], target, mem(stage.layout.logits, &[1], t));
    if let Some(color) = column.high_arrival() {
        let (source, target) = (asm.from(color, t), asm.to(out, t));
        asm.mov(&[Size::Reg(regs::VOCAB_BEHIND)], target, source);
    }
}

/// The largest logit over all rows arrives at the root of the column; of equal ones, the lowest id. Registers
/// `A`, `B`: value and id. From the north come lower ids, from the south higher ones.
fn choose(asm: &mut Asm, stage: &HeadStage, place: Place) {
    let logits = mem(stage.layout.logits, &[1], DType::F32);
    asm.li(regs::A, f32::NEG_INFINITY.to_bits());
    asm.alu(AluOp::Add, regs::B, regs::VOCAB, Src::Imm(0));
    let base = Operand::Reg(regs::VOCAB, DType::U32);
    let shape = [n(stage.vocab.len(place.row))];
    asm.vec(VecOp::ArgMax, &shape, f32_reg(regs::A), logits, base);
    let column = place.in_column;
    let (value, id) = (regs::C, regs::D);
    if let Some(color) = column.low_arrival() {
        asm.recv(value, color);
        asm.recv(id, color);
        // Keep mine only if it is larger: take theirs into A, B unless A > C.
        asm.selgt(id, regs::B, regs::A, value);
        asm.selgt(value, regs::A, regs::A, value);
        asm.alu(AluOp::Add, regs::A, value, Src::Imm(0));
        asm.alu(AluOp::Add, regs::B, id, Src::Imm(0));
    }
    if let Some(color) = column.high_arrival() {
        asm.recv(value, color);
        asm.recv(id, color);
        asm.selgt(regs::B, id, value, regs::A);
        asm.selgt(regs::A, value, value, regs::A);
    }
    if let Some(out) = column.outgoing() {
        asm.send(out, regs::A);
        asm.send(out, regs::B);
    }
}

/// Sends the token to the host, and back to the embedding unless it was the last one.
fn answer(asm: &mut Asm, to_host: Color, feedback: Color) {
    asm.mark(marks::TOKEN);
    asm.send(to_host, regs::WHERE);
    asm.send(to_host, regs::B);
    let last = asm.label();
    asm.alu(AluOp::Add, regs::WHERE, regs::WHERE, Src::Imm(1));
    asm.alu(AluOp::And, regs::A, regs::WHERE, Src::Imm(super::POSITION_MASK));
    asm.branch(Cond::Ge, regs::A, Src::Reg(regs::END), last);
    for reg in [regs::WHERE, regs::END, regs::B] {
        asm.send(feedback, reg);
    }
    asm.place(last);
}
