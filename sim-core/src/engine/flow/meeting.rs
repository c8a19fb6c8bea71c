//! Vectors that flow from an operation through others to operations that wait for them: all steps at once.
//!
//! Where each receiver of a vector waits for it, and each of those that pass it on has receivers that wait, in turn, the
//! steps of all these operations follow from one another, vector by vector and not wavelet by wavelet. What is computed
//! holds if no FIFO on the way fills up; that is looked at before anything is changed.

use super::lockstep::Grid;
use super::series::Series;
use super::trees::Leaf;
use super::wires::{Left, NONE, Wires};
use super::{Flow, bulk};
use crate::engine::pe::{self, Op};
use pe_isa::Word;
use pe_isa::void::Registers;
use std::ops::Range;

/// An operation that takes part.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    pub(super) pe: u32,
    /// The tree that it sends into, or [`NONE`].
    pub(super) out: u32,
    /// The part whose vector it takes, and how that gets there.
    pub(super) from: Option<(u32, Leaf)>,
    /// Its steps, what leaves its output queue, what leaves its router's ramp.
    pub(super) steps: Series,
    pub(super) rises: Series,
    pub(super) sent: Series,
    /// Where its payloads begin among all payloads.
    pub(super) payloads: u32,
    pub(super) work: Work,
}

/// Steps of an operation that were taken at once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Work {
    pub(super) count: u32,
    /// The cycle of the last of them, and its end.
    pub(super) last: i32,
    pub(super) end: i32,
    pub(super) launching: u32,
    pub(super) waiting_input: u32,
    pub(super) waiting_output: u32,
}

/// What a meeting needs while it is computed; kept for the next one.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) parts: Vec<Part>,
    pub(super) times: Vec<i32>,
    pub(super) payloads: Vec<u32>,
    /// The same without data.
    pub(super) words: Vec<Word>,
    /// Departures, those before the vector's first: from an input queue, an output queue, a ramp.
    pub(super) taken: Vec<i32>,
    pub(super) risen: Vec<i32>,
    pub(super) sent: Vec<i32>,
    pub(super) grid: Grid,
}

impl Table {
    /// Payloads so far.
    pub(super) fn len(&self) -> usize {
        self.payloads.len().max(self.words.len())
    }

    /// One more payload, which is one of data or without.
    pub(super) fn push(&mut self, word: Word, has_data: bool) {
        if has_data {
            self.payloads.push(word.bits);
        } else {
            self.words.push(word);
        }
    }

    pub(super) fn word(&self, at: usize, has_data: bool) -> Word {
        if has_data { Word::known(self.payloads[at]) } else { self.words[at] }
    }
}

impl Flow<'_> {
    /// Carries out the operation of PE `at`, whose tree is open, as far as all that take part can go. Returns whether it could.
    pub(super) fn meet(&mut self, at: u32) -> bool {
        let mut table = std::mem::take(&mut self.table);
        let wavelets = self.gather(&mut table, at);
        let flows = (0..table.parts.len()).all(|n| self.evaluate(&mut table, n, wavelets));
        if flows {
            (0..table.parts.len()).for_each(|n| self.carry_out(&mut table, n, wavelets));
        }
        let done = flows || self.lockstep(&mut table);
        self.table = table;
        done
    }

    /// What the main thread of a PE is in.
    pub(super) fn op(&self, pe: u32) -> &Op {
        self.domain.pes[pe as usize].ops[0].as_ref().expect("a running operation")
    }

    /// All operations that take part, senders before receivers, and for how many wavelets.
    fn gather(&self, table: &mut Table, at: u32) -> usize {
        let Table { parts, times, payloads, words, .. } = table;
        parts.clear();
        times.clear();
        payloads.clear();
        words.clear();
        let mut wavelets = u32::MAX;
        let mut part = |pe: u32, from| {
            let op = self.op(pe);
            let out = if op.dst == pe::NONE { NONE } else { self.trees.of[op.dst as usize] };
            wavelets = wavelets.min((op.issued.total - op.next).div_ceil(op.lanes));
            Part { pe, out, from, ..Part::default() }
        };
        parts.push(part(at, None));
        let mut next = 0;
        while next < parts.len() {
            if parts[next].out != NONE {
                let leaves = self.trees.leaves(parts[next].out).iter();
                parts.extend(leaves.map(|&leaf| part(leaf.pe, Some((next as u32, leaf)))));
            }
            next += 1;
        }
        wavelets as usize
    }

    /// Carries out part `n`, as computed.
    fn carry_out(&mut self, table: &mut Table, n: usize, wavelets: usize) {
        let Part { pe: at, out, from, work, .. } = table.parts[n];
        let input = self.op(at).a;
        let full = self.op(at).step_cycles as i32;
        let taken = from.map(|(n, _)| table.parts[n as usize].payloads as usize);
        let taken = taken.map_or(0..0, |at| at..at + wavelets);
        table.parts[n].payloads = table.len() as u32;
        self.compute(table, at, wavelets, taken, out != NONE);
        let part = table.parts[n];
        if from.is_some() {
            self.note(input, &table.times, part.steps, wavelets);
        }
        if out != NONE {
            let tree = &mut self.trees.list[out as usize];
            tree.lag += wavelets as u32;
            let (steps, queue, up) = (tree.steps, tree.queue, tree.up);
            self.note(steps, &table.times, part.steps.after(full), wavelets);
            self.wires.correct(steps, work.end as u32);
            self.note(queue, &table.times, part.rises, wavelets);
            self.note(up, &table.times, part.sent, wavelets);
            pass_series(&mut self.wires, queue, &table.times, part.rises, wavelets);
            pass_series(&mut self.wires, up, &table.times, part.sent, wavelets);
            for node in self.trees.contested(out) {
                let sent = part.sent.after(node.behind as i32);
                pass_series(&mut self.wires, node.line, &table.times, sent, wavelets);
            }
        }
        self.carry_on(at, &work);
    }

    /// The values of the next `wavelets` steps of PE `at`, with the payloads at `taken`; what they send is appended to the payloads.
    pub(super) fn compute(
        &mut self,
        table: &mut Table,
        at: u32,
        wavelets: usize,
        taken: Range<usize>,
        sends: bool,
    ) {
        if wavelets == 0 {
            return;
        }
        let domain = &mut *self.domain;
        let pe = &mut domain.pes[at as usize];
        let op = pe.ops[0].as_ref().expect("a running operation");
        let begin = table.len();
        let sent = if sends { wavelets } else { 0 };
        if self.layout.constants.has_data {
            table.payloads.resize(begin + sent, 0);
            let (before, own) = table.payloads.split_at_mut(begin);
            bulk::carry_out(op, wavelets, &before[taken], own, &mut domain.memory, pe.memory);
        } else {
            table.words.resize(begin + sent, Word::VOID);
            let (before, own) = table.words.split_at_mut(begin);
            let bits = &mut domain.memory[pe.memory.regs()];
            let regs = &mut Registers { bits, void: &mut pe.void };
            bulk::carry_out_void(op, wavelets, &before[taken], own, (regs, &mut pe.draws));
        }
    }

    /// The state of PE `at` behind steps of its operation.
    pub(super) fn carry_on(&mut self, at: u32, work: &Work) {
        self.running.push(at);
        if work.count == 0 {
            return;
        }
        let domain = &mut *self.domain;
        let pe = &mut domain.pes[at as usize];
        let op = pe.ops[0].as_mut().expect("a running operation");
        let (full, input, dst) = (op.step_cycles, op.a, op.dst);
        op.next += (work.count * op.lanes).min(op.issued.total - op.next);
        op.ready_at = work.end as u64;
        let is_done = op.next == op.issued.total;
        let count = u64::from(work.count);
        let counters = &mut pe.counters;
        counters.fabric_steps += count;
        counters.wavelets_in += if input != pe::NONE { count } else { 0 };
        counters.wavelets_out += if dst != pe::NONE { count } else { 0 };
        counters.busy_cycles += full * (count - 1) + (work.end - work.last) as u64;
        counters.cycles.launching += u64::from(work.launching);
        counters.cycles.waiting_input += u64::from(work.waiting_input);
        counters.cycles.waiting_output += u64::from(work.waiting_output);
        pe.accounted = pe.accounted.max(work.last as u64);
        if is_done {
            pe.complete(0, work.end as u64);
        }
        domain.net.gates[at as usize].free_at = work.end as u64;
        domain.net.activity = domain.net.activity.max(work.end as u64);
        if is_done {
            self.close(at, input);
        }
    }

    /// Departures of a line.
    fn note(&mut self, line: u32, times: &[i32], series: Series, wavelets: usize) {
        let times = &times[series.at as usize..series.at as usize + wavelets];
        self.wires.leave_at(line, times, series.later);
    }

    /// Brings the lines of a tree up to date.
    pub(super) fn settle(&mut self, tree: u32) {
        let Flow { trees, wires, .. } = self;
        let lag = std::mem::take(&mut trees.list[tree as usize].lag);
        if lag == 0 {
            return;
        }
        let up = trees.list[tree as usize].up;
        for node in trees.nodes(tree) {
            let source = &wires.lines[up as usize];
            let kept =
                (lag as usize).min(source.kept()).min(wires.lines[node.line as usize].kept());
            let (from, to) = (source.left - kept as u32, source.left);
            wires.lines[node.line as usize].left += lag - kept as u32;
            for n in from..to {
                let time = wires.departure(&wires.lines[up as usize], n).time + node.behind;
                wires.leave(node.line, Left { time, word: Word::default() });
            }
        }
    }

    /// Brings all lines up to date.
    pub(super) fn settle_all(&mut self) {
        (0..self.trees.list.len() as u32).for_each(|tree| self.settle(tree));
    }
}

fn pass_series(wires: &mut Wires, line: u32, times: &[i32], series: Series, wavelets: usize) {
    if wires.lines[line as usize].contested != NONE {
        let times = &times[series.at as usize..series.at as usize + wavelets];
        wires.pass_all(line, times.iter().map(|time| (time + series.later) as u32));
    }
}
