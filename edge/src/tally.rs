//! The account of one answer, kept while it comes, so that a receipt can be written at any
//! moment: at the end, at a failure, at a stop.

use sprat_route::gate;
use sprat_route::policy::{Decision, Facts};
use sprat_wire::{Bound, FinishReason, Receipt, Source, Usage};

/// What was answered and spent so far. Times are milliseconds from one fixed moment.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    began: f64,
    source: Option<Source>,
    /// Since when the cloud has been asked, while it is.
    calling: Option<f64>,
    text: String,
    rule: String,
    reason: String,
    confidence: Option<f32>,
    threshold: Option<f32>,
    /// Model and device in words of the device's answer.
    bound: Option<Bound>,
    local: Option<(String, String)>,
    cloud_model: Option<String>,
    device_tokens: Tokens,
    cloud_tokens: Tokens,
    /// Of the device, which the cloud goes on behind.
    continued: u32,
    /// Why the present text ended, if it has.
    finish: Option<FinishReason>,
    first_token: Option<f64>,
    cloud_ms: f64,
    bytes_sent: u64,
    cost_usd: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tokens {
    prompt: u32,
    cached: u32,
    completion: u32,
}

impl Tally {
    /// Of a question asked at `now`.
    pub(crate) fn new(now: f64) -> Self {
        Self {
            began: now,
            source: None,
            calling: None,
            text: String::new(),
            rule: String::new(),
            reason: String::new(),
            confidence: None,
            threshold: None,
            bound: None,
            local: None,
            cloud_model: None,
            device_tokens: Tokens::default(),
            cloud_tokens: Tokens::default(),
            continued: 0,
            finish: None,
            first_token: None,
            cloud_ms: 0.0,
            bytes_sent: 0,
            cost_usd: 0.0,
        }
    }

    /// Whose text this is now.
    pub(crate) fn source(&self) -> Option<Source> {
        self.source
    }

    /// `source` begins to answer, with an empty text.
    pub(crate) fn start(&mut self, source: Source, now: f64) {
        self.leave(now);
        self.calling = (source == Source::Cloud).then_some(now);
        self.source = Some(source);
        self.continued = 0;
        self.finish = None;
        self.text.clear();
    }

    /// The cloud goes on behind so many tokens of the device.
    pub(crate) fn goes_on(&mut self, tokens: u32) {
        self.continued = tokens;
    }

    /// The present text has ended, and why.
    pub(crate) fn finished(&mut self, reason: FinishReason) {
        self.finish = Some(reason);
    }

    /// More text.
    pub(crate) fn text(&mut self, text: &str, now: f64) {
        self.text.push_str(text);
        self.first_token.get_or_insert(now - self.began);
    }

    /// The text to fall back to when the present source gave none.
    pub(crate) fn fall_back_to(&mut self, draft: &str) {
        if self.text.is_empty() {
            draft.clone_into(&mut self.text);
        }
    }

    /// The latest decision of the policy.
    pub(crate) fn decided(&mut self, decision: &Decision, facts: &Facts) {
        self.rule.clone_from(&decision.rule);
        self.reason.clone_from(&decision.reason);
        self.confidence = facts.confidence;
        self.threshold = facts.threshold;
    }

    /// What the gate promises that judges this answer.
    pub(crate) fn bound(&mut self, bound: Option<gate::Bound>) {
        self.bound = bound.map(|bound| Bound {
            alpha: bound.alpha,
            delta: bound.delta,
            n: bound.n,
            coverage: bound.coverage,
        });
    }

    /// The device answers with this model, on this device in words.
    pub(crate) fn device(&mut self, model: String, device: String) {
        self.local = Some((model, device));
    }

    /// The device made a token; `prompt`: tokens of the prompt, and of them cached.
    pub(crate) fn token(&mut self, prompt: (u32, u32)) {
        (self.device_tokens.prompt, self.device_tokens.cached) = prompt;
        self.device_tokens.completion += 1;
    }

    /// A request of `bytes` for `model` leaves the device.
    pub(crate) fn sent(&mut self, model: &str, bytes: u64) {
        self.cloud_model = Some(model.to_owned());
        self.bytes_sent += bytes;
    }

    /// The cloud says which model it is.
    pub(crate) fn cloud_model(&mut self, name: String) {
        self.cloud_model = Some(name);
    }

    /// What the cloud counted, at these prices per million prompt and completion tokens.
    pub(crate) fn usage(&mut self, usage: &Usage, (prompt, completion): (f64, f64)) {
        self.cloud_tokens = Tokens {
            prompt: usage.prompt_tokens,
            cached: usage
                .prompt_tokens_details
                .as_ref()
                .map_or(0, |d| d.cached_tokens),
            completion: usage.completion_tokens,
        };
        self.cost_usd += (f64::from(usage.prompt_tokens) * prompt
            + f64::from(usage.completion_tokens) * completion)
            / 1e6;
    }

    /// Ends the account: the text, and the receipt if anybody has begun to answer.
    pub(crate) fn close(&mut self, now: f64) -> (String, Option<Receipt>) {
        self.leave(now);
        (
            self.text.clone(),
            self.source.map(|source| self.receipt(source, now)),
        )
    }

    fn receipt(&self, source: Source, now: f64) -> Receipt {
        let (model, device, tokens) = match source {
            Source::Exact => (None, None, Tokens::default()),
            Source::Device => {
                let (model, device) = self.local.clone().unzip();
                (model, device, self.device_tokens)
            }
            Source::Cloud => (self.cloud_model.clone(), None, self.cloud_tokens),
        };
        Receipt {
            source,
            rule: self.rule.clone(),
            reason: self.reason.clone(),
            confidence: self.confidence,
            threshold: self.threshold,
            bound: self.bound,
            model,
            device,
            prompt_tokens: tokens.prompt,
            cached_tokens: tokens.cached,
            completion_tokens: tokens.completion,
            continued_tokens: self.continued,
            finish_reason: self.finish,
            first_token_ms: self.first_token,
            device_ms: now - self.began - self.cloud_ms,
            cloud_ms: self.cloud_ms,
            total_ms: now - self.began,
            bytes_sent: self.bytes_sent,
            cost_usd: self.cost_usd,
        }
    }

    /// Books the time that the cloud was waited for; all other time is the device's.
    fn leave(&mut self, now: f64) {
        if let Some(since) = self.calling.take() {
            self.cloud_ms += now - since;
        }
    }
}
