//! The MLP on a PE.

use crate::asm::{Asm, Mem, Op, mem, n};
use crate::emit::chunk::token_offset;
use crate::emit::collective::{GatherRegs, gather};
use crate::emit::layers::{Norming, Pe, add_to_residual, finish_normed, half_sums, start_normed};
use crate::emit::linear::{self, TileAt};
use crate::emit::{activation, experts, marks, regs};
use crate::extras::is_biased;
use crate::layout::MlpAt;
use crate::split::Split;
use models::{Block, FeedForward, Gate, MlpKind, Residual};
use pe_isa::{AluOp, DType, Operand, Size, Src, VecOp};

/// How the activation's elements are dealt over the PEs of a row, in 32-bit words of the rounded vector.
pub(crate) fn shares(elements: u32, act: DType, width: u32) -> Split {
    Split::new(elements.div_ceil(act.lanes()), width)
}

/// Whether dealing the activation over the row pays, when one element costs `each` datapath cycles: a gather and a
/// broadcast cost about 4 cycles per element and 7 per column.
pub(crate) fn deals_activation(elements: u32, width: u32, each: u32) -> bool {
    width > 1 && each * (elements - elements.div_ceil(width)) > 4 * elements + 7 * width + 60
}

/// Lets the registers of the gather tell the PE's share of this layer's inner vector, where the layers of the stage differ in
/// it; elsewhere they are parameters.
pub(super) fn locate_share(asm: &mut Asm, pe: &Pe, at: &MlpAt) {
    use regs::{COLUMN, GATHER_BEFORE, GATHER_BEHIND, GATHER_OFFSET};
    let layers = &pe.stage.layout.layers;
    if layers.iter().all(|layer| layer.mlp.tiling == at.tiling) {
        return;
    }
    let act = pe.stage.formats.numerics.activations;
    let words = shares(at.tiling.row(pe.place.row).inner_len(), act, pe.place.width);
    let (each, more) = (words.total() / pe.place.width, words.total() % pe.place.width);
    asm.alu(AluOp::Mul, GATHER_BEFORE, COLUMN, Src::Imm(each));
    asm.alu(AluOp::Min, GATHER_BEHIND, COLUMN, Src::Imm(more));
    asm.alu(AluOp::Add, GATHER_BEFORE, GATHER_BEFORE, Src::Reg(GATHER_BEHIND));
    asm.alu(AluOp::Mul, GATHER_OFFSET, GATHER_BEFORE, Src::Imm(4));
    asm.li(GATHER_BEHIND, words.total() - words.len(pe.place.column));
    asm.alu(AluOp::Sub, GATHER_BEHIND, GATHER_BEHIND, Src::Reg(GATHER_BEFORE));
}

/// The whole MLP half of a layer.
pub(crate) fn emit(asm: &mut Asm, pe: &Pe, local: usize, block: &Block) {
    let at = &pe.stage.layout.layers[local];
    start_normed(asm, pe, Norming::of_mlp(block), at.norm2);
    match &block.mlp.kind {
        MlpKind::Dense(layers) => dense(asm, pe, local, (block, layers)),
        MlpKind::Experts(mixture) => experts::emit(asm, pe, local, (block, mixture)),
    }
    asm.mark(marks::LAYER);
}

/// The tile of the projections up, and that of the projection down, of the first expert of the row.
pub(super) fn tiles(pe: &Pe, at: &MlpAt, inner: u32) -> [TileAt; 2] {
    let columns = at.tiling.dims.ups() * inner;
    let (stride, hidden_stride) = (at.gate_up_stride, pe.stage.layout.hidden_stride);
    [
        TileAt {
            base: at.gate_up,
            rows: pe.hidden,
            columns,
            stride,
            step: pe.hidden,
            offset: None,
        },
        TileAt {
            base: at.down,
            rows: inner,
            columns: pe.hidden,
            stride: hidden_stride,
            step: inner_step(pe, inner),
            offset: None,
        },
    ]
}

/// Elements from one token's inner vector to the next one's: whole words.
fn inner_step(pe: &Pe, inner: u32) -> u32 {
    inner.next_multiple_of(pe.stage.formats.numerics.activations.lanes())
}

/// The same layers for every token.
fn dense(asm: &mut Asm, pe: &Pe, local: usize, (block, dense): (&Block, &FeedForward)) {
    let (mlp, stage) = (&block.mlp, pe.stage);
    let (layout, at) = (&stage.layout, &stage.layout.layers[local]);
    let inner = at.mlp.tiling.row(pe.place.row).inner_len();
    let norming = Norming::of_mlp(block);
    let [up, down] = tiles(pe, &at.mlp, inner);
    linear::multiply(asm, &stage.formats, up, layout.input, layout.sums);
    let bias = is_biased(&mlp.norm, &dense.inputs()).then_some(at.mlp.gate_up_bias);
    finish_normed(asm, pe, norming, (up.columns, mlp.norm.epsilon), bias, layout.gate_up);
    asm.mark(marks::GATED);
    locate_share(asm, pe, &at.mlp);
    let lacking = Some(layout.factors.ratio().over(1));
    activate(asm, pe, &Gating { inner, layers: dense, lacking, weight: None });
    asm.mark(marks::ACTIVATED);
    let sums = half_sums(pe, block);
    let mut biases: Vec<u32> = dense.down.bias.map(|_| at.mlp.down_bias).into_iter().collect();
    if block.residual == Residual::Parallel {
        linear::add_tile(asm, &stage.formats, down, layout.inner, sums);
        biases.extend(block.attention.output.bias.map(|_| at.output_bias));
    } else {
        linear::multiply(asm, &stage.formats, down, layout.inner, sums);
    }
    let post_norm = mlp.post_norm.as_ref().map(|norm| (norm, at.post_norms[1]));
    add_to_residual(asm, pe, sums, &biases, post_norm);
}

/// What lies between the projections up and the projection down.
pub(super) struct Gating<'a> {
    /// Elements of the row's part of the inner width.
    pub(super) inner: u32,
    pub(super) layers: &'a FeedForward,
    /// Factor on gate and up, where they lack one.
    pub(super) lacking: Option<Op>,
    /// Factor on the result.
    pub(super) weight: Option<Op>,
}

/// `inner = activation(gate) × up`, each PE of the row a share of it where that pays, then everyone all of it.
pub(super) fn activate(asm: &mut Asm, pe: &Pe, gating: &Gating<'_>) {
    let layout = &pe.stage.layout;
    let act = pe.stage.formats.numerics.activations;
    let inner = gating.inner;
    if !deals_activation(inner, pe.place.width, activation::cycles(gating.layers.activation)) {
        return inner_share(asm, pe, inner, false, gating);
    }
    let words = shares(inner, act, pe.place.width);
    let first = words.start(pe.place.column) * act.lanes();
    let own = (words.end(pe.place.column) * act.lanes()).min(inner) - first.min(inner);
    inner_share(asm, pe, own, true, gating);
    gather_inner(asm, pe, words, inner);
    let chunk = pe.chunk();
    let all = chunk.mem(layout.inner, inner_step(pe, inner), &[1], act);
    let shape = chunk.each(&[n(inner)]);
    if pe.row.is_root() {
        let target = asm.to(pe.row.colors.broadcast, act);
        asm.mov(&shape, target, all);
    } else {
        let source = asm.from(pe.row.colors.broadcast, act);
        asm.mov(&shape, all, source);
    }
}

/// Collects the shares of the inner vector at the root of the row, one token after another.
fn gather_inner(asm: &mut Asm, pe: &Pe, words: Split, inner: u32) {
    let (before, behind) = (regs::GATHER_BEFORE, regs::GATHER_BEHIND);
    let (base, offset) = (pe.stage.layout.inner, regs::GATHER_OFFSET);
    let act = pe.stage.formats.numerics.activations;
    if pe.chunk().is_one() {
        let regs = GatherRegs { before, behind, offset, whole: None };
        return gather(asm, &pe.row, words, base, regs);
    }
    let (own, whole) = (regs::B, regs::A);
    pe.chunk().for_each(asm, |asm| {
        token_offset(asm, whole, inner_step(pe, inner) * act.bytes());
        asm.alu(AluOp::Add, own, whole, Src::Reg(offset));
        let regs = GatherRegs { before, behind, offset: own, whole: Some(whole) };
        gather(asm, &pe.row, words, base, regs);
    });
}

/// `len` elements of the activation, from the PE's share on if `shared`.
fn inner_share(asm: &mut Asm, pe: &Pe, len: u32, shared: bool, gating: &Gating<'_>) {
    let Gating { inner, layers, lacking, weight } = gating;
    let (layout, chunk) = (&pe.stage.layout, pe.chunk());
    let act = pe.stage.formats.numerics.activations;
    let share = |base: u32, step: u32| {
        let m = chunk.mem(base, step, &[1], act);
        if shared { m.plus(regs::GATHER_OFFSET) } else { m }
    };
    let ups = (1 + u32::from(layers.gate.is_some())) * inner;
    let shape = chunk.each(&[n(len)]);
    let at = |base| chunk.mem(base, len, &[1], DType::F32);
    let work = at(layout.gate);
    scale(asm, &shape, work.clone(), share(layout.gate_up, ups), lacking);
    let flat = chunk.flat(asm, len);
    if let Some(limit) = layers.gate.and_then(|gate| gate.limit) {
        let work = mem(layout.gate, &[1], DType::F32);
        asm.vec(VecOp::Min, &flat, work.clone(), work, Operand::f32(limit));
    }
    let free = [layout.sigmoid, layout.third];
    activation::emit(asm, layers.activation, flat, layout.gate, free);
    let up = share(layout.gate_up + inner * act.bytes(), ups);
    let inner = share(layout.inner, inner_step(pe, *inner));
    let mut times = |factor: &Option<Op>| {
        if factor.is_some() {
            scale(asm, &shape, work.clone(), work.clone(), factor);
        }
    };
    times(weight);
    match layers.gate {
        None => asm.mov(&shape, inner, work),
        Some(Gate { limit: None, up_offset: 0.0, .. }) => {
            times(lacking);
            asm.vec(VecOp::Mul, &shape, inner, work, up);
        }
        Some(gate) => {
            let raised = at(layout.sigmoid);
            scale(asm, &shape, raised.clone(), up, lacking);
            raise(asm, flat, layout.sigmoid, &gate);
            asm.vec(VecOp::Mul, &shape, inner, work, raised);
        }
    }
}

/// `to = from × factor`, or `to = from` without one.
fn scale(asm: &mut Asm, shape: &[Size], to: Mem, from: Mem, factor: &Option<Op>) {
    match factor {
        Some(factor) => asm.vec(VecOp::Mul, shape, to, from, factor.clone()),
        None => asm.mov(shape, to, from),
    }
}

/// Cuts the elements of the f32 vector at `up` off at the gate's limit, either way, and adds the gate's offset.
fn raise(asm: &mut Asm, all: [Size; 1], up: u32, gate: &Gate) {
    let up = mem(up, &[1], DType::F32);
    let mut with = |op, constant| asm.vec(op, &all, up.clone(), up.clone(), Operand::f32(constant));
    if let Some(limit) = gate.limit {
        with(VecOp::Min, limit);
        with(VecOp::Max, -limit);
    }
    if gate.up_offset != 0.0 {
        with(VecOp::Add, gate.up_offset);
    }
}
