//! The programs of ports. A column's port holds its slice of one item for the stage, so that stages drain completely between
//! items and a slow successor never stalls a stage half-way: an item enters the rectangle only when the exit row is done
//! with the item before and has been granted room for what will come out of it.

use crate::asm::{Asm, mem, n};
use crate::emit::regs::{self, HEADER};
use crate::lines::{INGRESS, LinePos, READY};
use pe_isa::{AluOp, Color, Cond, DType, Program, Reg, Src};

/// The colors of a column's lanes between a stage and the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TransferColors {
    /// Items, to the next stage's port.
    pub(crate) item: Color,
    /// A word back whenever the port has room for one.
    pub(crate) grant: Color,
}

/// The port of a column of layers or the head, with room at byte 0 for a slice of `len` elements. The header, which decides what
/// is done with the item, stays in registers.
pub(crate) fn stage_port(lanes: TransferColors, len: u32) -> Program {
    let mut asm = Asm::new();
    let buffer = mem(0, &[1], DType::F32);
    let next_item = asm.here();
    asm.send(lanes.grant, regs::VOID);
    HEADER.into_iter().for_each(|reg| asm.recv(reg, lanes.item));
    let source = asm.from(lanes.item, DType::F32);
    asm.mov(&[n(len)], buffer.clone(), source);
    asm.recv(regs::VOID, READY);
    HEADER.into_iter().for_each(|reg| asm.send(INGRESS, reg));
    let target = asm.to(INGRESS, DType::F32);
    asm.mov(&[n(len)], target, buffer);
    asm.jump(next_item);
    asm.finish()
}

/// The token of an item of the embedding.
pub(crate) const ID: Reg = regs::A;

/// Where the embedding's first port gets items from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sources {
    /// Prompts from the host.
    pub(crate) prompts: Color,
    /// New tokens from the head; none where the host sends them with the prompts.
    pub(crate) feedback: Option<Color>,
}

/// The embedding's first port: first the items of the prompts from the host (after a word with their number), then what the
/// head feeds back; or all items from the host. `ports` is its place among the embedding's ports.
pub(crate) fn first_port(sources: Sources, ports: &LinePos, width: u32) -> Program {
    let mut asm = Asm::new();
    let left = regs::D;
    let pass_id = |asm: &mut Asm, from| pass_id(asm, from, ports, width);
    let Some(feedback) = sources.feedback else {
        let next_item = asm.here();
        pass_id(&mut asm, sources.prompts);
        asm.jump(next_item);
        return asm.finish();
    };
    asm.recv(left, sources.prompts);
    let prompts = asm.here();
    let decode = asm.label();
    asm.branch(Cond::Eq, left, Src::Imm(0), decode);
    asm.alu(AluOp::Sub, left, left, Src::Imm(1));
    pass_id(&mut asm, sources.prompts);
    asm.jump(prompts);
    asm.place(decode);
    pass_id(&mut asm, feedback);
    asm.jump(decode);
    asm.finish()
}

fn pass_id(asm: &mut Asm, from: Color, ports: &LinePos, width: u32) {
    [regs::WHERE, regs::END, ID].into_iter().for_each(|reg| asm.recv(reg, from));
    asm.li(regs::SCALE, 1.0f32.to_bits());
    share_position(asm, width);
    asm.recv(regs::VOID, READY);
    if ports.len > 1 {
        item().for_each(|reg| asm.send(ports.colors.broadcast, reg));
    }
    item().for_each(|reg| asm.send(INGRESS, reg));
}

/// An item of the embedding.
fn item() -> impl Iterator<Item = Reg> {
    HEADER.into_iter().chain([ID])
}

/// Divides the position by the number of columns, for the KV caches.
fn share_position(asm: &mut Asm, width: u32) {
    asm.alu(AluOp::And, regs::B, regs::WHERE, Src::Imm(super::POSITION_MASK));
    asm.alu(AluOp::Div, regs::SHARE, regs::B, Src::Imm(width));
    asm.alu(AluOp::Rem, regs::B, regs::B, Src::Imm(width));
    asm.alu(AluOp::Shl, regs::B, regs::B, Src::Imm(super::POSITION_BITS));
    asm.alu(AluOp::Or, regs::SHARE, regs::SHARE, Src::Reg(regs::B));
}

/// Another port of the embedding: passes down its column what the first port sends along the row.
pub(crate) fn next_port(ports: &LinePos) -> Program {
    let mut asm = Asm::new();
    let next_item = asm.here();
    asm.recv(regs::VOID, READY);
    item().for_each(|reg| asm.recv(reg, ports.colors.broadcast));
    item().for_each(|reg| asm.send(INGRESS, reg));
    asm.jump(next_item);
    asm.finish()
}
