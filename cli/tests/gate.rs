//! `wafersim check`: does the repository pass its own gate, and would one cycle be seen?

mod call;

use call::wafersim;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(path)
}

/// A folder with one baseline: a short run on a machine file of its own, which expects what comes of it.
fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("mine.ron"), wafersim(&["machine", "show", "wse3-64"]).out)
        .expect("the folder can be written");
    let path = folder.path().join("short.ron");
    let text = format!(
        "// Why this is here.\n(\n    run: {{\n        \"model\": {:?}, // a comment\n        \"machine\": \"mine.ron\",\n        \
         \"prompt\": \"def\",\n        \"max_new_tokens\": 2,\n        \"mapping.stage_width\": 8,\n        \"mapping.stage_height\": 8,\n    }},\n    tolerances: {{}},\n)\n",
        example("models/stdlib-1m").display().to_string()
    );
    fs::write(&path, text).expect("the folder can be written");
    let path_text = path.display().to_string();
    let none = wafersim(&["check", &path_text]);
    assert_eq!(none.code, Some(1), "{}", none.err);
    assert!(none.err.contains("--update"), "{}", none.err);
    let update = wafersim(&["check", &path_text, "--update"]);
    assert_eq!(update.code, Some(0), "{}", update.err);
    (folder, path)
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).expect("the file is there");
    assert!(text.contains(from), "no `{from}` in {text}");
    fs::write(path, text.replace(from, to)).expect("the folder can be written");
}

#[test]
fn does_the_repository_pass_its_own_gate() {
    let baselines = example("baselines").display().to_string();
    let call = wafersim(&["check", &baselines]);
    assert_eq!(call.code, Some(0), "{}\n{}", call.err, call.out);
    assert!(call.out.contains("stdlib-1m-wse2"), "{}", call.out);
}

#[test]
fn is_a_machine_constant_that_changed_by_one_cycle_caught() {
    let (folder, path) = folder();
    let path_text = path.display().to_string();
    assert_eq!(wafersim(&["check", &path_text]).code, Some(0));
    edit(&folder.path().join("mine.ron"), "dispatch_cycles: 5", "dispatch_cycles: 6");
    let [junit, benchmark, summary] =
        ["j.xml", "b.json", "s.md"].map(|name| folder.path().join(name).display().to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_wafersim"));
    command.args(["check", &path_text, "--junit", &junit, "--benchmark", &benchmark]);
    let done = command.env("GITHUB_STEP_SUMMARY", &summary).output().expect("the binary runs");
    let out = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(3), "{out}");
    assert!(out.contains("MOVED") && out.contains("requests[0].ttft_cycles"), "{out}");
    let read = |name| fs::read_to_string(name).expect("the file is written");
    assert!(read(&junit).contains("<failure type=\"moved\""));
    let feed: serde_json::Value = serde_json::from_str(&read(&benchmark)).expect("JSON");
    assert_eq!(
        (&feed[0]["name"], &feed[0]["unit"]),
        (&"short: ttft_cycles".into(), &"cycles".into())
    );
    assert!(read(&summary).contains("| short | requests[0].ttft_cycles |"));
    // With room for it, the same change passes; tokens have none.
    let room = "tolerances: {\"token_cycles\": 0.5, \"counters\": 0.5}";
    edit(&path, "tolerances: {}", room);
    assert_eq!(wafersim(&["check", &path_text]).code, Some(0));
    edit(&path, "token_ids: [", "token_ids: [1, ");
    assert_eq!(wafersim(&["check", &path_text]).code, Some(3));
}

#[test]
fn does_an_update_keep_comments_and_is_it_stable() {
    let (_folder, path) = folder();
    let before = fs::read_to_string(&path).expect("the file is there");
    assert!(before.starts_with("// Why this is here.") && before.contains("// a comment"));
    edit(&path, "token_cycles: [", "token_cycles: [1, ");
    let path_text = path.display().to_string();
    assert_eq!(wafersim(&["check", &path_text, "--update"]).code, Some(0));
    assert_eq!(fs::read_to_string(&path).expect("the file is there"), before);
}

#[test]
fn is_another_contract_no_regression_and_a_bad_baseline_an_error() {
    let (_folder, path) = folder();
    let path_text = path.display().to_string();
    edit(&path, "contract: \"", "contract: \"0.");
    let call = wafersim(&["check", &path_text]);
    assert_eq!(call.code, Some(3), "{}", call.err);
    assert!(call.out.contains("not a regression") && !call.out.contains("MOVED"), "{}", call.out);
    let refused = |from: &str, to: &str, part: &str| {
        edit(&path, from, to);
        let call = wafersim(&["check", &path_text]);
        assert_eq!(call.code, Some(1), "{from}: {}", call.out);
        assert!(call.err.contains(part), "{from}: {}", call.err);
        edit(&path, to, from);
    };
    refused("tolerances: {}", "tolerances: {\"token_cycle\": 0.1}", "did you mean `token_cycles`?");
    refused(
        "\"mapping.stage_width\"",
        "\"mapping.stage_widht\"",
        "did you mean `mapping.stage_width`?",
    );
    refused("tolerances:", "tolerance:", "did you mean `tolerances`?");
    refused("mine.ron", "none.ron", "none.ron");
}
