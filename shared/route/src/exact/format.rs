//! Numbers as text.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

/// More decimals than this are rounded.
const EXACT_DECIMALS: u32 = 12;
/// Decimals of a rounded number; of one below 1, significant digits.
const ROUNDED: u32 = 6;
/// Numbers smaller than this many zeros are no plain arithmetic.
const SMALLEST: u32 = 30;
/// Digits of the largest number that is written out.
const LARGEST: usize = 1000;

/// A number for a person: exact where its decimals end, else rounded and marked "≈".
pub(super) fn shown(value: &BigRational) -> Option<String> {
    match plain(value) {
        Some(text) => Some(text),
        None => rounded(value),
    }
}

/// A number whose decimals end soon; `None` for any other.
pub(super) fn plain(value: &BigRational) -> Option<String> {
    let decimals = (0..=EXACT_DECIMALS).find(|n| power_of_ten(*n).is_multiple_of(value.denom()))?;
    digits(value, decimals)
}

/// A number to six decimals, or six significant digits below 1, marked "≈".
pub(super) fn rounded(value: &BigRational) -> Option<String> {
    let mut decimals = ROUNDED;
    while (value.abs() * power_of_ten(decimals)).to_integer() < power_of_ten(ROUNDED - 1) {
        decimals += 1;
        if decimals > SMALLEST {
            return None;
        }
    }
    let text = digits(value, decimals)?;
    let text = text.trim_end_matches('0').trim_end_matches('.');
    Some(format!("≈ {text}"))
}

/// A number rounded (half away from zero) to `decimals` decimals.
fn digits(value: &BigRational, decimals: u32) -> Option<String> {
    let scaled = (value.abs() * power_of_ten(decimals)).round().to_integer();
    let mut text = scaled.to_string();
    if text.len() > LARGEST {
        return None;
    }
    if decimals > 0 {
        let decimals = decimals as usize;
        text = format!("{text:0>width$}", width = decimals + 1);
        text.insert(text.len() - decimals, '.');
    }
    let sign = if value.is_negative() && !scaled.is_zero() {
        "-"
    } else {
        ""
    };
    Some(format!("{sign}{text}"))
}

/// A fraction, `3/4`.
pub(super) fn fraction(value: &BigRational) -> Option<String> {
    let text = if value.denom().is_one() {
        value.numer().to_string()
    } else {
        value.to_string()
    };
    (text.len() <= LARGEST).then_some(text)
}

fn power_of_ten(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::lex::ratio;

    #[test]
    fn numbers_for_a_person() {
        for (numerator, denominator, text) in [
            (391, 1, "391"),
            (-7, 2, "-3.5"),
            (1, 8, "0.125"),
            (0, 5, "0"),
            (10, 3, "≈ 3.333333"),
            (-2, 3, "≈ -0.666667"),
            (1, 300_000, "≈ 0.00000333333"),
            (2_000_001, 2_000_002, "≈ 1"),
            (1, 1_000_000_000_000, "0.000000000001"),
        ] {
            assert_eq!(shown(&ratio(numerator, denominator)).as_deref(), Some(text));
        }
        assert_eq!(fraction(&ratio(6, -8)).as_deref(), Some("-3/4"));
        assert_eq!(
            shown(&(ratio(1, 3) / BigRational::from(power_of_ten(40)))),
            None
        );
    }
}
