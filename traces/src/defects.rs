//! What the defects of a wafer cost a run.

use crate::metrics::Latency;
use serde::Serialize;

/// Defects, the ways around them, and what these cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DefectsEntry {
    /// Dead PEs of the wafer.
    pub dead_pes: u64,
    /// Dead links of the wafer.
    pub dead_links: u64,
    /// Live PEs that the placement leaves out because of dead ones beside them.
    pub spare_pes: u64,
    /// Nets of wires (one source and all that it reaches) that are longer than on a wafer without defects.
    pub longer_nets: u64,
    /// Links that these nets have more than there.
    pub extra_links: u64,
    /// What a wafer without defects does instead; of a run, where the same cut can be placed there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<HealthyEntry>,
}

/// The first request's first tokens on the same machine without its defects, placed by the same cut.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HealthyEntry {
    /// Tokens that were compared: two, or one where only one was wanted.
    pub tokens: usize,
    /// Cycle of the first new token there.
    pub ttft_cycles: u64,
    /// Cycles from there to the second, if there is one.
    pub second_token_cycles: Option<u64>,
    /// Cycles that the first new token takes longer with the defects.
    pub ttft_cost_cycles: i64,
    /// Cycles that the second takes longer after it.
    pub second_token_cost_cycles: Option<i64>,
    /// Whether the tokens are the same; absent without data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_equal: Option<bool>,
}

impl HealthyEntry {
    /// Compares the first tokens of a run with defects and of one without: token ids and the cycles at which they left.
    pub fn compare(defective: (&[u32], &Latency), healthy: (&[u32], &Latency)) -> HealthyEntry {
        let tokens = healthy.0.len().min(defective.0.len()).min(2);
        let second = |latency: &Latency| match latency.token_cycles[..] {
            [first, second, ..] if tokens == 2 => Some(second - first),
            _ => None,
        };
        let cost = |more: u64, less: u64| more as i64 - less as i64;
        let (with, without) = (second(defective.1), second(healthy.1));
        HealthyEntry {
            tokens,
            ttft_cycles: healthy.1.ttft_cycles,
            second_token_cycles: without,
            ttft_cost_cycles: cost(defective.1.ttft_cycles, healthy.1.ttft_cycles),
            second_token_cost_cycles: with.zip(without).map(|(more, less)| cost(more, less)),
            tokens_equal: Some(defective.0[..tokens] == healthy.0[..tokens]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pe_isa::Cycle;

    #[test]
    fn does_the_comparison_count_from_the_first_token_on() {
        let machine = fabric::presets::preset("wse3").expect("a preset");
        let latency = |cycles: &[u64]| {
            Latency::of(&machine, &cycles.iter().map(|&c| Cycle(c)).collect::<Vec<_>>())
        };
        let (bad, good) = (latency(&[110, 215, 300]), latency(&[100, 203]));
        let found = HealthyEntry::compare((&[7, 8, 9], &bad), (&[7, 8], &good));
        assert_eq!((found.tokens, found.tokens_equal), (2, Some(true)));
        assert_eq!((found.ttft_cycles, found.ttft_cost_cycles), (100, 10));
        assert_eq!(found.second_token_cycles, Some(103));
        assert_eq!(found.second_token_cost_cycles, Some(2));
        let one = HealthyEntry::compare((&[7], &latency(&[90])), (&[6], &latency(&[100])));
        assert_eq!((one.tokens, one.tokens_equal), (1, Some(false)));
        assert_eq!((one.ttft_cost_cycles, one.second_token_cost_cycles), (-10, None));
    }
}
