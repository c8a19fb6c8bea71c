//! What makes a program malformed: found once, when it is loaded, so that stepping need not look.

use crate::instr::{Instr, OnDone, Thread, VecOp, Vector};
use crate::operand::{Operand, Reg, Size};
use crate::program::{Program, TaskKind};
use crate::{DType, REGISTERS};
use std::fmt;

/// Families of rules that a program may break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// Something is missing, out of range or in the wrong place.
    Malformed,
    /// A task or an operand names a queue that is bound to no color.
    UnboundQueue,
    /// An input queue feeds a task and an operand, or two tasks.
    SharedQueue,
}

/// A rule that a program breaks, with the index of the instruction or task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramError {
    /// The family of the rule.
    pub breach: Breach,
    /// `instruction 12`, `task 3`, `dsd 0`.
    pub place: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// Index of the instruction, if the rule is about one.
    pub instruction: Option<usize>,
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Limits of the machine that a program must respect.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Input queues of a PE.
    pub in_queues: usize,
    /// Output queues of a PE.
    pub out_queues: usize,
    /// Microthreads of a PE.
    pub microthreads: usize,
    /// Colors of the fabric.
    pub colors: u8,
}

/// Collects every way in which `program` is malformed; empty for a sound program.
pub fn check(program: &Program, limits: &Limits) -> Vec<ProgramError> {
    let mut found = Found { errors: Vec::new(), program, limits };
    found.queues();
    for (at, dsd) in program.dsds.iter().enumerate() {
        let place = format!("dsd {at}");
        if dsd.strides.is_empty() || dsd.strides.len() > 4 {
            found.add(&place, "has one to four strides");
        }
        if dsd.strides.iter().any(|s| s.unsigned_abs() > 1 << 20) {
            found.add(&place, "has a stride beyond 1,048,576 elements");
        }
        if let Some(r) = dsd.offset {
            found.reg(&place, r);
        }
    }
    for (at, shape) in program.shapes.iter().enumerate() {
        let place = format!("shape {at}");
        if shape.extents.is_empty() || shape.extents.len() > 4 {
            found.add(&place, "has one to four extents");
        }
        for size in &shape.extents {
            if let Size::Reg(r) = size {
                found.reg(&place, *r);
            }
        }
    }
    found.tasks();
    for (at, instr) in program.instrs.iter().enumerate() {
        let before = found.errors.len();
        found.instr(&format!("instruction {at}"), instr);
        found.errors[before..].iter_mut().for_each(|e| e.instruction = Some(at));
    }
    match program.instrs.last() {
        Some(Instr::End | Instr::Jump { .. }) | None => {}
        Some(_) => found.add("last instruction", "must be `end` or `jump`, or the PE runs off"),
    }
    found.errors
}

struct Found<'a> {
    errors: Vec<ProgramError>,
    program: &'a Program,
    limits: &'a Limits,
}

impl Found<'_> {
    fn add(&mut self, place: &str, message: impl Into<String>) {
        self.breach(Breach::Malformed, place, message);
    }

    fn breach(&mut self, breach: Breach, place: &str, message: impl Into<String>) {
        let (place, message) = (place.to_string(), message.into());
        self.errors.push(ProgramError { breach, place, message, instruction: None });
    }

    fn queues(&mut self) {
        let program = self.program;
        let sides = [
            ("input", &program.in_queues, self.limits.in_queues),
            ("output", &program.out_queues, self.limits.out_queues),
        ];
        for (side, bound, most) in sides {
            if bound.len() > most {
                self.add(
                    &format!("{side} queues"),
                    format!("{} are bound, the machine has {most}", bound.len()),
                );
            }
            let mut colors: Vec<_> = bound.iter().flatten().collect();
            colors.sort();
            for pair in colors.windows(2) {
                if pair[0] == pair[1] {
                    self.add(
                        &format!("{side} queues"),
                        format!("color {} is bound twice", pair[0]),
                    );
                }
            }
            for color in colors {
                if color.0 >= self.limits.colors {
                    self.add(
                        &format!("{side} queues"),
                        format!("color {color} is beyond the machine's {}", self.limits.colors),
                    );
                }
            }
        }
    }

    fn tasks(&mut self) {
        let program = self.program;
        if program.tasks.len() > 64 {
            self.add("tasks", "at most 64 tasks");
        }
        let mut fed: Vec<(u8, bool)> = Vec::new();
        for (at, task) in program.tasks.iter().enumerate() {
            let place = format!("task {at}");
            if usize::from(task.entry) >= program.instrs.len() {
                self.add(&place, format!("entry {} is beyond the last instruction", task.entry));
            }
            let (queue, reg, control) = match task.kind {
                TaskKind::Local => continue,
                TaskKind::Data(q, r) => (q, r, false),
                TaskKind::Control(q, r) => (q, r, true),
            };
            if task.activated {
                self.add(&place, "only a local task can start activated");
            }
            self.reg(&place, reg);
            self.input(&place, queue.0);
            if fed.contains(&(queue.0, control)) {
                let message = format!("input queue {} already feeds a task", queue.0);
                self.breach(Breach::SharedQueue, &place, message);
            }
            fed.push((queue.0, control));
            let read = program.instrs.iter().flat_map(Instr::inputs).any(|q| q == queue);
            if read && !control {
                let message =
                    format!("input queue {} feeds this task and an operand; choose one", queue.0);
                self.breach(Breach::SharedQueue, &place, message);
            }
        }
    }

    fn reg(&mut self, place: &str, reg: Reg) {
        if usize::from(reg.0) >= REGISTERS {
            self.add(place, format!("register {reg} does not exist; there are {REGISTERS}"));
        }
    }

    fn input(&mut self, place: &str, queue: u8) {
        if self.program.in_queues.get(usize::from(queue)).is_none_or(Option::is_none) {
            let message = format!("input queue {queue} is bound to no color");
            self.breach(Breach::UnboundQueue, place, message);
        }
    }

    fn target(&mut self, place: &str, target: u16) {
        if usize::from(target) >= self.program.instrs.len() {
            self.add(place, format!("target {target} is beyond the last instruction"));
        }
    }

    fn task(&mut self, place: &str, task: u8) {
        if usize::from(task) >= self.program.tasks.len() {
            self.add(place, format!("task {task} does not exist"));
        }
    }

    fn instr(&mut self, place: &str, instr: &Instr) {
        for q in instr.inputs() {
            self.input(place, q.0);
        }
        if let Some(q) = instr.output()
            && self.program.out_queues.get(usize::from(q.0)).is_none_or(Option::is_none)
        {
            let message = format!("output queue {} is bound to no color", q.0);
            self.breach(Breach::UnboundQueue, place, message);
        }
        for r in instr.registers() {
            self.reg(place, r);
        }
        match *instr {
            Instr::Vector(v) => self.vector(place, &v),
            Instr::Branch { target, .. } | Instr::Jump { target } => self.target(place, target),
            Instr::Activate(t) | Instr::Block(t) | Instr::Unblock(t) => self.task(place, t.0),
            Instr::Li { .. }
            | Instr::Alu { .. }
            | Instr::SelGt { .. }
            | Instr::SendCtrl { .. }
            | Instr::End
            | Instr::Mark(_) => {}
        }
    }

    fn vector(&mut self, place: &str, v: &Vector) {
        let rank = match self.program.shapes.get(usize::from(v.shape.0)) {
            Some(shape) => shape.extents.len(),
            None => return self.add(place, format!("shape {} does not exist", v.shape.0)),
        };
        for operand in [v.dst, v.a, v.b] {
            let Operand::Mem(d) = operand else { continue };
            match self.program.dsds.get(usize::from(d.0)) {
                None => self.add(place, format!("dsd {} does not exist", d.0)),
                Some(dsd) if dsd.strides.len() != rank => {
                    let have = dsd.strides.len();
                    self.add(place, format!("dsd {} has {have} strides for {rank} loops", d.0));
                }
                Some(_) => {}
            }
        }
        if let Thread::Micro(u, done) = v.thread {
            if usize::from(u) >= self.limits.microthreads {
                let most = self.limits.microthreads;
                self.add(place, format!("microthread {u} does not exist; there are {most}"));
            }
            if let OnDone::Activate(t) | OnDone::Unblock(t) = done {
                self.task(place, t.0);
            }
        }
        self.operand_roles(place, v);
    }

    fn operand_roles(&mut self, place: &str, v: &Vector) {
        if matches!(v.dst, Operand::None | Operand::Imm(..) | Operand::FabIn(..)) {
            self.add(place, "the destination is memory, a register or an output queue");
        }
        if matches!(v.a, Operand::None | Operand::FabOut(..)) || matches!(v.b, Operand::FabOut(..))
        {
            self.add(place, "a source is memory, a register, a constant or an input queue");
        }
        if v.op.is_binary() != (v.b != Operand::None) {
            let need = if v.op.is_binary() { "needs" } else { "takes no" };
            self.add(place, format!("{} {need} second source", v.op.name()));
        }
        if v.op == VecOp::Fmac && matches!(v.dst, Operand::FabOut(..)) {
            self.add(place, "fmac reads its destination, so that cannot be a queue");
        }
        if v.op == VecOp::ArgMax {
            let good_dst = matches!(v.dst, Operand::Reg(_, DType::F32));
            let good_b = matches!(v.b, Operand::Reg(_, DType::U32) | Operand::Imm(_, DType::U32));
            if !good_dst || !good_b {
                self.add(place, "argmax takes an f32 register pair, a source and a u32 base index");
            }
        }
        if let (Operand::FabIn(x, _), Operand::FabIn(y, _)) = (v.a, v.b)
            && x == y
        {
            self.add(place, "both sources read the same queue");
        }
        let fabric: Vec<DType> = [v.dst, v.a, v.b]
            .iter()
            .filter_map(|o| match o {
                Operand::FabIn(_, t) | Operand::FabOut(_, t) => Some(*t),
                _ => None,
            })
            .collect();
        if fabric.windows(2).any(|p| p[0].lanes() != p[1].lanes()) {
            self.add(place, "fabric operands of one operation carry as many elements per wavelet");
        }
        if v.thread != Thread::Main && fabric.is_empty() {
            self.add(place, "a microthread runs operations with a fabric operand");
        }
    }
}
