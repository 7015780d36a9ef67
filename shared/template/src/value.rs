//! What templates compute with: Python's values, as far as JSON has them, and a few things of Jinja's.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::{Fail, invalid};

/// How deep lists and maps may be inside of each other. Whatever walks through values does so by recursion, dropping them
/// included; JSON from `serde_json` has no more levels either.
pub(crate) const DEEPEST: u32 = 128;

/// A value. Cloning one is cheap.
#[derive(Clone)]
pub enum Value {
    /// What a name stands for that nobody gave a value: prints as nothing.
    Undefined,
    /// Python's `None`, JSON's `null`.
    None,
    /// True or false.
    Bool(bool),
    /// A whole number; Python's have no bounds, these do.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(Arc<str>),
    /// A list, or what is like one.
    List(Rc<List>),
    /// Python's `dict`.
    Map(Rc<Map>),
    /// What only the template itself can make.
    Object(Rc<Object>),
}

/// Names with their values, the innermost last.
pub(crate) type Scope = Vec<(Arc<str>, Value)>;

/// A list, a tuple, or what a filter gives item by item.
pub struct List {
    pub(crate) items: Vec<Value>,
    pub(crate) form: Form,
    depth: u32,
}

/// What Python has for a list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    List,
    Tuple,
    /// A generator. Jinja's `map`, `select` and their like give these, and Python takes each for true, even one of nothing.
    Stream,
}

/// Keys with values, in the order in which they were written.
pub struct Map {
    pub(crate) entries: Vec<(Value, Value)>,
    depth: u32,
}

/// Something of Jinja's own: a function, macro or method, a namespace, a loop.
pub struct Object(pub(crate) Inner);

pub(crate) enum Inner {
    Namespace(RefCell<Scope>),
    Loop {
        items: Rc<List>,
        index: usize,
    },
    Method {
        of: Value,
        /// Its name and its parameters.
        method: &'static (&'static str, &'static str),
    },
    /// A macro of the template's table, with what it sees besides the outermost names.
    Macro {
        index: usize,
        captured: Scope,
        /// How many macros there are one inside of the other, as dropping them is by recursion.
        depth: u32,
    },
    Function(&'static str),
}

impl Value {
    /// A list of these values.
    pub fn list(items: Vec<Value>) -> Self {
        Self::sequence(Form::List, items)
    }

    /// A map of these entries. Of two with the same key the first counts.
    pub fn map(entries: Vec<(Value, Value)>) -> Self {
        let deepest = entries.iter().map(|(_, value)| value.depth()).max();
        let depth = deepest.unwrap_or(0).saturating_add(1);
        Value::Map(Rc::new(Map { entries, depth }))
    }

    pub(crate) fn sequence(form: Form, items: Vec<Value>) -> Self {
        Value::List(List::new(form, items))
    }

    pub(crate) fn object(inner: Inner) -> Self {
        Value::Object(Rc::new(Object(inner)))
    }

    /// How many levels of lists and maps there are. Objects count as the most that may be, so that nothing can hold one:
    /// a namespace inside of itself would never end.
    pub(crate) fn depth(&self) -> u32 {
        match self {
            Value::List(list) => list.depth,
            Value::Map(map) => map.depth,
            Value::Object(_) => DEEPEST,
            _ => 0,
        }
    }

    /// What Python's `bool` says of it.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Value::Undefined | Value::None => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(list) => list.form == Form::Stream || !list.items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            Value::Object(_) => true,
        }
    }

    pub(crate) fn is_undefined(&self) -> bool {
        matches!(self, Value::Undefined)
    }

    /// What it is, for errors, which must not say what is in it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Undefined => "an undefined value",
            Value::None => "none",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Text(_) => "a string",
            Value::List(list) => match list.form {
                Form::List => "a list",
                Form::Tuple => "a tuple",
                Form::Stream => "a generator",
            },
            Value::Map(_) => "a mapping",
            Value::Object(object) => match object.0 {
                Inner::Namespace(_) => "a namespace",
                Inner::Loop { .. } => "a loop",
                _ => "a function",
            },
        }
    }

    /// The text, where only a text will do.
    pub(crate) fn text(&self) -> Result<&Arc<str>, Fail> {
        match self {
            Value::Text(text) => Ok(text),
            other => Err(invalid(&["expected a string, not ", other.kind()])),
        }
    }

    /// The integer, where only one will do.
    pub(crate) fn int(&self) -> Result<i64, Fail> {
        match self {
            Value::Int(value) => Ok(*value),
            Value::Bool(value) => Ok(i64::from(*value)),
            other => Err(invalid(&["expected an integer, not ", other.kind()])),
        }
    }
}

impl List {
    pub(crate) fn new(form: Form, items: Vec<Value>) -> Rc<Self> {
        let deepest = items.iter().map(Value::depth).max();
        let depth = deepest.unwrap_or(0).saturating_add(1);
        Rc::new(List { items, form, depth })
    }
}

impl Map {
    /// The value of a key. Keys are scalars; as in Python, 1 and 1.0 and true are one key.
    pub(crate) fn get(&self, key: &Value) -> Option<&Value> {
        let found = self.entries.iter().find(|(other, _)| same_key(other, key));
        found.map(|(_, value)| value)
    }

    /// The value of a key that is text.
    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        let is_it = |key: &Value| matches!(key, Value::Text(text) if **text == *name);
        let found = self.entries.iter().find(|(key, _)| is_it(key));
        found.map(|(_, value)| value)
    }
}

/// Whether two scalars are equal. Nothing else is a key.
pub(crate) fn same_key(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::None, Value::None) => true,
        _ => matches!((number(a), number(b)), (Some(a), Some(b)) if a.equals(b)),
    }
}

/// A number of either kind. Python counts booleans among the integers.
#[derive(Clone, Copy)]
pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    pub(crate) fn float(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        }
    }

    pub(crate) fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => a == b,
            _ => self.float() == other.float(),
        }
    }
}

pub(crate) fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Int(value) => Some(Number::Int(*value)),
        Value::Float(value) => Some(Number::Float(*value)),
        Value::Bool(value) => Some(Number::Int(i64::from(*value))),
        _ => None,
    }
}

/// Values are messages of people: the content is not shown.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(Arc::from(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(Arc::from(text))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}
