//! The programs of port tiles. A port holds one item for its stage, so that stages drain completely between
//! items and a slow successor never stalls a stage half-way: an item enters the rectangle only when the next port has
//! room for what will come out of it.

use crate::asm::{Asm, mem, n};
use crate::emit::regs;
use crate::lines::INGRESS;
use pe_isa::{AluOp, Color, Cond, DType, Operand, Program, Reg, Src};

/// Lanes that end or begin at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortLanes {
    /// Items arrive here (from the host, at the first port).
    pub(crate) items: Color,
    /// New tokens arrive here; first port only, and not where the host sends them with the prompts.
    pub(crate) feedback: Option<Color>,
    /// Grants go to the port before; all but the first.
    pub(crate) grant_out: Option<Color>,
    /// Grants come from the port behind; all but the last.
    pub(crate) grant_in: Option<Color>,
    /// Whether only items that want a token go on to the next port.
    pub(crate) only_wanted: bool,
}

/// The port before a stage of layers or the head, with room for an item of `hidden` elements at byte 0.
pub(crate) fn stage_port(lanes: &PortLanes, hidden: u32, width: u32) -> Program {
    let mut asm = Asm::new();
    let buffer = mem(0, &[1], DType::F32);
    let next_item = asm.here();
    if let Some(color) = lanes.grant_out {
        asm.send(color, regs::VOID);
    }
    for reg in [regs::WHERE, regs::END, regs::SCALE] {
        asm.recv(reg, lanes.items);
    }
    let source = asm.from(lanes.items, DType::F32);
    asm.mov(&[n(hidden)], buffer.clone(), source);
    share_position(&mut asm, width);
    await_grant(&mut asm, lanes);
    for reg in [regs::WHERE, regs::END, regs::SCALE, regs::SHARE] {
        asm.send(INGRESS, reg);
    }
    let target = asm.to(INGRESS, DType::F32);
    asm.mov(&[n(hidden)], target, buffer);
    asm.jump(next_item);
    asm.finish()
}

/// The port of the embedding: first the items of the prompts from the host (after a word with their number), then what the
/// head feeds back; or all items from the host.
pub(crate) fn first_port(lanes: &PortLanes) -> Program {
    let mut asm = Asm::new();
    let (left, id) = (regs::D, regs::A);
    let Some(feedback) = lanes.feedback else {
        let next_item = asm.here();
        pass_id(&mut asm, lanes, lanes.items, id);
        asm.jump(next_item);
        return asm.finish();
    };
    asm.recv(left, lanes.items);
    let prompts = asm.here();
    let decode = asm.label();
    asm.branch(Cond::Eq, left, Src::Imm(0), decode);
    asm.alu(AluOp::Sub, left, left, Src::Imm(1));
    pass_id(&mut asm, lanes, lanes.items, id);
    asm.jump(prompts);
    asm.place(decode);
    pass_id(&mut asm, lanes, feedback, id);
    asm.jump(decode);
    asm.finish()
}

fn pass_id(asm: &mut Asm, lanes: &PortLanes, from: Color, id: Reg) {
    for reg in [regs::WHERE, regs::END, id] {
        asm.recv(reg, from);
    }
    asm.li(regs::SCALE, 1.0f32.to_bits());
    await_grant(asm, lanes);
    for reg in [regs::WHERE, regs::END, regs::SCALE, regs::SHARE, id] {
        asm.send(INGRESS, reg);
    }
}

/// Divides the position by the number of columns, for the stage's KV cache.
fn share_position(asm: &mut Asm, width: u32) {
    asm.alu(AluOp::And, regs::A, regs::WHERE, Src::Imm(super::POSITION_MASK));
    asm.alu(AluOp::Div, regs::SHARE, regs::A, Src::Imm(width));
    asm.alu(AluOp::Rem, regs::B, regs::A, Src::Imm(width));
    asm.alu(AluOp::Shl, regs::B, regs::B, Src::Imm(super::POSITION_BITS));
    asm.alu(AluOp::Or, regs::SHARE, regs::SHARE, Src::Reg(regs::B));
}

/// Waits until the next port has room, if the item will get there.
fn await_grant(asm: &mut Asm, lanes: &PortLanes) {
    let Some(color) = lanes.grant_in else { return };
    let go = asm.label();
    if lanes.only_wanted {
        asm.alu(AluOp::Shr, regs::C, regs::WHERE, Src::Imm(super::WANTED_BIT));
        asm.branch(Cond::Eq, regs::C, Src::Imm(0), go);
    }
    let source = asm.from(color, DType::U32);
    asm.mov(&[n(1)], Operand::Reg(regs::VOID, DType::U32), source);
    asm.place(go);
}
