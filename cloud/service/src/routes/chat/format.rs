//! The engine's events as OpenAI's chat completions.

use sprat_wire::{
    Answer, ChatRequest, Choice, Chunk, ChunkChoice, Completion, Continued, Delta, FinishReason,
    Logprobs, Role, RouteRecord, TokenLogprob, TopLogprob, Usage,
};

use super::calls::{self, Calls, Written};
use crate::routes::answer::{Collected, Format, Head, finish_reason, is_reported};
use crate::{Finish, Token};

/// A chat completion.
pub(super) struct Chat {
    head: Head,
    include_usage: bool,
    logprobs: bool,
    /// Where the model may call tools.
    calls: Option<Calls>,
    /// What became of `x_continue`, until it is said.
    continued: Option<Continued>,
}

impl Chat {
    pub(super) fn new(
        head: Head,
        request: &ChatRequest,
        calls: Option<Calls>,
        continued: Option<Continued>,
    ) -> Self {
        Self {
            head,
            calls,
            continued,
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
            x_continue: None,
            x_route: None,
        }
    }

    /// What comes of more of an answer's text.
    fn written(&mut self, index: usize, text: String) -> Written {
        match &mut self.calls {
            Some(calls) => calls.more(index, &text),
            None => Written {
                text,
                calls: vec![],
            },
        }
    }

    /// Why an answer ended.
    fn reason(&self, index: usize, finish: Finish) -> FinishReason {
        let has_called = |calls: &Calls| calls.has_called(index);
        match finish {
            Finish::Stop if self.calls.as_ref().is_some_and(has_called) => FinishReason::ToolCalls,
            finish => finish_reason(finish),
        }
    }

    /// A whole answer.
    fn choice(&mut self, index: usize, answer: Collected) -> Choice {
        let logprobs = self.logprobs(&answer.tokens);
        let text = answer.tokens.into_iter().map(|token| token.text).collect();
        let mut written = self.written(index, text);
        if let Some(calls) = &mut self.calls {
            let rest = calls.rest(index);
            written.text += &rest.text;
            written.calls.extend(rest.calls);
        }
        let silent = written.text.is_empty() && !written.calls.is_empty();
        Choice {
            index: index as u32,
            logprobs,
            message: Answer {
                role: Role::Assistant,
                content: (!silent).then_some(written.text),
                refusal: None,
                tool_calls: written.calls.into_iter().map(calls::whole).collect(),
            },
            finish_reason: answer.finish.map(|finish| self.reason(index, finish)),
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
            ..Delta::default()
        };
        let mut first = self.chunk(Some(ChunkChoice {
            index: index as u32,
            delta,
            ..ChunkChoice::default()
        }));
        first.x_continue = self.continued.take();
        Some(first)
    }

    fn token(&mut self, index: usize, token: Token) -> Option<Chunk> {
        let logprobs = self.logprobs(std::slice::from_ref(&token));
        let logprobs = logprobs.filter(|logprobs| !logprobs.content.is_empty());
        let written = self.written(index, token.text);
        if written.text.is_empty() && written.calls.is_empty() && logprobs.is_none() {
            return None;
        }
        let mut delta = delta(written);
        if delta.tool_calls.is_empty() {
            delta.content.get_or_insert_default();
        }
        Some(self.chunk(Some(ChunkChoice {
            index: index as u32,
            delta,
            logprobs,
            ..ChunkChoice::default()
        })))
    }

    fn last(&mut self, index: usize, finish: Finish, route: Option<RouteRecord>) -> Vec<Chunk> {
        let rest = self.calls.as_mut().map(|calls| calls.rest(index));
        let rest = rest.filter(|rest| !rest.text.is_empty() || !rest.calls.is_empty());
        let rest = rest.map(|rest| ChunkChoice {
            index: index as u32,
            delta: delta(rest),
            ..ChunkChoice::default()
        });
        let end = ChunkChoice {
            index: index as u32,
            finish_reason: Some(self.reason(index, finish)),
            ..ChunkChoice::default()
        };
        let mut end = self.chunk(Some(end));
        end.x_route = route;
        let rest = rest.map(|rest| self.chunk(Some(rest)));
        rest.into_iter().chain([end]).collect()
    }

    fn usage(&mut self, usage: Usage) -> Option<Chunk> {
        let mut chunk = self.chunk(None);
        chunk.usage = Some(Some(usage));
        self.include_usage.then_some(chunk)
    }

    fn whole(mut self, mut answers: Vec<Collected>, usage: Usage) -> Completion {
        let x_route = answers.first_mut().and_then(|answer| answer.route.take());
        let choices = answers
            .into_iter()
            .enumerate()
            .map(|(index, answer)| self.choice(index, answer));
        let choices = choices.collect();
        Completion {
            id: self.head.id,
            object: Completion::OBJECT.to_owned(),
            created: self.head.created,
            model: self.head.model,
            system_fingerprint: self.head.fingerprint,
            choices,
            usage: Some(usage),
            x_continue: self.continued,
            x_route,
        }
    }
}

fn delta(written: Written) -> Delta {
    Delta {
        role: None,
        content: (!written.text.is_empty()).then_some(written.text),
        tool_calls: calls::in_stream(written.calls),
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
