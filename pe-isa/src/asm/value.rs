//! Values of expressions.

use crate::DType;

/// What an expression comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// An integer; operations that leave 64 bits are errors.
    Int(i64),
    /// A float; an operation with one float has a float result.
    Float(f64),
}

impl Value {
    /// The value as a float.
    pub fn float(self) -> f64 {
        match self {
            Value::Int(v) => v as f64,
            Value::Float(v) => v,
        }
    }

    /// Whether a condition with this value holds.
    pub fn holds(self) -> bool {
        self.float() != 0.0
    }

    /// The bits of the value as an element of a type; `None` where a `u32` cannot hold it.
    /// Negative integers are taken modulo 2^32.
    pub fn bits(self, dtype: DType) -> Option<u32> {
        match (dtype, self) {
            (DType::U32, Value::Int(v)) => word(v),
            (DType::U32, Value::Float(_)) => None,
            _ => Some(dtype.from_f32(self.float() as f32)),
        }
    }
}

/// An integer as a 32-bit word.
fn word(value: i64) -> Option<u32> {
    let fits = (i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(&value);
    fits.then_some(value as u32)
}
