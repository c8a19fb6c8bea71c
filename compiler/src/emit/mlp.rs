//! The MLP on a PE.

use crate::asm::{Asm, mem, n};
use crate::check::dense;
use crate::emit::collective::{GatherRegs, gather};
use crate::emit::layers::{Norming, Pe, add_to_residual, finish_normed, half_sums, start_normed};
use crate::emit::linear::{self, TileAt};
use crate::emit::{activation, f32_reg, marks, regs};
use crate::extras::is_biased;
use crate::split::Split;
use models::{Block, FeedForward, Gate, Residual};
use pe_isa::{DType, Operand, VecOp};

/// How the activation's elements are dealt over the PEs of a row, in 32-bit words of the rounded vector.
pub(crate) fn shares(elements: u32, act: DType, width: u32) -> Split {
    Split::new(elements.div_ceil(act.lanes()), width)
}

/// Whether dealing the activation over the row pays, when one element costs `each` datapath cycles: a gather and a
/// broadcast cost about 4 cycles per element and 7 per column.
pub(crate) fn deals_activation(elements: u32, width: u32, each: u32) -> bool {
    width > 1 && each * (elements - elements.div_ceil(width)) > 4 * elements + 7 * width + 60
}

/// The whole MLP half of a layer.
pub(crate) fn emit(asm: &mut Asm, pe: &Pe, local: usize, block: &Block) {
    let (mlp, dense) = (&block.mlp, dense(&block.mlp));
    let stage = pe.stage;
    let (layout, at) = (&stage.layout, &stage.layout.layers[local]);
    let inner = stage.tiling.inner.len(pe.place.row);
    let norming = Norming::of_mlp(block);
    start_normed(asm, pe, norming, at.norm2);
    let ups = stage.tiling.dims.ups();
    let tile = TileAt {
        base: at.gate_up,
        rows: pe.hidden,
        columns: ups * inner,
        stride: ups * layout.inner_stride,
    };
    linear::multiply(asm, &stage.formats, tile, layout.input, layout.sums);
    let bias = is_biased(&mlp.norm, &dense.inputs()).then_some(at.gate_up_bias);
    finish_normed(asm, pe, norming, (ups * inner, mlp.norm.epsilon), bias, layout.gate_up);
    asm.mark(marks::GATED);
    activate(asm, pe, inner, dense);
    asm.mark(marks::ACTIVATED);
    let tile =
        TileAt { base: at.down, rows: inner, columns: pe.hidden, stride: layout.hidden_stride };
    let sums = half_sums(pe, block);
    let mut biases: Vec<u32> = dense.down.bias.map(|_| at.down_bias).into_iter().collect();
    if block.residual == Residual::Parallel {
        linear::add_tile(asm, &stage.formats, tile, layout.inner, sums);
        biases.extend(block.attention.output.bias.map(|_| at.output_bias));
    } else {
        linear::multiply(asm, &stage.formats, tile, layout.inner, sums);
    }
    let post_norm = mlp.post_norm.as_ref().map(|norm| (norm, at.post_norms[1]));
    add_to_residual(asm, pe, sums, &biases, post_norm);
    asm.mark(marks::LAYER);
}

/// `inner = activation(gate) × up`, each PE of the row a share of it where that pays, then everyone all of it.
fn activate(asm: &mut Asm, pe: &Pe, inner: u32, dense: &FeedForward) {
    let layout = &pe.stage.layout;
    let act = pe.stage.formats.numerics.activations;
    if !deals_activation(inner, pe.place.width, activation::cycles(dense.activation)) {
        return inner_share(asm, pe, (inner, inner), false, dense);
    }
    let words = shares(inner, act, pe.place.width);
    let first = words.start(pe.place.column) * act.lanes();
    let own = (words.end(pe.place.column) * act.lanes()).min(inner) - first.min(inner);
    inner_share(asm, pe, (own, inner), true, dense);
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

/// `len` of the `inner` elements of the activation, from the PE's share on if `shared`.
fn inner_share(
    asm: &mut Asm,
    pe: &Pe,
    (len, inner): (u32, u32),
    shared: bool,
    dense: &FeedForward,
) {
    let layout = &pe.stage.layout;
    let act = pe.stage.formats.numerics.activations;
    let share = |base: u32| {
        let m = mem(base, &[1], act);
        if shared { m.plus(regs::GATHER_OFFSET) } else { m }
    };
    let shape = [n(len)];
    let at = |base| mem(base, &[1], DType::F32);
    let work = at(layout.gate);
    let ratio = f32_reg(regs::RATIO);
    asm.vec(VecOp::Mul, &shape, work.clone(), share(layout.gate_up), ratio);
    if let Some(limit) = dense.gate.and_then(|gate| gate.limit) {
        asm.vec(VecOp::Min, &shape, work.clone(), work.clone(), Operand::f32(limit));
    }
    let free = [layout.sigmoid, layout.third];
    activation::emit(asm, dense.activation, len, layout.gate, free);
    let up = share(layout.gate_up + inner * act.bytes());
    match dense.gate {
        None => asm.mov(&shape, share(layout.inner), work),
        Some(Gate { limit: None, up_offset: 0.0, .. }) => {
            asm.vec(VecOp::Mul, &shape, work.clone(), work.clone(), ratio);
            asm.vec(VecOp::Mul, &shape, share(layout.inner), work, up);
        }
        Some(gate) => {
            let raised = at(layout.sigmoid);
            asm.vec(VecOp::Mul, &shape, raised.clone(), up, ratio);
            raise(asm, len, layout.sigmoid, &gate);
            asm.vec(VecOp::Mul, &shape, share(layout.inner), work, raised);
        }
    }
}

/// Cuts the `len` elements of the f32 vector at `up` off at the gate's limit, either way, and adds the gate's offset.
fn raise(asm: &mut Asm, len: u32, up: u32, gate: &Gate) {
    let up = mem(up, &[1], DType::F32);
    let mut with =
        |op, constant| asm.vec(op, &[n(len)], up.clone(), up.clone(), Operand::f32(constant));
    if let Some(limit) = gate.limit {
        with(VecOp::Min, limit);
        with(VecOp::Max, -limit);
    }
    if gate.up_offset != 0.0 {
        with(VecOp::Add, gate.up_offset);
    }
}
