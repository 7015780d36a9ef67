//! The engine's events as OpenAI's chat completions.

use sprat_wire::{
    Answer, ChatRequest, Choice, Chunk, ChunkChoice, Completion, Delta, Logprobs, Role,
    RouteRecord, TokenLogprob, TopLogprob, Usage,
};

use crate::routes::answer::{Collected, Format, Head, finish_reason, is_reported};
use crate::{Finish, Token};

/// A chat completion.
pub(super) struct Chat {
    head: Head,
    include_usage: bool,
    logprobs: bool,
}

impl Chat {
    pub(super) fn new(head: Head, request: &ChatRequest) -> Self {
        Self {
            head,
            include_usage: request.include_usage(),
            logprobs: request.logprobs == Some(true),
        }
    }

    /// A chunk with one choice, or with none.
    fn chunk(&self, choice: Option<ChunkChoice>) -> Chunk {
        let Head {
            id,
            created,
            model,
            fingerprint,
        } = &self.head;
        Chunk {
            id: id.clone(),
            object: Chunk::OBJECT.to_owned(),
            created: *created,
            model: model.clone(),
            system_fingerprint: fingerprint.clone(),
            choices: choice.into_iter().collect(),
            usage: self.include_usage.then_some(None),
            x_route: None,
        }
    }

    fn logprobs(&self, tokens: &[Token]) -> Option<Logprobs> {
        let reported = tokens.iter().filter(|token| is_reported(token));
        self.logprobs.then(|| Logprobs {
            content: reported.map(token_logprob).collect(),
            refusal: None,
        })
    }
}

impl Format for Chat {
    type Chunk = Chunk;
    type Whole = Completion;

    fn first(&mut self, index: usize) -> Option<Chunk> {
        let delta = Delta {
            role: Some(Role::Assistant),
            content: Some(String::new()),
        };
        Some(self.chunk(Some(ChunkChoice {
            index: index as u32,
            delta,
            ..ChunkChoice::default()
        })))
    }

    fn token(&mut self, index: usize, token: Token) -> Option<Chunk> {
        let logprobs = self.logprobs(std::slice::from_ref(&token));
        let logprobs = logprobs.filter(|logprobs| !logprobs.content.is_empty());
        if token.text.is_empty() && logprobs.is_none() {
            return None;
        }
        let delta = Delta {
            role: None,
            content: Some(token.text),
        };
        Some(self.chunk(Some(ChunkChoice {
            index: index as u32,
            delta,
            logprobs,
            ..ChunkChoice::default()
        })))
    }

    fn last(&mut self, index: usize, finish: Finish, route: Option<RouteRecord>) -> Chunk {
        let mut chunk = self.chunk(Some(ChunkChoice {
            index: index as u32,
            finish_reason: Some(finish_reason(finish)),
            ..ChunkChoice::default()
        }));
        chunk.x_route = route;
        chunk
    }

    fn usage(&mut self, usage: Usage) -> Option<Chunk> {
        let mut chunk = self.chunk(None);
        chunk.usage = Some(Some(usage));
        self.include_usage.then_some(chunk)
    }

    fn whole(self, mut answers: Vec<Collected>, usage: Usage) -> Completion {
        let x_route = answers.first_mut().and_then(|answer| answer.route.take());
        let choices = answers
            .into_iter()
            .enumerate()
            .map(|(index, answer)| Choice {
                index: index as u32,
                logprobs: self.logprobs(&answer.tokens),
                message: Answer {
                    role: Role::Assistant,
                    content: Some(answer.tokens.into_iter().map(|token| token.text).collect()),
                    refusal: None,
                },
                finish_reason: answer.finish.map(finish_reason),
            });
        let choices = choices.collect();
        Completion {
            id: self.head.id,
            object: Completion::OBJECT.to_owned(),
            created: self.head.created,
            model: self.head.model,
            system_fingerprint: self.head.fingerprint,
            choices,
            usage: Some(usage),
            x_route,
        }
    }
}

fn token_logprob(token: &Token) -> TokenLogprob {
    let top = token.top.iter().map(|other| TopLogprob {
        token: other.text.clone(),
        logprob: other.logprob,
        bytes: Some(other.text.clone().into_bytes()),
    });
    TokenLogprob {
        token: token.text.clone(),
        logprob: token.logprob,
        bytes: Some(token.text.clone().into_bytes()),
        top_logprobs: top.collect(),
    }
}
