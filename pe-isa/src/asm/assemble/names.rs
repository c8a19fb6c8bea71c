//! What names stand for within a program.

use super::{Assembler, Step};
use crate::asm::ast::{QueueRef, Target};
use crate::asm::cursor::Name;
use crate::asm::diagnostic::Diagnostic;
use crate::asm::spelling::{nearest, numbered};
use crate::{InQueue, OutQueue, Reg, TaskId};

impl Assembler<'_> {
    /// A name that a declaration may take.
    pub(super) fn fresh(&self, name: &Name) -> Step<()> {
        let text = &name.text;
        let message = if numbered(text, 'r').is_some() {
            format!("`{text}` is a register's own name")
        } else if self.registers.contains_key(text)
            || self.regions.contains_key(text)
            || self.dsds.contains_key(text)
            || self.shapes.contains_key(text)
        {
            format!("`{text}` is declared twice in this program")
        } else {
            return Ok(());
        };
        Err(Diagnostic::new(name.span, message).cure("choose another name"))
    }

    /// The register of that name, if there is one.
    pub(super) fn known_reg(&self, name: &str) -> Option<Reg> {
        numbered(name, 'r').map(Reg).or_else(|| self.registers.get(name).copied())
    }

    pub(super) fn reg(&self, name: &Name) -> Step<Reg> {
        self.known_reg(&name.text).ok_or_else(|| {
            let known = self.registers.keys().map(String::as_str);
            let cure = match nearest(&name.text, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write `reg {}` first, or r0 to r31", name.text),
            };
            Diagnostic::new(name.span, format!("`{}` is no register", name.text)).cure(cure)
        })
    }

    pub(super) fn label_index(&self, name: &Name) -> Step<u16> {
        self.labels.get(&name.text).copied().ok_or_else(|| {
            let near = nearest(&name.text, self.labels.keys().map(String::as_str));
            let cure = near.map(|near| format!("did you mean `{near}`?"));
            Diagnostic::new(name.span, format!("there is no label `{}`", name.text))
                .cure(cure.unwrap_or_else(|| format!("put `{}:` before an instruction", name.text)))
        })
    }

    pub(super) fn task_id(&mut self, target: &Target) -> Step<TaskId> {
        let name = match target {
            Target::Number(n) => {
                return Ok(TaskId(self.scope.within(n, "the task", 0, 255)? as u8));
            }
            Target::Label(name) => name,
        };
        self.tasks.get(&name.text).map(|t| TaskId(*t)).ok_or_else(|| {
            let near = nearest(&name.text, self.tasks.keys().map(String::as_str));
            let cure = near.map(|near| format!("did you mean `{near}`?"));
            Diagnostic::new(name.span, format!("there is no task `{}`", name.text))
                .cure(cure.unwrap_or_else(|| format!("declare `task {}:`", name.text)))
        })
    }

    /// The input queue of that color, or the next one, bound to it.
    pub(super) fn in_queue(&mut self, queue: &QueueRef) -> Step<InQueue> {
        Ok(InQueue(self.queue(queue, true)?))
    }

    /// The output queue of that color, or the next one, bound to it.
    pub(super) fn out_queue(&mut self, queue: &QueueRef) -> Step<OutQueue> {
        Ok(OutQueue(self.queue(queue, false)?))
    }

    fn queue(&mut self, queue: &QueueRef, inward: bool) -> Step<u8> {
        let expr = match queue {
            QueueRef::Number(n) => return Ok(self.scope.within(n, "the queue", 0, 255)? as u8),
            QueueRef::Color(expr) => expr,
        };
        let color = self.color(expr)?;
        let program = &mut self.program;
        let queues = if inward { &mut program.in_queues } else { &mut program.out_queues };
        let at = queues.iter().position(|c| *c == Some(color)).unwrap_or_else(|| {
            queues.push(Some(color));
            queues.len() - 1
        });
        u8::try_from(at).map_err(|_| Diagnostic::new(expr.span, "more than 256 queues"))
    }
}
