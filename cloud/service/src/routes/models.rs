//! `GET /v1/models` and `GET /v1/models/{id}`.

use axum::Json;
use axum::extract::{Path, State};
use sprat_wire::{ModelCard, ModelList};

use crate::{ApiError, AppState, EngineInfo};

pub(super) async fn list(State(state): State<AppState>) -> Json<ModelList> {
    Json(ModelList::new(
        state
            .inner
            .engines
            .iter()
            .map(|engine| card(engine.info()))
            .collect(),
    ))
}

pub(super) async fn one(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<ModelCard>, ApiError> {
    let (_, info) = state.inner.engine(&id)?;
    Ok(Json(card(info)))
}

fn card(info: EngineInfo) -> ModelCard {
    ModelCard {
        id: info.id,
        object: ModelCard::OBJECT.to_owned(),
        created: info.created,
        owned_by: "sprat".to_owned(),
        max_model_len: info.context.and_then(|context| u32::try_from(context).ok()),
    }
}
