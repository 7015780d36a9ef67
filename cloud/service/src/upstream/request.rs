//! A job as another server's request.

use axum::body::Bytes;
use sprat_wire::{ChatRequest, StreamOptions, TextInput, TextRequest};

use super::UpstreamOptions;
use crate::{EngineError, Job, Prompt};

/// Which of OpenAI's APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Chat,
    Text,
}

/// The API that takes a prompt.
pub(super) fn api(prompt: &Prompt) -> Result<Api, EngineError> {
    match prompt {
        Prompt::Chat(_) => Ok(Api::Chat),
        Prompt::Text(_) => Ok(Api::Text),
        Prompt::Tokens(_) => Err(EngineError::Unsupported {
            what: "answers to tokens",
        }),
    }
}

/// The body of the request. Fields that the client has not set are left out, so that the server chooses.
pub(super) fn body(job: &Job, options: &UpstreamOptions) -> Result<Bytes, EngineError> {
    let json = match &job.prompt {
        Prompt::Chat(_) => serde_json::to_vec(&chat(job, options)),
        Prompt::Text(text) => serde_json::to_vec(&completion(job, text, options)),
        Prompt::Tokens(_) => return api(&job.prompt).map(|_| Bytes::new()),
    };
    // Our own shapes have only strings for names, so this cannot fail.
    json.map(Bytes::from).map_err(|_| EngineError::Generation)
}

fn chat(job: &Job, options: &UpstreamOptions) -> ChatRequest {
    let messages = match &job.prompt {
        Prompt::Chat(messages) => messages.clone(),
        _ => Vec::new(),
    };
    let sampling = &job.sampling;
    let limit = job.max_tokens.map(signed);
    let newer = options.max_completion_tokens;
    ChatRequest {
        stream: true,
        stream_options: usage(),
        max_tokens: limit.filter(|_| !newer),
        max_completion_tokens: limit.filter(|_| newer),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k.map(signed),
        min_p: sampling.min_p,
        repetition_penalty: sampling.repetition_penalty,
        seed: sampling.seed.map(seed),
        stop: job.stop.clone(),
        logprobs: wants_logprobs(job).then_some(true),
        top_logprobs: (job.top_logprobs > 0).then(|| signed(job.top_logprobs)),
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        logit_bias: bias(job),
        ..ChatRequest::new(&*options.model, messages)
    }
}

fn completion(job: &Job, text: &str, options: &UpstreamOptions) -> TextRequest {
    let sampling = &job.sampling;
    TextRequest {
        model: options.model.clone(),
        prompt: TextInput::Text(text.to_owned()),
        stream: true,
        stream_options: usage(),
        max_tokens: job.max_tokens.map(signed),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k.map(signed),
        min_p: sampling.min_p,
        repetition_penalty: sampling.repetition_penalty,
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        logit_bias: bias(job),
        seed: sampling.seed.map(seed),
        stop: job.stop.clone(),
        // Some servers take 0 for "none".
        logprobs: wants_logprobs(job).then(|| signed(job.top_logprobs.max(1))),
        ..TextRequest::default()
    }
}

fn wants_logprobs(job: &Job) -> bool {
    job.logprobs || job.top_logprobs > 0
}

fn usage() -> Option<StreamOptions> {
    Some(StreamOptions {
        include_usage: true,
    })
}

fn bias(job: &Job) -> Option<std::collections::BTreeMap<String, f32>> {
    let bias = &job.sampling.bias;
    let named = bias.iter().map(|(id, by)| (id.to_string(), *by));
    (!bias.is_empty()).then(|| named.collect())
}

/// Some servers read no more than 31 bits.
fn seed(seed: u64) -> i64 {
    (seed & 0x7fff_ffff) as i64
}

fn signed(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sprat_wire::{Message, Role};

    use super::*;

    fn sent(job: &Job, options: &UpstreamOptions) -> Value {
        serde_json::from_slice(&body(job, options).unwrap()).unwrap()
    }

    #[test]
    fn only_what_was_asked_for_is_sent() {
        let options = UpstreamOptions {
            model: "big".into(),
            ..UpstreamOptions::default()
        };
        let mut job = Job {
            prompt: Prompt::Chat(vec![Message::new(Role::User, "hi")]),
            ..Job::default()
        };
        let expected = json!({
            "model": "big",
            "messages": [{"role": "user", "content": "hi"}],
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        assert_eq!(sent(&job, &options), expected);
        (job.max_tokens, job.logprobs, job.top_logprobs) = (Some(5), true, 2);
        job.sampling.seed = Some(u64::MAX);
        job.sampling.bias = vec![(7, -1.0)];
        let body = sent(&job, &options);
        assert_eq!(body["max_tokens"], 5);
        assert_eq!(body["logprobs"], true);
        assert_eq!(body["top_logprobs"], 2);
        assert_eq!(body["seed"], 0x7fff_ffff);
        assert_eq!(body["logit_bias"], json!({"7": -1.0}));
        let newer = UpstreamOptions {
            max_completion_tokens: true,
            ..options.clone()
        };
        let body = sent(&job, &newer);
        assert_eq!(body["max_completion_tokens"], 5);
        assert!(body.get("max_tokens").is_none());
        job.prompt = Prompt::Text("once".into());
        let body = sent(&job, &options);
        assert_eq!(body["prompt"], "once");
        assert_eq!(body["logprobs"], 2);
        job.prompt = Prompt::Tokens(vec![1]);
        assert!(matches!(
            super::body(&job, &options),
            Err(EngineError::Unsupported { .. })
        ));
    }
}
