//! Number formats of SRAM elements and wavelet payloads.

use half::bf16;
use serde::{Deserialize, Serialize};

/// The type of an element in SRAM, in a register or in a wavelet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE 754 binary16, two per wavelet.
    F16,
    /// bfloat16 (upper half of a binary32), two per wavelet.
    BF16,
    /// IEEE 754 binary32, one per wavelet.
    F32,
    /// 32-bit unsigned integer, one per wavelet.
    U32,
}

impl DType {
    /// Bytes of one element.
    pub const fn bytes(self) -> u32 {
        match self {
            DType::F16 | DType::BF16 => 2,
            DType::F32 | DType::U32 => 4,
        }
    }

    /// Elements that one 32-bit wavelet carries.
    pub const fn lanes(self) -> u32 {
        4 / self.bytes()
    }

    /// Whether the type is a floating-point one (its values are data, not control).
    pub const fn is_float(self) -> bool {
        !matches!(self, DType::U32)
    }

    /// Name in assembly and machine files.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::F32 => "f32",
            DType::U32 => "u32",
        }
    }

    /// The value of the element whose bits are the low bits of `bits`. Exact for 16-bit types; a
    /// [`DType::U32`] is converted to the nearest `f32`.
    #[inline(always)]
    pub fn to_f32(self, bits: u32) -> f32 {
        match self {
            DType::F16 => half_to_f32(bits as u16),
            DType::BF16 => f32::from_bits(bits << 16),
            DType::F32 => f32::from_bits(bits),
            DType::U32 => bits as f32,
        }
    }

    /// The bits of `value` rounded to this type: to nearest, ties to even; beyond the largest
    /// finite value to infinity; floats to [`DType::U32`] truncate and saturate.
    #[inline(always)]
    pub fn from_f32(self, value: f32) -> u32 {
        match self {
            DType::F16 => u32::from(half_from_f32(value)),
            DType::BF16 => u32::from(bf16::from_f32(value).to_bits()),
            DType::F32 => value.to_bits(),
            DType::U32 => value as u32,
        }
    }
}

/// Exact conversion of a binary16 (a NaN to a NaN), written without branches so that rows vectorise, and without
/// arithmetic on numbers that are subnormal as `f32`, which hosts are slow at.
#[inline(always)]
pub(crate) fn half_to_f32(half: u16) -> f32 {
    let h = half as i16 as i32 as u32;
    let magnitude = (h << 13) & 0x0fff_e000;
    let normal = magnitude + (112 << 23);
    // The last place of 2^-14 + x is that of the smallest binary16.
    let small = f32::from_bits(magnitude + (113 << 23)) - f32::from_bits(113 << 23);
    let finite = if magnitude < 1 << 23 { small.to_bits() } else { normal };
    let bits = if magnitude >= 31 << 23 { magnitude | 0x7f80_0000 } else { finite };
    f32::from_bits(bits | (h & 0x8000_0000))
}

/// Conversion to binary16, to nearest even (a NaN to the quiet one), written without branches.
#[inline(always)]
pub(crate) fn half_from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    let (sign, magnitude) = (bits >> 16 & 0x8000, bits & 0x7fff_ffff);
    // Beyond 65,520 to infinity; NaN has a bit behind the exponent.
    let special = 0x7c00 | if magnitude > 0x7f80_0000 { 0x200 } else { 0 };
    let normal =
        (magnitude.wrapping_add(0xfff + (magnitude >> 13 & 1)) >> 13).wrapping_sub(112 << 10);
    // Below 2^-14: the last place of 0.5 is that of the smallest binary16.
    let small = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let finite = if magnitude < 0x3880_0000 { small } else { normal };
    (sign | if magnitude >= 0x477f_f000 { special } else { finite }) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    #[test]
    fn the_branchless_half_conversion_is_exact_for_every_bit_pattern() {
        for h in 0..=0xffffu32 {
            let want = f16::from_bits(h as u16).to_f32();
            let got = half_to_f32(h as u16);
            if want.is_nan() {
                assert!(got.is_nan(), "{h:#x}");
            } else {
                assert_eq!(got.to_bits(), want.to_bits(), "{h:#x}");
            }
        }
    }

    #[test]
    fn the_branchless_rounding_to_half_is_that_of_the_type() {
        let halves =
            (0..=0xffffu32).map(|h| f16::from_bits(h as u16).to_f32()).filter(|v| !v.is_nan());
        let near = halves.flat_map(|v| {
            let bits = v.to_bits();
            [0, 1, 0xfff, 0x1000, 0x1001, 0x1fff].map(|d| f32::from_bits(bits.wrapping_add(d)))
        });
        let any = (0..2_000_000u32).map(|n| f32::from_bits(n.wrapping_mul(2_654_435_761)));
        for value in near.chain(any).filter(|value| !value.is_nan()) {
            assert_eq!(
                u32::from(half_from_f32(value)),
                u32::from(f16::from_f32(value).to_bits()),
                "{value:e}"
            );
        }
    }
}
