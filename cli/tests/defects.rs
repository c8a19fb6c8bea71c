//! Does a wafer with dead PEs and links compute the same tokens, and what does the report say of it?

#[allow(dead_code)]
mod call;

use call::wafersim;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use std::path::Path;

fn model(path: &str) -> String {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    examples.join(path).to_str().expect("a path in UTF-8").to_string()
}

/// The report of a run of a few tokens with these keys set.
fn run(set: &[&str]) -> Value {
    let model = model("models/stdlib-1m");
    let mut args = vec!["run", &model, "--prompt", "def f", "--max-new-tokens", "4", "--json"];
    args.extend(set.iter().flat_map(|key| ["--set", key]));
    let call = wafersim(&args);
    assert_eq!(call.code, Some(0), "{}", call.err);
    serde_json::from_str(&call.out).expect("the report is JSON")
}

/// What a run that cannot be says.
fn refusal(set: &[&str]) -> String {
    let model = model("models/stdlib-1m");
    let mut args = vec!["compile", &model];
    args.extend(set.iter().flat_map(|key| ["--set", key]));
    let call = wafersim(&args);
    assert_eq!((call.code, call.out.as_str()), (Some(1), ""), "{}", call.err);
    call.err
}

fn tokens(report: &Value) -> &Value {
    &report["requests"][0]["output"]["token_ids"]
}

#[test]
fn are_the_tokens_those_of_a_whole_wafer_and_the_costs_told() {
    let whole = run(&[]);
    assert!(whole.get("defects").is_none());
    for defects in [
        &["machine.defects.rate=0.02", "machine.defects.seed=3"][..],
        &["machine.defects.rate=0.01", "machine.defects.link_rate=0.01"],
        &["machine.defects.rate=0.15", "machine.width=33", "machine.height=20"],
        &["machine.defects.rate=0.1", "machine.width=300", "machine.height=1"],
        &["machine.defects.rate=0.1", "machine.width=1", "machine.height=300"],
    ] {
        let report = run(defects);
        assert_eq!(tokens(&report), tokens(&whole), "{defects:?}");
        let found = &report["defects"];
        assert!(found["dead_pes"].as_u64() > Some(10), "{found}");
        let healthy = &found["healthy"];
        assert_eq!((&healthy["tokens"], &healthy["tokens_equal"]), (&json!(2), &json!(true)));
        let latency = &report["requests"][0]["latency"];
        let first = healthy["ttft_cycles"].as_i64().zip(healthy["ttft_cost_cycles"].as_i64());
        assert_eq!(first.map(|(whole, cost)| whole + cost), latency["ttft_cycles"].as_i64());
    }
}

#[test]
fn does_a_bad_pe_cost_a_column_and_not_a_row() {
    let cut = ["mapping.stage_width=8", "mapping.stage_height=6", "mapping.layers_per_stage=2"];
    let bad = "machine.defects.pes=[[3,2],[5,4]]";
    let report = run(&[cut[0], cut[1], cut[2], bad]);
    let found = &report["defects"];
    // Each row of five stages, six and a port row, gains a tile, less the two dead ones; between these columns 3 and 4 step aside.
    assert_eq!(found["spare_pes"], json!(5 * 7 - 2));
    assert_eq!(found["dead_pes"], json!(2));
    let cost = found["healthy"]["second_token_cost_cycles"].as_i64().expect("two tokens");
    assert!((1..600).contains(&cost), "{cost}");
    let whole = run(&cut);
    assert_eq!(whole["resources"]["pes_used"], report["resources"]["pes_used"]);
    assert_eq!(tokens(&report), tokens(&whole));
}

#[test]
fn is_a_run_reported_that_the_whole_wafer_has_no_room_for() {
    // The head lies further off, so that the lane back to the embedding holds more requests than on the whole wafer.
    let model = model("models/stdlib-1m");
    let mut args = vec!["run", &model, "--max-new-tokens", "1", "--json"];
    args.extend(["--prompt-ids", "5"].repeat(50));
    args.extend(["--set", "machine.defects.rate=0.3"]);
    let call = wafersim(&args);
    assert_eq!(call.code, Some(0), "{}", call.err);
    assert!(call.err.contains("not compared with the wafer without defects"), "{}", call.err);
    let report: Value = serde_json::from_str(&call.out).expect("the report is JSON");
    assert!(report["defects"]["dead_pes"].as_u64() > Some(1000));
    assert!(report["defects"].get("healthy").is_none());
}

#[test]
fn is_a_map_that_leaves_no_way_refused_with_the_reason() {
    let said = refusal(&["machine.defects.rate=1"]);
    assert!(said.contains("4096 of its PEs are dead"), "{said}");
    assert!(said.contains("if nothing of it were dead"), "{said}");
    let corner = r#"machine.defects.links=[[0,0,"East"],[0,0,"South"]]"#;
    let said = refusal(&[corner]);
    assert!(said.contains("dead links cut tile (0,0) off from tile (1,"), "{said}");
    let row = ["machine.width=300", "machine.height=1", r#"machine.defects.links=[[20,0,"East"]]"#];
    let said = refusal(&row);
    assert!(said.contains("no way with a free color leads from tile"), "{said}");
    assert!(said.contains("dead PEs there: 0, dead links: 1 ("), "{said}");
    let said = refusal(&["machine.defects.pes=[[64,0]]"]);
    assert!(said.contains("defects.pes = (64, 0) is outside the grid of 64 x 64 tiles"), "{said}");
    let said = refusal(&["machine.defects.rate=1.5"]);
    assert!(said.contains("defects.rate = 1.5 is outside its legal range, 0 to 1"), "{said}");
    let said = refusal(&["machine.defects.rat=0.1"]);
    assert!(said.contains("did you mean `machine.defects.rate`"), "{said}");
}

#[test]
fn can_every_drawn_map_be_compiled_around_or_refused() {
    let directory = model("oracle/bad/control-good/model");
    let model = models::ModelDir::open(Path::new(&directory)).expect("a sound model");
    let weights = model.weights().expect("it has weights");
    let set = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u32>().ok());
    let config = ProptestConfig {
        cases: set("WAFERSIM_CASES").unwrap_or(300),
        rng_seed: RngSeed::Fixed(set("WAFERSIM_SEED").unwrap_or(1).into()),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let compiled = std::cell::Cell::new(0);
    proptest!(config, |(bytes in prop::collection::vec(any::<u8>(), 8..40))| {
        let went = compiler::fuzz::detours(model.graph(), weights, &bytes);
        compiled.set(compiled.get() + u32::from(went));
    });
    assert!(compiled.get() > 20, "only {} maps could be compiled around", compiled.get());
}
