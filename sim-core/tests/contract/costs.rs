//! Is every cost of the machine file tight? See `latencies` for what that means.

use crate::harness::*;
use crate::latencies::{INSTRUCTIONS, VALUES, alone, bare, becomes, li};
use fabric::Machine;
use pe_isa::{AluOp, Cond, DType, Instr, Operand, Ratio, Reg, Size, Src, VecOp};
use sim_core::testing::build::ProgramBuilder;

/// A constant of the cost table, the code whose cost it sets, and that cost.
type Cost =
    (&'static str, fn(&mut Machine, u64), fn(&mut ProgramBuilder) -> Vec<Instr>, fn(u64) -> u64);

/// Sixteen elements from memory to memory in rows of this length.
fn op(p: &mut ProgramBuilder, op: VecOp, dtypes: [DType; 2], rows: u32) -> Vec<Instr> {
    let shape = p.shape(&[Size::Imm(rows), Size::Imm(16 / rows)]);
    let stride = (16 / rows) as i32;
    let [to, from] = dtypes;
    let (dst, a) = (p.mem(0, &[stride, 1], to), p.mem(1024, &[stride, 1], from));
    let b = match op {
        VecOp::Fmac | VecOp::Add => Operand::Imm(0, from),
        _ => Operand::None,
    };
    let thread = pe_isa::Thread::Main;
    vec![Instr::Vector(pe_isa::Vector { op, shape, dst, a, b, thread })]
}

fn fold(p: &mut ProgramBuilder) -> Vec<Instr> {
    let (dst, a) = (Operand::Reg(Reg(0), F32), p.mem(0, &[1], F32));
    vec![p.vector(VecOp::Add, 16, dst, a, dst)]
}

/// So that only the constant under test counts: no setups, a cycle an element, wide ports.
fn plain() -> Machine {
    let mut m = bare(1);
    let one = Ratio::new(1, 1).unwrap();
    let c = &mut m.pe.cost;
    (c.fmac_16, c.fmac_mixed, c.fmac_32) = (one, one, one);
    (c.add_16, c.add_32, c.copy_16, c.copy_32) = (one, one, one, one);
    (c.setup_fmac_16, c.setup_fmac_32, c.setup_copy, c.setup_reduce) = (0, 0, 0, 0);
    (c.read_bytes_per_cycle, c.write_bytes_per_cycle) = (1000, 1000);
    m
}

const F16: DType = DType::F16;

const COSTS: [Cost; 15] = [
    (
        "C-2 setup of f16 fmac",
        |m, v| m.pe.cost.setup_fmac_16 = v,
        |p| op(p, VecOp::Fmac, [F16, F16], 1),
        |v| 16 + v,
    ),
    (
        "C-2 setup of f32 fmac",
        |m, v| m.pe.cost.setup_fmac_32 = v,
        |p| op(p, VecOp::Fmac, [F32, F32], 1),
        |v| 16 + v,
    ),
    (
        "C-2 setup of copy",
        |m, v| m.pe.cost.setup_copy = v,
        |p| op(p, VecOp::Mov, [F32, F32], 1),
        |v| 16 + v,
    ),
    (
        "C-2 setup of add",
        |m, v| m.pe.cost.setup_copy = v,
        |p| op(p, VecOp::Add, [F16, F16], 1),
        |v| 16 + v,
    ),
    (
        "C-1 rows",
        |m, v| m.pe.cost.row_cycles = v,
        |p| op(p, VecOp::Mov, [F32, F32], 4),
        |v| 16 + 3 * v,
    ),
    (
        "C-3 setup of reduction",
        |m, v| (m.pe.cost.reduce_cycles, m.pe.cost.setup_reduce) = (1, v),
        fold,
        |v| 16 + v,
    ),
    ("C-3 reduction", |m, v| m.pe.cost.reduce_cycles = v, fold, |v| 16 * v),
    ("C-4 exp", |m, v| m.pe.cost.exp_cycles = v, |p| op(p, VecOp::Exp, [F32, F32], 1), |v| 16 * v),
    (
        "C-4 rsqrt",
        |m, v| m.pe.cost.rsqrt_cycles = v,
        |p| op(p, VecOp::Rsqrt, [F32, F32], 1),
        |v| 16 * v,
    ),
    (
        "C-4 tanh",
        |m, v| m.pe.cost.tanh_cycles = v,
        |p| op(p, VecOp::Tanh, [F32, F32], 1),
        |v| 16 * v,
    ),
    ("C-4 sin", |m, v| m.pe.cost.sin_cycles = v, |p| op(p, VecOp::Sin, [F32, F32], 1), |v| 16 * v),
    (
        "C-4 recip",
        |m, v| m.pe.cost.recip_cycles = v,
        |p| op(p, VecOp::Recip, [F32, F32], 1),
        |v| 16 * v,
    ),
    ("C-5 scalar", |m, v| m.pe.cost.scalar_cycles = v, |_| vec![li(0)], |v| v),
    (
        "P-3 branch taken",
        |m, v| m.pe.cost.branch_taken_cycles = v,
        |_| vec![branch(Cond::Eq)],
        |v| v,
    ),
    (
        "P-3 branch not taken",
        |m, v| m.pe.cost.branch_not_taken_cycles = v,
        |_| vec![branch(Cond::Ne)],
        |v| v,
    ),
];

/// To the next instruction, where register 0 is 0.
fn branch(cond: Cond) -> Instr {
    Instr::Branch { cond, ra: Reg(0), b: Src::Imm(0), target: 1 }
}

#[test]
fn are_the_costs_of_instructions_tight() {
    for (what, set, code, cost) in COSTS {
        for v in VALUES {
            let mut m = plain();
            set(&mut m, v);
            // The instruction is taken at 1, the next one when it is complete.
            becomes(what, &alone(m, code), INSTRUCTIONS, 2, 1 + cost(v));
        }
    }
    for v in VALUES {
        let mut m = plain();
        m.pe.cost.recip_cycles = v;
        let divide = Instr::Alu { op: AluOp::Div, rd: Reg(1), ra: Reg(0), b: Src::Imm(3) };
        becomes("P-3 division", &alone(m, |_| vec![divide]), INSTRUCTIONS, 2, 1 + v);
    }
}

#[test]
fn are_rates_and_ports_tight() {
    // Sixteen elements: rounded up, at 3 a cycle 6, at 73/25 a cycle 6, at 1/2 a cycle 32.
    type Set = fn(&mut Machine, Ratio);
    let rates: [(Set, VecOp, [DType; 2]); 7] = [
        (|m, r| m.pe.cost.fmac_16 = r, VecOp::Fmac, [F16, F16]),
        (|m, r| m.pe.cost.fmac_mixed = r, VecOp::Fmac, [F32, F16]),
        (|m, r| m.pe.cost.fmac_32 = r, VecOp::Fmac, [F32, F32]),
        (|m, r| m.pe.cost.add_16 = r, VecOp::Add, [F16, F16]),
        (|m, r| m.pe.cost.add_32 = r, VecOp::Add, [F32, F32]),
        (|m, r| m.pe.cost.copy_16 = r, VecOp::Mov, [F16, F16]),
        (|m, r| m.pe.cost.copy_32 = r, VecOp::Mov, [F32, F32]),
    ];
    for (set, vec_op, dtypes) in rates {
        for (num, den, cycles) in [(3, 1, 6), (73, 25, 6), (1, 2, 32), (16, 1, 1), (17, 1, 1)] {
            let mut m = plain();
            set(&mut m, Ratio::new(num, den).unwrap());
            let run = alone(m, |p| op(p, vec_op, dtypes, 1));
            becomes(
                &format!("C-2 rate of {vec_op:?} {dtypes:?}"),
                &run,
                INSTRUCTIONS,
                2,
                1 + cycles,
            );
        }
    }
    for (bytes, cycles) in [(1, 64), (3, 22), (4, 16), (1000, 16)] {
        let mut m = plain();
        m.pe.cost.read_bytes_per_cycle = bytes;
        let run = alone(m, |p| op(p, VecOp::Mov, [F32, F32], 1));
        becomes("C-1 read port", &run, INSTRUCTIONS, 2, 1 + cycles);
        let mut m = plain();
        m.pe.cost.write_bytes_per_cycle = bytes;
        let run = alone(m, |p| op(p, VecOp::Mov, [F32, F32], 1));
        becomes("C-1 write port", &run, INSTRUCTIONS, 2, 1 + cycles);
    }
}
