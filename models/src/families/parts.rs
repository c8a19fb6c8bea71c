//! What families share: keys that several of them have, and the operations of a block under the names that most
//! checkpoints use.

use crate::config::Config;
use crate::error::ModelError;
use crate::families::sizes::Sizes;
use crate::graph::{
    Activation, Attention, Block, DecoderGraph, Embedding, FeedForward, Gate, Norm, NormKind,
    RopeRef, WeightFormat,
};
use crate::rope::Rope;
use crate::tensors::{LinearRef, Stored, TensorList, TensorRef};

/// The activation that `key` names, in the spellings of Transformers' `ACT2FN`.
pub(super) fn activation(
    config: &Config<'_>,
    key: &str,
    default: &str,
) -> Result<Activation, ModelError> {
    const SUPPORTED: &str =
        "silu, swish, quick_gelu, gelu, gelu_python, gelu_new, gelu_fast, gelu_pytorch_tanh, relu";
    let name = config.text(key)?.unwrap_or(default);
    match name {
        "silu" | "swish" => Ok(Activation::Silu { alpha: 1.0 }),
        "quick_gelu" => Ok(Activation::Silu { alpha: 1.702 }),
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        other => Err(config.unsupported(key, other, SUPPORTED)),
    }
}

/// The window of each layer: `window` in the layers that `layer_types` calls sliding, or, where the key is absent, in
/// those for which `slides` holds.
pub(super) fn windows(
    config: &Config<'_>,
    layers: usize,
    window: Option<usize>,
    slides: impl Fn(usize) -> bool,
) -> Result<Vec<Option<usize>>, ModelError> {
    const KEY: &str = "layer_types";
    let Some(types) = config.texts(KEY)? else {
        return Ok((0..layers).map(|layer| window.filter(|_| slides(layer))).collect());
    };
    if types.len() != layers {
        return Err(config.disagree(format!(
            "{KEY} has {} entries but num_hidden_layers is {layers}; state one type for each layer",
            types.len()
        )));
    }
    let window_of = |name: &&str| match *name {
        "sliding_attention" => Ok(window),
        "full_attention" => Ok(None),
        other => Err(config.unsupported(KEY, other, "sliding_attention, full_attention")),
    };
    types.iter().map(window_of).collect()
}

/// Refuses a switch that changes what is computed in a way that is not supported.
pub(super) fn refuse(config: &Config<'_>, key: &str) -> Result<(), ModelError> {
    if config.flag(key, false)? { Err(config.unsupported(key, "true", "false")) } else { Ok(()) }
}

/// All norms of a model, up to their tensors.
#[derive(Debug, Clone, Copy)]
pub(super) struct NormStyle {
    pub(super) kind: NormKind,
    pub(super) weight_offset: f32,
    pub(super) epsilon: f32,
}

impl NormStyle {
    /// Root mean square, with the epsilon of `rms_norm_eps`.
    pub(super) fn rms(config: &Config<'_>, epsilon: f64) -> Result<NormStyle, ModelError> {
        NormStyle::read(config, NormKind::Rms, "rms_norm_eps", epsilon)
    }

    /// Layer norm, with the epsilon of `key`.
    pub(super) fn layer(config: &Config<'_>, key: &str) -> Result<NormStyle, ModelError> {
        NormStyle::read(config, NormKind::Layer, key, 1e-5)
    }

    fn read(
        config: &Config<'_>,
        kind: NormKind,
        key: &str,
        default: f64,
    ) -> Result<NormStyle, ModelError> {
        let stated = config.number(key, "a number of at least 0", |epsilon| epsilon >= 0.0)?;
        Ok(NormStyle { kind, weight_offset: 0.0, epsilon: stated.unwrap_or(default) as f32 })
    }
}

/// A graph under construction. Methods add tensors in the order in which they are called.
pub(super) struct Parts {
    pub(super) sizes: Sizes,
    pub(super) norms: NormStyle,
    pub(super) tensors: TensorList,
}

/// What [`Parts::decoder`] cannot know from the sizes.
pub(super) struct Frame {
    /// The `model_type`.
    pub(super) architecture: &'static str,
    /// `eos_token_id` where the configuration does not state it.
    pub(super) eos_id: Option<u32>,
    /// `tie_word_embeddings` where the configuration does not state it.
    pub(super) is_tied: bool,
    /// Name of the norm after the last block.
    pub(super) final_norm: &'static str,
    /// Whether the head has a bias.
    pub(super) has_head_bias: bool,
    /// What all layers rotate by.
    pub(super) rope: Rope,
}

impl Frame {
    /// The frame of Llama's checkpoints, which most families took over.
    pub(super) fn new(architecture: &'static str, eos_id: Option<u32>, rope: Rope) -> Frame {
        let final_norm = "model.norm";
        Frame { architecture, eos_id, is_tied: false, final_norm, has_head_bias: false, rope }
    }
}

impl Parts {
    pub(super) fn new(sizes: Sizes, norms: NormStyle) -> Parts {
        Parts { sizes, norms, tensors: TensorList::default() }
    }

    /// A norm over the residual stream.
    pub(super) fn norm(&mut self, name: &str) -> Norm {
        self.norm_over(name, self.sizes.hidden, "hidden_size")
    }

    /// A norm over one head.
    pub(super) fn head_norm(&mut self, name: &str) -> Norm {
        self.norm_over(name, self.sizes.head_dim, "head_dim")
    }

    fn norm_over(&mut self, name: &str, width: usize, keys: &'static str) -> Norm {
        let NormStyle { kind, weight_offset, epsilon } = self.norms;
        let weight = self.tensors.add(format!("{name}.weight"), &[width], keys);
        let has_bias = kind == NormKind::Layer;
        let bias = has_bias.then(|| self.tensors.add(format!("{name}.bias"), &[width], keys));
        Norm { kind, weight, weight_offset, bias, epsilon }
    }

    /// The projections `q_proj`, `k_proj`, `v_proj` and `output` under `prefix`, with a bias on the first three or the
    /// last.
    pub(super) fn projections(
        &mut self,
        prefix: &str,
        output: &str,
        (has_bias, has_output_bias): (bool, bool),
    ) -> [LinearRef; 4] {
        let Sizes { hidden, heads, kv_heads, head_dim, .. } = self.sizes;
        let (query, kv) = (heads * head_dim, kv_heads * head_dim);
        let mut linear = |name: &str, size: (usize, usize), bias: bool, keys: &'static str| {
            self.tensors.add_linear(&format!("{prefix}.{name}"), size, bias, keys)
        };
        let query_keys = "num_attention_heads × head_dim, hidden_size";
        let kv_keys = "num_key_value_heads × head_dim, hidden_size";
        let output_keys = "hidden_size, num_attention_heads × head_dim";
        [
            linear("q_proj", (query, hidden), has_bias, query_keys),
            linear("k_proj", (kv, hidden), has_bias, kv_keys),
            linear("v_proj", (kv, hidden), has_bias, kv_keys),
            linear(output, (hidden, query), has_output_bias, output_keys),
        ]
    }

    /// Rotary attention with the usual scale and nothing else.
    pub(super) fn attention(
        &self,
        norm: Norm,
        [query, key, value, output]: [LinearRef; 4],
    ) -> Attention {
        let Sizes { heads, kv_heads, head_dim, .. } = self.sizes;
        Attention {
            norm,
            heads,
            kv_heads,
            head_dim,
            query,
            key,
            value,
            output,
            query_norm: None,
            key_norm: None,
            rope: Some(RopeRef(0)),
            window: None,
            score_scale: self.sizes.score_scale(),
            score_soft_cap: None,
            sinks: None,
            post_norm: None,
        }
    }

    /// An MLP of `gate_proj`, `up_proj` and `down_proj` under `prefix`.
    pub(super) fn gated(
        &mut self,
        prefix: &str,
        intermediate: usize,
        activation: Activation,
        has_bias: bool,
    ) -> FeedForward {
        let hidden = self.sizes.hidden;
        let mut linear = |name: &str, size: (usize, usize), keys: &'static str| {
            self.tensors.add_linear(&format!("{prefix}.{name}"), size, has_bias, keys)
        };
        let gate = linear("gate_proj", (intermediate, hidden), "intermediate_size, hidden_size");
        let up = linear("up_proj", (intermediate, hidden), "intermediate_size, hidden_size");
        let down = linear("down_proj", (hidden, intermediate), "hidden_size, intermediate_size");
        let gate = Some(Gate { linear: gate, limit: None, up_offset: 0.0 });
        FeedForward { gate, up, down, activation }
    }

    /// A whole model with Llama's names around its layers; `block` writes layer `n`, whose names begin with its second
    /// argument.
    ///
    /// # Errors
    /// Keys of the wrong type.
    pub(super) fn decoder(
        mut self,
        config: &Config<'_>,
        frame: Frame,
        mut block: impl FnMut(&mut Parts, usize, &str) -> Block,
    ) -> Result<DecoderGraph, ModelError> {
        let is_tied = config.flag("tie_word_embeddings", frame.is_tied)?;
        let table = self.table("model.embed_tokens", is_tied.then_some("lm_head"));
        let blocks = (0..self.sizes.layers)
            .map(|layer| block(&mut self, layer, &format!("model.layers.{layer}")))
            .collect();
        let final_norm = self.norm(frame.final_norm);
        let head = self.head("lm_head", is_tied.then_some(table), frame.has_head_bias);
        let embedding = Embedding { table, positions: None, scale: 1.0 };
        let body = Body { embedding, ropes: vec![frame.rope], blocks, final_norm, head };
        self.graph(config, (frame.architecture, "model."), frame.eos_id, body)
    }

    /// The table of the embedding. Where the head is tied to it, it may also be stored under the name of the head.
    pub(super) fn table(&mut self, name: &str, tied_head: Option<&str>) -> TensorRef {
        let shape = [self.sizes.vocab, self.sizes.hidden];
        let stored =
            |name: &str| Stored::whole(format!("{name}.weight"), &shape, "vocab_size, hidden_size");
        self.tensors.add_stored(&shape, [name].into_iter().chain(tied_head).map(stored).collect())
    }

    /// The head, on the embedding's table where they are tied.
    pub(super) fn head(
        &mut self,
        name: &str,
        tied: Option<TensorRef>,
        has_bias: bool,
    ) -> LinearRef {
        let (vocab, hidden) = (self.sizes.vocab, self.sizes.hidden);
        let keys = "vocab_size, hidden_size";
        let Some(weight) = tied else {
            return self.tensors.add_linear(name, (vocab, hidden), has_bias, keys);
        };
        let bias = has_bias.then(|| self.tensors.add(format!("{name}.bias"), &[vocab], keys));
        LinearRef { weight, bias, out_features: vocab, in_features: hidden }
    }

    /// The graph around `body`; tensor names may lack `optional_prefix`.
    pub(super) fn graph(
        self,
        config: &Config<'_>,
        (architecture, optional_prefix): (&'static str, &'static str),
        eos_id: Option<u32>,
        body: Body,
    ) -> Result<DecoderGraph, ModelError> {
        let Sizes { hidden, vocab, context, .. } = self.sizes;
        let Body { embedding, ropes, blocks, final_norm, head } = body;
        Ok(DecoderGraph {
            architecture,
            hidden,
            vocab,
            context,
            embedding,
            ropes,
            blocks,
            final_norm,
            head,
            logit_soft_cap: None,
            eos_ids: config.eos_ids(eos_id)?,
            declared_format: declared_format(config)?,
            tensors: self.tensors.0,
            optional_prefix,
        })
    }
}

/// What a family writes itself.
pub(super) struct Body {
    pub(super) embedding: Embedding,
    pub(super) ropes: Vec<Rope>,
    pub(super) blocks: Vec<Block>,
    pub(super) final_norm: Norm,
    pub(super) head: LinearRef,
}

/// The number format that the configuration states, in the new spelling or the old one; unknown names are left to the
/// tensors themselves, which are checked.
fn declared_format(config: &Config<'_>) -> Result<Option<WeightFormat>, ModelError> {
    let stated = config.text("dtype")?.or(config.text("torch_dtype")?);
    Ok(match stated.map(|name| name.trim_start_matches("torch.")) {
        Some("float32") => Some(WeightFormat::F32),
        Some("float16") => Some(WeightFormat::F16),
        Some("bfloat16") => Some(WeightFormat::Bf16),
        _ => None,
    })
}
