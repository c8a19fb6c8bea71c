//! What is shown and expected of a run; stages and probes.

use super::super::ast::{ExpectDef, Point, Rect};
use super::super::kernel::{Ending, Expect, Place};
use super::{Elaborator, Step};
use crate::image::{Probe, StageInfo};
use pe_isa::DType;
use pe_isa::asm::cursor::Name;
use pe_isa::asm::{Diagnostic, Expr, Span, Value};

impl Elaborator {
    pub(super) fn result(&mut self, name: &Name, rect: &Rect) -> Step<()> {
        self.each_tile(rect, |e, tile| {
            let (_, region) = e.region(tile, name)?;
            let (address, dtype) = (region.address, region.dtype);
            let name = name.text.clone();
            e.results.push(Place { tile, name, address, dtype, extents: region.extents });
            Ok(())
        })
    }

    pub(super) fn expect(
        &mut self,
        def: &ExpectDef,
        within: Option<&Expr>,
        span: Span,
    ) -> Step<()> {
        let within = match within {
            Some(expr) => {
                let value = self.scope.eval(expr)?.float();
                if value.is_nan() || value < 0.0 {
                    return Err(Diagnostic::new(expr.span, "this must be 0 or more"));
                }
                value
            }
            None => 0.0,
        };
        match def {
            ExpectDef::Stop(name) => {
                let found = Ending::ALL.iter().find(|(_, n)| *n == name.text);
                let (ending, _) = found.ok_or_else(|| {
                    Diagnostic::new(name.span, format!("`{}` is no ending", name.text))
                        .cure("endings are finished, deadlock, trap, stopped, limit")
                })?;
                self.ending = Some((*ending, span));
            }
            ExpectDef::Cycles(expr) => {
                let value = self.scope.within(expr, "the cycle", 0, i64::MAX)? as u64;
                self.expects.push((Expect::Cycles { value, within: within as u64 }, Some(span)));
            }
            ExpectDef::Host(name, dtype, count, values) => {
                let port = self.host_port(false, name)?;
                let values = self.payloads(name, *dtype, count, values)?;
                let dtype = *dtype;
                self.expects.push((Expect::Host { port, dtype, values, within }, Some(span)));
            }
            ExpectDef::Memory(name, rect, values) => self.each_tile(rect, |e, tile| {
                let (instance, region) = e.region(tile, name)?;
                let values = e.region_values(&instance, &region, values, name.span)?;
                let (address, dtype, extents) = (region.address, region.dtype, region.extents);
                let place = Place { tile, name: name.text.clone(), address, dtype, extents };
                e.expects.push((Expect::Memory { place, values, within }, Some(span)));
                Ok(())
            })?,
        }
        Ok(())
    }

    fn word(&mut self, expr: &Expr) -> Step<u32> {
        let value = self.scope.eval(expr)?;
        let bits = if matches!(value, Value::Int(0..)) { value.bits(DType::U32) } else { None };
        bits.ok_or_else(|| {
            let message = format!("{} is no unsigned 32-bit integer", value.float());
            Diagnostic::new(expr.span, message)
        })
    }

    pub(super) fn stage(&mut self, name: &Name, at: &Point, size: &[Expr; 2]) -> Step<()> {
        let origin = self.point(at)?;
        let (width, height) = (self.word(&size[0])?, self.word(&size[1])?);
        self.image.stages.push(StageInfo { name: name.text.clone(), origin, width, height });
        Ok(())
    }

    pub(super) fn probe(
        &mut self,
        name: &Name,
        dtype: DType,
        parts: &[(Point, Expr, Expr)],
    ) -> Step<()> {
        let mut found = Vec::with_capacity(parts.len());
        for (at, address, count) in parts {
            let at = self.point(at)?;
            found.push((self.image.index(at), self.word(address)?, self.word(count)?));
        }
        self.image.probes.push(Probe { name: name.text.clone(), dtype, parts: found });
        Ok(())
    }
}
