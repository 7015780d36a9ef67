//! The frame around a calculation ("what is ... equal to?"), and what looks like a calculation but
//! is something else.

use num_rational::BigRational;

use super::{
    Exact,
    eval::{Expr, Fault, Operator, Value},
    format,
    lex::{Lexeme, Number, small},
    parse, strip_end, strip_start,
};

/// How clearly something to compute is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Frame {
    /// `12/4`
    Bare,
    /// "what is 12/4"
    Question,
    /// "calculate 12/4", `12/4 =`
    Command,
}

/// In what form the answer is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Decimal,
    Fraction,
    Percent,
}

const QUESTIONS: &[&str] = &[
    "what is the answer to",
    "what is the result of",
    "what is the value of",
    "what is",
    "what does",
    "what do",
    "what are",
    "tell me what",
    "tell me",
    "how much is",
    "how much are",
    "how many is",
    "do you know what",
];
const COMMANDS: &[&str] = &[
    "calculate",
    "compute",
    "evaluate",
    "solve",
    "work out",
    "find",
    "determine",
];
const EQUALS: &[&str] = &[
    "is equal to what",
    "equals what",
    "= what",
    "is equal to",
    "equal to",
    "is what",
    "equals",
    "equal",
    "make",
    "=",
];

pub(super) fn answer(lexemes: &[Lexeme]) -> Option<Exact> {
    if let Some(exact) = what_percent(lexemes) {
        return Some(exact);
    }
    let (frame, body) = unframe(lexemes);
    let (form, body) = form(body);
    let frame = if form.is_some() {
        Frame::Command
    } else {
        frame
    };
    if looks_like_something_else(frame, body) {
        return None;
    }
    let expr = parse::parse(body)?;
    if !expr.computes() {
        return None;
    }
    let text = match expr.value() {
        Ok(Value::Exact(value)) => match form {
            None => format::shown(&value)?,
            Some(form) => in_form(&value, form)?,
        },
        // An irrational number has neither a finite decimal nor a fraction to ask for.
        Ok(Value::Rounded(value)) if form.is_none() => format::rounded(&value)?,
        Err(Fault::Undefined(sentence)) => sentence.to_owned(),
        Ok(Value::Rounded(_)) | Err(Fault::Unsure) => return None,
    };
    Some(Exact {
        text,
        expression: expr.to_string(),
    })
}

/// What is asked for, without the words that ask for it.
fn unframe(mut body: &[Lexeme]) -> (Frame, &[Lexeme]) {
    let mut frame = Frame::Bare;
    for (phrases, found) in [(QUESTIONS, Frame::Question), (COMMANDS, Frame::Command)] {
        if let Some(rest) = phrases.iter().find_map(|phrase| strip_start(body, phrase)) {
            (frame, body) = (frame.max(found), strip_start(rest, ":").unwrap_or(rest));
        }
    }
    for (phrases, found) in [(EQUALS, Frame::Command), (&["is"], Frame::Question)] {
        if let Some(rest) = phrases.iter().find_map(|phrase| strip_end(body, phrase)) {
            (frame, body) = (frame.max(found), rest);
        }
    }
    (frame, body)
}

fn form(body: &[Lexeme]) -> (Option<Form>, &[Lexeme]) {
    let endings = [
        ("as a decimal", Form::Decimal),
        ("as a fraction", Form::Fraction),
        ("as a percentage", Form::Percent),
        ("as a percent", Form::Percent),
    ];
    let found = endings
        .iter()
        .find_map(|(words, form)| strip_end(body, words).map(|rest| (Some(*form), rest)));
    found.unwrap_or((None, body))
}

fn in_form(value: &BigRational, form: Form) -> Option<String> {
    match form {
        Form::Decimal => format::shown(value),
        Form::Fraction => format::fraction(value),
        Form::Percent => {
            let hundred = BigRational::from(num_bigint::BigInt::from(100));
            Some(format!("{}%", format::shown(&(value * hundred))?))
        }
    }
}

/// "What percent of 80 is 20?", "20 is what percent of 80?"
fn what_percent(lexemes: &[Lexeme]) -> Option<Exact> {
    let find = |words: &[&str]| {
        lexemes.windows(words.len()).position(|window| {
            window
                .iter()
                .zip(words)
                .all(|(lexeme, word)| lexeme.is(word))
        })
    };
    for name in ["percent", "percentage", "%"] {
        let (part, total) = if let Some(rest) = strip_start(lexemes, &format!("what {name} of")) {
            let split = rest.iter().position(|lexeme| lexeme.is("is"))?;
            (&rest[split + 1..], &rest[..split])
        } else if let Some(at) = find(&["is", "what", name, "of"]) {
            (&lexemes[..at], &lexemes[at + 4..])
        } else {
            continue;
        };
        let (part, total) = (lone_number(part)?, lone_number(total)?);
        let expression = format!("{} as % of {}", part.text, total.text);
        let zero = BigRational::from(num_bigint::BigInt::ZERO);
        let text = if total.value == zero {
            "Division by zero is undefined.".to_owned()
        } else {
            in_form(&(part.value / total.value), Form::Percent)?
        };
        return Some(Exact { text, expression });
    }
    None
}

fn lone_number(lexemes: &[Lexeme]) -> Option<Number> {
    let read = super::words::number(lexemes)?;
    read.rest.is_empty().then_some(read.number)
}

/// Telephone numbers, dates, scores, sizes, years and names that are written like calculations.
fn looks_like_something_else(frame: Frame, body: &[Lexeme]) -> bool {
    // The telephone: "one plus 7".
    if let [one, plus, number] = body
        && one.is("one")
        && plus.is("plus")
        && number.number().is_some()
    {
        return true;
    }
    // "5!" alone is as likely an exclamation.
    if frame == Frame::Bare
        && body.len() == 2
        && body.last().is_some_and(|last| last.is_symbol('!'))
    {
        return true;
    }
    let year = |number: i64| (1800..2100).contains(&number);
    // "1914 - 1918", and without a question "10 - 12": from one to the other.
    if let [a, minus, b] = body
        && minus.is_symbol('-')
        && let Some((a, b)) = whole_number(a).zip(whole_number(b))
        && a < b
        && (frame == Frame::Bare || frame == Frame::Question && year(a) && year(b))
    {
        return true;
    }
    let Some((sign, numbers)) = chain(body) else {
        return false;
    };
    if frame == Frame::Command {
        return false;
    }
    match (sign, numbers.as_slice()) {
        // 10-12, 3/4, 1920x1080, with nothing to say what is wanted
        _ if frame == Frame::Bare => true,
        // 555-123-4567, 12/25/2024
        ('-' | '/', [_, _, _, ..]) => true,
        ('x', numbers) => numbers.iter().all(|number| *number >= 100),
        ('-', &[a, b]) => {
            let season = year(a) && (year(b) || b == (a + 1) % 100);
            let telephone = (100..1000).contains(&a) && (1000..10_000).contains(&b);
            season || telephone || NAMES.contains(&(a, b))
        }
        ('/', &[a, b]) => NAMES.contains(&(a, b)),
        _ => false,
    }
}

/// "What is 9/11?" does not ask for 0.82.
const NAMES: &[(i64, i64)] = &[
    (9, 11),
    (7, 11),
    (24, 7),
    (4, 20),
    (50, 50),
    (80, 20),
    (60, 40),
    (20, 20),
    (7, 7),
    (26, 11),
];

/// Whole numbers and one sign between them, all without spaces.
fn chain(body: &[Lexeme]) -> Option<(char, Vec<i64>)> {
    let (first, rest) = body.split_first()?;
    let sign = ['-', '/', 'x'].into_iter().find(|sign| match rest {
        [lexeme, ..] => lexeme.is_symbol(*sign) || *sign == 'x' && lexeme.is("x"),
        [] => false,
    })?;
    let mut numbers = vec![whole_number(first)?];
    for pair in rest.chunks(2) {
        let [lexeme, number] = pair else { return None };
        if lexeme.token != rest[0].token || !lexeme.glued || !number.glued {
            return None;
        }
        numbers.push(whole_number(number)?);
    }
    Some((sign, numbers))
}

fn whole_number(lexeme: &Lexeme) -> Option<i64> {
    small(&lexeme.number()?.value)
}

impl Operator {
    /// Whether a bare percentage may be its operand: "25% * 80", but not "50 + 10%".
    pub(super) fn takes_percent(self) -> bool {
        self == Self::Multiply
    }
}

impl Expr {
    pub(super) fn is_percent(&self) -> bool {
        matches!(self, Self::Percent(_))
    }
}
