//! How models write that they call a tool, and how such calls are found in what they write.

use serde::de::IgnoredAny;
use serde_json::Value;

/// How a model writes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFormat {
    /// `<tool_call>`, a line with `{"name": …, "arguments": {…}}`, `</tool_call>`: Qwen, Hermes. There may be text before
    /// it, and several calls.
    Tagged,
    /// `{"name": …, "parameters": {…}}` and nothing else, as in Llama 3.
    Bare {
        /// What the model calls the arguments: `parameters` or `arguments`.
        arguments: &'static str,
    },
}

pub(crate) const OPEN: &str = "<tool_call>";
pub(crate) const CLOSE: &str = "</tool_call>";

impl CallFormat {
    /// What a model's chat template tells it; none if that has no tools, or another way to call them.
    pub fn of_template(source: &str) -> Option<Self> {
        // Templates write JSON inside of strings.
        let source = source.replace('\\', "");
        let others = [
            "<function=",
            "<arg_key>",
            "<call",
            "tool_call|",
            "TOOL_CALL",
            "tool▁call",
        ];
        let has = |text: &str| source.contains(text);
        if !has("tools") || others.iter().any(|other| has(other)) {
            None
        } else if has(OPEN) {
            Some(Self::Tagged)
        } else if !has(r#"{"name":"#) {
            None
        } else if has(r#""parameters""#) {
            let arguments = "parameters";
            Some(Self::Bare { arguments })
        } else {
            let arguments = "arguments";
            Some(Self::Bare { arguments })
        }
    }

    /// What stands around a call's arguments.
    pub(crate) fn around(self, name: &str) -> (String, String) {
        match self {
            Self::Tagged => {
                let open = format!("{OPEN}\n{{\"name\": \"{name}\", \"arguments\": ");
                (open, format!("}}\n{CLOSE}"))
            }
            Self::Bare { arguments } => {
                let open = format!("{{\"name\": \"{name}\", \"{arguments}\": ");
                (open, "}".to_owned())
            }
        }
    }
}

/// A part of what a model wrote.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Piece {
    Text(String),
    Call { name: String, arguments: String },
}

/// Takes calls out of a text that comes bit by bit. What may become a call is held back until that is known.
pub(crate) struct Splitter {
    format: CallFormat,
    /// The functions that there are.
    names: Vec<String>,
    held: String,
    /// A call has begun, or, if it is bare, may have.
    inside: bool,
    /// A bare call can only be the whole text, and this is none.
    plain: bool,
}

impl Splitter {
    pub(crate) fn new(format: CallFormat, names: Vec<String>) -> Self {
        Self {
            format,
            names,
            held: String::new(),
            inside: false,
            plain: false,
        }
    }

    /// What is certain with `text`.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held += text;
        let mut pieces = Vec::new();
        match self.format {
            CallFormat::Tagged => while self.tagged(&mut pieces) {},
            CallFormat::Bare { .. } => {
                let begun = self.held.trim_start().chars().next();
                self.inside |= !self.plain && begun == Some('{');
                self.plain |= !self.inside && begun.is_some();
                if self.plain {
                    add_text(&mut pieces, std::mem::take(&mut self.held));
                }
            }
        }
        pieces
    }

    /// What is left at the end.
    pub(crate) fn finish(&mut self) -> Vec<Piece> {
        let held = std::mem::take(&mut self.held);
        let mut pieces = Vec::new();
        match std::mem::take(&mut self.inside) {
            true => self.add_call(&mut pieces, &held, false),
            false => add_text(&mut pieces, held),
        }
        pieces
    }

    /// Goes on to the next tag; false if there is none.
    fn tagged(&mut self, pieces: &mut Vec<Piece>) -> bool {
        let tag = if self.inside { CLOSE } else { OPEN };
        let Some((before, after)) = self.held.split_once(tag) else {
            if !self.inside {
                let held = self.held.split_off(self.held.len() - undecided(&self.held));
                add_text(pieces, std::mem::replace(&mut self.held, held));
            }
            return false;
        };
        let (before, after) = (before.to_owned(), after.to_owned());
        match self.inside {
            true => self.add_call(pieces, &before, true),
            // The space between text and calls is no part of either.
            false => add_text(pieces, before.trim_end().to_owned()),
        }
        self.held = after;
        self.inside = !self.inside;
        true
    }

    /// Adds a call, or the text that it is if it cannot be read as one.
    fn add_call(&self, pieces: &mut Vec<Piece>, block: &str, closed: bool) {
        let bare = self.format != CallFormat::Tagged;
        let call = read(block, closed || bare);
        let known = |name: &String| !bare || self.names.contains(name);
        match call.filter(|(name, _)| known(name)) {
            Some((name, arguments)) => pieces.push(Piece::Call { name, arguments }),
            None if bare => add_text(pieces, block.to_owned()),
            None => {
                let end = if closed { CLOSE } else { "" };
                add_text(pieces, format!("{OPEN}{block}{end}"));
            }
        }
    }
}

fn add_text(pieces: &mut Vec<Piece>, text: String) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Text(last)) => *last += &text,
        _ => pieces.push(Piece::Text(text)),
    }
}

/// How many bytes at a text's end may belong to a tag that has not come yet: space, and the tag's beginning.
fn undecided(text: &str) -> usize {
    let begun = (1..OPEN.len()).rev().find(|n| text.ends_with(&OPEN[..*n]));
    let before = text[..text.len() - begun.unwrap_or(0)].trim_end();
    text.len() - before.len()
}

/// A call's name and arguments; `closed` if it has come to its end for sure.
fn read(block: &str, closed: bool) -> Option<(String, String)> {
    let is_json = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_ok();
    match (in_order(block, true), serde_json::from_str::<Value>(block)) {
        (Some((name, arguments)), _) if is_json(&arguments) => Some((name, text_of(arguments))),
        (_, Ok(call)) if call["name"].is_string() => {
            let arguments = call.get("arguments").or_else(|| call.get("parameters"));
            let arguments = arguments.map_or("{}".to_owned(), Value::to_string);
            Some((call["name"].as_str()?.to_owned(), text_of(arguments)))
        }
        // Not JSON: whoever gets it sees what the model wrote.
        _ => in_order(block, closed),
    }
}

/// Arguments that are a string with JSON in it are taken out of it.
fn text_of(arguments: String) -> String {
    serde_json::from_str::<String>(&arguments).unwrap_or(arguments)
}

/// A call whose name stands before its arguments, these as they are written.
fn in_order(block: &str, closed: bool) -> Option<(String, String)> {
    let after = |text, token| str::trim_start(text).strip_prefix(token);
    let rest = after(after(after(block, "{")?, "\"name\"")?, ":")?;
    let (name, rest) = after(rest, "\"")?.split_once('"')?;
    let rest = after(rest, ",")?;
    let rest = after(rest, "\"arguments\"").or_else(|| after(rest, "\"parameters\""))?;
    let rest = after(rest, ":")?.trim();
    let arguments = match closed {
        true => rest.strip_suffix('}').unwrap_or(rest).trim_end(),
        false => rest,
    };
    Some((name.to_owned(), arguments.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BARE: CallFormat = CallFormat::Bare {
        arguments: "parameters",
    };

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn call(name: &str, arguments: &str) -> Piece {
        let (name, arguments) = (name.to_owned(), arguments.to_owned());
        Piece::Call { name, arguments }
    }

    /// What comes of a text whose bits end at these places.
    fn split(format: CallFormat, written: &str, cuts: &[usize]) -> Vec<Piece> {
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
        pieces.extend(splitter.finish());
        let mut joined = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => add_text(&mut joined, text),
                call => joined.push(call),
            }
        }
        joined
    }

    #[test]
    fn calls_are_taken_out_of_the_text() {
        let one = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1.0}}\n</tool_call>";
        let tagged = |written: &str| split(CallFormat::Tagged, written, &[]);
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
        ] {
            let written = format!("<tool_call>{block}</tool_call>");
            assert_eq!(tagged(&written), [call("g", arguments)], "{block}");
        }
        // Cut off, or no call at all.
        let cut = &one[..one.len() - 15];
        let stopped = one.trim_end_matches(CLOSE);
        assert_eq!(tagged(stopped), [call("f", "{\"a\": 1.0}")]);
        assert_eq!(tagged(cut), [call("f", "{\"a\": 1.0")]);
        for written in [
            "<tool_call>hm</tool_call>",
            "<tool_call>",
            "a <b> <tool",
            " \n",
        ] {
            assert_eq!(tagged(written), [text(written)]);
        }
    }

    #[test]
    fn a_bare_call_is_the_whole_text() {
        let bare = |written: &str| split(BARE, written, &[]);
        let one = r#"{"name": "f", "parameters": {"a": {}}}"#;
        assert_eq!(bare(one), [call("f", r#"{"a": {}}"#)]);
        assert_eq!(bare(&format!("\n{one}\n")), [call("f", r#"{"a": {}}"#)]);
        let other = one.replace("\"f\"", "\"g\"");
        for written in [&*other, &format!("See {one}"), r#"{"a": 1}"#, "{", ""] {
            let whole = [text(written)];
            let whole = if written.is_empty() { &[][..] } else { &whole };
            assert_eq!(bare(written), whole);
        }
    }

    #[test]
    fn templates_say_how_calls_are_written() {
        let qwen = r#"{%- if tools %}<tool_call>\n{\"name\": <function-name>, \"arguments\": <args>}\n</tool_call>"#;
        let llama = r#"{%- if tools %}{{- 'Respond in the format {"name": function name, "parameters": dictionary}.' }}"#;
        let coder = "{% if tools %}<tool_call>\n<function=name>";
        for (source, format) in [
            (qwen, Some(CallFormat::Tagged)),
            (llama, Some(BARE)),
            (coder, None),
            ("{{ messages[0].content }}", None),
            ("{% if tools %}{{ tools | tojson }}[TOOL_CALLS]", None),
        ] {
            assert_eq!(CallFormat::of_template(source), format, "{source}");
        }
    }

    proptest! {
        /// Wherever the bits end, the same comes of it, and nothing of the text is lost.
        #[test]
        fn bits_do_not_matter(
            parts in proptest::collection::vec(prop_oneof![
                Just("<tool_call>".to_owned()), Just("</tool_call>".to_owned()), Just(" <tool".to_owned()),
                Just("{\"name\": \"f\", \"arguments\": {}}".to_owned()), "[ -~é\n]{0,6}",
            ], 0..8),
            cuts in proptest::collection::btree_set(0usize..120, 0..12),
            bare: bool,
        ) {
            let written = parts.concat();
            let format = if bare { BARE } else { CallFormat::Tagged };
            let cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < written.len()).collect();
            let pieces = split(format, &written, &cuts);
            prop_assert_eq!(&pieces, &split(format, &written, &[]));
            if !written.contains(OPEN) && !bare {
                let whole = if written.is_empty() { vec![] } else { vec![text(&written)] };
                prop_assert_eq!(pieces, whole);
            }
        }
    }
}
