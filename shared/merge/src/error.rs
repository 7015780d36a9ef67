//! What can go wrong, with the model and the tensor that it went wrong with.

use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a merge can't be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recipe is not YAML, or has a key, method or value that is not known.
    #[error("reading the recipe: {problem}")]
    Recipe {
        /// What is wrong; ends with the place when it is known.
        problem: String,
        /// Line of the recipe, counted from 1.
        line: Option<usize>,
    },
    /// The models and the base that a recipe names don't suit its method.
    #[error("planning a {method} merge: {problem}")]
    Models {
        /// The merge method.
        method: &'static str,
        /// What it needs.
        problem: String,
    },
    /// A parameter is missing or has a value that the method can't use.
    #[error("planning `{tensor}`: parameter `{parameter}` of {place}: {problem}")]
    Parameter {
        /// The parameter's name in the recipe.
        parameter: &'static str,
        /// `model NAME`, or `the recipe` for parameters of the whole merge.
        place: String,
        /// The first tensor that it is wrong for.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Vocabularies that can't be brought together.
    #[error("bringing the models' tokens together: {problem}")]
    Tokens {
        /// What stands in the way.
        problem: String,
    },
    /// A search was begun, or told something, that it can't use.
    #[error("searching: {problem}")]
    Search {
        /// What it was.
        problem: String,
    },
    /// A model lacks a tensor that the others have.
    #[error("model `{model}` has no tensor `{tensor}`, which `{reference}` has")]
    MissingTensor {
        /// The tensor's name.
        tensor: String,
        /// The model without it.
        model: String,
        /// The model that decides which tensors there are.
        reference: String,
    },
    /// A model has a tensor that would silently be lost.
    #[error("model `{model}` has a tensor `{tensor}` that `{reference}` lacks")]
    ExtraTensor {
        /// The tensor's name.
        tensor: String,
        /// The model that has it.
        model: String,
        /// The model that decides which tensors there are.
        reference: String,
    },
    /// Models of different sizes.
    #[error(
        "tensor `{tensor}` is {shape:?} in model `{model}` but {expected:?} in `{reference}`: \
         only models of one architecture can be merged, and only with `tokenizer_source` of several vocabularies"
    )]
    Shape {
        /// The tensor's name.
        tensor: String,
        /// The model that differs.
        model: String,
        /// Its shape there.
        shape: Vec<usize>,
        /// Its shape in the reference.
        expected: Vec<usize>,
        /// The model that decides.
        reference: String,
    },
    /// A weight of an input is NaN or infinite: that model is broken.
    #[error("tensor `{tensor}` of model `{model}` holds {value} at element {index}")]
    NotFinite {
        /// The tensor's name.
        tensor: String,
        /// The model.
        model: String,
        /// Flat index of the first such element.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// The merge made a value that the output can't hold.
    #[error(
        "merging `{tensor}` gives {value} at element {index}, which {dtype} can't hold: \
         use smaller weights or a wider dtype"
    )]
    Overflow {
        /// The tensor's name.
        tensor: String,
        /// Flat index of the first such element.
        index: usize,
        /// The value.
        value: f32,
        /// The storage type.
        dtype: &'static str,
    },
    /// A file or a header is not what it should be.
    #[error("reading {what}: {problem}")]
    Format {
        /// The file, or the model and tensor.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A method was called with slices that don't go together.
    #[error("{method}: {problem}")]
    Call {
        /// The method.
        method: &'static str,
        /// Which of its arguments don't match.
        problem: String,
    },
    /// A file could not be read or written.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// `opening`, `reading`, `writing`, ...
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A stream that is not a file could not be read or written.
    #[error("{doing}: {source}")]
    Stream {
        /// What was being done.
        doing: String,
        /// The reason.
        source: std::io::Error,
    },
    /// The caller's sink refused a merged tensor.
    #[error("storing merged tensor `{tensor}`: {source}")]
    Sink {
        /// The tensor's name.
        tensor: String,
        /// The caller's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Wraps a sink's own error.
    pub fn sink(
        tensor: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Sink {
            tensor: tensor.into(),
            source: source.into(),
        }
    }
}
