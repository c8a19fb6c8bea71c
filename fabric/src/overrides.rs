//! `--set key=value`: one key of a configuration changed by its dotted path.

use crate::machine::{Machine, MachineError};
use pe_isa::asm::spelling::nearest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Sets the key at `path` (dotted, relative to `config`) to `value`, which is read as JSON or RON
/// scalar or list, or else taken as a string. `prefix` stands before the path in messages.
///
/// # Errors
/// An unknown key, with the nearest known one; a value of the wrong type.
pub fn set<T: Serialize + DeserializeOwned>(
    config: &T,
    prefix: &str,
    path: &str,
    value: &str,
) -> Result<T, MachineError> {
    let mut tree = serde_json::to_value(config).expect("configurations are plain data");
    let mut node = &mut tree;
    let mut walked = String::from(prefix);
    for part in path.split('.') {
        let Value::Object(map) = node else {
            return Err(MachineError::Override(format!("{walked} has no keys below it")));
        };
        if !map.contains_key(part) {
            let known: Vec<&str> = map.keys().map(String::as_str).collect();
            let near = nearest(part, known.iter().copied())
                .map_or(String::new(), |n| format!("; did you mean `{walked}.{n}`?"));
            return Err(MachineError::Override(format!(
                "{walked}.{part}: no such key{near} (keys here: {})",
                known.join(", ")
            )));
        }
        node = map.get_mut(part).expect("checked above");
        walked = format!("{walked}.{part}");
    }
    if node.is_object() {
        return Err(MachineError::Override(format!(
            "{walked} is a group of keys; set one of them"
        )));
    }
    let was_string = node.is_string();
    *node = match serde_json::from_str(value) {
        Ok(parsed) if !was_string => parsed,
        _ => Value::String(value.to_string()),
    };
    let mut track = serde_path_to_error::Track::new();
    let reader = serde_path_to_error::Deserializer::new(&tree, &mut track);
    T::deserialize(reader).map_err(|e| {
        MachineError::Override(format!("{walked}={value}: {e} (key {})", track.path()))
    })
}

impl Machine {
    /// This machine with some keys changed, each given as path and value; see [`set`]. Ranges are checked when all are
    /// applied, so that keys that bound one another can be set in any order.
    ///
    /// # Errors
    /// As [`set`], and values outside their legal range.
    pub fn with_overrides(&self, changes: &[(&str, &str)]) -> Result<Machine, MachineError> {
        let mut machine = self.clone();
        for (path, value) in changes {
            machine = set(&machine, "machine", path, value)?;
        }
        machine.validate().map_err(|e| match e {
            MachineError::Range { message, .. } => {
                let keys: Vec<String> =
                    changes.iter().map(|(path, value)| format!("machine.{path}={value}")).collect();
                MachineError::Override(format!("{}: {message}", keys.join(" ")))
            }
            other => other,
        })?;
        Ok(machine)
    }
}

#[cfg(test)]
mod tests {
    use crate::presets::{PRESETS, preset};

    #[test]
    fn every_preset_reads_and_survives_a_round_trip() {
        for (name, _, _) in PRESETS {
            let machine = preset(name).unwrap();
            assert_eq!(machine.name, name);
            assert_eq!(crate::Machine::from_ron(&machine.to_ron(), name).unwrap(), machine);
        }
    }

    #[test]
    fn a_key_can_be_set_and_a_wrong_one_names_the_nearest() {
        let machine = preset("wse3").unwrap();
        let changed = |key: &str, value: &str| machine.with_overrides(&[(key, value)]);
        assert_eq!(changed("fabric.hop_cycles", "1").unwrap().fabric.hop_cycles, 1);
        let rate = changed("fabric.link_cycles", "5/4").unwrap().fabric.link_cycles;
        assert_eq!(rate.to_string(), "5/4");
        let rate = changed("fabric.link_cycles", "2").unwrap().fabric.link_cycles;
        assert_eq!(rate.to_string(), "2");
        let queues = changed("pe.input_queues", "[2, 2]").unwrap();
        assert_eq!(queues.pe.input_queues, [2, 2]);
        let text = |key: &str, value: &str| changed(key, value).unwrap_err().to_string();
        assert!(text("fabric.hop_cycle", "1").contains("did you mean `machine.fabric.hop_cycles`"));
        assert!(text("fabric.hop_cycles", "0").contains("1 to 1000"));
        assert!(text("fabric.hop_cycles", "x").contains("machine.fabric.hop_cycles"));
        assert!(text("fabric", "1").contains("group of keys"));
    }

    #[test]
    fn keys_that_bound_one_another_can_be_set_in_any_order() {
        let machine = preset("wse3").unwrap();
        let mut changes = [("pe.sram_bytes", "8000"), ("pe.reserve_bytes", "0")];
        let one = machine.with_overrides(&changes).unwrap();
        changes.reverse();
        assert_eq!(machine.with_overrides(&changes).unwrap(), one);
        assert!(machine.with_overrides(&changes[1..]).is_err());
    }

    #[test]
    fn a_bad_file_is_refused_with_key_range_line_and_column() {
        let good = preset("wse3").unwrap().to_ron();
        let zero = good.replace("hop_cycles: 2", "hop_cycles: 0");
        let text = crate::Machine::from_ron(&zero, "m.ron").unwrap_err().to_string();
        assert!(text.contains("fabric.hop_cycles = 0") && text.contains("1 to 1000"), "{text}");
        assert!(text.contains("line ") && text.contains("column "), "{text}");
        let unknown = good.replace("hop_cycles: 2", "hopp_cycles: 2");
        let text = crate::Machine::from_ron(&unknown, "m.ron").unwrap_err().to_string();
        assert!(text.contains("hopp_cycles") && text.starts_with("m.ron:"), "{text}");
        let negative = good.replace("hop_cycles: 2", "hop_cycles: -2");
        assert!(crate::Machine::from_ron(&negative, "m.ron").is_err());
    }
}
