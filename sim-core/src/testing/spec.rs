//! What a random case is made of: plain data, drawn by proptest and made smaller by it.
//!
//! Numbers are reduced to what is there (modulo), so every spec means something. Small choices are
//! drawn from the [`Bits`] of their part; zero bits choose the plainest.

use proptest::collection::vec;
use proptest::prelude::*;

/// A store of small choices. Zero chooses the first of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bits(pub u128);

impl Bits {
    /// A number below `n`.
    pub fn pick(&mut self, n: usize) -> usize {
        assert!(n > 0, "nothing to pick from");
        let picked = self.0 % n as u128;
        self.0 /= n as u128;
        picked as usize
    }

    /// One of the values.
    pub fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.pick(values.len())]
    }

    /// True one time in `n`.
    pub fn chance(&mut self, n: usize) -> bool {
        self.pick(n) == n - 1
    }
}

/// Constants of the machine.
#[derive(Debug, Clone)]
pub struct MachineSpec {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Slots of a router FIFO.
    pub queue_depth: u32,
    /// Depths of the input queues.
    pub inputs: Vec<u32>,
    /// Depths of the output queues.
    pub outputs: Vec<u32>,
    /// Microthreads.
    pub microthreads: u8,
    /// Every other constant.
    pub bits: Bits,
}

/// A color's way from a source to its sinks.
#[derive(Debug, Clone)]
pub struct NetSpec {
    /// The tile that sends.
    pub source: u32,
    /// How the source comes by its wavelets.
    pub origin: Origin,
    /// The tiles that receive.
    pub sinks: Vec<SinkSpec>,
    /// Whether the edge of the wafer receives too.
    pub to_host: bool,
    /// Color, if no other net has it.
    pub color: u8,
    /// Wavelets of one operation.
    pub wavelets: u32,
    /// Operations.
    pub chunks: u32,
    /// Switch positions beyond the first, and the control wavelets for them.
    pub switches: u8,
    /// Everything else.
    pub bits: Bits,
}

/// How a source comes by its wavelets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Its program sends them.
    Program,
    /// It passes on what it receives from an earlier net.
    Stream,
    /// The host sends them, through an edge of the wafer.
    Host,
}

/// One receiver of a net.
#[derive(Debug, Clone)]
pub struct SinkSpec {
    /// The tile; every fourth means the case's hot tile.
    pub tile: u32,
    /// What it does with the wavelets.
    pub bits: Bits,
}

/// What a PE does besides its part in nets.
#[derive(Debug, Clone)]
pub struct PeSpec {
    /// Pieces of code between sends and receives.
    pub fills: Vec<Bits>,
    /// Local tasks besides the main one.
    pub tasks: Vec<Bits>,
    /// Contents of SRAM, order of sends and receives.
    pub bits: Bits,
}

/// A whole case.
#[derive(Debug, Clone)]
pub struct CaseSpec {
    /// The machine.
    pub machine: MachineSpec,
    /// The nets.
    pub nets: Vec<NetSpec>,
    /// The PEs; tile *n* has number *n* modulo their number.
    pub pes: Vec<PeSpec>,
    /// The tile that many nets end at.
    pub hot: u32,
    /// What makes the case go wrong.
    pub twist: Twist,
}

/// What makes a case go wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twist {
    /// Nothing.
    None,
    /// Lengths that do not match, sends and receives in any order.
    Sloppy,
    /// Instructions that fault.
    Faults,
    /// A low cycle limit.
    Limit(u16),
    /// The host ends the run after so many wavelets.
    HostStops(u8),
    /// The host sends the ends of what it has to send only in answer to what it receives.
    HostAnswers(Bits),
}

fn bits() -> impl Strategy<Value = Bits> {
    any::<u128>().prop_map(Bits)
}

fn machine() -> impl Strategy<Value = MachineSpec> {
    let side = || prop_oneof![3 => 1..=4u32, 1 => 1..=6u32];
    let grid = prop_oneof![
        6 => (side(), side()),
        1 => (1..=6u32, Just(1)),
        1 => (Just(1), 1..=6u32),
    ];
    let queues = || vec(1..=4u32, 2..=8);
    (grid, 1..=5u32, queues(), queues(), 0..=4u8, bits()).prop_map(
        |((width, height), queue_depth, inputs, outputs, microthreads, bits)| MachineSpec {
            width,
            height,
            queue_depth,
            inputs,
            outputs,
            microthreads,
            bits,
        },
    )
}

fn net() -> impl Strategy<Value = NetSpec> {
    let origin = prop_oneof![
        6 => Just(Origin::Program), 2 => Just(Origin::Stream), 2 => Just(Origin::Host),
    ];
    let sink = (any::<u32>(), bits()).prop_map(|(tile, bits)| SinkSpec { tile, bits });
    let switches = prop_oneof![16 => Just(0u8), 1 => 1..=3u8];
    let ends = (any::<u32>(), origin, vec(sink, 1..=5), prop::bool::weighted(0.2));
    let load = (0..12u8, 1..=12u32, 1..=4u32, switches, bits());
    (ends, load).prop_map(
        |((source, origin, sinks, to_host), (color, wavelets, chunks, switches, bits))| NetSpec {
            source,
            origin,
            sinks,
            to_host,
            color,
            wavelets,
            chunks,
            switches,
            bits,
        },
    )
}

fn pe() -> impl Strategy<Value = PeSpec> {
    (vec(bits(), 0..=5), vec(bits(), 0..=2), bits()).prop_map(|(fills, tasks, bits)| PeSpec {
        fills,
        tasks,
        bits,
    })
}

/// Random cases.
pub fn case() -> impl Strategy<Value = CaseSpec> {
    let twist = prop_oneof![
        14 => Just(Twist::None),
        4 => Just(Twist::Sloppy),
        2 => Just(Twist::Faults),
        1 => (1..400u16).prop_map(Twist::Limit),
        2 => (1..20u8).prop_map(Twist::HostStops),
        3 => bits().prop_map(Twist::HostAnswers),
    ];
    (machine(), vec(net(), 0..=9), vec(pe(), 1..=6), any::<u32>(), twist)
        .prop_map(|(machine, nets, pes, hot, twist)| CaseSpec { machine, nets, pes, hot, twist })
}
