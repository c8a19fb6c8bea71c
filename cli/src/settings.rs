//! Machine, numerics and mapping of a command: named, read, overridden, validated.

use crate::args::WaferArgs;
use anyhow::{Context as _, Result, bail};
use compiler::{Mapping, Numerics};
use fabric::{Machine, overrides, presets};
use pe_isa::asm::spelling::nearest;
use std::path::Path;

/// First part of the keys that `--set` takes.
const GROUPS: [&str; 3] = ["machine", "numerics", "mapping"];

/// What a model is put on, and how, with all overrides applied.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Valid by [`Machine::validate`].
    pub(crate) machine: Machine,
    pub(crate) numerics: Numerics,
    pub(crate) mapping: Mapping,
    /// The overrides as given.
    pub(crate) overrides: Vec<String>,
}

impl Settings {
    /// Reads the machine and applies `--set`, in order.
    ///
    /// # Errors
    /// A machine that is not there or not valid, an unknown key, a value that does not fit its key.
    pub(crate) fn resolve(args: &WaferArgs) -> Result<Settings> {
        let mut settings = Settings {
            machine: read_machine(&args.machine)?,
            numerics: Numerics::default(),
            mapping: Mapping::default(),
            overrides: args.set.clone(),
        };
        let mut machine_changes = Vec::new();
        for change in &args.set {
            settings.apply(change, &mut machine_changes)?;
        }
        settings.machine = settings.machine.with_overrides(&machine_changes)?;
        settings.mapping.prefill_chunk =
            args.prefill_chunk.unwrap_or(settings.mapping.prefill_chunk);
        Ok(settings)
    }

    /// The settings as reports carry them.
    ///
    /// # Errors
    /// None in practice: settings are plain data.
    pub(crate) fn entry(&self) -> Result<traces::Settings> {
        Ok(traces::Settings {
            data: "full",
            data_seed: None,
            fold: "off",
            numerics: serde_json::to_value(self.numerics)?,
            mapping: serde_json::to_value(self.mapping)?,
            streams: 1,
            overrides: self.overrides.clone(),
            sampling: serde_json::Value::Null,
            stop_strings: Vec::new(),
            chat_date: None,
        })
    }

    /// Applies one `--set`; changes of the machine are collected, to be applied together.
    fn apply<'a>(
        &mut self,
        change: &'a str,
        machine_changes: &mut Vec<(&'a str, &'a str)>,
    ) -> Result<()> {
        let Some((key, value)) = change.split_once('=') else {
            bail!("--set {change}: write KEY=VALUE, such as machine.fabric.hop_cycles=1");
        };
        let (key, value) = (key.trim(), value.trim());
        let (group, path) = key.split_once('.').unwrap_or((key, ""));
        match group {
            _ if GROUPS.contains(&group) && path.is_empty() => {
                bail!("--set {key}: {group} is a group of keys; set one of them")
            }
            "machine" => machine_changes.push((path, value)),
            "numerics" => self.numerics = overrides::set(&self.numerics, group, path, value)?,
            "mapping" => self.mapping = overrides::set(&self.mapping, group, path, value)?,
            _ => bail!("--set {key}: {}", self.explain_group(group, key)),
        }
        Ok(())
    }

    fn explain_group(&self, group: &str, key: &str) -> String {
        let machine = serde_json::to_value(&self.machine).expect("a machine is plain data");
        let meant = match nearest(group, GROUPS) {
            Some(near) => format!("; did you mean `{}`?", key.replacen(group, near, 1)),
            None if machine.get(group).is_some() => format!("; did you mean `machine.{key}`?"),
            None => String::new(),
        };
        format!("no such key{meant} (keys begin with {})", GROUPS.join(", "))
    }
}

/// Whether a machine's name is the path of a file, even of one that is not there: it ends in `.ron` or names a folder.
pub(crate) fn is_machine_file(name: &str) -> bool {
    name.ends_with(".ron") || name.contains(std::path::is_separator)
}

/// The machine of a preset's name, or of a file: whatever ends in `.ron`, names a folder or exists.
///
/// # Errors
/// No such preset or file, and whatever is wrong with the file.
pub(crate) fn read_machine(name: &str) -> Result<Machine> {
    let path = Path::new(name);
    if !is_machine_file(name) && !path.is_file() {
        return Ok(presets::preset(name)?);
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("machine file {name} could not be read"))?;
    Ok(Machine::from_ron(&text, name)?)
}
