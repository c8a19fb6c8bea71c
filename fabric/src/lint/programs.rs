//! What is wrong in a program, told once at the first tile that runs it.

use super::alike::on_tiles;
use super::{Findings, Kind};
use crate::geometry::PeIdx;
use pe_isa::asm::print::task_header;
use pe_isa::check::{self, Breach};
use pe_isa::flow::{Idle, idle_tasks};
use pe_isa::{Program, ProgramError, TaskId};

pub(super) fn check(found: &mut Findings<'_>) {
    let image = found.image;
    let mut users: Vec<(Option<PeIdx>, usize)> = vec![(None, 0); image.programs.len()];
    for (at, tile) in image.tiles.iter().enumerate() {
        if let Some(program) = tile.program {
            let (first, count) = &mut users[program.0 as usize];
            first.get_or_insert(PeIdx(at as u32));
            *count += 1;
        }
    }
    let limits = image.machine.program_limits();
    for (number, (program, (first, count))) in image.programs.iter().zip(users).enumerate() {
        let Some(first) = first else { continue };
        let others = on_tiles(count);
        let name = format!("program {number}");
        for error in check::check(program, &limits) {
            found.error(kind(&error), first, format!("{name}: {error}{others}"));
        }
        for message in idle(program) {
            found.warning(Kind::IdleTask, first, format!("{name}: {message}{others}"));
        }
    }
}

fn kind(error: &ProgramError) -> Kind {
    match error.breach {
        Breach::Malformed => Kind::MalformedProgram,
        Breach::SharedQueue => Kind::SharedQueue,
        Breach::UnboundQueue if error.instruction.is_none() => Kind::UnboundTask,
        Breach::UnboundQueue => Kind::UnboundQueue,
    }
}

/// Tasks that the program itself keeps from ever being launched.
fn idle(program: &Program) -> Vec<String> {
    let mut messages = Vec::new();
    if program.tasks.is_empty() && !program.instrs.is_empty() {
        messages.push("it has instructions but no task, so none is ever executed".to_string());
    }
    for (at, idle) in idle_tasks(program).into_iter().enumerate() {
        let Some(header) = task_header(program, TaskId(at as u8)) else { continue };
        let why = match idle {
            None => continue,
            Some(Idle::NeverActivated) => "nothing activates it",
            Some(Idle::NeverUnblocked) => "it starts blocked, and nothing unblocks it",
        };
        messages.push(format!("`{header}` is never launched: {why}"));
    }
    messages
}
