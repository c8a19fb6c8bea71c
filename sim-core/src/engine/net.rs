//! The wires at work: FIFOs, routes, links, switches and who sleeps on what.

use super::edge::{Beyond, Message};
use super::fifo::{Fifos, Marks, Room, Stage, Taken, Wavelet};
use super::link::Links;
use super::watch::{Noted, Watch};
use super::wheel::{Actor, Kind, Wheel};

/// One output of a route at one switch position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Out {
    /// The FIFO that the wavelet goes into, or [`Out::HOST`] and an index of a host port.
    pub(super) dest: u32,
    pub(super) link: u32,
}

impl Out {
    /// Marks a destination off the wafer.
    pub(super) const HOST: u32 = 1 << 31;
}

/// Some consecutive [`Out`]s: what a FIFO sends to at one switch position; none where the
/// position does not take from its port.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outs {
    pub(super) first: u32,
    pub(super) count: u8,
    /// The output ports as bits, for arbitration.
    pub(super) ports: u8,
    /// Whether wavelets turn at a right angle (rule L-2).
    pub(super) bend: bool,
}

impl Outs {
    #[inline(always)]
    pub(super) fn range(self) -> std::ops::Range<usize> {
        self.first as usize..self.first as usize + usize::from(self.count)
    }
}

/// The outputs of a FIFO whose route has several positions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Switched {
    pub(super) switch: u32,
    pub(super) positions: [Outs; 4],
}

/// The selected position of a route with several (rules S-1, S-2).
#[derive(Debug, Clone, Default)]
pub(super) struct Switch {
    pub(super) position: u8,
    pub(super) positions: u8,
    /// The FIFOs of this route at this router.
    pub(super) fifos: Vec<u32>,
}

/// A router in which colors meet at outputs. The others need no state of their own: where no two
/// colors share an output, no FIFO can find an output taken or reserved by another one (rules A-3,
/// A-4; of the FIFOs of one color only the selected one is a candidate), so neither the order of the
/// visit nor the cursor ever decides anything.
#[derive(Debug, Clone, Default)]
#[repr(align(64))]
pub(super) struct Router {
    /// FIFOs that are not empty, as bits by rank: at most 32 colors × 4 positions.
    pub(super) waiting: [u64; 2],
    /// Cycle of the next visit; other entries of the calendar are stale.
    pub(super) next: u64,
    /// Its FIFOs are `first ..` in key order.
    pub(super) first: u32,
    pub(super) count: u8,
    /// Rule A-1, as the rank of the first FIFO at or after the cursor's key.
    pub(super) cursor: u8,
    /// Where its FIFOs' rivals begin in [`super::Layout::rivals`].
    pub(super) rivals: u32,
}

/// What the fabric must know of a PE: to wake it no more often than needed, and to empty its output
/// queues (rule R-1).
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Gate {
    /// Cycle of the PE's next visit; other entries of the calendar are stale.
    pub(super) next: u64,
    /// First cycle in which the datapath is free (rule P-1).
    pub(super) free_at: u64,
    /// Cycle of the next visit of the output queues; other entries of the calendar are stale.
    pub(super) ramp_next: u64,
    /// Input queues whose next data wavelet a thread waits for, by rank.
    pub(super) wanted: u32,
    /// Input queues whose next wavelet a task waits for, by rank: a launch needs no datapath.
    pub(super) launching: u32,
    /// Control wavelets in its input queues.
    pub(super) controls: u32,
    /// Its output queues are the FIFOs `outs ..`, by index.
    pub(super) outs: u32,
    /// Wavelets in them.
    pub(super) queued: u32,
    pub(super) out_count: u8,
    /// The output queue that is visited first.
    pub(super) out_cursor: u8,
    /// Cycles in which the stream's steps lacked nothing but room in the output queue (rule X-3).
    pub(super) full_cycles: u64,
    /// The PE is a [`super::stream::Stream`] at present.
    pub(super) streaming: bool,
}

/// A wavelet on its way to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ToHost {
    pub(super) cycle: u64,
    pub(super) port: u32,
    pub(super) payload: u32,
}

/// FIFOs, links and the calendar.
#[derive(Debug, Clone)]
pub(super) struct Net {
    pub(super) now: u64,
    /// Cycle of tick 0; ticks are what FIFOs and links keep.
    pub(super) epoch: u64,
    /// An observer is to be told of moves and steps.
    pub(super) watched: bool,
    pub(super) watch: Watch,
    /// Rule E-1.
    pub(super) activity: u64,
    pub(super) wheel: Wheel,
    pub(super) fifos: Fifos,
    pub(super) outs: Vec<Out>,
    pub(super) switched: Vec<Switched>,
    pub(super) switches: Vec<Switch>,
    /// Switches that stand at a new position from the next cycle on.
    pub(super) turned: Vec<(u32, u8)>,
    pub(super) links: Links,
    /// Wavelets sent through each link by FIFOs with switched routes; empty where no route is switched.
    pub(super) switched_sent: Vec<u64>,
    pub(super) routers: Vec<Router>,
    pub(super) gates: Vec<Gate>,
    pub(super) host_in: Vec<super::ramp::HostIn>,
    pub(super) turn_cycles: u32,
    /// Wavelets to the host, by cycle and port.
    pub(super) to_host: std::collections::VecDeque<ToHost>,
    /// Cycles from an edge router to the host (rule H-2).
    pub(super) host_cycles: u64,
    /// What lies beyond the edges: the true FIFO of each proxy, and the proxy of each FIFO that has one.
    pub(super) edges: Vec<Beyond>,
    /// What has crossed edges in this cycle.
    pub(super) outbox: Vec<Message>,
}

/// Longest distance of `now` from the epoch; ticks have 30 bits.
const EPOCH_SPAN: u64 = 1 << 29;

impl Net {
    /// The current cycle as FIFOs and links count.
    #[inline(always)]
    pub(super) fn tick(&self) -> u32 {
        (self.now - self.epoch) as u32
    }

    #[inline(always)]
    pub(super) fn cycle(&self, tick: u32) -> u64 {
        self.epoch + u64::from(tick)
    }

    /// Has `actor` visited at `when`, a later cycle.
    #[inline(always)]
    pub(super) fn wake(&mut self, actor: Actor, when: u64) {
        match actor.kind() {
            Kind::Fifo(at) => self.wheel.at_fifo(when, at),
            Kind::Router(at) => self.wake_router(at, when),
            Kind::Pe(at) => self.wake_pe(at, when),
            Kind::Ramp(at) => {
                let gate = &mut self.gates[at as usize];
                if when < gate.ramp_next {
                    gate.ramp_next = when;
                    self.wheel.at(when, actor);
                }
            }
            Kind::HostIn(_) => self.wheel.at(when, actor),
            Kind::Edge(edge) => self.give_credit(edge),
        }
    }

    #[inline(always)]
    pub(super) fn wake_pe(&mut self, at: u32, when: u64) {
        let gate = &mut self.gates[at as usize];
        if when < gate.next {
            gate.next = when;
            self.wheel.at_pe(when, at);
        }
    }

    #[inline(always)]
    pub(super) fn wake_router(&mut self, at: u32, when: u64) {
        let router = &mut self.routers[at as usize];
        if when < router.next {
            router.next = when;
            self.wheel.at_router(when, at);
        }
    }

    /// Takes the head of `fifo` and wakes who waited for its slot.
    #[inline(always)]
    pub(super) fn pop(&mut self, fifo: u32) -> Taken {
        let taken = self.fifos.pop(fifo, self.tick());
        if taken.is_awaited {
            self.wake_waiter(fifo);
        }
        taken
    }

    #[inline(never)]
    fn wake_waiter(&mut self, fifo: u32) {
        let waiter = self.fifos.take_waiter(fifo);
        if waiter != Actor::NONE {
            let delays = self.fifos.delays[self.fifos[fifo].stage as usize];
            self.wake(waiter, self.now + u64::from(delays.credit));
        }
    }

    /// Sends a wavelet into `dest` at tick `sent`, now or (from an output queue) later, and sees
    /// to it that whoever takes it is awake when it arrives.
    #[inline(always)]
    pub(super) fn send(&mut self, dest: u32, sent: u32, payload: u32, marks: Marks) {
        let stage = self.fifos[dest].stage;
        let arrival = sent + self.fifos.latency(stage);
        let when = self.cycle(arrival);
        self.activity = self.activity.max(when);
        let fifo = self.fifos.push(dest, Wavelet { arrival, payload, marks });
        if stage >= Stage::Down {
            let (owner, rank, first) = (fifo.owner, fifo.rank, fifo.is_single());
            if stage == Stage::Proxy {
                self.cross(owner, payload, marks);
            } else if first || marks.is_control() {
                self.arrive(owner, rank, when, first, marks.is_control());
            }
        } else if fifo.is_single() {
            if fifo.is_contended() {
                let (owner, rank) = (fifo.owner, fifo.rank);
                let router = &mut self.routers[owner as usize];
                router.waiting[usize::from(rank >> 6 & 1)] |= 1 << (rank & 63);
                if when < router.next {
                    router.next = when;
                    self.wheel.at_router(when, owner);
                }
            } else if !fifo.is_armed() {
                fifo.arm();
                self.wheel.at_fifo(when, dest);
            }
        }
    }

    /// A wavelet is on its way into the input queue `rank` of a PE.
    #[inline(always)]
    fn arrive(&mut self, owner: u32, rank: u8, when: u64, first: bool, control: bool) {
        let gate = &mut self.gates[owner as usize];
        gate.controls += u32::from(control);
        if !first {
            return;
        }
        let bit = 1u32 << (rank & 31);
        // A control wavelet is discarded or launches a task, and neither needs the datapath (rules K-3, P-7).
        let at_once = gate.launching & bit != 0 || control;
        if at_once || gate.wanted & bit != 0 {
            let when = if at_once { when } else { when.max(gate.free_at) };
            if when < gate.next {
                gate.next = when;
                self.wheel.at_pe(when, owner);
            }
        }
    }

    /// The outputs of `fifo` at the selected position; none where that takes from another port.
    #[inline(always)]
    pub(super) fn outs(&self, at: u32) -> Outs {
        let fifo = &self.fifos[at];
        if !fifo.is_switched() {
            return fifo.outs();
        }
        let routes = &self.switched[fifo.outs().first as usize];
        let switch = &self.switches[routes.switch as usize];
        routes.positions[usize::from(switch.position)]
    }

    /// The selected switch position of the route of a router's FIFO.
    pub(super) fn selected(&self, fifo: u32) -> u8 {
        let fifo = &self.fifos[fifo];
        if !fifo.is_switched() {
            return 0;
        }
        let routes = &self.switched[fifo.outs().first as usize];
        self.switches[routes.switch as usize].position
    }

    /// The first tick from which all destinations have a free slot (rule F-1), or, second, one
    /// that is full.
    #[inline(always)]
    pub(super) fn room(&self, outs: Outs) -> (u32, Option<u32>) {
        let mut from = 0;
        for out in &self.outs[outs.range()] {
            if out.dest & Out::HOST != 0 {
                continue;
            }
            match self.fifos.room(out.dest) {
                Room::Full => return (0, Some(out.dest)),
                Room::From(tick) => from = from.max(tick),
            }
        }
        (from, None)
    }

    /// The first tick at which all outputs are within their rate (rule L-1).
    #[inline(always)]
    pub(super) fn rate(&self, outs: Outs) -> u32 {
        if !self.links.is_limited() {
            return 0;
        }
        let next = self.outs[outs.range()].iter().map(|o| self.links.next(o.link));
        next.max().unwrap_or(0)
    }

    /// The first tick from which `head` is a candidate by rule L-2.
    #[inline(always)]
    pub(super) fn candidate_from(&self, fifo: u32, outs: Outs, head: Wavelet) -> u32 {
        if self.turn_cycles == 0 || !outs.bend {
            return head.arrival;
        }
        let left = self.fifos[fifo].left();
        if left > 0 && left - 1 + self.turn_cycles >= head.arrival {
            head.arrival
        } else {
            head.arrival + self.turn_cycles
        }
    }

    /// Sends the head of `fifo` to `outs` (rules A-3, S-2). Returns the arrival of the next one or
    /// [`Taken::NOTHING`].
    #[inline(always)]
    pub(super) fn fire(&mut self, fifo: u32, outs: Outs) -> u32 {
        let now = self.tick();
        if self.watched {
            self.note_head(fifo, Noted::Fire(outs.ports));
        }
        let taken = self.pop(fifo);
        let mut payload = taken.payload;
        if self.fifos[fifo].is_switched() {
            payload = self.fire_switched(fifo, outs, taken);
        }
        for at in outs.range() {
            let out = self.outs[at];
            if out.dest & Out::HOST != 0 {
                self.links.depart(out.link, now);
                self.send_to_host(out.dest & !Out::HOST, payload);
                continue;
            }
            if self.links.is_limited() && self.fifos[out.dest].stage != Stage::Down {
                self.links.depart(out.link, now);
            }
            self.send(out.dest, now, payload, taken.marks);
        }
        taken.next
    }

    /// Counts the departure, which a fixed route need not (see [`Net::add_sent`]), and carries out a
    /// switch command. Returns the payload to forward (rule S-3).
    #[inline(never)]
    fn fire_switched(&mut self, fifo: u32, outs: Outs, head: Taken) -> u32 {
        for out in &self.outs[outs.range()] {
            self.switched_sent[out.link as usize] += 1;
        }
        if !head.marks.is_control() {
            return head.payload;
        }
        let at = self.switched[self.fifos[fifo].outs().first as usize].switch;
        let switch = &self.switches[at as usize];
        let (position, payload) =
            pe_isa::semantics::pop_switch_command(head.payload, switch.position, switch.positions);
        self.turned.push((at, position));
        payload
    }

    /// Adds the wavelets that left through fixed routes from `fifo` to `sent`, by output port.
    pub(super) fn add_sent(&self, fifo: u32, sent: &mut [u64; 5]) {
        if self.fifos[fifo].is_switched() {
            return;
        }
        let (ports, count) = (self.fifos[fifo].outs().ports, self.fifos.departed(fifo));
        for (port, sent) in sent.iter_mut().enumerate() {
            *sent += if ports >> port & 1 != 0 { count } else { 0 };
        }
    }

    /// Ends the cycle: switches turn.
    #[inline(always)]
    pub(super) fn end_cycle(&mut self) {
        while let Some((at, position)) = self.turned.pop() {
            self.turn(at, position);
        }
    }

    /// The epoch that `now` asks for, if ticks would become too large otherwise.
    #[inline(always)]
    pub(super) fn next_epoch(&self, now: u64) -> Option<u64> {
        (now - self.epoch > EPOCH_SPAN).then(|| now - EPOCH_SPAN / 2)
    }

    /// Lets ticks count from `epoch`; what was before stands at tick 0.
    pub(super) fn begin_epoch(&mut self, epoch: u64) {
        let span = u32::try_from(epoch - self.epoch).unwrap_or(u32::MAX);
        self.epoch = epoch;
        self.fifos.rebase(span);
        self.links.rebase(span);
    }

    /// Rule S-2: the new position holds from the next cycle on.
    fn turn(&mut self, at: u32, position: u8) {
        self.switches[at as usize].position = position;
        for n in 0..self.switches[at as usize].fifos.len() {
            let id = self.switches[at as usize].fifos[n];
            let Some(head) = self.fifos[id].head() else {
                continue;
            };
            let when = self.cycle(head.arrival).max(self.now + 1);
            let fifo = &mut self.fifos[id];
            if fifo.is_contended() {
                let owner = fifo.owner;
                self.wake_router(owner, when);
            } else if !fifo.is_armed() {
                fifo.arm();
                self.wheel.at_fifo(when, id);
            }
        }
    }
}
