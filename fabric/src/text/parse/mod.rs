//! The parser of the statements around programs.

mod ends;

use super::ast::{Hop, Item, ItemKind, PlaceDef, Point, Range, Rect, RouteDef, TileStatement};
use ends::{expect, host, send, stop};
use pe_isa::asm::Expr;
use pe_isa::asm::cursor::{Cursor, Parsed};
use pe_isa::asm::lexer::Kind;
use pe_isa::asm::parse::{dtype, program, values};
use pe_isa::asm::spelling::nearest;
use std::rc::Rc;

/// Words that begin a statement.
const WORDS: [&str; 20] = [
    "param",
    "let",
    "color",
    "program",
    "routes",
    "place",
    "at",
    "route",
    "path",
    "broadcast",
    "for",
    "if",
    "host",
    "send",
    "stop",
    "result",
    "expect",
    "stage",
    "probe",
    "machine",
];

/// Reads all statements; mistakes are written down in the cursor.
pub(super) fn items(cursor: &mut Cursor) -> Vec<Item> {
    let mut all = Vec::new();
    loop {
        cursor.skip_newlines();
        if cursor.at_end() {
            return all;
        }
        if cursor.sees("}") {
            let error = cursor.wanted("a statement");
            cursor.report(error.cure("there is no block open"));
            cursor.bump();
            continue;
        }
        if let Err(error) = item(cursor, &mut all) {
            cursor.recover(error);
        }
    }
}

fn item(cursor: &mut Cursor, all: &mut Vec<Item>) -> Parsed<()> {
    let start = cursor.span();
    let word = cursor.name("a statement")?;
    let is_block = matches!(word.text.as_str(), "if" | "for");
    let kind = match word.text.as_str() {
        "machine" => ItemKind::Machine(cursor.text("the machine file")?),
        "param" => ItemKind::Param(cursor.list(|c| {
            let name = c.name("the parameter's name")?;
            c.expect("=")?;
            Ok((name, Expr::parse(c)?))
        })?),
        "let" => definition(cursor)?,
        "color" => ItemKind::Color(cursor.list(|c| {
            let name = c.name("the color's name")?;
            let number = if c.eat("=") { Some(Expr::parse(c)?) } else { None };
            Ok((name, number))
        })?),
        "program" => ItemKind::Program(Rc::new(program(cursor)?)),
        "routes" => {
            let name = cursor.name("the name of the routes")?;
            ItemKind::Routes(name, cursor.block(route_line)?)
        }
        "place" => ItemKind::Place(place(cursor)?),
        "at" => ItemKind::At(rect(cursor)?, cursor.block(tile_statement)?),
        "route" => {
            let route = route(cursor)?;
            cursor.expect_word("at")?;
            ItemKind::Route(route, rect(cursor)?)
        }
        "path" | "broadcast" => path(cursor, word.text == "broadcast")?,
        "for" => {
            let index = cursor.name("the index")?;
            cursor.expect_word("in")?;
            ItemKind::For(index, range(cursor)?, cursor.block(item)?)
        }
        "if" => condition(cursor)?,
        "host" => host(cursor)?,
        "send" => ItemKind::Send(send(cursor)?),
        "stop" => ItemKind::Stop(stop(cursor)?),
        "result" => {
            let name = cursor.name("a region")?;
            cursor.expect_word("at")?;
            ItemKind::Result(name, rect(cursor)?)
        }
        "expect" => expect(cursor)?,
        "stage" => stage(cursor)?,
        "probe" => probe(cursor)?,
        other => {
            let near = nearest(other, WORDS).map(|n| format!("did you mean `{n}`?"));
            let message = format!("`{other}` begins no statement");
            let error = pe_isa::asm::Diagnostic::new(word.span, message);
            return Err(error.cure(near.unwrap_or_default()));
        }
    };
    all.push(Item { kind, span: start.to(cursor.last_span()) });
    if is_block { Ok(()) } else { cursor.end_statement() }
}

fn definition(cursor: &mut Cursor) -> Parsed<ItemKind> {
    let name = cursor.name("the constant's name")?;
    let mut parameters = None;
    if cursor.eat("(") {
        parameters = Some(cursor.list(|c| c.name("a parameter"))?);
        cursor.expect(")")?;
    }
    cursor.expect("=")?;
    Ok(ItemKind::Let(name, parameters, Expr::parse(cursor)?))
}

fn condition(cursor: &mut Cursor) -> Parsed<ItemKind> {
    let nested = |c: &mut Cursor| {
        let span = c.span();
        c.expect_word("if")?;
        Ok(Item { kind: condition(c)?, span })
    };
    let (test, yes, no) = cursor.conditional(item, nested)?;
    Ok(ItemKind::If(test, yes, no))
}

fn range(cursor: &mut Cursor) -> Parsed<Range> {
    let from = Expr::parse(cursor)?;
    let to = if cursor.eat("..") { Some(Expr::parse(cursor)?) } else { None };
    let step =
        if to.is_some() && cursor.eat_word("step") { Some(Expr::parse(cursor)?) } else { None };
    Ok(Range { from, to, step })
}

fn rect(cursor: &mut Cursor) -> Parsed<Rect> {
    let start = cursor.expect("(")?;
    let x = range(cursor)?;
    cursor.expect(",")?;
    let y = range(cursor)?;
    let span = start.to(cursor.expect(")")?);
    Ok(Rect { x, y, span })
}

fn point(cursor: &mut Cursor) -> Parsed<Point> {
    let start = cursor.expect("(")?;
    let x = Expr::parse(cursor)?;
    cursor.expect(",")?;
    let y = Expr::parse(cursor)?;
    let span = start.to(cursor.expect(")")?);
    Ok(Point { x, y, span })
}

fn route_line(cursor: &mut Cursor, all: &mut Vec<RouteDef>) -> Parsed<()> {
    all.push(route(cursor)?);
    cursor.end_statement()
}

fn route(cursor: &mut Cursor) -> Parsed<RouteDef> {
    let color = Expr::parse(cursor)?;
    cursor.expect(":")?;
    let mut hops = Vec::new();
    loop {
        let rx = cursor.name("the port that it comes from: N, E, S, W or R")?;
        cursor.expect("->")?;
        let mut tx = vec![cursor.name("the ports that it goes to: N, E, S, W, R")?];
        while matches!(cursor.peek(), Kind::Word(w) if *w != "at") {
            tx.push(cursor.name("a port")?);
        }
        hops.push(Hop { rx, tx });
        if !cursor.eat("|") {
            return Ok(RouteDef { color, hops });
        }
    }
}

fn path(cursor: &mut Cursor, broadcast: bool) -> Parsed<ItemKind> {
    let color = Expr::parse(cursor)?;
    cursor.expect(":")?;
    let mut points = vec![point(cursor)?];
    cursor.expect("->")?;
    points.push(point(cursor)?);
    while cursor.eat("->") {
        points.push(point(cursor)?);
    }
    Ok(ItemKind::Path { color, points, broadcast })
}

fn place(cursor: &mut Cursor) -> Parsed<PlaceDef> {
    let mut program = None;
    if !cursor.eat_word("none") {
        let name = cursor.name("a program, or `none`")?;
        let mut arguments = Vec::new();
        if cursor.eat("(") {
            if !cursor.sees(")") {
                arguments = cursor.list(Expr::parse)?;
            }
            cursor.expect(")")?;
        }
        program = Some((name, arguments));
    }
    cursor.expect_word("at")?;
    let rect = rect(cursor)?;
    let routes =
        if cursor.eat_word("routes") { Some(cursor.name("the name of routes")?) } else { None };
    let sram = if cursor.eat_word("sram") { Some(Expr::parse(cursor)?) } else { None };
    let body = if cursor.sees("{") { cursor.block(tile_statement)? } else { Vec::new() };
    Ok(PlaceDef { program, rect, routes, sram, body })
}

fn tile_statement(cursor: &mut Cursor, all: &mut Vec<TileStatement>) -> Parsed<()> {
    if cursor.eat_word("set") {
        all.extend(cursor.list(|c| {
            let name = c.name("a register")?;
            c.expect("=")?;
            Ok(TileStatement::Set(name, Expr::parse(c)?))
        })?);
    } else if cursor.eat_word("data") {
        let name = cursor.name("a region")?;
        cursor.expect("=")?;
        all.push(TileStatement::Data(name, values(cursor)?));
    } else if cursor.eat_word("words") {
        let address = Expr::parse(cursor)?;
        all.push(TileStatement::Words(address, cursor.text("hexadecimal words")?));
    } else {
        return Err(cursor.wanted("`set`, `data` or `words`"));
    }
    cursor.end_statement()
}

fn stage(cursor: &mut Cursor) -> Parsed<ItemKind> {
    let name = cursor.text("the stage's name")?;
    cursor.expect_word("at")?;
    let at = point(cursor)?;
    cursor.expect_word("size")?;
    let width = Expr::parse(cursor)?;
    cursor.expect(",")?;
    Ok(ItemKind::Stage(name, at, [width, Expr::parse(cursor)?]))
}

fn probe(cursor: &mut Cursor) -> Parsed<ItemKind> {
    let name = cursor.text("the probe's name")?;
    cursor.expect(":")?;
    let dtype = dtype(cursor)?;
    let mut parts = Vec::new();
    if cursor.eat("=") {
        parts = cursor.list(|c| {
            let at = point(c)?;
            let address = Expr::parse(c)?;
            Ok((at, address, Expr::parse(c)?))
        })?;
    }
    Ok(ItemKind::Probe(name, dtype, parts))
}
