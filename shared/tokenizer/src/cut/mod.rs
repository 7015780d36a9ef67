//! How a text is cut into words before anything merges: the part `pre_tokenizer`.

mod pieces;

use pieces::{Behavior, Pieces};

use crate::Error;
use crate::alphabet;
use crate::error::unsupported;
use crate::part::{Part, Wanted};
use crate::pattern::Pattern;

/// How GPT-2 cuts text.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// When a text gets a mark for a space in front.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Prepend {
    /// Every piece.
    Always,
    /// Only what the whole text begins with.
    First,
    Never,
}

/// One step of cutting.
#[derive(Debug)]
enum Step {
    /// Writes bytes in GPT-2's alphabet, with a space in front if that is wanted, cut as GPT-2 does if that is.
    ByteLevel {
        space: bool,
        cut: Option<Pattern>,
    },
    /// Apart from each other, or in runs.
    Digits(Behavior),
    Punctuation(Behavior),
    Split {
        wanted: Wanted,
        behavior: Behavior,
        invert: bool,
    },
    /// Writes spaces as a mark.
    Metaspace {
        mark: char,
        prepend: Prepend,
        split: bool,
    },
}

/// All steps, in their order.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    steps: Vec<Step>,
}

impl Cutter {
    /// Reads the part of the file.
    pub(crate) fn new(part: Part) -> Result<Self, Error> {
        let mut cutter = Self::default();
        if !part.value.is_null() {
            cutter.add(part)?;
        }
        Ok(cutter)
    }

    fn add(&mut self, part: Part) -> Result<(), Error> {
        let step = match part.kind()? {
            "Sequence" => {
                return part
                    .parts("pretokenizers")?
                    .try_for_each(|part| self.add(part));
            }
            "ByteLevel" => {
                let cut = part.flag("use_regex", Some(true))?;
                Step::ByteLevel {
                    space: part.flag("add_prefix_space", None)?,
                    cut: cut.then(|| Pattern::new(GPT2)).transpose()?,
                }
            }
            "Digits" => Step::Digits(match part.flag("individual_digits", None)? {
                true => Behavior::Isolated,
                false => Behavior::Contiguous,
            }),
            "Punctuation" => Step::Punctuation(match part.value["behavior"].is_null() {
                true => Behavior::Isolated,
                false => behavior(part)?,
            }),
            "Split" => Step::Split {
                wanted: part.wanted()?,
                behavior: behavior(part)?,
                invert: part.flag("invert", None)?,
            },
            "Metaspace" => Step::Metaspace {
                mark: part.character("replacement")?,
                prepend: prepend(part)?,
                split: part.flag("split", Some(true))?,
            },
            _ => return part.refused(),
        };
        self.steps.push(step);
        Ok(())
    }

    /// Gives out the pieces of a text, in their order. `first` is whether the whole text begins here.
    ///
    /// # Errors
    /// [`Error::Slow`], or what `word` returns.
    pub(crate) fn cut(
        &self,
        text: &str,
        first: bool,
        mut word: impl FnMut(&str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut pieces = Pieces::new(text);
        self.steps
            .iter()
            .try_for_each(|step| step.take(&mut pieces, first))?;
        pieces.each().try_for_each(&mut word)
    }
}

fn behavior(part: Part) -> Result<Behavior, Error> {
    Ok(match part.text("behavior")? {
        "Removed" => Behavior::Removed,
        "Isolated" => Behavior::Isolated,
        "MergedWithPrevious" => Behavior::MergedWithPrevious,
        "MergedWithNext" => Behavior::MergedWithNext,
        "Contiguous" => Behavior::Contiguous,
        other => return Err(unsupported("the behavior", other)),
    })
}

/// Whether a `Metaspace` puts a mark in front of any text.
pub(crate) fn prepends(part: Part) -> Result<bool, Error> {
    Ok(prepend(part)? != Prepend::Never)
}

fn prepend(part: Part) -> Result<Prepend, Error> {
    let scheme = match &part.value["prepend_scheme"] {
        serde_json::Value::Null => Prepend::Always,
        _ => match part.text("prepend_scheme")? {
            "always" => Prepend::Always,
            "first" => Prepend::First,
            "never" => Prepend::Never,
            other => return Err(unsupported("the prepend_scheme", other)),
        },
    };
    // As it was said before there were schemes.
    match part.flag("add_prefix_space", Some(true))? {
        true => Ok(scheme),
        false => Ok(Prepend::Never),
    }
}

impl Step {
    fn take(&self, pieces: &mut Pieces, first: bool) -> Result<(), Error> {
        match self {
            Step::ByteLevel { space, cut } => {
                if *space {
                    pieces.rewrite(|_, piece, out| {
                        if !piece.starts_with(' ') {
                            out.push(' ');
                        }
                        out.push_str(piece);
                    });
                }
                if let Some(pattern) = cut {
                    pieces.cut(Behavior::Isolated, false, |piece, found| {
                        pattern.find(piece, found)
                    })?;
                }
                pieces.rewrite(|_, piece, out| alphabet::write(piece.as_bytes(), out));
            }
            Step::Digits(behavior) => pieces.cut_at(*behavior, char::is_numeric)?,
            Step::Punctuation(behavior) => pieces.cut_at(*behavior, |character| {
                character.is_ascii_punctuation()
                    || crate::unicode::category(character) & crate::unicode::PUNCTUATION != 0
            })?,
            Step::Split {
                wanted,
                behavior,
                invert,
            } => pieces.cut(*behavior, *invert, |piece, found| wanted.find(piece, found))?,
            Step::Metaspace {
                mark,
                prepend,
                split,
            } => {
                let first = first && pieces.whole;
                pieces.rewrite(|index, piece, out| {
                    let wanted = match prepend {
                        Prepend::Always => true,
                        Prepend::First => first && index == 0,
                        Prepend::Never => false,
                    };
                    if wanted && !piece.starts_with([' ', *mark]) {
                        out.push(*mark);
                    }
                    out.extend(piece.chars().map(|c| if c == ' ' { *mark } else { c }));
                });
                if *split {
                    pieces.cut_at(Behavior::MergedWithNext, |character| character == *mark)?;
                }
            }
        }
        Ok(())
    }
}
