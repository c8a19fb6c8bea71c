//! Is every rule of the timing contract kept to the cycle? Small wafers whose cycles were worked
//! out by hand, run on every runner.

use fabric::{Machine, PeIdx, Port, Ports, Position, WaferImage};
use pe_isa::{
    AluOp, Color, Cond, Cycle, DType, Fault, InQueue, Instr, OnDone, Operand, OutQueue, Ratio, Reg,
    Src, TaskKind, Thread, VecOp, Vector,
};
use sim_core::testing::build::{ProgramBuilder, WaferBuilder, machine};
use sim_core::testing::{Case, Record, Runner};
use sim_core::{Head, HostScript, HostWavelet, StopReason, Wait, WaitFor, oracle};

/// Every implementation of the contract. The engine is added here.
fn runners() -> [(&'static str, Runner); 2] {
    [("oracle", oracle::run), ("engine", engine)]
}

fn engine(
    image: &WaferImage,
    script: &HostScript,
    host: &mut dyn sim_core::Host,
    limit: pe_isa::Cycle,
    observer: &mut dyn sim_core::Observer,
) -> sim_core::Outcome {
    sim_core::engine::run(image, script, host, limit, observer)
}

/// Runs an image on every runner and hands each record to `check`.
fn on_all(image: &WaferImage, script: &HostScript, check: impl Fn(&Record)) {
    on_all_until(image, script, Cycle(100_000), None, check);
}

fn on_all_until(
    image: &WaferImage,
    script: &HostScript,
    limit: Cycle,
    stop_after: Option<usize>,
    check: impl Fn(&Record),
) {
    let case = Case {
        image: image.clone(),
        script: script.clone(),
        stop_after,
        limit,
    };
    for (name, runner) in runners() {
        println!("{name}");
        check(&case.run(runner));
    }
}

/// The vendor simulator's constants: hop 2, ramp 2, dispatch 5, launch 5, link rate 1.
fn sdk(width: u32, height: u32) -> Machine {
    machine("wse3-sdk", width, height)
}

fn none() -> HostScript {
    HostScript::default()
}

const F32: DType = DType::F32;
const BEGIN: Instr = Instr::Mark(1);
const DONE: Instr = Instr::Mark(2);

fn ratio(num: u32, den: u32) -> Ratio {
    Ratio::new(num, den).unwrap()
}

/// `n` words of SRAM into a queue.
fn send(p: &mut ProgramBuilder, queue: OutQueue, n: u32) -> Instr {
    let from = p.mem(0, &[1], F32);
    p.vector(
        VecOp::Mov,
        n,
        Operand::FabOut(queue, F32),
        from,
        Operand::None,
    )
}

/// `n` words of a queue into SRAM.
fn recv(p: &mut ProgramBuilder, queue: InQueue, n: u32) -> Instr {
    let to = p.mem(0, &[1], F32);
    p.vector(VecOp::Mov, n, to, Operand::FabIn(queue, F32), Operand::None)
}

fn micro(instr: Instr, u: u8, done: OnDone) -> Instr {
    let Instr::Vector(v) = instr else {
        panic!("a vector operation")
    };
    let thread = Thread::Micro(u, done);
    Instr::Vector(Vector { thread, ..v })
}

/// A tile that sends `n` words on a color, marked at begin and end.
fn sender(w: &mut WaferBuilder, at: usize, color: u8, n: u32) {
    let p = w.program(at);
    let queue = p.bind_out(color);
    let send = send(p, queue, n);
    p.main(&[BEGIN, send, DONE, Instr::End]);
}

/// A tile that receives `n` words on a color, marked at the end.
fn receiver(w: &mut WaferBuilder, at: usize, color: u8, n: u32) {
    let p = w.program(at);
    let queue = p.bind_in(color);
    let recv = recv(p, queue, n);
    p.main(&[recv, DONE, Instr::End]);
}

/// The cycles at which `pe` passed `mark`.
fn marks(record: &Record, pe: usize, mark: u16) -> Vec<u64> {
    let here = |m: &&sim_core::testing::Mark| m.pe.0 as usize == pe && m.mark == mark;
    record
        .marks
        .iter()
        .filter(here)
        .map(|m| m.cycle.0)
        .collect()
}

fn mark(record: &Record, pe: usize, label: u16) -> u64 {
    let found = marks(record, pe, label);
    assert_eq!(found.len(), 1, "one mark {label} on tile {pe}: {found:?}");
    found[0]
}

/// A row of tiles in which the first sends `n` words to the last.
fn message(machine: Machine, n: u32) -> WaferImage {
    let last = machine.width as usize - 1;
    let mut w = WaferBuilder::new(machine);
    w.path(3, &(0..=last).collect::<Vec<_>>());
    sender(&mut w, 0, 3, n);
    receiver(&mut w, last, 3, n);
    w.finish()
}

/// Cycles from the dispatch of the send to the end of the receive.
fn message_cycles(machine: Machine, n: u32) -> u64 {
    let last = machine.width as usize - 1;
    let image = message(machine, n);
    let cycles = std::cell::Cell::new(0);
    on_all(&image, &none(), |r| {
        assert_eq!(r.outcome.stop, StopReason::Finished);
        cycles.set(mark(r, last, 2) - mark(r, 0, 1));
    });
    cycles.get()
}

#[test]
fn does_a_message_take_what_the_ledger_says() {
    // P-4, P-5, R-1, F-2 to F-5: dispatch 5 + ramp 2 + (B - 1) + hop 2 + ramp 2 + 1.
    assert_eq!(message_cycles(sdk(2, 1), 8), 19);
    assert_eq!(message_cycles(sdk(2, 1), 1), 12);
    // One more hop.
    assert_eq!(message_cycles(sdk(3, 1), 8), 21);
    let mut far = sdk(2, 1);
    far.pe.ramp_cycles = 3;
    assert_eq!(message_cycles(far, 8), 21);
}

#[test]
fn is_dispatch_paid_once_and_the_issue_takes_a_cycle() {
    // P-4: max(t + 1, t + dispatch - 1), then one word a cycle; P-6.
    for (dispatch, first) in [(1, 1), (2, 1), (3, 2), (6, 5)] {
        let mut m = sdk(2, 1);
        m.pe.dispatch_cycles = dispatch;
        on_all(&message(m, 4), &none(), |r| {
            assert_eq!(mark(r, 0, 2) - mark(r, 0, 1), first + 4);
        });
    }
}

#[test]
fn does_a_chain_element_pay_two_ramps_and_two_cycles_per_hop() {
    // P-5: an operation that adds to what it passes on; hop 1 gives 2 T_R + 2 per PE.
    let finish = |width: u32| {
        let mut m = sdk(width, 1);
        m.fabric.hop_cycles = 1;
        let last = width as usize - 1;
        let mut w = WaferBuilder::new(m);
        for at in 0..last {
            w.path(at as u8 % 2, &[at, at + 1]);
        }
        for at in 1..last {
            let p = w.program(at);
            let (i, o) = (p.bind_in((at as u8 + 1) % 2), p.bind_out(at as u8 % 2));
            let own = p.mem(0, &[1], F32);
            let (dst, a) = (Operand::FabOut(o, F32), Operand::FabIn(i, F32));
            let add = p.vector(VecOp::Add, 8, dst, a, own);
            p.main(&[add, Instr::End]);
        }
        sender(&mut w, 0, 0, 8);
        receiver(&mut w, last, (last as u8 + 1) % 2, 8);
        let cycles = std::cell::Cell::new(0);
        on_all(&w.finish(), &none(), |r| {
            cycles.set(mark(r, last, 2) - mark(r, 0, 1));
        });
        cycles.get()
    };
    assert_eq!(finish(3) - finish(2), 6);
    assert_eq!(finish(6) - finish(2), 24);
}

#[test]
fn does_a_link_let_q_wavelets_through_in_p_cycles() {
    // L-1: 9/8. The first eight leave back to back, the ninth nine cycles after the first.
    for (n, extra) in [(8, 0), (9, 1), (16, 1), (17, 2)] {
        let mut m = sdk(2, 1);
        m.fabric.link_cycles = ratio(9, 8);
        m.fabric.queue_depth = 64;
        assert_eq!(message_cycles(m, n), 11 + u64::from(n) + extra, "{n} words");
    }
    // 7/3: of every three departures, the first and the fourth are 7 apart.
    for (n, cycles) in [(3, 0), (4, 4), (6, 4), (7, 8)] {
        let mut m = sdk(2, 1);
        m.fabric.link_cycles = ratio(7, 3);
        m.fabric.queue_depth = 64;
        assert_eq!(
            message_cycles(m, n),
            11 + u64::from(n) + cycles,
            "{n} words"
        );
    }
}

#[test]
fn does_full_rate_need_a_queue_of_hop_plus_credit() {
    // F-1, F-2: a slot is held from departure to departure + hop + credit, when nothing waits.
    for (depth, gap) in [(4, 1), (3, 2), (1, 4)] {
        let mut m = sdk(2, 1);
        m.fabric.queue_depth = depth;
        let steady = message_cycles(m.clone(), 24) - message_cycles(m, 12);
        let want = match depth {
            4 => 12,
            3 => 16, // three in four cycles
            _ => 12 * gap,
        };
        assert_eq!(steady, want, "depth {depth}");
    }
}

/// Two tiles, west and east of a middle one that receives both on colors 1 and 2 of one link: the
/// middle one sends on to a third. Returns the order of arrival.
fn host_words(n: usize, cycle: u64) -> Vec<HostWavelet> {
    let word = |k: usize| HostWavelet {
        cycle: Cycle(cycle),
        payload: k as u32,
        control: false,
    };
    (0..n).map(word).collect()
}

fn control_word(cycle: u64, payload: u32) -> HostWavelet {
    HostWavelet {
        cycle: Cycle(cycle),
        payload,
        control: true,
    }
}

/// One tile into which the host sends colors 0, 1, … through the given ports, all bound for the
/// host east of it, hop 1, no host latency.
fn crossing(inputs: &[Port]) -> WaferBuilder {
    let mut m = sdk(1, 1);
    m.fabric.hop_cycles = 1;
    m.host.latency_ns = 0;
    let mut w = WaferBuilder::new(m);
    for (color, &port) in inputs.iter().enumerate() {
        w.route(0, color as u8, port, &[Port::East]);
        w.host_in(0, port, color as u8);
        w.host_out(0, Port::East, color as u8);
    }
    w
}

#[test]
fn do_inputs_take_turns_in_order_of_their_keys() {
    // N, then S, then W, each time the one after the last that fired. H-1, H-2.
    let image = crossing(&[Port::West, Port::North, Port::South]).finish();
    let script = HostScript {
        ports: vec![host_words(2, 0), host_words(2, 0), host_words(2, 0)],
    };
    on_all(&image, &script, |r| {
        let ports: Vec<_> = r.received.iter().map(|&(t, p, _)| (t.0, p)).collect();
        assert_eq!(ports, [(2, 1), (3, 2), (4, 0), (5, 1), (6, 2), (7, 0)]);
        assert_eq!(r.outcome.stop, StopReason::Finished);
        assert_eq!(r.outcome.cycle, Cycle(7)); // E-1
        assert_eq!(r.outcome.state.links[0], [0, 6, 0, 0, 0]);
    });
}

#[test]
fn does_a_held_up_candidate_reserve_its_outputs() {
    // at 1, c0 (N) takes East; c1 (S), which wants East and West, reserves both, so that
    // c2 (W, color 2 to North... West is taken) waits a cycle although its output is free.
    let mut m = sdk(1, 1);
    m.fabric.hop_cycles = 1;
    m.host.latency_ns = 0;
    let mut w = WaferBuilder::new(m);
    let routes: [(Port, &[Port]); 3] = [
        (Port::North, &[Port::East]),
        (Port::South, &[Port::East, Port::West]),
        (Port::North, &[Port::West]),
    ];
    for (color, (rx, tx)) in routes.into_iter().enumerate() {
        w.route(0, color as u8, rx, tx);
        w.host_in(0, rx, color as u8);
        for &port in tx {
            w.host_out(0, port, color as u8);
        }
    }
    // Host ports out: 0 is c0 East, 1 is c1 East, 2 is c1 West, 3 is c2 West.
    let script = HostScript {
        ports: vec![host_words(2, 0), host_words(1, 0), host_words(1, 0)],
    };
    on_all(&w.finish(), &script, |r| {
        let seen: Vec<_> = r.received.iter().map(|&(t, p, _)| (t.0, p)).collect();
        // Keys: (N, c0), (N, c2), (S, c1). At 1: c0 and c2 fire, c1 reserves. The cursor is
        // after (N, c0): at 2 (S, c1) comes first and fires; then c0 again.
        assert_eq!(seen, [(2, 0), (2, 3), (3, 1), (3, 2), (4, 0)]);
    });
    // With the wide one between the two in key order, its reservation holds the third up.
    let mut m = sdk(1, 1);
    m.fabric.hop_cycles = 1;
    m.host.latency_ns = 0;
    let mut w = WaferBuilder::new(m);
    let routes: [(Port, &[Port]); 3] = [
        (Port::North, &[Port::East]),
        (Port::North, &[Port::East, Port::West]),
        (Port::South, &[Port::West]),
    ];
    for (color, (rx, tx)) in routes.into_iter().enumerate() {
        w.route(0, color as u8, rx, tx);
        w.host_in(0, rx, color as u8);
        for &port in tx {
            w.host_out(0, port, color as u8);
        }
    }
    on_all(&w.finish(), &script, |r| {
        let seen: Vec<_> = r.received.iter().map(|&(t, p, _)| (t.0, p)).collect();
        // At 1: c0 fires, c1 reserves East and West, c2 reserves West too. At 2, from (N, c1)
        // on: c1 fires, c2 reserves, c0 reserves. At 3, from (S, c2)'s place on: c2, c0.
        assert_eq!(seen, [(2, 0), (3, 1), (3, 2), (4, 0), (4, 3)]);
    });
}

#[test]
fn does_a_candidate_without_a_slot_reserve_nothing() {
    // c0 is blocked by a full queue behind the East link; c1 on the same link goes on.
    let mut m = sdk(2, 1);
    m.fabric.hop_cycles = 1;
    m.host.latency_ns = 0;
    m.fabric.queue_depth = 1;
    m.fabric.credit_cycles = 1;
    let mut w = WaferBuilder::new(m);
    // c0 ends at a router position that never takes it: it waits behind a switch.
    w.route(0, 0, Port::North, &[Port::East]);
    let positions = vec![
        Position {
            rx: Port::South,
            tx: Ports::one(Port::East),
        },
        Position {
            rx: Port::West,
            tx: Ports::one(Port::East),
        },
    ];
    w.switched(1, 0, positions);
    w.route(0, 1, Port::South, &[Port::East]);
    w.route(1, 1, Port::West, &[Port::East]);
    w.host_in(0, Port::North, 0);
    w.host_in(0, Port::South, 1);
    w.host_out(1, Port::East, 0);
    w.host_out(1, Port::East, 1);
    let script = HostScript {
        ports: vec![host_words(3, 0), host_words(3, 0)],
    };
    on_all(&w.finish(), &script, |r| {
        let seen: Vec<_> = r.received.iter().map(|&(t, p, _)| (t.0, p)).collect();
        // c1 shares the link with the first c0 at 1, then has it alone; its depth of 1 lets a
        // word through every hop + credit = 2 cycles. F-1.
        assert_eq!(seen, [(4, 1), (6, 1), (8, 1)]);
        let heads = |pe, port| Head {
            pe: PeIdx(pe),
            port: Some(port),
            color: Color(0),
        };
        let StopReason::Deadlock { waits, heads: left } = &r.outcome.stop else {
            panic!("{:?}", r.outcome.stop)
        };
        assert!(waits.is_empty());
        assert_eq!(left, &[heads(0, Port::North), heads(1, Port::West)]); // E-2
    });
}
