//! Models on this machine: one thread owns the device, the weights and the conversations' caches.
//!
//! Tensors must stay on the thread that made them, so requests reach it through a bounded queue. It writes all answers
//! together, a token each and pass: between passes requests join, and those leave that are complete or that nobody
//! listens to any more.

mod batch;
mod binder;
mod calls;
mod device;
mod job;
mod load;
mod worker;

use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::UNIX_EPOCH;

use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use sprat_model::{MANIFEST, Manifest, open_checkpoint};
use tokio::sync::oneshot;

use crate::{
    CallFormat, Device, Embedded, Engine, EngineError, EngineInfo, EngineLoad, EngineState, Job,
    JobHandle, JobSink, ModelSource, Prompt, ServiceError, channel,
};
use binder::WayBack;
use load::Load;
pub(crate) use worker::THREAD;
use worker::Worker;

/// The models of one device and the thread they live on.
pub(crate) struct Local {
    engines: Vec<Arc<dyn Engine>>,
    loaded: oneshot::Receiver<Result<(), ServiceError>>,
    thread: JoinHandle<()>,
}

/// One model of the thread.
struct LocalEngine {
    index: usize,
    info: SharedInfo,
    load: Arc<Load>,
    calls: SharedCalls,
    queue: Arc<SyncSender<Command>>,
}

/// What requests see of a model, written by its thread.
type SharedInfo = Arc<RwLock<EngineInfo>>;

/// How a model calls tools, from when it is loaded.
type SharedCalls = Arc<OnceLock<Option<CallFormat>>>;

/// Work for the model of that index.
struct Command {
    model: usize,
    work: Work,
}

/// What a model's thread can do, and where the outcome goes.
enum Work {
    Answer(Box<Job>, JobSink),
    /// An answer whose grammar is made.
    Bound(Box<Job>, Box<dyn sprat_model::Constraint>, JobSink),
    Tokenize(Prompt, Reply<Vec<u32>>),
    Detokenize(Vec<u32>, Reply<String>),
    Embed(Prompt, Reply<Embedded>),
}

type Reply<T> = oneshot::Sender<Result<T, EngineError>>;

/// A model that is to be loaded.
struct Pack {
    path: PathBuf,
    info: SharedInfo,
    load: Arc<Load>,
    calls: SharedCalls,
    way_back: WayBack,
}

impl Local {
    /// Reads what the models say of themselves and begins to load their weights on a thread of its
    /// own. Each has `cache_bytes` for keys and values.
    ///
    /// # Errors
    /// [`ServiceError::Model`] if that cannot be read. What is wrong with weights or with
    /// the device, [`Local::loaded`] says.
    pub(crate) fn start(
        models: &[ModelSource],
        device: Device,
        cache_bytes: u64,
        queue: usize,
    ) -> Result<Self, ServiceError> {
        let (sender, commands) = sync_channel(queue.max(1));
        let sender = Arc::new(sender);
        let packs = models.iter().enumerate().map(|(model, source)| {
            let queue = Arc::downgrade(&sender);
            Pack::open(source, device, WayBack { model, queue })
        });
        let packs = packs.collect::<Result<Vec<_>, _>>()?;
        let engines = packs.iter().enumerate().map(|(index, pack)| {
            Arc::new(LocalEngine {
                index,
                info: Arc::clone(&pack.info),
                load: Arc::clone(&pack.load),
                calls: Arc::clone(&pack.calls),
                queue: Arc::clone(&sender),
            }) as Arc<dyn Engine>
        });
        let engines = engines.collect();
        let (report, loaded) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(worker::THREAD.to_owned())
            .stack_size(16 << 20)
            .spawn(move || Worker::run(packs, device, cache_bytes, commands, report))?;
        Ok(Self {
            engines,
            loaded,
            thread,
        })
    }

    /// The models, loaded or not.
    pub(crate) fn engines(&self) -> Vec<Arc<dyn Engine>> {
        self.engines.clone()
    }

    /// Waits until all models are loaded.
    ///
    /// # Errors
    /// The first thing that went wrong; nothing is served by a model that failed.
    pub(crate) async fn loaded(&mut self) -> Result<(), ServiceError> {
        (&mut self.loaded)
            .await
            .unwrap_or_else(|_| Err(worker::gone()))
    }

    /// Waits for the thread to end, which it does when nobody holds an engine any more.
    pub(crate) async fn join(self) {
        let Self {
            engines, thread, ..
        } = self;
        drop(engines);
        // The thread reports its own panics.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

impl Engine for LocalEngine {
    fn info(&self) -> EngineInfo {
        self.info
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn start(&self, job: Job) -> Result<JobHandle, EngineError> {
        let (sink, handle) = channel();
        self.send(Work::Answer(Box::new(job), sink))?;
        Ok(handle)
    }

    fn tokenize(&self, prompt: Prompt) -> BoxFuture<'static, Result<Vec<u32>, EngineError>> {
        self.ask(|reply| Work::Tokenize(prompt, reply))
    }

    fn detokenize(&self, tokens: Vec<u32>) -> BoxFuture<'static, Result<String, EngineError>> {
        self.ask(|reply| Work::Detokenize(tokens, reply))
    }

    fn embed(&self, prompt: Prompt) -> BoxFuture<'static, Result<Embedded, EngineError>> {
        self.ask(|reply| Work::Embed(prompt, reply))
    }

    fn calls(&self) -> Option<CallFormat> {
        self.calls.get().copied().flatten()
    }

    fn load(&self) -> EngineLoad {
        self.load.get()
    }
}

impl LocalEngine {
    fn send(&self, work: Work) -> Result<(), EngineError> {
        match self.info().state {
            EngineState::Ready => {}
            EngineState::Loading => return Err(EngineError::Loading),
            EngineState::Failed(reason) => return Err(EngineError::Failed { reason }),
        }
        let model = self.index;
        match self.queue.try_send(Command { model, work }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(EngineError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(EngineError::Failed {
                reason: "its thread has ended".to_owned(),
            }),
        }
    }

    /// Sends work whose outcome comes at once.
    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> BoxFuture<'static, Result<T, EngineError>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.send(work(reply));
        Box::pin(async move {
            sent?;
            answer.await.unwrap_or(Err(EngineError::Generation))
        })
    }
}

impl Pack {
    fn open(source: &ModelSource, device: Device, way_back: WayBack) -> Result<Self, ServiceError> {
        let failed = |reason: String| ServiceError::Model {
            path: source.path.clone(),
            reason,
        };
        let manifest = source.path.join(MANIFEST);
        let (name, fingerprint, dated) = if manifest.exists() {
            let bytes = std::fs::read(&manifest)
                .map_err(|error| failed(format!("{MANIFEST} cannot be read: {error}")))?;
            let read = Manifest::from_json(&bytes).map_err(|error| failed(error.to_string()))?;
            (read.name, Some(fingerprint(&bytes)), &manifest)
        } else {
            // Nothing there holds the hash of the weights.
            let opened =
                open_checkpoint(&source.path).map_err(|error| failed(error.to_string()))?;
            (opened.name(), None, &source.path)
        };
        let modified = std::fs::metadata(dated)
            .and_then(|file| file.modified())
            .ok();
        let created = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let info = EngineInfo {
            id: source.id.clone().unwrap_or(name),
            device: device.to_string(),
            context: None,
            created: created.unwrap_or_default().as_secs(),
            fingerprint,
            state: EngineState::Loading,
        };
        Ok(Self {
            path: source.path.clone(),
            info: Arc::new(RwLock::new(info)),
            load: Arc::default(),
            calls: Arc::default(),
            way_back,
        })
    }

    fn update(&self, change: impl FnOnce(&mut EngineInfo)) {
        change(&mut self.info.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Names the weights: the manifest holds the hashes of all files.
fn fingerprint(manifest: &[u8]) -> String {
    let hash = Sha256::digest(manifest);
    let hex: String = hash
        .iter()
        .take(5)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("fp_{hex}")
}
