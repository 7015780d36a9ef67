//! A template as it was read.

use std::sync::Arc;

/// All of it. Names and texts are shared with the values made from them, by `Arc`, so that threads can share a template.
pub(crate) struct Tree {
    pub(crate) body: Body,
    /// Every macro, and every body of a `call`, wherever it is defined: values name them by their place here.
    pub(crate) macros: Vec<Macro>,
}

/// Statements with their lines.
pub(crate) type Body = Vec<(u32, Statement)>;

pub(crate) enum Statement {
    Text(Box<str>),
    Output(Expr),
    If {
        /// Conditions with what is run for the first that holds.
        branches: Vec<(Expr, Body)>,
        otherwise: Body,
    },
    For(Box<For>),
    Set(Target, Expr),
    /// A text made by a body, then filtered.
    SetBlock(Target, Vec<Named>, Body),
    /// The same, printed.
    FilterBlock(Vec<Named>, Body),
    /// A body with variables of its own. `{% generation %}` is one without any.
    With(Vec<(Target, Expr)>, Body),
    Macro(usize),
    /// A call, with the place of the macro that it gets as `caller`.
    Call(Box<CallBlock>),
    Break,
    Continue,
    /// What is not done here, by name: an error only where it is reached.
    Unsupported(Box<str>),
}

pub(crate) struct For {
    pub(crate) target: Target,
    pub(crate) items: Expr,
    pub(crate) condition: Option<Expr>,
    pub(crate) body: Body,
    pub(crate) otherwise: Body,
}

pub(crate) struct CallBlock {
    pub(crate) callee: Expr,
    pub(crate) arguments: Arguments,
    pub(crate) caller: usize,
}

pub(crate) struct Macro {
    pub(crate) name: Arc<str>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Body,
}

/// A parameter with what it is if it is not given.
pub(crate) type Parameter = (Arc<str>, Option<Expr>);

/// What is assigned to.
pub(crate) enum Target {
    Name(Arc<str>),
    /// An attribute of a namespace.
    Attribute(Arc<str>, Arc<str>),
    Tuple(Vec<Target>),
}

/// An expression: a pointer, so that handing one on is cheap in code.
pub(crate) struct Expr(Box<Node>);

pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) line: u32,
    /// Levels of expressions below, itself included. What runs and drops the tree does so by recursion.
    pub(crate) height: u32,
}

impl Expr {
    pub(crate) fn new(kind: Kind, line: u32, height: u32) -> Self {
        Self(Box::new(Node { kind, line, height }))
    }

    pub(crate) fn into_kind(self) -> Kind {
        self.0.kind
    }
}

impl std::ops::Deref for Expr {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.0
    }
}

pub(crate) enum Kind {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    Name(Arc<str>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
    Attribute(Expr, Arc<str>),
    Item(Expr, Expr),
    /// From, to and step.
    Slice(Expr, Box<[Option<Expr>; 3]>),
    Call(Expr, Arguments),
    Filter(Expr, Named),
    Test(Expr, Named),
    Not(Expr),
    Negative(Expr),
    Positive(Expr),
    /// Operators of one precedence, from left to right.
    Chain(Expr, Vec<(Operator, Expr)>),
    /// Comparisons, of which all must hold.
    Compare(Expr, Vec<(Operator, Expr)>),
    /// Texts put together by `~`.
    Concat(Vec<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    /// The condition, what it is then, and what else.
    If(Box<(Expr, Expr, Option<Expr>)>),
    Unsupported(&'static str),
}

/// A filter or test, with its arguments.
pub(crate) struct Named {
    pub(crate) name: Arc<str>,
    pub(crate) arguments: Arguments,
    pub(crate) line: u32,
}

/// Arguments of a call.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) positional: Vec<Expr>,
    pub(crate) named: Vec<(Arc<str>, Expr)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Power,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}
