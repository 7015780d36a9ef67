//! Engines made of engines: a cascade asks one after the other, a vote asks them all.

mod cascade;
mod compose;
mod draft;
mod normal;
mod vote;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Engine, EngineInfo, EngineState, ServiceError};

pub use cascade::{Cascade, CascadeOptions, Expected};
pub(crate) use compose::compose;
pub use normal::normalize;
pub use vote::{Vote, VoteOptions};

/// The engines that one is made of.
struct Members {
    id: String,
    kind: &'static str,
    engines: Vec<Arc<dyn Engine>>,
    created: u64,
}

impl Members {
    fn new(id: &str, kind: &'static str, engines: Vec<Arc<dyn Engine>>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            id: id.to_owned(),
            kind,
            engines,
            created: now.unwrap_or_default().as_secs(),
        }
    }

    /// It can answer if one of them can, and what fits one of them.
    fn info(&self) -> EngineInfo {
        let infos: Vec<EngineInfo> = self.engines.iter().map(|engine| engine.info()).collect();
        let ids: Vec<&str> = infos.iter().map(|info| &*info.id).collect();
        let contexts = infos.iter().map(|info| info.context);
        let contexts: Option<Vec<usize>> = contexts.collect();
        let has = |state| infos.iter().any(|info| info.state == state);
        let state = if has(EngineState::Ready) {
            EngineState::Ready
        } else if has(EngineState::Loading) {
            EngineState::Loading
        } else {
            EngineState::Failed("none of its models can answer".to_owned())
        };
        EngineInfo {
            text_id: None,
            id: self.id.clone(),
            device: format!("{} of {}", self.kind, ids.join(", ")),
            context: contexts.and_then(|contexts| contexts.into_iter().max()),
            created: self.created,
            fingerprint: None,
            state,
        }
    }
}

/// An option that is wrong.
fn wrong(id: &str, problem: impl Into<String>) -> ServiceError {
    ServiceError::Engine {
        id: id.to_owned(),
        problem: problem.into(),
    }
}
