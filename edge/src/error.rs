//! What can go wrong between a question in the page and its answer.

use serde::Serialize;

/// Every failure of the browser runtime. [`Error::code`] is the stable name that a page may
/// match on, the text says what happened to what, [`Error::hint`] what to do about it.
///
/// No variant holds a word of the conversation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The page asked for something that is not on offer.
    #[error("bad request: {0}")]
    BadRequest(String),
    /// There is no model pack, or no such file, at the address given.
    #[error("no model at {url}: {reason}")]
    ModelMissing {
        /// Address that was asked.
        url: String,
        /// What the server or the file said.
        reason: String,
    },
    /// The pack's bytes are not what its manifest says; nothing of them was used.
    #[error("the model is damaged: {0}")]
    ModelCorrupt(String),
    /// The pack is whole, but asks for something that a page cannot do.
    #[error("{0}")]
    ModelUnsupported(String),
    /// The model could not be fetched for now; what arrived is kept.
    #[error("cannot fetch {url}: {reason}")]
    Network {
        /// Address that was asked.
        url: String,
        /// What the browser said.
        reason: String,
    },
    /// No answer from the cloud: no connection, or no first byte in time.
    #[error("the cloud did not answer: {0}")]
    CloudUnreachable(String),
    /// The cloud stopped in the middle of an answer.
    #[error("the cloud broke off: {0}")]
    CloudInterrupted(String),
    /// The cloud answered with an error.
    #[error("the cloud refused ({status}): {message}")]
    CloudRefused {
        /// HTTP status; 200 when the refusal came inside a stream.
        status: u16,
        /// The server's own words.
        message: String,
    },
    /// A cloud answer was asked for and no cloud is configured.
    #[error("no cloud is configured")]
    CloudDisabled,
    /// A private question that this device cannot answer; nothing was sent.
    #[error("{0}")]
    PrivateUnanswerable(String),
    /// The cloud is needed, and the person does not want this sent; nothing was sent.
    #[error("{0}")]
    ConsentRefused(String),
    /// The conversation does not fit the model.
    #[error("the conversation has {prompt} tokens and the model holds {context}")]
    ContextTooLong {
        /// Tokens in the prompt.
        prompt: usize,
        /// Tokens the model can hold.
        context: usize,
    },
    /// WebGPU was asked for and cannot be used.
    #[error("WebGPU cannot be used: {0}")]
    WebgpuUnavailable(String),
    /// The GPU went away while it was in use.
    #[error("the GPU was lost: {0}")]
    WebgpuLost(String),
    /// Keys and values of a saved conversation are not whole, or were altered; nothing of them was used.
    #[error("what was saved of the conversation is damaged: {0}")]
    SavedCorrupt(&'static str),
    /// An adapter that was made for another model; the model stays as it is.
    #[error("{0}")]
    WrongBase(String),
    /// This browser lacks something that Sprat needs.
    #[error("not supported here: {0}")]
    Unsupported(String),
    /// The caller stopped it.
    #[error("stopped by the caller")]
    Aborted,
    /// This engine was replaced before the request began; the worker asks its successor.
    #[error("this engine was replaced by another")]
    Retired,
    /// The model could not be loaded; the failure as it was told then.
    #[error("{message}")]
    Earlier {
        /// Its code.
        code: &'static str,
        /// Its text.
        message: String,
    },
    /// A fault of ours.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// The stable name of the failure, as `SpratError.code` in JavaScript.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::ModelMissing { .. } => "model_missing",
            Self::ModelCorrupt(_) => "model_corrupt",
            Self::ModelUnsupported(_) => "model_unsupported",
            Self::Network { .. } => "network",
            Self::CloudUnreachable(_) => "cloud_unreachable",
            Self::CloudInterrupted(_) => "cloud_interrupted",
            Self::CloudRefused { .. } => "cloud_refused",
            Self::CloudDisabled => "cloud_disabled",
            Self::PrivateUnanswerable(_) => "private_unanswerable",
            Self::ConsentRefused(_) => "consent_refused",
            Self::ContextTooLong { .. } => "context_too_long",
            Self::WebgpuUnavailable(_) => "webgpu_unavailable",
            Self::WebgpuLost(_) => "webgpu_lost",
            Self::SavedCorrupt(_) => "saved_corrupt",
            Self::WrongBase(_) => "wrong_base",
            Self::Unsupported(_) => "unsupported",
            Self::Aborted => "aborted",
            Self::Retired => "retired",
            Self::Earlier { code, .. } => code,
            Self::Internal(_) => "internal",
        }
    }

    /// The failure that was told to the page as `code` and `message` while loading.
    pub(crate) fn earlier(code: &str, message: String) -> Self {
        const CODES: [&str; 10] = [
            "bad_request",
            "model_missing",
            "model_corrupt",
            "model_unsupported",
            "network",
            "too_large",
            "wrong_base",
            "webgpu_unavailable",
            "unsupported",
            "aborted",
        ];
        let code = CODES
            .into_iter()
            .find(|known| *known == code)
            .unwrap_or("internal");
        Self::Earlier { code, message }
    }

    /// What a person or a developer can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "Correct the call; the message names the field.",
            Self::ModelMissing { .. } => {
                "Check the model's address: it must be a folder that holds sprat.json."
            }
            Self::ModelCorrupt(_) => {
                "Upload the pack again, or make it again with `sprat pack`; then reload."
            }
            Self::ModelUnsupported(_) => {
                "Ask a server that has the model, or take one whose tokenizer is BPE; `sprat pack` warns."
            }
            Self::Network { .. } => {
                "Check the connection and reload: the download goes on where it stopped."
            }
            Self::CloudUnreachable(_) => {
                "Check the connection and that the server runs, or use the mode \"device\"."
            }
            Self::CloudInterrupted(_) => "The text so far is kept in `partial`; ask again.",
            Self::CloudRefused { .. } => "The server's message says why.",
            Self::CloudDisabled => "Give `cloud` a URL, or use the mode \"auto\" or \"device\".",
            Self::PrivateUnanswerable(_) => {
                "Nothing was sent. Rephrase it, or start a conversation that is not private."
            }
            Self::ConsentRefused(_) => {
                "Nothing was sent. Ask again and agree, or leave out what is personal."
            }
            Self::ContextTooLong { .. } => "Shorten the conversation or start a new one.",
            Self::WebgpuUnavailable(_) => "Use device \"auto\" or \"cpu\".",
            Self::WebgpuLost(_) => "Ask again: the model is being loaded on the CPU.",
            Self::SavedCorrupt(_) => "Save it again; the model reads the text anew.",
            Self::WrongBase(_) => "Load the model that it is for, or pack it for this one.",
            Self::Unsupported(_) => "Use a current browser and a secure (https) page.",
            Self::Aborted => "",
            Self::Earlier { .. } => "The model could not be loaded; reload the page to try again.",
            Self::Retired | Self::Internal(_) => {
                "Reload the page; if it happens again, please report it."
            }
        }
    }

    /// The failure of a model, told as this crate tells it. `gpu`: it ran on WebGPU, so that a
    /// wrong result or a failed device is the adapter's fault and the CPU can help.
    pub(crate) fn from_model(error: sprat_model::Error, gpu: bool) -> Self {
        use sprat_model::Error as Model;
        let text = error.to_string();
        match error {
            Model::ContextTooLong { prompt, context } => Self::ContextTooLong { prompt, context },
            Model::Prompt(_) | Model::Option { .. } => Self::BadRequest(text),
            Model::TokenizerUnsupported { .. } | Model::TemplateUnsupported(_) => {
                Self::ModelUnsupported(text)
            }
            Model::WarmUp { .. } | Model::LogitsNotFinite { .. } if gpu => {
                Self::WebgpuUnavailable(text)
            }
            Model::Device(reason) if gpu => Self::WebgpuLost(one_line(&reason)),
            Model::Device(reason) => Self::Internal(one_line(&reason)),
            _ => Self::ModelCorrupt(text),
        }
    }
}

/// The causes in a driver's report, without its backtrace.
fn one_line(report: &str) -> String {
    let mut causes: Vec<&str> = report
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Backtrace"))
        .filter(|line| !line.is_empty() && *line != "Caused by:")
        .collect();
    causes.dedup();
    causes.join(": ")
}

/// A failure as it crosses to JavaScript, with what was already answered.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// [`Error::code`].
    pub code: &'static str,
    /// What happened to what.
    pub message: String,
    /// [`Error::hint`].
    pub hint: &'static str,
    /// The text of the answer so far, empty if there was none.
    pub partial: String,
    /// Who had answered until then, and at what cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<sprat_wire::Receipt>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            code: error.code(),
            message: error.to_string(),
            hint: error.hint(),
            partial: String::new(),
            receipt: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drivers_report_becomes_one_line() {
        let report =
            "It failed\nCaused by:\n  It failed\nCaused by:\n  no buffer\nBacktrace:\nnone";
        let error = Error::from_model(sprat_model::Error::Device(report.into()), true);
        assert_eq!(error, Error::WebgpuLost("It failed: no buffer".into()));
    }

    #[test]
    fn a_tokenizer_that_a_page_cannot_read_is_no_damage() {
        let unigram = sprat_model::Error::TokenizerUnsupported {
            what: "the model",
            value: "Unigram".into(),
        };
        let error = Error::from_model(unigram, false);
        assert_eq!(error.code(), "model_unsupported");
        assert!(error.to_string().contains("Unigram") && error.hint().contains("server"));
        assert_eq!(
            Error::earlier(error.code(), String::new()).code(),
            error.code()
        );
    }

    #[test]
    fn a_template_that_a_page_cannot_render_is_no_damage() {
        let include = sprat_model::Error::TemplateUnsupported("include".into());
        let error = Error::from_model(include, false);
        assert_eq!(error.code(), "model_unsupported");
        assert!(error.to_string().contains("include") && error.hint().contains("server"));
    }

    #[test]
    fn what_the_cpu_can_cure_is_told_apart() {
        let warm_up = || sprat_model::Error::WarmUp {
            reason: "other tokens".into(),
        };
        assert_eq!(
            Error::from_model(warm_up(), true).code(),
            "webgpu_unavailable"
        );
        assert_eq!(Error::from_model(warm_up(), false).code(), "model_corrupt");
    }

    #[test]
    fn an_earlier_failure_keeps_its_words_and_only_known_codes() {
        let error = Error::earlier("network", "cannot fetch it".into());
        assert_eq!(
            (error.code(), error.to_string().as_str()),
            ("network", "cannot fetch it")
        );
        assert_eq!(Error::earlier("made-up", String::new()).code(), "internal");
    }
}
