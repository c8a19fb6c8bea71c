//! Do runs without data take the cycles of those with it, for every family of dense models and all kinds of requests? And are
//! they refused what needs data?

mod call;

use call::wafersim;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn stdlib() -> String {
    root().join("examples/models/stdlib-1m").display().to_string()
}

fn oracle(name: &str) -> String {
    root().join(format!("models/tests/data/oracle/{name}/model")).display().to_string()
}

/// A folder that holds the model's configuration alone.
fn shape_of(model: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::copy(Path::new(model).join("config.json"), dir.path().join("config.json"))
        .expect("the configuration can be copied");
    dir
}

/// The report of a run.
fn report(model: &str, args: &[&str]) -> Value {
    let call = wafersim(&[&["run", model, "--json"], args].concat());
    assert_eq!(call.code, Some(0), "{model} {args:?}: {}", call.err);
    serde_json::from_str(&call.out).expect("one JSON document")
}

fn without_data(model: &str, args: &[&str]) -> Value {
    report(model, &[args, &["--data", "none"]].concat())
}

fn token_cycles(report: &Value, request: usize) -> Vec<u64> {
    let list = &report["requests"][request]["latency"]["token_cycles"];
    list.as_array().expect("a list").iter().filter_map(Value::as_u64).collect()
}

/// Runs with data and without and compares cycles; and all counts, unless an answer ended early.
fn assert_alike(model: &str, args: &[&str]) -> Value {
    let (full, none) = (report(model, args), without_data(model, args));
    let requests = full["requests"].as_array().expect("requests");
    for (at, request) in requests.iter().enumerate() {
        let (with, without) = (token_cycles(&full, at), token_cycles(&none, at));
        assert_eq!(with, without[..with.len()], "{model} {args:?}, request {at}");
        let output = &none["requests"][at]["output"];
        assert_eq!(
            *output,
            json!({"token_ids": [], "text": null, "source": "none", "stop": "length"})
        );
        assert_eq!(request["prompt_tokens"], none["requests"][at]["prompt_tokens"]);
    }
    assert_eq!(full["resources"], none["resources"]);
    if requests.iter().all(|request| request["output"]["stop"] == "length") {
        assert_eq!(full["counters"], none["counters"], "{model} {args:?}");
    }
    none
}

#[test]
fn are_cycles_those_with_data() {
    let model = stdlib();
    let none = assert_alike(&model, &["--prompt", "def add(", "--max-new-tokens", "5"]);
    assert_eq!(
        (&none["settings"]["data"], &none["settings"]["data_seed"]),
        (&json!("none"), &json!(0))
    );
    let several = [
        "--prompt-ids",
        "1",
        "--prompt-tokens",
        "40",
        "--prompt",
        "class A",
        "--max-new-tokens",
        "3",
        "--max-new-tokens",
        "2",
        "--max-new-tokens",
        "4",
        "--set",
        "mapping.stage_width=5",
        "--set",
        "mapping.stage_height=3",
    ];
    assert_alike(&model, &several);
}

#[test]
fn are_cycles_of_all_families_those_with_data() {
    for (name, width, height) in [
        ("gemma2", 3, 4), // Windows, norms behind, capped logits.
        ("gpt-neox", 4, 3),
        ("gpt2", 5, 2), // Learned positions.
        ("phi", 2, 5),
        ("qwen2", 1, 4),
        ("qwen3", 4, 1),
    ] {
        let (width, height) =
            (format!("mapping.stage_width={width}"), format!("mapping.stage_height={height}"));
        let args = [
            "--prompt-tokens",
            "21",
            "--prompt-ids",
            "3,1",
            "--max-new-tokens",
            "4",
            "--set",
            &width,
            "--set",
            &height,
        ];
        assert_alike(&oracle(name), &args);
    }
}

#[test]
fn does_the_digest_depend_on_neither_threads_nor_weights() {
    let model = stdlib();
    let args = ["--prompt-tokens", "6", "--max-new-tokens", "3"];
    let run = |model: &str, threads| {
        without_data(model, &[&args[..], &["--threads", threads]].concat())["digest"].clone()
    };
    let shape = shape_of(&model);
    let digest = run(&model, "1");
    assert_eq!(digest, run(&model, "2"));
    assert_eq!(digest, run(&shape.path().display().to_string(), "1"));
    assert_ne!(digest, report(&model, &args)["digest"]);
}

#[test]
fn is_a_shape_described_by_its_configuration() {
    let shape = shape_of(&stdlib());
    let path = shape.path().display().to_string();
    let described =
        &without_data(&path, &["--prompt-tokens", "2", "--max-new-tokens", "1"])["model"];
    let model = &report(&stdlib(), &["--prompt-ids", "1", "--max-new-tokens", "1"])["model"];
    for key in ["architecture", "parameters", "weight_bytes"] {
        assert_eq!(described[key], model[key], "{key}");
    }
    let call = wafersim(&["compile", &path]);
    assert_eq!(call.code, Some(0), "{}", call.err);
    let placed = wafersim(&["compile", &stdlib()]);
    assert_eq!(call.out, placed.out);
}

#[test]
fn are_positions_before_the_prompt_held_and_not_paid() {
    let shape = shape_of(&stdlib());
    let path = shape.path().display().to_string();
    let run = |start, prompt, new| {
        let args = ["--start-position", start, "--prompt-tokens", prompt, "--max-new-tokens", new];
        without_data(&path, &args)
    };
    let (paid, held, short) = (run("0", "60", "4"), run("57", "3", "4"), run("0", "3", "4"));
    assert_eq!(held["requests"][0]["start_position"], 57);
    assert_eq!(held["resources"], paid["resources"], "the cache holds as much");
    let decode = |report: &Value| {
        let cycles = token_cycles(report, 0);
        cycles.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<u64>>()
    };
    assert_eq!(decode(&held), decode(&paid));
    assert!(token_cycles(&held, 0)[0] < token_cycles(&paid, 0)[0]);
    assert!(
        short["resources"]["sram_bytes_used_max"].as_u64()
            < held["resources"]["sram_bytes_used_max"].as_u64()
    );
}

#[test]
fn are_streams_copies_of_each_request() {
    let shape = shape_of(&stdlib());
    let path = shape.path().display().to_string();
    let new = ["--max-new-tokens", "2"];
    let streams = without_data(
        &path,
        &[&["--prompt-tokens", "3", "--prompt-tokens", "5", "--streams", "2"], &new[..]].concat(),
    );
    let prompts =
        ["3", "3", "5", "5"].iter().flat_map(|n| ["--prompt-tokens", n]).collect::<Vec<&str>>();
    let copies = without_data(&path, &[&prompts[..], &new].concat());
    assert_eq!(streams["settings"]["streams"], 2);
    assert_eq!(streams["requests"], copies["requests"]);
    assert_eq!(streams["digest"], copies["digest"]);
    let with_data =
        report(&stdlib(), &["--prompt-ids", "1", "--streams", "2", "--max-new-tokens", "1"]);
    assert_eq!(with_data["requests"].as_array().map(Vec::len), Some(2));
}

/// The message of a run that is refused.
fn refused(model: &str, args: &[&str]) -> String {
    let call = wafersim(&[&["run", model], args].concat());
    assert_eq!((call.code, call.out.as_str()), (Some(1), ""), "{args:?}: {}", call.err);
    call.err
}

#[test]
fn is_what_needs_data_refused_without_it() {
    let model = stdlib();
    for (option, why) in [
        (&["--check-reference"][..], "no tokens and logits to compare"),
        (&["--temperature", "1"], "no logits"),
        (&["--top-k", "3"], "no logits"),
        (&["--top-p", "0.5"], "no logits"),
        (&["--min-p", "0.5"], "no logits"),
        (&["--repetition-penalty", "1.1"], "no logits"),
        (&["--stop", "x"], "no text"),
    ] {
        let args = [&["--prompt-ids", "1", "--data", "none"], option].concat();
        let told = refused(&model, &args);
        assert!(told.contains(option[0]) && told.contains(why), "{told}");
    }
    let told = refused(&model, &["--prompt-ids", "1", "--start-position", "3"]);
    assert!(told.contains("--start-position 3") && told.contains("--data none"), "{told}");
    let long = ["--prompt-tokens", "4", "--data", "none", "--start-position", "508"];
    let told = refused(&model, &[&long[..], &["--max-new-tokens", "2"]].concat());
    assert!(told.contains("--start-position 508") && told.contains("512"), "{told}");
    let told = refused(&model, &["--prompt-tokens", "0", "--data", "none"]);
    assert!(told.contains("empty"), "{told}");
    let told = refused(&model, &["--prompt-tokens", "4000000000", "--data", "none"]);
    assert!(told.contains("context"), "{told}");
}

#[test]
fn is_a_shape_refused_with_data() {
    let shape = shape_of(&stdlib());
    let path = shape.path().display().to_string();
    let told = refused(&path, &["--prompt-tokens", "3"]);
    assert!(told.contains("shape without weights") && told.contains("--data none"), "{told}");
    let call = wafersim(&["compile", &path, "--emit", "asm"]);
    assert_eq!(call.code, Some(1));
    assert!(call.err.contains("an image holds the model's weights"), "{}", call.err);
}
