//! The crate's one error type.

/// What went wrong, while doing what, and what to do about it.
///
/// No variant ever carries text of a conversation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A metric was asked of data on which it is not defined.
    #[error("cannot compute {metric}: {problem}")]
    Metric {
        /// Name of the metric.
        metric: &'static str,
        /// What is wrong with its input.
        problem: String,
    },
    /// A gate could not be fitted.
    #[error("cannot fit the gate: {0}")]
    Fit(String),
    /// A stored gate is not one that this version can use.
    #[error(
        "cannot use the stored gate: {0}; fit it again with the tool of the same version that reads it"
    )]
    Gate(String),
    /// A policy file is malformed.
    #[error("cannot use the policy: {0}")]
    Policy(String),
    /// A policy breaks one of the promises that every policy must keep.
    #[error("policy rule \"{rule}\" breaks a promise: {promise}, in the situation {situation}")]
    Promise {
        /// The rule that fired.
        rule: String,
        /// The promise, in words.
        promise: &'static str,
        /// The facts under which it fired. They hold no text of a conversation.
        situation: String,
    },
    /// A table of the detector's levels is malformed.
    #[error("cannot use the detector's levels: {0}")]
    Levels(String),
    /// Messages were to be released to the cloud, but the decision does not send them there.
    #[error(
        "cannot release the conversation: rule \"{rule}\" does not hand it to the cloud; ask the policy first"
    )]
    NotReleased {
        /// The rule of the decision that was shown.
        rule: String,
    },
    /// Messages were to be released that the person must be asked about.
    #[error("cannot release the conversation without the person's consent; make an offer first")]
    NoConsent,
    /// The person's consent was shown for something else than what was agreed to.
    #[error(
        "the person agreed to send something else, or to somebody else; make a new offer of what is to be sent now"
    )]
    OtherConsent,
    /// Messages of a private conversation were to be released.
    #[error("cannot release a private conversation; answer it on the device or not at all")]
    Private,
}

impl Error {
    pub(crate) fn metric(metric: &'static str, problem: impl Into<String>) -> Self {
        Self::Metric {
            metric,
            problem: problem.into(),
        }
    }
}
