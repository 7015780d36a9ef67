//! Expressions of any shape by ours and by minijinja. Where it differs from Python, which ours follows, the grammar here leaves
//! that out:
//!
//! | | minijinja | Python, and here |
//! |---|---|---|
//! | printing | `true`, `none`, `["a"]` | `True`, `None`, `['a']` |
//! | `//` and `%` by negative numbers | round towards zero, positive | round down, sign of the divisor |
//! | `2 ** 3 ** 2` | from the right | from the left, as Jinja has it |
//! | `~` beside `+` | the same precedence | `~` binds tighter |
//! | a key named as a method: `schema.items` | the key | the method |
//! | an empty `select(…)`, as a condition | false | true: a generator |
//! | iterating over none | nothing | an error |
//! | `none in 'text'`, `1 in 'text'` | printed, then looked for | an error |
//! | `isdigit` and its like of an empty string | true | false |
//! | `find` | bytes | characters |
//! | `split` without a separator, with a limit | whitespace at the end goes | stays |
//! | `splitlines`, `indent` | by `\n` and `\r\n`, and without the last end | by all line ends that Python knows |
//! | `'' and 'b'` | false | the empty string |
//! | `''[::-1]` | panics | empty |
//! | `title` | words | as Jinja, or as Python for the method |

use minijinja::Value as Theirs;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sprat_template::Error;

use crate::support::{both, render};

fn pick(options: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(options).prop_map(str::to_owned)
}

/// Fills the places `A`, `B` and `C` of a form with expressions.
fn form(
    forms: &'static [&'static str],
    a: BoxedStrategy<String>,
    b: BoxedStrategy<String>,
    c: BoxedStrategy<String>,
) -> BoxedStrategy<String> {
    let filled = (pick(forms), a, b, c).prop_map(|(form, a, b, c)| {
        let filled = form.chars().map(|letter| match letter {
            'A' => a.clone(),
            'B' => b.clone(),
            'C' => c.clone(),
            other => other.to_string(),
        });
        format!("({})", filled.collect::<String>())
    });
    filled.boxed()
}

fn int(depth: u32) -> BoxedStrategy<String> {
    let leaf = pick(&["0", "1", "2", "3", "7", "n", "minus"]).boxed();
    if depth == 0 {
        return leaf;
    }
    let (a, b) = (int(depth - 1), int(depth - 1));
    let (text, list, truth) = (text(depth - 1), list(depth - 1), truth(depth - 1));
    prop_oneof![
        leaf,
        form(
            &["A + B", "A - B", "A * B", "-A", "A if C else B", "A | abs"],
            a.clone(),
            b,
            truth.clone()
        ),
        form(
            &["A | length", "A.count('a')", "A | count"],
            text,
            list.clone(),
            truth
        ),
        form(
            &["A | length", "(A | list | length)", "A.count('a')"],
            list.clone(),
            a,
            list
        ),
    ]
    .boxed()
}

fn text(depth: u32) -> BoxedStrategy<String> {
    let leaf = pick(&[
        "''", "'a'", "'ab, c'", "\" b \"", "'\\n'", "text", "'é🐟'", "'{{'", "'aXa'",
    ])
    .boxed();
    if depth == 0 {
        return leaf;
    }
    let (a, b) = (text(depth - 1), text(depth - 1));
    let (int, list, truth) = (int(depth - 1), list(depth - 1), truth(depth - 1));
    prop_oneof![
        leaf,
        form(
            &[
                "A + B",
                "A ~ B",
                "A | upper",
                "A.lower()",
                "A | trim",
                "A.strip()",
                "A.lstrip('a ')",
                "A.rstrip('\\n')",
                "A | replace('a', B)",
                "A.replace(B ~ 'x', 'y')",
                "A | default(B)",
                "A if C else B",
                "A or B",
                "A | capitalize",
                "A | reverse",
            ],
            a.clone(),
            b,
            truth.clone()
        ),
        form(
            &[
                "A[:B]",
                "A[B:]",
                "('x' ~ A)[::-1]",
                "A[::2]",
                "A[B:-1]",
                "B | string",
                "A ~ B",
                "A[0] | default('?')"
            ],
            a,
            int.clone(),
            truth
        ),
        form(
            &[
                "A | join(',')",
                "A[B] | default('none')",
                "A | first | default('x')",
                "A | last | default('y')"
            ],
            list.clone(),
            int,
            list
        ),
    ]
    .boxed()
}

fn list(depth: u32) -> BoxedStrategy<String> {
    let leaf = pick(&["[]", "['a']", "['b', 'a', 'C']", "words"]).boxed();
    if depth == 0 {
        return leaf;
    }
    let (a, b) = (list(depth - 1), list(depth - 1));
    let (int, text) = (int(depth - 1), text(depth - 1));
    prop_oneof![
        leaf,
        form(
            &[
                "A + B",
                "A | reverse | list",
                "A | sort",
                "A | unique | list",
                "A | map('upper') | list",
                "(A + ['x'])[::-1]",
                "A[1:]",
                "A | reject('eq', 'a') | list"
            ],
            a.clone(),
            b,
            text.clone()
        ),
        form(
            &[
                "[A, C]",
                "A.split(',')",
                "A.split()",
                "A.split('a', 1)",
                "A | list",
                "[A, A, 'z']"
            ],
            text.clone(),
            int.clone(),
            text
        ),
        form(&["A[:B]", "A[B:]", "A[-2:B]", "A[B::2]"], a.clone(), int, a),
    ]
    .boxed()
}

fn truth(depth: u32) -> BoxedStrategy<String> {
    let leaf = pick(&["true", "false", "yes", "not yes"]).boxed();
    if depth == 0 {
        return leaf;
    }
    let (int, text, list, truth) = (
        int(depth - 1),
        text(depth - 1),
        list(depth - 1),
        truth(depth - 1),
    );
    prop_oneof![
        leaf,
        form(
            &[
                "A == B",
                "A < B",
                "A >= B",
                "A != B",
                "A is odd",
                "A is divisibleby 3",
                "A in [1, B]",
                "A is number"
            ],
            int.clone(),
            int,
            truth.clone()
        ),
        form(
            &[
                "A == B",
                "A in B",
                "A not in B",
                "A.startswith(B)",
                "A.endswith('a')",
                "A is string",
                "A < B",
                "'' ~ A is defined"
            ],
            text.clone(),
            text.clone(),
            truth.clone()
        ),
        form(
            &[
                "A in B",
                "A == B",
                "B is iterable",
                "A is none",
                "B | length > 1"
            ],
            text,
            list,
            truth.clone()
        ),
        form(
            &[
                "A and B",
                "A or B",
                "not A",
                "A == B",
                "A is true",
                "x is undefined"
            ],
            truth.clone(),
            truth.clone(),
            truth
        ),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn expressions_are_worth_the_same(int in int(3), text in text(3), list in list(3), truth in truth(3)) {
        let variables = [
            ("n", Theirs::from(5)),
            ("minus", Theirs::from(-2)),
            ("text", Theirs::from("Hello, a World\n")),
            ("words", ["x", "a", "a", "Yes"].into_iter().map(Theirs::from).collect()),
            ("yes", Theirs::from(true)),
        ];
        let source = format!("{{{{ {int} }}}}|{{{{ {text} }}}}|{{{{ {list} | join('-') }}}}|{{{{ 'T' if {truth} else 'F' }}}}");
        let (ours, theirs) = both(&source, &variables);
        // The few texts that only one of them takes are errors of types, which Python finds, too.
        if let (Ok(ours), Ok(theirs)) = (&ours, &theirs) {
            prop_assert_eq!(ours, theirs, "{}", source);
        } else {
            prop_assert!(theirs.is_err() || ours.is_err());
        }
    }
}

/// Where minijinja does something else, or nothing.
#[test]
fn what_only_jinja_does() {
    for (source, expected) in [
        (
            "{% for i in range(5) %}a{{ i }}{% set x %}b{% if i == 2 %}{% break %}{% endif %}{% endset %}{{ x }}{% endfor %}.",
            "a0ba1ba2.",
        ),
        (
            "{% for i in range(3) %}a{{ i }}{% filter upper %}b{% if i == 1 %}{% continue %}{% endif %}c{% endfilter %}{% endfor %}.",
            "a0BCa1a2BC.",
        ),
        (
            "{{ {'a': 1, 'b': 2} | first }}{{ {'a': 1, 'b': 2} | last }}",
            "ab",
        ),
        (
            "{{ {} | first is defined }}{{ {} | last is defined }}",
            "FalseFalse",
        ),
        (
            "{{ 'ab' * -1 }}{{ [1] * -1 }}{{ 'a' | indent(-1, true) }}",
            "[]a",
        ),
        (
            "{{ '09'.isdigit() }}{{ '-1'.isdecimal() }}{{ '½a'.isnumeric() }}",
            "TrueFalseFalse",
        ),
        (
            "{{ '一'.isdigit() }}{{ ''.isnumeric() }}{{ 'é'.isdecimal() }}",
            "FalseFalseFalse",
        ),
        ("{{ 'héLLO éA'.title() }}", "Héllo Éa"),
        (
            "{{ 9223372036854775807 }}{{ 0x7fff_ffff }}",
            "92233720368547758072147483647",
        ),
    ] {
        let rendered = render(source, Vec::new());
        assert_eq!(rendered.as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn what_another_library_may_do_is_left_to_it() {
    for source in [
        "{{ 9223372036854775808 }}",
        "{{ 0xffffffffffffffffffff }}",
        "{{ '½'.isdigit() }}",
        "{{ '1²'.isdecimal() }}",
        "{{ '一'.isnumeric() }}",
        "{{ strftime_now('%f') }}",
        "{{ strftime_now('%G-%V') }}",
        "{{ strftime_now('%U %s') }}",
    ] {
        let error = render(source, Vec::new()).unwrap_err();
        assert!(
            matches!(error, Error::Unsupported { line: 1, .. }),
            "{source}: {error}"
        );
    }
}
