//! Conversions between units that mean one thing everywhere. Gallons, cups, tons, calories, months
//! and kilobytes do not, unless it is said which.

use num_rational::BigRational;
use num_traits::Signed;

use super::{
    Exact, format,
    lex::{Lexeme, ratio},
    strip_start, words,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dimension {
    Length,
    Mass,
    Temperature,
    Volume,
    Time,
    Speed,
    Area,
}
use Dimension::{Area, Length, Mass, Speed, Temperature, Time, Volume};

struct Unit {
    dimension: Dimension,
    /// Size in the dimension's base unit (m, kg, K, l, s, m/s, m²), as numerator and denominator;
    /// all are exact by definition (international yard and pound of 1959).
    size: (i64, i64),
    /// Zero point in the base unit, for temperatures.
    zero: (i64, i64),
    /// Name after 1, name after other numbers, then further names; lexemes parted by spaces.
    names: &'static [&'static str],
}

const fn unit(
    dimension: Dimension,
    numerator: i64,
    denominator: i64,
    names: &'static [&'static str],
) -> Unit {
    Unit {
        dimension,
        size: (numerator, denominator),
        zero: (0, 1),
        names,
    }
}

#[rustfmt::skip]
static UNITS: &[Unit] = &[
    unit(Length, 1, 1000, &["mm", "mm", "millimeter", "millimeters", "millimetre",
        "millimetres"]),
    unit(Length, 1, 100, &["cm", "cm", "centimeter", "centimeters", "centimetre", "centimetres"]),
    unit(Length, 1, 1, &["m", "m", "meter", "meters", "metre", "metres"]),
    unit(Length, 1000, 1, &["km", "km", "kilometer", "kilometers", "kilometre", "kilometres",
        "kms"]),
    unit(Length, 254, 10_000, &["inch", "inches", "in"]),
    unit(Length, 3048, 10_000, &["foot", "feet", "ft"]),
    unit(Length, 9144, 10_000, &["yard", "yards", "yd", "yds"]),
    unit(Length, 1_609_344, 1000, &["mile", "miles", "mi"]),
    unit(Length, 1852, 1, &["nautical mile", "nautical miles", "nmi"]),
    unit(Mass, 1, 1_000_000, &["mg", "mg", "milligram", "milligrams"]),
    unit(Mass, 1, 1000, &["g", "g", "gram", "grams", "gramme", "grammes"]),
    unit(Mass, 1, 1, &["kg", "kg", "kilogram", "kilograms", "kilo", "kilos", "kgs"]),
    unit(Mass, 1000, 1, &["tonne", "tonnes", "metric ton", "metric tons"]),
    unit(Mass, 45_359_237, 100_000_000, &["pound", "pounds", "lb", "lbs"]),
    unit(Mass, 45_359_237, 1_600_000_000, &["ounce", "ounces", "oz"]),
    unit(Mass, 635_029_318, 100_000_000, &["stone", "stone", "stones"]),
    unit(Temperature, 1, 1, &["K", "K", "kelvin", "kelvins"]),
    Unit { dimension: Temperature, size: (1, 1), zero: (27_315, 100), names: &["°C", "°C", "° c",
        "c", "celsius", "degrees celsius", "degree celsius", "degrees c", "centigrade",
        "degrees centigrade"] },
    Unit { dimension: Temperature, size: (5, 9), zero: (45_967 * 5, 900), names: &["°F", "°F",
        "° f", "f", "fahrenheit", "degrees fahrenheit", "degree fahrenheit", "degrees f"], },
    unit(Volume, 1, 1000, &["ml", "ml", "milliliter", "milliliters", "millilitre",
        "millilitres"]),
    unit(Volume, 1, 100, &["cl", "cl", "centiliter", "centiliters", "centilitre", "centilitres"]),
    unit(Volume, 1, 1, &["liter", "liters", "litre", "litres", "l"]),
    unit(Volume, 1000, 1, &["m³", "m³", "m ³", "cubic meter", "cubic meters", "cubic metre",
        "cubic metres"]),
    unit(Volume, 3_785_411_784, 1_000_000_000, &["US gallon", "US gallons", "us gallon",
        "us gallons"]),
    unit(Volume, 454_609, 100_000, &["imperial gallon", "imperial gallons"]),
    unit(Time, 1, 1000, &["millisecond", "milliseconds", "ms"]),
    unit(Time, 1, 1, &["second", "seconds", "sec", "secs", "s"]),
    unit(Time, 60, 1, &["minute", "minutes", "min", "mins"]),
    unit(Time, 3600, 1, &["hour", "hours", "h", "hr", "hrs"]),
    unit(Time, 86_400, 1, &["day", "days"]),
    unit(Time, 604_800, 1, &["week", "weeks"]),
    unit(Speed, 1, 1, &["m/s", "m/s", "m / s", "meters per second", "metres per second"]),
    unit(Speed, 1000, 3600, &["km/h", "km/h", "km / h", "kph", "kmh", "kilometers per hour",
        "kilometres per hour"]),
    unit(Speed, 1_609_344, 3_600_000, &["mph", "mph", "miles per hour"]),
    unit(Speed, 1852, 3600, &["knot", "knots"]),
    unit(Area, 1, 1, &["m²", "m²", "m ²", "square meter", "square meters", "square metre",
        "square metres"]),
    unit(Area, 1_000_000, 1, &["km²", "km²", "km ²", "square kilometer", "square kilometers",
        "square kilometre", "square kilometres"]),
    unit(Area, 10_000, 1, &["hectare", "hectares", "ha"]),
    unit(Area, 9_290_304, 100_000_000, &["square foot", "square feet", "sq ft"]),
    unit(Area, 40_468_564_224, 10_000_000, &["acre", "acres"]),
    unit(Area, 2_589_988_110_336, 1_000_000, &["square mile", "square miles"]),
];

/// Most lexemes in a unit's name.
const LONGEST: usize = 3;

impl Unit {
    fn in_base(&self, value: &BigRational) -> BigRational {
        value * ratio(self.size.0, self.size.1) + ratio(self.zero.0, self.zero.1)
    }

    fn in_unit(&self, value: &BigRational) -> BigRational {
        (value - ratio(self.zero.0, self.zero.1)) / ratio(self.size.0, self.size.1)
    }

    fn name(&self, number: &str) -> &'static str {
        self.names[if number == "1" { 0 } else { 1 }]
    }
}

/// What is to be converted, as in "5 feet 10 inches".
struct Quantity<'a> {
    base: BigRational,
    dimension: Dimension,
    text: String,
    unit: &'static Unit,
    rest: &'a [Lexeme],
}

pub(super) fn answer(lexemes: &[Lexeme]) -> Option<Exact> {
    let (quantity, target) = how_many(lexemes).or_else(|| convert(lexemes))?;
    if quantity.dimension != target.dimension || core::ptr::eq(quantity.unit, target) {
        return None;
    }
    // Below absolute zero, or a negative length: something else is meant.
    if quantity.base.is_negative() {
        return None;
    }
    let number = format::shown(&target.in_unit(&quantity.base))?;
    let name = target.name(&number);
    Some(Exact {
        text: format!("{number} {name}"),
        expression: format!("{} in {}", quantity.text, target.names[1]),
    })
}

/// "How many miles are in 5 km?", "how many feet in a mile?"
fn how_many(lexemes: &[Lexeme]) -> Option<(Quantity<'_>, &'static Unit)> {
    const MIDDLES: &[&str] = &[
        "are there in",
        "are in",
        "is in",
        "in",
        "is",
        "are",
        "make up",
        "make",
        "does",
    ];
    let (target, rest) = named(strip_start(lexemes, "how many")?)?;
    let rest = MIDDLES
        .iter()
        .find_map(|middle| strip_start(rest, middle))?;
    let quantity = quantity(rest)?;
    let ends = quantity.rest.is_empty()
        || strip_start(quantity.rest, "have").is_some_and(<[Lexeme]>::is_empty);
    ends.then_some((quantity, target))
}

/// "Convert 5 km to miles", "5 km in miles", "5 km is how many miles"
fn convert(lexemes: &[Lexeme]) -> Option<(Quantity<'_>, &'static Unit)> {
    const OPENINGS: &[&str] = &["convert", "what is", "how much is", "express", "what are"];
    const MIDDLES: &[&str] = &[
        "is how many",
        "are how many",
        "equals how many",
        "converted to",
        "to",
        "in",
        "into",
        "as",
    ];
    let rest = OPENINGS
        .iter()
        .find_map(|opening| strip_start(lexemes, opening));
    let quantity = quantity(rest.unwrap_or(lexemes))?;
    let rest = MIDDLES
        .iter()
        .find_map(|middle| strip_start(quantity.rest, middle))?;
    let (target, rest) = named(rest)?;
    rest.is_empty().then_some((quantity, target))
}

/// The unit at the start, by its longest name.
fn named(lexemes: &[Lexeme]) -> Option<(&'static Unit, &[Lexeme])> {
    (1..=LONGEST.min(lexemes.len())).rev().find_map(|count| {
        let (start, rest) = lexemes.split_at(count);
        let has = |unit: &&Unit| {
            let fits = |name: &&str| strip_start(start, name).is_some_and(<[Lexeme]>::is_empty);
            unit.names.iter().any(fits)
        };
        UNITS.iter().find(has).map(|unit| (unit, rest))
    })
}

fn quantity(lexemes: &[Lexeme]) -> Option<Quantity<'_>> {
    let minus = ["-", "minus", "negative"]
        .iter()
        .find_map(|sign| strip_start(lexemes, sign));
    let mut first = part(minus.unwrap_or(lexemes))?;
    if minus.is_some() {
        // Only temperatures go below zero.
        let value = -first.unit.in_unit(&first.base);
        first.base = first.unit.in_base(&value);
        first.text.insert(0, '-');
        return (first.dimension == Temperature).then_some(first);
    }
    // "5 feet 10 inches", "1 hour and 30 minutes": each unit smaller than the one before.
    while first.dimension != Temperature {
        let rest = strip_start(first.rest, "and").unwrap_or(first.rest);
        let Some(next) = part(rest) else { break };
        let (larger, smaller) = (first.unit.size, next.unit.size);
        if next.dimension != first.dimension
            || ratio(smaller.0, smaller.1) >= ratio(larger.0, larger.1)
        {
            return None;
        }
        let text = format!("{} {}", first.text, next.text);
        first = Quantity {
            base: first.base + next.base,
            text,
            ..next
        };
    }
    Some(first)
}

/// A number and a unit, or "a" and a unit.
fn part(lexemes: &[Lexeme]) -> Option<Quantity<'_>> {
    let (value, text, rest) = match words::number(lexemes) {
        Some(read) => (read.number.value, read.number.text, read.rest),
        None => {
            let article = ["a", "an"]
                .iter()
                .find_map(|article| strip_start(lexemes, article));
            (ratio(1, 1), "1".to_owned(), article?)
        }
    };
    let (unit, rest) = named(rest)?;
    let text = format!("{text} {}", unit.name(&text));
    Some(Quantity {
        base: unit.in_base(&value),
        dimension: unit.dimension,
        text,
        unit,
        rest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_its_unit() {
        for unit in UNITS {
            // Names with capitals are only for show; lexemes have none.
            for name in unit
                .names
                .iter()
                .filter(|name| **name == name.to_lowercase())
            {
                let lexemes = crate::exact::lex::lex(name).unwrap();
                let (found, rest) = named(&lexemes).unwrap_or_else(|| panic!("{name}"));
                assert!(core::ptr::eq(found, unit) && rest.is_empty(), "{name}");
            }
        }
    }

    #[test]
    fn there_and_back_is_the_same() {
        for unit in UNITS {
            let value = ratio(1234, 7);
            assert_eq!(
                unit.in_unit(&unit.in_base(&value)),
                value,
                "{}",
                unit.names[1]
            );
        }
    }
}
