//! Text that streams out of a tokenizer without broken characters.

use super::Tokenizer;
use crate::Error;

/// Turns a stream of ids into a stream of text that never ends inside a UTF-8 character.
///
/// Decoding one id alone is wrong for tokenizers whose decoder looks at neighbours (leading
/// spaces, bytes of one character), so a short window is decoded twice, without and with the
/// newest ids, and the difference is new text.
#[derive(Default)]
pub struct Detokenizer {
    window: Vec<u32>,
    /// How much of the window has been given out.
    read: usize,
    /// Special tokens whose text is given out.
    shown: Vec<u32>,
}

impl Detokenizer {
    /// One that gives out the text of these special tokens too.
    pub fn showing(shown: &[u32]) -> Self {
        Self {
            shown: shown.to_vec(),
            ..Self::default()
        }
    }

    /// Adds one id and returns the text that became certain; empty inside a character.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the decoder refuses the ids.
    pub fn push(&mut self, id: u32, tokenizer: &Tokenizer) -> Result<String, Error> {
        self.window.push(id);
        let given = tokenizer.decode_showing(&self.window[..self.read], &self.shown)?;
        let all = tokenizer.decode_showing(&self.window, &self.shown)?;
        if all.len() <= given.len() || all.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(String::new());
        }
        let Some(new) = all.get(given.len()..) else {
            return Ok(String::new());
        };
        let new = new.to_owned();
        self.window.drain(..self.read);
        self.read = self.window.len();
        Ok(new)
    }

    /// The text still held back, with U+FFFD for an incomplete character.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the decoder refuses the ids.
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String, Error> {
        let given = tokenizer.decode_showing(&self.window[..self.read], &self.shown)?;
        let all = tokenizer.decode_showing(&self.window, &self.shown)?;
        self.window.clear();
        self.read = 0;
        Ok(all.get(given.len()..).unwrap_or_default().to_owned())
    }
}
