//! From the API's words to the model crate's and back.

use serde_json::{Value, json};
use sprat_model::{Constraint, Error, Generation, KvPool, Model, Options};
use sprat_wire::{Message, Role, Tool};

use super::calls::{self, Conversation};
use crate::{Embedded, EngineError, Job, Prompt, Sampling};

/// The first state of an answer.
pub(super) fn generation<'a>(
    model: &'a Model,
    pool: &KvPool,
    job: &Job,
    bound: Option<Box<dyn Constraint>>,
) -> Result<Generation<'a>, EngineError> {
    let mut prompt = match &job.prompt {
        Prompt::Chat(messages) => chat(model, messages, &job.tools)?,
        other => tokens(model, other)?,
    };
    let begun = &job.begun.0;
    known(model, begun.iter().copied())?;
    prompt.extend_from_slice(begun);
    known(model, job.sampling.bias.iter().map(|(id, _)| *id))?;
    let session = model.session_in(pool, job.scope);
    let generation = session.into_generation(model, &prompt, options(model, job));
    let mut generation = generation.map_err(|error| explain(&error))?;
    if let Some(bound) = bound {
        generation.constrain(bound);
    }
    Ok(generation)
}

/// The tokens of a conversation, in which tools may be called.
fn chat(model: &Model, messages: &[Message], tools: &[Tool]) -> Result<Vec<u32>, EngineError> {
    let called = |m: &Message| !m.tool_calls.is_empty() || m.role == Role::Tool;
    let tokens = if tools.is_empty() && !messages.iter().any(called) {
        let messages = messages.iter().map(|message| sprat_model::Message {
            role: message.role.as_str().to_owned(),
            content: message.content.clone(),
        });
        model.prompt(&messages.collect::<Vec<_>>())
    } else {
        let conversation = Conversation::of(model);
        let messages = messages.iter().map(|message| conversation.tell(message));
        let messages: Vec<Value> = messages.collect();
        let tools: Vec<Value> = tools.iter().map(|tool| json!(tool)).collect();
        model.prompt_with_tools(&messages, &tools)
    };
    tokens.map_err(|error| explain(&error))
}

/// A prompt's tokens.
pub(super) fn tokens(model: &Model, prompt: &Prompt) -> Result<Vec<u32>, EngineError> {
    let tokens = match prompt {
        Prompt::Chat(messages) => return chat(model, messages, &[]),
        Prompt::Text(text) => model.tokenizer().encode_plain(text),
        Prompt::Tokens(tokens) => {
            known(model, tokens.iter().copied())?;
            Ok(tokens.clone())
        }
    };
    tokens.map_err(|error| explain(&error))
}

/// The text of tokens.
pub(super) fn text(model: &Model, tokens: &[u32]) -> Result<String, EngineError> {
    known(model, tokens.iter().copied())?;
    let text = model.tokenizer().decode(tokens);
    text.map_err(|error| explain(&error))
}

/// The mean of a text's states, scaled to length 1.
pub(super) fn embedding(model: &Model, prompt: &Prompt) -> Result<Embedded, EngineError> {
    let tokens = tokens(model, prompt)?;
    let (count, context) = (tokens.len(), model.context());
    if count > context {
        let prompt = count;
        return Err(EngineError::PromptTooLong { prompt, context });
    }
    let mean = model.mean_state(&tokens).map_err(|error| explain(&error))?;
    let length = mean
        .iter()
        .map(|x| f64::from(*x).powi(2))
        .sum::<f64>()
        .sqrt();
    if !length.is_finite() {
        return Err(EngineError::NotANumber);
    }
    let unit = |x: &f32| (f64::from(*x) / length.max(f64::MIN_POSITIVE)) as f32;
    Ok(Embedded {
        values: mean.iter().map(unit).collect(),
        tokens: count,
    })
}

fn known(model: &Model, mut ids: impl Iterator<Item = u32>) -> Result<(), EngineError> {
    let vocabulary = model.config().vocab_size;
    match ids.find(|id| *id as usize >= vocabulary) {
        Some(id) => Err(EngineError::UnknownToken { id, vocabulary }),
        None => Ok(()),
    }
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
fn options(model: &Model, job: &Job) -> Options {
    let default = sprat_model::Sampling::default();
    let Sampling {
        temperature,
        top_k,
        top_p,
        min_p,
        repetition_penalty,
        frequency_penalty,
        presence_penalty,
        ref bias,
        seed,
    } = job.sampling;
    Options {
        sampling: sprat_model::Sampling {
            temperature: temperature.unwrap_or(default.temperature),
            top_k: top_k.unwrap_or(default.top_k),
            top_p: top_p.unwrap_or(default.top_p),
            min_p: min_p.unwrap_or(default.min_p),
            repetition_penalty: repetition_penalty.unwrap_or(default.repetition_penalty),
            frequency_penalty: frequency_penalty.unwrap_or(default.frequency_penalty),
            presence_penalty: presence_penalty.unwrap_or(default.presence_penalty),
            bias: bias.clone(),
            seed: seed.unwrap_or(default.seed),
        },
        // The model stops at the end of its context by itself.
        max_tokens: job.max_tokens.unwrap_or(usize::MAX),
        stop: job.stop.clone(),
        show: match job.tools.is_empty() {
            true => vec![],
            false => calls::markers(model),
        },
        top_logprobs: job.top_logprobs,
        continued: job.begun.0.len(),
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
        Error::Template(_) | Error::TemplateUnsupported(_) | Error::Prompt(_) => {
            EngineError::PromptRefused
        }
        Error::LogitsNotFinite { .. } => EngineError::NotANumber,
        _ => EngineError::Generation,
    }
}
