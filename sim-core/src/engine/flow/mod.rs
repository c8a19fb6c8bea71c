//! Runs of images in which nothing ever competes, evaluated as a network of processes.

mod bulk;
mod meeting;
mod nets;
mod opening;
mod process;
mod wires;

use super::Layout;
use super::domain::Domain;
use crate::run::{Answers, Host, StopReason, Verdict};
use pe_isa::Cycle;
use meeting::Table;
use nets::Nets;
use wires::{NONE, Wires};

/// A process, as an entry of the list of work: a line, or a PE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    Line(u32),
    Pe(u32),
}

pub(super) struct Flow<'a> {
    layout: &'a Layout,
    domain: &'a mut Domain,
    wires: Wires,
    nets: Nets,
    table: Table,
    /// PEs of one thread that go on.
    fast: Vec<u32>,
    /// PEs whose vectors wait for receivers.
    parked: std::collections::VecDeque<u32>,
    is_parked: Vec<bool>,
    is_open: Vec<bool>,
    is_plain: Vec<bool>,
    work: std::collections::VecDeque<Work>,
    pe_queued: Vec<bool>,
    /// What is known to come at or after the horizon.
    later: Vec<(u64, Work)>,
    /// No decision at or after this cycle is taken.
    horizon: u64,
    /// Before and at this cycle nothing else can happen.
    safe: u64,
    fault: bool,
    host_latency: u64,
    stats: [u64; 8],
}

/// How it ended.
pub(super) enum Ended {
    Stopped(StopReason, Cycle),
    /// Something competes, or the run ends in a way that only the calendar tells.
    Irregular,
}

impl<'a> Flow<'a> {
    /// None where the image is not of the kind.
    pub(super) fn new(
        layout: &'a Layout,
        domain: &'a mut Domain,
        host_latency: u64,
    ) -> Option<Flow<'a>> {
        let net = &domain.net;
        let plain = net.switches.is_empty();
        let plain = plain && net.host_in.iter().all(|p| p.script.iter().all(|w| !w.control));
        if !plain || !process::are_processes(layout) {
            return None;
        }
        let wires = Wires::new(net);
        let pes = domain.pes.len();
        let plain = |pe: &crate::engine::pe::Pe| layout.codes[pe.code as usize].threads == 1;
        Some(Flow {
            layout,
            nets: Nets::new(&wires),
            table: Table::default(),
            fast: Vec::new(),
            parked: Default::default(),
            is_parked: vec![false; pes],
            is_open: vec![false; pes],
            is_plain: domain.pes.iter().map(plain).collect(),
            wires,
            work: Default::default(),
            pe_queued: vec![false; pes],
            later: Vec::new(),
            horizon: 0,
            safe: 0,
            fault: false,
            host_latency,
            stats: [0; 8],
            domain,
        })
    }

    fn queue_line(work: &mut std::collections::VecDeque<Work>, wires: &mut Wires, at: u32) {
        if at == NONE {
            return;
        }
        let line = &mut wires.lines[at as usize];
        if !line.queued {
            line.queued = true;
            work.push_back(Work::Line(at));
        }
    }

    fn queue_pe(&mut self, at: u32) {
        if !self.pe_queued[at as usize] {
            self.pe_queued[at as usize] = true;
            self.work.push_back(Work::Pe(at));
        }
    }

    pub(super) fn run(&mut self, host: &mut (impl Host + ?Sized), limit: u64) -> Ended {
        for at in (0..self.domain.pes.len() as u32).rev() {
            if self.is_plain[at as usize] {
                self.fast.push(at);
            } else {
                self.queue_pe(at);
            }
        }
        for at in 0..self.wires.lines.len() as u32 {
            if self.wires.has_pending(at) {
                Self::queue_line(&mut self.work, &mut self.wires, at);
            }
        }
        let speaks = self.wires.lines.iter().any(|line| line.host != NONE);
        let window = if speaks { self.domain.net.host_cycles } else { u64::from(u32::MAX) };
        self.horizon = window.min(limit);
        loop {
            self.work_off();
            if self.fault || self.wires.met {
                return Ended::Irregular;
            }
            let next = self.later.iter().map(|(time, _)| *time).min();
            // What leaves for the host from now on arrives after this.
            let certain = next.map_or(u64::MAX, |time| time.saturating_add(window));
            self.wires.to_host.sort_unstable();
            let due = self.wires.to_host.partition_point(|w| u64::from(w.0) < certain);
            let words: Vec<_> = self.wires.to_host.drain(..due).collect();
            for (cycle, port, payload) in words {
                let cycle = u64::from(cycle);
                if cycle > limit {
                    break;
                }
                let mut answers = Answers::after(Cycle(cycle), self.host_latency);
                let verdict = host.receive(Cycle(cycle), port as usize, payload, &mut answers);
                if !answers.sent().is_empty() {
                    return Ended::Irregular;
                }
                if verdict == Verdict::Stop {
                    self.horizon = cycle;
                    self.finish_window();
                    if self.fault || self.wires.met {
                        return Ended::Irregular;
                    }
                    return self.end(StopReason::Host, cycle);
                }
            }
            let Some(next) = next else { return self.at_rest(limit) };
            if next >= limit {
                return self.end(StopReason::CycleLimit, limit);
            }
            self.wires.forget(next as u32);
            self.stats[5] += 1;
            self.stats[6] += self.later.len() as u64;
            self.safe = next;
            self.horizon = certain.min(limit);
            self.requeue();
        }
    }

    /// Takes all steps before the horizon that are left.
    fn finish_window(&mut self) {
        loop {
            let next = self.later.iter().map(|(time, _)| *time).min();
            match next {
                Some(next) if next < self.horizon => {
                    self.safe = next;
                    self.requeue();
                    self.work_off();
                }
                _ => return,
            }
        }
    }

    fn requeue(&mut self) {
        for (_, work) in std::mem::take(&mut self.later) {
            match work {
                Work::Line(at) => Self::queue_line(&mut self.work, &mut self.wires, at),
                Work::Pe(at) => self.queue_pe(at),
            }
        }
    }

    fn work_off(&mut self) {
        loop {
            while let Some(at) = self.fast.pop() {
                self.stats[7] += 1;
                self.run_on(at);
                if self.fault || self.wires.met {
                    return;
                }
            }
            let work = match (self.work.pop_front(), self.parked.pop_front()) {
                (Some(work), parked) => {
                    if let Some(at) = parked {
                        self.parked.push_front(at);
                    }
                    work
                }
                (None, Some(at)) => {
                    self.is_parked[at as usize] = false;
                    self.queue_pe(at);
                    continue;
                }
                (None, None) => return,
            };
            match work {
                Work::Pe(at) => {
                    self.pe_queued[at as usize] = false;
                    self.stats[3] += 1;
                    if let Some(time) = self.advance_pe(at) {
                        self.later.push((time, work));
                    }
                    if self.fault {
                        return;
                    }
                }
                Work::Line(at) => {
                    self.wires.lines[at as usize].queued = false;
                    self.advance_line(at);
                    if self.wires.met {
                        return;
                    }
                }
            }
        }
    }

    fn advance_line(&mut self, at: u32) {
        let horizon = u32::try_from(self.horizon).unwrap_or(u32::MAX);
        let (count, later) = self.wires.advance(at, horizon);
        self.stats[0] += 1;
        self.stats[1] += u64::from(count);
        self.stats[2] += u64::from(count == 0);
        if let Some(time) = later {
            self.later.push((time.into(), Work::Line(at)));
        }
        if count == 0 {
            return;
        }
        let (behind, n) = self.wires.behind(at);
        for &next in &behind[..n] {
            let line = &self.wires.lines[next as usize];
            if line.is_input {
                let pe = line.pe;
                self.queue_pe(pe);
            } else {
                Self::queue_line(&mut self.work, &mut self.wires, next);
            }
        }
        let up = self.wires.lines[at as usize].upstream;
        if self.wires.lines[at as usize].pe != NONE {
            let pe = self.wires.lines[at as usize].pe;
            self.queue_pe(pe);
        } else if self.wires.has_pending(up) {
            Self::queue_line(&mut self.work, &mut self.wires, up);
        }
    }

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

    fn end(&mut self, stop: StopReason, cycle: u64) -> Ended {
        self.settle_all();
        if std::env::var("DUMP").is_ok() {
            for at in 0..self.wires.lines.len() as u32 {
                let l = &self.wires.lines[at as usize];
                let last = l.left.checked_sub(1).map(|n| self.wires.departure(l, n).time);
                eprintln!("line {at} up {} left {} last {last:?} pe {} in {} cap {} lat {}", l.upstream, l.left, l.pe, l.is_input, l.capacity, l.latency);
            }
            eprintln!("horizon {} later {:?} parked {:?} open {:?}", self.horizon, self.later, self.parked, self.is_open);
        }
        if std::env::var("STATS").is_ok() { eprintln!("line visits, departures, empty; pe visits, steps; windows, later {:?}", self.stats); }
        for at in 0..self.domain.pes.len() as u32 {
            self.account(at, cycle);
            let gate = self.domain.net.gates[at as usize].clone();
            self.domain.pes[at as usize].close_account(cycle, &gate);
        }
        for at in 0..self.domain.net.fifos.len() {
            let left = self.wires.lines[at as usize].left;
            self.domain.net.fifos[at].set_departed(left);
        }
        Ended::Stopped(stop, Cycle(cycle))
    }
}
