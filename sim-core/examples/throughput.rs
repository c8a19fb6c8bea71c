//! Wavelet hops and PE steps per CPU second of the engine on three patterns.
//!
//! `cargo run --release -p sim-core --example throughput [rounds [sizes]]`
//!
//! * `broadcast+reduce`: in each row the first PE sends a vector of 64 `f32` to all others; then
//!   each column adds its vectors up along a chain; this `rounds` times.
//! * `all-to-one`: 20 PEs of each row send on colors of their own through the same links to the edge.

use fabric::{HostOut, Machine, PeCoord, PeIdx, Port, Ports, Route, RouteSet, WaferImage, presets};
use pe_isa::{
    AluOp, Color, Cond, Cycle, DType, Dsd, DsdId, InQueue, Instr, Operand, OutQueue, Program, Reg,
    Shape, ShapeId, Size, Src, Task, TaskKind, Thread, VecOp, Vector,
};
use sim_core::{Engine, HostScript, NoObserver, StopReason};
use std::time::Instant;

const WORDS: u32 = 64;

fn main() {
    let mut args = std::env::args().skip(1).map(|a| a.parse().expect("a number"));
    let rounds = args.next().unwrap_or(20);
    let sizes: Vec<u32> = args.collect();
    let sizes = if sizes.is_empty() { vec![64, 256] } else { sizes };
    for preset in ["wse2", "wse3"] {
        for &size in &sizes {
            let machine = sized(preset, size);
            let name = format!("broadcast+reduce {size} {preset}");
            report(&name, &broadcast_reduce(&machine, rounds));
        }
        let machine = sized(preset, sizes[0].max(21));
        let name = format!("all-to-one {} {preset}", machine.width);
        report(&name, &all_to_one(&machine, rounds));
    }
}

/// CPU seconds of this process, which other work on the host does not stretch; to 10 ms, the tick
/// of the kernel's accounting.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or("").split(' ');
    let times: Vec<f64> = fields.skip(11).take(2).flat_map(str::parse).collect();
    times.iter().sum::<f64>() / 100.0
}

fn sized(preset: &str, size: u32) -> Machine {
    let mut machine = presets::preset(preset).expect("a preset");
    (machine.width, machine.height) = (size, size);
    machine
}

/// Best of five runs.
fn report(name: &str, image: &WaferImage) {
    let start = Instant::now();
    let engine = Engine::load(image);
    let load = start.elapsed().as_secs_f64();
    let mut best = f64::MAX;
    let mut line = String::new();
    for _ in 0..5 {
        let mut engine = engine.clone();
        let mut host = Vec::new();
        let start = cpu_seconds();
        let script = HostScript::default();
        let (stop, cycle) = engine.run(&script, &mut host, Cycle::NEVER, &mut NoObserver);
        let seconds = (cpu_seconds() - start).max(0.01);
        assert_eq!(stop, StopReason::Finished, "{name}");
        best = best.min(seconds);
        let hops = engine.wavelet_hops();
        let tiles = (0..image.tiles.len() as u32).map(PeIdx);
        let steps: u64 = tiles.map(|t| engine.counters(t).fabric_steps).sum();
        line = format!(
            "{name:30} {:8.2} M hops/s {:8.2} M steps/s  {hops} hops {steps} steps {cycle} cycles",
            hops as f64 / best / 1e6,
            steps as f64 / best / 1e6,
        );
    }
    println!("{line} run {best:.2} s CPU, load {load:.3} s");
}

fn vector(op: VecOp, dst: Operand, a: Operand, b: Operand) -> Instr {
    Instr::Vector(Vector { op, shape: ShapeId(0), dst, a, b, thread: Thread::Main })
}

/// A program that runs `body` `rounds` times over the vector at byte 0.
fn looped(body: Vec<Instr>, rounds: u32, ins: &[Color], outs: &[Color]) -> Program {
    let mut instrs = vec![Instr::Li { rd: Reg(0), imm: 0 }];
    instrs.extend(body);
    instrs.push(Instr::Alu { op: AluOp::Add, rd: Reg(0), ra: Reg(0), b: Src::Imm(1) });
    instrs.push(Instr::Branch { cond: Cond::Lt, ra: Reg(0), b: Src::Imm(rounds), target: 1 });
    instrs.push(Instr::End);
    Program {
        instrs,
        shapes: vec![Shape { extents: vec![Size::Imm(WORDS)] }],
        dsds: vec![Dsd { base: 0, offset: None, strides: vec![1], dtype: DType::F32 }],
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

fn broadcast_reduce(machine: &Machine, rounds: u32) -> WaferImage {
    let mut image = WaferImage::empty(machine.clone());
    let (width, height) = (machine.width, machine.height);
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
            let program = looped(body, rounds, &ins, &outs);
            place(&mut image, PeCoord::new(x, y), Some(program), routes);
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

fn all_to_one(machine: &Machine, rounds: u32) -> WaferImage {
    const SENDERS: u32 = 20;
    let mut image = WaferImage::empty(machine.clone());
    for y in 0..machine.height {
        for x in 0..=SENDERS {
            let from = x.max(1)..=SENDERS;
            let routes = from.map(|c| {
                let rx = if c == x { Port::Ramp } else { Port::East };
                Route::fixed(Color(c as u8), rx, Ports::one(Port::West))
            });
            let own = Operand::FabOut(OutQueue(0), DType::F32);
            let send = vector(VecOp::Mov, own, Operand::Mem(DsdId(0)), Operand::None);
            let program = (x > 0).then(|| looped(vec![send], rounds, &[], &[Color(x as u8)]));
            let routes = routes.collect();
            let tile = place(&mut image, PeCoord::new(x, y), program, routes);
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
) -> PeIdx {
    let index = image.index(at);
    let routes = image.intern_routes(RouteSet { routes });
    let program = program.map(|p| image.intern_program(p));
    let tile = &mut image.tiles[index.0 as usize];
    tile.sram_bytes = if program.is_some() { 4 * WORDS } else { 0 };
    tile.program = program;
    tile.routes = Some(routes);
    index
}
