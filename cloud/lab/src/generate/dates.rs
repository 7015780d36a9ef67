//! Days of the week, months, dates, clock times and leap years.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Example, fill, pick, vary};
use crate::skills::Skill;

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const MONTHS: [(&str, u64); 12] = [
    ("January", 31),
    ("February", 28),
    ("March", 31),
    ("April", 30),
    ("May", 31),
    ("June", 30),
    ("July", 31),
    ("August", 31),
    ("September", 30),
    ("October", 31),
    ("November", 30),
    ("December", 31),
];
const ORDINALS: [&str; 12] = [
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth",
];

/// One question about the calendar or the clock.
pub fn draw(rng: &mut ChaCha8Rng) -> Example {
    match rng.random_range(0..100) {
        0..14 => neighbour(rng, &DAYS, "day"),
        14..30 => day_offset(rng),
        30..44 => neighbour(rng, &MONTHS.map(|(name, _)| name), "month"),
        44..54 => month_length(rng),
        54..64 => ordinal(rng),
        64..80 => date_offset(rng),
        80..94 => clock(rng),
        _ => leap_year(rng),
    }
}

fn example(rng: &mut ChaCha8Rng, question: &str, answer: String, difficulty: u8) -> Example {
    Example::new(Skill::Dates, vary(rng, question), answer, difficulty)
}

/// The next or previous day or month.
fn neighbour(rng: &mut ChaCha8Rng, names: &[&str], kind: &str) -> Example {
    let at = rng.random_range(0..names.len());
    let (step, words) = if rng.random_bool(0.5) {
        (1, ["after", "following"])
    } else {
        (names.len() - 1, ["before", "right before"])
    };
    let templates = [
        "what {kind} comes {word} {name}?",
        "which {kind} is {word} {name}?",
        "what is the {kind} {word} {name}?",
        "tell me the {kind} {word} {name}.",
        "name the {kind} {word} {name}.",
        "which {kind} comes {word} {name}?",
    ];
    let values = [
        ("kind", kind),
        ("word", *pick(rng, &words)),
        ("name", names[at]),
    ];
    let question = fill(pick(rng, &templates), &values);
    example(
        rng,
        &question,
        names[(at + step) % names.len()].to_owned(),
        1,
    )
}

/// "Today is Monday. What day is it in 3 days?"
fn day_offset(rng: &mut ChaCha8Rng) -> Example {
    let at = rng.random_range(0..7);
    let n = rng.random_range(2..=6);
    let back = rng.random_bool(0.35);
    let templates: &[&str] = if back {
        &[
            "what day was it {n} days before {day}?",
            "today is {day}. what day was it {n} days ago?",
        ]
    } else {
        &[
            "what day is {n} days after {day}?",
            "today is {day}. what day is it in {n} days?",
            "it is {day}. what day comes {n} days later?",
        ]
    };
    let question = fill(
        pick(rng, templates),
        &[("n", &n.to_string()), ("day", DAYS[at])],
    );
    let answer = DAYS[(at + if back { 7 - n } else { n }) % 7];
    example(rng, &question, answer.to_owned(), if back { 3 } else { 2 })
}

fn month_length(rng: &mut ChaCha8Rng) -> Example {
    let (name, days) = pick(rng, &MONTHS);
    let templates = [
        "how many days are in {name}?",
        "how many days does {name} have?",
        "how long is {name}?",
        "what is the number of days in {name}?",
        "days in {name}",
    ];
    let answer = if *name == "February" {
        "28 days, or 29 in a leap year".to_owned()
    } else {
        format!("{days} days")
    };
    let question = fill(pick(rng, &templates), &[("name", name)]);
    let mut example = example(rng, &question, answer, 1);
    example
        .answers
        .extend([days.to_string(), format!("{days} days")]);
    example
}

fn ordinal(rng: &mut ChaCha8Rng) -> Example {
    let at = rng.random_range(0..12);
    let (name, _) = MONTHS[at];
    if rng.random_bool(0.6) {
        let templates = [
            "which is the {nth} month?",
            "what is the {nth} month of the year?",
            "name the {nth} month.",
            "which month is number {n}?",
        ];
        let n = (at + 1).to_string();
        let question = fill(pick(rng, &templates), &[("nth", ORDINALS[at]), ("n", &n)]);
        example(rng, &question, name.to_owned(), 1)
    } else {
        let templates = [
            "which number is the month {name}?",
            "what number month is {name}?",
            "{name} is which month of the year?",
        ];
        let question = fill(pick(rng, &templates), &[("name", name)]);
        example(rng, &question, (at + 1).to_string(), 2)
    }
}

/// A date some days later, perhaps in the next month; never across the end of February or the
/// year, where the answer would depend on the year.
fn date_offset(rng: &mut ChaCha8Rng) -> Example {
    let at = *pick(rng, &[0, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let (name, length) = MONTHS[at];
    let day = rng.random_range(1..=length);
    let n = rng.random_range(2..=10);
    let templates = [
        "what date is {n} days after {month} {day}?",
        "it is {month} {day}. what date is it in {n} days?",
        "which date comes {n} days after {month} {day}?",
    ];
    let values = [
        ("n", n.to_string()),
        ("month", name.to_owned()),
        ("day", day.to_string()),
    ];
    let values = values
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let question = fill(pick(rng, &templates), &values);
    let (month, date, difficulty) = if day + n <= length {
        (at, day + n, 3)
    } else {
        (at + 1, day + n - length, 5)
    };
    example(
        rng,
        &question,
        format!("{} {date}", MONTHS[month].0),
        difficulty,
    )
}

/// A clock time some minutes or hours later, on a twelve-hour clock.
fn clock(rng: &mut ChaCha8Rng) -> Example {
    let hour = rng.random_range(1..=12);
    let minute = 5 * rng.random_range(0..12);
    let (add, words, difficulty) = if rng.random_bool(0.5) {
        let n: u64 = rng.random_range(1..=5);
        (
            n * 60,
            format!("{n} {}", if n == 1 { "hour" } else { "hours" }),
            2,
        )
    } else {
        let n: u64 = 5 * rng.random_range(1..=9);
        (n, format!("{n} minutes"), 4)
    };
    let templates = [
        "what time is {words} after {time}?",
        "it is {time}. what time is it in {words}?",
        "what time is it {words} after {time}?",
    ];
    let show = |total: u64| format!("{}:{:02}", (total / 60 + 11) % 12 + 1, total % 60);
    let start = hour * 60 + minute;
    let question = fill(
        pick(rng, &templates),
        &[("words", &words), ("time", &show(start))],
    );
    example(rng, &question, show(start + add), difficulty)
}

fn leap_year(rng: &mut ChaCha8Rng) -> Example {
    let year: u32 = rng.random_range(1890..=2110);
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let templates = [
        "is {year} a leap year?",
        "was {year} a leap year?",
        "{year}: leap year?",
    ];
    let question = fill(pick(rng, &templates), &[("year", &year.to_string())]);
    example(
        rng,
        &question,
        if leap { "Yes" } else { "No" }.to_owned(),
        4,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    proptest! {
        #[test]
        fn date_answers_count_day_by_day(seed in any::<u64>()) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let example = date_offset(&mut rng);
            let text = example.question().to_owned();
            let month = MONTHS.iter().position(|(name, _)| text.contains(name)).unwrap();
            let numbers: Vec<u64> = text
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|word| word.parse().ok())
                .collect();
            let (mut month, mut day, n) = if text.to_lowercase().starts_with("it is") {
                (month, numbers[0], numbers[1])
            } else {
                (month, numbers[1], numbers[0])
            };
            for _ in 0..n {
                day += 1;
                if day > MONTHS[month].1 {
                    (month, day) = (month + 1, 1);
                }
            }
            prop_assert_eq!(&example.answers[0], &format!("{} {day}", MONTHS[month].0));
        }

        #[test]
        fn clock_answers_count_minute_by_minute(seed in any::<u64>()) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let example = clock(&mut rng);
            let text = example.question().trim_end_matches('?').to_lowercase();
            let words: Vec<&str> = text.split([' ', '.']).collect();
            let time = words.iter().find(|word| word.contains(':')).unwrap();
            let (hour, minute) = time.split_once(':').unwrap();
            let (mut hour, mut minute): (u64, u64) = (hour.parse().unwrap(), minute.parse().unwrap());
            let at = words.iter().position(|word| word.starts_with("hour") || *word == "minutes").unwrap();
            let n: u64 = words[at - 1].parse().unwrap();
            for _ in 0..n * if words[at] == "minutes" { 1 } else { 60 } {
                minute += 1;
                if minute == 60 {
                    minute = 0;
                    hour = if hour == 12 { 1 } else { hour + 1 };
                }
            }
            prop_assert_eq!(&example.answers[0], &format!("{hour}:{minute:02}"));
        }
    }
}
