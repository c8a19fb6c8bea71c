//! What requests mean to the user: chats, where answers end, and how tokens are drawn.

mod call;

use call::wafersim;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn stdlib() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/stdlib-1m")
}

/// A copy of the example model with other contents of some files.
fn model_with(files: &[(&str, String)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for name in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
    ] {
        std::fs::copy(stdlib().join(name), dir.path().join(name)).expect("the model can be copied");
    }
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).expect("the folder can be written");
    }
    dir
}

/// The report of a run.
fn report(model: &Path, args: &[&str]) -> Value {
    let model = model.display().to_string();
    let call = wafersim(&[&["run", &model, "--json"], args].concat());
    assert_eq!(call.code, Some(0), "{args:?}: {}", call.err);
    serde_json::from_str(&call.out).expect("one JSON document")
}

/// The message of a run that is refused.
fn refused(model: &Path, args: &[&str]) -> String {
    let model = model.display().to_string();
    let call = wafersim(&[&["run", &model], args].concat());
    assert_eq!((call.code, call.out.as_str()), (Some(1), ""), "{args:?}: {}", call.err);
    call.err
}

/// What is printed of a run before the summary.
fn shown(model: &Path, args: &[&str]) -> String {
    let model = model.display().to_string();
    let call = wafersim(&[&["run", &model, "--quiet"], args].concat());
    assert_eq!(call.code, Some(0), "{args:?}: {}", call.err);
    call.out
}

fn ids(report: &Value, request: usize) -> Vec<u64> {
    let list = &report["requests"][request]["output"]["token_ids"];
    list.as_array().expect("a list").iter().filter_map(Value::as_u64).collect()
}

fn output(report: &Value) -> (&str, &str) {
    let output = &report["requests"][0]["output"];
    (output["text"].as_str().expect("a text"), output["stop"].as_str().expect("a stop"))
}

#[test]
fn is_a_chat_the_prompt_that_its_template_writes() {
    let template = "{{ bos_token }}{% for m in messages %}# {{ m.role }}: {{ m.content }}\n{% endfor %}\
        {% if add_generation_prompt %}# {{ strftime_now('%Y') }}\n{% endif %}";
    let config = json!({"chat_template": template, "bos_token": "<|endoftext|>"}).to_string();
    let dir = model_with(&[("tokenizer_config.json", config)]);
    let new = ["--max-new-tokens", "2"];
    let chat = ["--chat", "--system", "terse", "--chat-date", "2026-07-04", "--prompt", "def f"];
    let chat = report(dir.path(), &[&chat[..], &new].concat());
    let text = "<|endoftext|># system: terse\n# user: def f\n# 2026\n";
    let plain = report(dir.path(), &[&["--prompt", text], &new[..]].concat());
    assert_eq!(chat["requests"], plain["requests"]);
    assert_eq!(chat["settings"]["chat_date"], "2026-07-04");
    assert!(plain["settings"].get("chat_date").is_none());
    let ids = refused(dir.path(), &["--chat", "--prompt-ids", "1"]);
    assert!(ids.contains("--chat needs the prompt as text"), "{ids}");
    let none = refused(&stdlib(), &["--chat", "--prompt", "hi"]);
    assert!(none.contains("tokenizer_config.json states no chat_template"), "{none}");
    let no_chat = refused(dir.path(), &["--system", "s", "--prompt", "hi"]);
    assert!(no_chat.contains("--chat"), "{no_chat}");
}

#[test]
fn does_an_answer_end_before_a_stop_string_that_spans_tokens() {
    let base = ["--prompt", "def add(", "--max-new-tokens", "8"];
    let whole = report(&stdlib(), &base);
    let (text, stop) = output(&whole);
    assert_eq!(stop, "length");
    let tokens = ids(&whole, 0);
    // From the middle of one token to the middle of another, as far as that is the text's first such place.
    let text: Vec<char> = text.chars().collect();
    let (from, to) = (text.len() / 3, 2 * text.len() / 3);
    let stop: String = text[from..to].iter().collect();
    let whole_text: String = text.iter().collect();
    let before = &whole_text[..whole_text.find(&stop).expect("it is in there")];
    let stopped = report(&stdlib(), &[&base[..], &["--stop", &stop]].concat());
    assert_eq!(output(&stopped), (before, "stop_string"));
    let taken = ids(&stopped, 0);
    assert!(taken.len() < tokens.len() && tokens.starts_with(&taken), "{taken:?} of {tokens:?}");
    assert_eq!(stopped["settings"]["stop_strings"], json!([stop]));
    // What streams is the same, and no part of the stop string.
    assert_eq!(shown(&stdlib(), &[&base[..], &["--stop", &stop]].concat()), format!("{before}\n"));
    // The model's own stop strings do the same.
    let own = json!({"eos_token_id": 0, "stop_strings": [stop]}).to_string();
    let dir = model_with(&[("generation_config.json", own)]);
    assert_eq!(output(&report(dir.path(), &base)), (before, "stop_string"));
    assert!(refused(&stdlib(), &["--prompt", "a", "--stop", ""]).contains("--stop is empty"));
    // Any token of a list of end-of-sequence tokens ends an answer.
    let eos = json!({"eos_token_id": [1_023, tokens[2], 0]}).to_string();
    let dir = model_with(&[("generation_config.json", eos)]);
    let ended = report(dir.path(), &base);
    assert_eq!((ids(&ended, 0), output(&ended).1), (tokens[..3].to_vec(), "eos"));
}

#[test]
fn does_a_seed_decide_the_answer_and_nothing_else() {
    let base = ["--prompt-ids", "73,77", "--max-new-tokens", "4", "--temperature", "1.5"];
    let with = |more: &[&str]| report(&stdlib(), &[&base[..], more].concat());
    let (one, again, other) =
        (with(&["--seed", "5"]), with(&["--seed", "5", "--threads", "1"]), with(&["--seed", "6"]));
    assert_eq!((&one["requests"], &one["digest"]), (&again["requests"], &again["digest"]));
    assert_ne!(ids(&one, 0), ids(&other, 0));
    let wanted = json!({"temperature": 1.5, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0, "seed": 5});
    assert_eq!(one["settings"]["sampling"], wanted);
    // In flight together, each is what it is alone: request 1 draws with the next seed.
    let both = [
        "--prompt-ids",
        "73,77",
        "--prompt-ids",
        "73,77",
        "--max-new-tokens",
        "4",
        "--temperature",
        "1.5",
        "--seed",
        "5",
    ];
    let both = report(&stdlib(), &both);
    assert_eq!((ids(&both, 0), ids(&both, 1)), (ids(&one, 0), ids(&other, 0)));
}

#[test]
fn is_the_best_of_one_the_wafers_own_choice_and_later() {
    let base = ["--prompt-ids", "143,410,382", "--max-new-tokens", "4"];
    let with = |more: &[&str]| report(&stdlib(), &[&base[..], more].concat());
    let (greedy, cold) = (with(&[]), with(&["--temperature", "0", "--top-p", "0.5"]));
    assert_eq!((&greedy["requests"], &greedy["digest"]), (&cold["requests"], &cold["digest"]));
    assert_eq!(greedy["settings"]["sampling"], Value::Null);
    let best = with(&["--top-k", "1", "--check-reference"]);
    assert_eq!(ids(&best, 0), ids(&greedy, 0));
    let cycles =
        |report: &Value, key: &str| report["requests"][0]["latency"][key].as_f64().expect(key);
    // A token costs the link's latency both ways more, beside the logits' wavelets; the first one only these.
    let machine = fabric::presets::preset(fabric::presets::DEFAULT).expect("a preset");
    let latency = machine.host_latency_cycles() as f64;
    assert!(cycles(&best, "ttft_cycles") > cycles(&greedy, "ttft_cycles"));
    assert!(cycles(&best, "tpot_cycles") >= cycles(&greedy, "tpot_cycles") + 2.0 * latency);
    // A penalty so large that no token comes twice.
    let penalty = ids(&with(&["--repetition-penalty", "1000000"]), 0);
    let mut unlike = penalty.clone();
    unlike.sort_unstable();
    unlike.dedup();
    assert_eq!(unlike.len(), penalty.len(), "{penalty:?}");
    assert!(!penalty.iter().any(|id| [143, 410, 382].contains(id)), "{penalty:?}");
    for (wrong, part) in [
        (["--top-p", "1.5"], "--top-p 1.5: it must be a number from 0 to 1"),
        (["--temperature", "-1"], "--temperature -1"),
        (["--repetition-penalty", "0"], "--repetition-penalty 0"),
    ] {
        let message = refused(&stdlib(), &[&base[..], &wrong].concat());
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn are_the_models_own_settings_looked_at_only_where_tokens_are_drawn() {
    let generation = json!({"eos_token_id": 0, "do_sample": true, "top_p": 1.5}).to_string();
    let dir = model_with(&[("generation_config.json", generation)]);
    let base = ["--prompt-ids", "73", "--max-new-tokens", "1"];
    for greedy in [&[][..], &["--temperature", "0"], &["--repetition-penalty", "1.1"]] {
        assert_eq!(ids(&report(dir.path(), &[&base[..], greedy].concat()), 0).len(), 1);
    }
    let model = dir.path().display().to_string();
    let compiled = wafersim(&["compile", &model]);
    assert_eq!(compiled.code, Some(0), "{}", compiled.err);
    for drawn in [["--temperature", "1"], ["--top-p", "0.5"], ["--seed", "3"]] {
        let message = refused(dir.path(), &[&base[..], &drawn].concat());
        for part in ["generation_config.json", "top_p", "1.5", "a number from 0 to 1"] {
            assert!(message.contains(part), "{message}");
        }
    }
}

#[test]
fn is_the_default_number_of_tokens_cut_to_the_context_and_an_explicit_one_refused() {
    let prompt = ["7"; 509].join(",");
    let cut = report(&stdlib(), &["--prompt-ids", &prompt]);
    let request = &cut["requests"][0];
    assert_eq!((request["max_new_tokens"].as_u64(), ids(&cut, 0).len()), (Some(3), 3));
    assert_eq!(output(&cut).1, "context");
    let long = refused(&stdlib(), &["--prompt-ids", &prompt, "--max-new-tokens", "4"]);
    assert!(long.contains("does not fit the context of 512"), "{long}");
}

#[test]
fn can_a_prompt_be_one_token() {
    let one = report(&stdlib(), &["--prompt-ids", "73", "--max-new-tokens", "1", "--top-k", "1"]);
    let greedy = report(&stdlib(), &["--prompt-ids", "73", "--max-new-tokens", "1"]);
    assert_eq!((ids(&one, 0), ids(&greedy, 0).len()), (ids(&greedy, 0), 1));
}
