//! Programs: their definitions, and one instance for each list of arguments.

use super::{Elaborator, Step};
use crate::image::ProgramId;
use pe_isa::asm::ast::ProgramDef;
use pe_isa::asm::cursor::Name;
use pe_isa::asm::spelling::nearest;
use pe_isa::asm::{Assembled, Diagnostic, Scope, Span, Value, assemble};
use pe_isa::{Program, check};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

/// Most programs that are made for lists of arguments.
const MOST_PROGRAMS: usize = 1 << 16;

/// A program with its arguments.
#[derive(Debug)]
pub(super) struct Instance {
    /// In the image.
    pub(super) id: ProgramId,
    /// The program, its regions and registers.
    pub(super) assembled: Assembled,
    /// Its parameters with their values.
    pub(super) arguments: Vec<(String, Value)>,
}

/// A program's definition and what has been made of it.
struct Defined {
    def: Rc<ProgramDef>,
    /// By the bits of the arguments; `None` where it did not assemble, which has been reported.
    instances: BTreeMap<Vec<(bool, u64)>, Option<Rc<Instance>>>,
}

/// All programs of a text.
pub(super) struct Programs {
    defined: BTreeMap<String, Defined>,
    /// Programs of the image by a hash of their contents.
    known: BTreeMap<u64, Vec<ProgramId>>,
    /// For each program of the image, the places of its instructions.
    code: Vec<Vec<Span>>,
    /// What was placed on each tile.
    placed: Vec<Option<Rc<Instance>>>,
}

impl Programs {
    pub(super) fn new(tiles: usize) -> Programs {
        Programs {
            defined: BTreeMap::new(),
            known: BTreeMap::new(),
            code: Vec::new(),
            placed: vec![None; tiles],
        }
    }

    /// For each program of the image, the places of its instructions.
    pub(super) fn into_code(self) -> Vec<Vec<Span>> {
        self.code
    }

    pub(super) fn is_defined(&self, name: &str) -> bool {
        self.defined.contains_key(name)
    }

    /// What was placed on a tile.
    pub(super) fn on(&self, tile: crate::PeIdx) -> Option<Rc<Instance>> {
        self.placed[tile.0 as usize].clone()
    }

    /// Writes down what is placed on a tile.
    pub(super) fn put(&mut self, tile: crate::PeIdx, instance: Rc<Instance>) {
        self.placed[tile.0 as usize] = Some(instance);
    }
}

fn bits(value: &Value) -> (bool, u64) {
    match value {
        Value::Int(v) => (false, *v as u64),
        Value::Float(v) => (true, v.to_bits()),
    }
}

impl Elaborator {
    /// Takes a definition. A program without parameters joins the image at once, even if an equal
    /// one is there, so that a printed image keeps the numbers of its programs.
    pub(super) fn program(&mut self, def: &Rc<ProgramDef>) -> Step<()> {
        self.fresh(&def.name)?;
        let mut instances = BTreeMap::new();
        if def.parameters.is_empty() {
            let made = self.assemble(def, &[]);
            let instance = made.map(|assembled| {
                let id = self.add_program(&assembled);
                Rc::new(Instance { id, assembled, arguments: Vec::new() })
            });
            instances.insert(Vec::new(), instance);
        }
        let defined = Defined { def: def.clone(), instances };
        self.programs.defined.insert(def.name.text.clone(), defined);
        Ok(())
    }

    /// The program of that name with these arguments; `None` if its mistakes are known already.
    pub(super) fn instance(
        &mut self,
        name: &Name,
        arguments: &[Value],
    ) -> Step<Option<Rc<Instance>>> {
        let Some(defined) = self.programs.defined.get(&name.text) else {
            let near = nearest(&name.text, self.programs.defined.keys().map(String::as_str));
            let cure = near.map(|n| format!("did you mean `{n}`?")).unwrap_or_default();
            let message = format!("there is no program `{}`", name.text);
            return Err(Diagnostic::new(name.span, message).cure(cure));
        };
        let def = defined.def.clone();
        if def.parameters.len() != arguments.len() {
            let (want, got) = (def.parameters.len(), arguments.len());
            let message = format!("`{}` takes {want} arguments, not {got}", name.text);
            let names: Vec<&str> = def.parameters.iter().map(|p| p.text.as_str()).collect();
            let cure = match names[..] {
                [] => format!("write `{}` alone", name.text),
                _ => format!("they are: {}", names.join(", ")),
            };
            return Err(Diagnostic::new(name.span, message).cure(cure));
        }
        let key: Vec<(bool, u64)> = arguments.iter().map(bits).collect();
        if let Some(known) = defined.instances.get(&key) {
            return Ok(known.clone());
        }
        if self.image.programs.len() >= MOST_PROGRAMS {
            let message = format!("more than {MOST_PROGRAMS} different programs");
            return Err(Diagnostic::new(name.span, message).cure(
                "put what differs from tile to tile into registers: `place … { set n = x }`",
            ));
        }
        let names = def.parameters.iter().map(|p| p.text.clone());
        let arguments: Vec<(String, Value)> = names.zip(arguments.iter().copied()).collect();
        let made = self.assemble(&def, &arguments).map(|assembled| {
            let id = self.intern_program(&assembled);
            Rc::new(Instance { id, assembled, arguments })
        });
        if let Some(defined) = self.programs.defined.get_mut(&name.text) {
            defined.instances.insert(key, made.clone());
        }
        Ok(made)
    }

    fn assemble(&mut self, def: &ProgramDef, arguments: &[(String, Value)]) -> Option<Assembled> {
        let usable = self.image.machine.usable_bytes();
        // Programs see what is defined for good, not the indices of statements around `place`.
        let made = self.apart(|scope| {
            arguments.iter().for_each(|(name, value)| scope.enter(name, *value));
            assemble(def, scope, usable)
        });
        let assembled = match made {
            Ok(assembled) => assembled,
            Err(errors) => {
                self.errors.extend(errors.into_iter().map(same_on_all_tiles));
                return None;
            }
        };
        let wrong = check::check(&assembled.program, &self.image.machine.program_limits());
        for error in &wrong {
            let span = error.instruction.and_then(|at| assembled.spans.get(at).copied());
            let message = match span {
                Some(_) => error.message.clone(),
                None => error.to_string(),
            };
            self.errors.push(Diagnostic::new(span.unwrap_or(def.name.span), message));
        }
        wrong.is_empty().then_some(assembled)
    }

    /// Does something with a scope that has no names but those defined for good.
    pub(super) fn apart<T>(&mut self, act: impl FnOnce(&mut Scope) -> T) -> T {
        let hidden = self.scope.hide();
        let done = act(&mut self.scope);
        self.scope.restore(hidden);
        done
    }

    fn add_program(&mut self, assembled: &Assembled) -> ProgramId {
        let id = ProgramId(self.image.programs.len() as u32);
        self.programs.known.entry(hash(&assembled.program)).or_default().push(id);
        self.programs.code.push(assembled.spans.clone());
        self.image.programs.push(assembled.program.clone());
        id
    }

    fn intern_program(&mut self, assembled: &Assembled) -> ProgramId {
        let program = &assembled.program;
        let alike = self.programs.known.get(&hash(program)).into_iter().flatten();
        let programs = &self.image.programs;
        let equal = alike.copied().find(|id| programs[id.0 as usize] == *program);
        equal.unwrap_or_else(|| self.add_program(assembled))
    }
}

/// Adds what to do where a program asks for its place on the wafer.
fn same_on_all_tiles(error: Diagnostic) -> Diagnostic {
    let asks = |name: &&str| error.message == Scope::unknown_message(name);
    match super::tiles::NAMES.into_iter().find(asks) {
        Some(name) => {
            let cure = format!("give the program a parameter, and place it with `{name}` for it");
            error.cure(cure)
        }
        None => error,
    }
}

fn hash(program: &Program) -> u64 {
    let mut hasher = DefaultHasher::new();
    program.hash(&mut hasher);
    hasher.finish()
}
