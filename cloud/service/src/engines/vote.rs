//! A vote: several answers to one question, of which the most frequent is given.

use std::cmp::Reverse;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use sprat_wire::Votes;
use tracing::Instrument;

use super::draft::{Draft, sum};
use super::{Members, normalize, wrong};
use crate::{
    Engine, EngineError, EngineInfo, Finish, Job, JobHandle, JobSink, Price, Route, Rule,
    ServiceError, channel,
};

/// Who votes, and on what.
///
/// Answers are compared as [`normalize`] writes them, so this is for short ones: numbers, names, choices. There is no vote if the
/// request allows more than [`max_tokens`](Self::max_tokens) tokens or does not say how many, or if an answer has more than
/// [`max_words`](Self::max_words) words; then the first member's answer is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VoteOptions {
    /// The model's id in the API.
    pub id: String,
    /// Ids of the engines.
    pub engines: Vec<String>,
    /// How often each is asked, with seeds that count up.
    pub samples: usize,
    /// The temperature where each is asked more than once and the request says 0 or nothing: else all would say the same.
    pub temperature: f32,
    /// The most tokens that a request may allow.
    pub max_tokens: usize,
    /// The most words that an answer may have.
    pub max_words: usize,
}

impl Default for VoteOptions {
    fn default() -> Self {
        Self {
            id: String::new(),
            engines: Vec::new(),
            samples: 1,
            temperature: 0.7,
            max_tokens: 64,
            max_words: 32,
        }
    }
}

/// The most answers to one question.
const MAX_VOTES: usize = 64;

/// Engines that are all asked.
///
/// Ties go to the answer that its members are surer of, by the mean of the logarithms of their tokens' probabilities, and then to
/// that of the member named first. As soon as the leader cannot be caught, the other members are cancelled. Members that
/// fail don't vote; if all fail, the first one's error is the answer. The client gets nothing before the end of the vote.
pub struct Vote {
    members: Arc<Members>,
    options: Arc<VoteOptions>,
}

impl Vote {
    /// A vote of `engines`, which are those named in the options.
    ///
    /// # Errors
    /// [`ServiceError::Engine`] if there are less than two votes or more than 64, or an option is wrong.
    pub fn new(options: VoteOptions, engines: Vec<Arc<dyn Engine>>) -> Result<Self, ServiceError> {
        let id = &options.id;
        if id.is_empty() {
            return Err(wrong(id, "id must not be empty"));
        }
        let votes = engines.len().saturating_mul(options.samples);
        if !(2..=MAX_VOTES).contains(&votes) {
            let problem = format!(
                "a vote needs 2 to {MAX_VOTES} answers: name more engines, or change samples"
            );
            return Err(wrong(id, problem));
        }
        if !(options.temperature > 0.0 && options.temperature <= 2.0) {
            return Err(wrong(id, "temperature must be above 0 and at most 2"));
        }
        Ok(Self {
            members: Arc::new(Members::new(id, "vote", engines)),
            options: Arc::new(options),
        })
    }
}

impl Engine for Vote {
    fn info(&self) -> EngineInfo {
        self.members.info()
    }

    /// Of all answers.
    fn price(&self) -> Price {
        let samples = self.options.samples as f64;
        let prices = self.members.engines.iter().map(|engine| engine.price());
        prices.fold(Price::default(), |sum, price| Price {
            prompt_usd_per_million: sum.prompt_usd_per_million
                + samples * price.prompt_usd_per_million,
            completion_usd_per_million: sum.completion_usd_per_million
                + samples * price.completion_usd_per_million,
        })
    }

    fn start(&self, job: Job) -> Result<JobHandle, EngineError> {
        let (sink, handle) = channel();
        let members = Arc::clone(&self.members);
        let options = Arc::clone(&self.options);
        let answering = async move {
            let answer = async {
                match job.max_tokens {
                    Some(most) if most <= options.max_tokens => {
                        vote(&members.engines, &options, &job, &sink).await
                    }
                    _ => first(&members.engines, &job, &sink).await,
                }
            };
            let answered = tokio::select! {
                answered = answer => answered,
                // Leaving this cancels the members.
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

/// No vote: the first engine answers, or the next one if it gives no token.
async fn first(engines: &[Arc<dyn Engine>], job: &Job, sink: &JobSink) -> Result<(), EngineError> {
    let mut error = None;
    for (failed, engine) in (0u32..).zip(engines) {
        let begun = async {
            let mut draft = Draft::start(engine.as_ref(), job.clone())?;
            while draft.tokens().is_empty() && draft.finish().is_none() {
                draft.next().await?;
            }
            Ok(draft)
        };
        match begun.await {
            Ok(draft) => {
                let route = |draft: &Draft| Route {
                    tries: failed + draft.tries(),
                    ..draft.route(Rule::VoteOff)
                };
                return draft.deliver(None, sink, route).await;
            }
            Err(failure) => error = error.or(Some(failure)),
        }
    }
    Err(error.unwrap_or(EngineError::Generation))
}

/// Asks all, and gives the answer that wins.
async fn vote(
    engines: &[Arc<dyn Engine>],
    options: &VoteOptions,
    job: &Job,
    sink: &JobSink,
) -> Result<(), EngineError> {
    let mut asked = FuturesUnordered::new();
    for engine in engines {
        for sample in 0..options.samples {
            let (index, job) = (asked.len(), ballot(job, options, sample));
            asked.push(async move {
                let draft = Draft::start(engine.as_ref(), job);
                let whole = async { draft?.complete().await };
                (index, whole.await)
            });
        }
    }
    let mut count = Count::new(asked.len(), options.max_words);
    while !count.is_settled() {
        let Some((index, answer)) = asked.next().await else {
            break;
        };
        count.add(index, answer);
    }
    // The members that are left are cancelled.
    drop(asked);
    count.deliver(sink).await
}

/// One member's job.
fn ballot(job: &Job, options: &VoteOptions, sample: usize) -> Job {
    let mut job = Job {
        logprobs: true,
        ..job.clone()
    };
    let sampling = &mut job.sampling;
    if options.samples > 1 {
        sampling.seed = Some(sampling.seed.unwrap_or(0).wrapping_add(sample as u64));
        if sampling.temperature.is_none_or(|t| t <= 0.0) {
            sampling.temperature = Some(options.temperature);
        }
    }
    job
}

/// The votes so far.
struct Count {
    max_words: usize,
    /// By member; none of those that have not answered.
    answers: Vec<Option<Result<Ballot, EngineError>>>,
    /// Whether an answer is too long to vote on.
    off: bool,
}

struct Ballot {
    draft: Draft,
    text: String,
    mean_logprob: f32,
}

/// Members who say the same.
struct Group {
    votes: u32,
    mean_logprob: f32,
    /// Whose answer is given: the first complete one, or else the first.
    member: usize,
}

impl Count {
    fn new(members: usize, max_words: usize) -> Self {
        Self {
            max_words,
            answers: std::iter::repeat_with(|| None).take(members).collect(),
            off: false,
        }
    }

    fn add(&mut self, member: usize, answer: Result<Draft, EngineError>) {
        let ballot = answer.map(|draft| Ballot {
            text: normalize(&draft.text()),
            // One that does not say how sure it is, is not.
            mean_logprob: draft.mean_logprob().unwrap_or(f32::NEG_INFINITY),
            draft,
        });
        if let Ok(ballot) = &ballot {
            self.off |= ballot.text.split(' ').count() > self.max_words;
        }
        self.answers[member] = Some(ballot);
    }

    fn cast(&self) -> impl Iterator<Item = (usize, &Ballot)> {
        let cast = self.answers.iter().enumerate();
        cast.filter_map(|(member, answer)| Some((member, answer.as_ref()?.as_ref().ok()?)))
    }

    /// Whether what is still to come cannot change the outcome.
    fn is_settled(&self) -> bool {
        if self.off {
            let known = self.answers.iter().map_while(Option::as_ref);
            return known.into_iter().any(Result::is_ok);
        }
        let pending = self.answers.iter().filter(|a| a.is_none()).count() as u32;
        let groups = self.groups();
        let votes = |place: usize| groups.get(place).map_or(0, |group| group.votes);
        votes(0) > votes(1) + pending
    }

    /// Who says what, best first.
    fn groups(&self) -> Vec<Group> {
        let mut texts: Vec<&str> = self.cast().map(|(_, ballot)| &*ballot.text).collect();
        texts.sort_unstable();
        texts.dedup();
        let group = |text: &str| {
            let same = || self.cast().filter(|(_, ballot)| ballot.text == text);
            let votes = same().count() as u32;
            let sum: f32 = same().map(|(_, ballot)| ballot.mean_logprob).sum();
            let best = same().min_by_key(|(member, ballot)| {
                (ballot.draft.finish() != Some(Finish::Stop), *member)
            });
            Group {
                votes,
                mean_logprob: sum / votes as f32,
                member: best.map_or(0, |(member, _)| member),
            }
        };
        let mut groups: Vec<Group> = texts.into_iter().map(group).collect();
        groups.sort_by(|a, b| {
            let sure = b.mean_logprob.total_cmp(&a.mean_logprob);
            let votes = Reverse(a.votes).cmp(&Reverse(b.votes));
            votes.then(sure).then(a.member.cmp(&b.member))
        });
        groups
    }

    /// Gives the answer that won, or the first one if there was no vote.
    async fn deliver(mut self, sink: &JobSink) -> Result<(), EngineError> {
        let total = self.cast().count() as u32;
        let cost = sum(self.cast().map(|(_, ballot)| ballot.draft.cost_usd()));
        let known = self.answers.iter().flatten();
        let tries = known.map(|a| a.as_ref().map_or(1, |ballot| ballot.draft.tries()));
        let tries = tries.sum();
        let (member, votes, rule) = match (self.off, self.groups().first()) {
            (false, Some(group)) => {
                let leader = group.votes;
                (group.member, Some(Votes { leader, total }), Rule::Vote)
            }
            _ => {
                let first = self.cast().next().map_or(0, |(member, _)| member);
                (first, None, Rule::VoteOff)
            }
        };
        // Without any answer this is the first error.
        let answer = self.answers.swap_remove(member);
        let draft = answer.unwrap_or(Err(EngineError::Generation))?.draft;
        let route = |draft: &Draft| Route {
            confidence: draft.mean_logprob().map(f32::exp),
            votes,
            cost_usd: cost,
            tries,
            ..draft.route(rule)
        };
        draft.deliver(None, sink, route).await
    }
}
