//! The machine that a text states, and machine constants as names in expressions.

use super::super::ast::{Item, ItemKind};
use super::Step;
use crate::machine::Machine;
use pe_isa::Ratio;
use pe_isa::asm::{Diagnostic, Scope, Value};
use serde_json::Value as Json;

/// The machine that the first statement states, and the statements behind it.
pub(super) fn stated(items: &[Item]) -> Step<(Option<Machine>, &[Item])> {
    let Some((Item { kind: ItemKind::Machine(text), .. }, rest)) = items.split_first() else {
        return Ok((None, items));
    };
    let machine = Machine::from_ron(&text.text, "machine");
    let error = |e: crate::MachineError| {
        Diagnostic::new(text.span, e.to_string()).cure(
            "`machine` holds the text of a machine file; for one by its name leave it out and give --machine",
        )
    };
    Ok((Some(machine.map_err(error)?), rest))
}

/// Names every number of the machine file by its key, such as `pe.ramp_cycles`.
pub(super) fn define(machine: &Machine, scope: &mut Scope) {
    if let Ok(tree) = serde_json::to_value(machine) {
        define_tree("", &tree, scope);
    }
    scope.define("host.latency_cycles", Value::Int(machine.host_latency_cycles() as i64));
}

fn define_tree(prefix: &str, tree: &Json, scope: &mut Scope) {
    let Json::Object(entries) = tree else { return };
    for (key, value) in entries {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Json::Object(_) => define_tree(&name, value, scope),
            Json::Number(number) => {
                if let Some(number) = number.as_i64() {
                    scope.define(&name, Value::Int(number));
                }
            }
            // Rates are written as text: "9/8".
            Json::String(text) if key != "name" => {
                if let Ok(ratio) = Ratio::parse(text) {
                    let whole = ratio.den() == 1;
                    let value = if whole {
                        Value::Int(ratio.num().into())
                    } else {
                        Value::Float(ratio.to_f64())
                    };
                    scope.define(&name, value);
                }
            }
            _ => {}
        }
    }
}
