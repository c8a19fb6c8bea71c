//! `wafersim diff`: is everything that moved told, and nothing else?

mod call;

use call::{Call, wafersim};
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn model() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/stdlib-1m").display().to_string()
}

/// The report of a short run without data.
fn report(more: &[&str]) -> String {
    let model = model();
    let args = [
        "run",
        &model,
        "--data",
        "none",
        "--prompt-tokens",
        "1",
        "--max-new-tokens",
        "2",
        "--json",
    ];
    let call = wafersim(&[&args[..], more].concat());
    assert_eq!(call.code, Some(0), "{}", call.err);
    call.out
}

fn diff(a: &str, b: &str, more: &[&str]) -> Call {
    let folder = TempDir::new().expect("a temporary folder");
    let paths = [("a.json", a), ("b.json", b)].map(|(name, text)| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("the folder can be written");
        path.display().to_string()
    });
    wafersim(&[&["diff", &paths[0], &paths[1]], more].concat())
}

#[test]
fn are_reports_of_the_same_run_equal_whatever_the_host() {
    let a = report(&["--threads", "1"]);
    let mut tree: Value = serde_json::from_str(&a).expect("reports are JSON");
    tree["host"]["seconds"] = 1e9.into();
    let call = diff(&a, &tree.to_string(), &[]);
    assert_eq!((call.code, call.err.as_str()), (Some(0), ""));
    assert!(call.out.starts_with("equal"), "{}", call.out);
}

#[test]
fn are_settings_cycles_counters_and_tokens_told_that_differ() {
    let cut = ["--set", "mapping.stage_width=8", "--set", "mapping.stage_height=8"];
    let a = report(&[&cut[..], &["--attribution", "off"]].concat());
    let b =
        a.replace("\"idle\":0", "\"idle\":7").replace("\"stop\":\"length\"", "\"stop\":\"eos\"");
    let mut b: Value = serde_json::from_str(&b).expect("reports are JSON");
    let cycle = b["requests"][0]["latency"]["token_cycles"][1].as_u64().expect("a cycle");
    b["requests"][0]["latency"]["token_cycles"][1] = (cycle + 1).into();
    b["settings"]["numerics"]["weights"] = "bf16".into();
    b["attribution"] = serde_json::json!({ "compute": 5 });
    let call = diff(&a, &b.to_string(), &[]);
    assert_eq!(call.code, Some(3));
    assert!(call.err.contains("1 setting, 1 answer, 3 measurements"), "{}", call.err);
    let row = |parts: &[&str]| {
        let is_row = |line: &str| parts.iter().all(|part| line.contains(part));
        assert!(call.out.lines().any(is_row), "{parts:?} in\n{}", call.out);
    };
    row(&["settings.numerics.weights", "f16", "bf16"]);
    row(&["requests[0].output.stop", "length", "eos"]);
    row(&["token_cycles[1], first of 1 of 2", "+1"]);
    row(&["counters.pe_cycles.idle", "+7", "from 0"]);
    row(&["attribution", "null"]);
    let document: Value =
        serde_json::from_str(&diff(&a, &b.to_string(), &["--json"]).out).expect("one document");
    assert_eq!(document["schema"], "wafersim.diff/1");
    assert_eq!(document["metrics"][0]["first"], 1);
    assert_eq!(document["settings"][0]["b"], "bf16");
}

#[test]
fn is_another_contract_told_from_a_regression() {
    let a = report(&[]);
    let mut b: Value = serde_json::from_str(&a).expect("reports are JSON");
    b["contract"] = "0".into();
    let call = diff(&a, &b.to_string(), &[]);
    assert_eq!(call.code, Some(3));
    assert!(call.out.contains("no regression"), "{}", call.out);
    assert!(call.err.contains("contract"), "{}", call.err);
}

#[test]
fn are_files_that_cannot_be_compared_refused() {
    let a = report(&[]);
    for (b, part) in [
        ("{}", "no `schema`"),
        ("not json", "one JSON document"),
        (r#"{"schema": "wafersim.exec/1"}"#, "wafersim.exec/1"),
    ] {
        let call = diff(&a, b, &[]);
        assert_eq!((call.code, call.out.as_str()), (Some(1), ""), "{b}");
        assert!(call.err.contains(part), "{b}: {}", call.err);
    }
}
