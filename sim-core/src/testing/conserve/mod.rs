//! What must hold of any run, whoever ran it: no wavelet is lost, doubled or overtaken on its way, no
//! queue holds more than it has room for, no link is faster than its rate, and every cycle of a PE is
//! accounted for once.
//!
//! The checker sees what an [`crate::Observer`] sees (steps, and the moves of wavelets from one FIFO
//! to the next) and what the run left behind. Of the contract it knows sizes, delays and wires, and
//! nothing of arbitration, switches, tasks or instructions: it takes each event as it comes and asks
//! whether the wavelet was there to be moved, whether there was room where it went, and whether
//! the output was allowed to carry it. It keeps one queue for each FIFO; what stands in these
//! at the end must be what the run says is left, and the events must come to the run's counters.

mod fifo;
mod replay;

use super::{Case, Record};
use crate::run::{Head, HostScript, StopReason};
use fabric::{PeIdx, WaferImage};
use fifo::Place;
use replay::{Replay, Tally};

/// Every law of conservation that the run breaks, in words; empty for a sound one.
pub fn violations(case: &Case, record: &Record) -> Vec<String> {
    of_run(&case.image, &case.script, record)
}

/// As [`violations`], of a run that was no [`Case`]. Of the record, marks are not looked at.
pub fn of_run(image: &WaferImage, script: &HostScript, record: &Record) -> Vec<String> {
    let mut broken = Vec::new();
    let script = with_answers(image, script, record, &mut broken);
    let mut replay = Replay::new(image, &script);
    replay.all(&record.events);
    broken.append(&mut replay.broken);
    balances(&replay, &mut broken);
    left_over(&replay, record, &mut broken);
    counters(&replay, record, &mut broken);
    cycles(image, &replay, record, &mut broken);
    received(&replay, record, &mut broken);
    broken
}

/// What the host sends, its answers included; those do not come before rule H-4 lets them.
fn with_answers(
    image: &WaferImage,
    script: &HostScript,
    record: &Record,
    broken: &mut Vec<String>,
) -> HostScript {
    let mut all = script.clone();
    all.ports.resize(image.host_in.len(), Vec::new());
    let latency = image.machine.host_latency_cycles().max(1);
    for &(received, port, wavelet) in &record.answers {
        if wavelet.cycle.0 < received.0 + latency {
            broken.push(format!("received at {received}, answered at {}", wavelet.cycle));
        }
        all.ports[port].push(wavelet);
    }
    all
}

/// What is injected is delivered or resident.
fn balances(replay: &Replay, broken: &mut Vec<String>) {
    for (&color, balance) in &replay.colors {
        let here = replay.fifos.iter().filter(|(place, _)| match place {
            Place::Router(_, _, c) | Place::Input(_, c) | Place::Output(_, c) => *c == color,
        });
        let resident: u64 = here.map(|(_, fifo)| fifo.words() as u64).sum();
        let replay::Balance { injected, copies, delivered } = *balance;
        if injected + copies != delivered + resident {
            broken.push(format!(
                "color {}: {injected} injected and {copies} copies, \
                 but {delivered} delivered and {resident} resident",
                color.0
            ));
        }
    }
}

/// What is resident is what the run says is left: nothing, or the heads of a deadlock.
fn left_over(replay: &Replay, record: &Record, broken: &mut Vec<String>) {
    let heads: &[Head] = match &record.outcome.stop {
        StopReason::Finished => &[],
        StopReason::Deadlock { heads, .. } => heads,
        _ => return,
    };
    let place = |head: &Head| match head.port {
        Some(port) => Place::Router(head.pe, port, head.color),
        None => Place::Input(head.pe, head.color),
    };
    let mut told: Vec<_> =
        heads.iter().map(|h| (place(h), h.words as usize, Some(h.control))).collect();
    told.sort_unstable();
    let all = replay.fifos.iter().filter(|(_, fifo)| fifo.words() > 0);
    let (outputs, others): (Vec<_>, Vec<_>) =
        all.partition(|(place, _)| matches!(place, Place::Output(..)));
    let left: Vec<_> = others.iter().map(|(p, fifo)| (**p, fifo.words(), fifo.control())).collect();
    if told != left {
        broken.push(format!("left in FIFOs: {left:?}, but the run says {told:?}"));
    }
    if heads.is_empty() {
        let outputs = outputs.iter().map(|(place, _)| format!("{place}: left over"));
        broken.extend(outputs);
    }
}

/// The events come to the counters (rules ).
fn counters(replay: &Replay, record: &Record, broken: &mut Vec<String>) {
    let state = &record.outcome.state;
    for (at, tally) in replay.tallies.iter().enumerate() {
        let pe = &state.pes[at];
        let Tally { busy, put, taken, sent, free: _ } = *tally;
        let counted = (pe.busy_cycles, pe.wavelets_out, pe.wavelets_in, state.links[at]);
        if (busy, put, taken, sent) != counted {
            broken.push(format!(
                "tile {at}: seen {busy} cycles held, {put} put, {taken} taken, {sent:?} sent; \
                 counted {counted:?}"
            ));
        }
        if pe.fabric_steps + pe.instructions > pe.busy_cycles {
            broken.push(format!("tile {at}: more steps than busy cycles"));
        }
    }
}

/// Every cycle of a PE is accounted for once (rule X-4), those at work as the steps were seen.
fn cycles(image: &WaferImage, replay: &Replay, record: &Record, broken: &mut Vec<String>) {
    let stop = record.outcome.cycle.0;
    for (at, tally) in replay.tallies.iter().enumerate() {
        let cycles = &record.outcome.state.pes[at].cycles;
        let has_program = image.program(PeIdx(at as u32)).is_some();
        let total = if has_program { stop } else { 0 };
        if cycles.total() != total {
            let counted = cycles.total();
            broken.push(format!("PE {at}: {counted} cycles accounted for, of {total}"));
        }
        let held = tally.busy.saturating_sub(tally.free.0.saturating_sub(stop));
        if cycles.working != held {
            let working = cycles.working;
            broken.push(format!("PE {at}: steps held {held} cycles, {working} count as working"));
        }
    }
}

/// The host received what left the wafer, when it should, in order (rules H-2, H-3).
fn received(replay: &Replay, record: &Record, broken: &mut Vec<String>) {
    let mut sent = replay.to_host.clone();
    sent.sort_unstable();
    let stop = record.outcome.cycle;
    let before = sent.partition_point(|(cycle, ..)| *cycle < stop);
    let until = sent.partition_point(|(cycle, ..)| *cycle <= stop);
    let count = record.received.len();
    let right = match record.outcome.stop {
        StopReason::Host => before < count && count <= until,
        _ => count == until,
    };
    if !right || sent.get(..count) != Some(&record.received[..]) {
        broken.push(format!("sent to the host: {sent:?}, received: {:?}", record.received));
    }
}
