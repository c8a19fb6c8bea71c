//! Sizes of a model: how most families spell them, and what absent keys mean.

use crate::config::Config;
use crate::error::ModelError;
use crate::families::limits;

/// Sizes of a model and of its heads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) hidden: usize,
    pub(super) layers: usize,
    pub(super) vocab: usize,
    pub(super) context: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
}

/// Values of absent keys, which differ between families. Sizes that shape tensors have none: those of another model would
/// never be right.
pub(super) struct Defaults {
    /// `max_position_embeddings`.
    pub(super) context: usize,
    /// `num_key_value_heads`; none for as many as query heads.
    pub(super) kv_heads: Option<usize>,
    /// `head_dim`; none for the hidden size divided by the heads.
    pub(super) head_dim: Option<usize>,
}

impl Sizes {
    /// Reads the sizes of a model with grouped heads.
    pub(super) fn grouped(config: &Config<'_>, defaults: &Defaults) -> Result<Sizes, ModelError> {
        let mut sizes = Sizes::plain(config, defaults.context)?;
        let heads = sizes.heads;
        let kv_heads =
            config.nullable_size("num_key_value_heads", limits::HEADS, defaults.kv_heads)?;
        sizes.kv_heads = kv_heads.unwrap_or(heads);
        if !heads.is_multiple_of(sizes.kv_heads) {
            return Err(config.disagree(format!(
                "num_attention_heads {heads} is not a multiple of num_key_value_heads {} (stated, or the default of the \
                 architecture); state both, or correct either",
                sizes.kv_heads
            )));
        }
        let stated = config.nullable_size("head_dim", limits::HEAD_DIM, defaults.head_dim)?;
        sizes.head_dim = match stated {
            Some(head_dim) => head_dim,
            None => {
                let cure = ", and no head_dim is given; state head_dim, or correct either size";
                head_dim(config, ("hidden_size", sizes.hidden), heads, cure)?
            }
        };
        Ok(sizes)
    }

    /// Reads the sizes of a model all of whose heads are alike and make up the hidden size.
    pub(super) fn ungrouped(config: &Config<'_>, context: usize) -> Result<Sizes, ModelError> {
        let mut sizes = Sizes::plain(config, context)?;
        let hidden = ("hidden_size", sizes.hidden);
        sizes.head_dim = head_dim(config, hidden, sizes.heads, "; correct either")?;
        Ok(sizes)
    }

    /// The sizes that every family but one spells alike; heads are not divided yet.
    fn plain(config: &Config<'_>, context: usize) -> Result<Sizes, ModelError> {
        let hidden = config.size("hidden_size", limits::WIDTH)?;
        let heads = config.size("num_attention_heads", limits::HEADS)?;
        Ok(Sizes {
            hidden,
            layers: config.size("num_hidden_layers", limits::LAYERS)?,
            vocab: config.size("vocab_size", limits::VOCAB)?,
            context: config
                .optional_size("max_position_embeddings", limits::CONTEXT)?
                .unwrap_or(context),
            heads,
            kv_heads: heads,
            head_dim: hidden,
        })
    }

    /// `1 / sqrt(head_dim)`, the usual factor on scores.
    pub(super) fn score_scale(&self) -> f32 {
        (self.head_dim as f64).sqrt().recip() as f32
    }
}

/// The hidden size divided by the number of heads; `cure` ends the message where that is no whole number.
pub(super) fn head_dim(
    config: &Config<'_>,
    (key, hidden): (&str, usize),
    heads: usize,
    cure: &str,
) -> Result<usize, ModelError> {
    if !hidden.is_multiple_of(heads) {
        return Err(config.disagree(format!(
            "{key} {hidden} is not a multiple of num_attention_heads {heads}{cure}"
        )));
    }
    let head_dim = hidden / heads;
    if !limits::HEAD_DIM.contains(&head_dim) {
        return Err(config.disagree(format!(
            "{key} {hidden} / num_attention_heads {heads} makes heads of {head_dim} dimensions; at most {} are supported",
            limits::HEAD_DIM.end()
        )));
    }
    Ok(head_dim)
}
