//! A small builder for PE programs: interned shapes and descriptors, queues bound on first use.

use pe_isa::{
    AluOp, Color, Cond, DType, Dsd, DsdId, InQueue, Instr, OnDone, Operand, OutQueue, Program, Reg,
    Shape, ShapeId, Size, Src, Task, TaskId, TaskKind, Thread, VecOp, Vector,
};

/// Switch commands of a control wavelet that moves the first switch on its way to its next position, and no other (contract
/// rule S-3).
pub(crate) const SWITCH_FIRST: u32 = 0b01;

/// Where a forward jump will land; see [`Asm::place`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label(usize);

/// A program under construction. Its first instruction begins a local task that is active at the start. That of a stage
/// of a model is the only one and runs for ever; kernels end theirs and may have more.
#[derive(Debug, Default)]
pub(crate) struct Asm {
    program: Program,
    later_tasks: Vec<u16>,
    labels: Vec<Option<u16>>,
    fixups: Vec<(usize, Label)>,
}

/// A memory operand in the making: base, offset register, element strides, type.
#[derive(Debug, Clone)]
pub(crate) struct Mem {
    base: u32,
    offset: Option<Reg>,
    strides: Vec<i32>,
    dtype: DType,
}

/// Memory from byte `base`, with one stride (in elements) per loop.
pub(crate) fn mem(base: u32, strides: &[u32], dtype: DType) -> Mem {
    let strides = strides.iter().map(|&s| s as i32).collect();
    Mem { base, offset: None, strides, dtype }
}

impl Mem {
    /// The same, moved by the bytes in a register.
    pub(crate) fn plus(self, offset: Reg) -> Mem {
        self.shifted(Some(offset))
    }

    /// The same, moved by the bytes in a register if one is named.
    pub(crate) fn shifted(mut self, offset: Option<Reg>) -> Mem {
        self.offset = offset;
        self
    }
}

/// Anything that can stand as an operand.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// SRAM.
    M(Mem),
    /// Anything else.
    O(Operand),
}

impl From<Mem> for Op {
    fn from(m: Mem) -> Op {
        Op::M(m)
    }
}

impl From<Operand> for Op {
    fn from(o: Operand) -> Op {
        Op::O(o)
    }
}

/// An extent given as a constant.
pub(crate) fn n(extent: u32) -> Size {
    Size::Imm(extent)
}

impl Asm {
    /// An empty program.
    pub(crate) fn new() -> Asm {
        Asm::default()
    }

    /// The finished program.
    pub(crate) fn finish(mut self) -> Program {
        for (at, label) in std::mem::take(&mut self.fixups) {
            let to = self.labels[label.0].expect("every label is placed");
            match &mut self.program.instrs[at] {
                Instr::Branch { target, .. } | Instr::Jump { target } => *target = to,
                other => unreachable!("only jumps have labels, not {other:?}"),
            }
        }
        let entries = [0].into_iter().chain(std::mem::take(&mut self.later_tasks));
        let task = |entry| Task {
            kind: TaskKind::Local,
            entry,
            priority: 0,
            activated: entry == 0,
            blocked: false,
        };
        self.program.tasks = entries.map(task).collect();
        self.program
    }

    /// Begins a local task that something has to activate; tasks are numbered from 1 in this order.
    pub(crate) fn task(&mut self) {
        self.later_tasks.push(self.program.instrs.len() as u16);
    }

    /// Ends the running task.
    pub(crate) fn end(&mut self) {
        self.push(Instr::End);
    }

    /// Sends a control wavelet with switch commands (contract rule S-3).
    pub(crate) fn send_control(&mut self, color: Color, commands: u32) {
        let queue = match self.to(color, DType::U32) {
            Operand::FabOut(queue, _) => queue,
            other => unreachable!("`to` gives output queues, not {other:?}"),
        };
        self.push(Instr::SendCtrl { queue, payload: Src::Imm(commands) });
    }

    fn push(&mut self, instr: Instr) {
        self.program.instrs.push(instr);
    }

    /// A label that is placed later.
    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Lets a label stand for the next instruction.
    pub(crate) fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.program.instrs.len() as u16);
    }

    /// A label for the next instruction.
    pub(crate) fn here(&mut self) -> Label {
        let label = self.label();
        self.place(label);
        label
    }

    /// Jumps to a label.
    pub(crate) fn jump(&mut self, to: Label) {
        self.fixups.push((self.program.instrs.len(), to));
        self.push(Instr::Jump { target: 0 });
    }

    /// Branches to a label.
    pub(crate) fn branch(&mut self, cond: Cond, ra: Reg, b: Src, to: Label) {
        self.fixups.push((self.program.instrs.len(), to));
        self.push(Instr::Branch { cond, ra, b, target: 0 });
    }

    /// `rd = imm`.
    pub(crate) fn li(&mut self, rd: Reg, imm: u32) {
        self.push(Instr::Li { rd, imm });
    }

    /// `rd = ra op b`.
    pub(crate) fn alu(&mut self, op: AluOp, rd: Reg, ra: Reg, b: Src) {
        self.push(Instr::Alu { op, rd, ra, b });
    }

    /// `if ra > rb { rd = rs }`, as f32.
    pub(crate) fn selgt(&mut self, rd: Reg, rs: Reg, ra: Reg, rb: Reg) {
        self.push(Instr::SelGt { rd, rs, ra, rb });
    }

    /// A label for observers.
    pub(crate) fn mark(&mut self, mark: u16) {
        self.push(Instr::Mark(mark));
    }

    /// The input queue of a color, as an operand.
    pub(crate) fn from(&mut self, color: Color, dtype: DType) -> Operand {
        let queues = &mut self.program.in_queues;
        let at = queues.iter().position(|&q| q == Some(color)).unwrap_or_else(|| {
            queues.push(Some(color));
            queues.len() - 1
        });
        Operand::FabIn(InQueue(at as u8), dtype)
    }

    /// The output queue of a color, as an operand.
    pub(crate) fn to(&mut self, color: Color, dtype: DType) -> Operand {
        let queues = &mut self.program.out_queues;
        let at = queues.iter().position(|&q| q == Some(color)).unwrap_or_else(|| {
            queues.push(Some(color));
            queues.len() - 1
        });
        Operand::FabOut(OutQueue(at as u8), dtype)
    }

    fn shape(&mut self, extents: &[Size]) -> ShapeId {
        let shapes = &mut self.program.shapes;
        let at = shapes.iter().position(|s| s.extents == extents).unwrap_or_else(|| {
            shapes.push(Shape { extents: extents.to_vec() });
            shapes.len() - 1
        });
        ShapeId(at as u16)
    }

    fn operand(&mut self, op: Op) -> Operand {
        let m = match op {
            Op::O(o) => return o,
            Op::M(m) => m,
        };
        let dsd = Dsd { base: m.base, offset: m.offset, strides: m.strides, dtype: m.dtype };
        let dsds = &mut self.program.dsds;
        let at = dsds.iter().position(|d| *d == dsd).unwrap_or_else(|| {
            dsds.push(dsd);
            dsds.len() - 1
        });
        Operand::Mem(DsdId(at as u16))
    }

    /// A vector operation in the main thread; `b` is [`Operand::None`] for unary ones.
    pub(crate) fn vec(
        &mut self,
        op: VecOp,
        shape: &[Size],
        dst: impl Into<Op>,
        a: impl Into<Op>,
        b: impl Into<Op>,
    ) {
        self.vector(op, shape, [dst.into(), a.into(), b.into()], Thread::Main);
    }

    /// `dst = a`, in the main thread.
    pub(crate) fn mov(&mut self, shape: &[Size], dst: impl Into<Op>, a: impl Into<Op>) {
        self.vec(VecOp::Mov, shape, dst, a, Operand::None);
    }

    /// `dst = a`, in a microthread.
    pub(crate) fn mov_async(
        &mut self,
        thread: u8,
        shape: &[Size],
        dst: impl Into<Op>,
        a: impl Into<Op>,
    ) {
        self.mov_then(thread, shape, dst, a, None);
    }

    /// `dst = a`, in a microthread, at whose end a task is activated if one is named.
    pub(crate) fn mov_then(
        &mut self,
        thread: u8,
        shape: &[Size],
        dst: impl Into<Op>,
        a: impl Into<Op>,
        then: Option<u8>,
    ) {
        let operands = [dst.into(), a.into(), Operand::None.into()];
        let done = then.map_or(OnDone::Nothing, |task| OnDone::Activate(TaskId(task)));
        self.vector(VecOp::Mov, shape, operands, Thread::Micro(thread, done));
    }

    /// A vector operation in a microthread.
    pub(crate) fn vec_async(
        &mut self,
        thread: u8,
        op: VecOp,
        shape: &[Size],
        [dst, a, b]: [Op; 3],
    ) {
        self.vector(op, shape, [dst, a, b], Thread::Micro(thread, OnDone::Nothing));
    }

    fn vector(&mut self, op: VecOp, shape: &[Size], operands: [Op; 3], thread: Thread) {
        let shape = self.shape(shape);
        let [dst, a, b] = operands.map(|o| self.operand(o));
        self.push(Instr::Vector(Vector { op, shape, dst, a, b, thread }));
    }

    /// Receives one 32-bit word into a register.
    pub(crate) fn recv(&mut self, rd: Reg, color: Color) {
        let source = self.from(color, DType::U32);
        self.mov(&[n(1)], Operand::Reg(rd, DType::U32), source);
    }

    /// Sends a register as one 32-bit word.
    pub(crate) fn send(&mut self, color: Color, rs: Reg) {
        let target = self.to(color, DType::U32);
        self.mov(&[n(1)], target, Operand::Reg(rs, DType::U32));
    }
}
