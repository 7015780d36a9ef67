//! What `serve-engine.js` calls. Everything crosses as JSON text; failures are thrown as plain objects
//! in the shape of [`Failure`].

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use futures::channel::oneshot;
use futures::future::{Either, select};
use js_sys::{Array, Function, JSON, Uint8Array};
use serde::{Deserialize, Serialize};
use sprat_model::{Adapter, LoadStage, Manifest, Model};
use sprat_route::detect::detect;
use sprat_route::gate::Gate;
use sprat_route::policy::Policy;
use sprat_route::privacy::{Level, Taint, Thread};
use sprat_wire::{Message, Role};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::AbortSignal;

use crate::chat::{Event, Turn};
use crate::client::{About, LineCloud};
use crate::device::Engine;
use crate::disk;
use crate::error::{Error, Failure};
use crate::local::{Loaded, LocalModel, Over, Slot, wrong_base};
use crate::net::Line;
use crate::pack::{self, Notice, Pack, check_fits, check_kin, is_damage};
use crate::pause::Pace;
use crate::request::{self, Ask};
use crate::tally::Tally;
use crate::web;

#[derive(Deserialize)]
struct Settings {
    cloud: Option<About>,
}

/// The model as the page sees it.
#[derive(Serialize)]
struct ModelInfo<'a> {
    name: &'a str,
    description: &'a str,
    license: &'a str,
    parameters: u64,
    context: usize,
    bytes: u64,
    examples: &'a [String],
    stored: bool,
}

/// One device and the model on it.
#[wasm_bindgen]
pub struct Runtime {
    cloud: Option<About>,
    local: LocalModel,
    engine: RefCell<Option<Rc<Engine>>>,
    pack: RefCell<Option<Rc<Pack>>>,
    /// An adapter that was fetched.
    over: RefCell<Option<(Adapter, Over)>>,
    /// Which texts were private, so that they stay so in calls that forget to say it.
    taint: RefCell<Taint>,
}

#[wasm_bindgen]
impl Runtime {
    /// Settings as JSON: `{cloud: null | {address, model, here, price: {prompt, completion}}}`.
    #[wasm_bindgen(constructor)]
    pub fn new(settings: &str) -> Result<Runtime, JsValue> {
        let settings: Settings = serde_json::from_str(settings)
            .map_err(|e| thrown(&Error::BadRequest(format!("settings: {e}")), None))?;
        Ok(Self {
            cloud: settings.cloud,
            local: LocalModel::default(),
            engine: RefCell::default(),
            pack: RefCell::default(),
            over: RefCell::default(),
            taint: RefCell::default(),
        })
    }

    /// Prepares the device: `kind` is "cpu" or "webgpu", `words` names the adapter.
    pub async fn open(&self, kind: String, words: String) -> Result<(), JsValue> {
        let engine = Engine::open(&kind, words)
            .await
            .map_err(|e| thrown(&e, None))?;
        self.engine.replace(Some(Rc::new(engine)));
        Ok(())
    }

    /// The device in words.
    #[wasm_bindgen(getter)]
    pub fn words(&self) -> String {
        self.engine
            .borrow()
            .as_ref()
            .map(|engine| engine.words.clone())
            .unwrap_or_default()
    }

    /// Resolves with the reason when the device is lost; for a CPU never.
    pub async fn lost(&self) -> String {
        let engine = self.engine.borrow().clone();
        match engine {
            Some(engine) => engine.lost.clone().await,
            None => futures::future::pending().await,
        }
    }

    /// Fetches the pack at `url` over its line into the store, as far as it is not there; gives its bytes. `most` is the
    /// largest buffer that the device takes, in bytes; where the device has no such limit it is left out.
    pub async fn fetch(
        &self,
        url: String,
        line: Line,
        most: Option<f64>,
        signal: AbortSignal,
        tell: Function,
    ) -> Result<f64, JsValue> {
        let pace = Pace::default();
        let tell = |notice: Notice| {
            if let Notice::Progress { loaded, total, .. } = &notice {
                self.local.expect(pace.left(web::now(), *loaded, *total));
            }
            post(&tell, &notice);
        };
        let fits = |manifest: &Manifest| check_fits(manifest, most);
        let got = unless_aborted(&signal, Pack::get(&url, &line, &fits, &tell)).await;
        self.local.expect(None);
        match got {
            Ok(pack) => {
                let bytes = pack.bytes;
                self.pack.replace(Some(Rc::new(pack)));
                // A pack is far below 2^53 bytes.
                #[allow(clippy::cast_precision_loss)]
                Ok(bytes as f64)
            }
            Err(error) => Err(thrown(&error, None)),
        }
    }

    /// Fetches a pack to mix with the one that was fetched before; gives its safetensors.
    pub async fn parent(
        &self,
        url: String,
        line: Line,
        signal: AbortSignal,
        tell: Function,
    ) -> Result<Vec<Uint8Array>, JsValue> {
        let tell = |notice: Notice| post(&tell, &notice);
        let base = self.fetched().map_err(|e| thrown(&e, None))?;
        let shards = async {
            let kin = |manifest: &Manifest| check_kin(&base.manifest, manifest);
            Pack::get(&url, &line, &kin, &tell).await?.shards().await
        };
        let shards = unless_aborted(&signal, shards).await;
        let shards = shards.map_err(|e| thrown(&e, None))?;
        Ok(shards
            .iter()
            .map(|bytes| Uint8Array::from(&**bytes))
            .collect())
    }

    /// Puts other weights into the place of the fetched pack's; what is loaded next is called `name`.
    pub async fn mixed(&self, name: String, shards: Vec<Uint8Array>) -> Result<(), JsValue> {
        let base = self.fetched().map_err(|e| thrown(&e, None))?;
        let shards = shards.iter().map(Uint8Array::to_vec).collect();
        let mixed = base.with_weights(name, shards).await;
        let mixed = mixed.map_err(|e| thrown(&e, None))?;
        self.pack.replace(Some(Rc::new(mixed)));
        Ok(())
    }

    fn fetched(&self) -> Result<Rc<Pack>, Error> {
        let missing = || Error::Internal("nothing was fetched".into());
        self.pack.borrow().clone().ok_or_else(missing)
    }

    /// Loads the fetched pack onto the device and checks its known value. Returns the model's
    /// description as JSON. It answers as soon as it is offered.
    pub async fn load(&self, signal: AbortSignal, tell: Function) -> Result<String, JsValue> {
        let tell = |notice: Notice| post(&tell, &notice);
        let pack = self.pack.take();
        let engine = self.engine.borrow().clone();
        let (Some(pack), Some(engine)) = (pack, engine) else {
            return Err(thrown(
                &Error::Internal("load before open and fetch".into()),
                None,
            ));
        };
        let loading = load(&pack, &engine, &tell);
        let loaded = unless_aborted(&signal, loading)
            .await
            .map_err(|e| thrown(&e, None))?;
        let info = describe(&loaded.model, &pack).await;
        self.local.set(Slot::Staged(Rc::new(loaded)));
        Ok(info)
    }

    /// Lets the loaded model answer, whoever has asked it meanwhile included.
    pub fn offer(&self) {
        self.local.offer();
    }

    /// Fetches the adapter at `url` over its line, unless it is stored: one for the loaded model. `scale` says how much of it
    /// is wanted; of the one that is over the model nothing is fetched again for that.
    pub async fn adapter(
        &self,
        url: String,
        scale: f64,
        line: Line,
        signal: AbortSignal,
        tell: Function,
    ) -> Result<(), JsValue> {
        let tell = |notice: Notice| post(&tell, &notice);
        let fetching = async {
            let loaded = self.local.staged().await?;
            let model = loaded.model.manifest();
            let fits = |own: &Manifest| own.check_base(model).map_err(wrong_base);
            let getting = Pack::get(&url, &line, &fits, &tell);
            let pack = match loaded.over(&url) {
                Some(pack) => pack,
                None => Rc::new(unless_aborted(&signal, getting).await?),
            };
            let adapter = pack.adapter(&tell).await?.scaled(scale);
            let adapter = adapter.map_err(|e| Error::from_model(e, false))?;
            Ok((adapter, Over::new(pack, scale)))
        };
        let over = fetching.await.map_err(|e| thrown(&e, None))?;
        self.over.replace(Some(over));
        Ok(())
    }

    /// Puts the adapter that was fetched over the loaded model, in the place of the one before; where none was, the model is
    /// again as it was loaded. Answers that are being made end first.
    pub async fn adapt(&self) -> Result<(), JsValue> {
        let adapted = self.local.adapt(self.over.take()).await;
        adapted.map_err(|e| thrown(&e, None))
    }

    /// The model cannot be had: what waits for it goes on without, told by this failure's
    /// `{code, message}`.
    pub fn fail(&self, code: &str, message: String) {
        self.local.set(Slot::Failed(Error::earlier(code, message)));
    }

    /// Sends whoever waits for this device's model to another runtime, with code "retired".
    pub fn retire(&self) {
        self.local.set(Slot::Retired);
    }

    /// Stops computing between two tokens, until it is told to go on. What is fetched, and what others compute, goes on.
    pub fn pause(&self, paused: bool) {
        self.local.pause.set(paused);
    }

    /// How many tokens of prompt a conversation is, given as a JSON array of messages.
    pub async fn count(&self, messages: String) -> Result<usize, JsValue> {
        let messages = request::conversation(&messages).map_err(|e| thrown(&e, None))?;
        let count = self.local.count(&messages).await;
        count.map_err(|e| thrown(&e, None))
    }

    /// Answers `{messages, options}`, given as JSON, through events, given as JSON. `line` leads to the cloud; a question
    /// that the page knows to be private has none. `person` asks the person: it takes what would be sent as JSON, and
    /// resolves to a line, or to nothing for a no.
    pub async fn chat(
        &self,
        ask: String,
        line: Option<Line>,
        person: Function,
        signal: AbortSignal,
        emit: Function,
    ) -> Result<(), JsValue> {
        let ask = Ask::from_json(&ask).map_err(|e| thrown(&e, None))?;
        let tally = RefCell::new(Tally::new(web::now()));
        let emit = |event| post(&emit, &event);
        let thread = self.thread(&ask.messages, ask.level, &ask.choice.stop, &emit);
        // The page has laid it before anybody looked at what is in the question.
        let line = line.filter(|_| thread.level() == Level::Open);
        let cloud = self.cloud.clone();
        let cloud = cloud.map(|about| LineCloud::new(about, line, person));
        let turn = Turn {
            policy: Policy::builtin(),
            local: &self.local,
            cloud: cloud.as_ref(),
            now: &web::now,
            emit: &emit,
            tally: &tally,
        };
        let result = unless_aborted(&signal, turn.answer(&ask, &thread)).await;
        let (text, receipt) = tally.borrow_mut().close(web::now());
        let mut texts = spoken(&ask.messages);
        texts.push(&text);
        self.taint.borrow_mut().remember_at(thread.level(), &texts);
        result.map_err(|error| thrown(&error, Some((text, receipt))))
    }

    /// What a conversation, given as `{messages, level}`, is saved with: `[level, tokens, keys and values]`, of which the
    /// last is missing where the model does not remember it.
    pub async fn save(&self, ask: String) -> Result<Array, JsValue> {
        let kept = request::kept(&ask).map_err(|e| thrown(&e, None))?;
        let thread = self.thread(&kept.0, kept.1, &[], &|_| ());
        let saved = self.local.export(&kept.0).await;
        let (tokens, bytes) = match saved.map_err(|e| thrown(&e, None))? {
            Some((tokens, bytes)) => (tokens, Uint8Array::from(&*bytes).into()),
            None => (0, JsValue::UNDEFINED),
        };
        let level = serde_json::to_value(thread.level()).unwrap_or_default();
        let level = JsValue::from_str(level.as_str().unwrap_or("private"));
        Ok(Array::of(&[level, tokens.into(), bytes]))
    }

    /// Takes a saved conversation up again, given as `{messages, level}`, with what `save` gave; returns how many tokens
    /// the model remembers of it now.
    pub async fn restore(&self, ask: String, bytes: Option<Vec<u8>>) -> Result<usize, JsValue> {
        let kept = request::kept(&ask).map_err(|e| thrown(&e, None))?;
        self.thread(&kept.0, kept.1, &[], &|_| ());
        match bytes {
            Some(bytes) => self.local.import(&bytes).await,
            None => Ok(0),
        }
        .map_err(|e| thrown(&e, None))
    }

    /// The conversation, with the highest level that this call, an earlier one or what is in it gives it.
    fn thread(
        &self,
        messages: &[Message],
        level: Level,
        stops: &[String],
        emit: &dyn Fn(Event),
    ) -> Thread<Message> {
        let spoken = spoken(messages);
        let mut thread = Thread::new(messages.to_vec(), level);
        thread.raise(self.taint.borrow().level(&spoken));
        let mut found = BTreeSet::new();
        // The texts that end an answer would be sent as well.
        let stops = stops.iter().map(String::as_str);
        for text in spoken.iter().copied().chain(stops) {
            let findings = detect(text);
            found.extend(findings.kinds());
            thread.raise_for(&findings);
        }
        self.taint.borrow_mut().remember_at(thread.level(), &spoken);
        if thread.level() > level {
            emit(Event::Level {
                level: thread.level(),
                found: found.into_iter().collect(),
            });
        }
        thread
    }
}

/// What was said, without the instructions that every conversation shares.
fn spoken(messages: &[Message]) -> Vec<&str> {
    let spoken = messages
        .iter()
        .filter(|message| message.role != Role::System);
    spoken.map(|message| message.content.as_str()).collect()
}

/// The packs in the store, as a JSON array of `{name, bytes, urls, used}`.
#[wasm_bindgen]
pub async fn stored() -> Result<String, JsValue> {
    // A browser that has no store has no packs in it.
    let list = match disk::open().await {
        Ok(library) => library.list().await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    serde_json::to_string(&list).map_err(|e| thrown(&Error::Internal(e.to_string()), None))
}

/// Removes what was stored from `url`; returns whether there was anything.
#[wasm_bindgen]
pub async fn forget(url: String) -> Result<bool, JsValue> {
    let Ok(library) = disk::open().await else {
        return Ok(false);
    };
    let failed = |e: crate::shelf::Refused| {
        thrown(&Error::Internal(format!("cannot remove {url}: {e}")), None)
    };
    library.forget(&url).await.map_err(failed)
}

/// What it takes to have the pack at `url` on this device, as JSON; nothing but its manifest is fetched.
#[wasm_bindgen]
pub async fn plan(url: String, line: Line) -> Result<String, JsValue> {
    let plan = pack::plan(&url, &line).await;
    let plan = plan.map_err(|e| thrown(&e, None))?;
    serde_json::to_string(&plan).map_err(|e| thrown(&Error::Internal(e.to_string()), None))
}

/// Loads `pack`; if stored bytes turn out to be damaged, fetches those again, once.
async fn load(pack: &Pack, engine: &Rc<Engine>, tell: &dyn Fn(Notice)) -> Result<Loaded, Error> {
    let mut progress = |progress: sprat_model::LoadProgress| {
        let stage = match progress.stage {
            LoadStage::Weights => "load",
            LoadStage::WarmUp => "warmup",
        };
        let (loaded, total) = (progress.done, progress.total);
        tell(Notice::Progress {
            stage,
            loaded,
            total,
            message: engine.words.clone(),
        });
    };
    let mut model = Model::load(pack, &engine.device, &mut progress).await;
    if model.as_ref().is_err_and(is_damage) {
        pack.fetch(tell).await?;
        model = Model::load(pack, &engine.device, &mut progress).await;
    }
    let model = model.map_err(|error| match error {
        sprat_model::Error::Device(reason) if engine.gpu => Error::WebgpuUnavailable(reason),
        error => Error::from_model(error, engine.gpu),
    })?;
    let gate = gate(&pack.manifest, tell);
    Ok(Loaded::new(model, gate, engine.clone(), pack.hold()))
}

/// The pack's gate; without one every answer of the device stands, and with one that cannot be
/// used, or is another model's, none is sure.
fn gate(manifest: &Manifest, tell: &dyn Fn(Notice)) -> Option<Gate> {
    let calibration = manifest.calibration.clone()?;
    let problem = match serde_json::from_value::<Gate>(calibration) {
        Ok(gate) if gate.check_model(&manifest.fingerprint()).is_ok() => return Some(gate),
        Ok(_) => "it was made for another model".to_owned(),
        Err(error) => error.to_string(),
    };
    let message = format!("The model's calibration cannot be used: {problem}.");
    tell(Notice::Warning {
        code: "gate_unreadable",
        message,
    });
    Some(Gate::careful())
}

async fn describe(model: &Model, pack: &Pack) -> String {
    let manifest = model.manifest();
    let info = ModelInfo {
        name: &manifest.name,
        description: &manifest.description,
        license: &manifest.license,
        parameters: manifest.parameters,
        context: model.context(),
        bytes: pack.bytes,
        examples: &manifest.examples,
        stored: pack.is_stored().await,
    };
    serde_json::to_string(&info).unwrap_or_default()
}

/// Hands `value` to JavaScript as JSON text.
fn post(to: &Function, value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        // Our own serve-engine.js is on the other side; if it throws there is nobody to tell.
        let _ = to.call1(&JsValue::NULL, &JsValue::from_str(&text));
    }
}

/// What to throw for `error`, with the text so far and its receipt.
fn thrown(error: &Error, so_far: Option<(String, Option<sprat_wire::Receipt>)>) -> JsValue {
    let mut failure = Failure::from(error);
    if let Some((text, receipt)) = so_far {
        failure.partial = text;
        failure.receipt = receipt;
    }
    serde_json::to_string(&failure)
        .ok()
        .and_then(|json| JSON::parse(&json).ok())
        .unwrap_or_else(|| JsValue::from_str(error.code()))
}

/// `work`, or [`Error::Aborted`] as soon as `signal` says so; `work` is dropped then.
async fn unless_aborted<T>(
    signal: &AbortSignal,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    if signal.aborted() {
        return Err(Error::Aborted);
    }
    let (tell, told) = oneshot::channel();
    let on_abort = Closure::once(move || {
        // `work` may have ended meanwhile.
        let _ = tell.send(());
    });
    signal.set_onabort(Some(on_abort.as_ref().unchecked_ref()));
    let result = match select(Box::pin(work), told).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(Error::Aborted),
    };
    signal.set_onabort(None);
    result
}
