//! Models on this machine: one thread owns the device, the weights and the conversations' caches.
//!
//! Tensors must stay on the thread that made them, so requests reach it through a bounded queue. It writes all answers
//! together, a token each and pass: between passes requests join, and those leave that are complete or that nobody
//! listens to any more. Models come and go between passes too: when they are asked, when others need their memory, when
//! nobody asks for long, and when the operator says so.

mod batch;
mod binder;
mod calls;
mod device;
mod figures;
mod job;
mod judge;
mod loaded;
mod loading;
mod memory;
mod pack;
mod slot;
mod worker;

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::{
    CallFormat, Device, Embedded, Engine, EngineError, EngineInfo, EngineLoad, EngineState, Job,
    JobHandle, JobSink, ModelSource, Prompt, ServiceError, Weights, channel,
};
use binder::WayBack;
use pack::{Pack, Shared};
pub(crate) use worker::THREAD;
use worker::Worker;

/// The models of one device and the thread they live on.
pub(crate) struct Local {
    engines: Vec<Arc<dyn Engine>>,
    loaded: oneshot::Receiver<Result<(), ServiceError>>,
    thread: JoinHandle<()>,
}

/// What the operator has chosen of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalOptions {
    pub(crate) device: Device,
    /// For keys and values, of each model.
    pub(crate) cache_bytes: u64,
    /// For all weights and caches together, if that is bounded.
    pub(crate) memory_bytes: Option<u64>,
    /// How long a model stays that nobody asks; for ever without.
    pub(crate) idle: Option<Duration>,
    /// Requests that wait for the thread.
    pub(crate) queue: usize,
}

/// One model of the thread.
struct LocalEngine {
    index: usize,
    shared: Arc<Shared>,
    queue: Arc<SyncSender<Command>>,
}

/// What the thread is told about the model of that index.
enum Command {
    Do(usize, Work),
    Unload(usize, Reply<()>),
}

/// What a model can do, and where the outcome goes.
enum Work {
    Answer(Box<Job>, JobSink),
    /// An answer whose grammar is made.
    Bound(Box<Job>, Box<dyn sprat_model::Constraint>, JobSink),
    Tokenize(Prompt, Reply<Vec<u32>>),
    Detokenize(Vec<u32>, Reply<String>),
    Embed(Prompt, Reply<Embedded>),
    /// Nothing: be in memory.
    Load(Reply<()>),
}

type Reply<T> = oneshot::Sender<Result<T, EngineError>>;

impl Work {
    /// Whether nobody waits for the outcome any more.
    fn is_closed(&self) -> bool {
        match self {
            Self::Answer(_, sink) | Self::Bound(_, _, sink) => sink.is_closed(),
            Self::Tokenize(_, reply) => reply.is_closed(),
            Self::Detokenize(_, reply) => reply.is_closed(),
            Self::Embed(_, reply) => reply.is_closed(),
            Self::Load(reply) => reply.is_closed(),
        }
    }

    /// Tells whoever waits that nothing comes of it.
    fn fail(self, error: EngineError) {
        // Nobody waiting is no failure: the client went away.
        match self {
            Self::Answer(_, sink) | Self::Bound(_, _, sink) => sink.fail(error),
            Self::Tokenize(_, reply) => drop(reply.send(Err(error))),
            Self::Detokenize(_, reply) => drop(reply.send(Err(error))),
            Self::Embed(_, reply) => drop(reply.send(Err(error))),
            Self::Load(reply) => drop(reply.send(Err(error))),
        }
    }
}

impl Local {
    /// Reads what the models say of themselves and begins to load their weights on a thread of its own: of all, or, where
    /// memory is bounded, of the first ones as far as they fit.
    ///
    /// # Errors
    /// [`ServiceError::Model`] if that cannot be read, [`ServiceError::TooLarge`] for a model that never fits. What is
    /// wrong with weights or with the device, [`Local::loaded`] says.
    pub(crate) fn start(
        models: &[ModelSource],
        options: LocalOptions,
    ) -> Result<Self, ServiceError> {
        let LocalOptions {
            device,
            cache_bytes,
            ..
        } = options;
        let (sender, commands) = sync_channel(options.queue.max(1));
        let sender = Arc::new(sender);
        let packs = models.iter().enumerate().map(|(model, source)| {
            let queue = Arc::downgrade(&sender);
            Pack::open(source, device, cache_bytes, WayBack { model, queue })
        });
        let packs = packs.collect::<Result<Vec<_>, _>>()?;
        if let Some(budget) = options.memory_bytes
            && let Some(pack) = packs.iter().find(|pack| pack.bytes > budget)
        {
            return Err(ServiceError::TooLarge {
                id: pack.shared.info().id,
                bytes: pack.bytes,
                budget,
            });
        }
        let engines = packs.iter().enumerate().map(|(index, pack)| {
            Arc::new(LocalEngine {
                index,
                shared: Arc::clone(&pack.shared),
                queue: Arc::clone(&sender),
            }) as Arc<dyn Engine>
        });
        let engines = engines.collect();
        let (report, loaded) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(worker::THREAD.to_owned())
            .stack_size(16 << 20)
            .spawn(move || Worker::run(packs, options, &commands, report))?;
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

    /// Waits until all models are loaded that are to be from the start.
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
        self.shared.info()
    }

    fn start(&self, job: Job) -> Result<JobHandle, EngineError> {
        let (sink, handle) = channel();
        self.give(Work::Answer(Box::new(job), sink))?;
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
        self.shared.calls()
    }

    fn judges(&self) -> bool {
        self.shared.judges()
    }

    fn load(&self) -> EngineLoad {
        self.shared.figures.get()
    }

    fn weights(&self) -> Option<Weights> {
        Some(self.shared.weights())
    }

    fn load_weights(&self) -> BoxFuture<'static, Result<(), EngineError>> {
        let (reply, answer) = oneshot::channel();
        // While the server starts, the model's turn comes.
        let sent = match self.info().state {
            EngineState::Failed(reason) => Err(EngineError::Failed { reason }),
            _ => self.send(Command::Do(self.index, Work::Load(reply))),
        };
        outcome(sent, answer)
    }

    fn unload_weights(&self) -> BoxFuture<'static, Result<(), EngineError>> {
        let (reply, answer) = oneshot::channel();
        outcome(self.send(Command::Unload(self.index, reply)), answer)
    }
}

impl LocalEngine {
    /// Gives the model something to do, if it can.
    fn give(&self, work: Work) -> Result<(), EngineError> {
        match self.info().state {
            EngineState::Ready => self.send(Command::Do(self.index, work)),
            EngineState::Loading => Err(EngineError::Loading),
            EngineState::Failed(reason) => Err(EngineError::Failed { reason }),
        }
    }

    fn send(&self, command: Command) -> Result<(), EngineError> {
        match self.queue.try_send(command) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(EngineError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(EngineError::Failed {
                reason: "its thread has ended".to_owned(),
            }),
        }
    }

    /// Gives it work whose outcome comes at once.
    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> BoxFuture<'static, Result<T, EngineError>> {
        let (reply, answer) = oneshot::channel();
        outcome(self.give(work(reply)), answer)
    }
}

/// What comes back, if it was sent.
fn outcome<T: Send + 'static>(
    sent: Result<(), EngineError>,
    answer: oneshot::Receiver<Result<T, EngineError>>,
) -> BoxFuture<'static, Result<T, EngineError>> {
    Box::pin(async move {
        sent?;
        answer.await.unwrap_or(Err(EngineError::Generation))
    })
}
