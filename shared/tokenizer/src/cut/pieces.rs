//! A text in pieces.

use std::borrow::Cow;

use crate::Error;

/// What becomes of that by which a text is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Behavior {
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    /// Apart, but in one piece where there are several in a row.
    Contiguous,
}

/// A part of a piece: where it begins and ends, and whether it is that by which is cut.
type Part = (usize, usize, bool);

/// A text, and where its pieces are: one after the other, none of them empty.
pub(super) struct Pieces<'a> {
    text: Cow<'a, str>,
    ranges: Vec<(usize, usize)>,
    /// Whether the first piece is that with which the text begins, which may have been removed.
    pub(super) whole: bool,
}

impl<'a> Pieces<'a> {
    /// A text in one piece.
    pub(super) fn new(text: &'a str) -> Self {
        let whole = (!text.is_empty()).then_some((0, text.len()));
        Self {
            whole: true,
            text: text.into(),
            ranges: whole.into_iter().collect(),
        }
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &str> {
        self.ranges
            .iter()
            .map(|(start, end)| &self.text[*start..*end])
    }

    /// Writes each piece anew. It gets its number, the piece, and where to write to.
    pub(super) fn rewrite(&mut self, mut write: impl FnMut(usize, &str, &mut String)) {
        let mut text = String::with_capacity(self.text.len() + self.text.len() / 2);
        for (index, range) in self.ranges.iter_mut().enumerate() {
            let start = text.len();
            write(index, &self.text[range.0..range.1], &mut text);
            *range = (start, text.len());
        }
        self.text = text.into();
    }

    /// Cuts at characters.
    pub(super) fn cut_at(
        &mut self,
        behavior: Behavior,
        is: impl Fn(char) -> bool,
    ) -> Result<(), Error> {
        self.cut(behavior, false, |piece, found| {
            let characters = piece.char_indices().filter(|(_, character)| is(*character));
            characters.for_each(|(at, character)| found(at, at + character.len_utf8()));
            Ok(())
        })
    }

    /// Cuts each piece at what `find` finds in it; or, inverted, at what is between.
    ///
    /// # Errors
    /// What `find` returns.
    pub(super) fn cut(
        &mut self,
        behavior: Behavior,
        invert: bool,
        find: impl Fn(&str, &mut dyn FnMut(usize, usize)) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut ranges = Vec::with_capacity(self.ranges.len());
        let mut parts = Vec::new();
        for &(start, end) in &self.ranges {
            let piece = &self.text[start..end];
            parts.clear();
            let mut last = 0;
            find(piece, &mut |from, to| {
                if last < from {
                    parts.push((start + last, start + from, invert));
                }
                parts.push((start + from, start + to, !invert));
                last = to;
            })?;
            if last < piece.len() {
                parts.push((start + last, end, invert));
            }
            if ranges.is_empty() && behavior == Behavior::Removed {
                self.whole &= parts.first().is_none_or(|part| !part.2);
            }
            join(&parts, behavior, &mut ranges);
        }
        self.ranges = ranges;
        Ok(())
    }
}

/// Puts parts together.
fn join(parts: &[Part], behavior: Behavior, ranges: &mut Vec<(usize, usize)>) {
    let mut before = None;
    for &(start, end, is) in parts {
        let merged = match behavior {
            Behavior::Removed | Behavior::Isolated => false,
            Behavior::MergedWithPrevious => is && before == Some(false),
            // It is what follows that is merged with this.
            Behavior::MergedWithNext => !is && before == Some(true),
            Behavior::Contiguous => before == Some(is),
        };
        match ranges.last_mut().filter(|_| merged) {
            Some(last) => last.1 = end,
            None if is && behavior == Behavior::Removed => {}
            None => ranges.push((start, end)),
        }
        before = Some(is);
    }
}
