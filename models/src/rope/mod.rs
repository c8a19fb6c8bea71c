//! Rotary position embedding: from the configuration's spelling to one inverse frequency per pair.
//!
//! All arithmetic is f32 in the order in which PyTorch evaluates the expressions in Transformers' `modeling_rope_utils`,
//! where `scalar / tensor` is `tensor.reciprocal() * scalar`. Only the power is taken in f64 (by `libm`, so that every
//! host agrees) and rounded once. What Python computes as plain numbers is f64.

mod scaling;

use crate::config::Config;
use crate::error::ModelError;

use scaling::kind;
pub(crate) use scaling::{Scaling, Yarn};

/// Rotary position embedding, as data. Pair `i` of a head rotates dimensions `i` and `i + rotary_dims / 2` (the
/// half-split layout) by the angle `position × inverse_frequencies[i]`, in radians; the dimensions from `rotary_dims` on
/// stay as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Radians per position, one for each of the `rotary_dims / 2` pairs.
    pub inverse_frequencies: Vec<f32>,
    /// How many leading dimensions of each head are rotated; even.
    pub rotary_dims: usize,
    /// Factor on both cosine and sine; 1 except in scalings that sharpen attention.
    pub attention_factor: f32,
}

/// How a family spells its rotary embedding, and what it takes for granted.
pub(crate) struct Spelling {
    /// Key of the base outside of the scaling object, and its value where nothing is stated.
    pub(crate) theta: (&'static str, f64),
    /// Key outside of the scaling object of the share of each head that is rotated, and its value where nothing is
    /// stated; none for families that rotate whole heads.
    pub(crate) share: Option<(&'static str, f64)>,
    /// The scaling where no object states one.
    pub(crate) scaling: Scaling,
}

impl Spelling {
    /// As most families do.
    pub(crate) const USUAL: Spelling =
        Spelling { theta: ("rope_theta", 10_000.0), share: None, scaling: Scaling::Plain };
}

/// Reads the rotary embedding of heads of `head_dim` dimensions, in the old spelling (`rope_theta`, `rope_scaling`) or the
/// new one (`rope_parameters`). Where both give a theta, the one inside the object counts.
///
/// # Errors
/// Unsupported scalings, numbers out of range, an odd number of rotated dimensions, frequencies that are not finite.
pub(crate) fn read(
    config: &Config<'_>,
    head_dim: usize,
    spelling: &Spelling,
) -> Result<Rope, ModelError> {
    let old = config.table("rope_scaling")?;
    let new = config.table("rope_parameters")?;
    if let (Some(old), Some(new)) = (&old, &new)
        && kind(old)? != kind(new)?
    {
        return Err(config.disagree(format!(
            "rope_scaling is of type {} but rope_parameters is of type {}; keep the one that the model was trained with",
            kind(old)?,
            kind(new)?
        )));
    }
    let object = new.or(old);
    if let Some(object) = &object {
        object.refuse_keys(&["full_attention", "sliding_attention"], "one set for all layers")?;
    }
    let (theta_key, default_theta) = spelling.theta;
    let outer_theta = config.positive(theta_key)?;
    let inner_theta = object.as_ref().map(|o| o.positive("rope_theta")).transpose()?.flatten();
    let theta = inner_theta.or(outer_theta).unwrap_or(default_theta);
    let rotary_dims = rotary_dims(config, object.as_ref(), head_dim, spelling)?;
    let scaling = match &object {
        Some(object) if !object.is_empty() => Scaling::read(config, object)?,
        _ => spelling.scaling.clone(),
    };
    let rope = scaling.rope(theta, rotary_dims);
    if rope.inverse_frequencies.iter().any(|frequency| !frequency.is_finite()) {
        return Err(config.disagree(format!(
            "{theta_key} {theta} and the scaling give frequencies that are not finite; correct them"
        )));
    }
    Ok(rope)
}

/// How many dimensions of each head are rotated.
fn rotary_dims(
    config: &Config<'_>,
    object: Option<&Config<'_>>,
    head_dim: usize,
    spelling: &Spelling,
) -> Result<usize, ModelError> {
    const KEY: &str = "partial_rotary_factor";
    let is_share = |share: f64| share > 0.0 && share <= 1.0;
    let Some((key, default)) = spelling.share else {
        for table in object.into_iter().chain([config]) {
            table.number(KEY, "1", |share| share == 1.0)?;
        }
        if head_dim % 2 == 1 {
            return Err(config.disagree(format!(
                "head_dim {head_dim} (stated, or the hidden size / the number of heads) must be even, because rotary \
                 embedding turns pairs"
            )));
        }
        return Ok(head_dim);
    };
    let want = "a number above 0, up to 1";
    let inner = object.map(|object| object.number(KEY, want, is_share)).transpose()?.flatten();
    let share = inner.or(config.number(key, want, is_share)?).unwrap_or(default);
    let rotary_dims = (head_dim as f64 * share) as usize;
    if rotary_dims == 0 || rotary_dims % 2 == 1 {
        return Err(config.disagree(format!(
            "{key} {share} of heads of {head_dim} dimensions makes {rotary_dims} rotated ones; their number must be even \
             and at least 2, because rotary embedding turns pairs"
        )));
    }
    Ok(rotary_dims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::f64::consts::PI;
    use std::path::Path;

    fn rope_of(config: Value, head_dim: usize) -> Result<Rope, ModelError> {
        let Value::Object(keys) = config else { panic!("a config is an object") };
        read(&Config::new(Path::new("config.json"), &keys), head_dim, &Spelling::USUAL)
    }

    #[test]
    fn do_old_and_new_spelling_mean_the_same() {
        let scaling = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32});
        let mut new = scaling.clone();
        new["rope_theta"] = json!(500000.0);
        let old = rope_of(json!({"rope_theta": 500000, "rope_scaling": scaling}), 16).unwrap();
        assert_eq!(old, rope_of(json!({"rope_parameters": new}), 16).unwrap());
        assert_ne!(old, rope_of(json!({"rope_theta": 500000}), 16).unwrap());
    }

    #[test]
    fn is_the_default_theta_ten_thousand_and_linear_a_division() {
        let plain = rope_of(json!({}), 4).unwrap();
        assert_eq!(plain.inverse_frequencies, [1.0, 0.01]);
        let linear = rope_of(json!({"rope_scaling": {"type": "linear", "factor": 4}}), 4).unwrap();
        assert_eq!(linear.inverse_frequencies, [0.25, 0.0025]);
    }

    #[test]
    fn does_llama3_keep_short_waves_and_stretch_long_ones() {
        let parameters = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32});
        let plain = rope_of(json!({}), 16).unwrap().inverse_frequencies;
        let scaled =
            rope_of(json!({"rope_parameters": parameters}), 16).unwrap().inverse_frequencies;
        assert_eq!(scaled[0], plain[0], "a wave of 6.3 tokens is below 32 / 4");
        assert!(
            scaled[1] < plain[1] && scaled[1] > plain[1] / 8.0,
            "a wave of 19.9 tokens lies between"
        );
        assert_eq!(scaled[7], plain[7] / 8.0, "a wave longer than 32 tokens is stretched");
    }

    #[test]
    fn does_yarn_keep_fast_pairs_and_stretch_slow_ones() {
        let yarn = |truncate: bool| {
            let scaling = json!({"rope_type": "yarn", "factor": 8.0, "beta_fast": 8.0, "beta_slow": 1.0,
                "original_max_position_embeddings": 64, "truncate": truncate});
            rope_of(json!({"rope_scaling": scaling}), 16).unwrap()
        };
        let plain = rope_of(json!({}), 16).unwrap().inverse_frequencies;
        let scaled = yarn(false);
        assert!((f64::from(scaled.attention_factor) - (0.1 * 8_f64.ln() + 1.0)).abs() < 1e-6);
        // Pair i turns 64 · 10^(-i/2) / 2π times in 64 positions: 8 times at i = 2 lg(4 / π), once at i = 2 lg(32 / π).
        let kept = |rope: &Rope, pair: usize| {
            let share = f64::from(rope.inverse_frequencies[pair] / plain[pair]);
            (share - 1.0 / 8.0) / (1.0 - 1.0 / 8.0)
        };
        let (fast, slow) = (2.0 * (4.0 / PI).log10(), 2.0 * (32.0 / PI).log10());
        for pair in 0..8 {
            let blend = 1.0 - ((pair as f64 - fast) / (slow - fast)).clamp(0.0, 1.0);
            assert!((kept(&scaled, pair) - blend).abs() < 1e-5, "pair {pair}");
            let blend = 1.0 - (pair as f64 / 3.0).clamp(0.0, 1.0);
            assert!((kept(&yarn(true), pair) - blend).abs() < 1e-5, "pair {pair}, from 0 to 3");
        }
    }

    #[test]
    fn does_yarn_take_what_is_not_stated_from_the_contexts() {
        let rope = |scaling: Value| {
            rope_of(json!({"max_position_embeddings": 256, "rope_scaling": scaling}), 16).unwrap()
        };
        let stated =
            rope(json!({"type": "yarn", "factor": 8, "original_max_position_embeddings": 32,
            "beta_fast": 32, "beta_slow": 1, "truncate": true}));
        assert_eq!(stated, rope(json!({"type": "yarn", "original_max_position_embeddings": 32})));
        let whole = rope(json!({"type": "yarn", "factor": 8}));
        let original =
            json!({"type": "yarn", "factor": 8, "original_max_position_embeddings": 256});
        assert_eq!(whole, rope(original));
        let sharp = |more: Value| {
            let mut scaling = json!({"type": "yarn", "factor": 8});
            scaling.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            rope(scaling).attention_factor
        };
        assert_eq!(sharp(json!({"attention_factor": 0.5})), 0.5);
        assert_eq!(sharp(json!({"mscale": 2.0, "mscale_all_dim": 2.0})), 1.0);
        assert_eq!(sharp(json!({"factor": 0.5})), 1.0);
    }

    #[test]
    fn are_other_scalings_refused_by_name() {
        for (config, words) in [
            (json!({"rope_scaling": {"type": "dynamic", "factor": 4}}), ["dynamic", "llama3"]),
            (
                json!({"rope_scaling": {"type": "yarn"}}),
                ["original_max_position_embeddings", "missing"],
            ),
            (
                json!({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}),
                ["rope_parameters.full_attention", "all layers"],
            ),
            (json!({"rope_theta": 1e-300}), ["rope_theta", "finite"]),
            (json!({"rope_scaling": {"rope_type": "linear"}}), ["rope_scaling.factor", "missing"]),
            (
                json!({"rope_parameters": {"rope_type": "linear", "factor": "2"}}),
                ["rope_parameters.factor", "\"2\""],
            ),
            (
                json!({"rope_parameters": {"partial_rotary_factor": 0.5}}),
                ["partial_rotary_factor", "0.5"],
            ),
            (json!({"rope_theta": -1}), ["rope_theta", "-1"]),
            (
                json!({"rope_scaling": {"type": "linear"}, "rope_parameters": {"rope_type": "llama3"}}),
                ["linear", "llama3"],
            ),
            (
                json!({"rope_scaling": {"type": "llama3", "factor": 2, "low_freq_factor": 4, "high_freq_factor": 4}}),
                ["low_freq_factor", "high_freq_factor"],
            ),
        ] {
            let message = rope_of(config.clone(), 8).unwrap_err().to_string();
            assert!(words.iter().all(|word| message.contains(word)), "{config}: {message}");
        }
    }
}
