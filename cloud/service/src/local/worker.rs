//! The thread that computes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Once};
use std::time::Instant;

use sprat_model::{Error, KvCache, LoadStage, Model, PASS_TOKENS, Storage};
use tokio::sync::oneshot;

use super::batch::Batch;
use super::binder::{self, Binder};
use super::load::Load;
use super::{Command, Pack, device};
use crate::{CallFormat, Device, EngineError, EngineState, ServiceError};

/// The thread's name.
pub(crate) const THREAD: &str = "sprat-model";

/// What the thread owns.
pub(super) struct Worker {
    models: Vec<Loaded>,
}

/// A model that can answer, and what requests see of it.
pub(super) struct Loaded {
    pack: Pack,
    pub(super) model: Model,
    pub(super) load: Arc<Load>,
    /// Makes the grammars of answers that are bound to one.
    pub(super) binder: Binder,
}

/// Texts of full length at once that there is memory for at most.
const TEXTS: usize = 32;

impl Worker {
    /// Loads the packs, reports how it went, and answers until nobody can ask any more.
    pub(super) fn run(
        packs: Vec<Pack>,
        device: Device,
        cache_bytes: u64,
        commands: Receiver<Command>,
        report: oneshot::Sender<Result<(), ServiceError>>,
    ) {
        keep_payloads_out_of_the_log();
        let loading = catch_unwind(AssertUnwindSafe(|| Self::load(packs, device)));
        let worker = match loading.unwrap_or_else(|_| Err(gone())) {
            Ok(worker) => worker,
            Err(error) => {
                // Nobody waiting is no failure: the server was told to stop meanwhile.
                let _ = report.send(Err(error));
                return;
            }
        };
        let _ = report.send(Ok(()));
        let mut batches: Vec<Batch<'_>> = worker
            .models
            .iter()
            .map(|loaded| Batch::new(loaded, loaded.positions(cache_bytes)))
            .collect();
        loop {
            let idle = batches.iter().all(Batch::is_idle);
            // With nothing to do the thread waits; else it takes what has come, and goes on.
            let first = if idle {
                commands.recv().ok()
            } else {
                commands.try_recv().ok()
            };
            if idle && first.is_none() {
                return;
            }
            let more = std::iter::from_fn(|| commands.try_recv().ok());
            for Command { model, work } in first.into_iter().chain(more) {
                if let Some(batch) = batches.get_mut(model) {
                    batch.take(work);
                }
            }
            for batch in &mut batches {
                if catch_unwind(AssertUnwindSafe(|| batch.step())).is_err() {
                    // Nobody knows whose fault it was, nor what is in the caches.
                    batch.give_up(&EngineError::Generation);
                }
            }
        }
    }

    fn load(packs: Vec<Pack>, device: Device) -> Result<Self, ServiceError> {
        if packs.is_empty() && device == Device::Cpu {
            return Ok(Self { models: vec![] });
        }
        let opened = device::open(device)?;
        let models = packs.into_iter().map(|pack| Loaded::new(pack, &opened));
        Ok(Self {
            models: models.collect::<Result<_, _>>()?,
        })
    }
}

impl Loaded {
    fn new(pack: Pack, opened: &device::Opened) -> Result<Self, ServiceError> {
        let began = Instant::now();
        let mut progress = |progress: sprat_model::LoadProgress| match progress.stage {
            LoadStage::Weights => {
                let (done, total) = (progress.done, progress.total);
                tracing::debug!(pack = %pack.path.display(), done, total, "loading");
            }
            LoadStage::WarmUp => tracing::debug!(pack = %pack.path.display(), "warming up"),
        };
        let opening = Model::open(&pack.path, Storage::F32, &opened.device, &mut progress);
        let model = pollster::block_on(opening).map_err(|error| failed(&pack.path, &error))?;
        pack.update(|info| {
            info.context = Some(model.context());
            info.device = opened.words.clone();
            info.state = EngineState::Ready;
        });
        tracing::info!(
            model = model.manifest().name,
            parameters = model.manifest().parameters,
            context = model.context(),
            device = opened.words,
            ms = began.elapsed().as_millis() as u64,
            "model loaded"
        );
        let load = Arc::clone(&pack.load);
        let template = model.template();
        let calls = template.and_then(|template| CallFormat::of_template(&template.source()));
        // It is set once.
        let _ = pack.calls.set(calls);
        let binder = Binder::start(&model, calls, pack.way_back.clone())?;
        Ok(Self {
            pack,
            model,
            load,
            binder,
        })
    }

    /// Positions that the cache has room for. A model of short texts does not need all the memory that there is.
    fn positions(&self, cache_bytes: u64) -> usize {
        let model = &self.model;
        let one = KvCache::new(model.config(), model.device()).bytes_per_token();
        let most = usize::try_from(cache_bytes).unwrap_or(usize::MAX) / one.max(1);
        most.clamp(PASS_TOKENS, TEXTS * model.context())
    }

    /// After a failure that may not be the request's fault: finds out whether the model still computes.
    pub(super) fn examine(&self) {
        let probe = self
            .model
            .manifest()
            .check
            .as_ref()
            .map_or(vec![0], |check| check.prompt.clone());
        let works = catch_unwind(AssertUnwindSafe(|| {
            pollster::block_on(self.model.make_check(&probe, 1)).is_ok()
        }));
        if !works.unwrap_or(false) {
            let reason = "its device or its weights are damaged".to_owned();
            tracing::error!(model = self.model.manifest().name, reason, "model failed");
            self.pack
                .update(|info| info.state = EngineState::Failed(reason));
        }
    }

    pub(super) fn state(&self) -> EngineState {
        let info = self
            .pack
            .info
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        info.state.clone()
    }
}

fn failed(folder: &std::path::Path, error: &Error) -> ServiceError {
    ServiceError::Model {
        path: folder.to_path_buf(),
        reason: error.to_string(),
    }
}

/// The thread ended without a word.
pub(super) fn gone() -> ServiceError {
    let reason = "the loading thread panicked; please report this".to_owned();
    ServiceError::Model {
        path: PathBuf::from("."),
        reason,
    }
}

/// A panic's message may repeat what was being worked on: slicing a text does. So this thread's
/// panics, and those of threads that make grammars, are logged by their place only; others' are not touched.
fn keep_payloads_out_of_the_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            if ![Some(THREAD), Some(binder::THREAD)].contains(&thread.name()) {
                return others(info);
            }
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, "the model's thread panicked");
        }));
    });
}
