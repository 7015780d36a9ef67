//! The engine's events as OpenAI's text completions.

use sprat_wire::{RouteRecord, TextChoice, TextCompletion, TextLogprobs, TextRequest, Usage};

use crate::routes::answer::{Collected, Format, Head, finish_reason, is_reported};
use crate::{Finish, Token};

/// A text completion.
pub(super) struct Text {
    head: Head,
    include_usage: bool,
    logprobs: bool,
    /// What each prompt's answers begin with, if they do.
    echo: Vec<String>,
    n: usize,
    /// Characters of each answer so far.
    lengths: Vec<u32>,
}

impl Text {
    /// A completion of `answers`, `n` to each prompt.
    pub(super) fn new(
        head: Head,
        request: &TextRequest,
        n: usize,
        echo: Vec<String>,
        answers: usize,
    ) -> Self {
        let options = request.stream_options.as_ref();
        Self {
            head,
            include_usage: options.is_some_and(|options| options.include_usage),
            logprobs: request.logprobs.is_some(),
            echo,
            n,
            lengths: vec![0; answers],
        }
    }

    fn completion(&self, choices: Vec<TextChoice>) -> TextCompletion {
        let Head {
            id,
            created,
            model,
            fingerprint,
        } = &self.head;
        TextCompletion {
            id: id.clone(),
            object: TextCompletion::OBJECT.to_owned(),
            created: *created,
            model: model.clone(),
            system_fingerprint: fingerprint.clone(),
            choices,
            usage: self.include_usage.then_some(None),
            x_route: None,
        }
    }

    fn echo(&self, index: usize) -> Option<&String> {
        self.echo.get(index / self.n.max(1))
    }

    /// More of an answer.
    fn more(&mut self, index: usize, tokens: Vec<Token>) -> TextChoice {
        let mut all = TextLogprobs::default();
        let mut text = String::new();
        for token in tokens {
            if is_reported(&token) {
                let top = token
                    .top
                    .into_iter()
                    .map(|top| (top.text, finite(top.logprob)));
                all.tokens.push(token.text.clone());
                all.token_logprobs.push(finite(token.logprob));
                all.top_logprobs.push(top.collect());
                all.text_offset.push(self.lengths[index]);
            }
            self.lengths[index] += token.text.chars().count() as u32;
            text += &token.text;
        }
        TextChoice {
            index: index as u32,
            text,
            logprobs: self.logprobs.then_some(all),
            finish_reason: None,
        }
    }
}

/// JSON has no infinity; -9999 is what OpenAI writes for "never".
fn finite(logprob: f32) -> f32 {
    if logprob.is_finite() {
        logprob
    } else {
        -9999.0
    }
}

impl Format for Text {
    type Chunk = TextCompletion;
    type Whole = TextCompletion;

    fn first(&mut self, index: usize) -> Option<TextCompletion> {
        let text = self.echo(index)?.clone();
        Some(self.completion(vec![TextChoice {
            index: index as u32,
            text,
            ..TextChoice::default()
        }]))
    }

    fn token(&mut self, index: usize, token: Token) -> Option<TextCompletion> {
        let silent = token.text.is_empty() && !(self.logprobs && is_reported(&token));
        let choice = self.more(index, vec![token]);
        (!silent).then(|| self.completion(vec![choice]))
    }

    fn last(
        &mut self,
        index: usize,
        finish: Finish,
        route: Option<RouteRecord>,
    ) -> Vec<TextCompletion> {
        let mut completion = self.completion(vec![TextChoice {
            index: index as u32,
            finish_reason: Some(finish_reason(finish)),
            ..TextChoice::default()
        }]);
        completion.x_route = route;
        vec![completion]
    }

    fn usage(&mut self, usage: Usage) -> Option<TextCompletion> {
        let mut completion = self.completion(vec![]);
        completion.usage = Some(Some(usage));
        self.include_usage.then_some(completion)
    }

    fn whole(mut self, mut answers: Vec<Collected>, usage: Usage) -> TextCompletion {
        let route = answers.first_mut().and_then(|answer| answer.route.take());
        let mut choices = Vec::with_capacity(answers.len());
        for (index, answer) in answers.into_iter().enumerate() {
            let mut choice = self.more(index, answer.tokens);
            if let Some(echo) = self.echo(index) {
                choice.text.insert_str(0, echo);
            }
            choice.finish_reason = answer.finish.map(finish_reason);
            choices.push(choice);
        }
        let mut completion = self.completion(choices);
        completion.x_route = route;
        completion.usage = Some(Some(usage));
        completion
    }
}
