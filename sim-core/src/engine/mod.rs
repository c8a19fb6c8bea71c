//! The event-driven engine: the timing contract (docs, "Timing contract"), fast.
//!
//! Elaboration (`elaborate`) turns the image into flat arrays in which the inner loop sees no
//! colors and no coordinates: FIFOs (`fifo`) with the indices of the FIFOs behind them, links
//! (`link`), routers that need arbitration (`router`), PEs with programs (`pe`, `step`). A
//! calendar (`wheel`) says who may have something to do in which cycle. Whoever is blocked
//! computes when that ends, or, where it depends on what others will do, leaves a note with the
//! FIFO in question and sleeps. The wafer may be cut into domains (`domain`, `edge`), which several threads then visit
//! at the same time (`threads`). Where nothing competes, all that needs no calendar (`flow`).
//!
//! **Architecture Invariant:** visits of one cycle do not see each other. All effects carry a later
//! time (rule T-1: arrivals and credits take at least a cycle), and what is changed in place (a
//! freed slot, a popped head, a switch) shows its new face only to later cycles. So nothing that can be seen depends on
//! domains or threads.

mod account;
mod agenda;
mod border;
mod code;
mod domain;
mod edge;
mod elaborate;
mod fifo;
mod flow;
mod link;
mod net;
mod pe;
mod ramp;
mod replay;
mod router;
mod step;
mod stream;
mod stretch;
mod threads;
mod verdict;
mod watch;
mod wheel;

use crate::observe::{NoObserver, Observer};
use crate::run::{
    Answers, Data, FinalState, Host, HostScript, Outcome, PeCounters, StopReason, Verdict,
};
pub use border::Totals;
pub(crate) use border::{Border, Crossed, Gateway};
use code::{Code, Constants};
use domain::Domain;
use elaborate::Cut;
use fabric::{PeIdx, WaferImage};
use flow::{Ended, Flow};
use pe::Trap;
use pe_isa::{Cycle, Reg};
pub(crate) use replay::Replayed;
use std::num::NonZeroUsize;
use threads::Threads;
use wheel::Actor;

/// Runs an image until it stops by itself, the host ends it, or `limit` is reached.
///
/// # Panics
/// As [`Engine::load`].
pub fn run(
    image: &WaferImage,
    script: &HostScript,
    host: &mut (impl Host + ?Sized),
    limit: Cycle,
    observer: &mut (impl Observer + ?Sized),
) -> Outcome {
    run_for(image, (Data::Full, NonZeroUsize::MIN), script, host, limit, observer).0
}

/// The same with data or without, by a number of threads. Returns how many were of use, too.
///
/// Where nobody observes and nothing in the image competes, no calendar is needed (`flow`). Where something does, it is
/// found out on the way, and the run begins again; the host does not hear twice.
///
/// # Panics
/// As [`Engine::load`].
pub fn run_for(
    image: &WaferImage,
    (data, threads): (Data, NonZeroUsize),
    script: &HostScript,
    host: &mut (impl Host + ?Sized),
    limit: Cycle,
    observer: &mut (impl Observer + ?Sized),
) -> (Outcome, usize) {
    let mut host = Replayed::new(host);
    if !observer.active() && !observer.sees_events() {
        let mut engine = Engine::load_for(image, data, NonZeroUsize::MIN);
        if let Some((stop, cycle)) = engine.flow(script, &mut host, limit) {
            return (Outcome { stop, cycle, state: engine.final_state() }, 1);
        }
    }
    host.again();
    let engine = Engine::load_for(image, data, threads);
    let threads = engine.threads();
    (engine.outcome(script, &mut host, limit, observer), threads)
}

/// Visits whose memory is asked for together.
const AHEAD: usize = 16;

/// Where the state of each tile begins in its domain; 16 bytes a tile, which is all that an idle tile costs.
#[derive(Debug, Clone, Default)]
struct Tiles {
    first_fifo: Vec<u32>,
    first_link: Vec<u32>,
    /// Index of its PE, `u32::MAX` where there is no program.
    pe: Vec<u32>,
    /// Index of its route plan, `u32::MAX` where there is none.
    plan: Vec<u32>,
}

/// What elaboration makes of an image and no run changes.
#[derive(Debug, Clone)]
struct Layout {
    codes: Vec<Code>,
    constants: Constants,
    plans: Vec<elaborate::Plan>,
    /// For each FIFO of a route set, as bits by rank, the others that use one of its outputs.
    rivals: Vec<[u64; 2]>,
    tiles: Tiles,
    /// Registers of tiles without a program that do not start at 0.
    idle_params: Vec<(usize, Reg, u32)>,
    /// The state is larger than the host's caches, so that asking for it ahead pays.
    spread: bool,
    /// The FIFO of each way over the border of a cell (`border`): proxies of outlets, then inlets.
    ways: Vec<u32>,
}

/// An image, elaborated and ready to run once. Clone it to run it again.
#[derive(Debug, Clone)]
pub struct Engine {
    layout: Layout,
    /// In the order of their tiles.
    domains: Vec<Domain>,
    threads: Threads,
    /// Cycles from the host to the edge.
    host_latency: u64,
    data: Data,
    now: u64,
    started: bool,
}

impl Engine {
    /// Elaborates an image, which must be free of lint errors, to run it with data on the calling thread.
    ///
    /// # Panics
    /// When a route leads nowhere or two host ports feed one FIFO.
    pub fn load(image: &WaferImage) -> Engine {
        Engine::cut(image, Data::Full, Cut::For(1), 1)
    }

    /// The same, with data or without, for a number of threads: the image is cut into some domains for each, unless it is
    /// too small for that to pay, and cycles in which enough happens are shared by the threads. Without data no SRAM is
    /// allocated, and what the image has for it is not looked at.
    ///
    /// # Panics
    /// As [`Engine::load`].
    pub fn load_for(image: &WaferImage, data: Data, threads: NonZeroUsize) -> Engine {
        Engine::cut(image, data, Cut::For(threads.get()), threads.get())
    }

    /// The same with domains that begin at tile 0 and at the tiles `cuts`, ascending, and with every cycle shared by the
    /// threads, however little happens in it. That is slow; it shows that neither matters.
    ///
    /// # Panics
    /// As [`Engine::load`]; when the cuts do not ascend.
    pub fn load_cut(image: &WaferImage, data: Data, cuts: &[u32], threads: NonZeroUsize) -> Engine {
        let mut engine = Engine::cut(image, data, Cut::At(cuts), threads.get());
        engine.threads.share_all();
        engine
    }

    fn cut(image: &WaferImage, data: Data, cut: Cut<'_>, threads: usize) -> Engine {
        let (layout, domains) = elaborate::elaborate(image, data, cut, None);
        let threads = Threads::new(threads, domains.len());
        let host_latency = image.machine.host_latency_cycles();
        Engine { layout, domains, threads, host_latency, data, now: 0, started: false }
    }

    /// Threads that simulate: those asked for at most, and one where the image is one domain or the host gives no more.
    pub fn threads(&self) -> usize {
        self.threads.count()
    }

    /// Runs until something stops it, and gives the machine's final state.
    ///
    /// # Panics
    /// As [`Engine::run`].
    pub fn outcome(
        mut self,
        script: &HostScript,
        host: &mut (impl Host + ?Sized),
        limit: Cycle,
        observer: &mut (impl Observer + ?Sized),
    ) -> Outcome {
        let (stop, cycle) = self.run(script, host, limit, observer);
        Outcome { stop, cycle, state: self.final_state() }
    }

    /// Runs where nothing competes (`flow`). None where something does, or where the image is of another kind; the host may have
    /// heard of some wavelets then.
    ///
    /// # Panics
    /// When the wafer is cut into domains, or the engine has run before.
    pub fn flow(
        &mut self,
        script: &HostScript,
        host: &mut (impl Host + ?Sized),
        limit: Cycle,
    ) -> Option<(StopReason, Cycle)> {
        assert!(!self.started, "an engine runs once; clone it before");
        self.started = true;
        self.schedule_host(script);
        let [domain] = &mut self.domains[..] else { panic!("the wafer is cut into domains") };
        match Flow::new(&self.layout, domain, self.host_latency)?.run(host, limit.0) {
            Ended::Stopped(stop, cycle) => Some((stop, cycle)),
            Ended::Irregular => None,
        }
    }

    /// Runs until something stops it. Returns why, and at which cycle.
    ///
    /// # Panics
    /// When the engine has run before.
    pub fn run(
        &mut self,
        script: &HostScript,
        host: &mut (impl Host + ?Sized),
        limit: Cycle,
        observer: &mut (impl Observer + ?Sized),
    ) -> (StopReason, Cycle) {
        assert!(!self.started, "an engine runs once; clone it before");
        self.started = true;
        if observer.sees_events() {
            self.watch();
        }
        self.schedule_host(script);
        let stop = self.run_until(host, limit.0, observer);
        self.end_streams();
        self.close_accounts(&stop);
        stop
    }

    fn run_until(
        &mut self,
        host: &mut (impl Host + ?Sized),
        limit: u64,
        observer: &mut (impl Observer + ?Sized),
    ) -> (StopReason, Cycle) {
        self.domains.iter_mut().for_each(Domain::look_ahead);
        loop {
            let Some(now) = self.next() else {
                self.end_streams();
                return self.at_rest(limit);
            };
            if now > limit {
                return self.at_limit(limit);
            }
            self.go_to(now);
            if self.deliver(now, host) == Verdict::Stop {
                return (StopReason::Host, Cycle(now));
            }
            if now == limit {
                return self.at_limit(limit);
            }
            if let Some(trap) = self.cycle(observer) {
                let stop = StopReason::Trap {
                    pe: trap.pe,
                    instruction: trap.instruction,
                    fault: trap.fault,
                };
                return (stop, Cycle(now));
            }
        }
    }

    /// The first cycle in which there is something to do.
    #[inline(always)]
    fn next(&self) -> Option<u64> {
        let next = self.domains.iter().map(|d| d.next).min();
        next.filter(|&cycle| cycle < u64::MAX)
    }

    /// The end of activity (rule E-1), as far as the run has come.
    fn activity(&self) -> u64 {
        self.domains.iter().map(|d| d.net.activity).max().expect("there is a domain")
    }

    /// Goes on to cycle `now` and keeps ticks small, however long nothing happened.
    #[inline(always)]
    fn go_to(&mut self, now: u64) {
        self.now = now;
        if let Some(epoch) = self.domains[0].net.next_epoch(now) {
            self.end_streams();
            self.account_before(epoch);
            self.domains.iter_mut().for_each(|d| d.net.begin_epoch(epoch));
        }
    }

    /// All decisions of one cycle. Returns the trap of the PE with the lowest index (rule P-8).
    #[inline(always)]
    fn cycle<O: Observer + ?Sized>(&mut self, observer: &mut O) -> Option<Trap> {
        let Engine { layout, domains, threads, now, .. } = self;
        let mut trap = None;
        if !observer.active() && threads.share(domains, *now) {
            trap = threads.cycle(domains, layout, *now);
        } else {
            for domain in domains.iter_mut().filter(|d| d.next == *now) {
                let of_domain = domain.cycle(*now, layout, observer);
                trap = trap.or(of_domain);
            }
        }
        edge::exchange(domains, *now);
        self.tell(observer);
        trap
    }

    /// Brings all PEs up to date.
    fn end_streams(&mut self) {
        self.domains.iter_mut().for_each(|d| d.end_streams(&self.layout));
    }

    /// The limit is reached with visits left. They may all come to nothing, and then the run has
    /// stopped before the limit (rule E-3). Every decision moves the end of activity past its cycle
    /// (rule E-1), so that only a machine that was quiet just before the limit is asked.
    fn at_limit(&self, limit: u64) -> (StopReason, Cycle) {
        let activity = self.activity();
        if activity < limit {
            let mut trial = self.clone();
            while trial.activity() == activity {
                let Some(now) = trial.next() else {
                    trial.end_streams();
                    return trial.at_rest(limit);
                };
                trial.go_to(now);
                if trial.cycle(&mut NoObserver).is_some() {
                    break;
                }
            }
        }
        (StopReason::CycleLimit, Cycle(limit))
    }

    /// Nothing can happen any more (rules E-2, E-3).
    fn at_rest(&self, limit: u64) -> (StopReason, Cycle) {
        let activity = self.activity();
        if activity >= limit {
            return (StopReason::CycleLimit, Cycle(limit));
        }
        (self.rest_reason(), Cycle(activity))
    }

    fn schedule_host(&mut self, script: &HostScript) {
        let ports: usize = self.domains.iter().map(|d| d.net.host_in.len()).sum();
        assert!(
            script.ports.len() <= ports,
            "the script names {} host ports, the image has {ports}",
            script.ports.len(),
        );
        for Domain { net, .. } in &mut self.domains {
            for (at, port) in net.host_in.iter_mut().enumerate() {
                let Some(wavelets) = script.ports.get(port.port) else { continue };
                if let Some(first) = wavelets.first() {
                    net.wheel.at(first.cycle.0, Actor::host_in(at as u32));
                }
                port.script = wavelets.iter().copied().collect();
            }
        }
    }

    /// Hands over the wavelets that reach the host in this cycle, by port (rule H-3), and takes its answers.
    #[inline(always)]
    fn deliver(&mut self, now: u64, host: &mut (impl Host + ?Sized)) -> Verdict {
        loop {
            let arrivals = self.domains.iter_mut().filter(|d| d.next == now && d.delivers(now));
            let Some(domain) = arrivals.min_by_key(|d| d.net.to_host[0].port) else {
                return Verdict::Continue;
            };
            let wavelet = domain.net.to_host.pop_front().expect("it delivers");
            let mut answers = Answers::after(Cycle(now), self.host_latency);
            let port = wavelet.port as usize;
            let verdict = host.receive(Cycle(now), port, wavelet.payload, &mut answers);
            if verdict == Verdict::Stop {
                return Verdict::Stop;
            }
            if !answers.sent().is_empty() {
                self.send(&answers);
            }
        }
    }

    /// Puts the host's answers (rule H-4) behind what it sends through the same ports. None of them stands at the edge in this
    /// cycle, which has not begun.
    #[inline(never)]
    fn send(&mut self, answers: &Answers) {
        for &(port, wavelet) in answers.sent() {
            let at = |d: &Domain| d.net.host_in.iter().position(|h| h.port == port);
            let mut places = self.domains.iter_mut().map(|d| (at(d), d));
            let place = places.find_map(|(at, domain)| Some((at?, domain)));
            let (at, domain) = place.unwrap_or_else(|| panic!("the image has no host port {port}"));
            if domain.net.send_later(at as u32, wavelet) {
                domain.next = domain.next.min(wavelet.cycle.0);
            }
        }
    }

    fn domain_of(&self, tile: PeIdx) -> &Domain {
        let at = self.domains.partition_point(|d| d.tiles.end <= tile.0);
        &self.domains[at]
    }

    /// The SRAM of a PE in words; empty where there is no program, and without data.
    pub fn sram(&self, pe: PeIdx) -> &[u32] {
        self.domain_of(pe).sram(pe, &self.layout)
    }

    /// The counters of a PE (rules ).
    pub fn counters(&self, pe: PeIdx) -> PeCounters {
        self.domain_of(pe).counters(pe, &self.layout)
    }

    /// Wavelets sent through each output port of a tile's router (rule X-2).
    pub fn links(&self, tile: PeIdx) -> [u64; 5] {
        self.domain_of(tile).links(tile, &self.layout)
    }

    /// Wavelets sent through mesh outputs, over all routers.
    pub fn wavelet_hops(&self) -> u64 {
        let tiles = (0..self.layout.tiles.pe.len() as u32).map(PeIdx);
        tiles.map(|t| self.links(t)[..4].iter().sum::<u64>()).sum()
    }

    /// The machine as it stands, copied.
    pub fn final_state(&self) -> FinalState {
        let tiles = self.layout.tiles.pe.len();
        let mut state = FinalState::blank(tiles, self.data);
        for &(at, reg, value) in &self.layout.idle_params {
            state.regs[at][usize::from(reg.0)] = value;
        }
        self.domains.iter().for_each(|d| d.copy_to(&mut state, &self.layout));
        state
    }
}
