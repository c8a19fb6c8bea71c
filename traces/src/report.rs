//! The report of `wafersim run --json`, schema `wafersim.run/1`. Fields stand in the order in which
//! they are printed; keys may be added, never renamed.
//!
//! **Architecture Invariant:** everything outside [`RunReport::host`] is a function of the inputs.

use crate::attribution::Attribution;
use crate::defects::DefectsEntry;
use crate::metrics::Latency;
use crate::resources::Resources;
use fabric::Machine;
use serde::Serialize;
use sim_core::PeCycles;

/// Name of the schema.
pub const SCHEMA: &str = "wafersim.run/1";

/// The whole document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// [`SCHEMA`].
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
    /// One for each prompt, in the order given.
    pub requests: Vec<RequestEntry>,
    /// New tokens of all requests per simulated second.
    pub throughput_tokens_per_s: f64,
    /// Where the cycles until the first request's last token went; null where nobody looked.
    pub attribution: Option<Attribution>,
    /// The least cycles of a decoded token.
    pub bound: BoundEntry,
    /// What of the wafer is in use.
    pub resources: Resources,
    /// What its defects cost; absent on a wafer that has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defects: Option<DefectsEntry>,
    /// How many stages were simulated for all; absent where each was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folding: Option<FoldingEntry>,
    /// What happened on the wafer, over all tiles.
    pub counters: Counters,
    /// Hash of the machine's state when the run stopped: the cycle, and of every tile SRAM,
    /// registers and counters; without data there is no SRAM, and it says which registers are void. Of a folded run, of the
    /// cycle and of the counters of each stage.
    pub digest: String,
    /// Facts about the computer that simulated.
    pub host: HostFacts,
}

/// What was simulated of a folded run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FoldingEntry {
    /// Stages of the model.
    pub stages: usize,
    /// Stages that were simulated, all the time or for a time; the others were replayed.
    pub simulated: usize,
    /// Instructions that were simulated; [`Counters::instructions`] counts those that were replayed, too.
    pub instructions_simulated: u64,
}

/// The machine of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MachineEntry {
    /// Name in the machine file.
    pub name: String,
    /// Columns of tiles.
    pub width: u32,
    /// Rows of tiles.
    pub height: u32,
    /// Number of wafers.
    pub wafers: u32,
    /// Clock, Hz.
    pub clock_hz: u64,
    /// Hash of all constants, overrides included.
    pub digest: String,
}

impl MachineEntry {
    /// Describes `machine` as it ran, overrides included.
    pub fn of(machine: &Machine) -> MachineEntry {
        let constants = serde_json::to_vec(machine).expect("a machine is plain data");
        MachineEntry {
            name: machine.name.clone(),
            width: machine.width,
            height: machine.height,
            wafers: 1,
            clock_hz: machine.clock_hz,
            digest: blake3::hash(&constants).to_hex()[..32].to_string(),
        }
    }
}

/// The model of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelEntry {
    /// Its `model_type`.
    pub architecture: String,
    /// Number of weights; tied ones count once.
    pub parameters: u64,
    /// Their size as stored; without data, in the format that the configuration declares.
    pub weight_bytes: u64,
    /// Hash of configuration and weights; without data, of the configuration.
    pub digest: String,
    /// Absent where every token goes through the same layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experts: Option<ExpertsEntry>,
}

/// Mixtures of experts of a model. Which experts work on a token depends on the data, and so do cycles and energy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExpertsEntry {
    /// Layers that are mixtures.
    pub layers: usize,
    /// Experts of such a layer, at most.
    pub experts: usize,
    /// How many of them work on a token, at most.
    pub chosen: usize,
    /// `router`: by its logits; `uniform`, without data: drawn, each as likely as any other (contract rule D-4).
    pub choice: &'static str,
}

/// The settings of a run, resolved: defaults included.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    /// `full`: wavelets and SRAM hold values; `none`: they hold none, and only time is simulated.
    pub data: &'static str,
    /// Of what is drawn without data; absent with data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_seed: Option<u64>,
    /// `on`: stages that behave alike were simulated once, see [`RunReport::folding`]; `off`: every stage was.
    pub fold: &'static str,
    /// Number formats.
    pub numerics: serde_json::Value,
    /// Choices of the mapping.
    pub mapping: serde_json::Value,
    /// Copies of each request in flight.
    pub streams: u32,
    /// What `--set` changed, as given.
    pub overrides: Vec<String>,
    /// How the host drew the tokens; null where the wafer took the most likely ones.
    pub sampling: serde_json::Value,
    /// Texts that end an answer.
    pub stop_strings: Vec<String>,
    /// The day that the chat template was told; absent without a chat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_date: Option<String>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// It has as many tokens as were asked for.
    Length,
    /// Its last token is an end-of-sequence token.
    Eos,
    /// Its last token completed a stop string.
    StopString,
    /// The model's context is full, which cut the default number of new tokens short.
    Context,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Output {
    /// New tokens; the end-of-sequence token that stopped it included. Empty without data.
    pub token_ids: Vec<u32>,
    /// Their text, special tokens and all from a stop string on left out; none without a tokenizer, or without data.
    pub text: Option<String>,
    /// `wafer`: the tokens were read out of the wafer; `none`: without data there are none.
    pub source: &'static str,
    /// Why it ended.
    pub stop: Stop,
}

/// One request and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RequestEntry {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// New tokens at most.
    pub max_new_tokens: usize,
    /// Positions that were in the KV cache before the prompt.
    pub start_position: u32,
    /// The answer.
    pub output: Output,
    /// Its latencies.
    pub latency: Latency,
}

/// The least cycles of a decoded token of the first request (docs, "Metrics", "Bounds").
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BoundEntry {
    /// On the best rectangles.
    pub cycles_per_token: u64,
    /// On the rectangles that were chosen.
    pub mapped_cycles_per_token: u64,
    /// The largest part of `cycles_per_token`: `compute`, `sram` or `wire`.
    pub binding: &'static str,
    /// `cycles_per_token` over the measured time per output token; null where there is none.
    pub efficiency: Option<f64>,
}

impl BoundEntry {
    /// The bounds of the token of a request with this latency.
    pub fn new(
        (cycles_per_token, mapped_cycles_per_token): (u64, u64),
        binding: &'static str,
        latency: &Latency,
    ) -> BoundEntry {
        let efficiency = latency.tpot_cycles.map(|cycles| cycles_per_token as f64 / cycles);
        BoundEntry { cycles_per_token, mapped_cycles_per_token, binding, efficiency }
    }
}

/// Counts over all tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Wavelets sent through a mesh output of a router.
    pub wavelet_hops: u64,
    /// Instructions, vector operations when issued.
    pub instructions: u64,
    /// What the cycles of the PEs went to that have a program.
    pub pe_cycles: PeCycleEntry,
}

/// What cycles of PEs went to, each counted once (contract rule X-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PeCycleEntry {
    /// A step held the datapath.
    pub working: u64,
    /// A thread lacked a wavelet.
    pub waiting_input: u64,
    /// A thread lacked nothing but room in an output queue.
    pub waiting_output: u64,
    /// A task or an operation was in hand, and had not begun.
    pub launching: u64,
    /// There was nothing to do.
    pub idle: u64,
}

impl From<PeCycles> for PeCycleEntry {
    fn from(cycles: PeCycles) -> PeCycleEntry {
        let PeCycles { working, waiting_input, waiting_output, launching, idle } = cycles;
        PeCycleEntry { working, waiting_input, waiting_output, launching, idle }
    }
}

/// The computer that simulated; no function of the inputs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostFacts {
    /// Wall-clock time of the whole command until the report, seconds.
    pub seconds: f64,
    /// Events that the engine handled, where it counts them.
    pub events: Option<u64>,
    /// Wavelet hops per second of the engine's own wall-clock time.
    pub hops_per_second: f64,
    /// Largest resident memory of the process, where the system tells.
    pub peak_rss_bytes: Option<u64>,
    /// Threads that simulated.
    pub threads: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use pe_isa::Cycle;

    fn report() -> RunReport {
        let machine = fabric::presets::preset(fabric::presets::DEFAULT).unwrap();
        let latency = Latency::of(&machine, &[Cycle(20_000), Cycle(21_000)]);
        RunReport {
            schema: SCHEMA,
            contract: fabric::CONTRACT_VERSION,
            wafersim: "0.1.0",
            machine: MachineEntry::of(&machine),
            model: ModelEntry {
                architecture: "llama".into(),
                parameters: 10,
                weight_bytes: 20,
                digest: "00".into(),
                experts: None,
            },
            settings: Settings {
                data: "full",
                data_seed: None,
                fold: "off",
                numerics: serde_json::json!({}),
                mapping: serde_json::json!({}),
                streams: 1,
                overrides: Vec::new(),
                sampling: serde_json::Value::Null,
                stop_strings: Vec::new(),
                chat_date: None,
            },
            throughput_tokens_per_s: crate::throughput_tokens_per_s(
                &machine,
                std::slice::from_ref(&latency),
            ),
            attribution: None,
            bound: BoundEntry::new((250, 400), "wire", &latency),
            requests: vec![RequestEntry {
                prompt_tokens: 3,
                max_new_tokens: 2,
                start_position: 0,
                output: Output {
                    token_ids: vec![1, 2],
                    text: None,
                    source: "wafer",
                    stop: Stop::Length,
                },
                latency,
            }],
            resources: Resources::of(&fabric::WaferImage::empty(machine), 512),
            defects: None,
            folding: None,
            counters: Counters {
                wavelet_hops: 1,
                instructions: 2,
                pe_cycles: PeCycles::default().into(),
            },
            digest: "ff".into(),
            host: HostFacts {
                seconds: 0.5,
                events: None,
                hops_per_second: 2.0,
                peak_rss_bytes: Some(1),
                threads: 1,
            },
        }
    }

    fn keys(value: &serde_json::Value) -> String {
        let object = value.as_object().unwrap();
        let names: Vec<&str> = object.keys().map(String::as_str).collect();
        names.join(" ")
    }

    #[test]
    fn the_report_has_the_keys_of_the_schema_in_order() {
        let value = serde_json::to_value(report()).unwrap();
        assert_eq!(
            keys(&value),
            "schema contract wafersim machine model settings requests throughput_tokens_per_s \
             attribution bound resources counters digest host"
        );
        assert_eq!(keys(&value["machine"]), "name width height wafers clock_hz digest");
        assert_eq!(keys(&value["model"]), "architecture parameters weight_bytes digest");
        assert_eq!(
            keys(&value["settings"]),
            "data fold numerics mapping streams overrides sampling stop_strings"
        );
        let request = &value["requests"][0];
        assert_eq!(keys(request), "prompt_tokens max_new_tokens start_position output latency");
        assert_eq!(keys(&request["output"]), "token_ids text source stop");
        assert_eq!(
            keys(&request["latency"]),
            "ttft_cycles ttft_s tpot_cycles tpot_s tokens_per_s prefill_cycles token_cycles"
        );
        assert_eq!(
            keys(&value["resources"]),
            "pes_used sram_bytes_used_max sram_bytes_used_total colors_used context_max"
        );
        assert_eq!(
            keys(&value["bound"]),
            "cycles_per_token mapped_cycles_per_token binding efficiency"
        );
        assert_eq!(value["bound"]["efficiency"], 0.25);
        assert_eq!(keys(&value["counters"]), "wavelet_hops instructions pe_cycles");
        assert_eq!(
            keys(&value["counters"]["pe_cycles"]),
            "working waiting_input waiting_output launching idle"
        );
        assert_eq!(keys(&value["host"]), "seconds events hops_per_second peak_rss_bytes threads");
        assert_eq!(request["output"]["stop"], "length");
    }

    #[test]
    fn one_changed_constant_changes_the_machine_digest() {
        let machine = fabric::presets::preset(fabric::presets::DEFAULT).unwrap();
        let other = machine.with_overrides(&[("fabric.hop_cycles", "3")]).unwrap();
        assert_ne!(MachineEntry::of(&machine).digest, MachineEntry::of(&other).digest);
    }
}
