//! Dates that need no clock: days between two, days of the week, days before and after, leap years.
//! Gregorian calendar, from 1583 to 9999: before, it depends on the country.

use core::fmt;

use super::{
    Exact,
    lex::{Lexeme, Token, small},
    strip_end, strip_start, words,
};

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Date {
    year: i32,
    month: i32,
    day: i32,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// Day 0, 1970-01-01, was a Thursday.
const WEEKDAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];
const YEARS: core::ops::RangeInclusive<i32> = 1583..=9999;

impl Date {
    /// The date, if it exists.
    pub(super) fn new(year: i32, month: i32, day: i32) -> Option<Self> {
        let exists = YEARS.contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day);
        exists.then_some(Self { year, month, day })
    }

    /// Days since 1970-01-01. Algorithm: Howard Hinnant, "chrono-compatible low-level date
    /// algorithms", days_from_civil; years begin in March, so that the leap day comes last.
    fn number(self) -> i32 {
        let year = if self.month <= 2 {
            self.year - 1
        } else {
            self.year
        };
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The inverse, civil_from_days of the same source.
    fn from_number(number: i32) -> Option<Self> {
        let shifted = number.checked_add(719_468)?;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = (shifted_month + 2) % 12 + 1;
        Self::new(year_of_era + era * 400 + i32::from(month <= 2), month, day)
    }

    fn weekday(self) -> &'static str {
        WEEKDAYS[self.number().rem_euclid(7) as usize]
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i32, month: i32) -> i32 {
    match month {
        2 => 28 + i32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

pub(super) fn answer(lexemes: &[Lexeme]) -> Option<Exact> {
    days_between(lexemes)
        .or_else(|| weekday(lexemes))
        .or_else(|| leap_year(lexemes))
        .or_else(|| days_in(lexemes))
        .or_else(|| shifted(lexemes))
}

fn exact(text: impl fmt::Display, expression: String) -> Option<Exact> {
    Some(Exact {
        text: text.to_string(),
        expression,
    })
}

fn starts<'a>(lexemes: &'a [Lexeme], phrases: &[&str]) -> Option<&'a [Lexeme]> {
    phrases
        .iter()
        .find_map(|phrase| strip_start(lexemes, phrase))
}

/// Without the phrase at the start, if it is there.
fn past<'a>(lexemes: &'a [Lexeme], phrases: &[&str]) -> &'a [Lexeme] {
    starts(lexemes, phrases).unwrap_or(lexemes)
}

/// "How many days are there between A and B?", "days from A to B"
fn days_between(lexemes: &[Lexeme]) -> Option<Exact> {
    const OPENINGS: &[&str] = &[
        "what is the number of days",
        "number of days",
        "how many days",
        "calculate the days",
        "days",
    ];
    let rest = starts(lexemes, OPENINGS)?;
    let rest = past(
        rest,
        &["are there", "were there", "are", "were", "is it", "passed"],
    );
    let (from, rest, parted) = if let Some(rest) = strip_start(rest, "between") {
        let (from, rest) = date(rest)?;
        (from, strip_start(rest, "and")?, true)
    } else {
        let (from, rest) = date(strip_start(rest, "from")?)?;
        (from, starts(rest, &["to", "until", "till"])?, false)
    };
    let (to, rest) = date(rest)?;
    let days = to.number() - from.number();
    // "From" a later "to" an earlier date is a slip of the pen, or not.
    if !rest.is_empty() || days < 0 && !parted {
        return None;
    }
    exact(days.abs(), format!("days from {from} to {to}"))
}

/// "What day of the week was 2000-01-01?", "on what day did 4 July 1976 fall?"
fn weekday(lexemes: &[Lexeme]) -> Option<Exact> {
    const OPENINGS: &[&str] = &[
        "what day of the week",
        "which day of the week",
        "what weekday",
        "which weekday",
        "what is the day of the week",
        "day of the week",
        "what day",
        "which day",
    ];
    let rest = starts(past(lexemes, &["on"]), OPENINGS)?;
    let rest = past(
        rest,
        &["is", "was", "will", "does", "did", "of", "for", "on"],
    );
    let (date, rest) = date(rest)?;
    let ends = ["fall on", "fall", "be", "on", "land on"];
    let done = rest.is_empty()
        || ends
            .iter()
            .any(|end| strip_end(rest, end).is_some_and(<[Lexeme]>::is_empty));
    done.then(|| exact(date.weekday(), format!("weekday of {date}")))?
}

/// "Is 2024 a leap year?"
fn leap_year(lexemes: &[Lexeme]) -> Option<Exact> {
    let rest = starts(lexemes, &["is", "was", "will"])?;
    let rest = past(rest, &["the year"]);
    let (year, rest) = year(rest)?;
    strip_start(past(rest, &["be"]), "a leap year")?
        .is_empty()
        .then_some(())?;
    let text = if is_leap(year) {
        format!("Yes, {year} is a leap year.")
    } else {
        format!("No, {year} is not a leap year.")
    };
    exact(text, format!("leap year {year}"))
}

/// "How many days are in February 2024?", "how many days did 1900 have?"
fn days_in(lexemes: &[Lexeme]) -> Option<Exact> {
    let rest = strip_start(lexemes, "how many days")?;
    const MIDDLES: &[&str] = &[
        "are there in",
        "were there in",
        "are in",
        "were in",
        "in",
        "does",
        "did",
        "has",
        "had",
    ];
    let rest = starts(rest, MIDDLES)?;
    let rest = past(rest, &["the year"]);
    let (month, rest) = match month(rest) {
        Some((month, rest)) => (Some(month), past(rest, &["of", ","])),
        None => (None, rest),
    };
    let (year, rest) = year(rest)?;
    if !past(rest, &["have"]).is_empty() {
        return None;
    }
    match month {
        Some(month) => {
            let expression = format!("days in {year:04}-{month:02}");
            exact(days_in_month(year, month), expression)
        }
        None => exact(365 + i32::from(is_leap(year)), format!("days in {year}")),
    }
}

/// "What is 30 days after 2024-01-01?", "2024-01-31 plus 2 weeks"
fn shifted(lexemes: &[Lexeme]) -> Option<Exact> {
    const OPENINGS: &[&str] = &[
        "what is the date",
        "what date is",
        "which date is",
        "what is",
        "what day is",
    ];
    let rest = past(lexemes, OPENINGS);
    let (date, count, unit, sign) = if let Some((date, rest)) = date(rest) {
        let (sign, rest) = match (starts(rest, &["plus", "+"]), starts(rest, &["minus", "-"])) {
            (Some(rest), _) => (1, rest),
            (_, Some(rest)) => (-1, rest),
            _ => return None,
        };
        let (count, unit, rest) = span(rest)?;
        rest.is_empty().then_some(())?;
        (date, count, unit, sign)
    } else {
        let (count, unit, rest) = span(rest)?;
        let (sign, rest) = match (
            starts(rest, &["after", "from"]),
            strip_start(rest, "before"),
        ) {
            (Some(rest), _) => (1, rest),
            (_, Some(rest)) => (-1, rest),
            _ => return None,
        };
        let (date, rest) = self::date(rest)?;
        rest.is_empty().then_some(())?;
        (date, count, unit, sign)
    };
    let count = count * sign;
    let result = match unit {
        Unit::Days(length) => Date::from_number(date.number().checked_add(count * length)?)?,
        Unit::Months(length) => {
            // What the 31st is a month later has several answers.
            if date.day > 28 {
                return None;
            }
            let months = date.year * 12 + date.month - 1 + count * length;
            Date::new(months.div_euclid(12), months.rem_euclid(12) + 1, date.day)?
        }
    };
    let (sign, days) = (if sign > 0 { '+' } else { '-' }, count.abs());
    let name = match unit {
        Unit::Days(1) => "days",
        Unit::Days(_) => "weeks",
        Unit::Months(1) => "months",
        Unit::Months(_) => "years",
    };
    exact(result, format!("{date} {sign} {days} {name}"))
}

#[derive(Clone, Copy)]
enum Unit {
    Days(i32),
    Months(i32),
}

/// "30 days", "a week", "two months"
fn span(lexemes: &[Lexeme]) -> Option<(i32, Unit, &[Lexeme])> {
    let (count, rest) = match words::number(lexemes) {
        Some(read) => (i32::try_from(small(&read.number.value)?).ok()?, read.rest),
        None => (1, starts(lexemes, &["a", "one"])?),
    };
    let unit = match rest.first()?.word()? {
        "day" | "days" => Unit::Days(1),
        "week" | "weeks" => Unit::Days(7),
        "month" | "months" => Unit::Months(1),
        "year" | "years" => Unit::Months(12),
        _ => return None,
    };
    // Four million days are longer than the calendar here.
    (0..=4_000_000)
        .contains(&count)
        .then_some((count, unit, &rest[1..]))
}

/// A date at the start: `2024-02-29`, "29 February 2024", "February 29th, 2024".
fn date(lexemes: &[Lexeme]) -> Option<(Date, &[Lexeme])> {
    let lexemes = past(lexemes, &["the"]);
    if let [
        Lexeme {
            token: Token::Date(date),
            ..
        },
        rest @ ..,
    ] = lexemes
    {
        return Some((*date, rest));
    }
    let (day, month, rest) = if let Some((month, rest)) = month(lexemes) {
        let (day, rest) = day(past(rest, &["the"]))?;
        (day, month, rest)
    } else {
        let (day, rest) = day(lexemes)?;
        let (month, rest) = month(past(rest, &["of"]))?;
        (day, month, rest)
    };
    let (year, rest) = year(past(rest, &[","]))?;
    Some((Date::new(year, month, day)?, rest))
}

fn month(lexemes: &[Lexeme]) -> Option<(i32, &[Lexeme])> {
    let word = lexemes.first()?.word()?;
    let abbreviates = |name: &&'static str| match word {
        "sept" => name.starts_with("sept"),
        _ => word == *name || word.len() == 3 && name.starts_with(word),
    };
    let month = MONTHS.iter().position(abbreviates)? as i32 + 1;
    Some((month, past(&lexemes[1..], &["."])))
}

fn day(lexemes: &[Lexeme]) -> Option<(i32, &[Lexeme])> {
    if let Some((day, rest)) = words::ordinal(lexemes) {
        return Some((i32::try_from(day).ok()?, rest));
    }
    let (first, rest) = lexemes.split_first()?;
    Some((i32::try_from(small(&first.number()?.value)?).ok()?, rest))
}

/// A year in four figures.
fn year(lexemes: &[Lexeme]) -> Option<(i32, &[Lexeme])> {
    let (first, rest) = lexemes.split_first()?;
    let number = first
        .number()
        .filter(|number| number.text.len() == 4 && !number.grouped)?;
    let year = i32::try_from(small(&number.value)?).ok()?;
    YEARS.contains(&year).then_some((year, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_equal_pythons_datetime() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../goldens/dates.json")).unwrap();
        for case in golden["cases"].as_array().unwrap() {
            let text = |name: &str| case[name].as_str().unwrap();
            let between = format!("days between {} and {}", text("a"), text("b"));
            let days = crate::exact::answer(&between).unwrap().text;
            assert_eq!(days, case["days"].to_string(), "{between}");
            let weekday = crate::exact::answer(&format!("what day was {}?", text("a"))).unwrap();
            assert_eq!(weekday.text, text("weekday"), "{}", text("a"));
        }
    }

    #[test]
    fn every_day_has_its_number() {
        let first = Date::new(1583, 1, 1).unwrap().number();
        let last = Date::new(9999, 12, 31).unwrap().number();
        let mut before = None;
        for number in (first..=last).step_by(13) {
            let date = Date::from_number(number).unwrap();
            assert_eq!(date.number(), number);
            assert!(before < Some(date));
            before = Some(date);
        }
        assert_eq!(Date::from_number(first - 1), None);
        assert_eq!(Date::from_number(last + 1), None);
    }
}
