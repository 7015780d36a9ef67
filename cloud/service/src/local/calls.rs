//! Conversations that have calls of tools, as a model's template reads them.

use serde_json::{Value, json};
use sprat_model::Model;
use sprat_wire::{Message, Role, ToolCall};

use crate::CallFormat;
use crate::calls::Form;

/// The special tokens that are part of an answer in which tools may be called.
pub(super) fn markers(model: &Model) -> Vec<u32> {
    let markers = form(model).map_or(&[][..], |form| form.markers);
    let ids = markers.iter();
    ids.filter_map(|text| model.tokenizer().id(text)).collect()
}

/// How a model calls tools.
fn form(model: &Model) -> Option<&'static Form> {
    let source = model.template()?.source();
    CallFormat::of_template(&source).map(CallFormat::form)
}

/// What a model's template makes of calls.
pub(super) struct Conversation<'a> {
    model: &'a Model,
    form: Option<&'static Form>,
    /// The template writes no calls, so that they must be in the message's text.
    in_text: bool,
    /// It has a role of its own for results.
    results_by: &'static str,
}

impl<'a> Conversation<'a> {
    pub(super) fn of(model: &'a Model) -> Self {
        let source = model.template().map(|template| template.source());
        let source = source.unwrap_or_default();
        let form = form(model);
        let in_text = |form: &Form| form.told.in_text || !source.contains("tool_calls");
        let results_by = form.map_or("", |form| form.told.results_by);
        Self {
            model,
            form,
            in_text: form.is_some_and(in_text),
            results_by: match source.contains(results_by) && !results_by.is_empty() {
                true => results_by,
                false => Role::Tool.as_str(),
            },
        }
    }

    /// A message as templates read it.
    pub(super) fn tell(&self, message: &Message) -> Value {
        let mut fields = json!({"role": message.role.as_str(), "content": message.content});
        if message.role == Role::Tool {
            fields["role"] = json!(self.results_by);
        }
        if let Some(id) = &message.tool_call_id {
            fields["tool_call_id"] = json!(self.id(id));
        }
        match self.form {
            _ if message.tool_calls.is_empty() => {}
            Some(form) if self.in_text => {
                fields["content"] = json!(message.content.clone() + &self.text(form, message));
            }
            _ => fields["tool_calls"] = message.tool_calls.iter().map(|c| self.call(c)).collect(),
        }
        fields
    }

    /// Arguments are no text but what they say, unless the template takes them for a text.
    fn call(&self, call: &ToolCall) -> Value {
        let (name, arguments) = (&call.function.name, &call.function.arguments);
        let as_text = self.form.is_some_and(|form| form.told.arguments_are_text);
        let read = serde_json::from_str(arguments).ok().filter(|_| !as_text);
        let arguments = read.unwrap_or_else(|| json!(arguments));
        json!({"id": self.id(&call.id), "type": "function",
            "function": {"name": name, "arguments": arguments}})
    }

    /// The calls as the model wrote them, without the special tokens, which no message may have.
    fn text(&self, form: &Form, message: &Message) -> String {
        let calls = message.tool_calls.iter().map(|call| {
            let function = &call.function;
            (function.name.clone(), function.arguments.clone())
        });
        let mut text = form.write(&calls.collect::<Vec<_>>());
        for (_, token, special) in self.model.tokenizer().added_tokens() {
            if special && form.markers.contains(&token.as_str()) {
                text = text.replace(&token, "");
            }
        }
        text
    }

    /// Some templates take ids of nine letters and digits only. A call and its result have the same one.
    fn id(&self, id: &str) -> String {
        if !self.form.is_some_and(|form| form.told.ids_of_nine) {
            return id.to_owned();
        }
        let known: Vec<char> = id.chars().filter(char::is_ascii_alphanumeric).collect();
        let last: String = known[known.len().saturating_sub(9)..].iter().collect();
        format!("{last:0>9}")
    }
}
