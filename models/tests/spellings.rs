//! Are the ways in which the same model can be written read as the same model?

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{copy_of, edit_config, examples, json, rename_tensors};
use models::{ModelDir, WeightFormat};
use safetensors::SafeTensors;
use serde_json::json;

#[test]
fn do_both_spellings_of_rope_and_dtype_give_one_graph() {
    let dir = copy_of(&examples("oracle/llama/model"));
    let old = ModelDir::open(dir.path()).unwrap();
    assert_eq!(old.graph().declared_format, Some(WeightFormat::F32));
    edit_config(
        dir.path(),
        &json!({"rope_theta": null, "rope_scaling": null, "torch_dtype": null, "dtype": "float32", "new_key": {"x": []},
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}),
    );
    assert_eq!(old.graph(), ModelDir::open(dir.path()).unwrap().graph());
    edit_config(dir.path(), &json!({"rope_parameters": {"rope_theta": 500.0}}));
    assert_ne!(old.graph(), ModelDir::open(dir.path()).unwrap().graph());
}

#[test]
fn do_absent_head_dim_and_kv_heads_take_their_defaults() {
    let dir = copy_of(&examples("oracle/llama/model"));
    let stated = ModelDir::open(dir.path()).unwrap();
    edit_config(dir.path(), &json!({"head_dim": null, "num_key_value_heads": null}));
    assert_eq!(stated.graph(), ModelDir::open(dir.path()).unwrap().graph());
}

#[test]
fn are_end_tokens_read_as_number_list_or_null_and_first_from_the_generation_config() {
    let dir = copy_of(&examples("oracle/llama-eos/model"));
    let eos = |config: serde_json::Value, generation: &str| {
        edit_config(dir.path(), &json!({"eos_token_id": config}));
        fs::write(dir.path().join("generation_config.json"), generation).unwrap();
        ModelDir::open_shape(dir.path()).unwrap().graph().eos_ids.clone()
    };
    assert_eq!(eos(json!(311), "{}"), [311]);
    assert_eq!(eos(json!([9, 7, 9]), "{}"), [7, 9]);
    assert!(eos(json!(null), "{}").is_empty());
    assert_eq!(eos(json!(311), r#"{"eos_token_id": [5, 4]}"#), [4, 5]);
    assert!(eos(json!(311), r#"{"eos_token_id": null}"#).is_empty());
    fs::remove_file(dir.path().join("generation_config.json")).unwrap();
    edit_config(dir.path(), &json!({"eos_token_id": 12}));
    assert_eq!(ModelDir::open_shape(dir.path()).unwrap().graph().eos_ids, [12]);
}

#[test]
fn has_a_shape_the_published_number_of_parameters() {
    for (published, changes) in [
        (
            8_030_261_248,
            json!({"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
                "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072, "head_dim": null}),
        ),
        (
            13_015_864_320_u64,
            json!({"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40,
                "num_key_value_heads": 40, "vocab_size": 32000, "max_position_embeddings": 4096, "head_dim": null}),
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::copy(examples("oracle/llama/model/config.json"), dir.path().join("config.json"))
            .unwrap();
        edit_config(dir.path(), &changes);
        let shape = ModelDir::open(dir.path()).unwrap();
        assert_eq!(shape.graph().parameters(), published);
        assert!(shape.weights().is_none());
    }
}

#[test]
fn are_names_without_the_model_prefix_accepted() {
    let prefixed = ModelDir::open(examples("oracle/llama/model")).unwrap();
    let dir = copy_of(prefixed.path());
    rename_tensors(dir.path(), |name| Some(name.strip_prefix("model.").unwrap_or(name).to_owned()));
    let bare = ModelDir::open(dir.path()).unwrap();
    for (tensor, spec) in bare.graph().tensor_refs() {
        let values = |model: &ModelDir| model.weights().unwrap().vector(tensor);
        assert!(values(&bare) == values(&prefixed), "{} differs", spec.name());
    }
    assert_eq!(bare.digest(), prefixed.digest());
}

#[test]
fn is_a_tied_head_the_embedding_even_where_a_head_is_stored() {
    let dir = copy_of(&examples("oracle/llama/model"));
    edit_config(dir.path(), &json!({"tie_word_embeddings": true}));
    let model = ModelDir::open(dir.path()).unwrap();
    assert!(model.graph().is_head_tied());
    assert!(model.notes()[0].contains("lm_head.weight"), "{:?}", model.notes());
    rename_tensors(dir.path(), |name| (name != "lm_head.weight").then(|| name.to_owned()));
    assert!(ModelDir::open(dir.path()).unwrap().notes().is_empty());
    edit_config(dir.path(), &json!({"tie_word_embeddings": false}));
    assert!(ModelDir::open(dir.path()).err().unwrap().to_string().contains("lm_head.weight"));
}

#[test]
fn do_shards_and_one_file_have_the_same_digest_and_another_weight_another() {
    let sharded = ModelDir::open(examples("oracle/llama-sharded/model")).unwrap();
    let mut tensors = BTreeMap::new();
    let folder = examples("oracle/llama-sharded/model");
    let index = json(&folder.join("model.safetensors.index.json"));
    let shards: std::collections::BTreeSet<&str> = index["weight_map"]
        .as_object()
        .unwrap()
        .values()
        .map(|shard| shard.as_str().unwrap())
        .collect();
    let contents: Vec<Vec<u8>> =
        shards.iter().map(|shard| fs::read(folder.join(shard)).unwrap()).collect();
    for content in &contents {
        tensors.extend(SafeTensors::deserialize(content).unwrap().tensors());
    }
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "generation_config.json"] {
        fs::copy(folder.join(name), dir.path().join(name)).unwrap();
    }
    let file = dir.path().join("model.safetensors");
    let mut bytes = safetensors::serialize(tensors, None).unwrap();
    fs::write(&file, &bytes).unwrap();
    assert_eq!(ModelDir::open(dir.path()).unwrap().digest(), sharded.digest());
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, &bytes).unwrap();
    assert_ne!(ModelDir::open(dir.path()).unwrap().digest(), sharded.digest());
}

#[test]
fn does_a_tile_hold_the_values_of_its_rectangle() {
    for name in ["llama", "llama-bf16", "llama-sharded"] {
        let model = ModelDir::open(examples("oracle").join(name).join("model")).unwrap();
        let (graph, weights) = (model.graph(), model.weights().unwrap());
        let up = graph.blocks[1].attention.key.weight;
        let [rows, cols] = graph.tensor(up).shape[..] else { panic!("a matrix") };
        let all = weights.vector(up);
        assert_eq!(all.len(), rows * cols);
        let mut tile = vec![f32::NAN];
        weights.tile(up, 3..10, 5..9, &mut tile);
        let wanted: Vec<f32> =
            (3..10).flat_map(|row| all[row * cols + 5..row * cols + 9].to_vec()).collect();
        assert_eq!(tile, wanted);
        weights.tile(graph.final_norm.weight, 0..1, 2..4, &mut tile);
        assert_eq!(tile, weights.vector(graph.final_norm.weight)[2..4]);
        weights.tile(up, 4..4, 0..cols, &mut tile);
        assert!(tile.is_empty());
    }
}
