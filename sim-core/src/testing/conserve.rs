//! What must hold of the counters of any run, whoever ran it.

use super::{Case, Record};
use crate::run::StopReason;
use fabric::{PeIdx, Port};

/// Every law of conservation that the run breaks; empty for a sound one.
pub fn violations(case: &Case, record: &Record) -> Vec<String> {
    let mut broken = Vec::new();
    let state = &record.outcome.state;
    let machine = &case.image.machine;
    let at_rest = record.outcome.stop == StopReason::Finished;
    let mut left_wafer = 0;
    for (at, links) in state.links.iter().enumerate() {
        let pe = &state.pes[at];
        let down = links[Port::Ramp.index()];
        // What a PE takes has come down its ramp; a run that finished leaves nothing behind.
        if pe.wavelets_in > down || (at_rest && pe.wavelets_in != down) {
            broken.push(format!("tile {at}: {down} down the ramp, {} taken", pe.wavelets_in));
        }
        let here = case.image.coord(PeIdx(at as u32));
        for port in Port::MESH {
            let edge = here.neighbour(port, machine.width, machine.height);
            left_wafer += if edge.is_none() { links[port.index()] } else { 0 };
        }
        if pe.fabric_steps + pe.instructions > pe.busy_cycles {
            broken.push(format!("tile {at}: more steps than busy cycles"));
        }
    }
    let received = record.received.len() as u64;
    if received > left_wafer || (at_rest && received != left_wafer) {
        broken.push(format!("{left_wafer} left the wafer, the host received {received}"));
    }
    if !record.received.is_sorted_by_key(|&(cycle, port, _)| (cycle, port)) {
        broken.push("the host received out of order".to_string());
    }
    broken
}
