//! The steps of one operation of a meeting: when each can be taken, and when what it sends leaves.

use super::Flow;
use super::meeting::{Part, Table};
use super::trees::Leaf;
use super::wires::NONE;

/// The times of a vector's wavelets at some place: a pattern, later by so many cycles.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Series {
    /// Where the pattern begins among all times.
    pub(super) at: u32,
    pub(super) later: i32,
    /// The least distance of two of them.
    pub(super) gap: i32,
    /// Whether they keep the rate of links.
    pub(super) is_rated: bool,
}

impl Series {
    pub(super) fn after(self, cycles: i32) -> Series {
        Series { later: self.later + cycles, ..self }
    }
}

/// Before all cycles, with room for additions.
const LONG_AGO: i32 = i32::MIN / 2;

/// What the steps of a part depend on.
#[derive(Default)]
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
        part.work.launching = (ready - from).max(0) as u32;
        let full = op.step_cycles as i32;
        let is_whole = op.next + wavelets as u32 * op.lanes <= op.issued.total;
        let last_cost = if is_whole {
            full
        } else {
            let count = (op.issued.total - op.next - 1) % op.lanes + 1;
            self.layout.constants.cost.step_cycles(&op.issued, count) as i32
        };
        let mut terms = Terms { ready, full, last_cost, ..Terms::default() };
        table.taken.clear();
        let lines = &self.wires.lines;
        if let Some((_, leaf)) = part.from {
            let line = &lines[leaf.line as usize];
            let before =
                &lines[self.trees.list[self.trees.of[leaf.line as usize] as usize].steps as usize];
            if before.left != line.left {
                return None;
            }
            terms.slots = usize::from(line.capacity);
            terms.credit = i32::from(line.credit);
            terms.leaf = leaf;
            self.history(leaf.line, terms.slots, &mut table.taken);
        }
        if part.out != NONE {
            let tree = &self.trees.list[part.out as usize];
            let (queue, up) = (&lines[tree.queue as usize], &lines[tree.up as usize]);
            let put = lines[tree.steps as usize].left;
            if queue.left != put || up.left != put {
                return None;
            }
            terms.queue_slots = usize::from(queue.capacity);
            terms.queue_credit = i32::from(queue.credit);
            terms.up_slots = usize::from(up.capacity);
            terms.up_credit = i32::from(up.credit);
            terms.up_latency = i32::from(up.latency);
            terms.is_limited = up.is_limited;
            let q = if up.is_limited { self.wires.q as usize } else { 0 };
            self.history(tree.queue, terms.queue_slots, &mut table.risen);
            self.history(tree.up, terms.up_slots.max(q), &mut table.sent);
        }
        Some(terms)
    }

    /// The steps of part `n`, and what they send. Returns whether nothing stands in their way.
    pub(super) fn evaluate(&self, table: &mut Table, n: usize, wavelets: usize) -> bool {
        let mut part = table.parts[n];
        if part.out != NONE && !self.trees.list[part.out as usize].is_free {
            return false;
        }
        let Some(terms) = self.terms(&mut part, table, wavelets) else { return false };
        let follows = self.follow(&mut part, &terms, table, wavelets);
        if !follows && !self.step_by_step(&mut part, &terms, table, wavelets) {
            return false;
        }
        let horizon = i32::try_from(self.horizon).unwrap_or(i32::MAX);
        if part.work.last >= horizon {
            return false;
        }
        if part.out != NONE {
            let at = |n: usize| table.times[part.sent.at as usize + n] + part.sent.later;
            if !self.is_free(part.out, at(0), at(wavelets - 1), horizon) {
                return false;
            }
        }
        part.work.count = wavelets as u32;
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
        if source.gap < terms.full
            || first < terms.ready
            || terms.slots < (arrival + terms.credit) as usize
        {
            return false;
        }
        // The input queue: later on its slots free up in time.
        let mut claims = pattern.iter().zip(&table.taken);
        if !claims.all(|(&time, &taken)| time + source.later + sent >= taken + terms.credit) {
            return false;
        }
        let last = pattern[wavelets - 1] + steps.later;
        part.steps = steps;
        part.work.last = last;
        part.work.end = last + terms.last_cost;
        part.work.waiting_output = 0;
        part.work.waiting_input = (last - terms.ready - terms.full * (wavelets as i32 - 1)) as u32;
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
        let (leaf_sent, arrival) =
            (terms.leaf.sent as i32, (terms.leaf.sent + terms.leaf.arrival) as i32);
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
        part.work.last = taken[taken.len() - 1];
        part.work.end = ready;
        part.work.waiting_input = input_wait as u32;
        part.work.waiting_output = output_wait as u32;
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
        let tree_at = &self.trees.list[tree as usize];
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
        self.trees.nodes(tree).iter().all(|node| {
            let line = &self.wires.lines[node.line as usize];
            if line.left != put || put == 0 {
                return line.left == put;
            }
            let before = self.wires.departure(line, put - 1).time as i32;
            let here = first + node.behind as i32;
            let room = before + i32::from(line.credit) <= here - i32::from(line.latency);
            room && before + pause <= here
        })
    }
}
