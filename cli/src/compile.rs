//! `wafersim compile`: what goes where.

use crate::args::CompileArgs;
use crate::failure::{Failure, note};
use crate::output::{print, print_json};
use crate::progress::Progress;
use crate::session;
use crate::settings::Settings;
use anyhow::anyhow;
use fabric::StageInfo;
use models::ModelDir;
use serde::Serialize;
use traces::{MachineEntry, Resources};

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
}

/// Places the model and prints the placement.
pub(crate) fn compile(args: &CompileArgs) -> Result<(), Failure> {
    let settings = Settings::resolve(&args.wafer)?;
    let model = ModelDir::open(&args.model)?;
    if !args.quiet {
        model.notes().iter().for_each(|text| note(text));
    }
    let graph = model.graph();
    let weights = model.require_weights()?;
    let positions = args.positions.map_or(graph.context.min(DEFAULT_POSITIONS), |p| p.get());
    if positions > graph.context {
        let context = graph.context;
        Err(anyhow!("--positions {positions} is beyond the model's context of {context}"))?;
    }
    let progress = Progress::start("placing the model", args.quiet);
    let compiled = session::place(graph, weights, &settings, &[positions])?;
    progress.end();
    if !args.json {
        return print(&format!("{}\n", compiled.plan.to_string().trim_end()));
    }
    let context_max = u64::from(compiled.plan.longest_context);
    print_json(&Placement {
        schema: "wafersim.compile/1",
        contract: fabric::CONTRACT_VERSION,
        machine: MachineEntry::of(&settings.machine),
        settings: settings.entry()?,
        stages: &compiled.image.stages,
        resources: Resources::of(&compiled.image, context_max),
    })
}
