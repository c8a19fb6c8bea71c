//! Random small wafers, and the harness that runs one image on several runners and compares.
//!
//! * [`build`]: puts images together by hand.
//! * [`spec`]: what a random case is made of: plain data, with the strategies that draw it.
//! * [`generate`]: makes a [`Case`] of a spec. Total: every spec gives an image that passes the
//!   linter, so that shrinking never leaves the valid ones.
//! * [`conserve`]: what must hold of the counters of any run.
//! * [`fuzz`]: entry points for fuzzers.

pub mod build;
mod code;
pub mod conserve;
pub mod fuzz;
pub mod generate;
mod load;
mod nets;
mod programs;
pub mod spec;

use crate::run::{Host, HostScript, Observer, Outcome, Verdict};
use fabric::{PeIdx, WaferImage};
use pe_isa::Cycle;

/// Something that runs images by the contract: the oracle, the engine.
pub type Runner = fn(&WaferImage, &HostScript, &mut dyn Host, Cycle, &mut dyn Observer) -> Outcome;

/// The engine as a [`Runner`].
pub fn engine(
    image: &WaferImage,
    script: &HostScript,
    host: &mut dyn Host,
    limit: Cycle,
    observer: &mut dyn Observer,
) -> Outcome {
    crate::engine::run(image, script, host, limit, observer)
}

/// A run to be made.
#[derive(Debug, Clone)]
pub struct Case {
    /// What runs.
    pub image: WaferImage,
    /// What the host sends.
    pub script: HostScript,
    /// The host ends the run at this many wavelets received.
    pub stop_after: Option<usize>,
    /// The cycle limit.
    pub limit: Cycle,
}

/// A mark that a PE has passed, with a hash of its SRAM at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// When.
    pub cycle: Cycle,
    /// Which PE.
    pub pe: PeIdx,
    /// Number of this mark among those of the PE.
    pub ordinal: usize,
    /// Its label.
    pub mark: u16,
    /// Hash of the SRAM.
    pub sram: u64,
}

/// All that can be seen of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What the runner returned.
    pub outcome: Outcome,
    /// What the host received: cycle, port, payload.
    pub received: Vec<(Cycle, usize, u32)>,
    /// The marks, in the order in which they were passed.
    pub marks: Vec<Mark>,
}

/// Takes everything; ends the run at the `stop_after`-th wavelet.
struct Listener {
    received: Vec<(Cycle, usize, u32)>,
    stop_after: Option<usize>,
}

impl Host for Listener {
    fn receive(&mut self, cycle: Cycle, port: usize, payload: u32) -> Verdict {
        self.received.push((cycle, port, payload));
        if self.stop_after == Some(self.received.len()) { Verdict::Stop } else { Verdict::Continue }
    }
}

/// Writes down the marks.
struct Marks(Vec<Mark>);

impl Observer for Marks {
    fn mark(&mut self, cycle: Cycle, pe: PeIdx, mark: u16, sram: &[u32]) {
        let bytes: Vec<u8> = sram.iter().flat_map(|w| w.to_le_bytes()).collect();
        let hash = blake3::hash(&bytes);
        let mut low = [0; 8];
        low.copy_from_slice(&hash.as_bytes()[..8]);
        self.0.push(Mark {
            cycle,
            pe,
            ordinal: self.0.iter().filter(|m| m.pe == pe).count(),
            mark,
            sram: u64::from_le_bytes(low),
        });
    }
}

impl Case {
    /// Runs the case and writes down all that can be seen.
    pub fn run(&self, runner: Runner) -> Record {
        let mut host = Listener { received: Vec::new(), stop_after: self.stop_after };
        let mut marks = Marks(Vec::new());
        let outcome = runner(&self.image, &self.script, &mut host, self.limit, &mut marks);
        marks.0.sort();
        Record { outcome, received: host.received, marks: marks.0 }
    }
}

impl Case {
    /// The least cycle limit with which two runners differ, and how; `None` where they never do.
    pub fn first_difference(&self, one: Runner, other: Runner) -> Option<(Cycle, String)> {
        let until = |limit| {
            let case = Case { limit: Cycle(limit), ..self.clone() };
            case.run(one).difference(&case.run(other))
        };
        until(self.limit.0)?;
        let end = self.run(one).outcome.cycle.0.max(self.run(other).outcome.cycle.0);
        (1..=end.saturating_add(1)).find_map(|limit| Some((Cycle(limit), until(limit)?)))
    }
}

impl Record {
    /// The first difference between two records in words, most telling first; `None` where they
    /// are equal.
    pub fn difference(&self, other: &Record) -> Option<String> {
        let (a, b) = (&self.outcome, &other.outcome);
        if a.cycle != b.cycle || a.stop != b.stop {
            return Some(format!(
                "stops: {:?} at {} and {:?} at {}",
                a.stop, a.cycle, b.stop, b.cycle
            ));
        }
        if self.received != other.received {
            return Some(format!("host: {:?} and {:?}", self.received, other.received));
        }
        if let Some((x, y)) = self.marks.iter().zip(&other.marks).find(|(x, y)| x != y) {
            return Some(format!("marks: {x:?} and {y:?}"));
        }
        if self.marks.len() != other.marks.len() {
            let (x, y) = (self.marks.len(), other.marks.len());
            return Some(format!("marks: {x} and {y} of them"));
        }
        let (s, o) = (&a.state, &b.state);
        for at in 0..s.sram.len() {
            if s.pes[at] != o.pes[at] {
                return Some(format!("tile {at}: {:?} and {:?}", s.pes[at], o.pes[at]));
            }
            if s.links[at] != o.links[at] {
                let (x, y) = (s.links[at], o.links[at]);
                return Some(format!("tile {at}: links {x:?} and {y:?}"));
            }
            if s.regs[at] != o.regs[at] {
                return Some(format!("tile {at}: {:x?} and {:x?}", s.regs[at], o.regs[at]));
            }
            let words = s.sram[at].iter().zip(&o.sram[at]);
            if let Some(word) = words.clone().position(|(x, y)| x != y) {
                let (x, y) = (s.sram[at][word], o.sram[at][word]);
                return Some(format!("tile {at}: SRAM word {word} is {x:08x} and {y:08x}"));
            }
        }
        (self != other).then(|| "the records differ in shape".to_string())
    }
}
