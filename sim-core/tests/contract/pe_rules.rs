//! Datapath, threads, tasks, costs: rules P, K, C.

use crate::harness::*;
use fabric::{Machine, PeIdx, Port};
use pe_isa::{
    AluOp, Cond, DType, Fault, InQueue, Instr, OnDone, Operand, Reg, Size, Src, TaskKind, Thread,
    VecOp, Vector,
};
use sim_core::testing::Record;
use sim_core::testing::build::{ProgramBuilder, WaferBuilder};
use sim_core::{HostScript, HostWavelet, StopReason};

/// One PE whose main task is `code`; the first instruction is ready at 5.
fn alone(code: impl Fn(&mut ProgramBuilder) -> Vec<Instr>, check: impl Fn(&Record)) {
    let mut w = WaferBuilder::new(sdk(1, 1));
    let p = w.program(0);
    let code = code(p);
    p.main(&code);
    on_all(&w.finish(), &none(), check);
}

/// One PE that the host sends words to on color 0, from 0 on; the first is there at 1 + 2.
fn fed(
    machine: Machine,
    words: Vec<HostWavelet>,
    program: impl Fn(&mut ProgramBuilder, InQueue),
    check: impl Fn(&Record),
) {
    let mut w = WaferBuilder::new(machine);
    w.route(0, 0, Port::West, &[Port::Ramp]);
    w.host_in(0, Port::West, 0);
    let p = w.program(0);
    let queue = p.bind_in(0);
    program(p, queue);
    let script = HostScript { ports: vec![words] };
    on_all(&w.finish(), &script, check);
}

fn li(rd: u8, imm: u32) -> Instr {
    Instr::Li { rd: Reg(rd), imm }
}

#[test]
fn do_threads_take_turns_at_the_datapath() {
    // P-2, P-6, K-1: issue at 5, then microthread at 6, 8, 10, 12 and main at 7, 9, 11, 13.
    let mut m = sdk(2, 1);
    m.pe.dispatch_cycles = 1;
    let mut w = WaferBuilder::new(m);
    w.path(0, &[0, 1]);
    receiver(&mut w, 1, 0, 4);
    let p = w.program(0);
    let queue = p.bind_out(0);
    let after = p.task(TaskKind::Local, 0, &[Instr::Mark(3), Instr::End]);
    let send = micro(send(p, queue, 4), 0, OnDone::Activate(after));
    let (a, b, c) = (li(0, 1), li(1, 1), li(2, 1));
    p.main(&[BEGIN, send, a, b, c, DONE, Instr::End]);
    on_all(&w.finish(), &none(), |r| {
        assert_eq!(mark(r, 0, 1), 5);
        assert_eq!(mark(r, 0, 2), 12);
        // `end` at 13 frees the thread at 14; the task, activated at 13, begins 5 later.
        assert_eq!(mark(r, 0, 3), 19);
        let pe = &r.outcome.state.pes[0];
        assert_eq!((pe.instructions, pe.fabric_steps), (6, 4));
        assert_eq!((pe.busy_cycles, pe.launches), (10, 2));
    });
}

#[test]
fn is_an_operation_without_elements_complete_when_it_could_begin() {
    // P-6: dispatch 5.
    let mut w = WaferBuilder::new(sdk(2, 1));
    w.path(0, &[0, 1]);
    receiver(&mut w, 1, 0, 0);
    sender(&mut w, 0, 0, 0);
    on_all(&w.finish(), &none(), |r| {
        assert_eq!((mark(r, 0, 1), mark(r, 0, 2)), (5, 9));
        assert_eq!((r.outcome.cycle.0, &r.outcome.stop), (10, &StopReason::Finished));
    });
}

#[test]
fn are_data_tasks_launched_no_closer_than_their_cycles() {
    // K-3, K-4: first launch at 3, its first instruction 5 later, `end` 1.
    for (cycles, want) in [(31, [8, 39, 70]), (1, [8, 14, 20])] {
        let mut m = near(1, 1);
        m.pe.data_task_cycles = cycles;
        let program = |p: &mut ProgramBuilder, queue: InQueue| {
            let kind = TaskKind::Data(queue, Reg(5));
            p.task(kind, 0, &[Instr::Mark(7), Instr::End]);
        };
        fed(m, host_words(3, 0), program, |r| {
            assert_eq!(marks(r, 0, 7), want);
            assert_eq!(r.outcome.cycle.0, want[2] + 1);
            assert_eq!(r.outcome.state.regs[0][5], 2);
            let pe = &r.outcome.state.pes[0];
            assert_eq!((pe.launches, pe.wavelets_in, pe.busy_cycles), (3, 3, 3));
        });
    }
}

#[test]
fn is_a_control_wavelet_without_a_task_discarded_in_a_cycle() {
    // P-7: data, control, control, data wait; taken at +4, +5, +6, +7.
    let (word, control) = (host_words(1, 0)[0], control_word(0, 0));
    let words = vec![word, control, control, word];
    let program = |p: &mut ProgramBuilder, queue: InQueue| {
        let mut code: Vec<Instr> = (0..20).map(|n| li(0, n)).collect();
        code.extend([BEGIN, recv(p, queue, 2), DONE, Instr::End]);
        p.main(&code);
    };
    fed(near(1, 1), words, program, |r| {
        assert_eq!((mark(r, 0, 1), mark(r, 0, 2)), (25, 33));
        assert_eq!(r.outcome.state.pes[0].wavelets_in, 4);
    });
}

#[test]
fn does_a_control_wavelet_wait_for_its_task() {
    // P-7, K-2: there at 3; the main task ends at 11, then the control task runs.
    let words = vec![control_word(0, 0xc0de), host_words(1, 0)[0]];
    let program = |p: &mut ProgramBuilder, queue: InQueue| {
        let kind = TaskKind::Control(queue, Reg(5));
        p.task(kind, 0, &[Instr::Mark(7), Instr::End]);
        let data = TaskKind::Data(queue, Reg(6));
        p.task(data, 0, &[Instr::Mark(8), Instr::End]);
        let code: Vec<Instr> = (0..5).map(|n| li(0, n)).chain([Instr::End]).collect();
        p.main(&code);
    };
    fed(near(1, 1), words, program, |r| {
        assert_eq!((mark(r, 0, 7), mark(r, 0, 8)), (16, 22));
        assert_eq!(r.outcome.state.regs[0][5], 0xc0de);
    });
}

#[test]
fn is_a_control_task_launched_while_a_microthread_holds_the_datapath() {
    // K-1, K-3: steps of 20 cycles at 9 and 29; the control wavelet is there at 38, the first instruction at 43.
    let mut words: Vec<_> = (0..2).flat_map(|_| host_words(1, 0)).collect();
    words.push(control_word(35, 0));
    let program = |p: &mut ProgramBuilder, queue: InQueue| {
        let to = p.mem(0, &[1], F32);
        let exp = p.vector(VecOp::Exp, 4, to, Operand::FabIn(queue, F32), Operand::None);
        p.task(TaskKind::Control(queue, Reg(5)), 0, &[Instr::Mark(7), Instr::End]);
        p.main(&[micro(exp, 0, OnDone::Nothing), Instr::End]);
    };
    fed(near(1, 1), words, program, |r| assert_eq!(mark(r, 0, 7), 43));
}

#[test]
fn does_a_step_in_the_cycle_of_a_launch_see_the_old_register() {
    // K-3: a microthread sends r5 at 6, 8, 9, 10 (`end` takes 7); the launch at 8 writes r5.
    let mut m = near(1, 1);
    m.pe.dispatch_cycles = 1;
    let mut w = WaferBuilder::new(m);
    w.route(0, 0, Port::West, &[Port::Ramp]);
    w.route(0, 1, Port::Ramp, &[Port::East]);
    w.host_in(0, Port::West, 0);
    w.host_out(0, Port::East, 1);
    let p = w.program(0);
    let (input, output) = (p.bind_in(0), p.bind_out(1));
    p.task(TaskKind::Data(input, Reg(5)), 0, &[Instr::End]);
    let from = Operand::Reg(Reg(5), DType::U32);
    let to = Operand::FabOut(output, DType::U32);
    let send = p.vector(VecOp::Mov, 4, to, from, Operand::None);
    p.main(&[micro(send, 0, OnDone::Nothing), Instr::End]);
    let word = HostWavelet { payload: 77, ..host_words(1, 0)[0] };
    let script = HostScript { ports: vec![vec![word]] };
    on_all(&w.finish(), &script, |r| {
        let seen: Vec<u32> = r.received.iter().map(|&(_, _, payload)| payload).collect();
        assert_eq!(seen, [0, 0, 77, 77]);
    });
}

#[test]
fn do_effects_of_the_main_thread_come_before_those_of_microthreads() {
    // K-5: issued at 5, the empty operation unblocks at 9; `block`, taken at 8, is visible at 9 too.
    // `end` at 9 frees the thread at 10. Taken at 9, the block comes after the unblock, and holds.
    for (scalars, want) in [(2, vec![15]), (3, vec![])] {
        let mut w = WaferBuilder::new(near(1, 1));
        w.route(0, 0, Port::West, &[Port::Ramp]);
        w.host_in(0, Port::West, 0);
        let p = w.program(0);
        let queue = p.bind_in(0);
        let after = p.main(&[Instr::Mark(7), Instr::End]);
        p.task_mut(after).priority = 1;
        let empty = recv(p, queue, 0);
        let mut code = vec![micro(empty, 0, OnDone::Unblock(after))];
        code.extend((0..scalars).map(|n| li(0, n)));
        code.extend([Instr::Block(after), Instr::End]);
        p.main(&code);
        on_all(&w.finish(), &none(), |r| {
            assert_eq!(marks(r, 0, 7), want);
            assert_eq!(r.outcome.stop, StopReason::Finished);
        });
    }
}

#[test]
fn are_ready_tasks_picked_by_priority_then_index() {
    // K-1: launched at 0, 6, 12.
    let mut w = WaferBuilder::new(sdk(1, 1));
    for (label, priority) in [(10, 2), (11, 1), (12, 1)] {
        let p = w.program(0);
        let task = p.main(&[Instr::Mark(label), Instr::End]);
        p.task_mut(task).priority = priority;
    }
    on_all(&w.finish(), &none(), |r| {
        let at = |label| mark(r, 0, label);
        assert_eq!((at(11), at(12), at(10)), (5, 11, 17));
    });
}

#[test]
fn do_branches_and_scalars_take_their_cycles() {
    // P-3: li 1; alu 1 and branch 6; alu 1 and branch 3.
    let code = |_: &mut ProgramBuilder| {
        let (op, rd, b) = (AluOp::Sub, Reg(0), Src::Imm(1));
        let count = Instr::Alu { op, rd, ra: rd, b };
        let branch = Instr::Branch { cond: Cond::Ne, ra: rd, b: Src::Imm(0), target: 2 };
        vec![BEGIN, li(0, 2), count, branch, DONE, Instr::End]
    };
    alone(code, |r| assert_eq!((mark(r, 0, 1), mark(r, 0, 2)), (5, 17)));
}

#[test]
fn does_a_memory_operation_pay_setup_ports_and_rows() {
    // C-1, C-2: 1 + max(30 / 4, 120 / 16, 60 / 8) + 2 x 9.
    let map = |p: &mut ProgramBuilder| {
        let shape = p.shape(&[Size::Imm(3), Size::Imm(10)]);
        let dst = p.mem(0, &[10, 1], DType::F16);
        let a = p.mem(64, &[10, 1], DType::F16);
        let vector = Vector {
            op: VecOp::Fmac,
            shape,
            dst,
            a,
            b: Operand::Imm(0x3c00, DType::F16),
            thread: Thread::Main,
        };
        vec![BEGIN, Instr::Vector(vector), DONE, Instr::End]
    };
    alone(map, |r| assert_eq!(mark(r, 0, 2) - mark(r, 0, 1), 1 + 8 + 18));
    // C-3: 8 + 10 x 2.
    let fold = |p: &mut ProgramBuilder| {
        let a = p.mem(64, &[1], DType::F16);
        let one = Operand::Imm(0x3c00, DType::F16);
        let fold = p.vector(VecOp::Fmac, 10, Operand::Reg(Reg(0), F32), a, one);
        vec![BEGIN, fold, DONE, Instr::End]
    };
    alone(fold, |r| assert_eq!(mark(r, 0, 2) - mark(r, 0, 1), 28));
}

#[test]
fn does_the_first_pe_that_traps_in_a_cycle_get_the_blame() {
    // P-8: both at 6; the third PE's step of that cycle is taken.
    let mut w = WaferBuilder::new(sdk(3, 1));
    for at in 0..2 {
        let p = w.program(at);
        let dst = p.mem(4092, &[1], F32);
        let fault = p.vector(VecOp::Mov, 2, dst, Operand::f32(1.0), Operand::None);
        p.main(&[li(0, 1), fault, Instr::End]);
    }
    w.program(2).main(&[li(0, 1), li(1, 7), li(2, 7), Instr::End]);
    on_all(&w.finish(), &none(), |r| {
        let fault = Fault::Address { first: 4092, last: 4099, size: 4096 };
        let (pe, instruction) = (PeIdx(0), 1);
        let trap = StopReason::Trap { pe, instruction, fault };
        assert_eq!((&r.outcome.stop, r.outcome.cycle.0), (&trap, 6));
        let state = &r.outcome.state;
        let instructions: Vec<u64> = state.pes.iter().map(|p| p.instructions).collect();
        assert_eq!(instructions, [1, 1, 2]);
        assert_eq!(state.regs[2][..3], [1, 7, 0]);
        assert_eq!(state.sram[0][1023], 0);
    });
}
