//! What chat and text requests have in common: how tokens are chosen, and how many.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;

use sprat_wire::{ChatRequest, StreamOptions, TextRequest};

use crate::{ApiError, Begun, Job, Prompt, Sampling};

const MAX_STOPS: usize = 16;
const MAX_STOP_CHARACTERS: usize = 256;
const MAX_TOP_LOGPROBS: i64 = 20;
const MAX_BIASES: usize = 1024;
/// Answers to one text.
const MAX_N: i64 = 16;
/// Answers to one request.
const MAX_ANSWERS: usize = 64;

/// The fields that both kinds of request have.
pub(super) struct Common<'a> {
    /// The limits on tokens by their names; the last one that there is counts.
    limits: Vec<(&'static str, Option<i64>)>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<i64>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    logit_bias: Option<&'a BTreeMap<String, f32>>,
    seed: Option<i64>,
    stop: &'a [String],
    n: Option<i64>,
    logprobs: bool,
    top_logprobs: (&'static str, Option<i64>),
    stream: bool,
    stream_options: Option<&'a StreamOptions>,
    user: Option<&'a str>,
}

impl<'a> From<&'a ChatRequest> for Common<'a> {
    fn from(request: &'a ChatRequest) -> Self {
        Self {
            limits: vec![
                ("max_tokens", request.max_tokens),
                ("max_completion_tokens", request.max_completion_tokens),
            ],
            temperature: request.temperature,
            top_p: request.top_p,
            top_k: request.top_k,
            min_p: request.min_p,
            repetition_penalty: request.repetition_penalty,
            frequency_penalty: request.frequency_penalty,
            presence_penalty: request.presence_penalty,
            logit_bias: request.logit_bias.as_ref(),
            seed: request.seed,
            stop: &request.stop,
            n: request.n,
            logprobs: request.logprobs == Some(true),
            top_logprobs: ("top_logprobs", request.top_logprobs),
            stream: request.stream,
            stream_options: request.stream_options.as_ref(),
            user: request.user.as_deref(),
        }
    }
}

impl<'a> From<&'a TextRequest> for Common<'a> {
    fn from(request: &'a TextRequest) -> Self {
        Self {
            limits: vec![("max_tokens", Some(request.max_tokens.unwrap_or(16)))],
            temperature: request.temperature,
            top_p: request.top_p,
            top_k: request.top_k,
            min_p: request.min_p,
            repetition_penalty: request.repetition_penalty,
            frequency_penalty: request.frequency_penalty,
            presence_penalty: request.presence_penalty,
            logit_bias: request.logit_bias.as_ref(),
            seed: request.seed,
            stop: &request.stop,
            n: request.n,
            logprobs: request.logprobs.is_some(),
            top_logprobs: ("logprobs", request.logprobs),
            stream: request.stream,
            stream_options: request.stream_options.as_ref(),
            user: request.user.as_deref(),
        }
    }
}

impl Common<'_> {
    /// Checks everything that can be checked without the model.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        for (name, limit) in &self.limits {
            if limit.is_some_and(|limit| limit < 1) {
                return Err(ApiError::invalid(*name, "must be at least 1"));
            }
        }
        within("n", self.n, 1..=MAX_N)?;
        within("temperature", self.temperature, 0.0..=2.0)?;
        within("top_p", self.top_p, f32::MIN_POSITIVE..=1.0)
            .map_err(|_| ApiError::invalid("top_p", "must be above 0 and at most 1"))?;
        within("min_p", self.min_p, 0.0..=1.0)?;
        within("repetition_penalty", self.repetition_penalty, 0.1..=10.0)?;
        within("frequency_penalty", self.frequency_penalty, -2.0..=2.0)?;
        within("presence_penalty", self.presence_penalty, -2.0..=2.0)?;
        within("top_k", self.top_k, -1..=i64::from(u32::MAX))?;
        let (name, top) = self.top_logprobs;
        within(name, top, 0..=MAX_TOP_LOGPROBS)?;
        self.bias()?;
        stops(self.stop)?;
        if self.stream_options.is_some() && !self.stream {
            return Err(ApiError::invalid(
                "stream_options",
                "needs stream to be true",
            ));
        }
        Ok(())
    }

    /// How many answers each text gets.
    pub(super) fn n(&self) -> usize {
        self.n.map_or(1, count)
    }

    /// The bias of each token.
    fn bias(&self) -> Result<Vec<(u32, f32)>, ApiError> {
        let Some(biases) = self.logit_bias else {
            return Ok(Vec::new());
        };
        if biases.len() > MAX_BIASES {
            let problem = format!("must have at most {MAX_BIASES} tokens");
            return Err(ApiError::invalid("logit_bias", problem));
        }
        let one = |(id, by): (&String, &f32)| {
            let problem = "must have token ids for names";
            let id = id
                .parse()
                .map_err(|_| ApiError::invalid("logit_bias", problem))?;
            within(&format!("logit_bias.{id}"), Some(*by), -100.0..=100.0)?;
            Ok((id, *by))
        };
        biases.iter().map(one).collect()
    }

    /// What the engine shall do: `n` answers to each prompt, one prompt after the other. `cap` bounds each answer
    /// whatever the request says; `seed` is used where the request has none, and counts up from answer to answer. `whose` is the number of the API key.
    pub(super) fn jobs(
        &self,
        prompts: Vec<Prompt>,
        cap: Option<usize>,
        seed: u64,
        whose: u64,
    ) -> Result<Vec<Job>, ApiError> {
        let n = self.n();
        if n * prompts.len() > MAX_ANSWERS {
            let problem = format!("one request gets at most {MAX_ANSWERS} answers");
            return Err(ApiError::invalid("n", problem));
        }
        let limit = self.limits.iter().rev().find_map(|(_, limit)| *limit);
        let sampling = Sampling {
            temperature: self.temperature,
            // -1, "all tokens" in vLLM, is 0 in ours.
            top_k: self.top_k.map(count),
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            bias: self.bias()?,
            // The sampler's seed has no sign; every signed one keeps a number of its own.
            seed: Some(self.seed.map_or(seed, i64::cast_unsigned)),
        };
        let job = Job {
            prompt: Prompt::default(),
            begun: Begun::default(),
            sampling,
            max_tokens: limit.map(count).into_iter().chain(cap).min(),
            stop: self.stop.to_vec(),
            logprobs: self.logprobs,
            judge: false,
            top_logprobs: self.top_logprobs.1.map_or(0, count),
            constraint: None,
            tools: Arc::default(),
            client: self.client(whose),
            scope: whose,
        };
        let mut jobs = Vec::with_capacity(n * prompts.len());
        for prompt in prompts {
            for i in 0..n as u64 {
                let mut job = Job {
                    prompt: prompt.clone(),
                    ..job.clone()
                };
                job.sampling.seed = job.sampling.seed.map(|seed| seed.wrapping_add(i));
                jobs.push(job);
            }
        }
        Ok(jobs)
    }

    /// Whose turn it is: that of a key's user, or of all who have none.
    fn client(&self, whose: u64) -> u64 {
        let Some(user) = self.user else { return whose };
        let mut hasher = DefaultHasher::new();
        (whose, user).hash(&mut hasher);
        hasher.finish()
    }
}

fn count(n: i64) -> usize {
    usize::try_from(n).unwrap_or(0)
}

fn within<T: PartialOrd + Display>(
    name: &str,
    value: Option<T>,
    range: RangeInclusive<T>,
) -> Result<(), ApiError> {
    match value {
        // Not a number is in no range.
        Some(value) if !range.contains(&value) => {
            let (low, high) = (range.start(), range.end());
            Err(ApiError::invalid(
                name,
                format!("must be between {low} and {high}"),
            ))
        }
        _ => Ok(()),
    }
}

fn stops(stops: &[String]) -> Result<(), ApiError> {
    if stops.len() > MAX_STOPS {
        return Err(ApiError::invalid(
            "stop",
            format!("must hold at most {MAX_STOPS} texts"),
        ));
    }
    if stops
        .iter()
        .any(|stop| stop.is_empty() || stop.chars().count() > MAX_STOP_CHARACTERS)
    {
        let problem = format!("every text must have 1 to {MAX_STOP_CHARACTERS} characters");
        return Err(ApiError::invalid("stop", problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(field: &str, value: Value) -> Result<(), String> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
        body[field] = value;
        let request: ChatRequest = serde_json::from_value(body).unwrap();
        Common::from(&request).check().map_err(|error| match error {
            ApiError::Invalid { param, .. } => param,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_wrong_field_is_named() {
        let wrong = [
            ("n", json!(17)),
            ("n", json!(0)),
            ("max_tokens", json!(-1)),
            ("max_tokens", json!(0)),
            ("max_completion_tokens", json!(-5)),
            ("temperature", json!(-0.1)),
            ("temperature", json!(2.1)),
            ("temperature", json!(1e300)),
            ("top_p", json!(0)),
            ("top_p", json!(1.1)),
            ("min_p", json!(-1)),
            ("repetition_penalty", json!(0)),
            ("frequency_penalty", json!(2.5)),
            ("presence_penalty", json!(-2.5)),
            ("top_k", json!(-2)),
            ("stop", json!("")),
            ("stop", json!(vec!["x"; 17])),
            ("stop", json!("x".repeat(257))),
            ("top_logprobs", json!(21)),
            ("top_logprobs", json!(-1)),
            ("logit_bias", json!({"x": 1})),
            ("logit_bias", json!({"-1": 1})),
            ("stream_options", json!({"include_usage": true})),
        ];
        for (field, value) in wrong {
            assert_eq!(
                check(field, value.clone()),
                Err(field.to_owned()),
                "{value}"
            );
        }
        let bias = json!({"7": 101});
        assert_eq!(check("logit_bias", bias), Err("logit_bias.7".to_owned()));
    }

    #[test]
    fn the_edges_are_right() {
        let right = [
            ("n", json!(1)),
            ("n", json!(16)),
            ("max_tokens", json!(1)),
            ("max_tokens", json!(i64::MAX)),
            ("temperature", json!(0)),
            ("temperature", json!(2)),
            ("top_p", json!(1)),
            ("min_p", json!(0)),
            ("top_k", json!(-1)),
            ("top_logprobs", json!(0)),
            ("frequency_penalty", json!(-2)),
            ("logit_bias", json!({"0": -100, "5": 100})),
            ("stop", json!(null)),
            ("seed", json!(-1)),
        ];
        for (field, value) in right {
            assert_eq!(check(field, value.clone()), Ok(()), "{field} {value}");
        }
    }

    #[test]
    fn limits_and_seeds() {
        let mut request = ChatRequest::new("m", vec![]);
        let job = |request: &ChatRequest, cap| {
            let jobs = Common::from(request).jobs(vec![Prompt::default()], cap, 7, 0);
            jobs.unwrap().remove(0)
        };
        assert_eq!(job(&request, None).max_tokens, None);
        assert_eq!(job(&request, Some(9)).max_tokens, Some(9));
        assert_eq!(job(&request, None).sampling.seed, Some(7));
        request.max_tokens = Some(5);
        request.max_completion_tokens = Some(6);
        (request.seed, request.top_k) = (Some(-1), Some(-1));
        let made = job(&request, Some(9));
        assert_eq!(made.max_tokens, Some(6));
        assert_eq!(job(&request, Some(4)).max_tokens, Some(4));
        assert_eq!(
            (made.sampling.seed, made.sampling.top_k),
            (Some(u64::MAX), Some(0))
        );
        request.n = Some(3);
        let jobs = Common::from(&request)
            .jobs(vec![Prompt::default(); 2], None, 7, 0)
            .unwrap();
        let seeds = jobs.iter().map(|job| job.sampling.seed.unwrap());
        assert_eq!(seeds.collect::<Vec<_>>(), [u64::MAX, 0, 1, u64::MAX, 0, 1]);
        let many = Common::from(&request).jobs(vec![Prompt::default(); 22], None, 7, 0);
        assert!(matches!(many, Err(ApiError::Invalid { param, .. }) if param == "n"));
    }
}
