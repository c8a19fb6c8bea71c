//! What is remembered of the cells of one kind: states of rest, and what led from one to the next.
//!
//! A *segment* begins at a rest, with the first thing that crosses the border, and ends at the next rest. Its times count from
//! its beginning. Whatever starts from the same rest and is given the same at the same times does the same.

use super::cells::Kind;
use crate::engine::{Crossed, Engine, Totals};
use crate::run::Data;
use fabric::Machine;
use std::collections::BTreeMap;

/// States of rest of which an engine is kept, but the first; the others are computed again when they are asked for.
const KEPT: usize = 3;

/// An engine with its own time.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) engine: Engine,
    /// The cycle of the engine at which the segment begins.
    pub(super) begin: u64,
    /// Its counters there.
    pub(super) base: Totals,
}

/// A state in which nothing happens until something crosses the border, however long that takes.
#[derive(Debug)]
struct Rest {
    /// The segment that led to it first; none for the beginning of the run.
    after: Option<usize>,
    /// What a cycle of it adds to the counters.
    cycle: Totals,
    /// The segments that begin with it.
    segments: Vec<usize>,
    snapshot: Option<Snapshot>,
}

/// See above.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) rest: usize,
    /// What crossed the border inwards, by time.
    pub(super) arrivals: Vec<(u64, Crossed)>,
    /// What crossed it outwards, by time, as far as is known.
    pub(super) departures: Vec<(u64, Crossed)>,
    /// The cycle of the run at which its leader began it.
    pub(super) begun: u64,
    /// While it goes on.
    pub(super) live: Option<Snapshot>,
    pub(super) end: Option<End>,
}

/// The end of a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// When, from its beginning on.
    pub(super) time: u64,
    /// At which rest.
    pub(super) rest: usize,
    /// What was counted in it.
    pub(super) counted: Totals,
}

/// Everything that is known of the cells of a kind.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) kind: Kind,
    rests: Vec<Rest>,
    names: BTreeMap<[u8; 32], usize>,
    pub(super) segments: Vec<Segment>,
    /// States of rest with an engine, the oldest first.
    kept: Vec<usize>,
    /// Cycles after which nothing remembers what was.
    forgets: u64,
    /// Instructions that were simulated in segments that have ended, and again.
    pub(super) simulated: u64,
}

/// Cycles after which no FIFO, link or PE of a machine remembers that something happened.
fn forgets(machine: &Machine) -> u64 {
    let (fabric, pe) = (&machine.fabric, &machine.pe);
    let wires = fabric.hop_cycles + fabric.credit_cycles + fabric.turn_cycles;
    let link = u64::from(fabric.link_cycles.num()) + u64::from(fabric.link_cycles.den());
    let launch = pe.task_launch_cycles + pe.data_task_cycles + pe.dispatch_cycles;
    wires + link + launch + pe.ramp_cycles + pe.cost.scalar_cycles + 8
}

impl Memory {
    /// Of a kind whose cells have just been switched on: they are in segment 0.
    pub(super) fn new(kind: Kind, data: Data) -> Memory {
        let engine = Engine::load_cell(&kind.image, data, &kind.border);
        let snapshot = Snapshot { engine, begin: 0, base: Totals::default() };
        let forgets = forgets(&kind.image.machine);
        let mut memory = Memory {
            kind,
            rests: Vec::new(),
            names: BTreeMap::new(),
            segments: Vec::new(),
            kept: Vec::new(),
            forgets,
            simulated: 0,
        };
        let shared = !memory.is_alone();
        let first = shared.then(|| snapshot.clone());
        let cycle = Totals::default();
        memory.rests.push(Rest { after: None, cycle, segments: Vec::new(), snapshot: first });
        memory.add(Segment {
            rest: 0,
            arrivals: Vec::new(),
            departures: Vec::new(),
            begun: 0,
            live: Some(snapshot),
            end: None,
        });
        memory
    }

    /// There is one cell of the kind, so that nothing need be remembered: segment 0 never ends.
    pub(super) fn is_alone(&self) -> bool {
        self.kind.members == 1
    }

    /// What a cycle at rest adds to the counters.
    pub(super) fn rest_cycle(&self, rest: usize) -> Totals {
        self.rests[rest].cycle
    }

    fn add(&mut self, segment: Segment) -> usize {
        self.rests[segment.rest].segments.push(self.segments.len());
        self.segments.push(segment);
        self.segments.len() - 1
    }

    /// The segment from `rest` on in which `given` has arrived by now, `time` after its beginning, and nothing else, and which is known
    /// that far and no later than `begun`.
    pub(super) fn find(
        &self,
        rest: usize,
        given: &[(u64, Crossed)],
        (time, begun): (u64, u64),
    ) -> Option<usize> {
        let fits = |&at: &usize| {
            let segment = &self.segments[at];
            let behind = segment.arrivals.partition_point(|&(t, _)| t <= time);
            segment.begun <= begun
                && segment.end.is_none_or(|end| end.time > time)
                && segment.arrivals[..behind] == *given
        };
        self.rests[rest].segments.iter().copied().find(fits)
    }

    /// A new segment from `rest` on, begun at cycle `begun` of the run: `given` has arrived by now, `time` after its beginning.
    pub(super) fn begin(
        &mut self,
        rest: usize,
        given: Vec<(u64, Crossed)>,
        (time, begun): (u64, u64),
    ) -> usize {
        let mut live = self.snapshot(rest);
        let mut departures = Vec::new();
        live.replay(&given, time + 1, &mut departures);
        let arrivals = given;
        self.add(Segment { rest, arrivals, departures, begun, live: Some(live), end: None })
    }

    /// The counters of segment `at` at `times`, ascending, before the decisions of those cycles. The segment itself stays.
    pub(super) fn counted(&mut self, at: usize, times: &[u64]) -> Vec<Totals> {
        let mut snapshot = self.snapshot(self.segments[at].rest);
        let arrivals = &self.segments[at].arrivals;
        let mut from = 0;
        let counted = times.iter().map(|&time| {
            let before = arrivals.partition_point(|&(t, _)| t < time);
            snapshot.replay(&arrivals[from..before], time, &mut Vec::new());
            from = before;
            snapshot.counted(time)
        });
        let counted: Vec<Totals> = counted.collect();
        self.simulated += counted.last().map_or(0, |last| last.pes.instructions);
        counted
    }

    /// The machine at a rest, to go on from it.
    fn snapshot(&mut self, rest: usize) -> Snapshot {
        if self.rests[rest].snapshot.is_none() {
            let after = self.rests[rest].after.expect("the beginning is kept");
            let mut snapshot = self.snapshot(self.segments[after].rest);
            let segment = &self.segments[after];
            let End { time, counted, .. } = segment.end.expect("it led to a rest");
            snapshot.replay(&segment.arrivals, time, &mut Vec::new());
            self.simulated += counted.pes.instructions;
            snapshot.rebase(time);
            self.keep(rest, snapshot);
        }
        self.rests[rest].snapshot.clone().expect("it has been kept")
    }

    fn keep(&mut self, rest: usize, snapshot: Snapshot) {
        self.rests[rest].snapshot = Some(snapshot);
        self.kept.push(rest);
        if self.kept.len() > KEPT {
            self.rests[self.kept.remove(0)].snapshot = None;
        }
    }

    /// When segment `at`, which goes on, comes to its end unless something arrives before; none while something is to be done.
    pub(super) fn ends(&self, at: usize) -> Option<u64> {
        let live = self.segments[at].live.as_ref().expect("it goes on");
        if self.is_alone() || live.engine.next_cycle().is_some() {
            return None;
        }
        Some(live.engine.active_until() + self.forgets - live.begin)
    }

    /// Ends segment `at`.
    pub(super) fn end(&mut self, at: usize) {
        let time = self.ends(at).expect("nothing is left to do");
        let mut snapshot = self.segments[at].live.take().expect("it goes on");
        let before = snapshot.counted(time - 1);
        let counted = snapshot.counted(time);
        let cycle = counted.since(&before);
        self.simulated += counted.pes.instructions;
        snapshot.rebase(time);
        let name = snapshot.engine.rest_name();
        let known = name.and_then(|name| self.names.get(&name).copied());
        let rest = known.unwrap_or_else(|| {
            let rest = self.rests.len();
            let after = Some(at);
            self.rests.push(Rest { after, cycle, segments: Vec::new(), snapshot: None });
            name.map(|name| self.names.insert(name, rest));
            rest
        });
        debug_assert_eq!(self.rests[rest].cycle, cycle, "equal rests pass alike");
        if self.rests[rest].snapshot.is_none() {
            self.keep(rest, snapshot);
        }
        self.segments[at].end = Some(End { time, rest, counted });
    }
}

impl Snapshot {
    /// When it has something to do next, from its beginning on.
    pub(super) fn next(&self) -> Option<u64> {
        Some(self.engine.next_cycle()? - self.begin)
    }

    /// Runs all cycles before `until`, with `given`, all before that.
    fn replay(
        &mut self,
        given: &[(u64, Crossed)],
        until: u64,
        departures: &mut Vec<(u64, Crossed)>,
    ) {
        let mut given = given.chunk_by(|a, b| a.0 == b.0).peekable();
        loop {
            let arrives = given.peek().map(|batch| batch[0].0);
            match self.next() {
                Some(next) if next < until && arrives.is_none_or(|time| next <= time) => {
                    self.step(next, departures);
                }
                _ => {
                    let Some(batch) = given.next() else { return };
                    let crossed: Vec<Crossed> = batch.iter().map(|&(_, c)| c).collect();
                    self.take(batch[0].0, &crossed);
                }
            }
        }
    }

    /// Runs the cycle `time`; false where a PE traps.
    pub(super) fn step(&mut self, time: u64, departures: &mut Vec<(u64, Crossed)>) -> bool {
        let mut out = Vec::new();
        let goes_on = self.engine.step(self.begin + time, &mut out);
        departures.extend(out.into_iter().map(|crossed| (time, crossed)));
        goes_on
    }

    pub(super) fn take(&mut self, time: u64, crossed: &[Crossed]) {
        self.engine.take(self.begin + time, crossed);
    }

    /// What has been counted before `time`.
    pub(super) fn counted(&mut self, time: u64) -> Totals {
        self.engine.totals_at(self.begin + time).since(&self.base)
    }

    /// Lets the next segment begin at `time` of this one.
    fn rebase(&mut self, time: u64) {
        self.base = self.engine.totals_at(self.begin + time);
        self.begin += time;
    }
}
