//! The statements of a program, as they are written.

use super::cursor::Name;
use super::diagnostic::Span;
use super::expr::Expr;
use crate::DType;

/// `program NAME(parameters) { … }`.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgramDef {
    /// Its name.
    pub name: Name,
    /// Names that its statements see, with values given where it is placed.
    pub parameters: Vec<Name>,
    /// Its statements.
    pub body: Vec<Statement>,
}

/// One statement of a program.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `in red, blue` and `out …`: colors of the next queues; `none` leaves a queue without one.
    Queues {
        /// Whether input queues are meant.
        inward: bool,
        /// A color each, or `None`.
        colors: Vec<Option<Expr>>,
    },
    /// `reg n` or `reg n = r4`.
    Reg(Name, Option<Name>),
    /// `mem …`.
    Mem(Mem),
    /// `dsd …`.
    Dsd(DsdDef),
    /// `shape s = [a, b]`.
    Shape(Name, Vec<Expr>),
    /// `sram bytes`.
    Sram(Expr),
    /// `task …`.
    Task(TaskDef),
    /// `name:` before an instruction.
    Label(Name),
    /// `if condition { … } else { … }`, decided when the program is assembled.
    If(Expr, Vec<Statement>, Vec<Statement>),
    /// An instruction.
    Instr(Line),
}

/// `mem a: f32[M, N] at address = values`.
#[derive(Debug, Clone, PartialEq)]
pub struct Mem {
    /// Its name.
    pub name: Name,
    /// Type of its elements.
    pub dtype: DType,
    /// Its extents, outermost first.
    pub extents: Vec<Expr>,
    /// Byte address; behind the regions before it if not given.
    pub at: Option<Expr>,
    /// Its elements before cycle 0.
    pub values: Option<Values>,
}

/// Elements of a region.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// One expression for all, over the indices `i`, `j`, `k`, `l` (outermost first).
    Each(Expr),
    /// One expression an element, in order.
    List(Vec<Expr>),
}

/// `dsd d: f32 at address step a, b offset r4`.
#[derive(Debug, Clone, PartialEq)]
pub struct DsdDef {
    /// Its name.
    pub name: Name,
    /// Type of its elements.
    pub dtype: DType,
    /// Byte address of the first element.
    pub base: Expr,
    /// Strides in elements, outermost first.
    pub strides: Vec<Expr>,
    /// Register with bytes to add to the address.
    pub offset: Option<Name>,
}

/// A queue, by its color or by its number.
#[derive(Debug, Clone, PartialEq)]
pub enum QueueRef {
    /// The queue with this color; the next free one is bound to it if there is none.
    Color(Expr),
    /// `#n`.
    Number(Expr),
}

/// What makes a task ready.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskSource {
    /// Activation.
    Local,
    /// A data wavelet on a queue; the payload goes into the register.
    Data(QueueRef, Name),
    /// A control wavelet on a queue; the payload goes into the register.
    Control(QueueRef, Name),
}

/// `task NAME kind priority n activated blocked:`.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDef {
    /// Its name.
    pub name: Name,
    /// What makes it ready.
    pub source: TaskSource,
    /// Its priority; 0 if not given.
    pub priority: Option<Expr>,
    /// Whether it is activated at cycle 0.
    pub activated: bool,
    /// Whether it is blocked at cycle 0.
    pub blocked: bool,
    /// Its first instruction; the next one if not given.
    pub entry: Option<Target>,
}

/// The instruction that a branch or a task goes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// The one behind a label.
    Label(Name),
    /// `#n`.
    Number(Expr),
}

/// One instruction as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Mnemonic without its type.
    pub name: Name,
    /// Type behind the mnemonic, for operands that do not state theirs.
    pub dtype: Option<DType>,
    /// The operands.
    pub operands: Vec<Written>,
    /// `over …`: the loop nest.
    pub over: Option<Vec<Expr>>,
    /// Whether the loop nest stands in brackets; else it may name a shape.
    pub over_list: bool,
    /// `async n`: the microthread.
    pub microthread: Option<Expr>,
    /// `activate t` or `unblock t` behind `async`: whether it activates, and the task.
    pub done: Option<(bool, Target)>,
    /// All of it.
    pub span: Span,
}

/// An operand as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// What it is.
    pub form: Form,
    /// `:f32` behind it.
    pub dtype: Option<DType>,
    /// All of it.
    pub span: Span,
}

/// What an operand is.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// `in(red)`.
    In(QueueRef),
    /// `out(red)`.
    Out(QueueRef),
    /// `bits(0x7fc00000)`: a constant by its bits.
    Bits(Expr),
    /// `#n`: an instruction or a task by its number.
    Number(Expr),
    /// `w[r4]{N, 1}`: memory with an offset register, strides, or both.
    Mem {
        /// The region or descriptor.
        name: Name,
        /// Register with bytes to add to the address.
        offset: Option<Name>,
        /// Strides in elements, outermost first.
        strides: Option<Vec<Expr>>,
    },
    /// Anything else: a register, a region, a label, a task or a value.
    Expr(Expr),
}
