//! The document `wafersim.explain/1`: where the cycles of a run went, and what would buy some back.

use crate::attribution::Attribution;
use crate::report::RunReport;
use crate::report::{BoundEntry, MachineEntry, ModelEntry, Settings};
use serde::Serialize;

/// Name of the schema.
pub const EXPLAIN_SCHEMA: &str = "wafersim.explain/1";

/// The whole document; a function of the inputs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplainReport {
    /// [`EXPLAIN_SCHEMA`].
    pub schema: &'static str,
    /// Version of the timing contract.
    pub contract: &'static str,
    /// Version of the program.
    pub wafersim: &'static str,
    /// What it ran on.
    pub machine: MachineEntry,
    /// What ran.
    pub model: ModelEntry,
    /// How it was asked to run.
    pub settings: Settings,
    /// Where the cycles until the first request's last token went.
    pub attribution: Attribution,
    /// The least cycles of a decoded token.
    pub bound: BoundEntry,
    /// The run that changed machines are compared with.
    pub compared: Compared,
    /// One for each constant that was changed for the better, those that buy the most first.
    pub parameters: Vec<ParameterEntry>,
    /// One for each constant of the machine that has no public source.
    pub guesses: Vec<GuessEntry>,
}

impl ExplainReport {
    /// What a run's report says of it, without comparisons. None where nobody looked where the cycles went.
    pub fn of(run: RunReport, compared: Compared) -> Option<ExplainReport> {
        Some(ExplainReport {
            schema: EXPLAIN_SCHEMA,
            contract: run.contract,
            wafersim: run.wafersim,
            machine: run.machine,
            model: run.model,
            settings: run.settings,
            attribution: run.attribution?,
            bound: run.bound,
            compared,
            parameters: Vec::new(),
            guesses: Vec::new(),
        })
    }
}

/// What runs of changed machines are judged by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Compared {
    /// New tokens of the first request, at most.
    pub tokens: usize,
    /// Whether values were simulated: `full` or `none`.
    pub data: &'static str,
    /// How fast the machine is as it is.
    #[serde(flatten)]
    pub speed: Speed,
}

/// How fast a machine answers the first request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Speed {
    /// The cycle at which the last of the compared tokens reached the host.
    pub last_token_cycle: u64,
    /// Seconds until then.
    pub last_token_s: f64,
    /// One over the time per output token; null for one token.
    pub tokens_per_s: Option<f64>,
}

impl Speed {
    /// By how much this is faster than `other`: 0.1 for a tenth more tokens/s, or, where there is no such rate, for a tenth more in the
    /// time until the last token.
    pub fn gain_over(&self, other: &Speed) -> f64 {
        match (self.tokens_per_s, other.tokens_per_s) {
            (Some(own), Some(others)) => own / others - 1.0,
            _ => other.last_token_s / self.last_token_s - 1.0,
        }
    }
}

/// One constant, changed for the better.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ParameterEntry {
    /// Its key, as `--set` takes it behind `machine.`.
    pub key: &'static str,
    /// What it is.
    pub from: String,
    /// What it was changed to: by a tenth, or by one where it is a small integer.
    pub to: String,
    /// How fast the machine is then; null where the model cannot run on it.
    pub speed: Option<Speed>,
    /// By how much it is faster, as a share.
    pub gain: Option<f64>,
}

/// One constant without a public source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GuessEntry {
    /// Its key.
    pub key: &'static str,
    /// What it is.
    pub value: String,
    /// The least that it may be.
    pub low: &'static str,
    /// The most that it may be.
    pub high: &'static str,
    /// Why.
    pub reason: &'static str,
    /// How fast the machine is with the least; null where the model cannot run on it.
    pub at_low: Option<Speed>,
    /// How fast the machine is with the most.
    pub at_high: Option<Speed>,
    /// Whether a token comes at another cycle with either.
    pub on_critical_path: bool,
}
