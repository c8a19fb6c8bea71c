//! Statements and a machine → [`Kernel`].

mod expects;
mod hosts;
mod machine;
mod params;
mod programs;
mod routes;
mod tiles;

use super::Mistakes;
use super::ast::{ExpectDef, Item, ItemKind, Point, Range};
use super::kernel::{Ending, Expect, Kernel, Place};
use crate::geometry::{PeCoord, PeIdx, Port};
use crate::host::HostPlan;
use crate::image::{RouteSetId, WaferImage};
use crate::machine::Machine;
use params::Override;
use pe_isa::asm::cursor::Name;
use pe_isa::asm::{Diagnostic, Expr, MOST_ERRORS, Scope, Span, Value};
use programs::Programs;
use routes::Routes;
use std::collections::BTreeMap;

type Step<T> = Result<T, Diagnostic>;

/// Steps of evaluation that any text may take: some seconds.
const FUEL: u64 = 1 << 26;

/// Steps that it may take besides for each tile of the machine.
const FUEL_PER_TILE: u64 = 1 << 10;

/// Steps that no text may exceed: a minute.
const MOST_FUEL: u64 = 1 << 30;

/// Makes a kernel of statements.
///
/// # Errors
/// All mistakes that can be told apart.
pub(super) fn kernel(
    items: &[Item],
    machine: &Machine,
    params: &[(String, Value)],
) -> Result<Kernel, Mistakes> {
    let (stated, items) = machine::stated(items).map_err(|e| Mistakes::of(vec![e]))?;
    let states_machine = stated.is_some();
    let machine = stated.unwrap_or_else(|| machine.clone());
    let tiles = machine.tiles();
    let mut scope = Scope::with_fuel((FUEL + FUEL_PER_TILE * tiles as u64).min(MOST_FUEL));
    machine::define(&machine, &mut scope);
    let mut elaborator = Elaborator {
        image: WaferImage::empty(machine),
        scope,
        overrides: params.iter().map(Override::new).collect(),
        params: Vec::new(),
        colors: Vec::new(),
        programs: Programs::new(tiles),
        is_misplaced: false,
        route_sets: BTreeMap::new(),
        routes: Routes::new(tiles),
        host_in: Vec::new(),
        host_out: Vec::new(),
        host: HostPlan::default(),
        results: Vec::new(),
        ending: None,
        expects: Vec::new(),
        errors: Vec::new(),
    };
    elaborator.items(items);
    elaborator.intern_routes();
    elaborator.finish(states_machine)
}

/// A kernel in the making.
struct Elaborator {
    image: WaferImage,
    scope: Scope,
    overrides: Vec<Override>,
    params: Vec<(String, Value)>,
    /// Numbers of the named colors.
    colors: Vec<i64>,
    programs: Programs,
    /// Whether some program could not be placed: what is said of its tiles cannot be judged.
    is_misplaced: bool,
    route_sets: BTreeMap<String, RouteSetId>,
    /// Routes that are stated one by one.
    routes: Routes,
    host_in: Vec<String>,
    host_out: Vec<String>,
    host: HostPlan,
    results: Vec<Place>,
    ending: Option<(Ending, Span)>,
    expects: Vec<(Expect, Option<Span>)>,
    errors: Vec<Diagnostic>,
}

impl Elaborator {
    fn finish(self, states_machine: bool) -> Result<Kernel, Mistakes> {
        let unknown = self.unknown_overrides();
        if !self.errors.is_empty() || !unknown.is_empty() {
            let notes = self.override_notes();
            return Err(Mistakes { unknown, list: self.errors, notes });
        }
        let mut host = self.host;
        host.sends.iter_mut().for_each(|words| words.sort_by_key(|w| w.cycle));
        let unsaid = Ending::unsaid(&host);
        Ok(Kernel {
            image: self.image,
            states_machine,
            params: self.params,
            host_in: self.host_in,
            host_out: self.host_out,
            host,
            code: self.programs.into_code(),
            results: self.results,
            ending: self.ending.map_or(unsaid, |(ending, _)| ending),
            ending_span: self.ending.map(|(_, span)| span),
            expects: self.expects,
        })
    }

    fn items(&mut self, items: &[Item]) {
        for item in items {
            if self.errors.len() >= MOST_ERRORS {
                return;
            }
            let step = self.scope.burn(1, item.span).and_then(|()| self.item(item));
            if let Err(error) = step {
                let of_tile = matches!(
                    item.kind,
                    ItemKind::At(..)
                        | ItemKind::Result(..)
                        | ItemKind::Expect(ExpectDef::Memory(..), _)
                        | ItemKind::Probe(..)
                );
                if !(of_tile && self.is_misplaced) {
                    self.errors.push(error);
                }
            }
        }
    }

    fn item(&mut self, item: &Item) -> Step<()> {
        match &item.kind {
            ItemKind::Machine(text) => Err(Diagnostic::new(text.span, "this stands too late")
                .cure("a machine is stated once, before everything else")),
            ItemKind::Param(all) => all.iter().try_for_each(|(n, e)| self.param(n, e)),
            ItemKind::Let(name, parameters, body) => {
                self.definition(name, parameters.as_deref(), body)
            }
            ItemKind::Color(all) => all.iter().try_for_each(|(n, e)| self.color(n, e.as_ref())),
            ItemKind::Program(def) => self.program(def),
            ItemKind::Routes(name, routes) => self.route_block(name, routes),
            ItemKind::Place(def) => {
                let placed = self.place(def);
                self.is_misplaced |= placed.is_err();
                placed
            }
            ItemKind::At(rect, body) => self.at(rect, body),
            ItemKind::Route(route, rect) => self.route(route, rect),
            ItemKind::Path { color, points, broadcast } => self.path(color, points, *broadcast),
            ItemKind::For(index, range, body) => self.repeat(index, range, body),
            ItemKind::If(test, yes, no) => {
                let holds = self.scope.eval(test)?.holds();
                self.items(if holds { yes } else { no });
                Ok(())
            }
            ItemKind::Host { inward, name, color, at, port } => {
                self.host(*inward, name, color, at, port)
            }
            ItemKind::Send(def) => self.send(def),
            ItemKind::Stop(def) => self.stop(def),
            ItemKind::Result(name, rect) => self.result(name, rect),
            ItemKind::Expect(def, within) => self.expect(def, within.as_ref(), item.span),
            ItemKind::Stage(name, at, size) => self.stage(name, at, size),
            ItemKind::Probe(name, dtype, parts) => self.probe(name, *dtype, parts),
        }
    }

    fn fresh(&self, name: &Name) -> Step<()> {
        if name.text.contains('.') {
            let message = format!("`{}` cannot name anything: it has a dot", name.text);
            return Err(Diagnostic::new(name.span, message));
        }
        if pe_isa::asm::spelling::is_reserved(&name.text)
            || tiles::NAMES.contains(&name.text.as_str())
        {
            let message = format!("`{}` has a meaning of its own", name.text);
            return Err(Diagnostic::new(name.span, message).cure("choose another name"));
        }
        if self.scope.is_defined(&name.text) || self.programs.is_defined(&name.text) {
            let message = format!("`{}` has a meaning already", name.text);
            return Err(Diagnostic::new(name.span, message).cure("choose another name"));
        }
        Ok(())
    }

    /// Gives a name its value; one that could not be found out is 1, so that the uses of the name
    /// are no further mistakes.
    fn define(&mut self, name: &Name, value: Step<Value>) -> Step<Value> {
        self.fresh(name)?;
        self.scope.define(&name.text, value.as_ref().copied().unwrap_or(Value::Int(1)));
        value
    }

    fn definition(&mut self, name: &Name, parameters: Option<&[Name]>, body: &Expr) -> Step<()> {
        let Some(parameters) = parameters else {
            let value = self.scope.eval(body);
            return self.define(name, value).map(drop);
        };
        self.fresh(name)?;
        let parameters = parameters.iter().map(|p| p.text.clone()).collect();
        self.scope.define_function(&name.text, parameters, body.clone());
        Ok(())
    }

    fn color(&mut self, name: &Name, number: Option<&Expr>) -> Step<()> {
        let most = i64::from(self.image.machine.fabric.colors) - 1;
        let number = match number {
            Some(expr) => self.scope.within(expr, "the color", 0, most),
            None => (0..=most).find(|c| !self.colors.contains(c)).ok_or_else(|| {
                let message = format!("the machine has no more than {} colors", most + 1);
                Diagnostic::new(name.span, message)
            }),
        };
        self.colors.extend(number.as_ref().ok());
        self.define(name, number.map(Value::Int)).map(drop)
    }

    fn repeat(&mut self, index: &Name, range: &Range, body: &[Item]) -> Step<()> {
        let (from, to, step) = self.range(range)?;
        let level = self.scope.level();
        self.scope.enter(&index.text, Value::Int(from));
        let mut k = from;
        while k < to && self.errors.is_empty() {
            if let Err(error) = self.scope.burn(1, index.span) {
                self.scope.leave(level);
                return Err(error);
            }
            self.scope.change(0, Value::Int(k));
            self.items(body);
            k = k.saturating_add(step);
        }
        self.scope.leave(level);
        Ok(())
    }

    /// First, behind the last, distance.
    fn range(&mut self, range: &Range) -> Step<(i64, i64, i64)> {
        let from = self.scope.int(&range.from)?;
        let to = match &range.to {
            Some(to) => self.scope.int(to)?,
            None => from.saturating_add(1),
        };
        let step = match &range.step {
            Some(step) => self.scope.within(step, "the step", 1, i64::from(u32::MAX))?,
            None => 1,
        };
        Ok((from, to, step))
    }

    fn point(&mut self, point: &Point) -> Step<PeCoord> {
        let (width, height) = (self.image.machine.width, self.image.machine.height);
        let x = self.scope.int(&point.x)?;
        let y = self.scope.int(&point.y)?;
        self.tile(x, y, point.span)
            .map(|_| PeCoord::new(x as u32, y as u32))
            .map_err(|e| e.cure(format!("the machine has {width} × {height} tiles")))
    }

    /// The tile in column `x`, row `y`.
    fn tile(&self, x: i64, y: i64, span: Span) -> Step<PeIdx> {
        let machine = &self.image.machine;
        let inside = (0..i64::from(machine.width)).contains(&x)
            && (0..i64::from(machine.height)).contains(&y);
        if !inside {
            let message = format!("tile ({x},{y}) is not on the wafer");
            let cure = format!("the machine has {} × {} tiles", machine.width, machine.height);
            return Err(Diagnostic::new(span, message).cure(cure));
        }
        Ok(self.image.index(PeCoord::new(x as u32, y as u32)))
    }
}

/// The ports that a word of letters names.
fn ports(name: &Name) -> Step<Vec<Port>> {
    let port = |letter| Port::ALL.into_iter().find(|p| p.letter() == letter);
    let found: Option<Vec<Port>> = name.text.chars().map(port).collect();
    found.ok_or_else(|| {
        Diagnostic::new(name.span, format!("`{}` is no port", name.text))
            .cure("ports are N, E, S, W and R, the ramp to the tile's own PE")
    })
}

fn one_port(name: &Name) -> Step<Port> {
    match ports(name)?[..] {
        [port] => Ok(port),
        _ => Err(Diagnostic::new(name.span, "this must be one port")),
    }
}
