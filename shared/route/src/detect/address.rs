//! Postal addresses of the English-speaking countries, Germany, France, Korea and Japan.

use super::lexicon::lists;
use super::text::{Text, is_capital, is_digit, is_hangul, is_japanese, is_latin, is_letter};

const STATES: &str = "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|\
    OK|OR|PA|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC";

/// Behind "live at 5" they measure something.
const UNITS: &str = "minutes|minute|min|km|miles|mile|meters|metres|hours|hour|am|pm|degrees|percent|o'clock|pounds|dollars|people";

/// What comes before a year rather than a house.
const IN_A_YEAR: &str =
    "in|since|from|until|of|by|year|around|after|before|summer|winter|spring|fall|autumn";

/// Korean words that end like the name of a district and are none.
const NO_DISTRICTS: &str = "친구|야구|축구|농구|배구|지구|연구|요구|누구|다시|역시|즉시|혹시|잠시|출시|표시|무시|전시|동시|당시|감시|\
    필요시|도구|가구|입구|출구|식구|항구|탁구|당구|영구|국군|장군|공군|해군|육군|미군|적군|지시|제시|택시|섹시|임시|평시|일시|몇시";

/// A street that ends in the word from `suffix` to `end`, with its number: where it begins. `said`: an address
/// was announced, so capitals are not needed.
pub(super) fn street(text: &Text, suffix: usize, said: bool) -> Option<usize> {
    if text.before(suffix) != ' ' || !(said || is_capital(text.at(suffix))) {
        return None;
    }
    let mut at = suffix - 1;
    for words in 0..5 {
        let end = at;
        while at > 0
            && end - at < 20
            && (is_latin(text.before(at)) || matches!(text.before(at), '\'' | '-' | '.'))
        {
            at -= 1;
        }
        if at == end {
            return None;
        }
        if is_digit(text.at(at)) && !(words == 0 && is_ordinal(text, at)) {
            let number = is_house(text, at, end, said) && words > 0;
            if number {
                return Some(at);
            }
        }
        if !(said || is_capital(text.at(at)) || is_ordinal(text, at)) || text.before(at) != ' ' {
            return None;
        }
        at -= 1;
    }
    None
}

/// "5th", "42nd".
fn is_ordinal(text: &Text, at: usize) -> bool {
    let letters = text.skip(at, is_digit);
    letters > at
        && ["st", "nd", "rd", "th"]
            .iter()
            .any(|end| text.has(letters, end))
}

/// A house's number: up to five digits and a letter; not a price, not the year of something.
fn is_house(text: &Text, at: usize, end: usize, said: bool) -> bool {
    let digits = text.skip(at, is_digit).min(end);
    let fits = (1..=5).contains(&(digits - at))
        && end - digits <= 1
        && !matches!(text.before(at), '$' | '€' | '£' | '#' | '.' | ',' | '-');
    let year = digits - at == 4 && matches!(text.at(at), '1' | '2') && !said && {
        let last = at.saturating_sub(1);
        let start = (last.saturating_sub(8)..last)
            .rev()
            .take_while(|&at| is_letter(text.at(at)))
            .last();
        start.is_some_and(|start| lists(IN_A_YEAR, &text.word(start)))
    };
    fits && !year
}

/// What is announced as an address: a number and a word, soon.
pub(super) fn announced(text: &Text, label: usize) -> Option<usize> {
    let blank = |c: char| matches!(c, ' ' | ':' | '"' | '\n' | '?');
    let at = text.skip(label, blank);
    let digits = text.skip(at, is_digit);
    if !(1..=5).contains(&(digits - at)) || at - label > 4 {
        return None;
    }
    let word = text.skip(digits, |c| c == ' ');
    let end = text.skip(word, is_letter);
    let named =
        word > digits && end - word >= 2 && end - word < 24 && !lists(UNITS, &text.word(word));
    named.then_some(end)
}

/// A flat's number behind "Apt.", "Suite", "P.O. Box".
pub(super) fn flat(text: &Text, label: usize) -> Option<usize> {
    let at = text.skip(label, |c| matches!(c, ' ' | '#'));
    let end = text.skip(at, is_digit);
    ((1..=6).contains(&(end - at)) && at - label <= 3).then_some(end)
}

/// Postal codes with letters, and streets of other countries, from a beginning of a word on.
pub(super) fn code(text: &Text, index: usize) -> Option<usize> {
    state(text, index)
        .or_else(|| british(text, index))
        .or_else(|| european(text, index))
}

/// ", CA 94105".
fn state(text: &Text, index: usize) -> Option<usize> {
    let name: String = [text.at(index), text.at(index + 1)].iter().collect();
    if text.last_before(index) != ',' || !lists(STATES, &name) || text.at(index + 2) != ' ' {
        return None;
    }
    let end = text.skip(index + 3, is_digit);
    (end - index - 3 == 5 && !is_latin(text.at(end))).then_some(end)
}

/// "SW1A 1AA".
fn british(text: &Text, index: usize) -> Option<usize> {
    let capital = |at: usize| text.at(at).is_ascii_uppercase();
    let digit = |at: usize| is_digit(text.at(at));
    let area = if capital(index + 1) { 2 } else { 1 };
    let mut at = index + area;
    if !capital(index) || !digit(at) {
        return None;
    }
    at += 1 + usize::from(digit(at + 1) || capital(at + 1));
    let inward = text.at(at) == ' ' && digit(at + 1) && capital(at + 2) && capital(at + 3);
    (inward && !is_latin(text.at(at + 4))).then_some(at + 4)
}

/// "Musterstraße 5", "12 rue de la Paix".
fn european(text: &Text, index: usize) -> Option<usize> {
    if is_digit(text.at(index)) {
        let word = text.skip(index, is_digit);
        let street = ["rue ", "avenue de", "calle ", "via "]
            .iter()
            .any(|street| text.has(word + 1, street));
        let end = text
            .skip(word + 1, |c| is_letter(c) || matches!(c, ' ' | '\'' | '-'))
            .min(index + 40);
        return (street && word - index <= 4 && matches!(text.at(word), ' ' | ',')).then_some(end);
    }
    let end = text
        .skip(index, |c| is_letter(c) || c == '-')
        .min(index + 40);
    let street = ["straße", "strasse", "gasse", "allee"]
        .iter()
        .any(|suffix| {
            let start = end.saturating_sub(suffix.chars().count());
            start > index && text.has(start, suffix)
        });
    let number = text.skip(end + 1, is_digit);
    (street
        && is_capital(text.at(index))
        && text.at(end) == ' '
        && (1..=4).contains(&number.saturating_sub(end + 1)))
    .then_some(number)
}

/// "강남구 테헤란로 123", "101동 1203호", from the beginning of a word on.
pub(super) fn korean(text: &Text, index: usize) -> Option<usize> {
    let end = text.skip(index, is_hangul).min(index + 12);
    let word: String = (index..end).map(|at| text.at(at)).collect();
    let district = end - index >= 2
        && matches!(text.before(end), '구' | '군' | '시' | '읍')
        && !lists(NO_DISTRICTS, &word);
    if !district || text.at(end) != ' ' {
        return None;
    }
    // The road or the quarter directly, or one word later.
    let mut at = end + 1;
    for _ in 0..3 {
        let name = text.skip(at, is_hangul).min(at + 12);
        let road = matches!(text.before(name), '로' | '길' | '동' | '리' | '가')
            && name - at >= 2
            && text.at(name.saturating_sub(2)) != '으';
        let number = text.skip(name, |c| c == ' ');
        let last = text.skip(number, |c| is_digit(c) || c == '-');
        let counted = [
            "시간", "분", "명", "개", "월", "일", "년", "원", "만", "배", "km", "킬로", "%", "번 ",
            "번째", "시", "주", "살", "회", "위", "등",
        ];
        if road
            && last > number
            && last - number <= 9
            && !counted.iter().any(|unit| text.has(last, unit))
        {
            return Some(last);
        }
        if text.at(name) != ' ' || name == at {
            return None;
        }
        at = name + 1;
    }
    None
}

/// "101동 1203호" from a number on.
pub(super) fn korean_flat(text: &Text, index: usize) -> Option<usize> {
    let building = text.skip(index, is_digit);
    let number = text.skip(building + 1, |c| c == ' ');
    let end = text.skip(number, is_digit);
    let fits = building - index <= 4 && (2..=5).contains(&end.saturating_sub(number));
    (text.at(building) == '동' && text.at(end) == '호' && fits).then_some(end + 1)
}

/// "〒100-0001" and "千代田区丸の内1-9-1", "三丁目" also; from the mark, or the 市, 区, 町, 村, on.
pub(super) fn japanese(text: &Text, index: usize) -> Option<usize> {
    if text.at(index) == '〒' {
        let start = text.skip(index + 1, |c| c == ' ');
        let end = text.skip(start, |c| is_digit(c) || matches!(c, '-' | 'ー'));
        return (7..=9).contains(&(end - start)).then_some(end);
    }
    if !is_japanese(text.before(index)) {
        return None;
    }
    let number =
        (index + 1..index + 12).find(|&at| !is_japanese(text.at(at)) || is_block(text, at))?;
    if is_block(text, number) {
        return Some(number + 3);
    }
    let end = text.skip(number, is_digit);
    let digits = (1..=4).contains(&(end - number));
    let block = text.has(end, "丁目")
        || text.has(end, "番地")
        || text.has(end, "番") && is_digit(text.at(end + 1));
    let joined = matches!(text.at(end), '-' | 'ー' | 'の') && is_digit(text.at(end + 1));
    (digits && number > index + 1 && (block || joined)).then(|| {
        text.skip(end, |c| {
            is_digit(c) || matches!(c, '-' | 'ー' | '丁' | '目' | '番' | '地' | '号')
        })
    })
}

/// "三丁目".
fn is_block(text: &Text, at: usize) -> bool {
    "一二三四五六七八九十".contains(text.at(at)) && text.has(at + 1, "丁目")
}
