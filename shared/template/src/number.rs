//! Text to numbers with a fraction.

/// The number that a text is of, as Python's `float` reads it but for underscores.
pub(crate) fn decimal(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let value = match &*unsigned.to_ascii_lowercase() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" => f64::NAN,
        plain => parse(is_decimal(plain).then_some(plain)?)?,
    };
    Some(if text.starts_with('-') { -value } else { value })
}

/// Whether it is digits, with a point among them or without, and perhaps an exponent.
fn is_decimal(text: &str) -> bool {
    let are_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    are_digits(whole)
        && are_digits(fraction)
        && whole.len() + fraction.len() > 0
        && are_digits(exponent)
        && !exponent.is_empty()
}

#[cfg(not(target_arch = "wasm32"))]
fn parse(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// By the browser: the standard library's reader has tables of ten kilobytes.
#[cfg(target_arch = "wasm32")]
fn parse(text: &str) -> Option<f64> {
    Some(js_sys::parse_float(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_number_is_read() {
        for (text, value) in [
            ("1.5", 1.5),
            ("-.5", -0.5),
            ("5.", 5.0),
            ("+1e3", 1000.0),
            ("2E-2", 0.02),
            ("Infinity", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
        ] {
            assert_eq!(decimal(text), Some(value), "{text}");
        }
        assert!(decimal("NaN").is_some_and(f64::is_nan));
        for text in [
            "", ".", "-", "1e", "e5", "1.2.3", "0x10", "1e+", "--1", "1 2", "é", "1e5.0",
        ] {
            assert_eq!(decimal(text), None, "{text}");
        }
    }
}
