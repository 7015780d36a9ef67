//! Models of a hub: a server on this machine that speaks the hub's paths, healthy and not.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path as Route, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::StreamExt;
use serde_json::json;
use sha2::{Digest, Sha256};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKEN: &str = "hf_test_token";

/// What the server has and how it behaves.
#[derive(Default)]
struct Hub {
    files: BTreeMap<String, Bytes>,
    /// Sends the first half of weights, then hangs up.
    breaks: AtomicBool,
    /// Sends other weights than announced.
    alters: AtomicBool,
    /// Wants a token.
    gated: AtomicBool,
    /// Ranges asked of files.
    ranges: Mutex<Vec<(String, String)>>,
}

struct Server {
    hub: Arc<Hub>,
    endpoint: String,
    home: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

fn goldens(name: &str) -> PathBuf {
    let goldens = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens");
    goldens.join(name)
}

fn files(folder: &str, names: &[&str]) -> BTreeMap<String, Bytes> {
    let text = goldens("model/text");
    let beside = ["tokenizer.json", "chat_template.jinja"].map(|name| text.join(name));
    let own = names.iter().map(|name| goldens(folder).join(name));
    let all = own.chain(beside);
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read(path).unwrap().into())
    };
    all.map(read).collect()
}

impl Server {
    fn start(files: BTreeMap<String, Bytes>) -> Self {
        let hub = Arc::new(Hub {
            files,
            ..Hub::default()
        });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new()
            .route("/api/models/o/m/revision/{revision}", get(info))
            .route("/o/m/resolve/{revision}/{file}", get(file))
            .with_state(hub.clone());
        runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            hub,
            endpoint: format!("http://{address}/"),
            home: tempfile::tempdir().unwrap(),
            _runtime: runtime,
        }
    }

    fn sprat(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sprat"));
        command
            .args(args)
            .env("HF_ENDPOINT", &self.endpoint)
            .env("HF_HOME", self.home.path());
        for variable in ["HF_TOKEN", "HF_HUB_OFFLINE"] {
            command.env_remove(variable);
        }
        command
    }

    fn pack(&self, source: &str) -> Output {
        let out = self.home.path().join("out/model");
        let out = out.to_str().unwrap();
        let args = ["pack", source, "--out", out, "--quant", "f16", "--no-check"];
        self.sprat(&args).output().unwrap()
    }
}

async fn info(State(hub): State<Arc<Hub>>, headers: HeaderMap) -> Response {
    if let Some(refusal) = refused(&hub, &headers) {
        return refusal;
    }
    let names = hub.files.keys().map(|name| json!({"rfilename": name}));
    axum::Json(json!({"sha": COMMIT, "siblings": names.collect::<Vec<_>>()})).into_response()
}

fn refused(hub: &Hub, headers: &HeaderMap) -> Option<Response> {
    let expected = format!("Bearer {TOKEN}");
    let known = headers
        .get("authorization")
        .is_some_and(|given| *given == expected[..]);
    (hub.gated.load(Ordering::Relaxed) && !known).then(|| StatusCode::UNAUTHORIZED.into_response())
}

async fn file(
    State(hub): State<Arc<Hub>>,
    Route((_, name)): Route<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = refused(&hub, &headers) {
        return refusal;
    }
    let Some(bytes) = hub.files.get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let range = headers["range"].to_str().unwrap().to_owned();
    let (start, end) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let start: usize = start.parse().unwrap();
    let end = end.parse().map_or(bytes.len(), |end: usize| end + 1);
    hub.ranges.lock().unwrap().push((name.clone(), range));
    let weights = name.ends_with(".safetensors");
    let mut part = bytes[start..end].to_vec();
    if weights && hub.alters.load(Ordering::Relaxed) && end - start > 1 {
        part[0] ^= 1;
    }
    let body = match weights && hub.breaks.load(Ordering::Relaxed) && end - start > 1 {
        false => Body::from(part),
        true => {
            let half = part[..part.len() / 2].to_vec();
            let cut = Err(std::io::Error::other("gone"));
            // Late enough for the half to be sent before the connection breaks.
            let late = |part| async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                part
            };
            Body::from_stream(futures::stream::iter([Ok(Bytes::from(half)), cut]).then(late))
        }
    };
    Response::builder()
        .status(StatusCode::PARTIAL_CONTENT)
        .header(
            "etag",
            format!("\"{}\"", hex::encode(Sha256::digest(bytes))),
        )
        .header("x-repo-commit", COMMIT)
        .header(
            "content-range",
            format!("bytes {start}-{}/{}", end - 1, bytes.len()),
        )
        .body(body)
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn sharded() -> Server {
    let mut names: Vec<String> = std::fs::read_dir(goldens("model/llama-f16-shards"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("safetensors") || name == "config.json")
        .collect();
    names.sort();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut files = files("model/llama-f16-shards", &names);
    files.insert(
        "pytorch_model.bin".into(),
        Bytes::from_static(b"not wanted"),
    );
    Server::start(files)
}

#[test]
fn a_model_is_fetched_once_and_packed() {
    let server = sharded();
    let output = server.pack("o/m");
    assert!(output.status.success(), "{}", said(&output));
    assert!(server.home.path().join("out/model/sprat.json").exists());
    let asked = std::mem::take(&mut *server.hub.ranges.lock().unwrap());
    assert!(asked.iter().any(|(name, _)| name == "tokenizer.json"));
    assert!(!asked.iter().any(|(name, _)| name == "pytorch_model.bin"));

    // Everything is here now: no file is asked for again, and no network is needed.
    let again = server
        .sprat(&["tokenize", "--model", "o/m", "ab"])
        .output()
        .unwrap();
    assert!(again.status.success(), "{}", said(&again));
    assert!(server.hub.ranges.lock().unwrap().is_empty());
    let mut offline = server.sprat(&["logits", "--model", "o/m", "--tokens", "1,2"]);
    let online = offline.output().unwrap();
    let offline = offline
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_ENDPOINT", "http://127.0.0.1:1");
    let offline = offline.output().unwrap();
    assert!(offline.status.success(), "{}", said(&offline));
    assert_eq!(online.stdout, offline.stdout);
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let server = sharded();
    server.hub.breaks.store(true, Ordering::Relaxed);
    let output = server.pack("o/m");
    assert!(!output.status.success());
    assert!(!server.home.path().join("out/model/sprat.json").exists());
    server.hub.breaks.store(false, Ordering::Relaxed);
    server.hub.ranges.lock().unwrap().clear();
    let output = server.pack("o/m");
    assert!(output.status.success(), "{}", said(&output));
    let resumed = |(name, range): &(String, String)| {
        name.ends_with(".safetensors") && !range.starts_with("bytes=0-")
    };
    assert!(server.hub.ranges.lock().unwrap().iter().any(resumed));
}

#[test]
fn altered_weights_are_not_kept() {
    let server = sharded();
    server.hub.alters.store(true, Ordering::Relaxed);
    let output = server.pack("o/m");
    assert!(
        said(&output).contains("not what the hub announced"),
        "{}",
        said(&output)
    );
    server.hub.alters.store(false, Ordering::Relaxed);
    let output = server.pack("o/m");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_token_opens_gated_models_and_is_never_shown() {
    let server = sharded();
    server.hub.gated.store(true, Ordering::Relaxed);
    let output = server.pack("o/m");
    assert!(said(&output).contains("HF_TOKEN"), "{}", said(&output));
    let render = ["tokenize", "--model", "o/m", "ab"];
    let output = server
        .sprat(&render)
        .env("HF_TOKEN", TOKEN)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    std::fs::write(server.home.path().join("token"), TOKEN).unwrap();
    let output = server
        .sprat(&["logits", "--model", "o/m", "--tokens", "1"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains(TOKEN));
}

#[test]
fn a_gguf_file_is_chosen_by_name() {
    let read = |name: &str| Bytes::from(std::fs::read(goldens("gguf/models").join(name)).unwrap());
    let mut names = std::fs::read_dir(goldens("gguf/models"))
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.ends_with(".gguf").then_some(name)
        });
    let name = names.find(|name| name.starts_with("llama")).unwrap();
    let files = BTreeMap::from([
        ("model-q8.gguf".to_owned(), read(&name)),
        ("model-q4.gguf".to_owned(), read(&name)),
    ]);
    let server = Server::start(files);
    let logits = |model: &str| {
        let args = ["logits", "--model", model, "--tokens", "1"];
        server.sprat(&args).output().unwrap()
    };
    assert!(said(&logits("o/m")).contains("model-q4.gguf, model-q8.gguf"));
    assert!(said(&logits("o/m/other.gguf")).contains("has no file other.gguf"));
    let output = logits("o/m/model-q8.gguf");
    assert!(output.status.success(), "{}", said(&output));
    let local = goldens("gguf/models").join(name);
    assert_eq!(output.stdout, logits(local.to_str().unwrap()).stdout);
}

#[test]
fn what_is_nowhere_is_said_clearly() {
    let server = Server::start(BTreeMap::new());
    let output = server.pack("o/unknown");
    let text = said(&output);
    assert!(
        text.contains("neither a file or folder here nor a model"),
        "{text}"
    );
    let output = server.pack("o/m");
    assert!(
        said(&output).contains("holds no weights"),
        "{}",
        said(&output)
    );
    let output = server.pack("some/folder/that/is/not");
    assert!(said(&output).contains("is not there"), "{}", said(&output));
    let pack = |endpoint: &str, offline: &str| {
        let args = ["pack", "o/m", "--out", "never"];
        let mut command = server.sprat(&args);
        let command = command
            .env("HF_ENDPOINT", endpoint)
            .env("HF_HUB_OFFLINE", offline);
        said(&command.output().unwrap())
    };
    let unreachable = pack("http://127.0.0.1:1", "0");
    assert!(unreachable.contains("cannot be reached"), "{unreachable}");
    let offline = pack("http://127.0.0.1:1", "1");
    assert!(offline.contains("HF_HUB_OFFLINE is set"), "{offline}");
    let wrong = pack("hub.example.org", "0");
    assert!(wrong.contains("no http or https address"), "{wrong}");
    assert!(!Path::new("never").exists());
}
