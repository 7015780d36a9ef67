//! Sums, differences, products, quotients, percentages and comparisons of whole numbers.
//!
//! A problem of the times table or smaller is held out by its wording (there are too few of them
//! to keep the problem itself back); anything larger is held out as a problem, in every wording.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Example, pick, vary};
use crate::skills::Skill;

const ADD: &[&str] = &[
    "{a} + {b}",
    "what is {a} + {b}?",
    "what is {a} plus {b}?",
    "how much is {a} + {b}?",
    "calculate {a} + {b}.",
    "add {a} and {b}.",
    "what is the sum of {a} and {b}?",
    "{a} plus {b} equals?",
];
const SUBTRACT: &[&str] = &[
    "{a} - {b}",
    "what is {a} - {b}?",
    "what is {a} minus {b}?",
    "how much is {a} - {b}?",
    "calculate {a} - {b}.",
    "subtract {b} from {a}.",
    "take {b} away from {a}.",
    "{a} minus {b} equals?",
];
const MULTIPLY: &[&str] = &[
    "{a} * {b}",
    "{a} × {b}",
    "what is {a} * {b}?",
    "what is {a} times {b}?",
    "how much is {a} times {b}?",
    "calculate {a} * {b}.",
    "multiply {a} by {b}.",
    "what is the product of {a} and {b}?",
];
const DIVIDE: &[&str] = &[
    "{a} / {b}",
    "{a} ÷ {b}",
    "what is {a} / {b}?",
    "what is {a} divided by {b}?",
    "how much is {a} divided by {b}?",
    "calculate {a} / {b}.",
    "divide {a} by {b}.",
];
const PERCENT: &[&str] = &[
    "what is {a}% of {b}?",
    "{a}% of {b}",
    "how much is {a} percent of {b}?",
    "calculate {a}% of {b}.",
];
const LARGER: &[&str] = &[
    "which is larger, {a} or {b}?",
    "which number is bigger, {a} or {b}?",
    "what is the larger of {a} and {b}?",
    "what is more, {a} or {b}?",
];
const SMALLER: &[&str] = &[
    "which is smaller, {a} or {b}?",
    "what is the smaller of {a} and {b}?",
    "what is less, {a} or {b}?",
];

/// One question about whole numbers; its answer is the number alone.
pub fn draw(rng: &mut ChaCha8Rng) -> Example {
    match rng.random_range(0..100) {
        0..34 => add(rng),
        34..60 => subtract(rng),
        60..78 => multiply(rng),
        78..88 => divide(rng),
        88..93 => percent(rng),
        _ => compare(rng),
    }
}

/// A number of one to three digits, and the difficulty that size brings.
fn number(rng: &mut ChaCha8Rng) -> (u64, u8) {
    match rng.random_range(0..10) {
        0..3 => (rng.random_range(0..=10), 1),
        3..8 => (rng.random_range(10..=99), 2),
        _ => (rng.random_range(100..=999), 3),
    }
}

fn add(rng: &mut ChaCha8Rng) -> Example {
    let ((a, da), (b, db)) = (number(rng), number(rng));
    let carries = (a % 10) + (b % 10) > 9;
    let difficulty = da.max(db) + u8::from(carries && a > 10 && b > 10);
    example(rng, ADD, "+", (a, b), a + b, difficulty)
}

fn subtract(rng: &mut ChaCha8Rng) -> Example {
    let ((a, da), (b, db)) = (number(rng), number(rng));
    let (a, b) = (a.max(b), a.min(b));
    let borrows = a % 10 < b % 10;
    let difficulty = da.max(db) + u8::from(borrows && a > 20);
    example(rng, SUBTRACT, "-", (a, b), a - b, difficulty)
}

fn multiply(rng: &mut ChaCha8Rng) -> Example {
    let (a, b, difficulty) = match rng.random_range(0..10) {
        0..7 => (rng.random_range(0..=12), rng.random_range(0..=12), 2),
        7..9 => (rng.random_range(11..=99), rng.random_range(2..=9), 4),
        _ => (rng.random_range(11..=99), rng.random_range(11..=99), 5),
    };
    example(rng, MULTIPLY, "*", (a, b), a * b, difficulty)
}

fn divide(rng: &mut ChaCha8Rng) -> Example {
    let (quotient, b, difficulty) = if rng.random_bool(0.8) {
        (rng.random_range(0..=12), rng.random_range(1..=12), 2)
    } else {
        (rng.random_range(11..=99), rng.random_range(2..=9), 4)
    };
    example(rng, DIVIDE, "/", (quotient * b, b), quotient, difficulty)
}

fn percent(rng: &mut ChaCha8Rng) -> Example {
    let percent = *pick(rng, &[5, 10, 20, 25, 50, 75, 100]);
    // The step keeps the answer whole.
    let step = match percent {
        5 => 20,
        10 => 10,
        20 => 5,
        25 | 75 => 4,
        _ => 2,
    };
    let whole = step * rng.random_range(1..=500 / step);
    let difficulty = if matches!(percent, 10 | 50 | 100) {
        2
    } else {
        4
    };
    example(
        rng,
        PERCENT,
        "%",
        (percent, whole),
        percent * whole / 100,
        difficulty,
    )
}

fn compare(rng: &mut ChaCha8Rng) -> Example {
    let (a, da) = number(rng);
    let (mut b, db) = number(rng);
    if a == b {
        b += 1;
    }
    let difficulty = da.max(db);
    if rng.random_bool(0.6) {
        example(rng, LARGER, ">", (a, b), a.max(b), difficulty)
    } else {
        example(rng, SMALLER, "<", (a, b), a.min(b), difficulty)
    }
}

fn example(
    rng: &mut ChaCha8Rng,
    templates: &[&str],
    sign: &str,
    (a, b): (u64, u64),
    answer: u64,
    difficulty: u8,
) -> Example {
    let template = pick(rng, templates);
    let question = template
        .replace("{a}", &a.to_string())
        .replace("{b}", &b.to_string());
    let question = vary(rng, &question);
    let example = Example::new(Skill::Arithmetic, question, answer.to_string(), difficulty);
    let tabled = match sign {
        "/" => a <= 144 && b <= 12,
        _ => a <= 12 && b <= 12,
    };
    if tabled {
        example
    } else {
        example.keyed(format!("arithmetic {a} {sign} {b}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    /// Answers by reading the question again, with no knowledge of how it was made.
    fn solve(question: &str) -> i64 {
        let text = question.to_lowercase();
        let numbers: Vec<i64> = text
            .split(|c: char| !c.is_ascii_digit())
            .filter(|word| !word.is_empty())
            .map(|word| word.parse().unwrap())
            .collect();
        let &[a, b] = numbers.as_slice() else {
            panic!("{question}")
        };
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if has(&["%", "percent"]) {
            a * b / 100
        } else if has(&["larger", "bigger", "more"]) {
            a.max(b)
        } else if has(&["smaller", "less"]) {
            a.min(b)
        } else if has(&["subtract", "take"]) {
            b - a
        } else if has(&["+", "plus", "add", "sum"]) {
            a + b
        } else if has(&["*", "×", "times", "multiply", "product"]) {
            a * b
        } else if has(&["/", "÷", "divide"]) {
            assert_eq!(a % b, 0, "{question}");
            a / b
        } else {
            assert!(has(&["-", "minus"]), "{question}");
            a - b
        }
    }

    proptest! {
        #[test]
        fn the_answer_is_right(seed in any::<u64>()) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            for _ in 0..20 {
                let example = draw(&mut rng);
                let answer: i64 = example.answers[0].parse().unwrap();
                prop_assert_eq!(answer, solve(example.question()), "{:?}", example);
            }
        }
    }
}
