//! Is a user told what is wrong with each broken model or request?

mod common;

use std::fs;
use std::path::Path;

use common::{case_folders, copy_of, edit_config, examples, ids, json};
use models::{ModelDir, ModelError, Reference};
use serde_json::{Value, json};

/// What a run does before and after a simulation: open, tokenize, check the request, compute.
fn run(dir: &Path, case: &Value) -> Result<Vec<u32>, ModelError> {
    let model = ModelDir::open(dir)?;
    let weights = model.require_weights()?;
    let prompt = match case["prompt_text"].as_str() {
        Some(text) => model.tokenizer()?.encode(text)?,
        None => ids(&case["prompt_ids"]),
    };
    Reference::new(model.graph(), weights)
        .generate(&prompt, case["max_new_tokens"].as_u64().unwrap() as usize)
}

/// Whether `message` holds a word of each group.
fn mentions(message: &str, groups: &Value) -> bool {
    let message = message.to_lowercase();
    let says = |word: &Value| message.contains(&word.as_str().unwrap().to_lowercase());
    groups.as_array().unwrap().iter().all(|group| group.as_array().unwrap().iter().any(says))
}

#[test]
fn is_every_bad_case_refused_with_a_message_that_helps() {
    let folders = case_folders(&examples("oracle/bad"));
    assert!(folders.len() >= 21, "the cases are gone");
    for folder in folders {
        let case = json(&folder.join("case.json"));
        let name = case["name"].as_str().unwrap();
        match (run(&folder.join("model"), &case), case["expect"].as_str().unwrap()) {
            (Ok(found), "success") => assert_eq!(found, ids(&case["expected_ids_fp32"]), "{name}"),
            (Err(error), "error") => {
                assert!(mentions(&error.to_string(), &case["mention"]), "{name}: {error}")
            }
            (outcome, wanted) => panic!("{name}: wanted {wanted}, got {outcome:?}"),
        }
    }
}

/// The message for the healthy model with some keys of its config.json changed.
fn refusal(changes: &Value) -> String {
    let dir = copy_of(&examples("oracle/bad/control-good/model"));
    edit_config(dir.path(), changes);
    match ModelDir::open(dir.path()) {
        Ok(_) => panic!("{changes} was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn are_values_of_the_wrong_type_or_size_refused_by_key() {
    for (changes, words) in [
        (json!({"hidden_size": "16"}), ["hidden_size", "\"16\""]),
        (json!({"hidden_size": 16.0}), ["hidden_size", "16.0"]),
        (json!({"hidden_size": -16}), ["hidden_size", "-16"]),
        (json!({"hidden_size": 1e300}), ["hidden_size", "1e+300"]),
        (json!({"hidden_size": 18446744073709551615u64}), ["hidden_size", "18446744073709551615"]),
        (json!({"hidden_size": [16]}), ["hidden_size", "[16]"]),
        (json!({"hidden_size": null}), ["hidden_size", "missing"]),
        (json!({"num_hidden_layers": 0}), ["num_hidden_layers", "0"]),
        (json!({"num_hidden_layers": 1000000000}), ["num_hidden_layers", "1000000000"]),
        (json!({"num_hidden_layers": 3}), ["model.layers.2.self_attn.q_proj.weight", "9 tensors"]),
        (
            json!({"num_hidden_layers": 6}),
            ["model.layers.2.self_attn.q_proj.weight", "and 12 more"],
        ),
        (json!({"max_position_embeddings": 0}), ["max_position_embeddings", "0"]),
        (json!({"head_dim": 7}), ["head_dim 7", "even"]),
        (json!({"head_dim": 4}), ["q_proj", "shape"]),
        (json!({"intermediate_size": 25}), ["intermediate_size", "shape"]),
        (json!({"num_key_value_heads": 0}), ["num_key_value_heads", "0"]),
        (json!({"rms_norm_eps": -1}), ["rms_norm_eps", "-1"]),
        (json!({"rms_norm_eps": true}), ["rms_norm_eps", "true"]),
        (json!({"tie_word_embeddings": "no"}), ["tie_word_embeddings", "\"no\""]),
        (json!({"attention_bias": true}), ["q_proj.bias", "not in the checkpoint"]),
        (json!({"mlp_bias": true}), ["gate_proj.bias", "not in the checkpoint"]),
        (json!({"hidden_act": "mish"}), ["hidden_act mish", "silu"]),
        (json!({"rope_scaling": "llama3"}), ["rope_scaling", "\"llama3\""]),
        (json!({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}), ["dynamic", "llama3"]),
        (json!({"quantization_config": {"quant_method": "gptq"}}), ["quantization_config", "gptq"]),
        (json!({"model_type": "rwkv"}), ["rwkv", "llama"]),
        (json!({"model_type": 7}), ["model_type", "7"]),
        (json!({"model_type": null}), ["model_type", "llama"]),
        (json!({"torch_dtype": 16}), ["torch_dtype", "16"]),
        (json!({"vocab_size": 18446744073709551615u64}), ["vocab_size", "18446744073709551615"]),
    ] {
        let message = refusal(&changes);
        assert!(
            message.contains("config.json") || message.contains("checkpoint"),
            "{changes}: {message}"
        );
        assert!(words.iter().all(|word| message.contains(word)), "{changes}: {message}");
    }
}

#[test]
fn are_all_missing_tensors_named_with_the_nearest_names() {
    let dir = copy_of(&examples("oracle/bad/control-good/model"));
    rename_in_header(dir.path(), "layers.0.mlp.up_proj", "layers.0.mlp.up_porj");
    rename_in_header(dir.path(), "lm_head.weight", "lm_haed.weight");
    let message = ModelDir::open(dir.path()).err().unwrap().to_string();
    for words in [
        "model.layers.0.mlp.up_proj.weight (nearest name there: model.layers.0.mlp.up_porj.weight)",
        "lm_head.weight (nearest name there: lm_haed.weight)",
        "2 tensors",
    ] {
        assert!(message.contains(words), "{message}");
    }
}

/// Replaces text of the same length everywhere in the header of `dir/model.safetensors`.
fn rename_in_header(dir: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let file = dir.join("model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let header = 8..8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let text = String::from_utf8(bytes[header.clone()].to_vec()).unwrap();
    assert!(text.contains(from));
    bytes[header].copy_from_slice(text.replace(from, to).as_bytes());
    fs::write(file, bytes).unwrap();
}

#[test]
fn are_unknown_dtypes_refused_by_tensor_name() {
    let dir = copy_of(&examples("oracle/bad/control-good/model"));
    rename_in_header(dir.path(), "\"F16\"", "\"Q16\"");
    let message = ModelDir::open(dir.path()).err().unwrap().to_string();
    assert!(
        message.contains("model.embed_tokens.weight") && message.contains("dtype Q16"),
        "{message}"
    );
}

#[test]
fn is_infinity_refused_with_its_place() {
    let dir = copy_of(&examples("oracle/bad/control-good/model"));
    let file = dir.path().join("model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.len();
    bytes[end - 2..].copy_from_slice(&0xfc00_u16.to_le_bytes());
    fs::write(&file, bytes).unwrap();
    let message = ModelDir::open(dir.path()).err().unwrap().to_string();
    assert!(message.contains("-inf at [") && message.contains("non-finite"), "{message}");
}

#[test]
fn are_broken_tokenizers_no_concern_of_runs_on_ids() {
    let dir = copy_of(&examples("oracle/bad/control-good/model"));
    fs::write(dir.path().join("tokenizer.json"), "{").unwrap();
    let model = ModelDir::open(dir.path()).unwrap();
    let message = model.tokenizer().err().unwrap().to_string();
    assert!(message.contains("tokenizer.json") && message.contains("JSON"), "{message}");
}

#[test]
fn are_odd_files_in_the_place_of_good_ones_refused() {
    let open = |dir: &Path| {
        ModelDir::open(dir)
            .and_then(|model| model.require_weights().map(|_| ()))
            .unwrap_err()
            .to_string()
    };
    let healthy = examples("oracle/bad/control-good/model");
    for (name, content, words) in [
        ("config.json", "[1]", ["config.json", "a list"]),
        ("generation_config.json", "{", ["generation_config.json", "JSON"]),
        ("generation_config.json", r#"{"eos_token_id": "end"}"#, ["eos_token_id", "\"end\""]),
        ("model.safetensors", "", ["model.safetensors", "incomplete"]),
    ] {
        let dir = copy_of(&healthy);
        fs::write(dir.path().join(name), content).unwrap();
        let message = open(dir.path());
        assert!(words.iter().all(|word| message.contains(word)), "{name} {content}: {message}");
    }
    for (content, words) in [
        ("{}", ["weight_map", "missing"]),
        (r#"{"weight_map": {}}"#, ["weight_map", "empty"]),
        (r#"{"weight_map": {"a": 1}}"#, ["weight_map", "a number"]),
        (r#"{"weight_map": {"a": "/etc/passwd"}}"#, ["/etc/passwd", "plain file name"]),
        (r#"{"weight_map": {"a": "model"}}"#, ["model", "does not exist"]),
    ] {
        let dir = copy_of(&healthy);
        fs::remove_file(dir.path().join("model.safetensors")).unwrap();
        fs::write(dir.path().join("model.safetensors.index.json"), content).unwrap();
        let message = open(dir.path());
        assert!(words.iter().all(|word| message.contains(word)), "{content}: {message}");
    }
    let dir = copy_of(&healthy);
    fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    fs::create_dir(dir.path().join("model.safetensors")).unwrap();
    assert!(open(dir.path()).contains("not a regular file"), "{}", open(dir.path()));
    let message = open(&healthy.join("config.json"));
    assert!(message.contains("not a directory"), "{message}");
}

#[test]
fn is_a_shape_told_from_a_model_with_weights() {
    let dir = copy_of(&examples("oracle/bad/weights-missing/model"));
    fs::write(dir.path().join("pytorch_model.bin"), "").unwrap();
    let model = ModelDir::open(dir.path()).unwrap();
    assert!(model.weights().is_none());
    let message = model.require_weights().err().unwrap().to_string();
    for word in ["model.safetensors", "--data none", "pytorch_model.bin"] {
        assert!(message.contains(word), "{message}");
    }
    let healthy = examples("oracle/bad/control-good/model");
    assert!(ModelDir::open_shape(&healthy).unwrap().weights().is_none());
    assert!(ModelDir::open(&healthy).unwrap().weights().is_some());
}

#[test]
fn does_the_context_hold_exactly_as_many_tokens_as_it_says() {
    let model = ModelDir::open(examples("oracle/bad/control-good/model")).unwrap();
    let graph = model.graph();
    assert!(graph.check_request(&[3; 28], 4).is_ok());
    assert!(matches!(
        graph.check_request(&[3; 28], 5),
        Err(ModelError::TooLong { prompt: 28, new: 5, context: 32 })
    ));
    assert!(graph.check_request(&[3], usize::MAX).is_err());
    assert!(graph.check_request(&[259], 1).is_ok());
    assert!(matches!(
        graph.check_request(&[1, 260], 1),
        Err(ModelError::PromptToken { id: 260, place: 1, vocab: 260 })
    ));
    assert!(matches!(graph.check_length(0, 1), Err(ModelError::EmptyPrompt)));
}
