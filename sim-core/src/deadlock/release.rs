//! What would release a chain of waits, in words.

use super::Cause;
use super::ending::End;
use super::scene::{Node, Scene};
use super::wording::Link;
use crate::run::{Wait, WaitFor};
use fabric::{PeIdx, Port};
use pe_isa::asm::print;
use pe_isa::{Color, TaskId};

/// Ways to release a circle that are told.
const RELEASES: usize = 3;

/// What would let the chain go on.
pub(super) fn release(scene: &Scene<'_>, cause: &Cause, links: &[Link<'_>]) -> Vec<String> {
    if let Some(end) = &cause.end {
        return vec![ended(scene, end)];
    }
    let waits: Vec<(&Wait, &Wait)> = links
        .iter()
        .filter_map(|link| match (link.first, link.then) {
            (Node::Thread(from), Some(to)) => Some((&scene.waits[from], &scene.waits[to])),
            _ => None,
        })
        .collect();
    if waits.is_empty() {
        return vec!["a switch or a route must end this way, so that some wavelet gets off".into()];
    }
    waits.iter().take(RELEASES).map(|(from, to)| instead(scene, from, to)).collect()
}

/// What `to` would have to do for `from`, before what it waits for itself.
fn instead(scene: &Scene<'_>, from: &Wait, to: &Wait) -> String {
    let place = scene.image.coord(to.pe);
    let does = match from.waits_for {
        WaitFor::Input(color) if from.pe == to.pe => format!("leave color {color} to its task"),
        WaitFor::Input(color) => format!("send on color {color}"),
        WaitFor::Output(color) => format!("receive on color {color}"),
        WaitFor::Microthread(number) => format!("end the operation of microthread {number}"),
    };
    let before = match to.waits_for {
        WaitFor::Input(color) => format!("receives on color {color}"),
        WaitFor::Output(color) => format!("has sent all on color {color}"),
        WaitFor::Microthread(number) => format!("starts another operation in microthread {number}"),
    };
    format!("PE {place} must {does} before it {before}, or in another thread")
}

fn ended(scene: &Scene<'_>, end: &End) -> String {
    let place = |tile: PeIdx| scene.image.coord(tile);
    match *end {
        End::SenderEnded { pe, color } => {
            format!(
                "PE {} must send more on color {color}, or less be received of it: the PE has ended",
                place(pe)
            )
        }
        End::ReceiverEnded { pe, color } => {
            format!(
                "PE {} must receive more on color {color}, or less be sent on it: the PE has ended",
                place(pe)
            )
        }
        End::NeverReceives { pe, color } => format!(
            "PE {} must receive on color {color}; no instruction and no task of its program does",
            place(pe)
        ),
        End::HostSilent { tile, port, color } => format!(
            "the host must send more on color {color} into side {port} of tile {}; it has sent all",
            place(tile)
        ),
        End::NoSource { tile, color } => {
            format!("somebody must send on color {color} to tile {}; nobody does", place(tile))
        }
        End::Switch { tile, port, color, selected } => switch(scene, tile, port, color, selected),
        End::TaskBlocked { pe, task, color } => {
            let TaskId(number) = task;
            let header = scene.program(pe).and_then(|p| print::task_header(p, task));
            let header = header.unwrap_or_else(|| format!("task t{number}"));
            format!("PE {} must unblock `{header}`, which takes color {color}", place(pe))
        }
        End::Unknown { tile, .. } => {
            format!(
                "no way is known; the last wait that can be followed is at tile {}",
                place(tile)
            )
        }
    }
}

fn switch(scene: &Scene<'_>, tile: PeIdx, port: Port, color: Color, selected: u8) -> String {
    let positions = scene.route(tile, color).map_or(&[][..], |route| &route.positions);
    let shown = |at: usize| {
        positions.get(at).map_or("?".to_string(), |p| format!("{at} ({} -> {})", p.rx, p.tx))
    };
    let wanted = positions.iter().position(|p| p.rx == port);
    format!(
        "a control wavelet must turn the switch of color {color} at router {} from position {} to {}, \
         which takes from {port}; no source that is left sends one",
        scene.image.coord(tile),
        shown(usize::from(selected)),
        wanted.map_or("another".to_string(), shown)
    )
}
