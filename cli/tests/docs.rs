//! The page of the machine file (docs/src/machine.md) against the machine file itself: it can't drift.

use fabric::{Machine, presets};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// A row of the page's tables: legal range as written.
fn documented() -> BTreeMap<String, String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/machine.md");
    let text = std::fs::read_to_string(page).expect("the page is there");
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "key, unit, range, meaning: {line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "an empty cell: {line}");
        let key = cells[0].trim_matches('`').to_string();
        assert!(rows.insert(key, cells[2].to_string()).is_none(), "twice: {line}");
    }
    rows
}

fn keys(value: &Value, prefix: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            let dot = if prefix.is_empty() { "" } else { "." };
            keys(value, &format!("{prefix}{dot}{key}"), found);
        }),
        _ => found.push(prefix.to_string()),
    }
}

/// The default machine; without a reserve, so that the smallest SRAM can hold it.
fn default_machine() -> Machine {
    let mut machine = presets::preset(presets::DEFAULT).expect("presets are valid");
    machine.pe.reserve_bytes = 0;
    machine
}

#[test]
fn does_the_page_list_every_key_and_no_other() {
    let machine = serde_json::to_value(default_machine()).expect("machines are plain data");
    let mut wanted = Vec::new();
    keys(&machine, "", &mut wanted);
    wanted.sort();
    let found: Vec<String> = documented().into_keys().collect();
    assert_eq!(found, wanted);
}

#[test]
fn are_the_ranges_on_the_page_those_that_are_checked() {
    let machine = default_machine();
    for (key, range) in documented() {
        let Some((low, high)) = range.split_once(" to ") else {
            continue;
        };
        let number = |text: &str| -> i64 {
            let plain: String = text.chars().filter(|c| *c != ',').collect();
            plain.parse().unwrap_or_else(|_| panic!("{key}: `{text}` is no number"))
        };
        let is_list = key.ends_with("_queues");
        let accepts = |value: i64| {
            let text = if is_list { format!("[{value}]") } else { value.to_string() };
            machine.with_overrides(&[(&key, &text)]).is_ok()
        };
        let (low, high) = (number(low), number(high));
        assert!(accepts(low), "{key} = {low} must be accepted");
        assert!(!accepts(low - 1), "{key} = {} must be refused", low - 1);
        assert!(accepts(high), "{key} = {high} must be accepted");
        assert!(!accepts(high + 1), "{key} = {} must be refused", high + 1);
    }
}

#[test]
fn does_the_page_of_kernels_list_them_all_with_their_parameters() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/kernels.md");
    let text = std::fs::read_to_string(page).expect("the page is there");
    let table = text.split("\n## ").next().expect("the table comes first");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let names: Vec<&str> = rows.iter().filter_map(|row| row.split('`').nth(1)).collect();
    let known: Vec<&str> = compiler::kernels::REGISTRY.iter().map(|e| e.name).collect();
    assert_eq!(names, known);
    for (row, entry) in rows.iter().zip(&compiler::kernels::REGISTRY) {
        let cell = row.split('|').nth(2).expect("name, parameters, meaning");
        let params: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        let known: Vec<&str> = entry.params.iter().map(|p| p.name).collect();
        assert_eq!(params, known, "{}", entry.name);
    }
}
