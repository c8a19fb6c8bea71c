//! The event-driven engine: the timing contract (docs, "Timing contract"), fast.
//!
//! Elaboration (`elaborate`) turns the image into flat arrays in which the inner loop sees no
//! colors and no coordinates: FIFOs (`fifo`) with the indices of the FIFOs behind them, links
//! (`link`), routers that need arbitration (`router`), PEs with programs (`pe`, `step`). A
//! calendar (`wheel`) says who may have something to do in which cycle. Whoever is blocked
//! computes when that ends, or, where it depends on what others will do, leaves a note with the
//! FIFO in question and sleeps.
//!
//! **Architecture Invariant:** visits of one cycle do not see each other. All effects carry a later
//! time (rule T-1: arrivals and credits take at least a cycle), and what is changed in place (a
//! freed slot, a popped head, a switch) shows its new face only to later cycles.

mod account;
mod agenda;
mod code;
mod elaborate;
mod fifo;
mod link;
mod net;
mod pe;
mod ramp;
mod router;
mod step;
mod stream;
mod stretch;
mod verdict;
mod watch;
mod wheel;

use crate::observe::{NoObserver, Observer};
use crate::run::{FinalState, Host, HostScript, Outcome, PeCounters, StopReason, Verdict};
use code::{Code, Constants};
use fabric::{PeIdx, WaferImage};
use net::Net;
use pe::{Pe, Trap};
use pe_isa::{Cycle, REGISTERS, Reg};
use stream::Stream;
use wheel::{Actor, Bucket, Kind};

/// Runs an image until it stops by itself, the host ends it, or `limit` is reached.
pub fn run(
    image: &WaferImage,
    script: &HostScript,
    host: &mut (impl Host + ?Sized),
    limit: Cycle,
    observer: &mut (impl Observer + ?Sized),
) -> Outcome {
    let mut engine = Engine::load(image);
    let (stop, cycle) = engine.run(script, host, limit, observer);
    Outcome { stop, cycle, state: engine.final_state() }
}

/// Visits whose memory is asked for together.
const AHEAD: usize = 16;

/// Where the state of each tile begins; 16 bytes a tile, which is all that an idle tile costs.
#[derive(Debug, Clone, Default)]
struct Tiles {
    first_fifo: Vec<u32>,
    first_link: Vec<u32>,
    /// Index of its PE, `u32::MAX` where there is no program.
    pe: Vec<u32>,
    /// Index of its route plan, `u32::MAX` where there is none.
    plan: Vec<u32>,
}

/// An image, elaborated and ready to run once. Clone it to run it again.
#[derive(Debug, Clone)]
pub struct Engine {
    net: Net,
    pes: Vec<Pe>,
    /// The operation of each PE that is a stream.
    streams: Vec<Stream>,
    /// Registers and SRAM of all PEs, see [`pe::Memory`].
    memory: Vec<u32>,
    codes: Vec<Code>,
    constants: Constants,
    plans: Vec<elaborate::Plan>,
    tiles: Tiles,
    /// Registers of tiles without a program that do not start at 0.
    idle_params: Vec<(usize, Reg, u32)>,
    bucket: Bucket,
    /// The state is larger than the host's caches, so that asking for it ahead pays.
    spread: bool,
    started: bool,
}

impl Engine {
    /// Elaborates an image, which must be free of lint errors.
    ///
    /// # Panics
    /// When a route leads nowhere or two host ports feed one FIFO.
    pub fn load(image: &WaferImage) -> Engine {
        elaborate::elaborate(image)
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
        loop {
            let next = self.net.wheel.next();
            let arrival = self.net.to_host.front().map(|w| w.cycle);
            let Some(now) = next.into_iter().chain(arrival).min() else {
                self.end_streams();
                return self.at_rest(limit);
            };
            if now > limit {
                return self.at_limit(limit);
            }
            self.go_to(now);
            if arrival == Some(now) && self.deliver(host) == Verdict::Stop {
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

    /// Goes on to cycle `now` and keeps ticks small, however long nothing happened.
    #[inline(always)]
    fn go_to(&mut self, now: u64) {
        self.net.now = now;
        if let Some(epoch) = self.net.next_epoch(now) {
            self.end_streams();
            self.account_before(epoch);
            self.net.begin_epoch(epoch);
        }
    }

    /// Brings all PEs up to date.
    fn end_streams(&mut self) {
        for pe in &mut self.pes {
            let gate = &mut self.net.gates[pe.index as usize];
            if gate.end_stream() {
                let threads = self.codes[pe.code as usize].threads;
                self.streams[pe.index as usize].leave(pe, threads, gate);
            }
        }
    }

    /// The limit is reached with visits left. They may all come to nothing, and then the run has
    /// stopped before the limit (rule E-3). Every decision moves the end of activity past its cycle
    /// (rule E-1), so that only a machine that was quiet just before the limit is asked.
    fn at_limit(&self, limit: u64) -> (StopReason, Cycle) {
        let activity = self.net.activity;
        if activity < limit {
            let mut trial = self.clone();
            while trial.net.activity == activity {
                let Some(now) = trial.net.wheel.next() else {
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
        if self.net.activity >= limit {
            return (StopReason::CycleLimit, Cycle(limit));
        }
        (self.rest_reason(), Cycle(self.net.activity))
    }

    fn schedule_host(&mut self, script: &HostScript) {
        assert!(
            script.ports.len() <= self.net.host_in.len(),
            "the script names {} host ports, the image has {}",
            script.ports.len(),
            self.net.host_in.len()
        );
        for (at, wavelets) in script.ports.iter().enumerate() {
            if let Some(first) = wavelets.first() {
                let actor = Actor::host_in(at as u32);
                self.net.wheel.at(first.cycle.0, actor);
            }
            self.net.host_in[at].script = wavelets.iter().rev().copied().collect();
        }
    }

    /// Hands over the wavelets that reach the host in this cycle (rule H-3).
    fn deliver(&mut self, host: &mut (impl Host + ?Sized)) -> Verdict {
        let now = self.net.now;
        while let Some(wavelet) = self.net.to_host.front().copied() {
            if wavelet.cycle > now {
                break;
            }
            self.net.to_host.pop_front();
            let verdict = host.receive(Cycle(now), wavelet.port as usize, wavelet.payload);
            if verdict == Verdict::Stop {
                return Verdict::Stop;
            }
        }
        Verdict::Continue
    }

    /// All decisions of one cycle. Returns the trap of the PE with the lowest index (rule P-8).
    fn cycle<O: Observer + ?Sized>(&mut self, observer: &mut O) -> Option<Trap> {
        let mut bucket = std::mem::take(&mut self.bucket);
        self.net.wheel.take(self.net.now, &mut bucket);
        for &fifo in &bucket.fifos {
            self.net.visit_fifo(fifo);
        }
        for routers in bucket.routers.chunks(AHEAD) {
            if self.spread {
                self.net.touch_routers(routers);
            }
            routers.iter().for_each(|&at| self.net.visit_router(at));
        }
        for actor in &bucket.others {
            match actor.kind() {
                Kind::Ramp(at) => self.net.visit_ramp(at),
                Kind::HostIn(at) => self.net.visit_host_in(at),
                Kind::Fifo(_) | Kind::Pe(_) | Kind::Router(_) => {
                    unreachable!("these have lists of their own")
                }
            }
        }
        if observer.active() {
            bucket.pes.sort_unstable();
        }
        let mut first: Option<Trap> = None;
        for pes in bucket.pes.chunks(AHEAD) {
            if self.spread {
                self.touch_pes(pes);
            }
            for &at in pes {
                let trap = self.visit_pe(at, observer);
                if first.is_none_or(|f| trap.is_some_and(|t| t.pe < f.pe)) {
                    first = trap;
                }
            }
        }
        self.net.end_cycle();
        if self.net.watched {
            self.tell(observer);
        }
        self.bucket = bucket;
        first
    }

    #[inline(always)]
    fn visit_pe<O: Observer + ?Sized>(&mut self, at: u32, observer: &mut O) -> Option<Trap> {
        let gate = &mut self.net.gates[at as usize];
        if gate.next != self.net.now {
            return None;
        }
        gate.next = u64::MAX;
        let (streaming, pe) = (gate.streaming, &mut self.pes[at as usize]);
        let (stream, memory) = (&mut self.streams[at as usize], &mut self.memory[..]);
        if streaming && stream.visit(at, &mut self.net, pe, memory) {
            return None;
        }
        let code = &self.codes[pe.code as usize];
        pe.visit(&mut self.net, stream, memory, code, &self.constants, observer)
    }

    /// Reads what visits of these PEs will read, so that the host's memory serves them together
    /// and not one after the other.
    #[inline(always)]
    fn touch_pes(&self, pes: &[u32]) {
        let mut seen = 0;
        for &at in pes {
            seen ^= self.net.gates[at as usize].wanted ^ self.streams[at as usize].touch();
        }
        for &at in pes {
            seen ^= self.streams[at as usize].touch_behind(&self.net, &self.memory);
        }
        std::hint::black_box(seen);
    }

    /// The SRAM of a PE in words; empty where there is no program.
    pub fn sram(&self, pe: PeIdx) -> &[u32] {
        match self.tiles.pe[pe.0 as usize] {
            u32::MAX => &[],
            at => &self.memory[self.pes[at as usize].memory.sram()],
        }
    }

    /// The counters of a PE (rules ).
    pub fn counters(&self, pe: PeIdx) -> PeCounters {
        match self.tiles.pe[pe.0 as usize] {
            u32::MAX => PeCounters::default(),
            at => self.pes[at as usize].counters,
        }
    }

    /// Wavelets sent through each output port of a tile's router (rule X-2).
    pub fn links(&self, tile: PeIdx) -> [u64; 5] {
        let at = tile.0 as usize;
        let mut sent = [0; 5];
        for (port, link) in self.tiles.links(at, &self.plans) {
            sent[port] = self.net.switched_sent.get(link as usize).copied().unwrap_or(0);
        }
        let plan = self.plans.get(self.tiles.plan[at] as usize);
        let fifos = plan.map_or(0, |p| p.keys.len() as u32);
        for fifo in self.tiles.first_fifo[at]..self.tiles.first_fifo[at] + fifos {
            self.net.add_sent(fifo, &mut sent);
        }
        sent
    }

    /// Wavelets sent through mesh outputs, over all routers.
    pub fn wavelet_hops(&self) -> u64 {
        let tiles = (0..self.tiles.pe.len() as u32).map(PeIdx);
        tiles.map(|t| self.links(t)[..4].iter().sum::<u64>()).sum()
    }

    /// The machine as it stands, copied.
    pub fn final_state(&self) -> FinalState {
        let tiles = self.tiles.pe.len();
        let mut state = FinalState {
            sram: vec![Vec::new(); tiles],
            regs: vec![[0; REGISTERS]; tiles],
            pes: vec![PeCounters::default(); tiles],
            links: (0..tiles as u32).map(|t| self.links(PeIdx(t))).collect(),
        };
        for &(at, reg, value) in &self.idle_params {
            state.regs[at][usize::from(reg.0)] = value;
        }
        for pe in &self.pes {
            let at = pe.tile.0 as usize;
            state.sram[at] = self.memory[pe.memory.sram()].to_vec();
            let regs = &self.memory[pe.memory.regs()];
            state.regs[at][..regs.len()].copy_from_slice(regs);
            state.pes[at] = pe.counters;
        }
        state
    }
}
