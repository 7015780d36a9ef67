//! The promises that every policy must keep, checked in every situation there is.

use super::{
    Action, CloudState, ConsentState, Facts, Fault, Mode, ModelState, Network, Policy, Stage,
};
use crate::Error;

/// A promise in words, and whether an action breaks it. `None` is no rule at all.
type Promise = (&'static str, fn(&Policy, &Facts, Option<Action>) -> bool);

const PROMISES: &[Promise] = &[
    ("every situation has a rule", |_, _, action| {
        action.is_some()
    }),
    ("what is private never leaves", |_, facts, action| {
        !(facts.private && calls(action))
    }),
    (
        "what the person must be asked about does not leave without a yes",
        |_, facts, action| {
            let agreed = matches!(facts.consent, ConsentState::NotNeeded | ConsentState::Given);
            agreed || !calls(action)
        },
    ),
    (
        "the person is asked once, and not about what stays here anyway",
        |_, facts, action| {
            let open = !facts.private && facts.mode != Mode::Device;
            action != Some(Action::Ask) || open && facts.consent == ConsentState::Missing
        },
    ),
    (
        "the person is asked only where a yes calls the cloud",
        |policy, facts, action| {
            let given = || Facts {
                consent: ConsentState::Given,
                ..facts.clone()
            };
            action != Some(Action::Ask) || calls(policy.rule(&given()).map(|rule| rule.then))
        },
    ),
    ("mode device never calls the cloud", |_, facts, action| {
        !(facts.mode == Mode::Device && calls(action))
    }),
    (
        "a cloud that is off or offline is not called",
        |_, facts, action| {
            let absent = facts.cloud == CloudState::Off || facts.network == Network::Offline;
            !(absent && calls(action))
        },
    ),
    (
        "the cloud is not asked again when that does not help",
        |policy, facts, action| {
            let last = matches!(facts.fault, Fault::CloudInterrupted | Fault::CloudRefused);
            !((last || facts.cloud_tries >= policy.cloud_tries) && calls(action))
        },
    ),
    (
        "only an answer that has ended is kept",
        |_, facts, action| action != Some(Action::Keep) || facts.stage == Stage::End,
    ),
    (
        "an answer that has ended does not go on",
        |_, facts, action| action != Some(Action::Device) || facts.stage != Stage::End,
    ),
    ("a model that cannot run is not run", |_, facts, action| {
        let able = facts.model == ModelState::Ready && facts.fault != Fault::Device;
        action != Some(Action::Device) || able && facts.fits_context
    }),
    (
        "only what can be computed is called exact",
        |_, facts, action| {
            action != Some(Action::Exact) || facts.exact && facts.stage == Stage::Start
        },
    ),
    (
        "mode cloud leaves the answer to the cloud",
        |_, facts, action| {
            let local = matches!(action, Some(Action::Exact | Action::Device | Action::Keep));
            facts.mode != Mode::Cloud || !local
        },
    ),
    (
        "a takeover has something to take over",
        |_, facts, action| action != Some(Action::Handover) || facts.stage != Stage::Start,
    ),
    (
        "in mode auto an answer that is sure is kept",
        |_, facts, action| {
            let sure = facts
                .confidence
                .zip(facts.threshold)
                .is_some_and(|(c, t)| c >= t);
            let due = facts.mode == Mode::Auto && facts.stage == Stage::End && sure;
            !due || action == Some(Action::Keep)
        },
    ),
];

fn calls(action: Option<Action>) -> bool {
    action.is_some_and(|action| action.calls_cloud())
}

impl Policy {
    /// Goes through every situation and checks the promises.
    ///
    /// # Errors
    /// [`Error::Policy`] for the policy's form, [`Error::Promise`] for the first promise that it
    /// breaks, with the rule and the situation.
    pub fn check(&self) -> Result<(), Error> {
        self.check_form()?;
        let mut broken = None;
        self.for_each_situation(|facts| {
            let rule = self.rule(facts);
            let action = rule.map(|rule| rule.then);
            let promise = PROMISES
                .iter()
                .find(|(_, keeps)| !keeps(self, facts, action));
            if let (None, Some((promise, _))) = (&broken, promise) {
                let rule = rule.map_or_else(|| "(none)".to_owned(), |rule| rule.id.clone());
                broken = Some(Error::Promise {
                    rule,
                    promise,
                    situation: format!("{facts:?}"),
                });
            }
        });
        broken.map_or(Ok(()), Err)
    }

    fn check_form(&self) -> Result<(), Error> {
        let problem = |text: String| Err(Error::Policy(text));
        if self.version != 1 {
            return problem(format!("it has version {}, not 1", self.version));
        }
        if !(0.0..=1.0).contains(&self.early.ratio) {
            return problem(format!(
                "early.ratio is {}, not between 0 and 1",
                self.early.ratio
            ));
        }
        if !(1..=10).contains(&self.cloud_tries) {
            return problem(format!("cloud_tries is {}, not 1 to 10", self.cloud_tries));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.id.is_empty() || rule.reason.is_empty() {
                return problem(format!("rule {} has no id or no reason", index + 1));
            }
            if self.rules[..index]
                .iter()
                .any(|earlier| earlier.id == rule.id)
            {
                return problem(format!("two rules have the id \"{}\"", rule.id));
            }
            let plain = rule
                .reason
                .replace("{confidence}", "")
                .replace("{threshold}", "");
            if plain.contains(['{', '}']) {
                return problem(format!(
                    "the reason of rule \"{}\" has a placeholder other than \
                     {{confidence}} and {{threshold}}",
                    rule.id
                ));
            }
        }
        Ok(())
    }

    /// Calls back with one representative of every distinguishable combination of facts.
    fn for_each_situation(&self, mut visit: impl FnMut(&Facts)) {
        let last = self.cloud_tries;
        let all = vary(
            wishes_and_machines(),
            &[
                &|f| f.cloud_tries = 0,
                &|f| f.cloud_tries = last.saturating_sub(1),
                &|f| f.cloud_tries = last,
            ],
        );
        // No gate; a gate that has not spoken; sure; broken; hopeless but early; hopeless; unsure.
        let judged = |facts: &mut Facts, confidence, tokens| {
            (facts.confidence, facts.threshold, facts.tokens) = (confidence, Some(0.8), tokens);
        };
        let early = self.early.tokens;
        let all = vary(
            all,
            &[
                &|_| {},
                &|f| judged(f, None, early),
                &|f| judged(f, Some(0.9), early),
                &|f| judged(f, Some(f32::NAN), early),
                &|f| judged(f, Some(0.0), early.saturating_sub(1)),
                &|f| judged(f, Some(0.0), early),
                &|f| judged(f, Some(0.79), early),
            ],
        );
        all.iter().for_each(&mut visit);
    }
}

type Change<'a> = &'a dyn Fn(&mut Facts);

/// Every one of `all` with every one of the changes.
fn vary(all: Vec<Facts>, changes: &[Change<'_>]) -> Vec<Facts> {
    let changed = |facts: &Facts, change: Change<'_>| {
        let mut facts = facts.clone();
        change(&mut facts);
        facts
    };
    all.iter()
        .flat_map(|facts| changes.iter().map(|change| changed(facts, *change)))
        .collect()
}

/// Every combination of what is wanted and of what works.
fn wishes_and_machines() -> Vec<Facts> {
    let all = vec![Facts::default()];
    let all = vary(
        all,
        &[
            &|f| f.stage = Stage::Start,
            &|f| f.stage = Stage::Draft,
            &|f| f.stage = Stage::End,
        ],
    );
    let all = vary(
        all,
        &[&|f| f.mode = Mode::Auto, &|f| f.mode = Mode::Device, &|f| {
            f.mode = Mode::Cloud
        }],
    );
    let all = vary(all, &[&|f| f.private = false, &|f| f.private = true]);
    let all = vary(
        all,
        &[
            &|f| f.consent = ConsentState::NotNeeded,
            &|f| f.consent = ConsentState::Missing,
            &|f| f.consent = ConsentState::Given,
            &|f| f.consent = ConsentState::Refused,
        ],
    );
    let all = vary(all, &[&|f| f.exact = false, &|f| f.exact = true]);
    let all = vary(
        all,
        &[
            &|f| f.model = ModelState::Ready,
            &|f| f.model = ModelState::Missing,
            &|f| f.model = ModelState::Failed,
        ],
    );
    let all = vary(
        all,
        &[&|f| f.fits_context = true, &|f| f.fits_context = false],
    );
    let all = vary(
        all,
        &[&|f| f.cloud = CloudState::Off, &|f| {
            f.cloud = CloudState::Configured
        }],
    );
    let all = vary(
        all,
        &[&|f| f.network = Network::Online, &|f| {
            f.network = Network::Offline
        }],
    );
    vary(
        all,
        &[
            &|f| f.fault = Fault::None,
            &|f| f.fault = Fault::Device,
            &|f| f.fault = Fault::CloudUnreachable,
            &|f| f.fault = Fault::CloudInterrupted,
            &|f| f.fault = Fault::CloudRefused,
        ],
    )
}

#[cfg(test)]
mod tests;
