//! How the house is built: which crate may use which, and what keeps files readable. Lengths of
//! functions and hash maps are clippy's to judge (`clippy.toml`); that every crate lets it is judged here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use toml::Table;

/// Each crate (by folder) and the crates of the house that it may use: docs, "Architecture".
const EDGES: [(&str, &[&str]); 7] = [
    ("pe-isa", &[]),
    ("models", &[]),
    ("fabric", &["pe-isa"]),
    ("compiler", &["models", "fabric", "pe-isa"]),
    ("sim-core", &["fabric", "pe-isa"]),
    ("traces", &["sim-core", "fabric", "pe-isa"]),
    ("cli", &["pe-isa", "models", "fabric", "compiler", "sim-core", "traces"]),
];

/// Longest source file, in lines.
const LONGEST_FILE: usize = 1_000;

/// Files that may be longer, each with the reason.
const LONG_FILES: [(&str, &str); 0] = [];

fn root() -> PathBuf {
    let cli = Path::new(env!("CARGO_MANIFEST_DIR"));
    cli.parent().expect("cli lies in the workspace").to_path_buf()
}

fn manifest(folder: &str) -> Table {
    let path = root().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&path).expect("every crate has a manifest");
    text.parse().expect("manifests are TOML")
}

/// Names of all dependencies of any kind, for any target.
fn dependencies(table: &Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in table {
        let Some(value) = value.as_table() else {
            continue;
        };
        match key.as_str() {
            "dependencies" | "dev-dependencies" | "build-dependencies" => {
                for (name, entry) in value {
                    let renamed = entry.get("package").and_then(toml::Value::as_str);
                    found.insert(renamed.unwrap_or(name).to_string());
                }
            }
            "target" => value
                .values()
                .filter_map(toml::Value::as_table)
                .for_each(|target| found.extend(dependencies(target))),
            _ => {}
        }
    }
    found
}

#[test]
fn do_crates_use_only_the_crates_below_them() {
    let house: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    for (name, allowed) in EDGES {
        let used = dependencies(&manifest(name));
        let beyond = used.iter().filter(|d| house.contains(d.as_str()));
        // A crate may name itself, to turn on a feature of its own in its tests.
        let beyond = beyond.filter(|d| *d != name && !allowed.contains(&d.as_str()));
        wrong.extend(beyond.map(|d| format!("{name} -> {d}")));
        if used.contains("wafersim") {
            wrong.push(format!("{name} -> cli"));
        }
    }
    assert!(wrong.is_empty(), "edges outside the table: {wrong:?}");
}

#[test]
fn are_the_members_of_the_workspace_those_of_the_table() {
    let members = &manifest(".")["workspace"]["members"];
    let members = members.as_array().expect("members are a list");
    let members: BTreeSet<&str> = members.iter().filter_map(toml::Value::as_str).collect();
    let house: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    assert_eq!(members, house);
}

#[test]
fn does_every_crate_take_the_lints_of_the_house() {
    let shared = &manifest(".")["workspace"]["lints"];
    for (name, _) in EDGES {
        let lints = &manifest(name)["lints"];
        if lints.get("workspace").and_then(toml::Value::as_bool) == Some(true) {
            continue;
        }
        // A crate that needs unsafe code states all lints itself; nothing but that may differ.
        let mut own = lints.clone();
        let unsafe_code = own["rust"].as_table_mut().and_then(|rust| {
            rust.insert("unsafe_code".into(), shared["rust"]["unsafe_code"].clone())
        });
        assert_eq!(unsafe_code.as_ref().and_then(toml::Value::as_str), Some("deny"), "{name}");
        assert_eq!(&own, shared, "lints of {name}");
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("folders of the repository can be read") {
        let path = entry.expect("entries can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn is_every_source_file_short_enough_to_read() {
    let root = root();
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 50, "the walk over the sources has found too little");
    let mut long = BTreeSet::new();
    for file in files {
        let lines = fs::read_to_string(&file).expect("sources are UTF-8").lines().count();
        if lines > LONGEST_FILE {
            let name = file.strip_prefix(&root).expect("files lie in the workspace");
            long.insert(name.to_string_lossy().into_owned());
        }
    }
    let allowed: BTreeSet<String> = LONG_FILES.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(long, allowed, "files over {LONGEST_FILE} lines, and those that may be");
}
