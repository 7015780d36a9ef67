//! Chat templates: Hugging Face's Jinja, rendered by minijinja.

use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, Value, context};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::guard::guard;
use crate::python_json::to_json;

/// One message of a conversation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// Conversations must not reach a log by accident: the content is not shown.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message({}, {} bytes)", self.role, self.content.len())
    }
}

/// What a template may read besides messages, as in transformers' `apply_chat_template`. Templates see
/// the fields of values in their order, which `serde_json`'s own values would not keep.
#[derive(Clone, Default)]
pub struct Extras {
    /// Tools that the model may call, each a JSON schema of a function.
    pub tools: Option<Vec<Value>>,
    /// Documents that it may quote.
    pub documents: Option<Vec<Value>>,
}

/// A compiled chat template with the special tokens it may name.
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
}

/// Work a template may do before it is stopped: a template is a program from a stranger.
const FUEL: u64 = 2_000_000;

impl ChatTemplate {
    /// Compiles `source` with the settings of transformers' `apply_chat_template`.
    ///
    /// # Errors
    /// [`Error::Template`] with line and reason.
    pub fn new(source: &str, bos_token: &str, eos_token: &str) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<String, _> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", to_json);
        guard(Error::Template, || {
            // As Jinja reads it: every way to end a line is one.
            let source = source.replace("\r\n", "\n").replace('\r', "\n");
            environment
                .add_template_owned("chat", source)
                .map_err(failed)
        })?;
        Ok(Self {
            environment,
            bos_token: bos_token.to_owned(),
            eos_token: eos_token.to_owned(),
        })
    }

    /// The template as it was given.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn source(&self) -> String {
        let template = self.environment.get_template("chat");
        template.map_or(String::new(), |template| template.source().to_owned())
    }

    /// Renders a conversation; with `add_generation_prompt` up to where the assistant's next answer
    /// begins.
    ///
    /// # Errors
    /// [`Error::Template`] when the template refuses the messages (roles out of order, say).
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, Error> {
        self.run(messages, &Extras::default(), add_generation_prompt)
    }

    /// Renders a conversation whose messages may have more than a role and a text (calls of tools
    /// and their results, say), and what else a template may read. Fields of messages that are null
    /// are left out, as transformers does.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn render_with(
        &self,
        messages: &[Value],
        extras: &Extras,
        add_generation_prompt: bool,
    ) -> Result<String, Error> {
        let messages: Vec<Value> = messages.iter().map(without_nulls).collect();
        self.run(&messages, extras, add_generation_prompt)
    }

    fn run<M: Serialize>(
        &self,
        messages: &[M],
        extras: &Extras,
        add_generation_prompt: bool,
    ) -> Result<String, Error> {
        let template = self.environment.get_template("chat").map_err(failed)?;
        let context = context! {
            messages => messages,
            add_generation_prompt,
            // Defined, none where there are none, as transformers has them.
            tools => extras.tools,
            // What SmolLM3's first template calls them.
            xml_tools => extras.tools,
            documents => extras.documents,
            bos_token => self.bos_token,
            eos_token => self.eos_token,
        };
        guard(Error::Template, || template.render(context).map_err(failed))
    }
}

/// A message without its fields that are null.
fn without_nulls(message: &Value) -> Value {
    let fields = message.try_iter().into_iter().flatten();
    let fields = fields.filter_map(|key| {
        let value = message.get_item(&key).ok()?;
        (!value.is_none()).then_some((key, value))
    });
    match message.kind() {
        ValueKind::Map => fields.collect(),
        _ => message.clone(),
    }
}

/// Today's date in a template's own format.
fn strftime_now(format: String) -> Result<String, minijinja::Error> {
    use std::fmt::Write;
    let mut text = String::new();
    let written = write!(text, "{}", chrono::Local::now().format(&format));
    written.map_err(|_| {
        let what = "strftime_now: not a format of a date";
        minijinja::Error::new(ErrorKind::InvalidOperation, what)
    })?;
    Ok(text)
}

/// The error's kind, place and detail; never the rendered text.
fn failed(error: minijinja::Error) -> Error {
    let place = error
        .line()
        .map(|line| format!(" (line {line})"))
        .unwrap_or_default();
    let detail = error
        .detail()
        .map(|detail| format!(": {detail}"))
        .unwrap_or_default();
    Error::Template(format!("{}{detail}{place}", error.kind()))
}
