//! The table of forms. Each is what the chat templates of its models say, which were read on the hub.

use super::{Call, CallFormat};

/// One way to write calls.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) format: CallFormat,
    /// Its templates have all texts of one of these lists,
    signs: &'static [&'static [&'static str]],
    /// and none of these.
    unless: &'static [&'static str],
    /// Its texts that may be special tokens, which are otherwise not given out, nor let through by a grammar.
    pub(crate) markers: &'static [&'static str],
    /// What calls begin with; nothing if they are the whole answer.
    pub(super) open: &'static str,
    /// What they end with; nothing if that is the answer's end.
    pub(super) close: &'static str,
    pub(super) body: Body,
    /// Behind this text there is one call for sure.
    pub(crate) stop: Option<&'static str>,
    pub(crate) written: Written,
    pub(crate) told: Told,
}

/// What stands between a form's `open` and `close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// A JSON object with name and arguments, or a list of such.
    Json,
    /// The same, or Python's calls in a list.
    Python,
    /// Names and arguments.
    Parts {
        /// Before each call.
        begin: &'static str,
        /// Between name and arguments, or between a kind and the rest.
        separator: &'static str,
        /// Behind each call.
        end: &'static str,
    },
}

/// How calls are written by whoever keeps to the form exactly.
#[derive(Debug)]
pub(crate) struct Written {
    /// Before the first call, in one way of these.
    pub(crate) before: &'static [&'static str],
    /// Before and behind a call's name.
    pub(crate) name: [&'static str; 2],
    /// Behind its arguments.
    pub(crate) tail: &'static str,
    /// Between two calls; none if there is never more than one.
    pub(crate) between: Option<&'static str>,
    /// Behind the last one.
    pub(crate) after: &'static str,
}

/// What its templates expect of a conversation that has calls, otherwise than those of other forms.
#[derive(Debug)]
pub(crate) struct Told {
    /// Arguments as text that is JSON.
    pub(crate) arguments_are_text: bool,
    /// Ids are nine letters and digits.
    pub(crate) ids_of_nine: bool,
    /// Calls are part of the message's text, since templates lose them.
    pub(crate) in_text: bool,
    /// Who says a call's result, where templates know that role.
    pub(crate) results_by: &'static str,
}

const AS_USUAL: Told = Told {
    arguments_are_text: false,
    ids_of_nine: false,
    in_text: false,
    results_by: "tool",
};

const NAME: [&str; 2] = [r#"{"name": ""#, r#"", "arguments": "#];

/// JSON objects in a list.
const fn listed(before: &'static [&'static str], after: &'static str) -> Written {
    Written {
        before,
        name: NAME,
        tail: "}",
        between: Some(", "),
        after,
    }
}

/// A JSON object alone.
const fn alone(name: [&'static str; 2]) -> Written {
    Written {
        before: &[""],
        name,
        tail: "}",
        between: None,
        after: "",
    }
}

pub(super) const PYTHON_TAG: &str = "<|python_tag|>";
const DEEP_SEEK: [&str; 5] = [
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁sep｜>",
    "<｜tool▁call▁end｜>",
];
const DEEP_SEEK_BODY: Body = Body::Parts {
    begin: DEEP_SEEK[2],
    separator: DEEP_SEEK[3],
    end: DEEP_SEEK[4],
};

/// Signs of forms that are not in the table, but resemble those at its end.
const OTHERS: [&str; 8] = [
    "functools[",
    "START_ACTION",
    "<function=",
    "<arg_key>",
    "<call",
    "tool_call|",
    "TOOL_CALL",
    "tool▁call",
];

/// All of them, in the order of [`CallFormat`]; a template has the first one whose signs it has.
static FORMS: [Form; 10] = [
    Form {
        format: CallFormat::DeepSeek,
        signs: &[&["<｜tool▁call▁begin｜>", "```json"]],
        unless: &[],
        markers: &DEEP_SEEK,
        open: DEEP_SEEK[0],
        close: DEEP_SEEK[1],
        body: DEEP_SEEK_BODY,
        stop: Some(DEEP_SEEK[4]),
        written: Written {
            before: &["<｜tool▁calls▁begin｜>"],
            name: ["<｜tool▁call▁begin｜>function<｜tool▁sep｜>", "\n```json\n"],
            tail: "\n```<｜tool▁call▁end｜>",
            between: Some("\n"),
            after: "<｜tool▁calls▁end｜>",
        },
        // Its templates write calls only in messages whose content is none, which transformers leaves out.
        told: Told {
            in_text: true,
            ..AS_USUAL
        },
    },
    Form {
        format: CallFormat::DeepSeekPlain,
        signs: &[&["<｜tool▁call▁begin｜>"]],
        unless: &[],
        markers: &DEEP_SEEK,
        open: DEEP_SEEK[0],
        close: DEEP_SEEK[1],
        body: DEEP_SEEK_BODY,
        stop: Some(DEEP_SEEK[4]),
        written: Written {
            before: &["<｜tool▁calls▁begin｜>"],
            name: ["<｜tool▁call▁begin｜>", "<｜tool▁sep｜>"],
            tail: "<｜tool▁call▁end｜>",
            between: Some(""),
            after: "<｜tool▁calls▁end｜>",
        },
        told: Told {
            arguments_are_text: true,
            ..AS_USUAL
        },
    },
    Form {
        format: CallFormat::Lfm2,
        signs: &[&["<|tool_call_start|>"], &["<|tool_list_start|>"]],
        unless: &[],
        markers: &["<|tool_call_start|>", "<|tool_call_end|>"],
        open: "<|tool_call_start|>",
        close: "<|tool_call_end|>",
        body: Body::Python,
        stop: Some("<|tool_call_end|>"),
        // As JSON, which it also knows: a grammar of JSON Schema has no words for Python's.
        written: listed(&["<|tool_call_start|>["], "]<|tool_call_end|>"),
        told: AS_USUAL,
    },
    Form {
        format: CallFormat::Phi,
        signs: &[&["<|tool_call|>", "<|/tool_call|>"]],
        unless: &[],
        markers: &["<|tool_call|>", "<|/tool_call|>"],
        open: "<|tool_call|>",
        close: "<|/tool_call|>",
        body: Body::Json,
        stop: Some("<|/tool_call|>"),
        written: listed(&["<|tool_call|>["], "]<|/tool_call|>"),
        told: AS_USUAL,
    },
    Form {
        format: CallFormat::Granite,
        signs: &[&["<|tool_call|>"]],
        unless: &[],
        markers: &["<|tool_call|>"],
        open: "<|tool_call|>",
        close: "",
        body: Body::Json,
        stop: None,
        written: listed(&["<|tool_call|>["], "]"),
        told: Told {
            results_by: "tool_response",
            ..AS_USUAL
        },
    },
    Form {
        format: CallFormat::MistralArgs,
        signs: &[&["[TOOL_CALLS]", "[ARGS]"]],
        unless: &[],
        markers: &["[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"],
        open: "[TOOL_CALLS]",
        close: "",
        body: Body::Parts {
            begin: "[TOOL_CALLS]",
            separator: "[ARGS]",
            end: "",
        },
        stop: None,
        written: Written {
            before: &[""],
            name: ["[TOOL_CALLS]", "[ARGS]"],
            tail: "",
            between: Some(""),
            after: "",
        },
        told: Told {
            ids_of_nine: true,
            ..AS_USUAL
        },
    },
    Form {
        format: CallFormat::Mistral,
        signs: &[&["[TOOL_CALLS]"]],
        unless: &[],
        markers: &["[TOOL_CALLS]"],
        open: "[TOOL_CALLS]",
        close: "",
        body: Body::Json,
        stop: None,
        // The older tokenizers begin every text with a space.
        written: listed(&["[TOOL_CALLS][", "[TOOL_CALLS] ["], "]"),
        told: Told {
            ids_of_nine: true,
            ..AS_USUAL
        },
    },
    Form {
        format: CallFormat::Tagged,
        signs: &[&["<tool_call>"]],
        unless: &OTHERS,
        markers: &["<tool_call>", "</tool_call>"],
        open: "<tool_call>",
        close: "</tool_call>",
        body: Body::Json,
        stop: Some("</tool_call>"),
        written: Written {
            before: &[""],
            name: ["<tool_call>\n{\"name\": \"", NAME[1]],
            tail: "}\n</tool_call>",
            between: Some("\n"),
            after: "",
        },
        told: AS_USUAL,
    },
    Form {
        format: CallFormat::Bare,
        signs: &[&[r#"{"name":"#, r#""parameters""#]],
        unless: &OTHERS,
        markers: &[PYTHON_TAG],
        open: "",
        close: "",
        body: Body::Json,
        stop: None,
        written: alone([NAME[0], r#"", "parameters": "#]),
        told: AS_USUAL,
    },
    Form {
        format: CallFormat::BareArguments,
        signs: &[&[r#"{"name":"#]],
        unless: &OTHERS,
        markers: &[PYTHON_TAG],
        open: "",
        close: "",
        body: Body::Json,
        stop: None,
        written: alone(NAME),
        told: AS_USUAL,
    },
];

impl Form {
    pub(super) fn of(format: CallFormat) -> &'static Self {
        &FORMS[format as usize]
    }

    pub(super) fn of_template(source: &str) -> Option<&'static Self> {
        // Templates write JSON inside of strings.
        let source = source.replace('\\', "");
        let has = |text: &&str| source.contains(*text);
        let fits = |form: &&Form| {
            form.signs.iter().any(|signs| signs.iter().all(has)) && !form.unless.iter().any(has)
        };
        // One that does not name them does not tell them to the model.
        has(&"tools").then(|| FORMS.iter().find(fits)).flatten()
    }

    /// Calls as the model would write them.
    pub(crate) fn write(&self, calls: &[Call]) -> String {
        let Written {
            before,
            name: [head, middle],
            tail,
            between,
            after,
        } = &self.written;
        let calls = calls
            .iter()
            .map(|(name, arguments)| format!("{head}{name}{middle}{arguments}{tail}"));
        let calls: Vec<String> = calls.collect();
        let calls = calls.join(between.unwrap_or("\n"));
        format!("{}{calls}{after}", before[0])
    }
}
