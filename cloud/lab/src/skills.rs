//! What the models are asked in evaluation, and when a reply counts as right.

use std::path::Path;

use crate::corpus;
use crate::generate::{Example, generate};
use crate::split::{Side, normalise};
use crate::{Error, Result};

/// How many questions of each skill are asked unless told otherwise.
pub const QUESTIONS: usize = 300;

/// One thing a model can be good at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skill {
    /// Sums, products, percentages, comparisons.
    Arithmetic,
    /// Short stories with numbers, one or two steps.
    WordProblems,
    /// Conversions between units.
    Units,
    /// Calendar and clock.
    Dates,
    /// Commands to a smart home.
    Home,
    /// Kinds of things, opposites, plurals, past tenses.
    Words,
    /// Capitals, continents and currencies of countries.
    Facts,
    /// Greetings and questions about the assistant, in our own words.
    SmallTalk,
    /// Small talk from the Personality Chat data set; needs the data folder.
    Chitchat,
}

impl Skill {
    /// Every skill, in the order tables show them.
    pub const ALL: [Self; 9] = [
        Self::Arithmetic,
        Self::WordProblems,
        Self::Units,
        Self::Dates,
        Self::Home,
        Self::Words,
        Self::Facts,
        Self::SmallTalk,
        Self::Chitchat,
    ];

    /// The name used in recipes (`generator:<name>`), tables and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Arithmetic => "arithmetic",
            Self::WordProblems => "word-problems",
            Self::Units => "units",
            Self::Dates => "dates",
            Self::Home => "home",
            Self::Words => "words",
            Self::Facts => "facts",
            Self::SmallTalk => "small-talk",
            Self::Chitchat => "chitchat",
        }
    }

    /// The skill of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|skill| skill.name() == name)
    }

    /// Whether the number in a reply decides, not its words.
    fn is_numeric(self) -> bool {
        matches!(self, Self::Arithmetic | Self::WordProblems | Self::Units)
    }
}

/// At most `n` questions of `skill` that no training run has seen, the same for one `seed`.
///
/// Each example's messages end with the question; its answers are for [`is_right`].
///
/// # Errors
/// [`Error::NeedsData`] for a skill that is read from the data folder when that is missing.
pub fn questions(
    skill: Skill,
    n: usize,
    seed: u64,
    data_root: Option<&Path>,
) -> Result<Vec<Example>> {
    if skill != Skill::Chitchat {
        return Ok(generate(skill, n, seed, Side::HeldOut));
    }
    let missing = |problem: String| Error::NeedsData {
        skill: skill.name(),
        problem,
    };
    let root = data_root.ok_or_else(|| missing("none was given".into()))?;
    let folder = root.join(corpus::MS_CHITCHAT);
    if !folder.is_dir() {
        return Err(missing(format!("{} is not there", folder.display())));
    }
    corpus::chitchat_questions(&folder, n, seed)
}

/// Whether `reply` is one of the accepted answers.
///
/// Words are compared in normal form (case, spacing and punctuation do not count). Where the
/// answer is a number, the last number of the reply must be it, so a worked answer counts.
#[must_use]
pub fn is_right(example: &Example, reply: &str) -> bool {
    if example.skill.is_numeric() {
        let wanted = example
            .answers
            .iter()
            .filter_map(|answer| last_number(answer));
        let got = last_number(reply);
        return got.is_some_and(|got| wanted.into_iter().any(|number| number == got));
    }
    let reply = normalise(reply);
    example
        .answers
        .iter()
        .any(|answer| normalise(answer) == reply)
}

/// Whether `reply` is one of these answers, of whatever kind: where an answer is a number, by the
/// reply's last number, else by its words in normal form.
#[must_use]
pub fn is_answer(answers: &[String], reply: &str) -> bool {
    let words = normalise(reply);
    let number = last_number(reply);
    answers.iter().any(|answer| {
        let answer = normalise(answer);
        let numeric = answer.chars().all(|c| c.is_ascii_digit() || c == '.') && !answer.is_empty();
        match numeric {
            true => number.is_some() && number == last_number(&answer),
            false => answer == words,
        }
    })
}

/// The last number in a text, without group commas and trailing zeros.
fn last_number(text: &str) -> Option<String> {
    let plain = normalise(text);
    let number = plain
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .rfind(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let number = match number.split_once('.') {
        Some((whole, part)) => match part.trim_end_matches('0') {
            "" => whole.to_owned(),
            part => format!("{whole}.{part}"),
        },
        None => number.to_owned(),
    };
    let trimmed = number.trim_start_matches('0');
    Some(if trimmed.is_empty() || trimmed.starts_with('.') {
        format!("0{trimmed}")
    } else {
        trimmed.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Role;
    use proptest::prelude::*;

    fn example(skill: Skill, answers: &[&str]) -> Example {
        Example {
            skill,
            messages: vec![(Role::User, "?".into())],
            answers: answers.iter().map(|&answer| answer.to_owned()).collect(),
            difficulty: 1,
            key: "?".into(),
        }
    }

    #[test]
    fn numbers_are_read_from_worked_answers() {
        let sum = example(Skill::WordProblems, &["5 + 3 = 8"]);
        assert!(is_right(&sum, "8"));
        assert!(is_right(&sum, "5 + 3 = 8."));
        assert!(is_right(&sum, "She has 8.0 apples"));
        assert!(!is_right(&sum, "8 + 3 = 11"));
        assert!(!is_right(&sum, "eight"));
        let large = example(Skill::Arithmetic, &["1250"]);
        assert!(is_right(&large, "1,250"));
        assert!(!is_right(&large, "250"));
    }

    #[test]
    fn words_are_compared_without_case_and_marks() {
        let capital = example(Skill::Facts, &["Paris", "Paris, France"]);
        assert!(is_right(&capital, " paris."));
        assert!(is_right(&capital, "Paris France"));
        assert!(!is_right(&capital, "Paris is nice"));
    }

    #[test]
    fn answers_of_any_kind_are_compared_by_number_or_by_words() {
        let right = |answer: &str, reply: &str| is_answer(&[answer.to_owned()], reply);
        assert!(right("1,250", "It is 1250.0") && !right("1250", "125"));
        assert!(right("Paris", " paris!") && !right("Paris", "It is Paris"));
        // Words with a number in them are words.
        assert!(right("5 m", "5 M.") && !right("5 m", "5"));
        assert!(!right("8", "eight") && !right("", "0"));
        assert!(is_answer(&["a".to_owned(), "b".to_owned()], "B"));
    }

    #[test]
    fn a_skill_without_its_data_says_so() {
        let error = questions(Skill::Chitchat, 10, 1, None).unwrap_err();
        assert!(matches!(
            error,
            Error::NeedsData {
                skill: "chitchat",
                ..
            }
        ));
    }

    #[test]
    fn names_go_both_ways() {
        for skill in Skill::ALL {
            assert_eq!(Skill::from_name(skill.name()), Some(skill));
        }
    }

    proptest! {
        #[test]
        fn any_reply_can_be_scored(reply in ".*") {
            for skill in Skill::ALL {
                let _ = is_right(&example(skill, &["7"]), &reply);
            }
        }
    }
}
