//! The few messages of Perfetto's trace format that a timeline needs, written by hand
//! (`protos/perfetto/trace/trace_packet.proto`, `track_event/*.proto` of Perfetto): tag, then varint, fixed 64 or bytes.

/// Fields of `TracePacket`.
const TIMESTAMP: u32 = 8;
const SEQUENCE: u32 = 10;
const TRACK_EVENT: u32 = 11;
const INTERNED: u32 = 12;
const SEQUENCE_FLAGS: u32 = 13;
const TRACK_DESCRIPTOR: u32 = 60;

/// Of `TrackEvent`.
const TYPE: u32 = 9;
const NAME_IID: u32 = 10;
const TRACK: u32 = 11;
const COUNTER_VALUE: u32 = 30;
const FLOW: u32 = 47;
const END_OF_FLOW: u32 = 48;

/// The one sequence of packets that there is.
const ONLY_SEQUENCE: u64 = 1;
/// Interned names begin here, or are needed.
const CLEARED: u64 = 1;
const NEEDS_STATE: u64 = 2;

/// Types of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Begin = 1,
    End = 2,
    Instant = 3,
    Counter = 4,
}

/// An event of a track.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrackEvent {
    pub(super) at: u64,
    pub(super) track: u64,
    pub(super) kind: Kind,
    /// An interned name, unless 0.
    pub(super) name: u64,
    pub(super) value: Option<i64>,
    /// A flow that begins, or goes on; and one that ends here.
    pub(super) flow: Option<u64>,
    pub(super) end_of_flow: Option<u64>,
}

/// A message that is being written.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field) << 3);
        self.varint(value);
    }

    fn fixed(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field) << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }
}

/// Appends a packet to a trace.
fn packet(trace: &mut Vec<u8>, fill: impl FnOnce(&mut Message)) {
    let mut message = Message::default();
    fill(&mut message);
    message.number(SEQUENCE, ONLY_SEQUENCE);
    let mut whole = Message(std::mem::take(trace));
    whole.bytes(1, &message.0);
    *trace = whole.0;
}

/// Says that names begin.
pub(super) fn begin(trace: &mut Vec<u8>) {
    packet(trace, |packet| packet.number(SEQUENCE_FLAGS, CLEARED));
}

/// Describes a track; with `unit` it is one of a counter.
pub(super) fn describe(
    trace: &mut Vec<u8>,
    (track, parent): (u64, u64),
    name: &str,
    unit: Option<&str>,
) {
    let mut descriptor = Message::default();
    descriptor.number(1, track);
    descriptor.bytes(2, name.as_bytes());
    if parent != 0 {
        descriptor.number(5, parent);
    }
    if let Some(unit) = unit {
        let mut counter = Message::default();
        counter.bytes(6, unit.as_bytes());
        descriptor.bytes(8, &counter.0);
    }
    packet(trace, |packet| packet.bytes(TRACK_DESCRIPTOR, &descriptor.0));
}

/// Gives a name a number.
pub(super) fn intern(trace: &mut Vec<u8>, iid: u64, name: &str) {
    let mut event_name = Message::default();
    event_name.number(1, iid);
    event_name.bytes(2, name.as_bytes());
    let mut interned = Message::default();
    interned.bytes(2, &event_name.0);
    packet(trace, |packet| {
        packet.bytes(INTERNED, &interned.0);
        packet.number(SEQUENCE_FLAGS, NEEDS_STATE);
    });
}

/// Writes an event. Packets need not be in the order of time.
pub(super) fn event(trace: &mut Vec<u8>, event: TrackEvent) {
    let mut message = Message::default();
    message.number(TYPE, event.kind as u64);
    message.number(TRACK, event.track);
    if event.name != 0 {
        message.number(NAME_IID, event.name);
    }
    if let Some(value) = event.value {
        message.number(COUNTER_VALUE, value as u64);
    }
    if let Some(flow) = event.flow {
        message.fixed(FLOW, flow);
    }
    if let Some(flow) = event.end_of_flow {
        message.fixed(END_OF_FLOW, flow);
    }
    packet(trace, |packet| {
        packet.number(TIMESTAMP, event.at);
        packet.bytes(TRACK_EVENT, &message.0);
        packet.number(SEQUENCE_FLAGS, NEEDS_STATE);
    });
}
