//! From the API's words to the model crate's and back.

use sprat_model::{Error, Generation, KvPool, Model, Options};

use crate::{EngineError, Job, Sampling};

/// The first state of an answer.
pub(super) fn generation<'a>(
    model: &'a Model,
    pool: &KvPool,
    job: &Job,
) -> Result<Generation<'a>, EngineError> {
    let messages: Vec<_> = job
        .messages
        .iter()
        .map(|message| sprat_model::Message {
            role: message.role.as_str().to_owned(),
            content: message.content.clone(),
        })
        .collect();
    let prompt = model.prompt(&messages).map_err(|error| explain(&error))?;
    let session = model.session_in(pool, job.client);
    let generation = session.into_generation(model, &prompt, options(job));
    generation.map_err(|error| explain(&error))
}

/// A token that the API can give out.
pub(super) fn checked(
    token: Result<sprat_model::Token, Error>,
) -> Result<sprat_model::Token, EngineError> {
    let token = token.map_err(|error| explain(&error))?;
    match token.logprob.is_nan() {
        true => Err(EngineError::NotANumber),
        false => Ok(token),
    }
}

/// What the request leaves open, the model crate's defaults decide.
fn options(job: &Job) -> Options {
    let default = sprat_model::Sampling::default();
    let Sampling {
        temperature,
        top_k,
        top_p,
        min_p,
        repetition_penalty,
        seed,
    } = job.sampling;
    Options {
        sampling: sprat_model::Sampling {
            temperature: temperature.unwrap_or(default.temperature),
            top_k: top_k.unwrap_or(default.top_k),
            top_p: top_p.unwrap_or(default.top_p),
            min_p: min_p.unwrap_or(default.min_p),
            repetition_penalty: repetition_penalty.unwrap_or(default.repetition_penalty),
            seed: seed.unwrap_or(default.seed),
        },
        // The model stops at the end of its context by itself.
        max_tokens: job.max_tokens.unwrap_or(usize::MAX),
        stop: job.stop.clone(),
        top_logprobs: job.top_logprobs,
        ..Options::default()
    }
}

/// The model crate's error in the API's words. Its own texts are for people at the machine: a
/// template's, for one, may repeat what was written, so they are neither sent nor logged.
pub(super) fn explain(error: &Error) -> EngineError {
    match error {
        Error::ContextTooLong { prompt, context } => EngineError::PromptTooLong {
            prompt: *prompt,
            context: *context,
        },
        Error::Template(_) | Error::Prompt(_) => EngineError::PromptRefused,
        Error::LogitsNotFinite { .. } => EngineError::NotANumber,
        _ => EngineError::Generation,
    }
}
