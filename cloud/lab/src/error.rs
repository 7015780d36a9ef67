//! What can go wrong in the lab, in words that say what to do.

use std::path::{Path, PathBuf};

/// The result of anything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Every failure of this crate: what was being done, and to what.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("could not {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb: "read", "write", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A data file is not in the form its reader expects.
    #[error("{path} is not in the expected form: {problem}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// One line of a file is not what its reader expects.
    #[error("line {line} of {path} is not usable: {problem}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The recipe's `[data]` section asks for something impossible.
    #[error("the data mixture is not usable: {0}")]
    Mixture(String),
    /// A source was asked for that does not exist.
    #[error("unknown data source \"{name}\"; known: {known}")]
    UnknownSource {
        /// What was asked for.
        name: String,
        /// What there is, comma separated.
        known: String,
    },
    /// The tokenizer could not be trained, read, or applied.
    #[error("could not {action} the tokenizer: {problem}")]
    Tokenizer {
        /// What was tried, as a verb.
        action: &'static str,
        /// What went wrong.
        problem: String,
    },
    /// Evaluation questions need the data folder, which was not given or lacks the set.
    #[error("skill \"{skill}\" needs the data folder: {problem}; pass --data <folder>")]
    NeedsData {
        /// The skill's name.
        skill: &'static str,
        /// What is missing.
        problem: String,
    },
    /// The recipe asks for something that cannot be done.
    #[error("the recipe's `{field}` {problem}")]
    Recipe {
        /// The key with its table: `train.batch`.
        field: String,
        /// What is wrong with the value, and what is allowed.
        problem: String,
    },
    /// A job of evolution asks for something that cannot be done.
    #[error("the job's `{field}` {problem}")]
    Job {
        /// The key with its table: `space.genes`.
        field: String,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// The merge crate refused a model, a recipe or a search.
    #[error("could not {action}: {source}")]
    Merge {
        /// What was tried, as a verb phrase.
        action: String,
        /// What the merge crate said.
        source: Box<sprat_merge::Error>,
    },
    /// Evolution cannot go on.
    #[error("evolution has come to its end: {0}")]
    Evolution(String),
    /// The model crate refused a configuration, weights or a question.
    #[error("could not {action}: {source}")]
    Model {
        /// What was tried, as a verb phrase.
        action: String,
        /// What the model crate said.
        source: sprat_model::Error,
    },
    /// Training left the numbers.
    #[error(
        "{what} is not a finite number at step {step}; {}. Lower train.learning_rate, raise \
         train.warmup_steps or lower train.clip, and run again",
        match checkpoint {
            Some(path) => format!("the last good checkpoint is {}", path.display()),
            None => "no checkpoint had been written yet".to_owned(),
        }
    )]
    NotFinite {
        /// "the loss", "the gradient" or "the validation loss".
        what: &'static str,
        /// The optimizer step it was seen at, from 1.
        step: usize,
        /// The newest checkpoint on disk, if there is one.
        checkpoint: Option<PathBuf>,
    },
    /// No gate could be fitted.
    #[error("could not fit the gate: {source}")]
    Gate {
        /// What the route crate said.
        source: sprat_route::Error,
    },
    /// A figure is not defined on these records.
    #[error(transparent)]
    Metric(sprat_route::Error),
    /// A pack's gate cannot be used.
    #[error(
        "the gate of {path} cannot be used: {problem}; `sprat calibrate --model {path}` makes one"
    )]
    NoGate {
        /// The pack.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The folder to write is there already, and is no pack that could be replaced.
    #[error("{path} is there already and is no pack; choose another folder")]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// Too few questions to show what a gate has to promise.
    #[error(
        "a gate that keeps at most {:.1} % wrong answers, except with probability {:.1} %, takes about {needed} \
         questions at the least, and there are {found}; add questions, or allow more by --alpha and --delta",
        100.0 * alpha, 100.0 * delta
    )]
    TooFewQuestions {
        /// How many there are.
        found: usize,
        /// How many it takes if every answer that counts is right.
        needed: usize,
        /// Largest share of wrong answers among those kept.
        alpha: f64,
        /// Chance that the bound does not hold.
        delta: f64,
    },
    /// A model that has everything right, or everything wrong, shows nothing of its confidence.
    #[error("all {n} answers are {}", match right {
        true => "right: without a wrong one nothing can be learnt of confidence; add harder questions",
        false => "wrong: without a right one nothing can be learnt of confidence; add easier questions, or see \
                  whether the answers are in the model's form (`sprat ask` shows it)",
    })]
    OneSided {
        /// Answers.
        n: usize,
        /// What they all are.
        right: bool,
    },
    /// The trial run of training did not do what it should.
    #[error("training does not work as it should on this machine: {0}")]
    Smoke(String),
    /// A run cannot be continued from what is on disk.
    #[error("cannot resume from {path}: {problem}")]
    Resume {
        /// The run folder or checkpoint.
        path: PathBuf,
        /// Why not, and what to do.
        problem: String,
    },
    /// The run folder holds another run already.
    #[error("{path} already holds a run; resume it, or choose another folder")]
    RunExists {
        /// The run folder.
        path: PathBuf,
    },
}

impl Error {
    /// A recipe value that is not allowed.
    pub(crate) fn recipe(field: &str, problem: impl Into<String>) -> Self {
        Self::Recipe {
            field: field.to_owned(),
            problem: problem.into(),
        }
    }

    /// A job's value that is not allowed.
    pub(crate) fn job(field: &str, problem: impl Into<String>) -> Self {
        Self::Job {
            field: field.to_owned(),
            problem: problem.into(),
        }
    }

    /// What was being done when the merge crate said no.
    pub(crate) fn merge(action: impl Into<String>) -> impl FnOnce(sprat_merge::Error) -> Self {
        let action = action.into();
        move |source| Self::Merge {
            action,
            source: Box::new(source),
        }
    }

    /// What was being done when the model crate said no.
    pub(crate) fn model(action: impl Into<String>) -> impl FnOnce(sprat_model::Error) -> Self {
        let action = action.into();
        move |source| Self::Model { action, source }
    }

    /// Names the file an [`std::io::Error`] happened to.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }

    /// Says what is wrong with a file's content.
    pub(crate) fn format(path: &Path, problem: impl Into<String>) -> Self {
        Self::Format {
            path: path.to_path_buf(),
            problem: problem.into(),
        }
    }
}
