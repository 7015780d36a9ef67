//! Chat templates in the part of Jinja2 that Hugging Face's are written in, for pages that need no more of it.
//!
//! A template renders as transformers' `apply_chat_template` renders it: Jinja2 with `trim_blocks` and `lstrip_blocks`, loop
//! controls, `{% generation %}`, `raise_exception`, `strftime_now` and its `tojson`, with Python's methods and Python's way to
//! print values. What is different: what changes a list or a mapping is refused (as in transformers' sandbox), and so are
//! other templates (`include`, `extends`), integers of more than 64 bits, what digits there are beyond ASCII's, and filters
//! that no chat template uses.
//! [`Error::Unsupported`] names each, and comes only when it is reached.
//!
//! Templates are programs from strangers: none runs long, makes much, overflows the stack or panics.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod args;
mod date;
mod error;
mod filters;
mod json;
mod lex;
mod meter;
mod number;
mod operate;
mod parse;
mod print;
mod render;
mod sequence;
mod sort;
mod tests;
mod text;
mod tree;
mod value;

use std::sync::Arc;

use tree::Tree;

pub use date::Now;
pub use error::Error;
pub use value::{List, Map, Object, Value};

/// A template that was read, ready to be rendered any number of times.
pub struct Template {
    source: Box<str>,
    tree: Tree,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`Error::Syntax`], or [`Error::Unsupported`] for blocks that are not known here.
    pub fn new(source: &str) -> Result<Self, Error> {
        // As Jinja reads it: every way to end a line is one, and the last line's end is none.
        let lines = source.replace("\r\n", "\n").replace('\r', "\n");
        let tree =
            parse::parse(lines.strip_suffix('\n').unwrap_or(&lines)).map_err(|fail| *fail)?;
        let source = Box::from(source);
        Ok(Self { source, tree })
    }

    /// The template as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Renders with these variables; `now` is asked for the local time if the template wants it.
    ///
    /// # Errors
    /// [`Error::Raised`] if the template refuses the variables, [`Error::Invalid`] if it cannot do with them what it does,
    /// [`Error::Unsupported`], [`Error::TooMuch`].
    pub fn render(
        &self,
        variables: Vec<(&str, Value)>,
        now: &dyn Fn() -> Now,
    ) -> Result<String, Error> {
        let variables = variables.into_iter();
        let variables = variables.map(|(name, value)| (Arc::from(name), value));
        render::render(&self.tree, variables.collect(), now).map_err(|fail| *fail)
    }
}
