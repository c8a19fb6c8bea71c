//! Text to tokens.

use super::diagnostic::{Diagnostic, Span};
use std::num::{IntErrorKind, ParseIntError};

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind<'a> {
    /// A name; parts joined by dots are one token (`mov.f32`, `pe.ramp_cycles`).
    Word(&'a str),
    /// An integer: decimal, `0x…` or `0b…`.
    Int(i64),
    /// A number with a point or an exponent.
    Float(f64),
    /// Text between double quotes, without them; escapes are kept as written.
    Text(&'a str),
    /// An operator or a bracket.
    Mark(&'static str),
    /// The end of a statement: a new line outside parentheses and brackets, or a semicolon.
    Newline,
    /// The end of the source.
    End,
}

/// A token and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind<'a>,
    /// Where it is.
    pub span: Span,
}

/// Operators and brackets, longer ones before their beginnings.
const MARKS: [&str; 34] = [
    "->", "..", "==", "!=", "<=", ">=", "<<", ">>", "&&", "||", "(", ")", "[", "]", "{", "}", ",",
    ":", "=", "<", ">", "+", "-", "*", "/", "%", "&", "|", "^", "!", "?", "#", "@", ";",
];

/// Splits a source into tokens; what is none is reported and passed over.
pub fn tokens<'a>(source: &'a str, errors: &mut Vec<Diagnostic>) -> Vec<Token<'a>> {
    let mut lexer = Lexer { source, at: 0, open: 0, tokens: Vec::new() };
    while lexer.at < source.len() {
        if let Err(error) = lexer.step() {
            errors.push(error);
            if errors.len() >= super::MOST_ERRORS {
                break;
            }
        }
    }
    let end = Span { start: source.len(), end: source.len() };
    lexer.tokens.push(Token { kind: Kind::Newline, span: end });
    lexer.tokens.push(Token { kind: Kind::End, span: end });
    lexer.tokens
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    /// Parentheses and brackets that are open; lines do not end within them.
    open: usize,
    tokens: Vec<Token<'a>>,
}

impl<'a> Lexer<'a> {
    fn push(&mut self, kind: Kind<'a>, length: usize) {
        let span = Span { start: self.at, end: self.at + length };
        self.tokens.push(Token { kind, span });
        self.at += length;
    }

    fn error(&mut self, length: usize, message: &str) -> Diagnostic {
        let span = Span { start: self.at, end: self.at + length };
        self.at += length;
        Diagnostic::new(span, message)
    }

    /// Takes one token, comment or run of blanks. Always moves on.
    fn step(&mut self) -> Result<(), Diagnostic> {
        let rest = &self.source[self.at..];
        let Some(first) = rest.chars().next() else { return Ok(()) };
        match first {
            '\n' if self.open == 0 => self.push(Kind::Newline, 1),
            c if c.is_whitespace() => self.at += c.len_utf8(),
            _ if rest.starts_with("//") => self.at += rest.find('\n').unwrap_or(rest.len()),
            c if c.is_ascii_alphabetic() || c == '_' => {
                let length = word_length(rest);
                self.push(Kind::Word(&rest[..length]), length);
            }
            c if c.is_ascii_digit() => self.number(rest)?,
            '"' => self.text(rest)?,
            c => {
                let Some(mark) = MARKS.iter().find(|m| rest.starts_with(**m)) else {
                    let message = format!("`{}` has no meaning here", c.escape_debug());
                    return Err(self.error(c.len_utf8(), &message));
                };
                match *mark {
                    "(" | "[" => self.open += 1,
                    ")" | "]" => self.open = self.open.saturating_sub(1),
                    // A bracket that was never closed must not swallow the rest of the file.
                    "{" | "}" | ";" => self.open = 0,
                    _ => {}
                }
                let kind = if *mark == ";" { Kind::Newline } else { Kind::Mark(mark) };
                self.push(kind, mark.len());
            }
        }
        Ok(())
    }

    fn number(&mut self, rest: &'a str) -> Result<(), Diagnostic> {
        let radix = match rest.get(..2) {
            Some("0x" | "0X") => 16,
            Some("0b" | "0B") => 2,
            _ => 10,
        };
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = if radix == 10 {
            decimal_length(rest)
        } else {
            rest.find(|c| !is_part(c)).unwrap_or(rest.len())
        };
        let text: String = rest[..length].chars().filter(|&c| c != '_').collect();
        let span = Span { start: self.at, end: self.at + length };
        // A number that cannot be read is still a number, so that what follows is no further mistake.
        if radix == 10 && text.contains(['.', 'e', 'E']) {
            let value = text.parse::<f64>().ok().filter(|v| v.is_finite());
            self.push(Kind::Float(value.unwrap_or(1.0)), length);
            return value
                .map(drop)
                .ok_or_else(|| Diagnostic::new(span, "this number is too large"));
        }
        let digits = if radix == 10 { &text } else { &text[2..] };
        let value = i64::from_str_radix(digits, radix);
        self.push(Kind::Int(value.as_ref().copied().unwrap_or(1)), length);
        let message = |error: ParseIntError| match (error.kind(), radix) {
            (IntErrorKind::PosOverflow, _) => "this is no integer of 63 bits",
            (_, 2) => "behind `0b` stand digits 0 and 1",
            _ => "behind `0x` stand digits 0 to 9 and a to f",
        };
        value.map(drop).map_err(|error| Diagnostic::new(span, message(error)))
    }

    /// `"…"` with backslash escapes, or `"""…"""` taken as it stands.
    fn text(&mut self, rest: &'a str) -> Result<(), Diagnostic> {
        if let Some(inner) = rest.strip_prefix("\"\"\"") {
            let Some(length) = inner.find("\"\"\"") else {
                return Err(self.error(rest.len(), "this text has no closing `\"\"\"`"));
            };
            self.push(Kind::Text(&inner[..length]), length + 6);
            return Ok(());
        }
        let mut escaped = false;
        for (at, c) in rest.char_indices().skip(1) {
            match c {
                '"' if !escaped => {
                    self.push(Kind::Text(&rest[1..at]), at + 1);
                    return Ok(());
                }
                _ => escaped = c == '\\' && !escaped,
            }
        }
        let line = rest.find('\n').unwrap_or(rest.len());
        Err(self.error(line, "this text has no closing `\"`"))
    }
}

/// Letters, digits and underscores, and further such parts behind single dots.
fn word_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        let joins = b == b'.' && bytes.get(at + 1).is_some_and(u8::is_ascii_alphabetic);
        if !(b.is_ascii_alphanumeric() || b == b'_' || joins) {
            break;
        }
        at += 1;
    }
    at
}

/// Digits, a point with a digit behind it (`0..P` is no float), an exponent.
fn decimal_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(|b| b.is_ascii_digit() || *b == b'_') {
            at += 1;
        }
        at
    };
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = digits(0);
    if bytes.get(at) == Some(&b'.') && digit(at + 1) {
        at = digits(at + 1);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        if digit(at + 1 + sign) {
            at = digits(at + 1 + sign);
        }
    }
    at
}
