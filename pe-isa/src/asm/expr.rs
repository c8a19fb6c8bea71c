//! Expressions over integers and floats.

use super::DEEPEST;
use super::cursor::{Cursor, Name, Parsed};
use super::diagnostic::{Diagnostic, Span};
use super::lexer::Kind;
use super::value::Value;

/// An expression and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub node: Node,
    /// Where it is.
    pub span: Span,
    /// Longest way to a leaf.
    depth: u16,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// A number.
    Value(Value),
    /// A constant, parameter or index.
    Name(String),
    /// A function and its arguments.
    Call(Box<(Name, Vec<Expr>)>),
    /// `sum(k, from, to, term)`: the sum of `term` over `from <= k < to`.
    Sum(Box<(Name, [Expr; 3])>),
    /// `-a` or `!a`.
    Unary(&'static str, Box<Expr>),
    /// `a op b`.
    Binary(&'static str, Box<[Expr; 2]>),
    /// `condition ? a : b`.
    Choose(Box<[Expr; 3]>),
}

/// Binary operators, loosest first; those of one row bind alike, from left to right.
const LEVELS: [&[&str]; 9] = [
    &["||"],
    &["&&"],
    &["==", "!=", "<=", ">=", "<", ">"],
    &["|"],
    &["^"],
    &["&"],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];

impl Expr {
    fn new(node: Node, span: Span, depth: u16) -> Parsed<Expr> {
        if depth > DEEPEST {
            let message = format!("this expression is nested more than {DEEPEST} deep");
            return Err(Diagnostic::new(span, message).cure("give a part of it a name with `let`"));
        }
        Ok(Expr { node, span, depth })
    }

    /// A number that stands nowhere in the source.
    pub fn constant(value: Value, span: Span) -> Expr {
        Expr { node: Node::Value(value), span, depth: 1 }
    }

    /// The name that this expression is, if it is one.
    pub fn as_name(&self) -> Option<&str> {
        match &self.node {
            Node::Name(name) => Some(name),
            _ => None,
        }
    }

    /// Reads an expression.
    ///
    /// # Errors
    /// When there is none here, or it is nested too deeply.
    pub fn parse(cursor: &mut Cursor) -> Parsed<Expr> {
        choose(cursor, 0)
    }
}

/// `nest` counts the calls on the stack, which grow by a fixed number with each parenthesis.
fn choose(cursor: &mut Cursor, nest: u16) -> Parsed<Expr> {
    let condition = binary(cursor, 0, nest)?;
    if !cursor.eat("?") {
        return Ok(condition);
    }
    let yes = choose(cursor, deeper(cursor, nest)?)?;
    cursor.expect(":")?;
    let no = choose(cursor, deeper(cursor, nest)?)?;
    let depth = 1 + condition.depth.max(yes.depth).max(no.depth);
    let span = condition.span.to(no.span);
    Expr::new(Node::Choose(Box::new([condition, yes, no])), span, depth)
}

fn deeper(cursor: &Cursor, nest: u16) -> Parsed<u16> {
    // A parenthesis costs a dozen calls, so fewer of them are allowed than operators.
    if nest >= DEEPEST / 4 {
        let message = format!("parentheses are nested more than {} deep", DEEPEST / 4);
        return Err(Diagnostic::new(cursor.span(), message));
    }
    Ok(nest + 1)
}

fn binary(cursor: &mut Cursor, level: usize, nest: u16) -> Parsed<Expr> {
    let Some(operators) = LEVELS.get(level) else {
        return unary(cursor, nest);
    };
    let mut left = binary(cursor, level + 1, nest)?;
    while let Some(operator) = operators.iter().find(|o| cursor.sees(o)) {
        cursor.bump();
        let right = binary(cursor, level + 1, nest)?;
        let depth = 1 + left.depth.max(right.depth);
        let span = left.span.to(right.span);
        left = Expr::new(Node::Binary(operator, Box::new([left, right])), span, depth)?;
    }
    Ok(left)
}

fn unary(cursor: &mut Cursor, nest: u16) -> Parsed<Expr> {
    let start = cursor.span();
    for operator in ["-", "!"] {
        if cursor.eat(operator) {
            let inner = unary(cursor, deeper(cursor, nest)?)?;
            let (span, depth) = (start.to(inner.span), inner.depth + 1);
            return Expr::new(Node::Unary(operator, Box::new(inner)), span, depth);
        }
    }
    atom(cursor, nest)
}

fn atom(cursor: &mut Cursor, nest: u16) -> Parsed<Expr> {
    let span = cursor.span();
    let node = match *cursor.peek() {
        Kind::Int(value) => Node::Value(Value::Int(value)),
        Kind::Float(value) => Node::Value(Value::Float(value)),
        Kind::Mark("(") => {
            cursor.bump();
            let mut inner = choose(cursor, deeper(cursor, nest)?)?;
            inner.span = span.to(cursor.expect(")")?);
            return Ok(inner);
        }
        Kind::Word(word) => {
            if matches!(cursor.ahead(1), Kind::Mark("(")) {
                return call(cursor, deeper(cursor, nest)?);
            }
            Node::Name(word.to_string())
        }
        _ => return Err(cursor.wanted("a number, a name or an expression")),
    };
    cursor.bump();
    Expr::new(node, span, 1)
}

fn call(cursor: &mut Cursor, nest: u16) -> Parsed<Expr> {
    let name = cursor.name("a function")?;
    cursor.expect("(")?;
    if name.text == "sum" {
        let index = cursor.name("the index of the sum")?;
        let mut part = || {
            cursor.expect(",")?;
            choose(cursor, nest)
        };
        let parts = [part()?, part()?, part()?];
        let depth = 1 + parts.iter().map(|p| p.depth).max().unwrap_or(0);
        let span = name.span.to(cursor.expect(")")?);
        return Expr::new(Node::Sum(Box::new((index, parts))), span, depth);
    }
    let arguments = if cursor.sees(")") { Vec::new() } else { cursor.list(|c| choose(c, nest))? };
    let span = name.span.to(cursor.expect(")")?);
    let depth = 1 + arguments.iter().map(|a| a.depth).max().unwrap_or(0);
    Expr::new(Node::Call(Box::new((name, arguments))), span, depth)
}
