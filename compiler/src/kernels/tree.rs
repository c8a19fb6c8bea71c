//! Binary-tree reduce over a row: in round `r`, PEs 2^r apart pair up and the eastern one sends its sum west.
//!
//! The messages of a round don't share routers, so a round needs one color. A PE has fewer input queues than a
//! long row has rounds: a round then takes over the color of an earlier one, and the routers on both rounds' ways are
//! switched over by a control wavelet behind the earlier message.

use super::draft::{Draft, Region, row, sum, vector};
use super::error::KernelError;
use super::params::{Args, B, P};
use super::{Entry, formula};
use crate::asm::{Asm, n};
use crate::emit::collective;
use fabric::{Machine, Port, Ports, Position, Route};
use pe_isa::{Color, DType, VecOp};

/// Binary tree.
pub(super) const TREE: Entry = Entry {
    name: "tree-reduce",
    about: "PEs of a row add their vectors up in pairs, pairs of pairs, and so on",
    params: &[P, B],
    make: tree,
};

/// A control wavelet that moves every switch on its way (contract rule S-3).
const SWITCH_ALL: u32 = 0x5555;

/// The rounds of a row, and the colors that they use.
#[derive(Debug, Clone, Copy)]
struct Rounds {
    p: u32,
    /// Number of rounds.
    count: u32,
    /// Number of colors; round `r` has color `r` mod `colors`.
    colors: u32,
}

impl Rounds {
    fn color(self, round: u32) -> Color {
        Color((round % self.colors) as u8)
    }

    /// The router's position for the message of a round, if that passes here.
    fn position(self, x: u32, round: u32) -> Option<Position> {
        let distance = 1 << round;
        let to = x & !(2 * distance - 1);
        let from = to + distance;
        let (rx, tx) = match x {
            _ if from >= self.p || x > from => return None,
            x if x == from => (Port::Ramp, Port::West),
            x if x == to => (Port::East, Port::Ramp),
            _ => (Port::East, Port::West),
        };
        Some(Position { rx, tx: Ports::one(tx) })
    }

    /// The route of a color on a tile.
    fn route(self, x: u32, color: u32) -> Option<Route> {
        let rounds = (color..self.count).step_by(self.colors as usize);
        let mut positions: Vec<Position> = rounds.filter_map(|r| self.position(x, r)).collect();
        positions.dedup();
        (!positions.is_empty()).then_some(Route { color: Color(color as u8), positions })
    }

    /// The round in which a PE sends; none for the root.
    fn sends(self, x: u32) -> Option<u32> {
        (x > 0).then(|| x.trailing_zeros())
    }

    /// The rounds in which a PE receives.
    fn receives(self, x: u32) -> impl Iterator<Item = u32> {
        (0..self.sends(x).unwrap_or(self.count)).filter(move |r| x + (1 << r) < self.p)
    }
}

fn tree(machine: &Machine, args: &Args) -> Result<Draft, KernelError> {
    let (p, b) = (args.get("P"), args.get("B"));
    let count = p.next_power_of_two().trailing_zeros();
    let queues = machine.pe.input_queues.len().min(usize::from(machine.fabric.colors)) as u32;
    // A color serves two rounds at most: the one behind its first switch is its last.
    let uses = u32::from(machine.fabric.switch_positions.min(2));
    if count > uses * queues {
        let (param, value, most) = ("P", i64::from(p), 1 << (uses * queues));
        let because = format!(" (machine {} has {queues} input queues)", machine.name);
        return Err(KernelError::Range { param, value, least: 2, most, because });
    }
    let rounds = Rounds { p, count, colors: queues.min(count) };
    let v = Region::vector("v", 0, b);
    let mut draft = Draft::new(machine);
    for x in 0..p {
        for route in (0..rounds.colors).filter_map(|color| rounds.route(x, color)) {
            draft.routes(row(x)).add(route);
        }
        let mut asm = Asm::new();
        let arrivals: Vec<Color> = rounds.receives(x).map(|r| rounds.color(r)).collect();
        let outgoing = rounds.sends(x).map(|r| rounds.color(r));
        let vector_of = (&v.flat(), DType::F32);
        collective::fold(&mut asm, &arrivals, outgoing, VecOp::Add, &[n(b)], vector_of);
        if let Some(round) = rounds.sends(x).filter(|r| r + rounds.colors < count) {
            asm.send_control(rounds.color(round), SWITCH_ALL);
        }
        asm.end();
        draft.place(row(x), asm, v.end(), &[(&v, vector(x, b))]);
    }
    draft.result(row(0), &v, &sum(p, b));
    if b == 1 && formula::flows(machine) {
        draft.cycles(formula::stop(machine, first_step_of_last(machine, rounds, 0) + 1));
    }
    Ok(draft)
}

/// The cycle, from the first step of the kernel, of a PE's step in its last operation, for vectors of one element. (Of
/// longer ones, messages of different rounds share links.)
fn first_step_of_last(machine: &Machine, rounds: Rounds, x: u32) -> u64 {
    let mut ready = 0;
    let mut last = 0;
    for round in rounds.receives(x) {
        let distance = 1 << round;
        let sent = first_step_of_last(machine, rounds, x + distance);
        last = ready.max(sent + formula::way(machine, distance));
        ready = last + 1 + formula::first_step(machine);
    }
    last
}
