//! Images put together by hand: routes and programs by tile, interned at the end.

use fabric::{
    HostIn, HostOut, Machine, PeCoord, PeIdx, Port, Ports, Position, Route, RouteSet, Segment,
    WaferImage, lint, presets,
};
use pe_isa::{
    Color, DType, Dsd, DsdId, InQueue, Instr, Operand, OutQueue, Program, Reg, Shape, ShapeId,
    Size, Task, TaskId, TaskKind, Thread, VecOp, Vector,
};

/// A small grid with the constants of a preset.
///
/// # Panics
/// When there is no such preset.
pub fn machine(preset: &str, width: u32, height: u32) -> Machine {
    let mut machine = presets::preset(preset).expect("the preset exists");
    machine.width = width;
    machine.height = height;
    machine
}

/// An image under construction.
#[derive(Debug, Clone)]
pub struct WaferBuilder {
    /// The image, without its routes and programs.
    pub image: WaferImage,
    /// The routes of each tile.
    pub routes: Vec<RouteSet>,
    /// The program of each tile.
    pub programs: Vec<Option<ProgramBuilder>>,
}

impl WaferBuilder {
    /// A wafer in which nothing happens.
    pub fn new(machine: Machine) -> WaferBuilder {
        let tiles = machine.tiles();
        WaferBuilder {
            image: WaferImage::empty(machine),
            routes: vec![RouteSet::default(); tiles],
            programs: vec![None; tiles],
        }
    }

    /// The array index of column `x`, row `y`.
    pub fn at(&self, x: u32, y: u32) -> usize {
        self.image.index(PeCoord::new(x, y)).0 as usize
    }

    /// Adds a route of one position.
    pub fn route(&mut self, at: usize, color: u8, rx: Port, tx: &[Port]) {
        let tx: Ports = tx.iter().copied().collect();
        self.switched(at, color, vec![Position { rx, tx }]);
    }

    /// Adds a route.
    pub fn switched(&mut self, at: usize, color: u8, positions: Vec<Position>) {
        let color = Color(color);
        let routes = &mut self.routes[at].routes;
        let place = routes.partition_point(|r| r.color < color);
        routes.insert(place, Route { color, positions });
    }

    /// Routes a color through a row of tiles, from the ramp of the first to that of the last.
    pub fn path(&mut self, color: u8, tiles: &[usize]) {
        let width = self.image.machine.width as usize;
        let towards = |from: usize, to: usize| match to as i64 - from as i64 {
            1 => Port::East,
            -1 => Port::West,
            d if d == width as i64 => Port::South,
            _ => Port::North,
        };
        for (k, &at) in tiles.iter().enumerate() {
            let rx = match k {
                0 => Port::Ramp,
                _ => towards(tiles[k - 1], at).opposite(),
            };
            let tx = tiles.get(k + 1).map_or(Port::Ramp, |&to| towards(at, to));
            self.route(at, color, rx, &[tx]);
        }
    }

    /// The program of a tile.
    pub fn program(&mut self, at: usize) -> &mut ProgramBuilder {
        self.programs[at].get_or_insert_with(ProgramBuilder::default)
    }

    /// Adds a port through which the host sends; returns its index.
    pub fn host_in(&mut self, at: usize, port: Port, color: u8) -> usize {
        let (tile, color) = (PeIdx(at as u32), Color(color));
        self.image.host_in.push(HostIn { tile, port, color });
        self.image.host_in.len() - 1
    }

    /// Adds a port through which the host receives; returns its index.
    pub fn host_out(&mut self, at: usize, port: Port, color: u8) -> usize {
        let (tile, color) = (PeIdx(at as u32), Color(color));
        self.image.host_out.push(HostOut { tile, port, color });
        self.image.host_out.len() - 1
    }

    /// The image.
    ///
    /// # Panics
    /// When the linter finds an error.
    pub fn finish(self) -> WaferImage {
        let WaferBuilder { mut image, routes, programs } = self;
        for (at, (routes, program)) in routes.into_iter().zip(programs).enumerate() {
            if !routes.routes.is_empty() {
                image.tiles[at].routes = Some(image.intern_routes(routes));
            }
            if let Some(builder) = program {
                image.tiles[at].sram_bytes = builder.sram_bytes;
                image.tiles[at].params = builder.params;
                image.tiles[at].data = builder.data;
                image.tiles[at].program = Some(image.intern_program(builder.program));
            }
        }
        let errors: Vec<String> =
            lint(&image).iter().filter(|f| f.error).map(ToString::to_string).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        image
    }
}

/// A program under construction, with the parameters and data of its tile.
#[derive(Debug, Clone)]
pub struct ProgramBuilder {
    /// The program.
    pub program: Program,
    /// Registers that do not start at 0.
    pub params: Vec<(Reg, u32)>,
    /// Bytes of data.
    pub sram_bytes: u32,
    /// Initial data.
    pub data: Vec<Segment>,
}

impl Default for ProgramBuilder {
    fn default() -> ProgramBuilder {
        ProgramBuilder {
            program: Program::default(),
            params: Vec::new(),
            sram_bytes: 4096,
            data: Vec::new(),
        }
    }
}

impl ProgramBuilder {
    /// Binds the next input queue to a color.
    pub fn bind_in(&mut self, color: u8) -> InQueue {
        self.program.in_queues.push(Some(Color(color)));
        InQueue(self.program.in_queues.len() as u8 - 1)
    }

    /// Binds the next output queue to a color.
    pub fn bind_out(&mut self, color: u8) -> OutQueue {
        self.program.out_queues.push(Some(Color(color)));
        OutQueue(self.program.out_queues.len() as u8 - 1)
    }

    /// A loop nest.
    pub fn shape(&mut self, extents: &[Size]) -> ShapeId {
        self.program.shapes.push(Shape { extents: extents.to_vec() });
        ShapeId(self.program.shapes.len() as u16 - 1)
    }

    /// A memory operand without offset.
    pub fn mem(&mut self, base: u32, strides: &[i32], dtype: DType) -> Operand {
        self.mem_at(base, None, strides, dtype)
    }

    /// A memory operand.
    pub fn mem_at(
        &mut self,
        base: u32,
        offset: Option<Reg>,
        strides: &[i32],
        dtype: DType,
    ) -> Operand {
        self.program.dsds.push(Dsd { base, offset, strides: strides.to_vec(), dtype });
        Operand::Mem(DsdId(self.program.dsds.len() as u16 - 1))
    }

    /// A vector operation over `n` elements in the main thread.
    pub fn vector(&mut self, op: VecOp, n: u32, dst: Operand, a: Operand, b: Operand) -> Instr {
        let shape = self.shape(&[Size::Imm(n)]);
        Instr::Vector(Vector { op, shape, dst, a, b, thread: Thread::Main })
    }

    /// Appends the code of a task, whose branch targets count from its own first instruction.
    pub fn task(&mut self, kind: TaskKind, priority: u8, code: &[Instr]) -> TaskId {
        let base = self.program.instrs.len() as u16;
        for &instr in code {
            let mut instr = instr;
            if let Instr::Branch { target, .. } | Instr::Jump { target } = &mut instr {
                *target += base;
            }
            self.program.instrs.push(instr);
        }
        self.program.tasks.push(Task {
            kind,
            entry: base,
            priority,
            activated: false,
            blocked: false,
        });
        TaskId(self.program.tasks.len() as u8 - 1)
    }

    /// Appends a local task that is activated at cycle 0.
    pub fn main(&mut self, code: &[Instr]) -> TaskId {
        let task = self.task(TaskKind::Local, 0, code);
        self.task_mut(task).activated = true;
        task
    }

    /// A task that was appended.
    pub fn task_mut(&mut self, task: TaskId) -> &mut Task {
        &mut self.program.tasks[usize::from(task.0)]
    }
}
