//! Anyone's questions with exact answers.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use sprat_model::{Message, Model};
use sprat_route::gate::question_hash;

use super::ask::{Reply, reply};
use super::router::read_lines;
use crate::skills::{self, Skill};
use crate::split::normalise;
use crate::{Error, Result};

/// One question with the answers that count as right: a line of a file of questions, or one of
/// our own.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Question {
    /// What is asked.
    pub question: String,
    /// Every reply that counts as right, see [`skills::is_answer`].
    pub answers: Vec<String>,
    /// The kind of question or the data set, for figures of each.
    #[serde(default)]
    pub group: Option<String>,
    /// For one of our own: what decides whether a reply is right.
    #[serde(skip)]
    example: Option<crate::generate::Example>,
}

impl Question {
    /// Whether `reply` is right.
    #[must_use]
    pub fn is_right(&self, reply: &str) -> bool {
        match &self.example {
            Some(example) => skills::is_right(example, reply),
            None => skills::is_answer(&self.answers, reply),
        }
    }

    /// The hash by which it belongs to a part of the data.
    #[must_use]
    pub fn hash(&self) -> u64 {
        question_hash(&self.question)
    }

    /// The messages up to the reply that is wanted.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        match &self.example {
            Some(example) => super::ask::messages(example),
            None => vec![Message {
                role: "user".to_owned(),
                content: self.question.clone(),
            }],
        }
    }

    /// Asks a model, greedily.
    pub(crate) fn ask(&self, model: &Model, max_tokens: usize) -> Result<Reply> {
        let prompt = model.prompt(&self.messages());
        let prompt = prompt.map_err(Error::model("answer a question"))?;
        reply(model, &prompt, max_tokens)
    }
}

/// Reads questions, a JSON object with `question` and `answers` a line; `group` may be added. Gives
/// those that differ in more than case and spacing, and how many were repeated.
///
/// # Errors
/// [`Error::Line`] for the first line that is no question with answers, or that has other answers
/// to a question than an earlier line; [`Error::Format`] and [`Error::Io`] for the file.
pub fn read_questions(path: &Path) -> Result<(Vec<Question>, usize)> {
    let lines = read_lines(path, |_, question: &Question| match question {
        q if q.question.trim().is_empty() => Err("its `question` is empty".to_owned()),
        q if q.answers.is_empty() => Err("its `answers` are empty".to_owned()),
        q if q.answers.iter().any(|a| normalise(a).is_empty()) => {
            Err("one of its `answers` has neither a letter nor a digit".to_owned())
        }
        _ => Ok(()),
    })?;
    let all = lines.len();
    let questions = distinct(lines);
    let repeated = all - questions.len();
    Ok((questions, repeated))
}

/// The first of those that share a hash: repeated questions would count as evidence twice.
fn distinct(questions: Vec<Question>) -> Vec<Question> {
    let mut seen = HashMap::new();
    let mut kept: Vec<Question> = Vec::with_capacity(questions.len());
    for question in questions {
        match seen.get(&question.hash()) {
            // Another line's answers are right as well.
            Some(&first) => {
                let first: &mut Question = &mut kept[first];
                let more = question.answers.into_iter();
                first.answers.extend(
                    more.filter(|a| !first.answers.contains(a))
                        .collect::<Vec<_>>(),
                );
            }
            None => {
                seen.insert(question.hash(), kept.len());
                kept.push(question);
            }
        }
    }
    kept
}

/// Held-out questions of these skills, `n` of each, distinct. A skill that needs a folder of
/// corpora is left out without it.
///
/// # Errors
/// As [`skills::questions`].
pub fn builtin_questions(
    skills: &[Skill],
    n: usize,
    seed: u64,
    corpora: Option<&Path>,
) -> Result<Vec<Question>> {
    let mut questions = Vec::new();
    for &skill in skills {
        let examples = match skills::questions(skill, n, seed, corpora) {
            Err(Error::NeedsData { .. }) => continue,
            examples => examples?,
        };
        questions.extend(examples.into_iter().map(|example| {
            Question {
                question: example
                    .messages
                    .last()
                    .map_or(String::new(), |(_, text)| text.clone()),
                answers: example.answers.clone(),
                group: Some(skill.name().to_owned()),
                example: Some(example),
            }
        }));
    }
    Ok(distinct(questions))
}

/// SHA-256, hex, of questions and answers in normal form and sorted: the same for the same data in
/// another order or spelling.
pub(crate) fn fingerprint(questions: &[Question]) -> String {
    let line = |question: &Question| {
        let answers: BTreeSet<String> = question.answers.iter().map(|a| normalise(a)).collect();
        let answers: Vec<String> = answers.into_iter().collect();
        format!(
            "{}\t{}\n",
            normalise(&question.question),
            answers.join("\t")
        )
    };
    let lines: BTreeSet<String> = questions.iter().map(line).collect();
    let mut hash = Sha256::new();
    lines.iter().for_each(|line| hash.update(line));
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Vec<Question>, usize)> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_questions(file.path())
    }

    #[test]
    fn questions_are_read_once_each() {
        let (questions, repeated) = read(
            "{\"question\":\"Who?\",\"answers\":[\"Ann\"],\"group\":\"g\"}\n\n\
             {\"question\":\"What is 2+2?\",\"answers\":[\"4\"],\"more\":1}\n\
             {\"question\":\"who? \",\"answers\":[\"Ann\",\"Ann B.\"]}\n",
        )
        .unwrap();
        assert_eq!((questions.len(), repeated), (2, 1));
        assert_eq!(questions[0].group.as_deref(), Some("g"));
        assert!(questions[0].is_right("ann b") && questions[1].is_right("2+2=4"));
    }

    #[test]
    fn what_is_no_question_is_named_with_its_line() {
        let good = "{\"question\":\"Who?\",\"answers\":[\"Ann\"]}\n";
        for (bad, problem) in [
            ("who?", "expected"),
            ("{\"question\":\"Who?\"}", "missing field `answers`"),
            (
                "{\"question\":\" \",\"answers\":[\"a\"]}",
                "`question` is empty",
            ),
            ("{\"question\":\"q\",\"answers\":[]}", "`answers` are empty"),
            (
                "{\"question\":\"q\",\"answers\":[\"a\",\"?\"]}",
                "neither a letter",
            ),
            ("{\"question\":\"q\",\"answers\":\"a\"}", "invalid type"),
        ] {
            let error = read(&format!("{good}{bad}\n")).unwrap_err();
            assert!(matches!(&error, Error::Line { line: 2, .. }), "{error}");
            assert!(error.to_string().contains(problem), "{error}");
        }
    }

    #[test]
    fn the_fingerprint_is_of_what_is_asked_and_not_of_its_order_or_spelling() {
        let question = |question: &str, answers: &[&str]| Question {
            question: question.to_owned(),
            answers: answers.iter().map(|a| (*a).to_owned()).collect(),
            group: None,
            example: None,
        };
        let one = [question("Who?", &["Ann", "Bob"]), question("2 + 2", &["4"])];
        let same = [question("2 + 2", &["4"]), question("who", &["bob.", "Ann"])];
        let other = [question("Who?", &["Ann"]), question("2 + 2", &["4"])];
        assert_eq!(fingerprint(&one), fingerprint(&same));
        assert_ne!(fingerprint(&one), fingerprint(&other));
        assert_eq!(fingerprint(&one).len(), 64);
    }

    #[test]
    fn our_own_questions_are_judged_by_their_skill() {
        let questions = builtin_questions(&[Skill::Arithmetic, Skill::Chitchat], 20, 1, None);
        let questions = questions.unwrap();
        assert!(!questions.is_empty() && questions.len() <= 20);
        for question in &questions {
            assert_eq!(question.group.as_deref(), Some("arithmetic"));
            assert!(question.is_right(&question.answers[0]));
        }
    }
}
