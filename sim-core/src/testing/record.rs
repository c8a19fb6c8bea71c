//! All that can be seen of a run, written down, and how two runs differ.

use super::{Case, Runner};
use crate::observe::{Event, Observer};
use crate::run::{
    Answers, FinalState, Host, HostScript, HostWavelet, Outcome, StopReason, Verdict,
};
use fabric::{PeIdx, WaferImage};
use pe_isa::{Cycle, Cycles, REGISTERS};

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
    /// What it sent in answer: when it received what it answered, port, wavelet.
    pub answers: Vec<(Cycle, usize, HostWavelet)>,
    /// The marks, in the order in which they were passed.
    pub marks: Vec<Mark>,
    /// The events, sorted.
    pub events: Vec<Event>,
}

/// Takes everything; ends the run at the `stop_after`-th wavelet; answers each with the next of its replies.
struct Listener<'a> {
    received: usize,
    stop_after: Option<usize>,
    replies: std::slice::Iter<'a, Vec<(usize, HostWavelet)>>,
}

impl Host for Listener<'_> {
    fn receive(&mut self, cycle: Cycle, _: usize, _: u32, answers: &mut Answers) -> Verdict {
        self.received += 1;
        for &(port, wavelet) in self.replies.next().into_iter().flatten() {
            let cycle = cycle + Cycles(wavelet.cycle.0);
            answers.send(port, HostWavelet { cycle, ..wavelet });
        }
        if self.stop_after == Some(self.received) { Verdict::Stop } else { Verdict::Continue }
    }
}

/// Passes on what the host receives, and writes down that and its answers.
struct Tap<'a> {
    host: &'a mut dyn Host,
    received: Vec<(Cycle, usize, u32)>,
    answers: Vec<(Cycle, usize, HostWavelet)>,
}

impl Host for Tap<'_> {
    fn receive(
        &mut self,
        cycle: Cycle,
        port: usize,
        payload: u32,
        answers: &mut Answers,
    ) -> Verdict {
        self.received.push((cycle, port, payload));
        let verdict = self.host.receive(cycle, port, payload, answers);
        let sent = answers.sent().iter().filter(|_| verdict == Verdict::Continue);
        self.answers.extend(sent.map(|&(port, wavelet)| (cycle, port, wavelet)));
        verdict
    }
}

/// Runs an image for a host, and writes down all that can be seen but marks.
pub fn watched(
    runner: Runner,
    image: &WaferImage,
    script: &HostScript,
    host: &mut dyn Host,
    limit: Cycle,
) -> Record {
    let mut tap = Tap { host, received: Vec::new(), answers: Vec::new() };
    let mut events = Events::default();
    let outcome = runner(image, script, &mut tap, limit, &mut events);
    let events = events.until_the_end(&outcome);
    let Tap { received, answers, .. } = tap;
    Record { outcome, received, answers, marks: Vec::new(), events }
}

/// Writes down events.
#[derive(Debug, Default)]
struct Events(Vec<Event>);

impl Events {
    /// Those of a run that ended so, sorted; without those that were told and never came to be.
    fn until_the_end(self, outcome: &Outcome) -> Vec<Event> {
        // P-8: all decisions of a trap's cycle are taken.
        let trapped = matches!(outcome.stop, StopReason::Trap { .. });
        let end = outcome.cycle.0 + u64::from(trapped);
        let Events(mut events) = self;
        events.retain(|event| event.cycle.0 < end);
        events.sort_unstable();
        events
    }
}

impl Observer for Events {
    fn sees_events(&self) -> bool {
        true
    }

    fn event(&mut self, event: &Event) {
        self.0.push(*event);
    }
}

/// Writes down marks if it looks, and events if it sees them.
#[derive(Debug, Default)]
struct Recorder {
    looks: bool,
    sees_events: bool,
    marks: Vec<Mark>,
    events: Events,
}

impl Observer for Recorder {
    fn active(&self) -> bool {
        self.looks
    }

    fn sees_events(&self) -> bool {
        self.sees_events
    }

    fn event(&mut self, event: &Event) {
        self.events.event(event);
    }

    fn mark(&mut self, cycle: Cycle, pe: PeIdx, mark: u16, sram: &[u32]) {
        let bytes: Vec<u8> = sram.iter().flat_map(|w| w.to_le_bytes()).collect();
        let hash = blake3::hash(&bytes);
        let mut low = [0; 8];
        low.copy_from_slice(&hash.as_bytes()[..8]);
        self.marks.push(Mark {
            cycle,
            pe,
            ordinal: self.marks.iter().filter(|m| m.pe == pe).count(),
            mark,
            sram: u64::from_le_bytes(low),
        });
    }
}

impl Case {
    /// Runs the case and writes down all that can be seen.
    ///
    /// # Panics
    /// When it goes another way where nobody sees its events, or nobody looks at all.
    pub fn run(&self, runner: Runner) -> Record {
        let seen = self.record(runner, true, true);
        let marks = Record { events: seen.events.clone(), ..self.record(runner, true, false) };
        let blind = Record {
            events: seen.events.clone(),
            marks: seen.marks.clone(),
            ..self.record(runner, false, false)
        };
        for (who, record) in [("only marks are", &marks), ("nothing is", &blind)] {
            if let Some(difference) = seen.difference(record) {
                panic!("all is seen, {who} seen: {difference}");
            }
        }
        seen
    }

    fn record(&self, runner: Runner, looks: bool, sees_events: bool) -> Record {
        let replies = self.replies.iter();
        let mut host = Listener { received: 0, stop_after: self.stop_after, replies };
        let mut tap = Tap { host: &mut host, received: Vec::new(), answers: Vec::new() };
        let mut recorder = Recorder { looks, sees_events, ..Recorder::default() };
        let outcome = runner(&self.image, &self.script, &mut tap, self.limit, &mut recorder);
        let mut marks = std::mem::take(&mut recorder.marks);
        marks.sort();
        let events = recorder.events.until_the_end(&outcome);
        let Tap { received, answers, .. } = tap;
        Record { outcome, received, answers, marks, events }
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
        let mut events = self.events.iter().zip(&other.events);
        if let Some((x, y)) = events.find(|(x, y)| x != y) {
            return Some(format!("events: {x:?} and {y:?}"));
        }
        if self.events.len() != other.events.len() {
            let (x, y) = (self.events.len(), other.events.len());
            return Some(format!("events: {x} and {y} of them"));
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
            if s.void.get(at) != o.void.get(at) {
                let (x, y) = (s.void.get(at), o.void.get(at));
                return Some(format!("tile {at}: void registers {x:x?} and {y:x?}"));
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

    /// How a run without data differs from this one, the same with data, but for what it does not know; `None` where it does
    /// not. What searches find (rule D-4) is in the registers `found`, which are left out, as is what the host received.
    pub fn difference_without_data(&self, void: &Record, found: u32) -> Option<String> {
        let (a, b) = (&self.outcome, &void.outcome);
        let known = Record {
            outcome: Outcome {
                state: FinalState {
                    sram: b.state.sram.clone(),
                    regs: self.known_registers(void, found),
                    void: b.state.void.clone(),
                    ..a.state.clone()
                },
                ..a.clone()
            },
            received: void.received.clone(),
            marks: zip(&self.marks, &void.marks)
                .map(|(m, v)| Mark { sram: v.sram, ..*m })
                .collect(),
            events: zip(&self.events, &void.events).map(|(e, v)| known_event(e, v)).collect(),
            answers: self.answers.clone(),
        };
        let places = |record: &Record| {
            record.received.iter().map(|&(t, port, _)| (t, port)).collect::<Vec<_>>()
        };
        if places(self) != places(void) {
            return Some(format!("host: {:?} and {:?}", self.received, void.received));
        }
        known.difference(void)
    }

    /// The registers, those replaced that are void in the other record or among `found`.
    fn known_registers(&self, void: &Record, found: u32) -> Vec<[u32; REGISTERS]> {
        let (a, b) = (&self.outcome.state, &void.outcome.state);
        let mut regs = a.regs.clone();
        for (at, regs) in regs.iter_mut().enumerate() {
            for (r, bits) in regs.iter_mut().enumerate() {
                if (b.void[at] | found) >> r & 1 != 0 {
                    *bits = b.regs[at][r];
                }
            }
        }
        regs
    }
}

/// Pairs, as many as there are of the first.
fn zip<'a, T>(one: &'a [T], other: &'a [T]) -> impl Iterator<Item = (&'a T, &'a T)> {
    one.iter().enumerate().map(|(at, x)| (x, other.get(at).unwrap_or(x)))
}

/// An event with data, its payload replaced where it is void in the other one.
fn known_event(event: &Event, void: &Event) -> Event {
    let mut event = *event;
    if let (Some(wavelet), Some(other)) = (event.what.wavelet_mut(), void.what.wavelet())
        && other.void
    {
        (wavelet.payload, wavelet.void) = (other.payload, true);
    }
    event
}
