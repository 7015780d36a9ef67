//! Jinja's tests: what follows `is`.

use crate::args::{Args, Bound, Signatures, parameters};
use crate::error::{Fail, invalid, unknown};
use crate::meter::Meter;
use crate::operate::relate;
use crate::print::to_string;
use crate::text::{is_cased, starts_or_ends};
use crate::tree::Operator;
use crate::value::{Form, Inner, Number, Value, number};

/// Tests that take an argument; any other takes none.
const TESTS: Signatures = &[
    ("!=", "other"),
    ("<", "other"),
    ("<=", "other"),
    ("==", "other"),
    (">", "other"),
    (">=", "other"),
    ("divisibleby", "num"),
    ("endingwith", "other"),
    ("eq", "other"),
    ("equalto", "other"),
    ("ge", "other"),
    ("greaterthan", "other"),
    ("gt", "other"),
    ("in", "seq"),
    ("le", "other"),
    ("lessthan", "other"),
    ("lt", "other"),
    ("ne", "other"),
    ("sameas", "other"),
    ("startingwith", "other"),
];

/// Whether a test holds.
pub(crate) fn test(name: &str, value: &Value, args: Args, meter: &Meter) -> Result<bool, Fail> {
    // The items are paid for by what looks at them.
    meter.weigh_text(value)?;
    let args: &Bound = &args.bind(parameters(TESTS, name).unwrap_or(""))?;
    let [other, ..] = args;
    let operator = match name {
        "eq" | "==" | "equalto" => Operator::Equal,
        "ne" | "!=" => Operator::NotEqual,
        "lt" | "<" | "lessthan" => Operator::Less,
        "le" | "<=" => Operator::LessOrEqual,
        "gt" | ">" | "greaterthan" => Operator::Greater,
        "ge" | ">=" => Operator::GreaterOrEqual,
        "in" => Operator::In,
        "divisibleby" => {
            let by = other.int()?;
            if by == 0 {
                return Err(invalid(&["division by zero"]));
            }
            return Ok(value.int()?.wrapping_rem(by) == 0);
        }
        "sameas" => {
            return same(value, other, meter);
        }
        "startingwith" | "endingwith" => {
            return starts_or_ends(value.text()?, other, name == "startingwith", meter);
        }
        _ => {
            return simple(name, value, meter);
        }
    };
    relate(operator, value, other, meter)
}

/// Whether two values are one and the same, as far as can be told from values.
fn same(a: &Value, b: &Value, meter: &Meter) -> Result<bool, Fail> {
    Ok(a.kind() == b.kind() && relate(Operator::Equal, a, b, meter)?)
}

/// Tests without arguments.
fn simple(name: &str, value: &Value, meter: &Meter) -> Result<bool, Fail> {
    let number = number(value);
    let is_bool = matches!(value, Value::Bool(_));
    let is_function = match value {
        Value::Object(object) => !matches!(object.0, Inner::Namespace(_)),
        // Calling one is an error, but it has the method for that.
        Value::Undefined => true,
        _ => false,
    };
    Ok(match name {
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "none" => matches!(value, Value::None),
        "string" => matches!(value, Value::Text(_)),
        "number" => number.is_some(),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "boolean" => is_bool,
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "mapping" => matches!(value, Value::Map(_)),
        "iterable" => {
            matches!(
                value,
                Value::Undefined | Value::Text(_) | Value::List(_) | Value::Map(_)
            )
        }
        "sequence" => match value {
            Value::List(list) => list.form != Form::Stream,
            // Python has it so that undefined values have a length and items, of which there are none.
            Value::Undefined | Value::Text(_) | Value::Map(_) => true,
            _ => false,
        },
        "callable" => is_function,
        "odd" | "even" => {
            let rest = match number {
                Some(Number::Int(value)) => (value % 2 != 0) as u8 as f64,
                Some(Number::Float(value)) => (value % 2.0).abs(),
                None => return Err(invalid(&["expected a number, not ", value.kind()])),
            };
            rest == if name == "odd" { 1.0 } else { 0.0 }
        }
        "lower" => is_cased(
            &to_string(value, meter)?,
            char::is_lowercase,
            char::is_uppercase,
        ),
        "upper" => is_cased(
            &to_string(value, meter)?,
            char::is_uppercase,
            char::is_lowercase,
        ),
        "escaped" => false,
        _ => return Err(unknown("the test", name)),
    })
}
