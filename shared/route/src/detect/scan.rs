//! One pass over a text. Every step looks at most a fixed number of characters ahead or back, so
//! the time is linear in the length whatever the text is.

use super::Kind;
use super::lexicon;
use super::number::{self, Context};
use super::text::{Text, ends_sentence, is_digit, is_hangul, is_latin};
use super::words::Cue;
use super::{address, code, name};

/// How far a word tells something about what follows, in characters.
const NEAR: usize = 40;
/// A label, about a number.
const LABEL: usize = 24;

pub(super) struct Scan<'a> {
    text: &'a Text,
    found: Vec<(Kind, usize, usize)>,
    /// Where each of these was last said.
    personal: Option<usize>,
    health: Option<(usize, usize)>,
    phone: Option<usize>,
    card: Option<usize>,
    address: Option<usize>,
}

/// All findings, as character ranges in order.
pub(super) fn scan(text: &Text) -> Vec<(Kind, usize, usize)> {
    let mut scan = Scan {
        text,
        found: Vec::new(),
        personal: None,
        health: None,
        phone: None,
        card: None,
        address: None,
    };
    let mut index = 0;
    while index < text.len() {
        index = scan.step(index).max(index + 1);
    }
    scan.found
}

impl Scan<'_> {
    /// What is at `index`; returns where to go on.
    fn step(&mut self, index: usize) -> usize {
        if ends_sentence(self.text, index) {
            (self.personal, self.health) = (None, None);
        }
        if self.text.at(index) == '@'
            && let Some((start, end)) = code::email(self.text, index)
        {
            // Its beginning may have looked like something else.
            while self.found.last().is_some_and(|&(_, _, end)| end > start) {
                self.found.pop();
            }
            return self.add(Kind::Email, start, end);
        }
        if let Some((kind, end)) = self.identifier(index) {
            return self.add(kind, index, end);
        }
        match lexicon::at(self.text, index) {
            Some((cues, end)) => {
                let ends = cues
                    .into_iter()
                    .filter_map(|cue| self.cue(cue, index, end))
                    .max();
                ends.unwrap_or(end)
            }
            None => index + 1,
        }
    }

    fn add(&mut self, kind: Kind, start: usize, end: usize) -> usize {
        self.found.push((kind, start, end));
        end
    }

    fn near(&self, said: Option<usize>, index: usize, most: usize) -> bool {
        said.is_some_and(|said| index - said <= most)
    }

    /// What shows by itself what it is.
    fn identifier(&self, index: usize) -> Option<(Kind, usize)> {
        let text = self.text;
        let c = text.at(index);
        let at_address = |end: Option<usize>| end.map(|end| (Kind::Address, end));
        match c {
            '+' | '(' => number::at(text, index, self.context(index)),
            '-' => code::armour(text, index),
            '〒' | '市' | '区' | '町' | '村' => at_address(address::japanese(text, index)),
            _ if is_latin(c) && text.begins(index) => {
                let digit = is_digit(c);
                let number = || number::at(text, index, self.context(index));
                let flat = || at_address(address::korean_flat(text, index));
                code::at(text, index)
                    .or_else(|| digit.then(number).flatten())
                    .or_else(|| at_address(address::code(text, index)))
                    .or_else(|| digit.then(flat).flatten())
            }
            _ if is_hangul(c) && !is_hangul(text.before(index)) => {
                let called = || name::korean_called(text, index).map(|end| (Kind::Name, end));
                at_address(address::korean(text, index)).or_else(called)
            }
            _ => None,
        }
    }

    fn context(&self, index: usize) -> Context {
        Context {
            phone: self.near(self.phone, index, LABEL),
            card: self.near(self.card, index, NEAR),
        }
    }

    /// What a word says: notes it, and returns the end of what it led to.
    fn cue(&mut self, cue: Cue, start: usize, end: usize) -> Option<usize> {
        let text = self.text;
        match cue {
            Cue::Nothing | Cue::Surname | Cue::Called | Cue::IAmKorean | Cue::IAmJapanese => {}
            Cue::Personal => self.personal = Some(end),
            Cue::Impersonal => (self.personal, self.health) = (None, None),
            Cue::Phone => self.phone = Some(end),
            Cue::Card => self.card = Some(end),
            Cue::Address => self.address = Some(end),
            Cue::Health | Cue::Money | Cue::HasIt => self.sensitive(cue, start, end),
            _ => {}
        }
        let (kind, from, to) = match cue {
            Cue::Sum if self.sum(end) => (Kind::Money, start, end),
            Cue::Document => (Kind::NationalId, end, code::labelled(text, end, 5)?),
            Cue::Account => (Kind::Account, end, code::labelled(text, end, 6)?),
            Cue::Password => {
                let (kind, to) = code::password(text, end)?;
                (kind, end, to)
            }
            Cue::Secret => {
                let (kind, to) = code::secret(text, end)?;
                (kind, end, to)
            }
            Cue::Birth => (Kind::BirthDate, end, date(text, end, end + 24)?),
            Cue::Born => {
                self.personal?;
                date(text, start.saturating_sub(14), start)?;
                (Kind::BirthDate, start, end)
            }
            Cue::Address => (Kind::Address, end, address::announced(text, end)?),
            Cue::Street => {
                let said = self.near(self.address, start, NEAR);
                (Kind::Address, address::street(text, start, said)?, end)
            }
            Cue::Flat => (Kind::Address, start, address::flat(text, end)?),
            Cue::Name => (Kind::Name, end, name::said(text, end)?),
            Cue::Capital => (Kind::Name, end, name::capital(text, end)?),
            Cue::Title if self.near(self.personal, start, 24) || self.dear(start) => {
                (Kind::Name, start, name::titled(text, end)?)
            }
            Cue::IAmKorean => (Kind::Name, end, name::i_am_korean(text, end)?),
            Cue::IAmJapanese => (Kind::Name, end, name::i_am_japanese(text, end)?),
            Cue::Called => (Kind::Name, name::introduced(text, start)?, start),
            Cue::Surname => (Kind::Name, start, name::japanese_called(text, end)?),
            _ => return None,
        };
        Some(self.add(kind, from, to))
    }

    /// An illness or a debt: somebody's, if a person was named before it or what follows says so.
    fn sensitive(&mut self, cue: Cue, start: usize, end: usize) {
        if cue == Cue::HasIt {
            if let Some((from, to)) = self.health.take()
                && start - to <= 16
            {
                self.add(Kind::Health, from, to);
            }
            return;
        }
        let kind = if cue == Cue::Health {
            Kind::Health
        } else {
            Kind::Money
        };
        if self.near(self.personal, start, NEAR) && !self.turns_away(end) {
            self.add(kind, start, end);
        } else if cue == Cue::Health {
            self.health = Some((start, end));
        }
    }

    /// Whether the next word says that this is about a book, a lesson, ...
    fn turns_away(&self, end: usize) -> bool {
        (end..end + 3).any(|at| {
            lexicon::at(self.text, at).is_some_and(|(cues, _)| cues.contains(&Cue::Impersonal))
        })
    }

    /// A currency and digits soon.
    fn sum(&self, end: usize) -> bool {
        let soon = end..end + 24;
        let digits = soon.clone().any(|at| is_digit(self.text.at(at)));
        let words = [
            "$",
            "€",
            "£",
            "¥",
            "₩",
            "dollars",
            "euros",
            "pounds",
            "won ",
            "yen",
            "k a year",
            "k per year",
        ];
        digits
            && soon
                .into_iter()
                .any(|at| words.iter().any(|word| self.text.has(at, word)))
    }

    fn dear(&self, start: usize) -> bool {
        start >= 5 && self.text.has(start - 5, "dear ")
    }
}

/// A date between two characters: where it ends. Two numbers, a month's name and a number, or six
/// or eight digits in a row.
fn date(text: &Text, from: usize, to: usize) -> Option<usize> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    let (mut numbers, mut digits, mut month, mut end) = (0, 0, false, from);
    let mut at = from;
    while at < to.min(text.len()) && text.at(at) != '?' {
        let next = text.skip(at, is_digit);
        if next > at {
            (numbers, digits, end) = (numbers + 1, digits + next - at, next);
            at = next;
        } else {
            month |= text.begins(at) && MONTHS.iter().any(|name| text.has(at, name));
            at += 1;
        }
    }
    let dated = numbers >= 2 && digits <= 8
        || month && numbers >= 1
        || numbers == 1 && matches!(digits, 6 | 8);
    dated.then_some(end)
}
