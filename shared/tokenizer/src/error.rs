//! Why a `tokenizer.json` cannot be used.

/// What is wrong with a `tokenizer.json`, or with a text that it should encode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is damaged or contradicts itself.
    #[error("tokenizer.json: {0}")]
    Malformed(String),
    /// The file asks for something that this crate does not do; another library may.
    #[error("tokenizer.json: {what} {value} is not supported here")]
    Unsupported {
        /// The part of the file.
        what: &'static str,
        /// What it asks for.
        value: String,
    },
    /// A pattern takes too many steps for a text, as only one made for that does.
    #[error("the pattern that cuts text into words takes too long for this text")]
    Slow,
}

/// Something that this crate does not do.
pub(crate) fn unsupported(what: &'static str, value: impl ToString) -> Error {
    let value = value.to_string();
    Error::Unsupported { what, value }
}

/// Something that is not what it should be.
pub(crate) fn malformed(problem: impl ToString) -> Error {
    Error::Malformed(problem.to_string())
}
