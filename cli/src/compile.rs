//! `wafersim compile`: what goes where, and the image for `wafersim exec`.

use crate::args::{CompileArgs, Emit};
use crate::defects;
use crate::failure::{Failure, note};
use crate::findings;
use crate::output::{print, print_json, write_file};
use crate::progress::Progress;
use crate::requests::{self, Request};
use crate::session;
use crate::settings::Settings;
use crate::summary;
use anyhow::{Context as _, Result, bail};
use fabric::{HostPlan, StageInfo, binary, text};
use models::ModelDir;
use serde::Serialize;
use traces::{DefectsEntry, MachineEntry, Resources};

/// Positions that room is made for unless told otherwise, within the model's context.
const DEFAULT_POSITIONS: usize = 512;

/// The document `wafersim.compile/1`.
#[derive(Serialize)]
struct Placement<'a> {
    schema: &'static str,
    contract: &'static str,
    machine: MachineEntry,
    settings: traces::Settings,
    stages: &'a [StageInfo],
    resources: Resources,
    /// Absent on a wafer without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    defects: Option<DefectsEntry>,
}

/// Places the model and prints the placement, or the image; writes the image if asked to.
pub(crate) fn compile(args: &CompileArgs) -> Result<(), Failure> {
    let mut settings = Settings::resolve(&args.wafer)?;
    let model = ModelDir::open(&args.model)?;
    if !args.quiet {
        model.notes().iter().for_each(|text| note(text));
    }
    let graph = model.graph();
    // A placement needs none; an image holds them.
    let weights = match args.output.is_some() || args.emit.is_some() {
        true => Some(model.require_weights().context("an image holds the model's weights")?),
        false => model.weights(),
    };
    let requests = asked(args, &model)?;
    let positions = positions(args, graph.context, &requests)?;
    let longest_prompt = requests::longest_prompt(&requests);
    let progress = Progress::start("placing the model", args.quiet);
    let compiled = session::place(graph, weights, &settings, (&positions, longest_prompt, false))?;
    settings.mapping.prefill_chunk = compiled.mapping.prefill_chunk;
    let host = if requests.is_empty() {
        HostPlan::default()
    } else {
        session::host_plan(&compiled, &requests, &graph.eos_ids)
    };
    progress.end();
    if !args.quiet {
        findings::tell(&compiled.warnings, &args.model.display().to_string(), usize::MAX);
    }
    if let Some(path) = &args.output {
        write_file(path, &binary::write(&compiled.image, &host))?;
    }
    if args.emit == Some(Emit::Asm) {
        return print(&(text::print(&compiled.image) + &text::print_host(&host)));
    }
    let defects = defects::count(&settings.machine, compiled.detours);
    if !args.json {
        let around = defects.as_ref().map_or(String::new(), summary::defects);
        return print(&format!("{}\n{around}", compiled.plan.to_string().trim_end()));
    }
    let context_max = u64::from(compiled.plan.longest_context);
    print_json(&Placement {
        schema: "wafersim.compile/1",
        contract: fabric::CONTRACT_VERSION,
        machine: MachineEntry::of(&settings.machine),
        settings: settings.entry()?,
        stages: &compiled.image.stages,
        resources: Resources::of(&compiled.image, context_max),
        defects,
    })
}

/// The requests that the host is to send; none without prompts.
fn asked(args: &CompileArgs, model: &ModelDir) -> Result<Vec<Request>> {
    let prompts = &args.prompts.0;
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    let tokenizer = requests::open_tokenizer(model, prompts, false)?;
    requests::resolve(model, tokenizer.as_ref(), (prompts, None), &args.max_new_tokens, 0)
}

/// Positions to make room for, as `run` makes it for the same requests.
fn positions(args: &CompileArgs, context: usize, requests: &[Request]) -> Result<Vec<usize>> {
    if !requests.is_empty() {
        return Ok(requests.iter().map(Request::positions).collect());
    }
    let positions = args.positions.map_or(context.min(DEFAULT_POSITIONS), |p| p.get());
    if positions > context {
        bail!("--positions {positions} is beyond the model's context of {context}");
    }
    Ok(vec![positions])
}
