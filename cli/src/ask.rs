//! A run as a file asks for it: keys and values, which become the arguments that `wafersim run` would be given, so
//! that a file can ask for whatever a command line can, in the same words and with the same checks.

use crate::args::{Cli, Command, RunArgs};
use crate::settings::is_machine_file;
use anyhow::{Context as _, Result, bail};
use clap::{CommandFactory as _, Parser as _};
use compiler::{Mapping, Numerics};
use fabric::presets;
use pe_isa::asm::spelling::nearest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

/// Options of `run` that a file cannot set: overrides are keys of their own, and what is printed, compared with the
/// host or taken of it is not the file's to say.
const NOT_ASKED: [&str; 8] =
    ["set", "json", "quiet", "threads", "check_reference", "help", "report", "trace"];

/// A value: one of the kinds that the file format has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Setting {
    /// `true`, `false`.
    Flag(bool),
    /// An integer.
    Whole(i64),
    /// Any other number.
    Real(f64),
    /// A text, or a name such as `bf16`.
    Text(String),
    /// Several: an option that is repeated, or a key that is a list.
    List(Vec<Setting>),
}

/// As a command line has it; a list as JSON has it.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Flag(flag) => write!(f, "{flag}"),
            Setting::Whole(number) => write!(f, "{number}"),
            Setting::Real(number) => write!(f, "{number}"),
            Setting::Text(text) => f.write_str(text),
            Setting::List(_) => f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?),
        }
    }
}

/// Keys and values of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Ask(pub(crate) BTreeMap<String, Setting>);

impl Ask {
    /// This, with some keys set.
    pub(crate) fn with<'a>(&self, more: impl IntoIterator<Item = &'a (String, Setting)>) -> Ask {
        let mut all = self.clone();
        all.0.extend(more.into_iter().cloned());
        all
    }

    /// The arguments of `wafersim run` that say the same; paths start in `folder`.
    pub(crate) fn line(&self, folder: &Path) -> Vec<String> {
        let mut line = Vec::new();
        for (key, value) in &self.0 {
            match (key.as_str(), value) {
                ("model", _) => {}
                (key, value) if key.contains('.') => line.push(format!("--set={key}={value}")),
                ("prompt_ids", Setting::List(ids))
                    if ids.iter().all(|id| matches!(id, Setting::Whole(_))) =>
                {
                    let ids: Vec<String> = ids.iter().map(Setting::to_string).collect();
                    line.push(format!("--prompt-ids={}", ids.join(",")));
                }
                (key, Setting::List(values)) => {
                    line.extend(values.iter().filter_map(|value| option(key, value, folder)));
                }
                (key, value) => line.extend(option(key, value, folder)),
            }
        }
        if let Some(model) = self.0.get("model") {
            line.push("--".into());
            line.push(folder.join(model.to_string()).display().to_string());
        }
        line
    }

    /// The arguments, read as a command line is; nothing will be printed, and one thread simulates.
    ///
    /// # Errors
    /// What is wrong with a value, or missing, as the command line would say it.
    pub(crate) fn args(&self, folder: &Path) -> Result<RunArgs> {
        let fixed = ["wafersim", "run", "--json", "--quiet", "--threads=1", "--attribution=off"];
        let fixed = fixed.map(String::from);
        match Cli::try_parse_from(fixed.into_iter().chain(self.line(folder))) {
            Ok(Cli { command: Command::Run { args, .. }, .. }) => Ok(args),
            Ok(_) => bail!("a run was asked for"),
            Err(error) => {
                let text = error.to_string();
                // Behind what is wrong come the usage and a hint at --help, neither of which is the file's.
                let end = text.find("\n\nUsage").or_else(|| text.find("\n\nFor more"));
                let told = text[..end.unwrap_or(text.len())].trim();
                bail!("{}", told.strip_prefix("error: ").unwrap_or(told))
            }
        }
    }

    /// # Errors
    /// A key that there is none of, with the nearest one.
    pub(crate) fn check_keys(&self) -> Result<()> {
        self.0.keys().try_for_each(|key| check_key(key))
    }
}

/// An option as it is typed; nothing for a flag that is not set.
fn option(key: &str, value: &Setting, folder: &Path) -> Option<String> {
    let name = key.replace('_', "-");
    let text = value.to_string();
    let is_path = key == "prompt_file" || (key == "machine" && is_machine_file(&text));
    match value {
        Setting::Flag(true) => Some(format!("--{name}")),
        Setting::Flag(false) => None,
        _ if is_path => Some(format!("--{name}={}", folder.join(&text).display())),
        _ => Some(format!("--{name}={text}")),
    }
}

/// Every key that a run can be asked for: options by name, and keys of machine, numerics and mapping.
pub(crate) fn known_keys() -> Vec<String> {
    let command = Cli::command();
    let run = command.find_subcommand("run").expect("there is such a command");
    let options = run.get_arguments().map(|arg| arg.get_id().as_str().replace('-', "_"));
    let mut known: Vec<String> =
        options.filter(|name| !NOT_ASKED.contains(&name.as_str())).collect();
    let machine = presets::preset(presets::DEFAULT).expect("presets are valid");
    let plain = "settings are plain data";
    for (group, tree) in [
        ("machine", serde_json::to_value(machine).expect(plain)),
        ("numerics", serde_json::to_value(Numerics::default()).expect(plain)),
        ("mapping", serde_json::to_value(Mapping::default()).expect(plain)),
    ] {
        leaves(group, &tree, &mut known);
    }
    known
}

fn leaves(path: &str, tree: &serde_json::Value, known: &mut Vec<String>) {
    match tree {
        serde_json::Value::Object(map) => {
            map.iter().for_each(|(key, below)| leaves(&format!("{path}.{key}"), below, known));
        }
        _ => known.push(path.to_string()),
    }
}

/// # Errors
/// Not a known key; the nearest one is named.
pub(crate) fn check_key(key: &str) -> Result<()> {
    let known = known_keys();
    if known.iter().any(|known| known == key) {
        return Ok(());
    }
    let meant = nearest(key, known.iter().map(String::as_str));
    let meant = meant.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    bail!(
        "there is no key `{key}`{meant} (keys: options of `wafersim run` with _ for -, and machine.…, numerics.…, mapping.…)"
    )
}

/// Reads a RON file.
///
/// # Errors
/// A file that cannot be read; with line and column, what is wrong in it.
pub(crate) fn read_ron<T: DeserializeOwned>(path: &Path) -> Result<(T, String)> {
    let name = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("{name} could not be read"))?;
    Ok((parse_ron(&text).with_context(|| name.to_string())?, text))
}

/// # Errors
/// With line and column, what is wrong.
pub(crate) fn parse_ron<T: DeserializeOwned>(text: &str) -> Result<T> {
    let extensions = ron::extensions::Extensions::IMPLICIT_SOME;
    let options = ron::Options::default().with_default_extension(extensions);
    options.from_str(text).map_err(|wrong| {
        let at = wrong.span.start;
        let meant = match &wrong.code {
            ron::Error::NoSuchStructField { expected, found, .. } => {
                nearest(found, expected.iter().copied())
            }
            ron::Error::NoSuchEnumVariant { expected, found, .. } => {
                nearest(found, expected.iter().copied())
            }
            _ => None,
        };
        let meant = meant.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        anyhow::anyhow!("line {}, column {}: {}{meant}", at.line, at.col, wrong.code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str) -> Ask {
        parse_ron(text).unwrap()
    }

    #[test]
    fn does_a_run_become_the_line_that_says_the_same() {
        let asked =
            ask(r#"{"model": "m", "prompt": ["-a", "b"], "prompt_ids": [1, 2], "chat": false,
            "machine": "x.ron", "machine.pe.input_queues": [2, 2], "max_new_tokens": 3}"#);
        let line = asked.line(Path::new("/f")).join(" ");
        assert_eq!(
            line,
            "--machine=/f/x.ron --set=machine.pe.input_queues=[2,2] --max-new-tokens=3 \
             --prompt=-a --prompt=b --prompt-ids=1,2 -- /f/m"
        );
        let args = asked.args(Path::new("/f")).unwrap();
        assert_eq!((args.prompts.0.len(), args.json, args.quiet), (3, true, true));
    }

    #[test]
    fn is_an_unknown_key_refused_with_the_nearest() {
        let refused = |key: &str| check_key(key).unwrap_err().to_string();
        assert!(refused("max_new_token").contains("`max_new_tokens`"));
        assert!(refused("machine.fabric.hop_cycle").contains("`machine.fabric.hop_cycles`"));
        assert!(refused("json").contains("no key `json`"));
        check_key("mapping.stage_width").unwrap();
        check_key("seed").unwrap();
    }

    #[test]
    fn are_missing_and_wrong_values_told_as_by_the_command_line() {
        let told = |text: &str| ask(text).args(Path::new("")).unwrap_err().to_string();
        assert!(told(r#"{"model": "m"}"#).contains("--prompt"));
        assert!(told(r#"{"model": "m", "prompt_tokens": "x"}"#).contains("`x`"));
        let wrong = parse_ron::<Ask>("{\"a\": }").unwrap_err().to_string();
        assert!(wrong.contains("line 1"), "{wrong}");
    }
}
