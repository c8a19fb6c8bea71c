//! Do runs that simulate one of the stages that behave alike take the cycles, and count what runs do that simulate all?

#[allow(dead_code)]
mod call;

use call::wafersim;
use serde_json::{Value, json};
use std::path::Path;

fn model(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path).display().to_string()
}

/// The report of a run without data.
fn run(model: &str, args: &[&str], fold: &str) -> Value {
    let always = ["run", model, "--data", "none", "--json", "--fold", fold];
    let call = wafersim(&[&always[..], args].concat());
    assert_eq!(call.code, Some(0), "{args:?}: {}", call.err);
    serde_json::from_str(&call.out).expect("one JSON document")
}

/// Runs folded and not, and compares. Returns the folded run.
fn assert_alike(model: &str, args: &[&str]) -> Value {
    let (off, on) = (run(model, args, "off"), run(model, args, "on"));
    assert_eq!(on["requests"], off["requests"], "{args:?}");
    assert_eq!(on["counters"], off["counters"], "{args:?}");
    assert_eq!((&off["settings"]["fold"], off.get("folding")), (&json!("off"), None));
    on
}

/// One layer a stage, on a machine of this size.
fn layers(width: &str, height: &str) -> Vec<String> {
    let sizes = [format!("machine.width={width}"), format!("machine.height={height}")];
    let cut = ["layers_per_stage=1", "stage_width=8", "stage_height=8"];
    let cut = cut.map(|key| format!("mapping.{key}"));
    sizes.into_iter().chain(cut).flat_map(|key| ["--set".to_string(), key]).collect()
}

fn stdlib(args: &[&str], sets: &[String]) -> Value {
    let sets = sets.iter().map(String::as_str);
    let args: Vec<&str> = args.iter().copied().chain(sets).collect();
    assert_alike(&model("examples/models/stdlib-1m"), &args)
}

fn number(report: &Value, group: &str, key: &str) -> u64 {
    report[group][key].as_u64().expect("a number")
}

#[test]
fn is_one_of_the_stages_in_a_row_simulated_for_all() {
    let on = stdlib(&["--prompt-tokens", "1", "--max-new-tokens", "4"], &layers("64", "128"));
    assert_eq!(on["settings"]["fold"], "on");
    // Embedding, last layer and head are alone; of five layers the first one gets its items in another rhythm.
    assert_eq!(number(&on, "folding", "stages"), 8);
    assert_eq!(number(&on, "folding", "simulated"), 5);
    let simulated = number(&on, "folding", "instructions_simulated");
    assert!(4 * simulated < 3 * number(&on, "counters", "instructions"), "{simulated}");
}

#[test]
fn are_bands_and_turned_stages_folded() {
    let on = stdlib(&["--prompt-tokens", "1", "--max-new-tokens", "6"], &layers("33", "40"));
    let simulated = number(&on, "folding", "instructions_simulated");
    assert!(simulated < number(&on, "counters", "instructions"), "{simulated}");
}

#[test]
fn are_items_in_flight_those_of_a_whole_run() {
    let prompt = ["--prompt-tokens", "12", "--max-new-tokens", "4"];
    stdlib(&prompt, &layers("64", "128"));
    stdlib(&prompt, &layers("33", "40"));
    let several = ["--prompt-tokens", "5", "--prompt-tokens", "2", "--max-new-tokens", "4"];
    stdlib(&several, &layers("64", "128"));
    let streams = ["--prompt-tokens", "1", "--max-new-tokens", "4", "--streams", "3"];
    stdlib(&streams, &layers("33", "40"));
}

#[test]
fn are_windows_and_defects_those_of_a_whole_run() {
    let small = ["layers_per_stage=1", "stage_width=4", "stage_height=3"];
    let small: Vec<String> = small.iter().map(|key| format!("mapping.{key}")).collect();
    let mut args = vec!["--prompt-tokens", "1", "--max-new-tokens", "24"];
    args.extend(small.iter().flat_map(|key| ["--set", key]));
    let windows = assert_alike(&model("models/tests/data/oracle/gemma2/model"), &args);
    assert_eq!(windows["settings"]["fold"], "on");
    let mut sets = layers("64", "128");
    let defects = ["machine.defects.rate=0.004", "machine.defects.seed=3"];
    sets.extend(defects.iter().flat_map(|key| ["--set".to_string(), key.to_string()]));
    stdlib(&["--prompt-tokens", "1", "--max-new-tokens", "4"], &sets);
}

#[test]
fn is_a_run_in_which_nothing_is_alike_or_the_limit_is_reached_a_whole_one() {
    let sets = ["--set", "mapping.stage_width=8", "--set", "mapping.stage_height=16"];
    let args = [&["--prompt-tokens", "2", "--max-new-tokens", "3"][..], &sets].concat();
    let on = assert_alike(&model("models/tests/data/oracle/gpt2/model"), &args);
    assert_eq!((&on["settings"]["fold"], on.get("folding")), (&json!("off"), None));
    let stdlib = model("examples/models/stdlib-1m");
    let limited = |fold| {
        let args = ["--prompt-tokens", "1", "--max-new-tokens", "4", "--cycle-limit", "30000"];
        let always = ["run", &stdlib, "--data", "none", "--fold", fold];
        wafersim(&[&always[..], &args].concat())
    };
    let (on, off) = (limited("on"), limited("off"));
    assert_eq!((on.code, off.code), (Some(2), Some(2)));
    assert!(
        on.err.contains("every stage was simulated: the host did not end the run"),
        "{}",
        on.err
    );
    assert!(off.err.lines().last().is_some_and(|line| on.err.contains(line)), "{}", on.err);
}

#[test]
fn are_runs_with_data_refused() {
    let stdlib = model("examples/models/stdlib-1m");
    let call = wafersim(&["run", &stdlib, "--prompt", "a", "--fold", "on"]);
    assert_eq!(call.code, Some(1));
    assert!(call.err.contains("run with --data none"), "{}", call.err);
}
