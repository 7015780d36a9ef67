//! The regular expressions that tokenizers cut text by, and no others.
//!
//! They are alternatives of a few character classes with repetitions, of fixed letters, and of a look at the next
//! character. That needs no engine for all of regular expressions: [`parse`] refuses what is outside, so that nothing is
//! run that is not understood, and [`run`] goes through the alternatives with the usual rules: the first one that fits,
//! each repetition as long as possible.

mod parse;
mod run;
mod set;

use run::Op;

use crate::Error;

/// Steps that a search may take for each byte of the text. The patterns of real tokenizers need some thirty; one that is
/// made to, as many as there are ways to divide a text.
const STEPS: usize = 256;

/// A pattern that is ready to run.
#[derive(Debug)]
pub(crate) struct Pattern {
    alternatives: Vec<Alternative>,
}

/// One of the ways that a pattern fits; it takes at least one character.
#[derive(Debug)]
struct Alternative {
    ops: Vec<Op>,
    /// The ASCII characters that it can begin with.
    first: u128,
    /// Whether it can begin with any other.
    beyond: bool,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for one that asks for more.
    pub(crate) fn new(pattern: &str) -> Result<Self, Error> {
        let alternatives = parse::parse(pattern)?.into_iter();
        let alternatives = alternatives.map(|ops| {
            let (first, beyond) = run::first(&ops).ok_or_else(|| parse::refused(pattern))?;
            Ok(Alternative { ops, first, beyond })
        });
        let alternatives = alternatives.collect::<Result<_, _>>()?;
        Ok(Self { alternatives })
    }

    /// All matches in a text, as `found(start, end)`.
    ///
    /// # Errors
    /// [`Error::Slow`].
    pub(crate) fn find(
        &self,
        text: &str,
        mut found: impl FnMut(usize, usize),
    ) -> Result<(), Error> {
        let mut search = run::Search {
            text,
            back: Vec::new(),
            steps: STEPS.saturating_mul(text.len().saturating_add(16)),
        };
        // Up to where an alternative that begins with a repetition is known not to fit.
        let mut hopeless = vec![0; self.alternatives.len()];
        let mut at = 0;
        while let Some(&byte) = text.as_bytes().get(at) {
            let mut end = None;
            for (alternative, hopeless) in self.alternatives.iter().zip(&mut hopeless) {
                let fits = match byte {
                    0..0x80 => alternative.first >> byte & 1 == 1,
                    _ => alternative.beyond,
                };
                if !fits || at < *hopeless {
                    continue;
                }
                end = search.run(&alternative.ops, at)?;
                if end.is_some() {
                    break;
                }
                if let Some(set) = run::leading(&alternative.ops) {
                    // From inside of the run it can only reach what it has tried.
                    *hopeless = search.end_of_run(set, at);
                }
            }
            match end {
                Some(end) => {
                    found(at, end);
                    at = end;
                }
                None => at += set::width(byte),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
