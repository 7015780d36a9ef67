//! Another server, by hand: it reads requests and answers them as a test says, byte by byte if need be.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each suite uses its own part of this"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sprat_service::{Secret, Upstream, UpstreamOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// What happens on a connection after the request was read.
#[derive(Clone, Debug)]
pub enum Step {
    /// Bytes are sent.
    Send(Vec<u8>),
    /// Nothing, until the test opens the gate.
    Wait,
    /// Nothing, until the client closes the connection.
    Hang,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Got {
    pub head: String,
    pub body: Value,
}

/// The other server. Each request gets the next answer, and the last one again when there are no more.
pub struct Fake {
    pub address: SocketAddr,
    pub got: Arc<Mutex<Vec<Got>>>,
    pub connections: watch::Sender<usize>,
    /// Lets answers go on that wait.
    pub gate: Arc<Semaphore>,
    /// Connections that the client closed while an answer hung.
    pub left: watch::Sender<usize>,
    /// Connections on which an answer waits or hangs.
    pub waiting: watch::Sender<usize>,
}

impl Fake {
    pub async fn start(answers: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            address: listener.local_addr().unwrap(),
            got: Arc::default(),
            connections: watch::Sender::new(0),
            gate: Arc::new(Semaphore::new(0)),
            left: watch::Sender::new(0),
            waiting: watch::Sender::new(0),
        };
        let (got, gate) = (Arc::clone(&fake.got), Arc::clone(&fake.gate));
        let (left, waiting) = (fake.left.clone(), fake.waiting.clone());
        let connections = fake.connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.send_modify(|connections| *connections += 1);
                let answers = answers.clone();
                let (got, gate) = (Arc::clone(&got), Arc::clone(&gate));
                let (left, waiting) = (left.clone(), waiting.clone());
                tokio::spawn(async move {
                    connection(stream, &answers, &got, &gate, &left, &waiting).await;
                });
            }
        });
        fake
    }

    /// Options that call it and wait for nothing longer than need be.
    pub fn options(&self) -> UpstreamOptions {
        UpstreamOptions {
            id: "far".into(),
            base_url: format!("http://{}/v1", self.address),
            model: "theirs".into(),
            allow_http: true,
            backoff_seconds: 0.001,
            ..UpstreamOptions::default()
        }
    }

    pub fn engine(&self, options: UpstreamOptions) -> Arc<Upstream> {
        Arc::new(Upstream::with_key(options, Some(Secret::new(KEY))).unwrap())
    }

    pub fn requests(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    pub async fn wait_left(&self, times: usize) {
        let mut left = self.left.subscribe();
        let left = left.wait_for(|left| *left >= times);
        // Only so that a bug fails instead of hanging.
        let left = tokio::time::timeout(Duration::from_secs(60), left).await;
        left.expect("the connection stays open").unwrap();
    }

    pub async fn wait_waiting(&self, times: usize) {
        let mut waiting = self.waiting.subscribe();
        waiting.wait_for(|waiting| *waiting >= times).await.unwrap();
    }
}

pub const KEY: &str = "sk-SECRET-KEY-91";

async fn connection(
    mut stream: TcpStream,
    answers: &[Vec<Step>],
    got: &Mutex<Vec<Got>>,
    gate: &Semaphore,
    left: &watch::Sender<usize>,
    waiting: &watch::Sender<usize>,
) {
    stream.set_nodelay(true).unwrap();
    while let Some(request) = request(&mut stream).await {
        let number = {
            let mut got = got.lock().unwrap();
            got.push(request);
            got.len() - 1
        };
        let steps = &answers[number.min(answers.len() - 1)];
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    if stream.write_all(bytes).await.is_err() {
                        return;
                    }
                }
                Step::Wait => {
                    waiting.send_modify(|waiting| *waiting += 1);
                    gate.acquire().await.unwrap().forget();
                }
                Step::Hang => {
                    waiting.send_modify(|waiting| *waiting += 1);
                    let mut byte = [0];
                    let _ = stream.read(&mut byte).await;
                    left.send_modify(|left| *left += 1);
                    return;
                }
            }
        }
        let ends =
            |step: &Step| matches!(step, Step::Send(b) if b.windows(5).any(|w| w == b"close"));
        if steps.iter().any(ends) || !steps.iter().any(is_last_chunk) {
            return;
        }
    }
}

fn is_last_chunk(step: &Step) -> bool {
    matches!(step, Step::Send(bytes) if bytes.ends_with(b"0\r\n\r\n"))
}

async fn request(stream: &mut TcpStream) -> Option<Got> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = head.to_lowercase();
            let length = length.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if bytes.len() >= end + 4 + length {
                let body = serde_json::from_slice(&bytes[end + 4..end + 4 + length]).unwrap();
                return Some(Got { head, body });
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

/// A response with a status, more headers and a body.
pub fn response(status: u16, headers: &str, body: &str) -> Vec<Step> {
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
        body.len()
    );
    vec![Step::Send(head.into_bytes())]
}

/// The head of a stream that ends with its connection.
pub fn head() -> Step {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    Step::Send(head.as_bytes().to_vec())
}

/// The head of a stream in pieces, which ends when it says so.
pub fn chunked() -> Step {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    Step::Send(head.as_bytes().to_vec())
}

/// A piece of such a stream.
pub fn piece(text: &str) -> Step {
    Step::Send(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes())
}

pub fn event(data: &Value) -> Step {
    Step::Send(format!("data: {data}\n\n").into_bytes())
}

pub fn text(text: &str) -> Step {
    event(&json!({"choices": [{"index": 0, "delta": {"content": text}}]}))
}

/// A token and its log-probability.
pub fn likely(text: &str, logprob: f32) -> Step {
    let content = json!([{"token": text, "logprob": logprob, "top_logprobs": []}]);
    event(&json!({"choices": [{
        "index": 0, "delta": {"content": text}, "logprobs": {"content": content},
    }]}))
}

pub fn finish(reason: &str) -> Step {
    event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
}

pub fn usage(prompt: u32, completion: u32) -> Step {
    event(&json!({"choices": [], "usage": {
        "prompt_tokens": prompt, "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": 1},
    }}))
}

pub fn done() -> Step {
    Step::Send(b"data: [DONE]\n\n".to_vec())
}

/// A whole answer of two tokens.
pub fn answer() -> Vec<Step> {
    vec![
        head(),
        text("Hi"),
        text(" you"),
        finish("stop"),
        usage(9, 2),
        done(),
    ]
}
