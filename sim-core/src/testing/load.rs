//! What nets carry, and how their sinks take it.

use super::nets::{Net, Source};
use super::spec::{Bits, SinkSpec};

/// What a net carries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Wavelets of one operation.
    pub(super) per: u32,
    /// Operations.
    pub(super) chunks: u32,
    /// Elements of a wavelet.
    pub(super) lanes: u32,
    /// Whether the last wavelet of an operation carries one element only.
    odd: bool,
}

impl Load {
    /// Elements of `chunks` operations in one.
    pub(super) fn elements(self, chunks: u32) -> u32 {
        let odd = u32::from(self.odd && self.lanes == 2 && chunks > 0);
        (self.per * chunks * self.lanes).saturating_sub(odd)
    }
}

/// The loads of all nets; one that passes another on has its load.
pub(super) fn loads(nets: &[Net]) -> Vec<Load> {
    let mut loads: Vec<Load> = Vec::new();
    for net in nets {
        let load = match net.source {
            Source::Stream(_, from) => loads[from],
            _ => Load {
                per: net.spec.wavelets,
                chunks: net.spec.chunks,
                lanes: 1 + net.spec.color as u32 % 2,
                odd: net.spec.wavelets % 3 == 1,
            },
        };
        loads.push(load);
    }
    loads
}

/// How a sink takes its wavelets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Main,
    Micro,
    Data,
}

/// How sink `at` of net `k` takes its wavelets, and the bits that are left.
pub(super) fn mode(
    nets: &[Net],
    k: usize,
    at: usize,
    sink: &SinkSpec,
    microthreads: u8,
) -> (Mode, Bits) {
    let mut bits = sink.bits;
    let choice = bits.pick(6);
    // A PE that also sends seldom has data tasks: its main task may never end.
    let sends = nets.iter().any(|n| n.source == Source::Program(at) || n.joiner == Some(at));
    let mode = match choice {
        0 => Mode::Main,
        _ if nets[k].switched => Mode::Data,
        5 if !sends || bits.chance(6) => Mode::Data,
        4 if microthreads > 0 => Mode::Micro,
        _ => Mode::Main,
    };
    (mode, bits)
}
