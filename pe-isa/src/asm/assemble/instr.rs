//! Instructions as they are written → [`Instr`].

use super::{Assembler, Step};
use crate::asm::ast::{Form, Line, Target, Written};
use crate::asm::cursor::Name;
use crate::asm::diagnostic::Diagnostic;
use crate::asm::spelling::nearest;
use crate::{
    AluOp, Cond, DType, Dsd, DsdId, Instr, OnDone, Operand, Reg, Shape, ShapeId, Size, Src, TaskId,
    Thread, VecOp, Vector,
};

impl Assembler<'_> {
    pub(super) fn instr(&mut self, line: &Line) -> Step<Instr> {
        let name = line.name.text.as_str();
        if let Some(op) = VecOp::ALL.into_iter().find(|op| op.name() == name) {
            return self.vector(op, line);
        }
        if line.over.is_some() || line.microthread.is_some() || line.dtype.is_some() {
            let message = format!("`{name}` takes no type, `over` or `async`");
            return Err(Diagnostic::new(line.span, message).cure("vector operations do"));
        }
        if let Some(op) = AluOp::ALL.into_iter().find(|op| op.name() == name) {
            let [rd, ra, b] = operands(line, "a destination register, a register, a source")?;
            let (rd, ra) = (self.reg_operand(rd)?, self.reg_operand(ra)?);
            return Ok(Instr::Alu { op, rd, ra, b: self.src(b)? });
        }
        if let Some(cond) = Cond::ALL.into_iter().find(|c| c.name() == name) {
            let [ra, b, target] = operands(line, "a register, a source, a label")?;
            let (ra, b) = (self.reg_operand(ra)?, self.src(b)?);
            return Ok(Instr::Branch { cond, ra, b, target: self.jump_target(target)? });
        }
        self.control(line)
    }

    fn control(&mut self, line: &Line) -> Step<Instr> {
        let name = line.name.text.as_str();
        Ok(match name {
            "li" => {
                let [rd, value] = operands(line, "a register, a value")?;
                Instr::Li { rd: self.reg_operand(rd)?, imm: self.word(value)? }
            }
            "selgt" => {
                let all = operands::<4>(line, "destination, source, left, right: registers")?;
                let [rd, rs, ra, rb] = all.map(|o| self.reg_operand(o));
                Instr::SelGt { rd: rd?, rs: rs?, ra: ra?, rb: rb? }
            }
            "jump" => {
                let [target] = operands(line, "a label")?;
                Instr::Jump { target: self.jump_target(target)? }
            }
            "sendctrl" => {
                let [queue, payload] = operands(line, "`out(color)`, a source")?;
                let Form::Out(queue) = &queue.form else {
                    return Err(Diagnostic::new(queue.span, "this must be `out(color)`"));
                };
                Instr::SendCtrl { queue: self.out_queue(queue)?, payload: self.src(payload)? }
            }
            "activate" => Instr::Activate(self.task_operand(line)?),
            "block" => Instr::Block(self.task_operand(line)?),
            "unblock" => Instr::Unblock(self.task_operand(line)?),
            "end" => {
                let [] = operands(line, "nothing")?;
                Instr::End
            }
            "mark" => {
                let [label] = operands(line, "a number")?;
                let Form::Expr(expr) = &label.form else {
                    return Err(Diagnostic::new(label.span, "this must be a number"));
                };
                Instr::Mark(self.scope.within(expr, "the mark", 0, 65_535)? as u16)
            }
            _ => return Err(unknown(&line.name)),
        })
    }

    fn reg_operand(&mut self, written: &Written) -> Step<Reg> {
        let text = match &written.form {
            Form::Expr(expr) => expr.as_name(),
            _ => None,
        };
        let Some(text) = text else {
            return Err(Diagnostic::new(written.span, "this must be a register"));
        };
        self.reg(&Name { text: text.to_string(), span: written.span })
    }

    /// A value as a 32-bit word: an integer, or the bits of an `f32`.
    fn word(&mut self, written: &Written) -> Step<u32> {
        let Form::Expr(expr) = &written.form else {
            return Err(Diagnostic::new(written.span, "this must be a value"));
        };
        let value = self.scope.eval(expr)?;
        value.bits(DType::U32).or_else(|| float_bits(value)).ok_or_else(|| {
            let message = format!("{} is no 32-bit word", value.float());
            Diagnostic::new(written.span, message)
        })
    }

    fn src(&mut self, written: &Written) -> Step<Src> {
        if let Form::Expr(expr) = &written.form
            && let Some(reg) = expr.as_name().and_then(|n| self.known_reg(n))
        {
            return Ok(Src::Reg(reg));
        }
        Ok(Src::Imm(self.word(written)?))
    }

    fn jump_target(&mut self, written: &Written) -> Step<u16> {
        match &written.form {
            Form::Number(n) => Ok(self.scope.within(n, "the instruction", 0, 65_535)? as u16),
            form => self.label_index(&named(form, written, "a label")?),
        }
    }

    fn task_operand(&mut self, line: &Line) -> Step<TaskId> {
        let [task] = operands(line, "a task")?;
        match &task.form {
            Form::Number(n) => self.task_id(&Target::Number(n.clone())),
            form => self.task_id(&Target::Label(named(form, task, "a task")?)),
        }
    }

    fn vector(&mut self, op: VecOp, line: &Line) -> Step<Instr> {
        let (written, b): ([&Written; 2], Option<&Written>) = if op.is_binary() {
            let [dst, a, b] = operands(line, "a destination and two sources")?;
            ([dst, a], Some(b))
        } else {
            (operands(line, "a destination and a source")?, None)
        };
        let all = [Some(written[0]), Some(written[1]), b];
        let (shape, rank) = self.loop_nest(line, &all)?;
        let default = line.dtype.or_else(|| all.iter().flatten().find_map(|w| self.own_type(w)));
        let dst = self.operand(written[0], default, rank)?;
        let a = self.operand(written[1], default, rank)?;
        let b = match b {
            // The ordinals that argmax counts are integers whatever the elements are.
            Some(w) if op == VecOp::ArgMax => self.operand(w, Some(DType::U32), rank)?,
            Some(w) => self.operand(w, default, rank)?,
            None => Operand::None,
        };
        let thread = match &line.microthread {
            None => Thread::Main,
            Some(n) => {
                let n = self.scope.within(n, "the microthread", 0, 255)? as u8;
                Thread::Micro(
                    n,
                    match &line.done {
                        None => OnDone::Nothing,
                        Some((true, task)) => OnDone::Activate(self.task_id(task)?),
                        Some((false, task)) => OnDone::Unblock(self.task_id(task)?),
                    },
                )
            }
        };
        Ok(Instr::Vector(Vector { op, shape, dst, a, b, thread }))
    }

    /// The loop nest: as stated, else the extents of the first region that is named without
    /// strides, else one element where no operand is a queue.
    fn loop_nest(&mut self, line: &Line, all: &[Option<&Written>; 3]) -> Step<(ShapeId, usize)> {
        let extents = match &line.over {
            Some(over) => {
                let named = over[0].as_name().filter(|_| !line.over_list);
                if let Some(id) = named.and_then(|n| self.shapes.get(n)) {
                    return Ok((*id, self.program.shapes[usize::from(id.0)].extents.len()));
                }
                self.sizes(over)?
            }
            None => {
                let region = all.iter().flatten().find_map(|w| match &w.form {
                    Form::Mem { name, strides: None, .. } => self.regions.get(&name.text),
                    Form::Expr(e) => e.as_name().and_then(|n| self.regions.get(n)),
                    _ => None,
                });
                match region {
                    Some(region) => region.extents.iter().map(|&n| Size::Imm(n)).collect(),
                    None if all.iter().flatten().any(|w| runs_on(&w.form, self)) => {
                        let message = "how many elements is not said";
                        return Err(Diagnostic::new(line.span, message).cure("add `over n`"));
                    }
                    None => vec![Size::Imm(1)],
                }
            }
        };
        let rank = extents.len();
        let shape = Shape { extents };
        let found = self.program.shapes.iter().position(|s| *s == shape);
        let at = found.unwrap_or_else(|| {
            self.program.shapes.push(shape);
            self.program.shapes.len() - 1
        });
        self.room(at, line.span)?;
        Ok((ShapeId(at as u16), rank))
    }

    /// The type that an operand has by what it is.
    fn own_type(&self, written: &Written) -> Option<DType> {
        let name = match &written.form {
            Form::Mem { name, .. } => &name.text,
            Form::Expr(expr) => expr.as_name()?,
            _ => return written.dtype,
        };
        let dsd = || self.dsds.get(name).map(|d| self.program.dsds[usize::from(d.0)].dtype);
        self.regions.get(name).map(|r| r.dtype).or_else(dsd).or(written.dtype)
    }

    fn operand(&mut self, written: &Written, default: Option<DType>, rank: usize) -> Step<Operand> {
        if let Some(memory) = self.memory(written, rank)? {
            return Ok(memory);
        }
        let dtype = written.dtype.or(default);
        let dtype = dtype.ok_or_else(|| {
            Diagnostic::new(written.span, "the type of this operand is not said")
                .cure("write `mov.f32 …`, or put `:f32` behind the operand")
        })?;
        Ok(match &written.form {
            Form::In(queue) => Operand::FabIn(self.in_queue(queue)?, dtype),
            Form::Out(queue) => Operand::FabOut(self.out_queue(queue)?, dtype),
            Form::Bits(expr) => Operand::Imm(self.scope.bits(expr, DType::U32)?, dtype),
            Form::Expr(expr) => match expr.as_name().and_then(|n| self.known_reg(n)) {
                Some(reg) => Operand::Reg(reg, dtype),
                None => Operand::Imm(self.scope.bits(expr, dtype)?, dtype),
            },
            Form::Mem { name, .. } => {
                let known = self.regions.keys().chain(self.dsds.keys()).map(String::as_str);
                let cure = nearest(&name.text, known).map(|n| format!("did you mean `{n}`?"));
                let message = format!("`{}` is no region or descriptor", name.text);
                return Err(Diagnostic::new(name.span, message).cure(cure.unwrap_or_default()));
            }
            Form::Number(_) => {
                return Err(Diagnostic::new(written.span, "a number with `#` is no operand here"));
            }
        })
    }

    /// The operand as memory; `None` if it is something else.
    fn memory(&mut self, written: &Written, rank: usize) -> Step<Option<Operand>> {
        let (name, offset, strides) = match &written.form {
            Form::Mem { name, offset, strides } => (name.text.as_str(), offset.as_ref(), strides),
            Form::Expr(expr) => match expr.as_name() {
                Some(name) if self.known_reg(name).is_none() => (name, None, &None),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let (mut dsd, own) = if let Some(&id) = self.dsds.get(name) {
            if offset.is_none() && strides.is_none() {
                return Ok(Some(Operand::Mem(id)));
            }
            (self.program.dsds[usize::from(id.0)].clone(), rank)
        } else if let Some(r) = self.regions.get(name) {
            let (base, dtype) = (r.address, r.dtype);
            (Dsd { base, offset: None, strides: r.strides(), dtype }, r.extents.len())
        } else {
            return Ok(None);
        };
        match strides {
            Some(exprs) => dsd.strides = self.strides(exprs)?,
            // Any one loop walks through a region element by element.
            None if own != rank && rank == 1 => dsd.strides = vec![1],
            None => {}
        }
        if dsd.strides.len() != rank {
            let have = dsd.strides.len();
            let message = format!("`{name}` has {have} strides here, the operation {rank} loops");
            let cure = format!("give it {rank} strides in braces: `{name}{{…}}`");
            return Err(Diagnostic::new(written.span, message).cure(cure));
        }
        if let Some(reg) = offset {
            dsd.offset = Some(self.reg(reg)?);
        }
        let found = self.program.dsds.iter().position(|d| *d == dsd);
        let at = found.unwrap_or_else(|| {
            self.program.dsds.push(dsd);
            self.program.dsds.len() - 1
        });
        self.room(at, written.span)?;
        Ok(Some(Operand::Mem(DsdId(at as u16))))
    }
}

/// Whether an operand has as many elements as the operation asks of it.
fn runs_on(form: &Form, assembler: &Assembler) -> bool {
    match form {
        Form::In(_) | Form::Out(_) | Form::Mem { .. } => true,
        Form::Expr(expr) => expr.as_name().is_some_and(|n| assembler.dsds.contains_key(n)),
        _ => false,
    }
}

fn float_bits(value: crate::asm::Value) -> Option<u32> {
    match value {
        crate::asm::Value::Float(_) => value.bits(DType::F32),
        crate::asm::Value::Int(_) => None,
    }
}

fn named(form: &Form, written: &Written, what: &str) -> Step<Name> {
    match form {
        Form::Expr(expr) if expr.as_name().is_some() => {
            let text = expr.as_name().unwrap_or_default().to_string();
            Ok(Name { text, span: written.span })
        }
        _ => Err(Diagnostic::new(written.span, format!("this must be {what}"))),
    }
}

fn operands<'l, const N: usize>(line: &'l Line, what: &str) -> Step<[&'l Written; N]> {
    let all: Vec<&Written> = line.operands.iter().collect();
    <[&Written; N]>::try_from(all).map_err(|all| {
        let message = format!("`{}` takes {N} operands, not {}", line.name.text, all.len());
        Diagnostic::new(line.span, message).cure(format!("they are: {what}"))
    })
}

fn unknown(name: &Name) -> Diagnostic {
    const OTHERS: [&str; 12] = [
        "li", "selgt", "jump", "sendctrl", "activate", "block", "unblock", "end", "mark", "task",
        "mem", "reg",
    ];
    let known = VecOp::ALL.iter().map(|op| op.name());
    let known = known.chain(AluOp::ALL.iter().map(|op| op.name()));
    let known = known.chain(Cond::ALL.iter().map(|c| c.name())).chain(OTHERS);
    let cure = nearest(&name.text, known).map(|n| format!("did you mean `{n}`?"));
    Diagnostic::new(name.span, format!("`{}` is no instruction", name.text))
        .cure(cure.unwrap_or_default())
}
