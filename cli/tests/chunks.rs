//! Items of several prompt tokens: are answers those of items of one token, and of Transformers, whatever the lengths of prompts, the cut
//! and the model? Do literal oracle and engine, and runs with data and without, agree on them?

mod call;
mod request;

use call::wafersim;
use compiler::{Compiled, Mapping, Options, Protocol};
use models::{DecoderGraph, ModelDir};
use request::{LIMIT, Listener, assert_answered_by, examples, family_model, machine, script};
use serde_json::Value;
use sim_core::{NoObserver, StopReason, engine, oracle};

/// Compiles a graph for requests of these contexts.
fn compiled(
    (model, graph): (&ModelDir, &DecoderGraph),
    contexts: &[u32],
    (stage_width, stage_height, layers_per_stage): (u32, u32, u32),
    prefill_chunk: u32,
) -> Compiled {
    let mapping = Mapping {
        stage_width,
        stage_height,
        layers_per_stage,
        prefill_chunk,
        ..Mapping::default()
    };
    let options = Options { mapping, contexts: contexts.to_vec(), ..Options::default() };
    let weights = model.weights().expect("weights are there");
    let mut machine = machine(64, 64);
    // Room for work vectors of many tokens on every cut.
    machine.pe.sram_bytes = 256 * 1024;
    compiler::compile(graph, weights, &machine, &options).expect("it compiles")
}

/// The tokens of these prompts' answers, by request, with the logits from which each was chosen.
fn answers(compiled: &Compiled, prompts: &[Vec<u32>], new: &[u32]) -> Vec<(usize, u32, Vec<u32>)> {
    let mut listener = Listener::new(compiled, new.iter().sum(), &[]);
    let script = script(compiled, prompts, new);
    let mut logits = request::Logits::of(&compiled.image);
    let outcome = engine::run(&compiled.image, &script, &mut listener, LIMIT, &mut logits);
    assert_eq!(outcome.stop, StopReason::Host);
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
    let each = logits.values.chunks_exact(logits.values.len() / listener.tokens.len());
    let tokens = listener.tokens.iter().zip(each);
    let mut found: Vec<(usize, u32, Vec<u32>)> =
        tokens.map(|(token, values)| (token.request, token.id, bits(values))).collect();
    found.sort_by_key(|(request, ..)| *request);
    found
}

/// Prompts of these lengths, of any ids.
fn prompts(lengths: &[u32]) -> Vec<Vec<u32>> {
    let id = |at: u32| 3 + (at * 37 + 11) % 50;
    lengths.iter().map(|&length| (length..2 * length).map(id).collect()).collect()
}

/// With chunks of any of these sizes the logits of all new tokens have the same bits as with items of one token, on the same cut.
fn assert_same((model, graph): (&ModelDir, &DecoderGraph), cut: (u32, u32, u32), sizes: &[u32]) {
    let (prompts, new) = (prompts(&[19, 1, 7, 4]), [3, 4, 1, 2]);
    let contexts: Vec<u32> =
        prompts.iter().zip(new).map(|(prompt, new)| prompt.len() as u32 + new - 1).collect();
    let run = |size| answers(&compiled((model, graph), &contexts, cut, size), &prompts, &new);
    let one = run(1);
    for &size in sizes {
        assert!(run(size) == one, "chunks of {size} on {cut:?} answer otherwise");
    }
}

fn without_ends(model: &ModelDir) -> DecoderGraph {
    DecoderGraph { eos_ids: Vec::new(), ..model.graph().clone() }
}

#[test]
fn are_logits_those_of_items_of_one_token() {
    let model = ModelDir::open(examples("oracle/llama-gqa-rope-llama3/model")).expect("it opens");
    let graph = without_ends(&model);
    // More columns than tokens and fewer, one row, one column, fewer rows than key-value heads.
    for (cut, sizes) in [
        ((5, 6, 1), &[2, 3, 4, 7, 16, 64][..]),
        ((3, 8, 2), &[2, 7, 16]),
        ((24, 4, 1), &[3, 16]),
        ((1, 12, 1), &[4]),
        ((13, 1, 1), &[2, 3]),
    ] {
        assert_same((&model, &graph), cut, sizes);
    }
}

#[test]
fn are_logits_of_all_families_those_of_items_of_one_token() {
    for (name, cut, size) in [
        ("gemma2", (3, 4, 1), 3),
        ("gemma2", (8, 13, 1), 7),
        ("gpt-neox", (4, 6, 1), 16),
        ("gpt-oss", (7, 5, 1), 3), // A mixture, sinks and windows.
        ("gpt-oss", (4, 13, 1), 16),
        ("gpt2", (5, 4, 1), 4),
        ("phi", (4, 5, 1), 7),
        ("qwen2", (1, 7, 1), 4),
        ("qwen3", (4, 6, 1), 7),
        ("qwen3-moe", (5, 4, 1), 3),
        ("qwen3-moe", (4, 13, 1), 16),
    ] {
        let model = family_model(name);
        assert_same((&model, &without_ends(&model)), cut, &[size]);
    }
}

#[test]
fn does_no_token_of_a_chunk_lose_one_of_its_window_or_see_one_before() {
    let model = ModelDir::open(examples("oracle/llama-gqa-rope-llama3/model")).expect("it opens");
    for (window, cut, size) in [
        (1, (4, 6, 1), 7),
        (3, (8, 3, 1), 7),
        (5, (3, 8, 2), 16),
        (7, (1, 12, 1), 4),
        (8, (4, 6, 1), 2),
        (16, (5, 4, 1), 3),
    ] {
        let mut graph = without_ends(&model);
        graph.blocks[0].attention.window = Some(window);
        assert_same((&model, &graph), cut, &[size]);
    }
}

#[test]
fn are_answers_those_of_transformers() {
    for (name, size) in [
        ("gemma2", 4),
        ("gpt-neox", 3),
        ("gpt-oss", 2),
        ("gpt2", 7),
        ("phi", 16),
        ("qwen2", 3),
        ("qwen3", 2),
        ("qwen3-moe", 4),
    ] {
        let mapping = Mapping { prefill_chunk: size, ..Mapping::default() };
        assert_answered_by(name, (48, 48), mapping);
    }
}

#[test]
fn do_engine_and_literal_oracle_agree_on_chunks() {
    for (name, cut, size) in [("qwen2", (3, 4, 1), 3), ("gpt-oss", (3, 5, 1), 2)] {
        let model = family_model(name);
        let (prompts, new) = (prompts(&[5, 2]), [1, 2]);
        let compiled = compiled((&model, &without_ends(&model)), &[6, 4], cut, size);
        let script = script(&compiled, &prompts, &new);
        let listener = || Listener::new(&compiled, 3, &[]);
        let (mut one, mut other) = (listener(), listener());
        let image = &compiled.image;
        let literal = oracle::run(image, &script, &mut one, LIMIT, &mut NoObserver);
        let fast = engine::run(image, &script, &mut other, LIMIT, &mut NoObserver);
        assert_eq!(literal.digest(), fast.digest(), "{name}");
        assert_eq!((literal.stop, literal.cycle), (fast.stop, fast.cycle), "{name}");
        assert_eq!(one.ids(), other.ids(), "{name}");
    }
}

fn report(model: &str, args: &[&str]) -> Value {
    let call = wafersim(&[&["run", model, "--json"], args].concat());
    assert_eq!(call.code, Some(0), "{model} {args:?}: {}", call.err);
    serde_json::from_str(&call.out).expect("one JSON document")
}

fn stdlib() -> String {
    examples("models/stdlib-1m").display().to_string()
}

#[test]
fn are_cycles_of_chunks_without_data_those_with_it() {
    let gemma = examples("../models/tests/data/oracle/gemma2/model").display().to_string();
    for (model, width, height, size) in
        [(&stdlib(), "5", "3", "7"), (&gemma, "3", "4", "4"), (&gemma, "6", "9", "16")]
    {
        let (width, height) =
            (format!("mapping.stage_width={width}"), format!("mapping.stage_height={height}"));
        let args = [
            "--prompt-tokens",
            "21",
            "--prompt-ids",
            "9,4,7",
            "--max-new-tokens",
            "2",
            "--prefill-chunk",
            size,
            "--set",
            "machine.pe.sram_bytes=262144",
            "--set",
            &width,
            "--set",
            &height,
        ];
        let full = report(model, &args);
        let none = report(model, &[&args[..], &["--data", "none"]].concat());
        let cycles = |report: &Value, at: usize| {
            report["requests"][at]["latency"]["token_cycles"][0].as_u64().expect("a cycle")
        };
        for at in 0..2 {
            assert_eq!(cycles(&full, at), cycles(&none, at), "{model} {args:?}");
        }
        let ended = |report: &Value| {
            let requests = report["requests"].as_array().expect("requests");
            requests.iter().any(|request| request["output"]["stop"] != "length")
        };
        assert!(ended(&full) || full["counters"] == none["counters"], "{model} {args:?}");
    }
}

#[test]
fn do_chunks_begin_at_any_position_of_any_stream() {
    let args = ["--data", "none", "--prompt-tokens", "11", "--start-position", "13"];
    let more = ["--streams", "3", "--max-new-tokens", "2", "--prefill-chunk", "4"];
    let report = report(&stdlib(), &[&args[..], &more[..]].concat());
    assert_eq!(report["requests"].as_array().map(Vec::len), Some(3));
    assert_eq!(report["settings"]["mapping"]["prefill_chunk"], 4);
}

#[test]
fn do_drawn_tokens_and_the_reference_follow_chunks() {
    let ids = ["--prompt-ids", "5,9,77,31,204,8,40", "--max-new-tokens", "3", "--check-reference"];
    let drawn = |size: &str| {
        let sampling = ["--temperature", "0.8", "--seed", "7", "--prefill-chunk", size];
        let cut = ["--set", "mapping.stage_width=8", "--set", "mapping.stage_height=8"];
        report(&stdlib(), &[&ids[..], &sampling[..], &cut[..]].concat())
    };
    let (one, three) = (drawn("1"), drawn("3"));
    assert_eq!(one["requests"][0]["output"], three["requests"][0]["output"]);
}

#[test]
fn does_a_chunk_that_does_not_fit_say_so() {
    let cut = ["--set", "mapping.stage_width=8", "--set", "mapping.stage_height=8"];
    let two = ["--set", "mapping.layers_per_stage=2", "--positions", "300"];
    let asked = |size| {
        let model = stdlib();
        wafersim(&[&["compile", &model, "--prefill-chunk", size], &cut[..], &two[..]].concat())
    };
    let refused = asked("64");
    assert_ne!(refused.code, Some(0));
    assert!(refused.err.contains("mapping.prefill_chunk = 64"), "{}", refused.err);
    assert_eq!(asked("auto").code, Some(0));
    assert_ne!(asked("0").code, Some(0));
    assert!(asked("5000").err.contains("beyond the limit"));
}

#[test]
fn is_a_prompt_sent_in_chunks() {
    let model = family_model("qwen2");
    let protocol: Protocol = compiled((&model, model.graph()), &[9], (3, 4, 1), 3).protocol;
    let words = protocol.inputs_from(2, &[vec![10, 11, 12, 13], vec![20]], &[2, 1]);
    let (wanted, slot) = (1 << 28, 1 << 20);
    let first = [2, 7 | 2 << 20, 10, 11, 12];
    let others = [5 | wanted, 7, 13, 2 | slot | wanted, 3, 20];
    assert_eq!(words, [[&[3][..], &first, &others].concat()]);
    assert_eq!(protocol.item_sizes(4).collect::<Vec<_>>(), [3, 1]);
}
