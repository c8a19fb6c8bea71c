//! Does any damage to a model's files end in anything but an answer or an error?

mod common;

use std::fs;
use std::path::Path;

use common::{copy_of, examples};
use models::{ModelDir, Reference};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use safetensors::SafeTensors;

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

/// Opens the directory and, where that works, runs a token through it.
fn use_model(dir: &Path) -> bool {
    let Ok(model) = ModelDir::open(dir) else {
        return false;
    };
    if let Ok(weights) = model.require_weights() {
        let _ = Reference::new(model.graph(), weights).generate(&[1, 2], 1);
    }
    true
}

#[test]
fn does_a_damaged_config_ever_panic() {
    let dir = copy_of(&examples("oracle/bad/control-good/model"));
    let file = dir.path().join("config.json");
    let healthy = fs::read(&file).unwrap();
    proptest!(config(300), |(damage in damage())| {
        let mut bytes = healthy.clone();
        overwrite(&mut bytes, &damage);
        fs::write(&file, &bytes).unwrap();
        use_model(dir.path());
    });
}

#[test]
fn does_a_damaged_header_ever_panic_or_pass_where_the_safetensors_crate_refuses() {
    let dir = copy_of(&examples("oracle/bad/control-good/model"));
    let file = dir.path().join("model.safetensors");
    let healthy = fs::read(&file).unwrap();
    let header = 8 + u64::from_le_bytes(healthy[..8].try_into().unwrap()) as usize;
    proptest!(config(500), |(damage in damage(), cut in prop::option::weighted(0.1, any::<usize>()))| {
        let mut bytes = healthy.clone();
        overwrite(&mut bytes[..header], &damage);
        if let Some(cut) = cut {
            bytes.truncate(cut % healthy.len());
        }
        fs::write(&file, &bytes).unwrap();
        if use_model(dir.path()) {
            prop_assert!(SafeTensors::deserialize(&bytes).is_ok());
        }
    });
}

#[test]
fn does_a_damaged_index_ever_panic() {
    let dir = copy_of(&examples("oracle/llama-sharded/model"));
    let file = dir.path().join("model.safetensors.index.json");
    let healthy = fs::read(&file).unwrap();
    proptest!(config(60), |(damage in damage())| {
        let mut bytes = healthy.clone();
        overwrite(&mut bytes, &damage);
        fs::write(&file, &bytes).unwrap();
        let _ = ModelDir::open(dir.path());
    });
}

#[test]
fn does_a_damaged_tokenizer_ever_panic() {
    let dir = copy_of(&examples("oracle/llama-gqa-rope-llama3/model"));
    let file = dir.path().join("tokenizer.json");
    let healthy = fs::read(&file).unwrap();
    let model = ModelDir::open_shape(dir.path()).unwrap();
    let use_tokenizer = || {
        if let Ok(tokenizer) = model.tokenizer() {
            let ids = tokenizer.encode("def main():\n  é").unwrap_or_default();
            let _ = tokenizer.decode(&ids);
        }
    };
    let text = String::from_utf8(healthy.clone()).unwrap();
    for (from, to) in [
        ("\"SpecialToken\":{\"id\":\"", "\"SpecialToken\":{\"id\":\"x"),
        ("\"Sequence\":{\"id\":\"A\"", "\"Sequence\":{\"id\":\"B\""),
    ] {
        // What byte damage met once: templates that name what is not there.
        let text: String = text.split_whitespace().collect();
        assert!(text.contains(from));
        fs::write(&file, text.replace(from, to)).unwrap();
        assert!(model.tokenizer().is_err());
    }
    proptest!(config(300), |(damage in damage())| {
        let mut bytes = healthy.clone();
        overwrite(&mut bytes, &damage);
        fs::write(&file, &bytes).unwrap();
        use_tokenizer();
    });
}
