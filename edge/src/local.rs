//! The model on this device, as `chat` sees it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures::channel::{mpsc, oneshot};
use futures::future::{Either, select};
use futures::lock::Mutex;
use futures::{SinkExt, StreamExt};
use gloo_timers::future::TimeoutFuture;
use sprat_model::{Adapter, Finish, Model, Sessions};
use sprat_route::gate::Gate;
use sprat_route::policy::ModelState;
use sprat_route::signals::TokenSignal;
use sprat_wire::{FinishReason, Message};
use wasm_bindgen_futures::spawn_local;

use crate::chat::{Local, Run, Step};
use crate::device::Engine;
use crate::disk::Hold;
use crate::error::Error;
use crate::net::within;
use crate::pack::Pack;
use crate::pause::Pause;
use crate::request::Choice;
use crate::web;

/// How long a question that the cloud may answer waits for a model that is still being fetched.
const PATIENCE_MS: u32 = 4_000;
/// Tokens that must be free behind a prompt, or it counts as too long.
const ROOM_FOR_ANSWER: usize = 16;
/// How long the worker may compute before it looks at its messages, in milliseconds.
const BREATH_MS: f64 = 16.0;
/// How long it takes to look again whether an answer has ended, in milliseconds.
const SHORTLY_MS: u32 = 5;

/// Bytes of the largest conversation whose keys and values are saved with its text.
const MOST_SAVED: usize = 128 << 20;

/// A loaded model and the conversations it last had.
pub(crate) struct Loaded {
    pub(crate) model: Model,
    pub(crate) gate: Option<Gate>,
    pub(crate) engine: Rc<Engine>,
    /// Locked while an answer is made: questions to the model queue here.
    sessions: Mutex<Sessions>,
    /// Keeps its pack stored, for the next visit and for another device.
    _hold: Option<Rc<Hold>>,
    over: Option<Over>,
}

/// The adapter that is over a model.
pub(crate) struct Over {
    /// With the scale, where that is another than the adapter's own.
    name: String,
    /// It is read again when the scale changes, and is kept stored meanwhile.
    pack: Rc<Pack>,
}

impl Over {
    pub(crate) fn new(pack: Rc<Pack>, scale: f64) -> Self {
        let name = &pack.manifest.name;
        let name = match scale {
            1.0 => name.clone(),
            _ => format!("{name} × {scale}"),
        };
        Self { name, pack }
    }
}

/// An adapter was made for another model.
pub(crate) fn wrong_base(error: sprat_model::Error) -> Error {
    Error::WrongBase(error.to_string())
}

impl Loaded {
    pub(crate) fn new(
        model: Model,
        gate: Option<Gate>,
        engine: Rc<Engine>,
        hold: Option<Rc<Hold>>,
    ) -> Self {
        Self {
            model,
            gate,
            engine,
            sessions: Mutex::default(),
            _hold: hold,
            over: None,
        }
    }
}

impl Loaded {
    /// The pack of the adapter that is over the model, if it is the one at `url`.
    pub(crate) fn over(&self, url: &str) -> Option<Rc<Pack>> {
        let over = self.over.as_ref()?;
        (over.pack.url == url).then(|| over.pack.clone())
    }

    fn prompt(&self, messages: &[Message]) -> Result<Vec<u32>, Error> {
        let messages: Vec<_> = messages
            .iter()
            .map(|message| sprat_model::Message {
                role: message.role.as_str().to_owned(),
                content: message.content.clone(),
            })
            .collect();
        let tokens = self.model.prompt(&messages);
        tokens.map_err(|e| Error::from_model(e, self.engine.gpu))
    }

    /// How many tokens of a conversation are remembered, and their keys and values.
    async fn export(&self, messages: &[Message]) -> Option<(usize, Vec<u8>)> {
        let prompt = self.prompt(messages).ok()?;
        let mut sessions = self.sessions.lock().await;
        let saved = sessions.export(&self.model, &prompt, MOST_SAVED).await;
        // A device that failed does not take the text with it.
        saved.ok().flatten()
    }
}

/// How far the model is.
#[derive(Clone, Default)]
pub(crate) enum Slot {
    #[default]
    Loading,
    /// It is loaded, and answers as soon as what is to be over it is.
    Staged(Rc<Loaded>),
    Ready(Rc<Loaded>),
    Failed(Error),
    /// Another engine takes over; whoever waits asks that one.
    Retired,
}

/// The model of this device, present or on its way.
#[derive(Default)]
pub(crate) struct LocalModel {
    slot: RefCell<Slot>,
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
    /// Milliseconds until its files are here; `None` where nothing is fetched, or nobody can tell.
    coming: Cell<Option<f64>>,
    pub(crate) pause: Rc<Pause>,
}

impl LocalModel {
    /// Changes the state and wakes whoever waits for that.
    pub(crate) fn set(&self, slot: Slot) {
        let old = self.slot.replace(slot);
        for waiter in self.waiting.take() {
            // It may have been dropped meanwhile.
            let _ = waiter.send(());
        }
        // Last, because a model takes leave of its threads.
        drop(old);
    }

    /// Lets a staged model answer.
    pub(crate) fn offer(&self) {
        if let Slot::Staged(loaded) = self.get() {
            self.set(Slot::Ready(loaded));
        }
    }

    /// How many tokens of prompt a conversation is.
    ///
    /// # Errors
    /// [`Error::Retired`] when another engine takes over, the model's failure when there is none.
    pub(crate) async fn count(&self, messages: &[Message]) -> Result<usize, Error> {
        Ok(self.present().await?.prompt(messages)?.len())
    }

    /// The model, once it is loaded.
    ///
    /// # Errors
    /// As [`LocalModel::count`].
    pub(crate) async fn present(&self) -> Result<Rc<Loaded>, Error> {
        match self.loaded().await {
            Slot::Ready(loaded) => Ok(loaded),
            Slot::Failed(error) => Err(error),
            Slot::Loading | Slot::Staged(_) | Slot::Retired => Err(Error::Retired),
        }
    }

    /// The model as soon as it is loaded, whether or not it may answer.
    ///
    /// # Errors
    /// As [`LocalModel::count`].
    pub(crate) async fn staged(&self) -> Result<Rc<Loaded>, Error> {
        loop {
            match self.get() {
                Slot::Staged(loaded) | Slot::Ready(loaded) => return Ok(loaded),
                Slot::Failed(error) => return Err(error),
                Slot::Retired => return Err(Error::Retired),
                Slot::Loading => self.changed().await,
            }
        }
    }

    /// How many milliseconds the download will go on, if that is known.
    pub(crate) fn expect(&self, left: Option<f64>) {
        self.coming.set(left);
    }

    /// How many tokens of a conversation the model remembers, and their keys and values; nothing if it has failed.
    ///
    /// # Errors
    /// [`Error::Retired`] when another engine takes over.
    pub(crate) async fn export(
        &self,
        messages: &[Message],
    ) -> Result<Option<(usize, Vec<u8>)>, Error> {
        match self.loaded().await {
            Slot::Ready(loaded) => Ok(loaded.export(messages).await),
            Slot::Failed(_) => Ok(None),
            Slot::Loading | Slot::Staged(_) | Slot::Retired => Err(Error::Retired),
        }
    }

    /// Remembers what [`LocalModel::export`] gave, if this is the same model; returns how many tokens that is.
    ///
    /// # Errors
    /// [`Error::SavedCorrupt`], and [`Error::Retired`] when another engine takes over.
    pub(crate) async fn import(&self, bytes: &[u8]) -> Result<usize, Error> {
        let loaded = match self.loaded().await {
            Slot::Ready(loaded) => loaded,
            Slot::Failed(_) => return Ok(0),
            Slot::Loading | Slot::Staged(_) | Slot::Retired => return Err(Error::Retired),
        };
        let mut sessions = loaded.sessions.lock().await;
        match sessions.import(&loaded.model, bytes) {
            Ok(tokens) => Ok(tokens),
            Err(sprat_model::Error::CacheDamaged(reason)) => Err(Error::SavedCorrupt(reason)),
            // Another model's: its text is read again.
            Err(_) => Ok(0),
        }
    }

    /// Puts an adapter over the model, in the place of the one before, or takes it off. Answers that are being made end
    /// first, and questions wait for it.
    ///
    /// # Errors
    /// [`Error::WrongBase`], with which nothing has changed, and as [`LocalModel::count`].
    pub(crate) async fn adapt(&self, over: Option<(Adapter, Over)>) -> Result<(), Error> {
        let mut loaded = self.staged().await?;
        let is_staged = matches!(self.get(), Slot::Staged(_));
        self.set(Slot::Loading);
        let own = loop {
            match Rc::get_mut(&mut loaded) {
                Some(own) => break own,
                None => TimeoutFuture::new(SHORTLY_MS).await,
            }
        };
        let (adapter, over) = over.unzip();
        let adapted = own.model.set_adapter(adapter.as_ref());
        if adapted.is_ok() {
            own.over = over;
        }
        if !matches!(self.get(), Slot::Loading) {
            return Err(Error::Retired);
        }
        self.set(match is_staged {
            true => Slot::Staged(loaded),
            false => Slot::Ready(loaded),
        });
        adapted.map_err(wrong_base)
    }

    fn get(&self) -> Slot {
        self.slot.borrow().clone()
    }

    fn ready(&self) -> Option<Rc<Loaded>> {
        match self.get() {
            Slot::Ready(loaded) => Some(loaded),
            _ => None,
        }
    }

    async fn loaded(&self) -> Slot {
        loop {
            match self.get() {
                Slot::Loading | Slot::Staged(_) => self.changed().await,
                slot => return slot,
            }
        }
    }

    async fn changed(&self) {
        let (sender, changed) = oneshot::channel();
        self.waiting.borrow_mut().push(sender);
        // A dropped sender means that everything is going down; whoever waits looks once more.
        let _ = changed.await;
    }
}

impl Local for LocalModel {
    type Run = Answer;

    async fn settled(&self, briefly: bool) -> Result<ModelState, Error> {
        // There is no use in waiting for what will not come in time.
        let late = |left: f64| left > f64::from(PATIENCE_MS);
        let slot = if briefly && self.coming.get().is_some_and(late) {
            self.get()
        } else if briefly {
            within(PATIENCE_MS, self.loaded())
                .await
                .unwrap_or(Slot::Loading)
        } else {
            self.loaded().await
        };
        match slot {
            Slot::Ready(_) => Ok(ModelState::Ready),
            Slot::Loading | Slot::Staged(_) => Ok(ModelState::Missing),
            Slot::Failed(error) if error.code() == "model_missing" => Ok(ModelState::Missing),
            Slot::Failed(_) => Ok(ModelState::Failed),
            Slot::Retired => Err(Error::Retired),
        }
    }

    fn failure(&self) -> Option<Error> {
        match self.get() {
            Slot::Failed(error) => Some(error),
            _ => None,
        }
    }

    fn names(&self) -> (String, String) {
        self.ready().map_or_else(Default::default, |loaded| {
            let mut name = loaded.model.manifest().name.clone();
            if let Some(over) = &loaded.over {
                name.push_str(" + ");
                name.push_str(&over.name);
            }
            (name, loaded.engine.words.clone())
        })
    }

    fn text_id(&self) -> Option<String> {
        Some(self.ready()?.model.manifest().text_id())
    }

    fn gate(&self) -> Option<Gate> {
        let loaded = self.ready()?;
        // It was fitted for the model without an adapter.
        loaded.gate.clone().filter(|_| loaded.over.is_none())
    }

    fn prompt(&self, messages: &[Message]) -> Result<Vec<u32>, Error> {
        let loaded = self.ready().ok_or(Error::Retired)?;
        let tokens = loaded.prompt(messages)?;
        let (prompt, context) = (tokens.len(), loaded.model.context());
        if prompt + ROOM_FOR_ANSWER > context {
            return Err(Error::ContextTooLong { prompt, context });
        }
        Ok(tokens)
    }

    fn run(&self, prompt: Vec<u32>, choice: &Choice) -> Answer {
        // No room in the channel: the model is one token ahead of its reader at most, and stops
        // at the next token when the reader is gone.
        let (mut sender, steps) = mpsc::channel(0);
        let finish = Rc::new(Cell::new(None));
        if let Some(loaded) = self.ready() {
            // A seed only has to differ from question to question.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let options = choice.for_device((js_sys::Math::random() * 2f64.powi(53)) as u64);
            let pause = self.pause.clone();
            let work = generate(loaded, prompt, options, pause, sender, finish.clone());
            spawn_local(work);
        } else {
            // Since the prompt was made another engine has taken over, or an adapter is being put over the model.
            let _ = sender.try_send(Err(Error::Retired));
        }
        Answer { steps, finish }
    }
}

/// An answer that is being made in the background. Dropping it ends that.
pub(crate) struct Answer {
    steps: mpsc::Receiver<Result<Step, Error>>,
    /// Why it ended; told behind its last step.
    finish: Rc<Cell<Option<Finish>>>,
}

impl Run for Answer {
    async fn next(&mut self) -> Option<Result<Step, Error>> {
        self.steps.next().await
    }

    fn finish(&self) -> Option<FinishReason> {
        self.finish.get().map(|finish| match finish {
            Finish::Stop => FinishReason::Stop,
            Finish::Length => FinishReason::Length,
        })
    }
}

type Steps = mpsc::Sender<Result<Step, Error>>;

/// Sends the model's tokens until the answer ends, the reader is gone or the device is lost.
async fn generate(
    loaded: Rc<Loaded>,
    prompt: Vec<u32>,
    options: sprat_model::Options,
    pause: Rc<Pause>,
    mut steps: Steps,
    finish: Rc<Cell<Option<Finish>>>,
) {
    let lost = loaded.engine.lost.clone();
    let work = Box::pin(tokens(
        &loaded,
        &prompt,
        options,
        &pause,
        steps.clone(),
        &finish,
    ));
    let error = match select(work, lost).await {
        Either::Left((Ok(()), _)) => return,
        Either::Left((Err(error), _)) => error,
        Either::Right((reason, _)) => Error::WebgpuLost(reason),
    };
    if let Error::WebgpuLost(reason) = &error {
        // A failure often shows here before the browser says anything.
        loaded.engine.report_lost(reason.clone());
    }
    // Nobody may be listening any more.
    let _ = steps.send(Err(error)).await;
}

async fn tokens(
    loaded: &Loaded,
    prompt: &[u32],
    options: sprat_model::Options,
    pause: &Pause,
    mut steps: Steps,
    finish: &Cell<Option<Finish>>,
) -> Result<(), Error> {
    let told = |error| Error::from_model(error, loaded.engine.gpu);
    let mut sessions = loaded.sessions.lock().await;
    if steps.is_closed() {
        return Ok(());
    }
    let mut generation = sessions
        .pick(&loaded.model, prompt)
        .generate(&loaded.model, prompt, options)
        .map_err(told)?;
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let prompt = (
        count(generation.prompt_tokens()),
        count(generation.cached_tokens()),
    );
    let mut breath = web::now();
    while let Some(token) = generation.next().await {
        let token = token.map_err(|error| match error {
            // The warm-up went well, so this is a device that broke since.
            sprat_model::Error::LogitsNotFinite { .. } if loaded.engine.gpu => {
                Error::WebgpuLost(error.to_string())
            }
            error => told(error),
        })?;
        let (logprob, margin, entropy) = (token.logprob, token.margin, token.entropy);
        let signal = TokenSignal {
            logprob,
            margin,
            entropy,
        };
        if steps
            .send(Ok(Step {
                id: token.id,
                text: token.text,
                signal,
                prompt,
            }))
            .await
            .is_err()
        {
            return Ok(());
        }
        pause.over().await;
        if web::now() - breath > BREATH_MS {
            web::breathe().await;
            breath = web::now();
        }
    }
    finish.set(generation.finish());
    Ok(())
}
