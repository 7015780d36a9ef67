//! Why a template cannot be read or rendered.

use std::fmt;

/// What is wrong with a template, or with what it was given. Never says what is in a message: only names from the template
/// and lines of it. [`Error::Raised`] is the one exception, as its text is whatever the template made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// It is not a template.
    Syntax {
        /// Where, counted from 1.
        line: u32,
        /// What is wrong there.
        what: String,
    },
    /// It asks for something that this crate does not do; another library may.
    Unsupported {
        /// Where, counted from 1.
        line: u32,
        /// What it asks for.
        what: String,
    },
    /// It called `raise_exception`, with this message: it refuses what it was given.
    Raised(String),
    /// It did with a value what cannot be done with it.
    Invalid {
        /// Where, counted from 1.
        line: u32,
        /// What it did.
        what: String,
    },
    /// It makes too much: steps, text, or things inside of things. Only a template made for that does.
    TooMuch,
}

/// An error on its way out: in a box, as every result of an expression has room for one.
pub(crate) type Fail = Box<Error>;

/// The error with its place, if it has none yet: what computes does not know lines.
pub(crate) fn at(mut error: Fail, place: u32) -> Fail {
    match &mut *error {
        Error::Syntax { line, .. }
        | Error::Unsupported { line, .. }
        | Error::Invalid { line, .. }
            if *line == 0 =>
        {
            *line = place;
        }
        _ => {}
    }
    error
}

/// Something that is no template, in these words.
#[cold]
pub(crate) fn syntax(what: &[&str]) -> Fail {
    let (line, what) = (0, what.concat());
    Box::new(Error::Syntax { line, what })
}

/// Something done with a value that cannot be done with it, in these words.
#[cold]
pub(crate) fn invalid(what: &[&str]) -> Fail {
    let (line, what) = (0, what.concat());
    Box::new(Error::Invalid { line, what })
}

/// Something that this crate does not do, in these words.
#[cold]
pub(crate) fn unsupported(what: &[&str]) -> Fail {
    let (line, what) = (0, what.concat());
    Box::new(Error::Unsupported { line, what })
}

/// A thing of a kind that has a name of the template's, which this crate does not know.
#[cold]
pub(crate) fn unknown(kind: &str, name: &str) -> Fail {
    unsupported(&[kind, " `", name, "`"])
}

/// More than a template may.
#[cold]
pub(crate) fn too_much() -> Fail {
    Box::new(Error::TooMuch)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Syntax { line, what } | Error::Invalid { line, what } => {
                write!(f, "{what} (line {line})")
            }
            Error::Unsupported { line, what } => {
                write!(f, "{what} is not supported here (line {line})")
            }
            Error::Raised(message) => f.write_str(message),
            Error::TooMuch => f.write_str("the template makes too much"),
        }
    }
}

impl std::error::Error for Error {}
