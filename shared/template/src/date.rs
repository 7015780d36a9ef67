//! Dates in the format of C's `strftime`, for `strftime_now`.

use crate::error::{Fail, unsupported};
use crate::meter::Out;

/// A local date and time, as `strftime_now` prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The year, 2026 for example.
    pub year: u32,
    /// The month from 1 to 12.
    pub month: u32,
    /// The day of the month from 1 on.
    pub day: u32,
    /// The hour from 0 to 23.
    pub hour: u32,
    /// The minute from 0 to 59.
    pub minute: u32,
    /// The second from 0 to 59, or 60.
    pub second: u32,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

impl Now {
    /// The date in this format, with English names.
    pub(crate) fn format(&self, format: &str) -> Result<String, Fail> {
        let mut out = Out::default();
        self.write(format, &mut out)?;
        Ok(out.into_string())
    }

    fn write(&self, format: &str, out: &mut Out) -> Result<(), Fail> {
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push_char(c)?;
                continue;
            }
            // Which there are is up to the system's library, which Python asks.
            let bad = || unsupported(&["this format of a date"]);
            let mut directive = chars.next().ok_or_else(bad)?;
            // glibc's flag for numbers without zeros in front.
            let bare = directive == '-';
            if bare {
                directive = chars.next().ok_or_else(bad)?;
            }
            self.directive(directive, bare, out).ok_or_else(bad)??;
        }
        Ok(())
    }

    /// Writes what one letter stands for; none if it stands for nothing.
    fn directive(&self, letter: char, bare: bool, out: &mut Out) -> Option<Result<(), Fail>> {
        if let Some((value, width, pad)) = self.number(letter) {
            let digits = value.to_string();
            let missing = if bare {
                0
            } else {
                width.saturating_sub(digits.len())
            };
            return Some(out.repeat(pad, missing).and_then(|()| out.push(&digits)));
        }
        Some(match self.several(letter) {
            Some(format) => self.write(format, out),
            None => out.push(self.word(letter)?),
        })
    }

    /// A number, its width, and what fills it up to that.
    fn number(&self, letter: char) -> Option<(u32, usize, &'static str)> {
        let hour = match self.hour % 12 {
            0 => 12,
            hour => hour,
        };
        let weekday = self.weekday();
        Some(match letter {
            'Y' => (self.year, 1, "0"),
            'y' => (self.year % 100, 2, "0"),
            'C' => (self.year / 100, 2, "0"),
            'm' => (self.month, 2, "0"),
            'd' => (self.day, 2, "0"),
            'e' => (self.day, 2, " "),
            'j' => (self.day_of_year(), 3, "0"),
            'H' => (self.hour, 2, "0"),
            'k' => (self.hour, 2, " "),
            'I' => (hour, 2, "0"),
            'l' => (hour, 2, " "),
            'M' => (self.minute, 2, "0"),
            'S' => (self.second, 2, "0"),
            'w' => (weekday, 1, "0"),
            'u' => (if weekday == 0 { 7 } else { weekday }, 1, "0"),
            _ => return None,
        })
    }

    fn word(&self, letter: char) -> Option<&'static str> {
        let month = MONTHS.get(self.month.wrapping_sub(1) as usize).copied();
        let day = DAYS.get(self.weekday() as usize).copied();
        match letter {
            'B' => month,
            'b' | 'h' => month?.get(..3),
            'A' => day,
            'a' => day?.get(..3),
            'p' => Some(if self.hour < 12 { "AM" } else { "PM" }),
            '%' => Some("%"),
            'n' => Some("\n"),
            't' => Some("\t"),
            // Python's dates have no zone here, and print none.
            'Z' | 'z' => Some(""),
            _ => None,
        }
    }

    /// Letters that stand for several.
    fn several(&self, letter: char) -> Option<&'static str> {
        Some(match letter {
            'F' => "%Y-%m-%d",
            'T' | 'X' => "%H:%M:%S",
            'R' => "%H:%M",
            'r' => "%I:%M:%S %p",
            'D' | 'x' => "%m/%d/%y",
            'c' => "%a %b %e %H:%M:%S %Y",
            _ => return None,
        })
    }

    /// From 1 to 366.
    fn day_of_year(&self) -> u32 {
        const BEFORE: [u32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let month = self.month.clamp(1, 12);
        let leap = self.year.is_multiple_of(4) && !self.year.is_multiple_of(100)
            || self.year.is_multiple_of(400);
        let before = BEFORE.get(month as usize - 1).copied().unwrap_or(0);
        before + self.day.min(31) + u32::from(leap && month > 2)
    }

    /// From 0, Sunday, to 6.
    fn weekday(&self) -> u32 {
        // Sunday is day 0 of a calendar that goes on before its time; its year 1 began with a Monday.
        let years = self.year.saturating_sub(1) % 400;
        (years + years / 4 - years / 100 + self.day_of_year()) % 7
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(year: u32, month: u32, day: u32, hour: u32) -> Now {
        let (minute, second) = (5, 9);
        Now {
            year,
            month,
            day,
            hour,
            minute,
            second,
        }
    }

    /// Expected values are from Python's `datetime`.
    #[test]
    fn dates_are_written_as_in_python() {
        let evening = on(2024, 3, 9, 21);
        for (format, expected) in [
            ("%Y-%m-%d %H:%M:%S", "2024-03-09 21:05:09"),
            ("%d %b %Y", "09 Mar 2024"),
            ("%-d %B %y, %A (%a)", "9 March 24, Saturday (Sat)"),
            ("%I:%M %p %j", "09:05 PM 069"),
            ("%e|%-m|%-I|%%|%F|%T", " 9|3|9|%|2024-03-09|21:05:09"),
            ("%c", "Sat Mar  9 21:05:09 2024"),
            ("\u{e4} %Z%z", "\u{e4} "),
        ] {
            assert_eq!(evening.format(format).as_deref(), Ok(expected));
        }
        for (date, expected) in [
            (on(2000, 1, 1, 0), "Sat 12 AM 001"),
            (on(2023, 12, 31, 12), "Sun 12 PM 365"),
            (on(2026, 11, 28, 1), "Sat 01 AM 332"),
            (on(1900, 3, 1, 1), "Thu 01 AM 060"),
        ] {
            assert_eq!(date.format("%a %I %p %j").as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_is_no_date_is_an_error() {
        for format in ["%!", "%", "%-", "% "] {
            assert!(on(2024, 3, 9, 0).format(format).is_err(), "{format}");
        }
        assert!(on(2024, 13, 99, 77).format("%d %B").is_err());
        assert!(
            on(u32::MAX, 0, u32::MAX, u32::MAX)
                .format("%a %j %I")
                .is_ok()
        );
    }
}
