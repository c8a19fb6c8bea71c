//! The text form of kernels and images (docs, "Assembly").
//!
//! * [`ast`], `parse`: the statements that stand around programs, and their parser.
//! * `elaborate`: statements and a machine → [`Kernel`].
//! * [`check`]: whether a run did what the text expects.
//! * [`print`](fn@print): an image → a text that reads back equal; [`print_host`] does the host's part.
//!
//! Programs themselves, expressions and diagnostics are those of [`pe_isa::asm`].

pub mod ast;
pub mod check;
mod elaborate;
pub mod kernel;
mod parse;
mod print;
mod print_host;

pub use check::{Difference, Observed, differences};
pub use kernel::{Ending, Expect, Kernel, Place};
pub use pe_isa::asm::{Diagnostic, Span, Value};
pub use print::print;
pub use print_host::print_host;

use crate::machine::Machine;
use pe_isa::asm::cursor::Cursor;
use std::fmt;

/// All mistakes that were found in a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Errors {
    /// The mistakes in the text, in the order of their places.
    pub list: Vec<Diagnostic>,
    /// The same as people read them, each with its line and a caret; before them values for parameters
    /// that the text does not have, behind them what was given for those that it has.
    pub rendered: String,
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rendered.trim_end())
    }
}

/// What was found in a text before it is put into words.
struct Mistakes {
    /// Values given for parameters that the text does not have.
    unknown: Vec<String>,
    list: Vec<Diagnostic>,
    /// What else there is to know, at its place.
    notes: Vec<Diagnostic>,
}

impl Mistakes {
    fn of(list: Vec<Diagnostic>) -> Mistakes {
        Mistakes { unknown: Vec::new(), list, notes: Vec::new() }
    }

    fn rendered(mut self, source: &str, file_name: &str) -> Errors {
        let list = &mut self.list;
        list.sort_by_key(|d| d.span);
        list.dedup();
        list.truncate(pe_isa::asm::MOST_ERRORS);
        let unknown = self.unknown.iter().map(|message| format!("{file_name}: {message}\n"));
        let mut rendered: String = unknown.collect();
        for diagnostic in list.iter_mut().chain(&mut self.notes) {
            diagnostic.locate(source);
            rendered.push_str(&diagnostic.render(source, file_name));
        }
        Errors { list: self.list, rendered }
    }
}

/// Reads a kernel or a printed image. `machine` is the machine it is for, unless the text states
/// one; `params` (on the command line `--param NAME=VALUE`) override the values of the text's `param`
/// statements; `file_name` names the source in errors.
///
/// # Errors
/// Every mistake that can be told apart from the others: syntax, names, values out of range,
/// malformed programs. What a whole image may lack (routes without receivers, SRAM) is for
/// [`crate::lint()`] to find.
pub fn parse(
    source: &str,
    file_name: &str,
    machine: &Machine,
    params: &[(String, Value)],
) -> Result<Kernel, Errors> {
    let mut cursor = Cursor::new(source);
    let items = parse::items(&mut cursor);
    if !cursor.errors.is_empty() {
        return Err(Mistakes::of(cursor.errors).rendered(source, file_name));
    }
    drop(cursor);
    elaborate::kernel(&items, machine, params).map_err(|found| found.rendered(source, file_name))
}
