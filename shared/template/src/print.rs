//! Values as text, as Python's `str` and `repr` write them.

use crate::error::{Fail, invalid};
use crate::meter::{Meter, Out};
use crate::text::is_space;
use crate::value::{Form, Inner, Value};

/// Python's `str`: what `{{ value }}` prints.
pub(crate) fn text(value: &Value, out: &mut Out) -> Result<(), Fail> {
    match value {
        Value::Text(text) => out.push(text),
        Value::Undefined => Ok(()),
        other => repr(other, out),
    }
}

/// The same as a string.
pub(crate) fn to_string(value: &Value, meter: &Meter) -> Result<String, Fail> {
    let mut out = Out::default();
    text(value, &mut out)?;
    let text = out.into_string();
    meter.spend_bytes(text.len())?;
    Ok(text)
}

/// Python's `repr`, which is also how values inside of values are printed.
pub(crate) fn repr(value: &Value, out: &mut Out) -> Result<(), Fail> {
    match value {
        Value::Undefined => out.push("Undefined"),
        Value::None => out.push("None"),
        Value::Bool(true) => out.push("True"),
        Value::Bool(false) => out.push("False"),
        Value::Int(value) => out.push(&value.to_string()),
        Value::Float(value) => out.push(&float(*value)),
        Value::Text(text) => quoted(text, out),
        Value::List(list) => {
            let (open, close) = match list.form {
                Form::Tuple => ("(", ")"),
                Form::List | Form::Stream => ("[", "]"),
            };
            out.push(open)?;
            for (index, item) in list.items.iter().enumerate() {
                out.push(if index > 0 { ", " } else { "" })?;
                repr(item, out)?;
            }
            let comma = list.form == Form::Tuple && list.items.len() == 1;
            out.push(if comma { "," } else { "" })?;
            out.push(close)
        }
        Value::Map(map) => {
            out.push("{")?;
            for (index, (key, value)) in map.entries.iter().enumerate() {
                out.push(if index > 0 { ", " } else { "" })?;
                repr(key, out)?;
                out.push(": ")?;
                repr(value, out)?;
            }
            out.push("}")
        }
        Value::Object(object) => match &object.0 {
            Inner::Namespace(_) | Inner::Loop { .. } => {
                Err(invalid(&["cannot print ", value.kind()]))
            }
            _ => Err(invalid(&["cannot print a function; is a call missing?"])),
        },
    }
}

/// A string as Python writes it in quotes: single ones, unless it has only such.
fn quoted(text: &str, out: &mut Out) -> Result<(), Fail> {
    let double = text.contains('\'') && !text.contains('"');
    let quote = if double { "\"" } else { "'" };
    out.push(quote)?;
    for c in text.chars() {
        match c {
            '\\' => out.push("\\\\")?,
            '\n' => out.push("\\n")?,
            '\r' => out.push("\\r")?,
            '\t' => out.push("\\t")?,
            '\'' if !double => out.push("\\'")?,
            // Python escapes whatever is not printable, which would take a table; these are what texts have of it.
            ' ' => out.push(" ")?,
            _ if c.is_control() || is_space(c) || c == '\u{ad}' => {
                let code = u32::from(c);
                let (letter, digits) = if code > 0xff { ("\\u", 4) } else { ("\\x", 2) };
                out.push(letter)?;
                hex(code, digits, out)?;
            }
            _ => out.push_char(c)?,
        }
    }
    out.push(quote)
}

/// A code in so many hexadecimal digits.
pub(crate) fn hex(code: u32, digits: u32, out: &mut Out) -> Result<(), Fail> {
    for place in (0..digits).rev() {
        let digit = char::from_digit((code >> (4 * place)) & 15, 16);
        out.push_char(digit.unwrap_or('0'))?;
    }
    Ok(())
}

/// A float as Python's `repr`: the shortest digits that read back, with an exponent below 1e-4 and from 1e16 on.
pub(crate) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let decimal = decimal(value.abs());
    let (number, exponent) = decimal.split_once('e').unwrap_or((&decimal, "0"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all = [whole, fraction].concat();
    let digits = all.trim_start_matches('0');
    // Of the first digit that is not zero.
    let place = whole.len() as i32 - 1 - (all.len() - digits.len()) as i32;
    let exponent = exponent.parse().unwrap_or(0) + place;
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return [sign, "0.0"].concat();
    }
    let zeros = |count: usize| "0".repeat(count);
    let size = exponent.unsigned_abs() as usize;
    if !(-4..16).contains(&exponent) {
        let way = if exponent < 0 { "-" } else { "+" };
        let pad = if size < 10 { "0" } else { "" };
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        return [sign, first, point, rest, "e", way, pad, &size.to_string()].concat();
    }
    if exponent < 0 {
        return [sign, "0.", &zeros(size - 1), digits].concat();
    }
    match digits.split_at_checked(size + 1) {
        Some((whole, "")) => [sign, whole, ".0"].concat(),
        Some((whole, fraction)) => [sign, whole, ".", fraction].concat(),
        None => [sign, digits, &zeros(size + 1 - digits.len()), ".0"].concat(),
    }
}

/// The shortest digits that read back, some with an exponent.
#[cfg(not(target_arch = "wasm32"))]
fn decimal(value: f64) -> String {
    value.to_string()
}

/// By the browser: the standard library's way takes tables and code of twenty kilobytes.
#[cfg(target_arch = "wasm32")]
fn decimal(value: f64) -> String {
    let decimal = js_sys::Number::from(value).to_string_with_radix(10);
    decimal.map(String::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_in_python() {
        for (value, expected) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (-12.5, "-12.5"),
            (100.0, "100.0"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (1.5e-5, "1.5e-05"),
            (1e-4, "0.0001"),
            (0.00123, "0.00123"),
            (1e300, "1e+300"),
            (123456.789, "123456.789"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(float(value), expected);
        }
    }

    #[test]
    fn values_are_written_as_in_python() {
        let pair = (Value::from("a'b"), Value::None);
        let list = vec![
            Value::from("a\n\"\u{2028}"),
            Value::Bool(true),
            Value::sequence(Form::Tuple, vec![Value::Int(1)]),
            Value::map(vec![pair]),
        ];
        let written = to_string(&Value::list(list), &Meter::new()).unwrap();
        assert_eq!(written, "['a\\n\"\\u2028', True, (1,), {\"a'b\": None}]");
    }
}
