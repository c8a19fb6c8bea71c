//! The machine file: every constant of the timing contract as a documented field.

use crate::defects::Defects;
use pe_isa::check::Limits;
use pe_isa::{CostTable, Ratio};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// A wafer-scale machine. Files are RON; every key but `defects` is required, unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Name in reports.
    pub name: String,
    /// Columns of usable tiles.
    pub width: u32,
    /// Rows of usable tiles.
    pub height: u32,
    /// Clock, Hz.
    pub clock_hz: u64,
    /// Routers and links.
    pub fabric: Fabric,
    /// Processing elements.
    pub pe: Pe,
    /// The link between host and wafer.
    pub host: Host,
    /// What of it does not work; nothing unless stated.
    #[serde(default)]
    pub defects: Defects,
}

/// Routers and links.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fabric {
    /// Number of colors, 1 to 32.
    pub colors: u8,
    /// Switch positions of a route at most, 1 to 4.
    pub switch_positions: u8,
    /// Cycles from a wavelet's departure to its being at the next router.
    pub hop_cycles: u64,
    /// Extra cycles for the first wavelet of a burst that leaves a router at a right angle.
    pub turn_cycles: u64,
    /// Cycles per wavelet of a link, at least 1.
    pub link_cycles: Ratio,
    /// Slots of a router's FIFO for one input port and color.
    pub queue_depth: u32,
    /// Cycles until a freed slot is visible upstream.
    pub credit_cycles: u64,
}

/// Processing elements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pe {
    /// SRAM of a PE, bytes.
    pub sram_bytes: u32,
    /// Part of it that the runtime keeps, bytes.
    pub reserve_bytes: u32,
    /// Cycles on the ramp between router and PE, each way.
    pub ramp_cycles: u64,
    /// Depth of each input queue, words.
    pub input_queues: Vec<u32>,
    /// Depth of each output queue, words.
    pub output_queues: Vec<u32>,
    /// Asynchronous vector operations at a time.
    pub microthreads: u8,
    /// Cycles from the issue of a fabric operation to the end of its first step at the earliest.
    pub dispatch_cycles: u64,
    /// Cycles from a task being ready to its first instruction.
    pub task_launch_cycles: u64,
    /// Cycles from the launch of a data task to the next launch at the least.
    pub data_task_cycles: u64,
    /// Datapath costs.
    pub cost: CostTable,
}

/// The link between host and wafer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// One way, nanoseconds.
    pub latency_ns: u64,
    /// Bits per second, each way.
    pub bits_per_s: u64,
}

/// What is wrong with a machine file or an override.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum MachineError {
    /// The text is not RON or not a machine.
    #[error("{origin}:{line}:{column}: {message}")]
    Parse {
        /// File or preset.
        origin: String,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What was expected.
        message: String,
    },
    /// A value outside its legal range; one per line.
    #[error("{origin}: {message}")]
    Range {
        /// File or preset.
        origin: String,
        /// Key, value and legal range.
        message: String,
    },
    /// A bad `--set`.
    #[error("--set {0}")]
    Override(String),
    /// No such preset.
    #[error("{0}")]
    Unknown(String),
}

impl Machine {
    /// Reads a machine file. `origin` names it in errors.
    ///
    /// # Errors
    /// Syntax errors and unknown, missing or ill-typed keys with line and column; values outside
    /// their range with line and column of the key.
    pub fn from_ron(text: &str, origin: &str) -> Result<Machine, MachineError> {
        let parsed: Result<Machine, _> = ron::from_str(text);
        let machine = parsed.map_err(|e| MachineError::Parse {
            origin: origin.to_string(),
            line: e.span.start.line,
            column: e.span.start.col,
            message: describe_parse_error(&e.code, text, e.span.start.line),
        })?;
        let problems = machine.problems();
        if problems.is_empty() {
            return Ok(machine);
        }
        let lines: Vec<String> = problems
            .iter()
            .map(|p| {
                let (line, column) = locate(text, &p.key);
                format!("line {line}, column {column}: {p}")
            })
            .collect();
        Err(MachineError::Range { origin: origin.to_string(), message: lines.join("\n  ") })
    }

    /// Checks every value against its legal range.
    ///
    /// # Errors
    /// All values that are outside, with key, value and range; of many the first twenty.
    pub fn validate(&self) -> Result<(), MachineError> {
        let problems = self.problems();
        if problems.is_empty() {
            return Ok(());
        }
        let mut told: Vec<String> = problems.iter().take(20).map(ToString::to_string).collect();
        if problems.len() > told.len() {
            told.push(format!("and {} more", problems.len() - told.len()));
        }
        let message = told.join("\n  ");
        Err(MachineError::Range { origin: self.name.clone(), message })
    }

    /// The machine as a file that [`Machine::from_ron`] reads back.
    pub fn to_ron(&self) -> String {
        let pretty = ron::ser::PrettyConfig::new().struct_names(false).indentor("    ");
        let mut text = ron::ser::to_string_pretty(self, pretty).expect("a machine is plain data");
        text.push('\n');
        text
    }

    /// Number of tiles.
    pub fn tiles(&self) -> usize {
        self.width as usize * self.height as usize
    }

    /// SRAM that code and data of a program may use, bytes.
    pub fn usable_bytes(&self) -> u32 {
        self.pe.sram_bytes - self.pe.reserve_bytes
    }

    /// The host link's latency in clock cycles, rounded up.
    pub fn host_latency_cycles(&self) -> u64 {
        let product = u128::from(self.host.latency_ns) * u128::from(self.clock_hz);
        product.div_ceil(1_000_000_000) as u64
    }

    /// Cycle at which the `n`-th wavelet (from 0) that the host sends stands at the wafer's edge: latency and
    /// `n + 1` wavelets of 32 bits at the link's rate, rounded up (contract rule H-1).
    pub fn host_arrival_cycle(&self, n: u64) -> u64 {
        let bits = u128::from(n + 1) * 32 * u128::from(self.clock_hz);
        self.host_latency_cycles() + bits.div_ceil(u128::from(self.host.bits_per_s)) as u64
    }

    /// Seconds that `cycles` take at the machine's clock.
    pub fn seconds(&self, cycles: u64) -> f64 {
        cycles as f64 / self.clock_hz as f64
    }

    /// What programs may name.
    pub fn program_limits(&self) -> Limits {
        Limits {
            in_queues: self.pe.input_queues.len(),
            out_queues: self.pe.output_queues.len(),
            microthreads: usize::from(self.pe.microthreads),
            colors: self.fabric.colors,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut check = |key: &str, value: u64, low: u64, high: u64| {
            if value < low || value > high {
                found.push(Problem::range(key, value, (low, high)));
            }
        };
        check("width", self.width.into(), 1, 65_536);
        check("height", self.height.into(), 1, 65_536);
        check("clock_hz", self.clock_hz, 1_000, 1_000_000_000_000);
        let f = &self.fabric;
        check("fabric.colors", f.colors.into(), 1, 32);
        check("fabric.switch_positions", f.switch_positions.into(), 1, 4);
        check("fabric.hop_cycles", f.hop_cycles, 1, 1_000);
        check("fabric.turn_cycles", f.turn_cycles, 0, 1_000);
        check("fabric.queue_depth", f.queue_depth.into(), 1, 1_024);
        check("fabric.credit_cycles", f.credit_cycles, 1, 1_000);
        let p = &self.pe;
        check("pe.sram_bytes", p.sram_bytes.into(), 1_024, 1 << 24);
        check("pe.reserve_bytes", p.reserve_bytes.into(), 0, u64::from(p.sram_bytes / 2));
        check("pe.ramp_cycles", p.ramp_cycles, 1, 1_000);
        check("pe.input_queues", p.input_queues.len() as u64, 1, 32);
        check("pe.output_queues", p.output_queues.len() as u64, 1, 32);
        for &depth in &p.input_queues {
            check("pe.input_queues", depth.into(), 1, 4_096);
        }
        for &depth in &p.output_queues {
            check("pe.output_queues", depth.into(), 1, 4_096);
        }
        check("pe.microthreads", p.microthreads.into(), 0, 32);
        check("pe.dispatch_cycles", p.dispatch_cycles, 1, 1_000);
        check("pe.task_launch_cycles", p.task_launch_cycles, 1, 1_000);
        check("pe.data_task_cycles", p.data_task_cycles, 1, 10_000);
        for (key, value, low) in cost_ranges(&p.cost) {
            check(key, value, low, 100_000);
        }
        check("host.latency_ns", self.host.latency_ns, 0, 1_000_000_000);
        check("host.bits_per_s", self.host.bits_per_s, 1_000_000, 1_000_000_000_000_000);
        for (key, rate) in cost_rates(&p.cost) {
            if rate.cycles_for(1) > 1_000 || rate.num() / rate.den() > 1_000 {
                let value = format!("{rate} elements per cycle (at least 1/1000)");
                found.push(Problem::range(key, value, (0, 1_000)));
            }
        }
        for (key, value) in [("rate", self.defects.rate), ("link_rate", self.defects.link_rate)] {
            if !(0.0..=1.0).contains(&value) {
                found.push(Problem::range(&format!("defects.{key}"), value, (0, 1)));
            }
        }
        for (key, value) in self.defects.outside(self.width, self.height) {
            let grid = format!("the grid of {} x {} tiles", self.width, self.height);
            found.push(Problem { key: key.to_string(), value, legal: grid });
        }
        let rate = f.link_cycles;
        if rate.num() < rate.den() || rate.num() > 1_000 * rate.den() || rate.den() > 64 {
            let value = format!("{rate} (with a denominator of at most 64)");
            found.push(Problem::range("fabric.link_cycles", value, (1, 1_000)));
        }
        if u64::from(self.width) * u64::from(self.height) > 16_000_000 {
            let value = format!("{} x {} tiles", self.width, self.height);
            found.push(Problem::range("width", value, (1, 16_000_000)));
        }
        found
    }
}

fn cost_rates(c: &CostTable) -> [(&'static str, Ratio); 7] {
    [
        ("pe.cost.fmac_16", c.fmac_16),
        ("pe.cost.fmac_mixed", c.fmac_mixed),
        ("pe.cost.fmac_32", c.fmac_32),
        ("pe.cost.add_16", c.add_16),
        ("pe.cost.add_32", c.add_32),
        ("pe.cost.copy_16", c.copy_16),
        ("pe.cost.copy_32", c.copy_32),
    ]
}

fn cost_ranges(c: &CostTable) -> [(&'static str, u64, u64); 16] {
    [
        ("pe.cost.setup_fmac_16", c.setup_fmac_16, 0),
        ("pe.cost.setup_fmac_32", c.setup_fmac_32, 0),
        ("pe.cost.setup_copy", c.setup_copy, 0),
        ("pe.cost.reduce_cycles", c.reduce_cycles, 1),
        ("pe.cost.setup_reduce", c.setup_reduce, 0),
        ("pe.cost.row_cycles", c.row_cycles, 0),
        ("pe.cost.exp_cycles", c.exp_cycles, 1),
        ("pe.cost.rsqrt_cycles", c.rsqrt_cycles, 1),
        ("pe.cost.tanh_cycles", c.tanh_cycles, 1),
        ("pe.cost.sin_cycles", c.sin_cycles, 1),
        ("pe.cost.recip_cycles", c.recip_cycles, 1),
        ("pe.cost.scalar_cycles", c.scalar_cycles, 1),
        ("pe.cost.branch_not_taken_cycles", c.branch_not_taken_cycles, 1),
        ("pe.cost.branch_taken_cycles", c.branch_taken_cycles, 1),
        ("pe.cost.read_bytes_per_cycle", c.read_bytes_per_cycle.into(), 1),
        ("pe.cost.write_bytes_per_cycle", c.write_bytes_per_cycle.into(), 1),
    ]
}

struct Problem {
    key: String,
    value: String,
    /// Where it would have to lie.
    legal: String,
}

impl Problem {
    fn range(key: &str, value: impl ToString, (low, high): (u64, u64)) -> Problem {
        let legal = format!("its legal range, {low} to {high}");
        Problem { key: key.to_string(), value: value.to_string(), legal }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Problem { key, value, legal } = self;
        write!(f, "{key} = {value} is outside {legal}")
    }
}

/// Line and column (from 1) of the last part of a dotted key in the text.
fn locate(text: &str, key: &str) -> (usize, usize) {
    let name = key.rsplit('.').next().unwrap_or(key);
    for (at, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or("");
        if let Some(column) = code.find(&format!("{name}:")) {
            return (at + 1, column + 1);
        }
    }
    (1, 1)
}

fn describe_parse_error(code: &ron::Error, text: &str, line: usize) -> String {
    let mut message = code.to_string();
    let source = text.lines().nth(line.saturating_sub(1)).unwrap_or("").trim();
    if !source.is_empty() {
        let _ = write!(message, " (at `{source}`)");
    }
    message
}
