//! What the engine has fetched for it. It has no network itself: it asks the link, the worker that has one, over a line
//! that the page has laid. Every wait has a limit, and whoever stops waiting also stops the transfer.

use futures::future::{Either, select};
use gloo_timers::future::TimeoutFuture;
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use crate::fill::{self, Fault, Opened, Origin};

#[wasm_bindgen]
extern "C" {
    /// One end of a line to the link; `Line` in `line.js`.
    #[derive(Clone)]
    pub type Line;

    /// On a model's line: asks for the chunk of a file that begins at a byte, with `fresh` past every cache.
    #[wasm_bindgen(method)]
    fn open(this: &Line, file: &str, from: f64, fresh: bool) -> Flow;

    /// On the cloud's line: sends a chat completion's body.
    #[wasm_bindgen(method)]
    fn ask(this: &Line, body: &str) -> Flow;

    /// An answer on its way; `Flow` in `line.js`.
    type Flow;

    /// Resolves when its head is there.
    #[wasm_bindgen(method, catch)]
    async fn head(this: &Flow) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, getter)]
    fn status(this: &Flow) -> u16;

    #[wasm_bindgen(method, getter)]
    fn kind(this: &Flow) -> String;

    #[wasm_bindgen(method, getter)]
    fn from(this: &Flow) -> f64;

    #[wasm_bindgen(method, catch)]
    async fn next(this: &Flow) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method)]
    fn end(this: &Flow);
}

/// How long a model's server may stay silent, in milliseconds.
const DOWNLOAD_SILENCE_MS: u32 = 30_000;

/// Why a request brought nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Failure {
    /// The browser could not reach the server, or the connection broke; its own words.
    Broken(String),
    /// Nothing came for this many milliseconds.
    Silent(u32),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(reason) => f.write_str(reason),
            Self::Silent(ms) => write!(f, "nothing came for {} seconds", ms / 1000),
        }
    }
}

/// What a JavaScript exception says.
pub(crate) fn words(error: &JsValue) -> String {
    let field = |name| {
        Reflect::get(error, &JsValue::from_str(name))
            .ok()
            .and_then(|v| v.as_string())
    };
    match (field("name"), field("message")) {
        (Some(name), Some(message)) => format!("{name}: {message}"),
        (_, Some(message)) => message,
        _ => error
            .as_string()
            .unwrap_or_else(|| "an exception without words".to_owned()),
    }
}

/// Waits for `future`, but not longer than `ms` milliseconds.
pub(crate) async fn within<T>(ms: u32, future: impl Future<Output = T>) -> Result<T, Failure> {
    match select(Box::pin(future), TimeoutFuture::new(ms)).await {
        Either::Left((value, _)) => Ok(value),
        Either::Right(_) => Err(Failure::Silent(ms)),
    }
}

/// An answer. Dropping it ends the transfer.
pub(crate) struct Stream {
    flow: Flow,
    /// There is nothing more to read.
    ended: bool,
    silence_ms: u32,
}

impl Stream {
    /// Asks the cloud, and waits for the head of its answer.
    pub(crate) async fn ask(
        line: &Line,
        body: &str,
        first_ms: u32,
        silence_ms: u32,
    ) -> Result<Self, Failure> {
        let stream = Self::new(line.ask(body), silence_ms);
        let head = within(first_ms, stream.flow.head()).await?;
        head.map_err(|e| Failure::Broken(words(&e)))?;
        Ok(stream)
    }

    fn new(flow: Flow, silence_ms: u32) -> Self {
        Self {
            flow,
            ended: false,
            silence_ms,
        }
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.flow.status()
    }

    /// Whether the status says that all is well.
    pub(crate) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status())
    }

    /// The content type.
    pub(crate) fn kind(&self) -> String {
        self.flow.kind()
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Vec<u8>, Failure>> {
        if self.ended {
            return None;
        }
        let read = within(self.silence_ms, self.flow.next()).await;
        let piece = read.and_then(|read| read.map_err(|e| Failure::Broken(words(&e))));
        match piece {
            Ok(bytes) if bytes.is_undefined() => self.ended = true,
            Ok(bytes) => return Some(Ok(bytes.unchecked_into::<Uint8Array>().to_vec())),
            Err(failure) => {
                self.ended = true;
                return Some(Err(failure));
            }
        }
        None
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.flow.end();
    }
}

/// A pack's folder on a web server, at the other end of a line.
pub(crate) struct Folder {
    /// Address of the folder, with the slash at its end; for messages.
    base: String,
    line: Line,
}

impl Folder {
    pub(crate) fn new(url: &str, line: &Line) -> Self {
        let slash = if url.ends_with('/') { "" } else { "/" };
        Self {
            base: format!("{url}{slash}"),
            line: line.clone(),
        }
    }

    /// The whole of a small file.
    pub(crate) async fn read_small(&self, file: &str, limit: usize) -> Result<Vec<u8>, Fault> {
        let mut opened = self.get(file, 0, false).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = fill::Body::next(&mut opened.body).await {
            bytes.extend_from_slice(&piece?);
            if bytes.len() > limit {
                return Err(Fault::Missing(format!(
                    "{file} is longer than {limit} bytes"
                )));
            }
        }
        Ok(bytes)
    }

    async fn get(&self, file: &str, from: u64, fresh: bool) -> Result<Opened<Stream>, Fault> {
        // A pack is far below 2^53 bytes.
        #[allow(clippy::cast_precision_loss)]
        let flow = self.line.open(file, from as f64, fresh);
        let body = Stream::new(flow, DOWNLOAD_SILENCE_MS);
        let head = within(DOWNLOAD_SILENCE_MS, body.flow.head()).await;
        let head = head.map_err(|failure| Fault::Broken(failure.to_string()))?;
        head.map_err(|error| fault(&error))?;
        match body.status() {
            200 | 206 => {}
            status @ (408 | 416 | 425 | 429 | 500..) => {
                return Err(Fault::Broken(format!("HTTP status {status}")));
            }
            status => return Err(Fault::Missing(format!("HTTP status {status}"))),
        }
        // A position in a file: a whole number, and not negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let from = body.flow.from() as u64;
        let whole = body.status() == 200;
        Ok(Opened { from, whole, body })
    }
}

/// What a request that failed before its answer means: what the link refuses, it refuses again.
fn fault(error: &JsValue) -> Fault {
    let name = Reflect::get(error, &JsValue::from_str("name"));
    match name.ok().and_then(|name| name.as_string()).as_deref() {
        Some("Refused") => Fault::Missing(words(error)),
        _ => Fault::Broken(words(error)),
    }
}

impl fill::Body for Stream {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Fault>> {
        let piece = Stream::next(self).await?;
        Some(piece.map_err(|failure| Fault::Broken(failure.to_string())))
    }
}

impl Origin for Folder {
    type Body = Stream;

    async fn open(&self, file: &str, from: u64, fresh: bool) -> Result<Opened<Stream>, Fault> {
        self.get(file, from, fresh).await
    }

    async fn pause(&self, attempt: u32) {
        TimeoutFuture::new(250 << attempt.min(4)).await;
    }

    fn address(&self, file: &str) -> String {
        format!("{}{file}", self.base)
    }
}
