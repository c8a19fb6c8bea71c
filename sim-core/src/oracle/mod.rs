//! The oracle: the timing contract (docs, "Timing contract"), executed literally.
//!
//! For each cycle, everything is decided from the state at the start of the cycle, and then carried
//! out (T-1). It is slow on purpose: what it does can be read off the rules that its blocks cite.
//! Cycles are passed over only when a cycle changed nothing and no timer lies in between.
//!
//! **Architecture Invariant:** no stepping code is shared with the engine; only the data types, the
//! arithmetic of single elements and the cost table are.

mod account;
mod fifo;
mod pe;
mod report;
mod router;
mod step;

use crate::observe::{Event, Observer, What};
use crate::run::{Answers, Data, FinalState, Host, HostScript, HostWavelet, Outcome};
use crate::run::{StopReason, Verdict};
use account::Account;
use fabric::{PeIdx, Port, WaferImage};
use fifo::Clock;
use pe::{Acts, Pe};
use pe_isa::{Color, Cycle, Cycles};
use router::{Firing, HostLane, Router};
use std::collections::BTreeMap;
use step::Bench;

/// Runs an image by the contract until it stops, at `limit` at the latest. With data.
///
/// # Panics
/// When `fabric::lint` finds an error in the image.
pub fn run(
    image: &WaferImage,
    script: &HostScript,
    host: &mut dyn Host,
    limit: Cycle,
    observer: &mut dyn Observer,
) -> Outcome {
    run_shuffled(image, script, host, limit, observer, 0)
}

/// As [`run`], with data or without.
///
/// # Panics
/// As [`run`].
pub fn run_with(
    image: &WaferImage,
    data: Data,
    script: &HostScript,
    host: &mut dyn Host,
    limit: Cycle,
    observer: &mut dyn Observer,
) -> Outcome {
    run_counting((image, data), script, host, limit, observer, 0).0
}

/// As [`run`], visiting the tiles of each cycle in an order that depends on `seed` (0: by index).
/// By rule T-1 the outcome is the same for every seed.
///
/// # Panics
/// As [`run`].
pub fn run_shuffled(
    image: &WaferImage,
    script: &HostScript,
    host: &mut dyn Host,
    limit: Cycle,
    observer: &mut dyn Observer,
    seed: u64,
) -> Outcome {
    run_counting((image, Data::Full), script, host, limit, observer, seed).0
}

/// How often wavelets that could have gone by their own rules were in each other's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contention {
    /// Candidates held up by an output that was taken, reserved or not within its rate.
    pub by_output: u64,
    /// Candidates held up by a full FIFO downstream.
    pub by_slot: u64,
}

/// As [`run_shuffled`], with data or without, counting cycles in which candidates were held up. For statistics of tests.
///
/// # Panics
/// As [`run`].
pub fn run_counting(
    (image, data): (&WaferImage, Data),
    script: &HostScript,
    host: &mut dyn Host,
    limit: Cycle,
    observer: &mut dyn Observer,
    seed: u64,
) -> (Outcome, Contention) {
    let mut contention = Contention::default();
    let error = fabric::lint::errors(image).into_iter().next();
    assert!(error.is_none(), "the image cannot run: {error:?}");
    let mut wafer = Wafer::new(image, data, script);
    wafer.events = observer.sees_events().then(Vec::new);
    let mut order: Vec<usize> = (0..image.tiles.len()).collect();
    let mut random = seed;
    let mut t = Cycle::ZERO;
    let stop = loop {
        if wafer.receive(t, host) {
            break (StopReason::Host, t); // H-3, E-4
        }
        if t >= limit && wafer.clock.end_of_activity >= limit {
            break (StopReason::CycleLimit, limit); // E-3
        }
        wafer.begin(t, observer);
        shuffle(&mut order, &mut random);
        let decisions: Vec<Decided> = order.iter().map(|&at| wafer.decide(at, t)).collect();
        let lanes = wafer.decide_host(t);
        for decided in &decisions {
            contention.by_output += decided.firing.held.by_output;
            contention.by_slot += decided.firing.held.by_slot;
        }
        let nothing = lanes.is_empty() && decisions.iter().all(Decided::is_nothing);
        if t >= limit && !nothing {
            break (StopReason::CycleLimit, limit); // E-3: it would have gone on
        }
        for (&at, decided) in order.iter().zip(&decisions) {
            wafer.account(at, decided, t);
            wafer.carry_out(at, decided, t);
        }
        for port in lanes {
            router::send_from_host(&mut wafer, port, t);
        }
        wafer.tell(observer);
        if let Some(trap) = wafer.first_trap() {
            break (trap, t); // P-8
        }
        let next = wafer.clock.next_after(t);
        t = match next {
            _ if !nothing => t + Cycles(1),
            Some(timer) if t < limit => timer.min(limit),
            Some(timer) => timer,
            None => break (wafer.at_rest(t), wafer.clock.end_of_activity), // E-2
        };
    };
    wafer.close(stop.1);
    let outcome = Outcome { stop: stop.0, cycle: stop.1, state: wafer.state };
    (outcome, contention)
}

/// Fisher and Yates, with a linear congruential generator; leaves the order alone for seed 0.
fn shuffle(order: &mut [usize], random: &mut u64) {
    if *random == 0 {
        return;
    }
    for at in (1..order.len()).rev() {
        *random = random.wrapping_mul(6364136223846793005).wrapping_add(1) | 1;
        order.swap(at, (*random >> 33) as usize % (at + 1));
    }
}

/// Everything that changes in a run.
struct Wafer<'a> {
    image: &'a WaferImage,
    /// H-1, H-4: all that the host sends, by port.
    script: Vec<Vec<HostWavelet>>,
    routers: Vec<Router>,
    pes: Vec<Option<Pe<'a>>>,
    /// H-1.
    lanes: Vec<HostLane>,
    /// H-2: what is on its way to the host, by cycle and port (H-3).
    to_host: BTreeMap<(Cycle, usize), u32>,
    /// P-8: instruction and fault, by tile.
    traps: BTreeMap<usize, (u16, pe_isa::Fault)>,
    /// X-3, by tile.
    accounts: Vec<Account>,
    state: FinalState,
    clock: Clock,
    /// What happened in this cycle, where an observer wants to know.
    events: Option<Vec<Event>>,
}

/// What a tile does in one cycle.
#[derive(Debug, Default)]
struct Decided {
    firing: Firing,
    pe: Acts,
}

impl<'a> Wafer<'a> {
    fn new(image: &'a WaferImage, data: Data, script: &'a HostScript) -> Wafer<'a> {
        let tiles = 0..image.tiles.len();
        let mut clock = Clock::default();
        for wavelet in script.ports.iter().flatten() {
            clock.timer(wavelet.cycle); // H-1
        }
        let mut script = script.ports.clone();
        script.resize(image.host_in.len(), Vec::new());
        Wafer {
            image,
            script,
            routers: tiles.clone().map(|at| Router::new(image, at)).collect(),
            accounts: tiles.clone().map(|_| Account::default()).collect(),
            pes: tiles.map(|at| Pe::new(image, at, data)).collect(),
            lanes: image.host_in.iter().map(|p| HostLane::new(image, p)).collect(),
            to_host: BTreeMap::new(),
            traps: BTreeMap::new(),
            state: FinalState::initial(image, data),
            clock,
            events: None,
        }
    }

    /// H-3: hands over what reaches the host at `t`, and takes its answers (H-4). Returns whether the host ends the run.
    fn receive(&mut self, t: Cycle, host: &mut dyn Host) -> bool {
        while let Some(entry) = self.to_host.first_entry() {
            let (cycle, port) = *entry.key();
            if cycle > t {
                break;
            }
            let mut answers = Answers::to(cycle, &self.image.machine);
            if host.receive(cycle, port, entry.remove(), &mut answers) == Verdict::Stop {
                return true;
            }
            // H-4
            for &(port, wavelet) in answers.sent() {
                self.script[port].push(wavelet);
                self.clock.timer(wavelet.cycle);
            }
        }
        false
    }

    /// Brings the state to the start of cycle `t`; passes the marks that are reached (P-3).
    fn begin(&mut self, t: Cycle, observer: &mut dyn Observer) {
        for (at, pe) in self.pes.iter_mut().enumerate() {
            let Some(pe) = pe else { continue };
            pe.settle(t);
            while let Some(mark) = pe.pass_mark(t) {
                observer.mark(t, PeIdx(at as u32), mark, &self.state.sram[at]);
            }
        }
    }

    fn decide(&self, at: usize, t: Cycle) -> Decided {
        let router = &self.routers[at];
        let up = |color: Color| router.fifos[&(Port::Ramp, color)].has_slot(t);
        Decided {
            firing: router.decide(self, at, t),
            pe: self.pes[at].as_ref().map_or_else(Acts::default, |pe| pe.decide(t, up)),
        }
    }

    fn decide_host(&self, t: Cycle) -> Vec<usize> {
        let ports = 0..self.lanes.len();
        ports.filter(|&p| self.lanes[p].decide(self, p, t)).collect()
    }

    /// notes what the PE spends cycle `t` on, before what was decided is carried out.
    fn account(&mut self, at: usize, decided: &Decided, t: Cycle) {
        if let Some(pe) = &self.pes[at] {
            self.accounts[at].note(t, pe.spends(t, &decided.pe));
        }
    }

    /// Shows the observer what happened in this cycle.
    fn tell(&mut self, observer: &mut dyn Observer) {
        if let Some(events) = &mut self.events {
            events.sort_unstable();
            events.drain(..).for_each(|event| observer.event(&event));
        }
    }

    fn saw(&mut self, t: Cycle, at: usize, what: What) {
        if let Some(events) = &mut self.events {
            events.push(Event { cycle: t, tile: PeIdx(at as u32), what });
        }
    }

    /// the run stops at `stop`.
    fn close(&mut self, stop: Cycle) {
        for (pe, account) in self.state.pes.iter_mut().zip(&self.accounts) {
            pe.cycles = account.close(stop);
        }
    }

    fn carry_out(&mut self, at: usize, decided: &Decided, t: Cycle) {
        router::fire(self, at, &decided.firing, t);
        let Some(pe) = self.pes[at].as_mut() else {
            return;
        };
        let machine = &self.image.machine;
        if let Some(queue) = decided.pe.send {
            //
            let (color, wavelet) = pe.send(queue, t, &mut self.clock);
            let up = self.routers[at].fifos.get_mut(&(Port::Ramp, color));
            let up = up.expect("lint: a route takes the color from the ramp");
            up.push(t, wavelet, &mut self.clock); // F-3
        }
        if let Some(thread) = decided.pe.step {
            let mut bench =
                Bench { at, t, machine, state: &mut self.state, clock: &mut self.clock };
            if let Err(trap) = pe.step(thread, &mut bench) {
                self.traps.insert(at, trap);
            }
        }
        let ends = (&mut self.state, &mut self.clock);
        pe.discard_and_launch(&decided.pe, (at, t), machine, ends);
        let seen = std::mem::take(&mut pe.seen);
        seen.into_iter().for_each(|what| self.saw(t, at, what));
    }

    /// Whether the FIFO behind output `out` of router `at` has a free slot for the color.
    fn has_slot(&self, at: usize, out: Port, color: Color, t: Cycle) -> bool {
        if out == Port::Ramp {
            let pe = self.pes[at].as_ref().expect("lint: the ramp has a PE");
            let mut inputs = pe.bound_inputs();
            let fifo = inputs.find(|fifo| fifo.color == color);
            return fifo.expect("lint: a queue is bound").has_slot(t);
        }
        match self.neighbour(at, out) {
            Some(next) => self.routers[next].fifos[&(out.opposite(), color)].has_slot(t),
            None => true, // H-2
        }
    }

    fn neighbour(&self, at: usize, port: Port) -> Option<usize> {
        let machine = &self.image.machine;
        let here = self.image.coord(PeIdx(at as u32));
        let next = here.neighbour(port, machine.width, machine.height)?;
        Some(self.image.index(next).0 as usize)
    }

    fn host_port(&self, at: usize, port: Port, color: Color) -> usize {
        let tile = PeIdx(at as u32);
        let mut ports = self.image.host_out.iter();
        let found = ports.position(|h| (h.tile, h.port, h.color) == (tile, port, color));
        found.expect("lint: a host port is there")
    }

    /// P-8: the trap of the PE of lowest index.
    fn first_trap(&self) -> Option<StopReason> {
        let (&at, &(instruction, fault)) = self.traps.first_key_value()?;
        Some(StopReason::Trap { pe: PeIdx(at as u32), instruction, fault })
    }

    fn script(&self, port: usize) -> &[HostWavelet] {
        &self.script[port]
    }
}
