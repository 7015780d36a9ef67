//! A cascade: the small model answers, and a larger one where that is not sure.

mod gain;
mod run;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::Instrument;

use super::{Members, wrong};
use crate::{Engine, EngineError, EngineInfo, Job, JobHandle, ServiceError, channel};

pub use gain::Expected;
use run::Run;

/// How a cascade decides.
///
/// **By likelihood**, where nothing else is said: an answer stands if its tokens are likely enough: the mean of the logarithms of
/// their probabilities is compared with a threshold. The first [`early_tokens`](Self::early_tokens) tokens decide, or all tokens
/// of a shorter answer. Until then the client gets nothing, so that its first token comes with the decision; from then on tokens
/// pass as they are made, and the decision is final. What a mean is worth depends on the model and on what it is asked: the
/// thresholds should be chosen on examples of your own.
///
/// **By expected gain**, with [`right_usd`](Self::right_usd): an answer stands unless another engine's is expected to be worth
/// more than it costs. How likely an answer is right, the gate in the model's pack says ([`Engine::judges`]); of an engine
/// without one it is what [`expected`](Self::expected) says of it. Of the engines that were not asked, the one with the largest
/// worth is, whichever place it has; the best of the complete answers is given. An answer that the gate judges passes when it is
/// complete. It is handed over before, if the gate calls its beginning lost and another engine is worth its cost.
///
/// The answer of an engine behind which nobody can be asked stands as it is, and passes from its first token.
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
    /// What a right answer is worth, in US dollars; above 0. The cascade then decides by expected gain.
    pub right_usd: Option<f64>,
    /// What is expected of the engines by their ids: of all but the first, which needs it where it has no gate. A first
    /// engine's `saves` is the share of its answers that are right.
    pub expected: BTreeMap<String, Expected>,
    /// Tokens that an answer is expected to have, or as many as the request allows, if that is less; for the prices of tokens.
    pub answer_tokens: usize,
}

impl Default for CascadeOptions {
    fn default() -> Self {
        Self {
            id: String::new(),
            engines: Vec::new(),
            early_tokens: 16,
            early_min_logprob: -0.5,
            min_logprob: -0.5,
            right_usd: None,
            expected: BTreeMap::new(),
            answer_tokens: 256,
        }
    }
}

impl CascadeOptions {
    /// Checks what does not need the engines.
    fn check(&self) -> Result<(), ServiceError> {
        let id = &self.id;
        if id.is_empty() {
            return Err(wrong(id, "id must not be empty"));
        }
        for (name, threshold) in [
            ("min_logprob", self.min_logprob),
            ("early_min_logprob", self.early_min_logprob),
        ] {
            if threshold.is_nan() || threshold > 0.0 {
                let problem = format!("{name} is a logarithm of a probability: at most 0");
                return Err(wrong(id, problem));
            }
        }
        if self
            .right_usd
            .is_some_and(|usd| !(usd > 0.0 && usd.is_finite()))
        {
            return Err(wrong(id, "right_usd is above 0"));
        }
        if self.right_usd.is_none() && !self.expected.is_empty() {
            let problem =
                "it says what is expected and not what a right answer is worth: set right_usd";
            return Err(wrong(id, problem));
        }
        for (engine, expected) in &self.expected {
            if let Some(problem) = expected.problem() {
                return Err(wrong(id, format!("expected.{engine}: {problem}")));
            }
        }
        Ok(())
    }

    /// What is expected of each engine.
    fn expected_of(&self, engines: &[Arc<dyn Engine>]) -> Result<Vec<Expected>, ServiceError> {
        let ids: Vec<String> = engines.iter().map(|engine| engine.info().id).collect();
        if let Some(engine) = self.expected.keys().find(|engine| !ids.contains(engine)) {
            let problem = format!("expected.{engine}: it is none of the cascade's engines");
            return Err(wrong(&self.id, problem));
        }
        let of = |(index, id): (usize, &String)| match self.expected.get(id) {
            Some(expected) => Ok(*expected),
            // Its gate says it; where that is silent, its answer counts as wrong.
            None if index == 0 && engines[0].judges() => Ok(Expected {
                saves: 0.0,
                keeps: 0.0,
                cost_usd: 0.0,
            }),
            None => {
                let problem = format!("expected.{id} is missing: right_usd needs it");
                Err(wrong(&self.id, problem))
            }
        };
        ids.iter().enumerate().map(of).collect()
    }
}

/// Engines that are asked one after the other.
///
/// An engine that fails before its answer is decided is passed over. While the next one is silent, an answer that was handed
/// over early goes on in the background: it is used if no later engine gives one, and cancelled with the first token of one.
pub struct Cascade {
    members: Arc<Members>,
    policy: Arc<Policy>,
}

/// The options, as they are used.
enum Policy {
    Likelihood(CascadeOptions),
    Gain {
        right_usd: f64,
        answer_tokens: usize,
        /// By the engines' indices.
        expected: Vec<Expected>,
    },
}

impl Cascade {
    /// A cascade of `engines`, which are those named in the options.
    ///
    /// # Errors
    /// [`ServiceError::Engine`] if there are less than two engines or an option is wrong.
    pub fn new(
        options: CascadeOptions,
        engines: Vec<Arc<dyn Engine>>,
    ) -> Result<Self, ServiceError> {
        options.check()?;
        if engines.len() < 2 {
            return Err(wrong(&options.id, "a cascade needs at least two engines"));
        }
        let members = Arc::new(Members::new(&options.id, "cascade", engines));
        let policy = match options.right_usd {
            None => Policy::Likelihood(options),
            Some(right_usd) => Policy::Gain {
                right_usd,
                answer_tokens: options.answer_tokens,
                expected: options.expected_of(&members.engines)?,
            },
        };
        Ok(Self {
            members,
            policy: Arc::new(policy),
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
            let run = Run::new(&policy, &members.engines, &job, &sink);
            let answered = tokio::select! {
                answered = run.answer() => answered,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(id: &str) -> Arc<dyn Engine> {
        Arc::new(crate::Echo::new(crate::EchoOptions {
            id: id.into(),
            ..crate::EchoOptions::default()
        }))
    }

    fn problem(options: CascadeOptions) -> String {
        let cascade = Cascade::new(options, vec![echo("a"), echo("b")]);
        cascade.map(drop).unwrap_err().to_string()
    }

    fn options() -> CascadeOptions {
        CascadeOptions {
            id: "c".into(),
            ..CascadeOptions::default()
        }
    }

    fn gain(expected: &[(&str, f64)]) -> CascadeOptions {
        let expect = |&(id, saves): &(&str, f64)| {
            let expected = Expected {
                saves,
                keeps: 0.9,
                cost_usd: 0.0,
            };
            (id.to_owned(), expected)
        };
        CascadeOptions {
            right_usd: Some(0.01),
            expected: expected.iter().map(expect).collect(),
            ..options()
        }
    }

    #[test]
    fn wrong_options_are_named() {
        assert!(Cascade::new(options(), vec![echo("a"), echo("b")]).is_ok());
        assert!(Cascade::new(options(), vec![echo("a")]).is_err());
        let error = problem(CascadeOptions {
            min_logprob: f32::NAN,
            ..options()
        });
        assert!(error.contains("min_logprob"), "{error}");
    }

    #[test]
    fn what_a_gain_is_made_of_must_be_whole() {
        let both = gain(&[("a", 0.5), ("b", 0.8)]);
        assert!(Cascade::new(both.clone(), vec![echo("a"), echo("b")]).is_ok());
        // Without a gate nobody knows how good the first one is.
        assert!(problem(gain(&[("b", 0.8)])).contains("expected.a is missing"));
        assert!(problem(gain(&[("a", 0.5)])).contains("expected.b is missing"));
        assert!(problem(gain(&[("a", 0.5), ("b", 1.5)])).contains("expected.b: saves"));
        let stranger = gain(&[("a", 0.5), ("b", 0.8), ("x", 0.9)]);
        assert!(problem(stranger).contains("expected.x"));
        for right_usd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = problem(CascadeOptions {
                right_usd: Some(right_usd),
                ..both.clone()
            });
            assert!(error.contains("right_usd"), "{error}");
        }
        let without = CascadeOptions {
            right_usd: None,
            ..both
        };
        assert!(problem(without).contains("right_usd"));
    }
}
