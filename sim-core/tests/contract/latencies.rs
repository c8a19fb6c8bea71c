//! Is every latency of the machine file tight? For each constant a wafer in which something happens at a cycle that the
//! constant sets: it has not happened by the decisions of the cycles before, and has by those of that cycle.

use crate::harness::*;
use fabric::{Machine, Port, WaferImage};
use pe_isa::{Instr, OnDone, Ratio, Reg, TaskKind};
use sim_core::HostScript;
use sim_core::testing::Record;
use sim_core::testing::build::{ProgramBuilder, WaferBuilder};

/// Values that a constant is given.
pub(crate) const VALUES: [u64; 5] = [1, 2, 3, 7, 40];

/// What is counted on the first tile.
pub(crate) type Count = fn(&Record) -> u64;

pub(crate) const INSTRUCTIONS: Count = |r| r.outcome.state.pes[0].instructions;
const STEPS: Count = |r| r.outcome.state.pes[0].fabric_steps;
const LAUNCHES: Count = |r| r.outcome.state.pes[0].launches;
const TAKEN: Count = |r| r.outcome.state.pes[0].wavelets_in;
const SENT: Count = |r| r.outcome.state.links[0].iter().sum();

/// Asserts that a count becomes `n` by the decisions of cycle `at`, and not before, on every runner.
pub(crate) fn becomes(
    what: &str,
    (image, script): &(WaferImage, HostScript),
    count: Count,
    n: u64,
    at: u64,
) {
    // A run with limit t takes the decisions of the cycles before t (rule E-3).
    on_all_until(image, script, pe_isa::Cycle(at), None, |r| {
        assert_eq!(count(r), n - 1, "{what}: too early, before {at}");
    });
    on_all_until(image, script, pe_isa::Cycle(at + 1), None, |r| {
        assert_eq!(count(r), n, "{what}: not yet at {at}");
    });
}

/// Hop 1, ramp 1, no latency elsewhere: the constant under test stands alone.
pub(crate) fn bare(width: u32) -> Machine {
    let mut m = near(width, 1);
    m.pe.ramp_cycles = 1;
    m.pe.dispatch_cycles = 1;
    m.pe.task_launch_cycles = 1;
    m.pe.data_task_cycles = 1;
    m
}

/// The host sends words, which stand at the west edge at these cycles, through one tile to a port.
fn through(m: Machine, out: Port, cycles: &[u64]) -> (WaferImage, HostScript) {
    let mut w = WaferBuilder::new(m);
    w.route(0, 0, Port::West, &[out]);
    w.host_in(0, Port::West, 0);
    w.host_out(0, out, 0);
    let words = cycles.iter().map(|&c| host_words(1, c)[0]).collect();
    (w.finish(), HostScript { ports: vec![words] })
}

/// The host sends words to a PE with a program, which stand at the edge at 100.
fn fed(
    m: Machine,
    words: usize,
    program: impl Fn(&mut ProgramBuilder),
) -> (WaferImage, HostScript) {
    let mut w = WaferBuilder::new(m);
    w.route(0, 0, Port::West, &[Port::Ramp]);
    w.host_in(0, Port::West, 0);
    program(w.program(0));
    (w.finish(), HostScript { ports: vec![host_words(words, 100)] })
}

/// One PE that runs some code, and nothing else.
pub(crate) fn alone(
    m: Machine,
    code: impl Fn(&mut ProgramBuilder) -> Vec<Instr>,
) -> (WaferImage, HostScript) {
    let mut w = WaferBuilder::new(m);
    let p = w.program(0);
    let mut code = code(p);
    code.extend([li(31), Instr::End]);
    p.main(&code);
    (w.finish(), none())
}

pub(crate) fn li(rd: u8) -> Instr {
    Instr::Li { rd: Reg(rd), imm: 1 }
}

#[test]
fn are_the_latencies_of_wires_tight() {
    for v in VALUES {
        let mut m = bare(1);
        m.fabric.hop_cycles = v;
        becomes("F-2 hop", &through(m, Port::East, &[0]), SENT, 1, v);

        let mut m = bare(1);
        (m.fabric.queue_depth, m.fabric.credit_cycles) = (1, v);
        // The first leaves the router at 1, its slot is free at 1 + v, the second is there a hop later.
        becomes("F-1 credit", &through(m, Port::East, &[0, 0]), SENT, 2, 2 + v);

        let mut m = bare(1);
        m.fabric.turn_cycles = v;
        becomes("L-2 turn", &through(m, Port::South, &[0]), SENT, 1, 1 + v);

        let mut m = bare(1);
        m.fabric.link_cycles = Ratio::new(v as u32, 1).unwrap();
        becomes("L-1 rate", &through(m, Port::East, &[0, 0, 0]), SENT, 3, 1 + 2 * v);

        // Of every q departures in a row, the next is p cycles after the first.
        let mut m = bare(1);
        m.fabric.link_cycles = Ratio::new(v as u32 + 8, 8).unwrap();
        let (p, q) = (m.fabric.link_cycles.num(), m.fabric.link_cycles.den());
        let words = vec![0; q as usize + 1];
        m.fabric.queue_depth = 64;
        becomes(
            "L-1 window",
            &through(m, Port::East, &words),
            SENT,
            words.len() as u64,
            1 + u64::from(p),
        );
    }
}

#[test]
fn is_the_latency_to_the_host_tight() {
    for v in VALUES {
        let mut m = bare(1);
        (m.clock_hz, m.host.latency_ns) = (1_000_000_000, v);
        let (image, script) = through(m, Port::East, &[0]);
        // H-2, and E-4: the host receives the wavelets of the limit's cycle.
        for (limit, received) in [(1 + v, 0), (2 + v, 1)] {
            on_all_until(&image, &script, pe_isa::Cycle(limit), None, |r| {
                assert_eq!(r.received.len(), received, "H-2 latency {v}, limit {limit}");
            });
        }
    }
}

#[test]
fn are_the_latencies_of_ramps_and_queues_tight() {
    for v in VALUES {
        let mut m = bare(1);
        m.pe.ramp_cycles = v;
        let down = fed(m.clone(), 1, |p| {
            let queue = p.bind_in(0);
            let recv = recv(p, queue, 1);
            p.main(&[recv, Instr::End]);
        });
        becomes("F-4 ramp down", &down, TAKEN, 1, 101 + v);
        // Issue at 1, step at 2, in the up FIFO from 3 on.
        becomes("F-3 ramp up", &sending(m, 1), SENT, 1, 3 + v);
    }
    // F-4: the input queue and its ramp hold two; the third leaves the router the cycle after the first is taken.
    for v in VALUES {
        let mut m = bare(1);
        m.pe.input_queues.fill(1);
        m.pe.dispatch_cycles = v + 100;
        let late = fed(m, 3, |p| {
            let queue = p.bind_in(0);
            let recv = recv(p, queue, 3);
            p.main(&[recv, Instr::End]);
        });
        let first = 1 + v + 99;
        becomes("F-4 taken", &late, TAKEN, 1, first.max(102));
        becomes("F-4 credit", &late, SENT, 3, (first.max(102) + 1).max(103));
    }
    // F-5: an output queue of one slot, which is visible as free a cycle after its wavelet left.
    for (depth, second) in [(1, 4), (2, 3)] {
        let mut m = bare(2);
        m.pe.output_queues.fill(depth);
        becomes("F-5 credit", &sending(m, 2), STEPS, 2, second);
    }
}

/// The first of two tiles sends words to the second, which receives them.
fn sending(mut m: Machine, words: u32) -> (WaferImage, HostScript) {
    m.width = 2;
    let mut w = WaferBuilder::new(m);
    w.path(3, &[0, 1]);
    sender(&mut w, 0, 3, words);
    receiver(&mut w, 1, 3, words);
    (w.finish(), none())
}

#[test]
fn are_the_latencies_of_tasks_tight() {
    for v in VALUES {
        let mut m = bare(1);
        m.pe.task_launch_cycles = v;
        becomes("K-3 launch", &alone(m.clone(), |_| vec![]), INSTRUCTIONS, 1, v);

        let each = |p: &mut ProgramBuilder| {
            let kind = TaskKind::Data(p.bind_in(0), Reg(5));
            p.task(kind, 0, &[Instr::End]);
        };
        let mut m = bare(1);
        m.pe.data_task_cycles = v;
        // Launched at 102; `end` at 103 frees the thread at 104.
        becomes("K-3 data task", &fed(m, 2, each), LAUNCHES, 2, 102 + v.max(2));

        let mut m = bare(1);
        m.pe.dispatch_cycles = v;
        let first = (v - 1).max(1);
        becomes("P-4 dispatch", &sending(m.clone(), 1), STEPS, 1, 1 + first);

        // P-6: an operation of one word is complete a cycle after its step, and its task is launched then.
        let mut w = WaferBuilder::new(Machine { width: 2, ..m });
        w.path(3, &[0, 1]);
        receiver(&mut w, 1, 3, 1);
        let p = w.program(0);
        let queue = p.bind_out(3);
        let then = p.task(TaskKind::Local, 0, &[Instr::End]);
        let send = micro(send(p, queue, 1), 0, OnDone::Activate(then));
        p.main(&[send, Instr::End]);
        // The main task's `end` stands at 2 at the earliest, and goes first.
        let step = if first == 1 { 3 } else { 1 + first };
        becomes("P-6 completion", &(w.finish(), none()), LAUNCHES, 2, step + 1);

        // K-2, K-4: `activate` at 1, `end` behind it.
        let mut m = bare(1);
        m.pe.cost.scalar_cycles = v;
        let mut w = WaferBuilder::new(m);
        let p = w.program(0);
        let then = p.task(TaskKind::Local, 0, &[Instr::End]);
        p.main(&[Instr::Activate(then), Instr::End]);
        becomes("K-4 end", &(w.finish(), none()), LAUNCHES, 2, 1 + 2 * v);
    }
}
