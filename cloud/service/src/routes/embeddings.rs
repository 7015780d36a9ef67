//! `POST /v1/embeddings`: the mean of the last layer's states over a text's tokens, scaled to length 1.
//!
//! A model that was made to write is no embedding model: texts of like words come out alike, texts of like meaning less
//! so than from a model that was trained for it.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sprat_wire::{
    Embedding, EmbeddingList, EmbeddingValues, EmbeddingsRequest, EmbeddingsUsage, EncodingFormat,
};

use super::text::prompts;
use super::{body, bounded};
use crate::keys::Client;
use crate::{ApiError, AppState, EngineError};

/// Texts of one request.
const MAX_TEXTS: usize = 256;

pub(super) async fn embeddings(
    State(state): State<AppState>,
    client: Option<Extension<Arc<Client>>>,
    request: Request,
) -> Result<Json<EmbeddingList>, ApiError> {
    let request: EmbeddingsRequest = body::json(request, &state.inner.limits).await?;
    let (engine, info) = state.inner.engine(&request.model)?;
    let inputs = prompts("input", &request.input)?;
    if inputs.len() > MAX_TEXTS {
        let problem = format!("must hold at most {MAX_TEXTS} texts");
        return Err(ApiError::invalid("input", problem));
    }
    if state.inner.is_draining() {
        return Err(EngineError::ShuttingDown.into());
    }
    let _permit = state.inner.admission.enter()?;
    let at_input = |error| ApiError::Prompt {
        error,
        param: "input",
    };
    let (mut data, mut tokens) = (Vec::with_capacity(inputs.len()), 0u32);
    for (index, input) in inputs.into_iter().enumerate() {
        let embedded = bounded(&state, engine.embed(input)).await;
        let embedded = embedded.map_err(at_input)?;
        let read = u32::try_from(embedded.tokens).unwrap_or(u32::MAX);
        if let Some(client) = &client {
            client.used(read, Instant::now());
        }
        tokens = tokens.saturating_add(read);
        data.push(Embedding {
            object: "embedding".to_owned(),
            index: index as u32,
            embedding: written(embedded.values, request.encoding_format.unwrap_or_default()),
        });
    }
    Ok(Json(EmbeddingList {
        object: "list".to_owned(),
        data,
        model: info.id,
        usage: EmbeddingsUsage {
            prompt_tokens: tokens,
            total_tokens: tokens,
        },
    }))
}

fn written(values: Vec<f32>, format: EncodingFormat) -> EmbeddingValues {
    match format {
        EncodingFormat::Float => EmbeddingValues::Floats(values),
        EncodingFormat::Base64 => {
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            EmbeddingValues::Base64(STANDARD.encode(bytes))
        }
    }
}
