//! Kinds of things, opposites, plurals, past tenses, first and last letters.
//!
//! Whole definitions cannot be scored by comparing words, so the questions here have one-word
//! answers that a small model can learn and a program can check.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Example, article, fill, pick, vary};
use crate::skills::Skill;

mod tables;

use tables::{IRREGULAR_PLURALS, KINDS, OPPOSITES, PASTS, REGULAR_NOUNS};

/// One question about a word.
pub fn draw(rng: &mut ChaCha8Rng) -> Example {
    match rng.random_range(0..100) {
        0..30 => either_kind(rng),
        30..45 => is_a(rng),
        45..57 => odd_choice(rng),
        57..72 => opposite(rng),
        72..84 => plural_question(rng),
        84..94 => past(rng),
        _ => letter(rng),
    }
}

fn example(rng: &mut ChaCha8Rng, question: &str, answer: &str, difficulty: u8) -> Example {
    Example::new(
        Skill::Words,
        vary(rng, question),
        answer.to_owned(),
        difficulty,
    )
}

/// A kind, a thing of that kind, and a different kind.
fn kinds(
    rng: &mut ChaCha8Rng,
) -> (
    &'static str,
    &'static str,
    &'static (&'static str, &'static [&'static str]),
) {
    let (kind, things) = pick(rng, KINDS);
    let thing = *pick(rng, things);
    loop {
        let other = pick(rng, KINDS);
        // A bird is an animal: asking for one of the two would have two right answers.
        let related = matches!((*kind, other.0), ("bird", "animal") | ("animal", "bird"));
        let shared = other.1.contains(&thing);
        if other.0 != *kind && !related && !shared {
            return (kind, thing, other);
        }
    }
}

/// "a dog", "red", "water", "Mars".
fn named(kind: &str, thing: &str) -> String {
    match kind {
        "color" | "drink" | "planet" => thing.to_owned(),
        _ => format!("{} {thing}", article(thing)),
    }
}

fn either_kind(rng: &mut ChaCha8Rng) -> Example {
    let (kind, thing, (other, _)) = kinds(rng);
    let [mut first, mut second] = [kind, *other].map(|kind| format!("{} {kind}", article(kind)));
    if rng.random_bool(0.5) {
        std::mem::swap(&mut first, &mut second);
    }
    let templates = [
        "is {thing} {first} or {second}?",
        "what is {thing}, {first} or {second}?",
    ];
    let thing = named(kind, thing);
    let values = [
        ("thing", thing.as_str()),
        ("first", &first),
        ("second", &second),
    ];
    let question = fill(pick(rng, &templates), &values);
    example(rng, &question, &format!("{} {kind}", article(kind)), 1)
}

fn is_a(rng: &mut ChaCha8Rng) -> Example {
    let (kind, thing, (other, _)) = kinds(rng);
    let yes = rng.random_bool(0.5);
    let asked = if yes { kind } else { other };
    let question = format!("is {} {} {asked}?", named(kind, thing), article(asked));
    example(rng, &question, if yes { "Yes" } else { "No" }, 1)
}

/// "Which of these is a fruit: hammer, plum or dog?"
fn odd_choice(rng: &mut ChaCha8Rng) -> Example {
    let (kind, thing, (_, others)) = kinds(rng);
    let mut choices = [thing, *pick(rng, others)];
    if rng.random_bool(0.5) {
        choices.reverse();
    }
    let [first, second] = choices;
    let templates = [
        "which is {kind}: {first} or {second}?",
        "which one is {kind}, {first} or {second}?",
    ];
    let kind = format!("{} {kind}", article(kind));
    let values = [
        ("kind", kind.as_str()),
        ("first", first),
        ("second", second),
    ];
    let question = fill(pick(rng, &templates), &values);
    example(rng, &question, thing, 2)
}

fn opposite(rng: &mut ChaCha8Rng) -> Example {
    let (a, b) = *pick(rng, OPPOSITES);
    // Where a word stands in one pair only, the question also works backwards.
    let known = |word: &str| {
        OPPOSITES
            .iter()
            .filter(|(a, b)| *a == word || *b == word)
            .count()
    };
    let (word, answer) = if rng.random_bool(0.5) && known(b) == 1 {
        (b, a)
    } else {
        (a, b)
    };
    let templates = [
        "what is the opposite of {word}?",
        "opposite of {word}",
        "tell me the opposite of {word}.",
        "what word means the opposite of {word}?",
        "name the opposite of {word}.",
        "{word} is the opposite of what?",
        "which word is the opposite of {word}?",
        "give me the opposite of {word}.",
    ];
    let question = fill(pick(rng, &templates), &[("word", word)]);
    example(rng, &question, answer, 2)
}

/// The plural of an English noun: irregular ones from a table, the rest by spelling.
#[must_use]
pub fn plural_of(noun: &str) -> String {
    if let Some((_, plural)) = IRREGULAR_PLURALS
        .iter()
        .find(|(singular, _)| *singular == noun)
    {
        return (*plural).to_owned();
    }
    let sibilant = ["s", "x", "z", "ch", "sh"]
        .iter()
        .any(|end| noun.ends_with(end));
    let vowel_y = ["ay", "ey", "oy", "uy"]
        .iter()
        .any(|end| noun.ends_with(end));
    match noun.strip_suffix('y') {
        Some(stem) if !vowel_y => format!("{stem}ies"),
        _ if sibilant => format!("{noun}es"),
        _ => format!("{noun}s"),
    }
}

fn plural_question(rng: &mut ChaCha8Rng) -> Example {
    let (noun, difficulty) = if rng.random_bool(0.5) {
        (pick(rng, IRREGULAR_PLURALS).0, 3)
    } else {
        (*pick(rng, REGULAR_NOUNS), 2)
    };
    let templates = [
        "what is the plural of {noun}?",
        "plural of {noun}",
        "one {noun}, two what?",
        "give me the plural of {noun}.",
        "how do you say more than one {noun}?",
        "what is the plural form of {noun}?",
    ];
    let question = fill(pick(rng, &templates), &[("noun", noun)]);
    example(rng, &question, &plural_of(noun), difficulty)
}

fn past(rng: &mut ChaCha8Rng) -> Example {
    let (verb, past) = *pick(rng, PASTS);
    let templates = [
        "what is the past tense of {verb}?",
        "past tense of {verb}",
        "what is the past of {verb}?",
        "today I {verb}, yesterday I what?",
        "give me the past tense of {verb}.",
        "how do you say {verb} in the past?",
    ];
    let question = fill(pick(rng, &templates), &[("verb", verb)]);
    example(rng, &question, past, 3)
}

fn letter(rng: &mut ChaCha8Rng) -> Example {
    let (_, things) = pick(rng, KINDS);
    let word = *pick(rng, things);
    let first = rng.random_bool(0.6);
    let place = if first { "first" } else { "last" };
    let letter = if first {
        word.chars().next()
    } else {
        word.chars().last()
    };
    let templates = [
        "what is the {place} letter of {word}?",
        "which letter is the {place} of {word}?",
        "{place} letter of {word}",
    ];
    let question = fill(pick(rng, &templates), &[("place", place), ("word", word)]);
    let answer = letter.map_or_else(String::new, |c| c.to_lowercase().to_string());
    example(rng, &question, &answer, 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use std::collections::HashMap;

    #[test]
    fn tables_have_one_right_answer() {
        let mut kind_of = HashMap::new();
        for (kind, things) in KINDS {
            for thing in *things {
                // "orange" the fruit and any colour would clash in "is it a fruit or a color?".
                assert_eq!(kind_of.insert(thing, kind), None, "{thing}");
            }
        }
        let mut first = HashMap::new();
        for (a, b) in OPPOSITES {
            assert_eq!(first.insert(a, b), None, "{a}");
        }
    }

    #[test]
    fn plurals_follow_spelling() {
        for (noun, plural) in [
            ("dog", "dogs"),
            ("box", "boxes"),
            ("city", "cities"),
            ("day", "days"),
            ("watch", "watches"),
            ("child", "children"),
            ("glass", "glasses"),
            ("cookie", "cookies"),
            ("monkey", "monkeys"),
        ] {
            assert_eq!(plural_of(noun), plural);
        }
    }

    proptest! {
        #[test]
        fn kinds_are_answered_by_membership(seed in any::<u64>()) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let example = odd_choice(&mut rng);
            let question = example.question().to_owned();
            let is_of = |thing: &str| KINDS.iter().any(|(kind, things)| {
                question.contains(&format!("{} {kind}", article(kind))) && things.contains(&thing)
            });
            let (left, right) = question.trim_end_matches('?').rsplit_once(" or ").unwrap();
            let left = left.rsplit_once([' ']).unwrap().1;
            prop_assert!(is_of(&example.answers[0]));
            prop_assert!(is_of(left) != is_of(right), "{:?}", example);
        }

        #[test]
        fn yes_or_no_agrees_with_the_table(seed in any::<u64>()) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let example = is_a(&mut rng);
            let words = example.question().trim_end_matches('?').to_lowercase();
            let member = KINDS.iter().any(|(kind, things)| {
                words.ends_with(&format!(" {kind}"))
                    && things.iter().any(|thing| words.contains(&format!(" {} ", thing.to_lowercase())))
            });
            prop_assert_eq!(member, example.answers[0] == "Yes", "{}", words);
        }
    }
}
