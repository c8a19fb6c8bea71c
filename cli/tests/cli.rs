//! What a user sees of the command: results, messages, exit codes.

mod call;

use call::wafersim;
use std::path::{Path, PathBuf};

/// Asserts exit code 1, an empty standard output and a message that holds all of `parts`.
fn assert_refused(args: &[&str], parts: &[&str]) {
    let call = wafersim(args);
    assert_eq!((call.code, call.out.as_str()), (Some(1), ""), "{args:?}: {}", call.err);
    assert!(call.err.starts_with("error: "), "{args:?}: {}", call.err);
    for part in parts {
        assert!(call.err.contains(part), "{args:?}: no `{part}` in {}", call.err);
    }
}

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(path)
}

fn model() -> String {
    example("models/stdlib-1m").display().to_string()
}

#[test]
fn does_machine_list_name_every_preset() {
    let call = wafersim(&["machine", "list"]);
    assert_eq!((call.code, call.err.as_str()), (Some(0), ""));
    for (name, what, _) in fabric::presets::PRESETS {
        assert!(call.out.contains(name) && call.out.contains(what), "{}", call.out);
    }
}

#[test]
fn can_a_shown_machine_be_read_back() {
    let shown = wafersim(&["machine", "show", "wse2"]);
    assert_eq!(shown.code, Some(0));
    assert!(shown.out.contains("// [SDK]"), "sources are shown: {}", shown.out);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("mine.ron");
    std::fs::write(&path, &shown.out).expect("the folder can be written");
    let again = wafersim(&["machine", "show", &path.display().to_string()]);
    let machine = fabric::Machine::from_ron(&again.out, "shown").expect("what is shown is valid");
    assert_eq!(machine, fabric::presets::preset("wse2").expect("a preset"));
}

#[test]
fn are_machines_that_are_not_there_refused_with_the_nearest() {
    assert_refused(&["machine", "show", "wse33"], &["`wse33`", "did you mean `wse3`?"]);
    assert_refused(&["machine", "show", "no/such.ron"], &["no/such.ron", "could not be read"]);
    let model = model();
    let run = |machine| ["run", &model, "--prompt-ids", "1", "--machine", machine];
    assert_refused(&run("wse-2"), &["did you mean `wse2`?"]);
}

#[test]
fn is_a_bad_machine_file_refused_with_line_and_column() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("bad.ron");
    let text = wafersim(&["machine", "show", "wse3"]).out;
    std::fs::write(&path, text.replace("hop_cycles: 2", "hop_cycles: 0")).expect("can be written");
    let path = path.display().to_string();
    assert_refused(
        &["machine", "show", &path],
        &["bad.ron", "fabric.hop_cycles = 0", "1 to 1000", "line ", "column "],
    );
}

#[test]
fn are_wrong_overrides_refused_with_the_nearest_key() {
    let model = model();
    let refused = |change: &str, parts: &[&str]| {
        assert_refused(&["run", &model, "--prompt-ids", "1", "--set", change], parts);
    };
    refused("machine.fabric.hop_cycle=1", &["did you mean `machine.fabric.hop_cycles`?"]);
    refused("fabric.hop_cycles=1", &["did you mean `machine.fabric.hop_cycles`?"]);
    refused("numeric.weights=f16", &["did you mean `numerics.weights`?"]);
    refused("numerics.weight=f16", &["did you mean `numerics.weights`?"]);
    refused("mapping.stage_widht=8", &["did you mean `mapping.stage_width`?"]);
    refused("machine.fabric.hop_cycles=0", &["1 to 1000"]);
    refused("numerics.weights=f8", &["f8", "bf16"]);
    refused("machine.pe", &["KEY=VALUE"]);
    refused("machine.pe=1", &["group of keys"]);
    refused("mapping=1", &["group of keys"]);
}

#[test]
fn are_impossible_requests_refused() {
    let model = model();
    let run = |more: &[&str], parts: &[&str]| {
        let args: Vec<&str> = ["run", &model].iter().chain(more).copied().collect();
        assert_refused(&args, parts);
    };
    run(&[], &["--prompt"]);
    run(&["--prompt-ids="], &["prompt is empty"]);
    run(&["--prompt-ids", "1,x"], &["`x` is no token id"]);
    run(&["--prompt-ids", "5000"], &["5000", "vocabulary"]);
    run(&["--prompt-ids", "1", "--max-new-tokens", "512"], &["512", "context"]);
    run(&["--prompt-ids", "1", "--max-new-tokens", "0"], &["--max-new-tokens"]);
    run(&["--prompt-file", "/no/such/file"], &["/no/such/file"]);
    run(
        &["--prompt-ids", "1", "--max-new-tokens", "2", "--max-new-tokens", "3"],
        &["--max-new-tokens", "2 times for 1 prompts"],
    );
    assert_refused(&["run", "/no/such/model", "--prompt", "x"], &["/no/such/model"]);
    assert_refused(&["compile", "/no/such/model"], &["/no/such/model"]);
    assert_refused(&["compile", &model, "--positions", "513"], &["513", "context"]);
}

#[test]
fn are_mistyped_commands_refused_and_help_is_a_result() {
    assert_refused(&["rum"], &["rum"]);
    for args in [&[][..], &["machine"]] {
        let call = wafersim(args);
        assert_eq!((call.code, call.out.as_str()), (Some(1), ""), "{args:?}");
        assert!(call.err.contains("Usage"), "{args:?}: {}", call.err);
    }
    for args in [&["--help"][..], &["run", "--help"], &["--version"]] {
        let call = wafersim(args);
        assert_eq!((call.code, call.err.as_str()), (Some(0), ""), "{args:?}");
        assert!(call.out.contains("wafersim"), "{args:?}");
    }
}

#[test]
fn is_every_broken_directory_refused_as_expected() {
    let mut seen = 0;
    for entry in std::fs::read_dir(example("oracle/bad")).expect("the cases are there") {
        let folder = entry.expect("entries can be read").path();
        let text = std::fs::read_to_string(folder.join("case.json")).expect("a case");
        let case: serde_json::Value = serde_json::from_str(&text).expect("cases are JSON");
        if case["expect"] != "error" {
            continue;
        }
        seen += 1;
        let new = case["max_new_tokens"].to_string();
        let model = folder.join("model").display().to_string();
        let ids = case["prompt_ids"].to_string();
        let ids = format!("--prompt-ids={}", ids.trim_matches(['[', ']']));
        let text = format!("--prompt={}", case["prompt_text"].as_str().unwrap_or_default());
        let prompt = if case["prompt_text"].is_string() { text } else { ids };
        let args = ["run", &model, "--json", &prompt, "--max-new-tokens", &new];
        assert_refused(&args, &[]);
        let said = wafersim(&args).err.to_lowercase();
        for group in case["mention"].as_array().into_iter().flatten() {
            let words = group.as_array().expect("groups are lists");
            let words = words.iter().filter_map(|w| w.as_str()).map(str::to_lowercase);
            let words: Vec<String> = words.collect();
            let is_told = words.iter().any(|w| said.contains(w.as_str()));
            assert!(is_told, "{}: none of {words:?} in {said}", folder.display());
        }
    }
    assert!(seen > 10, "only {seen} cases of broken directories");
}

#[test]
fn are_mappings_and_crowds_that_cannot_work_refused() {
    let model = model();
    let wide = ["compile", &model, "--set", "mapping.stage_height=4294967295"];
    assert_refused(&wide, &["does not fit"]);
    let mut crowd = vec!["run", &model, "--max-new-tokens", "2"];
    crowd.extend(["--prompt-ids", "71"].repeat(200));
    assert_refused(&crowd, &["200 requests at a time", "fewer"]);
}
