//! Questions with exact answers, made from a seed.
//!
//! One file per skill. Each generator draws an [`Example`] from a random source; its answer is
//! computed, never written down by hand next to the question. Prompts and answers are short on
//! purpose: the models have a few million parameters and see a few million tokens.

use std::collections::HashSet;

use rand::Rng;
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::skills::Skill;
use crate::split::{self, Side};

pub mod arithmetic;
pub mod dates;
pub mod facts;
pub mod home;
pub mod small_talk;
pub mod units;
pub mod word_problems;
pub mod words;

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions that stand above the conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One question with its accepted answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// What the question tests.
    pub skill: Skill,
    /// The conversation up to the reply that is wanted; the last message is the person's.
    pub messages: Vec<(Role, String)>,
    /// Every reply that counts as right. The first one is trained on; never empty.
    pub answers: Vec<String>,
    /// From 1, what any model should know, to 5, what a small one should hand over.
    pub difficulty: u8,
    /// What decides whether this is held out: the question, or the problem behind its wording.
    pub key: String,
}

impl Example {
    /// A one-question example that is held out by its wording.
    fn new(skill: Skill, question: String, answer: String, difficulty: u8) -> Self {
        let key = question.clone();
        Self {
            skill,
            messages: vec![(Role::User, question)],
            answers: vec![answer],
            difficulty,
            key,
        }
    }

    /// Holds the example out by `key`, so that no wording of a held-out problem is trained on.
    fn keyed(mut self, key: String) -> Self {
        self.key = key;
        self
    }

    /// The last message: the question itself.
    #[must_use]
    pub fn question(&self) -> &str {
        self.messages.last().map_or("", |(_, text)| text)
    }
}

/// At most `n` different examples of `skill` from one side of the wall, the same for one `seed`.
///
/// Fewer come back when the skill has fewer different questions on that side.
/// [`Skill::Chitchat`] is read from a corpus, not generated: it gives none.
#[must_use]
pub fn generate(skill: Skill, n: usize, seed: u64, wanted: Side) -> Vec<Example> {
    let Some(draw) = generator(skill) else {
        return Vec::new();
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ split::hash(skill.name()));
    let mut seen = HashSet::new();
    let mut examples = Vec::with_capacity(n);
    // Small skills run out of new questions; a long streak of known ones means that.
    let mut streak = 0;
    while examples.len() < n && streak < 2_000 {
        let example = draw(&mut rng);
        if split::side(&example.key) == wanted && seen.insert(split::hash(example.question())) {
            examples.push(example);
            streak = 0;
        } else {
            streak += 1;
        }
    }
    examples
}

/// The function that draws one example of a skill.
fn generator(skill: Skill) -> Option<fn(&mut ChaCha8Rng) -> Example> {
    Some(match skill {
        Skill::Arithmetic => arithmetic::draw,
        Skill::WordProblems => word_problems::draw,
        Skill::Units => units::draw,
        Skill::Dates => dates::draw,
        Skill::Home => home::draw,
        Skill::Words => words::draw,
        Skill::Facts => facts::draw,
        Skill::SmallTalk => small_talk::draw,
        Skill::Chitchat => return None,
    })
}

/// One element of a list that is never empty.
fn pick<'a, T>(rng: &mut impl Rng, items: &'a [T]) -> &'a T {
    items
        .choose(rng)
        .unwrap_or_else(|| unreachable!("generators draw from non-empty lists"))
}

/// Fills `{name}` places of a template.
fn fill(template: impl AsRef<str>, values: &[(&str, &str)]) -> String {
    let template = template.as_ref().to_owned();
    values.iter().fold(template, |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}

/// The ways people write the same question: capital or not, end mark or not.
///
/// None of them changes the normal form, so a held-out question stays held out.
fn vary(rng: &mut impl Rng, question: &str) -> String {
    let mut text = if rng.random_bool(0.6) {
        capitalise(question)
    } else {
        question.to_owned()
    };
    if text.ends_with(['?', '.']) && rng.random_bool(0.3) {
        text.pop();
    }
    text
}

/// The text with its first letter in upper case.
fn capitalise(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// "a" or "an", as the next word sounds; right for the words the generators use.
fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) && !word.starts_with("uni") {
        "an"
    } else {
        "a"
    }
}

/// "apple" or "apples"; knows the irregular nouns the generators use.
fn plural(noun: &str, n: u64) -> String {
    if n == 1 {
        noun.to_owned()
    } else {
        words::plural_of(noun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generator_is_seeded_and_respects_the_wall() {
        for skill in Skill::ALL
            .into_iter()
            .filter(|&skill| generator(skill).is_some())
        {
            let train = generate(skill, 300, 1, Side::Train);
            assert_eq!(train, generate(skill, 300, 1, Side::Train), "{skill:?}");
            assert!(
                train.len() >= 100,
                "{skill:?} has only {} questions",
                train.len()
            );
            let held: HashSet<_> = generate(skill, 300, 1, Side::HeldOut)
                .iter()
                .map(|example| split::normalise(example.question()))
                .collect();
            assert!(held.len() >= 20, "{skill:?} holds out only {}", held.len());
            for example in &train {
                assert!(
                    !held.contains(&split::normalise(example.question())),
                    "{example:?}"
                );
                assert!((1..=5).contains(&example.difficulty));
                assert!(!example.answers.is_empty());
                assert!(example.question().len() <= 240, "{example:?}");
                assert!(!example.question().contains('{'), "{example:?}");
                assert!(
                    crate::skills::is_right(example, &example.answers[0]),
                    "{example:?}"
                );
            }
        }
    }

    #[test]
    fn variants_share_the_normal_form() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for _ in 0..50 {
            let text = vary(&mut rng, "what is 3 + 4?");
            assert_eq!(split::normalise(&text), "what is 3 + 4");
        }
    }
}
