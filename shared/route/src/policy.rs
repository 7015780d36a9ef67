//! Who answers: the policy is data, `policy.json`, an ordered list of rules of which the first that
//! applies decides. This interpreter is pure, so page and server come to the same decision.
//!
//! A question is put to it several times: at the start, while the device writes, when its answer
//! has ended, and after a failure. What a rule may test:
//!
//! | condition | values |
//! |---|---|
//! | `stage` | `start`, `draft`, `end` |
//! | `mode` | `auto`, `device`, `cloud` |
//! | `private`, `exact` | `true`, `false` |
//! | `consent` | `not_needed`, `missing` (the person was not asked yet), `given`, `refused` |
//! | `device` | `able`, `missing` (no model), `failed`, `too_long` (for its context) |
//! | `cloud` | `able`, `retry` (unreachable, but tries are left), `off`, `offline`, `unreachable`, `interrupted`, `refused` |
//! | `confidence` | `sure`, `unsure`, `hopeless` (far below the threshold, after enough tokens), `unknown` (no gate) |
//!
//! A condition that is left out holds always. Before a policy is used, [`Policy::check`] goes
//! through every situation there is and refuses a policy that breaks a promise, for instance by
//! sending something private.

mod check;

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::{Error, privacy::Permit};

/// What the person wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The device first, the cloud where it is unsure.
    #[default]
    Auto,
    /// Never a call.
    Device,
    /// Straight to the cloud.
    Cloud,
}

/// How far the device's answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It has not begun.
    #[default]
    Start,
    /// It is being written; also after a takeover that failed before the answer was complete.
    Draft,
    /// It is complete.
    End,
}

/// The model on this device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// Loaded and checked.
    #[default]
    Ready,
    /// Not there, or not yet.
    Missing,
    /// It could not be loaded, or has failed since.
    Failed,
}

/// Whether there is a cloud to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloudState {
    /// An address is configured.
    Configured,
    /// None is.
    #[default]
    Off,
}

/// Whether the network is known to be down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// As far as is known, it works.
    #[default]
    Online,
    /// It certainly does not.
    Offline,
}

/// The latest failure while answering this question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// None so far.
    #[default]
    None,
    /// The device's model failed while answering.
    Device,
    /// The cloud gave no answer at all, or said that it is busy: trying again may help.
    CloudUnreachable,
    /// The cloud's answer broke off.
    CloudInterrupted,
    /// The cloud said no: trying again does not help.
    CloudRefused,
}

/// Whether the person agreed to send this question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentState {
    /// The conversation is open.
    #[default]
    NotNeeded,
    /// The person must be asked before it is sent, and was not yet.
    Missing,
    /// The person said yes.
    Given,
    /// The person said no.
    Refused,
}

/// All that a decision depends on. It holds no text of the conversation.
///
/// The default is the start of an open question in mode auto, with a model and without a cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// How far the device's answer is.
    pub stage: Stage,
    /// What the person wants.
    pub mode: Mode,
    /// Whether the conversation must stay on the device.
    pub private: bool,
    /// Whether the person agreed to send it; at first
    /// [`Thread::consent`](crate::privacy::Thread::consent).
    pub consent: ConsentState,
    /// Whether [`crate::exact::answer`] has the answer.
    pub exact: bool,
    /// The model on this device. Keep `Failed` once it failed: `fault` holds only the latest one.
    pub model: ModelState,
    /// Whether the conversation fits the model's context.
    pub fits_context: bool,
    /// Whether there is a cloud to ask.
    pub cloud: CloudState,
    /// Whether the network is known to be down.
    pub network: Network,
    /// The latest failure while answering this question.
    pub fault: Fault,
    /// Calls made to the cloud for this question so far.
    pub cloud_tries: u32,
    /// Tokens that the device has written.
    pub tokens: u32,
    /// The gate's confidence in them; `None` where there is no gate.
    pub confidence: Option<f32>,
    /// The gate's threshold; `None` where there is no gate.
    pub threshold: Option<f32>,
    /// The confidence below which a draft is hopeless, by [`Gate::draft`](crate::gate::Gate::draft);
    /// `None` for the policy's own measure.
    pub early_threshold: Option<f32>,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            stage: Stage::default(),
            mode: Mode::default(),
            private: false,
            consent: ConsentState::default(),
            exact: false,
            model: ModelState::default(),
            fits_context: true,
            cloud: CloudState::default(),
            network: Network::default(),
            fault: Fault::default(),
            cloud_tries: 0,
            tokens: 0,
            confidence: None,
            threshold: None,
            early_threshold: None,
        }
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Give the exact answer.
    Exact,
    /// Let the device's model begin, or go on.
    Device,
    /// The device's answer stands.
    Keep,
    /// Ask the cloud; nothing has been answered yet.
    Cloud,
    /// Ask the cloud; its answer replaces the device's draft.
    Handover,
    /// Ask the person whether the cloud may be asked; then decide again.
    Ask,
    /// Give an error.
    Refuse(Refusal),
}

impl Action {
    /// Whether it sends the conversation to the cloud.
    pub fn calls_cloud(&self) -> bool {
        matches!(self, Self::Cloud | Self::Handover)
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It is private, and this device cannot answer it well enough.
    PrivateUnanswerable,
    /// The cloud is needed, and the person does not want this sent.
    ConsentRefused,
    /// There is no model on this device.
    ModelMissing,
    /// The model on this device failed; the original failure tells more.
    ModelFailed,
    /// The conversation is longer than the model's context.
    ContextTooLong,
    /// The cloud is needed, and none is set up.
    CloudDisabled,
    /// The cloud is needed, and cannot be reached.
    CloudUnreachable,
    /// The cloud's answer broke off.
    CloudInterrupted,
    /// The cloud said no.
    CloudRefused,
    /// The policy has no rule for this; cannot happen with a checked policy.
    Internal,
}

impl Refusal {
    /// Its code, as in JSON: `private_unanswerable`, ...
    pub fn code(&self) -> &'static str {
        match self {
            Self::PrivateUnanswerable => "private_unanswerable",
            Self::ConsentRefused => "consent_refused",
            Self::ModelMissing => "model_missing",
            Self::ModelFailed => "model_failed",
            Self::ContextTooLong => "context_too_long",
            Self::CloudDisabled => "cloud_disabled",
            Self::CloudUnreachable => "cloud_unreachable",
            Self::CloudInterrupted => "cloud_interrupted",
            Self::CloudRefused => "cloud_refused",
            Self::Internal => "internal",
        }
    }
}

/// A decision, the rule that made it, and the reason for a person. Only [`decide`] makes one; a
/// decision for the cloud carries what [`Conversation::release`](crate::privacy::Conversation::release)
/// asks for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// What to do now.
    pub action: Action,
    /// Id of the rule.
    pub rule: String,
    /// One sentence for a person.
    pub reason: String,
    #[serde(skip)]
    permit: Option<Permit>,
    #[serde(skip)]
    may_offer: bool,
}

impl Decision {
    pub(crate) fn permit(&self) -> Option<&Permit> {
        self.permit.as_ref()
    }

    /// Whether the person is to be asked.
    pub(crate) fn may_offer(&self) -> bool {
        self.may_offer
    }

    /// The error of whoever shows it to release something.
    pub(crate) fn not_released(&self) -> Error {
        Error::NotReleased {
            rule: self.rule.clone(),
        }
    }
}

/// An ordered list of rules.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    version: u32,
    early: Early,
    cloud_tries: u32,
    rules: Vec<Rule>,
}

/// When a draft is given up before its end: after `tokens` tokens, where the confidence is below
/// the gate's early threshold or, if it has none, `ratio` times the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Early {
    tokens: u32,
    ratio: f32,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    id: String,
    when: When,
    then: Action,
    reason: String,
}

/// A rule's conditions; an absent one always holds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct When {
    stage: Option<Vec<Stage>>,
    mode: Option<Vec<Mode>>,
    private: Option<bool>,
    consent: Option<Vec<ConsentState>>,
    exact: Option<bool>,
    device: Option<Vec<Device>>,
    cloud: Option<Vec<Cloud>>,
    confidence: Option<Vec<Band>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Device {
    Able,
    Missing,
    Failed,
    TooLong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cloud {
    Able,
    Retry,
    Off,
    Offline,
    Unreachable,
    Interrupted,
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Band {
    Sure,
    Unsure,
    Hopeless,
    Unknown,
}

impl Policy {
    /// The policy that this crate ships.
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Policy> = LazyLock::new(|| {
            // Its check is a test, so that a page need not repeat it.
            serde_json::from_str(include_str!("../policy.json")).expect("the tests read it")
        });
        &BUILTIN
    }

    /// Reads a policy and checks it.
    ///
    /// # Errors
    /// [`Error::Policy`] where it is malformed, [`Error::Promise`] where it breaks a promise.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let policy: Self =
            serde_json::from_slice(bytes).map_err(|error| Error::Policy(error.to_string()))?;
        policy.check()?;
        Ok(policy)
    }

    /// Tokens before which a draft is never given up; it is not worth asking earlier.
    pub fn early_tokens(&self) -> u32 {
        self.early.tokens
    }

    /// Ids of the rules, in order.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.id.as_str())
    }

    fn device(facts: &Facts) -> Device {
        match facts.model {
            ModelState::Missing => Device::Missing,
            ModelState::Failed => Device::Failed,
            ModelState::Ready if facts.fault == Fault::Device => Device::Failed,
            ModelState::Ready if !facts.fits_context => Device::TooLong,
            ModelState::Ready => Device::Able,
        }
    }

    fn cloud(&self, facts: &Facts) -> Cloud {
        match (facts.cloud, facts.fault, facts.network) {
            (CloudState::Off, ..) => Cloud::Off,
            (_, Fault::CloudRefused, _) => Cloud::Refused,
            (_, Fault::CloudInterrupted, _) => Cloud::Interrupted,
            (_, _, Network::Offline) => Cloud::Offline,
            _ if facts.cloud_tries >= self.cloud_tries => Cloud::Unreachable,
            (_, Fault::CloudUnreachable, _) => Cloud::Retry,
            _ => Cloud::Able,
        }
    }

    fn band(&self, facts: &Facts) -> Band {
        let Some(threshold) = facts.threshold else {
            return Band::Unknown;
        };
        let Some(confidence) = facts.confidence else {
            // A gate that has not spoken about a complete answer has not kept it either.
            return if facts.stage == Stage::End {
                Band::Unsure
            } else {
                Band::Unknown
            };
        };
        let hopeless = facts
            .early_threshold
            .unwrap_or(self.early.ratio * threshold);
        // Written so that NaN falls on the cautious side.
        if confidence >= threshold {
            Band::Sure
        } else if facts.tokens >= self.early.tokens && confidence < hopeless {
            Band::Hopeless
        } else {
            Band::Unsure
        }
    }

    fn rule(&self, facts: &Facts) -> Option<&Rule> {
        let (device, cloud, band) = (Self::device(facts), self.cloud(facts), self.band(facts));
        self.rules.iter().find(|Rule { when, .. }| {
            holds(&when.stage, facts.stage)
                && holds(&when.mode, facts.mode)
                && when.private.is_none_or(|wanted| wanted == facts.private)
                && holds(&when.consent, facts.consent)
                && when.exact.is_none_or(|wanted| wanted == facts.exact)
                && holds(&when.device, device)
                && holds(&when.cloud, cloud)
                && holds(&when.confidence, band)
        })
    }
}

fn holds<V: PartialEq>(wanted: &Option<Vec<V>>, value: V) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted.contains(&value))
}

/// Decides what to do now. Total: where no rule applies, which [`Policy::check`] rules out, it
/// refuses.
///
/// ```
/// use sprat_route::policy::*;
/// let facts = Facts {
///     stage: Stage::End,
///     cloud: CloudState::Configured,
///     confidence: Some(0.41),
///     threshold: Some(0.8),
///     ..Facts::default()
/// };
/// let decision = decide(Policy::builtin(), &facts);
/// assert_eq!((decision.action, decision.rule.as_str()), (Action::Handover, "unsure"));
/// // The same, but private:
/// let decision = decide(Policy::builtin(), &Facts { private: true, ..facts });
/// assert_eq!(decision.action, Action::Refuse(Refusal::PrivateUnanswerable));
/// ```
pub fn decide(policy: &Policy, facts: &Facts) -> Decision {
    let Some(rule) = policy.rule(facts) else {
        return Decision {
            action: Action::Refuse(Refusal::Internal),
            rule: "no-rule".into(),
            reason: "The policy has no rule for this situation.".into(),
            permit: None,
            may_offer: false,
        };
    };
    // A second lock behind the rules: whatever they say, nothing private gets a permit, and nothing
    // that the person must be asked about and has not agreed to.
    let agreed = matches!(facts.consent, ConsentState::NotNeeded | ConsentState::Given);
    let may_leave = !facts.private && facts.mode != Mode::Device;
    Decision {
        action: rule.then,
        rule: rule.id.clone(),
        reason: reason(&rule.reason, facts),
        permit: (may_leave && agreed && rule.then.calls_cloud()).then(Permit::grant),
        may_offer: may_leave && rule.then == Action::Ask && facts.consent == ConsentState::Missing,
    }
}

/// Fills in `{confidence}` and `{threshold}`.
fn reason(template: &str, facts: &Facts) -> String {
    let percent = |value: Option<f32>| match value {
        // A gate that keeps nothing has a threshold above 1.
        Some(value) if value > 1.0 => "100 %".to_owned(),
        // Rounded down, so that "79 % is below 80 %" never reads "80 % is below 80 %".
        Some(value) => format!("{} %", libm::floorf(value.max(0.0) * 100.0 + 1e-3)),
        None => "0 %".to_owned(),
    };
    template
        .replace("{confidence}", &percent(facts.confidence))
        .replace("{threshold}", &percent(facts.threshold))
}
