//! Rule H-4: the host answers during the run.

use crate::harness::{arrivals, crossing, host_words, runners};
use fabric::Port;
use pe_isa::Cycle;
use sim_core::testing::Case;
use sim_core::testing::build::WaferBuilder;
use sim_core::{HostScript, HostWavelet, StopReason};

/// A wavelet that the host sends so many cycles after it received one.
fn reply(port: usize, delay: u64) -> (usize, HostWavelet) {
    (port, HostWavelet { cycle: Cycle(delay), payload: 7, control: false })
}

/// What arrives when the host of `wafer`, at `latency` cycles, sends words at `script` and answers those that it receives.
fn arrive(
    wafer: WaferBuilder,
    latency: u64,
    script: &[u64],
    replies: Vec<Vec<(usize, HostWavelet)>>,
) -> Vec<(u64, usize)> {
    let words = script.iter().flat_map(|&cycle| host_words(1, cycle)).collect();
    let script = HostScript { ports: vec![words] };
    let mut image = wafer.finish();
    image.machine.clock_hz = 1_000_000_000;
    image.machine.host.latency_ns = latency;
    let case = Case { image, script, replies, stop_after: None, limit: Cycle(1_000) };
    let mut seen = runners().map(|(name, runner)| {
        let record = case.run(runner);
        assert_eq!(record.outcome.stop, StopReason::Finished, "{name}");
        arrivals(&record)
    });
    assert_eq!(seen[0], seen[1]);
    std::mem::take(&mut seen[0])
}

#[test]
fn does_an_answer_take_the_latency_and_no_less_than_a_cycle() {
    // A word crosses the tile in 2 cycles and then takes the latency; the answer takes it before that.
    let one = || crossing(&[Port::West]);
    assert_eq!(arrive(one(), 0, &[0], vec![vec![reply(0, 0)]]), [(2, 0), (5, 0)]);
    assert_eq!(arrive(one(), 1, &[0], vec![vec![reply(0, 0)]]), [(3, 0), (7, 0)]);
    assert_eq!(arrive(one(), 10, &[0], vec![vec![reply(0, 0)]]), [(12, 0), (34, 0)]);
    // What the host gives a later cycle comes then.
    assert_eq!(arrive(one(), 10, &[0], vec![vec![reply(0, 9)]]), [(12, 0), (34, 0)]);
    assert_eq!(arrive(one(), 10, &[0], vec![vec![reply(0, 11)]]), [(12, 0), (35, 0)]);
    // Answers are answered too.
    let chain = vec![vec![reply(0, 0)]; 3];
    assert_eq!(arrive(one(), 0, &[0], chain), [(2, 0), (5, 0), (8, 0), (11, 0)]);
}

#[test]
fn does_an_answer_go_behind_what_its_port_has_to_send() {
    // The second word of the script stands at the edge at 40 only; the answer of 3 goes at 41. Another port is free.
    let one = arrive(crossing(&[Port::West]), 0, &[0, 40], vec![vec![reply(0, 0)]]);
    assert_eq!(one, [(2, 0), (42, 0), (43, 0)]);
    let two = arrive(crossing(&[Port::West, Port::North]), 0, &[0, 40], vec![vec![reply(1, 0)]]);
    assert_eq!(two, [(2, 0), (5, 1), (42, 0)]);
    // Several answers to one word keep their order, whatever their cycles.
    let replies = vec![vec![reply(0, 9), reply(0, 0)]];
    assert_eq!(arrive(crossing(&[Port::West]), 0, &[0], replies), [(2, 0), (13, 0), (14, 0)]);
}
