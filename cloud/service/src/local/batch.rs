//! The answers of one model that are being written: requests join and leave between any two steps.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pollster::block_on;
use sprat_model::{Error, Generation, KvPool, Model, PAGE, PASS_TOKENS, step_together};

use super::Work;
use super::job::{checked, embedding, generation, text, tokens};
use super::judge::Judge;
use super::loaded::Loaded;
use crate::{Alternative, EngineError, EngineState, Event, Finish, Job, JobSink, Token};

/// Answers that are written at once; more wait.
const MOST: usize = 64;

/// One model's answers.
pub(super) struct Batch<'a> {
    loaded: &'a Loaded,
    pool: KvPool,
    /// The oldest first: when memory runs out, the youngest gives way.
    running: Vec<Answer<'a>>,
    /// In the order in which they came, but for those that gave way, which are first.
    waiting: VecDeque<Waiting<'a>>,
}

/// An answer in the making.
struct Answer<'a> {
    generation: Generation<'a>,
    /// Where somebody wants to know what it is worth.
    judge: Option<Judge<'a>>,
    client: u64,
    sink: JobSink,
}

/// What an answer is bound to, if it is.
type Bound = Option<Box<dyn sprat_model::Constraint>>;

enum Waiting<'a> {
    /// What it is bound to has its grammar already.
    New(Box<Job>, Bound, JobSink),
    /// It gave its memory to older ones.
    Aside(Box<Answer<'a>>),
}

impl Waiting<'_> {
    fn sink(&self) -> &JobSink {
        match self {
            Self::New(_, _, sink) => sink,
            Self::Aside(answer) => &answer.sink,
        }
    }

    fn client(&self) -> u64 {
        match self {
            Self::New(job, ..) => job.client,
            Self::Aside(answer) => answer.client,
        }
    }
}

impl<'a> Batch<'a> {
    /// `positions` of all texts together are kept.
    pub(super) fn new(loaded: &'a Loaded, positions: usize) -> Self {
        Self {
            loaded,
            pool: loaded.model.pool(positions),
            running: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Positions that there is memory for.
    pub(super) fn positions(&self) -> usize {
        self.pool.positions()
    }

    /// Whether there is nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Takes a job in, or does at once what is not an answer.
    pub(super) fn take(&mut self, work: Work) {
        let model = &self.loaded.model;
        // Nobody waiting for a reply is no failure: the client went away.
        match work {
            Work::Answer(job, sink) if job.constraint.is_some() => {
                self.loaded.binder.bind(job, sink);
            }
            Work::Answer(job, sink) => self.waiting.push_back(Waiting::New(job, None, sink)),
            Work::Bound(job, bound, sink) => {
                self.waiting.push_back(Waiting::New(job, Some(bound), sink));
            }
            Work::Tokenize(prompt, reply) => {
                let _ = reply.send(guarded(|| tokens(model, &prompt)));
            }
            Work::Detokenize(tokens, reply) => {
                let _ = reply.send(guarded(|| text(model, &tokens)));
            }
            Work::Embed(prompt, reply) => {
                let _ = reply.send(guarded(|| embedding(model, &prompt)));
            }
            Work::Load(reply) => {
                let _ = reply.send(Ok(()));
            }
        }
    }

    /// A token for each answer, or a piece of its prompt. Who has left makes room first. After a panic there is only
    /// [`Batch::give_up`].
    pub(super) fn step(&mut self) {
        self.running.retain(|answer| !answer.sink.is_closed());
        self.waiting.retain(|waiting| !waiting.sink().is_closed());
        self.admit();
        self.make_room();
        if !self.running.is_empty() {
            let tokens = pass(&self.loaded.model, &mut self.running);
            self.hand_out(tokens);
        }
        self.report();
    }

    /// Begins answers as long as there is memory for their first step beside the next ones of those that run.
    fn admit(&mut self) {
        while self.running.len() < MOST && (self.running.is_empty() || self.has_memory()) {
            let Some(next) = self.next_in_line() else {
                return;
            };
            match self.waiting.remove(next) {
                Some(Waiting::Aside(answer)) => self.running.push(*answer),
                Some(Waiting::New(job, bound, sink)) => self.begin(&job, bound, sink),
                None => return,
            }
        }
    }

    fn has_memory(&self) -> bool {
        self.pool.free() >= PASS_TOKENS + PAGE * self.running.len()
    }

    /// Of the clients with the fewest answers running, the request that waits longest.
    fn next_in_line(&self) -> Option<usize> {
        let running = |client| {
            let theirs = self.running.iter().filter(|answer| answer.client == client);
            theirs.count()
        };
        let waiting = self.waiting.iter().enumerate();
        let next = waiting.min_by_key(|(_, waiting)| running(waiting.client()));
        next.map(|(index, _)| index)
    }

    /// Begins an answer; whatever happens, the job's other end is told.
    fn begin(&mut self, job: &Job, bound: Bound, sink: JobSink) {
        if let EngineState::Failed(reason) = self.loaded.shared.info().state {
            return sink.fail(EngineError::Failed { reason });
        }
        let (loaded, pool) = (self.loaded, &self.pool);
        match guarded(|| generation(&loaded.model, pool, job, bound)) {
            Ok(generation) => {
                sink.send(Event::Started {
                    prompt_tokens: generation.prompt_tokens(),
                    cached_tokens: generation.cached_tokens(),
                });
                // Gates are fitted on answers that were bound to nothing.
                let gate = loaded.gate.as_ref();
                let gate = gate.filter(|_| job.judge && job.constraint.is_none());
                self.running.push(Answer {
                    generation,
                    judge: gate.map(Judge::new),
                    client: job.client,
                    sink,
                });
            }
            Err(error) => sink.fail(error),
        }
    }

    /// Gets memory for everybody's next step. Where it runs out, the youngest give theirs to the older ones.
    fn make_room(&mut self) {
        let mut served = 0;
        while let Some(answer) = self.running.get_mut(served) {
            if answer.generation.make_room().is_ok() {
                served += 1;
                continue;
            }
            let Some(mut youngest) = self.running.pop() else {
                return;
            };
            youngest.generation.set_aside();
            if self.running.is_empty() {
                // Nobody else has any memory, so that it never gets more.
                youngest.sink.fail(EngineError::Generation);
                return;
            }
            self.loaded.shared.figures.set_aside();
            self.waiting.push_front(Waiting::Aside(Box::new(youngest)));
        }
    }

    /// Tells each answer's reader what came of the pass, and ends those that are complete.
    fn hand_out(&mut self, tokens: Vec<Option<Result<sprat_model::Token, Error>>>) {
        let running = std::mem::take(&mut self.running);
        let mut ended = Vec::new();
        for (mut answer, token) in running.into_iter().zip(tokens) {
            match token.map(checked) {
                Some(Err(error)) => {
                    if matches!(error, EngineError::Generation | EngineError::NotANumber) {
                        // What it computed is not to be taken over by others. The model is asked before the client is
                        // told, so that the next request is not taken by a model that is known to be broken.
                        self.pool.forget();
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
                    if let Some(judge) = &answer.judge {
                        answer.sink.send(Event::Judged(judge.end()));
                    }
                    let finish = match finish {
                        sprat_model::Finish::Stop => Finish::Stop,
                        sprat_model::Finish::Length => Finish::Length,
                    };
                    ended.push((answer.sink, finish));
                }
            }
        }
        // Who hears of an answer's end finds its memory free.
        self.report();
        for (sink, finish) in ended {
            sink.send(Event::Finished(finish));
        }
    }

    /// Ends all answers that were begun with an error, and begins with new memory.
    pub(super) fn give_up(&mut self, error: &EngineError) {
        self.loaded.examine();
        let aside = std::mem::take(&mut self.waiting).into_iter();
        let fail = |answer: Answer<'_>| answer.sink.fail(error.clone());
        for waiting in aside {
            match waiting {
                Waiting::Aside(answer) => fail(*answer),
                new => self.waiting.push_back(new),
            }
        }
        self.running.drain(..).for_each(fail);
        self.pool = self.loaded.model.pool(self.pool.positions());
    }

    fn report(&self) {
        let (free, all) = (self.pool.free(), self.pool.positions());
        self.loaded.shared.figures.cache(all - free, all);
    }
}

impl Answer<'_> {
    fn tell(&mut self, token: sprat_model::Token) {
        let judged = self.judge.as_mut().and_then(|judge| judge.hear(&token));
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
        if let Some(judged) = judged {
            self.sink.send(Event::Judged(judged));
        }
    }
}

/// A panic is an error of its request alone.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(EngineError::Generation))
}

/// A step of all answers. One alone whose prompt is read goes its own way, which may guess ahead.
fn pass(
    model: &Model,
    running: &mut [Answer<'_>],
) -> Vec<Option<Result<sprat_model::Token, Error>>> {
    match running {
        [one] if one.generation.pending() <= PASS_TOKENS => vec![block_on(one.generation.next())],
        all => {
            let mut generations: Vec<_> = all.iter_mut().map(|one| &mut one.generation).collect();
            block_on(step_together(model.decoder(), &mut generations))
        }
    }
}
