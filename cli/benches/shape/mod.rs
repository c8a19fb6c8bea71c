//! A model of the size of GPT-2 small (124 million parameters), with seeded random weights. It is of the Llama family:
//! an MLP of 2,048 with a gate has as many weights as one of 3,072 without.

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, TensorView};
use std::io;
use std::path::Path;

const HIDDEN: usize = 768;
const INNER: usize = 2_048;
const LAYERS: usize = 12;
const VOCABULARY: usize = 50_257;

/// Writes the model's directory, 248 MB; the same bytes each time.
///
/// # Errors
/// Whatever the system says of `folder`.
pub(crate) fn gpt2_small(folder: &Path) -> io::Result<()> {
    let config = serde_json::json!({
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 12,
        "num_key_value_heads": 12,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 1_024,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true,
        "hidden_act": "silu",
        "torch_dtype": "float16",
    });
    std::fs::write(folder.join("config.json"), config.to_string())?;
    let tensors = tensors();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F16, shape.clone(), bytes).expect("a whole tensor"))
    });
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).map_err(
        |error| match error {
            SafeTensorError::IoError(error) => error,
            error => io::Error::other(error),
        },
    )
}

/// Name, shape and f16 bytes of each.
fn tensors() -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let mut seed = 1;
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        let count = shape.iter().product();
        tensors.push((name, shape.to_vec(), random(&mut seed, count)));
    };
    add("model.embed_tokens.weight".to_string(), &[VOCABULARY, HIDDEN]);
    add("model.norm.weight".to_string(), &[HIDDEN]);
    for layer in 0..LAYERS {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            add(name(norm), &[HIDDEN]);
        }
        for projection in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            add(name(&format!("self_attn.{projection}")), &[HIDDEN, HIDDEN]);
        }
        add(name("mlp.gate_proj"), &[INNER, HIDDEN]);
        add(name("mlp.up_proj"), &[INNER, HIDDEN]);
        add(name("mlp.down_proj"), &[HIDDEN, INNER]);
    }
    tensors
}

/// Sign and mantissa of an f16.
const SIGN_AND_MANTISSA: u16 = 0x83ff;

/// `count` values of 1/32 to 1/16, of either sign, as f16: the high bits of a linear congruential generator (Knuth's
/// constants, MMIX) with an exponent of -5, whose biased form is 10.
fn random(seed: &mut u64, count: usize) -> Vec<u8> {
    let mut value = || {
        *seed =
            seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = (*seed >> 48) as u16;
        ((bits & SIGN_AND_MANTISSA) | (10 << 10)).to_le_bytes()
    };
    (0..count).flat_map(|_| value()).collect()
}
