//! `wafersim sweep`: is the table a function of the sweep alone, whatever happened on the way?

mod call;

use call::{Call, wafersim};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A sweep of twelve short runs.
fn sweep(folder: &TempDir, widths: &str) -> String {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/stdlib-1m");
    let text = format!(
        "(run: {{\"model\": {:?}, \"data\": \"none\", \"prompt_tokens\": 1, \"max_new_tokens\": 2, \"mapping.stage_height\": 8}},\n axes: [\
         List(key: \"mapping.stage_width\", values: {widths}),\n\
         Range(key: \"machine.fabric.hop_cycles\", from: 1, to: 6, step: 1)])",
        model.display().to_string()
    );
    let path = folder.path().join("sweep.ron");
    fs::write(&path, text).expect("the folder can be written");
    path.display().to_string()
}

fn run(sweep: &str, to: &Path, more: &[&str]) -> Call {
    wafersim(&[&["sweep", sweep, "-o", &to.display().to_string()], more].concat())
}

fn table(to: &Path) -> String {
    fs::read_to_string(to.join("results.csv")).expect("the table is written")
}

/// Results that are there.
fn results(to: &Path) -> Vec<PathBuf> {
    let points = fs::read_dir(to.join("points")).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        points.map(|p| p.path().join("result.json")).filter(|p| p.is_file()).collect();
    found.sort();
    found
}

#[test]
fn do_threads_parts_and_a_kill_leave_the_same_table() {
    let folder = TempDir::new().expect("a temporary folder");
    let sweep = sweep(&folder, "[7, 8]");
    let [one, two, parts, killed] = ["1", "2", "p", "k"].map(|name| folder.path().join(name));
    let call = run(&sweep, &one, &["--threads", "1"]);
    assert_eq!(call.code, Some(0), "{}", call.err);
    assert_eq!(
        call.out.trim(),
        format!("12 of 12 points in {}", one.join("results.csv").display())
    );
    assert_eq!(run(&sweep, &two, &["--threads", "2"]).code, Some(0));
    assert_eq!(table(&one), table(&two));
    for (a, b) in results(&one).iter().zip(results(&two)) {
        let read = |path: &Path| fs::read_to_string(path).expect("a result");
        assert_eq!(read(a), read(&b));
        assert!(!read(a).contains("\"host\""));
    }
    // In parts, as job arrays do.
    let plan = wafersim(&["sweep", &sweep, "--plan"]).out;
    assert_eq!(plan.lines().count(), 12);
    assert!(
        plan.starts_with("0\t")
            && plan.contains("mapping.stage_width=7 machine.fabric.hop_cycles=2")
    );
    for part in ["8..20", "0", "1..8"] {
        assert_eq!(run(&sweep, &parts, &["--point", part]).code, Some(0), "{part}");
    }
    assert!(!parts.join("results.csv").exists());
    assert_eq!(run(&sweep, &parts, &["--gather"]).code, Some(0));
    assert_eq!(table(&parts), table(&one));
    // Killed in the middle.
    let mut command = Command::new(env!("CARGO_BIN_EXE_wafersim"));
    let to = killed.display().to_string();
    command.args(["sweep", &sweep, "-o", &to, "--threads", "1", "--quiet"]);
    let mut child = command.stdout(Stdio::null()).spawn().expect("the binary runs");
    let started = Instant::now();
    while results(&killed).len() < 3 && started.elapsed() < Duration::from_secs(120) {
        sleep(Duration::from_millis(5));
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    let kept = results(&killed);
    assert!((3..12).contains(&kept.len()), "{} results at the kill", kept.len());
    let written = |path: &PathBuf| fs::metadata(path).and_then(|m| m.modified()).expect("a time");
    let times: Vec<_> = kept.iter().map(written).collect();
    assert_eq!(run(&sweep, &killed, &[]).code, Some(0));
    assert_eq!(table(&killed), table(&one));
    assert_eq!(kept.iter().map(written).collect::<Vec<_>>(), times, "a finished point ran again");
}

#[test]
fn is_a_point_that_fails_recorded_while_the_rest_goes_on() {
    let folder = TempDir::new().expect("a temporary folder");
    let sweep = sweep(&folder, "[8, 1000]");
    let to = folder.path().join("out");
    let call = run(&sweep, &to, &["--quiet"]);
    assert_eq!(call.code, Some(1), "{}", call.err);
    assert!(
        call.err.contains("6 of 12 points failed") && call.err.contains("point 6"),
        "{}",
        call.err
    );
    assert_eq!(results(&to).len(), 6);
    let table = table(&to);
    assert_eq!(table.lines().filter(|line| line.contains(",ok,")).count(), 6);
    assert_eq!(table.lines().filter(|line| line.contains(",failed,")).count(), 6);
}

#[cfg(unix)]
#[test]
fn does_an_interrupt_end_a_sweep_that_can_go_on() {
    let folder = TempDir::new().expect("a temporary folder");
    let sweep = sweep(&folder, "[7, 8]");
    let to = folder.path().join("out");
    let mut command = Command::new(env!("CARGO_BIN_EXE_wafersim"));
    command.args(["sweep", &sweep, "-o", &to.display().to_string(), "--threads", "1"]);
    let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it runs");
    while results(&to).is_empty() {
        sleep(Duration::from_millis(5));
    }
    let signal = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(signal.expect("there is a kill").success());
    let done = child.wait_with_output().expect("it ends");
    assert_eq!(done.status.code(), Some(130));
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(told.contains("interrupted: ") && told.contains("goes on"), "{told}");
    assert!(to.join("results.csv").exists());
}

#[test]
fn are_bad_sweeps_refused() {
    let folder = TempDir::new().expect("a temporary folder");
    let good = fs::read_to_string(sweep(&folder, "[8]")).expect("it was written");
    let refused = |from: &str, to: &str, part: &str| {
        assert!(good.contains(from), "{from}");
        let path = folder.path().join("bad.ron");
        fs::write(&path, good.replace(from, to)).expect("the folder can be written");
        let call = wafersim(&["sweep", &path.display().to_string(), "--plan"]);
        assert_eq!((call.code, call.out.as_str()), (Some(1), ""), "{to}");
        assert!(call.err.contains("bad.ron") && call.err.contains(part), "{to}: {}", call.err);
    };
    refused("machine.fabric.hop_cycles", "machine.fabric.hop_cycle", "`machine.fabric.hop_cycles`");
    refused("\"prompt_tokens\"", "\"prompt_token\"", "`prompt_tokens`");
    refused("axes", "axis", "did you mean `axes`?");
    refused("Range(", "Rnge(", "did you mean `Range`?");
    refused("[8]", "[]", "mapping.stage_width: the axis is empty");
    refused("to: 6", "to: 1000000", "100000");
    let zip =
        "Zip([List(key: \"seed\", values: [1, 2]), List(key: \"streams\", values: [1])]), Range(";
    refused("Range(", zip, "seed: 2; streams: 1");
    let call = wafersim(&["sweep", "/no/such.ron", "--plan"]);
    assert!(call.err.contains("/no/such.ron could not be read"), "{}", call.err);
}

#[test]
fn can_the_examples_be_planned() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/sweeps");
    for (name, points) in [("small", 6), ("thousand", 1_000)] {
        let path = examples.join(name).with_extension("ron").display().to_string();
        let call = wafersim(&["sweep", &path, "--plan"]);
        assert_eq!(
            (call.code, call.out.lines().count()),
            (Some(0), points),
            "{name}: {}",
            call.err
        );
    }
}
