//! What a template may use up. Templates are programs from strangers: whatever they do must end, soon, in bounded memory.

use std::cell::Cell;

use crate::error::{Fail, too_much};
use crate::value::Value;

/// Steps of one rendering. An expression or statement is one, and so is what is made or looked through of
/// [`BYTES_A_STEP`] bytes of text or one item of a list.
const STEPS: usize = 2_000_000;
const BYTES_A_STEP: usize = 128;
/// How deep a rendering may be inside of blocks, expressions and macros. Each level is a few frames of the stack, of which
/// WebAssembly has one megabyte.
const LEVELS: usize = 300;
/// The longest text that a template may make, in bytes.
const LONGEST: usize = 16 << 20;

/// What is left to one rendering. Everything that computes has it by reference, hence the cells.
pub(crate) struct Meter {
    left: Cell<usize>,
    level: Cell<usize>,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            left: Cell::new(STEPS),
            level: Cell::new(0),
        }
    }

    /// Takes steps.
    pub(crate) fn spend(&self, steps: usize) -> Result<(), Fail> {
        let left = self.left.get().checked_sub(steps);
        self.left.set(left.ok_or_else(too_much)?);
        Ok(())
    }

    /// Takes the steps that it costs to make so much text.
    pub(crate) fn spend_bytes(&self, bytes: usize) -> Result<(), Fail> {
        self.spend(bytes / BYTES_A_STEP)
    }

    /// Takes the steps that it costs to make `value`, or to look through it.
    pub(crate) fn weigh(&self, value: &Value) -> Result<(), Fail> {
        match value {
            Value::Text(text) => self.spend_bytes(text.len()),
            Value::List(list) => self.spend(list.items.len()),
            Value::Map(map) => self.spend(map.entries.len()),
            _ => Ok(()),
        }
    }

    /// Takes the steps that it costs to go through so many names, or values under such a key.
    pub(crate) fn look(&self, entries: usize, key: &Value) -> Result<(), Fail> {
        let length = match key {
            Value::Text(text) => text.len() / BYTES_A_STEP,
            _ => 0,
        };
        self.spend(entries.saturating_mul(1 + length) / 8)
    }

    /// Takes the steps of the texts among some values, not of what only points to something.
    pub(crate) fn weigh_text(&self, value: &Value) -> Result<(), Fail> {
        match value {
            Value::Text(_) => self.weigh(value),
            _ => Ok(()),
        }
    }

    /// Goes one level down; [`Meter::leave`] must follow unless an error ends the rendering.
    pub(crate) fn enter(&self) -> Result<(), Fail> {
        self.level.set(self.level.get() + 1);
        if self.level.get() > LEVELS {
            return Err(too_much());
        }
        self.spend(1)
    }

    pub(crate) fn leave(&self) {
        self.level.set(self.level.get().saturating_sub(1));
    }
}

/// A text being written, which cannot become longer than [`LONGEST`], together with those that wait for it.
#[derive(Default)]
pub(crate) struct Out {
    text: String,
    /// How long those are.
    waiting: usize,
}

impl Out {
    /// A text to be written before `outer` goes on.
    pub(crate) fn inside(outer: &Out) -> Self {
        Self {
            text: String::new(),
            waiting: outer.waiting + outer.text.len(),
        }
    }

    pub(crate) fn push(&mut self, text: &str) -> Result<(), Fail> {
        if self.waiting + self.text.len() + text.len() > LONGEST {
            return Err(too_much());
        }
        self.text.push_str(text);
        Ok(())
    }

    pub(crate) fn push_char(&mut self, c: char) -> Result<(), Fail> {
        self.push(c.encode_utf8(&mut [0; 4]))
    }

    pub(crate) fn repeat(&mut self, text: &str, times: usize) -> Result<(), Fail> {
        // Nothing many times would be many steps of no length.
        if text.is_empty() {
            return Ok(());
        }
        let length = text.len().saturating_mul(times);
        if length > LONGEST {
            return Err(too_much());
        }
        self.push(&text.repeat(times))
    }

    pub(crate) fn into_string(self) -> String {
        self.text
    }

    pub(crate) fn into_value(self) -> Value {
        Value::from(self.text)
    }
}
