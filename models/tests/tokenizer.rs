//! Does the tokenizer agree with Transformers, at once and as a stream?

mod common;

use std::fs;
use std::path::Path;

use common::{case_folders, copy_of, examples, ids, json};
use models::{ModelDir, Tokenizer};
use proptest::prelude::*;

/// All pieces of a stream joined; every piece must be whole characters, which a `String` guarantees.
fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.stream();
    let mut text = String::new();
    for &id in ids {
        text.extend(stream.push(id).unwrap());
    }
    text.extend(stream.flush().unwrap());
    text
}

fn tokenizer_of(dir: &Path) -> Tokenizer {
    ModelDir::open_shape(dir).unwrap().tokenizer().unwrap()
}

/// A tokenizer of the kind of Llama 2: spaces as `▁`, unknown characters as single bytes.
fn byte_fallback() -> (tempfile::TempDir, Tokenizer) {
    let dir = copy_of(&examples("oracle/bad/control-good/model"));
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/byte-fallback");
    fs::copy(data.join("tokenizer.json"), dir.path().join("tokenizer.json")).unwrap();
    let tokenizer = tokenizer_of(dir.path());
    (dir, tokenizer)
}

fn check_case(name: &str, tokenizer: &Tokenizer, case: &serde_json::Value) {
    let answer = ids(&case["expected_ids_fp32"]);
    assert_eq!(
        tokenizer.encode(case["prompt_text"].as_str().unwrap()).unwrap(),
        ids(&case["prompt_ids"]),
        "{name}"
    );
    assert_eq!(
        tokenizer.decode(&answer).unwrap(),
        case["expected_text"].as_str().unwrap(),
        "{name}"
    );
    assert_eq!(streamed(tokenizer, &answer), case["expected_text"].as_str().unwrap(), "{name}");
}

#[test]
fn do_the_oracle_cases_with_text_encode_and_decode_as_there() {
    let mut checked = 0;
    for folder in case_folders(&examples("oracle")) {
        let case = json(&folder.join("case.json"));
        if case.get("prompt_text").is_some() {
            check_case(&folder.display().to_string(), &tokenizer_of(&folder.join("model")), &case);
            checked += 1;
        }
    }
    assert!(checked >= 5, "{checked} cases");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/byte-fallback");
    check_case("byte-fallback", &byte_fallback().1, &json(&data.join("case.json")));
}

#[test]
fn do_the_texts_of_the_trained_model_encode_and_decode_as_there() {
    let folder = examples("models/stdlib-1m");
    let tokenizer = tokenizer_of(&folder);
    let oracle = json(&folder.join("oracle/oracle.json"));
    let special = |ids: &[u32]| ids.contains(&0);
    for case in oracle["cases"].as_array().unwrap() {
        check_case("stdlib-1m", &tokenizer, case);
    }
    for case in oracle["tokenizer_cases"].as_array().unwrap() {
        let (text, wanted) = (case["text"].as_str().unwrap(), ids(&case["ids"]));
        assert_eq!(tokenizer.encode(text).unwrap(), wanted, "{text:?}");
        let decoded = tokenizer.decode(&wanted).unwrap();
        // The file keeps special tokens in `decoded`; here they are skipped.
        let kept = case["decoded"].as_str().unwrap().replace("<|endoftext|>", "");
        assert_eq!(decoded, kept, "{text:?}");
        assert_eq!(special(&wanted), text.contains("<|endoftext|>"));
        assert_eq!(streamed(&tokenizer, &wanted), decoded, "{text:?}");
    }
}

#[test]
fn does_a_stream_hold_a_character_back_until_it_is_whole() {
    let tokenizer = tokenizer_of(&examples("models/stdlib-1m"));
    let snake = tokenizer.encode("🐍").unwrap();
    assert!(snake.len() > 1, "one token for the whole character shows nothing");
    let mut stream = tokenizer.stream();
    let (last, first) = snake.split_last().unwrap();
    for &id in first {
        assert_eq!(stream.push(id).unwrap(), None);
    }
    assert_eq!(stream.push(*last).unwrap().as_deref(), Some("🐍"));
    assert_eq!(stream.flush().unwrap(), None);
    assert_eq!(stream.push(snake[0]).unwrap(), None);
    assert_eq!(
        stream.flush().unwrap().as_deref(),
        Some("\u{fffd}"),
        "an unfinished character ends as a replacement"
    );
    assert_eq!(stream.push(0).unwrap(), None, "special tokens leave no trace");
}

#[test]
fn does_a_missing_tokenizer_name_its_file() {
    let message = ModelDir::open(examples("oracle/bad/tokenizer-missing/model"))
        .unwrap()
        .tokenizer()
        .err()
        .unwrap();
    assert!(message.to_string().contains("tokenizer.json"), "{message}");
}

#[test]
fn are_tokenizers_refused_that_the_library_would_panic_on() {
    let dir = copy_of(&examples("oracle/bad/control-good/model"));
    let file = dir.path().join("tokenizer.json");
    let healthy = fs::read_to_string(&file).unwrap();
    let decoder = healthy.find("\"decoder\"").unwrap();
    let broken_map = r#""normalizer": {"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": "AAA"}]}"#;
    for content in
        [healthy[..decoder + 30].to_owned(), healthy.replace("\"normalizer\": null", broken_map)]
    {
        assert_ne!(content, healthy);
        fs::write(&file, content).unwrap();
        let message = ModelDir::open(dir.path()).unwrap().tokenizer().err().unwrap().to_string();
        assert!(message.contains("tokenizer.json"), "{message}");
    }
}

#[test]
fn does_a_stream_of_any_ids_equal_the_decoding_at_once() {
    let trained = tokenizer_of(&examples("models/stdlib-1m"));
    let (_dir, fallback) = byte_fallback();
    proptest!(|(ids in prop::collection::vec(0_u32..1100, 0..40))| {
        prop_assert_eq!(streamed(&trained, &ids), trained.decode(&ids).unwrap());
        let ids: Vec<u32> = ids.into_iter().map(|id| id % 400).collect();
        prop_assert_eq!(streamed(&fallback, &ids), fallback.decode(&ids).unwrap());
    });
}
