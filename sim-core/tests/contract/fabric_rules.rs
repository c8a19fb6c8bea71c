//! Links, FIFOs, arbitration, switches: rules F, A, L, S, H.

use crate::harness::*;
use fabric::{Machine, PeIdx, Port, Ports, Position, WaferImage};
use pe_isa::{Color, Cycle, Instr, Operand, VecOp};
use sim_core::testing::build::WaferBuilder;
use sim_core::{Head, HostScript, StopReason};

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

/// A wavelet of color 0 that is left at a router, of `words`, with switch position `selected`.
fn head(pe: u32, port: Port, words: u32, selected: u8) -> Head {
    let (pe, port, color) = (PeIdx(pe), Some(port), Color(0));
    Head { pe, port, color, words, control: false, selected }
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
        assert_eq!(message_cycles(m, n), 11 + u64::from(n) + cycles, "{n} words");
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

#[test]
fn do_inputs_take_turns_in_order_of_their_keys() {
    // N, then S, then W, each time the one after the last that fired. H-1, H-2.
    let image = crossing(&[Port::West, Port::North, Port::South]).finish();
    let script = HostScript { ports: vec![host_words(2, 0), host_words(2, 0), host_words(2, 0)] };
    on_all(&image, &script, |r| {
        assert_eq!(arrivals(r), [(2, 1), (3, 2), (4, 0), (5, 1), (6, 2), (7, 0)]);
        assert_eq!(r.outcome.stop, StopReason::Finished);
        assert_eq!(r.outcome.cycle, Cycle(7)); // E-1
        assert_eq!(r.outcome.state.links[0], [0, 6, 0, 0, 0]);
    });
}

#[test]
fn does_the_cursor_stay_where_nobody_competes() {
    // the word that N sends alone moves nothing. When N and S meet, N is still the first in key order.
    let image = crossing(&[Port::North, Port::South]).finish();
    let north = [host_words(1, 0), host_words(1, 4)].concat();
    let script = HostScript { ports: vec![north, host_words(1, 4)] };
    on_all(&image, &script, |r| assert_eq!(arrivals(r), [(2, 0), (6, 0), (7, 1)]));
}

/// One tile; each color comes in from the host through a port and leaves through others.
fn colors(routes: &[(Port, &[Port])]) -> WaferImage {
    let mut w = WaferBuilder::new(near(1, 1));
    for (color, &(rx, tx)) in routes.iter().enumerate() {
        w.route(0, color as u8, rx, tx);
        w.host_in(0, rx, color as u8);
        for &port in tx {
            w.host_out(0, port, color as u8);
        }
    }
    w.finish()
}

#[test]
fn does_a_held_up_candidate_reserve_its_outputs() {
    use Port::{East, North, South, West};
    let script = HostScript { ports: vec![host_words(2, 0), host_words(1, 0), host_words(1, 0)] };
    // the wide one is last in key order, and holds nobody up. Keys: (N, c0), (N, c2),
    // (S, c1). At 1: c0 and c2 fire, c1 reserves. The cursor is after (N, c0): at 2, c2 has gone,
    // (S, c1) comes first and fires; then c0 again.
    let image = colors(&[(North, &[East]), (South, &[East, West]), (North, &[West])]);
    // Host ports out: 0 is c0 East, 1 is c1 East, 2 is c1 West, 3 is c2 West.
    on_all(&image, &script, |r| {
        assert_eq!(arrivals(r), [(2, 0), (2, 3), (3, 1), (3, 2), (4, 0)]);
    });
    // The wide one between the two: at 1, c0 fires, c1 reserves East and West, so that c2 waits,
    // although West is idle, and reserves it too. At 2, from (N, c1) on: c1 fires, c2 and c0
    // reserve. At 3: c2, c0.
    let image = colors(&[(North, &[East]), (North, &[East, West]), (South, &[West])]);
    on_all(&image, &script, |r| {
        assert_eq!(arrivals(r), [(2, 0), (3, 1), (3, 2), (4, 0), (4, 3)]);
    });
}

#[test]
fn does_a_candidate_without_a_slot_reserve_nothing() {
    // c0 is blocked by a full queue behind the East link; c1 on the same link goes on.
    let mut m = near(2, 1);
    m.fabric.queue_depth = 1;
    let mut w = WaferBuilder::new(m);
    // c0 ends at a router position that never takes it: it waits behind a switch.
    w.route(0, 0, Port::North, &[Port::East]);
    let positions = vec![
        Position { rx: Port::South, tx: Ports::one(Port::East) },
        Position { rx: Port::West, tx: Ports::one(Port::East) },
    ];
    w.switched(1, 0, positions);
    w.route(0, 1, Port::South, &[Port::East]);
    w.route(1, 1, Port::West, &[Port::East]);
    w.host_in(0, Port::North, 0);
    w.host_in(0, Port::South, 1);
    w.host_out(1, Port::East, 0);
    w.host_out(1, Port::East, 1);
    let script = HostScript { ports: vec![host_words(3, 0), host_words(3, 0)] };
    on_all(&w.finish(), &script, |r| {
        // c1 shares the link with the first c0 at 1, then has it alone; its depth of 1 lets a
        // word through every hop + credit = 2 cycles. F-1.
        assert_eq!(arrivals(r), [(4, 1), (6, 1), (8, 1)]);
        let heads = |pe, port, words| head(pe, port, words, 0);
        let StopReason::Deadlock { waits, heads: left } = &r.outcome.stop else {
            panic!("{:?}", r.outcome.stop)
        };
        assert!(waits.is_empty());
        assert_eq!(left, &[heads(0, Port::North, 1), heads(1, Port::West, 1)]); // E-2
    });
}

#[test]
fn does_a_switch_turn_in_the_cycle_after_the_control_wavelet() {
    // S-2, S-3: control fires at 2; North's word, there since 1, at 3; West's last one never.
    let mut w = WaferBuilder::new(near(1, 1));
    let from = |rx| Position { rx, tx: Ports::one(Port::East) };
    w.switched(0, 0, vec![from(Port::West), from(Port::North)]);
    w.host_in(0, Port::West, 0);
    w.host_in(0, Port::North, 0);
    w.host_out(0, Port::East, 0);
    let (word, control) = (host_words(1, 0)[0], control_word(0, 0xabcd_9401));
    let script = HostScript { ports: vec![vec![word, control, word], vec![word]] };
    on_all(&w.finish(), &script, |r| {
        let seen: Vec<_> = r.received.iter().map(|&(t, _, w)| (t.0, w)).collect();
        assert_eq!(seen, [(2, 0), (3, 0xabcd_a500), (4, 0)]);
        let heads = vec![head(0, Port::West, 1, 1)];
        let waits = Vec::new();
        assert_eq!(r.outcome.stop, StopReason::Deadlock { waits, heads });
    });
}

#[test]
fn does_the_first_wavelet_of_a_bend_wait() {
    // L-2, turn 3: arrivals 1, 2, 3, 9, 21. The fourth finds the bend still warm (6 + 3 >= 9).
    for (out, want) in [(Port::South, [5, 6, 7, 10, 25]), (Port::East, [2, 3, 4, 10, 22])] {
        let mut m = near(1, 1);
        m.fabric.turn_cycles = 3;
        let mut w = WaferBuilder::new(m);
        w.route(0, 0, Port::West, &[out]);
        w.host_in(0, Port::West, 0);
        w.host_out(0, out, 0);
        let cycles = [0, 0, 0, 8, 20];
        let script =
            HostScript { ports: vec![cycles.iter().map(|&c| host_words(1, c)[0]).collect()] };
        on_all(&w.finish(), &script, |r| {
            let seen: Vec<_> = r.received.iter().map(|&(t, _, _)| t.0).collect();
            assert_eq!(seen, want);
        });
    }
}

#[test]
fn does_the_host_port_keep_the_rate_and_the_latency() {
    // H-1, H-2: rate 2, latency 3 cycles at 1 GHz: departures 0, 2, 4; fired one hop later.
    let mut m = near(1, 1);
    m.fabric.link_cycles = ratio(2, 1);
    (m.clock_hz, m.host.latency_ns) = (1_000_000_000, 3);
    let mut w = WaferBuilder::new(m);
    w.route(0, 0, Port::West, &[Port::East]);
    w.host_in(0, Port::West, 0);
    w.host_out(0, Port::East, 0);
    let script = HostScript { ports: vec![host_words(3, 0)] };
    on_all(&w.finish(), &script, |r| {
        assert_eq!(arrivals(r), [(5, 0), (7, 0), (9, 0)]);
    });
}

#[test]
fn does_everything_on_the_way_fill_up_to_its_capacity() {
    // F-2 to F-5: output queue 8, up 4 + 2, mesh 4, down 8 + 2.
    let mut w = WaferBuilder::new(sdk(2, 1));
    w.path(3, &[0, 1]);
    sender(&mut w, 0, 3, 100);
    w.program(1).bind_in(3);
    w.program(1).main(&[Instr::End]);
    on_all(&w.finish(), &none(), |r| {
        assert_eq!(r.outcome.state.pes[0].wavelets_out, 8 + 6 + 4 + 10);
        assert_eq!(r.outcome.state.links[1][Port::Ramp.index()], 10);
        assert!(matches!(r.outcome.stop, StopReason::Deadlock { .. }));
    });
}

#[test]
fn does_a_long_silence_change_nothing_but_the_time() {
    // T-1: what the second burst does does not depend on how long ago the first one was.
    let image = crossing(&[Port::West, Port::North, Port::South]).finish();
    let begin = 1u64 << 34;
    let ports = [0, 1, 2].map(|_| [host_words(2, 0), host_words(2, begin)].concat());
    let script = HostScript { ports: ports.to_vec() };
    let limit = Cycle(1 << 35);
    on_all_until(&image, &script, limit, None, |r| {
        let seen = arrivals(r);
        let (first, second) = seen.split_at(6);
        let cycles = |part: &[(u64, usize)]| part.iter().map(|a| a.0).collect::<Vec<_>>();
        assert_eq!(cycles(first), [2, 3, 4, 5, 6, 7]);
        assert_eq!(cycles(second), [2, 3, 4, 5, 6, 7].map(|t| begin + t));
        assert_eq!(r.outcome.stop, StopReason::Finished);
    });
}
