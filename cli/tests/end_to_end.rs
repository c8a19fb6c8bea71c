//! `wafersim run`, whole: a model's own words out of a simulated wafer.

use serde_json::Value;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

fn model() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/stdlib-1m");
    path.display().to_string()
}

/// The shortest prompt of the oracle: prompt ids, expected ids, expected text.
fn case() -> (Vec<u64>, Vec<u64>) {
    let path = Path::new(&model()).join("oracle/oracle.json");
    let text = std::fs::read_to_string(path).expect("the oracle is there");
    let oracle: Value = serde_json::from_str(&text).expect("the oracle is JSON");
    let cases = oracle["cases"].as_array().expect("cases are a list");
    let ids = |case: &Value, key: &str| -> Vec<u64> {
        let list = case[key].as_array().expect("ids are a list");
        list.iter().filter_map(Value::as_u64).collect()
    };
    let shortest = cases.iter().min_by_key(|case| ids(case, "prompt_ids").len());
    let shortest = shortest.expect("the oracle has cases");
    (ids(shortest, "prompt_ids"), ids(shortest, "expected_ids_fp32"))
}

fn joined(ids: &[u64]) -> String {
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    ids.join(",")
}

fn run(more: &[&str]) -> (String, String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wafersim"));
    let done = command.arg("run").arg(model()).args(more).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    (text(done.stdout), text(done.stderr), done.status.code())
}

#[test]
fn is_the_report_a_function_of_the_inputs_and_are_its_tokens_the_oracles() {
    let (prompt, expected) = case();
    let new = 4.min(expected.len());
    let (prompt_ids, max_new) = (joined(&prompt), new.to_string());
    let args = ["--json", "--prompt-ids", &prompt_ids, "--max-new-tokens", &max_new];
    let report = |more: &[&str]| -> Value {
        let args: Vec<&str> = args.iter().chain(more).copied().collect();
        let (out, err, code) = run(&args);
        assert_eq!(code, Some(0), "{err}");
        serde_json::from_str(&out).expect("exactly one JSON document")
    };
    let mut first = report(&[]);
    // The check attaches an observer, which must not change anything.
    let mut second = report(&["--check-reference"]);
    let mut others = ["1", "2", "4", "7"].map(|threads| report(&["--threads", threads]));
    for report in [&mut first, &mut second].into_iter().chain(&mut others) {
        let host = report.as_object_mut().expect("an object").remove("host").expect("host facts");
        assert!(host["seconds"].as_f64().expect("seconds") > 0.0);
        assert_eq!(
            host["threads"], 1,
            "the example's wafer is one domain, however many are asked for"
        );
    }
    assert_eq!(first, second);
    others.iter().for_each(|other| assert_eq!(&first, other));
    let request = &first["requests"][0];
    let ids: Vec<u64> = request["output"]["token_ids"]
        .as_array()
        .expect("ids")
        .iter()
        .filter_map(Value::as_u64)
        .collect();
    assert_eq!(ids, expected[..new]);
    assert_eq!(request["output"]["source"], "wafer");
    assert_eq!(request["prompt_tokens"], prompt.len());
    let latency = &request["latency"];
    let cycles = latency["token_cycles"].as_array().expect("cycles");
    assert_eq!(cycles.len(), new);
    assert_eq!(latency["ttft_cycles"], cycles[0]);
    let prefill = latency["prefill_cycles"].as_u64().expect("a number");
    assert!(prefill > 0 && prefill < cycles[0].as_u64().expect("a number"));
    let used = first["resources"]["pes_used"].as_u64().expect("a number");
    let spent = first["counters"]["pe_cycles"].as_object().expect("cycles by what they went to");
    let all: u64 = spent.values().filter_map(Value::as_u64).sum();
    assert!(spent.len() == 5 && all >= used * cycles[new - 1].as_u64().expect("a number"));
    assert_eq!(all % used, 0, "every PE has as many cycles");
}

#[test]
fn is_every_layer_of_each_request_compared_with_the_reference() {
    let prompts = ["--prompt", "def a", "--prompt", "x"];
    let more = ["--max-new-tokens", "2", "--check-reference", "--json"];
    let (_, err, code) = run(&[prompts, more].concat());
    assert_eq!(code, Some(0), "{err}");
    let gaps: Vec<f32> = err
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("behind layer "))
        .map(|line| line.split([' ', ':']).nth(2).and_then(|gap| gap.parse().ok()).expect(line))
        .collect();
    // Six layers for each of two requests. Rounding makes some difference in each, and no more than that.
    assert_eq!(gaps.len(), 12, "{err}");
    assert!(gaps.iter().all(|gap| (1e-5..5e-2).contains(gap)), "{err}");
}

#[test]
fn does_the_text_stream_and_the_table_follow() {
    let args = ["--prompt", "if __name__ ==", "--max-new-tokens", "3"];
    let (out, err, code) = run(&args);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for row in [
        "time to first token",
        "time per output token",
        "tokens/s",
        "prefill",
        "decode",
        "PEs used",
        "SRAM used",
        "wavelets moved",
        "PEs working",
        "PEs launching",
        "PEs waiting for output",
        "PEs waiting for input",
        "PEs idle",
        "host time",
    ] {
        assert!(out.contains(row), "no `{row}` in {out}");
    }
    let quiet: Vec<&str> = args.iter().copied().chain(["--quiet"]).collect();
    let (text, err, code) = run(&quiet);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with(&text), "{text:?} begins {out:?}");
    assert!(!text.contains("PEs"));
}

#[test]
fn does_a_closed_pipe_end_the_command_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wafersim"))
        .args(["run", &model(), "--prompt", "import os", "--max-new-tokens", "400"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut out = child.stdout.take().expect("a pipe");
    out.read_exact(&mut [0]).expect("it says something");
    drop(out);
    let mut err = String::new();
    let stderr = child.stderr.as_mut().expect("a pipe");
    stderr.read_to_string(&mut err).expect("it closes");
    assert!(child.wait().expect("it ends").success(), "{err}");
    assert_eq!(err, "");
}

#[test]
fn does_an_early_cycle_limit_end_with_code_2_and_say_so() {
    let args = ["--json", "--prompt-ids", "1,2,3", "--cycle-limit", "5000"];
    let (out, err, code) = run(&args);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("cycle limit") && err.contains("5,000"), "{err}");
}

#[test]
fn does_compile_say_what_goes_where() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wafersim"));
    let done = command.args(["compile", &model()]).output().expect("it runs");
    let text = String::from_utf8(done.stdout).expect("output is UTF-8");
    assert_eq!(done.status.code(), Some(0));
    for part in ["stage", "SRAM", "colors", "longest context"] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
}
