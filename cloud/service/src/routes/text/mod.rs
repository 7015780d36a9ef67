//! `POST /v1/completions`: the older API, which continues texts.

mod format;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use sprat_wire::{TextInput, TextRequest};

use super::answer::{self, Head};
use super::body;
use super::flight::Flights;
use super::sampling::Common;
use crate::keys::Client;
use crate::{ApiError, AppState, Prompt};
use format::Text;

pub(super) async fn completions(
    State(state): State<AppState>,
    client: Option<Extension<Arc<Client>>>,
    request: Request,
) -> Result<Response, ApiError> {
    let request: TextRequest = body::json(request, &state.inner.limits).await?;
    let (engine, info) = state.inner.engine(&request.model)?;
    let common = Common::from(&request);
    common.check()?;
    let prompts = prompts("prompt", &request.prompt)?;
    let echo = echo(&request, &prompts)?;
    let seed = state.inner.fresh_seed();
    let client = client.as_deref();
    let whose = client.map_or(0, |client| client.id);
    let jobs = common.jobs(prompts, state.inner.limits.max_tokens, seed, whose)?;
    let head = Head::new(&state, &info, "cmpl-");
    let format = Text::new(head, &request, common.n(), echo, jobs.len());
    let at_prompt = |error| ApiError::Prompt {
        error,
        param: "prompt",
    };
    let mut flights = Flights::start(&state, engine.as_ref(), &info, jobs, common.n(), client)?;
    flights.accepted().await.map_err(at_prompt)?;
    if request.stream {
        Ok(answer::stream(&state, format, flights))
    } else {
        Ok(Json(answer::collect(format, flights).await?).into_response())
    }
}

/// The texts of a field, each by itself.
pub(super) fn prompts(field: &str, input: &TextInput) -> Result<Vec<Prompt>, ApiError> {
    let prompts: Vec<Prompt> = match input {
        TextInput::Text(text) => vec![Prompt::Text(text.clone())],
        TextInput::Texts(texts) => texts.iter().cloned().map(Prompt::Text).collect(),
        TextInput::Tokens(tokens) => vec![Prompt::Tokens(tokens.clone())],
        TextInput::TokenLists(lists) => lists.iter().cloned().map(Prompt::Tokens).collect(),
    };
    let is_empty = |prompt: &Prompt| match prompt {
        Prompt::Text(text) => text.is_empty(),
        Prompt::Tokens(tokens) => tokens.is_empty(),
        Prompt::Chat(messages) => messages.is_empty(),
    };
    if prompts.is_empty() || prompts.iter().any(is_empty) {
        return Err(ApiError::invalid(field, "must not be empty"));
    }
    Ok(prompts)
}

/// What is repeated before each prompt's continuations.
fn echo(request: &TextRequest, prompts: &[Prompt]) -> Result<Vec<String>, ApiError> {
    if !request.echo {
        return Ok(vec![]);
    }
    if request.logprobs.is_some() {
        let problem = "cannot be had with echo: only generated tokens have a log-probability here";
        return Err(ApiError::invalid("logprobs", problem));
    }
    let text = |prompt: &Prompt| match prompt {
        Prompt::Text(text) => Ok(text.clone()),
        _ => Err(ApiError::invalid("echo", "needs the prompt as text")),
    };
    prompts.iter().map(text).collect()
}
