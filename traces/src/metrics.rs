//! Latency and throughput of requests, from the cycles at which their tokens left the host link.

use fabric::Machine;
use pe_isa::Cycle;
use serde::Serialize;

/// The latencies of one request. Simulated time starts when the first byte of the request reaches
/// the host link (cycle 0).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latency {
    /// Time to first token: the cycle at which the first new token had left through the host link.
    pub ttft_cycles: u64,
    /// The same in seconds at the machine's clock.
    pub ttft_s: f64,
    /// Time per output token: cycles between the first and the last new token, over the number of
    /// tokens after the first; none below two tokens.
    pub tpot_cycles: Option<f64>,
    /// The same in seconds.
    pub tpot_s: Option<f64>,
    /// `1 / tpot_s`: what one request sees.
    pub tokens_per_s: Option<f64>,
    /// Cycles from the request reaching the wafer's edge to the first new token leaving it: the time
    /// to first token without the host link.
    pub prefill_cycles: u64,
    /// The cycle at which each new token had left through the host link.
    pub token_cycles: Vec<u64>,
}

impl Latency {
    /// The latencies of a request whose new tokens reached the host at `tokens`.
    ///
    /// # Panics
    /// Without a token, or where tokens are out of order.
    pub fn of(machine: &Machine, tokens: &[Cycle]) -> Latency {
        assert!(tokens.is_sorted(), "tokens of a request leave one after another");
        let first = *tokens.first().expect("an answer has at least one token");
        let tpot_cycles = mean_gap(tokens);
        let tpot_s = tpot_cycles.map(|cycles| cycles / machine.clock_hz as f64);
        Latency {
            ttft_cycles: first.0,
            ttft_s: machine.seconds(first.0),
            tpot_cycles,
            tpot_s,
            tokens_per_s: tpot_s.map(|s| 1.0 / s),
            prefill_cycles: first.0.saturating_sub(host_link_cycles(machine)),
            token_cycles: tokens.iter().map(|t| t.0).collect(),
        }
    }

    /// Cycles from the first new token to the last one.
    pub fn decode_cycles(&self) -> u64 {
        let ends = self.token_cycles.first().zip(self.token_cycles.last());
        ends.map_or(0, |(first, last)| last - first)
    }
}

/// Cycles that the first token's time contains for the host link: the way in of the first wavelet of
/// the prompt, and the way out of the token (contract rules H-1 and H-2).
fn host_link_cycles(machine: &Machine) -> u64 {
    machine.host_arrival_cycle(0) + machine.fabric.hop_cycles + machine.host_latency_cycles()
}

fn mean_gap(tokens: &[Cycle]) -> Option<f64> {
    let gaps = tokens.len().checked_sub(1).filter(|&n| n > 0)?;
    let span = *tokens.last()? - *tokens.first()?;
    Some(span.0 as f64 / gaps as f64)
}

/// New tokens of all requests per simulated second, until the last token of any has left.
pub fn throughput_tokens_per_s(machine: &Machine, requests: &[Latency]) -> f64 {
    let tokens: usize = requests.iter().map(|r| r.token_cycles.len()).sum();
    let last = requests.iter().filter_map(|r| r.token_cycles.last()).max();
    last.map_or(0.0, |&last| tokens as f64 / machine.seconds(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 GHz, so that a cycle is a nanosecond; 100 cycles of host latency, 1 cycle per wavelet.
    fn machine() -> Machine {
        let mut machine = fabric::presets::preset(fabric::presets::DEFAULT).unwrap();
        machine.clock_hz = 1_000_000_000;
        machine.host.latency_ns = 100;
        machine.host.bits_per_s = 32_000_000_000;
        machine.fabric.hop_cycles = 2;
        machine
    }

    fn cycles(at: &[u64]) -> Vec<Cycle> {
        at.iter().map(|&c| Cycle(c)).collect()
    }

    #[test]
    fn time_per_token_is_the_mean_gap_after_the_first() {
        let latency = Latency::of(&machine(), &cycles(&[1_000, 1_200, 1_500]));
        assert_eq!(latency.ttft_cycles, 1_000);
        assert_eq!(latency.tpot_cycles, Some(250.0));
        assert_eq!(latency.decode_cycles(), 500);
        assert!((latency.ttft_s - 1e-6).abs() < 1e-15);
        assert!((latency.tpot_s.unwrap() - 250e-9).abs() < 1e-15);
        assert!((latency.tokens_per_s.unwrap() - 4e6).abs() < 1e-3);
    }

    #[test]
    fn one_token_has_no_time_per_token() {
        let latency = Latency::of(&machine(), &cycles(&[1_000]));
        assert_eq!(
            (latency.tpot_cycles, latency.tpot_s, latency.tokens_per_s, latency.decode_cycles()),
            (None, None, None, 0)
        );
    }

    #[test]
    fn prefill_is_the_time_to_first_token_without_the_host_link() {
        let machine = machine();
        assert_eq!(machine.host_arrival_cycle(0), 101);
        let latency = Latency::of(&machine, &cycles(&[1_000]));
        assert_eq!(latency.prefill_cycles, 1_000 - 101 - 2 - 100);
    }

    #[test]
    fn throughput_counts_all_requests_until_the_last_token_of_any() {
        let machine = machine();
        let a = Latency::of(&machine, &cycles(&[500, 1_000]));
        let b = Latency::of(&machine, &cycles(&[400, 900, 2_000]));
        let rate = throughput_tokens_per_s(&machine, &[a, b]);
        assert!((rate - 5.0 / 2e-6).abs() < 1e-3, "{rate}");
    }
}
