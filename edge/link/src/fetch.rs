//! Requests on the browser's `fetch`: those that a pack or the cloud needs, and no others.

use std::cell::{Cell, RefCell};

use gloo_net::http::{Request, RequestBuilder, Response};
use js_sys::{Array, ArrayBuffer, Error, Function, JSON, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortSignal, ReadableStream, ReadableStreamByobReader, ReadableStreamDefaultReader,
    RequestCache,
};

use crate::listing::{Chunk, Listed, Listing, MANIFEST, length};

/// Longest `sprat.json` read, in bytes.
const MAX_MANIFEST: usize = 4 << 20;
/// Bytes of the buffer that a body is read into.
const BUFFER: u32 = 256 << 10;

/// A model's folder on a web server.
#[wasm_bindgen]
pub struct Pack {
    /// Address of the folder, with the slash at its end.
    base: String,
    listing: RefCell<Option<Listing>>,
}

#[wasm_bindgen]
impl Pack {
    /// `url` is an absolute address, with or without the slash at its end.
    #[wasm_bindgen(constructor)]
    pub fn new(url: &str) -> Pack {
        let slash = if url.ends_with('/') { "" } else { "/" };
        Self {
            base: format!("{url}{slash}"),
            listing: RefCell::default(),
        }
    }

    /// Asks for the chunk of one of the pack's files that begins at byte `from`; with `fresh` past every cache. The
    /// manifest is always asked for again, whatever a cache holds.
    ///
    /// # Errors
    /// The browser's own, when there is no answer; an `Error` with `name` "Refused" for anything but the beginning of a
    /// chunk of a listed file.
    pub async fn open(
        &self,
        file: String,
        from: f64,
        fresh: bool,
        signal: AbortSignal,
    ) -> Result<Reply, JsValue> {
        if file == MANIFEST {
            return self.manifest(&signal).await;
        }
        if self.listing.borrow().is_none() {
            let manifest = self.manifest(&signal).await?;
            if !manifest.ok() {
                // Whether that may pass is told by its status.
                return Ok(manifest);
            }
        }
        // A whole number below 2^53: anything else is equal to no chunk's beginning.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let from = from as u64;
        let listed = |listing: &Listing| listing.chunk(&file, from);
        let chunk = self.listing.borrow().as_ref().and_then(listed);
        let Some(Chunk { bytes, whole }) = chunk else {
            return Err(refused("the pack lists no such file, or no such chunk"));
        };
        let cache = match (whole, fresh) {
            // Chromium's cache lets one answer for an address be written at a time, so that chunks would come one
            // behind the other, and begins some of them anew. The engine stores them itself.
            (false, _) => RequestCache::NoStore,
            (true, true) => RequestCache::Reload,
            (true, false) => RequestCache::Default,
        };
        let mut request = Request::get(&format!("{}{file}", self.base)).cache(cache);
        if !whole {
            let range = format!("bytes={}-{}", bytes.start, bytes.end - 1);
            request = request.header("Range", &range);
        }
        Reply::of(request, None, from, &signal).await
    }

    async fn manifest(&self, signal: &AbortSignal) -> Result<Reply, JsValue> {
        let request =
            Request::get(&format!("{}{MANIFEST}", self.base)).cache(RequestCache::NoCache);
        let mut reply = Reply::of(request, None, 0, signal).await?;
        if !reply.ok() {
            return Ok(reply);
        }
        let mut bytes = Vec::new();
        while let Some(piece) = reply.body.next(None).await? {
            bytes.extend_from_slice(&piece.to_vec());
            if bytes.len() > MAX_MANIFEST {
                return Err(refused("sprat.json is longer than 4 MB"));
            }
        }
        self.listing.replace(listing(&bytes));
        reply.body = Body::Whole(Cell::new(Some(Uint8Array::from(&*bytes))));
        Ok(reply)
    }
}

/// An OpenAI-compatible API. Its keys are known here and not in the engine.
#[wasm_bindgen]
pub struct Cloud(Settings);

struct Settings {
    /// Base URL, as in `https://example.org/v1`.
    url: String,
    /// More request headers, such as `Authorization`.
    headers: Vec<(String, String)>,
}

#[wasm_bindgen]
impl Cloud {
    /// Settings as JSON: `{url, headers}`.
    #[wasm_bindgen(constructor)]
    pub fn new(settings: &str) -> Result<Cloud, JsValue> {
        let settings = JSON::parse(settings).ok().as_ref().and_then(Settings::read);
        settings
            .map(Self)
            .ok_or_else(|| refused("the cloud's settings cannot be read"))
    }

    /// Sends a chat completion's body.
    pub async fn ask(&self, body: String, signal: AbortSignal) -> Result<Reply, JsValue> {
        let url = format!("{}/chat/completions", self.0.url.trim_end_matches('/'));
        let mut request = Request::post(&url)
            .header("Content-Type", "application/json")
            .header("Accept", "text/event-stream");
        for (name, value) in &self.0.headers {
            request = request.header(name, value);
        }
        Reply::of(request, Some(body), 0, &signal).await
    }
}

/// An answer. The signal that was given when it was asked for ends the transfer.
#[wasm_bindgen]
pub struct Reply {
    response: Response,
    /// Position of the first byte that was asked for.
    asked: u64,
    body: Body,
}

impl Reply {
    async fn of(
        request: RequestBuilder,
        body: Option<String>,
        asked: u64,
        signal: &AbortSignal,
    ) -> Result<Self, JsValue> {
        let request = request.abort_signal(Some(signal));
        let request = match body {
            Some(body) => request.body(body),
            None => request.build(),
        };
        let response = request.map_err(browsers)?.send().await.map_err(browsers)?;
        Ok(Self {
            body: Body::of(response.body().as_ref()),
            response,
            asked,
        })
    }

    fn ok(&self) -> bool {
        self.response.ok()
    }
}

#[wasm_bindgen]
impl Reply {
    /// The HTTP status.
    #[wasm_bindgen(getter)]
    pub fn status(&self) -> u16 {
        self.response.status()
    }

    /// The content type.
    #[wasm_bindgen(getter)]
    pub fn kind(&self) -> String {
        self.header("Content-Type").unwrap_or_default()
    }

    /// Position in the file of the first byte that will come; 0 where ranges are not served.
    #[wasm_bindgen(getter)]
    // A position is far below 2^53.
    #[allow(clippy::cast_precision_loss)]
    pub fn from(&self) -> f64 {
        let start = || range_start(&self.header("Content-Range")?);
        match self.status() {
            // Across origins the header may be hidden; then the server did as it was asked.
            206 => start().unwrap_or(self.asked) as f64,
            _ => 0.0,
        }
    }

    /// The next bytes; `None` at the end. `spare` is a buffer that is not needed any more.
    pub async fn next(&self, spare: Option<ArrayBuffer>) -> Result<Option<Uint8Array>, JsValue> {
        self.body.next(spare).await
    }

    fn header(&self, name: &str) -> Option<String> {
        self.response.headers().get(name)
    }
}

impl Settings {
    fn read(settings: &JsValue) -> Option<Self> {
        let headers = match field(settings, "headers")? {
            none if none.is_undefined() => Array::new(),
            headers => Object::entries(headers.dyn_ref()?),
        };
        let header = |entry: JsValue| {
            let entry: Array = entry.dyn_into().ok()?;
            Some((entry.get(0).as_string()?, entry.get(1).as_string()?))
        };
        Some(Self {
            url: field(settings, "url")?.as_string()?,
            headers: headers.iter().map(header).collect::<Option<_>>()?,
        })
    }
}

/// The files that a manifest lists; `None` if it is none. The browser reads it: a reader of JSON would be a third of this
/// module.
fn listing(manifest: &[u8]) -> Option<Listing> {
    let manifest = JSON::parse(std::str::from_utf8(manifest).ok()?).ok()?;
    let files: Array = field(&manifest, "files")?.dyn_into().ok()?;
    let listed = |file: JsValue| {
        Some(Listed {
            path: field(&file, "path")?.as_string()?,
            size: length(field(&file, "size")?.as_f64()?)?,
            chunk_bytes: length(field(&file, "chunk_bytes")?.as_f64()?)?,
        })
    };
    let files = files.iter().map(listed).collect::<Option<_>>();
    files.map(Listing::new)
}

/// A field of an object; undefined where there is none. `None` for what is no object.
fn field(object: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(object, &name.into()).ok()
}

/// The first number of `bytes 40-99/100`.
fn range_start(content_range: &str) -> Option<u64> {
    let range = content_range.trim().strip_prefix("bytes ")?;
    range.split('-').next()?.trim().parse().ok()
}

/// What is read of an answer.
enum Body {
    /// Into buffers that come back. A new one for each piece would be left to the browser's garbage collector, which
    /// lets a whole model gather before it begins.
    Reusing(ReadableStreamByobReader),
    /// Where the browser cannot do that.
    Plain(ReadableStreamDefaultReader),
    /// All of it is here.
    Whole(Cell<Option<Uint8Array>>),
}

impl Body {
    fn of(stream: Option<&ReadableStream>) -> Self {
        stream
            .and_then(Self::reader)
            .unwrap_or(Self::Whole(Cell::default()))
    }

    fn reader(stream: &ReadableStream) -> Option<Self> {
        let byob = Object::new();
        Reflect::set(&byob, &"mode".into(), &"byob".into()).ok()?;
        let get_reader = Reflect::get(stream, &"getReader".into()).ok()?;
        match get_reader.dyn_into::<Function>().ok()?.call1(stream, &byob) {
            Ok(reader) => Some(Self::Reusing(reader.dyn_into().ok()?)),
            Err(_) => Some(Self::Plain(stream.get_reader().dyn_into().ok()?)),
        }
    }

    async fn next(&self, spare: Option<ArrayBuffer>) -> Result<Option<Uint8Array>, JsValue> {
        match self {
            Self::Reusing(reader) => {
                let buffer = spare.filter(|buffer| buffer.byte_length() > 0);
                let buffer = buffer.unwrap_or_else(|| ArrayBuffer::new(BUFFER));
                // The browser takes the buffer, and gives its memory back as another one.
                let view = Uint8Array::new(&buffer);
                piece(&JsFuture::from(reader.read_with_array_buffer_view(&view)).await?)
            }
            Self::Plain(reader) => piece(&JsFuture::from(reader.read()).await?),
            Self::Whole(bytes) => Ok(bytes.take()),
        }
    }
}

/// The bytes in what a reader's `read()` resolves to.
fn piece(read: &JsValue) -> Result<Option<Uint8Array>, JsValue> {
    if Reflect::get(read, &"done".into())?.is_truthy() {
        return Ok(None);
    }
    Reflect::get(read, &"value".into())?.dyn_into().map(Some)
}

/// What the browser says about a request that failed.
fn browsers(error: gloo_net::Error) -> JsValue {
    match error {
        gloo_net::Error::JsError(error) => Error::new(&error.to_string()).into(),
        other => Error::new(&other.to_string()).into(),
    }
}

fn refused(why: &str) -> JsValue {
    let error = Error::new(why);
    error.set_name("Refused");
    error.into()
}
