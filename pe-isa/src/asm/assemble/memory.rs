//! Regions, descriptors and loop nests as they are declared.

use super::{Assembler, MOST, Region, Step};
use crate::asm::ast::{DsdDef, Mem};
use crate::asm::cursor::Name;
use crate::asm::diagnostic::{Diagnostic, Span};
use crate::asm::expr::Expr;
use crate::asm::value::Value;
use crate::{DType, Dsd, DsdId, Shape, ShapeId, Size};

impl Assembler<'_> {
    pub(super) fn region(&mut self, mem: &Mem, address: &mut u32) -> Step<()> {
        self.fresh(&mem.name)?;
        if mem.extents.len() > 4 {
            return Err(Diagnostic::new(mem.name.span, "a region has one to four extents"));
        }
        let mut extents = Vec::new();
        let mut bytes = u64::from(mem.dtype.bytes());
        let most = i64::from(self.sram_bytes);
        for extent in &mem.extents {
            let extent = self.scope.within(extent, "this extent", 0, most)?;
            extents.push(extent as u32);
            bytes = bytes.saturating_mul(extent as u64);
        }
        let start = match &mem.at {
            Some(at) => self.scope.within(at, "the address", 0, most)? as u32,
            None => address.next_multiple_of(4),
        };
        let end = u64::from(start).saturating_add(bytes);
        if end > u64::from(self.sram_bytes) {
            let over = end - u64::from(self.sram_bytes);
            let message = format!("`{}` ends {over} bytes beyond the SRAM", mem.name.text);
            let cure = format!("a PE has {} bytes for code and data", self.sram_bytes);
            return Err(Diagnostic::new(mem.name.span, message).cure(cure));
        }
        if !start.is_multiple_of(mem.dtype.bytes()) {
            let message = format!("address {start} is no multiple of the element's size");
            return Err(Diagnostic::new(mem.name.span, message));
        }
        *address = (end as u32).max(*address);
        self.scope.enter(&mem.name.text, Value::Int(i64::from(start)));
        let region = Region {
            address: start,
            dtype: mem.dtype,
            extents,
            values: mem.values.clone(),
            span: mem.name.span,
        };
        self.regions.insert(mem.name.text.clone(), region);
        Ok(())
    }

    /// Declares a malformed region all the same, so that its uses are no further mistakes.
    pub(super) fn pretend(&mut self, mem: &Mem) {
        let (extents, span) = (vec![1; mem.extents.len().clamp(1, 4)], mem.name.span);
        let region = Region { address: 0, dtype: mem.dtype, extents, values: None, span };
        self.scope.enter(&mem.name.text, Value::Int(0));
        self.regions.entry(mem.name.text.clone()).or_insert(region);
    }

    pub(super) fn dsd(&mut self, def: &DsdDef) -> Step<()> {
        self.fresh(&def.name)?;
        let base = self.scope.bits(&def.base, DType::U32)?;
        let strides = self.strides(&def.strides)?;
        let strides = if strides.is_empty() { vec![1] } else { strides };
        let offset = def.offset.as_ref().map(|r| self.reg(r)).transpose()?;
        let id = DsdId(self.program.dsds.len() as u16);
        self.program.dsds.push(Dsd { base, offset, strides, dtype: def.dtype });
        self.dsds.insert(def.name.text.clone(), id);
        self.room(self.program.dsds.len(), def.name.span)
    }

    pub(super) fn strides(&mut self, exprs: &[Expr]) -> Step<Vec<i32>> {
        let (low, high) = (i64::from(i32::MIN), i64::from(i32::MAX));
        let stride = |e| Ok(self.scope.within(e, "the stride", low, high)? as i32);
        exprs.iter().map(stride).collect()
    }

    pub(super) fn shape(&mut self, name: &Name, extents: &[Expr]) -> Step<()> {
        self.fresh(name)?;
        let extents = self.sizes(extents)?;
        let id = ShapeId(self.program.shapes.len() as u16);
        self.program.shapes.push(Shape { extents });
        self.shapes.insert(name.text.clone(), id);
        self.room(self.program.shapes.len(), name.span)
    }

    pub(super) fn sizes(&mut self, exprs: &[Expr]) -> Step<Vec<Size>> {
        let size = |e: &Expr| match e.as_name().and_then(|n| self.known_reg(n)) {
            Some(reg) => Ok(Size::Reg(reg)),
            None => Ok(Size::Imm(self.scope.bits(e, DType::U32)?)),
        };
        exprs.iter().map(size).collect()
    }

    pub(super) fn room(&self, count: usize, span: Span) -> Step<()> {
        let error = || Diagnostic::new(span, format!("more than {MOST} of a kind in one program"));
        if count > MOST { Err(error()) } else { Ok(()) }
    }
}
