//! The statements that stand around programs, as they are written.

use pe_isa::DType;
use pe_isa::asm::ast::{ProgramDef, Values};
use pe_isa::asm::cursor::Name;
use pe_isa::asm::{Expr, Span};
use std::rc::Rc;

/// `from..to step by`, or one number.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// First.
    pub from: Expr,
    /// Behind the last; only `from` if not given.
    pub to: Option<Expr>,
    /// Distance; 1 if not given.
    pub step: Option<Expr>,
}

/// `(columns, rows)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rect {
    /// Columns.
    pub x: Range,
    /// Rows.
    pub y: Range,
    /// All of it.
    pub span: Span,
}

/// One tile, `(x, y)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Column.
    pub x: Expr,
    /// Row.
    pub y: Expr,
    /// All of it.
    pub span: Span,
}

/// `W -> ER`: letters of ports.
#[derive(Debug, Clone, PartialEq)]
pub struct Hop {
    /// The port that wavelets are taken from.
    pub rx: Name,
    /// The ports that they are sent to, one name or several.
    pub tx: Vec<Name>,
}

/// `color: hop | hop`: a route with its switch positions.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteDef {
    /// The color.
    pub color: Expr,
    /// Its positions.
    pub hops: Vec<Hop>,
}

/// What is said of tiles within `place … { }` and `at … { }`.
#[derive(Debug, Clone, PartialEq)]
pub enum TileStatement {
    /// `set r1 = value`: a register's value before cycle 0.
    Set(Name, Expr),
    /// `data region = values`.
    Data(Name, Values),
    /// `words address "…"`: SRAM in hexadecimal words, `word*count` for runs.
    Words(Expr, Name),
}

/// `place …`.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaceDef {
    /// The program and its arguments; `None` for `place none`.
    pub program: Option<(Name, Vec<Expr>)>,
    /// The tiles.
    pub rect: Rect,
    /// `routes s`: all routes of these tiles.
    pub routes: Option<Name>,
    /// `sram n`: bytes of SRAM.
    pub sram: Option<Expr>,
    /// What else is said of the tiles.
    pub body: Vec<TileStatement>,
}

/// `send …`.
#[derive(Debug, Clone, PartialEq)]
pub struct SendDef {
    /// The host port.
    pub port: Name,
    /// Type of the payloads.
    pub dtype: DType,
    /// Number of wavelets.
    pub count: Expr,
    /// Whether they are control wavelets.
    pub control: bool,
    /// Cycle of the first; 0 if not given.
    pub at: Option<Expr>,
    /// Cycles from one to the next; 0 if not given.
    pub every: Option<Expr>,
    /// The payloads.
    pub values: Values,
}

/// `[word] & mask = value, value`.
#[derive(Debug, Clone, PartialEq)]
pub struct TestDef {
    /// Which word of a message.
    pub word: Expr,
    /// The bits that are looked at; all if not given.
    pub mask: Option<Expr>,
    /// What they may be.
    pub values: Vec<Expr>,
}

/// `stop …`.
#[derive(Debug, Clone, PartialEq)]
pub struct StopDef {
    /// The host port.
    pub port: Name,
    /// Type of the payloads.
    pub dtype: DType,
    /// Words of a message.
    pub words: Expr,
    /// `if …`: which messages count.
    pub only: Option<TestDef>,
    /// How many are enough.
    pub after: Expr,
    /// `or …`: a message after which no other is waited for.
    pub last: Option<TestDef>,
}

/// `expect …`.
#[derive(Debug, Clone, PartialEq)]
pub enum ExpectDef {
    /// `expect stop = deadlock`.
    Stop(Name),
    /// `expect cycles = value`.
    Cycles(Expr),
    /// `expect region at rect = values`.
    Memory(Name, Box<Rect>, Values),
    /// `expect host port: f32[n] = values`.
    Host(Name, DType, Expr, Values),
}

/// One statement and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What it says.
    pub kind: ItemKind,
    /// All of it.
    pub span: Span,
}

/// What a statement says.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemKind {
    /// `machine """…"""`.
    Machine(Name),
    /// `param a = 1, b = 2`.
    Param(Vec<(Name, Expr)>),
    /// `let a = 1` or `let f(x) = …`.
    Let(Name, Option<Vec<Name>>, Expr),
    /// `color red, blue = 5`.
    Color(Vec<(Name, Option<Expr>)>),
    /// `program …`.
    Program(Rc<ProgramDef>),
    /// `routes name { … }`.
    Routes(Name, Vec<RouteDef>),
    /// `place …`.
    Place(PlaceDef),
    /// `at rect { … }`.
    At(Rect, Vec<TileStatement>),
    /// `route color: hops at rect`.
    Route(RouteDef, Rect),
    /// `path color: points` and `broadcast color: points`.
    Path {
        /// The color.
        color: Expr,
        /// Its corners, at least two.
        points: Vec<Point>,
        /// Whether every tile on the way receives too.
        broadcast: bool,
    },
    /// `for k in range { … }`.
    For(Name, Range, Vec<Item>),
    /// `if condition { … } else { … }`.
    If(Expr, Vec<Item>, Vec<Item>),
    /// `host in name: color at point W` and `host out …`.
    Host {
        /// Whether the host sends.
        inward: bool,
        /// Its name.
        name: Name,
        /// The color.
        color: Expr,
        /// The tile.
        at: Point,
        /// The side of the tile.
        port: Name,
    },
    /// `send …`.
    Send(SendDef),
    /// `stop …`.
    Stop(StopDef),
    /// `result region at rect`.
    Result(Name, Rect),
    /// `expect …` with `within`.
    Expect(ExpectDef, Option<Expr>),
    /// `stage "name" at point size width, height`.
    Stage(Name, Point, [Expr; 2]),
    /// `probe "name": f32 = point address count, …`.
    Probe(Name, DType, Vec<(Point, Expr, Expr)>),
}
