//! A cascade: the small model answers, and a larger one where that is not sure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::Instrument;

use super::draft::{Draft, sum};
use super::{Members, wrong};
use crate::{
    Engine, EngineError, EngineInfo, Event, Job, JobHandle, JobSink, Route, Rule, ServiceError,
    channel,
};

/// How a cascade decides.
///
/// An answer stands if its tokens are likely enough: the mean of the logarithms of their probabilities is compared with a
/// threshold. The first [`early_tokens`](Self::early_tokens) tokens decide, or all tokens of a shorter answer. Until then the
/// client gets nothing, so that its first token comes with the decision; from then on tokens pass as they are made, and the
/// decision is final. The last engine's answer stands as it is, and passes from its first token.
///
/// What a mean is worth depends on the model and on what it is asked: the thresholds should be chosen on examples of your own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CascadeOptions {
    /// The model's id in the API.
    pub id: String,
    /// Ids of the engines, in the order in which they are asked; at least two.
    pub engines: Vec<String>,
    /// Tokens that decide early; 0 always judges the whole answer.
    pub early_tokens: usize,
    /// The least mean of those for which the answer stands; at most 0. Below it, the next engine is asked.
    pub early_min_logprob: f32,
    /// The least mean of a whole answer for which it stands.
    pub min_logprob: f32,
}

impl Default for CascadeOptions {
    fn default() -> Self {
        Self {
            id: String::new(),
            engines: Vec::new(),
            early_tokens: 16,
            early_min_logprob: -0.5,
            min_logprob: -0.5,
        }
    }
}

/// Engines that are asked one after the other.
///
/// An engine that fails before its answer is decided is passed over. While the next one is silent, an answer that was handed
/// over early goes on in the background: it is used if no later engine gives one, and cancelled with the first token of one.
pub struct Cascade {
    members: Arc<Members>,
    policy: Arc<CascadeOptions>,
}

impl Cascade {
    /// A cascade of `engines`, which are those named in the options.
    ///
    /// # Errors
    /// [`ServiceError::Engine`] if there are less than two engines or a threshold is wrong.
    pub fn new(
        options: CascadeOptions,
        engines: Vec<Arc<dyn Engine>>,
    ) -> Result<Self, ServiceError> {
        let id = &options.id;
        if id.is_empty() {
            return Err(wrong(id, "id must not be empty"));
        }
        if engines.len() < 2 {
            return Err(wrong(id, "a cascade needs at least two engines"));
        }
        for (name, threshold) in [
            ("min_logprob", options.min_logprob),
            ("early_min_logprob", options.early_min_logprob),
        ] {
            if threshold.is_nan() || threshold > 0.0 {
                let problem = format!("{name} is a logarithm of a probability: at most 0");
                return Err(wrong(id, problem));
            }
        }
        Ok(Self {
            members: Arc::new(Members::new(id, "cascade", engines)),
            policy: Arc::new(options),
        })
    }
}

impl Engine for Cascade {
    fn info(&self) -> EngineInfo {
        self.members.info()
    }

    fn start(&self, job: Job) -> Result<JobHandle, EngineError> {
        let (sink, handle) = channel();
        let members = Arc::clone(&self.members);
        let policy = Arc::clone(&self.policy);
        let answering = async move {
            let run = Run::new(&policy, &sink);
            let answered = tokio::select! {
                answered = run.answer(&members.engines, &job) => answered,
                // Leaving this cancels whatever is being answered.
                () = sink.closed() => return,
            };
            if let Err(error) = answered {
                sink.fail(error);
            }
        };
        tokio::spawn(answering.in_current_span());
        Ok(handle)
    }
}

/// One job on its way through the engines.
struct Run<'a> {
    policy: &'a CascadeOptions,
    sink: &'a JobSink,
    /// What was reported of the prompt.
    started: Option<(usize, usize)>,
    /// Answers that did not stand.
    earlier: Vec<Draft>,
    /// Engines that gave no answer.
    failed: u32,
    /// Of the answer that was judged last.
    confidence: Option<f32>,
}

/// What becomes of an answer.
enum Verdict {
    Stands(Rule),
    HandedOver,
}

impl<'a> Run<'a> {
    fn new(policy: &'a CascadeOptions, sink: &'a JobSink) -> Self {
        Self {
            policy,
            sink,
            started: None,
            earlier: Vec::new(),
            failed: 0,
            confidence: None,
        }
    }

    async fn answer(mut self, engines: &[Arc<dyn Engine>], job: &Job) -> Result<(), EngineError> {
        let mut error = EngineError::Generation;
        for (index, engine) in engines.iter().enumerate() {
            let is_last = index + 1 == engines.len();
            match self.ask(engine.as_ref(), job, is_last).await {
                Ok((draft, Verdict::Stands(rule))) => {
                    let rule = if index == 0 { rule } else { Rule::CascadeNext };
                    return self.deliver(draft, rule).await;
                }
                Ok((draft, Verdict::HandedOver)) => self.earlier.push(draft),
                Err(failure) => {
                    let engine = engine.info().id;
                    tracing::warn!(engine, error = %failure, "a cascade's engine failed");
                    self.failed += 1;
                    error = failure;
                }
            }
        }
        // Better an answer that one is not sure of than none.
        match self.earlier.iter().rposition(Draft::is_usable) {
            Some(index) => {
                let draft = self.earlier.remove(index);
                self.deliver(draft, Rule::CascadeFallback).await
            }
            None => Err(error),
        }
    }

    /// Asks one engine until it is known what becomes of its answer.
    async fn ask(
        &mut self,
        engine: &dyn Engine,
        job: &Job,
        is_last: bool,
    ) -> Result<(Draft, Verdict), EngineError> {
        let job = Job {
            logprobs: job.logprobs || !is_last,
            ..job.clone()
        };
        let mut draft = Draft::start(engine, job)?;
        loop {
            draft.next().await?;
            if self.started.is_none()
                && let Some((prompt_tokens, cached_tokens)) = draft.started()
            {
                self.started = draft.started();
                self.sink.send(Event::Started {
                    prompt_tokens,
                    cached_tokens,
                });
            }
            if draft.tokens().len() == 1 {
                self.earlier.iter_mut().for_each(Draft::cancel);
            }
            let verdict = match is_last {
                true => (draft.finish().is_some() || !draft.tokens().is_empty())
                    .then_some(Verdict::Stands(Rule::CascadeNext)),
                false => self.judge(&draft),
            };
            if let Some(verdict) = verdict {
                return Ok((draft, verdict));
            }
        }
    }

    /// Decides, if it is time.
    fn judge(&mut self, draft: &Draft) -> Option<Verdict> {
        let (rule, threshold) = if draft.finish().is_some() {
            (Rule::CascadeKept, self.policy.min_logprob)
        } else if draft.tokens().len() == self.policy.early_tokens && !draft.tokens().is_empty() {
            (Rule::CascadeEarly, self.policy.early_min_logprob)
        } else {
            return None;
        };
        let mean = draft.mean_logprob();
        self.confidence = mean.map(f32::exp);
        // An engine that does not say how sure it is, is not.
        Some(match mean.is_some_and(|mean| mean >= threshold) {
            true => Verdict::Stands(rule),
            false => Verdict::HandedOver,
        })
    }

    async fn deliver(self, draft: Draft, rule: Rule) -> Result<(), EngineError> {
        let route = |draft: &Draft| {
            let all = || self.earlier.iter().chain([draft]);
            Route {
                confidence: self.confidence,
                cost_usd: sum(all().map(Draft::cost_usd)),
                tries: self.failed + all().map(Draft::tries).sum::<u32>(),
                ..draft.route(rule)
            }
        };
        draft.deliver(self.started, self.sink, route).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_options_are_named() {
        let echo = || Arc::new(crate::Echo::new(crate::EchoOptions::default())) as Arc<dyn Engine>;
        let options = CascadeOptions {
            id: "c".into(),
            ..CascadeOptions::default()
        };
        assert!(Cascade::new(options.clone(), vec![echo(), echo()]).is_ok());
        assert!(Cascade::new(options.clone(), vec![echo()]).is_err());
        let wrong = CascadeOptions {
            min_logprob: f32::NAN,
            ..options
        };
        let error = Cascade::new(wrong, vec![echo(), echo()])
            .map(|_| ())
            .unwrap_err();
        assert!(error.to_string().contains("min_logprob"), "{error}");
    }
}
