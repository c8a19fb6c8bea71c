//! `wafersim exec`, and what `wafersim compile` makes for it: results, exit codes, messages, digests.

mod call;

use call::wafersim;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The document of a call that must succeed, without what it says about the host.
fn document(args: &[&str]) -> Value {
    let call = wafersim(args);
    assert_eq!((call.code, call.err.as_str()), (Some(0), ""), "{args:?}");
    let mut document: Value = serde_json::from_str(&call.out).expect("one JSON document");
    let host = document.as_object_mut().expect("an object").remove("host");
    assert!(host.is_some_and(|h| h["seconds"].as_f64().is_some_and(|s| s > 0.0)));
    document
}

/// Asserts exit code, an empty standard output and a message that holds all of `parts`.
fn assert_fails(code: i32, args: &[&str], parts: &[&str]) {
    let call = wafersim(args);
    assert_eq!((call.code, call.out.as_str()), (Some(code), ""), "{args:?}: {}", call.err);
    let told = call.err.lines().any(|line| line.starts_with("error: "));
    assert!(told, "{args:?}: {}", call.err);
    for part in parts {
        assert!(call.err.contains(part), "{args:?}: no `{part}` in {}", call.err);
    }
}

fn examples(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(path)
}

fn kernel(name: &str) -> String {
    examples("kernels").join(name).display().to_string()
}

/// A folder for the files of one test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        std::fs::write(self.0.path().join(name), contents).expect("the folder can be written");
        self.path(name)
    }
}

/// A program that divides by `n`, negates four numbers if that went well, and jumps on if `spin`.
const NEGATE: &str = "\
param n = 1, spin = 0
program p {
    mem v: f32[2, 2] = 2 * i + j
    task t activated:
        li r1, n
        idiv r2, r1, r1
        neg v, v
    again:
        if spin { jump again }
        end
}
place p at (3, 1)
result v at (3, 1)
expect v at (3, 1) = -(2 * i + j)
";

#[test]
fn does_every_example_do_what_it_expects() {
    let mut seen = 0;
    for entry in std::fs::read_dir(examples("kernels")).expect("there are examples") {
        let path = entry.expect("entries can be read").path().display().to_string();
        if path.contains("overflow") {
            continue;
        }
        for machine in ["wse2", "wse3-64"] {
            let call = wafersim(&["exec", &path, "--machine", machine]);
            let is_deadlock = path.ends_with("deadlock.wsk");
            let told = call.err.starts_with("note: the simulated program deadlocked at cycle");
            assert_eq!((call.code, told), (Some(0), is_deadlock), "{path}: {}", call.err);
            assert!(told || call.err.is_empty(), "{path}: {}", call.err);
            for part in ["instructions", " at cycle ", &format!(" on {machine}, "), "digest "] {
                assert!(call.out.contains(part), "{path}: no `{part}` in {}", call.out);
            }
        }
        seen += 1;
    }
    assert!(seen >= 6, "only {seen} examples");
}

#[test]
fn are_the_deliberate_overflows_told_and_smaller_ones_run() {
    let (sram, queue) = (kernel("sram_overflow.wsk"), kernel("queue_overflow.wsk"));
    let parts = [
        "error: ",
        "sram_overflow.wsk cannot run:\n",
        "error[sram-overflow]: tile (1,0): SRAM over by 8 bytes on PE (1,0): ",
        "24 of code and 44,960 of data, 44,976 are usable",
        "cure: keep fewer or smaller regions on this PE",
    ];
    assert_fails(1, &["exec", &sram], &parts);
    assert_eq!(wafersim(&["exec", &sram, "--param", "B=11000"]).code, Some(0));
    let call = wafersim(&["exec", &queue, "--machine", "wse2"]);
    let parts = [
        "warning[burst-too-long]: ",
        "PE (0,0) sends 64 words to PE (1,0) on color c0, of which 20 fit in the queues on the way",
        "cure: receive in a microthread",
    ];
    parts.iter().for_each(|part| assert!(call.err.contains(part), "{part} in {}", call.err));
    // Each PE's output queue, up FIFO and link take what they hold, 20 words, and no more.
    assert_eq!(call.code, Some(0));
    assert!(call.out.contains("\ndeadlock at cycle 29 on wse2"), "{}", call.out);
    assert!(call.out.contains(" 20 "), "{}", call.out);
    let fits = wafersim(&["exec", &queue, "--machine", "wse2", "--param", "B=16"]);
    assert_eq!((fits.code, fits.err.as_str()), (Some(0), ""), "{}", fits.out);
}

#[test]
fn are_results_shown_and_parameters_and_machine_taken() {
    let message = kernel("message.wsk");
    let call = wafersim(&["exec", &message, "--quiet"]);
    assert_eq!(call.out, "words at (5,0): u32[8] = 100 101 102 103 104 105 106 107\n");
    let call = wafersim(&["exec", &message, "--quiet", "--param", "N=3", "--param", "B=0x20"]);
    assert!(call.out.starts_with("words at (3,0): u32[32] = 100 101"), "{}", call.out);
    assert!(call.out.ends_with("114 115 … (32 values)\n"), "{}", call.out);
    let relay = wafersim(&["exec", &kernel("relay.wsk"), "--quiet"]).out;
    assert!(relay.starts_with("host port answers: 6 wavelets, cycles "), "{relay}");
    assert!(relay.ends_with(": 4 1004 2004 3004 4004 5004\n"), "{relay}");
    let cycles = |more: &[&str]| {
        let args: Vec<&str> =
            ["exec", &message, "--json", "--param", "B=1"].iter().chain(more).copied().collect();
        document(&args)["cycles"].as_u64().expect("a number")
    };
    let slower = ["--set", "machine.fabric.hop_cycles=3"];
    // One word over five hops, each one cycle longer.
    assert_eq!(cycles(&slower), cycles(&[]) + 5);
}

#[test]
fn does_the_table_name_the_pe_that_has_the_most_of_each() {
    let table = wafersim(&["exec", &kernel("broadcast.wsk")]).out;
    let row = |first: &str| {
        let line = table.lines().find(|line| line.contains(first)).expect("a row");
        line.split(['│', '|', ' ']).filter(|cell| !cell.is_empty()).map(String::from).collect()
    };
    let (most, of): (Vec<String>, Vec<String>) = (row("most"), row("of PE"));
    // 24 PEs: the roots send 16 words over the first hop, the others receive them.
    assert_eq!(most[5..8], ["16", "16", "16"], "{table}");
    assert_eq!(of[2 + 4..], ["(1,0)", "(0,0)", "(0,0)"], "{table}");
}

#[test]
fn is_the_document_complete_and_a_function_of_the_inputs() {
    let folder = Folder::new();
    let path = folder.file("negate.wsk", NEGATE);
    let args = ["exec", &path, "--json", "--param", "n=7"];
    let first = document(&args);
    assert_eq!(first, document(&args));
    let keys: Vec<&str> =
        first.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut wanted = vec![
        "schema",
        "contract",
        "wafersim",
        "machine",
        "overrides",
        "params",
        "stop",
        "cycles",
        "results",
        "received",
        "counters",
        "digest",
    ];
    wanted.sort_unstable();
    let mut found = keys;
    found.sort_unstable();
    assert_eq!(found, wanted);
    assert_eq!(first["schema"], "wafersim.exec/1");
    assert_eq!(first["contract"], fabric::CONTRACT_VERSION);
    assert_eq!(first["machine"]["name"], fabric::presets::DEFAULT);
    assert_eq!(first["params"], serde_json::json!({"n": 7, "spin": 0}));
    assert_eq!(first["stop"], "finished");
    let result = serde_json::json!({
        "name": "v", "tile": [3, 1], "dtype": "f32", "shape": [2, 2],
        "values": [-0.0, -1.0, -2.0, -3.0],
    });
    assert_eq!(first["results"], serde_json::json!([result]));
    let counters = &first["counters"];
    assert_eq!((&counters["wavelet_hops"], &counters["instructions"]), (&0.into(), &4.into()));
    let pe = counters["pes"][0].as_object().expect("the counters of a PE");
    for key in [
        "tile",
        "instructions",
        "fabric_steps",
        "busy_cycles",
        "launches",
        "wavelets_in",
        "wavelets_out",
        "wavelet_hops",
    ] {
        assert!(pe.contains_key(key), "{key}");
    }
    let cycles = pe["cycles"].as_object().expect("what the cycles went to");
    let keys = ["working", "waiting_input", "waiting_output", "launching", "idle"];
    let each = keys.map(|key| cycles[key].as_u64().expect(key));
    assert_eq!((Some(each.iter().sum()), cycles.len()), (first["cycles"].as_u64(), 5));
    let relay = document(&["exec", &kernel("relay.wsk"), "--json"]);
    let answers = &relay["received"][0];
    assert_eq!(answers["port"], "answers");
    assert_eq!(answers["payloads"], serde_json::json!([4, 1004, 2004, 3004, 4004, 5004]));
    assert_eq!(answers["cycles"].as_array().map(Vec::len), Some(6));
}

#[test]
fn does_every_ending_have_its_exit_code() {
    let folder = Folder::new();
    let said = |name: &str, more: &str| folder.file(name, format!("{NEGATE}{more}"));
    let plain = said("plain.wsk", "");
    assert_eq!(wafersim(&["exec", &plain]).code, Some(0));
    let trap = ["exec", &plain, "--param", "n=0"];
    // What was left is shown, as part of the message.
    assert_fails(
        2,
        &trap,
        &[
            "trapped at cycle",
            "PE (3,1), instruction 1 (line 6: idiv r2, r1, r1)",
            "division by zero",
            "v at (3,1)",
        ],
    );
    let spin = ["exec", &plain, "--param", "spin=1", "--limit", "1234"];
    assert_fails(2, &spin, &["cycle limit at cycle 1,234", "--limit N"]);
    let text = std::fs::read_to_string(kernel("deadlock.wsk")).expect("it is there");
    let deadlock = folder.file("deadlock.wsk", text.replace("expect stop = deadlock", ""));
    let parts = [
        "deadlocked at cycle",
        "PE (0,0), main thread, instruction 0 (line 7: mov.f32 d0, in(c1)",
        "color c1 since cycle",
    ];
    assert_fails(2, &["exec", &deadlock, "--json"], &parts);
    let expected = wafersim(&["exec", &kernel("deadlock.wsk")]);
    assert_eq!(expected.code, Some(0));
    parts.iter().for_each(|part| assert!(expected.err.contains(part), "{}", expected.err));
    assert_eq!(wafersim(&["exec", &kernel("deadlock.wsk"), "--quiet"]).err, "");
    let limit = said("limit.wsk", "expect stop = limit\nexpect cycles = 1234\n");
    let spin = ["exec", &limit, "--json", "--param", "spin=1", "--limit", "1234"];
    assert_eq!(document(&spin)["stop"], "limit");
    let wrong = said("wrong.wsk", "expect v at (3, 1) = [0, -1, -2, -4]\nexpect stop = trap\n");
    let parts = [
        "2 expectations were not met",
        "wrong.wsk:15:1: tile (3,1): v[3] is -3.0, expected -4.0",
        " 15 | expect v at (3, 1) = [0, -1, -2, -4]\n",
        "wrong.wsk:16:1: the run ended at cycle",
        "finished, expected: trap",
        "v at (3,1): f32[2, 2] =",
    ];
    assert_fails(3, &["exec", &wrong], &parts);
    let quiet = wafersim(&["exec", &wrong, "--quiet"]).err;
    assert!(!quiet.contains("f32[2, 2]"), "{quiet}");
    assert_fails(3, &["exec", &wrong, "--json"], &["wrong.wsk:15:1"]);
}

#[test]
fn does_the_host_stop_a_run_when_the_text_says_so() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(kernel("relay.wsk")).expect("it is there");
    let end = text.find("expect host").expect("it expects answers");
    let stop = |statements: &str| {
        let path = folder.file("stop.wsk", format!("{}{statements}\n", &text[..end]));
        let report = document(&["exec", &path, "--json"]);
        (report["stop"].clone(), report["received"][0]["payloads"].clone())
    };
    let (stopped, finished) = (Value::from("stopped"), Value::from("finished"));
    let after = |n: usize| Value::from([4, 1004, 2004, 3004, 4004, 5004][..n].to_vec());
    assert_eq!(stop(""), (finished.clone(), after(6)));
    assert_eq!(stop("stop answers: u32[1] after 3"), (stopped.clone(), after(3)));
    assert_eq!(stop("stop answers: u32[2] after 2"), (stopped.clone(), after(4)));
    let first = "stop answers: u32[1] after 6 or [0] = 7, 1004";
    assert_eq!(stop(first), (stopped.clone(), after(2)));
    let both = "stop answers: u32[2] if [0] & 0xff = 4 after 1\nstop answers: u32[1] after 5";
    assert_eq!(stop(both), (stopped, after(5)));
    let never = "stop answers: u32[1] after 7\nexpect stop = finished";
    assert_eq!(stop(never), (finished, after(6)));
    let path = folder.file("never.wsk", format!("{}stop answers: u32[1] after 7", &text[..end]));
    assert_fails(3, &["exec", &path], &["finished, expected: stopped"]);
}

#[test]
fn are_files_that_are_no_programs_refused_with_place_and_cure() {
    let folder = Folder::new();
    let gone = folder.path("gone.wsk");
    assert_fails(1, &["exec", &gone], &["gone.wsk could not be read", "give a kernel"]);
    assert_fails(1, &["exec", &folder.path("")], &["could not be read"]);
    let bytes = folder.file("bytes.wsk", b"param P = 1\nlet a = \xff\n");
    assert_fails(1, &["exec", &bytes], &["bytes.wsk:2: byte 20", "not UTF-8", "no image"]);
    let empty = folder.file("empty.wsk", "// nothing\n");
    let parts = ["empty.wsk has nothing to run", "`place NAME at (0, 0)`"];
    assert_fails(1, &["exec", &empty], &parts);
    assert_fails(1, &["exec", "chain_reduce"], &["did you mean `chain-reduce`?"]);
    let marked = folder.file("marked.wsk", format!("\u{feff}{NEGATE}"));
    assert_eq!(wafersim(&["exec", &marked]).code, Some(0));
    let broken =
        folder.file("broken.wsk", "program p {\n    task t activated:\n        mvo r1, 2\n}\n");
    let parts = ["broken.wsk:3:9: ", " 3 |         mvo r1, 2\n", "  |         ^^^", "`mov`"];
    assert_fails(1, &["exec", &broken], &parts);
    let two = folder.file("two.wsk", "colour red\nplaec p at (0, 0)\n");
    assert_fails(1, &["exec", &two], &["two.wsk:1:1", "`color`", "two.wsk:2:1", "`place`"]);
    let loops = "color red\nroute red: W -> E at (0, 0)\nroute red: E -> W at (1, 0)\n";
    let unsound = format!("{NEGATE}host in feed: 3 at (5, 5) W\n{loops}");
    let unsound = folder.file("unsound.wsk", unsound);
    assert_fails(
        1,
        &["exec", &unsound],
        &["unsound.wsk cannot run", "tile (5,5): the host port at W"],
    );
}

#[test]
fn are_options_that_do_not_go_with_the_program_refused() {
    let folder = Folder::new();
    let gemv = kernel("gemv.wsk");
    let refused = |more: &[&str], parts: &[&str]| {
        let args: Vec<&str> = ["exec", &gemv].iter().chain(more).copied().collect();
        assert_fails(1, &args, parts);
    };
    refused(&["--param", "Q=1"], &["gemv.wsk: --param Q=1: ", "no parameter `Q`", "P, M, N"]);
    refused(&["--param", "P=2", "--param", "P=3"], &["--param P=2 and --param P=3", "one value"]);
    refused(&["--param", "P"], &["--param P", "NAME=VALUE"]);
    refused(&["--param", "P=four"], &["--param P=four", "`four`"]);
    let declared = "gemv.wsk:3:7: --param P=65 stands in place of this";
    refused(&["--param", "P=65"], &["gemv.wsk:", "64 × 64 tiles", declared]);
    refused(&["--limit", "0"], &["--limit"]);
    refused(&["--machine", "wse9"], &["`wse9`"]);
    refused(&["--set", "machine.fabric.hop_cycle=1"], &["`machine.fabric.hop_cycles`"]);
    refused(&["--set", "mapping.goal=latency"], &["for models", "machine"]);
    let machine = fabric::presets::preset("wse2").expect("a preset").to_ron();
    let stated = folder.file("stated.wsk", format!("machine \"\"\"\n{machine}\"\"\"\n{NEGATE}"));
    assert_eq!(document(&["exec", &stated, "--json"])["machine"]["name"], "wse2");
    for more in [["--machine", "wse3"], ["--set", "machine.fabric.hop_cycles=3"]] {
        let args = ["exec", &stated, more[0], more[1]];
        assert_fails(1, &args, &["stated.wsk states its own machine", "--machine and --set"]);
    }
}

/// A small model with what `run` and `compile` are to make of it.
fn request(model: &str, more: &[&str]) -> Vec<String> {
    let model = examples("oracle").join(model).join("model").display().to_string();
    std::iter::once(model).chain(more.iter().map(ToString::to_string)).collect()
}

#[test]
fn does_a_compiled_image_run_to_the_digest_of_the_model_in_both_forms() {
    let cases: [(&str, &[&str]); 3] = [
        // Ends with an end-of-sequence token, before the last of the tokens asked for.
        ("llama-eos", &["--prompt-ids", "1,2,3", "--max-new-tokens", "5"]),
        ("llama-odd", &["--prompt-ids", "1,2", "--max-new-tokens", "3", "--machine", "wse2"]),
        (
            "llama-eos",
            &[
                "--prompt-ids",
                "1,2,3",
                "--prompt-ids",
                "7",
                "--max-new-tokens",
                "6",
                "--max-new-tokens",
                "4",
                "--set",
                "machine.fabric.hop_cycles=3",
            ],
        ),
    ];
    for (model, options) in cases {
        let folder = Folder::new();
        let (text, image) = (folder.path("model.wsk"), folder.path("model.image"));
        let request = request(model, options);
        let request: Vec<&str> = request.iter().map(String::as_str).collect();
        let run = document(&[&["run", "--json"], &request[..]].concat());
        let emit = ["compile", "--emit", "asm", "-o", &image];
        let compiled = wafersim(&[&emit, &request[..]].concat());
        assert_eq!((compiled.code, compiled.err.as_str()), (Some(0), ""));
        std::fs::write(&text, &compiled.out).expect("the folder can be written");
        for form in [&text, &image] {
            let exec = document(&["exec", form, "--json"]);
            assert_eq!(exec["stop"], "stopped", "{form}");
            for key in ["digest", "machine", "contract"] {
                assert_eq!(exec[key], run[key], "{key} of {form}");
            }
            let hops = &run["counters"]["wavelet_hops"];
            assert_eq!(&exec["counters"]["wavelet_hops"], hops, "{form}");
        }
        let left: Vec<_> = std::fs::read_dir(folder.0.path()).expect("a folder").collect();
        assert_eq!(left.len(), 2, "unfinished files are left: {left:?}");
    }
}

#[test]
fn are_damaged_images_and_their_options_refused() {
    let folder = Folder::new();
    let image = folder.path("model.image");
    let request = request("llama-prompt1", &["--positions", "4", "-o", &image]);
    let request: Vec<&str> = request.iter().map(String::as_str).collect();
    let told = wafersim(&[&["compile"], &request[..]].concat());
    assert!(told.out.contains("longest context"), "{}", told.out);
    // Without a prompt the host sends nothing, and the stages wait for ever.
    assert_fails(2, &["exec", &image, "--quiet"], &["deadlocked", "of stage `", "waits for"]);
    assert_fails(1, &["exec", &image, "--param", "P=1"], &["model.image", "no parameters"]);
    assert_fails(1, &["exec", &image, "--machine", "wse2"], &["states its own machine"]);
    let bytes = std::fs::read(&image).expect("the image was written");
    let cut = folder.file("cut.image", &bytes[..bytes.len() / 2]);
    let stated = format!("{} bytes", bytes.len());
    assert_fails(1, &["exec", &cut], &["cut.image: ", &stated, "was cut"]);
    let mut flipped = bytes.clone();
    flipped[1_000] ^= 1;
    let flipped = folder.file("flipped.image", flipped);
    assert_fails(1, &["exec", &flipped], &["flipped.image: ", "checksum"]);
}

#[test]
fn are_places_that_cannot_be_written_refused() {
    let compile = |output: &str, parts: &[&str]| {
        let request = request("llama-prompt1", &["-o", output]);
        let request: Vec<&str> = request.iter().map(String::as_str).collect();
        assert_fails(1, &[&["compile"], &request[..]].concat(), parts);
    };
    compile("/no/such/folder/image", &["/no/such/folder/image could not be written"]);
    compile("/dev/null", &["/dev/null could not be written", "no file"]);
    let folder = Folder::new();
    compile(&folder.path(""), &["could not be written"]);
}
