//! What `wafersim exec` runs: a text or an image in binary form, read, put on its machine, linted.

use crate::args::{ExecArgs, WaferArgs};
use crate::findings;
use crate::settings::Settings;
use anyhow::{Context as _, Result, anyhow, bail};
use compiler::kernels::{self, Entry};
use fabric::text::{Kernel, Value, parse};
use fabric::{Machine, ProgramId, binary, lint, presets};
use pe_isa::asm::spelling::nearest;
use pe_isa::asm::{Cursor, Expr, Scope};
use std::path::Path;

/// Steps that the value of a `--param` may take.
const PARAM_FUEL: u64 = 1 << 16;

/// Some editors begin files with it.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A kernel without errors of the linter, and the text it was made from, if it was.
pub(crate) struct Loaded {
    pub(crate) kernel: Kernel,
    pub(crate) source: Option<String>,
}

impl Loaded {
    /// The line of the text, from 1, at which an instruction of a program stands.
    pub(crate) fn line(&self, program: ProgramId, instruction: u16) -> Option<usize> {
        let code = self.kernel.code.get(program.0 as usize)?;
        let span = code.get(usize::from(instruction))?;
        let before = self.source.as_ref()?.get(..span.start)?;
        Some(1 + before.matches('\n').count())
    }
}

/// Reads the file, whichever form it has.
///
/// # Errors
/// A file that cannot be read or is neither form, every mistake in a text, all errors of the linter,
/// and options that do not go with the file.
pub(crate) fn load(args: &ExecArgs) -> Result<Loaded> {
    let name = args.kernel().display().to_string();
    if let Some(entry) = built_in(&name).filter(|_| !args.kernel().exists()) {
        let kernel = kernels::generate(entry.name, &machine(args)?, &params(args)?)?;
        return sound(Loaded { kernel, source: None }, args, &name);
    }
    let bytes = read_file(args.kernel())?;
    let loaded = if binary::is_image(&bytes) {
        let (image, host) = binary::read(&bytes).with_context(|| name.clone())?;
        if !args.param.is_empty() {
            bail!("{name} is an image in binary form and has no parameters; leave out --param");
        }
        Loaded { kernel: Kernel::of_image(image, host), source: None }
    } else {
        let source = String::from_utf8(bytes).map_err(|error| not_text(&name, &error))?;
        let source = source.strip_prefix(BYTE_ORDER_MARK).map_or(source.clone(), String::from);
        let kernel = parse(&source, &name, &machine(args)?, &params(args)?)?;
        Loaded { kernel, source: Some(source) }
    };
    if loaded.kernel.states_machine && (args.machine.is_some() || !args.set.is_empty()) {
        bail!(
            "{name} states its own machine, for which it was made; leave out --machine and --set, or \
             make it again for another machine"
        );
    }
    sound(loaded, args, &name)
}

fn built_in(name: &str) -> Option<&'static Entry> {
    kernels::REGISTRY.iter().find(|entry| entry.name == name)
}

fn params(args: &ExecArgs) -> Result<Vec<(String, Value)>> {
    let params: Vec<_> = args.param.iter().map(|p| param(p)).collect::<Result<_>>()?;
    for (at, (name, _)) in params.iter().enumerate() {
        if let Some(before) = params[..at].iter().position(|(other, _)| other == name) {
            let (first, second) = (&args.param[before], &args.param[at]);
            bail!("--param {first} and --param {second}: give {name} one value");
        }
    }
    Ok(params)
}

/// Has the linter judge a kernel that has something to run.
fn sound(loaded: Loaded, args: &ExecArgs, name: &str) -> Result<Loaded> {
    let image = &loaded.kernel.image;
    if image.host_in.is_empty() && image.tiles.iter().all(|tile| tile.program.is_none()) {
        bail!(
            "{name} has nothing to run: it puts no program on any tile; write `place NAME at (0, 0)`"
        );
    }
    findings::judge(lint(&loaded.kernel.image), name, args.quiet)?;
    Ok(loaded)
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let name = path.display();
    std::fs::read(path).map_err(|e| {
        let built_in = kernels::REGISTRY.iter().map(|entry| entry.name);
        let near = nearest(&name.to_string(), built_in);
        let hint = near.map_or(String::new(), |n| format!(" (did you mean `{n}`?)"));
        anyhow!(
            "{name} could not be read: {e}; give a kernel (.wsk), an image, or a name that \
             `wafersim exec --list` shows{hint}"
        )
    })
}

fn not_text(name: &str, error: &std::string::FromUtf8Error) -> anyhow::Error {
    let at = error.utf8_error().valid_up_to();
    let line = 1 + error.as_bytes()[..at].iter().filter(|b| **b == b'\n').count();
    anyhow!(
        "{name}:{line}: byte {at} of the file is not UTF-8, so it is no text, and no image either, since \
         it does not begin with `wafersim`"
    )
}

/// The machine of the options.
fn machine(args: &ExecArgs) -> Result<Machine> {
    let beyond = args.set.iter().find(|set| {
        set.trim_start().starts_with("numerics.") || set.trim_start().starts_with("mapping.")
    });
    if let Some(beyond) = beyond {
        bail!("--set {beyond}: that is for models; a program takes keys that begin with machine");
    }
    let machine = args.machine.clone().unwrap_or_else(|| presets::DEFAULT.to_string());
    Ok(Settings::resolve(&WaferArgs { machine, set: args.set.clone(), prefill_chunk: None })?
        .machine)
}

/// Reads `NAME=VALUE`; values are written as in texts.
fn param(text: &str) -> Result<(String, Value)> {
    let Some((name, value)) = text.split_once('=') else {
        bail!("--param {text}: write NAME=VALUE, such as P=8");
    };
    let mut cursor = Cursor::new(value.trim());
    let value = Expr::parse(&mut cursor).and_then(|expr| {
        cursor.skip_newlines();
        if cursor.at_end() { Ok(expr) } else { Err(cursor.wanted("the end of the value")) }
    });
    let value = value.and_then(|expr| Scope::with_fuel(PARAM_FUEL).eval(&expr));
    let value = value.map_err(|error| anyhow!("--param {text}: {}", error.message))?;
    Ok((name.trim().to_string(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_values_of_parameters_read_as_in_texts() {
        let value = |text: &str| param(text).map_err(|e| e.to_string());
        assert_eq!(value("P=0x10"), Ok(("P".into(), Value::Int(16))));
        assert_eq!(value(" P = -2 * 3 "), Ok(("P".into(), Value::Int(-6))));
        assert_eq!(value("e=1e-3"), Ok(("e".into(), Value::Float(1e-3))));
        for wrong in ["P", "P=", "P=x", "P=1 2", "P=1/0", "P=(", "P=9223372036854775807+1"] {
            assert!(
                value(wrong).is_err_and(|e| e.contains(&format!("--param {wrong}"))),
                "{wrong}"
            );
        }
    }
}
