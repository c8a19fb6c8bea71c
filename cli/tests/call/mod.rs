//! Calls of the command, as a shell makes them.

use std::process::Command;

/// Standard output, standard error and exit code of one call.
pub(crate) struct Call {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: Option<i32>,
}

/// Calls `wafersim` with these arguments and waits for it.
pub(crate) fn wafersim(args: &[&str]) -> Call {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wafersim"));
    let done = command.args(args).output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    Call { out: text(done.stdout), err: text(done.stderr), code: done.status.code() }
}
