//! Vectors that flow from an operation through others to operations that wait for them: all steps at once.
//!
//! Where each receiver of a vector waits for it, and each of those that pass it on has receivers that wait, in turn, the
//! steps of all these operations follow from one another, vector by vector and not wavelet by wavelet. What is computed
//! holds if no FIFO on the way fills up; that is looked at before anything is changed.

use super::nets::Leaf;
use super::wires::{Left, NONE};
use super::{Flow, bulk};
use crate::engine::pe::{self, Op};

/// The times of a vector's wavelets at some place: a pattern, later by so many cycles.
#[derive(Debug, Clone, Copy, Default)]
struct Series {
    /// Where the pattern begins among all times.
    at: u32,
    later: i32,
    /// The least distance of two of them.
    gap: i32,
    /// Whether they keep the rate of links.
    is_rated: bool,
}

impl Series {
    fn after(self, cycles: i32) -> Series {
        Series { later: self.later + cycles, ..self }
    }
}

/// An operation that takes part.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    pe: u32,
    /// The tree that it sends into, or [`NONE`].
    out: u32,
    /// The part whose vector it takes, and how that gets there.
    from: Option<(u32, Leaf)>,
    /// Its steps, what leaves its output queue, what leaves its router's ramp.
    steps: Series,
    rises: Series,
    sent: Series,
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
    /// Departures, those before the vector's first: from an input queue, an output queue, a ramp.
    taken: Vec<i32>,
    risen: Vec<i32>,
    sent: Vec<i32>,
}

/// Before all cycles, with room for additions.
const LONG_AGO: i32 = i32::MIN / 2;

/// What the steps of a part depend on.
struct Terms {
    /// When the first step can be taken, and what steps cost.
    ready: i32,
    full: i32,
    last_cost: i32,
    /// Of the input queue: its slots, its credit delay, what a wavelet needs to get there.
    slots: usize,
    credit: i32,
    leaf: Leaf,
    /// Of the output queue and the ramp.
    queue_slots: usize,
    queue_credit: i32,
    up_slots: usize,
    up_credit: i32,
    up_latency: i32,
    is_limited: bool,
}

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

    fn op(&self, pe: u32) -> &Op {
        self.domain.pes[pe as usize].ops[0].as_ref().expect("a running operation")
    }

    /// All operations that take part, senders before receivers, and for how many wavelets.
    fn gather(&self, table: &mut Table, at: u32) -> usize {
        let Table { parts, times, payloads, .. } = table;
        parts.clear();
        times.clear();
        payloads.clear();
        let mut wavelets = u32::MAX;
        let mut part = |pe: u32, from| {
            let op = self.op(pe);
            let out = if op.dst == pe::NONE { NONE } else { self.nets.tree_of[op.dst as usize] };
            wavelets = wavelets.min((op.issued.total - op.next).div_ceil(op.lanes));
            Part { pe, out, from, ..Part::default() }
        };
        parts.push(part(at, None));
        let mut next = 0;
        while next < parts.len() {
            if parts[next].out != NONE {
                let leaves = self.nets.leaves(parts[next].out).iter();
                parts.extend(leaves.map(|&leaf| part(leaf.pe, Some((next as u32, leaf)))));
            }
            next += 1;
        }
        wavelets as usize
    }

    /// The last `count` departures of a line, before which there were none long ago.
    fn history(&self, line: u32, count: usize, into: &mut Vec<i32>) {
        into.clear();
        let line = &self.wires.lines[line as usize];
        into.extend((1..=count as u32).rev().map(|back| match line.left.checked_sub(back) {
            Some(n) => self.wires.departure(line, n).time as i32,
            None => LONG_AGO,
        }));
    }

    /// What the steps of `part` depend on, and the departures before them. None where something is still on its way.
    fn terms(&self, part: &mut Part, table: &mut Table, wavelets: usize) -> Option<Terms> {
        let pe = &self.domain.pes[part.pe as usize];
        let op = self.op(part.pe);
        let free = self.domain.net.gates[part.pe as usize].free_at;
        let from = pe.accounted.max(free) as i32;
        let ready = op.ready_at.max(free) as i32;
        part.launching = (ready - from).max(0) as u32;
        let full = op.step_cycles as i32;
        let is_whole = op.next + wavelets as u32 * op.lanes <= op.issued.total;
        let last_cost = if is_whole {
            full
        } else {
            let count = (op.issued.total - op.next - 1) % op.lanes + 1;
            self.layout.constants.cost.step_cycles(&op.issued, count) as i32
        };
        let mut terms = Terms {
            ready,
            full,
            last_cost,
            slots: 0,
            credit: 0,
            leaf: Leaf { line: NONE, pe: NONE, sent: 0, arrival: 0 },
            queue_slots: 0,
            queue_credit: 0,
            up_slots: 0,
            up_credit: 0,
            up_latency: 0,
            is_limited: false,
        };
        table.taken.clear();
        let lines = &self.wires.lines;
        if let Some((_, leaf)) = part.from {
            let line = &lines[leaf.line as usize];
            let before = &lines[self.nets.trees[self.nets.tree_of[leaf.line as usize] as usize].steps as usize];
            if before.left != line.left {
                return None;
            }
            terms.slots = usize::from(line.capacity);
            terms.credit = i32::from(line.credit as i16);
            terms.leaf = leaf;
            self.history(leaf.line, terms.slots, &mut table.taken);
        }
        if part.out != NONE {
            let tree = &self.nets.trees[part.out as usize];
            let (queue, up) = (&lines[tree.queue as usize], &lines[tree.up as usize]);
            let put = lines[tree.steps as usize].left;
            if queue.left != put || up.left != put {
                return None;
            }
            terms.queue_slots = usize::from(queue.capacity);
            terms.queue_credit = i32::from(queue.credit as i16);
            terms.up_slots = usize::from(up.capacity);
            terms.up_credit = i32::from(up.credit as i16);
            terms.up_latency = i32::from(up.latency as i16);
            terms.is_limited = up.is_limited;
            let q = if up.is_limited { self.wires.q as usize } else { 0 };
            self.history(tree.queue, terms.queue_slots, &mut table.risen);
            self.history(tree.up, terms.up_slots.max(q), &mut table.sent);
        }
        Some(terms)
    }

    /// The steps of part `n`, and what they send. Returns whether nothing stands in their way.
    fn evaluate(&self, table: &mut Table, n: usize, wavelets: usize) -> bool {
        let mut part = table.parts[n];
        let Some(terms) = self.terms(&mut part, table, wavelets) else { return false };
        let follows = self.follow(&mut part, &terms, table, wavelets);
        if !follows && !self.step_by_step(&mut part, &terms, table, wavelets) {
            return false;
        }
        let horizon = i32::try_from(self.horizon).unwrap_or(i32::MAX);
        if part.last >= horizon {
            return false;
        }
        if part.out != NONE {
            let at = |n: usize| table.times[part.sent.at as usize + n] + part.sent.later;
            if !self.is_free(part.out, at(0), at(wavelets - 1), horizon) {
                return false;
            }
        }
        table.parts[n] = part;
        true
    }

    /// Where each step can be taken when its wavelet arrives, and what it sends finds room, all happens as it happened to the sender,
    /// only later. Returns whether it is so.
    fn follow(&self, part: &mut Part, terms: &Terms, table: &Table, wavelets: usize) -> bool {
        let Some((from, _)) = part.from else { return false };
        let source = table.parts[from as usize].sent;
        let pattern = &table.times[source.at as usize..source.at as usize + wavelets];
        let (sent, arrival) = (terms.leaf.sent as i32, terms.leaf.arrival as i32);
        let steps = source.after(sent + arrival);
        let first = pattern[0] + steps.later;
        if source.gap < terms.full || first < terms.ready || terms.slots < (arrival + terms.credit) as usize {
            return false;
        }
        // The input queue: later on its slots free up in time.
        let mut claims = pattern.iter().zip(&table.taken);
        if !claims.all(|(&time, &taken)| time + source.later + sent >= taken + terms.credit) {
            return false;
        }
        let last = pattern[wavelets - 1] + steps.later;
        part.steps = steps;
        part.last = last;
        part.end = last + terms.last_cost;
        part.waiting_output = 0;
        part.waiting_input = (last - terms.ready - terms.full * (wavelets as i32 - 1)) as u32;
        if part.out == NONE {
            return true;
        }
        if terms.last_cost != terms.full || terms.is_limited && !source.is_rated {
            return false;
        }
        part.rises = steps.after(terms.full);
        part.sent = part.rises.after(terms.up_latency);
        part.sent.is_rated = source.is_rated;
        let (p, q) = (self.wires.p as i32, self.wires.q as i32);
        let pause = if terms.is_limited { 1 + p - q } else { 1 };
        let last_rise = table.risen[table.risen.len() - 1];
        let last_sent = table.sent[table.sent.len() - 1];
        let first_sent = pattern[0] + part.sent.later;
        // With all that was before gone in time, and slots enough for one wavelet a cycle, nobody waits.
        let quiet = first >= last_rise + terms.queue_credit
            && first + terms.full >= (last_rise + 1).max(last_sent + terms.up_credit)
            && first_sent >= last_sent + pause;
        let slots = terms.queue_slots as i32 >= terms.full + terms.queue_credit
            && terms.up_slots as i32 >= terms.up_latency + terms.up_credit;
        quiet && slots
    }

    /// The steps of a part, one after the other. Returns whether its input queue never fills up.
    fn step_by_step(
        &self,
        part: &mut Part,
        terms: &Terms,
        table: &mut Table,
        wavelets: usize,
    ) -> bool {
        let source = part.from.map(|(from, _)| table.parts[from as usize].sent);
        let Table { times, taken, risen, sent, .. } = table;
        let sends = part.out != NONE;
        let (p, q) = (self.wires.p as i32, self.wires.q as usize);
        let (leaf_sent, arrival) = (terms.leaf.sent as i32, (terms.leaf.sent + terms.leaf.arrival) as i32);
        let (mut last_rise, mut last_sent) = match sends {
            true => (risen[risen.len() - 1], sent[sent.len() - 1]),
            false => (0, 0),
        };
        let before = sent.len();
        let mut ready = terms.ready;
        let (mut input_wait, mut output_wait) = (0, 0);
        for j in 0..wavelets {
            let mut inputs = ready;
            if let Some(source) = source {
                let departure = times[source.at as usize + j] + source.later;
                inputs = inputs.max(departure + arrival);
                if departure + leaf_sent < taken[j] + terms.credit {
                    return false;
                }
            }
            let step = if sends { inputs.max(risen[j] + terms.queue_credit) } else { inputs };
            input_wait += inputs - ready;
            output_wait += step - inputs;
            taken.push(step);
            ready = step + if j + 1 == wavelets { terms.last_cost } else { terms.full };
            if sends {
                let room = sent[before + j - terms.up_slots] + terms.up_credit;
                last_rise = ready.max(last_rise + 1).max(room);
                last_sent = (last_rise + terms.up_latency).max(last_sent + 1);
                if terms.is_limited {
                    last_sent = last_sent.max(sent[before + j - q] + p);
                }
                risen.push(last_rise);
                sent.push(last_sent);
            }
        }
        part.last = taken[taken.len() - 1];
        part.end = ready;
        part.waiting_input = input_wait as u32;
        part.waiting_output = output_wait as u32;
        let mut keep = |list: &[i32], is_rated: bool| {
            let list = &list[list.len() - wavelets..];
            let at = times.len() as u32;
            times.extend_from_slice(list);
            let gap = list.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(i32::MAX);
            Series { at, later: 0, gap, is_rated }
        };
        part.steps = keep(taken, false);
        if sends {
            part.rises = keep(risen, false);
            part.sent = keep(sent, terms.is_limited);
        }
        true
    }

    /// Whether wavelets that leave the ramp of a tree from `first` to `last` find all behind it as if nothing had been there.
    fn is_free(&self, tree: u32, first: i32, last: i32, horizon: i32) -> bool {
        let tree_at = &self.nets.trees[tree as usize];
        if last + tree_at.reach as i32 >= horizon {
            return false;
        }
        let pause = 1 + (self.wires.p - self.wires.q) as i32;
        if tree_at.lag > 0 {
            let up = &self.wires.lines[tree_at.up as usize];
            let before = self.wires.departure(up, up.left - 1).time as i32;
            return first - before >= pause.max(tree_at.slack as i32);
        }
        let put = self.wires.lines[tree_at.steps as usize].left;
        self.nets.nodes(tree).iter().all(|node| {
            let line = &self.wires.lines[node.line as usize];
            if line.left != put || put == 0 {
                return line.left == put;
            }
            let before = self.wires.departure(line, put - 1).time as i32;
            let here = first + node.behind as i32;
            let room = before + i32::from(line.credit as i16) <= here - i32::from(line.latency as i16);
            room && before + pause <= here
        })
    }

    /// Carries out part `n`, as computed.
    fn carry_out(&mut self, table: &mut Table, n: usize, wavelets: usize) {
        let part = table.parts[n];
        let Part { pe: at, out, from, last, end, .. } = part;
        let count = wavelets as u32;
        let domain = &mut *self.domain;
        let pe = &mut domain.pes[at as usize];
        let op = pe.ops[0].as_mut().expect("a running operation");
        let (full, input) = (op.step_cycles, op.a);
        let taken = from.map(|(n, _)| table.parts[n as usize].payloads as usize);
        let begin = table.payloads.len();
        table.parts[n].payloads = begin as u32;
        if out != NONE {
            table.payloads.resize(begin + wavelets, 0);
        }
        let (before, own) = table.payloads.split_at_mut(begin);
        let words = taken.map_or(&[][..], |at| &before[at..at + wavelets]);
        bulk::carry_out(op, wavelets, words, own, &mut domain.memory, pe.memory);
        op.next += (count * op.lanes).min(op.issued.total - op.next);
        op.ready_at = end as u64;
        let is_done = op.next == op.issued.total;
        let counters = &mut pe.counters;
        counters.fabric_steps += u64::from(count);
        counters.wavelets_in += if from.is_some() { u64::from(count) } else { 0 };
        counters.wavelets_out += if out != NONE { u64::from(count) } else { 0 };
        counters.busy_cycles += full * u64::from(count - 1) + (end - last) as u64;
        counters.cycles.launching += u64::from(part.launching);
        counters.cycles.waiting_input += u64::from(part.waiting_input);
        counters.cycles.waiting_output += u64::from(part.waiting_output);
        pe.accounted = pe.accounted.max(last as u64);
        if is_done {
            pe.complete(0, end as u64);
        }
        domain.net.gates[at as usize].free_at = end as u64;
        domain.net.activity = domain.net.activity.max(end as u64);
        if from.is_some() {
            self.note(input, &table.times, part.steps, wavelets);
        }
        if out != NONE {
            let tree = &mut self.nets.trees[out as usize];
            tree.lag += count;
            let (steps, queue, up) = (tree.steps, tree.queue, tree.up);
            self.note(steps, &table.times, part.steps.after(full as i32), wavelets);
            self.wires.correct(steps, end as u32);
            self.note(queue, &table.times, part.rises, wavelets);
            self.note(up, &table.times, part.sent, wavelets);
            let span = |series: Series| {
                let at = |n: usize| table.times[series.at as usize + n] + series.later;
                (at(0), at(wavelets - 1))
            };
            self.wires.pass_span(queue, span(part.rises), 0);
            let sent = span(part.sent);
            self.wires.pass_span(up, sent, 0);
            for node in self.nets.contested(out) {
                self.wires.pass_span(node.line, sent, node.behind as i32);
            }
        }
        if is_done {
            self.close(at, input);
        }
        self.fast.push(at);
    }

    /// Departures of a line.
    fn note(&mut self, line: u32, times: &[i32], series: Series, wavelets: usize) {
        let times = &times[series.at as usize..series.at as usize + wavelets];
        self.wires.leave_at(line, times, series.later);
    }

    /// Brings the lines of a tree up to date.
    pub(super) fn settle(&mut self, tree: u32) {
        let Flow { nets, wires, .. } = self;
        let lag = std::mem::take(&mut nets.trees[tree as usize].lag);
        if lag == 0 {
            return;
        }
        let up = nets.trees[tree as usize].up;
        for node in nets.nodes(tree) {
            let source = &wires.lines[up as usize];
            let kept = (lag as usize).min(source.kept()).min(wires.lines[node.line as usize].kept());
            let (from, to) = (source.left - kept as u32, source.left);
            wires.lines[node.line as usize].left += lag - kept as u32;
            for n in from..to {
                let time = wires.departure(&wires.lines[up as usize], n).time + node.behind;
                wires.leave(node.line, Left { time, payload: 0 });
            }
        }
    }

    /// Brings all lines up to date.
    pub(super) fn settle_all(&mut self) {
        (0..self.nets.trees.len() as u32).for_each(|tree| self.settle(tree));
    }
}
