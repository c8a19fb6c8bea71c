//! Halo exchange: each PE of a rectangle gives the edges of its block to its four neighbours.

use super::Entry;
use super::draft::{Draft, Region};
use super::error::KernelError;
use super::params::{Args, Most, Param};
use crate::asm::{Asm, Mem, mem, n};
use fabric::{Machine, PeCoord, Port};
use pe_isa::{Color, DType};

/// All four directions at once.
pub(super) const HALO: Entry = Entry {
    name: "halo",
    about: "each PE of a rectangle exchanges the edges of its block with its four neighbours",
    params: &[
        Param::places("W", "columns of PEs", 8, 1, Most::Columns),
        Param::places("H", "rows of PEs", 8, 1, Most::Rows),
        Param::elements("N", "elements along each side of a PE's block, without the halo", 16, 256),
    ],
    make: halo,
};

/// The color on which the PE at `at` sends through a port: two a direction, by parity along it.
fn color(at: PeCoord, port: Port) -> Color {
    let along = if matches!(port, Port::East | Port::West) { at.x } else { at.y };
    Color(2 * port.index() as u8 + (along % 2) as u8)
}

/// The edge of a block of side `side` that lies at a port: its own elements, or the halo beyond them.
fn edge(side: u32, port: Port, halo: bool) -> Mem {
    let width = side + 2;
    let (near, far) = if halo { (0, side + 1) } else { (1, side) };
    let (start, stride) = match port {
        Port::North => (near * width + 1, 1),
        Port::South => (far * width + 1, 1),
        Port::West => (width + near, width),
        Port::East => (width + far, width),
        Port::Ramp => unreachable!("blocks have four edges"),
    };
    mem(4 * start, &[stride], DType::F32)
}

/// Element (`i`, `j`) of the grid that the blocks make up: equal to no neighbour's, up to 4,096 a side.
fn element(i: u32, j: u32) -> f32 {
    (i * 4_096 + j) as f32
}

/// The block of a PE with its halo, row-major. Without `exchanged`, and beyond the rectangle, and in the corners, the halo is 0.
fn block(at: PeCoord, (w, h): (u32, u32), side: u32, exchanged: bool) -> Vec<f32> {
    let width = side + 2;
    let outer = |k: u32| k == 0 || k > side;
    let value = |k: u32| {
        // Places in the grid, one element further so that they don't get negative.
        let (i, j) = (at.y * side + k / width, at.x * side + k % width);
        let (outer_i, outer_j) = (outer(k / width), outer(k % width));
        let beyond = i == 0 || j == 0 || i > h * side || j > w * side;
        let empty = beyond || (outer_i && outer_j) || ((outer_i || outer_j) && !exchanged);
        if empty { 0.0 } else { element(i % 4_096, j % 4_096) }
    };
    (0..width * width).map(value).collect()
}

fn halo(machine: &Machine, args: &Args) -> Result<Draft, KernelError> {
    let (w, h, side) = (args.get("W"), args.get("H"), args.get("N"));
    let mut draft = Draft::new(machine);
    let region = Region::matrix("block", 0, side + 2, side + 2);
    if !draft.can_hold(region.end()) {
        return Ok(draft);
    }
    for at in (0..h).flat_map(|y| (0..w).map(move |x| PeCoord::new(x, y))) {
        let mut asm = Asm::new();
        let neighbours: Vec<(Port, PeCoord)> =
            Port::MESH.into_iter().filter_map(|p| Some((p, at.neighbour(p, w, h)?))).collect();
        for (thread, (port, to)) in neighbours.iter().enumerate() {
            draft.path(color(at, *port), at, *to);
            let target = asm.to(color(at, *port), DType::F32);
            asm.mov_async(thread as u8, &[n(side)], target, edge(side, *port, false));
        }
        for (port, from) in &neighbours {
            let source = asm.from(color(*from, port.opposite()), DType::F32);
            asm.mov(&[n(side)], edge(side, *port, true), source);
        }
        asm.end();
        draft.place(at, asm, region.end(), &[(&region, block(at, (w, h), side, false))]);
        let want = block(at, (w, h), side, true);
        if at == PeCoord::new(0, 0) {
            draft.result(at, &region, &want);
        } else {
            draft.expect(at, &region, &want);
        }
    }
    Ok(draft)
}
