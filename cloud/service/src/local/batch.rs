//! The answers of one model that are being written: requests join and leave between any two steps.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pollster::block_on;
use sprat_model::{Error, Generation, Model, Options, step_together};

use super::slots::{Conversation, Slots};
use super::worker::Loaded;
use crate::{Alternative, EngineError, EngineState, Event, Finish, Job, JobSink, Sampling, Token};

/// Answers that are written at once; more wait. Each has a cache of its own.
const MOST: usize = 32;

/// One model's answers.
pub(super) struct Batch<'a> {
    loaded: &'a Loaded,
    slots: Slots,
    running: Vec<Answer<'a>>,
    /// In the order in which they came.
    waiting: VecDeque<(Job, JobSink)>,
}

/// An answer in the making.
struct Answer<'a> {
    generation: Generation<'a>,
    conversation: Conversation,
    sink: JobSink,
}

impl<'a> Batch<'a> {
    pub(super) fn new(loaded: &'a Loaded) -> Self {
        Self {
            loaded,
            slots: Slots::default(),
            running: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Whether there is nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Takes a job in.
    pub(super) fn queue(&mut self, job: Job, sink: JobSink) {
        self.waiting.push_back((job, sink));
    }

    /// A token for each answer, or a piece of its prompt. Who has left makes room first.
    pub(super) fn step(&mut self) {
        let (here, left) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|answer| !answer.sink.is_closed());
        self.running = here;
        let left: Vec<Answer<'a>> = left;
        left.into_iter().for_each(|answer| self.keep(answer));
        while self.running.len() < MOST
            && let Some((job, sink)) = self.waiting.pop_front()
        {
            self.begin(&job, sink);
        }
        if self.running.is_empty() {
            return;
        }
        let (model, running) = (&self.loaded.model, &mut self.running);
        match catch_unwind(AssertUnwindSafe(|| pass(model, running))) {
            Ok(tokens) => self.hand_out(tokens),
            // Nobody knows whose fault it was, nor what is in the caches.
            Err(_) => self.give_up(EngineError::Generation),
        }
    }

    /// Begins an answer; whatever happens, the job's other end is told.
    fn begin(&mut self, job: &Job, sink: JobSink) {
        if let EngineState::Failed(reason) = self.loaded.state() {
            return sink.fail(EngineError::Failed { reason });
        }
        if sink.is_closed() {
            return;
        }
        let model = &self.loaded.model;
        let slots = &mut self.slots;
        match catch_unwind(AssertUnwindSafe(|| start(model, slots, job))) {
            Ok(Ok((generation, conversation))) => {
                sink.send(Event::Started {
                    prompt_tokens: generation.prompt_tokens(),
                    cached_tokens: generation.cached_tokens(),
                });
                self.running.push(Answer {
                    generation,
                    conversation,
                    sink,
                });
            }
            Ok(Err(error)) => sink.fail(error),
            Err(_) => sink.fail(EngineError::Generation),
        }
    }

    /// Tells each answer's reader what came of the pass, and ends those that are complete.
    fn hand_out(&mut self, tokens: Vec<Option<Result<sprat_model::Token, Error>>>) {
        let mut broken = false;
        let running = std::mem::take(&mut self.running);
        for (mut answer, token) in running.into_iter().zip(tokens) {
            match token.map(checked) {
                Some(Err(error)) => {
                    if matches!(error, EngineError::Generation | EngineError::NotANumber) {
                        broken = true;
                        // The model is asked before the client is told, so that the next request is not taken by a
                        // model that is known to be broken.
                        self.loaded.examine();
                    }
                    answer.sink.fail(error);
                    continue;
                }
                Some(Ok(token)) => answer.tell(token),
                None => {}
            }
            match answer.generation.finish() {
                None => self.running.push(answer),
                Some(finish) => {
                    let finish = match finish {
                        sprat_model::Finish::Stop => Finish::Stop,
                        sprat_model::Finish::Length => Finish::Length,
                    };
                    answer.sink.send(Event::Finished(finish));
                    self.keep(answer);
                }
            }
        }
        if broken {
            self.slots.clear();
        }
    }

    /// Ends all answers with an error.
    fn give_up(&mut self, error: EngineError) {
        self.slots.clear();
        self.loaded.examine();
        for answer in self.running.drain(..) {
            answer.sink.fail(error.clone());
        }
    }

    /// Keeps a conversation's cache for its next turn.
    fn keep(&mut self, answer: Answer<'a>) {
        if let Some(session) = answer.generation.into_session() {
            self.slots.give(session, answer.conversation);
        }
    }
}

impl Answer<'_> {
    fn tell(&mut self, token: sprat_model::Token) {
        self.conversation.push(token.id);
        let top = token
            .top
            .into_iter()
            .map(|(_, text, logprob)| Alternative { text, logprob });
        self.sink.send(Event::Token(Token {
            text: token.text,
            logprob: token.logprob,
            end: token.end,
            top: top.collect(),
        }));
    }
}

/// The session and the first state of an answer.
fn start<'a>(
    model: &'a Model,
    slots: &mut Slots,
    job: &Job,
) -> Result<(Generation<'a>, Conversation), EngineError> {
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
    let (session, conversation) = slots.take(model, &prompt);
    let generation = session.into_generation(model, &prompt, options(job));
    let generation = generation.map_err(|error| explain(&error))?;
    Ok((generation, conversation))
}

/// A step of all answers. One alone goes its own way, which may guess ahead.
fn pass(
    model: &Model,
    running: &mut [Answer<'_>],
) -> Vec<Option<Result<sprat_model::Token, Error>>> {
    match running {
        [one] => vec![block_on(one.generation.next())],
        all => {
            let mut generations: Vec<_> = all.iter_mut().map(|one| &mut one.generation).collect();
            block_on(step_together(model.decoder(), &mut generations))
        }
    }
}

fn checked(token: Result<sprat_model::Token, Error>) -> Result<sprat_model::Token, EngineError> {
    let token = token.map_err(|error| explain(&error))?;
    match token.logprob.is_nan() {
        true => Err(EngineError::NotANumber),
        false => Ok(token),
    }
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
