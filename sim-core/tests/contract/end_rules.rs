//! How runs end: rules E and H-3.

use crate::harness::*;
use fabric::{PeIdx, Port};
use pe_isa::{AluOp, Color, Cycle, Instr, OnDone, Reg, Src, TaskKind};
use sim_core::testing::build::WaferBuilder;
use sim_core::{HostScript, StopReason, Wait, WaitFor};

fn wait(
    pe: u32,
    microthread: Option<u8>,
    instruction: u16,
    waits_for: WaitFor,
    since: u64,
) -> Wait {
    Wait { pe: PeIdx(pe), microthread, instruction, waits_for, since: Cycle(since) }
}

fn deadlock(waits: Vec<Wait>) -> StopReason {
    let heads = Vec::new();
    StopReason::Deadlock { waits, heads }
}

#[test]
fn does_an_empty_wafer_finish_at_once() {
    let image = WaferBuilder::new(sdk(2, 2)).finish();
    on_all(&image, &none(), |r| {
        let end = (&r.outcome.stop, r.outcome.cycle.0);
        assert_eq!(end, (&StopReason::Finished, 0)); // E-1
    });
}

#[test]
fn does_a_deadlock_say_who_waits_for_what_since_when() {
    // E-2: two of three words come, the last taken at 17.
    let mut w = WaferBuilder::new(sdk(2, 1));
    w.path(3, &[0, 1]);
    sender(&mut w, 0, 3, 2);
    receiver(&mut w, 1, 3, 3);
    on_all(&w.finish(), &none(), |r| {
        let waits = vec![wait(1, None, 0, WaitFor::Input(Color(3)), 18)];
        assert_eq!(r.outcome.stop, deadlock(waits));
        assert_eq!(r.outcome.cycle, Cycle(18));
    });
}

#[test]
fn does_a_second_operation_wait_for_its_microthread() {
    // E-2, P-4: issued at 5; its first step could have been taken at 9.
    let mut w = WaferBuilder::new(sdk(2, 1));
    w.path(3, &[0, 1]);
    let p = w.program(1);
    let queue = p.bind_in(3);
    let recv = micro(recv(p, queue, 1), 2, OnDone::Nothing);
    p.main(&[recv, recv, Instr::End]);
    w.program(0).bind_out(3);
    on_all(&w.finish(), &none(), |r| {
        let waits = vec![
            wait(1, None, 1, WaitFor::Microthread(2), 6),
            wait(1, Some(2), 0, WaitFor::Input(Color(3)), 9),
        ];
        assert_eq!(r.outcome.stop, deadlock(waits));
        assert_eq!(r.outcome.cycle, Cycle(6)); // E-1
    });
}

#[test]
fn does_the_host_end_the_run_before_anything_of_that_cycle() {
    // H-3, E-4: the third wavelet comes at 4; the router fired at 1, 2, 3.
    let image = crossing(&[Port::West, Port::North]).finish();
    let script = HostScript { ports: vec![host_words(4, 0), host_words(4, 0)] };
    for limit in [4, 1000] {
        on_all_until(&image, &script, Cycle(limit), Some(3), |r| {
            assert_eq!(r.outcome.stop, StopReason::Host);
            assert_eq!(r.outcome.cycle, Cycle(4));
            assert_eq!(r.received.len(), 3);
            assert_eq!(r.outcome.state.links[0], [0, 3, 0, 0, 0]);
        });
    }
}

#[test]
fn is_activity_that_ends_at_the_limit_cut_off() {
    // E-3, E-4: the last of three wavelets reaches the host at 4.
    let image = crossing(&[Port::West]).finish();
    let script = HostScript { ports: vec![host_words(3, 0)] };
    let ends = [
        (3, StopReason::CycleLimit, 3, 2),
        (4, StopReason::CycleLimit, 4, 3),
        (5, StopReason::Finished, 4, 3),
    ];
    for (limit, stop, cycle, received) in ends {
        on_all_until(&image, &script, Cycle(limit), None, |r| {
            assert_eq!((&r.outcome.stop, r.outcome.cycle.0), (&stop, cycle));
            assert_eq!(r.received.len(), received, "limit {limit}");
        });
    }
}

#[test]
fn is_a_run_over_when_nothing_can_happen_even_after_the_limit() {
    // E-3: the data task ends at 9; that no launch may happen before 34 changes nothing. But a
    // wavelet of the host that is still to come does.
    let mut w = WaferBuilder::new(near(1, 1));
    w.route(0, 0, Port::West, &[Port::Ramp]);
    w.host_in(0, Port::West, 0);
    let p = w.program(0);
    let kind = TaskKind::Data(p.bind_in(0), Reg(5));
    p.task(kind, 0, &[Instr::End]);
    let image = w.finish();
    for (late, stop, cycle) in
        [(None, StopReason::Finished, 9), (Some(500), StopReason::CycleLimit, 10)]
    {
        let mut words = host_words(1, 0);
        words.extend(late.map(|cycle| host_words(1, cycle)[0]));
        let script = HostScript { ports: vec![words] };
        on_all_until(&image, &script, Cycle(10), None, |r| {
            assert_eq!((&r.outcome.stop, r.outcome.cycle.0), (&stop, cycle));
        });
    }
}

#[test]
fn does_an_endless_loop_stop_at_the_limit() {
    let mut w = WaferBuilder::new(sdk(1, 1));
    w.program(0).main(&[BEGIN, Instr::Jump { target: 0 }]);
    on_all_until(&w.finish(), &none(), Cycle(41), None, |r| {
        assert_eq!((&r.outcome.stop, r.outcome.cycle.0), (&StopReason::CycleLimit, 41));
        // Passed every 6 cycles; not at 41, the limit (P-3).
        assert_eq!(marks(r, 0, 1), [5, 11, 17, 23, 29, 35]);
    });
}

#[test]
fn is_a_wavelet_that_comes_long_after_the_limit_still_to_come() {
    // E-3: the PE takes one word of two and ends; the other one stays in its queue.
    let mut w = WaferBuilder::new(near(1, 1));
    w.route(0, 0, Port::West, &[Port::Ramp]);
    w.host_in(0, Port::West, 0);
    let p = w.program(0);
    let queue = p.bind_in(0);
    let recv = recv(p, queue, 1);
    p.main(&[recv, Instr::End]);
    let image = w.finish();
    for late in [1 << 31, 1 << 32, 1 << 60] {
        let words = [host_words(1, 0), host_words(1, late)].concat();
        let script = HostScript { ports: vec![words] };
        on_all_until(&image, &script, Cycle(1 << 20), None, |r| {
            assert_eq!((&r.outcome.stop, r.outcome.cycle.0), (&StopReason::CycleLimit, 1 << 20));
        });
        on_all_until(&image, &script, Cycle(u64::MAX), None, |r| {
            assert!(matches!(r.outcome.stop, StopReason::Deadlock { .. }), "{:?}", r.outcome.stop);
            assert_eq!(r.outcome.cycle.0, late + 3); // E-1: a hop and a ramp
        });
    }
}

#[test]
fn does_a_run_that_stops_between_plain_instructions_have_done_those_before() {
    // Launch in 0 … 4; 20 additions from 5 on, one a cycle, of which the limit lets the first few begin. A control
    // wavelet is discarded meanwhile (P-7).
    let mut w = WaferBuilder::new(near(1, 1));
    w.route(0, 0, Port::West, &[Port::Ramp]);
    w.host_in(0, Port::West, 0);
    let p = w.program(0);
    p.bind_in(0);
    let add = Instr::Alu { op: AluOp::Add, rd: Reg(1), ra: Reg(1), b: Src::Imm(1) };
    p.main(&[vec![add; 4], vec![BEGIN], vec![add; 16], vec![Instr::End]].concat());
    let image = w.finish();
    let script = HostScript { ports: vec![vec![control_word(7, 0)]] };
    for limit in 0..25 {
        on_all_until(&image, &script, Cycle(limit), None, |r| {
            let done = limit.saturating_sub(5);
            let pe = &r.outcome.state.pes[0];
            assert_eq!((r.outcome.cycle.0, pe.instructions, pe.busy_cycles), (limit, done, done));
            assert_eq!(u64::from(r.outcome.state.regs[0][1]), done);
        });
    }
}

#[test]
fn are_plain_instructions_at_the_cycle_of_another_ones_trap_carried_out() {
    // P-8: both launch in 0 … 4. Tile 1 divides by zero at 7, where tile 0 does its third addition.
    let mut w = WaferBuilder::new(near(2, 1));
    let alu = |op, b| Instr::Alu { op, rd: Reg(1), ra: Reg(1), b: Src::Imm(b) };
    let add = alu(AluOp::Add, 1);
    w.program(0).main(&[vec![add; 9], vec![Instr::End]].concat());
    w.program(1).main(&[add, add, alu(AluOp::Div, 0), Instr::End]);
    on_all(&w.finish(), &none(), |r| {
        assert_eq!(r.outcome.cycle.0, 7);
        assert_eq!([0, 1].map(|pe| r.outcome.state.regs[pe][1]), [3, 2]);
    });
}
