//! The whole server with golden models, whose answers transformers gave.
#![allow(dead_code, reason = "each suite uses its own part of this")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sprat_model::{FORMAT, Manifest, ModelConfig, PackFile, Storage};
use sprat_service::{ModelSource, ServeConfig, ServiceError, serve_until};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::common::{self, Wire};

pub(crate) fn goldens() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/model")
}

/// A golden model's folder as a pack called `id`, whose files `change` may spoil first.
pub(crate) fn pack(golden: &str, id: &str, change: impl FnOnce(&Path)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: PathBuf| {
        let to = folder.path().join(from.file_name().unwrap());
        std::fs::copy(from, to).unwrap();
    };
    copy(goldens().join(golden).join("config.json"));
    copy(goldens().join(golden).join("model.safetensors"));
    copy(goldens().join("text/tokenizer.json"));
    copy(goldens().join("text/chat_template.jinja"));
    change(folder.path());
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let config = ModelConfig::from_json(&read("config.json")).unwrap();
    let files = [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "chat_template.jinja",
    ];
    let manifest = Manifest {
        format: FORMAT,
        name: id.into(),
        description: "A random model.".into(),
        license: "MIT".into(),
        context: config.max_position_embeddings,
        parameters: config.parameters(),
        storage: Storage::F32,
        bos_token: character(1),
        eos_token: character(2),
        examples: vec![],
        files: files
            .iter()
            .map(|name| PackFile::of(name, &read(name)))
            .collect(),
        calibration: None,
        largest_buffer: None,
        check: None,
        bases: vec![],
    };
    std::fs::write(folder.path().join("sprat.json"), manifest.to_json()).unwrap();
    folder
}

/// In the golden tokenizer every token is one character.
pub(crate) fn character(id: u64) -> String {
    let json: Value =
        serde_json::from_slice(&std::fs::read(goldens().join("text/tokenizer.json")).unwrap())
            .unwrap();
    let vocab = json["model"]["vocab"].as_object().unwrap();
    vocab
        .iter()
        .find(|(_, value)| value.as_u64() == Some(id))
        .unwrap()
        .0
        .clone()
}

pub(crate) fn text(ids: &Value) -> String {
    ids.as_array()
        .unwrap()
        .iter()
        .map(|id| character(id.as_u64().unwrap()))
        .collect()
}

/// A running server and the way to stop it.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<Result<(), ServiceError>>,
}

impl Running {
    pub(crate) async fn start(packs: &[&TempDir]) -> Result<Self, ServiceError> {
        let models = packs.iter().map(|pack| pack.path().to_path_buf().into());
        Self::start_with(models.collect()).await
    }

    pub(crate) async fn start_with(models: Vec<ModelSource>) -> Result<Self, ServiceError> {
        Self::start_as(ServeConfig {
            models,
            ..ServeConfig::default()
        })
        .await
    }

    pub(crate) async fn start_as(config: ServeConfig) -> Result<Self, ServiceError> {
        let config = ServeConfig {
            address: "127.0.0.1:0".parse().unwrap(),
            ..config
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, address) = oneshot::channel();
        let task = tokio::spawn(serve_until(
            config,
            move |address| ready.send(address).unwrap(),
            async move {
                let _ = stopped.await;
            },
        ));
        match address.await {
            Ok(address) => Ok(Self {
                address,
                stop,
                task,
            }),
            Err(_) => Err(task.await.unwrap().unwrap_err()),
        }
    }

    pub(crate) async fn chat(&self, body: Value) -> (String, Value) {
        self.post("/v1/chat/completions", &body).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (String, Value) {
        let reply = Wire::post_to(self.address, path, body).await.rest().await;
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), serde_json::from_str(body).unwrap())
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

pub(crate) fn golden(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(goldens().join(name).join("golden.json")).unwrap())
        .unwrap()
}

pub(crate) fn ask(model: &str, prompt: &str, more: Value) -> Value {
    common::ask(prompt, {
        let mut more = more;
        more["model"] = json!(model);
        more
    })
}

/// Overwrites all values of one tensor in a safetensors file.
pub(crate) fn overwrite(folder: &Path, tensor: &str, value: f32) {
    let path = folder.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let range = json[tensor]["data_offsets"].as_array().unwrap();
    let at = |index: usize| 8 + header + range[index].as_u64().unwrap() as usize;
    for word in bytes[at(0)..at(1)].chunks_exact_mut(4) {
        word.copy_from_slice(&value.to_le_bytes());
    }
    std::fs::write(path, bytes).unwrap();
}

/// The number behind the first metric of this name.
pub(crate) async fn metric(server: &Running, name: &str) -> f64 {
    let metrics = Wire::get(server.address, "/metrics").await;
    let line = metrics.lines().find(|line| line.starts_with(name));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}
