//! Dense traffic for benchmarks: programs that do little but move wavelets.

use fabric::{HostOut, Machine, PeCoord, PeIdx, Port, Ports, Route, RouteSet, WaferImage};
use pe_isa::{
    AluOp, Color, Cond, DType, Dsd, DsdId, InQueue, Instr, Operand, OutQueue, Program, Reg, Shape,
    ShapeId, Size, Src, Task, TaskKind, Thread, VecOp, Vector,
};

/// Where traffic is, and how much.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    /// Columns, from the west edge.
    pub width: u32,
    /// Rows, from the north edge.
    pub height: u32,
    /// Elements of every vector, `f32`.
    pub words: u32,
    /// How often each PE does its part.
    pub rounds: u32,
}

fn vector(op: VecOp, dst: Operand, a: Operand, b: Operand) -> Instr {
    Instr::Vector(Vector { op, shape: ShapeId(0), dst, a, b, thread: Thread::Main })
}

/// A process that runs `body` so many times, over these shapes and vectors.
pub(super) fn looped(
    body: Vec<Instr>,
    rounds: u32,
    (shapes, dsds): (Vec<Shape>, Vec<Dsd>),
    ins: &[Color],
    outs: &[Color],
) -> Program {
    let mut instrs = vec![Instr::Li { rd: Reg(0), imm: 0 }];
    instrs.extend(body);
    instrs.push(Instr::Alu { op: AluOp::Add, rd: Reg(0), ra: Reg(0), b: Src::Imm(1) });
    instrs.push(Instr::Branch { cond: Cond::Lt, ra: Reg(0), b: Src::Imm(rounds), target: 1 });
    instrs.push(Instr::End);
    Program {
        instrs,
        shapes,
        dsds,
        tasks: vec![Task {
            kind: TaskKind::Local,
            entry: 0,
            priority: 0,
            activated: true,
            blocked: false,
        }],
        in_queues: ins.iter().copied().map(Some).collect(),
        out_queues: outs.iter().copied().map(Some).collect(),
    }
}

/// The same over the vector at byte 0.
fn over_vector(body: Vec<Instr>, traffic: Traffic, ins: &[Color], outs: &[Color]) -> Program {
    let shape = Shape { extents: vec![Size::Imm(traffic.words)] };
    let dsd = Dsd { base: 0, offset: None, strides: vec![1], dtype: DType::F32 };
    looped(body, traffic.rounds, (vec![shape], vec![dsd]), ins, outs)
}

/// In each row the first PE sends a vector to all others; then each column adds its vectors up along a chain to the
/// north. Rounds do not wait for one another.
///
/// # Panics
/// When the machine has fewer than `width` columns or `height` rows.
pub fn broadcast_reduce(machine: &Machine, traffic: Traffic) -> WaferImage {
    let Traffic { width, height, .. } = traffic;
    assert!(width <= machine.width && height <= machine.height, "traffic beyond the wafer's edge");
    let mut image = WaferImage::empty(machine.clone());
    let row = Color(0);
    for y in 0..height {
        for x in 0..width {
            let (send, receive) = (Color(1 + (y % 2) as u8), Color(1 + ((y + 1) % 2) as u8));
            let mut ins = Vec::new();
            let mut outs = Vec::new();
            let mut body = Vec::new();
            let mut routes = vec![broadcast_route(row, x, width)];
            let memory = Operand::Mem(DsdId(0));
            let out = |outs: &mut Vec<Color>, color| {
                outs.push(color);
                Operand::FabOut(OutQueue(outs.len() as u8 - 1), DType::F32)
            };
            let input = |ins: &mut Vec<Color>, color| {
                ins.push(color);
                Operand::FabIn(InQueue(ins.len() as u8 - 1), DType::F32)
            };
            if x == 0 {
                body.push(vector(VecOp::Mov, out(&mut outs, row), memory, Operand::None));
            } else {
                body.push(vector(VecOp::Mov, memory, input(&mut ins, row), Operand::None));
            }
            if y + 1 < height {
                routes.push(Route::fixed(receive, Port::South, Ports::one(Port::Ramp)));
            }
            if y > 0 {
                routes.push(Route::fixed(send, Port::Ramp, Ports::one(Port::North)));
            }
            body.push(match (y > 0, y + 1 < height) {
                (true, true) => {
                    let a = input(&mut ins, receive);
                    vector(VecOp::Add, out(&mut outs, send), a, memory)
                }
                (true, false) => vector(VecOp::Mov, out(&mut outs, send), memory, Operand::None),
                _ => vector(VecOp::Add, memory, input(&mut ins, receive), memory),
            });
            routes.sort_by_key(|r| r.color);
            let program = over_vector(body, traffic, &ins, &outs);
            place(&mut image, PeCoord::new(x, y), Some(program), routes, traffic);
        }
    }
    image
}

fn broadcast_route(color: Color, x: u32, width: u32) -> Route {
    match x {
        0 => Route::fixed(color, Port::Ramp, Ports::one(Port::East)),
        x if x + 1 == width => Route::fixed(color, Port::West, Ports::one(Port::Ramp)),
        _ => Route::fixed(color, Port::West, Ports::one(Port::East).with(Port::Ramp)),
    }
}

/// In each row 20 PEs send a vector each, on colors of their own, through the same links to the host west of it. The
/// columns behind them are idle.
///
/// # Panics
/// When `width` is less than 21, or the machine has fewer than `width` columns or `height` rows.
pub fn all_to_one(machine: &Machine, traffic: Traffic) -> WaferImage {
    const SENDERS: u32 = 20;
    let Traffic { width, height, .. } = traffic;
    assert!(SENDERS < width, "20 senders and their receiver need 21 columns");
    assert!(width <= machine.width && height <= machine.height, "traffic beyond the wafer's edge");
    let mut image = WaferImage::empty(machine.clone());
    for y in 0..height {
        for x in 0..=SENDERS {
            let from = x.max(1)..=SENDERS;
            let routes = from.map(|c| {
                let rx = if c == x { Port::Ramp } else { Port::East };
                Route::fixed(Color(c as u8), rx, Ports::one(Port::West))
            });
            let own = Operand::FabOut(OutQueue(0), DType::F32);
            let send = vector(VecOp::Mov, own, Operand::Mem(DsdId(0)), Operand::None);
            let program = (x > 0).then(|| over_vector(vec![send], traffic, &[], &[Color(x as u8)]));
            let routes = routes.collect();
            let tile = place(&mut image, PeCoord::new(x, y), program, routes, traffic);
            if x == 0 {
                let colors = 1..=SENDERS as u8;
                image.host_out.extend(colors.map(|c| HostOut {
                    tile,
                    port: Port::West,
                    color: Color(c),
                }));
            }
        }
    }
    image
}

fn place(
    image: &mut WaferImage,
    at: PeCoord,
    program: Option<Program>,
    routes: Vec<Route>,
    traffic: Traffic,
) -> PeIdx {
    let index = image.index(at);
    let routes = image.intern_routes(RouteSet { routes });
    let program = program.map(|p| image.intern_program(p));
    let tile = &mut image.tiles[index.0 as usize];
    tile.sram_bytes = if program.is_some() { 4 * traffic.words } else { 0 };
    tile.program = program;
    tile.routes = Some(routes);
    index
}
