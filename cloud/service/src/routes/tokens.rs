//! `POST /tokenize` and `POST /detokenize`, in vLLM's shapes.

use axum::Json;
use axum::extract::{Request, State};
use sprat_wire::{DetokenizeRequest, Detokenized, TokenizeRequest, Tokens};

use super::{body, bounded};
use crate::{ApiError, AppState, Prompt};

pub(super) async fn tokenize(
    State(state): State<AppState>,
    request: Request,
) -> Result<Json<Tokens>, ApiError> {
    let request: TokenizeRequest = body::json(request, &state.inner.limits).await?;
    let (engine, info) = state.inner.engine(&request.model)?;
    let (prompt, param) = match (request.prompt, request.messages) {
        (Some(text), None) => (Prompt::Text(text), "prompt"),
        (None, Some(messages)) if !messages.is_empty() => (Prompt::Chat(messages), "messages"),
        _ => {
            let problem = "either prompt or messages must be given, and messages must not be empty";
            return Err(ApiError::invalid("prompt", problem));
        }
    };
    let tokens = bounded(&state, engine.tokenize(prompt)).await;
    let tokens = tokens.map_err(|error| ApiError::Prompt { error, param })?;
    Ok(Json(Tokens {
        count: u32::try_from(tokens.len()).unwrap_or(u32::MAX),
        max_model_len: info
            .context
            .and_then(|context| u32::try_from(context).ok())
            .unwrap_or_default(),
        tokens,
    }))
}

pub(super) async fn detokenize(
    State(state): State<AppState>,
    request: Request,
) -> Result<Json<Detokenized>, ApiError> {
    let request: DetokenizeRequest = body::json(request, &state.inner.limits).await?;
    let (engine, _) = state.inner.engine(&request.model)?;
    let prompt = bounded(&state, engine.detokenize(request.tokens)).await;
    let prompt = prompt.map_err(|error| ApiError::Prompt {
        error,
        param: "tokens",
    })?;
    Ok(Json(Detokenized { prompt }))
}
