//! Runs without data: rules D.

use crate::harness::*;
use fabric::{Port, WaferImage};
use pe_isa::{AluOp, Cond, Cycle, Decider, Fault, Instr, Operand, Reg, Size, Src, VecOp, Vector};
use sim_core::testing::build::WaferBuilder;
use sim_core::testing::{
    Case, Record, engine, engine_without_data, oracle_without_data, thirds_without_data,
};
use sim_core::{HostScript, StopReason};

fn case(image: &WaferImage, script: &HostScript) -> Case {
    let (image, script) = (image.clone(), script.clone());
    Case { image, script, replies: Vec::new(), stop_after: None, limit: Cycle(100_000) }
}

/// Runs an image without data on every runner.
fn on_all_void(image: &WaferImage, script: &HostScript, check: impl Fn(&Record)) {
    for runner in [oracle_without_data, engine_without_data, thirds_without_data] {
        check(&case(image, script).run(runner));
    }
}

/// A tile with this code in its main task.
fn one_tile(
    write: impl FnOnce(&mut sim_core::testing::build::ProgramBuilder) -> Vec<Instr>,
) -> WaferImage {
    let mut w = WaferBuilder::new(near(1, 1));
    let p = w.program(0);
    let code = write(p);
    p.main(&code);
    w.finish()
}

const R: fn(u8) -> Operand = |r| Operand::Reg(Reg(r), F32);

fn li(rd: u8, imm: u32) -> Instr {
    Instr::Li { rd: Reg(rd), imm }
}

fn alu(op: AluOp, rd: u8, ra: u8, b: Src) -> Instr {
    Instr::Alu { op, rd: Reg(rd), ra: Reg(ra), b }
}

/// The void registers and the bits of a tile's registers.
fn registers(record: &Record, at: usize) -> (u32, [u32; 32]) {
    let state = &record.outcome.state;
    assert!(state.sram.iter().all(Vec::is_empty), "D-1: SRAM holds nothing");
    for (r, &bits) in state.regs[at].iter().enumerate() {
        assert!(state.void[at] >> r & 1 == 0 || bits == 0, "void r{r} has bits");
    }
    (state.void[at], state.regs[at])
}

#[test]
fn what_comes_from_sram_is_void_and_the_rest_is_known() {
    let image = one_tile(|p| {
        let memory = p.mem(0, &[1], F32);
        vec![
            li(2, 5),
            p.vector(VecOp::Mov, 1, R(1), memory, Operand::None),
            alu(AluOp::Add, 3, 2, Src::Imm(1)),
            alu(AluOp::Add, 4, 1, Src::Reg(Reg(2))),
            p.vector(VecOp::Mov, 1, memory, R(3), Operand::None),
            p.vector(VecOp::Mov, 1, R(5), memory, Operand::None), // What was written is lost.
            p.vector(VecOp::Add, 1, R(6), R(1), R(2)),
            p.vector(VecOp::Mov, 1, R(7), R(1), Operand::None),
            li(7, 9), // A void register becomes a known one.
            p.vector(VecOp::Mul, 1, R(8), R(2), Operand::f32(2.0)),
            Instr::SelGt { rd: Reg(9), rs: Reg(2), ra: Reg(3), rb: Reg(1) },
            Instr::SelGt { rd: Reg(10), rs: Reg(2), ra: Reg(3), rb: Reg(2) },
            alu(AluOp::Div, 11, 2, Src::Reg(Reg(1))), // A void divisor is no 0.
            p.vector(VecOp::Fmac, 3, R(12), memory, Operand::f32(1.0)),
            Instr::End,
        ]
    });
    on_all_void(&image, &none(), |record| {
        let (void, regs) = registers(record, 0);
        let wanted = [1, 4, 5, 6, 9, 11, 12].iter().fold(0u32, |set, r| set | 1 << r);
        assert_eq!(void, wanted, "{void:b}");
        assert_eq!((regs[2], regs[3], regs[7], regs[10]), (5, 6, 9, 5));
        assert_eq!(f32::from_bits(regs[8]), 2.0 * f32::from_bits(5));
        assert_eq!(record.outcome.stop, StopReason::Finished);
    });
}

#[test]
fn costs_and_cycles_are_those_with_data() {
    let mut w = WaferBuilder::new(near(2, 1));
    w.path(3, &[0, 1]);
    sender(&mut w, 0, 3, 20);
    receiver(&mut w, 1, 3, 20);
    let image = w.finish();
    let with = case(&image, &none()).run(engine);
    on_all_void(&image, &none(), |record| {
        assert_eq!(with.difference_without_data(record, 0), None);
        let payloads = record.events.iter().filter_map(|event| event.what.wavelet());
        assert!(payloads.clone().count() > 60 && payloads.clone().all(|wavelet| wavelet.void));
    });
}

/// Tile 0 sends `a` and then `b` to tile 1, which puts them into registers 1 and 2.
fn passed(a: Operand, b: Operand) -> WaferImage {
    let mut w = WaferBuilder::new(near(2, 1));
    w.path(3, &[0, 1]);
    let p = w.program(0);
    let queue = Operand::FabOut(p.bind_out(3), F32);
    let code = [a, b].map(|source| p.vector(VecOp::Mov, 1, queue, source, Operand::None)).to_vec();
    p.main(&[code[0], code[1], Instr::End]);
    p.params.push((Reg(4), 77));
    p.mem(0, &[1], F32);
    let p = w.program(1);
    let queue = Operand::FabIn(p.bind_in(3), F32);
    let code = [1, 2].map(|r| p.vector(VecOp::Mov, 1, R(r), queue, Operand::None));
    p.main(&[code[0], code[1], Instr::End]);
    w.finish()
}

#[test]
fn wavelets_are_known_or_void_as_what_was_sent() {
    let memory = Operand::Mem(pe_isa::DsdId(0));
    on_all_void(&passed(memory, R(4)), &none(), |record| {
        let (void, regs) = registers(record, 1);
        assert_eq!((void, regs[2]), (1 << 1, 77));
    });
    on_all_void(&passed(R(4), memory), &none(), |record| {
        let (void, regs) = registers(record, 1);
        assert_eq!((void, regs[1]), (1 << 2, 77));
    });
}

/// What the only tile traps by, at which instruction.
fn trap(image: &WaferImage) -> (u16, Fault) {
    let found = std::cell::Cell::new(None);
    on_all_void(image, &none(), |record| {
        let StopReason::Trap { instruction, fault, .. } = record.outcome.stop else {
            panic!("no trap: {:?}", record.outcome.stop);
        };
        assert!(found.get().is_none_or(|before| before == (instruction, fault)));
        found.set(Some((instruction, fault)));
    });
    found.get().expect("a run was made")
}

#[test]
fn a_void_word_that_decides_traps() {
    let left = one_tile(|p| {
        let memory = p.mem(0, &[1], F32);
        let load = p.vector(VecOp::Mov, 1, R(1), memory, Operand::None);
        let (cond, b, target) = (Cond::Eq, Src::Imm(0), 0);
        vec![load, Instr::Branch { cond, ra: Reg(1), b, target }, Instr::End]
    });
    assert_eq!(trap(&left), (1, Fault::Void(Decider::Branch(Reg(1)))));
    let right = one_tile(|p| {
        let memory = p.mem(0, &[1], F32);
        let load = p.vector(VecOp::Mov, 1, R(1), memory, Operand::None);
        let (cond, b, target) = (Cond::Lt, Src::Reg(Reg(1)), 0);
        vec![load, Instr::Branch { cond, ra: Reg(2), b, target }, Instr::End]
    });
    assert_eq!(trap(&right), (1, Fault::Void(Decider::Branch(Reg(1)))));
    let extent = one_tile(|p| {
        let memory = p.mem(0, &[1], F32);
        let load = p.vector(VecOp::Mov, 1, R(1), memory, Operand::None);
        let shape = p.shape(&[Size::Reg(Reg(1))]);
        let Instr::Vector(v) = p.vector(VecOp::Mov, 1, memory, R(2), Operand::None) else {
            panic!("a vector operation");
        };
        vec![load, Instr::Vector(Vector { shape, ..v }), Instr::End]
    });
    assert_eq!(trap(&extent), (1, Fault::Void(Decider::Extent(Reg(1)))));
    let mut w = WaferBuilder::new(near(2, 1));
    w.path(3, &[0, 1]);
    receiver(&mut w, 1, 3, 0);
    let p = w.program(0);
    let queue = p.bind_out(3);
    let memory = p.mem(0, &[1], F32);
    let load = p.vector(VecOp::Mov, 1, R(1), memory, Operand::None);
    p.main(&[load, Instr::SendCtrl { queue, payload: Src::Reg(Reg(1)) }, Instr::End]);
    assert_eq!(trap(&w.finish()), (1, Fault::Void(Decider::Control(Reg(1)))));
}

#[test]
fn a_known_zero_divides_nothing_and_a_known_address_is_checked() {
    let divide = one_tile(|p| {
        let memory = p.mem(0, &[1], F32);
        let load = p.vector(VecOp::Mov, 1, R(1), memory, Operand::None);
        vec![load, alu(AluOp::Rem, 2, 1, Src::Imm(0)), Instr::End]
    });
    assert_eq!(trap(&divide), (1, Fault::DivideByZero));
    let beyond = one_tile(|p| {
        let memory = p.mem_at(0, Some(Reg(1)), &[1], F32);
        vec![li(1, 1 << 20), p.vector(VecOp::Mov, 1, memory, R(2), Operand::None), Instr::End]
    });
    assert!(matches!(trap(&beyond), (1, Fault::Address { .. })));
}

#[test]
fn a_void_offset_moves_nothing() {
    let image = one_tile(|p| {
        let memory = p.mem(0, &[1], F32);
        let load = p.vector(VecOp::Mov, 1, R(1), memory, Operand::None);
        let moved = p.mem_at(1 << 30, Some(Reg(1)), &[1], F32);
        vec![load, p.vector(VecOp::Mov, 4, moved, memory, Operand::None), DONE, Instr::End]
    });
    on_all_void(&image, &none(), |record| {
        assert_eq!(record.outcome.stop, StopReason::Finished);
        assert_eq!(marks(record, 0, 2).len(), 1);
    });
}

/// `rounds` searches over `n` elements in SRAM on each of two tiles; their indices are in registers 10, 11, …
fn searches(n: u32, rounds: u8) -> WaferImage {
    let mut w = WaferBuilder::new(near(2, 1));
    for at in 0..2 {
        let p = w.program(at);
        let memory = p.mem(0, &[1], F32);
        let mut code = Vec::new();
        for round in 0..rounds {
            code.push(li(1, f32::NEG_INFINITY.to_bits()));
            code.push(p.vector(
                VecOp::ArgMax,
                n,
                R(1),
                memory,
                Operand::Imm(100, pe_isa::DType::U32),
            ));
            code.push(alu(AluOp::Add, 10 + round, 2, Src::Imm(0)));
        }
        code.push(Instr::End);
        p.main(&code);
    }
    w.finish()
}

#[test]
fn searches_over_void_elements_draw_without_repetition() {
    let image = searches(7, 14);
    on_all_void(&image, &none(), |record| {
        let drawn = [0, 1].map(|at| {
            let (void, regs) = registers(record, at);
            assert_eq!(void, 1 << 1, "the value is void, the index is known");
            regs[10..24].to_vec()
        });
        for blocks in drawn.iter().map(|d| d.chunks_exact(7)) {
            for block in blocks {
                let mut block = block.to_vec();
                block.sort_unstable();
                assert_eq!(block, (100..107).collect::<Vec<u32>>());
            }
        }
        assert_ne!(drawn[0], drawn[1]);
        assert_ne!(drawn[0][..7], drawn[0][7..]);
    });
}

#[test]
fn a_search_over_known_elements_finds_the_largest() {
    let known = one_tile(|p| {
        let base = Operand::Imm(3, pe_isa::DType::U32);
        let search = |p: &mut sim_core::testing::build::ProgramBuilder, rd, from| {
            p.vector(VecOp::ArgMax, 1, R(rd), from, base)
        };
        let (low, high) = (Operand::f32(1.0), Operand::f32(2.0));
        vec![
            li(1, 1.5f32.to_bits()),
            li(2, 9),
            search(p, 1, low),
            li(3, 0),
            search(p, 3, high),
            Instr::End,
        ]
    });
    on_all_void(&known, &none(), |record| {
        let (void, regs) = registers(record, 0);
        assert_eq!((void, regs[2], regs[4]), (0, 9, 3));
    });
}

#[test]
fn words_from_the_host_are_known_and_void_ones_reach_it_as_0() {
    let mut w = WaferBuilder::new(near(1, 1));
    w.route(0, 0, Port::West, &[Port::Ramp]);
    w.route(0, 1, Port::Ramp, &[Port::East]);
    w.host_in(0, Port::West, 0);
    w.host_out(0, Port::East, 1);
    let p = w.program(0);
    let source = Operand::FabIn(p.bind_in(0), F32);
    let target = Operand::FabOut(p.bind_out(1), F32);
    let memory = p.mem(0, &[1], F32);
    let code = [
        p.vector(VecOp::Mov, 1, R(1), source, Operand::None),
        p.vector(VecOp::Mov, 1, target, R(1), Operand::None),
        p.vector(VecOp::Mov, 1, target, memory, Operand::None),
        p.vector(VecOp::Mov, 3, target, source, Operand::None),
        Instr::End,
    ];
    p.main(&code);
    let image = w.finish();
    let mut words = host_words(4, 0);
    words.iter_mut().for_each(|word| word.payload += 40);
    on_all_void(&image, &HostScript { ports: vec![words] }, |record| {
        assert_eq!(registers(record, 0).0, 0);
        let got: Vec<u32> = record.received.iter().map(|r| r.2).collect();
        assert_eq!(got, [40, 0, 41, 42, 43]);
    });
}
