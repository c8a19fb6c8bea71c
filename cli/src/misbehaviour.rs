//! What a user is told when the simulated program misbehaved: who, where, on what, since when.

use crate::figures::grouped;
use fabric::{PeIdx, ProgramId, WaferImage};
use pe_isa::asm::print;
use sim_core::{Head, Outcome, StopReason, Wait, WaitFor, deadlock};
use std::fmt::Write as _;

/// Waits and wavelets that are listed; the rest are counted.
const LISTED: usize = 16;

/// A run that stopped too early, and what helps people to see why.
pub(crate) struct Misbehaviour<'a> {
    pub(crate) image: &'a WaferImage,
    pub(crate) outcome: &'a Outcome,
    /// How far it had come, if that can be told.
    pub(crate) so_far: Option<&'a str>,
    /// The option that sets the cycle limit.
    pub(crate) limit_option: &'a str,
    /// The line of the source at which an instruction of a program stands, if there is a source.
    pub(crate) line: &'a dyn Fn(ProgramId, u16) -> Option<usize>,
}

impl Misbehaviour<'_> {
    /// Says why the run stopped.
    pub(crate) fn describe(&self) -> String {
        let mut when = format!("at cycle {}", grouped(self.outcome.cycle.0));
        if let Some(so_far) = self.so_far {
            let _ = write!(when, ", {so_far}");
        }
        match &self.outcome.stop {
            StopReason::Finished | StopReason::Host => {
                format!("the simulated program ended {when}")
            }
            StopReason::CycleLimit => {
                format!(
                    "the simulation reached its cycle limit {when}; {} N allows more",
                    self.limit_option
                )
            }
            StopReason::Trap { pe, instruction, fault } => format!(
                "the simulated program trapped {when}:\n  PE {}, instruction {instruction} ({}): {fault}",
                self.place(*pe),
                self.code(*pe, *instruction)
            ),
            StopReason::Deadlock { waits, heads } => {
                let mut text = format!("the simulated program deadlocked {when}:");
                let explanation = deadlock::explain(self.image, waits, heads).to_string();
                for line in explanation.lines() {
                    let _ = write!(text, "\n  {line}");
                }
                text.push_str("\nall that is left:");
                list(&mut text, waits, "thread", |wait| self.waiting(wait));
                list(&mut text, heads, "wavelet", |head| self.left_over(head));
                text
            }
        }
    }

    fn waiting(&self, wait: &Wait) -> String {
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
            self.place(wait.pe),
            wait.instruction,
            self.code(wait.pe, wait.instruction),
            grouped(wait.since.0)
        )
    }

    fn left_over(&self, head: &Head) -> String {
        let queue = match head.port {
            Some(port) => format!("at router port {port}"),
            None => "in an input queue of the PE".to_string(),
        };
        let (tile, color) = (self.place(head.pe), head.color);
        format!("tile {tile}: a wavelet of color {color} is left {queue}")
    }

    /// Coordinates, with the stage that they lie in.
    fn place(&self, pe: PeIdx) -> String {
        let at = self.image.coord(pe);
        let stage = self.image.stages.iter().find(|stage| {
            let columns = stage.origin.x..stage.origin.x.saturating_add(stage.width);
            let rows = stage.origin.y..stage.origin.y.saturating_add(stage.height);
            columns.contains(&at.x) && rows.contains(&at.y)
        });
        stage.map_or(at.to_string(), |stage| format!("{at} of stage `{}`", stage.name))
    }

    /// The instruction in assembly, with its line.
    fn code(&self, pe: PeIdx, instruction: u16) -> String {
        let printed = self.image.program(pe).and_then(|p| print::instruction(p, instruction));
        let printed = printed.unwrap_or_else(|| "?".to_string());
        let program = self.image.tile(pe).program;
        match program.and_then(|program| (self.line)(program, instruction)) {
            Some(line) => format!("line {line}: {printed}"),
            None => printed,
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
        let so_far = Some("after 3 of 8 new tokens");
        let (image, outcome, line) = (&image, &outcome, &|_, _| None);
        let limit_option = "--limit";
        let text = Misbehaviour { image, outcome, so_far, limit_option, line }.describe();
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
