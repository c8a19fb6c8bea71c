//! Number formats of SRAM elements and wavelet payloads.

use half::{bf16, f16};
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
            DType::F16 => f16::from_bits(bits as u16).to_f32(),
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
            DType::F16 => u32::from(f16::from_f32(value).to_bits()),
            DType::BF16 => u32::from(bf16::from_f32(value).to_bits()),
            DType::F32 => value.to_bits(),
            DType::U32 => value as u32,
        }
    }
}
