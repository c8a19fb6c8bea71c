//! Does the host forward pass compute what Transformers computes?

mod common;

use std::path::Path;

use common::{case_folders, examples, ids, json, npy_rows};
use models::{ModelDir, Reference, WeightRounding, argmax};
use serde_json::Value;

/// Largest difference of a logit that counts as the same: rounding alone stays below 3e-5, while leaving out the norms'
/// epsilon, the slightest mistake, makes 2e-4.
const TOLERANCE: f32 = 1e-4;

/// Feeds prompt and expected tokens of one case; each must be the likeliest one, and the first logits must agree.
fn check(name: &str, reference: &mut Reference<'_>, case: &Value, logits: &Path) {
    let prompt = ids(&case["prompt_ids"]);
    let expected = ids(&case["expected_ids_fp32"]);
    let rows = npy_rows(logits);
    assert_eq!(rows.len(), expected.len().min(4), "{name}");
    reference.reset();
    for (position, &token) in prompt.iter().chain(&expected).enumerate() {
        let found = reference.step(token, position);
        let Some(step) = (position + 1).checked_sub(prompt.len()) else {
            continue;
        };
        if let Some(row) = rows.get(step) {
            assert_eq!(row.len(), found.len(), "{name}");
            let error = row.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(error <= TOLERANCE, "{name}: logits of step {step} differ by {error}");
        }
        if step < expected.len() {
            assert_eq!(argmax(&found), expected[step], "{name}: token {step}");
        }
    }
}

#[test]
fn does_the_reference_give_the_tokens_and_logits_of_every_llama_case() {
    let folders = case_folders(&examples("oracle"));
    assert!(folders.len() >= 7, "the cases are gone");
    for folder in folders {
        let case = json(&folder.join("case.json"));
        if !models::SUPPORTED_MODEL_TYPES.contains(&case["architecture"].as_str().unwrap()) {
            continue;
        }
        let model = ModelDir::open(folder.join("model")).unwrap();
        assert_eq!(model.graph().parameters(), case["parameters"].as_u64().unwrap());
        let mut reference = Reference::new(model.graph(), model.require_weights().unwrap());
        check(&folder.display().to_string(), &mut reference, &case, &folder.join("logits.npy"));
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
