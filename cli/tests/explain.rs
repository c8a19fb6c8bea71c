//! `wafersim explain`: what it says of a run, and whether it is what such runs come to.

mod call;
mod request;

use call::wafersim;
use request::examples;
use serde_json::Value;

fn args(command: &str) -> Vec<String> {
    let model = examples("oracle/llama/model").display().to_string();
    let rest = ["--prompt-ids", "5,6,7", "--max-new-tokens", "3", "--quiet"];
    [command, &model].into_iter().chain(rest).map(ToString::to_string).collect()
}

fn document(command: &str, more: &[&str]) -> Value {
    let args = args(command);
    let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
    let call = wafersim(&[&args[..], &["--json"]].concat());
    assert_eq!(call.code, Some(0), "{}", call.err);
    serde_json::from_str(&call.out).expect("one document")
}

#[test]
fn does_the_document_say_what_runs_come_to() {
    let told = document("explain", &[]);
    let keys: Vec<&String> = told.as_object().expect("an object").keys().collect();
    let wanted = "schema contract wafersim machine model settings attribution bound compared parameters guesses";
    assert_eq!(keys, wanted.split(' ').collect::<Vec<_>>());
    assert_eq!(told["schema"], "wafersim.explain/1");
    let run = document("run", &["--attribution", "on"]);
    for key in ["machine", "model", "attribution", "bound"] {
        assert_eq!(told[key], run[key], "{key}");
    }
    let rate = |run: &Value| run["requests"][0]["latency"]["tokens_per_s"].as_f64();
    assert_eq!(told["compared"]["tokens_per_s"].as_f64(), rate(&run));
    assert_eq!(told["compared"]["data"], "none");
    // Those that buy the most, and one that buys nothing.
    let entries = told["parameters"].as_array().expect("a list");
    let mapping = &run["settings"]["mapping"];
    assert!(mapping["stage_width"].is_u64(), "{mapping}");
    let gains: Vec<f64> = entries.iter().filter_map(|e| e["gain"].as_f64()).collect();
    assert!(gains.is_sorted_by(|a, b| a >= b) && gains[0] > 0.01, "{gains:?}");
    let entry = |key: &str| {
        let found = entries.iter().find(|entry| entry["key"] == key);
        found.unwrap_or_else(|| panic!("{key} is missing")).clone()
    };
    assert_eq!(entry("pe.data_task_cycles")["gain"], 0.0);
    assert!(entry("pe.cost.setup_fmac_16")["gain"].as_f64() > Some(0.0));
    assert!(entry("clock_hz")["gain"].as_f64() > Some(0.05));
}

#[test]
fn is_what_a_constant_buys_what_a_run_with_it_shows() {
    let cut = ["--set", "mapping.stage_width=6", "--set", "mapping.stage_height=7"];
    let told = document("explain", &cut);
    for key in ["pe.cost.fmac_mixed", "fabric.hop_cycles", "pe.cost.row_cycles"] {
        let entries = told["parameters"].as_array().expect("a list");
        let entry = entries.iter().find(|entry| entry["key"] == key).expect("it is there");
        let to = entry["to"].as_str().expect("a value");
        let change = format!("machine.{key}={to}");
        let lps =
            format!("mapping.layers_per_stage={}", told["settings"]["mapping"]["layers_per_stage"]);
        let more = [&cut[..], &["--set", &change]].concat();
        let more = if lps.ends_with("=0") { more } else { [&more[..], &["--set", &lps]].concat() };
        let run = document("run", &more);
        let latency = &run["requests"][0]["latency"];
        assert_eq!(entry["speed"]["tokens_per_s"], latency["tokens_per_s"], "{key}");
    }
    for guess in told["guesses"].as_array().expect("a list") {
        let GuessEnds { low, high, base } = GuessEnds::of(guess, &told);
        let moves = [low, high].iter().any(|end| *end != Some(base));
        assert_eq!(guess["on_critical_path"], moves, "{guess}");
        assert!(guess["reason"].as_str().is_some_and(|reason| reason.len() > 10));
    }
    let is_on = |key: &str| {
        let guesses = told["guesses"].as_array().expect("a list");
        let guess = guesses.iter().find(|guess| guess["key"] == key).expect("it is there");
        guess["on_critical_path"] == true
    };
    assert!(
        is_on("pe.ramp_cycles") && is_on("pe.cost.fmac_mixed") && is_on("pe.cost.scalar_cycles")
    );
    assert!(!is_on("pe.cost.add_16"));
}

/// When the last token comes with the least and the most of a guess, and as it is.
struct GuessEnds {
    low: Option<u64>,
    high: Option<u64>,
    base: u64,
}

impl GuessEnds {
    fn of(guess: &Value, told: &Value) -> GuessEnds {
        let at = |end: &str| guess[end]["last_token_cycle"].as_u64();
        let base = told["compared"]["last_token_cycle"].as_u64().expect("a cycle");
        GuessEnds { low: at("at_low"), high: at("at_high"), base }
    }
}

#[test]
fn do_people_see_every_view() {
    let args = args("explain");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let call = wafersim(&args);
    assert_eq!(call.code, Some(0), "{}", call.err);
    let words = [
        "critical path",
        "operation",
        "layer",
        "gate-up",
        "machine constant",
        "fabric.hop_cycles",
        "without a source",
        "pe.ramp_cycles",
        "until the last token",
        "efficient",
        "as it is",
    ];
    for word in words {
        assert!(call.out.contains(word), "no {word} in {}", call.out);
    }
}
