//! Chat templates, Hugging Face's Jinja: by our own interpreter, and natively by minijinja what that does not know, and what
//! has tools in it.

#[cfg(feature = "all-templates")]
mod library;
#[cfg(feature = "all-templates")]
mod python_json;

use chrono::{Datelike, Timelike};
use serde::{Deserialize, Serialize};
use sprat_template::{Now, Template, Value};

use crate::Error;
#[cfg(feature = "all-templates")]
use library::Library;
#[cfg(feature = "all-templates")]
pub use library::{Extras, TemplateValue};

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

/// A chat template that was read, with the special tokens it may name.
pub struct ChatTemplate {
    /// None where only the library can read it.
    ours: Option<Template>,
    /// None where only ours can.
    #[cfg(feature = "all-templates")]
    fallback: Option<Library>,
    bos_token: String,
    eos_token: String,
}

impl ChatTemplate {
    /// Reads `source` with the settings of transformers' `apply_chat_template`.
    ///
    /// # Errors
    /// [`Error::Template`] with line and reason; [`Error::TemplateUnsupported`] where only the library could read it, and is
    /// not there.
    pub fn new(source: &str, bos_token: &str, eos_token: &str) -> Result<Self, Error> {
        let ours = Template::new(source).map_err(failed);
        #[cfg(feature = "all-templates")]
        let (ours, fallback) = match (ours, Library::new(source)) {
            (Err(_), Err(error)) => return Err(error),
            (ours, fallback) => (ours.ok(), fallback.ok()),
        };
        #[cfg(not(feature = "all-templates"))]
        let ours = Some(ours?);
        Ok(Self {
            ours,
            #[cfg(feature = "all-templates")]
            fallback,
            bos_token: bos_token.to_owned(),
            eos_token: eos_token.to_owned(),
        })
    }

    /// That a page can make prompts by a template, which has no library for it: of a question, and of one behind an answer.
    ///
    /// # Errors
    /// [`Error::TemplateUnsupported`] with what a page cannot do, [`Error::Template`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn check_page(source: &str) -> Result<(), Error> {
        let template = Template::new(source).map_err(failed)?;
        let message = |role: &str| Message {
            role: role.to_owned(),
            content: "text".to_owned(),
        };
        let messages = ["user", "assistant", "user"].map(message);
        for messages in [&messages[..1], &messages] {
            let rendered = template.render(variables(messages, true, "", ""), &now);
            rendered.map_err(failed)?;
        }
        Ok(())
    }

    /// The template as it was given.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn source(&self) -> String {
        #[cfg(feature = "all-templates")]
        if let Some(library) = &self.fallback {
            return library.source();
        }
        let ours = self.ours.as_ref().map(Template::source);
        ours.unwrap_or_default().to_owned()
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
        let ours = self.ours.as_ref().map(|ours| {
            let (bos, eos) = (&self.bos_token, &self.eos_token);
            let variables = variables(messages, add_generation_prompt, bos, eos);
            ours.render(variables, &now).map_err(failed)
        });
        #[cfg(feature = "all-templates")]
        if let (None | Some(Err(Error::TemplateUnsupported(_))), Some(library)) =
            (&ours, &self.fallback)
        {
            let extras = Extras::default();
            return library.run(messages, &extras, add_generation_prompt, self.tokens());
        }
        ours.unwrap_or_else(|| Err(Error::Template("nothing can read it".to_owned())))
    }

    /// Renders a conversation whose messages may have more than a role and a text (calls of tools
    /// and their results, say), and what else a template may read. Fields of messages that are null
    /// are left out, as transformers does.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    #[cfg(feature = "all-templates")]
    pub fn render_with(
        &self,
        messages: &[TemplateValue],
        extras: &Extras,
        add_generation_prompt: bool,
    ) -> Result<String, Error> {
        let library = self.fallback.as_ref().ok_or_else(|| {
            Error::Template("minijinja, which renders tools, cannot read it".to_owned())
        })?;
        let messages: Vec<_> = messages.iter().map(library::without_nulls).collect();
        library.run(&messages, extras, add_generation_prompt, self.tokens())
    }

    /// The special tokens that a template may name: of the beginning and of the end.
    #[cfg(feature = "all-templates")]
    fn tokens(&self) -> [&str; 2] {
        [&self.bos_token, &self.eos_token]
    }
}

/// What a template sees of a conversation.
fn variables<'a>(
    messages: &[Message],
    add_generation_prompt: bool,
    bos_token: &str,
    eos_token: &str,
) -> Vec<(&'a str, Value)> {
    let text = |text: &str| Value::Text(text.into());
    let message = |message: &Message| {
        Value::map(vec![
            (text("role"), text(&message.role)),
            (text("content"), text(&message.content)),
        ])
    };
    vec![
        (
            "messages",
            Value::list(messages.iter().map(message).collect()),
        ),
        ("add_generation_prompt", Value::Bool(add_generation_prompt)),
        // Defined, none where there are none, as transformers has them.
        ("tools", Value::None),
        // What SmolLM3's first template calls them.
        ("xml_tools", Value::None),
        ("documents", Value::None),
        ("bos_token", text(bos_token)),
        ("eos_token", text(eos_token)),
    ]
}

/// The local time.
fn now() -> Now {
    let now = chrono::Local::now();
    Now {
        year: now.year().unsigned_abs(),
        month: now.month(),
        day: now.day(),
        hour: now.hour(),
        minute: now.minute(),
        second: now.second(),
    }
}

/// The reason and its place; never the rendered text, but for what the template itself says of it.
fn failed(error: sprat_template::Error) -> Error {
    match error {
        sprat_template::Error::Unsupported { .. } => Error::TemplateUnsupported(error.to_string()),
        other => Error::Template(other.to_string()),
    }
}
