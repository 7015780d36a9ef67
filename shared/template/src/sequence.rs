//! Items, attributes and slices of values.

use std::rc::Rc;

use crate::args::{Signatures, or_int};
use crate::error::{Fail, invalid, too_much};
use crate::meter::Meter;
use crate::text;
use crate::value::{Form, Inner, List, Number, Value, number};

/// Methods of Python's `dict`. Those that change it are refused in transformers' sandbox, too.
const MAP_METHODS: Signatures = &[
    ("copy", ""),
    ("get", "key default"),
    ("items", ""),
    ("keys", ""),
    ("values", ""),
];
const LIST_METHODS: Signatures = &[("count", "value"), ("index", "value")];
/// The method of `loop`, which takes any arguments.
const LOOP_METHODS: Signatures = &[("cycle", "")];

/// What a `for` goes through: items, keys, or characters.
pub(crate) fn items(value: &Value, meter: &Meter) -> Result<Rc<List>, Fail> {
    let items: Vec<Value> = match value {
        Value::List(list) => return Ok(Rc::clone(list)),
        Value::Undefined => Vec::new(),
        Value::Map(map) => {
            meter.spend(map.entries.len())?;
            map.entries.iter().map(|(key, _)| key.clone()).collect()
        }
        Value::Text(text) => {
            meter.spend(text.len())?;
            text.chars().map(from_char).collect()
        }
        other => return Err(invalid(&[other.kind(), " has no items"])),
    };
    Ok(List::new(Form::List, items))
}

pub(crate) fn from_char(c: char) -> Value {
    Value::from(&*c.encode_utf8(&mut [0; 4]))
}

/// `value.name`. As in Python, methods come first: a map with a key `items` has a method of that name.
pub(crate) fn attribute(of: &Value, name: &str, meter: &Meter) -> Result<Value, Fail> {
    if let Some(method) = method(of, name) {
        return Ok(method);
    }
    match of {
        Value::Undefined => Err(invalid(&["an undefined value has no `", name, "`"])),
        Value::Map(map) => {
            meter.spend(map.entries.len() / 8)?;
            Ok(map.field(name).cloned().unwrap_or(Value::Undefined))
        }
        Value::Object(object) => Ok(match &object.0 {
            Inner::Namespace(fields) => {
                let fields = fields.borrow();
                meter.spend(fields.len() / 8)?;
                let found = fields.iter().find(|(other, _)| **other == *name);
                found.map_or(Value::Undefined, |(_, value)| value.clone())
            }
            Inner::Loop { items, index } => state(items, *index, name),
            _ => Value::Undefined,
        }),
        _ => Ok(Value::Undefined),
    }
}

fn method(of: &Value, name: &str) -> Option<Value> {
    let names = match of {
        Value::Text(_) => text::METHODS,
        Value::Map(_) => MAP_METHODS,
        Value::List(_) => LIST_METHODS,
        Value::Object(object) if matches!(object.0, Inner::Loop { .. }) => LOOP_METHODS,
        _ => return None,
    };
    let method = names.iter().find(|(other, _)| *other == name)?;
    let of = of.clone();
    Some(Value::object(Inner::Method { of, method }))
}

/// An attribute of `loop`.
fn state(items: &List, index: usize, name: &str) -> Value {
    let length = items.items.len();
    let item = |index: Option<usize>| {
        let item = index.and_then(|index| items.items.get(index));
        item.cloned().unwrap_or(Value::Undefined)
    };
    let int = |value: usize| Value::Int(i64::try_from(value).unwrap_or(i64::MAX));
    match name {
        "index" => int(index + 1),
        "index0" => int(index),
        "revindex" => int(length - index),
        "revindex0" => int(length - index - 1),
        "first" => Value::Bool(index == 0),
        "last" => Value::Bool(index + 1 == length),
        "length" => int(length),
        "previtem" => item(index.checked_sub(1)),
        "nextitem" => item(Some(index + 1)),
        // Loops that call themselves would be deeper.
        "depth" => int(1),
        "depth0" => int(0),
        _ => Value::Undefined,
    }
}

/// `value[key]`.
pub(crate) fn item(of: &Value, key: &Value, meter: &Meter) -> Result<Value, Fail> {
    let found = match (of, key) {
        (Value::Undefined, _) => return Err(invalid(&["an undefined value has no items"])),
        (Value::Map(map), key) => {
            meter.look(map.entries.len(), key)?;
            map.get(key).cloned()
        }
        (Value::List(list), Value::Int(_) | Value::Bool(_)) => {
            let place = place(key.int()?, list.items.len());
            place.and_then(|place| list.items.get(place)).cloned()
        }
        (Value::Text(text), Value::Int(_) | Value::Bool(_)) => {
            meter.weigh(of)?;
            let index = key.int()?;
            let length = if index < 0 {
                text.chars().count()
            } else {
                usize::MAX
            };
            let place = place(index, length);
            place
                .and_then(|place| text.chars().nth(place))
                .map(from_char)
        }
        _ => None,
    };
    match (found, key) {
        (Some(value), _) => Ok(value),
        // What is not an item may be an attribute, and of a map a method.
        (None, Value::Text(name)) if !matches!(of, Value::Map(_)) => attribute(of, name, meter),
        (None, Value::Text(name)) => Ok(method(of, name).unwrap_or(Value::Undefined)),
        (None, _) => Ok(Value::Undefined),
    }
}

/// The place that an index means; negative ones count from the end.
fn place(index: i64, length: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}

/// `value[from:to:step]`, with Python's rules.
pub(crate) fn slice(of: &Value, parts: &[Value; 3], meter: &Meter) -> Result<Value, Fail> {
    let [from, to, step] = parts;
    let step = or_int(step, 1)?;
    if step == 0 {
        return Err(invalid(&["the step of a slice is 0"]));
    }
    let bounds = |length| Bounds::new(length, from, to, step);
    match of {
        Value::List(list) => {
            let places = bounds(list.items.len())?;
            meter.spend(list.items.len())?;
            let items = places.filter_map(|place| list.items.get(place).cloned());
            Ok(Value::sequence(list.form, items.collect()))
        }
        Value::Text(text) => {
            meter.weigh(of)?;
            let places = bounds(text.chars().count())?;
            if step == 1 {
                let length = places.end.saturating_sub(places.at);
                let [skipped, length] =
                    [places.at, length].map(|n| usize::try_from(n).unwrap_or(0));
                let part: String = text.chars().skip(skipped).take(length).collect();
                return Ok(Value::from(part));
            }
            meter.spend(text.len())?;
            let chars: Vec<char> = text.chars().collect();
            let part: String = places.filter_map(|place| chars.get(place)).collect();
            Ok(Value::from(part))
        }
        other => Err(invalid(&["there is no slice of ", other.kind()])),
    }
}

/// The places that a slice takes, one after the other.
struct Bounds {
    at: i64,
    end: i64,
    step: i64,
}

impl Bounds {
    fn new(length: usize, from: &Value, to: &Value, step: i64) -> Result<Self, Fail> {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        // Going backwards, the place before the first is an end, too.
        let (low, high) = if step > 0 {
            (0, length)
        } else {
            (-1, length - 1)
        };
        let bound = |value: &Value, default: i64| -> Result<i64, Fail> {
            let index = match value {
                Value::Undefined | Value::None => return Ok(default),
                value => value.int()?,
            };
            let index = if index < 0 {
                index.saturating_add(length)
            } else {
                index
            };
            Ok(index.clamp(low, high))
        };
        let (first, last) = if step > 0 { (low, high) } else { (high, low) };
        let (at, end) = (bound(from, first)?, bound(to, last)?);
        Ok(Self { at, end, step })
    }
}

impl Iterator for Bounds {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let more = if self.step > 0 {
            self.at < self.end
        } else {
            self.at > self.end
        };
        let place = usize::try_from(self.at).ok().filter(|_| more);
        self.at = self.at.saturating_add(self.step);
        place
    }
}

/// How long a value is.
pub(crate) fn length(value: &Value) -> Result<usize, Fail> {
    match value {
        Value::Undefined => Ok(0),
        Value::Text(text) => Ok(text.chars().count()),
        Value::List(list) => Ok(list.items.len()),
        Value::Map(map) => Ok(map.entries.len()),
        other => Err(invalid(&[other.kind(), " has no length"])),
    }
}

/// Keys with values, as tuples.
pub(crate) fn pairs(map: &[(Value, Value)]) -> Vec<Value> {
    let pairs = map
        .iter()
        .map(|(key, value)| vec![key.clone(), value.clone()]);
    pairs
        .map(|pair| Value::sequence(Form::Tuple, pair))
        .collect()
}

/// The numbers of Python's `range`.
pub(crate) fn range(start: i64, stop: i64, step: i64, meter: &Meter) -> Result<Value, Fail> {
    /// As in Jinja's sandbox.
    const LONGEST: usize = 100_000;
    if step == 0 {
        return Err(invalid(&["the step of a range is 0"]));
    }
    let mut numbers = Vec::new();
    let mut at = start;
    while if step > 0 { at < stop } else { at > stop } {
        meter.spend(1)?;
        if numbers.len() == LONGEST {
            return Err(too_much());
        }
        numbers.push(Value::Int(at));
        at = match at.checked_add(step) {
            Some(next) => next,
            None => break,
        };
    }
    Ok(Value::list(numbers))
}

/// Whether a value can be the key of a map.
pub(crate) fn check_key(key: &Value) -> Result<(), Fail> {
    let is_key = matches!(key, Value::Text(_) | Value::None) || number(key).is_some();
    if is_key && !matches!(number(key), Some(Number::Float(value)) if value.is_nan()) {
        return Ok(());
    }
    Err(invalid(&[key.kind(), " is no key of a mapping here"]))
}
