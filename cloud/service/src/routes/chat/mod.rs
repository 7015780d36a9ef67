//! `POST /v1/chat/completions`.

mod calls;
mod continuation;
mod format;
mod shape;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use sprat_wire::ChatRequest;

use super::answer::{self, Head};
use super::body;
use super::flight::Flights;
use super::sampling::Common;
use crate::keys::Client;
use crate::{ApiError, AppState, CallFormat, EngineState, Prompt};
use calls::Calls;
use format::Chat;
use shape::Shape;

pub(super) async fn completions(
    State(state): State<AppState>,
    client: Option<Extension<Arc<Client>>>,
    request: Request,
) -> Result<Response, ApiError> {
    let request: ChatRequest = body::json(request, &state.inner.limits).await?;
    let (engine, info) = state.inner.engine(&request.model)?;
    check(&request)?;
    let common = Common::from(&request);
    let prompts = vec![Prompt::Chat(request.messages.clone())];
    let seed = state.inner.fresh_seed();
    let client = client.as_deref();
    let whose = client.map_or(0, |client| client.id);
    let mut jobs = common.jobs(prompts, state.inner.limits.max_tokens, seed, whose)?;
    let call_format = engine.calls();
    // Nobody knows yet what a model can do that is still loading, and it is not asked.
    let unknown = info.state != EngineState::Ready;
    let shape = Shape::of(
        &request,
        call_format.or(unknown.then_some(CallFormat::Tagged)),
    )?;
    jobs.iter_mut().for_each(|job| shape.put_into(job));
    let called = call_format.filter(|_| !shape.tools.is_empty());
    let calls = called.map(|format| {
        let names = shape.tools.iter().map(|tool| tool.function.name.clone());
        Calls::new(state.clone(), format, names.collect(), shape.several)
    });
    let continued = continuation::put_into(&mut jobs, &request, &info)?;
    let head = Head::new(&state, &info, "chatcmpl-");
    let format = Chat::new(head, &request, calls, continued);
    let mut flights = Flights::start(&state, engine.as_ref(), &info, jobs, common.n(), client)?;
    // A refused prompt must be a status of its own, so nothing is sent before it is accepted.
    flights.accepted().await?;
    if request.stream {
        Ok(answer::stream(&state, format, flights))
    } else {
        Ok(Json(answer::collect(format, flights).await?).into_response())
    }
}

/// Checks everything that can be checked without the model.
fn check(request: &ChatRequest) -> Result<(), ApiError> {
    if request.messages.is_empty() {
        let problem = "must hold at least one message";
        return Err(ApiError::invalid("messages", problem));
    }
    Common::from(request).check()?;
    if request.top_logprobs.is_some_and(|top| top > 0) && request.logprobs != Some(true) {
        let problem = "needs logprobs to be true";
        return Err(ApiError::invalid("top_logprobs", problem));
    }
    Ok(())
}
