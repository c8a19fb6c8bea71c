//! The text form of PE programs (docs, "Assembly"): lexer, parser, assembler, printer.
//!
//! * [`diagnostic`]: what is wrong with a text, where, and what to do; rendered with a caret.
//! * [`lexer`], [`cursor`]: tokens, and the walk over them that every parser of the language shares.
//! * [`expr`], [`value`], [`scope`], `arithmetic`: expressions over integers and floats, and the names that they see.
//! * [`quote`]: what stands in quotes.
//! * [`spelling`]: what a mistyped name may have been meant to be.
//! * [`ast`], [`parse`]: the statements of a program, and the parser of its body.
//! * [`assemble`](fn@assemble): a program's statements and a scope → [`crate::Program`].
//! * [`print`](mod@print): a [`crate::Program`] → statements that assemble to an equal one.
//!
//! Bounds: no text makes this module panic or run away. Expressions are at most [`DEEPEST`] deep,
//! blocks at most [`DEEPEST_BLOCK`], and evaluation pays for every step from [`scope::Scope`]'s fuel.

mod arithmetic;
pub mod assemble;
pub mod ast;
pub mod cursor;
pub mod diagnostic;
pub mod expr;
pub mod lexer;
pub mod parse;
pub mod print;
pub mod quote;
pub mod scope;
pub mod spelling;
pub mod value;

pub use assemble::{Assembled, Region, assemble};
pub use cursor::Cursor;
pub use diagnostic::{Diagnostic, Span};
pub use expr::Expr;
pub use scope::Scope;
pub use value::Value;

/// Deepest nesting of an expression, in operators and parentheses.
pub const DEEPEST: u16 = 200;

/// Deepest nesting of blocks.
pub const DEEPEST_BLOCK: u16 = 32;

/// Most errors that are collected; a text with more is seldom helped by seeing them.
pub const MOST_ERRORS: usize = 50;
