//! Vector operations over SRAM, without the engine: what a model's arithmetic costs the host.
//! `cargo bench -p sim-core --bench vectors`.
//!
//! * `gemv/f16/RxC`: a linear layer's tile of so many rows and columns, `f16` weights and inputs, `f32` sums.
//! * `gemv/f32/RxC`, `gemm/f32/MxKxN`: as the kernels have them, all `f32`.
//! * `score/f16/HxDxT`, `mix/f16/HxDxT`: attention of so many heads and dimensions over so many tokens.
//! * `sum`, `squares`, `add`, `scale`, `mov`, `to-f16`, `exp`: rows of `f32`.

#[expect(dead_code, reason = "memory is not measured here")]
mod meter;

use meter::{Meter, Spent};
use pe_isa::semantics::{Issued, Place, execute_all};
use pe_isa::{DType, PeMemory, REGISTERS, VecOp};

/// Elements of a run.
const RUN: u32 = 1 << 21;

/// Words of SRAM, all of a PE's; the operands lie at the begin, at one and at two thirds of it.
const WORDS: usize = 12 << 10;
const A: u32 = 16 << 10;
const B: u32 = 32 << 10;

const F32: DType = DType::F32;
const F16: DType = DType::F16;

fn main() {
    let mut meter = Meter::new("vectors");
    for (rows, columns) in [(4, 4), (8, 20), (32, 64), (64, 96)] {
        for (name, t) in [("f16", F16), ("f32", F32)] {
            if t.bytes() * rows * columns > B - A {
                continue;
            }
            let dst = mem(0, [0, 0, 0, 1], F32);
            let matrix = mem(A, [0, 0, columns as i32, 1], t);
            let input = mem(B, [0, 0, 1, 0], t);
            let name = format!("gemv/{name}/{rows}x{columns}");
            bench(&mut meter, &name, VecOp::Fmac, [1, 1, rows, columns], dst, [matrix, input]);
        }
    }
    for (m, k, n) in [(4, 8, 4), (16, 16, 16)] {
        let (m, k) = (m as u32, k as u32);
        let dst = mem(0, [0, n, 0, 1], F32);
        let a = mem(A, [0, k as i32, 1, 0], F32);
        let b = mem(B, [0, 0, n, 1], F32);
        let name = format!("gemm/f32/{m}x{k}x{n}");
        bench(&mut meter, &name, VecOp::Fmac, [1, m, k, n as u32], dst, [a, b]);
    }
    for (heads, dims, tokens) in [(2, 16, 2), (1, 64, 32)] {
        let shape = [1, heads, dims, tokens];
        let (d, t) = (dims as i32, tokens as i32);
        let keys = mem(A, [0, 0, t, 1], F16);
        let (scores, query) = (mem(0, [0, t, 0, 1], F32), mem(B, [0, d, 1, 0], F16));
        let name = format!("score/f16/{heads}x{dims}x{tokens}");
        bench(&mut meter, &name, VecOp::Fmac, shape, scores, [keys, query]);
        let (mixed, weights) = (mem(0, [0, d, 1, 0], F32), mem(B, [0, t, 0, 1], F16));
        let name = format!("mix/f16/{heads}x{dims}x{tokens}");
        bench(&mut meter, &name, VecOp::Fmac, shape, mixed, [keys, weights]);
    }
    rows(&mut meter);
    meter.end();
}

/// Operations on single rows.
fn rows(meter: &mut Meter) {
    let row = |base| mem(base, [0, 0, 0, 1], F32);
    let one = mem(0, [0; 4], F32);
    let factor = Place::Imm(0.25f32.to_bits(), F32);
    let half = mem(0, [0, 0, 0, 1], F16);
    for n in [8, 64, 1_000] {
        let mut bench = |name: &str, op, dst, sources| {
            bench(meter, &format!("{name}/{n}"), op, [1, 1, 1, n], dst, sources);
        };
        bench("sum", VecOp::Add, one, [row(A), one]);
        bench("squares", VecOp::Fmac, one, [row(A), row(A)]);
        bench("add", VecOp::Add, row(0), [row(A), row(B)]);
        bench("scale", VecOp::Mul, row(0), [row(A), factor]);
        bench("mov", VecOp::Mov, row(0), [row(A), Place::None]);
        bench("to-f16", VecOp::Mul, half, [row(A), factor]);
        bench("exp", VecOp::Exp, row(0), [row(A), Place::None]);
    }
}

/// Memory from a byte address on, with strides in elements.
fn mem(base: u32, strides: [i32; 4], dtype: DType) -> Place {
    Place::Mem { base, strides: strides.map(|s| s * dtype.bytes() as i32), dtype }
}

fn bench(
    meter: &mut Meter,
    name: &str,
    op: VecOp,
    extents: [u32; 4],
    dst: Place,
    [a, b]: [Place; 2],
) {
    let total: u32 = extents.iter().product();
    let issued = Issued { op, extents, total, dst, a, b };
    let times = RUN / total;
    let elements = u64::from(total * times);
    let measured = meter.bench(name, || {
        let once = move || {
            let (mut sram, mut regs) = (values(), [0; REGISTERS]);
            Spent::by(|| {
                for _ in 0..times {
                    let mut memory = PeMemory { sram: &mut sram, regs: &mut regs };
                    execute_all(std::hint::black_box(&issued), &mut memory);
                }
            })
        };
        (elements, once, ())
    });
    let Some((runs, ())) = measured else { return };
    meter.tell(name, &[runs.rate(elements, "elements"), runs.times()]);
}

/// Words whose halves, and they themselves, are numbers from 0.25 to 4 of either sign, so that no run meets a NaN or a
/// subnormal on its way.
fn values() -> Vec<u32> {
    let half = |n: u32| {
        let random = n.wrapping_mul(2_654_435_761) >> 8;
        (0x3400 + random % 0x1000) | (random & (1 << 15))
    };
    let words = 0..WORDS as u32;
    words.map(|n| half(2 * n) | (half(2 * n + 1) << 16)).collect()
}
