//! Answers that change hands in the middle.

use super::tests::{SURE, Script, Sky, UNSURE, ask, said};
use super::*;

/// Says two words and breaks.
fn breaking() -> Script {
    let mut model = Script::says(&["Par", "is "], SURE);
    model.break_off(Error::WebgpuLost("the driver was reset".into()));
    model
}

fn request(sky: &Sky, index: usize) -> serde_json::Value {
    serde_json::from_str(&sky.requests()[index]).unwrap()
}

#[test]
fn the_cloud_goes_on_where_the_device_broke_off() {
    let goes_on = vec![
        Ok(Bit::Model("sprat-small".into())),
        Ok(Bit::Continued(2)),
        Ok(Bit::Text("is big".into())),
    ];
    let sky = Sky::new([Ok(goes_on)]);
    let outcome = ask("Which?", Mode::Auto, false, &breaking(), Some(&sky));
    let (text, receipt) = outcome.end();
    assert_eq!((text, receipt.source), ("Paris is big", Source::Cloud));
    assert_eq!(receipt.continued_tokens, 2);
    let begun = serde_json::json!({"tokens": [101, 102], "text_id": "same"});
    assert_eq!(request(&sky, 0)["x_continue"], begun);
    // What is shown never gets shorter: the beginning comes again at once.
    let told = outcome.events().iter().filter_map(|event| match event {
        Event::Delta {
            source: Source::Cloud,
            text,
        } => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), ["Paris ", "is big"]);
}

/// So does one that speaks of other tokens than it was sent.
#[test]
fn a_cloud_of_another_tokenizer_begins_anew() {
    for tokens in [0, 1, 3] {
        let mut anew = said("Berlin");
        anew.insert(1, Ok(Bit::Continued(tokens)));
        let sky = Sky::new([Ok(anew)]);
        let outcome = ask("Which?", Mode::Auto, false, &breaking(), Some(&sky));
        let (text, receipt) = outcome.end();
        assert_eq!((text, receipt.continued_tokens), ("Berlin", 0));
    }
}

/// Servers that are not ours refuse a field that they do not know: they are asked again without it, at once.
#[test]
fn a_cloud_that_knows_nothing_of_it_is_asked_again() {
    let refused = Error::CloudRefused {
        status: 400,
        message: "unknown field".into(),
    };
    let sky = Sky::new([Err(refused), Ok(said("Berlin"))]);
    let outcome = ask("Which?", Mode::Auto, false, &breaking(), Some(&sky));
    let (text, receipt) = outcome.end();
    assert_eq!((text, receipt.continued_tokens), ("Berlin", 0));
    assert!(request(&sky, 0).get("x_continue").is_some());
    assert!(request(&sky, 1).get("x_continue").is_none());
    let sent: usize = sky.requests().iter().map(String::len).sum();
    assert_eq!(receipt.bytes_sent, sent as u64);
}

/// What the gate has doubted is no beginning for anybody.
#[test]
fn a_doubted_answer_is_not_gone_on_with() {
    let sky = Sky::says("Certainly");
    let model = Script::says(&["Per", "haps"], UNSURE);
    let outcome = ask("Why?", Mode::Auto, false, &model, Some(&sky));
    assert_eq!(outcome.end().0, "Certainly");
    assert!(request(&sky, 0).get("x_continue").is_none());
}

/// Nor is it when the device has gone on with it, because the cloud gave nothing, and fails then.
#[test]
fn a_doubted_answer_that_breaks_off_later_is_not_gone_on_with() {
    let no = |status| Error::CloudRefused {
        status,
        message: "not now".into(),
    };
    let broken = Error::CloudInterrupted("the line broke".into());
    for first in [
        no(403),
        no(503),
        Error::CloudUnreachable("no network".into()),
        broken,
    ] {
        let mut model = Script::says(&["Per"; 10], UNSURE);
        model.break_off(Error::WebgpuLost("the driver was reset".into()));
        let sky = Sky::new([Err(first), Ok(said("Certainly"))]);
        let outcome = ask("Why?", Mode::Auto, false, &model, Some(&sky));
        assert_eq!(outcome.end().0, "Certainly");
        assert_eq!(sky.requests().len(), 2);
        assert!(request(&sky, 1).get("x_continue").is_none());
    }
}

#[test]
fn nothing_of_a_private_answer_is_gone_on_with() {
    let sky = Sky::says("never");
    let outcome = ask("Which?", Mode::Auto, true, &breaking(), Some(&sky));
    assert!(outcome.failed());
    assert!(sky.requests().is_empty());
}
