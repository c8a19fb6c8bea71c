//! Where results go: standard output and files.

use crate::failure::Failure;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

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

/// Writes a file as a whole: under another name in the same folder, then renamed, so that nobody
/// ever reads half of it.
///
/// # Errors
/// Whatever the system reports; a path at which something other than a file stands, such as a device,
/// which renaming would replace.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.display();
    if path.exists() && !path.is_file() {
        bail!("{name} could not be written: it is there already, and no file");
    }
    let Some(file) = path.file_name() else {
        bail!("{name} could not be written: it names no file");
    };
    let unfinished = format!(".{}.{}.unfinished", file.to_string_lossy(), std::process::id());
    let unfinished = path.with_file_name(unfinished);
    let done = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path));
    if done.is_err() {
        // What went wrong is told below; that there may be nothing to remove is no news.
        let _ = fs::remove_file(&unfinished);
    }
    done.with_context(|| format!("{name} could not be written"))
}
