//! Conversions between units of length, mass, volume and time, with whole answers.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Example, fill, pick, vary};
use crate::skills::Skill;

/// One larger unit and how many of the smaller it holds.
struct Pair {
    large: &'static [&'static str],
    small: &'static [&'static str],
    holds: u64,
    difficulty: u8,
}

const PAIRS: &[Pair] = &[
    Pair {
        large: &["hours", "h"],
        small: &["minutes"],
        holds: 60,
        difficulty: 2,
    },
    Pair {
        large: &["minutes"],
        small: &["seconds"],
        holds: 60,
        difficulty: 2,
    },
    Pair {
        large: &["days"],
        small: &["hours"],
        holds: 24,
        difficulty: 3,
    },
    Pair {
        large: &["weeks"],
        small: &["days"],
        holds: 7,
        difficulty: 1,
    },
    Pair {
        large: &["years"],
        small: &["months"],
        holds: 12,
        difficulty: 2,
    },
    Pair {
        large: &["kilometers", "km"],
        small: &["meters", "m"],
        holds: 1000,
        difficulty: 1,
    },
    Pair {
        large: &["meters", "m"],
        small: &["centimeters", "cm"],
        holds: 100,
        difficulty: 1,
    },
    Pair {
        large: &["centimeters", "cm"],
        small: &["millimeters", "mm"],
        holds: 10,
        difficulty: 1,
    },
    Pair {
        large: &["kilograms", "kg"],
        small: &["grams", "g"],
        holds: 1000,
        difficulty: 1,
    },
    Pair {
        large: &["liters"],
        small: &["milliliters", "ml"],
        holds: 1000,
        difficulty: 1,
    },
    Pair {
        large: &["feet"],
        small: &["inches"],
        holds: 12,
        difficulty: 2,
    },
    Pair {
        large: &["yards"],
        small: &["feet"],
        holds: 3,
        difficulty: 1,
    },
    Pair {
        large: &["dollars"],
        small: &["cents"],
        holds: 100,
        difficulty: 1,
    },
    Pair {
        large: &["dozens"],
        small: &["pieces"],
        holds: 12,
        difficulty: 2,
    },
];

const TEMPLATES: &[&str] = &[
    "how many {to} are in {n} {from}?",
    "how many {to} are {n} {from}?",
    "convert {n} {from} to {to}.",
    "what is {n} {from} in {to}?",
    "{n} {from} in {to}",
    "{n} {from} is how many {to}?",
    "change {n} {from} to {to}.",
];

/// One conversion; the answer is the number and the unit it was asked in.
pub fn draw(rng: &mut ChaCha8Rng) -> Example {
    let pair = pick(rng, PAIRS);
    let large = *pick(rng, pair.large);
    let small = *pick(rng, pair.small);
    let most = if pair.difficulty == 1 { 30 } else { 12 };
    let n = rng.random_range(2..=most);
    let down = rng.random_bool(0.65);
    let (from, to, given, answer) = if down {
        (large, small, n, n * pair.holds)
    } else {
        (small, large, n * pair.holds, n)
    };
    let values = [
        ("n", given.to_string()),
        ("from", from.to_owned()),
        ("to", to.to_owned()),
    ];
    let values = values
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let question = fill(pick(rng, TEMPLATES), &values);
    let question = vary(rng, &question);
    let difficulty = pair.difficulty + u8::from(!down) + u8::from(n > 12);
    Example::new(Skill::Units, question, format!("{answer} {to}"), difficulty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    /// A unit's size in the base unit of its kind.
    fn size(unit: &str) -> f64 {
        match unit {
            "seconds" | "grams" | "g" | "milliliters" | "ml" | "cents" | "pieces" => 1.0,
            "minutes" => 60.0,
            "hours" | "h" => 3_600.0,
            "days" => 86_400.0,
            "weeks" => 604_800.0,
            "months" => 1e9,
            "years" => 12e9,
            "millimeters" | "mm" => 1e-3,
            "centimeters" | "cm" => 1e-2,
            "meters" | "m" => 1.0,
            "kilometers" | "km" | "kilograms" | "kg" | "liters" => 1e3,
            "inches" => 0.0254,
            "feet" => 0.3048,
            "yards" => 0.9144,
            "dollars" => 100.0,
            "dozens" => 12.0,
            other => panic!("{other}"),
        }
    }

    proptest! {
        #[test]
        fn the_answer_is_right(seed in any::<u64>()) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            for _ in 0..20 {
                let example = draw(&mut rng);
                let (n, to) = example.answers[0].split_once(' ').unwrap();
                let words: Vec<_> = example.question().trim_end_matches(['?', '.']).split(' ').collect();
                let at = words.iter().position(|word| word.parse::<u64>().is_ok()).unwrap();
                let given: f64 = words[at].parse().unwrap();
                let expected = given * size(words[at + 1]) / size(to);
                prop_assert!((n.parse::<f64>().unwrap() - expected).abs() < 1e-6, "{:?}", example);
            }
        }
    }
}
