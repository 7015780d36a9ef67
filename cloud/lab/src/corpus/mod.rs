//! Readers of open text sets: prose and conversations, English only.
//!
//! The sets live in a folder outside this project, which a training run is told. A set that is
//! not there is reported, not an error, so that a mixture still trains on what there is. Readers
//! shorten and clean; they never add. Every set's licence allows training (the model cards name
//! them).

use std::fs;
use std::path::{Path, PathBuf};

use crate::dataset::{Document, shuffle};
use crate::generate::{Example, Role};
use crate::skills::Skill;
use crate::split::{self, Side};
use crate::{Error, Result};

pub mod benchmarks;
mod prose;
mod talk;

/// The folder of the Personality Chat set, which the skill "chitchat" also asks from.
pub const MS_CHITCHAT: &str = "ms_chitchat";

/// A reader turns a set's folder into documents.
type Reader = fn(&Path) -> Result<Vec<Document>>;

/// Every set: its name in recipes, the folder in the data root, and the reader.
const SETS: &[(&str, &str, Reader)] = &[
    ("books_pd", "books_pd", prose::books),
    ("storybooks_ccby", "storybooks_ccby", prose::storybooks),
    (
        "common_voice_sentences",
        "common_voice_sentences/en",
        prose::sentences,
    ),
    ("wordnet_glosses", "wordnet_oewn_glosses", prose::glosses),
    ("wordnet_questions", "wordnet_oewn_glosses", talk::glosses),
    ("world_factbook_facts", "world_factbook_facts", prose::facts),
    (MS_CHITCHAT, MS_CHITCHAT, talk::chitchat),
    (
        "chatterbot_corpus",
        "chatterbot_corpus/english",
        talk::chatterbot,
    ),
    ("self_dialogue", "self_dialogue", talk::self_dialogue),
    ("xpersona", "xpersona", talk::xpersona),
    ("taskmaster4", "taskmaster4", talk::taskmaster),
    ("fun_dialogues", "fun_dialogues", talk::fun_dialogues),
    (
        "llms_from_scratch_instr",
        "llms_from_scratch_instr/ch07/01_main-chapter-code",
        talk::instructions,
    ),
];

/// The names of all sets, for error messages.
pub const NAMES: [&str; SETS.len()] = {
    let mut names = [""; SETS.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = SETS[i].0;
        i += 1;
    }
    names
};

/// What reading a set gave.
#[derive(Debug)]
pub enum Read {
    /// Its documents, in an order that depends only on the seed.
    Documents(Vec<Document>),
    /// It is not there; why.
    Missing(String),
}

/// Reads at most `limit` documents (0: all) of the set `name` below `data_root`.
///
/// # Errors
/// [`Error::UnknownSource`] for a name without a reader; [`Error::Io`] and [`Error::Format`] for
/// a set that is there but cannot be read.
pub fn read(name: &str, data_root: Option<&Path>, limit: usize, seed: u64) -> Result<Read> {
    let Some((_, folder, reader)) = SETS.iter().find(|(known, ..)| *known == name) else {
        return Err(Error::UnknownSource {
            name: format!("corpus:{name}"),
            known: NAMES.map(|name| format!("corpus:{name}")).join(", "),
        });
    };
    let Some(root) = data_root else {
        return Ok(Read::Missing("no data folder was given".into()));
    };
    let folder = root.join(folder);
    if !folder.is_dir() {
        return Ok(Read::Missing(format!("{} is not there", folder.display())));
    }
    let mut documents = reader(&folder)?;
    shuffle(&mut documents, seed);
    if limit > 0 {
        documents.truncate(limit);
    }
    Ok(Read::Documents(documents))
}

/// Held-out questions of the Personality Chat set; the answer of the intent is the right one.
///
/// # Errors
/// [`Error::Io`] and [`Error::Format`].
pub fn chitchat_questions(folder: &Path, n: usize, seed: u64) -> Result<Vec<Example>> {
    let mut examples: Vec<Example> = talk::chitchat_intents(folder)?
        .into_iter()
        .flat_map(|(questions, answer)| {
            questions.into_iter().map(move |question| Example {
                skill: Skill::Chitchat,
                messages: vec![(Role::User, question.clone())],
                answers: vec![answer.clone()],
                difficulty: 2,
                key: question,
            })
        })
        .filter(|example| split::side(&example.key) == Side::HeldOut)
        .collect();
    shuffle(&mut examples, seed);
    examples.truncate(n);
    Ok(examples)
}

/// All files below `folder` with this extension, sorted, licence folders left out.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "LICENSES") {
                found.extend(files(&path, extension)?);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A text file; bytes that are not UTF-8 become U+FFFD rather than an error.
fn text(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A JSON file.
fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&text(path)?).map_err(|error| Error::format(path, error.to_string()))
}

/// A file with one JSON value per line.
fn json_lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    text(path)?
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| {
            serde_json::from_str(line)
                .map_err(|error| Error::format(path, format!("line {}: {error}", i + 1)))
        })
        .collect()
}

/// Typewriter quotes and dashes, single spaces: one spelling for what sounds the same.
fn clean(text: &str) -> String {
    let plain = text
        .replace(['’', '‘'], "'")
        .replace(['“', '”'], "\"")
        .replace('—', " - ")
        .replace('–', "-")
        .replace('…', "...");
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a text is plain English: nearly all of it ASCII.
fn is_english(text: &str) -> bool {
    let other = text.chars().filter(|c| !c.is_ascii()).count();
    other * 50 <= text.chars().count()
}

#[cfg(test)]
mod tests;
