//! `POST /v1/chat/completions`: parse, validate, convert, run, and stream or collect.

mod convert;
mod parse;
mod respond;
mod run;
mod validate;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use crate::{ApiError, AppState};
use respond::Reply;
use run::Flight;

pub(super) async fn completions(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = parse::body(request, &state.inner.limits).await?;
    let request = parse::chat(&body)?;
    drop(body);
    let (engine, info) = state.inner.engine(&request.model)?;
    validate::chat(&request)?;
    let seed = state.inner.fresh_seed();
    let job = convert::job(&request, state.inner.limits.max_tokens, seed);
    let reply = Reply::new(&state, &info, &request);
    let mut flight = Flight::start(&state, engine.as_ref(), &info, job)?;
    // A refused prompt must be a status of its own, so nothing is sent before it is accepted.
    flight.accepted().await?;
    if request.stream {
        Ok(respond::stream(reply, flight, state.inner.keep_alive))
    } else {
        Ok(Json(respond::collect(reply, flight).await?).into_response())
    }
}
