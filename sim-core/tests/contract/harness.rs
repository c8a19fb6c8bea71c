//! The runners, and wafers small enough to work out by hand.

use fabric::{Machine, Port, WaferImage};
use pe_isa::{
    Cycle, DType, InQueue, Instr, OnDone, Operand, OutQueue, Ratio, Thread, VecOp, Vector,
};
use sim_core::testing::build::{ProgramBuilder, WaferBuilder, machine};
use sim_core::testing::{Case, Record, Runner, engine};
use sim_core::{HostScript, HostWavelet, oracle};

/// Every implementation of the contract. The engine is added here.
pub(crate) fn runners() -> [(&'static str, Runner); 2] {
    [("oracle", oracle::run), ("engine", engine)]
}

/// Runs an image on every runner and hands each record to `check`.
pub(crate) fn on_all(image: &WaferImage, script: &HostScript, check: impl Fn(&Record)) {
    on_all_until(image, script, Cycle(100_000), None, check);
}

pub(crate) fn on_all_until(
    image: &WaferImage,
    script: &HostScript,
    limit: Cycle,
    stop_after: Option<usize>,
    check: impl Fn(&Record),
) {
    let case = Case {
        image: image.clone(),
        script: script.clone(),
        replies: Vec::new(),
        stop_after,
        limit,
    };
    for (name, runner) in runners() {
        println!("{name}");
        check(&case.run(runner));
    }
}

/// The vendor simulator's constants: hop 2, ramp 2, dispatch 5, launch 5, link rate 1.
pub(crate) fn sdk(width: u32, height: u32) -> Machine {
    machine("wse3-sdk", width, height)
}

/// Hop 1, no latency to the host.
pub(crate) fn near(width: u32, height: u32) -> Machine {
    let mut m = sdk(width, height);
    m.fabric.hop_cycles = 1;
    m.fabric.credit_cycles = 1;
    m.host.latency_ns = 0;
    m
}

pub(crate) fn none() -> HostScript {
    HostScript::default()
}

pub(crate) const F32: DType = DType::F32;
pub(crate) const BEGIN: Instr = Instr::Mark(1);
pub(crate) const DONE: Instr = Instr::Mark(2);

pub(crate) fn ratio(num: u32, den: u32) -> Ratio {
    Ratio::new(num, den).unwrap()
}

/// `n` words of SRAM into a queue.
pub(crate) fn send(p: &mut ProgramBuilder, queue: OutQueue, n: u32) -> Instr {
    let from = p.mem(0, &[1], F32);
    p.vector(VecOp::Mov, n, Operand::FabOut(queue, F32), from, Operand::None)
}

/// `n` words of a queue into SRAM.
pub(crate) fn recv(p: &mut ProgramBuilder, queue: InQueue, n: u32) -> Instr {
    let to = p.mem(0, &[1], F32);
    p.vector(VecOp::Mov, n, to, Operand::FabIn(queue, F32), Operand::None)
}

pub(crate) fn micro(instr: Instr, u: u8, done: OnDone) -> Instr {
    let Instr::Vector(v) = instr else { panic!("a vector operation") };
    let thread = Thread::Micro(u, done);
    Instr::Vector(Vector { thread, ..v })
}

/// A tile that sends `n` words on a color, marked at begin and end.
pub(crate) fn sender(w: &mut WaferBuilder, at: usize, color: u8, n: u32) {
    let p = w.program(at);
    let queue = p.bind_out(color);
    let send = send(p, queue, n);
    p.main(&[BEGIN, send, DONE, Instr::End]);
}

/// A tile that receives `n` words on a color, marked at the end.
pub(crate) fn receiver(w: &mut WaferBuilder, at: usize, color: u8, n: u32) {
    let p = w.program(at);
    let queue = p.bind_in(color);
    let recv = recv(p, queue, n);
    p.main(&[recv, DONE, Instr::End]);
}

/// The cycles at which `pe` passed `mark`.
pub(crate) fn marks(record: &Record, pe: usize, mark: u16) -> Vec<u64> {
    let here = |m: &&sim_core::testing::Mark| m.pe.0 as usize == pe && m.mark == mark;
    record.marks.iter().filter(here).map(|m| m.cycle.0).collect()
}

pub(crate) fn mark(record: &Record, pe: usize, label: u16) -> u64 {
    let found = marks(record, pe, label);
    assert_eq!(found.len(), 1, "one mark {label} on tile {pe}: {found:?}");
    found[0]
}

/// `n` words that stand at the wafer's edge from `cycle` on, numbered from 0.
pub(crate) fn host_words(n: usize, cycle: u64) -> Vec<HostWavelet> {
    let word = |k: usize| HostWavelet { cycle: Cycle(cycle), payload: k as u32, control: false };
    (0..n).map(word).collect()
}

pub(crate) fn control_word(cycle: u64, payload: u32) -> HostWavelet {
    HostWavelet { cycle: Cycle(cycle), payload, control: true }
}

/// One tile into which the host sends colors 0, 1, … through the given ports, all bound for the
/// host east of it, hop 1, no host latency.
pub(crate) fn crossing(inputs: &[Port]) -> WaferBuilder {
    let mut w = WaferBuilder::new(near(1, 1));
    for (color, &port) in inputs.iter().enumerate() {
        w.route(0, color as u8, port, &[Port::East]);
        w.host_in(0, port, color as u8);
        w.host_out(0, Port::East, color as u8);
    }
    w
}

/// Cycle and port of every wavelet that the host received.
pub(crate) fn arrivals(record: &Record) -> Vec<(u64, usize)> {
    let received = record.received.iter();
    received.map(|&(t, port, _)| (t.0, port)).collect()
}
