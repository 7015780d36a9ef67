//! From a mixture of sources to token arrays, and from those to training batches.
//!
//! Documents are split into training and validation by hash ([`crate::split`]); whatever
//! evaluation asks is dropped. Conversations count in the loss only where the model speaks, texts
//! everywhere. A batch is a pure function of the data, the seed and the step, so that a run that
//! was stopped goes on exactly where it was.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use crate::corpus;
use crate::generate::{Example, Role, generate};
use crate::skills::Skill;
use crate::split::{self, Side};
use crate::tokenizer::{self, END, START};
use crate::{Error, Result};

mod batches;
mod file;

pub use batches::{Batch, Batches};
pub(crate) use file::write_whole;

/// What a model is trained on: the `[data]` section of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixture {
    /// The sources and their shares.
    pub parts: Vec<Part>,
}

/// One source of a [`Mixture`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// `generator:<skill>` or `corpus:<set>`.
    pub source: String,
    /// Share of the training rows, relative to the other parts.
    pub weight: f32,
    /// The most documents to take; 0 takes a whole corpus. Generators need a number.
    #[serde(default)]
    pub limit: usize,
}

/// One thing to train on, before it is tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// Prose; all of it counts in the loss.
    Text(String),
    /// Turns; what the assistant says counts in the loss.
    Conversation(Vec<(Role, String)>),
}

impl Document {
    /// What decides its side of the wall: the first question, or the whole text.
    fn key(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Conversation(turns) => turns
                .iter()
                .find(|(role, _)| *role == Role::User)
                .map_or("", |(_, text)| text.as_str()),
        }
    }

    /// The text of all turns, one per line.
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Conversation(turns) => turns
                .iter()
                .map(|(_, text)| text.as_str())
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }
}

/// The tokens of one part and one side, documents back to back.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// As in the mixture.
    pub source: String,
    /// Share of the rows.
    pub weight: f32,
    /// All documents, each from `<|start|>` to `<|end|>`.
    pub tokens: Vec<u16>,
    /// Which tokens count in the loss when they are the target.
    pub mask: Vec<bool>,
    /// Where each document begins.
    pub starts: Vec<u32>,
    /// Length of the documents' text in UTF-8 bytes.
    pub bytes: u64,
}

/// The prepared arrays of a mixture.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    train: Vec<Stream>,
    validation: Vec<Stream>,
    skipped: Vec<String>,
}

/// How much of a part there is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartStatistics {
    /// As in the mixture.
    pub source: String,
    /// Share of the training rows, from 0 to 1.
    pub share: f32,
    /// Training documents.
    pub documents: usize,
    /// Training tokens.
    pub tokens: usize,
    /// Training tokens that count in the loss.
    pub targets: usize,
    /// Bytes of text per token of text.
    pub bytes_per_token: f64,
    /// Validation tokens.
    pub validation_tokens: usize,
}

impl fmt::Display for PartStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<32} {:>5.1} % {:>7} documents {:>9} tokens {:>9} in the loss {:>5.2} bytes/token {:>7} validation",
            self.source,
            self.share * 100.0,
            self.documents,
            self.tokens,
            self.targets,
            self.bytes_per_token,
            self.validation_tokens
        )
    }
}

/// Reads, generates and tokenizes a mixture.
///
/// A corpus whose folder is missing is skipped and named in [`Dataset::skipped`].
///
/// # Errors
/// [`Error::Mixture`] and [`Error::UnknownSource`] for a mixture that cannot work,
/// [`Error::Io`] and [`Error::Format`] for files that are there but unreadable.
pub fn prepare(
    mixture: &Mixture,
    data_root: Option<&Path>,
    tokenizer: &Tokenizer,
    seed: u64,
) -> Result<Dataset> {
    let (sources, skipped) = read(mixture, data_root, seed)?;
    let mut dataset = Dataset {
        train: Vec::new(),
        validation: Vec::new(),
        skipped,
    };
    for (part, documents) in sources {
        for (wanted, streams) in [
            (Side::Train, &mut dataset.train),
            (Side::Validation, &mut dataset.validation),
        ] {
            let documents = documents
                .iter()
                .filter(|(side, _)| *side == wanted)
                .map(|(_, document)| document);
            let stream = Stream::new(&part, documents, tokenizer)?;
            if !stream.starts.is_empty() {
                streams.push(stream);
            }
        }
    }
    Ok(dataset)
}

/// The training text of a mixture, one string per document: what a tokenizer is trained on.
///
/// # Errors
/// As [`prepare`].
pub fn texts(mixture: &Mixture, data_root: Option<&Path>, seed: u64) -> Result<Vec<String>> {
    let (sources, _) = read(mixture, data_root, seed)?;
    let documents = sources.iter().flat_map(|(_, documents)| documents);
    Ok(documents
        .filter(|(side, _)| *side == Side::Train)
        .map(|(_, document)| document.text())
        .collect())
}

type Sources = Vec<(Part, Vec<(Side, Document)>)>;

/// All documents of a mixture that may be used, and the corpora that are not there.
fn read(mixture: &Mixture, data_root: Option<&Path>, seed: u64) -> Result<(Sources, Vec<String>)> {
    if mixture.parts.is_empty() {
        return Err(Error::Mixture("it has no parts".into()));
    }
    let held_out = match data_root {
        Some(root)
            if mixture
                .parts
                .iter()
                .any(|part| part.source.starts_with("corpus:")) =>
        {
            corpus::benchmarks::hashes(root)?
        }
        _ => HashSet::new(),
    };
    let (mut sources, mut skipped) = (Vec::new(), Vec::new());
    for part in &mixture.parts {
        if !(part.weight.is_finite() && part.weight > 0.0) {
            return Err(Error::Mixture(format!(
                "{}: the weight must be above 0",
                part.source
            )));
        }
        let seed = seed ^ split::hash(&part.source);
        let documents = match part.source.split_once(':') {
            Some(("generator", name)) => Some(generated(part, name, seed)?),
            Some(("corpus", name)) => match corpus::read(name, data_root, part.limit, seed)? {
                corpus::Read::Documents(documents) => Some(sided(documents, &held_out)),
                corpus::Read::Missing(why) => {
                    skipped.push(format!("{}: {why}", part.source));
                    None
                }
            },
            _ => return Err(unknown(&part.source)),
        };
        if let Some(documents) = documents {
            sources.push((part.clone(), documents));
        }
    }
    if sources.is_empty() {
        return Err(Error::Mixture(format!(
            "no part is there ({})",
            skipped.join("; ")
        )));
    }
    Ok((sources, skipped))
}

fn unknown(source: &str) -> Error {
    let generators = Skill::ALL
        .into_iter()
        .filter(|&skill| skill != Skill::Chitchat)
        .map(|skill| format!("generator:{}", skill.name()));
    let corpora = corpus::NAMES.iter().map(|name| format!("corpus:{name}"));
    let known = generators.chain(corpora).collect::<Vec<_>>().join(", ");
    Error::UnknownSource {
        name: source.to_owned(),
        known,
    }
}

/// Share of the generated conversations that go on with another question.
const SECOND_TURN: f64 = 0.12;

fn generated(part: &Part, name: &str, seed: u64) -> Result<Vec<(Side, Document)>> {
    let skill = Skill::from_name(name)
        .filter(|&skill| skill != Skill::Chitchat)
        .ok_or_else(|| unknown(&part.source))?;
    if part.limit == 0 {
        return Err(Error::Mixture(format!(
            "{}: a generator needs a limit",
            part.source
        )));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut documents = Vec::new();
    for (side, n) in [
        (Side::Train, part.limit),
        (Side::Validation, (part.limit / 50).clamp(20, 500)),
    ] {
        let mut examples = generate(skill, n, seed, side).into_iter();
        while let Some(example) = examples.next() {
            let mut turns = turns(example);
            if rng.random_bool(SECOND_TURN)
                && let Some(next) = examples.next()
            {
                turns.extend(self::turns(next));
            }
            documents.push((side, Document::Conversation(turns)));
        }
    }
    Ok(documents)
}

/// A question with the answer that is trained on.
fn turns(example: Example) -> Vec<(Role, String)> {
    let mut turns = example.messages;
    turns.extend(
        example
            .answers
            .into_iter()
            .next()
            .map(|answer| (Role::Assistant, answer)),
    );
    turns
}

/// Puts each document on its side and drops what evaluation or a benchmark asks.
fn sided(documents: Vec<Document>, held_out: &HashSet<u64>) -> Vec<(Side, Document)> {
    let mut seen = HashSet::new();
    documents
        .into_iter()
        .filter(|document| seen.insert(split::hash(&document.text())))
        .filter_map(|document| {
            let questions_are_free = match &document {
                Document::Text(text) => !held_out.contains(&split::hash(text)),
                // Any turn may be a question that evaluation asks.
                Document::Conversation(turns) => !turns.iter().any(|(role, text)| {
                    *role == Role::User
                        && (split::side(text) == Side::HeldOut && turns.len() <= 2
                            || held_out.contains(&split::hash(text)))
                }),
            };
            let side = match split::side(document.key()) {
                Side::HeldOut => Side::Validation,
                side => side,
            };
            questions_are_free.then_some((side, document))
        })
        .collect()
}

impl Stream {
    fn new<'a>(
        part: &Part,
        documents: impl Iterator<Item = &'a Document>,
        tokenizer: &Tokenizer,
    ) -> Result<Self> {
        let mut stream = Self {
            source: part.source.clone(),
            weight: part.weight,
            tokens: Vec::new(),
            mask: Vec::new(),
            starts: Vec::new(),
            bytes: 0,
        };
        for document in documents {
            stream.push(document, tokenizer)?;
        }
        Ok(stream)
    }

    fn push(&mut self, document: &Document, tokenizer: &Tokenizer) -> Result<()> {
        let start = u32::try_from(self.tokens.len())
            .map_err(|_| Error::Mixture(format!("{} has over 4 billion tokens", self.source)))?;
        self.starts.push(start);
        self.put(&[START], false)?;
        match document {
            Document::Text(text) => {
                self.bytes += text.len() as u64;
                self.put(&tokenizer::encode(tokenizer, text)?, true)?;
                self.put(&[END], true)
            }
            Document::Conversation(turns) => {
                for (role, text) in turns {
                    let text = text.trim();
                    let counts = *role == Role::Assistant;
                    self.bytes += text.len() as u64;
                    self.put(&[tokenizer::role_token(*role)], false)?;
                    self.put(&tokenizer::encode(tokenizer, text)?, counts)?;
                    self.put(&[END], counts)?;
                }
                Ok(())
            }
        }
    }

    fn put(&mut self, ids: &[u32], counts: bool) -> Result<()> {
        for &id in ids {
            self.tokens
                .push(u16::try_from(id).map_err(|_| Error::Tokenizer {
                    action: "apply",
                    problem: format!("token {id} does not fit 16 bits"),
                })?);
            self.mask.push(counts);
        }
        Ok(())
    }
}

impl Dataset {
    /// Batches of `batch` rows of `time` tokens for training; see [`Batches::get`].
    ///
    /// # Errors
    /// [`Error::Mixture`] when there is nothing to train on, or a size is 0.
    pub fn train_batches(&self, batch: usize, time: usize, seed: u64) -> Result<Batches<'_>> {
        Batches::new(&self.train, batch, time, seed)
    }

    /// Batches of documents that are not trained on, in the same shares.
    ///
    /// # Errors
    /// As [`Dataset::train_batches`].
    pub fn validation_batches(&self, batch: usize, time: usize, seed: u64) -> Result<Batches<'_>> {
        Batches::new(&self.validation, batch, time, seed)
    }

    /// The corpora that the mixture names and the data folder lacks, with the reason.
    #[must_use]
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// The training streams, one per part.
    #[must_use]
    pub fn train(&self) -> &[Stream] {
        &self.train
    }

    /// The validation streams, one per part that has any.
    #[must_use]
    pub fn validation(&self) -> &[Stream] {
        &self.validation
    }

    /// Size and share of each part.
    #[must_use]
    pub fn statistics(&self) -> Vec<PartStatistics> {
        let total: f32 = self.train.iter().map(|stream| stream.weight).sum();
        let rows = self.train.iter().map(|stream| {
            let markup = stream
                .tokens
                .iter()
                .filter(|&&id| u32::from(id) <= tokenizer::ASSISTANT);
            let text = stream.tokens.len() - markup.count();
            let validation = self
                .validation
                .iter()
                .find(|other| other.source == stream.source);
            PartStatistics {
                source: stream.source.clone(),
                share: stream.weight / total,
                documents: stream.starts.len(),
                tokens: stream.tokens.len(),
                targets: stream.mask.iter().filter(|&&counts| counts).count(),
                bytes_per_token: stream.bytes as f64 / text.max(1) as f64,
                validation_tokens: validation.map_or(0, |stream| stream.tokens.len()),
            }
        });
        rows.collect()
    }
}

/// Shuffles with a seed; the order of documents must not depend on file order.
pub(crate) fn shuffle<T>(items: &mut [T], seed: u64) {
    items.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
}

#[cfg(test)]
mod tests;
