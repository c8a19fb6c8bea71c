//! Instructions as they are written → [`Instr`]; vector operations are in `vector`.

use super::{Assembler, Step};
use crate::asm::ast::{Form, Line, Target, Written};
use crate::asm::cursor::Name;
use crate::asm::diagnostic::Diagnostic;
use crate::asm::spelling::nearest;
use crate::{AluOp, Cond, DType, Instr, Reg, Src, TaskId, VecOp};

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

/// The operands of an instruction that takes `N`; `what` says which.
pub(super) fn operands<'l, const N: usize>(line: &'l Line, what: &str) -> Step<[&'l Written; N]> {
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
