//! One PE gives its vector to all others.

use super::draft::{Draft, Region, row, vector};
use super::error::KernelError;
use super::params::{Args, B, Most, P, Param};
use super::{Entry, formula};
use crate::asm::{Asm, n};
use crate::emit::collective;
use crate::lines::{LinePos, ROW};
use fabric::{Machine, PeCoord, Port, Ports};

/// From the west end of a row to all its PEs.
pub(super) const BROADCAST: Entry = Entry {
    name: "broadcast",
    about: "the first PE of a row gives its vector to all others",
    params: &[P, B],
    make: broadcast,
};

/// From the north-west corner of a rectangle to all its PEs.
pub(super) const BROADCAST_2D: Entry = Entry {
    name: "broadcast-2d",
    about: "the north-west PE of a rectangle gives its vector to all others",
    params: &[
        Param::places("W", "columns of the rectangle", 8, 2, Most::Columns),
        Param::places("H", "rows of the rectangle", 8, 2, Most::Rows),
        B,
    ],
    make: broadcast_2d,
};

/// A row's place `at` of `len` in a kernel whose root is the west end.
pub(super) fn in_row(at: u32, len: u32) -> LinePos {
    LinePos { at, len, root: 0, colors: ROW }
}

fn broadcast(machine: &Machine, args: &Args) -> Result<Draft, KernelError> {
    let (p, b) = (args.get("P"), args.get("B"));
    let mut draft = Draft::new(machine);
    for x in 0..p {
        let line = in_row(x, p);
        line.route_broadcast(draft.routes(row(x)), Port::West, Port::East);
        receiver(&mut draft, row(x), &line, b);
    }
    if formula::flows(machine) {
        let work = formula::way(machine, p - 1) + formula::stream(machine, b) + 1;
        draft.cycles(formula::stop(machine, work));
    }
    Ok(draft)
}

fn broadcast_2d(machine: &Machine, args: &Args) -> Result<Draft, KernelError> {
    let (w, h, b) = (args.get("W"), args.get("H"), args.get("B"));
    let mut draft = Draft::new(machine);
    for y in 0..h {
        for x in 0..w {
            let at = PeCoord::new(x, y);
            let line = in_row(x + y, w + h - 1);
            let rx = match (x, y) {
                (0, 0) => Port::Ramp,
                (_, 0) => Port::West,
                _ => Port::North,
            };
            let sides = [
                (x + y > 0, Port::Ramp),
                (y == 0 && x + 1 < w, Port::East),
                (y + 1 < h, Port::South),
            ];
            let tx = sides.into_iter().filter(|(there, _)| *there).map(|(_, port)| port);
            draft.route(at, line.colors.broadcast, rx, tx.collect::<Ports>());
            receiver(&mut draft, at, &line, b);
        }
    }
    if formula::flows(machine) {
        let work = formula::way(machine, w + h - 2) + formula::stream(machine, b) + 1;
        draft.cycles(formula::stop(machine, work));
    }
    Ok(draft)
}

/// Programs a PE of a broadcast; all end with the root's vector.
fn receiver(draft: &mut Draft, at: PeCoord, line: &LinePos, b: u32) {
    let v = Region::vector("v", 0, b);
    let mut asm = Asm::new();
    collective::share_in_place(&mut asm, line, &[n(b)], &v.flat());
    asm.end();
    let own = if line.is_root() { vec![(&v, vector(1, b))] } else { Vec::new() };
    draft.place(at, asm, v.end(), &own);
    if line.at + 1 == line.len {
        draft.result(at, &v, &vector(1, b));
    } else {
        draft.expect(at, &v, &vector(1, b));
    }
}
