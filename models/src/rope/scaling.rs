//! How the frequencies of a longer context are made from those of the training.

use std::f64::consts::PI;

use crate::config::Config;
use crate::error::ModelError;
use crate::rope::Rope;

const SUPPORTED: &str = "default, linear, llama3, yarn";

/// A rule by which frequencies are stretched.
#[derive(Debug, Clone)]
pub(crate) enum Scaling {
    /// As trained.
    Plain,
    /// All frequencies are divided by this factor.
    Linear(f64),
    /// By wavelength.
    Llama3(Llama3),
    /// By turns within the context of the training.
    Yarn(Yarn),
}

impl Scaling {
    /// Reads the scaling that `object`, a table of `config`, states.
    pub(super) fn read(config: &Config<'_>, object: &Config<'_>) -> Result<Scaling, ModelError> {
        match kind(object)? {
            "default" => Ok(Scaling::Plain),
            "linear" => Ok(Scaling::Linear(required(object, "factor")?)),
            "llama3" => Ok(Scaling::Llama3(Llama3::read(config, object)?)),
            "yarn" => Ok(Scaling::Yarn(Yarn::read(config, object)?)),
            other => Err(object.unsupported("rope_type", other, SUPPORTED)),
        }
    }

    /// The embedding of base `theta` whose frequencies are scaled so.
    pub(super) fn rope(&self, theta: f64, rotary_dims: usize) -> Rope {
        let periods = periods(theta, rotary_dims);
        let mut inverse_frequencies: Vec<f32> = periods.iter().map(|p| p.recip()).collect();
        let mut attention_factor = 1.0;
        match self {
            Scaling::Plain => {}
            Scaling::Linear(factor) => {
                let factor = *factor as f32;
                inverse_frequencies.iter_mut().for_each(|frequency| *frequency /= factor);
            }
            Scaling::Llama3(llama3) => llama3.scale(&mut inverse_frequencies),
            Scaling::Yarn(yarn) => {
                yarn.scale(theta, &periods, &mut inverse_frequencies);
                attention_factor = yarn.attention_factor as f32;
            }
        }
        Rope { inverse_frequencies, rotary_dims, attention_factor }
    }
}

/// The scaling's type; older files spell the key `type`, and none at all means the default.
pub(super) fn kind<'a>(scaling: &Config<'a>) -> Result<&'a str, ModelError> {
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

/// Positions per radian: `theta^(i/n)` for pair `i` of `n`.
fn periods(theta: f64, rotary_dims: usize) -> Vec<f32> {
    let period = |pair: usize| {
        let exponent = (2 * pair) as f32 / rotary_dims as f32;
        libm::pow(f64::from(theta as f32), f64::from(exponent)) as f32
    };
    (0..rotary_dims / 2).map(period).collect()
}

/// The `llama3` scaling: long wavelengths are divided by `factor`, short ones stay, those between are interpolated.
#[derive(Debug, Clone)]
pub(crate) struct Llama3 {
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

/// The `yarn` scaling (Peng et al., "YaRN", arXiv 2309.00071): pairs that turn more than `beta_fast` times within the
/// context of the training keep their frequency, those that turn less than `beta_slow` times are divided by `factor`, those
/// between are blended linearly in the index of the pair.
#[derive(Debug, Clone)]
pub(crate) struct Yarn {
    /// By how much the context is longer than that of the pre-training.
    pub(crate) factor: f64,
    /// Factor on cosine and sine.
    pub(crate) attention_factor: f64,
    /// Turns from which on a pair keeps its frequency.
    pub(crate) beta_fast: f64,
    /// Turns up to which a frequency is divided by the whole factor.
    pub(crate) beta_slow: f64,
    /// Context of the pre-training, in tokens.
    pub(crate) original_context: f64,
    /// Whether the ends of the blended range are rounded outwards to whole pairs.
    pub(crate) truncate: bool,
}

impl Yarn {
    fn read(config: &Config<'_>, object: &Config<'_>) -> Result<Yarn, ModelError> {
        const CONTEXT: &str = "original_max_position_embeddings";
        let context = config.positive("max_position_embeddings")?;
        let original = config.positive(CONTEXT)?.or(object.positive(CONTEXT)?);
        let original_context = match original.or(context) {
            Some(context) => context,
            None => required(object, CONTEXT)?,
        };
        let factor = match (object.positive("factor")?, context) {
            (Some(factor), _) => factor,
            (None, Some(context)) if original.is_some() => context / original_context,
            _ => required(object, "factor")?,
        };
        let (mscale, mscale_all) = (object.positive("mscale")?, object.positive("mscale_all_dim")?);
        let attention_factor = match (object.positive("attention_factor")?, mscale, mscale_all) {
            (Some(stated), ..) => stated,
            (None, Some(mscale), Some(all)) => {
                Yarn::sharpening(factor, mscale) / Yarn::sharpening(factor, all)
            }
            _ => Yarn::sharpening(factor, 1.0),
        };
        Ok(Yarn {
            factor,
            attention_factor,
            beta_fast: object.positive("beta_fast")?.unwrap_or(32.0),
            beta_slow: object.positive("beta_slow")?.unwrap_or(1.0),
            original_context,
            truncate: object.flag("truncate", true)?,
        })
    }

    /// The factor on cosine and sine that goes with a context `factor` times as long.
    pub(crate) fn sharpening(factor: f64, mscale: f64) -> f64 {
        if factor <= 1.0 { 1.0 } else { 0.1 * mscale * libm::log(factor) + 1.0 }
    }

    fn scale(&self, theta: f64, periods: &[f32], inverse_frequencies: &mut [f32]) {
        let dims = (2 * periods.len()) as f64;
        // The pair, as a fraction, that turns so many times within the original context.
        let pair = |turns: f64| {
            dims * libm::log(self.original_context / (turns * 2.0 * PI)) / (2.0 * libm::log(theta))
        };
        let (mut low, mut high) = (pair(self.beta_fast), pair(self.beta_slow));
        if self.truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(dims - 1.0));
        if low == high {
            high += 0.001; // as in Transformers, against a division by zero
        }
        let (start, width) = (low as f32, (high - low) as f32);
        for (pair, (period, frequency)) in periods.iter().zip(inverse_frequencies).enumerate() {
            let stretched = (self.factor as f32 * period).recip();
            let keep = 1.0 - ((pair as f32 - start) / width).clamp(0.0, 1.0);
            *frequency = stretched * (1.0 - keep) + *frequency * keep;
        }
    }
}
