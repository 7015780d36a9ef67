//! `GET /v1/models`, `GET /v1/models/{id}`, and `POST /v1/models/{id}/load` and `/unload`.
//!
//! llama.cpp's router takes `POST /models/load` with the model in a body. Here the model is in the path, as in the GET beside
//! it: there is nothing else to say, so that no body has to be read and no second way to name a model learned.

use axum::Json;
use axum::extract::{Path, State};
use sprat_wire::{ModelCard, ModelList, ModelStatus};

use super::bounded;
use crate::{ApiError, AppState, Engine, EngineError, EngineState};

pub(super) async fn list(State(state): State<AppState>) -> Json<ModelList> {
    let engines = state.inner.engines.iter();
    let cards = engines.map(|engine| card(engine.as_ref()));
    Json(ModelList::new(cards.collect()))
}

pub(super) async fn one(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<ModelCard>, ApiError> {
    let (engine, _) = state.inner.engine(&id)?;
    Ok(Json(card(engine.as_ref())))
}

/// Completes when the model is in memory, where it may be already.
pub(super) async fn load(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<ModelCard>, ApiError> {
    let engine = with_weights(&state, &id)?;
    if state.inner.is_draining() {
        return Err(EngineError::ShuttingDown.into());
    }
    // It may wait as long as an answer does, and takes a place like one.
    let _permit = state.inner.admission.enter()?;
    bounded(&state, engine.load_weights()).await?;
    Ok(Json(card(engine)))
}

/// Completes when the model's memory is given back, which it may be already.
pub(super) async fn unload(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<ModelCard>, ApiError> {
    let engine = with_weights(&state, &id)?;
    bounded(&state, engine.unload_weights()).await?;
    Ok(Json(card(engine)))
}

/// A model of this process.
fn with_weights<'a>(state: &'a AppState, id: &str) -> Result<&'a dyn Engine, ApiError> {
    let (engine, _) = state.inner.engine(id)?;
    match engine.weights() {
        Some(_) => Ok(engine.as_ref()),
        None => {
            let problem =
                "must name a model that has weights on this server, and this one has none";
            Err(ApiError::invalid("id", problem))
        }
    }
}

fn card(engine: &dyn Engine) -> ModelCard {
    let info = engine.info();
    let status = match (engine.weights(), info.state) {
        (Some(weights), _) => weights.status,
        (None, EngineState::Ready) => ModelStatus::Loaded,
        (None, EngineState::Loading) => ModelStatus::Loading,
        (None, EngineState::Failed(_)) => ModelStatus::Failed,
    };
    ModelCard {
        id: info.id,
        object: ModelCard::OBJECT.to_owned(),
        created: info.created,
        owned_by: "sprat".to_owned(),
        max_model_len: info.context.and_then(|context| u32::try_from(context).ok()),
        status: Some(status),
    }
}
