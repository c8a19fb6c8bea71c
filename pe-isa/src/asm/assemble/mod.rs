//! A program's statements and a scope → [`Program`].

mod instr;
mod memory;
mod names;
mod vector;

use super::ast::{ProgramDef, Statement, Target, TaskDef, TaskSource, Values};
use super::cursor::Name;
use super::diagnostic::{Diagnostic, Span};
use super::expr::Expr;
use super::scope::Scope;
use crate::{Color, DType, DsdId, Program, REGISTERS, Reg, ShapeId, Task, TaskKind};
use std::collections::BTreeMap;

/// Most instructions, descriptors or shapes of a program: more than SRAM has room for, and few enough
/// for indices of 16 bits.
const MOST: usize = 1 << 14;

/// Fuel that a statement costs each time it is assembled.
const STATEMENT_FUEL: u64 = 8;

/// A named piece of SRAM.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// Byte address of its first element.
    pub address: u32,
    /// Type of its elements.
    pub dtype: DType,
    /// Its extents, outermost first; one to four.
    pub extents: Vec<u32>,
    /// Its elements before cycle 0, if they are given.
    pub values: Option<Values>,
    /// Where it is declared.
    pub span: Span,
}

impl Region {
    /// Number of elements.
    pub fn elements(&self) -> u32 {
        self.extents.iter().product()
    }

    /// Strides in elements that walk through it row by row.
    pub fn strides(&self) -> Vec<i32> {
        let mut strides = vec![1i32; self.extents.len()];
        for d in (1..self.extents.len()).rev() {
            strides[d - 1] = strides[d].saturating_mul(self.extents[d] as i32);
        }
        strides
    }
}

/// A program and what its source says besides.
#[derive(Debug, Clone, PartialEq)]
pub struct Assembled {
    /// The program.
    pub program: Program,
    /// Named registers.
    pub registers: BTreeMap<String, Reg>,
    /// Named pieces of SRAM.
    pub regions: BTreeMap<String, Region>,
    /// SRAM that it needs, bytes: as stated, or the end of its last region.
    pub sram_bytes: u32,
    /// Where each instruction stands.
    pub spans: Vec<Span>,
}

/// Assembles a program. Parameters have been entered into the scope; `sram_bytes` bounds regions.
///
/// # Errors
/// All mistakes that can be told apart.
pub fn assemble(
    def: &ProgramDef,
    scope: &mut Scope,
    sram_bytes: u32,
) -> Result<Assembled, Vec<Diagnostic>> {
    let level = scope.level();
    let mut assembler = Assembler {
        scope,
        sram_bytes,
        program: Program::default(),
        registers: BTreeMap::new(),
        regions: BTreeMap::new(),
        dsds: BTreeMap::new(),
        shapes: BTreeMap::new(),
        labels: BTreeMap::new(),
        tasks: BTreeMap::new(),
        entries: Vec::new(),
        spans: Vec::new(),
        stated: None,
        errors: Vec::new(),
    };
    let mut flat = Vec::new();
    assembler.flatten(&def.body, &mut flat);
    let fuel = assembler.scope.burn(STATEMENT_FUEL * flat.len() as u64, def.name.span);
    assembler.note(fuel);
    assembler.declare(&flat);
    assembler.emit(&flat);
    let Assembler { program, registers, regions, spans, errors, stated, .. } = assembler;
    scope.leave(level);
    if !errors.is_empty() {
        return Err(errors);
    }
    let end = |r: &Region| (r.address + r.elements() * r.dtype.bytes()).next_multiple_of(4);
    let sram_bytes = stated.unwrap_or(regions.values().map(end).max().unwrap_or(0));
    Ok(Assembled { program, registers, regions, sram_bytes, spans })
}

struct Assembler<'s> {
    scope: &'s mut Scope,
    sram_bytes: u32,
    program: Program,
    registers: BTreeMap<String, Reg>,
    regions: BTreeMap<String, Region>,
    dsds: BTreeMap<String, DsdId>,
    shapes: BTreeMap<String, ShapeId>,
    labels: BTreeMap<String, u16>,
    tasks: BTreeMap<String, u8>,
    /// The instruction behind each task's header, in the order of the headers.
    entries: Vec<u16>,
    spans: Vec<Span>,
    stated: Option<u32>,
    errors: Vec<Diagnostic>,
}

type Step<T> = Result<T, Diagnostic>;

impl Assembler<'_> {
    fn note(&mut self, step: Step<()>) {
        if let Err(error) = step
            && self.errors.len() < super::MOST_ERRORS
        {
            self.errors.push(error);
        }
    }

    /// The statements that remain when every `if` has been decided.
    fn flatten<'d>(&mut self, body: &'d [Statement], flat: &mut Vec<&'d Statement>) {
        for statement in body {
            let Statement::If(test, yes, no) = statement else {
                flat.push(statement);
                continue;
            };
            match self.scope.eval(test) {
                Ok(value) => self.flatten(if value.holds() { yes } else { no }, flat),
                Err(error) => self.note(Err(error)),
            }
        }
    }

    /// Finds what is named: registers, regions, labels, tasks.
    fn declare(&mut self, flat: &[&Statement]) {
        let mut instructions = 0usize;
        let mut address = 0u32;
        for statement in flat {
            let step = match statement {
                Statement::Reg(name, is) => self.register(name, is.as_ref()),
                Statement::Mem(mem) => {
                    self.region(mem, &mut address).inspect_err(|_| self.pretend(mem))
                }
                Statement::Label(name) => self.label(name, instructions),
                Statement::Task(task) => self.task_name(task, instructions),
                Statement::Instr(line) => {
                    instructions += 1;
                    let many = instructions > MOST;
                    let error =
                        || Diagnostic::new(line.span, format!("more than {MOST} instructions"));
                    if many { Err(error()) } else { Ok(()) }
                }
                _ => Ok(()),
            };
            self.note(step);
            if instructions > MOST {
                return;
            }
        }
    }

    fn emit(&mut self, flat: &[&Statement]) {
        let mut tasks = 0;
        for statement in flat {
            let step = match statement {
                Statement::Queues { inward, colors } => self.queues(*inward, colors),
                Statement::Dsd(def) => self.dsd(def),
                Statement::Shape(name, extents) => self.shape(name, extents),
                Statement::Sram(bytes) => {
                    let most = i64::from(self.sram_bytes);
                    let bytes = self.scope.within(bytes, "SRAM in bytes", 0, most);
                    bytes.map(|b| self.stated = Some(b as u32))
                }
                Statement::Task(def) => {
                    tasks += 1;
                    self.task(def, self.entries.get(tasks - 1).copied().unwrap_or(0))
                }
                Statement::Instr(line) => {
                    self.spans.push(line.span);
                    self.instr(line).map(|instr| self.program.instrs.push(instr))
                }
                _ => Ok(()),
            };
            self.note(step);
        }
    }

    fn register(&mut self, name: &Name, is: Option<&Name>) -> Step<()> {
        self.fresh(name)?;
        let reg = match is {
            Some(other) => self.reg(other)?,
            None => {
                let free = |r: &u8| !self.registers.values().any(|taken| taken.0 == *r);
                let found = (0..REGISTERS as u8).find(free);
                Reg(found.ok_or_else(|| {
                    Diagnostic::new(name.span, format!("all {REGISTERS} registers have names"))
                })?)
            }
        };
        self.registers.insert(name.text.clone(), reg);
        Ok(())
    }

    fn label(&mut self, name: &Name, at: usize) -> Step<()> {
        match self.labels.insert(name.text.clone(), at as u16) {
            None => Ok(()),
            Some(_) => {
                Err(Diagnostic::new(name.span, format!("there are two labels `{}`", name.text)))
            }
        }
    }

    fn task_name(&mut self, task: &TaskDef, at: usize) -> Step<()> {
        let index = self.tasks.len();
        if index >= 64 {
            return Err(Diagnostic::new(task.name.span, "a program has at most 64 tasks"));
        }
        self.entries.push(at as u16);
        match self.tasks.insert(task.name.text.clone(), index as u8) {
            None => Ok(()),
            Some(_) => {
                let message = format!("there are two tasks `{}`", task.name.text);
                Err(Diagnostic::new(task.name.span, message))
            }
        }
    }

    fn queues(&mut self, inward: bool, colors: &[Option<Expr>]) -> Step<()> {
        for color in colors {
            let color = color.as_ref().map(|c| self.color(c)).transpose()?;
            let program = &mut self.program;
            let queues = if inward { &mut program.in_queues } else { &mut program.out_queues };
            if queues.len() > usize::from(u8::MAX) {
                return Ok(());
            }
            queues.push(color);
        }
        Ok(())
    }

    fn color(&mut self, expr: &Expr) -> Step<Color> {
        Ok(Color(self.scope.within(expr, "the color", 0, 255)? as u8))
    }

    fn task(&mut self, def: &TaskDef, next: u16) -> Step<()> {
        let kind = match &def.source {
            TaskSource::Local => TaskKind::Local,
            TaskSource::Data(queue, reg) => TaskKind::Data(self.in_queue(queue)?, self.reg(reg)?),
            TaskSource::Control(queue, reg) => {
                TaskKind::Control(self.in_queue(queue)?, self.reg(reg)?)
            }
        };
        let priority = match &def.priority {
            Some(p) => self.scope.within(p, "the priority", 0, 255)? as u8,
            None => 0,
        };
        let entry = match &def.entry {
            Some(Target::Label(name)) => self.label_index(name)?,
            Some(Target::Number(n)) => self.scope.within(n, "the instruction", 0, 65_535)? as u16,
            None => next,
        };
        let (activated, blocked) = (def.activated, def.blocked);
        self.program.tasks.push(Task { kind, entry, priority, activated, blocked });
        Ok(())
    }
}
