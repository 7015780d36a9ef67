//! Filters of lists, and of what has items.

use super::filter;
use crate::args::{Args, Bound};
use crate::error::{Error, Fail, invalid, unsupported};
use crate::meter::Meter;
use crate::operate::{compute, equal};
use crate::print::to_string;
use crate::sequence::{from_char, item, items, pairs};
use crate::sort::{Order, sort};
use crate::tests::test;
use crate::text;
use crate::tree::Operator;
use crate::value::{Form, Value};

/// The attribute `a.b.0` of a value, with what stands for any of these that there is not.
fn attribute_of(
    value: &Value,
    path: &Value,
    default: &Value,
    meter: &Meter,
) -> Result<Value, Fail> {
    let Value::Text(path) = path else {
        return item(value, path, meter);
    };
    let mut value = value.clone();
    for part in path.split('.') {
        meter.spend(1)?;
        meter.spend_bytes(part.len())?;
        let key = part.parse().map_or_else(|_| Value::from(part), Value::Int);
        value = item(&value, &key, meter)?;
        if value.is_undefined() {
            value = default.clone();
        }
    }
    Ok(value)
}

/// A filter or test that a value names, which may be what somebody wrote: an error must not say it.
fn named_by_value(error: Fail) -> Fail {
    match *error {
        Error::Unsupported { .. } => unsupported(&["a filter or test that is named by a value"]),
        _ => error,
    }
}

pub(super) fn map(value: &Value, mut args: Args, meter: &Meter) -> Result<Value, Fail> {
    let attribute = args.take("attribute");
    let filter_name = if attribute.is_none() {
        args.first()
    } else {
        None
    };
    let default = match &attribute {
        Some(_) => args.take("default").unwrap_or(Value::Undefined),
        None => Value::Undefined,
    };
    let mut made = Vec::new();
    for item in &items(value, meter)?.items {
        meter.spend(1)?;
        args.weigh(meter)?;
        made.push(match (&attribute, &filter_name) {
            (Some(path), _) => attribute_of(item, path, &default, meter)?,
            (None, Some(name)) => {
                let result = filter(name.text()?, item, args.clone(), meter);
                result.map_err(named_by_value)?
            }
            (None, None) => return Err(invalid(&["`map` needs a filter or an attribute"])),
        });
    }
    Ok(Value::sequence(Form::Stream, made))
}

pub(super) fn select(
    name: &str,
    value: &Value,
    mut args: Args,
    meter: &Meter,
) -> Result<Value, Fail> {
    let path = if name.ends_with("attr") {
        Some(
            args.first()
                .ok_or_else(|| invalid(&["an attribute is missing"]))?,
        )
    } else {
        None
    };
    let test_name = args.first();
    let keeps = name.starts_with("select");
    let mut made = Vec::new();
    for item in &items(value, meter)?.items {
        meter.spend(1)?;
        args.weigh(meter)?;
        let subject = match &path {
            Some(path) => attribute_of(item, path, &Value::Undefined, meter)?,
            None => item.clone(),
        };
        let holds = match &test_name {
            Some(name) => {
                let result = test(name.text()?, &subject, args.clone(), meter);
                result.map_err(named_by_value)?
            }
            None => subject.is_true(),
        };
        if holds == keeps {
            made.push(item.clone());
        }
    }
    Ok(Value::sequence(Form::Stream, made))
}

/// Filters of lists, and of what has items.
pub(super) fn sequence(
    name: &str,
    value: &Value,
    args: &Bound,
    meter: &Meter,
) -> Result<Value, Fail> {
    match name {
        "join" => {
            let [separator, attribute, ..] = args;
            let values = by_attribute(value, attribute, meter)?;
            text::join(&values, &to_string(separator, meter)?, true, meter)
        }
        "items" => match value {
            Value::Undefined => Ok(Value::sequence(Form::Stream, Vec::new())),
            Value::Map(map) => Ok(Value::sequence(Form::Stream, pairs(&map.entries))),
            other => Err(invalid(&[other.kind(), " has no keys"])),
        },
        "sort" => {
            let [reverse, sensitive, attribute, ..] = args;
            let order = Order {
                ignore_case: !sensitive.is_true(),
                reverse: reverse.is_true(),
            };
            sorted(&items(value, meter)?.items, attribute, &order, meter)
        }
        "dictsort" => dictsort(value, args, meter),
        "sum" => {
            let [attribute, start, ..] = args;
            let mut sum = start.clone();
            if sum.is_undefined() {
                sum = Value::Int(0);
            }
            for item in &items(&by_attribute(value, attribute, meter)?, meter)?.items {
                sum = compute(Operator::Add, &sum, item, meter)?;
                meter.weigh(&sum)?;
            }
            Ok(sum)
        }
        "min" | "max" | "unique" => {
            let [sensitive, attribute, ..] = args;
            let order = Order {
                ignore_case: !sensitive.is_true(),
                reverse: name == "max",
            };
            match name {
                "unique" => unique(value, attribute, &order, meter),
                _ => least(value, attribute, &order, meter),
            }
        }
        _ => ends(name, value, meter),
    }
}

fn ends(name: &str, value: &Value, meter: &Meter) -> Result<Value, Fail> {
    if let (Value::Text(text), "first" | "last" | "reverse") = (value, name) {
        return Ok(match name {
            "first" => text.chars().next().map_or(Value::Undefined, from_char),
            "last" => text.chars().next_back().map_or(Value::Undefined, from_char),
            _ => Value::from(text.chars().rev().collect::<String>()),
        });
    }
    if let (Value::Map(map), "first" | "last") = (value, name) {
        let mut keys = map.entries.iter().map(|(key, _)| key.clone());
        let key = if name == "first" {
            keys.next()
        } else {
            keys.next_back()
        };
        return Ok(key.unwrap_or(Value::Undefined));
    }
    let items = items(value, meter)?;
    let items = &items.items;
    Ok(match name {
        "first" => items.first().cloned().unwrap_or(Value::Undefined),
        "last" => items.last().cloned().unwrap_or(Value::Undefined),
        "reverse" => Value::sequence(Form::Stream, items.iter().rev().cloned().collect()),
        _ => Value::list(items.clone()),
    })
}

/// The values, or an attribute of each.
fn by_attribute(value: &Value, attribute: &Value, meter: &Meter) -> Result<Value, Fail> {
    if matches!(attribute, Value::Undefined | Value::None) {
        return Ok(value.clone());
    }
    let items = items(value, meter)?;
    let found = items
        .items
        .iter()
        .map(|item| attribute_of(item, attribute, &Value::Undefined, meter));
    Ok(Value::list(found.collect::<Result<_, _>>()?))
}

fn sorted(
    values: &[Value],
    attribute: &Value,
    order: &Order,
    meter: &Meter,
) -> Result<Value, Fail> {
    let keys = by_attribute(&Value::list(values.to_vec()), attribute, meter)?;
    let places = sort(&items(&keys, meter)?.items, order, meter)?;
    let sorted = places
        .iter()
        .filter_map(|place| values.get(*place).cloned());
    Ok(Value::list(sorted.collect()))
}

fn dictsort(value: &Value, args: &Bound, meter: &Meter) -> Result<Value, Fail> {
    let [sensitive, by, reverse, ..] = args;
    let Value::Map(map) = value else {
        return Err(invalid(&[value.kind(), " has no keys"]));
    };
    let order = Order {
        ignore_case: !sensitive.is_true(),
        reverse: reverse.is_true(),
    };
    let place = match &by {
        Value::Undefined => 0,
        by => match &**by.text()? {
            "key" => 0,
            "value" => 1,
            _ => return Err(invalid(&["`dictsort` is by \"key\" or by \"value\""])),
        },
    };
    sorted(&pairs(&map.entries), &Value::Int(place), &order, meter)
}

fn unique(value: &Value, attribute: &Value, order: &Order, meter: &Meter) -> Result<Value, Fail> {
    let values = items(value, meter)?;
    let keys = items(&by_attribute(value, attribute, meter)?, meter)?;
    let mut seen: Vec<Value> = Vec::new();
    let mut made = Vec::new();
    'next: for (value, key) in values.items.iter().zip(&keys.items) {
        meter.weigh_text(key)?;
        let key = order.key(key);
        for other in &seen {
            if equal(&key, other, meter)? {
                continue 'next;
            }
        }
        seen.push(key);
        made.push(value.clone());
    }
    Ok(Value::sequence(Form::Stream, made))
}

/// The first in an order.
fn least(value: &Value, attribute: &Value, order: &Order, meter: &Meter) -> Result<Value, Fail> {
    let values = items(value, meter)?;
    let keys = items(&by_attribute(value, attribute, meter)?, meter)?;
    let mut best = 0;
    for (place, key) in keys.items.iter().enumerate().skip(1) {
        if order.compare(key, &keys.items[best], meter)?.is_lt() {
            best = place;
        }
    }
    Ok(values.items.get(best).cloned().unwrap_or(Value::Undefined))
}
