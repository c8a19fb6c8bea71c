//! Pieces of random code for one PE. Registers: 0 to 7 are anybody's, 8 to 11 count loops, 12 to 15
//! belong to data and control tasks, 16 to 19 to `argmax`, 20 to 24 hold extents and offsets.

use super::build::ProgramBuilder;
use super::spec::Bits;
use pe_isa::{
    AluOp, Cond, DType, Instr, Operand, Reg, ShapeId, Size, Src, TaskId, Thread, VecOp, Vector,
};

/// Bytes of data of every PE that has a program.
pub(super) const SRAM_BYTES: u32 = 1536;

const UNARY: [VecOp; 10] = [
    VecOp::Mov,
    VecOp::Neg,
    VecOp::Abs,
    VecOp::Exp,
    VecOp::Rsqrt,
    VecOp::Recip,
    VecOp::Tanh,
    VecOp::Sigmoid,
    VecOp::Sin,
    VecOp::Cos,
];
const BINARY: [VecOp; 6] =
    [VecOp::Add, VecOp::Fmac, VecOp::Mul, VecOp::Sub, VecOp::Max, VecOp::Min];
const TYPES: [DType; 4] = [DType::F32, DType::F16, DType::BF16, DType::U32];

/// Code of one PE in the making.
pub(super) struct Writer {
    pub(super) builder: ProgramBuilder,
    /// The tasks that any code may activate, block and unblock.
    pub(super) tails: Vec<TaskId>,
    /// Whether code may fault.
    pub(super) faulty: bool,
}

impl Writer {
    /// A type of elements that travel `lanes` to a wavelet.
    pub(super) fn wire_type(lanes: u32, bits: &mut Bits) -> DType {
        match lanes {
            2 => bits.of(&[DType::F16, DType::BF16]),
            _ => bits.of(&[DType::F32, DType::U32]),
        }
    }

    /// A loop nest of exactly `n` elements; some extents come from registers.
    pub(super) fn nest(
        &mut self,
        n: u32,
        bits: &mut Bits,
        code: &mut Vec<Instr>,
    ) -> (ShapeId, Vec<u32>) {
        let mut extents = vec![n];
        while extents.len() < 4 && bits.chance(3) {
            let inner = *extents.last().expect("a nest has a loop");
            let factor = bits.of(&[1, 2, 3, 4]);
            if inner % factor == 0 {
                extents.pop();
                extents.extend([factor, inner / factor]);
                extents.rotate_right(bits.pick(2));
            }
        }
        let sizes: Vec<Size> = extents
            .iter()
            .enumerate()
            .map(|(d, &imm)| {
                if !bits.chance(5) {
                    return Size::Imm(imm);
                }
                let rd = Reg(20 + d as u8);
                code.push(Instr::Li { rd, imm });
                Size::Reg(rd)
            })
            .collect();
        (self.builder.shape(&sizes), extents)
    }

    /// A memory operand that stays inside SRAM over the extents.
    pub(super) fn memory(
        &mut self,
        extents: &[u32],
        dtype: DType,
        bits: &mut Bits,
        code: &mut Vec<Instr>,
    ) -> Operand {
        let mut strides = vec![1i32; extents.len()];
        if bits.chance(2) {
            for stride in &mut strides {
                *stride = bits.of(&[1, 0, 2, 3, -1, 5, 8, -3]);
            }
        } else {
            for d in (0..extents.len().saturating_sub(1)).rev() {
                strides[d] = strides[d + 1] * extents[d + 1].max(1) as i32;
            }
        }
        let size = dtype.bytes() as i32;
        let (mut low, mut high) = (0i32, size);
        for (&n, &stride) in extents.iter().zip(&strides) {
            let reach = n.saturating_sub(1) as i32 * stride * size;
            low += reach.min(0);
            high += reach.max(0);
        }
        let room = SRAM_BYTES as i32 - 16 - (high - low);
        if room < size {
            strides.fill(0);
            (low, high) = (0, size);
        }
        let room = SRAM_BYTES as i32 - 16 - (high - low);
        let base = 8 - low + bits.pick((room / size) as usize) as i32 * size;
        if !bits.chance(4) {
            return self.builder.mem(base as u32, &strides, dtype);
        }
        let imm = bits.of(&[4, -4, 8, 0]);
        let rd = Reg(24);
        let imm_bits = imm as u32;
        code.push(Instr::Li { rd, imm: imm_bits });
        let (base, offset) = ((base - imm).max(0) as u32, Some(rd));
        self.builder.mem_at(base, offset, &strides, dtype)
    }

    /// A source that is no queue.
    fn local(&mut self, extents: &[u32], bits: &mut Bits, code: &mut Vec<Instr>) -> Operand {
        let dtype = bits.of(&TYPES);
        match bits.pick(5) {
            0..=2 => self.memory(extents, dtype, bits, code),
            3 => Operand::Reg(Reg(bits.pick(16) as u8), dtype),
            _ => Operand::Imm(bits.pick(1 << 16) as u32, dtype),
        }
    }

    /// A memory-only operation, or one on registers and constants.
    fn memory_op(&mut self, bits: &mut Bits, code: &mut Vec<Instr>) {
        let n = bits.of(&[5, 1, 12, 24, 30, 0, 64]);
        let (shape, extents) = self.nest(n, bits, code);
        let dtype = bits.of(&TYPES);
        let mut dst = match bits.chance(4) {
            false => self.memory(&extents, dtype, bits, code),
            true => Operand::Reg(Reg(bits.pick(8) as u8), dtype),
        };
        let a = self.local(&extents, bits, code);
        let (op, b) = match bits.pick(5) {
            0 => (bits.of(&UNARY), Operand::None),
            4 => {
                dst = Operand::Reg(Reg(16), DType::F32);
                (VecOp::ArgMax, Operand::Imm(3, DType::U32))
            }
            _ => (bits.of(&BINARY), self.local(&extents, bits, code)),
        };
        let thread = Thread::Main;
        code.push(Instr::Vector(Vector { op, shape, dst, a, b, thread }));
    }

    /// What takes `n` elements from a queue, or from two.
    pub(super) fn receive(
        &mut self,
        sources: (Operand, Operand),
        n: u32,
        thread: Thread,
        bits: &mut Bits,
        code: &mut Vec<Instr>,
    ) {
        let (shape, extents) = self.nest(n, bits, code);
        let (a, second) = sources;
        let into = bits.of(&TYPES);
        let kind = bits.pick(8);
        let mut dst = match kind {
            // Sometimes a register that launches write at the same time (K-3).
            3 | 6 => Operand::Reg(Reg(bits.of(&[0, 1, 2, 3, 12, 13, 14, 15])), into),
            4 => Operand::Reg(Reg(18), DType::F32),
            _ => self.memory(&extents, into, bits, code),
        };
        let (op, b) = match kind {
            _ if second != Operand::None => (bits.of(&BINARY), second),
            0 | 7 => (VecOp::Mov, Operand::None),
            4 => (VecOp::ArgMax, Operand::Imm(0, DType::U32)),
            5 => (bits.of(&UNARY), Operand::None),
            _ => (bits.of(&BINARY), self.local(&extents, bits, code)),
        };
        if op == VecOp::Fmac && bits.chance(3) {
            dst = Operand::Reg(Reg(bits.pick(8) as u8), DType::F32);
        }
        code.push(Instr::Vector(Vector { op, shape, dst, a, b, thread }));
    }

    /// What puts `n` elements into a queue: from SRAM, or from the input queue `from`.
    pub(super) fn send(
        &mut self,
        dst: Operand,
        from: Operand,
        n: u32,
        thread: Thread,
        bits: &mut Bits,
        code: &mut Vec<Instr>,
    ) {
        let (shape, extents) = self.nest(n, bits, code);
        let a = match from {
            Operand::None => self.local(&extents, bits, code),
            queue => queue,
        };
        let (op, b) = match bits.pick(4) {
            0 | 1 => (VecOp::Mov, Operand::None),
            2 => (bits.of(&[VecOp::Add, VecOp::Mul, VecOp::Min]), self.local(&extents, bits, code)),
            _ => (bits.of(&UNARY), Operand::None),
        };
        code.push(Instr::Vector(Vector { op, shape, dst, a, b, thread }));
    }

    /// Repeats `body` `times` times, counting in a register of its own.
    pub(super) fn repeat(counter: Reg, times: u32, body: Vec<Instr>, code: &mut Vec<Instr>) {
        code.push(Instr::Li { rd: counter, imm: times });
        let target = code.len() as u16;
        let shifted = body.into_iter().map(|mut instr| {
            if let Instr::Branch { target: t, .. } | Instr::Jump { target: t } = &mut instr {
                *t += target;
            }
            instr
        });
        code.extend(shifted);
        code.push(Instr::Alu { op: AluOp::Sub, rd: counter, ra: counter, b: Src::Imm(1) });
        code.push(Instr::Branch { cond: Cond::Ne, ra: counter, b: Src::Imm(0), target });
    }

    /// A piece of code without queues.
    pub(super) fn fill(&mut self, mut bits: Bits, code: &mut Vec<Instr>) {
        let bits = &mut bits;
        match bits.pick(12) {
            0 => code.push(Instr::Mark(bits.pick(100) as u16)),
            1 | 2 => self.scalar(bits, code),
            3..=6 => self.memory_op(bits, code),
            7 => {
                let mut body = Vec::new();
                self.scalar(bits, &mut body);
                self.memory_op(bits, &mut body);
                Writer::repeat(Reg(10), 1 + bits.pick(4) as u32, body, code);
            }
            8 => {
                // A branch forward over an instruction, on whatever the registers hold.
                let at = code.len();
                let cond = bits.of(&[Cond::Lt, Cond::Eq, Cond::Ne, Cond::Ge]);
                let (ra, b) = (Reg(bits.pick(8) as u8), Src::Reg(Reg(bits.pick(8) as u8)));
                let target = 0;
                code.push(Instr::Branch { cond, ra, b, target });
                self.scalar(bits, code);
                let beyond = code.len() as u16;
                if let Instr::Branch { target, .. } = &mut code[at] {
                    *target = beyond;
                }
            }
            9 => {
                code.push(Instr::Mark(bits.pick(100) as u16));
                let target = code.len() as u16 + 1;
                code.push(Instr::Jump { target });
            }
            10 if !self.tails.is_empty() => {
                let task = bits.of(&self.tails);
                code.push(bits.of(&[
                    Instr::Activate(task),
                    Instr::Unblock(task),
                    Instr::Block(task),
                ]));
            }
            _ if self.faulty => self.fault(bits, code),
            _ => self.scalar(bits, code),
        }
    }

    fn scalar(&mut self, bits: &mut Bits, code: &mut Vec<Instr>) {
        let mut reg = || Reg(bits.pick(8) as u8);
        let (rd, ra, rb, rs) = (reg(), reg(), reg(), reg());
        let op = bits.of(&AluOp::ALL);
        let divides = matches!(op, AluOp::Div | AluOp::Rem);
        let b = match bits.pick(2) {
            1 if !divides => Src::Reg(rb),
            _ => Src::Imm(1 + bits.pick(40) as u32),
        };
        code.push(match bits.pick(4) {
            0 => Instr::Li { rd, imm: bits.pick(1 << 20) as u32 },
            3 => Instr::SelGt { rd, rs, ra, rb },
            _ => Instr::Alu { op, rd, ra, b },
        });
    }

    fn fault(&mut self, bits: &mut Bits, code: &mut Vec<Instr>) {
        let zero = Operand::Imm(0, DType::F32);
        let base = match bits.pick(3) {
            0 => SRAM_BYTES - 8,
            1 => 6,
            _ => {
                let (rd, ra, b) = (Reg(1), Reg(2), Src::Imm(0));
                let op = AluOp::Div;
                code.push(Instr::Alu { op, rd, ra, b });
                return;
            }
        };
        let dst = self.builder.mem(base, &[1], DType::F32);
        code.push(self.builder.vector(VecOp::Mov, 8, dst, zero, Operand::None));
    }
}
