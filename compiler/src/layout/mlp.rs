//! The part of the SRAM map that a layer's MLP takes.

use super::{Bump, only_if};
use crate::extras::Extras;
use crate::tiling::{MlpDims, MlpTiling};
use pe_isa::DType;

/// Addresses of one layer's MLP. Those of layers back and forth are of the row's first expert, or of the only layers where there
/// is no router; the others' lie behind, `expert_bytes` apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MlpAt {
    pub(crate) tiling: MlpTiling,
    /// Router tile, `[hidden slice][router stride]`.
    pub(crate) router: u32,
    /// Its bias, f32 `[logit of the row]`.
    pub(crate) router_bias: u32,
    /// Fused gate-up tile, `[hidden slice][2 × inner stride]`; without a gate, up alone `[hidden slice][inner stride]`.
    pub(crate) gate_up: u32,
    /// Its bias, f32 `[2 × inner slice]` or `[inner slice]`.
    pub(crate) gate_up_bias: u32,
    /// Down projection tile, `[inner slice][hidden stride]`.
    pub(crate) down: u32,
    /// Its bias, f32 `[hidden slice]`.
    pub(crate) down_bias: u32,
    pub(crate) expert_bytes: u32,
    /// Strides in elements.
    pub(crate) router_stride: u32,
    pub(crate) gate_up_stride: u32,
}

impl MlpAt {
    pub(super) fn take(
        b: &mut Bump,
        (dims, height): (MlpDims, u32),
        hidden: u32,
        weights: DType,
        extras: &Extras,
    ) -> MlpAt {
        let tiling = MlpTiling { dims, height };
        let (inner, logits) = (tiling.max_inner(), tiling.logits().max());
        let ups = dims.ups() * inner;
        let area = |rows: u32, columns: u32| u64::from(rows) * u64::from(columns);
        let weight = weights.bytes();
        let router = b.take(area(hidden, logits), weight);
        let router_bias = b.take(logits.into(), 4);
        let start = b.next;
        let mut at = MlpAt {
            tiling,
            router,
            router_bias,
            gate_up: b.take(area(hidden, ups), weight),
            gate_up_bias: b.take(only_if(extras.biases[2], ups), 4),
            down: b.take(area(inner, hidden), weight),
            down_bias: b.take(only_if(extras.biases[3], hidden), 4),
            expert_bytes: 0,
            router_stride: logits,
            gate_up_stride: ups,
        };
        let expert = b.next - start;
        at.expert_bytes = u32::try_from(expert).unwrap_or(u32::MAX);
        b.next += expert * u64::from(tiling.max_experts() - 1);
        at
    }
}

/// Elements of the longest work vectors of some MLPs.
#[derive(Debug, Default)]
pub(super) struct LongestWork {
    pub(super) inner: u32,
    /// Outputs of the first projection.
    pub(super) ups: u32,
    /// Experts behind a router, of a layer and of a row.
    pub(super) experts: u32,
    pub(super) row_experts: u32,
    /// Logits of a row.
    pub(super) row_logits: u32,
}

impl LongestWork {
    pub(super) fn of<'a>(all: impl Iterator<Item = &'a MlpAt>) -> LongestWork {
        all.fold(LongestWork::default(), |most, at| {
            let logits = at.tiling.logits();
            let row_experts = if logits.total() > 0 { at.tiling.max_experts() } else { 0 };
            LongestWork {
                inner: most.inner.max(at.tiling.max_inner()),
                ups: most.ups.max(at.gate_up_stride),
                experts: most.experts.max(logits.total()),
                row_experts: most.row_experts.max(row_experts),
                row_logits: most.row_logits.max(logits.max()),
            }
        })
    }
}
