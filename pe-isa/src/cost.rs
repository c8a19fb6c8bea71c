//! How many cycles an operation holds the datapath.

use crate::instr::VecOp;
use crate::semantics::{Issued, Place};
use crate::units::Ratio;
use serde::{Deserialize, Serialize};

/// Rates, setups and per-element charges of the datapath; part of the machine file.
///
/// A memory-only operation takes `setup + max(elements / rate, bytes / ports) + row_cycles` for
/// each innermost row after the first. A step of a fabric operation takes `ceil(elements in the
/// wavelet / rate)`. Rates are elements per cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostTable {
    /// 16-bit multiply-add, elements per cycle.
    pub fmac_16: Ratio,
    /// Multiply-add of 16-bit sources into a 32-bit sum, elements per cycle.
    pub fmac_mixed: Ratio,
    /// 32-bit multiply-add, elements per cycle.
    pub fmac_32: Ratio,
    /// 16-bit add, subtract, min, max, elements per cycle.
    pub add_16: Ratio,
    /// 32-bit add, subtract, min, max, elements per cycle.
    pub add_32: Ratio,
    /// 16-bit copy, negate, abs, elements per cycle.
    pub copy_16: Ratio,
    /// 32-bit copy, convert, negate, abs, elements per cycle.
    pub copy_32: Ratio,
    /// Setup of a 16-bit or mixed multiply-add over memory, cycles.
    pub setup_fmac_16: u64,
    /// Setup of a 32-bit multiply-add over memory, cycles.
    pub setup_fmac_32: u64,
    /// Setup of any other vector operation over memory, cycles.
    pub setup_copy: u64,
    /// Reduction of memory to a scalar, cycles per element.
    pub reduce_cycles: u64,
    /// Setup of a reduction of memory to a scalar, cycles.
    pub setup_reduce: u64,
    /// Each innermost row after the first, cycles.
    pub row_cycles: u64,
    /// `exp`, cycles per element (a software routine on real hardware).
    pub exp_cycles: u64,
    /// `rsqrt`, cycles per element.
    pub rsqrt_cycles: u64,
    /// `tanh` and `sigmoid`, cycles per element.
    pub tanh_cycles: u64,
    /// `sin` and `cos`, cycles per element.
    pub sin_cycles: u64,
    /// `recip`, cycles per element; also integer division and remainder.
    pub recip_cycles: u64,
    /// A scalar instruction, cycles.
    pub scalar_cycles: u64,
    /// A branch that is not taken, cycles.
    pub branch_not_taken_cycles: u64,
    /// A branch that is taken, or a jump, cycles.
    pub branch_taken_cycles: u64,
    /// SRAM read port, bytes per cycle.
    pub read_bytes_per_cycle: u32,
    /// SRAM write port, bytes per cycle.
    pub write_bytes_per_cycle: u32,
}

/// What the cycles of a memory-only operation go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Setup, and the rows behind the first.
    pub begin: u64,
    /// Elements, at the datapath's rate.
    pub elements: u64,
    /// What the SRAM ports need beyond that.
    pub ports: u64,
}

/// What an operation is charged for: elements at a rate, or whole cycles per element.
enum Charge {
    Rate(Ratio, u64),
    PerElement(u64, u64),
}

impl CostTable {
    /// Cycles that a memory-only operation holds the datapath; at least 1.
    pub fn memory_cycles(&self, issued: &Issued) -> u64 {
        let Spent { begin, elements, ports } = self.spent(issued);
        begin + elements + ports
    }

    /// What the cycles of a memory-only operation go to.
    pub fn spent(&self, issued: &Issued) -> Spent {
        let n = u64::from(issued.total);
        if scalar_only(issued) {
            let each = self.special(issued.op).unwrap_or(self.scalar_cycles);
            return Spent { elements: (n * each).max(1), ..Spent::default() };
        }
        let (setup, elements) = match self.charge(issued) {
            Charge::Rate(rate, setup) => (setup, rate.cycles_for(n)),
            Charge::PerElement(cycles, setup) => (setup, n * cycles),
        };
        let rows = if n == 0 { 0 } else { n / u64::from(issued.extents[3]) };
        let begin = setup + self.row_cycles * rows.saturating_sub(1);
        let ports = self.port_cycles(issued).saturating_sub(elements);
        // At least 1.
        Spent { begin: begin.max(u64::from(elements + ports == 0)), elements, ports }
    }

    /// Cycles that one step of a fabric operation with `count` elements holds the datapath.
    pub fn step_cycles(&self, issued: &Issued, count: u32) -> u64 {
        let n = u64::from(count);
        match self.charge(issued) {
            Charge::Rate(rate, _) => rate.cycles_for(n).max(1),
            Charge::PerElement(cycles, _) => (n * cycles).max(1),
        }
    }

    /// Cycles per element of software routines.
    fn special(&self, op: VecOp) -> Option<u64> {
        match op {
            VecOp::Exp => Some(self.exp_cycles),
            VecOp::Rsqrt => Some(self.rsqrt_cycles),
            VecOp::Tanh | VecOp::Sigmoid => Some(self.tanh_cycles),
            VecOp::Sin | VecOp::Cos => Some(self.sin_cycles),
            VecOp::Recip => Some(self.recip_cycles),
            _ => None,
        }
    }

    fn charge(&self, issued: &Issued) -> Charge {
        if let Some(cycles) = self.special(issued.op) {
            return Charge::PerElement(cycles, self.setup_copy);
        }
        if reduces(issued) {
            return Charge::PerElement(self.reduce_cycles, self.setup_reduce);
        }
        let wide = |p: &Place| p.dtype().is_some_and(|t| t.bytes() == 4);
        let wide_dst = wide(&issued.dst);
        let wide_src = wide(&issued.a) || wide(&issued.b);
        match issued.op {
            VecOp::Fmac | VecOp::Mul => match (wide_dst, wide_src) {
                (false, false) => Charge::Rate(self.fmac_16, self.setup_fmac_16),
                (true, false) => Charge::Rate(self.fmac_mixed, self.setup_fmac_16),
                _ => Charge::Rate(self.fmac_32, self.setup_fmac_32),
            },
            VecOp::Add | VecOp::Sub | VecOp::Max | VecOp::Min | VecOp::ArgMax => {
                let rate = if wide_dst || wide_src { self.add_32 } else { self.add_16 };
                Charge::Rate(rate, self.setup_copy)
            }
            _ => {
                let rate = if wide_dst || wide_src { self.copy_32 } else { self.copy_16 };
                Charge::Rate(rate, self.setup_copy)
            }
        }
    }

    /// Least cycles that the SRAM ports need. An operand that repeats in the innermost loop is
    /// held in a register and not counted.
    fn port_cycles(&self, issued: &Issued) -> u64 {
        let n = u64::from(issued.total);
        let bytes = |p: &Place| match p.dtype() {
            Some(t) if p.streams_memory() => n * u64::from(t.bytes()),
            _ => 0,
        };
        let dst = bytes(&issued.dst);
        let reads =
            bytes(&issued.a) + bytes(&issued.b) + if issued.op.reads_dst() { dst } else { 0 };
        let read = reads.div_ceil(u64::from(self.read_bytes_per_cycle));
        read.max(dst.div_ceil(u64::from(self.write_bytes_per_cycle)))
    }
}

/// Whether no operand is in memory or in a queue.
fn scalar_only(issued: &Issued) -> bool {
    [&issued.dst, &issued.a, &issued.b]
        .iter()
        .all(|p| !matches!(p, Place::Mem { .. } | Place::Fabric(_)))
}

/// Whether the operation folds an innermost row of memory into one destination element.
fn reduces(issued: &Issued) -> bool {
    let many = issued.extents[3] > 1;
    let from_memory = issued.a.streams_memory() || issued.b.streams_memory();
    let to_one = match issued.dst {
        Place::Mem { strides, .. } => strides[3] == 0,
        Place::Reg(..) => true,
        _ => false,
    };
    many && from_memory && to_one
}
