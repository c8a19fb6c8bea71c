//! A program as statements that assemble to an equal one.

use crate::{
    Color, DType, Instr, OnDone, Operand, Program, Shape, Size, Src, Task, TaskId, TaskKind,
    Thread, Vector,
};
use std::fmt::Write as _;

/// The statements of a program, one a line, each behind `indent`. Descriptors, shapes and tasks are
/// numbered: `d0`, `s0`, `t0`; labels are named after the instruction: `L12`.
pub fn statements(program: &Program, indent: &str) -> String {
    let mut printer = Printer { program, indent, out: String::new() };
    printer.queues("in", &program.in_queues);
    printer.queues("out", &program.out_queues);
    for (at, dsd) in program.dsds.iter().enumerate() {
        let strides: Vec<String> = dsd.strides.iter().map(ToString::to_string).collect();
        let mut text = format!("dsd d{at}: {} at {}", dsd.dtype.name(), dsd.base);
        if strides != ["1"] && !strides.is_empty() {
            let _ = write!(text, " step {}", strides.join(", "));
        }
        if let Some(reg) = dsd.offset {
            let _ = write!(text, " offset {reg}");
        }
        printer.line(&text);
    }
    for (at, shape) in program.shapes.iter().enumerate() {
        printer.line(&format!("shape s{at} = [{}]", extents(shape)));
    }
    printer.code();
    printer.out
}

/// One instruction as a line of assembly, with the names that [`statements`] gives; `None` where the
/// program has no such instruction. A vector operation states its extents where they can be found.
pub fn instruction(program: &Program, at: u16) -> Option<String> {
    let instr = program.instrs.get(usize::from(at))?;
    let text = Printer { program, indent: "", out: String::new() }.instr(instr);
    let Instr::Vector(v) = instr else { return Some(text) };
    let Some(shape) = program.shapes.get(usize::from(v.shape.0)) else { return Some(text) };
    let stated = format!("over [{}]", extents(shape));
    Some(text.replacen(&format!("over s{}", v.shape.0), &stated, 1))
}

/// A task's header as a line of assembly: `task t1 data(c2 -> r3)`; `None` where there is none.
pub fn task_header(program: &Program, task: TaskId) -> Option<String> {
    let at = usize::from(task.0);
    let header = program.tasks.get(at)?;
    Some(Printer { program, indent: "", out: String::new() }.header(at, header))
}

fn extents(shape: &Shape) -> String {
    let size = |s: &Size| match s {
        Size::Imm(n) => n.to_string(),
        Size::Reg(r) => r.to_string(),
    };
    shape.extents.iter().map(size).collect::<Vec<_>>().join(", ")
}

struct Printer<'p> {
    program: &'p Program,
    indent: &'p str,
    out: String,
}

impl Printer<'_> {
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{}{text}", self.indent);
    }

    fn queues(&mut self, word: &str, queues: &[Option<Color>]) {
        let name = |c: &Option<Color>| c.map_or("none".to_string(), |c| c.to_string());
        let names: Vec<String> = queues.iter().map(name).collect();
        if !names.is_empty() {
            self.line(&format!("{word} {}", names.join(", ")));
        }
    }

    /// Tasks and instructions. A task's header stands before its first instruction where the
    /// headers then come in the order of the tasks; else all stand first.
    fn code(&mut self) {
        let program = self.program;
        let entries = program.tasks.iter().map(|t| usize::from(t.entry));
        let inline = entries.clone().is_sorted()
            && entries.clone().all(|entry| entry <= program.instrs.len());
        let mut labels = vec![false; program.instrs.len() + 1];
        for instr in &program.instrs {
            if let Instr::Branch { target, .. } | Instr::Jump { target } = instr
                && let Some(label) = labels.get_mut(usize::from(*target))
            {
                *label = true;
            }
        }
        let mut tasks = program.tasks.iter().enumerate().peekable();
        while let Some((at, task)) = tasks.next_if(|_| !inline) {
            self.line(&format!("{} at #{}", self.header(at, task), task.entry));
        }
        for (at, label) in labels.iter().enumerate() {
            while let Some((n, task)) = tasks.next_if(|(_, t)| usize::from(t.entry) == at) {
                self.line(&format!("{}:", self.header(n, task)));
            }
            if *label {
                self.line(&format!("L{at}:"));
            }
            if let Some(instr) = program.instrs.get(at) {
                self.line(&format!("    {}", self.instr(instr)));
            }
        }
    }

    fn header(&self, at: usize, task: &Task) -> String {
        let mut text = format!("task t{at}");
        match task.kind {
            TaskKind::Local => {}
            TaskKind::Data(q, r) => {
                let _ = write!(text, " data({} -> {r})", queue(&self.program.in_queues, q.0));
            }
            TaskKind::Control(q, r) => {
                let _ = write!(text, " control({} -> {r})", queue(&self.program.in_queues, q.0));
            }
        }
        if task.priority != 0 {
            let _ = write!(text, " priority {}", task.priority);
        }
        if task.activated {
            text.push_str(" activated");
        }
        if task.blocked {
            text.push_str(" blocked");
        }
        text
    }

    fn task(&self, task: TaskId) -> String {
        let known = usize::from(task.0) < self.program.tasks.len();
        format!("{}{}", if known { "t" } else { "#" }, task.0)
    }

    fn target(&self, target: u16) -> String {
        let known = usize::from(target) <= self.program.instrs.len();
        format!("{}{target}", if known { "L" } else { "#" })
    }

    fn instr(&self, instr: &Instr) -> String {
        match instr {
            Instr::Vector(v) => self.vector(v),
            Instr::Li { rd, imm } => format!("li {rd}, {}", word(*imm)),
            Instr::Alu { op, rd, ra, b } => format!("{} {rd}, {ra}, {}", op.name(), src(*b)),
            Instr::SelGt { rd, rs, ra, rb } => format!("selgt {rd}, {rs}, {ra}, {rb}"),
            Instr::Branch { cond, ra, b, target } => {
                format!("{} {ra}, {}, {}", cond.name(), src(*b), self.target(*target))
            }
            Instr::Jump { target } => format!("jump {}", self.target(*target)),
            Instr::SendCtrl { queue: q, payload } => {
                format!("sendctrl out({}), {}", queue(&self.program.out_queues, q.0), src(*payload))
            }
            Instr::Activate(t) => format!("activate {}", self.task(*t)),
            Instr::Block(t) => format!("block {}", self.task(*t)),
            Instr::Unblock(t) => format!("unblock {}", self.task(*t)),
            Instr::End => "end".to_string(),
            Instr::Mark(n) => format!("mark {n}"),
        }
    }

    fn vector(&self, v: &Vector) -> String {
        let all = [v.dst, v.a, v.b];
        let suffix = all.iter().find_map(|o| stated_type(*o));
        let mut text = v.op.name().to_string();
        if let Some(dtype) = suffix {
            let _ = write!(text, ".{}", dtype.name());
        }
        for (at, operand) in all.into_iter().enumerate() {
            if operand == Operand::None {
                continue;
            }
            let comma = if at == 0 { " " } else { ", " };
            let _ = write!(text, "{comma}{}", self.operand(operand));
            let own = stated_type(operand);
            if own != suffix || v.op == crate::VecOp::ArgMax {
                own.iter().for_each(|t| text.push_str(&format!(":{}", t.name())));
            }
        }
        let _ = write!(text, " over s{}", v.shape.0);
        if let Thread::Micro(n, done) = v.thread {
            let _ = write!(text, " async {n}");
            match done {
                OnDone::Nothing => {}
                OnDone::Activate(t) => text.push_str(&format!(" activate {}", self.task(t))),
                OnDone::Unblock(t) => text.push_str(&format!(" unblock {}", self.task(t))),
            }
        }
        text
    }

    fn operand(&self, operand: Operand) -> String {
        match operand {
            Operand::None => String::new(),
            Operand::Mem(d) => format!("d{}", d.0),
            Operand::Reg(r, _) => r.to_string(),
            Operand::Imm(bits, dtype) => constant(bits, dtype),
            Operand::FabIn(q, _) => format!("in({})", queue(&self.program.in_queues, q.0)),
            Operand::FabOut(q, _) => format!("out({})", queue(&self.program.out_queues, q.0)),
        }
    }
}

/// The type of an operand that does not have one by its descriptor.
fn stated_type(operand: Operand) -> Option<DType> {
    match operand {
        Operand::None | Operand::Mem(_) => None,
        Operand::Reg(_, t) | Operand::Imm(_, t) | Operand::FabIn(_, t) | Operand::FabOut(_, t) => {
            Some(t)
        }
    }
}

/// A queue by its color where that tells it from the others, else by its number.
fn queue(queues: &[Option<Color>], at: u8) -> String {
    let color = queues.get(usize::from(at)).copied().flatten();
    match color {
        Some(c) if queues.iter().position(|q| *q == color) == Some(usize::from(at)) => {
            c.to_string()
        }
        _ => format!("#{at}"),
    }
}

fn src(src: Src) -> String {
    match src {
        Src::Reg(r) => r.to_string(),
        Src::Imm(value) => word(value),
    }
}

/// Small words in decimal, others in hexadecimal.
fn word(value: u32) -> String {
    if value < 1 << 20 { value.to_string() } else { format!("{value:#x}") }
}

/// A constant by its value where that gives the same bits, else by its bits.
fn constant(bits: u32, dtype: DType) -> String {
    if dtype == DType::U32 {
        return word(bits);
    }
    let value = dtype.to_f32(bits);
    let text = format!("{value:?}");
    let back = text.parse::<f64>().map(|v| dtype.from_f32(v as f32));
    if value.is_finite() && back == Ok(bits) { text } else { format!("bits({bits:#x})") }
}
