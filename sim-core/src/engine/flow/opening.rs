//! Who waits for whom: which receivers will take what comes as it comes.

use super::wires::NONE;
use super::{Flow, Work};
use crate::engine::pe;

impl Flow<'_> {
    /// PE `at` waits in an operation. Those that wait for it are told.
    pub(super) fn arrive(&mut self, at: u32) {
        let op = self.domain.pes[at as usize].ops[0].as_ref().expect("a running operation");
        let (a, b, dst) = (op.a, op.b, op.dst);
        if b != pe::NONE {
            return self.queue_pe(at);
        }
        if a == pe::NONE {
            let tree = self.nets.tree_of[dst as usize];
            if !self.nets.trees[tree as usize].is_open() {
                if self.nets.trees[tree as usize].is_free {
                    if !std::mem::replace(&mut self.is_parked[at as usize], true) {
                        self.parked.push_back(at);
                    }
                } else {
                    self.queue_pe(at);
                }
            } else if !self.meet(at) {
                self.queue_pe(at);
            }
            return;
        }
        if self.wires.has_pending(a) {
            return self.queue_pe(at);
        }
        self.open(at);
    }

    /// Notes that PE `at` will take what comes as it comes, if that is so, and tells those that this makes ready.
    pub(super) fn open(&mut self, at: u32) {
        let mut at = at;
        loop {
            let op = self.domain.pes[at as usize].ops[0].as_ref().expect("a running operation");
            let (a, dst) = (op.a, op.dst);
            if self.is_open[at as usize] || self.wires.has_pending(a) || op.b != pe::NONE {
                return;
            }
            if dst != pe::NONE && !self.nets.trees[self.nets.tree_of[dst as usize] as usize].is_open() {
                return;
            }
            let tree = self.nets.tree_of[a as usize];
            if tree == NONE {
                return;
            }
            self.is_open[at as usize] = true;
            let tree = &mut self.nets.trees[tree as usize];
            tree.open += 1;
            if !tree.is_open() {
                return;
            }
            let (source, queue) = (tree.pe, tree.queue);
            let pe = &self.domain.pes[source as usize];
            if !self.is_plain[source as usize] || pe.running & 1 == 0 {
                return;
            }
            let op = pe.ops[0].as_ref().expect("a running operation");
            if op.dst != queue {
                return;
            }
            if op.a == pe::NONE {
                self.fast.push(source);
                return;
            }
            at = source;
        }
    }

    /// PE `at` does not take what comes any more: the operation that did, from queue `input`, is complete.
    pub(super) fn close(&mut self, at: u32, input: u32) {
        let (mut at, mut input) = (at, input);
        while self.is_open[at as usize] {
            self.is_open[at as usize] = false;
            let tree = &mut self.nets.trees[self.nets.tree_of[input as usize] as usize];
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
        let layout = self.layout;
        loop {
            let domain = &mut *self.domain;
            let pe = &mut domain.pes[at as usize];
            let code = &layout.codes[pe.code as usize];
            if pe.running != 0 {
                return self.arrive(at);
            }
            if pe.task.is_none() {
                if pe.activated == 0 {
                    return;
                }
                domain.net.now = 0;
                pe.launch(&mut domain.net, &mut domain.memory, code, &layout.constants);
                continue;
            }
            while code.is_mark(pe.pc) {
                pe.pc += 1;
            }
            let now = pe.main_ready.max(domain.net.gates[at as usize].free_at);
            if now >= self.horizon {
                return self.later.push((now, Work::Pe(at)));
            }
            self.account(at, now);
            let domain = &mut *self.domain;
            let pe = &mut domain.pes[at as usize];
            let constants = &layout.constants;
            let Ok(cost) = pe.instruction(now, &mut domain.net, &mut domain.memory, code, constants)
            else {
                self.fault = true;
                return;
            };
            pe.hold(0, now, cost, &mut domain.net, code);
        }
    }
}
