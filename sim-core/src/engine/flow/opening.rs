//! Who waits for whom: which receivers will take what comes as it comes.

use super::wires::NONE;
use super::{Actor, Flow};
use crate::engine::pe;

impl Flow<'_> {
    /// PE `at` waits in an operation. Those that wait for it are told.
    pub(super) fn arrive(&mut self, at: u32) {
        let op = self.domain.pes[at as usize].ops[0].as_ref().expect("a running operation");
        let (a, b, dst) = (op.a, op.b, op.dst);
        if b != pe::NONE {
            return self.list_pe(at);
        }
        if a == pe::NONE {
            let tree = self.trees.of[dst as usize];
            if !self.trees.list[tree as usize].is_open() {
                if self.trees.list[tree as usize].is_joint {
                    self.park(at);
                } else {
                    self.list_pe(at);
                }
            } else if !self.meet(at) {
                self.list_pe(at);
            }
            return;
        }
        self.open(at);
        if self.wires.has_pending(a) {
            if self.is_fed(a) {
                self.park(at);
            } else {
                self.list_pe(at);
            }
        }
    }

    /// Whether whoever sends into an input queue is in an operation that does.
    fn is_fed(&self, queue: u32) -> bool {
        let tree = self.trees.of[queue as usize];
        if tree == NONE {
            return false;
        }
        let tree = &self.trees.list[tree as usize];
        let pe = &self.domain.pes[tree.pe as usize];
        let is_main = self.processes[tree.pe as usize].is_plain && pe.running & 1 != 0;
        is_main && self.op(tree.pe).dst == tree.queue
    }

    /// Notes that PE `at` will take what comes as it comes, if that is so, and tells those that this makes ready.
    pub(super) fn open(&mut self, at: u32) {
        let mut at = at;
        loop {
            let op = self.op(at);
            let (a, dst) = (op.a, op.dst);
            if a == pe::NONE || self.processes[at as usize].is_open || op.b != pe::NONE {
                return;
            }
            if dst != pe::NONE && !self.trees.list[self.trees.of[dst as usize] as usize].is_open() {
                return;
            }
            let tree = self.trees.of[a as usize];
            if tree == NONE {
                return;
            }
            self.processes[at as usize].is_open = true;
            let tree = &mut self.trees.list[tree as usize];
            tree.open += 1;
            if !tree.is_open() {
                return;
            }
            let (source, queue) = (tree.pe, tree.queue);
            let pe = &self.domain.pes[source as usize];
            if !self.processes[source as usize].is_plain || pe.running & 1 == 0 {
                return;
            }
            let op = pe.ops[0].as_ref().expect("a running operation");
            if op.dst != queue {
                return;
            }
            if op.a == pe::NONE {
                self.running.push(source);
                return;
            }
            at = source;
        }
    }

    /// PE `at` does not take what comes any more: the operation that did, from queue `input`, is complete.
    pub(super) fn close(&mut self, at: u32, input: u32) {
        let (mut at, mut input) = (at, input);
        while self.processes[at as usize].is_open {
            self.processes[at as usize].is_open = false;
            let tree = &mut self.trees.list[self.trees.of[input as usize] as usize];
            tree.open -= 1;
            at = tree.pe;
            match &self.domain.pes[at as usize].ops.first() {
                Some(Some(op)) if op.a != pe::NONE => input = op.a,
                _ => return,
            }
        }
    }

    /// Runs PE `at`, which has one thread, up to its next operation.
    pub(super) fn run_on(&mut self, at: u32) {
        loop {
            let pe = &self.domain.pes[at as usize];
            if pe.running != 0 {
                return self.arrive(at);
            }
            if pe.task.is_none() {
                if pe.activated == 0 {
                    return;
                }
                self.launch(at);
                continue;
            }
            self.pass_marks(at);
            let free = self.domain.net.gates[at as usize].free_at;
            let now = self.domain.pes[at as usize].main_ready.max(free);
            if now >= self.horizon {
                return self.later.push((now, Actor::Pe(at)));
            }
            self.account(at, now);
            self.instruction(at, now);
            if self.fault {
                return;
            }
        }
    }
}
