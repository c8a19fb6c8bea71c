//! The PE side of collectives on a line.

use crate::asm::{Asm, Mem, Op, n};
use crate::lines::LinePos;
use crate::split::Split;
use pe_isa::{Color, DType, Operand, Reg, Size, VecOp};

/// Combines a vector of all PEs of the line into the root's, in place, with `op` (`Add` or `Max`). The root
/// combines its own value with the chain from the low end, then with the one from the high end.
pub(crate) fn reduce(asm: &mut Asm, line: &LinePos, op: VecOp, shape: &[Size], m: &Mem, t: DType) {
    let arrivals: Vec<Color> =
        [line.low_arrival(), line.high_arrival()].into_iter().flatten().collect();
    fold(asm, &arrivals, line.outgoing(), op, shape, (m, t));
}

/// Combines a PE's own vector with those that arrive, one after another in this order, and sends the result on. The last
/// to arrive is combined while it is sent, so that it streams through the PE; with nowhere to send to, all stay in place.
pub(crate) fn fold(
    asm: &mut Asm,
    arrivals: &[Color],
    outgoing: Option<Color>,
    op: VecOp,
    shape: &[Size],
    (m, t): (&Mem, DType),
) {
    let in_place =
        if outgoing.is_some() { arrivals.len().saturating_sub(1) } else { arrivals.len() };
    for &color in &arrivals[..in_place] {
        let source = asm.from(color, t);
        asm.vec(op, shape, m.clone(), source, m.clone());
    }
    let Some(out) = outgoing else { return };
    let target = asm.to(out, t);
    match arrivals.last() {
        None => asm.mov(shape, target, m.clone()),
        Some(&color) => {
            let source = asm.from(color, t);
            asm.vec(op, shape, target, source, m.clone());
        }
    }
}

/// Gives a vector of the root to all PEs of the line: the root first makes `dst = op(a, b)`, rounded to `t`, then sends
/// that. Sending a rounded copy takes half the wavelets, and a copy costs less than a second multiplication.
pub(crate) fn broadcast(
    asm: &mut Asm,
    line: &LinePos,
    shape: &[Size],
    (op, a, b): (VecOp, Op, Op),
    dst: &Mem,
    t: DType,
) {
    if !line.is_root() {
        let source = asm.from(line.colors.broadcast, t);
        return asm.mov(shape, dst.clone(), source);
    }
    asm.vec(op, shape, dst.clone(), a, b);
    if line.len > 1 {
        let target = asm.to(line.colors.broadcast, t);
        asm.mov(shape, target, dst.clone());
    }
}

/// Sends a register from the root to all PEs of the line.
pub(crate) fn broadcast_reg(asm: &mut Asm, line: &LinePos, reg: Reg) {
    if line.len == 1 {
        return;
    }
    if line.is_root() {
        asm.send(line.colors.broadcast, reg);
    } else {
        asm.recv(reg, line.colors.broadcast);
    }
}

/// Registers that hold what differs from PE to PE in [`gather`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct GatherRegs {
    /// Words of all shares before this PE's.
    pub(crate) before: Reg,
    /// Words of all shares behind it.
    pub(crate) behind: Reg,
    /// Byte offset of this PE's share.
    pub(crate) offset: Reg,
    /// Byte offset of the whole vector, if it has one.
    pub(crate) whole: Option<Reg>,
}

/// Collects the shares of all PEs of the line, `words` 32-bit words in all starting at byte `base`, at the root.
/// Each PE holds its own share in its place.
pub(crate) fn gather(asm: &mut Asm, line: &LinePos, words: Split, base: u32, regs: GatherRegs) {
    let own = words.len(line.at);
    let t = DType::U32;
    let Some(out) = line.outgoing() else {
        if let Some(color) = line.low_arrival() {
            let source = asm.from(color, t);
            let before = crate::asm::mem(base, &[1], t).shifted(regs.whole);
            asm.mov(&[n(words.start(line.at))], before, source);
        }
        if let Some(color) = line.high_arrival() {
            let source = asm.from(color, t);
            let rest = words.end(line.len - 1) - words.end(line.at);
            let behind = crate::asm::mem(base + 4 * words.end(line.at), &[1], t);
            asm.mov(&[n(rest)], behind.shifted(regs.whole), source);
        }
        return;
    };
    let share = crate::asm::mem(base, &[1], t).plus(regs.offset);
    if let Some(color) = line.low_arrival() {
        let (source, target) = (asm.from(color, t), asm.to(out, t));
        asm.mov(&[Size::Reg(regs.before)], target, source);
    }
    let target = asm.to(out, t);
    asm.mov(&[n(own)], target, share);
    if let Some(color) = line.high_arrival() {
        let (source, target) = (asm.from(color, t), asm.to(out, t));
        asm.mov(&[Size::Reg(regs.behind)], target, source);
    }
}

/// The operation of a plain copy, for [`broadcast`].
pub(crate) fn copy_of(m: &Mem) -> (VecOp, Op, Op) {
    (VecOp::Mov, m.clone().into(), Operand::None.into())
}

/// Sends an f32 vector from the root to all others of the line, in place.
pub(crate) fn share_in_place(asm: &mut Asm, line: &LinePos, shape: &[Size], m: &Mem) {
    let t = DType::F32;
    if line.len == 1 {
        return;
    }
    if line.is_root() {
        let target = asm.to(line.colors.broadcast, t);
        asm.mov(shape, target, m.clone());
    } else {
        let source = asm.from(line.colors.broadcast, t);
        asm.mov(shape, m.clone(), source);
    }
}
