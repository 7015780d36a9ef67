//! One question, from the asking to the receipt: exact answer, this device, the cloud.
//!
//! The policy decides every step; this file only does what it says and reports what happened as
//! [`Facts`]. The one call that leaves the device is [`Turn::ask_cloud`], and what it sends can
//! only come from [`Thread::release`], which a private conversation refuses.

mod draft;

use std::cell::RefCell;

use serde::Serialize;
use sprat_route::detect::Kind;
use sprat_route::exact;
use sprat_route::gate::Gate;
use sprat_route::policy::{
    Action, CloudState, ConsentState, Decision, Facts, Fault, Mode, ModelState, Network, Policy,
    Refusal, Stage, decide,
};
use sprat_route::privacy::{Consent, Level, Releasable, Thread};
use sprat_route::signals::{Signals, TokenSignal};
use sprat_wire::{FinishReason, Message, Receipt, Source};

use crate::cloud::{Bit, Cloud, Outgoing, Reply};
use crate::error::Error;
use crate::request::{Ask, Choice};
use crate::tally::Tally;
use draft::Draft;

/// What the page is told while an answer comes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[allow(clippy::large_enum_variant, reason = "each goes out as JSON at once")]
pub(crate) enum Event {
    /// The conversation has a higher level than the caller said, because of what is in it: kinds only.
    Level { level: Level, found: Vec<Kind> },
    /// `source` begins to answer; the text begins anew.
    Start { source: Source },
    /// More text of it.
    Delta { source: Source, text: String },
    /// The text so far was a draft; another source replaces it.
    Handover {
        from: Source,
        to: Source,
        rule: String,
        reason: String,
    },
    /// The answer that stands.
    End { text: String, receipt: Receipt },
}

/// The model on this device.
pub(crate) trait Local {
    /// Its answers as they come.
    type Run: Run;
    /// Waits until it is known whether the model can answer; with `briefly`, only a few seconds,
    /// after which a model that is still being fetched counts as missing.
    async fn settled(&self, briefly: bool) -> Result<ModelState, Error>;
    /// Why it cannot answer, if it failed.
    fn failure(&self) -> Option<Error>;
    /// Name of the model and the device in words.
    fn names(&self) -> (String, String);
    /// The calibrated judge of its answers.
    fn gate(&self) -> Option<Gate>;
    /// The prompt's tokens; [`Error::ContextTooLong`] if no room is left for an answer.
    fn prompt(&self, messages: &[Message]) -> Result<Vec<u32>, Error>;
    /// Names its tokenizer and chat template.
    fn text_id(&self) -> Option<String>;
    /// Begins to answer. Dropping the run ends it.
    fn run(&self, prompt: Vec<u32>, choice: &Choice) -> Self::Run;
}

/// One answer of a [`Local`].
pub(crate) trait Run {
    /// The next token; `None` when the answer is complete.
    async fn next(&mut self) -> Option<Result<Step, Error>>;
    /// Why it ended, once it has.
    fn finish(&self) -> Option<FinishReason>;
}

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) id: u32,
    /// May be empty while a character is incomplete.
    pub(crate) text: String,
    pub(crate) signal: TokenSignal,
    /// Tokens of the prompt, and how many of them were still in the cache.
    pub(crate) prompt: (u32, u32),
}

/// Everything one question needs.
pub(crate) struct Turn<'a, L: Local, C> {
    pub(crate) policy: &'a Policy,
    pub(crate) local: &'a L,
    /// `None`: no cloud is configured.
    pub(crate) cloud: Option<&'a C>,
    /// Milliseconds from any fixed moment.
    pub(crate) now: &'a dyn Fn() -> f64,
    pub(crate) emit: &'a dyn Fn(Event),
    /// What has been answered and spent so far; readable from outside when the turn is dropped.
    pub(crate) tally: &'a RefCell<Tally>,
}

/// What is known while a question is being answered.
struct State<R> {
    facts: Facts,
    draft: Option<Draft<R>>,
    gate: Option<Gate>,
    prompt: Vec<u32>,
    /// The person's yes, until it is used; then what it has released, for another try at the cloud.
    consent: Option<Consent<Message>>,
    agreed: Option<Releasable<Vec<Message>>>,
    /// The failure behind `facts.fault`.
    trouble: Option<Error>,
}

/// Tries at the cloud that no policy may exceed.
const MAX_CLOUD_TRIES: u32 = 5;

impl<L: Local, C: Cloud> Turn<'_, L, C> {
    /// Answers `ask`, whose conversation is `thread`. Ends with [`Event::End`] or an error; what
    /// was said until then is in the tally.
    pub(crate) async fn answer(&self, ask: &Ask, thread: &Thread<Message>) -> Result<(), Error> {
        let exact = exact::answer(ask.question());
        let mut state = self.look(ask, thread, exact.is_some()).await?;
        loop {
            let decision = decide(self.policy, &state.facts);
            self.tally.borrow_mut().decided(&decision, &state.facts);
            match decision.action {
                Action::Exact => {
                    let text = exact.as_ref().map(|exact| exact.text.clone());
                    self.start(Source::Exact);
                    self.delta(Source::Exact, text.unwrap_or_default());
                    self.tally.borrow_mut().finished(FinishReason::Stop);
                    return self.end();
                }
                Action::Device => self.step(&mut state, &ask.choice).await?,
                Action::Keep => return self.keep(state),
                Action::Cloud | Action::Handover => {
                    if self.try_cloud(&mut state, ask, thread, &decision).await? {
                        return self.end();
                    }
                }
                Action::Ask => self.ask_person(&mut state, ask, thread, &decision).await?,
                Action::Refuse(refusal) => return Err(self.refused(refusal, &decision, state)),
            }
        }
    }

    /// Gathers what the first decision needs, waiting for the model where it matters.
    async fn look(
        &self,
        ask: &Ask,
        thread: &Thread<Message>,
        exact: bool,
    ) -> Result<State<L::Run>, Error> {
        let facts = Facts {
            stage: Stage::Start,
            mode: ask.mode,
            private: thread.is_private(),
            consent: thread.consent(),
            exact,
            cloud: self
                .cloud
                .map_or(CloudState::Off, |_| CloudState::Configured),
            network: match self.cloud {
                Some(cloud) if cloud.is_offline() => Network::Offline,
                _ => Network::Online,
            },
            ..Facts::default()
        };
        let mut state = State {
            facts,
            draft: None,
            gate: None,
            prompt: Vec::new(),
            consent: None,
            agreed: None,
            trouble: None,
        };
        if exact || ask.mode == Mode::Cloud {
            return Ok(state);
        }
        let facts = &mut state.facts;
        // A person is not asked because a model is slow to come.
        let may_call =
            ask.mode == Mode::Auto && self.cloud.is_some() && thread.level() == Level::Open;
        facts.model = self.local.settled(may_call).await?;
        if facts.model == ModelState::Ready {
            match self.local.prompt(thread.on_device()) {
                Ok(prompt) => state.prompt = prompt,
                Err(error @ Error::ContextTooLong { .. }) => {
                    facts.fits_context = false;
                    state.trouble = Some(error);
                }
                Err(error) => return Err(error),
            }
            state.gate = self.local.gate();
            facts.threshold = state.gate.as_ref().map(Gate::threshold);
            let bound = state.gate.as_ref().and_then(Gate::bound);
            self.tally.borrow_mut().bound(bound);
        }
        Ok(state)
    }

    /// One more token from this device.
    async fn step(&self, state: &mut State<L::Run>, choice: &Choice) -> Result<(), Error> {
        if state.facts.model != ModelState::Ready {
            // A policy that goes on without a model would go on for ever.
            return Err(trouble(state.trouble.take()));
        }
        let mut draft = match state.draft.take() {
            Some(draft) => self.resume(draft),
            None => self.begin(std::mem::take(&mut state.prompt), choice),
        };
        match draft.run.next().await {
            Some(Ok(step)) => {
                state.facts.stage = Stage::Draft;
                self.take(&mut draft, step);
                state.facts.tokens = u32::try_from(draft.signals.len()).unwrap_or(u32::MAX);
                if state.facts.tokens >= self.policy.early_tokens()
                    && let Some(gate) = &state.gate
                {
                    let (confidence, threshold) = gate.draft(&draft.signals);
                    state.facts.confidence = Some(confidence);
                    state.facts.early_threshold = threshold;
                }
            }
            Some(Err(error)) => {
                state.facts.fault = Fault::Device;
                state.facts.model = ModelState::Failed;
                state.trouble = Some(error);
            }
            None => {
                draft.complete = true;
                state.facts.stage = Stage::End;
                state.facts.confidence = confidence(state.gate.as_ref(), &draft.signals);
            }
        }
        state.draft = Some(draft);
        Ok(())
    }

    fn begin(&self, prompt: Vec<u32>, choice: &Choice) -> Draft<L::Run> {
        self.start(Source::Device);
        let (model, device) = self.local.names();
        self.tally.borrow_mut().device(model, device);
        let run = self.local.run(prompt, choice);
        Draft {
            run,
            text: String::new(),
            ids: Vec::new(),
            text_id: self.local.text_id(),
            signals: Signals::new(),
            complete: false,
            doubted: false,
        }
    }

    /// Shows the draft again if a cloud that has failed since was answering in its place.
    fn resume(&self, draft: Draft<L::Run>) -> Draft<L::Run> {
        if self.tally.borrow().source() != Some(Source::Device) {
            self.start(Source::Device);
            self.delta(Source::Device, draft.text.clone());
        }
        draft
    }

    fn take(&self, draft: &mut Draft<L::Run>, step: Step) {
        draft.signals.push(step.signal);
        draft.ids.push(step.id);
        draft.text.push_str(&step.text);
        self.tally.borrow_mut().token(step.prompt);
        self.delta(Source::Device, step.text);
    }

    /// Lets the device's answer stand.
    fn keep(&self, state: State<L::Run>) -> Result<(), Error> {
        match state.draft {
            Some(draft) => {
                let draft = self.resume(draft);
                if let Some(reason) = draft.run.finish() {
                    self.tally.borrow_mut().finished(reason);
                }
                self.end()
            }
            None => Err(trouble(state.trouble)),
        }
    }

    /// Asks the cloud. Returns whether it answered; if not, the facts say why.
    async fn try_cloud(
        &self,
        state: &mut State<L::Run>,
        ask: &Ask,
        thread: &Thread<Message>,
        decision: &Decision,
    ) -> Result<bool, Error> {
        if state.facts.cloud_tries >= MAX_CLOUD_TRIES {
            return Err(trouble(state.trouble.take()));
        }
        if state.facts.cloud_tries > 0
            && let Some(cloud) = self.cloud
        {
            cloud.pause().await;
        } else if state.draft.is_some() {
            (self.emit)(Event::Handover {
                from: Source::Device,
                to: Source::Cloud,
                rule: decision.rule.clone(),
                reason: decision.reason.clone(),
            });
        }
        state.facts.cloud_tries += 1;
        if let Some(draft) = &mut state.draft
            && state.facts.model == ModelState::Ready
        {
            draft.doubted = true;
        }
        let released = self.release(state, thread, decision)?;
        // A person who was asked has been shown the conversation, and no answer that was begun.
        let begun = state
            .draft
            .as_ref()
            .filter(|draft| thread.level() == Level::Open && draft.is_broken_off(&state.facts));
        let mut asked = self.ask_cloud(ask, released.clone(), begun).await;
        if let (
            Err(Error::CloudRefused {
                status: 400 | 422, ..
            }),
            Some(_),
        ) = (&asked, begun)
        {
            // Another kind of server, which knows nothing of answers that were begun.
            asked = self.ask_cloud(ask, released, None).await;
        }
        let Err(error) = asked else {
            return Ok(true);
        };
        state.facts.fault = match error {
            // A server that is busy, or a proxy whose server is not there yet: worth another try.
            Error::CloudUnreachable(_)
            | Error::CloudRefused {
                status: 429 | 502..=504,
                ..
            } => Fault::CloudUnreachable,
            Error::CloudInterrupted(_) => Fault::CloudInterrupted,
            Error::CloudRefused { .. } => Fault::CloudRefused,
            other => return Err(other),
        };
        state.trouble = Some(error);
        Ok(false)
    }

    /// Shows the person what would be sent. Without an answer nothing goes on.
    async fn ask_person(
        &self,
        state: &mut State<L::Run>,
        ask: &Ask,
        thread: &Thread<Message>,
        decision: &Decision,
    ) -> Result<(), Error> {
        let cloud = self.cloud.ok_or(Error::CloudDisabled)?;
        let offer = thread.offer(decision, cloud.address());
        let offer = offer.map_err(|e| Error::Internal(e.to_string()))?;
        state.facts.consent = match cloud.agrees(&offer, &ask.choice.stop).await {
            true => {
                state.consent = Some(offer.accept());
                ConsentState::Given
            }
            false => ConsentState::Refused,
        };
        Ok(())
    }

    /// What may be sent. A private thread has no release: this is the private lane's end.
    fn release(
        &self,
        state: &mut State<L::Run>,
        thread: &Thread<Message>,
        decision: &Decision,
    ) -> Result<Releasable<Vec<Message>>, Error> {
        let cloud = self.cloud.ok_or(Error::CloudDisabled)?;
        if state.agreed.is_none()
            && let Some(consent) = state.consent.take()
        {
            let agreed = thread.release_with(decision, consent, cloud.address());
            state.agreed = Some(agreed.map_err(|e| Error::Internal(e.to_string()))?);
        }
        match &state.agreed {
            Some(agreed) => Ok(agreed.clone()),
            None => thread
                .release(decision)
                .map_err(|e| Error::Internal(e.to_string())),
        }
    }

    /// The only way out of the device.
    async fn ask_cloud(
        &self,
        ask: &Ask,
        released: Releasable<Vec<Message>>,
        begun: Option<&Draft<L::Run>>,
    ) -> Result<(), Error> {
        let cloud = self.cloud.ok_or(Error::CloudDisabled)?;
        let released = released.with(begun.and_then(Draft::continuation));
        let outgoing = Outgoing::new(released, cloud.model(), &ask.choice)?;
        self.start(Source::Cloud);
        self.tally.borrow_mut().sent(cloud.model(), outgoing.len());
        let mut reply = cloud.send(&outgoing).await?;
        while let Some(bit) = reply.next().await {
            match bit? {
                Bit::Model(name) => self.tally.borrow_mut().cloud_model(name),
                Bit::Continued(tokens) => {
                    // Behind all of it or anew: there is nothing between that would fit together.
                    let whole = |draft: &&Draft<L::Run>| draft.ids.len() == tokens as usize;
                    if let Some(draft) = begun.filter(whole) {
                        self.tally.borrow_mut().goes_on(tokens);
                        self.delta(Source::Cloud, draft.text.clone());
                    }
                }
                Bit::Text(text) => self.delta(Source::Cloud, text),
                Bit::Finished(reason) => self.tally.borrow_mut().finished(reason),
                Bit::Usage(usage) => self.tally.borrow_mut().usage(&usage, cloud.price()),
            }
        }
        Ok(())
    }

    fn refused(&self, refusal: Refusal, decision: &Decision, state: State<L::Run>) -> Error {
        if let Some(draft) = &state.draft {
            self.tally.borrow_mut().fall_back_to(&draft.text);
        }
        match (refusal, state.trouble) {
            (Refusal::PrivateUnanswerable, _) => {
                Error::PrivateUnanswerable(decision.reason.clone())
            }
            (Refusal::ConsentRefused, _) => Error::ConsentRefused(decision.reason.clone()),
            (Refusal::CloudDisabled, _) => Error::CloudDisabled,
            (Refusal::CloudUnreachable, None) => Error::CloudUnreachable(decision.reason.clone()),
            (_, Some(trouble)) => trouble,
            (Refusal::Internal, None) => Error::Internal(decision.reason.clone()),
            (_, None) => self.local.failure().unwrap_or_else(|| Error::ModelMissing {
                url: "the model's address".to_owned(),
                reason: decision.reason.clone(),
            }),
        }
    }

    fn start(&self, source: Source) {
        self.tally.borrow_mut().start(source, (self.now)());
        (self.emit)(Event::Start { source });
    }

    fn delta(&self, source: Source, text: String) {
        if !text.is_empty() {
            self.tally.borrow_mut().text(&text, (self.now)());
            (self.emit)(Event::Delta { source, text });
        }
    }

    fn end(&self) -> Result<(), Error> {
        let (text, receipt) = self.tally.borrow_mut().close((self.now)());
        let receipt = receipt.ok_or_else(|| Error::Internal("nobody answered".into()))?;
        (self.emit)(Event::End { text, receipt });
        Ok(())
    }
}

fn confidence(gate: Option<&Gate>, signals: &Signals) -> Option<f32> {
    gate.map(|gate| gate.confidence(signals))
}

fn trouble(trouble: Option<Error>) -> Error {
    trouble.unwrap_or_else(|| Error::Internal("the policy stopped without a reason".into()))
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "takeover_tests.rs"]
mod takeover_tests;
