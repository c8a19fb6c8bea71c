//! The ways in which a command can end without its result, and the exit code of each.

use clap::builder::styling::{AnsiColor, Style};
use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

/// Why a command ended without its result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user's input or the outside world is wrong: exit code 1.
    Input(anyhow::Error),
    /// The simulated program misbehaved: exit code 2.
    Program(String),
    /// A check found a difference: exit code 3.
    Difference(String),
    /// The user ended the command (Ctrl-C), which has put its things in order: exit code 130.
    Interrupted(String),
    /// The command line could not be read (1), or asked for help or version (0).
    Usage(clap::Error),
    /// Whoever read our output has gone away; nothing is left to say, and nobody to say it to.
    ClosedPipe,
}

/// What went wrong, as it is printed.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Input(error) => write!(f, "{error:#}"),
            Failure::Program(message)
            | Failure::Difference(message)
            | Failure::Interrupted(message) => f.write_str(message),
            Failure::Usage(usage) => usage.fmt(f),
            Failure::ClosedPipe => f.write_str("nobody reads the output any more"),
        }
    }
}

/// What `?` makes of any other error.
impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Input(error.into())
    }
}

/// Prints what went wrong and says with which code to exit.
pub(crate) fn exit_code(done: Result<(), Failure>) -> ExitCode {
    let (code, message) = match done {
        Ok(()) | Err(Failure::ClosedPipe) => return ExitCode::SUCCESS,
        Err(Failure::Usage(usage)) => {
            // A closed stream is no reason to fail: there is nobody left to read.
            let _ = usage.print();
            return ExitCode::from(u8::from(usage.use_stderr()));
        }
        Err(Failure::Input(error)) => (1, format!("{error:#}")),
        Err(Failure::Program(message)) => (2, message),
        Err(Failure::Difference(message)) => (3, message),
        Err(Failure::Interrupted(message)) => (130, message),
    };
    say("error", AnsiColor::Red, &message);
    ExitCode::from(code)
}

/// Prints something that the user may want to know although it is no error.
pub(crate) fn note(message: &str) {
    say("note", AnsiColor::Cyan, message);
}

/// Prints something that is probably wrong although it does not keep the command from its result.
/// `kind` stands behind the word, in brackets of its own; it may be empty.
pub(crate) fn warning(kind: &str, message: &str) {
    say(&format!("warning{kind}"), AnsiColor::Yellow, message);
}

fn say(kind: &str, color: AnsiColor, message: &str) {
    let style = Style::new().bold().fg_color(Some(color.into()));
    // A closed standard error is no reason to panic.
    let _ = writeln!(anstream::stderr(), "{style}{kind}:{style:#} {message}");
}
