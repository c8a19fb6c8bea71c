//! Matrix times matrix over a square of PEs, each with a tile of both factors and of the product.

use super::draft::{Draft, Region};
use super::error::KernelError;
use super::matrix::{K, M, N, SIDE, left, multiply, product, right, tile};
use super::params::Args;
use super::{Entry, ring};
use crate::asm::{Asm, SWITCH_FIRST, n};
use crate::lines::{COLUMN, LineColors, ROW};
use fabric::{Machine, PeCoord, Port, Ports, Position, Route};
use pe_isa::{Color, DType};

/// Tiles of the left factor go round the rows, those of the right one round the columns.
pub(super) const CANNON: Entry = Entry {
    name: "gemm-cannon",
    about: "matrix product; tiles shift west and north on rings (Cannon), overlapped with multiplication",
    params: &[SIDE, M, K, N],
    make: |machine, args| gemm(machine, args, cannon),
};

/// In step t, column t of the left factor and row t of the right one are broadcast.
pub(super) const SUMMA: Entry = Entry {
    name: "gemm-summa",
    about: "matrix product; each step broadcasts a column of tiles along rows and a row along columns (SUMMA)",
    params: &[SIDE, M, K, N],
    make: |machine, args| gemm(machine, args, summa),
};

/// What a PE holds: two tiles of each factor (one in use, one that arrives) and one of the product.
struct Tiles {
    a: [Region; 2],
    b: [Region; 2],
    c: Region,
}

impl Tiles {
    fn new((m, k, cols): (u32, u32, u32)) -> Tiles {
        let c = Region::matrix("c", 0, m, cols);
        let a0 = Region::matrix("a", c.end(), m, k);
        let a1 = Region::matrix("a1", a0.end(), m, k);
        let b0 = Region::matrix("b", a1.end(), k, cols);
        let b1 = Region::matrix("b1", b0.end(), k, cols);
        Tiles { a: [a0, a1], b: [b0, b1], c }
    }

    fn bytes(&self) -> u32 {
        self.b[1].end()
    }
}

/// What a PE of the square executes, its routes included, and which tiles of the two factors it holds before cycle 0, by row
/// and column.
type Program = fn(&mut Draft, &Square, PeCoord, &mut Asm) -> [(u32, u32); 2];

/// The square of PEs, and what each of them holds.
struct Square {
    p: u32,
    size: (u32, u32, u32),
    tiles: Tiles,
}

/// Programs every PE of the square, and expects its tile of the product.
fn gemm(machine: &Machine, args: &Args, program: Program) -> Result<Draft, KernelError> {
    let (p, m, k, cols) = (args.get("P"), args.get("M"), args.get("K"), args.get("N"));
    let square = Square { p, size: (m, k, cols), tiles: Tiles::new((m, k, cols)) };
    let tiles = &square.tiles;
    let mut draft = Draft::new(machine);
    if !draft.can_hold(tiles.bytes()) {
        return Ok(draft);
    }
    for at in (0..p).flat_map(|y| (0..p).map(move |x| PeCoord::new(x, y))) {
        let mut asm = Asm::new();
        let [a, b] = program(&mut draft, &square, at, &mut asm);
        asm.end();
        let data = [(&tiles.a[0], tile(left, a, (m, k))), (&tiles.b[0], tile(right, b, (k, cols)))];
        draft.place(at, asm, tiles.bytes(), &data);
        let want = product((at.y, at.x), (m, cols), p * k);
        if at == PeCoord::new(0, 0) {
            draft.result(at, &tiles.c, &want);
        } else {
            draft.expect(at, &tiles.c, &want);
        }
    }
    Ok(draft)
}

fn cannon(draft: &mut Draft, square: &Square, at: PeCoord, asm: &mut Asm) -> [(u32, u32); 2] {
    let Square { p, size, ref tiles } = *square;
    let before = |k: u32| (k + p - 1) % p;
    // Rings run west and north: place 0 of a ring is the last PE of the line.
    let sends = |k: u32, colors| ring::color(p - 1 - k, p, colors);
    let from = |k: u32, colors| sends((k + 1) % p, colors);
    draft.path(sends(at.x, ROW), at, PeCoord::new(before(at.x), at.y));
    draft.path(sends(at.y, COLUMN), at, PeCoord::new(at.x, before(at.y)));
    let moves = [
        (&tiles.a, sends(at.x, ROW), from(at.x, ROW)),
        (&tiles.b, sends(at.y, COLUMN), from(at.y, COLUMN)),
    ];
    for step in 0..p {
        let (now, next) = (step as usize % 2, (step as usize + 1) % 2);
        let last = step + 1 == p;
        for (thread, (region, to, _)) in moves.iter().enumerate().filter(|_| !last) {
            let target = asm.to(*to, DType::F32);
            asm.mov_async(thread as u8, &[n(region[now].len())], target, region[now].flat());
        }
        multiply(asm, [&tiles.a[now], &tiles.b[now], &tiles.c], size);
        for (region, _, from) in moves.iter().filter(|_| !last) {
            let source = asm.from(*from, DType::F32);
            asm.mov(&[n(region[next].len())], region[next].flat(), source);
        }
    }
    let skewed = (at.x + at.y) % p;
    [(at.y, skewed), (skewed, at.x)]
}

/// The colors of the broadcasts of SUMMA along a line: from the root towards its high end and its low end.
#[derive(Debug, Clone, Copy)]
struct Sweep {
    up: Color,
    down: Color,
}

impl Sweep {
    fn new(colors: LineColors) -> Sweep {
        Sweep { up: colors.even, down: colors.odd }
    }

    /// Adds the routes of the tile at `at` of `p`: the roots are the tiles of the line, one after another. On the way up a
    /// router first receives from the roots before it, then sends; on the way down it first sends, then receives.
    fn route(self, draft: &mut Draft, tile: PeCoord, (at, p): (u32, u32), low: Port, high: Port) {
        let (first, last) = (at == 0, at + 1 == p);
        let ramp = Ports::one(Port::Ramp);
        let pass = |end: bool, rx: Port, on: Port| Position {
            rx,
            tx: if end { ramp } else { ramp.with(on) },
        };
        let send = |on: Port| Position { rx: Port::Ramp, tx: Ports::one(on) };
        let up = [(!first).then(|| pass(last, low, high)), (!last).then(|| send(high))];
        let down = [(!first).then(|| send(low)), (!last).then(|| pass(first, high, low))];
        for (color, positions) in [(self.up, up), (self.down, down)] {
            let positions = positions.into_iter().flatten().collect();
            draft.routes(tile).add(Route { color, positions });
        }
    }

    /// Sends or receives the tile of the factor whose root is `root`; gives the region where it then is.
    fn share<'a>(
        self,
        asm: &mut Asm,
        (at, p): (u32, u32),
        root: u32,
        [own, arriving]: &'a [Region; 2],
    ) -> &'a Region {
        let t = DType::F32;
        if at != root {
            let source = asm.from(if root < at { self.up } else { self.down }, t);
            asm.mov(&[n(arriving.len())], arriving.flat(), source);
            return arriving;
        }
        if at + 1 < p {
            let target = asm.to(self.up, t);
            asm.mov(&[n(own.len())], target, own.flat());
            // The next router becomes the root. Ours, which has a switch unless it is the first, keeps its position.
            asm.send_control(self.up, if at == 0 { SWITCH_FIRST } else { SWITCH_FIRST << 2 });
        }
        if at > 0 {
            let target = asm.to(self.down, t);
            asm.mov(&[n(own.len())], target, own.flat());
            if at + 1 < p {
                // From now on our router passes on what later roots send.
                asm.send_control(self.down, SWITCH_FIRST);
            }
        }
        own
    }
}

fn summa(draft: &mut Draft, square: &Square, at: PeCoord, asm: &mut Asm) -> [(u32, u32); 2] {
    let Square { p, size, ref tiles } = *square;
    let (row, column) = (Sweep::new(ROW), Sweep::new(COLUMN));
    row.route(draft, at, (at.x, p), Port::West, Port::East);
    column.route(draft, at, (at.y, p), Port::North, Port::South);
    for step in 0..p {
        let a = row.share(asm, (at.x, p), step, &tiles.a);
        let b = column.share(asm, (at.y, p), step, &tiles.b);
        multiply(asm, [a, b, &tiles.c], size);
    }
    [(at.y, at.x), (at.y, at.x)]
}
