//! Does each family read its keys, its defaults and its ways of storing as Transformers does?

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{copy_of, edit_config, examples, family, ids, json, rename_tensors};
use models::{
    Activation, DecoderGraph, MlpKind, ModelDir, Norm, NormKind, Reference, Residual, Weighting,
};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};

/// The graph of a configuration without weights.
fn shape(config: &Value) -> DecoderGraph {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    ModelDir::open(dir.path()).unwrap().graph().clone()
}

/// Sizes of a small model, with `more` keys.
fn small(model_type: &str, more: &Value) -> Value {
    let mut config = json!({"model_type": model_type, "vocab_size": 40, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        "moe_intermediate_size": 8, "num_local_experts": 8});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

fn windows(graph: &DecoderGraph) -> Vec<Option<usize>> {
    graph.blocks.iter().map(|block| block.attention.window).collect()
}

#[test]
fn have_published_sizes_the_published_numbers_of_parameters() {
    let published = [
        (
            124_439_808_u64,
            json!({"model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12}),
        ),
        (
            405_334_016,
            json!({"model_type": "gpt_neox", "vocab_size": 50304, "hidden_size": 1024, "intermediate_size": 4096,
            "num_hidden_layers": 24, "num_attention_heads": 16}),
        ),
        (
            2_779_683_840,
            json!({"model_type": "phi", "vocab_size": 51200, "hidden_size": 2560, "intermediate_size": 10240,
            "num_hidden_layers": 32, "num_attention_heads": 32, "partial_rotary_factor": 0.4}),
        ),
        (
            7_241_732_096,
            json!({"model_type": "mistral", "vocab_size": 32000, "hidden_size": 4096,
            "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32}),
        ),
        (
            494_032_768,
            json!({"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
            "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "tie_word_embeddings": true}),
        ),
        (
            32_762_123_264,
            json!({"model_type": "qwen3", "vocab_size": 151936, "hidden_size": 5120,
            "intermediate_size": 25600, "num_hidden_layers": 64, "num_attention_heads": 64, "num_key_value_heads": 8}),
        ),
        (
            2_614_341_888,
            json!({"model_type": "gemma2", "vocab_size": 256000, "hidden_size": 2304,
            "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 8}),
        ),
        (
            46_702_792_704,
            json!({"model_type": "mixtral", "vocab_size": 32000, "hidden_size": 4096,
            "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_local_experts": 8}),
        ),
        (
            480_154_875_392,
            json!({"model_type": "qwen3_moe", "vocab_size": 151936, "hidden_size": 6144,
            "moe_intermediate_size": 2560, "num_hidden_layers": 62, "num_attention_heads": 96, "num_key_value_heads": 8,
            "head_dim": 128, "num_experts": 160}),
        ),
        (
            116_829_156_672,
            json!({"model_type": "gpt_oss", "vocab_size": 201088, "hidden_size": 2880,
            "intermediate_size": 2880, "num_hidden_layers": 36, "num_attention_heads": 64, "num_local_experts": 128}),
        ),
    ];
    for (count, config) in published {
        assert_eq!(shape(&config).parameters(), count, "{config}");
    }
}

#[test]
fn do_absent_keys_take_the_defaults_of_the_family() {
    let gpt2 = shape(
        &json!({"model_type": "gpt2", "vocab_size": 40, "n_embd": 32, "n_layer": 2, "n_head": 4}),
    );
    assert!(gpt2.is_head_tied());
    assert_eq!((gpt2.context, &gpt2.eos_ids[..]), (1024, &[50256][..]));
    let dense = gpt2.blocks[0].mlp.dense().unwrap();
    assert_eq!((dense.up.out_features, dense.activation), (128, Activation::GeluTanh));

    let neox = shape(&small("gpt_neox", &json!({})));
    assert_eq!((neox.ropes[0].rotary_dims, neox.blocks[0].residual), (2, Residual::Parallel));
    let phi = shape(&small("phi", &json!({"num_key_value_heads": null})));
    assert_eq!((phi.ropes[0].rotary_dims, phi.blocks[0].attention.kv_heads), (4, 4));
    assert_eq!(phi.blocks[0].attention.norm, phi.blocks[0].mlp.norm);

    let gemma = shape(&small("gemma2", &json!({"head_dim": null})));
    assert_eq!(windows(&gemma), [Some(4096), None, Some(4096), None]);
    let attention = &gemma.blocks[0].attention;
    assert_eq!((attention.head_dim, attention.score_scale), (8, 1.0 / 16.0));
    assert_eq!((attention.score_soft_cap, gemma.logit_soft_cap), (Some(50.0), Some(30.0)));
    assert!(gemma.is_head_tied() && gemma.embedding.scale == 32_f32.sqrt());

    let oss = shape(&small("gpt_oss", &json!({})));
    assert_eq!(windows(&oss), [Some(128), None, Some(128), None]);
    assert!((oss.ropes[0].attention_factor - 1.346_573_6).abs() < 1e-6, "0.1 ln 32 + 1");
    let MlpKind::Experts(experts) = &oss.blocks[0].mlp.kind else { panic!("a mixture") };
    assert_eq!((experts.chosen, experts.weighting), (4, Weighting::OverChosen));
    let expert = experts.experts[7];
    assert_eq!(expert.activation, Activation::Silu { alpha: 1.702 });
    assert_eq!(expert.gate.map(|gate| (gate.limit, gate.up_offset)), Some((Some(7.0), 1.0)));

    let moe = shape(&small("qwen3_moe", &json!({})));
    let MlpKind::Experts(experts) = &moe.blocks[0].mlp.kind else { panic!("a mixture") };
    assert_eq!((experts.chosen, experts.weighting), (8, Weighting::OverAll));
}

#[test]
fn do_stated_keys_overrule_the_defaults() {
    let mistral = |more: Value| windows(&shape(&small("mistral", &more)))[0];
    assert_eq!(mistral(json!({})), Some(4096));
    assert_eq!(mistral(json!({"sliding_window": null})), None);
    assert_eq!(mistral(json!({"sliding_window": 5})), Some(5));
    let heads = |more: Value| shape(&small("mistral", &more)).blocks[0].attention.kv_heads;
    assert_eq!(heads(json!({"num_key_value_heads": null})), 4);

    let qwen = |more: Value| windows(&shape(&small("qwen2", &more)));
    let none = [None; 4];
    assert_eq!(qwen(json!({"sliding_window": 5, "max_window_layers": 1})), none);
    let sliding = json!({"use_sliding_window": true, "sliding_window": 5, "max_window_layers": 3});
    assert_eq!(qwen(sliding), [None, None, None, Some(5)]);
    let types = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"];
    let sliding = json!({"use_sliding_window": true, "sliding_window": 5, "layer_types": types});
    assert_eq!(qwen(sliding), [Some(5), None, None, Some(5)]);

    let gemma = shape(&small(
        "gemma2",
        &json!({"attn_logit_softcapping": null, "final_logit_softcapping": null,
        "tie_word_embeddings": false}),
    ));
    assert_eq!((gemma.blocks[0].attention.score_soft_cap, gemma.logit_soft_cap), (None, None));
    assert!(!gemma.is_head_tied());

    let serial = shape(&small(
        "gpt_neox",
        &json!({"use_parallel_residual": false, "attention_bias": false}),
    ));
    assert_eq!(serial.blocks[0].residual, Residual::Sequential);
    assert!(serial.blocks[0].attention.query.bias.is_none());

    let moe = shape(&small(
        "qwen3_moe",
        &json!({"mlp_only_layers": [3], "decoder_sparse_step": 2, "norm_topk_prob": true}),
    ));
    let mixtures: Vec<bool> = moe.blocks.iter().map(|b| b.mlp.dense().is_none()).collect();
    assert_eq!(mixtures, [false, true, false, false]);

    let gpt2 = |more: Value| shape(&small("gpt2", &more)).blocks[1].attention.score_scale;
    let usual = gpt2(json!({}));
    assert_eq!(usual, 8_f32.sqrt().recip());
    assert_eq!(gpt2(json!({"scale_attn_by_inverse_layer_idx": true})), usual / 2.0);
    assert_eq!(gpt2(json!({"scale_attn_weights": false})), 1.0);
}

#[test]
fn do_both_spellings_of_partial_rotary_give_one_graph() {
    for (model_type, theta, share) in [
        ("gpt_neox", "rotary_emb_base", "rotary_pct"),
        ("phi", "rope_theta", "partial_rotary_factor"),
    ] {
        let old = shape(&small(model_type, &json!({theta: 500.0, share: 0.5})));
        let new = json!({"rope_parameters": {"rope_theta": 500.0, "partial_rotary_factor": 0.5, "rope_type": "default"}});
        assert_eq!(old, shape(&small(model_type, &new)), "{model_type}");
        assert_eq!(old.ropes[0].rotary_dims, 4);
    }
}

#[test]
fn has_phi_layer_norms_on_heads_where_it_says_so() {
    let phi = shape(&small("phi", &json!({"qk_layernorm": true})));
    let Some(Norm { kind, bias, weight, .. }) = &phi.blocks[0].attention.query_norm else {
        panic!("a norm")
    };
    assert_eq!((kind, bias.is_some()), (&NormKind::Layer, true));
    assert_eq!(phi.tensor(*weight).shape, [8]);
    assert_eq!(phi.tensor(*weight).name(), "model.layers.0.self_attn.q_layernorm.weight");
}

/// The answer of a model to the request of `case`, and whether it is the expected one.
fn answers_as_expected(dir: &Path, case: &Value) -> bool {
    let model = ModelDir::open(dir).unwrap();
    let mut reference = Reference::new(model.graph(), model.require_weights().unwrap());
    let max_new = case["max_new_tokens"].as_u64().unwrap() as usize;
    reference.generate(&ids(&case["prompt_ids"]), max_new).unwrap()
        == ids(&case["expected_ids_fp32"])
}

#[test]
fn are_names_without_prefix_and_tensors_that_nobody_needs_accepted_in_every_family() {
    for (name, prefix) in [("gpt2", "transformer."), ("gpt-neox", "gpt_neox."), ("phi", "model.")] {
        let dir = copy_of(&family(name).join("model"));
        rename_tensors(dir.path(), |name| {
            Some(name.strip_prefix(prefix).unwrap_or(name).to_owned())
        });
        assert!(answers_as_expected(dir.path(), &json(&family(name).join("case.json"))), "{name}");
        let prefixed = ModelDir::open(family(name).join("model")).unwrap();
        assert_eq!(ModelDir::open(dir.path()).unwrap().digest(), prefixed.digest());
    }
}

#[test]
fn is_a_tied_table_found_under_the_name_of_the_head() {
    for (name, table, head) in [
        ("gpt2", "transformer.wte.weight", "lm_head.weight"),
        ("gemma2", "model.embed_tokens.weight", "lm_head.weight"),
    ] {
        let dir = copy_of(&family(name).join("model"));
        rename_tensors(dir.path(), |name| Some(if name == table { head } else { name }.to_owned()));
        assert!(answers_as_expected(dir.path(), &json(&family(name).join("case.json"))), "{name}");
    }
}

/// Replaces the tensors of single experts by one that holds them all, in the order of their numbers.
fn pack_experts(dir: &Path, experts: usize) {
    let file = dir.join("model.safetensors");
    let bytes = fs::read(&file).unwrap();
    let single = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (name, view) in single.tensors() {
        let Some((prefix, _)) = name.split_once(".experts.") else {
            tensors.insert(name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()));
            continue;
        };
        let all = |linears: &[&str]| -> Vec<u8> {
            let names = (0..experts).flat_map(|expert| {
                linears
                    .iter()
                    .map(move |linear| format!("{prefix}.experts.{expert}.{linear}.weight"))
            });
            names.flat_map(|name| single.tensor(&name).unwrap().data().to_vec()).collect()
        };
        let down = single.tensor(&format!("{prefix}.experts.0.down_proj.weight")).unwrap();
        let (hidden, inner) = (down.shape()[0], down.shape()[1]);
        let (inward, outward) = (all(&["gate_proj", "up_proj"]), all(&["down_proj"]));
        let name = |linear: &str| format!("{prefix}.experts.{linear}");
        tensors
            .insert(name("gate_up_proj"), (view.dtype(), vec![experts, 2 * inner, hidden], inward));
        tensors.insert(name("down_proj"), (view.dtype(), vec![experts, hidden, inner], outward));
    }
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    fs::write(file, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn are_experts_read_alike_from_single_and_from_packed_tensors() {
    let dir = copy_of(&family("qwen3-moe").join("model"));
    pack_experts(dir.path(), 8);
    assert!(answers_as_expected(dir.path(), &json(&family("qwen3-moe").join("case.json"))));
    let packed = ModelDir::open(dir.path()).unwrap();
    assert!(packed.notes().is_empty(), "{:?}", packed.notes());
    let single = ModelDir::open(family("qwen3-moe").join("model")).unwrap();
    for (tensor, spec) in single.graph().tensor_refs() {
        let values = |model: &ModelDir| model.weights().unwrap().vector(tensor);
        assert!(values(&packed) == values(&single), "{} differs", spec.name());
    }
}

#[test]
fn is_a_tensor_that_is_missing_named_once_and_an_element_by_its_stored_place() {
    let dir = copy_of(&family("gpt2").join("model"));
    rename_tensors(dir.path(), |name| Some(name.replace("h.1.attn.c_attn", "h.1.attn.qkv")));
    let message = ModelDir::open(dir.path()).err().unwrap().to_string();
    let named = "transformer.h.1.attn.c_attn.weight (nearest name there: transformer.h.1.attn.";
    assert!(message.contains("2 tensors") && message.matches(named).count() == 1, "{message}");

    let model = ModelDir::open(family("gpt2").join("model")).unwrap();
    let (weights, attention) = (model.weights().unwrap(), &model.graph().blocks[1].attention);
    let place = |tensor, row, col| {
        let (name, index) = weights.stored_place(tensor, row, col);
        (name.to_owned(), index)
    };
    let c_attn = "transformer.h.1.attn.c_attn";
    assert_eq!(place(attention.key.weight, 5, 9), (format!("{c_attn}.weight"), vec![9, 64 + 5]));
    assert_eq!(place(attention.value.bias.unwrap(), 0, 3), (format!("{c_attn}.bias"), vec![131]));
}

#[test]
fn does_a_tile_of_a_view_hold_the_values_of_its_rectangle() {
    for name in ["gpt2", "gpt-neox", "gpt-oss"] {
        let model = ModelDir::open(family(name).join("model")).unwrap();
        let weights = model.weights().unwrap();
        for (tensor, spec) in model.graph().tensor_refs() {
            let all = weights.vector(tensor);
            let (rows, cols) = match spec.shape[..] {
                [rows, cols] => (rows, cols),
                _ => (1, spec.shape[0]),
            };
            let (rows, cols) = (rows / 3..rows, cols / 4..cols.div_ceil(2));
            let mut tile = vec![f32::NAN];
            weights.tile(tensor, rows.clone(), cols.clone(), &mut tile);
            let width = all.len() / rows.end;
            let wanted = rows.flat_map(|row| all[row * width..][cols.clone()].to_vec());
            assert_eq!(tile, wanted.collect::<Vec<f32>>(), "{}", spec.name());
        }
    }
}

#[test]
fn are_values_that_a_family_does_not_know_refused_by_key() {
    let types = |name: &str| json!({"layer_types": [name, name, name, name]});
    for (model_type, more, words) in [
        ("gpt2", json!({"add_cross_attention": true}), ["add_cross_attention", "true"]),
        ("gpt2", json!({"n_embd": 30}), ["n_embd 30", "num_attention_heads 4"]),
        ("gpt_neox", json!({"hidden_size": 30}), ["hidden_size 30", "num_attention_heads 4"]),
        ("gpt_neox", json!({"rotary_pct": 0.4}), ["rotary_pct", "even"]),
        ("phi", json!({"partial_rotary_factor": 1.5}), ["partial_rotary_factor", "1.5"]),
        (
            "phi",
            json!({"num_key_value_heads": 3}),
            ["num_key_value_heads 3", "num_attention_heads 4"],
        ),
        ("mistral", json!({"sliding_window": 0}), ["sliding_window", "0"]),
        ("qwen2", types("linear_attention"), ["layer_types", "linear_attention"]),
        (
            "qwen3",
            json!({"layer_types": ["full_attention"]}),
            ["layer_types has 1", "num_hidden_layers is 4"],
        ),
        ("gemma2", json!({"query_pre_attn_scalar": 0}), ["query_pre_attn_scalar", "0"]),
        (
            "gemma2",
            json!({"use_bidirectional_attention": true}),
            ["use_bidirectional_attention", "false"],
        ),
        (
            "mixtral",
            json!({"num_experts_per_tok": 9}),
            ["num_experts_per_tok 9", "num_local_experts 8"],
        ),
        (
            "mixtral",
            json!({"num_local_experts": 4096, "num_hidden_layers": 64}),
            ["262144 experts", "num_hidden_layers 64"],
        ),
        ("qwen3_moe", json!({"mlp_only_layers": "none"}), ["mlp_only_layers", "\"none\""]),
        ("qwen3_moe", json!({"moe_intermediate_size": null}), ["moe_intermediate_size", "missing"]),
        ("gpt_oss", json!({"swiglu_limit": -7.0}), ["swiglu_limit", "-7.0"]),
        (
            "gpt_oss",
            json!({"quantization_config": {"quant_method": "mxfp4"}}),
            ["quantization_config", "mxfp4"],
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), small(model_type, &more).to_string()).unwrap();
        let message = ModelDir::open(dir.path()).err().unwrap().to_string();
        assert!(message.contains("config.json"), "{model_type} {more}: {message}");
        assert!(words.iter().all(|word| message.contains(word)), "{model_type} {more}: {message}");
    }
}

#[test]
fn do_end_tokens_come_from_the_family_only_where_no_file_states_them() {
    let dir = copy_of(&examples("oracle/llama/model"));
    let eos = || ModelDir::open_shape(dir.path()).unwrap().graph().eos_ids.clone();
    edit_config(dir.path(), &json!({"eos_token_id": null}));
    fs::write(dir.path().join("generation_config.json"), "{}").unwrap();
    assert!(eos().is_empty(), "the generation config is there and states none");
    fs::remove_file(dir.path().join("generation_config.json")).unwrap();
    assert_eq!(eos(), [2]);
}
