//! What the suites share: an engine without a model, and requests with and without a socket.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each suite uses its own part of this"
)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use serde_json::{Value, json};
use sprat_service::*;
use sprat_wire::{Event as SseItem, SseDecoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt;

/// An engine that repeats the last message word by word, the same way each time.
///
/// A prompt has a token per word. What else it does is set before it is shared.
pub struct Parrot {
    pub id: String,
    pub context: usize,
    pub state: Mutex<EngineState>,
    /// If set, each token waits for a permit.
    pub gate: Option<Arc<Semaphore>>,
    /// Repeat the message for ever.
    pub endless: bool,
    /// Fail instead of making the token with this number.
    pub fail_at: Option<usize>,
    /// Refuse every job.
    pub busy: bool,
    /// Tokens made so far, for all jobs.
    pub made: Arc<AtomicUsize>,
    /// Jobs that have ended, in whatever way.
    pub ended: watch::Sender<usize>,
    /// How its model calls tools.
    pub calls: Option<CallFormat>,
    /// The last job.
    pub job: Mutex<Option<Job>>,
}

impl Default for Parrot {
    fn default() -> Self {
        Self {
            id: "parrot".into(),
            context: 100,
            state: Mutex::new(EngineState::Ready),
            gate: None,
            endless: false,
            fail_at: None,
            busy: false,
            made: Arc::default(),
            ended: watch::Sender::new(0),
            calls: None,
            job: Mutex::new(None),
        }
    }
}

impl Parrot {
    pub fn share(self) -> Arc<Self> {
        Arc::new(self)
    }

    /// Waits until `jobs` jobs have ended.
    pub async fn wait_ended(&self, jobs: usize) {
        self.ended
            .subscribe()
            .wait_for(|ended| *ended >= jobs)
            .await
            .unwrap();
    }
}

impl Engine for Parrot {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            text_id: None,
            id: self.id.clone(),
            device: "mock".into(),
            context: Some(self.context),
            created: 1_700_000_000,
            fingerprint: Some("fp_parrot".into()),
            state: self.state.lock().unwrap().clone(),
        }
    }

    fn calls(&self) -> Option<CallFormat> {
        self.calls
    }

    fn start(&self, job: Job) -> Result<JobHandle, EngineError> {
        if self.busy {
            return Err(EngineError::Busy);
        }
        *self.job.lock().unwrap() = Some(job.clone());
        let (sink, handle) = channel();
        let parrot = Parrot {
            gate: self.gate.clone(),
            made: Arc::clone(&self.made),
            ended: self.ended.clone(),
            ..Parrot {
                endless: self.endless,
                fail_at: self.fail_at,
                context: self.context,
                ..Parrot::default()
            }
        };
        tokio::spawn(async move {
            parrot.answer(job, sink).await;
            parrot.ended.send_modify(|ended| *ended += 1);
        });
        Ok(handle)
    }
}

impl Parrot {
    async fn answer(&self, job: Job, sink: JobSink) {
        let words = |text: &str| text.split_whitespace().count();
        let (prompt, text) = match &job.prompt {
            Prompt::Chat(messages) => (
                messages.iter().map(|message| words(&message.content)).sum(),
                messages
                    .last()
                    .map_or("", |message| message.content.as_str()),
            ),
            Prompt::Text(text) => (words(text), text.as_str()),
            Prompt::Tokens(tokens) => (tokens.len(), "tokens "),
        };
        if prompt >= self.context {
            return sink.fail(EngineError::PromptTooLong {
                prompt,
                context: self.context,
            });
        }
        sink.send(Event::Started {
            prompt_tokens: prompt,
            cached_tokens: prompt / 2,
        });
        let words: Vec<&str> = text.split_inclusive(' ').collect();
        let limit = job.max_tokens.unwrap_or(usize::MAX);
        let mut number = 0;
        loop {
            for &word in &words {
                if number == limit {
                    sink.send(Event::Finished(Finish::Length));
                    return;
                }
                if let Some(gate) = &self.gate {
                    tokio::select! {
                        biased;
                        () = sink.closed() => return,
                        permit = gate.acquire() => permit.unwrap().forget(),
                    }
                }
                if self.fail_at == Some(number) {
                    return sink.fail(EngineError::NotANumber);
                }
                let stop = job
                    .stop
                    .iter()
                    .filter_map(|stop| word.find(stop.as_str()))
                    .min();
                let text = &word[..stop.unwrap_or(word.len())];
                number += 1;
                self.made.fetch_add(1, Ordering::SeqCst);
                if !sink.send(Event::Token(token(text, &job))) {
                    return;
                }
                if stop.is_some() {
                    sink.send(Event::Finished(Finish::Stop));
                    return;
                }
                tokio::task::yield_now().await;
            }
            if !self.endless {
                sink.send(Event::Finished(Finish::Stop));
                return;
            }
        }
    }
}

fn token(text: &str, job: &Job) -> Token {
    let top = (0..job.top_logprobs).map(|rank| Alternative {
        text: if rank == 0 {
            text.to_owned()
        } else {
            format!("other{rank}")
        },
        logprob: if rank == 0 { -0.5 } else { f32::NEG_INFINITY },
    });
    Token {
        text: text.to_owned(),
        logprob: -0.5,
        end: false,
        top: top.collect(),
    }
}

/// The application with one engine and no limits out of the ordinary.
pub fn app_of(parrot: Parrot) -> Router {
    app_with(vec![parrot.share()], AppConfig::default())
}

pub fn app_with(engines: Vec<Arc<Parrot>>, config: AppConfig) -> Router {
    app(state_with(engines, config))
}

pub fn state_with(engines: Vec<Arc<Parrot>>, config: AppConfig) -> AppState {
    let engines = engines
        .into_iter()
        .map(|engine| engine as Arc<dyn Engine>)
        .collect();
    AppState::new(engines, config).unwrap()
}

/// A response that was read to its end.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{:?}", self.text()))
    }

    /// The data of the events: chunks, and `None` for `[DONE]`.
    pub fn events(&self) -> Vec<Option<Value>> {
        events(&self.body)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks status, type, param and code of an error, and that a person can read it.
    #[track_caller]
    pub fn is_error(&self, status: u16, kind: &str, param: Option<&str>, code: Option<&str>) {
        let body = self.json();
        assert_eq!(self.status.as_u16(), status, "{body}");
        let error = &body["error"];
        assert_eq!(error["type"], kind, "{body}");
        assert_eq!(error["param"], json!(param), "{body}");
        assert_eq!(error["code"], json!(code), "{body}");
        assert!(error["message"].as_str().unwrap().len() > 10, "{body}");
        assert!(self.headers.contains_key("x-request-id"));
    }
}

pub fn events(bytes: &[u8]) -> Vec<Option<Value>> {
    let items = SseDecoder::default().push(bytes).unwrap();
    items
        .into_iter()
        .map(|item| match item {
            SseItem::Data(data) => Some(serde_json::from_str(&data).unwrap()),
            SseItem::Done => None,
        })
        .collect()
}

pub async fn send(app: &Router, request: Request<Body>) -> Reply {
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Reply {
        status: parts.status,
        headers: parts.headers,
        body: body.to_vec(),
    }
}

pub async fn get(app: &Router, path: &str) -> Reply {
    send(app, Request::get(path).body(Body::empty()).unwrap()).await
}

pub fn post(body: impl Into<Body>) -> Request<Body> {
    post_to("/v1/chat/completions", body)
}

pub fn post_to(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.into())
        .unwrap()
}

/// Asks the parrot to say `text`, with further fields.
pub fn ask(text: &str, more: Value) -> Value {
    let mut body = json!({"model": "parrot", "messages": [{"role": "user", "content": text}]});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body
}

pub async fn chat(app: &Router, body: Value) -> Reply {
    send(app, post(body.to_string())).await
}

/// Serves the application on a real port.
pub async fn listen(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

/// A connection that speaks HTTP by hand, so that it can also hang up.
pub struct Wire {
    stream: TcpStream,
    seen: Vec<u8>,
}

impl Wire {
    pub async fn open(address: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            seen: vec![],
        }
    }

    pub async fn post(address: SocketAddr, body: &Value) -> Self {
        Self::post_to(address, "/v1/chat/completions", body).await
    }

    pub async fn post_to(address: SocketAddr, path: &str, body: &Value) -> Self {
        let mut wire = Self::open(address).await;
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        wire.write(head.as_bytes()).await;
        wire.write(body.as_bytes()).await;
        wire
    }

    pub async fn get(address: SocketAddr, path: &str) -> String {
        let mut wire = Self::open(address).await;
        let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        wire.write(head.as_bytes()).await;
        wire.rest().await
    }

    /// Sends bytes to somebody who may hang up in the middle, and reads what comes back.
    pub async fn hostile(address: SocketAddr, bytes: &[u8]) -> String {
        let mut wire = Self::open(address).await;
        let _ = wire.stream.write_all(bytes).await;
        let _ = wire.stream.shutdown().await;
        let _ = wire.stream.read_to_end(&mut wire.seen).await;
        String::from_utf8_lossy(&wire.seen).into_owned()
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads until `text` has come `times` times.
    pub async fn until(&mut self, text: &str, times: usize) {
        let mut buffer = [0; 4096];
        while String::from_utf8_lossy(&self.seen).matches(text).count() < times {
            let read = self.stream.read(&mut buffer).await.unwrap();
            assert!(
                read > 0,
                "the connection ended: {}",
                String::from_utf8_lossy(&self.seen)
            );
            self.seen.extend_from_slice(&buffer[..read]);
        }
    }

    /// Reads to the end of the connection; returns all that came.
    pub async fn rest(mut self) -> String {
        self.stream.read_to_end(&mut self.seen).await.unwrap();
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}
