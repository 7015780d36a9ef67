//! Tokenizer, detokenizer and chat templates against transformers.

use crate::common::goldens;
use proptest::prelude::*;
use serde::Deserialize;
use sprat_model::{ChatTemplate, Detokenizer, Error, Message, Tokenizer};

fn tokenizer() -> Tokenizer {
    let path = goldens("tokenizer").join("tokenizer.json");
    Tokenizer::from_json(&std::fs::read(path).unwrap()).unwrap()
}

fn read<T: for<'a> Deserialize<'a>>(folder: &str) -> T {
    serde_json::from_slice(&std::fs::read(goldens(folder).join("golden.json")).unwrap()).unwrap()
}

#[derive(Deserialize)]
struct Tokens {
    encode: Vec<Encoded>,
    decode: Vec<Decoded>,
}

#[derive(Deserialize)]
struct Encoded {
    text: String,
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Decoded {
    ids: Vec<u32>,
    without_special: String,
}

#[test]
fn ids_and_text_equal_transformers() {
    let tokenizer = tokenizer();
    let golden: Tokens = read("tokenizer");
    for case in &golden.encode {
        assert_eq!(
            tokenizer.encode(&case.text).unwrap(),
            case.ids,
            "{:?}",
            case.text
        );
    }
    for case in &golden.decode {
        assert_eq!(
            tokenizer.decode(&case.ids).unwrap(),
            case.without_special,
            "{:?}",
            case.ids
        );
    }
}

/// Streams `ids` and checks that what came out is the decoded whole.
fn stream(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut detokenizer = Detokenizer::default();
    let mut text = String::new();
    for &id in ids {
        text += &detokenizer.push(id, tokenizer).unwrap();
    }
    text + &detokenizer.finish(tokenizer).unwrap()
}

#[test]
fn streamed_text_equals_decoded_text() {
    let tokenizer = tokenizer();
    let golden: Tokens = read("tokenizer");
    for ids in golden
        .encode
        .iter()
        .map(|c| &c.ids)
        .chain(golden.decode.iter().map(|c| &c.ids))
    {
        assert_eq!(stream(&tokenizer, ids), tokenizer.decode(ids).unwrap());
    }
}

proptest! {
    #[test]
    fn any_text_streams_back(text in "\\PC{0,40}") {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode(&text).unwrap();
        prop_assert_eq!(stream(&tokenizer, &ids), tokenizer.decode(&ids).unwrap());
    }

    #[test]
    fn any_ids_stream_without_a_panic(ids in proptest::collection::vec(0u32..500, 0..40)) {
        stream(&tokenizer(), &ids);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,200}") {
        let _ = Tokenizer::from_json(&bytes);
        if let Ok(template) = ChatTemplate::new(&text, "a", "b") {
            let _ = template.render(&[], true);
        }
    }
}

#[derive(Deserialize)]
struct Templates {
    bos_token: String,
    eos_token: String,
    conversations: std::collections::HashMap<String, Vec<Message>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    conversation: String,
    add_generation_prompt: bool,
    expected: Option<String>,
    error: Option<String>,
}

#[test]
fn templates_render_as_in_transformers() {
    let golden: Templates = read("template");
    assert!(golden.cases.len() > 10);
    for case in &golden.cases {
        let file = if case.template.ends_with(".jinja") {
            case.template.clone()
        } else {
            format!("{}.jinja", case.template)
        };
        let source = std::fs::read_to_string(goldens("template").join(file)).unwrap();
        let rendered =
            ChatTemplate::new(&source, &golden.bos_token, &golden.eos_token).and_then(|t| {
                t.render(
                    &golden.conversations[&case.conversation],
                    case.add_generation_prompt,
                )
            });
        let what = format!("{} with {}", case.template, case.conversation);
        match (&case.expected, &case.error) {
            (Some(expected), _) => assert_eq!(&rendered.unwrap(), expected, "{what}"),
            (None, error) => {
                let message = rendered.expect_err(&what).to_string();
                assert!(
                    message.contains(error.as_deref().unwrap_or("")),
                    "{what}: {message}"
                );
            }
        }
    }
}

#[test]
fn a_template_that_never_ends_is_stopped() {
    let endless = "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}";
    let template = ChatTemplate::new(endless, "", "").unwrap();
    assert!(matches!(
        template.render(&[], true),
        Err(Error::Template(_))
    ));
}

/// Dates in the template's own format; a format that is none is an error, not a panic.
#[test]
fn templates_know_the_day() {
    let render = |format: &str| {
        let source = format!("{{{{ strftime_now({format:?}) }}}}");
        let template = ChatTemplate::new(&source, "", "").unwrap();
        template.render(&[], true)
    };
    let year: u32 = render("%Y").unwrap().parse().unwrap();
    assert!(year >= 2026);
    assert_eq!(render("%d %b %Y").unwrap().split(' ').count(), 3);
    let error = render("%!").unwrap_err();
    assert!(error.to_string().contains("strftime_now"), "{error}");
}

/// transformers defines `tools` and `documents`, as none.
#[test]
fn templates_see_no_tools_as_none() {
    let source = "{{ tools is defined }} {{ tools is none }} {{ documents is none }}";
    let template = ChatTemplate::new(source, "", "").unwrap();
    assert_eq!(
        template.render(&[], true).unwrap().to_lowercase(),
        "true true true"
    );
}
