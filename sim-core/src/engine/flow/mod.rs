//! Runs in which nothing competes, as a network of processes instead of a calendar.
//!
//! Where no two wavelets ever want one output in the same cycle, and no two threads one datapath, what a PE does follows from
//! what it receives, and when a wavelet leaves a FIFO follows from a few other departures. So everything can be decided in any
//! order in which that is known (a timed Kahn network): vectors at once where all who take part wait for them (`meeting`), and
//! wavelet by wavelet elsewhere (`process`, `wires`). Whether two departures may disturb one another is looked at after the
//! fact; where they may, the run is left to the calendar.
//!
//! **Architecture Invariant:** nothing at or after the *horizon* is decided. It lies as far behind the earliest thing that is
//! undecided as a wavelet needs to the host, so that the state is exact at whatever cycle the host ends the run.

mod bulk;
mod lay;
mod lockstep;
mod meeting;
mod opening;
mod process;
mod series;
mod trees;
mod wires;

use super::Layout;
use super::domain::Domain;
use crate::run::{Answers, Host, StopReason, Verdict};
use meeting::Table;
use pe_isa::Cycle;
use std::collections::VecDeque;
use trees::Trees;
use wires::{NONE, Wires};

/// A line, or a PE, of which something may be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Actor {
    Line(u32),
    Pe(u32),
}

/// Times beyond this are left to the calendar.
const LAST: u64 = 1 << 30;

/// A run.
pub(super) struct Flow<'a> {
    layout: &'a Layout,
    domain: &'a mut Domain,
    wires: Wires,
    trees: Trees,
    table: Table,
    /// Cycles from the host to the edge.
    host_latency: u64,
    processes: Vec<Process>,
    /// PEs of one thread that go on; they come before `open`.
    running: Vec<u32>,
    /// What is to be looked at wavelet by wavelet.
    open: VecDeque<Actor>,
    /// PEs whose vectors wait for receivers that do not wait for them; they come last.
    parked: VecDeque<u32>,
    /// What is known to come at or after the horizon.
    later: Vec<(u64, Actor)>,
    /// Nothing at or after this cycle is decided.
    horizon: u64,
    /// Before and at this cycle nothing is undecided.
    safe: u64,
    /// An instruction faulted.
    fault: bool,
}

/// What is to be known of a PE besides its state.
#[derive(Debug, Clone, Copy)]
struct Process {
    /// It has one thread.
    is_plain: bool,
    /// It will take what comes as it comes.
    is_open: bool,
    /// It is in a list.
    is_listed: bool,
    is_parked: bool,
}

/// How it ended.
pub(super) enum Ended {
    Stopped(StopReason, Cycle),
    /// Something competes, or the run ends in a way that only the calendar tells.
    Irregular,
}

impl<'a> Flow<'a> {
    /// None where the image is not of the kind: with switches, control wavelets, or several tasks of a PE.
    pub(super) fn new(
        layout: &'a Layout,
        domain: &'a mut Domain,
        host_latency: u64,
    ) -> Option<Flow<'a>> {
        let net = &domain.net;
        let data =
            net.host_in.iter().all(|p| p.script.iter().all(|w| !w.control && w.cycle.0 < LAST));
        if !data || !net.switches.is_empty() || !process::are_processes(layout) {
            return None;
        }
        let wires = Wires::new(net, &layout.rivals)?;
        let processes = domain.pes.iter().map(|pe| Process {
            is_plain: layout.codes[pe.code as usize].threads == 1,
            is_open: false,
            is_listed: false,
            is_parked: false,
        });
        Some(Flow {
            layout,
            trees: Trees::new(&wires),
            wires,
            table: Table::default(),
            host_latency,
            processes: processes.collect(),
            running: Vec::new(),
            open: VecDeque::new(),
            parked: VecDeque::new(),
            later: Vec::new(),
            horizon: 0,
            safe: 0,
            fault: false,
            domain,
        })
    }

    /// Runs until something stops it, or something competes; the host may have received wavelets then.
    pub(super) fn run(&mut self, host: &mut (impl Host + ?Sized), limit: u64) -> Ended {
        self.list_all();
        let speaks = self.wires.lines.iter().any(|line| line.host != NONE);
        let window = if speaks { self.domain.net.host_cycles } else { LAST };
        self.horizon = window.min(limit).min(LAST);
        loop {
            self.work_off();
            if self.is_irregular() {
                return Ended::Irregular;
            }
            let next = self.later.iter().map(|(time, _)| *time).min();
            // What leaves for the host from now on arrives at this cycle or later.
            let certain = next.map_or(u64::MAX, |time| time + window);
            if let Some(ended) = self.deliver(host, certain, limit) {
                return ended;
            }
            let Some(next) = next else { return self.at_rest(limit) };
            if next >= limit {
                return self.end(StopReason::CycleLimit, limit);
            }
            if next >= LAST {
                return Ended::Irregular;
            }
            self.wires.forget(next as u32);
            self.safe = next;
            self.horizon = certain.min(limit).min(LAST);
            self.list_later();
        }
    }

    fn is_irregular(&self) -> bool {
        self.fault || self.wires.met
    }

    fn list_all(&mut self) {
        for at in (0..self.processes.len() as u32).rev() {
            self.go_on(at);
        }
        for at in 0..self.wires.lines.len() as u32 {
            if self.wires.has_pending(at) {
                self.list_line(at);
            }
        }
    }

    /// Has PE `at` looked at, which may have instructions to carry out.
    fn go_on(&mut self, at: u32) {
        if self.processes[at as usize].is_plain {
            self.running.push(at);
        } else {
            self.list_pe(at);
        }
    }

    fn list_pe(&mut self, at: u32) {
        if !std::mem::replace(&mut self.processes[at as usize].is_listed, true) {
            self.open.push_back(Actor::Pe(at));
        }
    }

    fn list_line(&mut self, at: u32) {
        if at != NONE && !std::mem::replace(&mut self.wires.lines[at as usize].is_listed, true) {
            self.open.push_back(Actor::Line(at));
        }
    }

    /// Has a source looked at whose receivers do not wait for its vector, once nothing else can go on.
    fn park(&mut self, at: u32) {
        if !std::mem::replace(&mut self.processes[at as usize].is_parked, true) {
            self.parked.push_back(at);
        }
    }

    fn list_later(&mut self) {
        for (_, actor) in std::mem::take(&mut self.later) {
            match actor {
                Actor::Line(at) => self.list_line(at),
                Actor::Pe(at) => self.list_pe(at),
            }
        }
    }

    /// Hands over the wavelets that reach the host before `certain`: none of those to come arrives before one of these.
    fn deliver(
        &mut self,
        host: &mut (impl Host + ?Sized),
        certain: u64,
        limit: u64,
    ) -> Option<Ended> {
        self.wires.to_host.sort_unstable();
        let due = self.wires.to_host.partition_point(|w| u64::from(w.0) < certain.min(limit + 1));
        let words: Vec<_> = self.wires.to_host.drain(..due).collect();
        for (cycle, port, payload) in words {
            let cycle = u64::from(cycle);
            let mut answers = Answers::after(Cycle(cycle), self.host_latency);
            let verdict = host.receive(Cycle(cycle), port as usize, payload, &mut answers);
            if verdict == Verdict::Stop {
                self.finish(cycle);
                let is_regular = !self.is_irregular();
                return Some(if is_regular {
                    self.end(StopReason::Host, cycle)
                } else {
                    Ended::Irregular
                });
            }
            if !answers.sent().is_empty() {
                return Some(Ended::Irregular);
            }
        }
        None
    }

    /// Decides what is left before `cycle`.
    fn finish(&mut self, cycle: u64) {
        self.horizon = cycle;
        while let Some(next) = self.later.iter().map(|(time, _)| *time).min() {
            if next >= cycle || self.is_irregular() {
                return;
            }
            self.safe = next;
            self.list_later();
            self.work_off();
        }
    }

    /// Decides all that can be decided before the horizon.
    fn work_off(&mut self) {
        while !self.is_irregular() {
            if let Some(at) = self.running.pop() {
                self.run_on(at);
            } else if let Some(actor) = self.open.pop_front() {
                self.visit(actor);
            } else if let Some(at) = self.parked.pop_front() {
                self.processes[at as usize].is_parked = false;
                self.list_pe(at);
            } else {
                return;
            }
        }
    }

    fn visit(&mut self, actor: Actor) {
        match actor {
            Actor::Pe(at) => {
                self.processes[at as usize].is_listed = false;
                if let Some(time) = self.advance_pe(at) {
                    self.later.push((time, actor));
                }
            }
            Actor::Line(at) => {
                self.wires.lines[at as usize].is_listed = false;
                self.advance_line(at);
            }
        }
    }

    /// Decides the departures of a line that can be decided; those that may follow from them are listed.
    fn advance_line(&mut self, at: u32) {
        let horizon = u32::try_from(self.horizon).unwrap_or(u32::MAX);
        let tree = self.trees.of[at as usize];
        if tree != NONE {
            self.settle(tree);
        }
        let (count, later) = self.wires.advance(at, horizon);
        if let Some(time) = later {
            self.later.push((time.into(), Actor::Line(at)));
        }
        if count == 0 {
            return;
        }
        let (behind, n) = self.wires.behind(at);
        for &next in &behind[..n] {
            let line = &self.wires.lines[next as usize];
            if line.is_input {
                let pe = line.pe;
                self.list_pe(pe);
            } else {
                self.list_line(next);
            }
        }
        let up = self.wires.lines[at as usize].upstream;
        if self.wires.lines[at as usize].pe != NONE {
            let pe = self.wires.lines[at as usize].pe;
            self.list_pe(pe);
        } else if self.wires.has_pending(up) {
            self.list_line(up);
        }
    }

    /// Nothing is left to be decided.
    fn at_rest(&mut self, limit: u64) -> Ended {
        self.settle_all();
        let running = self.domain.pes.iter().any(|pe| pe.task.is_some() || pe.running != 0);
        let left = (0..self.wires.lines.len() as u32).any(|at| self.wires.has_pending(at));
        if running || left {
            return Ended::Irregular;
        }
        let activity = self.activity();
        if activity >= limit {
            return self.end(StopReason::CycleLimit, limit);
        }
        self.end(StopReason::Finished, activity)
    }

    /// The end of activity (rule E-1).
    fn activity(&self) -> u64 {
        let mut activity = self.domain.net.activity;
        for line in &self.wires.lines {
            if line.left > 0 && line.upstream != NONE && !line.is_input {
                let last = u64::from(self.wires.departure(line, line.left - 1).time);
                if line.host != NONE {
                    activity = activity.max(last + self.domain.net.host_cycles);
                }
            }
            if line.upstream != NONE {
                let up = &self.wires.lines[line.upstream as usize];
                if up.left > 0 {
                    let last = u64::from(self.wires.departure(up, up.left - 1).time);
                    activity = activity.max(last + u64::from(line.latency));
                }
            }
        }
        activity
    }

    /// Leaves the state of the machine in the domain.
    fn end(&mut self, stop: StopReason, cycle: u64) -> Ended {
        self.settle_all();
        for at in 0..self.domain.pes.len() as u32 {
            self.account(at, cycle);
            let Domain { net, pes, .. } = &mut *self.domain;
            pes[at as usize].close_account(cycle, &net.gates[at as usize]);
        }
        for at in 0..self.domain.net.fifos.len() {
            let left = self.wires.lines[at as usize].left;
            self.domain.net.fifos[at].set_departed(left);
        }
        Ended::Stopped(stop, Cycle(cycle))
    }
}
