//! Rotary position embedding: from the configuration's spelling to one inverse frequency per pair.
//!
//! All arithmetic is f32 in the order in which PyTorch evaluates the expressions in Transformers' `modeling_rope_utils`,
//! where `scalar / tensor` is `tensor.reciprocal() * scalar`. Only the power is taken in f64 (by `libm`, so that every
//! host agrees) and rounded once.

use std::f64::consts::PI;

use crate::config::Config;
use crate::error::ModelError;

const SUPPORTED: &str = "default, linear, llama3";

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

/// Reads the rotary embedding of heads of `head_dim` dimensions (even), in the old spelling (`rope_theta`,
/// `rope_scaling`) or the new one (`rope_parameters`). Where both give a theta, the one inside the object counts.
pub(crate) fn read(config: &Config<'_>, head_dim: usize) -> Result<Rope, ModelError> {
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
    let outer_theta = config.positive("rope_theta")?;
    config.number("partial_rotary_factor", "1", |share| share == 1.0)?;
    let Some(scaling) = new.or(old) else {
        return Ok(Rope::plain(outer_theta.unwrap_or(10_000.0), head_dim));
    };
    scaling.number("partial_rotary_factor", "1", |share| share == 1.0)?;
    let theta = scaling.positive("rope_theta")?.or(outer_theta).unwrap_or(10_000.0);
    let mut rope = Rope::plain(theta, head_dim);
    match kind(&scaling)? {
        "default" => {}
        "linear" => {
            let factor = required(&scaling, "factor")? as f32;
            rope.inverse_frequencies.iter_mut().for_each(|frequency| *frequency /= factor);
        }
        "llama3" => Llama3::read(config, &scaling)?.scale(&mut rope.inverse_frequencies),
        other => return Err(scaling.unsupported("rope_type", other, SUPPORTED)),
    }
    Ok(rope)
}

/// The scaling's type; older files spell the key `type`, and none at all means the default.
fn kind<'a>(scaling: &Config<'a>) -> Result<&'a str, ModelError> {
    let kind = scaling.text("rope_type")?;
    Ok(kind.or(scaling.text("type")?).unwrap_or("default"))
}

fn required(scaling: &Config<'_>, key: &str) -> Result<f64, ModelError> {
    scaling.positive(key)?.ok_or_else(|| ModelError::KeyMissing {
        file: scaling.file().to_path_buf(),
        key: scaling.name(key),
        want: "a number above 0".to_owned(),
    })
}

impl Rope {
    /// The unscaled embedding: pair `i` of `n` has the inverse frequency `theta^(-i/n)`.
    fn plain(theta: f64, rotary_dims: usize) -> Rope {
        let inverse_frequencies = (0..rotary_dims / 2)
            .map(|pair| {
                let exponent = (2 * pair) as f32 / rotary_dims as f32;
                let power = libm::pow(f64::from(theta as f32), f64::from(exponent)) as f32;
                power.recip()
            })
            .collect();
        Rope { inverse_frequencies, rotary_dims, attention_factor: 1.0 }
    }
}

/// The `llama3` scaling: long wavelengths are divided by `factor`, short ones stay, those between are interpolated.
struct Llama3 {
    factor: f64,
    low_freq_factor: f64,
    high_freq_factor: f64,
    /// Context of the pre-training, in tokens.
    original_context: f64,
}

impl Llama3 {
    fn read(config: &Config<'_>, scaling: &Config<'_>) -> Result<Llama3, ModelError> {
        let (low, high) =
            (required(scaling, "low_freq_factor")?, required(scaling, "high_freq_factor")?);
        if low >= high {
            return Err(config.disagree(format!(
                "{} {low} must be below {} {high}",
                scaling.name("low_freq_factor"),
                scaling.name("high_freq_factor")
            )));
        }
        let original_context = match config.positive("original_max_position_embeddings")? {
            Some(context) => context,
            None => required(scaling, "original_max_position_embeddings")?,
        };
        let factor = required(scaling, "factor")?;
        Ok(Llama3 { factor, low_freq_factor: low, high_freq_factor: high, original_context })
    }

    fn scale(&self, inverse_frequencies: &mut [f32]) {
        let longest_blended = (self.original_context / self.low_freq_factor) as f32;
        let shortest_blended = (self.original_context / self.high_freq_factor) as f32;
        let width = (self.high_freq_factor - self.low_freq_factor) as f32;
        let factor = self.factor as f32;
        for frequency in inverse_frequencies {
            let wavelength = frequency.recip() * (2.0 * PI) as f32;
            if wavelength > longest_blended {
                *frequency /= factor;
            } else if wavelength >= shortest_blended {
                let turns = wavelength.recip() * self.original_context as f32;
                let keep = (turns - self.low_freq_factor as f32) / width;
                *frequency = (1.0 - keep) * *frequency / factor + keep * *frequency;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::path::Path;

    fn rope_of(config: Value, head_dim: usize) -> Result<Rope, ModelError> {
        let Value::Object(keys) = config else { panic!("a config is an object") };
        read(&Config::new(Path::new("config.json"), &keys), head_dim)
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
    fn are_other_scalings_refused_by_name() {
        for (config, words) in [
            (json!({"rope_scaling": {"type": "yarn", "factor": 4}}), ["yarn", "llama3"]),
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
