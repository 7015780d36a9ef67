//! The cloud client on the browser's `fetch`.

use std::collections::{BTreeMap, VecDeque};

use gloo_net::http::Request;
use gloo_timers::future::TimeoutFuture;
use serde::Deserialize;

use crate::cloud::{Bit, Cloud, MAX_BODY, Outgoing, Reply, StreamReader, read_whole, refusal};
use crate::error::Error;
use crate::net::{Abort, Failure, Stream, send};
use crate::web;

/// How long a cloud may take to begin its answer: it may have a queue.
const FIRST_BYTE_MS: u32 = 30_000;
/// How long it may stay silent in the middle of one.
const SILENCE_MS: u32 = 20_000;

/// How long to wait before asking it once more.
const RETRY_MS: u32 = 700;

/// Where the cloud is and how to ask it.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FetchCloud {
    /// Base URL of an OpenAI-compatible API, as in `https://example.org/v1`.
    url: String,
    model: String,
    /// More request headers, such as `Authorization`.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// US dollars per million tokens.
    #[serde(default)]
    price: Price,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Price {
    prompt: f64,
    completion: f64,
}

impl FetchCloud {
    /// Whether the address is this machine, which is there even when the network is not.
    fn is_here(&self) -> bool {
        let host = self
            .url
            .split("//")
            .nth(1)
            .and_then(|rest| rest.split('/').next())
            .unwrap_or("");
        ["localhost", "127.", "[::1]"]
            .iter()
            .any(|here| host.starts_with(here))
    }
}

impl Cloud for FetchCloud {
    type Reply = FetchReply;

    fn model(&self) -> &str {
        &self.model
    }

    fn price(&self) -> (f64, f64) {
        (self.price.prompt, self.price.completion)
    }

    fn is_offline(&self) -> bool {
        web::is_offline() && !self.is_here()
    }

    async fn pause(&self) {
        TimeoutFuture::new(RETRY_MS).await;
    }

    async fn send(&self, outgoing: &Outgoing) -> Result<FetchReply, Error> {
        let unreachable = |failure: Failure| Error::CloudUnreachable(failure.to_string());
        let abort = Abort::new().map_err(unreachable)?;
        let url = format!("{}/chat/completions", self.url.trim_end_matches('/'));
        let mut request = Request::post(&url)
            .header("Content-Type", "application/json")
            .header("Accept", "text/event-stream")
            .abort_signal(Some(&abort.signal()));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(outgoing.as_str())
            .map_err(|e| Error::CloudUnreachable(e.to_string()))?;
        let response = send(request, FIRST_BYTE_MS).await.map_err(unreachable)?;
        let stream = Stream::new(&response, SILENCE_MS, abort);
        if !response.ok() {
            let body = read_all(stream).await.unwrap_or_default();
            return Err(refusal(response.status(), &body));
        }
        let kind = response.headers().get("Content-Type").unwrap_or_default();
        let mut reply = FetchReply {
            stream: Some(stream),
            reader: StreamReader::default(),
            bits: VecDeque::new(),
            failed: None,
        };
        if kind.starts_with("application/json")
            && let Some(stream) = reply.stream.take()
        {
            let body = read_all(stream)
                .await
                .map_err(|failure| Error::CloudInterrupted(failure.to_string()))?;
            reply.bits = read_whole(&body)?.into();
        }
        Ok(reply)
    }
}

/// The whole body, up to [`MAX_BODY`] bytes of it.
async fn read_all(mut stream: Stream) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(piece) = stream.next().await {
        body.extend_from_slice(&piece?);
        if body.len() > MAX_BODY {
            break;
        }
    }
    Ok(body)
}

/// A streamed answer. Dropping it ends the request.
pub(crate) struct FetchReply {
    /// `None` once everything has been read.
    stream: Option<Stream>,
    reader: StreamReader,
    bits: VecDeque<Bit>,
    /// Told after the bits that came before it.
    failed: Option<Error>,
}

impl FetchReply {
    async fn fill(&mut self, bits: &mut Vec<Bit>) -> Result<(), Error> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        match stream.next().await {
            Some(Ok(bytes)) => {
                self.reader.push(&bytes, bits)?;
                if self.reader.is_done() {
                    self.stream = None;
                }
                Ok(())
            }
            Some(Err(failure)) => Err(Error::CloudInterrupted(failure.to_string())),
            None => {
                self.stream = None;
                self.reader.finish(bits)
            }
        }
    }
}

impl Reply for FetchReply {
    async fn next(&mut self) -> Option<Result<Bit, Error>> {
        loop {
            if let Some(bit) = self.bits.pop_front() {
                return Some(Ok(bit));
            }
            if let Some(error) = self.failed.take() {
                return Some(Err(error));
            }
            self.stream.as_ref()?;
            let mut bits = Vec::new();
            let read = self.fill(&mut bits).await;
            self.bits.extend(bits);
            if let Err(error) = read {
                self.stream = None;
                self.failed = Some(error);
            }
        }
    }
}
