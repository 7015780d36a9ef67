//! Tokenizer, detokenizer and chat templates against transformers.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::goldens;
use proptest::prelude::*;
use serde::Deserialize;
use sprat_model::{
    ChatTemplate, Detokenizer, Error, Extras, Message, TemplateValue, Tokenizer, folder_tokenizer,
};

fn tokenizer() -> Tokenizer {
    let path = goldens("tokenizer").join("tokenizer.json");
    Tokenizer::from_json(&std::fs::read(path).unwrap()).unwrap()
}

fn read<T: for<'a> Deserialize<'a>>(folder: &str) -> T {
    read_file(&goldens(folder).join("golden.json"))
}

fn read_file<T: for<'a> Deserialize<'a>>(path: &Path) -> T {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
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
    /// With the special tokens around a text, where there are any.
    special_ids: Option<Vec<u32>>,
}

#[derive(Deserialize)]
struct Decoded {
    ids: Vec<u32>,
    without_special: String,
}

/// Ids and texts of a golden by a tokenizer.
fn compare(tokenizer: &Tokenizer, golden: &Tokens, what: &str) {
    for case in &golden.encode {
        let ids = tokenizer.encode(&case.text).unwrap();
        assert_eq!(ids, case.ids, "{what}: {:?}", case.text);
        let special = case.special_ids.as_ref().unwrap_or(&case.ids);
        let ids = tokenizer.encode_plain(&case.text).unwrap();
        assert_eq!(&ids, special, "{what}: {:?}", case.text);
    }
    for case in &golden.decode {
        let text = tokenizer.decode(&case.ids).unwrap();
        assert_eq!(text, case.without_special, "{what}: {:?}", case.ids);
    }
}

#[test]
fn ids_and_text_equal_transformers() {
    compare(&tokenizer(), &read("tokenizer"), "byte-level BPE");
}

#[test]
fn every_kind_of_tokenizer_equals_the_original() {
    for kind in ["unigram", "wordpiece", "bpe-fallback"] {
        let folder = goldens("tokenizer").join(kind);
        let json = std::fs::read(folder.join("tokenizer.json")).unwrap();
        let tokenizer = Tokenizer::from_json(&json).unwrap();
        let golden: Tokens = read_file(&folder.join("golden.json"));
        assert!(golden.encode.len() > 20 && !golden.decode.is_empty());
        compare(&tokenizer, &golden, kind);
    }
}

/// A rank file and its special tokens, without any tokenizer.json.
#[test]
fn rank_files_equal_tiktoken() {
    #[derive(Deserialize)]
    struct Ranks {
        special: std::collections::BTreeMap<String, u32>,
        encode: Vec<Encoded>,
        decode: Vec<Bytes>,
    }
    #[derive(Deserialize)]
    struct Bytes {
        ids: Vec<u32>,
        text: String,
    }
    let golden: Ranks = read("tokenizer/tiktoken");
    let folder = tempfile::tempdir().unwrap();
    let ranks = goldens("tokenizer/tiktoken").join("ranks.tiktoken");
    std::fs::copy(ranks, folder.path().join("ranks.tiktoken")).unwrap();
    let special = golden.special.iter();
    let special =
        special.map(|(token, id)| (id.to_string(), serde_json::json!({"content": token})));
    let special: serde_json::Map<_, _> = special.collect();
    let settings = serde_json::json!({"added_tokens_decoder": special}).to_string();
    std::fs::write(folder.path().join("tokenizer_config.json"), settings).unwrap();
    let tokenizer = Tokenizer::from_json(&folder_tokenizer(folder.path()).unwrap()).unwrap();
    for case in golden.encode {
        let ids = tokenizer.encode(&case.text).unwrap();
        assert_eq!(ids, case.ids, "{:?}", case.text);
    }
    // tiktoken writes special tokens out, in the middle of characters too.
    let special: Vec<u32> = golden.special.into_values().collect();
    let plain = |case: &Bytes| case.ids.iter().all(|id| !special.contains(id));
    for case in golden.decode.into_iter().filter(plain) {
        let text = tokenizer.decode(&case.ids).unwrap();
        assert_eq!(text, case.text, "{:?}", case.ids);
    }
}

/// A page has no library for what is not BPE, and a person is told so when the pack is made.
#[test]
fn what_a_page_cannot_read_is_told_by_name() {
    let check = |kind: &str| {
        let path = goldens("tokenizer").join(kind).join("tokenizer.json");
        Tokenizer::check_page(&std::fs::read(path).unwrap())
    };
    assert_eq!(check(""), Ok(()));
    assert_eq!(check("bpe-fallback"), Ok(()));
    for (kind, name) in [("unigram", "Unigram"), ("wordpiece", "WordPiece")] {
        let error = check(kind).unwrap_err();
        assert!(
            matches!(error, Error::TokenizerUnsupported { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(matches!(
        Tokenizer::check_page(b"{}"),
        Err(Error::Tokenizer(_))
    ));
}

/// A tokenizer without its merges, with merges of tokens that it lacks, deep, or cut off.
#[test]
fn broken_tokenizers_are_refused() {
    let whole = std::fs::read(goldens("tokenizer").join("tokenizer.json")).unwrap();
    let change = |change: fn(&mut serde_json::Value)| {
        let mut json: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        change(&mut json);
        json.to_string().into_bytes()
    };
    let broken = [
        change(|json| drop(json["model"].as_object_mut().unwrap().remove("merges"))),
        change(|json| json["model"]["merges"] = serde_json::json!([["zz", "q"]])),
        change(|json| json["model"]["merges"] = "none".into()),
        change(|json| {
            json["normalizer"] =
                serde_json::json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"})
        }),
        "[".repeat(100_000).into_bytes(),
        whole[..whole.len() / 2].to_vec(),
        Vec::new(),
    ];
    for (index, json) in broken.iter().enumerate() {
        let error = Tokenizer::from_json(json).err();
        assert!(
            matches!(error, Some(Error::Tokenizer(_))),
            "{index}: {error:?}"
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

/// Tags around calls of tools are special tokens in many vocabularies.
#[test]
fn special_tokens_that_are_shown_are_text() {
    for kind in ["", "bpe-fallback", "unigram"] {
        let folder = goldens("tokenizer").join(kind);
        let json = std::fs::read(folder.join("tokenizer.json")).unwrap();
        let tokenizer = Tokenizer::from_json(&json).unwrap();
        let special = tokenizer.added_tokens().into_iter();
        let special: Vec<_> = special.filter(|(.., special)| *special).collect();
        let [(shown, text, _), (hidden, ..), ..] = &special[..] else {
            panic!("{kind} has too few special tokens");
        };
        let word = tokenizer.encode("a").unwrap();
        let ids = [&word[..], &[*shown, *hidden], &word, &[*shown]].concat();
        let mut detokenizer = Detokenizer::showing(&[*shown]);
        let mut streamed = String::new();
        for id in ids {
            streamed += &detokenizer.push(id, &tokenizer).unwrap();
        }
        streamed += &detokenizer.finish(&tokenizer).unwrap();
        let streamed = streamed.replace(' ', "");
        assert_eq!(streamed, format!("a{text}a{text}"), "{kind}");
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

/// A page has no minijinja; natively it renders what ours does not know.
#[test]
fn what_only_minijinja_renders_is_no_template_for_a_page() {
    let template = |source: &str| ChatTemplate::new(source, "<s>", "</s>").unwrap();
    let message = Message {
        role: "user".into(),
        content: "text".into(),
    };
    for (source, rendered) in [
        ("{{ messages|batch(1)|length }}", "1"),
        (
            "{% autoescape false %}{{ bos_token }}{% endautoescape %}",
            "<s>",
        ),
    ] {
        assert_eq!(
            template(source)
                .render(std::slice::from_ref(&message), true)
                .unwrap(),
            rendered
        );
        let error = ChatTemplate::check_page(source).unwrap_err();
        assert!(matches!(error, Error::TemplateUnsupported(_)), "{error}");
    }
    let plain = "{% for m in messages %}{{ m.content }}{% endfor %}";
    assert_eq!(ChatTemplate::check_page(plain), Ok(()));
    // What nobody asks a page for does not matter there.
    let unasked = "{% if tools %}{{ tools|batch(1) }}{% endif %}";
    assert_eq!(ChatTemplate::check_page(unasked), Ok(()));
    assert!(ChatTemplate::check_page("{% if %}").is_err());
}

#[derive(Deserialize)]
struct ToolTemplates {
    bos_token: String,
    eos_token: String,
    cases: Vec<ToolCase>,
}

#[derive(Deserialize)]
struct ToolCase {
    template: String,
    messages: Vec<TemplateValue>,
    tools: Option<Vec<TemplateValue>>,
    add_generation_prompt: bool,
    expected: Option<String>,
    error: Option<String>,
}

/// Tools, calls of them and their results.
#[test]
fn tools_render_as_in_transformers() {
    let golden: ToolTemplates = read_file(&goldens("template").join("tools.json"));
    assert!(golden.cases.len() > 4);
    for case in golden.cases {
        let path = goldens("template").join(format!("{}.jinja", case.template));
        let source = std::fs::read_to_string(path).unwrap();
        let template = ChatTemplate::new(&source, &golden.bos_token, &golden.eos_token).unwrap();
        let extras = Extras {
            tools: case.tools,
            documents: None,
        };
        let rendered = template.render_with(&case.messages, &extras, case.add_generation_prompt);
        match case.expected {
            Some(expected) => assert_eq!(rendered.unwrap(), expected),
            None => {
                let said = rendered.unwrap_err().to_string();
                assert!(said.contains(&case.error.unwrap_or_default()), "{said}");
            }
        }
    }
}

#[derive(Deserialize)]
struct Published {
    bos_token: String,
    eos_token: String,
    tools: Vec<TemplateValue>,
    conversations: BTreeMap<String, Vec<TemplateValue>>,
    /// SHA-256 of the templates by file name.
    templates: BTreeMap<String, String>,
    cases: Vec<PublishedCase>,
}

#[derive(Deserialize)]
struct PublishedCase {
    template: String,
    conversation: String,
    #[serde(default)]
    tools: bool,
    add_generation_prompt: bool,
    /// None where transformers fails.
    sha256: Option<String>,
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}

/// Templates of published models, which are not ours to copy: from the folders that
/// `SPRAT_TEMPLATES` lists, as PATH does. Where transformers fails, ours may render.
#[test]
fn published_templates_render_as_in_transformers() {
    let golden: Published = read_file(&goldens("template").join("published.json"));
    let Some(folders) = std::env::var_os("SPRAT_TEMPLATES") else {
        eprintln!("SPRAT_TEMPLATES names no folder with templates: nothing was compared");
        return;
    };
    let folders: Vec<_> = std::env::split_paths(&folders).collect();
    let mut compared = 0;
    for (file, hash) in &golden.templates {
        let mut paths = folders.iter().map(|folder| folder.join(file));
        let Some(path) = paths.find(|path| path.exists()) else {
            continue;
        };
        let source = std::fs::read(path).unwrap();
        assert_eq!(&sha256(&source), hash, "{file} is another version");
        let source = String::from_utf8(source).unwrap();
        let template = ChatTemplate::new(&source, &golden.bos_token, &golden.eos_token);
        let template = template.unwrap_or_else(|e| panic!("{file}: {e}"));
        for case in golden.cases.iter().filter(|case| case.template == *file) {
            let Some(expected) = &case.sha256 else {
                continue;
            };
            let extras = Extras {
                tools: case.tools.then(|| golden.tools.clone()),
                documents: None,
            };
            let messages = &golden.conversations[&case.conversation];
            let rendered = template.render_with(messages, &extras, case.add_generation_prompt);
            let what = format!("{file} with {}", case.conversation);
            let rendered = rendered.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(&sha256(rendered.as_bytes()), expected, "{what}: {rendered}");
            compared += 1;
        }
    }
    assert!(compared > 0, "SPRAT_TEMPLATES has none of the templates");
    println!("{compared} renderings compared");
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

/// Jinja takes all line ends of a template for one; those in messages stay.
#[test]
fn line_ends_of_templates_are_one_character() {
    let source = "a\r\n{{ messages[0].content }}\rb{{ '\r\n' }}c";
    let template = ChatTemplate::new(source, "", "").unwrap();
    let message = Message {
        role: "user".to_owned(),
        content: "x\r\ny".to_owned(),
    };
    let rendered = template.render(&[message], false).unwrap();
    assert_eq!(rendered, "a\nx\r\ny\nb\nc");
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
