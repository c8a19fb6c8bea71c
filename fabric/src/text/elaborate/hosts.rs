//! What the host sends and where it receives.

use super::super::ast::{Point, SendDef};
use super::super::kernel::HostWord;
use super::tiles::elements;
use super::{Elaborator, Step, one_port};
use crate::image::{HostIn, HostOut};
use pe_isa::asm::cursor::Name;
use pe_isa::asm::spelling::nearest;
use pe_isa::asm::{Diagnostic, Expr};
use pe_isa::{Color, Cycle, DType};

/// Latest cycle that a text may name.
const LATEST: i64 = 1 << 60;

impl Elaborator {
    pub(super) fn host(
        &mut self,
        inward: bool,
        name: &Name,
        color: &Expr,
        at: &Point,
        port: &Name,
    ) -> Step<()> {
        let names = if inward { &self.host_in } else { &self.host_out };
        if names.contains(&name.text) {
            let message = format!("there are two host ports `{}`", name.text);
            return Err(Diagnostic::new(name.span, message));
        }
        let color = Color(self.scope.within(color, "the color", 0, 255)? as u8);
        let at = self.point(at)?;
        let (tile, port) = (self.image.index(at), one_port(port)?);
        if inward {
            self.image.host_in.push(HostIn { tile, port, color });
            self.host_in.push(name.text.clone());
            self.sends.push(Vec::new());
        } else {
            self.image.host_out.push(HostOut { tile, port, color });
            self.host_out.push(name.text.clone());
        }
        Ok(())
    }

    pub(super) fn host_port(&self, inward: bool, name: &Name) -> Step<usize> {
        let (names, word) = if inward { (&self.host_in, "in") } else { (&self.host_out, "out") };
        names.iter().position(|n| *n == name.text).ok_or_else(|| {
            let near = nearest(&name.text, names.iter().map(String::as_str));
            let cure = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("declare it: `host {word} {}: color at (x, y) W`", name.text),
            };
            Diagnostic::new(name.span, format!("there is no `host {word} {}`", name.text))
                .cure(cure)
        })
    }

    /// Payloads of a stream of wavelets.
    pub(super) fn payloads(
        &mut self,
        name: &Name,
        dtype: DType,
        count: &Expr,
        values: &pe_isa::asm::ast::Values,
    ) -> Step<Vec<u32>> {
        if dtype.lanes() > 1 {
            return Err(Diagnostic::new(name.span, "payloads are f32 or u32"));
        }
        let count = self.scope.within(count, "the number of wavelets", 0, 1 << 26)?;
        elements(&mut self.scope, values, dtype, &[count as u32], name.span)
    }

    pub(super) fn send(&mut self, def: &SendDef) -> Step<()> {
        let port = self.host_port(true, &def.port)?;
        let mut cycle = |e: &Option<Expr>, what| match e {
            Some(e) => self.scope.within(e, what, 0, LATEST),
            None => Ok(0),
        };
        let start = cycle(&def.at, "the cycle")? as u64;
        let every = cycle(&def.every, "the distance in cycles")? as u64;
        let payloads = self.payloads(&def.port, def.dtype, &def.count, &def.values)?;
        let control = def.control;
        for (k, payload) in payloads.into_iter().enumerate() {
            let cycle = Cycle(start.saturating_add(every.saturating_mul(k as u64)));
            self.sends[port].push(HostWord { cycle, payload, control });
        }
        Ok(())
    }
}
