//! A trace file that is being written: tracks, slices, instants, counters, and a bound on its size.

use super::proto::{self, Kind, TrackEvent};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that are kept for what is said at the end, and that no event with its name and track exceeds.
const MARGIN: usize = 2_048;

/// A track: its number, and that of the one it stands under; 0 for none.
pub(super) type Track = (u64, u64);

#[derive(Debug)]
pub(super) struct TraceFile {
    bytes: Vec<u8>,
    limit: usize,
    names: BTreeMap<String, u64>,
    described: BTreeSet<u64>,
    flows: u64,
    latest: u64,
    /// The cycle at which the bound was reached.
    pub(super) full: Option<u64>,
    /// Slices, instants and counter values written.
    pub(super) events: u64,
}

impl TraceFile {
    pub(super) fn new(limit: usize) -> TraceFile {
        let mut bytes = Vec::new();
        proto::begin(&mut bytes);
        TraceFile {
            bytes,
            limit,
            names: BTreeMap::new(),
            described: BTreeSet::new(),
            flows: 0,
            latest: 0,
            full: None,
            events: 0,
        }
    }

    /// Describes a track, the first time.
    pub(super) fn track(
        &mut self,
        track: Track,
        name: impl FnOnce() -> String,
        unit: Option<&str>,
    ) {
        let at = self.latest;
        if !self.described.contains(&track.0) && self.has_room(at) {
            self.described.insert(track.0);
            proto::describe(&mut self.bytes, track, &name(), unit);
        }
    }

    /// Something that lasted from `from` to before `to`.
    pub(super) fn slice(&mut self, track: u64, name: &str, (from, to): (u64, u64)) {
        if from >= to || !self.has_room(from) {
            return;
        }
        let name = self.name(name);
        self.event(TrackEvent { name, ..event(track, from, Kind::Begin) });
        self.event(event(track, to, Kind::End));
        self.events += 1;
    }

    /// A flow between two moments.
    pub(super) fn flow(&mut self, from: (u64, u64, &str), to: (u64, u64, &str)) {
        if !self.has_room(to.1) {
            return;
        }
        self.flows += 1;
        let flow = Some(self.flows);
        let name = self.name(from.2);
        self.event(TrackEvent { name, flow, ..event(from.0, from.1, Kind::Instant) });
        let name = self.name(to.2);
        self.event(TrackEvent { name, end_of_flow: flow, ..event(to.0, to.1, Kind::Instant) });
        self.events += 2;
    }

    pub(super) fn counter(&mut self, track: u64, at: u64, value: i64) {
        if self.has_room(at) {
            self.event(TrackEvent { value: Some(value), ..event(track, at, Kind::Counter) });
            self.events += 1;
        }
    }

    /// The file; where the bound was reached, it says so.
    pub(super) fn end(mut self) -> Vec<u8> {
        if let Some(full) = self.full {
            let name = format!("recording stopped: the file has {} bytes", self.limit);
            let track = (u64::MAX >> 1, 0);
            proto::describe(&mut self.bytes, track, "recording", None);
            let name = self.name(&name);
            self.event(TrackEvent { name, ..event(track.0, full, Kind::Instant) });
        }
        self.bytes
    }

    fn has_room(&mut self, at: u64) -> bool {
        self.latest = at;
        if self.full.is_none() && self.bytes.len() + MARGIN > self.limit {
            self.full = Some(at);
        }
        self.full.is_none()
    }

    fn name(&mut self, name: &str) -> u64 {
        if let Some(iid) = self.names.get(name) {
            return *iid;
        }
        let iid = self.names.len() as u64 + 1;
        self.names.insert(name.to_string(), iid);
        proto::intern(&mut self.bytes, iid, name);
        iid
    }

    fn event(&mut self, event: TrackEvent) {
        proto::event(&mut self.bytes, event);
    }
}

fn event(track: u64, at: u64, kind: Kind) -> TrackEvent {
    TrackEvent { at, track, kind, name: 0, value: None, flow: None, end_of_flow: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_a_file_end_at_its_bound_and_say_so() {
        let mut file = TraceFile::new(10_000);
        for at in 0..10_000 {
            file.track((1 + at % 50, 0), || format!("track {at}"), None);
            file.slice(1 + at % 50, "step", (at, at + 1));
        }
        let (full, events) = (file.full, file.events);
        let bytes = file.end();
        assert!((7_000..=10_000).contains(&bytes.len()), "{}", bytes.len());
        assert_eq!(full, Some(events), "one slice a cycle");
        let told = b"recording stopped";
        assert!(bytes.windows(told.len()).any(|window| window == told));
        let mut file = TraceFile::new(4_000);
        (0..1_000).for_each(|at| file.track((at + 1, 0), || format!("track {at}"), None));
        assert!(file.full.is_some() && file.end().len() <= 4_000, "tracks count, too");
    }
}
