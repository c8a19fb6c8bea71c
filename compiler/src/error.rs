//! Why a model cannot be compiled.

use std::fmt;

/// Everything that stands in the way, collected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CompileError {
    /// One sentence each; of the linter's errors a second line with the cure.
    pub diagnostics: Vec<String>,
}

impl CompileError {
    /// An error of one diagnostic.
    pub(crate) fn one(diagnostic: impl Into<String>) -> CompileError {
        CompileError { diagnostics: vec![diagnostic.into()] }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.diagnostics.iter().take(20);
        for (at, diagnostic) in shown.enumerate() {
            let lead = if at == 0 { "" } else { "\n  " };
            write!(f, "{lead}{}", diagnostic.replace('\n', "\n  "))?;
        }
        match self.diagnostics.len() {
            0..=20 => Ok(()),
            more => write!(f, "\n  and {} more", more - 20),
        }
    }
}
