//! The parser of what stands at a run's ends: the host's ports and streams, and expectations.

use super::super::ast::{ExpectDef, ItemKind, SendDef, StopDef, TestDef};
use super::{point, rect};
use pe_isa::DType;
use pe_isa::asm::Expr;
use pe_isa::asm::cursor::{Cursor, Name, Parsed};
use pe_isa::asm::parse::{dtype, values};

pub(super) fn host(cursor: &mut Cursor) -> Parsed<ItemKind> {
    let inward = cursor.eat_word("in");
    if !inward {
        cursor.expect_word("out")?;
    }
    let name = cursor.name("the port's name")?;
    cursor.expect(":")?;
    let color = Expr::parse(cursor)?;
    cursor.expect_word("at")?;
    let at = point(cursor)?;
    let port = cursor.name("the side of the tile: N, E, S or W")?;
    Ok(ItemKind::Host { inward, name, color, at, port })
}

/// `name: f32[count]`.
fn stream(cursor: &mut Cursor) -> Parsed<(Name, DType, Expr)> {
    let port = cursor.name("a host port")?;
    cursor.expect(":")?;
    let dtype = dtype(cursor)?;
    cursor.expect("[")?;
    let count = Expr::parse(cursor)?;
    cursor.expect("]")?;
    Ok((port, dtype, count))
}

pub(super) fn send(cursor: &mut Cursor) -> Parsed<SendDef> {
    let (port, dtype, count) = stream(cursor)?;
    let control = cursor.eat_word("control");
    let at = if cursor.eat_word("at") { Some(Expr::parse(cursor)?) } else { None };
    let every = if cursor.eat_word("every") { Some(Expr::parse(cursor)?) } else { None };
    cursor.expect("=")?;
    let values = values(cursor)?;
    Ok(SendDef { port, dtype, count, control, at, every, values })
}

pub(super) fn stop(cursor: &mut Cursor) -> Parsed<StopDef> {
    let (port, dtype, words) = stream(cursor)?;
    let only = if cursor.eat_word("if") { Some(word_test(cursor)?) } else { None };
    cursor.expect_word("after")?;
    let after = Expr::parse(cursor)?;
    let last = if cursor.eat_word("or") { Some(word_test(cursor)?) } else { None };
    Ok(StopDef { port, dtype, words, only, after, last })
}

/// `[word] & mask = value, value`.
fn word_test(cursor: &mut Cursor) -> Parsed<TestDef> {
    cursor.expect("[")?;
    let word = Expr::parse(cursor)?;
    cursor.expect("]")?;
    let mask = if cursor.eat("&") { Some(Expr::parse(cursor)?) } else { None };
    cursor.expect("=")?;
    Ok(TestDef { word, mask, values: cursor.list(Expr::parse)? })
}

pub(super) fn expect(cursor: &mut Cursor) -> Parsed<ItemKind> {
    let def = if cursor.eat_word("stop") {
        cursor.expect("=")?;
        ExpectDef::Stop(cursor.name("finished, deadlock, trap, stopped or limit")?)
    } else if cursor.eat_word("cycles") {
        cursor.expect("=")?;
        ExpectDef::Cycles(Expr::parse(cursor)?)
    } else if cursor.eat_word("host") {
        let (port, dtype, count) = stream(cursor)?;
        cursor.expect("=")?;
        ExpectDef::Host(port, dtype, count, values(cursor)?)
    } else {
        let name = cursor.name("`cycles`, `stop`, `host` or a region")?;
        cursor.expect_word("at")?;
        let rect = rect(cursor)?;
        cursor.expect("=")?;
        ExpectDef::Memory(name, Box::new(rect), values(cursor)?)
    };
    let within = if cursor.eat_word("within") { Some(Expr::parse(cursor)?) } else { None };
    Ok(ItemKind::Expect(def, within))
}
