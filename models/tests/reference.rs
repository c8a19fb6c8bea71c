//! Does the host forward pass compute what Transformers computes?

mod common;

use std::path::Path;

use common::{case_folders, examples, family, ids, json, npy_rows};
use models::{DecoderGraph, ModelDir, Reference, WeightRounding, argmax};
use serde_json::Value;

/// Largest difference of a logit that counts as the same: rounding alone stays below 3e-5, while leaving out the norms'
/// epsilon, the slightest mistake, makes 2e-4.
const TOLERANCE: f32 = 1e-4;

/// Feeds prompt and expected tokens of one case; each must be the likeliest one, and the first logits must agree. Returns
/// the largest difference of a logit.
fn check(name: &str, reference: &mut Reference<'_>, case: &Value, logits: &Path) -> f32 {
    let prompt = ids(&case["prompt_ids"]);
    let expected = ids(&case["expected_ids_fp32"]);
    let rows = npy_rows(logits);
    assert_eq!(rows.len(), expected.len().min(4), "{name}");
    reference.reset();
    let mut largest = 0.0;
    for (position, &token) in prompt.iter().chain(&expected).enumerate() {
        let found = reference.step(token, position);
        let Some(step) = (position + 1).checked_sub(prompt.len()) else {
            continue;
        };
        if let Some(row) = rows.get(step) {
            assert_eq!(row.len(), found.len(), "{name}");
            let error = row.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(error <= TOLERANCE, "{name}: logits of step {step} differ by {error}");
            largest = f32::max(largest, error);
        }
        if step < expected.len() {
            assert_eq!(argmax(&found), expected[step], "{name}: token {step}");
        }
    }
    largest
}

/// Checks all requests of the case in `folder`, and prints a line of the table of families.
fn check_folder(folder: &Path) {
    let case = json(&folder.join("case.json"));
    let name = case["name"].as_str().unwrap();
    let model = ModelDir::open(folder.join("model")).unwrap();
    assert_eq!(model.graph().architecture, case["architecture"].as_str().unwrap());
    assert_eq!(model.graph().parameters(), case["parameters"].as_u64().unwrap(), "{name}");
    let mut reference = Reference::new(model.graph(), model.require_weights().unwrap());
    let requests = case["requests"].as_array().map_or(vec![&case], |all| all.iter().collect());
    let (mut tokens, mut largest) = (0, 0.0);
    for request in requests {
        let logits = folder.join(request["logits_first_steps"].as_str().unwrap());
        largest = f32::max(largest, check(name, &mut reference, request, &logits));
        let max_new = request["max_new_tokens"].as_u64().unwrap() as usize;
        let found = reference.generate(&ids(&request["prompt_ids"]), max_new).unwrap();
        assert_eq!(found, ids(&request["expected_ids_fp32"]), "{name}");
        tokens += found.len();
    }
    println!(
        "{:<10} {name:<24} {tokens:>3} tokens equal, logits within {largest:.1e}",
        model.graph().architecture
    );
}

#[test]
fn does_the_reference_give_the_tokens_and_logits_of_every_family() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = case_folders(&examples("oracle"));
    folders.extend(case_folders(&here.join("tests/data/oracle")));
    assert!(folders.len() >= 14, "the cases are gone");
    folders.iter().for_each(|folder| check_folder(folder));
}

/// All public cases lie beside the repository where it is worked on, and are too large to be copied into it.
#[test]
fn does_the_reference_give_the_tokens_and_logits_of_every_case_beside_the_repository() {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/oracle/public");
    if all.is_dir() {
        case_folders(&all).iter().for_each(|folder| check_folder(folder));
    }
}

/// Checks the cases of the trained model whose prompts have a length in `lengths`.
fn check_trained_model(lengths: std::ops::Range<usize>) {
    let folder = examples("models/stdlib-1m");
    let model = ModelDir::open(&folder).unwrap();
    assert_eq!(model.graph().parameters(), 1_312_384);
    assert!(model.graph().is_head_tied());
    let mut reference = Reference::new(model.graph(), model.require_weights().unwrap());
    let oracle = json(&folder.join("oracle/oracle.json"));
    let mut checked = 0;
    for case in oracle["cases"].as_array().unwrap() {
        if lengths.contains(&ids(&case["prompt_ids"]).len()) {
            let logits = case["logits_first_steps"].as_str().unwrap();
            check(logits, &mut reference, case, &folder.join("oracle").join(logits));
            checked += 1;
        }
    }
    assert!(checked > 0);
}

#[test]
fn does_the_trained_model_continue_short_prompts_as_in_transformers() {
    check_trained_model(0..300);
}

#[test]
fn does_the_trained_model_continue_long_prompts_as_in_transformers() {
    check_trained_model(300..512);
}

#[test]
fn do_rounded_weights_give_the_tokens_that_transformers_gives_for_them() {
    for (rounding, key) in [
        (WeightRounding::F16, "expected_ids_fp16_weights"),
        (WeightRounding::Bf16, "expected_ids_bf16_weights"),
    ] {
        for name in ["llama", "llama-odd"] {
            let folder = examples("oracle").join(name);
            let case = json(&folder.join("case.json"));
            let model = ModelDir::open(folder.join("model")).unwrap();
            let weights = model.require_weights().unwrap();
            let mut reference = Reference::with_rounding(model.graph(), weights, rounding);
            let max_new = case["max_new_tokens"].as_u64().unwrap() as usize;
            let found = reference.generate(&ids(&case["prompt_ids"]), max_new).unwrap();
            assert_eq!(found, ids(&case[key]), "{name} {key}");
            reference.reset();
            let exact = Reference::new(model.graph(), weights).step(5, 0);
            assert_ne!(exact, reference.step(5, 0), "{name}: nothing was rounded");
        }
    }
}

#[test]
fn does_a_window_hide_what_lies_before_it() {
    let model = ModelDir::open(examples("oracle/llama/model")).unwrap();
    let logits = |window: Option<usize>, tokens: &[u32]| {
        let mut graph = model.graph().clone();
        graph.blocks.truncate(1);
        graph.blocks[0].attention.window = window;
        let mut reference = Reference::new(&graph, model.require_weights().unwrap());
        tokens
            .iter()
            .enumerate()
            .map(|(position, &token)| reference.step(token, position))
            .last()
            .unwrap()
    };
    let (near, far) = ([7, 8, 9, 10], [3, 8, 9, 10]);
    assert_ne!(logits(None, &near), logits(None, &far), "all positions are seen without a window");
    assert_ne!(logits(Some(4), &near), logits(Some(4), &far));
    assert_eq!(
        logits(Some(3), &near),
        logits(Some(3), &far),
        "a window of 3 hides the fourth last token"
    );
    assert_eq!(logits(Some(4), &near), logits(None, &near));
}

#[test]
fn does_the_residual_stream_behind_a_block_show_the_first_block_that_differs() {
    let folder = family("gemma2");
    let case = json(&folder.join("case.json"));
    let model = ModelDir::open(folder.join("model")).unwrap();
    let mut wrong = model.graph().clone();
    wrong.blocks[2].attention.window = Some(2);
    let streams = |graph: &DecoderGraph| {
        let mut reference = Reference::new(graph, model.require_weights().unwrap());
        let mut streams = Vec::new();
        for (position, token) in ids(&case["prompt_ids"]).into_iter().enumerate() {
            streams.clear();
            reference.step_shown(token, position, |block, x| streams.push((block, x.to_vec())));
        }
        streams
    };
    let (right, wrong) = (streams(model.graph()), streams(&wrong));
    assert_eq!(right.len(), 4);
    let differ = right.iter().zip(&wrong).position(|(right, wrong)| right != wrong);
    assert_eq!(differ, Some(2));
    assert_eq!((right[3].0, right[3].1.len()), (3, 64));
}
