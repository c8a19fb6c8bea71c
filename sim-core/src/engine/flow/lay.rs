//! From FIFOs to lines.

use super::wires::{BEHIND, Contested, Left, Line, NONE, Rival, Wires};
use crate::engine::fifo::Stage;
use crate::engine::net::{Net, Out};
use crate::engine::pe::bits;
use pe_isa::Word;

/// Output ports that are links.
const LINKS: u8 = 15;
/// Capacities and delays of lines are below this.
const MOST: u32 = 1 << 15;

fn line(capacity: u32, latency: u32, credit: u32) -> Line {
    Line {
        left: 0,
        first: 0,
        mask: 0,
        upstream: NONE,
        capacity: capacity as u16,
        latency: latency as u16,
        credit: credit as u16,
        behind: [NONE; BEHIND],
        count: 0,
        bend: false,
        host: NONE,
        pe: NONE,
        is_input: false,
        is_listed: false,
        contested: NONE,
        is_limited: false,
    }
}

impl Wires {
    /// The lines of a wafer, of whose `rivals` its routers know. None where a number is too large, or a wavelet goes to the host
    /// twice.
    pub(super) fn new(net: &Net, rivals: &[[u64; 2]]) -> Option<Wires> {
        let (p, q) = net.links.rate();
        let mut wires = Wires {
            lines: Vec::new(),
            sent: Vec::new(),
            contested: Vec::new(),
            rivals: Vec::new(),
            turn_cycles: net.turn_cycles,
            p,
            q,
            to_host: Vec::new(),
            host_cycles: u32::try_from(net.host_cycles).ok()?,
            met: false,
        };
        wires.add_fifos(net)?;
        for at in 0..net.fifos.len() {
            match net.fifos[at].stage {
                Stage::Down | Stage::Proxy => {}
                Stage::Out => wires.add_steps(net, at),
                Stage::Mesh | Stage::Up => {
                    wires.connect(net, at)?;
                    wires.add_rivals(net, at, rivals);
                }
            }
        }
        wires.add_queue_rivals(net);
        let scripts = wires.lines.len() as u32;
        for port in &net.host_in {
            wires.add_script(net, port.fifo, port.script.len())?;
        }
        wires.lay_rings();
        for (port, script) in net.host_in.iter().zip((scripts..).step_by(2)) {
            for word in &port.script {
                wires.leave(
                    script,
                    Left { time: word.cycle.0 as u32, word: Word::known(word.payload) },
                );
            }
        }
        Some(wires)
    }

    fn add_fifos(&mut self, net: &Net) -> Option<()> {
        for at in 0..net.fifos.len() {
            let fifo = &net.fifos[at];
            let delays = net.fifos.delays[fifo.stage as usize];
            let (capacity, latency, credit) = (fifo.capacity(), delays.latency, delays.credit);
            if [capacity, latency, credit, self.q].into_iter().any(|n| n >= MOST) {
                return None;
            }
            let mut line = line(capacity, latency, credit);
            if matches!(fifo.stage, Stage::Down | Stage::Out) {
                line.pe = fifo.owner;
                line.is_input = fifo.stage == Stage::Down;
            }
            self.lines.push(line);
        }
        Some(())
    }

    /// The steps before the output queue `at`, and the ramp behind it.
    fn add_steps(&mut self, net: &Net, at: u32) {
        let up = net.fifos[at].up();
        let steps = self.lines.len() as u32;
        self.lines[at as usize].behind[0] = up;
        self.lines[at as usize].count = 1;
        self.lines[at as usize].upstream = steps;
        self.lines[up as usize].upstream = at;
        self.lines.push(Line { behind: [at, NONE, NONE, NONE], count: 1, ..line(0, 0, 0) });
    }

    /// What is behind the FIFO `at` of a router.
    fn connect(&mut self, net: &Net, at: u32) -> Option<()> {
        let outs = net.fifos[at].outs();
        self.lines[at as usize].bend = outs.bend;
        self.lines[at as usize].is_limited = net.links.is_limited() && outs.ports & LINKS != 0;
        for out in &net.outs[outs.range()] {
            let line = &mut self.lines[at as usize];
            if out.dest & Out::HOST != 0 {
                if line.host != NONE {
                    return None;
                }
                line.host = out.dest & !Out::HOST;
                continue;
            }
            *line.behind.get_mut(usize::from(line.count))? = out.dest;
            line.count += 1;
            self.lines[out.dest as usize].upstream = at;
        }
        Some(())
    }

    /// Who shares outputs with the FIFO `at` of a router.
    fn add_rivals(&mut self, net: &Net, at: u32, all: &[[u64; 2]]) {
        let fifo = &net.fifos[at];
        if !fifo.is_contended() {
            return;
        }
        let router = &net.routers[fifo.owner as usize];
        let set = all[(router.rivals + u32::from(fifo.rank)) as usize];
        let first = self.rivals.len();
        for (word, set) in set.into_iter().enumerate() {
            self.rivals.extend(bits(set).map(|bit| {
                let line = router.first + (64 * word + bit) as u32;
                let shared = net.fifos[line].outs().ports & fifo.outs().ports;
                let is_link = net.links.is_limited() && shared & LINKS != 0;
                Rival { line, window: if is_link { self.p } else { 1 } }
            }));
        }
        self.contest(at, first);
    }

    /// The output queues of a PE share its ramp.
    fn add_queue_rivals(&mut self, net: &Net) {
        for gate in net.gates.iter().filter(|gate| gate.out_count > 1) {
            let queues = gate.outs..gate.outs + u32::from(gate.out_count);
            for at in queues.clone() {
                let first = self.rivals.len();
                let others = queues.clone().filter(|&other| other != at);
                self.rivals.extend(others.map(|line| Rival { line, window: 1 }));
                self.contest(at, first);
            }
        }
    }

    /// The rivals from `first` on are those of `at`.
    fn contest(&mut self, at: u32, first: usize) {
        if self.rivals.len() > first {
            self.lines[at as usize].contested = self.contested.len() as u32;
            let rivals = (first as u32, self.rivals.len() as u32);
            self.contested.push(Contested { rivals, recent: Vec::new() });
        }
    }

    /// What the host sends into `fifo`: the words as they stand at the edge, and as they leave it.
    fn add_script(&mut self, net: &Net, fifo: u32, words: usize) -> Option<()> {
        let words = u32::try_from(words).ok().filter(|&n| n < MOST)?;
        let (script, edge) = (self.lines.len() as u32, self.lines.len() as u32 + 1);
        self.lines.push(Line { behind: [edge, NONE, NONE, NONE], count: 1, ..line(0, 0, 0) });
        self.lines.push(Line {
            behind: [fifo, NONE, NONE, NONE],
            count: 1,
            upstream: script,
            is_limited: net.links.is_limited(),
            ..line(words, 0, 1)
        });
        self.lines[fifo as usize].upstream = edge;
        Some(())
    }

    /// Room for the departures that others will ask for.
    fn lay_rings(&mut self) {
        let mut next = 0;
        for at in 0..self.lines.len() {
            let line = &self.lines[at];
            let behind = line.behind[..usize::from(line.count)].iter();
            let behind = behind.map(|&b| self.lines[b as usize].capacity).max().unwrap_or(0);
            let rate = if line.is_limited { self.q } else { 0 };
            let size = (u32::from(behind.max(line.capacity)).max(rate) + 1).next_power_of_two();
            self.lines[at].first = next;
            self.lines[at].mask = (size - 1) as u16;
            next += size;
        }
        self.sent = vec![Left::default(); next as usize];
    }
}
