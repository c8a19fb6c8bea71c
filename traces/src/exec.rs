//! The report of `wafersim exec --json`, schema `wafersim.exec/1`: what a program left behind. Fields
//! stand in the order in which they are printed; keys may be added, never renamed.
//!
//! **Architecture Invariant:** everything outside [`ExecReport::host`] is a function of the inputs.

use crate::report::{HostFacts, MachineEntry, PeCycleEntry};
use fabric::text::{Ending, Kernel, Place, Value};
use fabric::{PeIdx, WaferImage};
use pe_isa::{Cycle, DType};
use serde::Serialize;
use sim_core::Outcome;
use std::collections::BTreeMap;
use std::fmt;

/// Name of the schema.
pub const EXEC_SCHEMA: &str = "wafersim.exec/1";

/// The whole document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExecReport {
    /// [`EXEC_SCHEMA`].
    pub schema: &'static str,
    /// Version of the timing contract.
    pub contract: &'static str,
    /// Version of the program.
    pub wafersim: &'static str,
    /// What it ran on.
    pub machine: MachineEntry,
    /// What `--set` changed, as given.
    pub overrides: Vec<String>,
    /// The text's parameters with the values that were used.
    pub params: BTreeMap<String, serde_json::Value>,
    /// How the run ended: `finished`, `stopped`, `deadlock`, `trap` or `limit`.
    pub stop: &'static str,
    /// The cycle at which it ended.
    pub cycles: u64,
    /// The regions that the text asks for, in its order.
    pub results: Vec<RegionEntry>,
    /// What reached the host, for each of its receiving ports.
    pub received: Vec<ReceivedEntry>,
    /// What happened on the wafer.
    pub counters: ExecCounters,
    /// Hash of the machine's state when the run ended, as in `wafersim.run/1`.
    pub digest: String,
    /// Facts about the computer that simulated.
    pub host: HostFacts,
}

/// A region of a PE's SRAM at the end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegionEntry {
    /// Its name in the program.
    pub name: String,
    /// Column and row.
    pub tile: [u32; 2],
    /// Type of the elements.
    pub dtype: &'static str,
    /// Extents, outermost first.
    pub shape: Vec<u32>,
    /// The elements, row-major.
    pub values: Vec<Element>,
}

/// An element as documents hold it: a number, or the name of a float that JSON has no number for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Element {
    /// A `u32`.
    Int(u32),
    /// A finite float, exact.
    Float(f32),
    /// `nan`, `inf` or `-inf`.
    Name(&'static str),
}

impl Element {
    /// The element with these bits.
    pub fn of(dtype: DType, bits: u32) -> Element {
        if dtype == DType::U32 {
            return Element::Int(bits);
        }
        match dtype.to_f32(bits) {
            value if value.is_finite() => Element::Float(value),
            value if value.is_nan() => Element::Name("nan"),
            value if value > 0.0 => Element::Name("inf"),
            _ => Element::Name("-inf"),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Int(value) => write!(f, "{value}"),
            Element::Float(value) => write!(f, "{value:?}"),
            Element::Name(name) => f.write_str(name),
        }
    }
}

/// What reached the host at one port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReceivedEntry {
    /// Name of the port.
    pub port: String,
    /// The payloads' bits, in order.
    pub payloads: Vec<u32>,
    /// The cycle at which each came.
    pub cycles: Vec<u64>,
}

/// Counts (contract rules ).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExecCounters {
    /// Wavelets sent through mesh outputs, over all routers.
    pub wavelet_hops: u64,
    /// Instructions issued, over all PEs.
    pub instructions: u64,
    /// Each PE that has a program, row by row.
    pub pes: Vec<PeEntry>,
}

/// The counts of one PE and its router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PeEntry {
    /// Column and row.
    pub tile: [u32; 2],
    /// Instructions, vector operations when issued.
    pub instructions: u64,
    /// Steps of fabric operations.
    pub fabric_steps: u64,
    /// Cycles that the datapath was held.
    pub busy_cycles: u64,
    /// Tasks launched.
    pub launches: u64,
    /// Wavelets taken from input queues.
    pub wavelets_in: u64,
    /// Wavelets put into output queues.
    pub wavelets_out: u64,
    /// Wavelets that its router sent through mesh outputs.
    pub wavelet_hops: u64,
    /// What its cycles went to; they add up to those of the run.
    pub cycles: PeCycleEntry,
}

/// A run as a report describes it.
#[derive(Debug, Clone, Copy)]
pub struct Executed<'a> {
    /// What ran.
    pub kernel: &'a Kernel,
    /// How it ended.
    pub ending: Ending,
    /// The end.
    pub outcome: &'a Outcome,
    /// What reached the host: cycle, index of the port, payload.
    pub received: &'a [(Cycle, usize, u32)],
}

impl ExecReport {
    /// Describes a run. `overrides` are the changes of the machine as given.
    pub fn of(run: &Executed<'_>, overrides: &[String], host: HostFacts) -> ExecReport {
        let (kernel, outcome) = (run.kernel, run.outcome);
        let image = &kernel.image;
        let number = |value: &Value| match *value {
            Value::Int(v) => serde_json::Value::from(v),
            Value::Float(v) => serde_json::Value::from(v),
        };
        let region = |place: &Place| RegionEntry {
            name: place.name.clone(),
            tile: tile(image, place.tile),
            dtype: place.dtype.name(),
            shape: place.extents.clone(),
            values: place
                .read(&outcome.state.sram[place.tile.0 as usize])
                .into_iter()
                .map(|bits| Element::of(place.dtype, bits))
                .collect(),
        };
        let ports = kernel.host_out.iter().enumerate();
        ExecReport {
            schema: EXEC_SCHEMA,
            contract: fabric::CONTRACT_VERSION,
            wafersim: env!("CARGO_PKG_VERSION"),
            machine: MachineEntry::of(&image.machine),
            overrides: overrides.to_vec(),
            params: kernel.params.iter().map(|(n, v)| (n.clone(), number(v))).collect(),
            stop: run.ending.name(),
            cycles: outcome.cycle.0,
            results: kernel.results.iter().map(region).collect(),
            received: ports.map(|(at, name)| received(run, at, name)).collect(),
            counters: counters(image, outcome),
            digest: outcome.digest(),
            host,
        }
    }
}

fn tile(image: &WaferImage, at: PeIdx) -> [u32; 2] {
    let at = image.coord(at);
    [at.x, at.y]
}

fn received(run: &Executed<'_>, port: usize, name: &str) -> ReceivedEntry {
    let here = run.received.iter().filter(|(_, p, _)| *p == port);
    let (cycles, payloads) = here.map(|(cycle, _, payload)| (cycle.0, *payload)).unzip();
    ReceivedEntry { port: name.to_string(), payloads, cycles }
}

fn counters(image: &WaferImage, outcome: &Outcome) -> ExecCounters {
    let state = &outcome.state;
    let used = (0..image.tiles.len()).filter(|&at| image.tiles[at].program.is_some());
    let entry = |at: usize| {
        let pe = &state.pes[at];
        PeEntry {
            tile: tile(image, PeIdx(at as u32)),
            instructions: pe.instructions,
            fabric_steps: pe.fabric_steps,
            busy_cycles: pe.busy_cycles,
            launches: pe.launches,
            wavelets_in: pe.wavelets_in,
            wavelets_out: pe.wavelets_out,
            wavelet_hops: state.links[at][..4].iter().sum(),
            cycles: pe.cycles.into(),
        }
    };
    ExecCounters {
        wavelet_hops: state.wavelet_hops(),
        instructions: state.instructions(),
        pes: used.map(entry).collect(),
    }
}
