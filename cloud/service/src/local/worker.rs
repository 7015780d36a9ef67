//! The thread that computes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Once;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use sprat_model::{Error, LoadStage, Model, Options, Storage};
use tokio::sync::oneshot;

use super::slots::Slots;
use super::{Command, Pack, device};
use crate::{
    Alternative, Device, EngineError, EngineState, Event, Finish, Job, JobSink, Sampling,
    ServiceError, Token,
};

/// The thread's name.
pub(super) const THREAD: &str = "sprat-model";

/// What the thread owns.
pub(super) struct Worker {
    models: Vec<Loaded>,
}

struct Loaded {
    pack: Pack,
    model: Model,
    slots: Slots,
}

impl Worker {
    /// Loads the packs, reports how it went, and answers until nobody can ask any more.
    pub(super) fn run(
        packs: Vec<Pack>,
        device: Device,
        commands: Receiver<Command>,
        report: oneshot::Sender<Result<(), ServiceError>>,
    ) {
        keep_payloads_out_of_the_log();
        let loading = catch_unwind(AssertUnwindSafe(|| Self::load(packs, device)));
        let mut worker = match loading.unwrap_or_else(|_| Err(gone())) {
            Ok(worker) => worker,
            Err(error) => {
                // Nobody waiting is no failure: the server was told to stop meanwhile.
                let _ = report.send(Err(error));
                return;
            }
        };
        let _ = report.send(Ok(()));
        while let Ok(Command { model, job, sink }) = commands.recv() {
            if let Some(loaded) = worker.models.get_mut(model) {
                loaded.answer(&job, sink);
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
        Ok(Self {
            pack,
            model,
            slots: Slots::default(),
        })
    }

    /// Answers one job; whatever happens, the job's other end is told.
    fn answer(&mut self, job: &Job, sink: JobSink) {
        if let EngineState::Failed(reason) = self.state() {
            return sink.fail(EngineError::Failed { reason });
        }
        if sink.is_closed() {
            return;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            pollster::block_on(generate(&self.model, &mut self.slots, job, &sink))
        }));
        let error = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => EngineError::Generation,
        };
        // The model is asked before the client is told, so that the next request is not taken
        // by a model that is known to be broken.
        if matches!(error, EngineError::Generation | EngineError::NotANumber) {
            self.examine();
        }
        sink.fail(error);
    }

    /// After a failure that may not be the request's fault: forgets all caches and finds out
    /// whether the model still computes.
    fn examine(&mut self) {
        self.slots.clear();
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

    fn state(&self) -> EngineState {
        let info = self
            .pack
            .info
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        info.state.clone()
    }
}

/// Writes the answer to `job` into `sink`, until it is complete or nobody listens.
async fn generate(
    model: &Model,
    slots: &mut Slots,
    job: &Job,
    sink: &JobSink,
) -> Result<(), EngineError> {
    let messages: Vec<_> = job
        .messages
        .iter()
        .map(|message| sprat_model::Message {
            role: message.role.as_str().to_owned(),
            content: message.content.clone(),
        })
        .collect();
    let prompt = model.prompt(&messages).map_err(|error| explain(&error))?;
    let (prompt_len, context) = (prompt.len(), model.context());
    if prompt_len >= context {
        return Err(EngineError::PromptTooLong {
            prompt: prompt_len,
            context,
        });
    }
    let slot = slots.pick(model, &prompt);
    let (session, conversation) = slot.parts();
    let mut generation = session
        .generate(model, &prompt, options(job))
        .map_err(|error| explain(&error))?;
    let cached_tokens = generation.cached_tokens();
    sink.send(Event::Started {
        prompt_tokens: prompt_len,
        cached_tokens,
    });
    while !sink.is_closed() {
        let Some(token) = generation.next().await else {
            let finish = match generation.finish() {
                Some(sprat_model::Finish::Stop) => Finish::Stop,
                Some(sprat_model::Finish::Length) => Finish::Length,
                None => return Err(EngineError::Generation),
            };
            sink.send(Event::Finished(finish));
            return Ok(());
        };
        let token = token.map_err(|error| explain(&error))?;
        if token.logprob.is_nan() {
            return Err(EngineError::NotANumber);
        }
        conversation.push(token.id);
        let top = token
            .top
            .into_iter()
            .map(|(_, text, logprob)| Alternative { text, logprob });
        let (text, logprob, end) = (token.text, token.logprob, token.end);
        sink.send(Event::Token(Token {
            text,
            logprob,
            end,
            top: top.collect(),
        }));
    }
    Ok(())
}

/// What the request leaves open, the model crate's defaults decide.
fn options(job: &Job) -> Options {
    let default = sprat_model::Sampling::default();
    let Sampling {
        temperature,
        top_k,
        top_p,
        min_p,
        repetition_penalty,
        seed,
    } = job.sampling;
    Options {
        sampling: sprat_model::Sampling {
            temperature: temperature.unwrap_or(default.temperature),
            top_k: top_k.unwrap_or(default.top_k),
            top_p: top_p.unwrap_or(default.top_p),
            min_p: min_p.unwrap_or(default.min_p),
            repetition_penalty: repetition_penalty.unwrap_or(default.repetition_penalty),
            seed: seed.unwrap_or(default.seed),
        },
        // The model stops at the end of its context by itself.
        max_tokens: job.max_tokens.unwrap_or(usize::MAX),
        stop: job.stop.clone(),
        top_logprobs: job.top_logprobs,
        ..Options::default()
    }
}

/// The model crate's error in the API's words. Its own texts are for people at the machine: a
/// template's, for one, may repeat what was written, so they are neither sent nor logged.
fn explain(error: &Error) -> EngineError {
    match error {
        Error::ContextTooLong { prompt, context } => EngineError::PromptTooLong {
            prompt: *prompt,
            context: *context,
        },
        Error::Template(_) | Error::Prompt(_) => EngineError::PromptRefused,
        Error::LogitsNotFinite { .. } => EngineError::NotANumber,
        _ => EngineError::Generation,
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
/// panics are logged by their place only; other threads' are not touched.
fn keep_payloads_out_of_the_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() != Some(THREAD) {
                return others(info);
            }
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, "the model's thread panicked");
        }));
    });
}
