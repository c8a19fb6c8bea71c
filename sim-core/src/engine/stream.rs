//! A PE in which one fabric operation runs and nothing else can happen: what simulated PEs do most
//! of the time. Its steps need one cache line of state besides FIFOs and SRAM.
//!
//! A PE becomes a stream at the end of a visit that finds it so, and a PE again at the first visit
//! that finds something else to do: the operation's last step, a control wavelet, a launch. In
//! between, [`Pe`] is out of date: [`Stream::leave`] brings it up to date.

use super::fifo::{Marks, Room};
use super::net::{Gate, Net};
use super::pe::{Memory, NONE, Op, Pe};
use super::watch::Noted;
use super::wheel::Actor;
use pe_isa::semantics::{self, Issued, Place};
use pe_isa::void::{self, Registers};
use pe_isa::{DType, VecOp};

/// Where the words of an operand are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    /// There is no such operand, or it is a constant.
    #[default]
    Constant,
    /// In the wavelet.
    Fabric,
    /// In SRAM.
    Memory,
}

/// How a step comes by what it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Way {
    /// Element by element, with data.
    #[default]
    Elements,
    /// Of one word of each operand, with data.
    Words(VecOp),
    /// Without data, from what is in registers and wavelets.
    Known,
    /// Without data: it goes into SRAM, or comes from there and is void.
    Void,
}

/// An operand of a word-wise operation.
#[derive(Debug, Clone, Copy, Default)]
struct Words {
    /// The constant, or the index of the next step's word in the memory of all PEs.
    at: u32,
    /// Words from one step to the next.
    step: i32,
}

/// The operation, as far as steps that are not the last one need it.
#[derive(Debug, Clone, Default)]
#[repr(align(64))]
pub(super) struct Stream {
    /// First cycle in which the next step can be taken.
    ready_at: u64,
    /// The element that the next step begins with.
    next: u32,
    /// Steps that begin before this element are followed by others.
    last: u32,
    /// FIFOs or [`NONE`].
    a: u32,
    b: u32,
    dst: u32,
    /// The up FIFO behind the output queue.
    up: u32,
    step_cycles: u32,
    words_a: Words,
    words_b: Words,
    words_dst: Words,
    way: Way,
    kind_a: Kind,
    kind_b: Kind,
    lanes: u8,
}

const _: () = assert!(size_of::<Stream>() == 64, "a stream is one cache line");

/// Whether a step moves one word of each operand: one row of `f32`, or a copy of 16-bit elements two by two.
pub(super) fn is_by_words(issued: &Issued, next: u32) -> bool {
    let all = |test: fn(&Place) -> bool| [&issued.dst, &issued.a, &issued.b].into_iter().all(test);
    if issued.total != issued.extents[3] || matches!(issued.dst, Place::Reg(..)) {
        return false;
    }
    if all(|p| matches!(p.dtype(), Some(DType::F32) | None)) {
        return issued.op != VecOp::ArgMax;
    }
    let pairs = |p: &Place| match *p {
        Place::Fabric(t) => t.bytes() == 2,
        Place::Mem { base, strides, dtype } => {
            dtype.bytes() == 2 && strides[3] == 2 && (base + 2 * next).is_multiple_of(4)
        }
        _ => false,
    };
    let copies = issued.op == VecOp::Mov && issued.a.dtype() == issued.dst.dtype();
    copies && pairs(&issued.a) && pairs(&issued.dst)
}

impl Way {
    fn without_data(issued: &Issued) -> Way {
        let in_sram = |place: &Place| matches!(place, Place::Mem { .. });
        match issued.dst {
            Place::Mem { .. } => Way::Void,
            Place::Fabric(_) if in_sram(&issued.a) || in_sram(&issued.b) => Way::Void,
            _ => Way::Known,
        }
    }
}

impl Stream {
    /// The stream of `op`. `at` is the PE's part of `memory`. The cycles before `accounted`, from
    /// which on a step can be taken, are counted already (rule X-3).
    pub(super) fn enter(
        op: &Op,
        net: &Net,
        (at, memory): (Memory, &[u32]),
        (has_data, accounted): (bool, u64),
    ) -> Stream {
        let mut stream = Stream {
            ready_at: op.ready_at.max(accounted),
            next: op.next,
            last: op.issued.total.saturating_sub(op.lanes),
            a: op.a,
            b: op.b,
            dst: op.dst,
            up: if op.dst == NONE { NONE } else { net.fifos[op.dst].up() },
            step_cycles: u32::try_from(op.step_cycles).unwrap_or(u32::MAX),
            lanes: op.lanes as u8,
            ..Stream::default()
        };
        if has_data {
            stream.by_words(op, at.sram, &memory[at.regs()]);
        } else {
            stream.way = Way::without_data(&op.issued);
        }
        stream
    }

    /// Where a step moves one word of each operand, these words are at a fixed distance.
    fn by_words(&mut self, op: &Op, sram: u32, regs: &[u32]) {
        let issued = &op.issued;
        if !is_by_words(issued, op.next) {
            return;
        }
        let words = |place: &Place| match *place {
            Place::Mem { base, strides, .. } => {
                let first = i64::from(base) + i64::from(op.next) * i64::from(strides[3]);
                let at = sram + (first / 4) as u32;
                (Kind::Memory, Words { at, step: strides[3] * op.lanes as i32 / 4 })
            }
            Place::Reg(r, _) => (Kind::Constant, Words { at: regs[usize::from(r.0)], step: 0 }),
            Place::Imm(bits, _) => (Kind::Constant, Words { at: bits, step: 0 }),
            Place::Fabric(_) => (Kind::Fabric, Words::default()),
            Place::None => (Kind::Constant, Words::default()),
        };
        self.way = Way::Words(issued.op);
        (self.kind_a, self.words_a) = words(&issued.a);
        (self.kind_b, self.words_b) = words(&issued.b);
        (_, self.words_dst) = words(&issued.dst);
    }

    /// Something from the cache lines of the stream.
    #[inline(always)]
    pub(super) fn touch(&self) -> u32 {
        self.a ^ u32::from(self.lanes)
    }

    /// Something from the cache lines behind it: FIFOs and SRAM.
    #[inline(always)]
    pub(super) fn touch_behind(&self, net: &Net, memory: &[u32]) -> u32 {
        let a = net.fifos.touch(self.a);
        let up = net.fifos.touch(self.up);
        let words = if self.dst == NONE { self.words_dst } else { self.words_a };
        a ^ up ^ memory.get(words.at as usize).copied().unwrap_or(0)
    }

    /// Brings the PE up to date.
    pub(super) fn leave(&self, pe: &mut Pe, threads: usize, gate: &mut Gate) {
        let thread = pe.running.trailing_zeros() as usize;
        let op = pe.ops[thread].as_mut().expect("a streaming operation");
        let steps = u64::from((self.next - op.next) / op.lanes);
        if steps == 0 {
            return;
        }
        // Rule X-3, from the visit that made it a stream to the end of the last step.
        let working = steps * op.step_cycles;
        let launching = op.ready_at.saturating_sub(pe.accounted);
        let full = std::mem::take(&mut gate.full_cycles);
        let cycles = &mut pe.counters.cycles;
        cycles.launching += launching;
        cycles.waiting_output += full;
        cycles.waiting_input += self.ready_at - pe.accounted - working - launching - full;
        pe.accounted = self.ready_at;
        op.next = self.next;
        op.ready_at = self.ready_at;
        let inputs = u64::from(op.a != NONE) + u64::from(op.b != NONE);
        pe.counters.fabric_steps += steps;
        pe.counters.busy_cycles += working;
        pe.counters.wavelets_in += steps * inputs;
        pe.counters.wavelets_out += if op.dst == NONE { 0 } else { steps };
        pe.cursor = if thread + 1 == threads { 0 } else { thread as u8 + 1 };
    }

    /// A visit (rules P-2, P-5). Returns whether it was enough: false where the PE has to be
    /// visited as a whole.
    #[inline(always)]
    pub(super) fn visit(
        &mut self,
        index: u32,
        net: &mut Net,
        pe: &mut Pe,
        memory: &mut [u32],
    ) -> bool {
        let gate = &net.gates[index as usize];
        if gate.controls > 0 || self.next >= self.last {
            return false;
        }
        let mut when = self.ready_at.max(gate.free_at);
        let mut wanted = 0;
        if self.a != NONE {
            when = when.max(self.input(self.a, net, &mut wanted));
        }
        if self.b != NONE {
            when = when.max(self.input(self.b, net, &mut wanted));
        }
        let inputs = when;
        if self.dst != NONE {
            when = when.max(self.output(index, net));
        }
        if when <= net.now {
            if self.dst != NONE {
                net.gates[index as usize].full_cycles += net.now - inputs;
            }
            match self.way {
                Way::Words(_) | Way::Elements => self.step::<true>(index, net, pe, memory),
                Way::Known | Way::Void => self.step::<false>(index, net, pe, memory),
            }
            return true;
        }
        let gate = &mut net.gates[index as usize];
        gate.wanted = wanted;
        gate.launching = 0;
        if when < u64::MAX {
            net.wake_pe(index, when);
        }
        true
    }

    /// From when on the queue has a data wavelet at its head.
    #[inline(always)]
    fn input(&self, fifo: u32, net: &Net, wanted: &mut u32) -> u64 {
        let queue = &net.fifos[fifo];
        match queue.head() {
            None => {
                *wanted |= 1 << queue.rank;
                u64::MAX
            }
            Some(head) => net.cycle(head.arrival),
        }
    }

    /// From when on the output queue has room.
    #[inline(always)]
    fn output(&self, index: u32, net: &mut Net) -> u64 {
        match net.fifos.room(self.dst) {
            Room::From(from) => net.cycle(from),
            Room::Full => {
                net.fifos.wait(self.dst, Actor::pe(index));
                u64::MAX
            }
        }
    }

    /// Takes a step that is not the last one, and sees when the next one can be taken.
    #[inline(always)]
    fn step<const DATA: bool>(
        &mut self,
        index: u32,
        net: &mut Net,
        pe: &mut Pe,
        memory: &mut [u32],
    ) {
        let end = net.now + u64::from(self.step_cycles);
        let (mut when, mut wanted) = (end, 0);
        let (mut payloads, mut marks) = ([0; 2], [Marks::PLAIN; 2]);
        if net.watched {
            self.note(index, net);
        }
        if self.a != NONE {
            (payloads[0], marks[0]) = self.take(self.a, net);
            when = when.max(self.input(self.a, net, &mut wanted));
        }
        if self.b != NONE {
            (payloads[1], marks[1]) = self.take(self.b, net);
            when = when.max(self.input(self.b, net, &mut wanted));
        }
        let (out, marks) = match self.way {
            Way::Words(op) if DATA => (self.combine(op, payloads, memory), Marks::PLAIN),
            _ if DATA => (self.execute(payloads, pe, memory), Marks::PLAIN),
            Way::Known => self.execute_known(payloads, marks, pe, memory),
            _ => (0, Marks::VOID),
        };
        self.next += u32::from(self.lanes);
        self.ready_at = end;
        net.activity = net.activity.max(end);
        let gate = &mut net.gates[index as usize];
        gate.free_at = end;
        gate.wanted = wanted;
        gate.launching = 0;
        if self.dst != NONE {
            net.enqueue(index, self.dst, self.up, end, out, marks);
            when = when.max(self.output(index, net));
        }
        if when < u64::MAX {
            net.wake_pe(index, when);
        }
    }

    /// Notes a step and what it takes, for an observer.
    #[cold]
    #[inline(never)]
    fn note(&self, index: u32, net: &mut Net) {
        net.note(index, Noted::Step(u64::from(self.step_cycles)), 0, Marks::PLAIN);
        for fifo in [self.a, self.b].into_iter().filter(|&fifo| fifo != NONE) {
            net.note_head(fifo, Noted::Take);
        }
    }

    #[inline(always)]
    fn take(&self, fifo: u32, net: &mut Net) -> (u32, Marks) {
        let taken = net.pop(fifo);
        let next = net.tick() + 1;
        if taken.next < next {
            net.fifos[fifo].hold_head(next);
        }
        (taken.payload, taken.marks)
    }

    #[inline(always)]
    fn combine(&mut self, op: VecOp, payloads: [u32; 2], memory: &mut [u32]) -> u32 {
        let value = |kind: Kind, words: &mut Words, payload: u32| match kind {
            Kind::Constant => words.at,
            Kind::Fabric => payload,
            Kind::Memory => {
                let value = memory[words.at as usize];
                words.at = words.at.wrapping_add_signed(words.step);
                value
            }
        };
        let a = value(self.kind_a, &mut self.words_a, payloads[0]);
        let b = value(self.kind_b, &mut self.words_b, payloads[1]);
        if self.dst != NONE {
            return semantics::f32_element(op, a, b, 0);
        }
        let word = &mut memory[self.words_dst.at as usize];
        *word = semantics::f32_element(op, a, b, *word);
        self.words_dst.at = self.words_dst.at.wrapping_add_signed(self.words_dst.step);
        0
    }

    #[inline(never)]
    fn execute(&self, payloads: [u32; 2], pe: &Pe, memory: &mut [u32]) -> u32 {
        let thread = pe.running.trailing_zeros() as usize;
        let op = pe.ops[thread].as_ref().expect("a streaming operation");
        let mut memory = pe.memory.of(memory);
        let (first, count) = (self.next, op.lanes);
        semantics::execute(&op.issued, &mut memory, first, count, payloads[0], payloads[1])
    }

    #[inline(never)]
    fn execute_known(
        &self,
        payloads: [u32; 2],
        marks: [Marks; 2],
        pe: &mut Pe,
        memory: &mut [u32],
    ) -> (u32, Marks) {
        let thread = pe.running.trailing_zeros() as usize;
        let op = pe.ops[thread].as_ref().expect("a streaming operation");
        let (bits, void) = (&mut memory[pe.memory.regs()], &mut pe.void);
        let elements = (self.next, op.lanes);
        let words = [marks[0].word(payloads[0]), marks[1].word(payloads[1])];
        let regs = &mut Registers { bits, void };
        let out = void::execute(&op.issued, regs, &mut pe.draws, elements, words);
        (out.bits, Marks::of(out))
    }
}

impl Gate {
    /// The PE is no stream any more.
    pub(super) fn end_stream(&mut self) -> bool {
        std::mem::take(&mut self.streaming)
    }
}
