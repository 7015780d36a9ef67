//! Codes of letters and digits: e-mail addresses, IBANs, documents, keys and passwords.

use super::Kind;
use super::checks;
use super::text::{Text, is_digit, is_latin};

/// Beginnings of the keys that services give out, and how many characters follow at least.
const KEYS: &[(&str, usize)] = &[
    ("sk-", 20),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("pk_live_", 16),
    ("whsec_", 16),
    ("ghp_", 30),
    ("gho_", 30),
    ("ghu_", 30),
    ("ghs_", 30),
    ("ghr_", 30),
    ("github_pat_", 30),
    ("glpat-", 16),
    ("xoxb-", 16),
    ("xoxp-", 16),
    ("xoxa-", 16),
    ("xapp-", 16),
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 30),
    ("ya29.", 20),
    ("hf_", 30),
    ("npm_", 30),
    ("pypi-", 30),
    ("dop_v1_", 30),
    ("shpat_", 30),
    ("SG.", 30),
    ("gsk_", 30),
    ("xai-", 30),
    ("r8_", 30),
    ("lin_api_", 30),
    ("eyJ", 30),
    ("nvapi-", 30),
];

/// Words between a label and its value.
const LINKS: &str = "is|was|to|are|were|=|now|is:|code|number|value|no|for|the|for the|는|은|이|가|를|을|は|が|を|も|で";

/// An e-mail address around the `@` at `index`.
pub(super) fn email(text: &Text, index: usize) -> Option<(usize, usize)> {
    let local = |c: char| is_latin(c) || matches!(c, '.' | '_' | '%' | '+' | '-' | '\'');
    let start = (index.saturating_sub(64)..index)
        .rev()
        .take_while(|&at| local(text.at(at)))
        .last()?;
    let domain = |c: char| is_latin(c) || matches!(c, '.' | '-');
    let mut end = text.skip(index + 1, domain).min(index + 254);
    while matches!(text.before(end), '.' | '-') {
        end -= 1;
    }
    let dot = (index + 1..end).rev().find(|&at| text.at(at) == '.')?;
    let top = end - dot - 1;
    let letters = (dot + 1..end).all(|at| text.at(at).is_ascii_alphabetic());
    // `git@host:path` names nobody.
    let service = index - start == 3 && text.has(start, "git");
    (letters && (2..=24).contains(&top) && dot > index + 1 && !service).then_some((start, end))
}

/// A code that begins at `index`, where a word begins.
pub(super) fn at(text: &Text, index: usize) -> Option<(Kind, usize)> {
    key(text, index)
        .or_else(|| iban(text, index))
        .or_else(|| document(text, index))
        .or_else(|| login(text, index))
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '/' | '=')
}

/// Longest key that is looked at; a longer one is found all the same.
const LONGEST: usize = 512;

fn token_end(text: &Text, from: usize) -> usize {
    let end = (from..from + LONGEST)
        .find(|&at| !is_token(text.at(at)))
        .unwrap_or(from + LONGEST);
    if text.before(end) == '.' {
        end - 1
    } else {
        end
    }
}

/// Whether the characters look drawn by lot rather than written: many different, letters and digits.
fn is_random(text: &Text, from: usize, end: usize) -> bool {
    let mut seen = [false; 128];
    let (mut letters, mut digits) = (0, 0);
    for at in from..end {
        let c = text.at(at);
        letters += usize::from(c.is_ascii_alphabetic());
        digits += usize::from(c.is_ascii_digit());
        if let Some(slot) = seen.get_mut(c as usize) {
            *slot = true;
        }
    }
    let different = seen.iter().filter(|seen| **seen).count();
    different >= 9 && letters >= 3 && digits >= 2
}

fn key(text: &Text, index: usize) -> Option<(Kind, usize)> {
    let exactly = |word: &str| {
        word.chars()
            .enumerate()
            .all(|(offset, c)| text.at(index + offset) == c)
    };
    let (prefix, least) = KEYS.iter().find(|(prefix, _)| exactly(prefix))?;
    let body = index + prefix.len();
    let end = token_end(text, body);
    (end - body >= *least && is_random(text, body, end)).then_some((Kind::Secret, end))
}

/// `-----BEGIN PRIVATE KEY-----`, of any kind.
pub(super) fn armour(text: &Text, index: usize) -> Option<(Kind, usize)> {
    let head = text.has(index, "-----begin ");
    let line = (index..index + 60)
        .find(|&at| text.at(at) == '\n')
        .unwrap_or(index + 60);
    let private = head && (index..line).any(|at| text.has(at, "private key"));
    private.then_some((Kind::Secret, line))
}

/// `scheme://user:password@host`.
fn login(text: &Text, index: usize) -> Option<(Kind, usize)> {
    let scheme = (index..index + 12).find(|&at| !text.at(at).is_ascii_alphanumeric())?;
    if !text.has(scheme, "://") || scheme == index {
        return None;
    }
    let ends = |c: char| c.is_whitespace() || c == '/';
    let end = (scheme + 3..scheme + 120).find(|&at| ends(text.at(at)))?;
    let at = (scheme + 3..end).rev().find(|&at| text.at(at) == '@')?;
    let colon = (scheme + 3..at).find(|&c| text.at(c) == ':')?;
    (at > colon + 1).then_some((Kind::Secret, end))
}

/// The letters and digits from `index` on without the blanks between groups, at most `most`, and
/// where each ends.
fn compact(text: &Text, index: usize, most: usize) -> (Vec<char>, Vec<usize>) {
    let (mut code, mut ends) = (Vec::new(), Vec::new());
    let mut at = index;
    while code.len() < most {
        let c = text.at(at);
        if c.is_ascii_alphanumeric() {
            code.push(c.to_ascii_uppercase());
            ends.push(at + 1);
        } else if !(matches!(c, ' ' | '-') && text.at(at + 1).is_ascii_alphanumeric()) {
            break;
        }
        at += 1;
    }
    (code, ends)
}

fn iban(text: &Text, index: usize) -> Option<(Kind, usize)> {
    let country = [text.at(index), text.at(index + 1)].map(|c| c.to_ascii_uppercase());
    let digits = is_digit(text.at(index + 2)) && is_digit(text.at(index + 3));
    let length = checks::iban_length(country).filter(|_| digits)?;
    let (code, ends) = compact(text, index, length);
    let end = *ends.last()?;
    (checks::is_iban(&code) && !is_latin(text.at(end))).then_some((Kind::Iban, end))
}

/// Documents with letters: Britain's, Spain's, Italy's.
fn document(text: &Text, index: usize) -> Option<(Kind, usize)> {
    let capital = |at: usize| text.at(at).is_ascii_uppercase();
    let fits = |length: usize, is: fn(&[char]) -> bool| {
        let (code, ends) = compact(text, index, length);
        let end = *ends.last()?;
        (is(&code) && !is_latin(text.at(end))).then_some((Kind::NationalId, end))
    };
    if capital(index) && capital(index + 1) {
        return fits(9, checks::is_national_insurance)
            .or_else(|| fits(16, checks::is_codice_fiscale));
    }
    // In one piece, with a capital at its end: "12345678Z", "12345678-Z".
    let run = text.skip(index + 1, is_digit).min(index + 10);
    let last = if text.at(run) == '-' { run + 1 } else { run };
    (capital(last))
        .then(|| fits(9, checks::is_spanish_id))
        .flatten()
}

/// Where a value after a label begins, links and punctuation skipped; whether any was there.
fn value(text: &Text, mut at: usize) -> (usize, bool) {
    let mut linked = false;
    for _ in 0..4 {
        let from = at;
        at = text
            .skip(at, |c| {
                matches!(c, ' ' | ':' | '=' | '"' | '\'' | '`' | '#' | '\n')
            })
            .min(at + 4);
        linked |= (from..at).any(|at| matches!(text.at(at), ':' | '='));
        let link = LINKS.split('|').find(|link| {
            text.has(at, link) && (!link.is_ascii() || !is_latin(text.at(at + link.len())))
        });
        let Some(link) = link else { break };
        linked = true;
        at += link.chars().count();
    }
    (at, linked)
}

/// A password after the word for it.
pub(super) fn password(text: &Text, label: usize) -> Option<(Kind, usize)> {
    let (from, linked) = value(text, label);
    if linked && text.before(from) == '"' {
        let close = (from..from + 64).find(|&at| text.at(at) == '"')?;
        return (close - from >= 4).then_some((Kind::Password, close));
    }
    let is = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '`' | ',' | '(' | ')');
    let mut end = (from..from + 64)
        .find(|&at| !is(text.at(at)))
        .unwrap_or(from + 64);
    while end > from
        && matches!(text.before(end), '.' | '?' | '!' | '\'' | ';' | ':')
        && end - from > 4
    {
        end -= 1;
    }
    let count = |is: fn(char) -> bool| (from..end).filter(|&at| is(text.at(at))).count();
    let (digits, letters) = (count(is_digit), count(|c| c.is_ascii_alphabetic()));
    let others = end - from - digits - letters;
    let mixed = letters > 0 && (digits > 1 || linked && (digits > 0 || others > 1));
    let number = letters == 0 && others == 0;
    (end - from >= 4 && (mixed || number)).then_some((Kind::Password, end))
}

/// A key after the word for one.
pub(super) fn secret(text: &Text, label: usize) -> Option<(Kind, usize)> {
    let (from, _) = value(text, label);
    let end = token_end(text, from);
    (end - from >= 16 && is_random(text, from, end)).then_some((Kind::Secret, end))
}

/// A number after the word for a document or an account: at least `least` digits within a few words.
pub(super) fn labelled(text: &Text, label: usize, least: usize) -> Option<usize> {
    let (mut at, _) = value(text, label);
    // "passport (US) is ...": two short words more.
    at = (at..at + 8).find(|&at| {
        is_digit(text.at(at)) || text.at(at).is_ascii_uppercase() && is_digit(text.at(at + 1))
    })?;
    while at > label && is_latin(text.before(at)) {
        at -= 1;
    }
    let (code, ends) = compact(text, at, 24);
    let digits = |code: &[char]| code.iter().filter(|c| c.is_ascii_digit()).count();
    // As far as the last digit: what follows is the next word.
    let last = code.iter().rposition(char::is_ascii_digit)?;
    let end = ends[last];
    let amount = matches!(
        text.next_from(end),
        '원' | '円' | '만' | '억' | '万' | '億' | '%' | ','
    ) || matches!(text.before(at), '$' | '€' | '£' | '¥' | '₩');
    (digits(&code[..=last]) >= least && !amount && end - at <= 32).then_some(end)
}
