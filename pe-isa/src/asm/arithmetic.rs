//! What operators and functions of expressions compute.

use super::diagnostic::{Diagnostic, Span};
use super::value::Value;

type Step = Result<Value, Diagnostic>;

/// Functions that are always there, with their number of arguments.
pub(super) const BUILTINS: [(&str, usize); 8] = [
    ("min", 2),
    ("max", 2),
    ("abs", 1),
    ("log2", 1),
    ("div_up", 2),
    ("sqrt", 1),
    ("float", 1),
    ("int", 1),
];

pub(super) fn truth(holds: bool) -> Value {
    Value::Int(i64::from(holds))
}

pub(super) fn checked(value: Option<i64>, span: Span) -> Step {
    let overflow = || Diagnostic::new(span, "this leaves the range of 64-bit integers");
    value.map(Value::Int).ok_or_else(overflow)
}

pub(super) fn binary(operator: &str, left: Value, right: Value, span: Span) -> Step {
    let (a, b) = match (left, right) {
        (Value::Int(a), Value::Int(b)) => return integers(operator, a, b, span),
        _ => (left.float(), right.float()),
    };
    Ok(match operator {
        "+" => Value::Float(a + b),
        "-" => Value::Float(a - b),
        "*" => Value::Float(a * b),
        "/" => Value::Float(a / b),
        "%" => Value::Float(a % b),
        "&&" | "||" => truth(right.holds()),
        "==" => truth(a == b),
        "!=" => truth(a != b),
        "<" => truth(a < b),
        "<=" => truth(a <= b),
        ">" => truth(a > b),
        ">=" => truth(a >= b),
        _ => return Err(Diagnostic::new(span, format!("`{operator}` takes integers"))),
    })
}

fn integers(operator: &str, a: i64, b: i64, span: Span) -> Step {
    if b == 0 && matches!(operator, "/" | "%") {
        return Err(Diagnostic::new(span, "division by zero"));
    }
    let shift = u32::try_from(b).ok().filter(|s| *s < 63);
    checked(
        match operator {
            "+" => a.checked_add(b),
            "-" => a.checked_sub(b),
            "*" => a.checked_mul(b),
            "/" => a.checked_div(b),
            "%" => a.checked_rem(b),
            "&" => Some(a & b),
            "|" => Some(a | b),
            "^" => Some(a ^ b),
            "<<" => shift.and_then(|s| a.checked_mul(1 << s)),
            ">>" => shift.map(|s| a >> s),
            "&&" | "||" => Some(i64::from(b != 0)),
            "==" => Some(i64::from(a == b)),
            "!=" => Some(i64::from(a != b)),
            "<" => Some(i64::from(a < b)),
            "<=" => Some(i64::from(a <= b)),
            ">" => Some(i64::from(a > b)),
            _ => Some(i64::from(a >= b)),
        },
        span,
    )
}

pub(super) fn builtin(name: &str, values: &[Value], span: Span) -> Step {
    use Value::{Float, Int};
    Ok(match (name, values) {
        // Not every integer of 64 bits is a float.
        ("min", &[Int(a), Int(b)]) => Int(a.min(b)),
        ("max", &[Int(a), Int(b)]) => Int(a.max(b)),
        ("min", &[a, b]) => {
            if b.float() < a.float() {
                b
            } else {
                a
            }
        }
        ("max", &[a, b]) => {
            if b.float() > a.float() {
                b
            } else {
                a
            }
        }
        ("abs", &[Int(a)]) => return checked(a.checked_abs(), span),
        ("abs", &[Float(a)]) => Float(a.abs()),
        ("log2", &[Int(a)]) if a > 0 => Int(i64::from(a.ilog2())),
        ("div_up", &[Int(a), Int(b)]) if a >= 0 && b > 0 => Int(a / b + i64::from(a % b > 0)),
        ("sqrt", &[a]) => Float(a.float().sqrt()),
        ("float", &[a]) => Float(a.float()),
        ("int", &[Int(a)]) => Int(a),
        ("int", &[Float(a)]) if a.abs() < 9e18 => Int(a as i64),
        _ => {
            let given: Vec<String> = values.iter().map(|v| v.float().to_string()).collect();
            let message = format!("`{name}` has no value at ({})", given.join(", "));
            return Err(Diagnostic::new(span, message));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_integers_compared_that_no_float_tells_apart() {
        let (low, high) = (Value::Int(1 << 53), Value::Int((1 << 53) + 1));
        for pair in [[low, high], [high, low]] {
            assert_eq!(builtin("min", &pair, Span::default()), Ok(low));
            assert_eq!(builtin("max", &pair, Span::default()), Ok(high));
        }
        let mixed = [Value::Int(1), Value::Float(1.5)];
        assert_eq!(builtin("min", &mixed, Span::default()), Ok(Value::Int(1)));
        assert_eq!(builtin("max", &mixed, Span::default()), Ok(Value::Float(1.5)));
    }
}
