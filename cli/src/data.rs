//! Runs without data: what goes with them, and what does not.

use crate::args::{Data, Fold, RunArgs};
use crate::requests::Request;
use anyhow::{Result, bail};
use models::ModelDir;

const NO_LOGITS: &str = "there are no logits to draw tokens from";

/// Whether the run is with data, as the engine takes it.
///
/// # Errors
/// Options that need data where there is none, and one that needs there to be none.
pub(crate) fn resolve(args: &RunArgs) -> Result<sim_core::Data> {
    if args.data == Data::Full {
        if args.start_position > 0 {
            bail!(
                "--start-position {}: with data the KV cache can hold only what the run has put there; \
                 run with --data none",
                args.start_position
            );
        }
        return Ok(sim_core::Data::Full);
    }
    let sampling = &args.sampling;
    let needs_data = [
        ("--check-reference", args.check_reference, "there are no tokens and logits to compare"),
        ("--stop", !args.stop.is_empty(), "there is no text that could end an answer"),
        ("--temperature", sampling.temperature.is_some(), NO_LOGITS),
        ("--top-k", sampling.top_k.is_some(), NO_LOGITS),
        ("--top-p", sampling.top_p.is_some(), NO_LOGITS),
        ("--min-p", sampling.min_p.is_some(), NO_LOGITS),
        ("--repetition-penalty", sampling.repetition_penalty.is_some(), NO_LOGITS),
    ];
    if let Some((option, _, reason)) = needs_data.into_iter().find(|(_, given, _)| *given) {
        bail!("{option} needs data: with --data none {reason}");
    }
    Ok(sim_core::Data::None { seed: sampling.seed.unwrap_or(0) })
}

/// Whether the run is to be folded.
///
/// # Errors
/// Folding is asked for where there is data.
pub(crate) fn folds(args: &RunArgs, data: sim_core::Data, requests: &[Request]) -> Result<bool> {
    if data.is_full() && args.fold == Some(Fold::On) {
        bail!("--fold on: stages with data do not behave alike; run with --data none");
    }
    Ok(match args.fold {
        Some(fold) => fold == Fold::On,
        // Prompt tokens, and requests beside one another, follow one another without a rest, so that each stage has times of its own.
        None => !data.is_full() && matches!(requests, [one] if one.prompt.len() < one.max_new),
    })
}

/// Opens the model; without data its weights are not looked at, if there are any.
///
/// # Errors
/// Whatever is wrong with it; a shape, where the run is with data.
pub(crate) fn open(args: &RunArgs, data: sim_core::Data) -> Result<ModelDir> {
    if !data.is_full() {
        return Ok(ModelDir::open_shape(&args.model)?);
    }
    let model = ModelDir::open(&args.model)?;
    model.require_weights()?;
    Ok(model)
}

/// Each request so many times, the copies side by side.
pub(crate) fn replicate(requests: Vec<Request>, streams: u32) -> Vec<Request> {
    let copies = |request| std::iter::repeat_n(request, streams as usize);
    requests.into_iter().flat_map(copies).collect()
}
