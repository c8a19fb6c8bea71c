//! How tokens are drawn, as the command line and the model's own settings say.

use crate::args::SamplingArgs;
use anyhow::{Result, bail};
use models::{Generation, ModelError, Sampling};

/// How the host draws tokens; none where the wafer takes the most likely one, which is so unless a sampling option is
/// given. What the options leave open is as the model's authors have it, if they draw tokens at all: `model` tells, and is
/// asked only where tokens are drawn.
///
/// # Errors
/// A value that is outside its range, or what `model` fails with.
pub(crate) fn resolve(
    args: &SamplingArgs,
    model: impl FnOnce() -> Result<Generation, ModelError>,
) -> Result<Option<Sampling>> {
    let SamplingArgs { temperature, top_k, top_p, min_p, repetition_penalty, seed } = *args;
    // A penalty alone changes which token is the most likely one, and draws none.
    let draws = match temperature {
        Some(temperature) => temperature != 0.0,
        None => top_k.is_some() || top_p.is_some() || min_p.is_some() || seed.is_some(),
    };
    let model = if draws { model()? } else { Generation::default() };
    let model = if model.do_sample { model } else { Generation::default() };
    let plain = Sampling::default();
    let default_temperature = model.temperature.unwrap_or(plain.temperature);
    let sampling = Sampling {
        temperature: temperature.unwrap_or(if draws { default_temperature } else { 0.0 }),
        top_k: top_k.or(model.top_k).unwrap_or(plain.top_k),
        top_p: top_p.or(model.top_p).unwrap_or(plain.top_p),
        min_p: min_p.or(model.min_p).unwrap_or(plain.min_p),
        repetition_penalty: repetition_penalty
            .or(model.repetition_penalty)
            .unwrap_or(plain.repetition_penalty),
        seed: seed.unwrap_or(plain.seed),
    };
    check(&sampling)?;
    Ok(Some(sampling).filter(|sampling| !sampling.is_greedy()))
}

fn check(sampling: &Sampling) -> Result<()> {
    let Sampling { temperature, top_p, min_p, repetition_penalty, .. } = *sampling;
    if !(temperature.is_finite() && temperature >= 0.0) {
        bail!("--temperature {temperature}: it must be a number of at least 0");
    }
    for (option, share) in [("--top-p", top_p), ("--min-p", min_p)] {
        if !(0.0..=1.0).contains(&share) {
            bail!("{option} {share}: it must be a number from 0 to 1");
        }
    }
    if !(repetition_penalty.is_finite() && repetition_penalty > 0.0) {
        bail!("--repetition-penalty {repetition_penalty}: it must be a number above 0");
    }
    Ok(())
}

/// The settings as reports carry them.
pub(crate) fn entry(sampling: Option<&Sampling>) -> serde_json::Value {
    let Some(sampling) = sampling else { return serde_json::Value::Null };
    serde_json::json!({
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "seed": sampling.seed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model whose authors draw tokens.
    fn drawing() -> Generation {
        Generation {
            do_sample: true,
            temperature: Some(0.6),
            top_k: Some(20),
            repetition_penalty: Some(1.1),
            ..Generation::default()
        }
    }

    #[test]
    fn are_tokens_drawn_only_if_that_is_asked_for() {
        let none = SamplingArgs::default();
        assert_eq!(resolve(&none, || Ok(drawing())).unwrap(), None);
        for greedy in [
            SamplingArgs { temperature: Some(0.0), ..none },
            SamplingArgs { temperature: Some(0.0), top_k: Some(5), seed: Some(1), ..none },
            SamplingArgs { repetition_penalty: Some(1.0), ..none },
        ] {
            assert_eq!(resolve(&greedy, || Ok(drawing())).unwrap(), None, "{greedy:?}");
        }
    }

    #[test]
    fn do_the_models_own_settings_fill_what_the_options_leave_open() {
        let seeded = SamplingArgs { seed: Some(3), ..SamplingArgs::default() };
        let drawn = resolve(&seeded, || Ok(drawing())).unwrap().unwrap();
        assert_eq!((drawn.temperature, drawn.top_k, drawn.seed), (0.6, 20, 3));
        assert_eq!((drawn.repetition_penalty, drawn.top_p), (1.1, 1.0));
        let greedy_authors = Generation { do_sample: false, ..drawing() };
        let plain = resolve(&seeded, || Ok(greedy_authors)).unwrap().unwrap();
        assert_eq!(plain, Sampling { seed: 3, ..Sampling::default() });
        let hot = SamplingArgs { temperature: Some(2.0), top_k: Some(0), ..seeded };
        let hot = resolve(&hot, || Ok(drawing())).unwrap().unwrap();
        assert_eq!((hot.temperature, hot.top_k), (2.0, 0));
    }

    #[test]
    fn does_a_penalty_alone_draw_nothing() {
        let penalty = SamplingArgs { repetition_penalty: Some(1.3), ..SamplingArgs::default() };
        let sampling = resolve(&penalty, || Ok(drawing())).unwrap().unwrap();
        assert_eq!((sampling.temperature, sampling.repetition_penalty), (0.0, 1.3));
    }

    #[test]
    fn are_values_outside_their_range_refused() {
        let none = SamplingArgs::default();
        for (wrong, option) in [
            (SamplingArgs { temperature: Some(-1.0), ..none }, "--temperature"),
            (SamplingArgs { temperature: Some(f64::NAN), ..none }, "--temperature"),
            (SamplingArgs { top_p: Some(1.5), ..none }, "--top-p"),
            (SamplingArgs { min_p: Some(-0.5), ..none }, "--min-p"),
            (SamplingArgs { repetition_penalty: Some(0.0), ..none }, "--repetition-penalty"),
        ] {
            let error = resolve(&wrong, || Ok(Generation::default())).unwrap_err().to_string();
            assert!(error.starts_with(option), "{error}");
        }
    }
}
