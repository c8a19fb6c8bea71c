//! The gated MLP on a PE.

use crate::asm::{Asm, mem, n};
use crate::check::{Gated, gated};
use crate::emit::collective::{GatherRegs, gather};
use crate::emit::layers::{Pe, add_to_residual, finish_normed};
use crate::emit::linear::{self, NormAt, TileAt};
use crate::emit::{f32_reg, marks, regs};
use crate::split::Split;
use models::Mlp;
use pe_isa::{DType, Operand, VecOp};

/// How the activation's elements are dealt over the PEs of a row, in 32-bit words of the rounded vector.
pub(crate) fn shares(elements: u32, act: DType, width: u32) -> Split {
    Split::new(elements.div_ceil(act.lanes()), width)
}

/// Whether dealing the activation over the row pays: one element costs about 30 datapath cycles, a gather and a
/// broadcast about 4 cycles per element and 7 per column.
pub(crate) fn deals_activation(elements: u32, width: u32) -> bool {
    width > 1 && 30 * (elements - elements.div_ceil(width)) > 4 * elements + 7 * width + 60
}

/// The whole MLP half of a layer.
pub(crate) fn emit(asm: &mut Asm, pe: &Pe, local: usize, mlp: &Mlp) {
    let Gated { gate, down, .. } = gated(mlp);
    let stage = pe.stage;
    let (layout, at) = (&stage.layout, &stage.layout.layers[local]);
    let inner = stage.tiling.inner.len(pe.place.row);
    linear::prepare_norm(
        asm,
        &stage.formats,
        NormAt {
            x: layout.x,
            weight: at.norm2,
            scaled: layout.scaled,
            input: layout.input,
            squares: layout.squares,
            len: pe.hidden,
        },
    );
    let tile = TileAt {
        base: at.gate_up,
        rows: pe.hidden,
        columns: 2 * inner,
        stride: 2 * layout.inner_stride,
    };
    linear::multiply(asm, &stage.formats, tile, layout.input, layout.sums);
    let bias = gate.bias.map(|_| at.gate_up_bias);
    finish_normed(asm, pe, 2 * inner, mlp.norm.epsilon, bias, layout.gate_up);
    asm.mark(marks::GATED);
    activate(asm, pe, inner);
    asm.mark(marks::ACTIVATED);
    let tile =
        TileAt { base: at.down, rows: inner, columns: pe.hidden, stride: layout.hidden_stride };
    linear::multiply(asm, &stage.formats, tile, layout.inner, layout.sums);
    add_to_residual(asm, pe, down.bias.map(|_| at.down_bias));
    asm.mark(marks::LAYER);
}

/// `inner = silu(gate) × up`, each PE of the row a share of it where that pays, then everyone all of it.
fn activate(asm: &mut Asm, pe: &Pe, inner: u32) {
    let layout = &pe.stage.layout;
    let act = pe.stage.formats.numerics.activations;
    if !deals_activation(inner, pe.place.width) {
        return gate_times_up(asm, pe, inner, inner, false);
    }
    let words = shares(inner, act, pe.place.width);
    let first = words.start(pe.place.column) * act.lanes();
    let own = (words.end(pe.place.column) * act.lanes()).min(inner) - first.min(inner);
    gate_times_up(asm, pe, own, inner, true);
    let regs = GatherRegs {
        before: regs::GATHER_BEFORE,
        behind: regs::GATHER_BEHIND,
        offset: regs::GATHER_OFFSET,
    };
    gather(asm, &pe.row, words, layout.inner, regs);
    let all = mem(layout.inner, &[1], act);
    let shape = [n(inner)];
    if pe.row.is_root() {
        let target = asm.to(pe.row.colors.broadcast, act);
        asm.mov(&shape, target, all);
    } else {
        let source = asm.from(pe.row.colors.broadcast, act);
        asm.mov(&shape, all, source);
    }
}

/// `len` elements of the activation, from the PE's share on if `shared`.
fn gate_times_up(asm: &mut Asm, pe: &Pe, len: u32, inner: u32, shared: bool) {
    let layout = &pe.stage.layout;
    let act = pe.stage.formats.numerics.activations;
    let share = |base: u32| {
        let m = mem(base, &[1], act);
        if shared { m.plus(regs::GATHER_OFFSET) } else { m }
    };
    let shape = [n(len)];
    let at = |base| mem(base, &[1], DType::F32);
    let (work, sigmoid) = (at(layout.gate), at(layout.sigmoid));
    let ratio = f32_reg(regs::RATIO);
    asm.vec(VecOp::Mul, &shape, work.clone(), share(layout.gate_up), ratio);
    asm.vec(VecOp::Sigmoid, &shape, sigmoid.clone(), work.clone(), Operand::None);
    asm.vec(VecOp::Mul, &shape, work.clone(), work.clone(), sigmoid);
    asm.vec(VecOp::Mul, &shape, work.clone(), work.clone(), ratio);
    let up = share(layout.gate_up + inner * act.bytes());
    asm.vec(VecOp::Mul, &shape, share(layout.inner), work, up);
}
