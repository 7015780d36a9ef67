//! Every form: found in templates, read whole and in bits, and written as it is read.

use proptest::prelude::*;

use super::forms::{Form, Told};
use super::*;

const ALL: [CallFormat; 10] = [
    CallFormat::DeepSeek,
    CallFormat::DeepSeekPlain,
    CallFormat::Lfm2,
    CallFormat::Phi,
    CallFormat::Granite,
    CallFormat::MistralArgs,
    CallFormat::Mistral,
    CallFormat::Tagged,
    CallFormat::Bare,
    CallFormat::BareArguments,
];

fn text(text: &str) -> Piece {
    Piece::Text(text.to_owned())
}

fn call(name: &str, arguments: &str) -> Piece {
    let (name, arguments) = (name.to_owned(), arguments.to_owned());
    Piece::Call { name, arguments }
}

/// What comes of a text whose bits end at these places; and what of it is known before its end.
fn split_at(format: CallFormat, written: &str, cuts: &[usize]) -> (Vec<Piece>, Vec<Piece>) {
    let mut splitter = Splitter::new(format, vec!["f".to_owned()]);
    let mut pieces = Vec::new();
    let mut begin = 0;
    let cuts = cuts.iter().copied().chain([written.len()]);
    for end in cuts.filter(|cut| written.is_char_boundary(*cut)) {
        if end > begin {
            pieces.extend(splitter.push(&written[begin..end]));
            begin = end;
        }
    }
    let early = joined(pieces.clone());
    pieces.extend(splitter.finish());
    (joined(pieces), early)
}

/// Texts that follow each other are one.
fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (Some(Piece::Text(last)), Piece::Text(text)) => *last += &text,
            (_, piece) => joined.push(piece),
        }
    }
    joined
}

fn split(format: CallFormat, written: &str) -> Vec<Piece> {
    split_at(format, written, &[]).0
}

#[test]
fn the_table_has_every_form_in_its_place() {
    for format in ALL {
        assert_eq!(Form::of(format).format, format);
    }
}

#[test]
fn calls_are_taken_out_of_the_text() {
    let one = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1.0}}\n</tool_call>";
    let tagged = |written: &str| split(CallFormat::Tagged, written);
    assert_eq!(tagged(one), [call("f", "{\"a\": 1.0}")]);
    assert_eq!(
        tagged(&format!("So: \n{one}\n{one} ")),
        [
            text("So:"),
            call("f", "{\"a\": 1.0}"),
            call("f", "{\"a\": 1.0}"),
            text(" ")
        ]
    );
    for (block, arguments) in [
        (r#"{"name":"g","parameters":{}}"#, "{}"),
        (r#"{"arguments": {"b": [2]}, "name": "g"}"#, r#"{"b":[2]}"#),
        (r#"{"name": "g", "arguments": "{\"c\": 3}"}"#, r#"{"c": 3}"#),
        (r#"{"name": "g"}"#, "{}"),
        (
            r#"{"name": "g", "arguments": {"d": 1}, "id": 5}"#,
            r#"{"d":1}"#,
        ),
        (
            r#"{"name": "g", "arguments": {"d": oops}}"#,
            r#"{"d": oops}"#,
        ),
        (r#" [{"name": "g", "arguments": {"d": 1}}]"#, r#"{"d": 1}"#),
    ] {
        let written = format!("<tool_call>{block}</tool_call>");
        assert_eq!(tagged(&written), [call("g", arguments)], "{block}");
    }
    // Cut off, or no call at all.
    let cut = &one[..one.len() - 15];
    let stopped = one.trim_end_matches("</tool_call>");
    assert_eq!(tagged(stopped), [call("f", "{\"a\": 1.0}")]);
    assert_eq!(tagged(cut), [call("f", "{\"a\": 1.0")]);
    for written in [
        "<tool_call>hm</tool_call>",
        "<tool_call>",
        "<tool_call>[]</tool_call>",
        "<tool_call>[1, 2]</tool_call>",
        "a <b> <tool",
        " \n",
    ] {
        assert_eq!(tagged(written), [text(written)]);
    }
}

#[test]
fn a_bare_call_is_the_whole_text() {
    let bare = |written: &str| split(CallFormat::Bare, written);
    let one = r#"{"name": "f", "parameters": {"a": {}}}"#;
    for written in [
        one.to_owned(),
        format!("\n{one}\n"),
        format!("<|python_tag|>{one}"),
        r#"<|python_tag|>f.call(a={})"#.to_owned(),
    ] {
        assert_eq!(bare(&written), [call("f", r#"{"a": {}}"#)], "{written}");
    }
    let other = one.replace("\"f\"", "\"g\"");
    for written in [
        &*other,
        &format!("See {one}"),
        r#"{"a": 1}"#,
        "{",
        "<|python_tag|>print(1)",
        "<|python",
        r#"f.call(a="b")"#,
        "",
    ] {
        let whole = [text(written)];
        let whole = if written.is_empty() { &[][..] } else { &whole };
        assert_eq!(bare(written), whole);
    }
}

/// Each form's calls as their makers document them.
#[test]
fn forms_are_read_as_their_models_write_them() {
    let list = r#"[{"name": "f", "arguments": {"a": "]"}}, {"name": "g", "arguments": {}}]"#;
    let both = [call("f", r#"{"a": "]"}"#), call("g", "{}")];
    let deep = |one: &str, two: &str| {
        format!(
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{one}<｜tool▁call▁end｜>{two}<｜tool▁calls▁end｜>"
        )
    };
    for (format, written) in [
        (CallFormat::Mistral, format!("[TOOL_CALLS]{list}")),
        (CallFormat::Mistral, format!("[TOOL_CALLS] {list}\n")),
        (
            CallFormat::Mistral,
            format!(
                "[TOOL_CALLS]{}",
                list.replace(r#"{}}"#, r#"{}, "id": "abcdefghi"}"#)
            ),
        ),
        (
            CallFormat::MistralArgs,
            r#"[TOOL_CALLS]f[ARGS]{"a": "]"}[TOOL_CALLS]g[ARGS]{}"#.to_owned(),
        ),
        (
            CallFormat::MistralArgs,
            r#"[TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS]{"a": "]"}[TOOL_CALLS]g[ARGS]{}"#.to_owned(),
        ),
        (
            CallFormat::DeepSeek,
            deep(
                "function<｜tool▁sep｜>f\n```json\n{\"a\": \"]\"}\n```",
                "\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<｜tool▁call▁end｜>",
            ),
        ),
        (
            CallFormat::DeepSeekPlain,
            deep(
                "f<｜tool▁sep｜>{\"a\": \"]\"}",
                "<｜tool▁call▁begin｜>g<｜tool▁sep｜>{}<｜tool▁call▁end｜>",
            ),
        ),
        (
            CallFormat::Phi,
            format!("<|tool_call|>{list}<|/tool_call|>"),
        ),
        (CallFormat::Granite, format!("<|tool_call|>{list}")),
        (
            CallFormat::Lfm2,
            format!("<|tool_call_start|>{list}<|tool_call_end|>"),
        ),
        (
            CallFormat::Lfm2,
            "<|tool_call_start|>[f(a=\"]\"), g()]<|tool_call_end|>".to_owned(),
        ),
    ] {
        assert_eq!(split(format, &written), both, "{written}");
        let mut with_text = vec![text("I look.")];
        with_text.extend(both.clone());
        let (pieces, early) = split_at(format, &format!("I look. {written}"), &[]);
        assert_eq!(pieces, with_text, "{written}");
        assert_eq!(early[0], text("I look."), "{written}");
        // A stream never gives out a part of a call as text.
        for cut in (0..written.len()).filter(|cut| written.is_char_boundary(*cut)) {
            let mut splitter = Splitter::new(format, vec![]);
            let begun = splitter.push(&written[..cut]);
            assert!(!begun.iter().any(|p| matches!(p, Piece::Text(_))), "{cut}");
        }
    }
}

#[test]
fn one_phi_call_need_not_be_in_a_list() {
    let written = r#"<|tool_call|>{"name": "f", "arguments": {"a": 1}}<|/tool_call|>"#;
    assert_eq!(split(CallFormat::Phi, written), [call("f", r#"{"a": 1}"#)]);
}

#[test]
fn what_follows_calls_is_text() {
    for (format, written) in [
        (
            CallFormat::Mistral,
            r#"[TOOL_CALLS][{"name": "f", "arguments": {}}] Done."#,
        ),
        (CallFormat::MistralArgs, "[TOOL_CALLS]f[ARGS]{} Done."),
    ] {
        let pieces = split(format, written);
        assert_eq!(pieces[0], call("f", "{}"));
        let Piece::Text(rest) = &pieces[1] else {
            panic!("{pieces:?}")
        };
        assert_eq!(rest.trim(), "Done.");
    }
}

#[test]
fn calls_that_were_cut_off_are_as_they_are_written() {
    for (format, written, arguments) in [
        (
            CallFormat::Mistral,
            r#"[TOOL_CALLS][{"name": "f", "arguments": {"a": [1, {"b"#,
            r#"{"a": [1, {"b"#,
        ),
        (
            CallFormat::MistralArgs,
            r#"[TOOL_CALLS]f[ARGS]{"a": 1"#,
            r#"{"a": 1"#,
        ),
        (
            CallFormat::DeepSeek,
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": 1",
            r#"{"a": 1"#,
        ),
        (
            CallFormat::DeepSeekPlain,
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1",
            r#"{"a": 1"#,
        ),
    ] {
        assert_eq!(split(format, written), [call("f", arguments)], "{written}");
    }
}

#[test]
fn what_is_no_call_is_text() {
    for (format, written) in [
        (CallFormat::Mistral, "[TOOL_CALLS]"),
        (CallFormat::Mistral, "[TOOL_CALLS] hm"),
        (CallFormat::Mistral, r#"[TOOL_CALLS][{"a": 1}]"#),
        (CallFormat::MistralArgs, "[TOOL_CALLS]f"),
        (CallFormat::MistralArgs, "[TOOL_CALLS]no name[ARGS]{}"),
        (CallFormat::MistralArgs, "[TOOL_CALLS]f[ARGS]hm"),
        (
            CallFormat::DeepSeek,
            "<｜tool▁calls▁begin｜><｜tool▁calls▁end｜>",
        ),
        (
            CallFormat::DeepSeek,
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        ),
        (CallFormat::Phi, "<|tool_call|>[f(a=1)]<|/tool_call|>"),
        (CallFormat::Granite, "<|tool_call|>[{]}"),
        (CallFormat::Lfm2, "<|tool_call_start|>f(<|tool_call_end|>"),
        (
            CallFormat::Lfm2,
            "<|tool_call_start|>[f(1)]<|tool_call_end|>",
        ),
        (
            CallFormat::Lfm2,
            "<|tool_call_start|>[f(a=b)]<|tool_call_end|>",
        ),
        (CallFormat::Lfm2, "<|tool_call_start|>[f(a=1"),
    ] {
        assert_eq!(split(format, written), [text(written)]);
    }
}

#[test]
fn pythons_literals_are_read() {
    let read = |arguments: &str| {
        let calls = python::calls(&format!("[f({arguments})]"))?;
        Some(calls[0].1.clone())
    };
    for (arguments, json) in [
        ("", "{}"),
        ("b=1, a=-2.5, ", r#"{"b": 1, "a": -2.5}"#),
        (
            "a=True, b=False, c=None, d=true, e=null",
            r#"{"a": true, "b": false, "c": null, "d": true, "e": null}"#,
        ),
        (
            r#"a='it\'s', b="\"é\"\n\x41\u00e9""#,
            r#"{"a": "it's", "b": "\"é\"\nAé"}"#,
        ),
        (
            "a=[1, [2,], []], b={'c': {\"d\": 1e3}}",
            r#"{"a": [1,[2],[]], "b": {"c":{"d":1000.0}}}"#,
        ),
        ("a=.5, b=1_000, c=+1", r#"{"a": 0.5, "b": 1000, "c": 1}"#),
    ] {
        assert_eq!(read(arguments).as_deref(), Some(json), "{arguments}");
    }
    let deep = format!("a={}", "[".repeat(100_000));
    for arguments in [
        "1", "a", "a=", "a=1 b=2", "a=1, a=2", "a=(1,)", "a='", "a='\\", "a=nan", "a=f()", &deep,
    ] {
        assert_eq!(read(arguments), None, "{arguments:.20}");
    }
}

#[test]
fn templates_say_how_calls_are_written() {
    let qwen = r#"{%- if tools %}<tool_call>\n{\"name\": <function-name>, \"arguments\": <args>}\n</tool_call>"#;
    let llama = r#"{%- if tools %}{{- 'Respond in the format {"name": function name, "parameters": dictionary}.' }}"#;
    let arguments =
        r#"{%- if tools %}{{- 'Write {"name": function name, "arguments": dictionary}.' }}"#;
    for (source, format) in [
        (qwen, Some(CallFormat::Tagged)),
        (llama, Some(CallFormat::Bare)),
        (arguments, Some(CallFormat::BareArguments)),
        (
            "{% if tools %}{{ tools }}[TOOL_CALLS][",
            Some(CallFormat::Mistral),
        ),
        (
            "{% if tools %}{{ '[TOOL_CALLS]' + name + '[ARGS]' }}",
            Some(CallFormat::MistralArgs),
        ),
        (
            "{% if tools %}<｜tool▁call▁begin｜>function<｜tool▁sep｜>\n```json\n",
            Some(CallFormat::DeepSeek),
        ),
        (
            "{% if tools %}<｜tool▁call▁begin｜>name<｜tool▁sep｜>",
            Some(CallFormat::DeepSeekPlain),
        ),
        (
            "{{ tools }} <|tool_call|>{\"name\": 1}<|/tool_call|>",
            Some(CallFormat::Phi),
        ),
        (
            "{{ tools }} <|tool_call|> and a JSON list",
            Some(CallFormat::Granite),
        ),
        ("{{ tools }} <|tool_list_start|>", Some(CallFormat::Lfm2)),
        ("{{ tools }} <|tool_call_start|>", Some(CallFormat::Lfm2)),
        // Others', which are not known; and templates that do not tell the model of tools.
        ("{% if tools %}<tool_call>\n<function=name>", None),
        ("{% if tools %}<tool_call>name\n<arg_key>", None),
        ("{% if tools %}<|tool_call>call:name{}<tool_call|>", None),
        (r#"{% if tools %}functools[{"name": "f"}]"#, None),
        (r#"{{ tools }}<|START_ACTION|>{"name": "parameters"}"#, None),
        ("{{ messages[0].content }}", None),
        ("{{ message.content }}[TOOL_CALLS]", None),
    ] {
        assert_eq!(CallFormat::of_template(source), format, "{source}");
    }
}

/// What a form writes it reads.
#[test]
fn what_is_written_is_read() {
    let calls = [("f".to_owned(), r#"{"a": [1]}"#.to_owned())];
    let two = [calls[0].clone(), ("g-2".to_owned(), "{}".to_owned())];
    for format in ALL {
        let form = format.form();
        let several = form.written.between.is_some();
        for calls in [&calls[..], if several { &two } else { &calls }] {
            let pieces = calls.iter().map(|(name, arguments)| call(name, arguments));
            let pieces: Vec<Piece> = pieces.collect();
            assert_eq!(split(format, &form.write(calls)), pieces, "{format:?}");
        }
        // Where a model stops, its call is whole.
        if let Some(stop) = form.stop {
            let written = form.write(&calls);
            let (stopped, _) = written.split_once(stop).unwrap();
            assert_eq!(split(format, stopped), [call("f", r#"{"a": [1]}"#)]);
        }
        let Told { results_by, .. } = form.told;
        assert!(!results_by.is_empty());
    }
}

/// Parts of all forms, of JSON and of Python, and anything else.
fn part() -> impl Strategy<Value = String> {
    let tags = ALL.into_iter().flat_map(|format| {
        let form = format.form();
        let whole = form.write(&[("f".to_owned(), r#"{"a": "é"}"#.to_owned())]);
        form.markers
            .iter()
            .map(|m| (*m).to_owned())
            .chain([whole])
            .collect::<Vec<_>>()
    });
    let more = [
        "<tool",
        "[TOOL",
        "<｜",
        "[",
        "]",
        "{",
        "}",
        "```json\n",
        "\n```",
        "f(a=1)",
        "f(a='",
        ", ",
        r#"{"name": "f", "arguments": {}}"#,
        r#""name": "f""#,
    ];
    let known: Vec<String> = tags.chain(more.map(str::to_owned)).collect();
    prop_oneof![proptest::sample::select(known), "[ -~é\n]{0,6}"]
}

proptest! {
    /// Wherever the bits end, the same comes of it; text without a tag is given out as it is.
    #[test]
    fn bits_do_not_matter(
        parts in proptest::collection::vec(part(), 0..8),
        cuts in proptest::collection::btree_set(0usize..200, 0..20),
        format in proptest::sample::select(ALL.to_vec()),
    ) {
        let written = parts.concat();
        let cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < written.len()).collect();
        let (pieces, _) = split_at(format, &written, &cuts);
        prop_assert_eq!(&pieces, &split(format, &written));
        let open = format.form().open;
        if !open.is_empty() && !written.contains(open) {
            let whole = if written.is_empty() { vec![] } else { vec![text(&written)] };
            prop_assert_eq!(pieces, whole);
        }
    }
}
