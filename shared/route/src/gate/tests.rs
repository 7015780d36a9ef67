use super::*;
use crate::signals::TokenSignal;
use proptest::prelude::*;

/// Answers of an imaginary model: one hidden quality drives signals and correctness.
pub(in crate::gate) fn answers(seed: u64, n: usize) -> Vec<Example> {
    let mut random = crate::random::SplitMix64::new(seed);
    (0..n)
        .map(|_| {
            let quality = random.unit();
            let length = 1 + random.below(12);
            let signals: Signals = (0..length)
                .map(|_| {
                    let p = (quality * 0.7 + random.unit() * 0.3).clamp(0.01, 0.99);
                    let (logprob, margin) = (libm::log(p) as f32, p as f32);
                    TokenSignal {
                        logprob,
                        margin,
                        entropy: 1.0 - p as f32,
                    }
                })
                .collect();
            let correct = random.unit() < 1.0 / (1.0 + libm::exp(-12.0 * (quality - 0.4)));
            Example::new(&signals, correct, random.next())
        })
        .collect()
}

fn gates() -> Vec<Gate> {
    [CalibrationKind::Logistic, CalibrationKind::Isotonic]
        .map(|calibration| {
            let options = FitOptions {
                calibration: Some(calibration),
                alpha: 0.1,
                ..FitOptions::default()
            };
            fit(&answers(1, 3000), &options).unwrap()
        })
        .into()
}

#[test]
fn storing_changes_no_confidence() {
    for gate in gates() {
        let read = Gate::from_json(gate.to_json().as_bytes()).unwrap();
        assert_eq!(read.threshold(), gate.threshold());
        for example in answers(2, 300) {
            let confidence = gate.confidence_of(&example.features);
            assert_eq!(confidence, read.confidence_of(&example.features));
        }
    }
}

#[test]
fn broken_signals_are_never_trusted() {
    let bad = TokenSignal {
        logprob: f32::NAN,
        margin: 0.9,
        entropy: 0.1,
    };
    for gate in gates() {
        assert!(!gate.keeps_nothing(), "{}", gate.fitted_on().note);
        for signals in [Signals::new(), [bad].into_iter().collect()] {
            assert_eq!(gate.confidence(&signals), 0.0);
            assert!(!gate.keeps(gate.confidence(&signals)));
        }
        assert!(!gate.keeps(f32::NAN));
    }
}

#[test]
fn a_gate_of_another_model_is_refused() {
    let options = FitOptions {
        model: Some("one".into()),
        ..FitOptions::default()
    };
    let gate = fit(&answers(1, 300), &options).unwrap();
    let gate = Gate::from_json(gate.to_json().as_bytes()).unwrap();
    assert!(gate.check_model("one").is_ok());
    let error = gate.check_model("two").unwrap_err();
    assert!(matches!(&error, Error::Gate(why) if why.contains("another model")));
    let nameless = fit(&answers(1, 300), &FitOptions::default()).unwrap();
    assert!(nameless.check_model("two").is_ok());
}

#[test]
fn a_draft_is_judged_once_by_its_first_tokens() {
    let gate = &gates()[0];
    let token = |p: f32| TokenSignal {
        logprob: p.ln(),
        margin: p,
        entropy: 1.0 - p,
    };
    let draft = |p: f32, n: usize| -> Signals { vec![token(p); n].into_iter().collect() };
    // Too short for it: the whole answer's measure.
    let short = draft(0.3, EARLY_TOKENS - 1);
    assert_eq!(gate.draft(&short), (gate.confidence(&short), None));
    let (lost, threshold) = gate.draft(&draft(0.05, EARLY_TOKENS));
    let (good, same) = gate.draft(&draft(0.95, EARLY_TOKENS));
    assert!(threshold == same && lost < threshold.unwrap() && good >= threshold.unwrap());
    // What comes later changes nothing of it.
    let mut longer = draft(0.05, EARLY_TOKENS);
    longer.extend(vec![token(0.99); 10]);
    assert_eq!(gate.draft(&longer).0, lost);
}

#[test]
fn a_gate_says_what_it_promises() {
    let gate = &gates()[0];
    let (bound, fitted) = (gate.bound().unwrap(), gate.fitted_on());
    assert_eq!((bound.alpha, bound.delta), (0.1, 0.05));
    assert_eq!(bound.n, fitted.calibrate as u64);
    assert_eq!(bound.coverage, fitted.kept as f64 / fitted.calibrate as f64);
    assert!(bound.coverage > 0.1);
}

#[test]
fn a_careful_gate_trusts_nothing() {
    let gate = Gate::careful();
    assert_eq!(gate.bound(), None);
    assert!(gate.keeps_nothing());
    for example in answers(2, 20) {
        assert!(gate.confidence_of(&example.features) < 1e-6);
    }
    assert!(!gate.keeps(1.0));
}

#[test]
fn a_damaged_gate_is_refused() {
    let [_, gate] = gates().try_into().unwrap();
    let good: serde_json::Value = serde_json::from_str(&gate.to_json()).unwrap();
    assert!(serde_json::from_value::<Gate>(good.clone()).is_ok());
    for (pointer, value) in [
        ("/version", serde_json::json!(7)),
        ("/features/0", serde_json::json!("temperature")),
        ("/logistic/weights/3", serde_json::json!(null)),
        ("/logistic/weights", serde_json::json!([1.0, 2.0])),
        ("/logistic/scale/2", serde_json::json!(0.0)),
        ("/calibration/isotonic/y", serde_json::json!([])),
        ("/calibration/isotonic/y/0", serde_json::json!(1.5)),
        ("/threshold", serde_json::json!(0.0)),
        ("/threshold", serde_json::json!("high")),
        ("/early/threshold", serde_json::json!(1.5)),
        ("/early/tokens", serde_json::json!(0)),
        ("/early/logistic/weights", serde_json::json!([1.0])),
        ("/fitted_on/alpha", serde_json::json!(-1)),
        ("/fitted_on/kept", serde_json::json!("many")),
        ("/fitted_on", serde_json::json!([])),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        let bytes = serde_json::to_vec(&bad).unwrap();
        let error = Gate::from_json(&bytes).expect_err(pointer).to_string();
        assert!(error.starts_with("cannot use the stored gate"), "{error}");
    }
    assert!(Gate::from_json(b"{").is_err());
}

proptest! {
    #[test]
    fn any_signals_give_a_probability(tokens in prop::collection::vec(any::<(f32, f32, f32)>(), 0..20)) {
        static GATES: std::sync::LazyLock<Vec<Gate>> = std::sync::LazyLock::new(gates);
        let signals: Signals = tokens
            .iter()
            .map(|&(logprob, margin, entropy)| TokenSignal { logprob, margin, entropy })
            .collect();
        for gate in GATES.iter() {
            prop_assert!((0.0..=1.0).contains(&gate.confidence(&signals)));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Gate::from_json(&bytes);
    }
}
