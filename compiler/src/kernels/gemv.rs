//! Matrix times vector over a rectangle of PEs.

use super::draft::{Draft, Region};
use super::error::KernelError;
use super::matrix::{left, right};
use super::params::{Args, Most, Param};
use super::{Entry, formula};
use crate::asm::{Asm, mem, n};
use crate::emit::{collective, linear};
use crate::lines::{COLUMN, LinePos, ROW};
use fabric::{Machine, PeCoord, Port};
use pe_isa::{DType, VecOp};

/// A size of the tile that each PE holds.
const fn tile(name: &'static str, about: &'static str) -> Param {
    Param::elements(name, about, 16, 4096)
}

/// Pieces of the vector come down the columns, partial sums go west along the rows.
pub(super) const GEMV: Entry = Entry {
    name: "gemv",
    about: "matrix times vector: the vector comes down the columns, sums go west along the rows",
    params: &[
        Param::places("W", "columns of PEs", 4, 2, Most::Columns),
        Param::places("H", "rows of PEs", 4, 2, Most::Rows),
        tile("M", "rows of a PE's tile"),
        tile("N", "columns of a PE's tile"),
    ],
    make: gemv,
};

fn gemv(machine: &Machine, args: &Args) -> Result<Draft, KernelError> {
    let (w, h) = (args.get("W"), args.get("H"));
    let (rows, columns) = (args.get("M"), args.get("N"));
    let s = Region::vector("s", 0, rows);
    let v = Region::vector("v", s.end(), columns);
    let a = Region::matrix("a", v.end(), rows, columns);
    let mut draft = Draft::new(machine);
    if !draft.can_hold(a.end()) {
        return Ok(draft);
    }
    let t = DType::F32;
    for (x, y) in (0..h).flat_map(|y| (0..w).map(move |x| (x, y))) {
        let at = PeCoord::new(x, y);
        let column = LinePos { at: y, len: h, root: 0, colors: COLUMN };
        let line = LinePos { at: x, len: w, root: 0, colors: ROW };
        column.route_broadcast(draft.routes(at), Port::North, Port::South);
        line.route_chain(draft.routes(at), Port::West, Port::East);
        let mut asm = Asm::new();
        collective::share_in_place(&mut asm, &column, &[n(columns)], &v.flat());
        // A column of the row-major tile at a time.
        let matrix = mem(a.address, &[1, columns], t);
        linear::add_product(&mut asm, (columns, rows), (s.address, t), matrix, (v.address, t));
        collective::reduce(&mut asm, &line, VecOp::Add, &[n(rows)], &s.flat(), t);
        asm.end();
        let own = super::matrix::tile(left, (y, x), (rows, columns));
        let mut data = vec![(&a, own)];
        if y == 0 {
            data.insert(0, (&v, (0..columns).map(|j| right(x * columns + j, 0)).collect()));
        }
        draft.place(at, asm, a.end(), &data);
        if x == 0 {
            draft.result(at, &s, &super::matrix::product((y, 0), (rows, 1), w * columns));
        }
    }
    if formula::flows_freely(machine) {
        // The last row has the vector last. All PEs of a row begin to multiply in the same cycle.
        let down = formula::way(machine, h - 1) + formula::stream(machine, columns) + 1;
        let multiply = formula::multiply_adds(machine, columns, rows);
        let chain =
            u64::from(w - 1) * formula::way(machine, 1) + formula::stream(machine, rows) + 1;
        let work = down + multiply + formula::first_step(machine) + chain;
        draft.cycles(formula::stop(machine, work));
    }
    Ok(draft)
}
