//! Templates in the style of the common families, written for this test: rendered by ours and by minijinja, on conversations
//! of any shape.

use minijinja::Value as Theirs;
use minijinja::value::ValueKind;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::support::{both, theirs_to_ours};

/// File names and texts.
pub(crate) const FAMILIES: &[(&str, &str)] = &[
    ("chatml", include_str!("../families/chatml.jinja")),
    ("deepseek", include_str!("../families/deepseek.jinja")),
    ("gemma", include_str!("../families/gemma.jinja")),
    ("granite", include_str!("../families/granite.jinja")),
    ("lfm2", include_str!("../families/lfm2.jinja")),
    ("llama2", include_str!("../families/llama2.jinja")),
    ("llama3", include_str!("../families/llama3.jinja")),
    ("mistral", include_str!("../families/mistral.jinja")),
    ("olmo2", include_str!("../families/olmo2.jinja")),
    ("phi3", include_str!("../families/phi3.jinja")),
    ("qwen3", include_str!("../families/qwen3.jinja")),
    ("schema", include_str!("../families/schema.jinja")),
    ("smollm3", include_str!("../families/smollm3.jinja")),
    ("zephyr", include_str!("../families/zephyr.jinja")),
];

/// Texts that a template could take for its own, and odd ones.
fn content() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "",
        " ",
        "\n",
        "\t",
        "\r\n",
        "hello",
        "{{ 7 * 7 }}",
        "{% raw %}",
        "{# no #}",
        "<think>",
        "</think>",
        "<|over|>",
        "<|turn|>system\n",
        "/no_think",
        "<result>",
        "</result>",
        "'",
        "\"",
        "\\n",
        "\\",
        "&lt;",
        "<b>",
        "é",
        "日本",
        "🐟",
        "\u{301}",
        "\u{a0}",
        "\u{2028}",
        "{",
        "}}",
    ]);
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn message() -> impl Strategy<Value = Theirs> {
    let role = prop::sample::select(vec![
        "user",
        "assistant",
        "system",
        "tool",
        "user",
        "assistant",
    ]);
    let calls = prop::option::weighted(0.15, 1..3usize);
    (role, content(), content(), calls, any::<bool>()).prop_map(|(role, text, other, calls, parts)| {
        let mut fields = vec![("role", Theirs::from(role))];
        if let (Some(count), "assistant") = (calls, role) {
            let call = serde_json::json!({"function": {"name": "f", "arguments": {"a": other, "b": [1, 2.5, null]}}});
            fields.push(("tool_calls", Theirs::from_serialize(vec![call; count])));
        }
        let parted = parts && role == "user" && text.len() > 40;
        fields.push(("content", if parted {
            Theirs::from_serialize(serde_json::json!([{"type": "text", "text": text}, {"type": "image"}]))
        } else {
            Theirs::from(text)
        }));
        fields.into_iter().collect()
    })
}

/// Often in turns, as people have them; sometimes in any order.
fn conversation() -> impl Strategy<Value = Vec<Theirs>> {
    let turn = |role: &'static str| {
        content().prop_map(move |text| {
            [("role", role), ("content", &*text)]
                .into_iter()
                .map(|(k, v)| (k, Theirs::from(v)))
                .collect::<Theirs>()
        })
    };
    let pair = (turn("user"), turn("assistant")).prop_map(|(a, b)| vec![a, b]);
    let turns = (
        prop::option::of(turn("system")),
        prop::collection::vec(pair, 0..3),
        turn("user"),
    );
    let turns = turns.prop_map(|(system, pairs, last)| {
        let pairs = pairs.into_iter().flatten();
        system.into_iter().chain(pairs).chain([last]).collect()
    });
    prop_oneof![turns, prop::collection::vec(message(), 1..6)]
}

fn tools() -> impl Strategy<Value = Theirs> {
    let tool = (
        content(),
        prop::sample::select(vec!["string", "integer", "array"]),
    )
        .prop_map(|(text, kind)| {
            Theirs::from_serialize(serde_json::json!({"type": "function", "function": {
            "name": "look", "description": text,
            "parameters": {"type": "object", "properties": {
                "a": {"type": kind, "default": 1.0}, "b": {"type": "string", "enum": ["x", "y"]}},
                "required": ["a"]}}}))
        });
    prop_oneof![
        3 => Just(Theirs::from(())),
        1 => prop::collection::vec(tool, 1..3).prop_map(Theirs::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn families_render_as_in_minijinja(
        messages in conversation(),
        tools in tools(),
        prompt: bool,
        thinking in prop::option::of(any::<bool>()),
    ) {
        let mut variables = vec![
            ("messages", Theirs::from(messages.clone())),
            ("tools", tools.clone()),
            ("documents", Theirs::from(())),
            ("add_generation_prompt", Theirs::from(prompt)),
            ("bos_token", Theirs::from("<s>")),
            ("eos_token", Theirs::from("</s>")),
        ];
        variables.extend(thinking.map(|thinking| ("enable_thinking", Theirs::from(thinking))));
        let parted = messages.iter().any(|message| {
            message.get_attr("content").is_ok_and(|content| content.as_str().is_none())
        });
        for (name, source) in FAMILIES {
            // Most print such a content as it is, which is not how minijinja prints lists.
            if parted && !matches!(*name, "gemma" | "lfm2" | "qwen3") {
                continue;
            }
            let (ours, theirs) = both(source, &variables);
            match (&ours, &theirs) {
                (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs, "{}", name),
                (Err(_), Err(_)) => {}
                _ => prop_assert!(false, "{}: ours {:?}, theirs {:?}", name, ours, theirs),
            }
        }
    }
}

/// Values arrive as they were given: the conversion that the other tests rely on.
#[test]
fn values_are_converted() {
    let value = serde_json::json!({"b": [1, 2.5, null, true, "x"], "a": {}});
    let theirs = Theirs::from_serialize(value);
    assert_eq!(theirs.kind(), ValueKind::Map);
    let source = "{{ v.b | length }}{{ v.b[1] }}{{ v.b[2] is none }}{{ v.b[3] is true }}{{ v.b[4] }}{{ v.a is mapping }}";
    let rendered = crate::support::render(source, vec![("v", theirs_to_ours(&theirs))]);
    assert_eq!(rendered.as_deref(), Ok("52.5TrueTruexTrue"));
}
