//! Which instructions control can reach, and which tasks can ever be launched, as far as the
//! program alone says: branches may go either way, and wavelets may come.

use crate::instr::{Instr, OnDone, Thread, Vector};
use crate::program::{Program, TaskId, TaskKind};

/// Why a task can never be launched (contract rules K-1, K-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// It is local, and nothing that can run activates it.
    NeverActivated,
    /// It is blocked at cycle 0, and nothing that can run unblocks it.
    NeverUnblocked,
}

/// Instructions that a task may execute, by index of the instruction.
pub fn reachable(program: &Program, entry: u16) -> Vec<bool> {
    let mut seen = vec![false; program.instrs.len()];
    let mut open = vec![usize::from(entry)];
    while let Some(at) = open.pop() {
        let Some(instr) = program.instrs.get(at).filter(|_| !seen[at]) else { continue };
        seen[at] = true;
        match instr {
            Instr::End => {}
            Instr::Jump { target } => open.push(usize::from(*target)),
            Instr::Branch { target, .. } => open.extend([usize::from(*target), at + 1]),
            _ => open.push(at + 1),
        }
    }
    seen
}

/// What an instruction, or the end of the operation that it starts, activates and unblocks.
fn wakes(instr: &Instr) -> (Option<TaskId>, Option<TaskId>) {
    match *instr {
        Instr::Activate(t) => (Some(t), None),
        Instr::Unblock(t) => (None, Some(t)),
        Instr::Vector(Vector { thread: Thread::Micro(_, OnDone::Activate(t)), .. }) => {
            (Some(t), None)
        }
        Instr::Vector(Vector { thread: Thread::Micro(_, OnDone::Unblock(t)), .. }) => {
            (None, Some(t))
        }
        _ => (None, None),
    }
}

/// For each task, why it can never be launched; `None` for one that may be.
pub fn idle_tasks(program: &Program) -> Vec<Option<Idle>> {
    let tasks = &program.tasks;
    let mut activated: Vec<bool> =
        tasks.iter().map(|t| t.activated || t.kind != TaskKind::Local).collect();
    let mut free: Vec<bool> = tasks.iter().map(|t| !t.blocked).collect();
    let mut followed = vec![false; tasks.len()];
    // Each round follows at least one task that was not followed before.
    while let Some(next) = (0..tasks.len()).find(|&t| activated[t] && free[t] && !followed[t]) {
        followed[next] = true;
        let runs = reachable(program, tasks[next].entry);
        for (instr, _) in program.instrs.iter().zip(runs).filter(|(_, runs)| *runs) {
            let (activates, unblocks) = wakes(instr);
            for (set, task) in [(&mut activated, activates), (&mut free, unblocks)] {
                if let Some(flag) = task.and_then(|t| set.get_mut(usize::from(t.0))) {
                    *flag = true;
                }
            }
        }
    }
    let why = |(activated, free)| match (activated, free) {
        (false, _) => Some(Idle::NeverActivated),
        (true, false) => Some(Idle::NeverUnblocked),
        (true, true) => None,
    };
    activated.into_iter().zip(free).map(why).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Task;

    fn task(entry: u16, activated: bool, blocked: bool) -> Task {
        Task { kind: TaskKind::Local, entry, priority: 0, activated, blocked }
    }

    #[test]
    fn does_a_task_that_only_an_idle_one_activates_stay_idle() {
        let program = Program {
            instrs: vec![
                Instr::Activate(TaskId(1)),
                Instr::End,
                Instr::End,
                Instr::Activate(TaskId(3)),
                Instr::End,
                Instr::End,
            ],
            tasks: vec![
                task(0, true, false),
                task(2, false, false),
                task(3, true, true),
                task(5, false, false),
            ],
            ..Program::default()
        };
        let want = [None, None, Some(Idle::NeverUnblocked), Some(Idle::NeverActivated)];
        assert_eq!(idle_tasks(&program), want);
        assert_eq!(reachable(&program, 3), [false, false, false, true, true, false]);
    }
}
