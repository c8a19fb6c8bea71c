//! The programs of ports. A column's port holds its slice of one item for the stage, so that stages drain completely between
//! items and a slow successor never stalls a stage half-way: an item enters the rectangle only when the exit row is done
//! with the item before and has been granted room for what will come out of it.

use crate::asm::{Asm, Mem, mem};
use crate::emit::chunk::{Chunk, Factors};
use crate::emit::layers::header;
use crate::emit::regs;
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

/// Bytes of such a port's buffer.
pub(crate) fn buffer_bytes(chunk: Chunk, len: u32) -> u32 {
    let scales = if chunk.is_one() { 0 } else { chunk.most };
    4 * (scales + chunk.most * len)
}

/// The port of a column of layers or the head, with room at byte 0 for a slice of `len` elements of each token, where items hold several
/// behind their scales. The rest of the header, which decides what is done with the item, stays in registers.
pub(crate) fn stage_port(lanes: TransferColors, len: u32, chunk: Chunk) -> Program {
    let factors = Factors { chunk, ..Factors::IN_REGISTERS };
    let mut asm = Asm::new();
    let scales = factors.scale().stored();
    let slices = mem(if chunk.is_one() { 0 } else { 4 * chunk.most }, &[1], DType::F32);
    let next_item = asm.here();
    asm.send(lanes.grant, regs::VOID);
    header(&factors).for_each(|reg| asm.recv(reg, lanes.item));
    chunk.count(&mut asm);
    let source = asm.from(lanes.item, DType::F32);
    if let Some(scales) = scales.clone() {
        let all = chunk.flat(&mut asm, 1);
        asm.mov(&all, scales, source);
    }
    let all = chunk.flat(&mut asm, len);
    asm.mov(&all, slices.clone(), source);
    asm.recv(regs::VOID, READY);
    header(&factors).for_each(|reg| asm.send(INGRESS, reg));
    let target = asm.to(INGRESS, DType::F32);
    if let Some(scales) = scales {
        let all = chunk.flat(&mut asm, 1);
        asm.mov(&all, target, scales);
    }
    let all = chunk.flat(&mut asm, len);
    asm.mov(&all, target, slices);
    asm.jump(next_item);
    asm.finish()
}

/// The token of an item of the embedding, where it holds one.
pub(crate) const ID: Reg = regs::A;

/// Ids in a port's SRAM, where an item of the embedding holds several.
fn ids() -> Mem {
    mem(0, &[1], DType::U32)
}

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
pub(crate) fn first_port(sources: Sources, ports: &LinePos, width: u32, chunk: Chunk) -> Program {
    let mut asm = Asm::new();
    let left = regs::D;
    let pass_id = |asm: &mut Asm, from| pass_id(asm, from, ports, (width, chunk));
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

fn pass_id(asm: &mut Asm, from: Color, ports: &LinePos, (width, chunk): (u32, Chunk)) {
    [regs::WHERE, regs::END].into_iter().for_each(|reg| asm.recv(reg, from));
    chunk.count(asm);
    receive_ids(asm, from, chunk);
    if chunk.is_one() {
        asm.li(regs::SCALE, 1.0f32.to_bits());
    }
    share_position(asm, width);
    asm.recv(regs::VOID, READY);
    if ports.len > 1 {
        send_item(asm, ports.colors.broadcast, chunk);
    }
    send_item(asm, INGRESS, chunk);
}

/// Takes the header of an item of the embedding; its ids follow.
pub(crate) fn receive_header(asm: &mut Asm, from: Color, chunk: Chunk) {
    header(&Factors { chunk, ..Factors::IN_REGISTERS }).for_each(|reg| asm.recv(reg, from));
    chunk.count(asm);
}

/// The id in register [`ID`], or several to SRAM.
fn receive_ids(asm: &mut Asm, from: Color, chunk: Chunk) {
    if chunk.is_one() {
        return asm.recv(ID, from);
    }
    let (source, all) = (asm.from(from, DType::U32), chunk.flat(asm, 1));
    asm.mov(&all, ids(), source);
}

/// Sends an item of the embedding, of which several ids lie at byte 0.
fn send_item(asm: &mut Asm, to: Color, chunk: Chunk) {
    header(&Factors { chunk, ..Factors::IN_REGISTERS }).for_each(|reg| asm.send(to, reg));
    if chunk.is_one() {
        return asm.send(to, ID);
    }
    let (target, all) = (asm.to(to, DType::U32), chunk.flat(asm, 1));
    asm.mov(&all, target, ids());
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
pub(crate) fn next_port(ports: &LinePos, chunk: Chunk) -> Program {
    let mut asm = Asm::new();
    let next_item = asm.here();
    asm.recv(regs::VOID, READY);
    receive_header(&mut asm, ports.colors.broadcast, chunk);
    receive_ids(&mut asm, ports.colors.broadcast, chunk);
    send_item(&mut asm, INGRESS, chunk);
    asm.jump(next_item);
    asm.finish()
}
