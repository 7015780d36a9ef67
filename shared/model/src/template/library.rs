//! Chat templates by minijinja.

use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, context};
use serde::Serialize;

use super::python_json::to_json;
use crate::Error;
use crate::guard::guard;

pub use minijinja::Value as TemplateValue;

/// What a template may read besides messages, as in transformers' `apply_chat_template`. Templates see
/// the fields of values in their order, which `serde_json`'s own values would not keep.
#[derive(Clone, Default)]
pub struct Extras {
    /// Tools that the model may call, each a JSON schema of a function.
    pub tools: Option<Vec<TemplateValue>>,
    /// Documents that it may quote.
    pub documents: Option<Vec<TemplateValue>>,
}

/// A template that minijinja has compiled.
pub(super) struct Library {
    environment: Environment<'static>,
}

/// Work a template may do before it is stopped: a template is a program from a stranger.
const FUEL: u64 = 2_000_000;

impl Library {
    pub(super) fn new(source: &str) -> Result<Self, Error> {
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
        Ok(Self { environment })
    }

    pub(super) fn source(&self) -> String {
        let template = self.environment.get_template("chat");
        template.map_or(String::new(), |template| template.source().to_owned())
    }

    pub(super) fn run<M: Serialize>(
        &self,
        messages: &[M],
        extras: &Extras,
        add_generation_prompt: bool,
        [bos_token, eos_token]: [&str; 2],
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
            bos_token,
            eos_token,
        };
        guard(Error::Template, || template.render(context).map_err(failed))
    }
}

/// A message without its fields that are null.
pub(super) fn without_nulls(message: &TemplateValue) -> TemplateValue {
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
