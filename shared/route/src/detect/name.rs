//! Names that somebody says to be names.

use super::lexicon::{self, lists};
use super::text::{Text, is_capital, is_hangul, is_japanese, is_letter};
use super::words::{Cue, KOREAN_SURNAMES, NO_KOREAN_NAMES, NO_NAMES, NO_PERSONS};

/// A name behind "my name is", of either case or in another script.
pub(super) fn said(text: &Text, label: usize) -> Option<usize> {
    let at = skip_blanks(text, label);
    let c = text.at(at);
    if is_letter(c) {
        let word = text.word(at);
        let end = text.skip(at, |c| is_letter(c) || matches!(c, '-' | '\''));
        let known = lists(NO_NAMES, &word) || word.len() < 2 && text.at(at + 1) != '.';
        return (!known).then(|| full(text, end));
    }
    let asked = [
        "뭐", "무엇", "뭘", "누구", "몰라", "모르", "없", "비밀", "아직", "어떻", "알려", "말하",
        "중요", "왜", "같", "何", "なん", "なに", "知", "秘密", "言", "ない", "教", "ま", "分か",
        "わか", "あり", "長", "変", "珍",
    ];
    let other = asked.iter().any(|word| text.has(at, word));
    let end = text
        .skip(at, |c| is_hangul(c) || is_japanese(c))
        .min(at + 16);
    ((is_hangul(c) || is_japanese(c)) && !other && end - at >= 2).then_some(end)
}

/// A name behind "I am", "this is", "Dear": only with a capital, and no word that is always written so.
pub(super) fn capital(text: &Text, label: usize) -> Option<usize> {
    let at = skip_blanks(text, label);
    let end = text.skip(at, |c| is_letter(c) || matches!(c, '-' | '\''));
    let word = text.word(at);
    let small = (at + 1..end).any(|at| is_letter(text.at(at)) && !is_capital(text.at(at)));
    let name = is_capital(text.at(at)) && small && word.len() >= 2 && !lists(NO_PERSONS, &word);
    // Two capitals in a row, or one at the end of what is said.
    let whole = full(text, end);
    let alone = matches!(text.next_from(end), '.' | ',' | '!' | '\n' | '(');
    (name && (whole > end || alone)).then_some(whole)
}

fn skip_blanks(text: &Text, label: usize) -> usize {
    text.skip(label, |c| matches!(c, ' ' | ':' | '"' | ',' | '\n'))
        .min(label + 4)
}

/// As far as more words with capitals follow, at most three.
fn full(text: &Text, mut end: usize) -> usize {
    for _ in 0..3 {
        let next = end + 1;
        if text.at(end) != ' ' || !is_capital(text.at(next)) || text.word(next).len() < 2 {
            break;
        }
        end = text.skip(next, |c| is_letter(c) || matches!(c, '-' | '\''));
    }
    end
}

/// A surname behind "Dr.": where it ends.
pub(super) fn titled(text: &Text, label: usize) -> Option<usize> {
    let at = text.skip(label, |c| matches!(c, ' ' | '.')).min(label + 2);
    let end = text.skip(at, |c| is_letter(c) || matches!(c, '-' | '\''));
    (is_capital(text.at(at)) && end - at >= 2).then(|| full(text, end))
}

/// A surname and two syllables at `index`.
fn korean(text: &Text, index: usize) -> bool {
    let word: String = (index..index + 3).map(|at| text.at(at)).collect();
    KOREAN_SURNAMES.contains(text.at(index))
        && word.chars().all(is_hangul)
        && !NO_KOREAN_NAMES
            .split('|')
            .any(|other| word.starts_with(other))
}

/// "김민수 씨", "김민수님".
pub(super) fn korean_called(text: &Text, index: usize) -> Option<usize> {
    if !korean(text, index) {
        return None;
    }
    let title = index + 3 + usize::from(text.at(index + 3) == ' ');
    // Behind the title comes a particle or nothing: "씨앗" is a seed.
    let after = text.at(title + 1);
    let ends = !is_hangul(after) || "은는이가을를의께과와도".contains(after);
    (matches!(text.at(title), '씨' | '님') && ends).then_some(index + 3)
}

/// "저는 김민수입니다", "저는 김민수라고 합니다".
pub(super) fn i_am_korean(text: &Text, label: usize) -> Option<usize> {
    let at = text
        .skip(label, |c| matches!(c, ' ' | ',' | '.'))
        .min(label + 2);
    if !korean(text, at) {
        return None;
    }
    let end = at + 3;
    let told = [
        "라고 합",
        "라고 해",
        "라고 하",
        "라고 불",
        "이라고 합",
        "이라고 해",
        "이라고 하",
        "이라고 불",
    ];
    let is = ["입니다", "이에요", "예요", "이고", "이야", "인데요"];
    // A trade or an origin ends so, a given name hardly.
    let trade = "생인자사관부장민님들의".contains(text.at(end - 1));
    let named = told.iter().any(|word| text.has(end, word))
        || !trade && is.iter().any(|word| text.has(end, word));
    named.then_some(end)
}

/// A Japanese surname that ends at `surname`, with a given name perhaps, and a title behind it.
pub(super) fn japanese_called(text: &Text, surname: usize) -> Option<usize> {
    let titles = ["さん", "様", "さま", "氏"];
    (surname..surname + 4)
        .take_while(|&at| at == surname || is_japanese(text.before(at)) || text.before(at) == ' ')
        .find(|&at| titles.iter().any(|title| text.has(at, title)))
}

/// "私は田中です", "僕は田中太郎といいます".
pub(super) fn i_am_japanese(text: &Text, label: usize) -> Option<usize> {
    let at = text.skip(label, |c| matches!(c, ' ' | '、')).min(label + 2);
    let (cues, surname) = lexicon::at(text, at)?;
    if !cues.contains(&Cue::Surname) {
        return None;
    }
    let verbs = ["です", "だ", "といい", "と言い", "と申", "でござ"];
    (surname..surname + 5)
        .take_while(|&at| at == surname || is_japanese(text.before(at)) || text.before(at) == ' ')
        .find(|&at| verbs.iter().any(|verb| text.has(at, verb)))
}

/// What stands before "と申します": where it begins.
pub(super) fn introduced(text: &Text, end: usize) -> Option<usize> {
    let part = |c: char| is_japanese(c) && c != 'は' && c != 'の' || is_letter(c);
    let start = (end.saturating_sub(10)..end)
        .rev()
        .take_while(|&at| part(text.at(at)))
        .last()?;
    (end - start >= 2 && !text.has(end - 1, "く")).then_some(start)
}
