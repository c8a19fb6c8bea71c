//! Does the checker of conservation find what is wrong with a run? Each test forges the record of a
//! sound one.

use fabric::Port;
use pe_isa::{
    Cycle, Cycles, DType, InQueue, Instr, OnDone, Operand, OutQueue, Ratio, Thread, VecOp, Vector,
};
use sim_core::testing::build::{ProgramBuilder, WaferBuilder, machine};
use sim_core::testing::{Case, Record, conserve, engine};
use sim_core::{Event, HostScript, HostWavelet, StopReason, What};

/// The host sends twelve words to PE 1 and, through it, back to the host; PE 0 sends eight to PE 1.
fn case() -> Case {
    let mut m = machine("wse3-sdk", 3, 1);
    m.fabric.link_cycles = Ratio::new(9, 8).expect("9/8 is a ratio");
    m.host.latency_ns = 0;
    let mut w = WaferBuilder::new(m);
    w.host_in(0, Port::West, 0);
    w.route(0, 0, Port::West, &[Port::East]);
    w.route(1, 0, Port::West, &[Port::East, Port::Ramp]);
    w.route(2, 0, Port::West, &[Port::East]);
    w.host_out(2, Port::East, 0);
    w.path(1, &[0, 1]);
    let f32 = DType::F32;
    let p: &mut ProgramBuilder = w.program(0);
    let queue: OutQueue = p.bind_out(1);
    let words = (0..8u32).map(|n| (100 + n) as f32);
    let words = words.map(f32::to_bits).collect();
    p.data.push(fabric::Segment { address: 0, words });
    let memory = p.mem(0, &[1], f32);
    let send = p.vector(VecOp::Mov, 8, Operand::FabOut(queue, f32), memory, Operand::None);
    p.main(&[send, Instr::End]);
    let p = w.program(1);
    let queues: [InQueue; 2] = [p.bind_in(0), p.bind_in(1)];
    let take = |p: &mut ProgramBuilder, queue, n| {
        let memory = p.mem(0, &[1], f32);
        p.vector(VecOp::Mov, n, memory, Operand::FabIn(queue, f32), Operand::None)
    };
    let [host, other] = [take(p, queues[0], 12), take(p, queues[1], 8)];
    let Instr::Vector(host) = host else { unreachable!("a vector operation") };
    let thread = Thread::Micro(0, OnDone::Nothing);
    p.main(&[Instr::Vector(Vector { thread, ..host }), other, Instr::End]);
    let word = |n| HostWavelet { cycle: Cycle(n), payload: n as u32, control: false };
    let script = HostScript { ports: vec![(0..12).map(word).collect()] };
    Case { image: w.finish(), script, replies: Vec::new(), stop_after: None, limit: Cycle(10_000) }
}

/// What the checker says of a record that `forge` has changed.
fn found(forge: impl FnOnce(&mut Record)) -> String {
    let case = case();
    let mut record = case.run(engine);
    assert_eq!(record.outcome.stop, StopReason::Finished);
    assert_eq!(conserve::violations(&case, &record), Vec::<String>::new(), "the run is sound");
    forge(&mut record);
    record.events.sort_unstable();
    conserve::violations(&case, &record).join("\n")
}

fn assert_found(forge: impl FnOnce(&mut Record), words: &[&str]) {
    let found = found(forge);
    for part in words {
        assert!(found.contains(part), "no `{part}` in:\n{found}");
    }
}

/// The places of the events of a tile that `is` picks.
fn places(record: &Record, tile: u32, is: fn(&What) -> bool) -> Vec<usize> {
    let events = record.events.iter().enumerate();
    let picked = events.filter(|(_, e)| e.tile.0 == tile && is(&e.what));
    let places: Vec<usize> = picked.map(|(at, _)| at).collect();
    assert!(places.len() > 3, "there are such events");
    places
}

/// Color 0 leaves a router; what the host sent is taken; a word rises to the router; a step is taken.
fn fires(what: &What) -> bool {
    matches!(what, What::Fire { wavelet, .. } if wavelet.color.0 == 0)
}

fn takes(what: &What) -> bool {
    matches!(what, What::Take { wavelet } if wavelet.color.0 == 0)
}

fn rises(what: &What) -> bool {
    matches!(what, What::Rise { .. })
}

fn steps(what: &What) -> bool {
    matches!(what, What::Step { .. })
}

#[test]
fn is_a_lost_wavelet_missed_where_it_was_and_where_it_should_be() {
    let lose = |record: &mut Record| {
        let at = places(record, 1, fires)[4];
        record.events.remove(at);
    };
    let words = [
        "router 1, port W, color 0: 0x5 overtakes 1 before it",
        "router 2, port W, color 0: 0x4 leaves and never came; the head is 0x5",
        "input queue of PE 1, color 0: 0x4 leaves and never came",
        "left in FIFOs",
        "tile 1: seen",
    ];
    assert_found(lose, &words);
}

#[test]
fn is_a_wavelet_that_stays_behind_told_from_a_finished_run() {
    let lose = |record: &mut Record| {
        let at = *places(record, 1, takes).last().expect("one");
        record.events.remove(at);
    };
    assert_found(lose, &["left in FIFOs: [(Input(PeIdx(1), Color(0)), 1,"]);
}

#[test]
fn does_a_doubled_wavelet_upset_the_balance_of_its_color() {
    let double = |record: &mut Record| {
        let at = *places(record, 1, takes).last().expect("one");
        let again = record.events[at];
        record.events.push(Event { cycle: again.cycle + Cycles(1), ..again });
    };
    let words = [
        "input queue of PE 1, color 0: a wavelet leaves and gives a credit where no slot was claimed",
        "color 0: 12 injected and 12 copies, but 25 delivered and 0 resident",
    ];
    assert_found(double, &words);
}

#[test]
fn are_two_wavelets_seen_that_changed_places_on_a_link() {
    let swap = |record: &mut Record| {
        let at = places(record, 2, fires);
        let (one, other) = (record.events[at[2]].what, record.events[at[3]].what);
        (record.events[at[2]].what, record.events[at[3]].what) = (other, one);
    };
    assert_found(
        swap,
        &["router 2, port W, color 0: 0x3 overtakes 1 before it", "sent to the host"],
    );
}

#[test]
fn is_a_credit_too_many_found() {
    let again = |record: &mut Record| {
        let at = *places(record, 0, rises).last().expect("one");
        let last = record.events[at];
        record.events.push(Event { cycle: last.cycle + Cycles(9), ..last });
    };
    let words =
        ["output queue of PE 0, color 1: a wavelet leaves and gives a credit where no slot"];
    assert_found(again, &words);
}

#[test]
fn is_a_queue_found_that_holds_more_than_its_slots() {
    // Eight and two in the input queue; all are taken a hundred cycles late.
    let late = |record: &mut Record| {
        for at in places(record, 1, takes) {
            record.events[at].cycle += Cycles(100);
        }
    };
    assert_found(late, &["input queue of PE 1, color 0: slot 11 of 10 is claimed"]);
}

#[test]
fn is_a_wavelet_found_that_leaves_before_it_is_there() {
    let early = |record: &mut Record| {
        let at = places(record, 2, fires)[0];
        record.events[at].cycle = Cycle(record.events[at].cycle.0 - 1);
    };
    assert_found(early, &["router 2, port W, color 0: a wavelet leaves that is there from cycle"]);
}

#[test]
fn are_departures_found_that_are_faster_than_the_link() {
    // Nine in nine cycles, of which the rate allows eight.
    let hurry = |record: &mut Record| {
        let at = places(record, 2, fires);
        for (n, &place) in at.iter().enumerate().skip(1) {
            record.events[place].cycle = record.events[at[0]].cycle + Cycles(n as u64);
        }
    };
    assert_found(hurry, &["router 2, output E: 9 departures in 9 cycles, the rate allows 8"]);
    let at_once = |record: &mut Record| {
        let at = places(record, 2, fires);
        record.events[at[3]].cycle = record.events[at[2]].cycle;
    };
    assert_found(at_once, &["router 2, output E: two departures in one cycle"]);
}

#[test]
fn is_a_cycle_found_that_counts_twice_or_not_at_all() {
    let twice = |record: &mut Record| record.outcome.state.pes[1].cycles.waiting_input += 1;
    assert_found(twice, &["PE 1: ", " cycles accounted for, of "]);
    let missing = |record: &mut Record| record.outcome.state.pes[0].cycles.idle -= 1;
    assert_found(missing, &["PE 0: ", " cycles accounted for, of "]);
    let moved = |record: &mut Record| {
        record.outcome.state.pes[0].cycles.working -= 1;
        record.outcome.state.pes[0].cycles.launching += 1;
    };
    assert_found(moved, &["PE 0: steps held 10 cycles, 9 count as working"]);
    let idle = |record: &mut Record| record.outcome.state.pes[2].cycles.idle += 1;
    assert_found(idle, &["PE 2: 1 cycles accounted for, of 0"]);
}

#[test]
fn are_steps_found_that_share_a_cycle() {
    let longer = |record: &mut Record| {
        let at = places(record, 0, steps)[3];
        record.events[at].what = What::Step { cycles: 2 };
    };
    assert_found(
        longer,
        &["PE 0: a step begins while another one holds the datapath", "tile 0: seen 11"],
    );
}

#[test]
fn is_a_wavelet_found_that_takes_another_way_or_changes() {
    let astray = |record: &mut Record| {
        let at = places(record, 0, fires)[2];
        if let What::Fire { to, .. } = &mut record.events[at].what {
            *to = [Port::Ramp].into_iter().collect();
        }
    };
    assert_found(
        astray,
        &["router 0, port W, color 0: goes to R, as no position of the route does"],
    );
    let changed = |record: &mut Record| {
        let at = places(record, 1, fires)[2];
        if let What::Fire { wavelet, .. } = &mut record.events[at].what {
            wavelet.payload ^= 1 << 9;
        }
    };
    assert_found(
        changed,
        &["router 1, port W, color 0: 0x202 leaves and never came; the head is 0x2"],
    );
}

#[test]
fn is_the_host_found_to_receive_or_send_what_it_should_not() {
    let twice = |record: &mut Record| {
        let last = *record.received.last().expect("one");
        record.received.push(last);
    };
    assert_found(twice, &["sent to the host"]);
    let early = |record: &mut Record| record.received[0].0 = Cycle(0);
    assert_found(early, &["sent to the host"]);
    let other = |record: &mut Record| {
        let enters = |what: &What| matches!(what, What::Enter { .. });
        let at = places(record, 0, enters)[2];
        record.events.remove(at);
    };
    assert_found(other, &["the host sends what its script does not say"]);
}
