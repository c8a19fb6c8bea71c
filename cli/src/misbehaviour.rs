//! What a user is told when the simulated program misbehaved: who, where, on what, since when.

use crate::figures::grouped;
use fabric::{PeIdx, WaferImage};
use pe_isa::asm::print;
use sim_core::{Head, Outcome, StopReason, Wait, WaitFor, deadlock};
use std::fmt::Write as _;

/// Waits and wavelets that are listed; the rest are counted.
const LISTED: usize = 16;

/// Says why a run stopped before its answers were complete.
pub(crate) fn describe(
    image: &WaferImage,
    outcome: &Outcome,
    tokens: usize,
    wanted: usize,
) -> String {
    let when =
        format!("at cycle {}, after {tokens} of {wanted} new tokens", grouped(outcome.cycle.0));
    match &outcome.stop {
        StopReason::Finished | StopReason::Host => {
            format!("the simulated program ended {when}")
        }
        StopReason::CycleLimit => {
            format!("the simulation reached its cycle limit {when}; --cycle-limit N allows more")
        }
        StopReason::Trap { pe, instruction, fault } => format!(
            "the simulated program trapped {when}:\n  PE {}, instruction {instruction} ({}): {fault}",
            place(image, *pe),
            code(image, *pe, *instruction)
        ),
        StopReason::Deadlock { waits, heads } => {
            let mut text = format!("the simulated program deadlocked {when}:");
            let explanation = deadlock::explain(image, waits, heads).to_string();
            for line in explanation.lines() {
                let _ = write!(text, "\n  {line}");
            }
            text.push_str("\nall that is left:");
            list(&mut text, waits, "thread", |wait| waiting(image, wait));
            list(&mut text, heads, "wavelet", |head| left_over(image, head));
            text
        }
    }
}

fn list<T>(text: &mut String, items: &[T], what: &str, line: impl Fn(&T) -> String) {
    for item in items.iter().take(LISTED) {
        let _ = write!(text, "\n  {}", line(item));
    }
    if items.len() > LISTED {
        let _ = write!(text, "\n  and {} more {what}s", items.len() - LISTED);
    }
}

fn waiting(image: &WaferImage, wait: &Wait) -> String {
    let thread = match wait.microthread {
        Some(number) => format!("microthread {number}"),
        None => "main thread".to_string(),
    };
    let what = match wait.waits_for {
        WaitFor::Input(color) => format!("for a wavelet of color {color}"),
        WaitFor::Output(color) => format!("for room to send on color {color}"),
        WaitFor::Microthread(number) => format!("for microthread {number} to end"),
    };
    format!(
        "PE {}, {thread}, instruction {} ({}) waits {what} since cycle {}",
        place(image, wait.pe),
        wait.instruction,
        code(image, wait.pe, wait.instruction),
        grouped(wait.since.0)
    )
}

fn left_over(image: &WaferImage, head: &Head) -> String {
    let queue = match head.port {
        Some(port) => format!("at router port {port}"),
        None => "in an input queue of the PE".to_string(),
    };
    let (tile, color) = (place(image, head.pe), head.color);
    format!("tile {tile}: a wavelet of color {color} is left {queue}")
}

/// Coordinates, with the stage that they lie in.
fn place(image: &WaferImage, pe: PeIdx) -> String {
    let at = image.coord(pe);
    let stage = image.stages.iter().find(|stage| {
        let columns = stage.origin.x..stage.origin.x + stage.width;
        let rows = stage.origin.y..stage.origin.y + stage.height;
        columns.contains(&at.x) && rows.contains(&at.y)
    });
    stage.map_or(at.to_string(), |stage| format!("{at} of stage `{}`", stage.name))
}

fn code(image: &WaferImage, pe: PeIdx, instruction: u16) -> String {
    let text = image.program(pe).and_then(|program| print::instruction(program, instruction));
    text.map_or("?".to_string(), |text| format!("`{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric::{PeCoord, Port, StageInfo};
    use pe_isa::{Color, Cycle};
    use sim_core::FinalState;

    #[test]
    fn a_deadlock_says_who_waits_for_what_since_when() {
        let machine = fabric::presets::preset(fabric::presets::DEFAULT).unwrap();
        let mut image = WaferImage::empty(machine);
        image.stages.push(StageInfo {
            name: "head".into(),
            origin: PeCoord::new(0, 1),
            width: 2,
            height: 2,
        });
        let wait = Wait {
            pe: PeIdx(65),
            microthread: Some(2),
            instruction: 12,
            waits_for: WaitFor::Input(Color(5)),
            since: Cycle(77_000),
        };
        let head = Head {
            pe: PeIdx(2),
            port: Some(Port::West),
            color: Color(5),
            words: 2,
            control: false,
            selected: 0,
        };
        let outcome = Outcome {
            stop: StopReason::Deadlock { waits: vec![wait; 20], heads: vec![head] },
            cycle: Cycle(80_000),
            state: FinalState::default(),
        };
        let text = describe(&image, &outcome, 3, 8);
        for part in [
            "deadlocked at cycle 80,000, after 3 of 8 new tokens",
            "PE (1,1) of stage `head`, microthread 2, instruction 12 (?)",
            "waits for a wavelet of color c5 since cycle 77,000",
            "\nall that is left:",
            "and 4 more threads",
            "tile (2,0): a wavelet of color c5 is left at router port W",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
