//! Goes through an alternative, and back where it must.

use super::set::Set;
use crate::Error;

/// A step of an alternative.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Op {
    /// A character of the class.
    One(Set),
    /// As many characters of the class as there are, and fewer if what follows does not fit then.
    Run {
        set: Set,
        least: usize,
        most: usize,
        /// Never fewer.
        possessive: bool,
    },
    /// That the next character is one of the class, or is none of it; takes none.
    Ahead { set: Set, is: bool },
    /// That the text ends here.
    End,
    /// Goes on here first, and there if that does not fit.
    Fork(usize),
    /// Goes on there.
    Jump(usize),
}

/// Where to go on when something does not fit.
pub(super) enum Back {
    To {
        op: usize,
        at: usize,
    },
    /// With the run before shorter by a character, but not below its least.
    Shorter {
        op: usize,
        low: usize,
        at: usize,
    },
}

/// A search in a text.
pub(super) struct Search<'a> {
    pub(super) text: &'a str,
    pub(super) back: Vec<Back>,
    pub(super) steps: usize,
}

impl Search<'_> {
    /// Where the match that begins at a place ends, if there is one.
    pub(super) fn run(&mut self, ops: &[Op], start: usize) -> Result<Option<usize>, Error> {
        self.back.clear();
        let (mut op, mut at) = (0, start);
        while let Some(step) = ops.get(op) {
            self.steps = self.steps.checked_sub(1).ok_or(Error::Slow)?;
            op += 1;
            let fits = match step {
                Op::One(set) => set.fits(self.text, at).map(|width| at += width).is_some(),
                Op::Run {
                    set,
                    least,
                    most,
                    possessive,
                } => {
                    let (low, end) = self.reach(set, at, *least, *most)?;
                    if let (Some(low), false) = (low, *possessive)
                        && low < end
                    {
                        self.back.push(Back::Shorter { op, low, at: end });
                    }
                    at = end;
                    low.is_some()
                }
                Op::Ahead { set, is } => set.fits(self.text, at).is_some() == *is,
                Op::End => at == self.text.len(),
                Op::Fork(other) => {
                    self.back.push(Back::To { op: *other, at });
                    true
                }
                Op::Jump(to) => {
                    op = *to;
                    true
                }
            };
            if !fits {
                match self.return_to() {
                    Some(place) => (op, at) = place,
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(at))
    }

    /// The last place where it could go on in another way.
    fn return_to(&mut self) -> Option<(usize, usize)> {
        match self.back.pop()? {
            Back::To { op, at } => Some((op, at)),
            Back::Shorter { op, low, at } => {
                let before = self.text.get(low..at)?.char_indices().next_back()?;
                let at = low + before.0;
                if low < at {
                    self.back.push(Back::Shorter { op, low, at });
                }
                Some((op, at))
            }
        }
    }

    /// Where a run's least characters end, if there are as many, and where it ends itself.
    fn reach(
        &mut self,
        set: &Set,
        start: usize,
        least: usize,
        most: usize,
    ) -> Result<(Option<usize>, usize), Error> {
        let (mut at, mut count) = (start, 0);
        let mut low = (least == 0).then_some(start);
        while count < most
            && let Some(width) = set.fits(self.text, at)
        {
            at += width;
            count += 1;
            if count == least {
                low = Some(at);
            }
        }
        self.steps = self.steps.checked_sub(count).ok_or(Error::Slow)?;
        Ok((low, at))
    }

    /// Where the characters of a class end that begin at a place.
    pub(super) fn end_of_run(&self, set: &Set, start: usize) -> usize {
        let mut at = start;
        while let Some(width) = set.fits(self.text, at) {
            at += width;
        }
        at
    }
}

/// The class whose run without an end an alternative begins with: where it does not fit, it does not fit later in the
/// same run either.
pub(super) fn leading(ops: &[Op]) -> Option<&Set> {
    match ops.first()? {
        Op::Run {
            set,
            least: 0 | 1,
            most: usize::MAX,
            possessive: false,
        } => Some(set),
        _ => None,
    }
}

/// The ASCII characters that steps can begin with, and whether others can too; none if they may take no character at all.
pub(super) fn first(ops: &[Op]) -> Option<(u128, bool)> {
    let (mut ascii, mut beyond) = (0, false);
    let mut open = vec![0];
    while let Some(mut op) = open.pop() {
        loop {
            match ops.get(op)? {
                Op::One(set) => {
                    ascii |= set.ascii;
                    beyond |= set.is_beyond();
                    break;
                }
                Op::Run { set, least, .. } => {
                    ascii |= set.ascii;
                    beyond |= set.is_beyond();
                    if *least > 0 {
                        break;
                    }
                }
                Op::Ahead { .. } | Op::End => {}
                Op::Fork(other) => open.push(*other),
                Op::Jump(to) => {
                    op = *to;
                    continue;
                }
            }
            op += 1;
        }
    }
    Some((ascii, beyond))
}
