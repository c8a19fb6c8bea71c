//! Are the fast loops equal to the loop over elements?

use super::*;
use proptest::prelude::*;
use pulp::WithSimd as _;

fn place(words: u32) -> impl Strategy<Value = Place> {
    let dtype = prop_oneof![Just(DType::F16), Just(DType::BF16), Just(DType::F32)];
    (dtype, 0..words / 4, prop::array::uniform4(0..6i32), prop::bool::ANY).prop_map(
        |(dtype, base, mut strides, unit)| {
            let size = dtype.bytes() as i32;
            if unit {
                strides[3] = 1;
            }
            Place::Mem { base: base * 4, strides: strides.map(|s| s * size), dtype }
        },
    )
}

fn source() -> impl Strategy<Value = Place> {
    let constant = (any::<u32>(), prop::bool::ANY, prop::bool::ANY).prop_map(|(v, reg, half)| {
        let dtype = if half { DType::F16 } else { DType::F32 };
        let bits = if half { v & 0xffff } else { v };
        if reg { Place::Reg(crate::Reg(3), dtype) } else { Place::Imm(bits, dtype) }
    });
    prop_oneof![4 => place(4000), 1 => constant]
}

/// The same element over and over.
fn reducing(place: Place) -> Place {
    match place {
        Place::Mem { base, strides: [i, j, k, _], .. } => {
            Place::Mem { base, strides: [2 * i, 2 * j, 2 * k, 0], dtype: DType::F32 }
        }
        other => other,
    }
}

/// GEMVs by columns; the factors are the first source, the second one, or the rows themselves are the sums.
fn gemv(dst: Place, a: Place, b: Place, how: u32) -> (VecOp, Place, Place, Place) {
    let with = |place, third: Option<i32>, inner: Option<i32>, wide: bool| match place {
        Place::Mem { base, strides: [i, j, k, _], dtype } => {
            let dtype = if wide { DType::F32 } else { dtype };
            let size = dtype.bytes() as i32;
            let [i, j, k] = [i, j, k].map(|s| s / 4 * 4);
            let strides = [i, j, third.unwrap_or(k), inner.unwrap_or(size)];
            Place::Mem { base, strides, dtype }
        }
        other => other,
    };
    let dst = with(dst, Some(0), None, true);
    let (rows, factors) = (with(a, None, None, false), with(b, None, Some(0), false));
    match how % 4 {
        0 => (VecOp::Fmac, dst, dst, factors),
        1 => (VecOp::Fmac, dst, factors, rows),
        _ => (VecOp::Fmac, dst, rows, factors),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn fast_rows_equal_the_element_loop(
        op in prop::sample::select(VecOp::ALL.to_vec()),
        extents in prop::array::uniform4(1..5u32),
        long in prop_oneof![1..9u32, 1..300u32],
        dst in place(4000), a in source(), b in source(), fold in 0..8,
        seed in any::<u64>(),
    ) {
        let (dst, b) = if fold == 0 { (reducing(dst), reducing(dst)) } else { (dst, b) };
        let dst = if fold == 1 { reducing(dst) } else { dst };
        let (op, dst, a, b) = if fold == 2 { gemv(dst, a, b, long) } else { (op, dst, a, b) };
        let a = if fold == 3 { dst } else { a };
        let b = if op.is_binary() { b } else { Place::None };
        let extents = [extents[0], extents[1], extents[2], long];
        let issued = Issued { op, extents, total: extents.iter().product(), dst, a, b };
        let mut state = seed | 1;
        let sram: Vec<u32> = (0..8000).map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let bits = (state >> 32) as u32;
            // One in eight: zeroes, infinities, NaNs, subnormals, of either type.
            let special = [0x7fc0_0001, 0x7f80_0000, 0x8000_0003, 0x7c00_fc00, 0xfe01_0001, 0x8000_0000];
            if state >> 29 & 7 == 0 { special[bits as usize % 6] } else { bits }
        }).collect();
        let (mut fast, mut slow, mut plain) = (sram.clone(), sram.clone(), sram);
        let mut regs = [0x3f8c_cccd; crate::REGISTERS];
        let mut regs2 = regs;
        crate::semantics::execute_all(&issued, &mut PeMemory { sram: &mut fast, regs: &mut regs });
        crate::semantics::execute(&issued, &mut PeMemory { sram: &mut slow, regs: &mut regs2 }, 0, issued.total, 0, 0);
        prop_assert_eq!(&fast, &slow);
        // As on a host without vector units.
        let (form, simd) = (Form::of(&issued), pulp::Scalar::new());
        let mem = &mut PeMemory { sram: &mut plain, regs: &mut regs };
        match form {
            Form::Accumulate { swapped } => {
                Accumulation { issued: &issued, mem, swapped }.with_simd(simd);
            }
            Form::Map { apart } => {
                let rows = if apart { usize::MAX } else { 1 };
                let map = |block: &_| Mapping { issued: &issued, mem, block }.with_simd(simd);
                blocks(&issued, rows, CHUNK, map);
            }
            _ => form.execute(&issued, mem),
        }
        prop_assert_eq!(&plain, &slow);
    }
}
