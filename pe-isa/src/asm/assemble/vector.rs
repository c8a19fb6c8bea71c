//! Vector operations as they are written: loop nest, operands, thread.

use super::instr::operands;
use super::{Assembler, Step};
use crate::asm::ast::{Form, Line, Written};
use crate::asm::diagnostic::Diagnostic;
use crate::asm::spelling::nearest;
use crate::{
    DType, Dsd, DsdId, Instr, OnDone, Operand, Shape, ShapeId, Size, Thread, VecOp, Vector,
};

impl Assembler<'_> {
    pub(super) fn vector(&mut self, op: VecOp, line: &Line) -> Step<Instr> {
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
