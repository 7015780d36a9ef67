//! What can go wrong between a model's files and its next token.

/// Every failure of this crate: what was being done, to what, and what to do about it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A JSON file of the model does not parse.
    #[error("{file} is not what it should be: {reason}")]
    Json {
        /// File name inside the pack.
        file: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// `config.json` asks for something this decoder does not do.
    #[error("config.json: {option} = {value} is not supported; supported: {supported}")]
    Unsupported {
        /// The key in `config.json`.
        option: &'static str,
        /// The value found.
        value: String,
        /// What would have been accepted.
        supported: &'static str,
    },
    /// `config.json` contradicts itself or names an impossible size.
    #[error("config.json: {0}")]
    Config(String),
    /// A file of the model could not be read.
    #[error("{file} is missing or cannot be read ({reason}); fetch it again")]
    Missing {
        /// File name inside the pack.
        file: String,
        /// What the storage said.
        reason: String,
    },
    /// A file is shorter or longer than its manifest says.
    #[error(
        "{file} has {actual} bytes but sprat.json says {expected}; it was cut off or altered, fetch it again"
    )]
    Size {
        /// File name inside the pack.
        file: String,
        /// Bytes promised.
        expected: u64,
        /// Bytes found.
        actual: u64,
    },
    /// A chunk's SHA-256 differs from the manifest's; nothing of it was used.
    #[error(
        "{file}, chunk {chunk}: SHA-256 is {actual} but sprat.json says {expected}; the file was altered, fetch it again"
    )]
    Hash {
        /// File name inside the pack.
        file: String,
        /// Index of the chunk.
        chunk: usize,
        /// Hex digest promised.
        expected: String,
        /// Hex digest found.
        actual: String,
    },
    /// A weights file is not valid safetensors.
    #[error("{file} is not a readable safetensors file: {reason}")]
    Safetensors {
        /// File name inside the pack.
        file: String,
        /// What the parser said.
        reason: String,
    },
    /// A tensor the decoder needs is in no shard.
    #[error("tensor {0} is in none of the pack's safetensors files")]
    TensorMissing(String),
    /// A tensor has another shape than `config.json` implies.
    #[error("tensor {name} has shape {actual:?} but config.json implies {expected:?}")]
    Shape {
        /// Tensor name.
        name: String,
        /// Shape implied by the config.
        expected: Vec<usize>,
        /// Shape found.
        actual: Vec<usize>,
    },
    /// A tensor is stored in a type this crate does not read.
    #[error(
        "tensor {name} is stored as {dtype}; readable are F32, F16, BF16 and I8 with a .scale tensor"
    )]
    Dtype {
        /// Tensor name.
        name: String,
        /// The type found.
        dtype: String,
    },
    /// A weight is NaN or infinite.
    #[error(
        "tensor {name} holds NaN or infinity at element {index}; the file is damaged or training diverged"
    )]
    WeightNotFinite {
        /// Tensor name.
        name: String,
        /// Position in row-major order.
        index: usize,
    },
    /// The model computed NaN or infinite logits.
    #[error(
        "the model's output is not a number at position {position}; the device or the weights are faulty"
    )]
    LogitsNotFinite {
        /// Position of the token whose logits are bad.
        position: usize,
    },
    /// The device computes something else than the pack's known value.
    #[error("this device computes the wrong result ({reason}); use another device")]
    WarmUp {
        /// What differed.
        reason: String,
    },
    /// `tokenizer.json` cannot be used, or text cannot be encoded.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// `tokenizer.json` asks for something that only Hugging Face's library does, which a page does not have.
    #[error(
        "the tokenizer cannot be used in a page: {what} {value} is not supported; a server can use it"
    )]
    TokenizerUnsupported {
        /// The part of the file.
        what: &'static str,
        /// What it asks for.
        value: String,
    },
    /// The chat template asks for something that only minijinja does, which a page does not have.
    #[error("the chat template cannot be used in a page: {0}; a server can use it")]
    TemplateUnsupported(String),
    /// The chat template cannot be parsed or refused the messages.
    #[error("chat template: {0}")]
    Template(String),
    /// Prompt and answer do not fit the model's context.
    #[error(
        "the prompt has {prompt} tokens and the model's context holds {context}; shorten the conversation"
    )]
    ContextTooLong {
        /// Tokens in the prompt.
        prompt: usize,
        /// Tokens the model can hold.
        context: usize,
    },
    /// The pool of keys and values has no more pages for this text.
    #[error("the cache is full: the text needs {positions} positions, and {free} are free")]
    CacheFull {
        /// Positions of the text.
        positions: usize,
        /// Positions in pages that no text holds.
        free: usize,
    },
    /// Keys and values that were saved are not whole, or were altered; nothing of them was used.
    #[error("the saved keys and values cannot be used: {0}; compute them again from the text")]
    CacheDamaged(&'static str),
    /// Keys and values that were saved are of no use to this model on this device.
    #[error("the saved keys and values are {0}; compute them again from the text")]
    CacheForeign(&'static str),
    /// A LoRA adapter cannot be read, or is not one of this model.
    #[error("the adapter cannot be used, {what}: {problem}")]
    Adapter {
        /// The setting, module or tensor that is at fault.
        what: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A prompt without tokens, or a token id outside the vocabulary.
    #[error("the prompt cannot be run: {0}")]
    Prompt(String),
    /// A sampling option outside its range.
    #[error("{option} = {value} is out of range; it must be {range}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// Value given.
        value: String,
        /// Accepted range.
        range: &'static str,
    },
    /// What the answer is bound to lets nothing through, or not this.
    #[error("the answer's constraint failed: {0}")]
    Constraint(String),
    /// The device failed while computing: lost, out of memory, or a driver error.
    #[error("the device failed: {0}")]
    Device(String),
    /// A GGUF file cannot be read.
    #[error(transparent)]
    Gguf(#[from] crate::gguf::GgufError),
    /// A file could not be written.
    #[error("cannot write {path}: {reason}")]
    Write {
        /// Where to.
        path: String,
        /// What the system said.
        reason: String,
    },
}
