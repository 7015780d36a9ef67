//! The cloud client, over a line to the worker that has a network.

use std::cell::RefCell;
use std::collections::VecDeque;

use gloo_timers::future::TimeoutFuture;
use js_sys::{Function, Promise};
use serde::{Deserialize, Serialize};
use sprat_route::privacy::Offer;
use sprat_wire::Message;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::cloud::{Bit, Cloud, MAX_BODY, Outgoing, Reply, StreamReader, read_whole, refusal};
use crate::error::Error;
use crate::net::{Failure, Line, Stream};
use crate::web;

/// How long a cloud may take to begin its answer: it may have a queue.
const FIRST_BYTE_MS: u32 = 30_000;
/// How long it may stay silent in the middle of one.
const SILENCE_MS: u32 = 20_000;

/// How long to wait before asking it once more.
const RETRY_MS: u32 = 700;

/// What the engine knows of the cloud. Its address and its keys are the link's.
#[derive(Clone, Deserialize)]
pub(crate) struct About {
    /// Its address, for people to see.
    address: String,
    model: String,
    /// Whether its address is this machine, which is there even when the network is not.
    here: bool,
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

/// The cloud, for one question.
pub(crate) struct LineCloud {
    about: About,
    /// The way to it; a question that the page knows to be private has none, and one that the person must be asked about
    /// gets it with their yes.
    line: RefCell<Option<Line>>,
    /// Asks the person: takes what would be sent as JSON, resolves to a line, or to nothing for a no.
    person: Function,
}

/// What the person is shown.
#[derive(Serialize)]
struct Shown<'a> {
    to: &'a str,
    model: &'a str,
    reason: &'a str,
    messages: &'a [Message],
    stop: &'a [String],
}

impl LineCloud {
    pub(crate) fn new(about: About, line: Option<Line>, person: Function) -> Self {
        Self {
            about,
            line: RefCell::new(line),
            person,
        }
    }

    /// Asks; `None` is a no, and so is whatever goes wrong.
    async fn line_of(&self, shown: &Shown<'_>) -> Option<Line> {
        let shown = serde_json::to_string(shown).ok()?;
        let asked = self
            .person
            .call1(&JsValue::NULL, &JsValue::from_str(&shown));
        let answer = JsFuture::from(asked.ok()?.dyn_into::<Promise>().ok()?).await;
        // Our own serve-engine.js gives a line or nothing.
        answer
            .ok()
            .filter(JsValue::is_object)
            .map(JsCast::unchecked_into)
    }
}

impl Cloud for LineCloud {
    type Reply = LineReply;

    fn model(&self) -> &str {
        &self.about.model
    }

    fn address(&self) -> &str {
        &self.about.address
    }

    async fn agrees(&self, offer: &Offer<Message>, stop: &[String]) -> bool {
        let shown = Shown {
            to: offer.to(),
            model: &self.about.model,
            reason: offer.reason(),
            messages: offer.turns(),
            stop,
        };
        let line = self.line_of(&shown).await;
        let agreed = line.is_some();
        self.line.replace(line);
        agreed
    }

    fn price(&self) -> (f64, f64) {
        (self.about.price.prompt, self.about.price.completion)
    }

    fn is_offline(&self) -> bool {
        web::is_offline() && !self.about.here
    }

    async fn pause(&self) {
        TimeoutFuture::new(RETRY_MS).await;
    }

    async fn send(&self, outgoing: &Outgoing) -> Result<LineReply, Error> {
        let line = self.line.borrow().clone().ok_or_else(|| {
            Error::Internal("the page laid no line to the cloud for this question".into())
        })?;
        let stream = Stream::ask(&line, outgoing.as_str(), FIRST_BYTE_MS, SILENCE_MS)
            .await
            .map_err(|failure| Error::CloudUnreachable(failure.to_string()))?;
        let (status, kind) = (stream.status(), stream.kind());
        if !stream.is_ok() {
            let body = read_all(stream).await.unwrap_or_default();
            return Err(refusal(status, &body));
        }
        let mut reply = LineReply {
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
pub(crate) struct LineReply {
    /// `None` once everything has been read.
    stream: Option<Stream>,
    reader: StreamReader,
    bits: VecDeque<Bit>,
    /// Told after the bits that came before it.
    failed: Option<Error>,
}

impl LineReply {
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

impl Reply for LineReply {
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
