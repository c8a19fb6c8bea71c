//! Random wafers of processes: each PE runs one task, and all take part in sums and broadcasts along rows and columns, as
//! compiled models do.

use super::generate::machine;
use super::spec::{Bits, MachineSpec};
use super::{Case, traffic};
use crate::run::HostScript;
use fabric::{HostOut, PeCoord, Port, Ports, Route, RouteSet, Segment, WaferImage};
use pe_isa::{
    Color, Cycle, DType, Dsd, DsdId, InQueue, Instr, Operand, OutQueue, Program, Shape, ShapeId,
    Size, Thread, VecOp, Vector,
};

/// Random numbers.
#[derive(Debug, Clone, Copy)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u32) -> u32 {
        (self.next() % u64::from(n)) as u32
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u32) as usize]
    }
}

/// What all PEs do, one after the other.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Lines add up `len` elements along chains to their roots.
    Sum { axis: usize, len: u32, dtype: DType },
    /// Roots send `len` elements to their lines, which take them in `parts` operations.
    Share { axis: usize, len: u32, dtype: DType, parts: u32 },
    /// Every `stride`-th PE computes, over so many elements.
    Work { stride: u32, len: u32 },
    /// The first PE tells the host.
    Tell,
}

/// Words of SRAM of a PE: inputs, results, others.
const WORDS: u32 = 384;
const RESULT: u32 = 128;
const OTHER: u32 = 256;

/// The case of a seed: on at most `side` by `side` PEs.
pub fn case(seed: u64, side: u32) -> Case {
    let mut random = Random(seed);
    let queues = |random: &mut Random| (0..8).map(|_| 1 + random.below(8)).collect::<Vec<_>>();
    let spec = MachineSpec {
        width: 1 + random.below(side),
        height: 1 + random.below(side),
        queue_depth: 1 + random.below(6),
        inputs: queues(&mut random),
        outputs: queues(&mut random),
        microthreads: 0,
        bits: Bits(u128::from(random.next()) << 64 | u128::from(random.next())),
    };
    let mut machine = machine(&spec);
    machine.fabric.colors = 24;
    if random.below(3) > 0 {
        machine.fabric.turn_cycles = 0;
    }
    let (width, height) = (machine.width, machine.height);
    let roots = [random.below(width), random.below(height)];
    let dtypes = [DType::F32, DType::F32, DType::F16];
    let phases: Vec<Phase> = (0..2 + random.below(6))
        .map(|_| {
            let (axis, len) =
                (random.below(2) as usize, random.of(&[1, 1, 2, 3, 7, 16, 33, 64, 100]));
            let dtype = random.of(&dtypes);
            match random.below(7) {
                0..=2 => Phase::Sum { axis, len, dtype },
                3 | 4 => Phase::Share { axis, len, dtype, parts: 1 + random.below(2) },
                5 => Phase::Work { stride: 1 + random.below(4), len: 1 + random.below(90) },
                _ => Phase::Tell,
            }
        })
        .collect();
    let rounds = 1 + random.below(4);
    let mut image = WaferImage::empty(machine);
    for y in 0..height {
        for x in 0..width {
            let place = Place { at: [x, y], len: [width, height], roots };
            let (program, routes) = place.tile(&phases, rounds);
            let at = image.index(PeCoord::new(x, y));
            let routes = image.intern_routes(RouteSet { routes });
            let program = image.intern_program(program);
            let contents: Vec<u32> =
                (0..WORDS).map(|n| (1.0f32 + n as f32 / 64.0).to_bits()).collect();
            let tile = &mut image.tiles[at.0 as usize];
            tile.sram_bytes = 4 * WORDS;
            tile.program = Some(program);
            tile.routes = Some(routes);
            tile.data = vec![Segment { address: 0, words: contents }];
        }
    }
    if phases.iter().any(|p| matches!(p, Phase::Tell)) {
        let tile = image.index(PeCoord::new(0, 0));
        image.host_out.push(HostOut { tile, port: Port::West, color: HOST });
    }
    let told = random.below(3) == 0;
    Case {
        image,
        script: HostScript::default(),
        replies: Vec::new(),
        stop_after: told.then(|| 1 + random.below(6) as usize),
        limit: Cycle(if random.below(8) == 0 { 300 } else { 60_000 }),
    }
}

/// The colors of an axis: of even and odd links of chains, and of broadcasts.
const COLORS: [[Color; 3]; 2] = [[Color(0), Color(1), Color(2)], [Color(3), Color(4), Color(5)]];
/// To the host.
const HOST: Color = Color(6);

/// A PE's place.
struct Place {
    at: [u32; 2],
    len: [u32; 2],
    roots: [u32; 2],
}

impl Place {
    fn link(&self, axis: usize, at: u32) -> Color {
        let parity = if at < self.roots[axis] { at % 2 } else { (at + 1) % 2 };
        COLORS[axis][parity as usize]
    }

    fn outgoing(&self, axis: usize) -> Option<Color> {
        (self.at[axis] != self.roots[axis]).then(|| self.link(axis, self.at[axis]))
    }

    fn arrivals(&self, axis: usize) -> Vec<Color> {
        let (at, root) = (self.at[axis], self.roots[axis]);
        let low = (at > 0 && at <= root).then(|| self.link(axis, at - 1));
        let high = (at + 1 < self.len[axis] && at >= root).then(|| self.link(axis, at + 1));
        low.into_iter().chain(high).collect()
    }

    fn tile(&self, phases: &[Phase], rounds: u32) -> (Program, Vec<Route>) {
        let mut code = Code::default();
        for phase in phases {
            self.phase(&mut code, phase);
        }
        let mut routes = Vec::new();
        for (axis, [low, high]) in
            [[Port::West, Port::East], [Port::North, Port::South]].into_iter().enumerate()
        {
            let sums = |p: &Phase| matches!(p, Phase::Sum { axis: a, .. } if *a == axis);
            let shares = |p: &Phase| matches!(p, Phase::Share { axis: a, .. } if *a == axis);
            if phases.iter().any(sums) {
                self.chain(&mut routes, axis, low, high);
            }
            if phases.iter().any(shares) && self.len[axis] > 1 {
                self.broadcast(&mut routes, axis, low, high);
            }
        }
        if code.outs.contains(&HOST) {
            routes.push(Route::fixed(HOST, Port::Ramp, Ports::one(Port::West)));
        }
        routes.sort_by_key(|r| r.color);
        (code.finish(rounds), routes)
    }

    fn chain(&self, routes: &mut Vec<Route>, axis: usize, low: Port, high: Port) {
        let (at, root, len) = (self.at[axis], self.roots[axis], self.len[axis]);
        if let Some(color) = self.outgoing(axis) {
            let towards = if at < root { high } else { low };
            routes.push(Route::fixed(color, Port::Ramp, Ports::one(towards)));
        }
        if at > 0 && at <= root {
            routes.push(Route::fixed(self.link(axis, at - 1), low, Ports::one(Port::Ramp)));
        }
        if at + 1 < len && at >= root {
            routes.push(Route::fixed(self.link(axis, at + 1), high, Ports::one(Port::Ramp)));
        }
    }

    fn broadcast(&self, routes: &mut Vec<Route>, axis: usize, low: Port, high: Port) {
        let (at, root, len) = (self.at[axis], self.roots[axis], self.len[axis]);
        let mut tx = if at == root { Ports::NONE } else { Ports::one(Port::Ramp) };
        if at > 0 && at <= root {
            tx = tx.with(low);
        }
        if at + 1 < len && at >= root {
            tx = tx.with(high);
        }
        let rx = match at.cmp(&root) {
            std::cmp::Ordering::Equal => Port::Ramp,
            std::cmp::Ordering::Less => high,
            std::cmp::Ordering::Greater => low,
        };
        routes.push(Route::fixed(COLORS[axis][2], rx, tx));
    }

    fn phase(&self, code: &mut Code, phase: &Phase) {
        match *phase {
            Phase::Sum { axis, len, dtype } => {
                let (own, result) = (code.mem(0, dtype), code.mem(RESULT, dtype));
                let out = self.outgoing(axis);
                let arrivals = self.arrivals(axis);
                match (out, &arrivals[..]) {
                    (None, []) => {}
                    (Some(out), []) => code.send(VecOp::Mov, len, out, own, Operand::None),
                    (Some(out), &[from]) => {
                        let input = code.input(from, dtype);
                        code.send(VecOp::Add, len, out, input, own);
                    }
                    (Some(_), _) => unreachable!("only roots have two"),
                    (None, arrivals) => {
                        for &from in arrivals {
                            let input = code.input(from, dtype);
                            code.store(VecOp::Add, len, result, input, own);
                        }
                    }
                }
            }
            Phase::Share { axis, len, dtype, parts } => {
                if self.len[axis] == 1 {
                    return;
                }
                let color = COLORS[axis][2];
                let result = code.mem(RESULT, dtype);
                if self.at[axis] == self.roots[axis] {
                    code.send(VecOp::Mov, len, color, result, Operand::None);
                    return;
                }
                let first = if parts == 2 && len > 3 { (len / 2) & !1 } else { len };
                let input = code.input(color, dtype);
                let place = code.mem(OTHER, dtype);
                code.store(VecOp::Mov, first, place, input, Operand::None);
                if first < len {
                    code.store(VecOp::Mov, len - first, place, input, Operand::None);
                }
            }
            Phase::Work { stride, len } => {
                if (self.at[0] + 2 * self.at[1]).is_multiple_of(stride) {
                    let (a, b) = (code.mem(0, DType::F32), code.mem(OTHER, DType::F32));
                    code.store(VecOp::Add, len, b, a, b);
                }
            }
            Phase::Tell => {
                if self.at == [0, 0] {
                    let own = code.mem(RESULT, DType::F32);
                    code.send(VecOp::Mov, 2, HOST, own, Operand::None);
                }
            }
        }
    }
}

/// A program that grows.
#[derive(Default)]
struct Code {
    instrs: Vec<Instr>,
    shapes: Vec<Shape>,
    dsds: Vec<Dsd>,
    ins: Vec<Color>,
    outs: Vec<Color>,
    dtype: Option<DType>,
}

impl Code {
    fn mem(&mut self, words: u32, dtype: DType) -> Operand {
        self.dtype = Some(dtype);
        self.dsds.push(Dsd { base: 4 * words, offset: None, strides: vec![1], dtype });
        Operand::Mem(DsdId(self.dsds.len() as u16 - 1))
    }

    fn place(list: &mut Vec<Color>, color: Color) -> u8 {
        let at = list.iter().position(|&c| c == color).unwrap_or_else(|| {
            list.push(color);
            list.len() - 1
        });
        at as u8
    }

    fn input(&mut self, color: Color, dtype: DType) -> Operand {
        Operand::FabIn(InQueue(Code::place(&mut self.ins, color)), dtype)
    }

    fn to(&mut self, color: Color) -> Operand {
        let dtype = self.dtype.expect("an operand in memory");
        Operand::FabOut(OutQueue(Code::place(&mut self.outs, color)), dtype)
    }

    fn send(&mut self, op: VecOp, len: u32, color: Color, a: Operand, b: Operand) {
        let dst = self.to(color);
        self.store(op, len, dst, a, b);
    }

    fn store(&mut self, op: VecOp, len: u32, dst: Operand, a: Operand, b: Operand) {
        self.shapes.push(Shape { extents: vec![Size::Imm(len)] });
        let shape = ShapeId(self.shapes.len() as u16 - 1);
        self.instrs.push(Instr::Vector(Vector { op, shape, dst, a, b, thread: Thread::Main }));
    }

    fn finish(self, rounds: u32) -> Program {
        let vectors = (self.shapes, self.dsds);
        traffic::looped(self.instrs, rounds, vectors, &self.ins, &self.outs)
    }
}
