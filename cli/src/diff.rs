//! `wafersim diff`: two reports side by side, and what moved.

use crate::compare::{Change, changes};
use crate::failure::Failure;
use crate::figures::counted;
use crate::output::{print, print_json};
use crate::summary::STYLE;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Rows of a table at most; a document of every PE has many.
const MOST_ROWS: usize = 60;

/// Parts of a report that say what was asked for, not what came of it.
const ASKED: [&str; 6] = ["wafersim", "machine", "model", "settings", "overrides", "params"];

/// The same, of each request.
const ASKED_OF_REQUESTS: [&str; 3] = [".prompt_tokens", ".max_new_tokens", ".start_position"];

/// Compare two reports (of run, exec or compile, with --json): cycles, counters, resources, settings and tokens that differ; exit code 3 if any do.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// A report, as `--json` prints it
    #[arg(value_name = "A.json")]
    a: PathBuf,
    /// The report to compare with it
    #[arg(value_name = "B.json")]
    b: PathBuf,
    /// Print one JSON document (schema wafersim.diff/1), with every difference in full
    #[arg(long)]
    json: bool,
}

/// Prints what differs.
pub(crate) fn diff(args: &DiffArgs) -> Result<(), Failure> {
    let compared = Compared::of(&read(&args.a)?, &read(&args.b)?)?;
    if args.json {
        print_json(&compared.document())?;
    } else {
        print(&compared.told())?;
    }
    match compared.is_equal() {
        true => Ok(()),
        false => Err(Failure::Difference(compared.in_short())),
    }
}

fn read(path: &Path) -> Result<Value> {
    let name = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("{name} could not be read"))?;
    let report: Value = serde_json::from_str(&text)
        .with_context(|| format!("{name} is no report: it must hold one JSON document"))?;
    let schema = report.get("schema").and_then(Value::as_str);
    if !schema.is_some_and(|schema| schema.starts_with("wafersim.")) {
        bail!(
            "{name} is no report of wafersim: it has no `schema`; make one with `wafersim run … --json`"
        );
    }
    Ok(report)
}

/// Differences of two reports by kind. What is known of the host is left out.
struct Compared {
    /// Versions of the timing contract, where they differ.
    contract: Option<(String, String)>,
    asked: Vec<Change>,
    tokens: Vec<Change>,
    measured: Vec<Change>,
}

impl Compared {
    /// # Errors
    /// Reports of different kinds.
    fn of(a: &Value, b: &Value) -> Result<Compared> {
        let text = |report: &Value, key: &str| {
            report.get(key).and_then(Value::as_str).unwrap_or("(none)").to_string()
        };
        let schemas = (text(a, "schema"), text(b, "schema"));
        if schemas.0 != schemas.1 {
            bail!("a report {} cannot be compared with one of {}", schemas.0, schemas.1);
        }
        let contracts = (text(a, "contract"), text(b, "contract"));
        let mut compared = Compared {
            contract: (contracts.0 != contracts.1).then_some(contracts),
            asked: Vec::new(),
            tokens: Vec::new(),
            measured: Vec::new(),
        };
        for change in changes(&without_host(a), &without_host(b)) {
            compared.kind(&change.path).push(change);
        }
        Ok(compared)
    }

    fn kind(&mut self, path: &str) -> &mut Vec<Change> {
        let part = path.split(['.', '[']).next().unwrap_or(path);
        let of_request = |end: &&str| part == "requests" && path.ends_with(*end);
        if ASKED.contains(&part) || ASKED_OF_REQUESTS.iter().any(of_request) {
            &mut self.asked
        } else if part == "requests" && path.contains("].output.") {
            &mut self.tokens
        } else {
            &mut self.measured
        }
    }

    fn sections(&self) -> [(&'static str, &'static str, &[Change]); 3] {
        [
            ("asked for", "setting", &self.asked),
            ("answers", "answer", &self.tokens),
            ("measured", "measurement", &self.measured),
        ]
    }

    fn is_equal(&self) -> bool {
        self.contract.is_none() && self.sections().iter().all(|(_, _, list)| list.is_empty())
    }

    fn in_short(&self) -> String {
        let contract = self.contract.as_ref().map(|_| "the contract's version".to_string());
        let sections = self.sections();
        let kinds = sections.iter().filter(|(_, _, list)| !list.is_empty());
        let kinds = kinds.map(|(_, thing, list)| counted(list.len() as u64, thing));
        let parts: Vec<String> = contract.into_iter().chain(kinds).collect();
        format!("the reports differ: {}", parts.join(", "))
    }

    /// For people: the contract first, then a table for each kind.
    fn told(&self) -> String {
        if self.is_equal() {
            return "equal, but for what is known of the host\n".into();
        }
        let mut told = String::new();
        if let Some((a, b)) = &self.contract {
            told.push_str(&format!(
                "A ran by version {a} of the timing contract, B by {b}: \
                 cycles may differ for that reason alone, which is no regression.\n\n"
            ));
        }
        let filled = self.sections().into_iter().filter(|(_, _, list)| !list.is_empty());
        let tables: Vec<String> =
            filled.map(|(name, _, list)| table([name, "A", "B"], list)).collect();
        told + &tables.join("\n")
    }

    fn document(&self) -> Value {
        let entries = |list: &[Change]| list.iter().map(Change::entry).collect::<Vec<_>>();
        let contract = self.contract.as_ref().map(|(a, b)| json!({ "a": a, "b": b }));
        json!({
            "schema": "wafersim.diff/1",
            "equal": self.is_equal(),
            "contract": contract,
            "settings": entries(&self.asked),
            "answers": entries(&self.tokens),
            "metrics": entries(&self.measured),
        })
    }
}

/// The report without the host, contract and schema, which are no measurements.
fn without_host(report: &Value) -> Value {
    let mut rest = report.clone();
    if let Value::Object(map) = &mut rest {
        for key in ["host", "contract", "schema"] {
            map.shift_remove(key);
        }
    }
    rest
}

/// Changes as a table, the first of very many.
pub(crate) fn table([what, a, b]: [&str; 3], list: &[Change]) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_header([what, a, b, "change", ""]);
    let rows: Vec<[String; 5]> = list.iter().flat_map(Change::rows).collect();
    let hidden = rows.len().saturating_sub(MOST_ROWS);
    table.add_rows(rows.into_iter().take(MOST_ROWS));
    for column in 1..=4 {
        let column = table.column_mut(column).expect("the header has five columns");
        column.set_cell_alignment(CellAlignment::Right);
    }
    match hidden {
        0 => format!("{table}\n"),
        n => format!("{table}\n and {} not shown\n", counted(n as u64, "more row")),
    }
}
