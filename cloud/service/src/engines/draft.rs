//! An engine's answer before it is known whether it stands.

use crate::{
    Counts, Engine, EngineError, EngineState, Event, Finish, Job, JobHandle, JobSink, Judgement,
    Route, Rule, Token,
};

/// What an engine has said so far.
pub(super) struct Draft {
    id: String,
    /// None once the answer is complete or cancelled.
    handle: Option<JobHandle>,
    /// Tokens of the prompt, and the cached ones among them.
    started: Option<(usize, usize)>,
    tokens: Vec<Token>,
    judged: Option<Judgement>,
    counts: Option<Counts>,
    route: Option<Route>,
    finish: Option<Finish>,
}

impl Draft {
    /// Begins an answer.
    pub(super) fn start(engine: &dyn Engine, job: Job) -> Result<Self, EngineError> {
        let info = engine.info();
        match info.state {
            EngineState::Ready => {}
            EngineState::Loading => return Err(EngineError::Loading),
            EngineState::Failed(reason) => return Err(EngineError::Failed { reason }),
        }
        Ok(Self {
            id: info.id,
            handle: Some(engine.start(job)?),
            started: None,
            tokens: Vec::new(),
            judged: None,
            counts: None,
            route: None,
            finish: None,
        })
    }

    /// Waits for the next event and keeps it. Must not be called when the answer is complete.
    pub(super) async fn next(&mut self) -> Result<(), EngineError> {
        let handle = self.handle.as_mut().ok_or(EngineError::Generation)?;
        match handle.next().await?.event {
            Event::Started {
                prompt_tokens,
                cached_tokens,
            } => self.started = Some((prompt_tokens, cached_tokens)),
            Event::Token(token) => self.tokens.push(token),
            Event::Judged(judged) => self.judged = Some(judged),
            Event::Counted(counts) => self.counts = Some(counts),
            Event::Route(route) => self.route = Some(route),
            Event::Finished(finish) => {
                self.finish = Some(finish);
                self.handle = None;
            }
        }
        Ok(())
    }

    /// Waits for the end.
    pub(super) async fn complete(mut self) -> Result<Self, EngineError> {
        while self.finish.is_none() {
            self.next().await?;
        }
        Ok(self)
    }

    /// Ends an answer that nobody needs any more; a complete one stays.
    pub(super) fn cancel(&mut self) {
        self.handle = None;
    }

    /// Whether there is or will be a whole answer.
    pub(super) fn is_usable(&self) -> bool {
        self.handle.is_some() || self.finish.is_some()
    }

    pub(super) fn started(&self) -> Option<(usize, usize)> {
        self.started
    }

    pub(super) fn finish(&self) -> Option<Finish> {
        self.finish
    }

    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    pub(super) fn text(&self) -> String {
        self.tokens.iter().map(|token| &*token.text).collect()
    }

    /// What its engine thinks of it so far, if it says so.
    pub(super) fn judged(&self) -> Option<Judgement> {
        self.judged
    }

    /// The mean of the logarithms of the tokens' probabilities; none without tokens, or if the engine does not know them all.
    pub(super) fn mean_logprob(&self) -> Option<f32> {
        let sum: f64 = self.tokens.iter().map(|t| f64::from(t.logprob)).sum();
        let mean = (sum / self.tokens.len() as f64) as f32;
        (!mean.is_nan()).then_some(mean)
    }

    /// What it cost, as far as that is known.
    pub(super) fn cost_usd(&self) -> Option<f64> {
        self.route.as_ref()?.cost_usd
    }

    /// How often an engine was asked for it.
    pub(super) fn tries(&self) -> u32 {
        self.route.as_ref().map_or(1, |route| route.tries)
    }

    /// The route of this answer by `rule`; costs and tries are those of this answer only.
    pub(super) fn route(&self, rule: Rule) -> Route {
        let inner = self.route.as_ref();
        Route {
            target: inner.map_or(&self.id, |route| &route.target).clone(),
            rule,
            confidence: None,
            weighed: None,
            votes: None,
            cost_usd: self.cost_usd(),
            tries: self.tries(),
        }
    }

    /// Sends the answer, and what is still to come of it as it comes. `started` is what was already reported of the prompt;
    /// `route` is asked for when all is known.
    pub(super) async fn deliver(
        mut self,
        started: Option<(usize, usize)>,
        sink: &JobSink,
        route: impl FnOnce(&Self) -> Route,
    ) -> Result<(), EngineError> {
        let own = self.started.unwrap_or_default();
        let reported = started.unwrap_or(own);
        if started.is_none() {
            sink.send(Event::Started {
                prompt_tokens: own.0,
                cached_tokens: own.1,
            });
        }
        let mut sent = 0;
        loop {
            for token in &self.tokens[sent..] {
                sink.send(Event::Token(token.clone()));
            }
            sent = self.tokens.len();
            let Some(finish) = self.finish else {
                self.next().await?;
                continue;
            };
            let own = Counts {
                prompt: own.0,
                cached: own.1,
                completion: sent,
            };
            let differs = reported != (own.prompt, own.cached);
            if let Some(counts) = self.counts.or(differs.then_some(own)) {
                sink.send(Event::Counted(counts));
            }
            sink.send(Event::Route(route(&self)));
            sink.send(Event::Finished(finish));
            return Ok(());
        }
    }
}

/// The sum of what is known.
pub(super) fn sum(costs: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    costs.flatten().reduce(|a, b| a + b)
}
