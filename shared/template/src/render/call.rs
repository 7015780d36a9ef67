//! Calls: macros, methods, and the functions that templates have.

use std::cell::RefCell;
use std::rc::Rc;

use super::Renderer;
use crate::args::{Args, Bound, or_int};
use crate::error::{Error, Fail, invalid, unknown};
use crate::meter::Out;
use crate::operate::equal;
use crate::print::to_string;
use crate::sequence::{pairs, range};
use crate::text;
use crate::value::{DEEPEST, Inner, List, Map, Object, Scope, Value};

/// Functions by name; the last ones are Jinja's, which nothing here does.
const FUNCTIONS: &[&str] = &[
    "namespace",
    "range",
    "dict",
    "raise_exception",
    "strftime_now",
    "cycler",
    "joiner",
    "lipsum",
];

/// The function of this name.
pub(super) fn function(name: &str) -> Value {
    let found = FUNCTIONS.iter().find(|other| **other == name);
    found.map_or(Value::Undefined, |name| {
        Value::object(Inner::Function(name))
    })
}

impl Renderer<'_> {
    pub(super) fn call(&mut self, callee: &Value, args: Args) -> Result<Value, Fail> {
        let Value::Object(object) = callee else {
            return Err(invalid(&[callee.kind(), " cannot be called"]));
        };
        match &object.0 {
            Inner::Function(name) => self.call_function(name, args),
            Inner::Macro {
                index, captured, ..
            } => self.call_macro(*index, captured, args),
            Inner::Method { of, method } => self.call_method(of, method, args),
            Inner::Namespace(_) => Err(invalid(&["a namespace cannot be called"])),
            Inner::Loop { .. } => Err(unknown("the function", "loop")),
        }
    }

    fn call_function(&mut self, name: &str, mut args: Args) -> Result<Value, Fail> {
        match name {
            "namespace" => {
                let fields = args.named;
                if !args.positional.is_empty() {
                    return Err(invalid(&["`namespace` takes arguments with names only"]));
                }
                if fields.iter().any(|(_, value)| value.depth() >= DEEPEST) {
                    return Err(super::held());
                }
                Ok(Value::object(Inner::Namespace(RefCell::new(fields))))
            }
            "dict" => {
                let mut entries = match args.first() {
                    None => Vec::new(),
                    Some(Value::Map(map)) if args.named.is_empty() => return Ok(Value::Map(map)),
                    Some(Value::Map(map)) => map.entries.clone(),
                    Some(other) => {
                        return Err(invalid(&["`dict` does not take ", other.kind()]));
                    }
                };
                for (name, value) in args.named {
                    let key = Value::Text(name);
                    self.meter.look(entries.len(), &key)?;
                    entries.retain(|(other, _)| !crate::value::same_key(other, &key));
                    entries.push((key, value));
                }
                Ok(Value::map(entries))
            }
            "range" => {
                let [first, second, step, _] = args.bind("start stop step")?;
                let step = or_int(&step, 1)?;
                if second.is_undefined() {
                    return range(0, first.int()?, step, &self.meter);
                }
                range(first.int()?, second.int()?, step, &self.meter)
            }
            "raise_exception" => {
                let [message, ..] = args.bind("message")?;
                Err(Box::new(Error::Raised(to_string(&message, &self.meter)?)))
            }
            "strftime_now" => {
                let [format, ..] = args.bind("format")?;
                self.meter.weigh(&format)?;
                Ok(Value::from((self.now)().format(format.text()?)?))
            }
            _ => Err(unknown("the function", name)),
        }
    }

    fn call_macro(
        &mut self,
        index: usize,
        captured: &Scope,
        mut args: Args,
    ) -> Result<Value, Fail> {
        let tree = self.tree;
        let Some(definition) = tree.macros.get(index) else {
            return Err(invalid(&["there is no such macro"]));
        };
        if args.positional.len() > definition.parameters.len() {
            return Err(invalid(&["`", &definition.name, "` takes fewer arguments"]));
        }
        self.meter.spend(captured.len())?;
        let inner = Out::inside(&self.out);
        let outer = std::mem::replace(&mut self.out, inner);
        let (base, height) = (self.base, self.scopes.len());
        self.base = height;
        self.scopes.push(captured.clone());
        self.scopes.push(
            args.take("caller")
                .map(|caller| ("caller".into(), caller))
                .into_iter()
                .collect(),
        );
        let mut given = args.positional.into_iter();
        for (name, default) in &definition.parameters {
            self.meter.spend(args.named.len() / 8)?;
            let named = args.named.iter().position(|(other, _)| other == name);
            let value = match (given.next(), named, default) {
                (Some(value), None, _) => value,
                (Some(_), Some(_), _) => {
                    return Err(invalid(&["`", name, "` is given twice"]));
                }
                (None, Some(place), _) => args.named.remove(place).1,
                (None, None, Some(default)) => self.value(default)?,
                (None, None, None) => Value::Undefined,
            };
            self.bind(name, value)?;
        }
        if let Some((name, _)) = args.named.first() {
            return Err(invalid(&[
                "`",
                &definition.name,
                "` has no parameter `",
                name,
                "`",
            ]));
        }
        self.run(&definition.body)?;
        self.scopes.truncate(height);
        self.base = base;
        Ok(std::mem::replace(&mut self.out, outer).into_value())
    }

    fn call_method(
        &mut self,
        of: &Value,
        (name, parameters): &(&str, &str),
        args: Args,
    ) -> Result<Value, Fail> {
        self.meter.weigh(of)?;
        if let Value::Object(object) = of {
            return cycle(object, &args.positional);
        }
        let given = args.positional.len() + args.named.len();
        let args = &args.bind(parameters)?;
        match of {
            Value::Text(text) => text::call(text, name, args, &self.meter),
            Value::Map(_) if *name == "get" && given == 0 => Err(invalid(&["`get` needs a key"])),
            Value::Map(map) => {
                self.meter.look(map.entries.len(), &args[0])?;
                Ok(map_method(map, name, args))
            }
            Value::List(list) => self.list_method(list, name, args),
            _ => Err(unknown("the method", name)),
        }
    }

    fn list_method(&mut self, list: &List, name: &str, args: &Bound) -> Result<Value, Fail> {
        let [wanted, ..] = args;
        let mut count = 0;
        for (index, item) in list.items.iter().enumerate() {
            let is_it = equal(item, wanted, &self.meter)?;
            if is_it && name == "index" {
                return Ok(Value::Int(i64::try_from(index).unwrap_or(i64::MAX)));
            }
            count += i64::from(is_it);
        }
        if name == "index" {
            return Err(invalid(&["there is no such item in the list"]));
        }
        Ok(Value::Int(count))
    }
}

fn map_method(map: &Rc<Map>, name: &str, args: &Bound) -> Value {
    let entries = &map.entries;
    match name {
        "get" => {
            let [key, default, ..] = args;
            match map.get(key) {
                Some(value) => value.clone(),
                None if default.is_undefined() => Value::None,
                None => default.clone(),
            }
        }
        "items" => Value::list(pairs(entries)),
        "keys" => Value::list(entries.iter().map(|(key, _)| key.clone()).collect()),
        "values" => Value::list(entries.iter().map(|(_, value)| value.clone()).collect()),
        _ => Value::Map(Rc::clone(map)),
    }
}

/// `loop.cycle`, the one method that there is of an object.
fn cycle(of: &Object, values: &[Value]) -> Result<Value, Fail> {
    match &of.0 {
        Inner::Loop { index, .. } if !values.is_empty() => {
            let value = values.get(index % values.len());
            Ok(value.cloned().unwrap_or(Value::Undefined))
        }
        _ => Err(invalid(&["`cycle` needs values"])),
    }
}
