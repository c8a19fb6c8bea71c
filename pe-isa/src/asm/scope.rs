//! Names and their values, and the evaluation of expressions.

use super::arithmetic::{BUILTINS, binary, builtin, checked, truth};
use super::diagnostic::{Diagnostic, Span};
use super::expr::{Expr, Node};
use super::spelling::{nearest, numbered};
use super::value::Value;
use crate::DType;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// What a name stands for outside expressions' own indices.
#[derive(Debug, Clone)]
enum Meaning {
    Value(Value),
    Function(Rc<(Vec<String>, Expr)>),
}

/// Deepest evaluation, over all functions that call one another.
const DEEPEST_EVALUATION: u32 = 600;

/// Fuel that a call of a function costs besides its body.
const CALL_FUEL: u64 = 8;

/// The names that expressions see, and the fuel that evaluation burns.
#[derive(Debug, Clone)]
pub struct Scope {
    globals: BTreeMap<String, Meaning>,
    locals: Vec<(String, Value)>,
    /// Steps of evaluation that are left.
    fuel: u64,
    depth: u32,
}

impl Default for Scope {
    fn default() -> Scope {
        Scope::with_fuel(1 << 26)
    }
}

type Evaluated<T> = Result<T, Diagnostic>;

impl Scope {
    /// Without any names; the fuel pays for evaluation and stored words, about 50 ns each.
    pub fn with_fuel(fuel: u64) -> Scope {
        Scope { globals: BTreeMap::new(), locals: Vec::new(), fuel, depth: 0 }
    }

    /// Gives a name a value for good.
    pub fn define(&mut self, name: &str, value: Value) {
        self.globals.insert(name.to_string(), Meaning::Value(value));
    }

    /// Gives a function a meaning for good.
    pub fn define_function(&mut self, name: &str, parameters: Vec<String>, body: Expr) {
        let function = Meaning::Function(Rc::new((parameters, body)));
        self.globals.insert(name.to_string(), function);
    }

    /// Whether [`Scope::define`] or [`Scope::define_function`] has given the name a meaning.
    pub fn is_defined(&self, name: &str) -> bool {
        self.globals.contains_key(name) || BUILTINS.iter().any(|(n, _)| *n == name)
    }

    /// Gives a name a value until [`Scope::leave`]; hides other meanings.
    pub fn enter(&mut self, name: &str, value: Value) {
        self.locals.push((name.to_string(), value));
    }

    /// How many names have been entered and not left.
    pub fn level(&self) -> usize {
        self.locals.len()
    }

    /// Forgets the names entered since [`Scope::level`] was `level`.
    pub fn leave(&mut self, level: usize) {
        self.locals.truncate(level);
    }

    /// Takes away all names that have been entered, to be given back to [`Scope::restore`].
    pub fn hide(&mut self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.locals)
    }

    /// Gives back the names that [`Scope::hide`] took away, and forgets those entered since.
    pub fn restore(&mut self, hidden: Vec<(String, Value)>) {
        self.locals = hidden;
    }

    /// Changes the value of the name entered `back` names ago (0: the last).
    pub fn change(&mut self, back: usize, value: Value) {
        let at = self.locals.len() - 1 - back;
        self.locals[at].1 = value;
    }

    /// Pays for `steps` steps of evaluation or stored words.
    ///
    /// # Errors
    /// When no fuel is left.
    pub fn burn(&mut self, steps: u64, span: Span) -> Evaluated<()> {
        self.fuel = self.fuel.checked_sub(steps).ok_or_else(|| {
            Diagnostic::new(span, "this text takes too many steps to evaluate")
                .cure("are the ranges and repeats meant to be that large?")
        })?;
        Ok(())
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// Unknown names, wrong arguments, division by zero, overflow, no fuel.
    pub fn eval(&mut self, expr: &Expr) -> Evaluated<Value> {
        self.burn(1, expr.span)?;
        if self.depth >= DEEPEST_EVALUATION {
            return Err(Diagnostic::new(expr.span, "functions call one another too deeply")
                .cure("a function cannot call itself"));
        }
        self.depth += 1;
        let value = self.node(expr);
        self.depth -= 1;
        value
    }

    fn node(&mut self, expr: &Expr) -> Evaluated<Value> {
        match &expr.node {
            Node::Value(value) => Ok(*value),
            Node::Name(name) => self.lookup(name, expr.span),
            Node::Unary(operator, inner) => {
                let value = self.eval(inner)?;
                match (*operator, value) {
                    ("-", Value::Float(v)) => Ok(Value::Float(-v)),
                    ("-", Value::Int(v)) => checked(v.checked_neg(), expr.span),
                    (_, v) => Ok(truth(!v.holds())),
                }
            }
            Node::Binary(operator, sides) => {
                let left = self.eval(&sides[0])?;
                match *operator {
                    "&&" if !left.holds() => return Ok(Value::Int(0)),
                    "||" if left.holds() => return Ok(Value::Int(1)),
                    _ => {}
                }
                let right = self.eval(&sides[1])?;
                binary(operator, left, right, expr.span)
            }
            Node::Choose(parts) => {
                let holds = self.eval(&parts[0])?.holds();
                self.eval(&parts[if holds { 1 } else { 2 }])
            }
            Node::Sum(sum) => {
                let (index, parts) = &**sum;
                let (from, to) = (self.int(&parts[0])?, self.int(&parts[1])?);
                let level = self.level();
                self.enter(&index.text, Value::Int(from));
                let total = self.sum(from..to, &parts[2], expr.span);
                self.leave(level);
                total
            }
            Node::Call(call) => {
                let (name, arguments) = &**call;
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(self.eval(argument)?);
                }
                self.call(&name.text, &values, expr.span)
            }
        }
    }

    /// The sum of a term over the name entered last.
    fn sum(&mut self, over: Range<i64>, term: &Expr, span: Span) -> Evaluated<Value> {
        let mut total = Value::Int(0);
        for k in over {
            self.change(0, Value::Int(k));
            total = binary("+", total, self.eval(term)?, span)?;
        }
        Ok(total)
    }

    fn lookup(&self, name: &str, span: Span) -> Evaluated<Value> {
        if let Some((_, value)) = self.locals.iter().rev().find(|(n, _)| n == name) {
            return Ok(*value);
        }
        match self.globals.get(name) {
            Some(Meaning::Value(value)) => Ok(*value),
            Some(Meaning::Function(_)) => {
                let message = format!("`{name}` is a function");
                Err(Diagnostic::new(span, message).cure("give it arguments in parentheses"))
            }
            None => match color_number(name) {
                Some(color) => Ok(Value::Int(color)),
                None => Err(self.unknown(name, span)),
            },
        }
    }

    /// The mistake that a name has no meaning here.
    pub fn unknown(&self, name: &str, span: Span) -> Diagnostic {
        let locals = self.locals.iter().map(|(n, _)| n.as_str());
        let known = locals.chain(self.globals.keys().map(String::as_str));
        let cure = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
        Diagnostic::new(span, Scope::unknown_message(name)).cure(cure.unwrap_or_default())
    }

    /// The message of [`Scope::unknown`].
    pub fn unknown_message(name: &str) -> String {
        format!("`{name}` is not known here")
    }

    fn call(&mut self, name: &str, values: &[Value], span: Span) -> Evaluated<Value> {
        let count = |wanted: usize| {
            let message = format!("`{name}` takes {wanted} arguments, not {}", values.len());
            if values.len() == wanted { Ok(()) } else { Err(Diagnostic::new(span, message)) }
        };
        if let Some(Meaning::Function(function)) = self.globals.get(name) {
            let function = function.clone();
            count(function.0.len())?;
            self.burn(CALL_FUEL, span)?;
            // A function sees its parameters and what is defined for good, not its caller's names.
            let own = function.0.iter().cloned().zip(values.iter().copied()).collect();
            let callers = std::mem::replace(&mut self.locals, own);
            let value = self.eval(&function.1);
            self.locals = callers;
            return value;
        }
        match BUILTINS.iter().find(|(n, _)| *n == name) {
            Some((_, wanted)) => count(*wanted)?,
            None => {
                let known = self.globals.iter().filter(|(_, m)| matches!(m, Meaning::Function(_)));
                let known = known.map(|(n, _)| n.as_str()).chain(BUILTINS.iter().map(|(n, _)| *n));
                let cure = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
                let message = format!("there is no function `{name}`");
                return Err(Diagnostic::new(span, message).cure(cure.unwrap_or_default()));
            }
        }
        builtin(name, values, span)
    }

    /// The value of an expression that must be an integer.
    ///
    /// # Errors
    /// As [`Scope::eval`], and for a float.
    pub fn int(&mut self, expr: &Expr) -> Evaluated<i64> {
        match self.eval(expr)? {
            Value::Int(value) => Ok(value),
            Value::Float(value) => {
                let message = format!("this must be an integer, but it is {value}");
                Err(Diagnostic::new(expr.span, message).cure("`int(…)` cuts the fraction off"))
            }
        }
    }

    /// The value of an expression that must be an integer within a range; `what` names it.
    ///
    /// # Errors
    /// As [`Scope::int`], and outside the range.
    pub fn within(&mut self, expr: &Expr, what: &str, low: i64, high: i64) -> Evaluated<i64> {
        let value = self.int(expr)?;
        if (low..=high).contains(&value) {
            return Ok(value);
        }
        let message = format!("{what} is {value}, which is not in {low} to {high}");
        Err(Diagnostic::new(expr.span, message))
    }

    /// The bits of an expression as an element of a type.
    ///
    /// # Errors
    /// As [`Scope::eval`], and where the type cannot hold the value.
    pub fn bits(&mut self, expr: &Expr, dtype: DType) -> Evaluated<u32> {
        let value = self.eval(expr)?;
        value.bits(dtype).ok_or_else(|| {
            let message = format!("{} is no 32-bit integer", value.float());
            Diagnostic::new(expr.span, message)
        })
    }
}

/// `c0` to `c255` are colors where the name has no other meaning.
fn color_number(name: &str) -> Option<i64> {
    numbered(name, 'c').map(i64::from)
}
