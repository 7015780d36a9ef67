//! Another server as an engine: what it may do to us, and what our clients see of that.

mod answers;
mod faults;

use std::sync::Arc;

use crate::common::{Reply, Wire, ask, chat, get, listen, post_to, send};
use crate::upstream::*;
use axum::Router;
use serde_json::{Value, json};
use sprat_service::*;
use sprat_wire::{Message, Role};
use tokio::net::TcpSocket;

fn app_of(engine: Arc<Upstream>) -> Router {
    let engines = vec![engine as Arc<dyn Engine>];
    app(AppState::new(engines, AppConfig::default()).unwrap())
}

fn say(text: &str, more: Value) -> Value {
    let mut body = ask(text, more);
    body["model"] = json!("far");
    body
}

fn job() -> Job {
    Job {
        prompt: Prompt::Chat(vec![Message::new(Role::User, "hello")]),
        ..Job::default()
    }
}

/// The text of a job and how it ended.
async fn read(handle: Result<JobHandle, EngineError>) -> (String, Result<Finish, EngineError>) {
    let mut text = String::new();
    let mut handle = match handle {
        Ok(handle) => handle,
        Err(error) => return (text, Err(error)),
    };
    loop {
        match handle.next().await.map(|stamped| stamped.event) {
            Ok(Event::Token(token)) => text += &token.text,
            Ok(Event::Finished(finish)) => return (text, Ok(finish)),
            Ok(_) => {}
            Err(error) => return (text, Err(error)),
        }
    }
}

async fn error_of(engine: &Upstream) -> UpstreamError {
    match read(engine.start(job())).await.1.unwrap_err() {
        EngineError::Upstream(error) => error,
        other => panic!("{other:?}"),
    }
}
