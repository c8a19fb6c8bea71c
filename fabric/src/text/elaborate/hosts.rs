//! What the host sends and where it receives.

use super::super::ast::{Point, SendDef, StopDef, TestDef};
use super::tiles::elements;
use super::{Elaborator, Step, one_port};
use crate::host::{HostStop, HostWord, WordTest};
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
            self.host.sends.push(Vec::new());
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
            self.host.sends[port].push(HostWord { cycle, payload, control });
        }
        Ok(())
    }

    pub(super) fn stop(&mut self, def: &StopDef) -> Step<()> {
        let port = self.host_port(false, &def.port)? as u32;
        if def.dtype.lanes() > 1 {
            return Err(Diagnostic::new(def.port.span, "payloads are f32 or u32"));
        }
        let words = self.scope.within(&def.words, "the number of words", 1, 1 << 16)?;
        let after = self.scope.within(&def.after, "the number of messages", 1, i64::MAX)? as u64;
        let mut test = |test: &Option<TestDef>| {
            test.as_ref().map(|test| self.word_test(test, def.dtype, words)).transpose()
        };
        let (only, last) = (test(&def.only)?, test(&def.last)?);
        self.host.stops.push(HostStop { port, words: words as u32, only, after, last });
        Ok(())
    }

    fn word_test(&mut self, def: &TestDef, dtype: DType, words: i64) -> Step<WordTest> {
        let word = self.scope.within(&def.word, "the word's number", 0, words - 1)? as u32;
        let mask = def.mask.as_ref().map(|mask| self.scope.bits(mask, DType::U32)).transpose()?;
        let values = def.values.iter().map(|v| self.scope.bits(v, dtype)).collect::<Step<_>>()?;
        Ok(WordTest { word, mask: mask.unwrap_or(u32::MAX), values })
    }
}
