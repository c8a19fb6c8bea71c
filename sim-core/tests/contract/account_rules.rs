//! Rules: where the cycles of a PE go.

use crate::harness::*;
use fabric::Port;
use pe_isa::{InQueue, Instr, OnDone, Operand, Reg, TaskKind, VecOp};
use sim_core::PeCycles;
use sim_core::testing::Record;
use sim_core::testing::build::{ProgramBuilder, WaferBuilder};

/// Working, launching, waiting for output, waiting for input, idle.
fn spent(record: &Record, pe: usize) -> [u64; 5] {
    let PeCycles { working, launching, waiting_output, waiting_input, idle } =
        record.outcome.state.pes[pe].cycles;
    let each = [working, launching, waiting_output, waiting_input, idle];
    assert_eq!(each.iter().sum::<u64>(), record.outcome.cycle.0, "X-4");
    each
}

#[test]
fn do_launch_and_dispatch_count_as_launching_and_an_empty_queue_as_waiting() {
    // Both launch in 0 … 4, issue at 5 and dispatch in 6 … 8. The word is made at 9, is at the
    // sender's router at 12, at the other at 14, in the queue at 16. `end` at 10 and at 17.
    let mut w = WaferBuilder::new(sdk(2, 1));
    w.path(0, &[0, 1]);
    sender(&mut w, 0, 0, 1);
    receiver(&mut w, 1, 0, 1);
    on_all(&w.finish(), &none(), |r| {
        assert_eq!(r.outcome.cycle.0, 18);
        assert_eq!(spent(r, 0), [3, 8, 0, 0, 7]);
        assert_eq!(spent(r, 1), [3, 8, 0, 7, 0]);
    });
}

#[test]
fn does_an_operation_without_elements_count_as_launching() {
    // Launch in 0 … 4, issue at 5, complete at 9, when `end` follows.
    let mut w = WaferBuilder::new(sdk(2, 1));
    w.path(0, &[0, 1]);
    receiver(&mut w, 1, 0, 0);
    on_all(&w.finish(), &none(), |r| assert_eq!(spent(r, 1), [2, 8, 0, 0, 0]));
}

#[test]
fn does_a_sender_behind_a_slow_link_wait_for_output() {
    // Word 0 is made at 9 and departs at 12, word n at 12 + 4n. Word 39 finds room in the output
    // queue (8 words) and the up FIFO (4 + 2) when word 25 has departed, two credits later: at 114.
    let mut m = sdk(2, 1);
    m.fabric.link_cycles = ratio(4, 1);
    assert_eq!((m.pe.output_queues[0], m.fabric.queue_depth, m.pe.ramp_cycles), (8, 4, 2));
    let mut w = WaferBuilder::new(m);
    w.path(0, &[0, 1]);
    sender(&mut w, 0, 0, 40);
    receiver(&mut w, 1, 0, 40);
    on_all(&w.finish(), &none(), |r| {
        let [working, launching, output, input, _] = spent(r, 0);
        assert_eq!([working, launching, output, input], [42, 8, 114 - 9 - 39, 0]);
        // The first of 40 words is here at 16, the last 156 cycles later.
        assert_eq!(spent(r, 1), [42, 8, 0, 16 + 156 - 9 - 39, 0]);
    });
}

#[test]
fn does_a_task_that_may_not_be_launched_yet_count_as_launching() {
    // K-3: launches at 3, 34 and 65; the words are there from 3, 4 and 5 on. `end` at 8, 39 and 70.
    let mut w = WaferBuilder::new(near(1, 1));
    w.image.machine.pe.data_task_cycles = 31;
    w.route(0, 0, Port::West, &[Port::Ramp]);
    w.host_in(0, Port::West, 0);
    let p: &mut ProgramBuilder = w.program(0);
    let queue: InQueue = p.bind_in(0);
    p.task(TaskKind::Data(queue, Reg(5)), 0, &[Instr::End]);
    let script = sim_core::HostScript { ports: vec![host_words(3, 0)] };
    on_all(&w.finish(), &script, |r| {
        assert_eq!(r.outcome.cycle.0, 71);
        assert_eq!(spent(r, 0), [3, 65, 0, 0, 3]);
    });
}

#[test]
fn does_a_step_that_outlives_the_run_count_up_to_the_stop() {
    // Launch in 0 … 4; a division from 5 on, which the limit cuts off.
    let mut m = sdk(1, 1);
    m.pe.cost.recip_cycles = 50;
    let mut w = WaferBuilder::new(m);
    let divide =
        Instr::Alu { op: pe_isa::AluOp::Div, rd: Reg(0), ra: Reg(0), b: pe_isa::Src::Imm(3) };
    w.program(0).main(&[divide, Instr::End]);
    on_all_until(&w.finish(), &none(), pe_isa::Cycle(20), None, |r| {
        assert_eq!(spent(r, 0), [15, 5, 0, 0, 0]);
        assert_eq!(r.outcome.state.pes[0].busy_cycles, 50, "X-1 counts the step in full");
    });
}

/// A PE that receives ten words in a microthread and launches a task that needs the same microthread for
/// one more; the words are there at `first`, `first` + 2, …. A mark has the PE visited when the launch is over.
fn launch_behind_a_microthread(first: u64) -> (fabric::WaferImage, sim_core::HostScript) {
    let mut w = WaferBuilder::new(near(1, 1));
    w.route(0, 0, Port::West, &[Port::Ramp]);
    w.host_in(0, Port::West, 0);
    let p = w.program(0);
    let queue = p.bind_in(0);
    let [ten, one] = [10, 1].map(|n| micro(recv(p, queue, n), 0, OnDone::Nothing));
    let after = p.task(TaskKind::Local, 0, &[Instr::Mark(1), one, Instr::End]);
    p.main(&[ten, Instr::Activate(after), Instr::End]);
    let words = (0..11).map(|n| host_words(1, first - 3 + 2 * n)[0]).collect();
    (w.finish(), sim_core::HostScript { ports: vec![words] })
}

#[test]
fn does_a_launch_count_between_the_steps_of_a_microthread() {
    // Issue at 5, `activate` at 6, `end` at 7, launch in 8 … 12, and then a wait for the microthread.
    // Its ten words are there at 10, 12, … 28, so 9 and 11 are launching, 13, 15, … 27 waiting. The
    // second operation is issued at 29 and dispatched in 31 and 32, `end` is taken at 30.
    let (image, script) = launch_behind_a_microthread(10);
    on_all(&image, &script, |r| {
        assert_eq!(r.outcome.cycle.0, 34);
        assert_eq!(spent(r, 0), [16, 10, 0, 8, 0]);
    });
}

#[test]
fn does_a_launch_count_when_nothing_else_happens_until_long_after_it() {
    // As above, with words at 30, 32, … 48: the launch is over at 13, the wait for the first word at 30.
    let (image, script) = launch_behind_a_microthread(30);
    on_all(&image, &script, |r| {
        assert_eq!(r.outcome.cycle.0, 54);
        assert_eq!(spent(r, 0), [16, 12, 0, 26, 0]);
    });
}

#[test]
fn does_a_wait_for_output_outlast_any_span_of_time() {
    // The first PE passes on what the host sends, from 9 on. Output queue (8), up FIFO (4 + 2), mesh FIFO (4) and input
    // queue (8 + 2) hold 28 words, until the second PE, which at late + 3 takes a word of the host's, takes the first of
    // them at late + 8: four credits later, at late + 12, word 28 has room. `end` at late + 24 and late + 48.
    let late = 3 << 31;
    let mut w = WaferBuilder::new(near(2, 1));
    w.route(0, 0, Port::West, &[Port::Ramp]);
    w.host_in(0, Port::West, 0);
    w.path(1, &[0, 1]);
    w.route(1, 2, Port::East, &[Port::Ramp]);
    w.host_in(1, Port::East, 2);
    let p = w.program(0);
    let (from, to) = (p.bind_in(0), p.bind_out(1));
    let (from, to) = (Operand::FabIn(from, F32), Operand::FabOut(to, F32));
    let pass = p.vector(VecOp::Mov, 40, to, from, Operand::None);
    p.main(&[pass, Instr::End]);
    let p = w.program(1);
    let (passed, start) = (p.bind_in(1), p.bind_in(2));
    let (first, then) = (recv(p, start, 1), recv(p, passed, 40));
    p.main(&[first, then, Instr::End]);
    let script = sim_core::HostScript { ports: vec![host_words(40, 0), host_words(1, late)] };
    let image = w.finish();
    on_all_until(&image, &script, pe_isa::Cycle(1 << 40), None, |r| {
        assert_eq!(r.outcome.cycle.0, late + 49);
        assert_eq!(spent(r, 0), [42, 8, (late + 12) - (9 + 28), 0, 24]);
        assert_eq!(spent(r, 1), [44, 11, 0, late + 49 - 44 - 11, 0]);
    });
}
