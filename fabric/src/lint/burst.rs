//! Bursts that must fit: PEs that send to each other before they receive, longer vectors than the
//! queues on the way hold.
//!
//! A warning here is a proof: each PE named stands in a send of its main thread that can't end
//! before the next one receives. Nothing is said of bursts whose length stands in a register, that
//! go through switches, or that are sent behind a branch.

use super::cycle::cycles;
use super::opening::{Opening, opening};
use super::wiring::Wiring;
use super::{Findings, Kind, NAMED};
use crate::geometry::{PeIdx, Port};
use crate::image::WaferImage;
use pe_isa::Color;

/// A send that can't end before `to` receives.
#[derive(Debug, Clone, Copy)]
struct Burst {
    from: PeIdx,
    to: PeIdx,
    color: Color,
    words: u64,
    /// Words that the sender can be rid of while `to` takes none.
    fit: u64,
}

pub(super) fn check(found: &mut Findings<'_>, wirings: &[Wiring<'_>]) {
    let image = found.image;
    let openings: Vec<Option<Opening>> = image.programs.iter().map(opening).collect();
    if openings.iter().all(Option::is_none) {
        return;
    }
    let of = |idx: PeIdx| openings[image.tile(idx).program?.0 as usize].as_ref();
    let mut bursts = Vec::new();
    for wiring in wirings {
        let sends = |o: &Opening| o.sends.iter().any(|send| send.color == wiring.color);
        if !wiring.is_switched() && openings.iter().flatten().any(sends) {
            collect(wiring, &of, &mut bursts);
        }
    }
    bursts.sort_by_key(|b| (b.from, b.to, b.color));
    // The bursts of each sender, and the sender of each PE.
    let senders: Vec<&[Burst]> = bursts.chunk_by(|a, b| a.from == b.from).collect();
    let number = |pe: PeIdx| senders.binary_search_by_key(&pe, |of| of[0].from).ok();
    let next = |at: usize, into: &mut Vec<usize>| {
        into.extend(senders[at].iter().filter_map(|b| number(b.to)));
    };
    for cycle in cycles(senders.len(), 0..senders.len(), next) {
        let to = |at: usize| senders[cycle[(at + 1) % cycle.len()]][0].from;
        let link = |at: usize| senders[cycle[at]].iter().find(|b| b.to == to(at));
        let chain: Vec<&Burst> = (0..cycle.len()).filter_map(link).collect();
        if let Some(first) = chain.first() {
            found.warning(Kind::BurstTooLong, first.from, message(image, &chain));
        }
    }
}

/// The bursts of one color without switches.
fn collect<'a>(
    wiring: &Wiring<'_>,
    of: &impl Fn(PeIdx) -> Option<&'a Opening>,
    bursts: &mut Vec<Burst>,
) {
    let color = wiring.color;
    for (from, route) in wiring.tiles() {
        let send = of(from).and_then(|o| o.sends.iter().find(|s| s.color == color));
        let Some(send) = send.filter(|_| route.receives().contains(Port::Ramp)) else { continue };
        let Some(near) = wiring.near(send.queue).filter(|near| *near < send.words) else {
            continue;
        };
        for (to, behind) in wiring.arrivals(from) {
            let (words, fit) = (send.words, near + behind);
            let takes_none =
                of(to).is_some_and(|o| !o.sends.is_empty() && !o.taken.contains(&color));
            if takes_none && fit < words {
                bursts.push(Burst { from, to, color, words, fit });
            }
        }
    }
}

fn message(image: &WaferImage, chain: &[&Burst]) -> String {
    let line = |b: &&Burst| {
        let (from, to) = (image.coord(b.from), image.coord(b.to));
        format!(
            "PE {from} sends {} words to PE {to} on color {}, of which {} fit in the queues on the way",
            b.words, b.color, b.fit
        )
    };
    let mut lines: Vec<String> = chain.iter().take(NAMED).map(line).collect();
    if chain.len() > NAMED {
        lines.push(format!("{} PEs more", chain.len() - NAMED));
    }
    format!("each sends before it receives, and no send can end: {}", lines.join("; "))
}
