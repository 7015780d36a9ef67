use super::*;
use crate::policy::{Refusal, decide};

use serde_json::{Value, json};

fn source() -> Value {
    serde_json::from_str(include_str!("../../../policy.json")).unwrap()
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
        if matches!(facts.consent, ConsentState::Missing | ConsentState::Refused) {
            assert!(!call, "{facts:?} is sent by rule {}", decision.rule);
        }
        // Whoever is asked can say yes and no, and both lead on.
        let asks = decision.action == Action::Ask;
        assert_eq!(asks, decision.may_offer());
        if asks {
            assert!(facts.consent == ConsentState::Missing && !facts.private);
            let said = |consent| {
                let facts = Facts {
                    consent,
                    ..facts.clone()
                };
                decide(policy, &facts).action
            };
            assert!(said(ConsentState::Given).calls_cloud());
            let no = said(ConsentState::Refused);
            assert!(matches!(
                no,
                Action::Keep | Action::Refuse(Refusal::ConsentRefused)
            ));
        }
        calls += u32::from(call);
        fired.insert(decision.rule);
    });
    assert!(
        situations > 360_000 && calls > 1000,
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
    assert!(matches!(read(&mutant), Err(Error::Promise { rule, .. }) if rule == "early-unsure"));
}

/// A policy that knows nothing of consent, as all were before, is refused; so is one that asks for
/// nothing.
#[test]
fn a_policy_without_a_rule_to_ask_is_refused() {
    for id in ["cloud-mode", "no-device", "unsure"] {
        let mut mutant = source();
        let rules = mutant["rules"].as_array_mut().unwrap();
        rules.retain(|rule| rule["id"] != format!("{id}-ask"));
        let error = read(&mutant).expect_err(id).to_string();
        assert!(error.contains("does not leave without a yes"), "{error}");
    }
    let mut mutant = source();
    let rules = mutant["rules"].as_array_mut().unwrap();
    rules.retain(|rule| rule["id"] != "cloud-mode-refused-consent");
    let error = read(&mutant).unwrap_err().to_string();
    assert!(error.contains("does not leave without a yes"), "{error}");
    // Asked in vain: the cloud is off, the mode is device.
    for when in [json!({ "cloud": ["off"] }), json!({ "mode": ["device"] })] {
        let mut mutant = source();
        let ask = json!({ "id": "vain", "when": when, "then": "ask", "reason": "?" });
        mutant["rules"].as_array_mut().unwrap().insert(0, ask);
        let error = read(&mutant).unwrap_err().to_string();
        assert!(error.contains("the person is asked"), "{error}");
    }
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
    for consent in [ConsentState::Missing, ConsentState::Refused] {
        let facts = Facts {
            consent,
            ..open.clone()
        };
        assert!(decide(&policy, &facts).permit().is_none());
    }
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
    let asked = |consent, facts: &Facts| Facts {
        consent,
        ..facts.clone()
    };
    let failed = Facts {
        model: ModelState::Failed,
        ..base.clone()
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
        // The gate's own early measure, where it has one.
        (
            Facts {
                early_threshold: Some(0.05),
                ..draft.clone()
            },
            Action::Device,
            "go-on",
        ),
        (
            Facts {
                confidence: Some(0.5),
                early_threshold: Some(0.6),
                ..draft.clone()
            },
            Action::Handover,
            "early-unsure",
        ),
        (
            Facts {
                private: true,
                ..draft.clone()
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
        (
            asked(ConsentState::Missing, &end(0.79)),
            Action::Ask,
            "unsure-ask",
        ),
        (
            asked(ConsentState::Given, &end(0.79)),
            Action::Handover,
            "unsure",
        ),
        (
            asked(ConsentState::Refused, &end(0.79)),
            Action::Keep,
            "unsure-refused-consent",
        ),
        // Not in the middle of an answer that goes on by itself.
        (
            asked(ConsentState::Missing, &draft),
            Action::Device,
            "go-on",
        ),
        (
            asked(ConsentState::Missing, &failed),
            Action::Ask,
            "no-device-ask",
        ),
        (
            asked(ConsentState::Refused, &failed),
            Action::Refuse(Refusal::ConsentRefused),
            "no-device-refused-consent",
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
        Refusal::ConsentRefused,
        Refusal::ModelFailed,
        Refusal::Internal,
    ] {
        assert_eq!(serde_json::to_value(refusal).unwrap(), refusal.code());
    }
}
