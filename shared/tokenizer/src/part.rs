//! What the parts of a `tokenizer.json` are read with.

use serde_json::Value;

use crate::Error;
use crate::error::{malformed, unsupported};
use crate::pattern::Pattern;

/// A part of the file that says by `type` what it is, with the name of the list it stands in.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    /// What it is called in errors.
    pub(crate) what: &'static str,
    pub(crate) value: &'a Value,
}

impl<'a> Part<'a> {
    /// What `type` says.
    pub(crate) fn kind(&self) -> Result<&'a str, Error> {
        self.text("type")
    }

    /// That this part is not known here.
    pub(crate) fn refused<T>(&self) -> Result<T, Error> {
        Err(unsupported(self.what, self.kind()?))
    }

    fn wrong(&self, key: &str) -> Error {
        malformed(format!("{} has no usable {key:?}", self.what))
    }

    /// A text.
    pub(crate) fn text(&self, key: &str) -> Result<&'a str, Error> {
        self.value[key].as_str().ok_or_else(|| self.wrong(key))
    }

    /// A switch; one that must be there, if there is no default.
    pub(crate) fn flag(&self, key: &str, default: Option<bool>) -> Result<bool, Error> {
        let given = match &self.value[key] {
            Value::Null => default,
            given => given.as_bool(),
        };
        given.ok_or_else(|| self.wrong(key))
    }

    /// A count.
    pub(crate) fn count(&self, key: &str) -> Result<usize, Error> {
        let count = self.value[key].as_u64();
        let count = count.and_then(|count| usize::try_from(count).ok());
        count.ok_or_else(|| self.wrong(key))
    }

    /// A single character.
    pub(crate) fn character(&self, key: &str) -> Result<char, Error> {
        let mut characters = self.text(key)?.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => Ok(character),
            _ => Err(self.wrong(key)),
        }
    }

    /// The parts that a list is made of.
    pub(crate) fn parts(
        &self,
        key: &str,
    ) -> Result<impl Iterator<Item = Part<'a>> + use<'a>, Error> {
        let what = self.what;
        let parts = self.value[key].as_array().ok_or_else(|| self.wrong(key))?;
        Ok(parts.iter().map(move |value| Part { what, value }))
    }

    /// A text or a pattern to look for.
    pub(crate) fn wanted(&self) -> Result<Wanted, Error> {
        let wanted = &self.value["pattern"];
        match (wanted["String"].as_str(), wanted["Regex"].as_str()) {
            // It would be found between any two characters.
            (Some(""), _) => Err(unsupported(self.what, "an empty pattern")),
            (Some(text), None) => Ok(Wanted::Text(text.to_owned())),
            (None, Some(pattern)) => Ok(Wanted::Pattern(Pattern::new(pattern)?)),
            _ => Err(self.wrong("pattern")),
        }
    }
}

/// What is looked for in a text.
#[derive(Debug)]
pub(crate) enum Wanted {
    Text(String),
    Pattern(Pattern),
}

impl Wanted {
    /// All places where it stands, from left to right, as `found(start, end)`.
    pub(crate) fn find(
        &self,
        text: &str,
        mut found: impl FnMut(usize, usize),
    ) -> Result<(), Error> {
        match self {
            Wanted::Pattern(pattern) => return pattern.find(text, found),
            Wanted::Text(wanted) => {
                let places = text.match_indices(wanted.as_str());
                places.for_each(|(at, _)| found(at, at + wanted.len()));
            }
        }
        Ok(())
    }

    /// A text with something else in all these places.
    pub(crate) fn replace(&self, text: &str, content: &str) -> Result<String, Error> {
        let mut replaced = String::with_capacity(text.len());
        let mut last = 0;
        self.find(text, |start, end| {
            replaced.push_str(&text[last..start]);
            replaced.push_str(content);
            last = end;
        })?;
        replaced.push_str(&text[last..]);
        Ok(replaced)
    }
}
