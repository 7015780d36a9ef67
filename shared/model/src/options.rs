//! What to generate, and what comes of it.

use crate::Sampling;

/// What to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Most tokens to generate; the context's end also ends the answer.
    pub max_tokens: usize,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Special tokens whose text is part of the answer, which that of others never is: tags around calls of tools, say.
    pub show: Vec<u32>,
    /// How many of the likeliest alternatives to report with each token.
    pub top_logprobs: usize,
    /// Whether tokens may be guessed, from the text so far and by the pack's draft model, and checked
    /// several in one pass, where that is possible: a greedy answer on a CPU. The answer is the same.
    pub lookup: bool,
    /// How many tokens at the end of the prompt are the beginning of the answer, which another machine has written. Their
    /// text is not given out again; penalties and stop texts count it. An answer that had ended there stays so.
    pub continued: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sampling: Sampling::default(),
            max_tokens: 256,
            stop: vec![],
            show: vec![],
            top_logprobs: 0,
            lookup: true,
            continued: 0,
        }
    }
}

impl Options {
    /// Whether the likeliest token is the next one, whatever was said before.
    pub(crate) fn is_greedy(&self) -> bool {
        self.sampling.is_plain()
    }

    /// Whether a device can pick the tokens by itself.
    #[cfg(feature = "gpu")]
    pub(crate) fn is_ahead_possible(&self, device: &crate::tensor::Device) -> bool {
        self.is_greedy() && self.top_logprobs == 0 && crate::gpu::runs_on(device)
    }
}

/// One generated token.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// Token id.
    pub id: u32,
    /// Text that became certain with this token: empty inside a character or a possible stop text.
    pub text: String,
    /// True for the token that ends the answer; its `text` is only what was held back.
    pub end: bool,
    /// Natural logarithm of its probability, before temperature, penalties and constraints; so are the next three.
    pub logprob: f32,
    /// Probability of the likeliest token minus that of the second.
    pub margin: f32,
    /// Entropy of the distribution, in nats.
    pub entropy: f32,
    /// The likeliest tokens: id, text and log-probability, likeliest first.
    pub top: Top,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model's end token or a stop text.
    Stop,
    /// `max_tokens` or the context's end.
    Length,
}

/// The likeliest tokens: id, text and log-probability, likeliest first.
pub(crate) type Top = Vec<(u32, String, f32)>;
