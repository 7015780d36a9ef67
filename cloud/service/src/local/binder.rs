//! The thread that makes a model's grammars, so that the one that computes never waits for that.

use std::io;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel};

use sprat_model::Model;

use super::batch::guarded;
use super::{Command, Work};
use crate::grammar::{Grammar, Grammatical, Vocabulary};
use crate::{CallFormat, Constraint, EngineError, Job, JobSink};

/// The thread's name.
pub(super) const THREAD: &str = "sprat-grammar";

/// Binds one model's answers, one after the other, until it is dropped.
pub(super) struct Binder {
    jobs: Sender<(Box<Job>, JobSink)>,
}

/// The way back to the thread that computes, for the model of that index.
#[derive(Clone)]
pub(super) struct WayBack {
    pub(super) model: usize,
    /// Not held open: that thread ends when nobody else can ask it.
    pub(super) queue: Weak<SyncSender<Command>>,
}

impl Binder {
    /// Begins to sort the model's tokens, which takes a second with many of them.
    ///
    /// # Errors
    /// If there can be no thread.
    pub(super) fn start(
        model: &Model,
        format: Option<CallFormat>,
        way: WayBack,
    ) -> io::Result<Self> {
        let (vocabulary, end_ids) = (Vocabulary::of(model), model.end_ids().to_vec());
        let make = move || Grammar::new(vocabulary, &end_ids);
        Self::with(make, format, way)
    }

    fn with(
        make: impl FnOnce() -> Result<Grammar, EngineError> + Send + 'static,
        format: Option<CallFormat>,
        way: WayBack,
    ) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let run = move || {
            let made = guarded(make);
            serve(&queue, &way, |constraint| {
                let grammar = made.as_ref().map_err(Clone::clone)?;
                guarded(|| grammar.bind(constraint, format))
            });
        };
        std::thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(run)?;
        Ok(Self { jobs })
    }

    /// Makes the grammar of a job that has a constraint. The job comes back by the queue, or its other end hears what is
    /// wrong with the constraint.
    pub(super) fn bind(&self, job: Box<Job>, sink: JobSink) {
        if let Err(lost) = self.jobs.send((job, sink)) {
            let (_, sink) = lost.0;
            sink.fail(EngineError::Generation);
        }
    }
}

/// Binds jobs until no more can come. Those that follow each other with one constraint share its grammar: the answers to
/// one request do.
fn serve(
    jobs: &Receiver<(Box<Job>, JobSink)>,
    way: &WayBack,
    bind: impl Fn(&Constraint) -> Result<Grammatical, EngineError>,
) {
    let mut last: Option<(Constraint, Result<Grammatical, EngineError>)> = None;
    for (job, sink) in jobs {
        let constraint = job.constraint.clone().filter(|_| !sink.is_closed());
        let Some(constraint) = constraint else {
            continue;
        };
        let bound = match last.take() {
            Some((known, bound)) if known == constraint => bound,
            _ => bind(&constraint),
        };
        match &bound {
            Ok(grammar) => way.send(Work::Bound(job, Box::new(grammar.again()), sink)),
            Err(error) => sink.fail(error.clone()),
        }
        last = Some((constraint, bound));
    }
}

impl WayBack {
    fn send(&self, work: Work) {
        let model = self.model;
        // When nobody holds the queue any more, nobody waits for the answer.
        let Some(queue) = self.queue.upgrade() else {
            return;
        };
        if let Err(TrySendError::Full(command)) = queue.try_send(Command::Do(model, work))
            && let Command::Do(_, Work::Bound(_, _, sink)) = command
        {
            sink.fail(EngineError::Busy);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::sync::{Arc, Mutex};
    use std::thread::current;

    use serde_json::json;
    use sprat_model::Tokenizer;

    use super::*;
    use crate::JobHandle;
    use crate::engine::channel as job_channel;

    fn grammar() -> Result<Grammar, EngineError> {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../web/models/sprat-tiny/tokenizer.json"
        );
        let tokenizer = Tokenizer::from_json(&std::fs::read(path).unwrap()).unwrap();
        Grammar::new(Vocabulary::new(&tokenizer, tokenizer.vocab_size()), &[2])
    }

    fn way(queue: &Arc<SyncSender<Command>>) -> WayBack {
        let queue = Arc::downgrade(queue);
        WayBack { model: 0, queue }
    }

    fn job(schema: serde_json::Value) -> Box<Job> {
        let constraint = Some(Constraint::JsonSchema(Arc::new(schema)));
        Box::new(Job {
            constraint,
            ..Job::default()
        })
    }

    fn next_error(mut handle: JobHandle) -> EngineError {
        pollster::block_on(handle.next()).unwrap_err()
    }

    #[test]
    fn jobs_come_back_bound_or_their_ends_hear_why_not() {
        let (queue, commands) = sync_channel(1);
        let queue = Arc::new(queue);
        let binder = Binder::with(grammar, None, way(&queue)).unwrap();
        let send = |schema| {
            let (sink, handle) = job_channel();
            binder.bind(job(schema), sink);
            handle
        };
        let kept = send(json!({"type": "boolean"}));
        let Command::Do(_, Work::Bound(_, mut bound, _)) = commands.recv().unwrap() else {
            panic!("not bound");
        };
        let mut logits = vec![0.0; 4096];
        bound.forbid(&mut logits).unwrap();
        assert!(logits.contains(&0.0) && logits.contains(&f32::NEG_INFINITY));
        let refused = send(json!({"not": {}}));
        assert!(matches!(next_error(refused), EngineError::Schema { .. }));
        // There is room for one job only.
        let waits = send(json!({}));
        assert_eq!(next_error(send(json!({}))), EngineError::Busy);
        drop((kept, waits));
    }

    #[test]
    fn a_grammar_is_made_once_for_a_request_and_never_for_nobody() {
        let (queue, commands) = sync_channel(9);
        let queue = Arc::new(queue);
        let (jobs, received) = channel();
        let number = json!({"type": "number"});
        let mut kept = Vec::new();
        for (schema, is_gone) in [
            (&number, false),
            (&number, false),
            (&json!({"not": {}}), true),
            (&number, false),
            (&json!({}), false),
        ] {
            let (sink, handle) = job_channel();
            jobs.send((job(schema.clone()), sink)).unwrap();
            kept.push((!is_gone).then_some(handle));
        }
        drop(jobs);
        let (grammar, made) = (grammar().unwrap(), Mutex::new(0));
        serve(&received, &way(&queue), |constraint| {
            *made.lock().unwrap() += 1;
            grammar.bind(constraint, None)
        });
        assert_eq!(*made.lock().unwrap(), 2);
        assert_eq!(commands.try_iter().count(), 4);
    }

    /// What does not need a grammar overtakes what does.
    #[test]
    fn the_queue_is_open_while_a_grammar_is_made() {
        let (queue, commands) = sync_channel(4);
        let queue = Arc::new(queue);
        let (go, may) = sync_channel::<()>(0);
        let threads = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&threads);
        let slow = move || {
            noted
                .lock()
                .unwrap()
                .push(current().name().map(str::to_owned));
            may.recv().unwrap();
            grammar()
        };
        let binder = Binder::with(slow, None, way(&queue)).unwrap();
        let (sink, _bound) = job_channel();
        binder.bind(job(json!({"type": "array"})), sink);
        let (sink, _free) = job_channel();
        let work = Work::Answer(Box::default(), sink);
        queue.try_send(Command::Do(0, work)).unwrap();
        let next = || commands.recv().unwrap();
        assert!(matches!(next(), Command::Do(0, Work::Answer(..))));
        go.send(()).unwrap();
        assert!(matches!(next(), Command::Do(0, Work::Bound(..))));
        let made_by = threads.lock().unwrap().clone();
        assert_eq!(made_by, [Some(THREAD.to_owned())]);
    }

    #[test]
    fn without_a_grammar_every_bound_job_fails() {
        let (queue, _commands) = sync_channel(1);
        let queue = Arc::new(queue);
        let none = || Grammar::new(None, &[]);
        let binder = Binder::with(none, None, way(&queue)).unwrap();
        let (sink, handle) = job_channel();
        binder.bind(job(json!({})), sink);
        assert!(matches!(
            next_error(handle),
            EngineError::Unsupported { .. }
        ));
        let binder = Binder::with(|| panic!("SECRET"), None, way(&queue)).unwrap();
        let (sink, handle) = job_channel();
        binder.bind(job(json!({})), sink);
        assert_eq!(next_error(handle), EngineError::Generation);
    }
}
