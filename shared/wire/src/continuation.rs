//! An answer that changes hands in the middle.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `x_continue` of a request: the beginning of the answer, which another machine has written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "server", schemars(deny_unknown_fields))]
pub struct Continuation {
    /// Its tokens.
    #[cfg_attr(feature = "server", schemars(length(min = 1)))]
    pub tokens: Vec<u32>,
    /// Names the tokenizer and the chat template of the model that wrote them. A model with others begins anew.
    pub text_id: String,
}

/// Shows how long it is only: what was said must not reach a log by accident.
impl fmt::Debug for Continuation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Continuation({} tokens)", self.tokens.len())
    }
}

/// `x_continue` of an answer, in a stream at its beginning: what became of the one in the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Continued {
    /// How many tokens this answer stands behind: all that were sent, or none.
    pub tokens: u32,
    /// Why it begins anew, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
