//! Tokens to text: the part `decoder`.

use crate::Error;
use crate::alphabet;
use crate::part::{Part, Wanted};

/// One step.
#[derive(Debug)]
enum Step {
    ByteLevel,
    ByteFallback,
    Fuse,
    Replace {
        wanted: Wanted,
        content: String,
    },
    Strip {
        content: char,
        start: usize,
        stop: usize,
    },
    Metaspace {
        mark: char,
        prepends: bool,
    },
}

/// All steps, in their order; none where the file has none, which puts spaces between tokens.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    steps: Option<Vec<Step>>,
}

impl Decoder {
    /// Reads the part of the file.
    pub(crate) fn new(part: Part) -> Result<Self, Error> {
        if part.value.is_null() {
            return Ok(Self::default());
        }
        let mut steps = Vec::new();
        add(part, &mut steps)?;
        Ok(Self { steps: Some(steps) })
    }

    /// The text of tokens.
    ///
    /// # Errors
    /// [`Error::Slow`].
    pub(crate) fn decode<'a>(
        &self,
        tokens: impl Iterator<Item = &'a str>,
    ) -> Result<String, Error> {
        let Some(steps) = &self.steps else {
            return Ok(tokens.collect::<Vec<_>>().join(" "));
        };
        // The only step of most tokenizers, without a copy of each token.
        if let [Step::ByteLevel] = steps[..] {
            let mut bytes = Vec::new();
            tokens.for_each(|token| alphabet::read(token, &mut bytes));
            return Ok(lossy(bytes));
        }
        let mut tokens: Vec<String> = tokens.map(str::to_owned).collect();
        for step in steps {
            tokens = step.take(tokens)?;
        }
        Ok(tokens.concat())
    }
}

fn add(part: Part, steps: &mut Vec<Step>) -> Result<(), Error> {
    let step = match part.kind()? {
        "Sequence" => {
            return part
                .parts("decoders")?
                .try_for_each(|part| add(part, steps));
        }
        "ByteLevel" => Step::ByteLevel,
        "ByteFallback" => Step::ByteFallback,
        "Fuse" => Step::Fuse,
        "Replace" => Step::Replace {
            wanted: part.wanted()?,
            content: part.text("content")?.to_owned(),
        },
        "Strip" => Step::Strip {
            content: part.character("content")?,
            start: part.count("start")?,
            stop: part.count("stop")?,
        },
        "Metaspace" => Step::Metaspace {
            mark: part.character("replacement")?,
            prepends: crate::cut::prepends(part)?,
        },
        _ => return part.refused(),
    };
    steps.push(step);
    Ok(())
}

impl Step {
    fn take(&self, mut tokens: Vec<String>) -> Result<Vec<String>, Error> {
        match self {
            Step::ByteLevel => {
                let mut bytes = Vec::new();
                tokens
                    .iter()
                    .for_each(|token| alphabet::read(token, &mut bytes));
                Ok(vec![lossy(bytes)])
            }
            Step::ByteFallback => Ok(bytes_to_text(tokens)),
            Step::Fuse => Ok(vec![tokens.concat()]),
            Step::Replace { wanted, content } => tokens
                .iter()
                .map(|token| wanted.replace(token, content))
                .collect(),
            Step::Strip {
                content,
                start,
                stop,
            } => {
                let stripped = tokens
                    .iter()
                    .map(|token| strip(token, *content, *start, *stop));
                Ok(stripped.map(str::to_owned).collect())
            }
            Step::Metaspace { mark, prepends } => {
                for (index, token) in tokens.iter_mut().enumerate() {
                    let space = if index == 0 && *prepends { "" } else { " " };
                    *token = token.replace(*mark, space);
                }
                Ok(tokens)
            }
        }
    }
}

/// Bytes as text, with U+FFFD for what is none.
fn lossy(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

/// Puts tokens such as `<0x0A>` together; a row of them that is no text becomes a U+FFFD for each.
fn bytes_to_text(tokens: Vec<String>) -> Vec<String> {
    let mut texts = Vec::with_capacity(tokens.len());
    let mut row: Vec<u8> = Vec::new();
    let flush = |row: &mut Vec<u8>, texts: &mut Vec<String>| {
        let length = row.len();
        match String::from_utf8(std::mem::take(row)) {
            Ok(text) if text.is_empty() => {}
            Ok(text) => texts.push(text),
            Err(_) => texts.resize(texts.len() + length, "\u{fffd}".to_owned()),
        }
    };
    for token in tokens {
        let hex = token
            .strip_prefix("<0x")
            .and_then(|rest| rest.strip_suffix('>'));
        let hex = hex.filter(|hex| hex.len() == 2);
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => row.push(byte),
            None => {
                flush(&mut row, &mut texts);
                texts.push(token);
            }
        }
    }
    flush(&mut row, &mut texts);
    texts
}

/// Takes off at most so many of a character in front and behind.
fn strip(mut text: &str, content: char, start: usize, stop: usize) -> &str {
    for _ in 0..start {
        let Some(rest) = text.strip_prefix(content) else {
            break;
        };
        text = rest;
    }
    for _ in 0..stop {
        let Some(rest) = text.strip_suffix(content) else {
            break;
        };
        text = rest;
    }
    text
}
