use super::*;
use proptest::prelude::*;

/// `kind`, a tab, a text. A tilde in it is left out: it keeps made-up keys from looking like real
/// ones to those who search repositories for them.
const POSITIVE: &str = include_str!("../../goldens/detect/positive.tsv");
const NEGATIVE: &str = include_str!("../../goldens/detect/negative.txt");

fn positive() -> Vec<(Kind, String)> {
    let example = |line: &str| {
        let (kind, text) = line.split_once('\t').unwrap();
        let kind = serde_json::from_value(kind.into()).unwrap();
        (kind, text.replace('~', ""))
    };
    POSITIVE.lines().map(example).collect()
}

#[test]
fn what_is_private_is_found() {
    let examples = positive();
    assert!(examples.len() >= 150);
    let missed: Vec<_> = examples
        .iter()
        .filter(|(kind, text)| !detect(text).kinds().contains(kind))
        .map(|(kind, text)| format!("{kind:?}: {text} -> {:?}", detect(text).kinds()))
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn ordinary_questions_trip_nothing() {
    assert!(NEGATIVE.lines().count() >= 150);
    let tripped: Vec<_> = NEGATIVE
        .lines()
        .filter(|text| !detect(text).is_empty())
        .map(|text| format!("{text} -> {:?}", detect(text)))
        .collect();
    assert!(tripped.is_empty(), "{tripped:#?}");
}

#[test]
fn each_kind_is_in_the_table() {
    for kind in Kind::ALL {
        assert!(
            positive().iter().any(|(other, _)| *other == kind),
            "{kind:?}"
        );
    }
}

#[test]
fn ranges_are_those_of_the_original() {
    let text = "Ｍail ａｎａ＠example.com, card ４１１１\u{200b}1111 1111 1111!";
    let found: Vec<_> = detect(text)
        .iter()
        .map(|f| (f.kind, text[f.range.clone()].to_owned()))
        .collect();
    assert_eq!(
        found,
        [
            (Kind::Email, "ａｎａ＠example.com".to_owned()),
            (Kind::Card, "４１１１\u{200b}1111 1111 1111".to_owned())
        ]
    );
}

#[test]
fn nothing_prints_what_was_found() {
    let printed = format!(
        "{:?}",
        detect("my password is hunter2, mail ana@example.com")
    );
    assert!(
        !printed.contains("hunter2") && !printed.contains("ana"),
        "{printed}"
    );
    assert!(printed.contains("Password") && printed.contains("Email"));
}

#[test]
fn levels_are_data() {
    let text = "ana@example.com, 4111 1111 1111 1111";
    assert_eq!(detect(text).level(), Level::Private);
    let builtin = include_str!("../../detect.json");
    assert_eq!(
        &Levels::from_json(builtin.as_bytes()).unwrap(),
        Levels::builtin()
    );
    let open = builtin.replace(r#""card": "private""#, r#""card": "open""#);
    let levels = Levels::from_json(open.as_bytes()).unwrap();
    assert_eq!(detect_with(text, &levels).kinds(), [Kind::Email]);
    for (from, to, problem) in [
        (r#""version": 1"#, r#""version": 2"#, "version 2"),
        (r#""card": "private","#, "", "Card"),
        (r#""card""#, r#""cart""#, "cart"),
        (r#""ask""#, r#""maybe""#, "maybe"),
    ] {
        let error = Levels::from_json(builtin.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[test]
fn check_digits_decide() {
    // Each with one digit changed.
    for text in [
        "4111 1111 1111 1112",
        "DE89370400440532013001",
        "12345678A",
        "RSSMRA85T10A562T",
        "2 55 08 14 168 025 39",
        "123456789019",
    ] {
        assert!(detect(text).is_empty(), "{text}: {:?}", detect(text));
    }
}

/// Long runs of what begins a scanner's work: a pass that is not linear would not end in time.
#[test]
fn hostile_texts_end() {
    for piece in [
        "1",
        "1 ",
        "(1",
        "+1-",
        "@",
        "a@",
        "a.",
        "my ",
        "password:",
        "sk-",
        "://a:",
        "12 Main ",
        "구 ",
        "区",
        "저는 ",
        "=",
        "-",
        "A1",
        "i'm-",
        "straße-",
        "call me ",
    ] {
        let text = piece.repeat((1 << 16) / piece.len());
        let findings = detect(&text);
        assert!(
            findings
                .iter()
                .all(|finding| finding.range.end <= text.len())
        );
    }
}

proptest! {
    #[test]
    fn any_text_gives_ranges_in_order_on_its_characters(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn pieces_of_the_table_too(pieces in prop::collection::vec((0..200usize, 0..40usize, 0..40usize), 0..8)) {
        let table = positive();
        let piece = |&(index, from, length): &(usize, usize, usize)| -> String {
            table[index % table.len()].1.chars().skip(from).take(length).collect()
        };
        check(&pieces.iter().map(piece).collect::<String>())?;
    }

    /// What is found alone is found in an answer around it.
    #[test]
    fn a_card_is_found_anywhere(before in "[a-z ,.가-힣]{0,30}", after in "[a-z ,.가-힣]{0,30}") {
        let text = format!("{before} 5555 5555 5555 4444 {after}");
        prop_assert!(detect(&text).kinds().contains(&Kind::Card));
    }
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let findings = detect(text);
    let mut last = 0;
    for finding in findings.iter() {
        prop_assert!(
            text.get(finding.range.clone())
                .is_some_and(|found| !found.is_empty())
        );
        prop_assert!(finding.range.start >= last);
        last = finding.range.start;
    }
    Ok(())
}
