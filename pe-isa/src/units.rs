//! Instants, spans and exact ratios, and numbers as people read them. No floating-point time anywhere.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// An instant: the number of clock cycles since the simulation began.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Cycle(pub u64);

/// A span of clock cycles.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Cycles(pub u64);

impl Cycle {
    /// The first cycle of a run.
    pub const ZERO: Cycle = Cycle(0);
    /// An instant that never comes.
    pub const NEVER: Cycle = Cycle(u64::MAX);
}

impl Add<Cycles> for Cycle {
    type Output = Cycle;
    fn add(self, span: Cycles) -> Cycle {
        Cycle(self.0 + span.0)
    }
}

impl AddAssign<Cycles> for Cycle {
    fn add_assign(&mut self, span: Cycles) {
        self.0 += span.0;
    }
}

impl Sub for Cycle {
    type Output = Cycles;
    /// The span from `earlier` to `self`; panics when `earlier` is later.
    fn sub(self, earlier: Cycle) -> Cycles {
        Cycles(self.0.checked_sub(earlier.0).expect("a span of cycles is never negative"))
    }
}

impl Add for Cycles {
    type Output = Cycles;
    fn add(self, other: Cycles) -> Cycles {
        Cycles(self.0 + other.0)
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Cycles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// `1234567` as `1,234,567`: every number of cycles, words or bytes in a sentence or table.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An exact positive ratio, such as the 9/8 cycles per wavelet of a link.
///
/// Written in machine files as an integer (`2`), a fraction (`"9/8"`) or a decimal (`"2.92"`, which
/// is the fraction 73/25, exactly). Always held in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ratio {
    num: u32,
    den: u32,
}

impl Ratio {
    /// The ratio `num / den` in lowest terms, or `None` when either is zero.
    pub const fn new(num: u32, den: u32) -> Option<Ratio> {
        if num == 0 || den == 0 {
            return None;
        }
        let (mut a, mut b) = (num, den);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Some(Ratio { num: num / a, den: den / a })
    }

    /// Numerator in lowest terms.
    pub const fn num(self) -> u32 {
        self.num
    }

    /// Denominator in lowest terms.
    pub const fn den(self) -> u32 {
        self.den
    }

    /// The ratio as a floating-point number, for people.
    pub fn to_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// `ceil(amount / self)`: cycles that `amount` elements take at `self` elements per cycle.
    pub fn cycles_for(self, amount: u64) -> u64 {
        (amount * u64::from(self.den)).div_ceil(u64::from(self.num))
    }

    /// Reads `2`, `9/8` or `2.92`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with `text`.
    pub fn parse(text: &str) -> Result<Ratio, String> {
        let wrong =
            || format!("`{text}` is not a positive ratio; write 2, \"9/8\" or \"2.92\" (above 0)");
        let text_trim = text.trim();
        let (num, den) = if let Some((n, d)) = text_trim.split_once('/') {
            (n.trim().parse::<u64>().ok(), d.trim().parse::<u64>().ok())
        } else if let Some((whole, frac)) = text_trim.split_once('.') {
            if frac.len() > 6 || !frac.bytes().all(|b| b.is_ascii_digit()) || frac.is_empty() {
                return Err(wrong());
            }
            let den = 10u64.pow(frac.len() as u32);
            let whole = whole.parse::<u32>().ok().map(u64::from);
            (whole.and_then(|w| Some(w * den + frac.parse::<u64>().ok()?)), Some(den))
        } else {
            (text_trim.parse::<u64>().ok(), Some(1))
        };
        let (Some(num), Some(den)) = (num, den) else {
            return Err(wrong());
        };
        Ratio::from_wide(num, den).ok_or_else(wrong)
    }

    fn from_wide(num: u64, den: u64) -> Option<Ratio> {
        if num == 0 || den == 0 {
            return None;
        }
        let (mut a, mut b) = (num, den);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Some(Ratio { num: u32::try_from(num / a).ok()?, den: u32::try_from(den / a).ok()? })
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.den == 1 {
            write!(f, "{}", self.num)
        } else {
            write!(f, "{}/{}", self.num, self.den)
        }
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ratio, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Ratio;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a positive ratio such as 2, \"9/8\" or \"2.92\"")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Ratio, E> {
                Ratio::parse(v).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Ratio, E> {
                Ratio::parse(&v.to_string()).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Ratio, E> {
                Ratio::parse(&v.to_string()).map_err(E::custom)
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Ratio, E> {
                Ratio::parse(&v.to_string()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_reads_integers_fractions_and_decimals() {
        assert_eq!(Ratio::parse("2.92").unwrap(), Ratio::new(73, 25).unwrap());
        assert_eq!(Ratio::parse("18/16").unwrap(), Ratio::new(9, 8).unwrap());
        assert_eq!(Ratio::parse("4").unwrap().to_string(), "4");
        for bad in ["0", "", "-1", "1/0", "x", "1.", "1.2.3", "99999999999999999999"] {
            assert!(Ratio::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let all = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(all, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn elements_at_a_rate_take_the_ceiling_of_cycles() {
        let rate = Ratio::parse("2.92").unwrap();
        assert_eq!(rate.cycles_for(0), 0);
        assert_eq!(rate.cycles_for(1), 1);
        assert_eq!(rate.cycles_for(292), 100);
        assert_eq!(rate.cycles_for(293), 101);
    }
}
