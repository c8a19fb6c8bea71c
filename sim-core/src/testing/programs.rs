//! The program of one tile: its part in every net, and what it does besides.

use super::build::ProgramBuilder;
use super::code::{SRAM_BYTES, Writer};
use super::load::{Load, Mode, mode};
use super::nets::{Net, Source};
use super::spec::{Bits, CaseSpec, PeSpec, SinkSpec, Twist};
use fabric::Segment;
use pe_isa::{AluOp, Instr, OnDone, Operand, Reg, Size, Src, TaskKind, Thread, VecOp, Vector};

/// Orders from here on are of nets that data tasks take from.
const LATE: usize = 1000;

/// A tile's send or receive in the order of the nets.
struct Item {
    order: usize,
    code: Vec<Instr>,
}

/// One tile while its program is written.
struct Tile<'a> {
    at: usize,
    spec: &'a CaseSpec,
    nets: &'a [Net],
    loads: &'a [Load],
    microthreads: u8,
    writer: Writer,
    items: Vec<Item>,
    /// A receive that waits for another one to be joined with.
    single: Option<Single>,
}

/// A receive of so many wavelets, in the main thread.
#[derive(Debug, Clone, Copy)]
struct Single {
    order: usize,
    from: Operand,
    wavelets: u32,
    lanes: u32,
    bits: Bits,
}

/// Writes the program of tile `at`; `None` for a PE that does nothing.
pub(super) fn program(
    at: usize,
    spec: &CaseSpec,
    nets: &[Net],
    loads: &[Load],
) -> Option<ProgramBuilder> {
    let pe = &spec.pes[at % spec.pes.len()];
    let in_net = |net: &Net| {
        let source = matches!(net.source, Source::Program(t) | Source::Stream(t, _) if t == at);
        source || net.joiner == Some(at) || net.sinks.iter().any(|(t, _)| *t == at)
    };
    if !nets.iter().any(in_net) && pe.fills.is_empty() {
        return None;
    }
    let mut tile = Tile {
        at,
        spec,
        nets,
        loads,
        microthreads: spec.machine.microthreads,
        writer: Writer {
            builder: ProgramBuilder::default(),
            tails: Vec::new(),
            faulty: spec.twist == Twist::Faults,
        },
        items: Vec::new(),
        single: None,
    };
    tile.tails(pe);
    for k in 0..nets.len() {
        tile.part_in_net(k);
    }
    if let Some(single) = tile.single.take() {
        tile.rest(single, 0);
    }
    tile.main(pe);
    let mut builder = tile.writer.builder;
    builder.sram_bytes = SRAM_BYTES;
    builder.params.push((Reg(3), at as u32));
    let mut random = pe.bits.0 as u64 | 1;
    let words = (0..SRAM_BYTES / 4).map(|_| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) as u32
    });
    builder.data.push(Segment { address: 0, words: words.collect() });
    Some(builder)
}

impl Tile<'_> {
    /// Local tasks that other code activates, blocks and unblocks.
    fn tails(&mut self, pe: &PeSpec) {
        for (k, &bits) in pe.tasks.iter().enumerate() {
            let mut bits = bits;
            let (priority, activated) = (bits.pick(4) as u8, bits.chance(2));
            let blocked = bits.chance(3);
            let mut code = vec![Instr::Mark(200 + k as u16)];
            self.writer.fill(bits, &mut code);
            code.push(Instr::End);
            let builder = &mut self.writer.builder;
            let task = builder.task(TaskKind::Local, priority, &code);
            builder.task_mut(task).activated = activated;
            builder.task_mut(task).blocked = blocked;
            self.writer.tails.push(task);
        }
    }

    fn thread(&self, micro: bool, bits: &mut Bits) -> Thread {
        if !micro || self.microthreads == 0 {
            return Thread::Main;
        }
        let u = bits.pick(usize::from(self.microthreads)) as u8;
        let done = match bits.pick(3) {
            1 if !self.writer.tails.is_empty() => OnDone::Activate(bits.of(&self.writer.tails)),
            2 if !self.writer.tails.is_empty() => OnDone::Unblock(bits.of(&self.writer.tails)),
            _ => OnDone::Nothing,
        };
        Thread::Micro(u, done)
    }

    fn part_in_net(&mut self, k: usize) {
        let (nets, at) = (self.nets, self.at);
        let net = &nets[k];
        let sends = matches!(net.source, Source::Program(t) if t == at);
        if sends || net.joiner == Some(at) {
            self.send(k);
        }
        let sink = net.sinks.iter().find(|(t, _)| *t == at).map(|(_, s)| s);
        if let Some(sink) = sink {
            let mut streams = nets.iter().enumerate();
            let onward = streams.find(|(_, n)| n.source == Source::Stream(at, k));
            self.receive(k, sink, onward.map(|(j, _)| j));
        }
    }

    /// The place of a net in the order that all PEs follow. What is passed on goes together with
    /// what it came from; what data tasks take comes last, when main tasks have ended.
    fn order(&self, k: usize) -> usize {
        let is_data = |(at, sink): &(usize, SinkSpec)| {
            mode(self.nets, k, *at, sink, self.microthreads).0 == Mode::Data
        };
        let late = match self.nets[k].sinks.iter().any(is_data) {
            true => LATE,
            false => 0,
        };
        match self.nets[k].source {
            Source::Stream(_, from) => self.order(from).max(late),
            _ => late + k,
        }
    }

    fn send(&mut self, k: usize) {
        let order = self.order(k);
        let (net, load) = (&self.nets[k], self.loads[k]);
        let mut bits = net.spec.bits;
        let queue = self.writer.builder.bind_out(net.color);
        let dtype = Writer::wire_type(load.lanes, &mut bits);
        let dst = Operand::FabOut(queue, dtype);
        let micro = bits.chance(3) || order >= LATE;
        let thread = self.thread(micro, &mut bits);
        let control = control_payload(net, &mut bits)
            .map(|payload| Instr::SendCtrl { queue, payload: Src::Imm(payload) });
        let mut code = Vec::new();
        let form = bits.pick(3);
        let (times, n) = match form {
            0 => (1, load.elements(load.chunks)),
            _ => (load.chunks, load.elements(1)),
        };
        let mut once = Vec::new();
        self.writer.send(dst, Operand::None, n, thread, &mut bits, &mut once);
        if form > 0 {
            once.extend(control);
        }
        if form == 1 {
            Writer::repeat(Reg(8), times, once, &mut code);
        } else {
            (0..times).for_each(|_| code.extend(once.iter().copied()));
        }
        if form == 0 {
            code.extend(control);
        }
        self.items.push(Item { order, code });
    }

    fn receive(&mut self, k: usize, sink: &SinkSpec, onward: Option<usize>) {
        let (net, load) = (&self.nets[k], self.loads[k]);
        let (mode, mut bits) = mode(self.nets, k, self.at, sink, self.microthreads);
        let queue = self.writer.builder.bind_in(net.color);
        let out = onward.map(|j| self.writer.builder.bind_out(self.nets[j].color));
        let dtype = Writer::wire_type(load.lanes, &mut bits);
        if bits.chance(if mode == Mode::Data { 2 } else { 20 }) {
            let reg = Reg(12 + queue.0 % 4);
            let code = [Instr::Mark(300), count(Reg(7)), Instr::End];
            let kind = TaskKind::Control(queue, reg);
            self.writer.builder.task(kind, bits.pick(4) as u8, &code);
        }
        if mode == Mode::Data {
            self.data_task(queue, out, load, bits);
            return;
        }
        let chunks = load.chunks * if net.joiner.is_some() { 2 } else { 1 };
        let late = self.order(k) >= LATE;
        let thread = self.thread(mode == Mode::Micro || late, &mut bits);
        let from = Operand::FabIn(queue, dtype);
        if mode == Mode::Main && out.is_none() && bits.chance(8) {
            let (order, wavelets) = (self.order(k), load.per * chunks);
            let lanes = load.lanes;
            return self.join(Single { order, from, wavelets, lanes, bits });
        }
        let (times, mut n) = match bits.pick(2) {
            0 => (1, load.elements(chunks)),
            _ => (chunks, load.elements(1)),
        };
        if self.spec.twist == Twist::Sloppy && bits.chance(4) {
            n = (n + bits.pick(4) as u32).saturating_sub(2);
        }
        let (mut once, mut code) = (Vec::new(), Vec::new());
        if self.microthreads > 0 && bits.chance(4) {
            // Nothing to receive: completes together with a step of the main thread (K-5).
            let empty = self.thread(true, &mut bits);
            let sources = (from, Operand::None);
            self.writer.receive(sources, 0, empty, &mut bits, &mut code);
            (0..bits.pick(4)).for_each(|_| code.push(count(Reg(5))));
            if let Some(&task) = self.writer.tails.first() {
                code.push(bits.of(&[Instr::Block(task), Instr::Activate(task)]));
            }
        }
        match out {
            Some(out) => {
                let dst = Operand::FabOut(out, Writer::wire_type(load.lanes, &mut bits));
                self.writer.send(dst, from, n, thread, &mut bits, &mut once);
            }
            None => {
                let sources = (from, Operand::None);
                self.writer.receive(sources, n, thread, &mut bits, &mut once);
            }
        }
        if times > 1 && bits.chance(2) {
            Writer::repeat(Reg(9), times, once, &mut code);
        } else {
            (0..times).for_each(|_| code.extend(once.iter().copied()));
        }
        let order = self.order(k);
        self.items.push(Item { order, code });
    }

    /// One operation that takes from two queues, as far as both have wavelets.
    fn join(&mut self, second: Single) {
        let Some(first) = self.single.take() else {
            self.single = Some(second);
            return;
        };
        let order = second.order;
        let mut common = 0;
        if first.lanes == second.lanes {
            common = first.wavelets.min(second.wavelets);
            let (mut bits, mut code) = (second.bits, Vec::new());
            let (sources, n) = ((first.from, second.from), common * first.lanes);
            self.writer.receive(sources, n, Thread::Main, &mut bits, &mut code);
            self.items.push(Item { order, code });
        }
        self.rest(Single { order, ..first }, common);
        self.rest(second, common);
    }

    /// Takes what is left after so many wavelets.
    fn rest(&mut self, single: Single, taken: u32) {
        let (mut bits, mut code) = (single.bits, Vec::new());
        let n = (single.wavelets - taken) * single.lanes;
        let sources = (single.from, Operand::None);
        self.writer.receive(sources, n, Thread::Main, &mut bits, &mut code);
        let order = single.order;
        self.items.push(Item { order, code });
    }

    fn data_task(
        &mut self,
        queue: pe_isa::InQueue,
        out: Option<pe_isa::OutQueue>,
        load: Load,
        mut bits: Bits,
    ) {
        let reg = Reg(12 + queue.0 % 4);
        let mut code = vec![count(Reg(6))];
        if let Some(queue) = out {
            let dtype = Writer::wire_type(load.lanes, &mut bits);
            let shape = self.writer.builder.shape(&[Size::Imm(load.lanes)]);
            let micro = bits.chance(4);
            let thread = self.thread(micro, &mut bits);
            code.push(Instr::Vector(Vector {
                op: VecOp::Mov,
                shape,
                dst: Operand::FabOut(queue, dtype),
                a: Operand::Reg(reg, dtype),
                b: Operand::None,
                thread,
            }));
        }
        if bits.chance(2) {
            let fill = Bits(bits.0);
            self.writer.fill(fill, &mut code);
        }
        code.push(Instr::End);
        let priority = bits.pick(4) as u8;
        let kind = TaskKind::Data(queue, reg);
        let task = self.writer.builder.task(kind, priority, &code);
        let tails_unblock = !self.writer.tails.is_empty() && bits.chance(20);
        self.writer.builder.task_mut(task).blocked = tails_unblock;
        if tails_unblock {
            let code = vec![Instr::Unblock(task)];
            let order = 2 * LATE;
            self.items.push(Item { order, code });
        }
    }

    /// The main task, or two of them.
    fn main(&mut self, pe: &PeSpec) {
        let mut bits = pe.bits;
        self.items.sort_by_key(|item| item.order);
        if self.spec.twist == Twist::Sloppy && bits.chance(4) {
            self.items.reverse();
        }
        let items = std::mem::take(&mut self.items);
        let split = if bits.chance(8) { bits.pick(items.len() + 1) } else { items.len() };
        let mut blocks: Vec<Vec<Instr>> = items.into_iter().map(|i| i.code).collect();
        blocks.push(Vec::new());
        for &fill in &pe.fills {
            let mut fill = fill;
            let at = fill.pick(blocks.len());
            let mut code = Vec::new();
            self.writer.fill(fill, &mut code);
            append(&mut code, std::mem::take(&mut blocks[at]));
            blocks[at] = code;
        }
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (k, block) in blocks.into_iter().enumerate() {
            append(if k < split { &mut first } else { &mut second }, block);
        }
        let builder = &mut self.writer.builder;
        second.push(Instr::End);
        let in_order = bits.pick(2) == 0;
        let late = builder.task(TaskKind::Local, bits.pick(4) as u8, &second);
        if in_order {
            first.push(Instr::Activate(late));
        }
        builder.task_mut(late).activated = !in_order;
        first.push(Instr::End);
        builder.main(&first);
    }
}

/// Appends code whose targets count from its own start.
fn append(code: &mut Vec<Instr>, more: Vec<Instr>) {
    let base = code.len() as u16;
    code.extend(more.into_iter().map(|mut instr| {
        if let Instr::Branch { target, .. } | Instr::Jump { target } = &mut instr {
            *target += base;
        }
        instr
    }));
}

fn count(reg: Reg) -> Instr {
    Instr::Alu { op: AluOp::Add, rd: reg, ra: reg, b: Src::Imm(1) }
}

/// The payload of the control wavelets of a net, if it sends any.
fn control_payload(net: &Net, bits: &mut Bits) -> Option<u32> {
    let some = if net.switched { !bits.chance(6) } else { bits.chance(5) };
    some.then(|| bits.of(&[0x0001, 0x5555, 0x0002, 0x0019, 0xabcd_9664]))
}
