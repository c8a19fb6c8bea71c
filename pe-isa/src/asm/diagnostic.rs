//! What is wrong with a text, as a value, and its rendering for people.

use std::fmt::Write as _;

/// A piece of the source, in bytes; `end` is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

impl Span {
    /// From the beginning of this span to the end of `last`.
    #[must_use]
    pub fn to(self, last: Span) -> Span {
        Span { start: self.start, end: last.end.max(self.end) }
    }
}

/// One mistake in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where, in bytes.
    pub span: Span,
    /// Line of the span's start, from 1; 0 until [`Diagnostic::locate`].
    pub line: usize,
    /// Column of the span's start in characters, from 1; 0 until [`Diagnostic::locate`].
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub cure: String,
}

impl Diagnostic {
    /// A mistake at `span`.
    pub fn new(span: Span, message: impl Into<String>) -> Diagnostic {
        let (line, column) = (0, 0);
        Diagnostic { span, line, column, message: message.into(), cure: String::new() }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Diagnostic {
        self.cure = cure.into();
        self
    }

    /// Finds line and column in the source.
    pub fn locate(&mut self, source: &str) {
        let before = floor(source, self.span.start);
        let start = source[..before].rfind('\n').map_or(0, |at| at + 1);
        self.line = 1 + source[..before].matches('\n').count();
        self.column = 1 + source[start..before].chars().count();
    }

    /// The message, the line of the source that it is about, a caret under the place, and the cure.
    pub fn render(&self, source: &str, file_name: &str) -> String {
        let (first, last) = (floor(source, self.span.start), floor(source, self.span.end));
        let start = source[..first].rfind('\n').map_or(0, |at| at + 1);
        let end = source[first..].find('\n').map_or(source.len(), |at| first + at);
        let line = source[start..end].trim_end_matches('\r');
        let carets = source[first..last.clamp(first, end)].chars().count().max(1);
        // Tabs stand in the margin as they do in the line, so that the caret is under its place.
        let indent = source[start..first].chars().map(|c| if c == '\t' { c } else { ' ' });
        let indent: String = indent.collect();
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let mut out = String::new();
        let _ = writeln!(out, "{file_name}:{}:{}: {}", self.line, self.column, self.message);
        let _ = writeln!(out, " {margin} |\n {number} | {line}");
        let caret = format!(" {margin} | {indent}{} {}", "^".repeat(carets), self.cure);
        out.push_str(caret.trim_end());
        out.push('\n');
        out
    }
}

/// The largest character boundary at or before `at`.
fn floor(source: &str, at: usize) -> usize {
    let mut at = at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}
