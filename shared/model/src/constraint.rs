//! What an answer may be: a grammar, say, that lets through some tokens and no others.

use crate::Error;

/// Says of each next token of one answer whether it may come. See [`Generation::constrain`](crate::Generation::constrain).
pub trait Constraint: Send {
    /// Sets the logits of all tokens that may not come next to minus infinity; those of the model's end tokens too, unless
    /// the text may end here.
    ///
    /// # Errors
    /// [`Error::Constraint`] if no token may come, or if that cannot be found out.
    fn forbid(&mut self, logits: &mut [f32]) -> Result<(), Error>;

    /// Takes note that `token` came. Whether the text is complete with it, so that nothing may follow: the answer then ends.
    ///
    /// # Errors
    /// [`Error::Constraint`] if it may not come.
    fn accept(&mut self, token: u32) -> Result<bool, Error>;
}
