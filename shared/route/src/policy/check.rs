//! The promises that every policy must keep, checked in every situation there is.

use super::{Action, CloudState, Facts, Fault, Mode, ModelState, Network, Policy, Stage};
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
mod tests {
    use super::*;
    use crate::policy::{Refusal, decide};
    use serde_json::{Value, json};

    fn source() -> Value {
        serde_json::from_str(include_str!("../../policy.json")).unwrap()
    }

    fn read(value: &Value) -> Result<Policy, Error> {
        Policy::from_json(&serde_json::to_vec(value).unwrap())
    }

    #[test]
    fn the_builtin_policy_keeps_every_promise() {
        Policy::builtin().check().unwrap();
    }

    /// Independent of the promises above: the ones that matter most, spelled out.
    #[test]
    fn every_situation_model_checked() {
        let policy = Policy::builtin();
        let (mut situations, mut calls) = (0, 0);
        let mut fired = std::collections::BTreeSet::new();
        policy.for_each_situation(|facts| {
            let decision = decide(policy, facts);
            situations += 1;
            assert_ne!(
                decision.action,
                Action::Refuse(Refusal::Internal),
                "{facts:?}"
            );
            assert!(!decision.reason.contains('{'), "{}", decision.reason);
            let call = matches!(decision.action, Action::Cloud | Action::Handover);
            assert_eq!(call, decision.permit().is_some());
            if facts.private || facts.mode == Mode::Device || facts.cloud == CloudState::Off {
                assert!(!call, "{facts:?} is sent by rule {}", decision.rule);
            }
            calls += u32::from(call);
            fired.insert(decision.rule);
        });
        assert!(
            situations > 90_000 && calls > 1000,
            "{situations} situations, {calls} calls"
        );
        // No rule is dead, none is hidden by an earlier one.
        let rules: Vec<&str> = policy.rules().collect();
        let dead: Vec<_> = rules
            .iter()
            .filter(|rule| !fired.contains(**rule))
            .collect();
        assert!(dead.is_empty(), "rules that never apply: {dead:?}");
    }

    /// The check has teeth: each guard of what is private, taken out, is missed.
    #[test]
    fn without_any_private_guard_the_check_fails() {
        let guards = [
            "private-cloud-mode",
            "private-no-model",
            "private-failed",
            "private-too-long",
            "private-unsure",
        ];
        for guard in guards {
            let mut mutant = source();
            mutant["rules"]
                .as_array_mut()
                .unwrap()
                .retain(|rule| rule["id"] != guard);
            let error = read(&mutant).expect_err(guard);
            assert!(
                matches!(
                    error,
                    Error::Promise {
                        promise: "what is private never leaves",
                        ..
                    }
                ),
                "{guard}: {error}"
            );
        }
        let mut mutant = source();
        let rules = mutant["rules"].as_array_mut().unwrap();
        let early = rules
            .iter_mut()
            .find(|rule| rule["id"] == "early-unsure")
            .unwrap();
        early["when"].as_object_mut().unwrap().remove("private");
        assert!(
            matches!(read(&mutant), Err(Error::Promise { rule, .. }) if rule == "early-unsure")
        );
    }

    /// Behind the rules there is a second lock: a policy that was never checked gets no permit
    /// for anything private.
    #[test]
    fn even_an_unchecked_policy_gets_no_permit_for_what_is_private() {
        let mut mutant = source();
        mutant["rules"] = json!([{ "id": "leak", "when": {}, "then": "cloud", "reason": "!" }]);
        let policy: Policy = serde_json::from_value(mutant).unwrap();
        let open = Facts {
            cloud: CloudState::Configured,
            ..Facts::default()
        };
        assert!(decide(&policy, &open).permit().is_some());
        assert!(
            decide(
                &policy,
                &Facts {
                    private: true,
                    ..open.clone()
                }
            )
            .permit()
            .is_none()
        );
        assert!(
            decide(
                &policy,
                &Facts {
                    mode: Mode::Device,
                    ..open
                }
            )
            .permit()
            .is_none()
        );
    }

    #[test]
    fn malformed_policies_are_named() {
        type Change = fn(&mut Value);
        let changes: [(Change, &str); 9] = [
            (|p| p["version"] = json!(2), "version 2"),
            (|p| p["early"]["ratio"] = json!(1.5), "early.ratio"),
            (|p| p["cloud_tries"] = json!(0), "cloud_tries"),
            (
                |p| p["rules"][1]["id"] = json!("private-cloud-mode"),
                "two rules",
            ),
            (
                |p| p["rules"][1]["reason"] = json!("{question}"),
                "placeholder",
            ),
            (|p| p["rules"][1]["reason"] = json!(""), "no reason"),
            (|p| p["rules"][1]["when"]["mood"] = json!("good"), "mood"),
            (|p| p["rules"][1]["then"] = json!("shout"), "shout"),
            (|p| p["rules"] = json!([]), "every situation has a rule"),
        ];
        for (change, expected) in changes {
            let mut policy = source();
            change(&mut policy);
            let error = read(&policy).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Policy::from_json(b"").is_err());
    }

    #[test]
    fn what_a_person_meets() {
        let base = Facts {
            cloud: CloudState::Configured,
            threshold: Some(0.8),
            ..Facts::default()
        };
        let end = |confidence| Facts {
            stage: Stage::End,
            tokens: 20,
            confidence: Some(confidence),
            ..base.clone()
        };
        let unreachable = |tries| Facts {
            fault: Fault::CloudUnreachable,
            cloud_tries: tries,
            ..end(0.1)
        };
        let private = Action::Refuse(Refusal::PrivateUnanswerable);
        let draft = Facts {
            stage: Stage::Draft,
            ..end(0.1)
        };
        for (facts, action, rule) in [
            (
                Facts {
                    exact: true,
                    ..base.clone()
                },
                Action::Exact,
                "exact",
            ),
            (base.clone(), Action::Device, "device-first"),
            (draft.clone(), Action::Handover, "early-unsure"),
            (
                Facts {
                    tokens: 3,
                    ..draft.clone()
                },
                Action::Device,
                "go-on",
            ),
            (
                Facts {
                    confidence: Some(0.5),
                    ..draft.clone()
                },
                Action::Device,
                "go-on",
            ),
            (
                Facts {
                    private: true,
                    ..draft
                },
                Action::Device,
                "go-on",
            ),
            (end(0.8), Action::Keep, "sure"),
            (end(0.79), Action::Handover, "unsure"),
            (
                Facts {
                    private: true,
                    ..end(0.79)
                },
                private,
                "private-unsure",
            ),
            (
                Facts {
                    mode: Mode::Device,
                    ..end(0.1)
                },
                Action::Keep,
                "device-mode-unsure",
            ),
            (
                Facts {
                    cloud: CloudState::Off,
                    ..end(0.1)
                },
                Action::Keep,
                "unsure-no-cloud",
            ),
            (unreachable(1), Action::Handover, "unsure-retry"),
            (unreachable(2), Action::Keep, "unsure-cloud-unreachable"),
            (
                Facts {
                    model: ModelState::Missing,
                    ..base.clone()
                },
                Action::Cloud,
                "no-model",
            ),
        ] {
            let decision = decide(Policy::builtin(), &facts);
            assert_eq!(
                (decision.action, decision.rule.as_str()),
                (action, rule),
                "{facts:?}"
            );
        }
        let reason = decide(Policy::builtin(), &end(0.7999)).reason;
        assert!(
            reason.contains("79 % sure") && reason.contains("80 %"),
            "{reason}"
        );
    }

    #[test]
    fn refusal_codes_are_their_json() {
        for refusal in [
            Refusal::PrivateUnanswerable,
            Refusal::ModelFailed,
            Refusal::Internal,
        ] {
            assert_eq!(serde_json::to_value(refusal).unwrap(), refusal.code());
        }
    }
}
