//! What stands on tiles: programs, registers, SRAM.

use super::super::ast::{PlaceDef, Rect, TileStatement};
use super::programs::Instance;
use super::{Elaborator, Step};
use crate::geometry::PeIdx;
use crate::image::Segment;
use pe_isa::asm::ast::Values;
use pe_isa::asm::cursor::Name;
use pe_isa::asm::spelling::nearest;
use pe_isa::asm::{Diagnostic, Expr, Region, Scope, Span, Value};
use pe_isa::{DType, Reg};

/// Names that expressions about a tile see besides, in the order of their values: its place on the
/// wafer; its place in the rectangle, the rectangle's size; whether it is the first or the last.
pub(super) const NAMES: [&str; 8] = ["x", "y", "col", "row", "cols", "rows", "first", "last"];

/// Names of the indices of a region's elements, outermost first.
const INDICES: [&str; 4] = ["i", "j", "k", "l"];

impl Elaborator {
    /// Does something for each tile of a rectangle, row by row, with [`NAMES`] entered.
    pub(super) fn each_tile(
        &mut self,
        rect: &Rect,
        mut act: impl FnMut(&mut Elaborator, PeIdx) -> Step<()>,
    ) -> Step<()> {
        let (x0, x1, dx) = self.range(&rect.x)?;
        let (y0, y1, dy) = self.range(&rect.y)?;
        let count = |from: i64, to: i64, step: i64| {
            if to > from { (to.saturating_sub(from) - 1) / step + 1 } else { 0 }
        };
        let (cols, rows) = (count(x0, x1, dx), count(y0, y1, dy));
        if cols == 0 || rows == 0 {
            return Ok(());
        }
        self.tile(x0, y0, rect.span)?;
        let end = |from: i64, n: i64, step: i64| from.saturating_add((n - 1).saturating_mul(step));
        self.tile(end(x0, cols, dx), end(y0, rows, dy), rect.span)?;
        let level = self.scope.level();
        NAMES.iter().for_each(|name| self.scope.enter(name, Value::Int(0)));
        let mut done = Ok(());
        for at in 0..cols * rows {
            let (col, row) = (at % cols, at / cols);
            let (x, y) = (x0 + col * dx, y0 + row * dy);
            let (first, last) = (i64::from(at == 0), i64::from(at + 1 == cols * rows));
            for (k, value) in [x, y, col, row, cols, rows, first, last].into_iter().enumerate() {
                self.scope.change(NAMES.len() - 1 - k, Value::Int(value));
            }
            done = self.scope.burn(1, rect.span);
            done = done.and_then(|()| self.tile(x, y, rect.span)).and_then(|t| act(self, t));
            if done.is_err() {
                break;
            }
        }
        self.scope.leave(level);
        done
    }

    pub(super) fn place(&mut self, def: &PlaceDef) -> Step<()> {
        let routes = def.routes.as_ref().map(|name| self.route_set(name)).transpose()?;
        let usable = i64::from(self.image.machine.usable_bytes());
        self.each_tile(&def.rect, |e, tile| {
            let mut sram = 0;
            if let Some((name, arguments)) = &def.program {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(e.scope.eval(argument)?);
                }
                let Some(instance) = e.instance(name, &values)? else {
                    e.is_misplaced = true;
                    return Ok(());
                };
                e.vacant(tile, def.rect.span)?;
                e.image.tiles[tile.0 as usize].program = Some(instance.id);
                sram = instance.assembled.sram_bytes;
                e.programs.put(tile, instance.clone());
                e.first_values(tile, &instance)?;
            }
            if let Some(bytes) = &def.sram {
                sram = e.scope.within(bytes, "SRAM in bytes", 0, usable)? as u32;
            }
            let at = &mut e.image.tiles[tile.0 as usize];
            at.sram_bytes = at.sram_bytes.max(sram);
            if let Some(set) = routes {
                at.routes = Some(set);
            }
            def.body.iter().try_for_each(|s| e.tile_statement(tile, s))
        })
    }

    pub(super) fn at(&mut self, rect: &Rect, body: &[TileStatement]) -> Step<()> {
        self.each_tile(rect, |e, tile| body.iter().try_for_each(|s| e.tile_statement(tile, s)))
    }

    fn vacant(&self, tile: PeIdx, span: Span) -> Step<()> {
        if self.image.tile(tile).program.is_none() {
            return Ok(());
        }
        let message = format!("tile {} has a program already", self.image.coord(tile));
        Err(Diagnostic::new(span, message)
            .cure("a PE runs one program; do two rectangles overlap?"))
    }

    fn tile_statement(&mut self, tile: PeIdx, statement: &TileStatement) -> Step<()> {
        match statement {
            TileStatement::Set(name, value) => {
                let reg = self.tile_register(tile, name)?;
                let value = self.scope.eval(value).and_then(|v| {
                    let dtype = if matches!(v, Value::Float(_)) { DType::F32 } else { DType::U32 };
                    v.bits(dtype).ok_or_else(|| {
                        Diagnostic::new(value.span, format!("{} is no 32-bit word", v.float()))
                    })
                })?;
                self.image.tiles[tile.0 as usize].params.push((reg, value));
                Ok(())
            }
            TileStatement::Data(name, values) => {
                let (instance, region) = self.region(tile, name)?;
                self.fill(tile, &instance, &region, values, name.span)
            }
            TileStatement::Words(address, text) => {
                let most = i64::from(self.image.machine.usable_bytes());
                let address = self.scope.within(address, "the address", 0, most)? as u32;
                let words = self.words(text)?;
                let data = &mut self.image.tiles[tile.0 as usize].data;
                data.push(Segment { address, words });
                Ok(())
            }
        }
    }

    fn tile_register(&self, tile: PeIdx, name: &Name) -> Step<Reg> {
        let number = name.text.strip_prefix('r').and_then(|n| n.parse().ok()).map(Reg);
        let instance = self.programs.on(tile);
        let named = instance.and_then(|i| i.assembled.registers.get(&name.text).copied());
        named.or(number).ok_or_else(|| {
            let at = self.image.coord(tile);
            let message = format!("`{}` is no register of the program on tile {at}", name.text);
            Diagnostic::new(name.span, message)
        })
    }

    /// The region of that name on a tile, with the program that declares it.
    pub(super) fn region(&self, tile: PeIdx, name: &Name) -> Step<(std::rc::Rc<Instance>, Region)> {
        let at = self.image.coord(tile);
        let Some(instance) = self.programs.on(tile) else {
            return Err(Diagnostic::new(name.span, format!("no program is placed on tile {at}"))
                .cure("name a tile that has one, or `place` one there"));
        };
        let regions = &instance.assembled.regions;
        let Some(region) = regions.get(&name.text).cloned() else {
            let near = nearest(&name.text, regions.keys().map(String::as_str));
            let all = || regions.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>();
            let cure = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None if regions.is_empty() => {
                    "it has none at all; declare one with `mem`".to_string()
                }
                None => format!("it has {}", all().join(", ")),
            };
            let message = format!("the program on tile {at} has no region `{}`", name.text);
            return Err(Diagnostic::new(name.span, message).cure(cure));
        };
        Ok((instance, region))
    }

    /// The elements that a program's regions are declared with.
    fn first_values(&mut self, tile: PeIdx, instance: &std::rc::Rc<Instance>) -> Step<()> {
        for region in instance.assembled.regions.values() {
            if let Some(values) = &region.values {
                self.fill(tile, instance, region, values, region.span)?;
            }
        }
        Ok(())
    }

    fn fill(
        &mut self,
        tile: PeIdx,
        instance: &Instance,
        region: &Region,
        values: &Values,
        span: Span,
    ) -> Step<()> {
        if !region.address.is_multiple_of(4) {
            let message = format!("the region begins at {}", region.address);
            return Err(Diagnostic::new(span, message)
                .cure("initial values need an address that is a multiple of 4"));
        }
        let elements = self.region_values(instance, region, values, span)?;
        let words = match region.dtype.bytes() {
            2 => elements.chunks(2).map(|p| p[0] | p.get(1).unwrap_or(&0) << 16).collect(),
            _ => elements,
        };
        let data = &mut self.image.tiles[tile.0 as usize].data;
        data.push(Segment { address: region.address, words });
        Ok(())
    }

    /// Bits of a region's elements, with the program's parameters and the indices entered.
    pub(super) fn region_values(
        &mut self,
        instance: &Instance,
        region: &Region,
        values: &Values,
        span: Span,
    ) -> Step<Vec<u32>> {
        let level = self.scope.level();
        for (name, value) in &instance.arguments {
            self.scope.enter(name, *value);
        }
        let elements = elements(&mut self.scope, values, region.dtype, &region.extents, span);
        self.scope.leave(level);
        elements
    }

    /// Hexadecimal words, `word*count` for runs.
    fn words(&mut self, text: &Name) -> Step<Vec<u32>> {
        let most = self.image.machine.usable_bytes() as usize / 4;
        let mut words = Vec::new();
        for part in text.text.split_ascii_whitespace() {
            let (word, count) = part.split_once('*').unwrap_or((part, "1"));
            let parsed = (u32::from_str_radix(word, 16).ok(), count.parse::<usize>().ok());
            let (Some(word), Some(count)) = parsed else {
                let message = format!("`{}` is no word", part.escape_default());
                return Err(Diagnostic::new(text.span, message)
                    .cure("write hexadecimal words, `word*count` for runs"));
            };
            if count > most - words.len() {
                let message = format!("these are more words than a PE has, {most}");
                return Err(Diagnostic::new(text.span, message));
            }
            // Words that the text holds one by one are paid for by its length.
            self.scope.burn((count as u64).saturating_sub(1), text.span)?;
            words.extend(std::iter::repeat_n(word, count));
        }
        Ok(words)
    }
}

/// Bits of elements. [`INDICES`] are entered for one expression over all; a list may be shorter than
/// the extents say.
pub(super) fn elements(
    scope: &mut Scope,
    values: &Values,
    dtype: DType,
    extents: &[u32],
    span: Span,
) -> Step<Vec<u32>> {
    let count: u64 = extents.iter().map(|&n| u64::from(n)).product();
    match values {
        Values::List(list) => {
            if list.len() as u64 > count {
                let message = format!("{} values for {count} elements", list.len());
                return Err(Diagnostic::new(span, message));
            }
            list.iter().map(|e| scope.bits(e, dtype)).collect()
        }
        Values::Each(expr) => {
            scope.burn(count, span)?;
            let level = scope.level();
            INDICES[..extents.len()].iter().for_each(|name| scope.enter(name, Value::Int(0)));
            let all: Step<Vec<u32>> =
                (0..count).map(|at| indexed(scope, expr, dtype, extents, at)).collect();
            scope.leave(level);
            all.map_err(|error| with_indices(error, extents.len()))
        }
    }
}

/// Adds which indices there are where another one is asked for.
fn with_indices(error: Diagnostic, rank: usize) -> Diagnostic {
    if !INDICES[rank..].iter().any(|name| error.message == Scope::unknown_message(name)) {
        return error;
    }
    let known = INDICES[..rank].join(", ");
    error.cure(format!("indices count the extents; here there is no other than {known}"))
}

fn indexed(scope: &mut Scope, expr: &Expr, dtype: DType, extents: &[u32], at: u64) -> Step<u32> {
    let mut rest = at;
    for (back, &n) in extents.iter().rev().enumerate() {
        scope.change(back, Value::Int((rest % u64::from(n)) as i64));
        rest /= u64::from(n);
    }
    scope.bits(expr, dtype)
}
