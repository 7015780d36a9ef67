use super::*;
use crate::detect::detect;
use crate::policy::{Action, CloudState, Facts, Mode, Policy, decide};
use proptest::prelude::*;

const SECRET: &str = "my diary, page one";

fn to_cloud() -> Decision {
    let facts = Facts {
        mode: Mode::Cloud,
        cloud: CloudState::Configured,
        ..Facts::default()
    };
    decide(Policy::builtin(), &facts)
}

fn on_device() -> Decision {
    decide(Policy::builtin(), &Facts::default())
}

#[test]
fn an_open_conversation_is_released_only_by_a_decision_for_the_cloud() {
    let conversation = Conversation::<Open, &str>::from_turns(vec!["hello"]);
    assert_eq!(
        conversation.release(&to_cloud()).unwrap().into_inner(),
        ["hello"]
    );
    let error = conversation.release(&on_device()).unwrap_err();
    assert!(matches!(error, Error::NotReleased { rule } if rule == on_device().rule));
}

#[test]
fn an_altered_decision_releases_nothing() {
    let mut decision = on_device();
    decision.action = crate::policy::Action::Cloud;
    assert!(
        Conversation::<Open, &str>::new()
            .release(&decision)
            .is_err()
    );
}

#[test]
fn a_private_thread_is_never_released() {
    let thread = Thread::new(vec![SECRET], true);
    assert!(matches!(thread.release(&to_cloud()), Err(Error::Private)));
}

#[test]
fn joining_taints() {
    let open = || Conversation::<Open, u8>::from_turns(vec![1]);
    let private = || Conversation::<Private, u8>::from_turns(vec![2]);
    assert!(!join(open(), open()).is_private());
    assert!(join(open(), private()).is_private());
    assert!(join(private(), open()).is_private());
    assert!(join(private(), private()).is_private());
    assert_eq!(join(open(), private()).on_device(), [1, 2]);
}

#[test]
fn nothing_prints_a_turn() {
    let conversation = Conversation::<Open, &str>::from_turns(vec![SECRET]);
    let mut taint = Taint::new();
    taint.remember(&[SECRET]);
    let printed = [
        format!("{conversation:?}"),
        format!("{:?}", conversation.release(&to_cloud())),
        format!("{:?}", conversation.clone().into_private()),
        format!("{:?}", Thread::new(vec![SECRET], true)),
        format!("{taint:?}"),
        Thread::new(vec![SECRET], true)
            .release(&to_cloud())
            .unwrap_err()
            .to_string(),
        conversation.release(&on_device()).unwrap_err().to_string(),
    ];
    assert!(
        printed.iter().all(|text| !text.contains("diary")),
        "{printed:?}"
    );
}

#[test]
fn private_turns_are_recognized_when_they_come_back() {
    let mut taint = Taint::new();
    taint.remember(&["hi", "hello", SECRET, "I see, thank you for telling me"]);
    // The thread goes on; the page dropped its beginning; a turn is quoted in a new thread.
    assert!(taint.touches(&[
        "hi",
        "hello",
        SECRET,
        "I see, thank you for telling me",
        "and now?"
    ]));
    assert!(taint.touches(&[SECRET, "ok"]));
    assert!(taint.touches(&["new", "I see, thank you for telling me "]));
    // Small talk that anybody may say again.
    assert!(!taint.touches(&["hi", "hello", "what is a sprat?"]));
    assert!(!taint.touches(&[]));
    taint.remember(&["yes", "no"]);
    assert!(taint.touches(&["yes", "no", "what is a sprat?"]));
    assert!(!taint.touches(&["yes", "indeed"]));
    taint.remember(&[]);
    assert!(!taint.touches(&["something entirely different"]));
    taint.clear();
    assert!(!taint.touches(&[SECRET]));
}

/// A decision of mode cloud with this consent.
fn with_consent(consent: ConsentState) -> Decision {
    let facts = Facts {
        mode: Mode::Cloud,
        cloud: CloudState::Configured,
        consent,
        ..Facts::default()
    };
    decide(Policy::builtin(), &facts)
}

const CLOUD: &str = "https://cloud.example";

#[test]
fn what_the_person_agreed_to_is_released_and_nothing_else() {
    let (to_ask, given) = (
        with_consent(ConsentState::Missing),
        with_consent(ConsentState::Given),
    );
    let mut thread = Thread::new(vec![SECRET], Level::Ask);
    assert_eq!(thread.consent(), ConsentState::Missing);
    assert_eq!(to_ask.action, Action::Ask);
    let yes = |thread: &Thread<&'static str>| thread.offer(&to_ask, CLOUD).unwrap().accept();

    let offer = thread.offer(&to_ask, CLOUD).unwrap();
    assert_eq!(
        (offer.turns(), offer.to(), offer.reason()),
        (&[SECRET][..], CLOUD, to_ask.reason.as_str())
    );
    let released = thread.release_with(&given, offer.accept(), CLOUD).unwrap();
    assert_eq!(released.into_inner(), [SECRET]);

    // Without a yes, under a decision that is none, to somebody else.
    assert!(matches!(thread.release(&given), Err(Error::NoConsent)));
    let early = thread.release_with(&to_ask, yes(&thread), CLOUD);
    assert!(matches!(early, Err(Error::NotReleased { .. })));
    let other = thread.release_with(&given, yes(&thread), "https://other.example");
    assert!(matches!(other, Err(Error::OtherConsent)));
    // For what was said since.
    let consent = yes(&thread);
    thread.push("and page two", Level::Open);
    let more = thread.release_with(&given, consent, CLOUD);
    assert!(matches!(more, Err(Error::OtherConsent)));
    // For what has become private since.
    let consent = yes(&thread);
    thread.keep_private();
    let private = thread.release_with(&given, consent, CLOUD);
    assert!(matches!(private, Err(Error::Private)));
}

#[test]
fn only_a_decision_to_ask_makes_an_offer() {
    let thread = |level| Thread::new(vec![SECRET], level);
    let to_ask = with_consent(ConsentState::Missing);
    for decision in [to_cloud(), on_device(), with_consent(ConsentState::Refused)] {
        assert!(thread(Level::Ask).offer(&decision, CLOUD).is_err());
    }
    let private = thread(Level::Private).offer(&to_ask, CLOUD);
    assert!(matches!(private, Err(Error::Private)));
    assert!(thread(Level::Open).offer(&to_ask, CLOUD).is_err());
    let mut altered = on_device();
    altered.action = Action::Ask;
    assert!(thread(Level::Ask).offer(&altered, CLOUD).is_err());
}

#[test]
fn neither_an_offer_nor_a_consent_prints_a_turn() {
    let thread = Thread::new(vec![SECRET], Level::Ask);
    let offer = thread.offer(&with_consent(ConsentState::Missing), CLOUD);
    let offer = offer.unwrap();
    let printed = format!("{offer:?} {:?} {thread:?}", &thread);
    let consent = format!("{:?}", offer.accept());
    assert!(!printed.contains("diary") && !consent.contains("diary"));
}

#[test]
fn the_detector_raises_the_level_and_never_lowers_it() {
    let card = "pay with 4111 1111 1111 1111";
    let mail = "mail ana@example.com";
    for floor in [Level::Open, Level::Ask, Level::Private] {
        for text in ["what is a sprat?", mail, card] {
            let findings = detect(text);
            let mut thread = Thread::new(vec![text], floor);
            thread.raise_for(&findings);
            assert_eq!(thread.level(), floor.max(findings.level()));
        }
    }
    assert_eq!(
        (detect(mail).level(), detect(card).level()),
        (Level::Ask, Level::Private)
    );
}

#[test]
fn taint_keeps_levels() {
    let mut taint = Taint::new();
    let turns = [
        "my address is a long one",
        "I see, thank you for telling me",
    ];
    taint.remember_at(Level::Open, &turns);
    assert_eq!(taint.level(&turns), Level::Open);
    taint.remember_at(Level::Ask, &turns);
    assert_eq!(taint.level(&[turns[1]]), Level::Ask);
    assert!(!taint.touches(&turns));
    taint.remember(&turns);
    // What is said again in a thread that is asked about does not become less private.
    taint.remember_at(Level::Ask, &turns);
    assert_eq!(taint.level(&[turns[0], "ok"]), Level::Private);
}

fn any_level() -> impl Strategy<Value = Level> {
    prop_oneof![Just(Level::Open), Just(Level::Ask), Just(Level::Private)]
}

proptest! {
    #[test]
    fn private_once_is_private_for_ever(turns in prop::collection::vec(any::<bool>(), 0..20)) {
        let mut thread = Thread::new(Vec::new(), false);
        let mut expected = false;
        for (index, &private) in turns.iter().enumerate() {
            thread.push(index, private);
            expected |= private;
            prop_assert_eq!(thread.is_private(), expected);
            prop_assert_eq!(thread.release(&to_cloud()).is_err(), expected);
        }
        prop_assert_eq!(thread.on_device().len(), turns.len());
    }

    /// Turns, findings, the caller's word: whatever happens in whatever order, the level is the
    /// highest of all.
    #[test]
    fn a_level_only_rises(first in any_level(), steps in prop::collection::vec((0..3u8, any_level()), 0..20)) {
        let mut thread = Thread::new(Vec::new(), first);
        let mut expected = first;
        for (step, level) in steps {
            match step {
                0 => thread.push(0, level),
                1 => thread.raise(level),
                _ => thread = thread.clone(),
            }
            expected = if step == 2 { expected } else { expected.max(level) };
            prop_assert_eq!(thread.level(), expected);
            prop_assert_eq!(thread.release(&to_cloud()).is_ok(), expected == Level::Open);
            prop_assert_eq!(thread.offer(&with_consent(ConsentState::Missing), CLOUD).is_ok(), expected == Level::Ask);
        }
    }
}
