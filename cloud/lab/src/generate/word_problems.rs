//! Short stories with numbers: one or two steps, answered with the sum that solves them.
//!
//! A problem is held out by its story and its numbers, so neither a name nor a thing put in
//! place of another makes a held-out problem look new.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Example, Role, fill, pick, plural};
use crate::skills::Skill;

const NAMES: &[(&str, &str)] = &[
    ("Tom", "He"),
    ("Anna", "She"),
    ("Ben", "He"),
    ("Mia", "She"),
    ("Sam", "He"),
    ("Lena", "She"),
    ("Omar", "He"),
    ("Yuki", "She"),
    ("Max", "He"),
    ("Rosa", "She"),
    ("Leo", "He"),
    ("Ivy", "She"),
];
const THINGS: &[&str] = &[
    "apple", "book", "pencil", "coin", "egg", "marble", "orange", "card", "flower", "cookie",
    "shell", "balloon",
];

/// How a story ends up as a sum. `a`, `b`, `c` are its numbers in the order they are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sum {
    /// a + b
    Add,
    /// a - b
    Take,
    /// a * b
    Times,
    /// a / b, without a rest
    Share,
    /// a + b - c
    AddTake,
    /// a - b + c
    TakeAdd,
    /// a * b + c
    TimesAdd,
    /// a * b - c
    TimesTake,
}

const STORIES: &[(Sum, &str)] = &[
    (
        Sum::Add,
        "{name} has {a} {things}. {he} buys {b} more. How many {things} does {name} have now?",
    ),
    (
        Sum::Add,
        "There are {a} {things} in a box and {b} {things} in a bag. How many {things} are there?",
    ),
    (
        Sum::Add,
        "{name} found {a} {things} and {other} found {b}. How many did they find together?",
    ),
    (
        Sum::Add,
        "{name} is {a} years old. How old will {name} be in {b} years?",
    ),
    (
        Sum::Add,
        "A pen costs {a} dollars and a cap costs {b} dollars. How much do both cost?",
    ),
    (
        Sum::Add,
        "{name} had {a} {things}. {other} gave {name} {b} more. How many {things} are there now?",
    ),
    (
        Sum::Take,
        "{name} has {a} {things}. {he} gives {b} to {other}. How many {things} are left?",
    ),
    (
        Sum::Take,
        "There were {a} {things} on the table. {name} took {b}. How many {things} are left?",
    ),
    (
        Sum::Take,
        "{name} has {a} dollars and spends {b} dollars. How much money is left?",
    ),
    (
        Sum::Take,
        "{name} has {a} {things} and {other} has {b}. How many more does {name} have?",
    ),
    (
        Sum::Take,
        "{name} is {a} years old and {other} is {b}. How many years older is {name}?",
    ),
    (
        Sum::Take,
        "A book has {a} pages. {name} has read {b}. How many pages are left?",
    ),
    (
        Sum::Times,
        "{name} has {a} boxes with {b} {things} in each. How many {things} are there?",
    ),
    (
        Sum::Times,
        "One ticket costs {b} dollars. How much do {a} tickets cost?",
    ),
    (
        Sum::Times,
        "{name} reads {b} pages a day. How many pages does {name} read in {a} days?",
    ),
    (
        Sum::Times,
        "There are {a} rows of {b} chairs. How many chairs are there?",
    ),
    (
        Sum::Share,
        "{name} shares {a} {things} among {b} friends. How many does each friend get?",
    ),
    (
        Sum::Share,
        "{a} {things} are put into {b} equal bags. How many {things} are in each bag?",
    ),
    (
        Sum::Share,
        "{b} pens cost {a} dollars. How much does one pen cost?",
    ),
    (
        Sum::AddTake,
        "{name} has {a} {things}. {he} buys {b} more and gives {c} to {other}. How many are left?",
    ),
    (
        Sum::AddTake,
        "A bus has {a} people. {b} get on and {c} get off. How many people are on the bus?",
    ),
    (
        Sum::TakeAdd,
        "{name} had {a} {things}, lost {b} and then found {c}. How many {things} are there now?",
    ),
    (
        Sum::TakeAdd,
        "{name} has {a} dollars, spends {b} and earns {c}. How much money does {name} have?",
    ),
    (
        Sum::TimesAdd,
        "{name} has {a} bags with {b} {things} each and {c} more. How many {things} is that?",
    ),
    (
        Sum::TimesAdd,
        "{a} tickets cost {b} dollars each and a drink costs {c}. How much is it all together?",
    ),
    (
        Sum::TimesTake,
        "{name} has {a} boxes of {b} {things}. {he} eats {c}. How many are left?",
    ),
];
/// Things that can be eaten, for the stories in which that happens.
const FOOD: &[&str] = &["apple", "egg", "orange", "cookie"];

/// One story; the answer is the sum, step by step, and ends with the number.
pub fn draw(rng: &mut ChaCha8Rng) -> Example {
    let (index, (sum, story)) = {
        let index = rng.random_range(0..STORIES.len());
        (index, STORIES[index])
    };
    let (a, b, c) = numbers(rng, sum);
    let (name, he) = *pick(rng, NAMES);
    let (mut other, _) = *pick(rng, NAMES);
    while other == name {
        (other, _) = *pick(rng, NAMES);
    }
    let kinds = if story.contains("eats") { FOOD } else { THINGS };
    let things = plural(kinds[rng.random_range(0..kinds.len())], 2);
    let [a_text, b_text, c_text] = [a, b, c].map(|n| n.to_string());
    let question = fill(
        story,
        &[
            ("name", name),
            ("he", he),
            ("other", other),
            ("things", &things),
            ("a", &a_text),
            ("b", &b_text),
            ("c", &c_text),
        ],
    );
    let (steps, answer) = worked(sum, a, b, c);
    let largest = a.max(b).max(c);
    let difficulty = match (sum, largest) {
        (Sum::Add | Sum::Take, 0..=20) => 2,
        (Sum::Add | Sum::Take, _) | (Sum::Times | Sum::Share, 0..=50) => 3,
        (Sum::Times | Sum::Share, _) | (_, 0..=20) => 4,
        _ => 5,
    };
    Example {
        skill: Skill::WordProblems,
        messages: vec![(Role::User, question)],
        answers: vec![steps, answer.to_string()],
        difficulty,
        key: format!("word problem {index} with {a} {b} {c}"),
    }
}

/// Numbers for which every step stays whole and above zero.
fn numbers(rng: &mut ChaCha8Rng, sum: Sum) -> (u64, u64, u64) {
    let most = *pick(rng, &[12, 20, 50, 99]);
    let (a, b) = (rng.random_range(2..=most), rng.random_range(2..=most));
    let (factor, other) = (rng.random_range(2..=9), rng.random_range(2..=10));
    match sum {
        Sum::Add => (a, b, 0),
        Sum::Take => (a.max(b) + 1, a.min(b), 0),
        Sum::Times => (factor, other, 0),
        Sum::Share => (factor * other, factor, 0),
        Sum::AddTake => (a, b, rng.random_range(1..a + b)),
        Sum::TakeAdd => (a.max(b) + 1, a.min(b), rng.random_range(1..=20)),
        Sum::TimesAdd => (factor, other, rng.random_range(1..=20)),
        Sum::TimesTake => (factor, other, rng.random_range(1..factor * other)),
    }
}

/// The steps as sums, and the number they end with.
fn worked(sum: Sum, a: u64, b: u64, c: u64) -> (String, u64) {
    let step = |x: u64, sign: char, y: u64| {
        let result = match sign {
            '+' => x + y,
            '-' => x - y,
            '*' => x * y,
            _ => x / y,
        };
        (format!("{x} {sign} {y} = {result}"), result)
    };
    let signs: &[char] = match sum {
        Sum::Add => &['+'],
        Sum::Take => &['-'],
        Sum::Times => &['*'],
        Sum::Share => &['/'],
        Sum::AddTake => &['+', '-'],
        Sum::TakeAdd => &['-', '+'],
        Sum::TimesAdd => &['*', '+'],
        Sum::TimesTake => &['*', '-'],
    };
    let (mut text, mut result) = step(a, signs[0], b);
    if let Some(&sign) = signs.get(1) {
        let (second, end) = step(result, sign, c);
        text = format!("{text}, {second}");
        result = end;
    }
    (text, result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    /// What the story says happens, read from its words and not from its table row.
    fn solve(question: &str) -> i64 {
        let numbers: Vec<i64> = question
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|word| word.parse().ok())
            .collect();
        let has = |word: &str| question.contains(word);
        match *numbers.as_slice() {
            [a, b] => {
                if has("boxes with") || has("ticket costs") || has("a day") || has("rows of") {
                    a * b
                } else if has("shares") || has("equal bags") {
                    a / b
                } else if has("one pen cost") {
                    b / a
                } else if has("left") || has("How many more") || has("older is") {
                    a - b
                } else {
                    a + b
                }
            }
            [a, b, c] => {
                if has("bags with") || has("tickets cost") {
                    a * b + c
                } else if has("boxes of") {
                    a * b - c
                } else if has("lost") || has("spends") {
                    a - b + c
                } else {
                    a + b - c
                }
            }
            _ => panic!("{question}"),
        }
    }

    proptest! {
        #[test]
        fn the_answer_is_right_and_the_steps_hold(seed in any::<u64>()) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            for _ in 0..20 {
                let example = draw(&mut rng);
                prop_assert_eq!(
                    &example.answers[1], &solve(example.question()).to_string(), "{:?}", example
                );
                let ends_with = format!("= {}", example.answers[1]);
                prop_assert!(example.answers[0].ends_with(&ends_with));
            }
        }
    }
}
