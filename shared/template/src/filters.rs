//! Jinja's filters.

mod items;

use crate::args::{Args, Bound, Signatures, or_int, parameters, times};
use crate::error::{Fail, invalid, unknown, unsupported};
use crate::json::to_json;
use crate::meter::{Meter, Out};
use crate::number::decimal;
use crate::print::to_string;
use crate::sequence::length;
use crate::text;
use crate::value::{Form, Number, Value, number};
use items::{map, select, sequence};

/// Filters with their parameters, but for those that take any.
const FILTERS: Signatures = &[
    ("abs", ""),
    ("capitalize", ""),
    ("count", ""),
    ("dictsort", "case_sensitive by reverse"),
    ("e", ""),
    ("escape", ""),
    ("first", ""),
    ("float", "default"),
    ("indent", "width first blank"),
    ("int", "default base"),
    ("items", ""),
    ("join", "d attribute"),
    ("last", ""),
    ("length", ""),
    ("list", ""),
    ("lower", ""),
    ("max", "case_sensitive attribute"),
    ("min", "case_sensitive attribute"),
    ("replace", "old new count"),
    ("reverse", ""),
    ("round", "precision method"),
    ("safe", ""),
    ("sort", "reverse case_sensitive attribute"),
    ("string", ""),
    ("sum", "attribute start"),
    ("title", ""),
    ("tojson", "ensure_ascii indent separators sort_keys"),
    ("trim", "chars"),
    ("unique", "case_sensitive attribute"),
    ("upper", ""),
    ("wordcount", ""),
];

/// Applies a filter.
pub(crate) fn filter(name: &str, value: &Value, args: Args, meter: &Meter) -> Result<Value, Fail> {
    match name {
        // These look at no items, or at one.
        "length" | "count" | "first" | "last" => meter.weigh_text(value)?,
        _ => meter.weigh(value)?,
    }
    match name {
        "default" | "d" => return default(value, args),
        "map" | "select" | "reject" | "selectattr" | "rejectattr" => {
            // As Jinja has it, of whatever is false: none has no items, but nothing is made of it here.
            if !value.is_true() {
                return Ok(Value::sequence(Form::Stream, Vec::new()));
            }
            // Filters can be named by filters, which goes as deep as there are arguments.
            meter.enter()?;
            let made = match name {
                "map" => map(value, args, meter),
                _ => select(name, value, args, meter),
            };
            meter.leave();
            return made;
        }
        _ => {}
    }
    let known = parameters(FILTERS, name).ok_or_else(|| unknown("the filter", name))?;
    let args = &args.bind(known)?;
    match name {
        "tojson" => to_json(value, args, meter),
        "length" | "count" => {
            let length = length(value)?;
            Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
        }
        "abs" | "round" | "int" | "float" => numeric(name, value, args),
        "first" | "last" | "list" | "reverse" | "unique" | "items" | "sum" | "min" | "max"
        | "join" | "sort" | "dictsort" => sequence(name, value, args, meter),
        _ => textual(name, value, args, meter),
    }
}

/// `default`, which may be told to stand for all that is false.
fn default(value: &Value, mut args: Args) -> Result<Value, Fail> {
    let given = args.first().or_else(|| args.take("default_value"));
    let [boolean, ..] = args.bind("boolean")?;
    if value.is_undefined() || boolean.is_true() && !value.is_true() {
        return Ok(given.unwrap_or_else(|| Value::from("")));
    }
    Ok(value.clone())
}

/// Filters of text; anything else is printed first.
fn textual(name: &str, value: &Value, args: &Bound, meter: &Meter) -> Result<Value, Fail> {
    let text = match value {
        Value::Text(text) => text.to_string(),
        other => to_string(other, meter)?,
    };
    match name {
        "trim" => {
            let [chars, ..] = args;
            Ok(Value::from(text::strip(&text, chars, true, true, meter)?))
        }
        "upper" | "lower" | "capitalize" => text::simple(&text, name),
        "replace" => {
            let [old, new, limit, ..] = args;
            text::replace(
                &text,
                &to_string(old, meter)?,
                &to_string(new, meter)?,
                limit,
            )
        }
        "string" | "safe" => Ok(Value::from(text)),
        "title" => {
            let parts = |c: char| !text::is_space(c) && !"-({[<".contains(c);
            Ok(Value::from(text::title(&text, parts)))
        }
        "indent" => indent(&text, args, meter),
        "escape" | "e" => escape(&text),
        _ => {
            let words = text.split(|c: char| c != '_' && !c.is_alphanumeric());
            let count = words.filter(|word| !word.is_empty()).count();
            Ok(Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))
        }
    }
}

fn indent(text: &str, args: &Bound, meter: &Meter) -> Result<Value, Fail> {
    let [width, first, blank, ..] = args;
    let mut indention = Out::default();
    match &width {
        Value::Text(text) => indention.push(text)?,
        width => indention.repeat(" ", times(or_int(width, 4)?))?,
    }
    let indention = indention.into_string();
    let mut out = Out::default();
    // The line after the last line's end is one, too.
    for (index, line) in text::lines(&[text, "\n"].concat(), false, meter)?
        .into_iter()
        .enumerate()
    {
        meter.spend(1)?;
        out.push(if index > 0 { "\n" } else { "" })?;
        let indents = if index == 0 {
            first.is_true()
        } else {
            blank.is_true() || !line.is_empty()
        };
        out.push(if indents { &indention } else { "" })?;
        out.push(line)?;
    }
    Ok(out.into_value())
}

fn escape(text: &str) -> Result<Value, Fail> {
    let mut out = Out::default();
    for c in text.chars() {
        match c {
            '&' => out.push("&amp;")?,
            '<' => out.push("&lt;")?,
            '>' => out.push("&gt;")?,
            '"' => out.push("&#34;")?,
            '\'' => out.push("&#39;")?,
            c => out.push_char(c)?,
        }
    }
    Ok(out.into_value())
}

/// Filters of numbers.
fn numeric(name: &str, value: &Value, args: &Bound) -> Result<Value, Fail> {
    match name {
        "abs" => match number(value) {
            Some(Number::Int(value)) => {
                let value = value.checked_abs();
                value
                    .map(Value::Int)
                    .ok_or_else(|| unsupported(&["an integer of more than 64 bits"]))
            }
            Some(Number::Float(value)) => Ok(Value::Float(value.abs())),
            None => Err(no_number(value)),
        },
        "round" => round(value, args),
        "int" => {
            let [default, base, ..] = args;
            to_int(value, default, or_int(base, 10)?)
        }
        _ => {
            let [default, ..] = args;
            Ok(match to_float(value)? {
                Some(value) => Value::Float(value),
                None if default.is_undefined() => Value::Float(0.0),
                None => default.clone(),
            })
        }
    }
}

fn no_number(value: &Value) -> Fail {
    invalid(&["expected a number, not ", value.kind()])
}

fn to_int(value: &Value, default: &Value, base: i64) -> Result<Value, Fail> {
    let default = if default.is_undefined() {
        &Value::Int(0)
    } else {
        default
    };
    if let Value::Text(text) = value {
        let radix = u32::try_from(base).unwrap_or(0);
        if !(2..=36).contains(&radix) {
            return Err(unsupported(&["this base of numbers"]));
        }
        if let Ok(value) = i64::from_str_radix(text.trim_matches(text::is_space), radix) {
            return Ok(Value::Int(value));
        }
    }
    if let Some(Number::Int(value)) = number(value) {
        return Ok(Value::Int(value));
    }
    // Within what 64 bits hold; Python has integers beyond that.
    match to_float(value)? {
        Some(float) if float.abs() < 9.2e18 => Ok(Value::Int(float as i64)),
        Some(float) if float.is_finite() => Err(unsupported(&["an integer of more than 64 bits"])),
        _ => Ok(default.clone()),
    }
}

/// The number that a value is, or that a text is of.
fn to_float(value: &Value) -> Result<Option<f64>, Fail> {
    match value {
        Value::Undefined => Err(no_number(value)),
        Value::Text(text) => Ok(decimal(text.trim_matches(text::is_space))),
        other => Ok(number(other).map(Number::float)),
    }
}

/// Rounds half to even, as Python does; to decimals by their power of ten, which may differ from Python's in the last digit.
fn round(value: &Value, args: &Bound) -> Result<Value, Fail> {
    let [precision, method, ..] = args;
    let precision = or_int(precision, 0)?.clamp(-400, 400);
    let method = if method.is_undefined() {
        "common"
    } else {
        method.text()?
    };
    let value = match (number(value), method) {
        (Some(Number::Int(value)), "common") if precision >= 0 => return Ok(Value::Int(value)),
        (Some(value), _) => value.float(),
        (None, _) => return Err(no_number(value)),
    };
    let scale = 10f64.powi(i32::try_from(precision).unwrap_or(0));
    let scaled = value * scale;
    let rounded = match method {
        "common" => scaled.round_ties_even(),
        "ceil" => scaled.ceil(),
        "floor" => scaled.floor(),
        _ => return Err(invalid(&["there is no such way to round"])),
    };
    let result = rounded / scale;
    // Where scaling leaves the range of floats there is nothing to round.
    Ok(Value::Float(if result.is_finite() {
        result
    } else {
        value
    }))
}
