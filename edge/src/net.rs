//! Fetching in the browser: requests that end when they are dropped, bodies read piece by piece,
//! and a limit on every wait.

use futures::future::{Either, select};
use gloo_net::http::{Request, Response};
use gloo_timers::future::TimeoutFuture;
use js_sys::{ArrayBuffer, Function, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, ReadableStream, ReadableStreamByobReader, ReadableStreamDefaultReader,
    RequestCache,
};

use crate::fill::{self, Fault, Opened, Origin};

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

/// Cancels its request when dropped, so that whoever stops waiting also stops the transfer.
pub(crate) struct Abort(AbortController);

impl Abort {
    pub(crate) fn new() -> Result<Self, Failure> {
        AbortController::new()
            .map(Self)
            .map_err(|e| Failure::Broken(words(&e)))
    }

    pub(crate) fn signal(&self) -> web_sys::AbortSignal {
        self.0.signal()
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
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

/// Sends `request` and waits for the head of the answer.
pub(crate) async fn send(request: Request, ms: u32) -> Result<Response, Failure> {
    within(ms, request.send())
        .await?
        .map_err(|e| Failure::Broken(e.to_string()))
}

/// Reads the body of an answer.
enum Reader {
    /// Into one buffer, again and again. A buffer for each piece would be left to the browser's garbage
    /// collector, which lets a whole model gather before it begins.
    Reusing(ReadableStreamByobReader, ArrayBuffer),
    /// Where the browser cannot do that.
    Plain(ReadableStreamDefaultReader),
}

/// Bytes of the buffer that is read into.
const BUFFER: u32 = 256 << 10;

impl Reader {
    fn new(body: &ReadableStream) -> Option<Self> {
        let byob = Object::new();
        Reflect::set(&byob, &"mode".into(), &"byob".into()).ok()?;
        let get_reader = Reflect::get(body, &"getReader".into()).ok()?;
        let reader = get_reader.dyn_into::<Function>().ok()?.call1(body, &byob);
        match reader {
            Ok(reader) => Some(Self::Reusing(
                reader.dyn_into().ok()?,
                ArrayBuffer::new(BUFFER),
            )),
            Err(_) => Some(Self::Plain(body.get_reader().dyn_into().ok()?)),
        }
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::Reusing(reader, buffer) => {
                // The browser takes the buffer, and gives its memory back as another one.
                let view = Uint8Array::new(buffer);
                let read = reader.read_with_array_buffer_view(&view);
                let Some(bytes) = piece(JsFuture::from(read).await)? else {
                    return Ok(None);
                };
                *buffer = bytes.buffer();
                Ok(Some(bytes.to_vec()))
            }
            Self::Plain(reader) => {
                let bytes = piece(JsFuture::from(reader.read()).await)?;
                Ok(bytes.map(|bytes| bytes.to_vec()))
            }
        }
    }
}

/// The body of an answer. Dropping it ends the transfer.
pub(crate) struct Stream {
    reader: Option<Reader>,
    silence_ms: u32,
    _abort: Abort,
}

impl Stream {
    /// `abort` must belong to the request that was answered by `response`.
    pub(crate) fn new(response: &Response, silence_ms: u32, abort: Abort) -> Self {
        Self {
            reader: response.body().as_ref().and_then(Reader::new),
            silence_ms,
            _abort: abort,
        }
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Vec<u8>, Failure>> {
        let reader = self.reader.as_mut()?;
        let read = within(self.silence_ms, reader.next()).await;
        match read.and_then(|piece| piece) {
            Ok(piece) => piece.map(Ok),
            Err(failure) => {
                self.reader = None;
                Some(Err(failure))
            }
        }
    }
}

/// The bytes in what a reader's `read()` resolves to.
fn piece(read: Result<JsValue, JsValue>) -> Result<Option<Uint8Array>, Failure> {
    let broken = |e: JsValue| Failure::Broken(words(&e));
    let read = read.map_err(broken)?;
    let done = Reflect::get(&read, &"done".into()).map_err(broken)?;
    if done.is_truthy() {
        return Ok(None);
    }
    let value = Reflect::get(&read, &"value".into()).map_err(broken)?;
    Ok(Some(value.dyn_into::<Uint8Array>().map_err(broken)?))
}

/// A pack's folder on a web server.
pub(crate) struct Folder {
    /// Address of the folder, with the slash at its end.
    base: String,
}

impl Folder {
    pub(crate) fn new(url: &str) -> Self {
        let slash = if url.ends_with('/') { "" } else { "/" };
        Self {
            base: format!("{url}{slash}"),
        }
    }

    /// The whole of a small file, asked again from the server whatever a cache holds.
    pub(crate) async fn read_small(&self, file: &str, limit: usize) -> Result<Vec<u8>, Fault> {
        let mut opened = self.get(file, 0, RequestCache::NoCache).await?;
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

    async fn get(
        &self,
        file: &str,
        from: u64,
        cache: RequestCache,
    ) -> Result<Opened<Stream>, Fault> {
        let broken = |failure: Failure| Fault::Broken(failure.to_string());
        let abort = Abort::new().map_err(broken)?;
        let mut request = Request::get(&self.address(file)).cache(cache);
        if from > 0 {
            request = request.header("Range", &format!("bytes={from}-"));
        }
        let request = request
            .abort_signal(Some(&abort.signal()))
            .build()
            .map_err(|e| Fault::Missing(e.to_string()))?;
        let response = send(request, DOWNLOAD_SILENCE_MS).await.map_err(broken)?;
        let from = match response.status() {
            200 => 0,
            206 => response
                .headers()
                .get("Content-Range")
                .and_then(|range| range_start(&range))
                // Across origins the header may be hidden; then the server did as it was asked.
                .unwrap_or(from),
            status @ (408 | 416 | 425 | 429 | 500..) => {
                return Err(Fault::Broken(format!("HTTP status {status}")));
            }
            status => return Err(Fault::Missing(format!("HTTP status {status}"))),
        };
        Ok(Opened {
            from,
            body: Stream::new(&response, DOWNLOAD_SILENCE_MS, abort),
        })
    }
}

/// The first number of `bytes 40-99/100`.
fn range_start(content_range: &str) -> Option<u64> {
    content_range
        .trim()
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
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
        let cache = if fresh {
            RequestCache::Reload
        } else {
            RequestCache::Default
        };
        self.get(file, from, cache).await
    }

    async fn pause(&self, attempt: u32) {
        TimeoutFuture::new(250 << attempt.min(4)).await;
    }

    fn address(&self, file: &str) -> String {
        format!("{}{file}", self.base)
    }
}
