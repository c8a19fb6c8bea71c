//! Vectors that flow from an operation through others to operations that wait for them: all steps at once.
//!
//! Where each receiver of a vector waits for it, and each of those that pass it on has receivers that wait, in turn, the
//! steps of all these operations follow from one another, vector by vector and not wavelet by wavelet. What is computed
//! holds if no FIFO on the way fills up; that is looked at before anything is changed.

use super::bulk;
use super::nets::Leaf;
use super::wires::{Left, NONE};
use super::{Flow, Work};
use crate::engine::pe;

/// An operation that takes part.
#[derive(Debug, Clone, Copy)]
struct Part {
    pe: u32,
    /// The tree that it sends into, or [`NONE`].
    out: u32,
    /// Whose vector it takes, and how it gets there.
    from: Option<(u32, Leaf)>,
    /// Where the departures from its router begin among all times.
    times: u32,
    /// Where its payloads begin among all payloads.
    payloads: u32,
    last: i32,
    end: i32,
    launching: u32,
    waiting_input: u32,
    waiting_output: u32,
}

/// What a meeting needs while it is computed; kept for the next one.
#[derive(Debug, Default)]
pub(super) struct Table {
    parts: Vec<Part>,
    times: Vec<i32>,
    payloads: Vec<u32>,
    steps: Vec<i32>,
    queue: Vec<i32>,
    up: Vec<i32>,
}

/// Before all cycles, with room for additions.
const LONG_AGO: i32 = i32::MIN / 2;

impl Flow<'_> {
    /// Carries out the operation of PE `at`, whose tree is open, as far as all that take part can go. Returns whether it could.
    pub(super) fn meet(&mut self, at: u32) -> bool {
        let mut table = std::mem::take(&mut self.table);
        let wavelets = self.gather(&mut table, at);
        let done = (0..table.parts.len()).all(|n| self.evaluate(&mut table, n, wavelets));
        if done {
            (0..table.parts.len()).for_each(|n| self.carry_out(&mut table, n, wavelets));
        }
        self.table = table;
        done
    }

    /// All operations that take part, senders before receivers, and for how many wavelets.
    fn gather(&self, table: &mut Table, at: u32) -> usize {
        let Table { parts, times, payloads, .. } = table;
        parts.clear();
        times.clear();
        payloads.clear();
        let part = |pe: u32, from| {
            let op = self.domain.pes[pe as usize].ops[0].as_ref().expect("a running operation");
            let out = if op.dst == pe::NONE { NONE } else { self.nets.tree_of[op.dst as usize] };
            let left = (op.issued.total - op.next).div_ceil(op.lanes);
            let part = Part {
                pe,
                out,
                from,
                times: 0,
                payloads: 0,
                last: 0,
                end: 0,
                launching: 0,
                waiting_input: 0,
                waiting_output: 0,
            };
            (part, left)
        };
        let (first, mut wavelets) = part(at, None);
        parts.push(first);
        let mut next = 0;
        while next < parts.len() {
            if parts[next].out != NONE {
                for &leaf in self.nets.leaves(parts[next].out) {
                    let (part, left) = part(leaf.pe, Some((next as u32, leaf)));
                    wavelets = wavelets.min(left);
                    parts.push(part);
                }
            }
            next += 1;
        }
        wavelets as usize
    }

    /// The last `count` departures of a line, before which there were none long ago.
    fn history(&self, line: u32, count: usize, into: &mut Vec<i32>) {
        into.clear();
        let line = &self.wires.lines[line as usize];
        for back in (1..=count as u32).rev() {
            into.push(match line.left.checked_sub(back) {
                Some(n) => self.wires.departure(line, n).time as i32,
                None => LONG_AGO,
            });
        }
    }

    /// The steps of part `n`, and what they send. Returns whether nothing stands in their way.
    fn evaluate(&self, table: &mut Table, n: usize, wavelets: usize) -> bool {
        let mut part = table.parts[n];
        let pe = &self.domain.pes[part.pe as usize];
        let op = pe.ops[0].as_ref().expect("a running operation");
        let free = self.domain.net.gates[part.pe as usize].free_at;
        let from = pe.accounted.max(free) as i32;
        let mut ready = op.ready_at.max(free) as i32;
        part.launching = (ready - from).max(0) as u32;
        let full = op.step_cycles as i32;
        let is_whole = op.next + wavelets as u32 * op.lanes <= op.issued.total;
        let last_cost = if is_whole {
            full
        } else {
            let count = (op.issued.total - op.next - 1) % op.lanes + 1;
            self.layout.constants.cost.step_cycles(&op.issued, count) as i32
        };
        let Table { parts, times, steps, queue, up, .. } = &mut *table;
        part.times = times.len() as u32;
        let (source, sent, arrival, slots, credit) = match part.from {
            None => (0, 0, 0, 0, 0),
            Some((at, leaf)) => {
                let line = &self.wires.lines[leaf.line as usize];
                if self.wires.lines[line.upstream as usize].left != line.left {
                    return false;
                }
                let source = parts[at as usize].times as usize;
                let arrival = (leaf.sent + leaf.arrival) as i32;
                (source, leaf.sent as i32, arrival, usize::from(line.capacity), i32::from(line.credit as i16))
            }
        };
        match part.from {
            Some((_, leaf)) => self.history(leaf.line, slots, steps),
            None => steps.clear(),
        }
        let takes = part.from.is_some();
        let sends = part.out != NONE;
        let (mut queue_slots, mut up_slots) = (0, 0);
        let (mut queue_credit, mut up_credit, mut up_latency) = (0, 0, 0);
        let (mut p, mut q) = (0, 0);
        if sends {
            let tree = &self.nets.trees[part.out as usize];
            let (first, second) = (&self.wires.lines[tree.queue as usize], &self.wires.lines[tree.up as usize]);
            let put = self.wires.lines[tree.steps as usize].left;
            if first.left != put || second.left != put {
                return false;
            }
            (queue_slots, queue_credit) = (usize::from(first.capacity), i32::from(first.credit as i16));
            (up_slots, up_credit) = (usize::from(second.capacity), i32::from(second.credit as i16));
            up_latency = i32::from(second.latency as i16);
            if second.is_limited {
                (p, q) = (self.wires.p as i32, self.wires.q as usize);
            }
            self.history(tree.queue, queue_slots, queue);
            self.history(tree.up, up_slots.max(q), up);
        }
        let (mut last_rise, mut last_sent) = match sends {
            true => (queue[queue.len() - 1], up[up.len() - 1]),
            false => (0, 0),
        };
        let up_before = up.len();
        let (mut input_wait, mut output_wait) = (0, 0);
        let mut is_taken = true;
        for j in 0..wavelets {
            let mut inputs = ready;
            if takes {
                let departure = times[source + j];
                inputs = inputs.max(departure + arrival);
                is_taken &= departure + sent >= steps[j] + credit;
            }
            let mut step = inputs;
            if sends {
                step = step.max(queue[j] + queue_credit);
            }
            input_wait += inputs - ready;
            output_wait += step - inputs;
            part.last = step;
            steps.push(step);
            ready = step + if j + 1 == wavelets { last_cost } else { full };
            if sends {
                let up_room = up[up_before + j - up_slots] + up_credit;
                let rise = ready.max(last_rise + 1).max(up_room);
                let mut leaves = (rise + up_latency).max(last_sent + 1);
                if q > 0 {
                    leaves = leaves.max(up[up_before + j - q] + p);
                }
                (last_rise, last_sent) = (rise, leaves);
                queue.push(rise);
                up.push(leaves);
            }
        }
        part.end = ready;
        part.waiting_input = input_wait as u32;
        part.waiting_output = output_wait as u32;
        let horizon = i32::try_from(self.horizon).unwrap_or(i32::MAX);
        if !is_taken || part.last >= horizon {
            return false;
        }
        if sends {
            times.extend_from_slice(&up[up_before..]);
            if !self.is_free(part.out, up[up_before], last_sent, horizon) {
                return false;
            }
        }
        // Behind the departures: steps, and rises.
        times.extend_from_slice(&steps[steps.len() - wavelets..]);
        if sends {
            times.extend_from_slice(&queue[queue.len() - wavelets..]);
        }
        parts[n] = part;
        true
    }

    /// Whether wavelets that leave the ramp of a tree from `first` to `last` find all behind it as if nothing had been there.
    fn is_free(&self, tree: u32, first: i32, last: i32, horizon: i32) -> bool {
        let put = self.wires.lines[self.nets.trees[tree as usize].steps as usize].left;
        if last >= horizon {
            return false;
        }
        let (p, q) = (self.wires.p, self.wires.q);
        self.nets.nodes(tree).iter().all(|node| {
            let line = &self.wires.lines[node.line as usize];
            let Some(before) = line.left.checked_sub(1) else {
                return put == 0 && last + (node.behind as i32) < horizon;
            };
            let before = self.wires.departure(line, before).time as i32;
            let here = first + node.behind as i32;
            let room = before + i32::from(line.credit as i16) <= here - i32::from(line.latency as i16);
            let rate = before + 1 + (p - q) as i32 <= here;
            line.left == put && room && rate && last + (node.behind as i32) < horizon
        })
    }

    /// Carries out part `n`, as computed.
    fn carry_out(&mut self, table: &mut Table, n: usize, wavelets: usize) {
        let Part { pe: at, out, from, times, last, end, .. } = table.parts[n];
        let part = table.parts[n];
        let times = times as usize;
        let count = wavelets as u32;
        let steps_at = if out == NONE { times } else { times + wavelets };
        let departures = times..times + wavelets;
        let domain = &mut *self.domain;
        let pe = &mut domain.pes[at as usize];
        let op = pe.ops[0].as_mut().expect("a running operation");
        let (full, input, dst) = (op.step_cycles, op.a, op.dst);
        // Values.
        let taken = from.map(|(n, _)| table.parts[n as usize].payloads as usize);
        let begin = table.payloads.len();
        table.parts[n].payloads = begin as u32;
        if out != NONE {
            table.payloads.resize(begin + wavelets, 0);
        }
        let (before, own) = table.payloads.split_at_mut(begin);
        let input_words = taken.map_or(&[][..], |at| &before[at..at + wavelets]);
        bulk::carry_out(op, wavelets, input_words, own, &mut domain.memory, pe.memory);
        // The PE.
        let elements = (count * op.lanes).min(op.issued.total - op.next);
        op.next += elements;
        op.ready_at = end as u64;
        let is_done = op.next == op.issued.total;
        let last_cost = (end - last) as u64;
        let busy = full * u64::from(count - 1) + last_cost;
        let counters = &mut pe.counters;
        counters.fabric_steps += u64::from(count);
        counters.wavelets_in += if from.is_some() { u64::from(count) } else { 0 };
        counters.wavelets_out += if out != NONE { u64::from(count) } else { 0 };
        counters.busy_cycles += busy;
        counters.cycles.launching += u64::from(part.launching);
        counters.cycles.waiting_input += u64::from(part.waiting_input);
        counters.cycles.waiting_output += u64::from(part.waiting_output);
        pe.accounted = pe.accounted.max(last as u64);
        if is_done {
            pe.complete(0, end as u64);
        }
        let gate = &mut domain.net.gates[at as usize];
        gate.free_at = end as u64;
        domain.net.activity = domain.net.activity.max(end as u64);
        // The lines.
        if from.is_some() {
            self.note(input, &table.times[steps_at..steps_at + wavelets], 0);
        }
        if out != NONE {
            let steps = &table.times[steps_at..steps_at + wavelets];
            let tree = &self.nets.trees[out as usize];
            let (lines_steps, queue, up) = (tree.steps, tree.queue, tree.up);
            debug_assert_eq!(queue, dst);
            self.note(lines_steps, steps, full as i32);
            self.fix_last(lines_steps, end);
            let rises = &table.times[steps_at + wavelets..steps_at + 2 * wavelets];
            self.note(queue, rises, 0);
            let sent = &table.times[departures];
            self.note(up, sent, 0);
            let span = (sent[0], sent[wavelets - 1]);
            self.span(queue, (rises[0], rises[wavelets - 1]));
            self.span(up, span);
            for n in 0..self.nets.nodes(out).len() {
                let node = self.nets.nodes(out)[n];
                let behind = node.behind as i32;
                self.note(node.line, sent, behind);
                self.span(node.line, (span.0 + behind, span.1 + behind));
            }
        }
        if is_done {
            self.close(at, input);
        }
        self.fast.push(at);
    }

    /// Departures of a line, `later` than these times.
    fn note(&mut self, line: u32, times: &[i32], later: i32) {
        let kept = times.len().min(self.wires.lines[line as usize].kept());
        self.wires.lines[line as usize].left += (times.len() - kept) as u32;
        for &time in &times[times.len() - kept..] {
            self.wires.leave(line, Left { time: (time + later) as u32, payload: 0 });
        }
    }

    fn fix_last(&mut self, line: u32, end: i32) {
        self.wires.lines[line as usize].left -= 1;
        self.wires.leave(line, Left { time: end as u32, payload: 0 });
    }

    fn span(&mut self, line: u32, (first, last): (i32, i32)) {
        let contested = self.wires.lines[line as usize].contested;
        if contested != NONE {
            self.wires.pass(contested, (first as u32, last as u32));
        }
    }

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
