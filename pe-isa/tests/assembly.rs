//! The text form of programs: does it say all there is, and are mistakes told well?

use pe_isa::asm::{Cursor, Scope, assemble, parse, print};
use pe_isa::{
    AluOp, Color, Cond, DType, Dsd, DsdId, InQueue, Instr, OnDone, Operand, OutQueue, Program, Reg,
    Shape, ShapeId, Size, Src, Task, TaskId, TaskKind, Thread, VecOp, Vector,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// What `program` reads from a body, or the mistakes, rendered.
fn read(body: &str) -> Result<assemble::Assembled, String> {
    let source = format!("p {{\n{body}}}\n");
    let mut cursor = Cursor::new(&source);
    let def = parse::program(&mut cursor);
    let mut errors = std::mem::take(&mut cursor.errors);
    let assembled = match def {
        Ok(def) => assemble(&def, &mut Scope::default(), 4096).map_err(|e| errors.extend(e)),
        Err(error) => {
            errors.push(error);
            Err(())
        }
    };
    if let (Ok(assembled), true) = (assembled, errors.is_empty()) {
        return Ok(assembled);
    }
    errors.iter_mut().for_each(|e| e.locate(&source));
    Err(errors.iter().map(|e| e.render(&source, "test")).collect())
}

fn dtype() -> impl Strategy<Value = DType> {
    prop::sample::select(vec![DType::F16, DType::BF16, DType::F32, DType::U32])
}

fn reg() -> impl Strategy<Value = Reg> {
    (0..32u8).prop_map(Reg)
}

fn src() -> impl Strategy<Value = Src> {
    prop_oneof![reg().prop_map(Src::Reg), any::<u32>().prop_map(Src::Imm)]
}

fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![
        (0..3u16).prop_map(|d| Operand::Mem(DsdId(d))),
        (reg(), dtype()).prop_map(|(r, t)| Operand::Reg(r, t)),
        (any::<u32>(), dtype()).prop_map(|(b, t)| Operand::Imm(b, t)),
        (0..5u8, dtype()).prop_map(|(q, t)| Operand::FabIn(InQueue(q), t)),
        (0..5u8, dtype()).prop_map(|(q, t)| Operand::FabOut(OutQueue(q), t)),
    ]
}

fn thread() -> impl Strategy<Value = Thread> {
    let done = prop_oneof![
        Just(OnDone::Nothing),
        (0..5u8).prop_map(|t| OnDone::Activate(TaskId(t))),
        (0..5u8).prop_map(|t| OnDone::Unblock(TaskId(t))),
    ];
    prop_oneof![Just(Thread::Main), (0..9u8, done).prop_map(|(n, d)| Thread::Micro(n, d))]
}

fn vector() -> impl Strategy<Value = Instr> {
    let op = prop::sample::select(VecOp::ALL.to_vec());
    let parts = (op, 0..3u16, operand(), operand(), operand(), thread());
    parts.prop_map(|(op, shape, dst, a, b, thread)| {
        let b = if op.is_binary() { b } else { Operand::None };
        Instr::Vector(Vector { op, shape: ShapeId(shape), dst, a, b, thread })
    })
}

fn instr() -> impl Strategy<Value = Instr> {
    let alu = prop::sample::select(AluOp::ALL.to_vec());
    let cond = prop::sample::select(Cond::ALL.to_vec());
    let task = || (0..5u8).prop_map(TaskId);
    prop_oneof![
        8 => vector(),
        1 => (reg(), any::<u32>()).prop_map(|(rd, imm)| Instr::Li { rd, imm }),
        1 => (alu, reg(), reg(), src()).prop_map(|(op, rd, ra, b)| Instr::Alu { op, rd, ra, b }),
        1 => (reg(), reg(), reg(), reg())
            .prop_map(|(rd, rs, ra, rb)| Instr::SelGt { rd, rs, ra, rb }),
        1 => (cond, reg(), src(), 0..40u16)
            .prop_map(|(cond, ra, b, target)| Instr::Branch { cond, ra, b, target }),
        1 => (0..40u16).prop_map(|target| Instr::Jump { target }),
        1 => (0..5u8, src())
            .prop_map(|(q, payload)| Instr::SendCtrl { queue: OutQueue(q), payload }),
        1 => task().prop_map(Instr::Activate),
        1 => task().prop_map(Instr::Block),
        1 => task().prop_map(Instr::Unblock),
        1 => Just(Instr::End),
        1 => any::<u16>().prop_map(Instr::Mark),
    ]
}

fn task() -> impl Strategy<Value = Task> {
    let kind = prop_oneof![
        Just(TaskKind::Local),
        (0..5u8, reg()).prop_map(|(q, r)| TaskKind::Data(InQueue(q), r)),
        (0..5u8, reg()).prop_map(|(q, r)| TaskKind::Control(InQueue(q), r)),
    ];
    (kind, 0..30u16, 0..3u8, any::<bool>(), any::<bool>()).prop_map(
        |(kind, entry, priority, activated, blocked)| Task {
            kind,
            entry,
            priority,
            activated,
            blocked,
        },
    )
}

/// Programs with any operands anywhere. Loop nests and descriptors have one rank, which the text
/// form demands.
fn program() -> impl Strategy<Value = Program> {
    let queues = || vec(prop::option::of((0..40u8).prop_map(Color)), 0..5);
    let size = || prop_oneof![any::<u32>().prop_map(Size::Imm), reg().prop_map(Size::Reg)];
    (1..=4usize).prop_flat_map(move |rank| {
        let shape = vec(size(), rank).prop_map(|extents| Shape { extents });
        let place = (any::<u32>(), prop::option::of(reg()), vec(any::<i32>(), rank), dtype());
        let dsd =
            place.prop_map(|(base, offset, strides, dtype)| Dsd { base, offset, strides, dtype });
        let code = (vec(instr(), 0..30), vec(task(), 0..5));
        (code, vec(shape, 3), vec(dsd, 3), queues(), queues()).prop_map(
            |((instrs, tasks), shapes, dsds, in_queues, out_queues)| Program {
                instrs,
                shapes,
                dsds,
                tasks,
                in_queues,
                out_queues,
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn does_every_program_read_back_equal(program in program()) {
        let text = print::statements(&program, "    ");
        let read = read(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(read.program, program, "{}", text);
    }

    #[test]
    fn does_damaged_text_never_panic(
        program in program(), cuts in vec((any::<prop::sample::Index>(), "[ -~\n]{0,3}"), 1..6),
    ) {
        let mut text = print::statements(&program, "");
        for (at, with) in cuts {
            let at = at.index(text.len() + 1);
            let end = (at + with.len() / 2).min(text.len());
            text.replace_range(at..end, &with);
        }
        let _ = read(&text);
    }

    #[test]
    fn does_any_text_never_panic(text in "\\PC{0,80}") {
        let _ = read(&text);
    }
}

#[test]
fn does_nesting_end_in_an_error() {
    for text in ["(", "-", "1 + ", "f(", "1 ? ", "if 1 {", "if 1 {} else "] {
        let deep = format!("li r0, {}", text.repeat(50_000));
        assert!(read(&deep).is_err(), "{text}");
        assert!(read(&text.repeat(50_000)).is_err(), "{text}");
    }
}

#[test]
fn does_a_written_program_mean_what_it_says() {
    let body = "
        mem a: f32[4, 8]
        mem v: f32[8]
        reg n
        task main activated:
            li n, 2 * 3
        again:
            fmac a{8, 1}[n], a, v{0, 1}
            fmac.f32 r5, in(c3), 0.5 over n async 1 unblock word
            isub n, n, 1
            bne n, 0, again
            end
        task word data(c4 -> r2) priority 2:
            end
    ";
    let error = read(body).unwrap_err();
    assert!(error.contains("expected the end of the statement, found `[`"), "{error}");
    let read = read(&body.replace("a{8, 1}[n]", "a[n]{8, 1}")).unwrap();
    let program = read.program;
    assert_eq!(program.instrs.len(), 7);
    assert_eq!(program.in_queues, [Some(Color(3)), Some(Color(4))]);
    assert_eq!(program.dsds[2].strides, [0, 1]);
    assert_eq!(program.dsds[2].base, 128);
    assert_eq!(program.dsds[0].offset, Some(Reg(0)));
    assert_eq!(program.tasks[1].entry, 6);
    assert_eq!(read.sram_bytes, 160);
    let Instr::Vector(v) = program.instrs[2] else { panic!("{:?}", program.instrs[2]) };
    assert_eq!(v.b, Operand::f32(0.5));
    assert_eq!(v.thread, Thread::Micro(1, OnDone::Unblock(TaskId(1))));
}
