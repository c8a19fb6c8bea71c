//! What goes into a run and what comes out of it.

use crate::cycles::PeCycles;
use fabric::{Machine, PeIdx, Port, WaferImage};
use pe_isa::{Color, Cycle, Cycles, Fault, REGISTERS};
use std::ops::AddAssign;

/// Whether a run is with data (contract rule D-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Data {
    /// SRAM, registers and wavelets hold values.
    #[default]
    Full,
    /// SRAM holds nothing, and what would come of it is void.
    None {
        /// Of the draws of rule D-4.
        seed: u64,
    },
}

impl Data {
    /// Whether there is data.
    pub fn is_full(self) -> bool {
        self == Data::Full
    }
}

/// One wavelet that the host sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostWavelet {
    /// Cycle from which it stands at the wafer's edge (contract rule H-1).
    pub cycle: Cycle,
    /// Payload.
    pub payload: u32,
    /// Whether it is a control wavelet.
    pub control: bool,
}

/// What the host sends: for each of [`WaferImage::host_in`], its wavelets in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostScript {
    /// One list a port; missing lists are empty.
    pub ports: Vec<Vec<HostWavelet>>,
}

/// What the host sends in answer to a wavelet (contract rule H-4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    earliest: Cycle,
    sent: Vec<(usize, HostWavelet)>,
}

impl Answers {
    /// Answers to a wavelet that reaches the host of `machine` at `received`.
    pub fn to(received: Cycle, machine: &Machine) -> Answers {
        Answers::after(received, machine.host_latency_cycles())
    }

    /// The same, the latency of the host being known: `latency` cycles.
    pub(crate) fn after(received: Cycle, latency: u64) -> Answers {
        Answers { earliest: received + Cycles(latency.max(1)), sent: Vec::new() }
    }

    /// The first cycle at which an answer can stand at the wafer's edge.
    pub fn earliest(&self) -> Cycle {
        self.earliest
    }

    /// Sends a wavelet through port `port` (index into [`WaferImage::host_in`]), behind all that was sent there before. It
    /// stands at the edge from its cycle on, but not before [`Answers::earliest`].
    pub fn send(&mut self, port: usize, wavelet: HostWavelet) {
        let cycle = wavelet.cycle.max(self.earliest);
        self.sent.push((port, HostWavelet { cycle, ..wavelet }));
    }

    /// What was sent: ports and wavelets, in order.
    pub fn sent(&self) -> &[(usize, HostWavelet)] {
        &self.sent
    }
}

/// Whether a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Continue,
    /// It ends at the cycle of the wavelet that the host just received.
    Stop,
}

/// The receiving side of the host.
pub trait Host {
    /// A wavelet of port `port` (index into [`WaferImage::host_out`]) has reached the host at
    /// `cycle`. Called in the order of rule H-3. What the host sends in answer goes into `answers`.
    /// The payload of a void wavelet is 0 (rule D-5).
    fn receive(
        &mut self,
        cycle: Cycle,
        port: usize,
        payload: u32,
        answers: &mut Answers,
    ) -> Verdict;
}

/// A host that takes everything and never ends the run.
impl Host for Vec<(Cycle, usize, u32)> {
    fn receive(
        &mut self,
        cycle: Cycle,
        port: usize,
        payload: u32,
        _answers: &mut Answers,
    ) -> Verdict {
        self.push((cycle, port, payload));
        Verdict::Continue
    }
}

/// What a thread waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitFor {
    /// A wavelet on the color.
    Input(Color),
    /// Room in the output queue of the color.
    Output(Color),
    /// The microthread to become idle.
    Microthread(u8),
}

/// A thread that waits when nothing can happen any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait {
    /// The PE.
    pub pe: PeIdx,
    /// `None` for the main thread, else the microthread.
    pub microthread: Option<u8>,
    /// Index of the instruction.
    pub instruction: u16,
    /// What it waits for (the first unmet condition: first source, second source, destination).
    pub waits_for: WaitFor,
    /// Cycle from which its step could have been taken, had the condition been met.
    pub since: Cycle,
}

/// A wavelet that is left at the head of a router's or PE's FIFO when nothing can happen any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// The tile.
    pub pe: PeIdx,
    /// Router input port; `None` for an input queue of the PE.
    pub port: Option<Port>,
    /// Its color.
    pub color: Color,
    /// Wavelets in the FIFO, this one included.
    pub words: u32,
    /// Whether it is a control wavelet.
    pub control: bool,
    /// The selected switch position of the router's route (rule S-1); 0 for an input queue.
    pub selected: u8,
}

/// Why a run stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// Nothing is left to do.
    Finished,
    /// The host ended the run.
    Host,
    /// The cycle limit was reached.
    CycleLimit,
    /// Something waits for what can never come.
    Deadlock {
        /// The waiting threads, by PE, then main thread before microthreads.
        waits: Vec<Wait>,
        /// The wavelets left over, by tile, then port (routers before PEs), then color.
        heads: Vec<Head>,
    },
    /// An instruction faulted.
    Trap {
        /// The PE.
        pe: PeIdx,
        /// Index of the instruction.
        instruction: u16,
        /// Why.
        fault: Fault,
    },
}

/// What one PE has done (contract rules ).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeCounters {
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
    /// What its cycles went to; no part of the digest.
    pub cycles: PeCycles,
}

impl AddAssign for PeCounters {
    fn add_assign(&mut self, other: PeCounters) {
        self.instructions += other.instructions;
        self.fabric_steps += other.fabric_steps;
        self.busy_cycles += other.busy_cycles;
        self.launches += other.launches;
        self.wavelets_in += other.wavelets_in;
        self.wavelets_out += other.wavelets_out;
        self.cycles += other.cycles;
    }
}

/// The machine when a run has stopped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FinalState {
    /// SRAM of each tile's PE in words; empty where there is no program, and without data.
    pub sram: Vec<Vec<u32>>,
    /// Registers of each tile's PE.
    pub regs: Vec<[u32; REGISTERS]>,
    /// The void registers of each tile's PE (rule D-1), which are 0 above: bit *r* stands for register *r*. Empty with data.
    pub void: Vec<u32>,
    /// Counters of each tile's PE.
    pub pes: Vec<PeCounters>,
    /// Wavelets sent through each output port of each router, in the order of [`Port::ALL`].
    pub links: Vec<[u64; 5]>,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Why it stopped.
    pub stop: StopReason,
    /// At which cycle.
    pub cycle: Cycle,
    /// The machine at that cycle.
    pub state: FinalState,
}

impl FinalState {
    /// No SRAM, registers and counters at zero.
    pub(crate) fn blank(tiles: usize, data: Data) -> FinalState {
        FinalState {
            sram: vec![Vec::new(); tiles],
            regs: vec![[0; REGISTERS]; tiles],
            void: if data.is_full() { Vec::new() } else { vec![0; tiles] },
            pes: vec![PeCounters::default(); tiles],
            links: vec![[0; 5]; tiles],
        }
    }

    /// The state before cycle 0: initial SRAM and registers, counters at zero.
    pub fn initial(image: &WaferImage, data: Data) -> FinalState {
        let mut state = FinalState::blank(image.tiles.len(), data);
        for (at, tile) in image.tiles.iter().enumerate() {
            for &(reg, value) in &tile.params {
                state.regs[at][usize::from(reg.0)] = value;
            }
            if tile.program.is_none() || !data.is_full() {
                continue;
            }
            let mut sram = vec![0u32; tile.sram_bytes as usize / 4];
            for segment in &tile.data {
                let from = segment.address as usize / 4;
                sram[from..from + segment.words.len()].copy_from_slice(&segment.words);
            }
            state.sram[at] = sram;
        }
        state
    }

    /// Wavelets sent through mesh outputs, over all routers.
    pub fn wavelet_hops(&self) -> u64 {
        self.links.iter().map(|l| l[..4].iter().sum::<u64>()).sum()
    }

    /// Instructions issued, over all PEs.
    pub fn instructions(&self) -> u64 {
        self.pes.iter().map(|p| p.instructions).sum()
    }

    /// What the cycles of all PEs with a program went to.
    pub fn pe_cycles(&self) -> PeCycles {
        self.pes.iter().map(|p| p.cycles).sum()
    }
}

impl Outcome {
    /// Hash of stop cycle, SRAM, registers and counters (rules ), as hexadecimal digits; without data there is no
    /// SRAM, and behind the registers stands which of them are void. Equal for equal machine states on every host.
    pub fn digest(&self) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(&self.cycle.0.to_le_bytes());
        let mut buffer = Vec::new();
        for (at, sram) in self.state.sram.iter().enumerate() {
            buffer.clear();
            let words = sram.iter().chain(&self.state.regs[at]);
            let words = words.chain(self.state.void.get(at));
            words.for_each(|w| buffer.extend_from_slice(&w.to_le_bytes()));
            let p = &self.state.pes[at];
            let counters = [
                p.instructions,
                p.fabric_steps,
                p.busy_cycles,
                p.launches,
                p.wavelets_in,
                p.wavelets_out,
            ];
            let counters = counters.iter().chain(&self.state.links[at]);
            counters.for_each(|c| buffer.extend_from_slice(&c.to_le_bytes()));
            hash.update(&buffer);
        }
        hash.finalize().to_hex()[..32].to_string()
    }
}
