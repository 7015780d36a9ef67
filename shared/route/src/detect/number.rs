//! Numbers that are somebody's: telephones, cards, documents.

use super::Kind;
use super::checks::{self, Resident};
use super::text::{Text, is_digit, is_latin};

/// Digits with separators between them, as far as they could be one number.
struct Groups {
    /// Start and end of each.
    spans: Vec<(usize, usize)>,
    /// What stands before each but the first.
    separators: Vec<char>,
}

/// More groups and longer ones are no number of a person.
const MOST_GROUPS: usize = 8;
const MOST_DIGITS: usize = 20;

/// What was said before a number.
#[derive(Clone, Copy, Default)]
pub(super) struct Context {
    pub(super) phone: bool,
    pub(super) card: bool,
}

/// A number of a person that begins at `index`.
pub(super) fn at(text: &Text, index: usize, context: Context) -> Option<(Kind, usize)> {
    let (plus, digit) = match text.at(index) {
        '+' => (true, text.skip(index + 1, |c| c == '(')),
        '(' => (false, index + 1),
        _ => (false, index),
    };
    if !text.at(digit).is_ascii_digit() || !stands_alone(text, index) {
        return None;
    }
    let groups = groups(text, digit);
    // Fewer groups if more are nothing: "010-1234-5678 2 times".
    (1..=groups.spans.len()).rev().find_map(|count| {
        let number = Number::new(text, index, &groups, count)?;
        let kind = if plus {
            number.is_international().then_some(Kind::Phone)
        } else {
            number.kind(context)
        };
        kind.map(|kind| (kind, number.end))
    })
}

/// Whether nothing before it makes it part of something else: a sum, a price, a version.
fn stands_alone(text: &Text, index: usize) -> bool {
    let operand = |c: char| matches!(c, '*' | '/' | '=' | '^' | '×' | '÷' | '<' | '>' | '%');
    let (before, last) = (text.before(index), text.last_before(index));
    let glued = is_latin(before)
        || matches!(
            before,
            '.' | ',' | '_' | '$' | '€' | '£' | '¥' | '₩' | '#' | '/' | '@'
        );
    let continued = before == '-' && is_latin(text.before(index - 1));
    let sum = operand(last) && !(last == '=' && text.at(index) == '+')
        || last == '+'
        || text.at(index) == '+' && (is_digit(last) || last == ')');
    !glued && !continued && !sum
}

fn groups(text: &Text, mut index: usize) -> Groups {
    let mut groups = Groups {
        spans: Vec::new(),
        separators: Vec::new(),
    };
    loop {
        let end = text.skip(index, is_digit);
        groups.spans.push((index, end));
        if groups.spans.len() == MOST_GROUPS {
            return groups;
        }
        // One separator; ") " and ")-" also.
        let next = match (text.at(end), text.at(end + 1)) {
            (')', ' ' | '-') => end + 2,
            (' ' | '-' | '.' | ')' | 'ー' | '/', c) if is_digit(c) => end + 1,
            (' ', '(') => end + 2,
            ('(', _) => end + 1,
            _ => return groups,
        };
        if !is_digit(text.at(next)) {
            return groups;
        }
        groups.separators.push(match text.at(end) {
            'ー' => '-',
            c => c,
        });
        index = next;
    }
}

struct Number {
    digits: Vec<u8>,
    lengths: Vec<usize>,
    /// The one separator; `None` if there are several kinds, a blank for none.
    separator: Option<char>,
    bracketed: bool,
    /// More groups stand before or behind it, set off in the same way.
    within_more: bool,
    /// An operator follows.
    sum: bool,
    end: usize,
}

impl Number {
    /// The first `count` groups, unless something goes on behind them.
    fn new(text: &Text, start: usize, groups: &Groups, count: usize) -> Option<Self> {
        let spans = &groups.spans[..count];
        let lengths: Vec<usize> = spans.iter().map(|(start, end)| end - start).collect();
        let end = spans[count - 1].1;
        let after = (text.at(end), text.at(end + 1));
        let goes_on = is_latin(after.0)
            || matches!(after.0, '_' | '%' | '$' | '€' | '₩')
            || matches!(after, ('.' | ',' | ':', c) if is_digit(c));
        if goes_on || lengths.iter().sum::<usize>() > MOST_DIGITS {
            return None;
        }
        let digits = spans.iter().flat_map(|&(start, end)| start..end);
        let separators = &groups.separators[..count - 1];
        let first = separators.first().copied().unwrap_or(' ');
        let more_behind = groups.separators.get(count - 1) == Some(&first);
        let more_before = text.before(start) == first && is_digit(text.before(start - 1));
        Some(Self {
            digits: digits
                .filter_map(|at| text.at(at).to_digit(10).map(|d| d as u8))
                .collect(),
            lengths,
            separator: separators.iter().all(|&c| c == first).then_some(first),
            within_more: more_before || more_behind,
            bracketed: text.at(start) == '(',
            sum: matches!(
                text.next_from(end),
                '+' | '*' | '/' | '=' | '^' | '×' | '÷' | '<' | '>'
            ),
            end,
        })
    }

    fn is_international(&self) -> bool {
        let length = self.digits.len();
        (8..=15).contains(&length)
            && self.digits[0] != 0
            && self.lengths.len() <= 7
            && self.separator != Some('/')
    }

    fn kind(&self, context: Context) -> Option<Kind> {
        let arithmetic = self.sum && !context.card && !context.phone;
        if arithmetic || self.separator == Some('/') {
            return None;
        }
        if self.is_document() {
            Some(Kind::NationalId)
        } else if self.is_card(context) {
            Some(Kind::Card)
        } else if self.is_phone(context.phone) {
            Some(Kind::Phone)
        } else {
            None
        }
    }

    fn is_document(&self) -> bool {
        match self.lengths[..] {
            [6, 7] => match checks::korean_resident(&self.digits) {
                Resident::Checked => true,
                Resident::Shape => self.separator == Some('-'),
                Resident::No => false,
            },
            [13] => {
                matches!(checks::korean_resident(&self.digits), Resident::Checked)
                    && self.digits[..6] != [0; 6]
            }
            [3, 2, 4] => self.separator == Some('-') && checks::is_social_security(&self.digits),
            [4, 4, 4] => self.separator == Some('-') && checks::is_my_number(&self.digits),
            [1, 2, 2, 2, 3, 3, 2] | [15] | [13, 2] => checks::is_french_nir(&self.digits),
            [2, 3, 3, 3] => checks::is_german_tax_id(&self.digits),
            _ => false,
        }
    }

    fn is_card(&self, context: Context) -> bool {
        let grouped = match self.lengths[..] {
            [_] => true,
            [4, 4, 4, 1..=4] | [4, 6, 4 | 5] | [4, 4, 4, 4, 3] => true,
            _ => context.card,
        };
        grouped && self.separator.is_some() && checks::is_card(&self.digits)
            || context.card && matches!(self.lengths[..], [4, 4, 4, 4]) && self.separator.is_some()
    }

    fn is_phone(&self, said: bool) -> bool {
        let digits = &self.digits[..];
        let count = digits.len();
        if said
            && (7..=15).contains(&count)
            && self.separator.is_some_and(|c| c != '.' || count > 8)
            && !self.is_date()
        {
            return true;
        }
        if self.within_more && !said {
            return false;
        }
        let mobile = |digits: &[u8]| {
            matches!(digits, [0, 1, 0, 2..=9, ..] | [0, 5 | 7..=9, 0, 1..=9, ..])
                && digits.len() == 11
        };
        match (&self.lengths[..], digits) {
            // Korea and Japan, mobile, without separators; Britain's mobiles.
            ([11], _) => mobile(digits) || digits.starts_with(&[0, 7]),
            // 00 before the country, or Korea's without a plus.
            ([2 | 4, ..], [0, 0, 1..=9, ..]) => (10..=16).contains(&count),
            ([2, 2, 3..=4, 4], [8, 2, 1, ..]) => true,
            // North America.
            ([3, 3, 4], [2..=9, _, _, 2..=9, ..]) => {
                self.bracketed || matches!(self.separator, Some('-' | '.'))
            }
            ([1, 3, 3, 4], [1, 2..=9, _, _, 2..=9, ..]) => {
                self.separator == Some('-') || self.separator.is_none()
            }
            // A trunk prefix, then at least two more groups.
            ([2..=5, middle @ .., 2..=6], [0, 1..=9, ..]) => {
                let plausible = (9..=11).contains(&count) && !middle.is_empty() || count == 11;
                plausible
                    && middle.iter().all(|&length| length >= 2)
                    && middle.len() <= 3
                    && !self.is_date()
                    && (self.separator.is_some() || self.bracketed)
            }
            _ => false,
        }
    }

    /// Groups that read as a date or as years.
    fn is_date(&self) -> bool {
        let year = |from: usize| matches!(self.digits.get(from..from + 2), Some([1, 9] | [2, 0]));
        match self.lengths[..] {
            [4, 2, 2] | [4, 1 | 2, 1 | 2] => year(0),
            [1 | 2, 1 | 2, 4] => true,
            [4, 4] => year(0) && year(4),
            [8] => year(0) && self.digits[4] <= 1,
            _ => false,
        }
    }
}
