//! GPT-NeoX and Pythia: layer norms, parallel or sequential residual, rotary on a part of each head, queries, keys and
//! values of each head stored together, a head of its own name.

use crate::config::Config;
use crate::error::ModelError;
use crate::families::limits;
use crate::families::parts::{self, Body, NormStyle, Parts};
use crate::families::sizes::Sizes;
use crate::graph::{Block, DecoderGraph, Embedding, FeedForward, Mlp, MlpKind, Residual};
use crate::rope::{self, Scaling, Spelling};
use crate::tensors::{LinearRef, Stored, View};

/// Defaults: Transformers' `GPTNeoXConfig`.
pub(super) fn build(config: &Config<'_>) -> Result<DecoderGraph, ModelError> {
    let sizes = Sizes::ungrouped(config, 2_048)?;
    let Sizes { hidden, layers, .. } = sizes;
    let intermediate = config.size("intermediate_size", limits::WIDTH)?;
    let activation = parts::activation(config, "hidden_act", "gelu")?;
    let attention_bias = config.flag("attention_bias", true)?;
    let residual = match config.flag("use_parallel_residual", true)? {
        true => Residual::Parallel,
        false => Residual::Sequential,
    };
    let is_tied = config.flag("tie_word_embeddings", false)?;
    let spelling = Spelling {
        theta: ("rotary_emb_base", 10_000.0),
        share: Some(("rotary_pct", 0.25)),
        scaling: Scaling::Plain,
    };
    let rope = rope::read(config, sizes.head_dim, &spelling)?;

    let mut parts = Parts::new(sizes, NormStyle::layer(config, "layer_norm_eps")?);
    let table = parts.table("gpt_neox.embed_in", is_tied.then_some("embed_out"));
    let block = |layer: usize| {
        let prefix = format!("gpt_neox.layers.{layer}");
        let norm = parts.norm(&format!("{prefix}.input_layernorm"));
        let [query, key, value] = fused(&mut parts, &format!("{prefix}.attention"), attention_bias);
        let linear = |parts: &mut Parts, name: &str, size: (usize, usize), bias, keys| {
            parts.tensors.add_linear(&format!("{prefix}.{name}"), size, bias, keys)
        };
        let square = (hidden, hidden);
        let keys = "hidden_size, hidden_size";
        let output = linear(&mut parts, "attention.dense", square, attention_bias, keys);
        let attention = parts.attention(norm, [query, key, value, output]);
        let norm = parts.norm(&format!("{prefix}.post_attention_layernorm"));
        let keys = "intermediate_size, hidden_size";
        let up = linear(&mut parts, "mlp.dense_h_to_4h", (intermediate, hidden), true, keys);
        let keys = "hidden_size, intermediate_size";
        let down = linear(&mut parts, "mlp.dense_4h_to_h", (hidden, intermediate), true, keys);
        let kind = MlpKind::Dense(FeedForward { gate: None, up, down, activation });
        Block { attention, mlp: Mlp { norm, kind, post_norm: None }, residual }
    };
    let blocks = (0..layers).map(block).collect();
    let final_norm = parts.norm("gpt_neox.final_layer_norm");
    let head = parts.head("embed_out", is_tied.then_some(table), false);
    let embedding = Embedding { table, positions: None, scale: 1.0 };
    let body = Body { embedding, ropes: vec![rope], blocks, final_norm, head };
    parts.graph(config, ("gpt_neox", "gpt_neox."), Some(2), body)
}

/// Queries, keys and values, stored as the rows of one matrix: for each head its queries, its keys, its values.
fn fused(parts: &mut Parts, prefix: &str, has_bias: bool) -> [LinearRef; 3] {
    let Sizes { hidden, head_dim, .. } = parts.sizes;
    let name = format!("{prefix}.query_key_value");
    [0, 1, 2].map(|part| {
        let view = |columns: usize| View {
            start: part * head_dim * columns,
            run: head_dim,
            run_step: 3 * head_dim * columns,
            row_step: columns,
            column_step: 1,
        };
        let weight = Stored {
            name: format!("{name}.weight"),
            shape: vec![3 * hidden, hidden],
            keys: "3 × hidden_size, hidden_size",
            view: view(hidden),
        };
        let bias = has_bias.then(|| Stored {
            name: format!("{name}.bias"),
            shape: vec![3 * hidden],
            keys: "3 × hidden_size",
            view: view(1),
        });
        parts.tensors.add_linear_stored((hidden, hidden), vec![weight], bias.map(|bias| vec![bias]))
    })
}
