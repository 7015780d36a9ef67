//! Templates by people who mean no good, and files that are none: an error, soon, and never a panic.

use proptest::prelude::*;
use sprat_template::{Error, Template, Value};

use crate::families::FAMILIES;
use crate::support::{now, render};

fn variables() -> Vec<(&'static str, Value)> {
    let message = |role: &str, text: &str| {
        let fields = [("role", role), ("content", text)];
        Value::map(
            fields
                .map(|(key, value)| (key.into(), value.into()))
                .to_vec(),
        )
    };
    let messages = vec![
        message("user", "secret \u{1f41f}"),
        message("assistant", ""),
    ];
    vec![
        ("messages", Value::list(messages)),
        ("n", Value::Int(3)),
        ("text", Value::from("a secret")),
        ("add_generation_prompt", Value::from(true)),
    ]
}

/// Reads and renders; whatever comes of it is fine.
fn try_it(source: &str) {
    if let Ok(template) = Template::new(source) {
        let _ = template.render(variables(), &now);
    }
}

#[test]
fn what_never_ends_is_stopped() {
    let times = |text: &str, times: usize| text.repeat(times);
    let doubling = "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}";
    let nesting = "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}";
    let sharing = "{% set a = namespace(x=[]) %}{% for i in range(100) %}{% set a.x = [a.x, a.x] %}{% endfor %}";
    let twice = "{% set b = namespace(x=[]) %}{% for i in range(100) %}{% set b.x = [b.x, b.x] %}{% endfor %}";
    for source in [
        "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}".to_owned(),
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}".to_owned(),
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(),
        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{% if 1 %}{{ [a()] }}{% endif %}{% endmacro %}{{ a() }}".to_owned(),
        "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}".to_owned(),
        "{{ range(9223372036854775807) | length }}".to_owned(),
        "{{ range(0, -9223372036854775807, -1) | length }}".to_owned(),
        "{{ 'ab' * 9999999999 }}".to_owned(),
        "{{ [1, 2] * 9999999999 }}".to_owned(),
        "{{ 'a' | indent(9999999999, true) }}".to_owned(),
        "{{ [[[1]]] | tojson(indent=9999999999) }}".to_owned(),
        "{{ (('a' * 9999999) | replace('a', 'a' * 999)) | length }}".to_owned(),
        "{{ ('x' * 99999).join(range(99999) | map('string')) }}".to_owned(),
        "{{ (range(99999) | list | string * 99) | length }}".to_owned(),
        format!("{doubling}{{{{ ns.x | length }}}}"),
        format!("{sharing}{{{{ a.x }}}}"),
        format!("{sharing}{{{{ a.x | tojson | length }}}}"),
        format!("{sharing}{twice}{{{{ a.x == b.x }}}}"),
        format!("{sharing}{twice}{{{{ a.x < b.x }}}}"),
        format!("{sharing}{twice}{{{{ [a.x] | unique | list }}}}{{{{ [a.x, b.x] | sort }}}}"),
        format!("{{{{ 'a' | map({}'upper') | list }}}}", times("'map', ", 5000)),
        format!("{{{{ 'a' | map({}'upper') | list }}}}", times("'select', ", 5000)),
    ] {
        let error = render(&source, variables()).unwrap_err();
        let stopped = matches!(error, Error::TooMuch | Error::Invalid { .. });
        assert!(stopped, "{source:.200}: {error}");
    }
    // Much that is cheap to ask and dear to answer.
    let large = "{% set x = 'ab' * 8000000 %}{% set y = 'ab' * 8000000 %}{% set d = {x: 1} %}";
    for asked in [
        "x == y",
        "x < y",
        "x in [y]",
        "d[y]",
        "'bc' in x",
        "x is lower",
        "x[-1]",
        "[x, y] | sort",
        "x | wordcount",
    ] {
        let source = format!(
            "{large}{{% for i in range(99999) %}}{{% if {asked} %}}{{% endif %}}{{% endfor %}}"
        );
        assert_eq!(render(&source, variables()), Err(Error::TooMuch), "{asked}");
    }
    let names: String = (0..20_000)
        .map(|i| format!("{{% set a{i} = 1 %}}"))
        .collect();
    assert_eq!(render(&names, variables()), Err(Error::TooMuch));
    assert!(Template::new(&format!("{{{{ 1 {} 1 }}}}", "-".repeat(300_000))).is_err());
    // What is one inside of the other without an end.
    for source in [
        nesting,
        "{% set ns = namespace() %}{% set ns.x = ns %}",
        "{% set ns = namespace() %}{% set ns.x = [ns] %}",
        "{% set a = namespace() %}{% set b = {'a': a} %}",
        "{{ namespace(x=namespace()) }}",
        "{% for x in [1] %}{{ [loop] }}{% endfor %}",
        "{{ ['a'] | map(attribute='upper') | list }}",
    ] {
        let error = render(source, variables()).unwrap_err();
        assert!(
            matches!(error, Error::Unsupported { .. }),
            "{source}: {error}"
        );
    }
}

/// Whatever is large or many is paid for, wherever it stands.
#[test]
fn nothing_is_free() {
    let path = "'0.' * 4000000";
    let macros = "{% macro a() %}{% endmacro %}".repeat(40_000);
    let numbers = ", 1".repeat(5000);
    for source in [
        format!("{{{{ ('a' * 100000) | map(attribute={path}) | list }}}}"),
        format!("{{{{ ('a' * 100000) | selectattr({path}) | list }}}}"),
        format!("{{{{ ('a' * 100000) | sum({path}) }}}}"),
        format!("{{{{ ('a' * 100000) | join('', {path}) }}}}"),
        format!("{{{{ ('a' * 100000) | sort(attribute={path}) }}}}"),
        format!("{{% with %}}{macros}{{% endwith %}}"),
        "{% set b = 'a' * 9000000 %}{% macro f() %}{{ b }}{{ f() }}{% endmacro %}{{ f() }}".to_owned(),
        "{% set b = 'a' * 9000000 %}{{ b }}{% set x %}{{ b }}{% endset %}".to_owned(),
        "{% set b = 'a' * 9000000 %}{% for i in range(99) %}{% set x %}{{ b }}{% continue %}{% endset %}{% endfor %}".to_owned(),
        "{% set p = ['b'] * 100000 %}{% for i in range(99) %}{{ 'a'.startswith(p) }}{% endfor %}".to_owned(),
        "{% set p = ['b'] * 100000 %}{% for i in range(99) %}{{ 'a' is endingwith(p) }}{% endfor %}".to_owned(),
        format!("{{{{ ([''] * 100000) | map('map'{numbers}) | list }}}}"),
        "{{ ('a' * 1000000).strip(('b' * 1000000) ~ 'a') }}".to_owned(),
        "{{ strftime_now('%A' * 2200000) }}".to_owned(),
        "{{ 'ab' * 4294967296 }}".to_owned(),
        "{{ [1] * 4294967296 }}".to_owned(),
        "{{ 'a' | indent(4294967296, true) }}".to_owned(),
    ] {
        let result = render(&source, variables());
        assert_eq!(result.err(), Some(Error::TooMuch), "{source:.100}");
    }
    let named = |length: usize| Template::new(&["{{ ", &"a".repeat(length), " }}"].concat());
    assert!(named(1000).is_ok());
    assert!(matches!(named(1001).err(), Some(Error::Syntax { .. })));
}

/// What looks at no item of a list is not paid for by the item: templates ask this at every message.
#[test]
fn long_chats_are_rendered() {
    let messages = Value::list(vec![Value::map(vec![("a".into(), "b".into())]); 3000]);
    let source = "{% for m in messages %}{% if messages | length == 3000 and messages is defined \
        and messages is not string and messages is iterable and (messages | first).a == (messages | last).a \
        %}{{ loop.last or '' }}{% endif %}{% endfor %}";
    let rendered = render(source, vec![("messages", messages)]);
    assert_eq!(rendered.as_deref(), Ok("True"));
}

#[test]
fn deep_templates_are_refused() {
    for (open, inner, close) in [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("{1: ", "1", "}"),
        ("not ", "1", ""),
        ("-", "1", ""),
        ("f(", "1", ")"),
        ("1 if 1 else ", "1", ""),
        ("1 ** (", "1", ")"),
        ("a | f(", "1", ")"),
        ("a[", "1", "]"),
        ("a is b(", "1", ")"),
        ("", "a", ".b"),
        ("", "a", "[1]"),
        ("", "a", "()"),
        ("", "a", "|f"),
        ("", "a", " is b"),
    ] {
        let source = format!(
            "{{{{ {}{inner}{} }}}}",
            open.repeat(20_000),
            close.repeat(20_000)
        );
        assert!(Template::new(&source).is_err(), "{open}{close}");
        let source = format!("{{{{ {}{inner}{} }}}}", open.repeat(40), close.repeat(40));
        assert!(Template::new(&source).is_ok(), "{open}{close}");
    }
    for (open, close) in [
        ("{% if 1 %}", "{% endif %}"),
        ("{% for a in b %}", "{% endfor %}"),
        ("{% set a %}", "{% endset %}"),
        ("{% macro a() %}", "{% endmacro %}"),
        ("{% filter f %}", "{% endfilter %}"),
        ("{% call a() %}", "{% endcall %}"),
        ("{% for (", "a) in b %}{% endfor %}"),
    ] {
        assert!(Template::new(&open.repeat(20_000)).is_err(), "{open}");
        let closed = format!("{}{}", open.repeat(20_000), close.repeat(20_000));
        assert!(Template::new(&closed).is_err(), "{open}");
    }
    // What is long without being deep is fine.
    for source in [
        format!("{{{{ 1{} }}}}", " + 1".repeat(5000)),
        format!("{{{{ 1{} }}}}", " ~ 1".repeat(5000)),
        format!("{{{{ 1{} }}}}", " or 1".repeat(5000)),
        format!("{{{{ 1{} }}}}", " == 1".repeat(5000)),
        format!("{{{{ [{}] | length }}}}", "1, ".repeat(5000)),
        format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(5000)),
    ] {
        assert!(render(&source, variables()).is_ok(), "{source:.40}");
    }
}

/// As deep as may be, in everything at once, on the stack of a test's thread.
#[test]
fn the_deepest_templates_run() {
    let deep = format!(
        "{}{{{{ {}1{} }}}}{}",
        "{% if 1 %}".repeat(50),
        "[".repeat(48),
        "]".repeat(48),
        "{% endif %}".repeat(50)
    );
    assert!(render(&deep, variables()).is_ok());
    let calls = "{% macro m(n) %}{% for i in [1] %}{% filter trim %}{{ [[m(n + 1)]] }}{% endfilter %}{% endfor %}{% endmacro %}{{ m(0) }}";
    assert_eq!(render(calls, variables()), Err(Error::TooMuch));
    let mut value = Value::None;
    for _ in 0..127 {
        value = Value::list(vec![value]);
    }
    let source = "{{ x }}{{ x | tojson }}{{ x == [x] }}{{ x < x }}";
    assert!(render(source, vec![("x", value.clone())]).is_ok());
    let value = Value::list(vec![Value::list(vec![value])]);
    assert_eq!(render(source, vec![("x", value)]), Err(Error::TooMuch));
}

#[test]
fn every_beginning_of_a_template_is_read_or_refused() {
    for (_, source) in FAMILIES {
        for (end, _) in source.char_indices() {
            try_it(&source[..end]);
        }
        for (start, _) in source.char_indices().step_by(7) {
            try_it(&source[start..]);
        }
    }
}

/// What people wrote is in no error.
#[test]
fn errors_say_nothing_of_messages() {
    for source in [
        "{{ text.nothing() }}",
        "{{ text + 1 }}",
        "{{ n[text].x }}",
        "{{ messages[text] + 1 }}",
        "{{ [1] | map(text) | list }}",
        "{{ [1] | select(text) | list }}",
        "{{ text | int(0, text) }}",
        "{{ strftime_now('%!' ~ text) }}",
        "{{ messages | map(attribute=text) | first + 1 }}",
        "{{ {text: 1}[text].x.y }}",
        "{{ messages | sort }}",
        "{{ text | nofilter }}",
        "{{ text() }}",
        "{{ 1 in n }}",
        "{% for a, b, c in messages %}{% endfor %}",
        "{{ -text }}",
        "{{ text.index(text ~ 'x') }}",
    ] {
        let error = render(source, variables()).expect_err(source);
        assert!(
            !format!("{error} {error:?}").contains("secret"),
            "{source}: {error}"
        );
        assert!(!error.to_string().contains("line 0"), "{source}: {error}");
    }
    assert_eq!(format!("{:?}", variables()[2]), "(\"text\", a string)");
}

fn piece() -> impl Strategy<Value = String> {
    let pieces = vec![
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "-",
        "+",
        "{%-",
        "-%}",
        "{{-",
        "-}}",
        " ",
        "\n",
        "if",
        "elif",
        "else",
        "endif",
        "for",
        "in",
        "endfor",
        "set",
        "endset",
        "macro",
        "endmacro",
        "call",
        "endcall",
        "raw",
        "endraw",
        "filter",
        "endfilter",
        "with",
        "endwith",
        "break",
        "x",
        "y",
        "messages",
        "text",
        "n",
        "loop",
        "namespace",
        "range",
        "dict",
        "1",
        "2.5",
        "0",
        "'a'",
        "\"b\"",
        "'",
        "\\",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        ".",
        "|",
        "=",
        "==",
        "<",
        "~",
        "*",
        "**",
        "/",
        "//",
        "%",
        "not",
        "and",
        "or",
        "is",
        "defined",
        "upper",
        "items",
        "join",
        "map",
        "select",
        "sort",
        "tojson",
        "split",
        "format",
        "none",
        "true",
        "é",
        "🐟",
        "\u{2028}",
    ];
    prop::sample::select(pieces).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(source in "\\PC{0,60}") {
        try_it(&source);
        try_it(&format!("{{{{ {source} }}}}"));
        try_it(&format!("{{% {source} %}}"));
    }

    #[test]
    fn any_pieces_are_read_or_refused(pieces in prop::collection::vec(piece(), 0..40)) {
        try_it(&pieces.concat());
        try_it(&pieces.join(" "));
        try_it(&format!("{{{{ {} }}}}", pieces.join(" ")));
        try_it(&format!("{{% {} %}}", pieces.join(" ")));
    }
}
