//! Operators on values, with Python's rules.

use std::cmp::Ordering;
use std::rc::Rc;

use crate::args;
use crate::error::{Fail, invalid, unsupported};
use crate::meter::{Meter, Out};
use crate::tree::Operator;
use crate::value::{Form, Number, Value, number};

/// The result of an operator that computes.
pub(crate) fn compute(
    operator: Operator,
    a: &Value,
    b: &Value,
    meter: &Meter,
) -> Result<Value, Fail> {
    if let (Some(a), Some(b)) = (number(a), number(b)) {
        return arithmetic(operator, a, b);
    }
    match (operator, a, b) {
        (Operator::Add, Value::Text(a), Value::Text(b)) => {
            let mut out = Out::default();
            out.push(a)?;
            out.push(b)?;
            Ok(out.into_value())
        }
        (Operator::Add, Value::List(a), Value::List(b)) if a.form == b.form => {
            meter.spend(a.items.len() + b.items.len())?;
            let items = [a.items.as_slice(), &b.items].concat();
            Ok(Value::sequence(a.form, items))
        }
        (Operator::Multiply, Value::Text(_) | Value::List(_), Value::Int(times)) => {
            repeat(a, *times, meter)
        }
        (Operator::Multiply, Value::Int(times), Value::Text(_) | Value::List(_)) => {
            repeat(b, *times, meter)
        }
        (Operator::Remainder, Value::Text(_), _) => Err(unsupported(&["`%` on a string"])),
        _ => Err(mismatch(a, b)),
    }
}

fn mismatch(a: &Value, b: &Value) -> Fail {
    invalid(&["this operator does not take ", a.kind(), " and ", b.kind()])
}

fn repeat(value: &Value, times: i64, meter: &Meter) -> Result<Value, Fail> {
    let times = args::times(times);
    match value {
        Value::List(list) => {
            // Nothing many times would be many steps of no length.
            let times = if list.items.is_empty() { 0 } else { times };
            meter.spend(list.items.len().saturating_mul(times))?;
            let items = (0..times).flat_map(|_| list.items.iter().cloned());
            Ok(Value::sequence(list.form, items.collect()))
        }
        other => {
            let mut out = Out::default();
            out.repeat(other.text()?, times)?;
            Ok(out.into_value())
        }
    }
}

fn arithmetic(operator: Operator, a: Number, b: Number) -> Result<Value, Fail> {
    let divides = matches!(
        operator,
        Operator::Divide | Operator::FloorDivide | Operator::Remainder
    );
    if divides && b.float() == 0.0 {
        return Err(invalid(&["division by zero"]));
    }
    match (operator, a, b) {
        (Operator::Divide, ..) => Ok(Value::Float(a.float() / b.float())),
        (Operator::Power, Number::Int(a), Number::Int(b)) if b < 0 => {
            if a == 0 {
                return Err(invalid(&["division by zero"]));
            }
            power(a as f64, b as f64)
        }
        (_, Number::Int(a), Number::Int(b)) => {
            let result = match operator {
                Operator::Add => a.checked_add(b),
                Operator::Subtract => a.checked_sub(b),
                Operator::Multiply => a.checked_mul(b),
                Operator::FloorDivide => floor_divide(a, b),
                Operator::Remainder => {
                    floor_divide(a, b).map(|quotient| a.wrapping_sub(quotient.wrapping_mul(b)))
                }
                _ => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
            };
            let result = result.ok_or_else(|| unsupported(&["an integer of more than 64 bits"]))?;
            Ok(Value::Int(result))
        }
        _ => {
            let (a, b) = (a.float(), b.float());
            let result = match operator {
                Operator::Add => a + b,
                Operator::Subtract => a - b,
                Operator::Multiply => a * b,
                Operator::FloorDivide => (a / b).floor(),
                Operator::Remainder => {
                    let rest = a % b;
                    let other_sign = rest != 0.0 && (rest < 0.0) != (b < 0.0);
                    if other_sign { rest + b } else { rest }
                }
                _ => return power(a, b),
            };
            Ok(Value::Float(result))
        }
    }
}

/// Python rounds down, not towards zero.
fn floor_divide(a: i64, b: i64) -> Option<i64> {
    let quotient = a.checked_div(b)?;
    let inexact = a.checked_rem(b)? != 0;
    Some(quotient - i64::from(inexact && (a < 0) != (b < 0)))
}

/// Exponents with a fraction would need a library.
fn power(a: f64, b: f64) -> Result<Value, Fail> {
    if b.fract() == 0.0 && b.abs() <= 1024.0 {
        return Ok(Value::Float(a.powi(b as i32)));
    }
    Err(unsupported(&["such a power"]))
}

/// The result of an operator that compares.
pub(crate) fn relate(
    operator: Operator,
    a: &Value,
    b: &Value,
    meter: &Meter,
) -> Result<bool, Fail> {
    let ordered = |wanted: fn(Ordering) -> bool| Ok(compare(a, b, meter)?.is_some_and(wanted));
    match operator {
        Operator::Equal => equal(a, b, meter),
        Operator::NotEqual => Ok(!equal(a, b, meter)?),
        Operator::Less => ordered(Ordering::is_lt),
        Operator::LessOrEqual => ordered(Ordering::is_le),
        Operator::Greater => ordered(Ordering::is_gt),
        Operator::GreaterOrEqual => ordered(Ordering::is_ge),
        Operator::NotIn => Ok(!contains(b, a, meter)?),
        _ => contains(b, a, meter),
    }
}

/// Whether values are equal; those of different kinds are not, except for numbers.
pub(crate) fn equal(a: &Value, b: &Value, meter: &Meter) -> Result<bool, Fail> {
    meter.spend(1)?;
    match (a, b) {
        (Value::Undefined, Value::Undefined) | (Value::None, Value::None) => Ok(true),
        (Value::Text(text), Value::Text(other)) => {
            if text.len() != other.len() {
                return Ok(false);
            }
            meter.weigh(a)?;
            Ok(text == other)
        }
        (Value::List(a), Value::List(b)) => {
            if (a.form == Form::Tuple) != (b.form == Form::Tuple) || a.items.len() != b.items.len()
            {
                return Ok(false);
            }
            for (a, b) in a.items.iter().zip(&b.items) {
                if !equal(a, b, meter)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Map(a), Value::Map(b)) => {
            if a.entries.len() != b.entries.len() {
                return Ok(false);
            }
            for (key, value) in &a.entries {
                meter.look(b.entries.len(), key)?;
                let other = b.get(key);
                if !other.map_or(Ok(false), |other| equal(value, other, meter))? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Object(a), Value::Object(b)) => Ok(Rc::ptr_eq(a, b)),
        _ => Ok(matches!((number(a), number(b)), (Some(a), Some(b)) if a.equals(b))),
    }
}

/// The order of two values of one kind; none if one is not a number.
pub(crate) fn compare(a: &Value, b: &Value, meter: &Meter) -> Result<Option<Ordering>, Fail> {
    meter.spend(1)?;
    match (a, b) {
        (Value::Text(text), Value::Text(other)) => {
            meter.weigh(if text.len() < other.len() { a } else { b })?;
            Ok(Some(text.cmp(other)))
        }
        (Value::List(a), Value::List(b)) if a.form == b.form => {
            for (a, b) in a.items.iter().zip(&b.items) {
                if !equal(a, b, meter)? {
                    return compare(a, b, meter);
                }
            }
            Ok(Some(a.items.len().cmp(&b.items.len())))
        }
        _ => match (number(a), number(b)) {
            (Some(Number::Int(a)), Some(Number::Int(b))) => Ok(Some(a.cmp(&b))),
            (Some(a), Some(b)) => Ok(a.float().partial_cmp(&b.float())),
            _ => Err(invalid(&[
                "there is no order of ",
                a.kind(),
                " and ",
                b.kind(),
            ])),
        },
    }
}

/// Whether a container has a value: a string a part, a map a key.
pub(crate) fn contains(container: &Value, value: &Value, meter: &Meter) -> Result<bool, Fail> {
    match container {
        Value::Undefined => Ok(false),
        Value::Text(text) => {
            meter.weigh(container)?;
            meter.weigh(value)?;
            Ok(text.contains(&**value.text()?))
        }
        Value::Map(map) => {
            meter.look(map.entries.len(), value)?;
            Ok(map.get(value).is_some())
        }
        Value::List(list) => {
            for item in &list.items {
                if equal(item, value, meter)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        other => Err(invalid(&["nothing is in ", other.kind()])),
    }
}
