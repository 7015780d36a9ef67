//! Calls taken out of a text that comes bit by bit.

use super::forms::{Body, Form, PYTHON_TAG};
use super::{Call, CallFormat, read};

/// A part of what a model wrote.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Piece {
    Text(String),
    Call { name: String, arguments: String },
}

/// Takes calls out of a text. What may become a call is held back until that is known.
pub(crate) struct Splitter {
    form: &'static Form,
    /// The functions that there are.
    names: Vec<String>,
    held: String,
    /// A block of calls has begun, or, if it is bare, may have.
    inside: bool,
    /// A bare call can only be the whole text, and this is none.
    plain: bool,
}

impl Splitter {
    pub(crate) fn new(format: CallFormat, names: Vec<String>) -> Self {
        Self {
            form: format.form(),
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
        if self.is_bare() {
            self.begin_bare();
            if self.plain {
                add_text(&mut pieces, std::mem::take(&mut self.held));
            }
        } else {
            while self.next_tag(&mut pieces) {}
        }
        pieces
    }

    /// What is left at the end.
    pub(crate) fn finish(&mut self) -> Vec<Piece> {
        let held = std::mem::take(&mut self.held);
        let mut pieces = Vec::new();
        match std::mem::take(&mut self.inside) {
            true if self.is_bare() => self.add_bare(&mut pieces, held),
            true => self.add_block(&mut pieces, &held, false),
            false => add_text(&mut pieces, held),
        }
        pieces
    }

    fn is_bare(&self) -> bool {
        self.form.open.is_empty()
    }

    /// Whether the text so far may be a bare call.
    fn begin_bare(&mut self) {
        let begun = self.held.trim_start();
        if !self.plain && !self.inside {
            self.inside = begun.starts_with('{') || begun.starts_with(PYTHON_TAG);
            self.plain = !self.inside && !PYTHON_TAG.starts_with(begun);
        }
    }

    /// Goes on to the next tag; false if there is none.
    fn next_tag(&mut self, pieces: &mut Vec<Piece>) -> bool {
        let tag = match self.inside {
            true => self.form.close,
            false => self.form.open,
        };
        // A block whose end has no tag ends with the text.
        let found = self.held.split_once(tag).filter(|_| !tag.is_empty());
        let Some((before, after)) = found else {
            if !self.inside {
                let undecided = undecided(&self.held, tag);
                let held = self.held.split_off(self.held.len() - undecided);
                add_text(pieces, std::mem::replace(&mut self.held, held));
            }
            return false;
        };
        let (before, after) = (before.to_owned(), after.to_owned());
        match self.inside {
            true => self.add_block(pieces, &before, true),
            // The space between text and calls is no part of either.
            false => add_text(pieces, before.trim_end().to_owned()),
        }
        self.held = after;
        self.inside = !self.inside;
        true
    }

    /// Adds the calls of a block, or the text that it is if it cannot be read as such.
    fn add_block(&self, pieces: &mut Vec<Piece>, block: &str, closed: bool) {
        let Form { open, close, .. } = self.form;
        match read::block(self.form.body, block, closed) {
            Some((calls, rest)) => {
                add_calls(pieces, calls);
                if !rest.trim().is_empty() {
                    add_text(pieces, rest.to_owned());
                }
            }
            None => {
                let end = if closed { close } else { "" };
                add_text(pieces, format!("{open}{block}{end}"));
            }
        }
    }

    /// Adds a call that is the whole text, or that text.
    fn add_bare(&self, pieces: &mut Vec<Piece>, text: String) {
        let tagged = text.trim().strip_prefix(PYTHON_TAG);
        let body = tagged.map_or(self.form.body, |_| Body::Python);
        let calls = read::block(body, tagged.unwrap_or(&text), true);
        let known = |(name, _): &Call| self.names.contains(name);
        match calls.filter(|(calls, rest)| rest.is_empty() && calls.iter().all(known)) {
            Some((calls, _)) => add_calls(pieces, calls),
            None => add_text(pieces, text),
        }
    }
}

fn add_calls(pieces: &mut Vec<Piece>, calls: Vec<Call>) {
    let calls = calls.into_iter();
    pieces.extend(calls.map(|(name, arguments)| Piece::Call { name, arguments }));
}

fn add_text(pieces: &mut Vec<Piece>, text: String) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Text(last)) => *last += &text,
        _ => pieces.push(Piece::Text(text)),
    }
}

/// How many bytes at a text's end may belong to a tag that has not come yet: space, and the tag's beginning.
fn undecided(text: &str, tag: &str) -> usize {
    let ends = tag.char_indices().map(|(at, _)| at).skip(1);
    let begun = ends.filter(|at| text.ends_with(&tag[..*at])).last();
    let before = text[..text.len() - begun.unwrap_or(0)].trim_end();
    text.len() - before.len()
}
