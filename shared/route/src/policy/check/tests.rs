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
    assert!(matches!(read(&mutant), Err(Error::Promise { rule, .. }) if rule == "early-unsure"));
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
