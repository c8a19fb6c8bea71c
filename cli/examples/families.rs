//! Makes the page of families (docs/src/families.md) from a folder of oracle cases, each with `case.json` and `model`:
//! `cargo run --release --example families -- ../shared/oracle/public > docs/src/families.md`.
//!
//! Every case runs on two grids with `--check-reference`; every folder in `bad` is to be refused.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Two grids: what `--machine` and `--set` say, and a name.
const GRIDS: [(&str, &[&str]); 2] = [
    ("wse3-64", &[]),
    (
        "24 x 90 of wse2, goal=latency",
        &[
            "--machine=wse2",
            "--set=machine.width=24",
            "--set=machine.height=90",
            "--set=mapping.goal=latency",
        ],
    ),
];

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).context("usage: families FOLDER")?;
    let folder = Path::new(&folder);
    println!("# Families\n");
    println!(
        "Oracle cases made with Transformers, on simulated wafers with default numerics (weights and activations f16, sums f32)."
    );
    println!("Made by `cargo run --release --example families -- ../shared/oracle/public`.\n");
    println!(
        "*Equal* counts new tokens that are Transformers' (with f32, f16 or bf16 weights); *logit* is the largest difference of a"
    );
    println!(
        "logit from the host's forward pass over the same tokens; tokens/s are simulated ones of the first request, 1 / TPOT.\n"
    );
    print!("| family | case |");
    GRIDS.iter().for_each(|(name, _)| print!(" {name}: equal | logit | tokens/s |"));
    println!("\n|---|---|{}", "--:|--:|--:|".repeat(GRIDS.len()));
    let (mut equal, mut all) = (0, 0);
    for case in cases(folder)? {
        let answers = GRIDS.map(|(_, grid)| answer(&case, grid));
        let answers: Vec<Row> = answers.into_iter().collect::<Result<_>>()?;
        let name = case.file_name().unwrap_or_default().to_string_lossy();
        print!("| {} | {name} |", answers[0].family);
        for Row { equal, tokens, gap, tokens_per_s, .. } in &answers {
            print!(" {equal} of {tokens} | {gap} | {tokens_per_s:.0} |");
        }
        println!();
        equal += answers.iter().map(|a| a.equal).sum::<usize>();
        all += answers.iter().map(|a| a.tokens).sum::<usize>();
    }
    println!("\n{equal} of {all} tokens are equal.\n");
    costs()?;
    println!("## Bad input\n");
    println!("What `wafersim run` says; all exit with code 1, but for what is fine.\n");
    println!("| case | says |\n|---|---|");
    for case in cases(&folder.join("bad"))? {
        println!(
            "| {} | {} |",
            case.file_name().unwrap_or_default().to_string_lossy(),
            said(&case)?
        );
    }
    Ok(())
}

/// Tells how many lines each family takes.
fn costs() -> Result<()> {
    println!("## What a family costs\n");
    println!(
        "A family is one file in `models/src/families`, which builds the graph from the config and names the tensors, and a line in the list"
    );
    println!(
        "of families. The compiler knows operations only. Lines of each file, comments and tests included:\n"
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/src/families");
    let mut lines = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // What families share, and their list.
        if !["mod", "parts", "sizes", "experts"].contains(&name.as_str()) {
            lines.push((fs::read_to_string(&path)?.lines().count(), name));
        }
    }
    lines.sort();
    let told: Vec<String> = lines.iter().map(|(n, name)| format!("{name} {n}")).collect();
    println!("{}.\n", told.join(", "));
    Ok(())
}

/// The folders with a `case.json`, by name.
fn cases(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut found: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    found.retain(|path| path.join("case.json").is_file());
    found.sort();
    ensure!(!found.is_empty(), "{} has no cases", folder.display());
    Ok(found)
}

fn read(case: &Path) -> Result<Value> {
    let path = case.join("case.json");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

fn ids(value: &Value) -> Vec<u64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

/// `wafersim run` of a case with more arguments.
fn run(case: &Path, request: &[Value], more: &[&str]) -> Result<Output> {
    let program = std::env::current_exe()?.with_file_name("../wafersim");
    let mut command = Command::new(&program);
    command.arg("run").arg(case.join("model")).args(["--json"]).args(more);
    for request in request {
        match (&request["prompt_ids"], request["prompt_text"].as_str()) {
            (Value::Null, Some(text)) => command.args(["--prompt", text]),
            (ids, _) => {
                let ids = ids.to_string();
                command.arg(format!("--prompt-ids={}", ids.trim_matches(['[', ']'])))
            }
        };
        let new = request["max_new_tokens"].as_u64().unwrap_or(2);
        command.args(["--max-new-tokens", &new.to_string()]);
    }
    let hint = "build it first: cargo build --release";
    command.output().with_context(|| format!("{}: {hint}", program.display()))
}

/// A case on a grid.
struct Row {
    family: String,
    equal: usize,
    tokens: usize,
    gap: String,
    tokens_per_s: f64,
}

fn answer(case: &Path, grid: &[&str]) -> Result<Row> {
    let stated = read(case)?;
    let requests = stated["requests"].as_array().cloned().unwrap_or_else(|| vec![stated.clone()]);
    let done = run(case, &requests, &[&["--check-reference"], grid].concat())?;
    let said = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        bail!("{}: {said}", case.display());
    }
    let report: Value = serde_json::from_slice(&done.stdout)?;
    let (mut equal, mut tokens) = (0, 0);
    for (at, request) in requests.iter().enumerate() {
        let got = ids(&report["requests"][at]["output"]["token_ids"]);
        let stated = ["fp32", "fp16_weights", "bf16_weights"];
        let stated = stated.map(|format| ids(&request[format!("expected_ids_{format}")]));
        let same = |want: &Vec<u64>| got.iter().zip(want).filter(|(a, b)| a == b).count();
        equal += stated.iter().map(same).max().unwrap_or(0);
        tokens += stated[0].len().max(got.len());
    }
    let gaps = said.split("largest difference of a logit ").skip(1);
    let gaps = gaps.filter_map(|rest| rest.split(' ').next()?.parse::<f32>().ok());
    Ok(Row {
        family: report["model"]["architecture"].as_str().unwrap_or_default().to_string(),
        equal,
        tokens,
        gap: format!("{:.4}", gaps.fold(0.0f32, f32::max)),
        tokens_per_s: report["requests"][0]["latency"]["tokens_per_s"].as_f64().unwrap_or(0.0),
    })
}

/// What is said of a bad case, in one line.
fn said(case: &Path) -> Result<String> {
    let mut request = read(case)?;
    if request["prompt_ids"].is_null() && request["prompt_text"].is_null() {
        request["prompt_ids"] = serde_json::json!([1]);
    }
    let done = run(case, &[request], &[])?;
    let said = String::from_utf8_lossy(&done.stderr);
    let said = said.replace(&case.display().to_string(), "…").replace('|', "\\|");
    match done.status.code() {
        Some(0) => Ok("(fine)".to_string()),
        Some(1) => Ok(format!("`{}`", said.trim().replace('\n', " ").replace('`', "'"))),
        code => bail!("{}: exit {code:?}: {said}", case.display()),
    }
}
