//! From lexemes to an expression: the usual precedences, and the words for them. Where words leave
//! open what belongs together ("half of 10 plus 6"), there is no expression.

use super::{
    eval::{Expr, Function, Operator},
    lex::{Lexeme, Number, ratio},
    strip_start, words,
};

/// Parentheses nested deeper are no plain arithmetic.
const DEEPEST: usize = 40;

/// The expression that is all of `body`.
pub(super) fn parse(body: &[Lexeme]) -> Option<Expr> {
    let mut parser = Parser {
        rest: body,
        depth: 0,
        has_and: false,
    };
    let expr = match parser.imperative() {
        Some(expr) => expr,
        None => {
            parser = Parser {
                rest: body,
                depth: 0,
                has_and: false,
            };
            parser.expression()?
        }
    };
    let bare_percent = expr.is_percent();
    (parser.rest.is_empty() && !bare_percent && !lone_exclamation(body)).then_some(expr)
}

/// "2+2!" is excitement or a factorial; in "5!" alone and "5! / 3!" it can only be the latter.
fn lone_exclamation(body: &[Lexeme]) -> bool {
    let marks = body.iter().filter(|lexeme| lexeme.is_symbol('!')).count();
    body.len() > 2 && marks == 1 && body.last().is_some_and(|last| last.is_symbol('!'))
}

struct Parser<'a> {
    rest: &'a [Lexeme],
    depth: usize,
    /// Whether a number with an "and" in it was read.
    has_and: bool,
}

/// Words that apply to the operand after "of".
#[derive(Clone, Copy)]
enum Unary {
    Root(u32),
    Power(i64),
    Factorial,
    Absolute,
}

const UNARIES: &[(&str, Unary)] = &[
    ("square root of", Unary::Root(2)),
    ("square root", Unary::Root(2)),
    ("sqrt of", Unary::Root(2)),
    ("sqrt", Unary::Root(2)),
    ("cube root of", Unary::Root(3)),
    ("square of", Unary::Power(2)),
    ("cube of", Unary::Power(3)),
    ("factorial of", Unary::Factorial),
    ("absolute value of", Unary::Absolute),
    ("abs", Unary::Absolute),
];

/// What is done with a list of numbers.
#[derive(Clone, Copy)]
enum Fold {
    Operator(Operator),
    Function(Function),
}

const FOLDS: &[(&str, Fold)] = &[
    ("sum of", Fold::Operator(Operator::Add)),
    ("product of", Fold::Operator(Operator::Multiply)),
    ("average of", Fold::Function(Function::Average)),
    ("mean of", Fold::Function(Function::Average)),
    (
        "greatest common divisor of",
        Fold::Function(Function::GreatestCommonDivisor),
    ),
    (
        "greatest common factor of",
        Fold::Function(Function::GreatestCommonDivisor),
    ),
    (
        "highest common factor of",
        Fold::Function(Function::GreatestCommonDivisor),
    ),
    ("gcd of", Fold::Function(Function::GreatestCommonDivisor)),
    (
        "least common multiple of",
        Fold::Function(Function::LeastCommonMultiple),
    ),
    (
        "lowest common multiple of",
        Fold::Function(Function::LeastCommonMultiple),
    ),
    ("lcm of", Fold::Function(Function::LeastCommonMultiple)),
];

/// Two numbers in a fixed wording: opening, middle, operator, whether the second comes first.
const PAIRS: &[(&str, &str, Operator, bool)] = &[
    ("quotient of", "and", Operator::Divide, false),
    ("difference of", "and", Operator::Subtract, false),
    ("remainder of", "divided by", Operator::Remainder, false),
    (
        "remainder when",
        "is divided by",
        Operator::Remainder,
        false,
    ),
    ("add", "to", Operator::Add, true),
    ("add", "and", Operator::Add, false),
    ("subtract", "from", Operator::Subtract, true),
    ("multiply", "by", Operator::Multiply, false),
    ("multiply", "and", Operator::Multiply, false),
    ("divide", "by", Operator::Divide, false),
    ("increase", "by", Operator::Add, false),
    ("decrease", "by", Operator::Subtract, false),
    ("reduce", "by", Operator::Subtract, false),
];

impl<'a> Parser<'a> {
    /// Passes over the words, if they come next.
    fn take(&mut self, phrase: &str) -> bool {
        match strip_start(self.rest, phrase) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn take_any(&mut self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.take(phrase))
    }

    fn next_is(&self, text: &str) -> bool {
        self.rest.first().is_some_and(|next| next.is(text))
    }

    /// Whether nothing can be added to what was just read. Asked after words such as "half of",
    /// where an operator would leave open how far they reach.
    fn closed(&self) -> Option<()> {
        (self.rest.is_empty() || self.next_is(")")).then_some(())
    }

    /// Fixed wordings that are the whole question: "subtract 3 from 10", "sum of 3, 4 and 5".
    fn imperative(&mut self) -> Option<Expr> {
        self.take("the");
        let start = self.rest;
        for &(opening, middle, operator, swapped) in PAIRS {
            self.rest = start;
            if !self.take(opening) {
                continue;
            }
            let Some(pair) = self.pair(middle, operator, swapped) else {
                continue;
            };
            if self.rest.is_empty() {
                return Some(pair);
            }
        }
        self.rest = start;
        if self.take("difference between") {
            let left = self.item()?;
            let right = self.take("and").then(|| self.item())??;
            return self.unmixed(Expr::Call(Function::Difference, vec![left, right]));
        }
        let &(_, fold) = FOLDS.iter().find(|(phrase, _)| self.take(phrase))?;
        let mut items = self.list()?.into_iter();
        self.unmixed(match fold {
            Fold::Function(function) => Expr::Call(function, items.collect()),
            Fold::Operator(operator) => {
                let first = items.next()?;
                items.fold(first, |all, item| Expr::binary(operator, all, item))
            }
        })
    }

    fn pair(&mut self, middle: &str, operator: Operator, swapped: bool) -> Option<Expr> {
        let left = self.item()?;
        let right = self.take(middle).then(|| self.item())??;
        // "increase 80 by 10%": the percentage is of the first.
        let percent = matches!(operator, Operator::Add | Operator::Subtract)
            && middle == "by"
            && right.is_percent();
        let pair = match right {
            Expr::Percent(share) if percent => Expr::binary(
                operator,
                left.clone(),
                Expr::binary(Operator::PercentOf, *share, left),
            ),
            right if right.is_percent() || left.is_percent() => return None,
            right if swapped => Expr::binary(operator, right, left),
            right => Expr::binary(operator, left, right),
        };
        if middle == "and" {
            self.unmixed(pair)
        } else {
            Some(pair)
        }
    }

    /// The items of a list: "3 and 4", "3, 4 and 5", "3, 4, and 5".
    fn list(&mut self) -> Option<Vec<Expr>> {
        let mut items = vec![self.list_item()?];
        loop {
            let comma = self.take(",");
            let last = self.take("and");
            if !comma && !last {
                break;
            }
            items.push(self.list_item()?);
            if last {
                break;
            }
        }
        (items.len() >= 2).then_some(items)
    }

    fn list_item(&mut self) -> Option<Expr> {
        match self.item()? {
            // "100,200 and 300" may be two numbers or three.
            Expr::Number(number) if number.grouped => None,
            item if item.is_percent() => None,
            item => Some(item),
        }
    }

    /// A number, perhaps negative or a percentage, or something in parentheses.
    fn item(&mut self) -> Option<Expr> {
        if self.take_any(&["-", "minus", "negative"]) {
            return negative(self.postfix()?);
        }
        self.postfix()
    }

    /// In "one hundred and five and six" the first "and" could part two numbers.
    fn unmixed(&self, expr: Expr) -> Option<Expr> {
        (!self.has_and).then_some(expr)
    }

    fn expression(&mut self) -> Option<Expr> {
        let mut left = self.term()?;
        loop {
            let operator = if self.take_any(&["+", "plus", "added to"]) {
                Operator::Add
            } else if self.take_any(&["-", "minus", "take away"]) {
                Operator::Subtract
            } else {
                return Some(left);
            };
            left = combine(operator, left, self.term()?)?;
        }
    }

    fn term(&mut self) -> Option<Expr> {
        let mut left = self.unary()?;
        loop {
            let operator = if self.take_any(&["*", "times", "multiplied by"]) || self.take_x() {
                Operator::Multiply
            } else if self.take_any(&["/", "divided by", "over"]) {
                Operator::Divide
            } else if self.take_any(&["mod", "modulo", "modulus"]) {
                Operator::Remainder
            } else {
                return Some(left);
            };
            let right = self.unary()?;
            let of_fraction = operator == Operator::Divide
                && matches!((&left, &right), (Expr::Number(_), Expr::Number(_)));
            left = combine(operator, left, right)?;
            // "3/4 of 20"
            if of_fraction && self.take("of") {
                left = combine(Operator::Multiply, left, self.operand()?)?;
            }
        }
    }

    /// An "x" between two numbers is a multiplication, "3x + 2" is algebra.
    fn take_x(&mut self) -> bool {
        let [x, number, ..] = self.rest else {
            return false;
        };
        let between = x.is("x") && number.number().is_some() && x.glued == number.glued;
        between && self.take("x")
    }

    fn unary(&mut self) -> Option<Expr> {
        if self.take_any(&["-", "minus", "negative"]) {
            return negative(self.nested(Self::unary)?);
        }
        self.power()
    }

    fn power(&mut self) -> Option<Expr> {
        const TO_THE: &[&str] = &[
            "raised to the power of",
            "to the power of",
            "to the power",
            "raised to the",
            "to the",
        ];
        let base = self.postfix()?;
        if self.take("^") {
            let exponent = self.nested(Self::unary)?;
            return combine(Operator::Power, base, exponent);
        }
        for phrase in TO_THE {
            if !self.take(phrase) {
                continue;
            }
            let exponent = if phrase.contains("power") {
                self.item()?
            } else {
                let (exponent, rest) = words::ordinal(self.rest)?;
                self.rest = rest;
                self.take("power");
                integer(exponent)
            };
            self.closed()?;
            return combine(Operator::Power, base, exponent);
        }
        Some(base)
    }

    /// Something with "squared", "!" or "%" behind it.
    fn postfix(&mut self) -> Option<Expr> {
        let mut expr = self.primary()?;
        loop {
            // 2²³ is 2 to the 23rd.
            let superscript = |lexeme: &Lexeme| lexeme.is_symbol('²') || lexeme.is_symbol('³');
            if let [first, second, ..] = self.rest
                && superscript(first)
                && superscript(second)
            {
                return None;
            }
            if self.take_any(&["squared", "²"]) {
                expr = combine(Operator::Power, expr, integer(2))?;
            } else if self.take_any(&["cubed", "³"]) {
                expr = combine(Operator::Power, expr, integer(3))?;
            } else if self.take_any(&["!", "factorial"]) {
                // n!! is the double factorial to some.
                if matches!(expr, Expr::Factorial(_)) {
                    return None;
                }
                expr = Expr::Factorial(expr.into());
            } else if self.take_any(&["%", "percent", "per cent"]) {
                return self.percent(expr);
            } else {
                return Some(expr);
            }
        }
    }

    fn percent(&mut self, share: Expr) -> Option<Expr> {
        let operator = if self.take("of") {
            Operator::PercentOf
        } else if self.take("off") {
            Operator::PercentOff
        } else {
            return Some(Expr::Percent(share.into()));
        };
        combine(operator, share, self.operand()?)
    }

    /// What follows "of": one thing, after which nothing may be added.
    fn operand(&mut self) -> Option<Expr> {
        let operand = self.nested(Self::item)?;
        // "of 20%" is a percentage of a percentage: of what?
        if operand.is_percent() {
            return None;
        }
        if !matches!(operand, Expr::Group(_)) {
            self.closed()?;
        }
        Some(operand)
    }

    fn primary(&mut self) -> Option<Expr> {
        if self.take("(") {
            let inner = self.nested(Self::expression)?;
            let closes = self.take(")") && !inner.is_percent();
            return closes.then(|| Expr::Group(inner.into()));
        }
        if self.take("√") {
            let inner = self.nested(Self::primary)?;
            return Some(Expr::Root(2, inner.into()));
        }
        if let Some(expr) = self.worded() {
            return expr;
        }
        let read = words::number(self.rest)?;
        let after = read.rest.first();
        // "5km", "3rd", "7b": more than a number. "17x23" is a multiplication.
        if after.is_some_and(|next| next.glued && next.word().is_some_and(|word| word != "x")) {
            return None;
        }
        self.rest = read.rest;
        self.has_and |= read.has_and;
        Some(Expr::Number(read.number))
    }

    /// "the square root of 16", "half of 9", "two thirds of 6", "double 8". `None` where no such
    /// words come next, `Some(None)` where they do but make no sense.
    fn worded(&mut self) -> Option<Option<Expr>> {
        let start = self.rest;
        self.take("the");
        if let Some((_, unary)) = UNARIES.iter().find(|(phrase, _)| self.take(phrase)) {
            return Some(self.operand().map(|inner| match unary {
                Unary::Root(degree) => Expr::Root(*degree, inner.into()),
                Unary::Power(exponent) => Expr::binary(Operator::Power, inner, integer(*exponent)),
                Unary::Factorial => Expr::Factorial(inner.into()),
                Unary::Absolute => Expr::Call(Function::Absolute, vec![inner]),
            }));
        }
        for (word, factor) in [("double", 2), ("twice", 2), ("triple", 3)] {
            if self.take(word) {
                let operand = self.operand();
                return Some(operand.map(|x| Expr::binary(Operator::Multiply, integer(factor), x)));
            }
        }
        let share = self.share();
        if share.is_none() {
            self.rest = start;
        }
        let (count, denominator) = share?;
        Some(self.operand().map(|operand| {
            let whole = match count {
                1 => operand,
                _ => Expr::binary(Operator::Multiply, integer(count), operand),
            };
            Expr::binary(Operator::Divide, whole, integer(denominator))
        }))
    }

    /// "half of", "a third of", "two thirds of": numerator and denominator.
    fn share(&mut self) -> Option<(i64, i64)> {
        let count = if self.next_is("half") || self.take("a") {
            1
        } else {
            let read = words::number(self.rest)?;
            self.rest = read.rest;
            super::lex::small(&read.number.value).filter(|count| (1..=12).contains(count))?
        };
        let denominator = words::denominator(self.rest.first()?)?;
        self.rest = &self.rest[1..];
        self.take("of").then_some((count, denominator))
    }

    /// Goes one level deeper, if that is not too deep.
    fn nested(&mut self, read: fn(&mut Self) -> Option<Expr>) -> Option<Expr> {
        if self.depth == DEEPEST {
            return None;
        }
        self.depth += 1;
        let expr = read(self);
        self.depth -= 1;
        expr
    }
}

fn combine(operator: Operator, left: Expr, right: Expr) -> Option<Expr> {
    let percent = left.is_percent() || right.is_percent();
    (!percent || operator.takes_percent()).then(|| Expr::binary(operator, left, right))
}

/// -2^2 is 4 to some and -4 to others; a negative percentage is rarely meant.
fn negative(inner: Expr) -> Option<Expr> {
    let unclear = matches!(inner, Expr::Binary(..) | Expr::Percent(_));
    (!unclear).then(|| Expr::Negative(inner.into()))
}

fn integer(value: i64) -> Expr {
    Expr::Number(Number::new(ratio(value, 1), value.to_string()))
}
