//! One job on its way through a cascade's engines.

use std::sync::Arc;

use super::super::draft::{Draft, sum};
use super::gain::Gain;
use super::{CascadeOptions, Policy};
use crate::{Engine, EngineError, Event, Job, JobSink, Route, Rule, Weighed};

pub(super) struct Run<'a> {
    policy: &'a Policy,
    engines: &'a [Arc<dyn Engine>],
    job: &'a Job,
    sink: &'a JobSink,
    /// Engines that were not asked.
    left: Vec<usize>,
    /// What was reported of the prompt.
    started: Option<(usize, usize)>,
    /// Answers that did not stand, or of which the best is to be found.
    earlier: Vec<Judged>,
    /// Engines that gave no answer.
    failed: u32,
    /// Of the answer that was judged last.
    confidence: Option<f32>,
    /// What was looked at last in place of an answer, and what it was expected to bring.
    weighed: Option<(usize, Gain)>,
}

/// An answer, and the probability that it is right; 0 where nobody asked for that.
struct Judged {
    engine: usize,
    draft: Draft,
    right: f64,
}

/// What becomes of an answer.
enum Verdict {
    Stands(Rule),
    /// It is right with this probability, as far as that is known; another engine may be asked.
    HandedOver(f64),
}

impl<'a> Run<'a> {
    pub(super) fn new(
        policy: &'a Policy,
        engines: &'a [Arc<dyn Engine>],
        job: &'a Job,
        sink: &'a JobSink,
    ) -> Self {
        Self {
            policy,
            engines,
            job,
            sink,
            left: (0..engines.len()).collect(),
            started: None,
            earlier: Vec::new(),
            failed: 0,
            confidence: None,
            weighed: None,
        }
    }

    pub(super) async fn answer(mut self) -> Result<(), EngineError> {
        let mut failure = None;
        let mut next = Some(0);
        while let Some(engine) = next {
            self.left.retain(|left| *left != engine);
            failure = None;
            match self.ask(engine).await {
                Ok((draft, Verdict::Stands(rule))) => {
                    let rule = if engine == 0 { rule } else { Rule::CascadeNext };
                    return self.deliver(draft, rule).await;
                }
                Ok((draft, Verdict::HandedOver(right))) => self.earlier.push(Judged {
                    engine,
                    draft,
                    right,
                }),
                Err(error) => {
                    let engine = self.engines[engine].info().id;
                    tracing::warn!(engine, %error, "a cascade's engine failed");
                    self.failed += 1;
                    failure = Some(error);
                }
            }
            next = self.next();
        }
        self.deliver_best(failure).await
    }

    /// Which engine is asked next; none if no answer of another one is worth its cost.
    fn next(&mut self) -> Option<usize> {
        match self.policy {
            Policy::Likelihood(_) => self.left.first().copied(),
            Policy::Gain { right_usd, .. } => {
                // Without an answer any engine is better than none.
                let any = !self.earlier.iter().any(|earlier| earlier.draft.is_usable());
                let (engine, gain) = self.weigh(self.best_right())?;
                self.weighed = Some((engine, gain));
                (any || gain.worth(*right_usd) > 0.0).then_some(engine)
            }
        }
    }

    /// The probability that the best answer so far is right.
    fn best_right(&self) -> f64 {
        let usable = self.earlier.iter().filter(|e| e.draft.is_usable());
        usable.map(|earlier| earlier.right).fold(0.0, f64::max)
    }

    /// Of the engines that were not asked, the one that is worth most where the answer at hand is right with this probability.
    fn weigh(&self, right: f64) -> Option<(usize, Gain)> {
        let Policy::Gain {
            right_usd,
            answer_tokens,
            expected,
        } = self.policy
        else {
            return None;
        };
        let prompt = self.started.map_or(0, |(prompt, _)| prompt);
        let most = self.job.max_tokens.unwrap_or(usize::MAX);
        let tokens = (prompt, most.min(*answer_tokens));
        let gains = self.left.iter().map(|&engine| {
            let price = self.engines[engine].price();
            (engine, expected[engine].weigh(right, price, tokens))
        });
        // The first of several of the same worth.
        gains.reduce(|best, next| {
            if next.1.worth(*right_usd) > best.1.worth(*right_usd) {
                next
            } else {
                best
            }
        })
    }

    /// Whether an engine's answer stands whatever it is, so that it may pass as it is made.
    fn stands_unseen(&self, engine: usize) -> bool {
        match self.policy {
            Policy::Likelihood(_) => self.left.is_empty(),
            Policy::Gain { .. } if self.is_compared(engine) => {
                self.left.is_empty() && self.earlier.is_empty()
            }
            Policy::Gain { .. } => !self.is_worth(self.expected_right(engine)),
        }
    }

    /// Whether an engine's own word on its answer counts.
    fn is_compared(&self, engine: usize) -> bool {
        matches!(self.policy, Policy::Gain { .. }) && self.engines[engine].judges()
    }

    /// Whether another engine is worth its cost where the answer at hand is right with this probability.
    fn is_worth(&self, right: f64) -> bool {
        match (self.policy, self.weigh(right)) {
            (Policy::Gain { right_usd, .. }, Some((_, gain))) => gain.worth(*right_usd) > 0.0,
            _ => false,
        }
    }

    /// The probability that an engine's answer is right, before it is there.
    fn expected_right(&self, engine: usize) -> f64 {
        match self.policy {
            Policy::Gain { expected, .. } => expected[engine].after(self.best_right()),
            Policy::Likelihood(_) => 0.0,
        }
    }

    /// Asks one engine until it is known what becomes of its answer.
    async fn ask(&mut self, engine: usize) -> Result<(Draft, Verdict), EngineError> {
        let unseen = self.stands_unseen(engine);
        let job = Job {
            logprobs: self.job.logprobs || !unseen,
            judge: !unseen && self.is_compared(engine),
            ..self.job.clone()
        };
        let mut draft = Draft::start(self.engines[engine].as_ref(), job)?;
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
                for earlier in &mut self.earlier {
                    earlier.draft.cancel();
                }
            }
            let verdict = if unseen {
                (draft.finish().is_some() || !draft.tokens().is_empty())
                    .then_some(Verdict::Stands(Rule::CascadeKept))
            } else {
                match self.policy {
                    Policy::Likelihood(options) => self.by_likelihood(options, &draft),
                    Policy::Gain { .. } => self.by_gain(engine, &draft),
                }
            };
            if let Some(verdict) = verdict {
                return Ok((draft, verdict));
            }
        }
    }

    /// Decides, if it is time.
    fn by_likelihood(&mut self, options: &CascadeOptions, draft: &Draft) -> Option<Verdict> {
        let (rule, threshold) = if draft.finish().is_some() {
            (Rule::CascadeKept, options.min_logprob)
        } else if draft.tokens().len() == options.early_tokens && !draft.tokens().is_empty() {
            (Rule::CascadeEarly, options.early_min_logprob)
        } else {
            return None;
        };
        let mean = draft.mean_logprob();
        self.confidence = mean.map(f32::exp);
        // An engine that does not say how sure it is, is not.
        Some(match mean.is_some_and(|mean| mean >= threshold) {
            true => Verdict::Stands(rule),
            false => Verdict::HandedOver(0.0),
        })
    }

    /// Judges an answer when it is complete, or before, if it is lost and another one is worth its cost.
    fn by_gain(&mut self, engine: usize, draft: &Draft) -> Option<Verdict> {
        let judged = draft.judged();
        let right = match judged {
            Some(judged) => f64::from(judged.right),
            None => self.expected_right(engine),
        };
        let lost = || judged.is_some_and(|judged| judged.lost) && self.is_worth(right);
        if draft.finish().is_none() && !lost() {
            return None;
        }
        self.confidence = judged.map(|judged| judged.right);
        Some(Verdict::HandedOver(right))
    }

    /// Gives the best of the answers that there are, when nobody else is asked. `failure`: of the engine that was asked last.
    async fn deliver_best(mut self, failure: Option<EngineError>) -> Result<(), EngineError> {
        let usable = self.earlier.iter().enumerate();
        let usable = usable.filter(|(_, earlier)| earlier.draft.is_usable());
        // The last of several that are as good.
        let best = usable.max_by(|(_, a), (_, b)| a.right.total_cmp(&b.right));
        let Some(index) = best.map(|(index, _)| index) else {
            return Err(failure.unwrap_or(EngineError::Generation));
        };
        let Judged { engine, draft, .. } = self.earlier.remove(index);
        let rule = match self.policy {
            // Better an answer that one is not sure of than none.
            _ if failure.is_some() => Rule::CascadeFallback,
            Policy::Likelihood(_) => Rule::CascadeFallback,
            Policy::Gain { .. } if engine == 0 => Rule::CascadeKept,
            Policy::Gain { .. } => Rule::CascadeNext,
        };
        self.deliver(draft, rule).await
    }

    async fn deliver(self, draft: Draft, rule: Rule) -> Result<(), EngineError> {
        let weighed = self.weighed.map(|(engine, gain)| Weighed {
            target: self.engines[engine].info().id,
            gain: gain.right,
            cost_usd: gain.cost_usd,
        });
        let route = |draft: &Draft| {
            let all = || {
                self.earlier
                    .iter()
                    .map(|earlier| &earlier.draft)
                    .chain([draft])
            };
            Route {
                confidence: self.confidence,
                weighed,
                cost_usd: sum(all().map(Draft::cost_usd)),
                tries: self.failed + all().map(Draft::tries).sum::<u32>(),
                ..draft.route(rule)
            }
        };
        draft.deliver(self.started, self.sink, route).await
    }
}
