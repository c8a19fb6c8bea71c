//! Does any damage to a model's files end in anything but an answer or an error?

mod common;

use std::fs;
use std::path::Path;

use common::{family, json};
use models::fuzz::Scratch;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use safetensors::SafeTensors;
use serde_json::{Value, json};

/// So many cases, times `WAFERSIM_CASES_FACTOR`, drawn from `WAFERSIM_SEED`: the same on every run that sets neither.
fn config(cases: u32) -> ProptestConfig {
    let set = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u32>().ok());
    ProptestConfig {
        cases: cases * set("WAFERSIM_CASES_FACTOR").unwrap_or(1),
        rng_seed: RngSeed::Fixed(set("WAFERSIM_SEED").unwrap_or(1).into()),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Bytes to overwrite: place (taken modulo the length) and value.
fn damage() -> impl Strategy<Value = Vec<(usize, u8)>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"0123456789-.eE\"{}[],:".to_vec())];
    prop::collection::vec((any::<usize>(), byte), 1..6)
}

fn overwrite(bytes: &mut [u8], damage: &[(usize, u8)]) {
    for &(place, value) in damage {
        let length = bytes.len();
        bytes[place % length] = value;
    }
}

#[test]
fn does_a_damaged_config_ever_panic() {
    let scratch = Scratch::of("bad/control-good");
    let healthy = fs::read(scratch.file("config.json")).unwrap();
    proptest!(config(300), |(damage in damage())| {
        let mut bytes = healthy.clone();
        overwrite(&mut bytes, &damage);
        scratch.config(&bytes);
    });
}

/// Values that no key expects, or not so large or small.
fn odd_values() -> Vec<Value> {
    let numbers = json!([0, 1, 3, -1, 65536, u64::MAX, 0.5, 1e-300, 1e300]);
    let mut values = numbers.as_array().unwrap().clone();
    values.extend([
        json!(null),
        json!(true),
        json!("x"),
        json!({}),
        json!([]),
        json!([1e300, "x"]),
    ]);
    values
}

#[test]
fn does_any_odd_value_of_any_key_of_a_family_ever_panic() {
    for name in ["gpt2", "gpt-neox", "phi", "gemma2", "gpt-oss", "qwen3-moe", "qwen2"] {
        let scratch = Scratch::of_folder(&family(name).join("model"));
        let healthy = json(&scratch.file("config.json"));
        assert!(scratch.config(healthy.to_string().as_bytes()));
        for key in healthy.as_object().unwrap().keys() {
            let inner = healthy[key].as_object().into_iter().flat_map(|table| table.keys());
            for value in odd_values() {
                let mut config = healthy.clone();
                config[key] = value.clone();
                scratch.config(config.to_string().as_bytes());
                for inner in inner.clone() {
                    config[key] = healthy[key].clone();
                    config[key][inner] = value.clone();
                    scratch.config(config.to_string().as_bytes());
                }
            }
        }
    }
}

#[test]
fn does_a_damaged_header_ever_panic_or_pass_where_the_safetensors_crate_refuses() {
    let scratch = Scratch::of("bad/control-good");
    let healthy = fs::read(scratch.file("model.safetensors")).unwrap();
    let header = 8 + u64::from_le_bytes(healthy[..8].try_into().unwrap()) as usize;
    proptest!(config(500), |(damage in damage(), cut in prop::option::weighted(0.1, any::<usize>()))| {
        let mut bytes = healthy.clone();
        overwrite(&mut bytes[..header], &damage);
        if let Some(cut) = cut {
            bytes.truncate(cut % healthy.len());
        }
        if scratch.weights(&bytes) {
            prop_assert!(SafeTensors::deserialize(&bytes).is_ok());
        }
    });
}

#[test]
fn does_a_damaged_index_ever_panic() {
    let scratch = Scratch::of("llama-sharded");
    let healthy = fs::read(scratch.file("model.safetensors.index.json")).unwrap();
    proptest!(config(60), |(damage in damage())| {
        let mut bytes = healthy.clone();
        overwrite(&mut bytes, &damage);
        scratch.index(&bytes);
    });
}

#[test]
fn does_a_damaged_tokenizer_ever_panic() {
    let scratch = Scratch::of("llama-gqa-rope-llama3");
    let healthy = fs::read(scratch.file("tokenizer.json")).unwrap();
    // What random damage met once: templates that name what is not there.
    let content: serde_json::Value = serde_json::from_slice(&healthy).unwrap();
    for (place, piece, name) in [(0, "SpecialToken", "nobody"), (1, "Sequence", "B")] {
        let mut content = content.clone();
        assert!(scratch.tokenizer(content.to_string().as_bytes()));
        let id = &mut content["post_processor"]["single"][place][piece]["id"];
        assert!(id.is_string());
        *id = name.into();
        assert!(!scratch.tokenizer(content.to_string().as_bytes()));
    }
    assert!(scratch.tokenizer(&healthy));
    proptest!(config(300), |(damage in damage())| {
        let mut bytes = healthy.clone();
        overwrite(&mut bytes, &damage);
        scratch.tokenizer(&bytes);
    });
}

#[test]
fn does_a_damaged_chat_template_ever_panic() {
    let scratch = Scratch::of("llama-gqa-rope-llama3");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/chat");
    let healthy = fs::read(data.join("python.jinja")).unwrap();
    assert!(scratch.chat(&healthy));
    proptest!(config(300), |(damage in damage())| {
        let mut bytes = healthy.clone();
        overwrite(&mut bytes, &damage);
        scratch.chat(&bytes);
    });
}
