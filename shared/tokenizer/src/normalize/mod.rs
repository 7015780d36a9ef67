//! What is done to a text before it is cut: the part `normalizer`.

mod forms;

use std::borrow::Cow;

use forms::Form;

use crate::Error;
use crate::part::{Part, Wanted};

/// One change.
#[derive(Debug)]
enum Change {
    Form(Form),
    Prepend(String),
    Replace { wanted: Wanted, content: String },
    Lowercase,
    Strip { left: bool, right: bool },
}

/// All changes, in their order.
#[derive(Debug, Default)]
pub(crate) struct Normalizer {
    changes: Vec<Change>,
}

/// A changed text.
pub(crate) struct Normalized<'a> {
    pub(crate) text: Cow<'a, str>,
    /// Whether its first character stands for the first one of the given text: nothing was taken off in front.
    pub(crate) whole: bool,
}

impl Normalizer {
    /// Reads the part of the file.
    pub(crate) fn new(part: Part) -> Result<Self, Error> {
        let mut normalizer = Self::default();
        if !part.value.is_null() {
            normalizer.add(part)?;
        }
        Ok(normalizer)
    }

    fn add(&mut self, part: Part) -> Result<(), Error> {
        let change = match part.kind()? {
            "Sequence" => {
                return part
                    .parts("normalizers")?
                    .try_for_each(|part| self.add(part));
            }
            "NFC" => Change::Form(Form::Nfc),
            "NFD" => Change::Form(Form::Nfd),
            "NFKC" => Change::Form(Form::Nfkc),
            "NFKD" => Change::Form(Form::Nfkd),
            "Prepend" => Change::Prepend(part.text("prepend")?.to_owned()),
            "Replace" => Change::Replace {
                wanted: part.wanted()?,
                content: part.text("content")?.to_owned(),
            },
            "Lowercase" => Change::Lowercase,
            "Strip" => Change::Strip {
                left: part.flag("strip_left", None)?,
                right: part.flag("strip_right", None)?,
            },
            _ => return part.refused(),
        };
        self.changes.push(change);
        Ok(())
    }

    /// Makes all changes.
    ///
    /// # Errors
    /// [`Error::Slow`].
    pub(crate) fn normalize<'a>(&self, text: &'a str) -> Result<Normalized<'a>, Error> {
        let mut normalized = Normalized {
            text: text.into(),
            whole: true,
        };
        self.changes
            .iter()
            .try_for_each(|change| change.make(&mut normalized))?;
        Ok(normalized)
    }
}

impl Change {
    fn make(&self, normalized: &mut Normalized) -> Result<(), Error> {
        let text = &normalized.text;
        let changed = match self {
            Change::Form(form) => match form.of(text) {
                Some(changed) => changed,
                None => return Ok(()),
            },
            Change::Prepend(_) if text.is_empty() => return Ok(()),
            Change::Prepend(start) => format!("{start}{text}"),
            Change::Replace { wanted, content } => {
                let mut in_front = None;
                wanted.find(text, |start, end| {
                    in_front.get_or_insert((start, end));
                })?;
                let Some((start, end)) = in_front else {
                    return Ok(());
                };
                // What stands for several characters stands for the last of them.
                let one = text[start..end].chars().nth(1).is_none();
                normalized.whole &= start > 0 || one && !content.is_empty();
                wanted.replace(text, content)?
            }
            Change::Lowercase => text.chars().map(forms::lowercase).collect(),
            Change::Strip { left, right } => {
                let mut kept: &str = text;
                if *left {
                    kept = kept.trim_start();
                    normalized.whole &= kept.len() == text.len();
                }
                if *right {
                    kept = kept.trim_end();
                }
                kept.to_owned()
            }
        };
        normalized.text = changed.into();
        Ok(())
    }
}
