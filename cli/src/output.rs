//! Standard output, where results go.

use crate::failure::Failure;
use anyhow::Context as _;
use std::io::{ErrorKind, Write as _};

/// Prints `text` at once.
///
/// # Errors
/// [`Failure::ClosedPipe`] when nobody reads any more, and whatever else the system reports.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::ClosedPipe),
        Err(error) => Err(error).context("could not write to standard output")?,
    }
}

/// Prints one JSON document, on one line.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_json(document: &impl serde::Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string(document).context("could not write the report")?;
    text.push('\n');
    print(&text)
}
