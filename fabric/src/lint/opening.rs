//! What a PE does before it first receives, where its program alone tells.

use pe_isa::{Color, Instr, Operand, OutQueue, Program, Shape, Size, TaskKind, Thread};

/// A send of the main thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Send {
    pub(super) queue: OutQueue,
    pub(super) color: Color,
    /// Words, over all sends to the queue before the first receive.
    pub(super) words: u64,
}

/// What a PE does up to the end of its main thread's first receive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Opening {
    pub(super) sends: Vec<Send>,
    /// What the first receive of the main thread takes, if nothing before it depends on registers: colors, and how
    /// many words at least.
    pub(super) first: Vec<(Color, u64)>,
    /// Colors that microthreads may take meanwhile.
    pub(super) taken: Vec<Color>,
    /// Colors that microthreads may send on meanwhile, or that the first receive passes on.
    pub(super) passed: Vec<Color>,
}

/// The opening of a program; none if it neither sends nor receives there, or if what it sends depends on
/// registers.
///
/// One task that is ready at cycle 0 runs first and alone in the main thread (rule K-1), and up to
/// the first branch its instructions are executed in order.
pub(super) fn opening(program: &Program) -> Option<Opening> {
    let first = |t: &&pe_isa::Task| t.kind == TaskKind::Local && t.activated && !t.blocked;
    let mut ready = program.tasks.iter().filter(first);
    let task = ready.next().filter(|_| ready.next().is_none())?;
    let mut opening = Opening::default();
    let mut at = usize::from(task.entry);
    // A jump backward would make it a loop, so each instruction is passed once.
    for _ in 0..program.instrs.len() {
        match program.instrs.get(at)? {
            Instr::End | Instr::Branch { .. } => break,
            Instr::Jump { target } if usize::from(*target) > at => {
                at = usize::from(*target);
                continue;
            }
            Instr::Jump { .. } => break,
            instr @ Instr::Vector(v) => {
                let inputs = instr.inputs();
                let colors = inputs.filter_map(|q| *program.in_queues.get(usize::from(q.0))?);
                let colors: Vec<Color> = colors.collect();
                let sent =
                    instr.output().and_then(|q| *program.out_queues.get(usize::from(q.0))?);
                match v.thread {
                    Thread::Micro(..) => {
                        opening.taken.extend(colors);
                        opening.passed.extend(sent);
                    }
                    Thread::Main if instr.inputs().next().is_some() => {
                        opening.receive(program, v, &colors);
                        opening.passed.extend(sent);
                        break;
                    }
                    Thread::Main => {
                        if let Operand::FabOut(queue, dtype) = v.dst {
                            let shape = program.shapes.get(usize::from(v.shape.0))?;
                            let lanes = u64::from(dtype.lanes());
                            opening.send(program, queue, elements(shape)?.div_ceil(lanes))?;
                        }
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    (!opening.sends.is_empty() || !opening.first.is_empty()).then_some(opening)
}

impl Opening {
    fn receive(&mut self, program: &Program, v: &pe_isa::Vector, colors: &[Color]) {
        let shape = program.shapes.get(usize::from(v.shape.0));
        let count = shape.and_then(elements).unwrap_or(0);
        let lanes = |operand: &Operand| match operand {
            Operand::FabIn(_, dtype) => Some(u64::from(dtype.lanes())),
            _ => None,
        };
        // With two inputs, the wavelets of the one that takes fewer.
        let lanes = [v.a, v.b].iter().filter_map(lanes).max().unwrap_or(1);
        self.first.extend(colors.iter().map(|&color| (color, count.div_ceil(lanes))));
    }

    fn send(&mut self, program: &Program, queue: OutQueue, words: u64) -> Option<()> {
        let color = (*program.out_queues.get(usize::from(queue.0))?)?;
        match self.sends.iter_mut().find(|send| send.queue == queue) {
            Some(send) => send.words = send.words.saturating_add(words),
            None => self.sends.push(Send { queue, color, words }),
        }
        Some(())
    }
}

/// Elements of a loop nest, if no extent stands in a register.
fn elements(shape: &Shape) -> Option<u64> {
    shape.extents.iter().try_fold(1u64, |product, size| match size {
        Size::Imm(n) => product.checked_mul(u64::from(*n)),
        Size::Reg(_) => None,
    })
}
