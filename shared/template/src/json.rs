//! `tojson` as transformers has it: Python's `json.dumps`, by default with `ensure_ascii=False`.

use crate::args::Bound;
use crate::error::{Fail, invalid, too_much};
use crate::meter::{Meter, Out};
use crate::print;
use crate::sort::{Order, sort};
use crate::value::{Map, Value};

/// The widest indentation. It is times the depth, on every line.
const WIDEST: i64 = 64;

/// The filter.
pub(crate) fn to_json(value: &Value, args: &Bound, meter: &Meter) -> Result<Value, Fail> {
    let [ascii, indent, separators, sort_keys] = args;
    let indent = match &indent {
        Value::Undefined | Value::None => None,
        Value::Text(text) => Some(text.to_string()),
        width => {
            let width = width.int()?;
            if width > WIDEST {
                return Err(too_much());
            }
            Some(" ".repeat(usize::try_from(width).unwrap_or(0)))
        }
    };
    // With indentation the line's end follows the comma, without it a space.
    let comma = if indent.is_some() { "," } else { ", " };
    let (comma, colon) = match &separators {
        Value::List(list) => match list.items.as_slice() {
            [comma, colon] => (comma.text()?.to_string(), colon.text()?.to_string()),
            _ => return Err(invalid(&["`separators` are two strings"])),
        },
        _ => (comma.to_owned(), ": ".to_owned()),
    };
    let mut json = Json {
        out: Out::default(),
        ascii: ascii.is_true(),
        indent,
        comma,
        colon,
        sorted: sort_keys.is_true(),
        meter,
    };
    json.value(value, 0)?;
    Ok(json.out.into_value())
}

struct Json<'m> {
    out: Out,
    ascii: bool,
    indent: Option<String>,
    comma: String,
    colon: String,
    sorted: bool,
    meter: &'m Meter,
}

impl Json<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Fail> {
        self.meter.spend(1)?;
        match value {
            Value::None => self.out.push("null"),
            Value::Bool(true) => self.out.push("true"),
            Value::Bool(false) => self.out.push("false"),
            Value::Int(value) => self.out.push(&value.to_string()),
            Value::Float(value) => self.out.push(&float(*value)),
            Value::Text(text) => self.string(text),
            Value::List(list) => {
                self.out.push("[")?;
                for (index, item) in list.items.iter().enumerate() {
                    self.before_item(index, depth + 1)?;
                    self.value(item, depth + 1)?;
                }
                self.after_items(list.items.len(), depth, "]")
            }
            Value::Map(map) => self.map(map, depth),
            Value::Undefined | Value::Object(_) => {
                Err(invalid(&["there is no JSON of ", value.kind()]))
            }
        }
    }

    fn map(&mut self, map: &Map, depth: usize) -> Result<(), Fail> {
        let mut order: Vec<Value> = Vec::new();
        if self.sorted {
            order = map.entries.iter().map(|(key, _)| key.clone()).collect();
            let places = sort(&order, &Order::default(), self.meter)?;
            order = places
                .iter()
                .filter_map(|place| order.get(*place).cloned())
                .collect();
        }
        self.out.push("{")?;
        for (index, (key, value)) in map.entries.iter().enumerate() {
            let key = order.get(index).unwrap_or(key);
            let value = if self.sorted {
                self.meter.look(map.entries.len(), key)?;
                map.get(key)
            } else {
                Some(value)
            };
            self.before_item(index, depth + 1)?;
            match key {
                Value::Text(text) => self.string(text)?,
                // Python makes strings of the other keys.
                key => {
                    self.out.push("\"")?;
                    self.value(key, depth)?;
                    self.out.push("\"")?;
                }
            }
            self.out.push(&self.colon)?;
            self.value(value.unwrap_or(&Value::None), depth + 1)?;
        }
        self.after_items(map.entries.len(), depth, "}")
    }

    fn before_item(&mut self, index: usize, depth: usize) -> Result<(), Fail> {
        if index > 0 {
            self.out.push(&self.comma)?;
        }
        self.new_line(depth)
    }

    fn after_items(&mut self, count: usize, depth: usize, close: &str) -> Result<(), Fail> {
        if count > 0 {
            self.new_line(depth)?;
        }
        self.out.push(close)
    }

    fn new_line(&mut self, depth: usize) -> Result<(), Fail> {
        let Some(indent) = &self.indent else {
            return Ok(());
        };
        self.out.push("\n")?;
        self.out.repeat(indent, depth)
    }

    fn string(&mut self, text: &str) -> Result<(), Fail> {
        self.out.push("\"")?;
        for c in text.chars() {
            match c {
                '"' => self.out.push("\\\"")?,
                '\\' => self.out.push("\\\\")?,
                '\n' => self.out.push("\\n")?,
                '\r' => self.out.push("\\r")?,
                '\t' => self.out.push("\\t")?,
                '\u{8}' => self.out.push("\\b")?,
                '\u{c}' => self.out.push("\\f")?,
                _ if c < ' ' || self.ascii && !c.is_ascii() => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        self.out.push("\\u")?;
                        print::hex(u32::from(*unit), 4, &mut self.out)?;
                    }
                }
                _ => self.out.push_char(c)?,
            }
        }
        self.out.push("\"")
    }
}

fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    print::float(value)
}
