//! The router of a mixture of experts on a PE: the logits.
//!
//! Logits are dealt over rows, like experts. Each row sums its own along the row; the column of the rows' roots puts all of them together
//! on the root of the rectangle, which chooses ([`crate::emit::choice`]).

use crate::asm::{Asm, mem, n};
use crate::emit::collective::reduce;
use crate::emit::layers::{Norming, Pe, share_scale, sum_norm};
use crate::emit::linear::{self, TileAt};
use crate::emit::{f32_reg, regs};
use crate::extras::is_biased;
use models::{Block, Experts};
use pe_isa::{DType, Operand, VecOp};

const F: DType = DType::F32;

/// From the normed input on all PEs to the logits of the row, on its root, among zeros for those of the other rows; and the norm's
/// factor, on all its PEs. The root of each row keeps the factor that sums behind the norm lack in register `RATIO`.
pub(super) fn logits(asm: &mut Asm, pe: &Pe, local: usize, (block, mixture): (&Block, &Experts)) {
    let (layout, formats) = (&pe.stage.layout, &pe.stage.formats);
    let at = &layout.layers[local].mlp;
    let dealt = at.tiling.logits();
    let (first, own) = (dealt.start(pe.place.row), dealt.len(pe.place.row));
    let acc = formats.numerics.accumulate;
    let (sums, shape) = (mem(layout.sums, &[1], acc), [n(own)]);
    if own > 0 {
        let (rows, stride) = (pe.hidden, at.router_stride);
        let (base, step) = (at.router, rows);
        let tile = TileAt { base, rows, columns: own, stride, step, offset: None };
        linear::multiply(asm, formats, tile, layout.input, layout.sums);
    }
    sum_norm(asm, pe, Norming::of_mlp(block));
    if pe.row.is_root() {
        let hidden = (pe.stage.tiling.dims.hidden, block.mlp.norm.epsilon);
        linear::norm_factor(asm, &layout.factors, layout.squares, hidden);
    }
    share_scale(asm, pe);
    if own > 0 {
        reduce(asm, &pe.row, VecOp::Add, &shape, &sums, acc);
    }
    if pe.row.is_root() {
        let all = mem(layout.logits, &[1], F);
        asm.mov(&[n(dealt.total())], all, Operand::f32(0.0));
    }
    if pe.row.is_root() && own > 0 {
        let logits = mem(layout.logits + F.bytes() * first, &[1], F);
        asm.vec(VecOp::Mul, &shape, logits.clone(), sums, f32_reg(regs::RATIO));
        if is_biased(&block.mlp.norm, &[mixture.router]) {
            let bias = mem(at.router_bias, &[1], F);
            asm.vec(VecOp::Add, &shape, logits.clone(), logits, bias);
        }
    }
}

/// All `experts` logits to the root of the rectangle, along the column of the rows' roots.
pub(super) fn collect(asm: &mut Asm, pe: &Pe, experts: u32) {
    if pe.row.is_root() {
        let all = mem(pe.stage.layout.logits, &[1], F);
        reduce(asm, &pe.column, VecOp::Add, &[n(experts)], &all, F);
    }
}
