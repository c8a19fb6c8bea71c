//! The parser of a program's body.

use super::ast::{
    DsdDef, Form, Line, Mem, ProgramDef, QueueRef, Statement, Target, TaskDef, TaskSource, Values,
    Written,
};
use super::cursor::{Cursor, Name, Parsed};
use super::diagnostic::Diagnostic;
use super::expr::Expr;
use super::lexer::Kind;
use crate::DType;

/// Reads `NAME(parameters) { … }`, behind the word `program`.
///
/// # Errors
/// When name, parameters or block are malformed. Mistakes within the block are in the cursor.
pub fn program(cursor: &mut Cursor) -> Parsed<ProgramDef> {
    let name = cursor.name("the program's name")?;
    let mut parameters = Vec::new();
    if cursor.eat("(") {
        if !cursor.sees(")") {
            parameters = cursor.list(|c| c.name("a parameter"))?;
        }
        cursor.expect(")")?;
    }
    let body = cursor.block(statement)?;
    Ok(ProgramDef { name, parameters, body })
}

/// Reads the name of a type.
///
/// # Errors
/// When there is none here.
pub fn dtype(cursor: &mut Cursor) -> Parsed<DType> {
    let name = cursor.name("a type")?;
    dtype_named(&name.text).ok_or_else(|| {
        Diagnostic::new(name.span, format!("`{}` is no type", name.text))
            .cure("types are f16, bf16, f32, u32")
    })
}

fn dtype_named(name: &str) -> Option<DType> {
    [DType::F16, DType::BF16, DType::F32, DType::U32].into_iter().find(|t| t.name() == name)
}

/// Reads the elements of a region, behind `=`.
///
/// # Errors
/// Malformed expressions.
pub fn values(cursor: &mut Cursor) -> Parsed<Values> {
    if !cursor.eat("[") {
        return Ok(Values::Each(Expr::parse(cursor)?));
    }
    let list = if cursor.sees("]") { Vec::new() } else { cursor.list(Expr::parse)? };
    cursor.expect("]")?;
    Ok(Values::List(list))
}

fn statement(cursor: &mut Cursor, body: &mut Vec<Statement>) -> Parsed<()> {
    if matches!(cursor.peek(), Kind::Word(_)) && matches!(cursor.ahead(1), Kind::Mark(":")) {
        body.push(Statement::Label(cursor.name("a label")?));
        return cursor.expect(":").map(drop);
    }
    let word = cursor.name("an instruction or a declaration")?;
    let statement = match word.text.as_str() {
        "in" | "out" => {
            let colors = cursor
                .list(|c| if c.eat_word("none") { Ok(None) } else { Expr::parse(c).map(Some) })?;
            Statement::Queues { inward: word.text == "in", colors }
        }
        "reg" => loop {
            let name = cursor.name("the register's name")?;
            let is = if cursor.eat("=") { Some(cursor.name("a register")?) } else { None };
            let reg = Statement::Reg(name, is);
            if !cursor.eat(",") {
                break reg;
            }
            body.push(reg);
        },
        "mem" => Statement::Mem(mem(cursor)?),
        "dsd" => Statement::Dsd(dsd(cursor)?),
        "shape" => {
            let name = cursor.name("the shape's name")?;
            cursor.expect("=")?;
            cursor.expect("[")?;
            let extents = if cursor.sees("]") { Vec::new() } else { cursor.list(Expr::parse)? };
            cursor.expect("]")?;
            Statement::Shape(name, extents)
        }
        "sram" => Statement::Sram(Expr::parse(cursor)?),
        "task" => {
            body.push(Statement::Task(task(cursor)?));
            return Ok(());
        }
        "if" => {
            body.push(condition(cursor)?);
            return Ok(());
        }
        "program" | "place" | "route" | "path" => {
            let message = format!("`{}` cannot stand within a program", word.text);
            return Err(Diagnostic::new(word.span, message).cure("is a `}` missing before it?"));
        }
        _ => Statement::Instr(line(cursor, word)?),
    };
    body.push(statement);
    cursor.end_statement()
}

fn condition(cursor: &mut Cursor) -> Parsed<Statement> {
    let (test, yes, no) = cursor.conditional(statement, condition_statement)?;
    Ok(Statement::If(test, yes, no))
}

fn condition_statement(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.expect_word("if")?;
    condition(cursor)
}

fn mem(cursor: &mut Cursor) -> Parsed<Mem> {
    let name = cursor.name("the region's name")?;
    cursor.expect(":")?;
    let dtype = dtype(cursor)?;
    cursor.expect("[")?;
    let extents = cursor.list(Expr::parse)?;
    cursor.expect("]")?;
    let at = if cursor.eat_word("at") { Some(Expr::parse(cursor)?) } else { None };
    let values = if cursor.eat("=") { Some(values(cursor)?) } else { None };
    Ok(Mem { name, dtype, extents, at, values })
}

fn dsd(cursor: &mut Cursor) -> Parsed<DsdDef> {
    let name = cursor.name("the descriptor's name")?;
    cursor.expect(":")?;
    let dtype = dtype(cursor)?;
    cursor.expect_word("at")?;
    let base = Expr::parse(cursor)?;
    let strides = if cursor.eat_word("step") { cursor.list(Expr::parse)? } else { Vec::new() };
    let offset = if cursor.eat_word("offset") { Some(cursor.name("a register")?) } else { None };
    Ok(DsdDef { name, dtype, base, strides, offset })
}

fn queue(cursor: &mut Cursor) -> Parsed<QueueRef> {
    if cursor.eat("#") {
        return Ok(QueueRef::Number(Expr::parse(cursor)?));
    }
    Ok(QueueRef::Color(Expr::parse(cursor)?))
}

fn target(cursor: &mut Cursor, what: &str) -> Parsed<Target> {
    if cursor.eat("#") {
        return Ok(Target::Number(Expr::parse(cursor)?));
    }
    Ok(Target::Label(cursor.name(what)?))
}

fn task(cursor: &mut Cursor) -> Parsed<TaskDef> {
    let name = cursor.name("the task's name")?;
    let mut task = TaskDef {
        name,
        source: TaskSource::Local,
        priority: None,
        activated: false,
        blocked: false,
        entry: None,
    };
    loop {
        if cursor.eat(":") {
            return Ok(task);
        }
        if cursor.eat_word("at") {
            task.entry = Some(target(cursor, "a label")?);
            cursor.end_statement()?;
            return Ok(task);
        }
        match *cursor.peek() {
            Kind::Word("local") => cursor.bump(),
            Kind::Word("activated") => {
                task.activated = true;
                cursor.bump();
            }
            Kind::Word("blocked") => {
                task.blocked = true;
                cursor.bump();
            }
            Kind::Word("priority") => {
                cursor.bump();
                task.priority = Some(Expr::parse(cursor)?);
            }
            Kind::Word(kind @ ("data" | "control")) => {
                cursor.bump();
                cursor.expect("(")?;
                let queue = queue(cursor)?;
                cursor.expect("->")?;
                let reg = cursor.name("a register")?;
                cursor.expect(")")?;
                let data = kind == "data";
                task.source = if data {
                    TaskSource::Data(queue, reg)
                } else {
                    TaskSource::Control(queue, reg)
                };
            }
            _ => {
                let what = "`:`, `activated`, `blocked`, `priority`, `data(…)` or `control(…)`";
                return Err(cursor.wanted(what));
            }
        }
    }
}

fn line(cursor: &mut Cursor, word: Name) -> Parsed<Line> {
    let (text, dtype) = match word.text.split_once('.') {
        None => (word.text.clone(), None),
        Some((name, suffix)) => {
            let dtype = dtype_named(suffix).ok_or_else(|| {
                Diagnostic::new(word.span, format!("`{suffix}` is no type"))
                    .cure("types are f16, bf16, f32, u32")
            })?;
            (name.to_string(), Some(dtype))
        }
    };
    let start = word.span;
    let name = Name { text, span: word.span };
    let ends = |c: &Cursor| matches!(c.peek(), Kind::Newline | Kind::End | Kind::Mark("}"));
    let mut operands = Vec::new();
    if !ends(cursor) && !cursor.sees_word("over") && !cursor.sees_word("async") {
        operands = cursor.list(operand)?;
    }
    let (mut over, mut over_list) = (None, false);
    if cursor.eat_word("over") {
        over_list = cursor.eat("[");
        over = Some(if over_list { cursor.list(Expr::parse)? } else { vec![Expr::parse(cursor)?] });
        if over_list {
            cursor.expect("]")?;
        }
    }
    let (mut microthread, mut done) = (None, None);
    if cursor.eat_word("async") {
        microthread = Some(Expr::parse(cursor)?);
        for (word, activates) in [("activate", true), ("unblock", false)] {
            if cursor.eat_word(word) {
                done = Some((activates, target(cursor, "a task")?));
                break;
            }
        }
    }
    let span = start.to(cursor.last_span());
    Ok(Line { name, dtype, operands, over, over_list, microthread, done, span })
}

fn operand(cursor: &mut Cursor) -> Parsed<Written> {
    let start = cursor.span();
    let form = match (cursor.peek(), cursor.ahead(1)) {
        (Kind::Word(word @ ("in" | "out" | "bits")), Kind::Mark("(")) => {
            let word = *word;
            cursor.bump();
            cursor.bump();
            let form = match word {
                "in" => Form::In(queue(cursor)?),
                "out" => Form::Out(queue(cursor)?),
                _ => Form::Bits(Expr::parse(cursor)?),
            };
            cursor.expect(")")?;
            form
        }
        (Kind::Mark("#"), _) => {
            cursor.bump();
            Form::Number(Expr::parse(cursor)?)
        }
        (Kind::Word(_), Kind::Mark("[" | "{")) => {
            let name = cursor.name("a region")?;
            let mut offset = None;
            if cursor.eat("[") {
                offset = Some(cursor.name("a register")?);
                cursor.expect("]")?;
            }
            let mut strides = None;
            if cursor.eat("{") {
                strides = Some(cursor.list(Expr::parse)?);
                cursor.expect("}")?;
            }
            Form::Mem { name, offset, strides }
        }
        _ => Form::Expr(Expr::parse(cursor)?),
    };
    let dtype = if cursor.eat(":") { Some(dtype(cursor)?) } else { None };
    Ok(Written { form, dtype, span: start.to(cursor.last_span()) })
}
