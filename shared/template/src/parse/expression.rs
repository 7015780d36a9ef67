//! From tokens to a tree: expressions, with Jinja's precedence, which is not quite Python's: `~` binds tighter than `+`, and a
//! filter tighter than any operator.

use std::sync::Arc;

use super::{DEEPEST, Parser};
use crate::error::{Fail, at, unsupported};
use crate::lex::Token;
use crate::tree::{Arguments, Expr, Kind, Named, Operator};

/// Operators of one precedence.
type Symbols = &'static [(&'static str, Operator)];

const SUMS: Symbols = &[("+", Operator::Add), ("-", Operator::Subtract)];
const PRODUCTS: Symbols = &[
    ("*", Operator::Multiply),
    ("/", Operator::Divide),
    ("//", Operator::FloorDivide),
    ("%", Operator::Remainder),
];
const POWERS: Symbols = &[("**", Operator::Power)];
const COMPARISONS: Symbols = &[
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<", Operator::Less),
    ("<=", Operator::LessOrEqual),
    (">", Operator::Greater),
    (">=", Operator::GreaterOrEqual),
];

/// A reader of expressions that bind tighter than some operator.
type Next<'s> = fn(&mut Parser<'s>) -> Result<Expr, Fail>;

fn tallest<'e>(expressions: impl Iterator<Item = &'e Expr>) -> u32 {
    expressions.map(|expr| expr.height).max().unwrap_or(0)
}

impl<'s> Parser<'s> {
    fn node(&self, kind: Kind, line: u32, below: u32) -> Result<Expr, Fail> {
        if below >= DEEPEST {
            return self.error(&["this is nested too deeply"]);
        }
        let height = below + 1;
        Ok(Expr::new(kind, line, height))
    }

    /// Expressions with commas between them are a tuple, brackets or not.
    pub(super) fn tuple(&mut self) -> Result<Expr, Fail> {
        self.tuple_of(Self::expression)
    }

    pub(super) fn tuple_of(&mut self, one: Next<'s>) -> Result<Expr, Fail> {
        let line = self.line();
        let first = one(self)?;
        if !self.is_symbol(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.eat_symbol(",") {
            let ends = match self.peek() {
                Token::BlockEnd | Token::OutputEnd | Token::End => true,
                Token::Symbol(symbol) => matches!(*symbol, ")" | "="),
                _ => false,
            };
            if ends {
                break;
            }
            items.push(one(self)?);
        }
        let below = tallest(items.iter());
        self.node(Kind::Tuple(items), line, below)
    }

    pub(super) fn expression(&mut self) -> Result<Expr, Fail> {
        self.enter()?;
        let mut then = self.or()?;
        let line = self.line();
        while self.eat_word("if") {
            let condition = self.or()?;
            let otherwise = if self.eat_word("else") {
                Some(self.expression()?)
            } else {
                None
            };
            let below = tallest([&condition, &then].into_iter().chain(&otherwise));
            then = self.node(
                Kind::If(Box::new((condition, then, otherwise))),
                line,
                below,
            )?;
        }
        self.depth -= 1;
        Ok(then)
    }

    pub(super) fn or(&mut self) -> Result<Expr, Fail> {
        let line = self.line();
        let operands = self.operands(Self::and, |parser| parser.eat_word("or"))?;
        self.several(operands, Kind::Or, line)
    }

    fn and(&mut self) -> Result<Expr, Fail> {
        let line = self.line();
        let operands = self.operands(Self::not, |parser| parser.eat_word("and"))?;
        self.several(operands, Kind::And, line)
    }

    fn concat(&mut self) -> Result<Expr, Fail> {
        let line = self.line();
        let operands = self.operands(Self::product, |parser| parser.eat_symbol("~"))?;
        self.several(operands, Kind::Concat, line)
    }

    /// Operands with one operator between them.
    fn operands(&mut self, next: Next<'s>, more: fn(&mut Self) -> bool) -> Result<Vec<Expr>, Fail> {
        let mut operands = vec![next(self)?];
        while more(self) {
            operands.push(next(self)?);
        }
        Ok(operands)
    }

    fn several(
        &mut self,
        mut operands: Vec<Expr>,
        kind: fn(Vec<Expr>) -> Kind,
        line: u32,
    ) -> Result<Expr, Fail> {
        if operands.len() == 1 {
            return Ok(operands.remove(0));
        }
        let below = tallest(operands.iter());
        self.node(kind(operands), line, below)
    }

    fn not(&mut self) -> Result<Expr, Fail> {
        let line = self.line();
        if !self.eat_word("not") {
            return self.comparison();
        }
        self.enter()?;
        let operand = self.not()?;
        self.depth -= 1;
        let below = operand.height;
        self.node(Kind::Not(operand), line, below)
    }

    fn comparison(&mut self) -> Result<Expr, Fail> {
        let line = self.line();
        let first = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let operator = if let Some(operator) = self.operator(COMPARISONS) {
                operator
            } else if self.eat_word("in") {
                Operator::In
            } else if self.is_word("not") && *self.peek_at(1) == Token::Name("in") {
                self.at += 2;
                Operator::NotIn
            } else {
                break;
            };
            rest.push((operator, self.sum()?));
        }
        self.joined(first, rest, Kind::Compare, line)
    }

    fn sum(&mut self) -> Result<Expr, Fail> {
        self.chain(SUMS, Self::concat)
    }

    fn product(&mut self) -> Result<Expr, Fail> {
        self.chain(PRODUCTS, Self::power)
    }

    fn power(&mut self) -> Result<Expr, Fail> {
        self.chain(POWERS, Self::filtered)
    }

    fn chain(&mut self, symbols: Symbols, next: Next<'s>) -> Result<Expr, Fail> {
        let line = self.line();
        let first = next(self)?;
        let mut rest = Vec::new();
        while let Some(operator) = self.operator(symbols) {
            rest.push((operator, next(self)?));
        }
        self.joined(first, rest, Kind::Chain, line)
    }

    fn operator(&mut self, symbols: Symbols) -> Option<Operator> {
        let found = symbols.iter().find(|(symbol, _)| self.is_symbol(symbol));
        self.at += usize::from(found.is_some());
        found.map(|(_, operator)| *operator)
    }

    fn joined(
        &mut self,
        first: Expr,
        rest: Vec<(Operator, Expr)>,
        kind: fn(Expr, Vec<(Operator, Expr)>) -> Kind,
        line: u32,
    ) -> Result<Expr, Fail> {
        if rest.is_empty() {
            return Ok(first);
        }
        let below = tallest(
            [&first]
                .into_iter()
                .chain(rest.iter().map(|(_, expr)| expr)),
        );
        self.node(kind(first, rest), line, below)
    }

    /// Something with its signs, filters and tests.
    fn filtered(&mut self) -> Result<Expr, Fail> {
        let mut expr = self.signed()?;
        loop {
            let line = self.line();
            let below = expr.height;
            if self.eat_symbol("|") {
                let filter = self.named()?;
                let below = below.max(filter.arguments.height());
                expr = self.node(Kind::Filter(expr, filter), line, below)?;
            } else if self.eat_word("is") {
                let negated = self.eat_word("not");
                let test = self.test()?;
                let below = below.max(test.arguments.height());
                expr = self.node(Kind::Test(expr, test), line, below)?;
                if negated {
                    let below = expr.height;
                    expr = self.node(Kind::Not(expr), line, below)?;
                }
            } else {
                return Ok(expr);
            }
        }
    }

    fn signed(&mut self) -> Result<Expr, Fail> {
        let line = self.line();
        let kind = if self.eat_symbol("-") {
            Kind::Negative
        } else if self.eat_symbol("+") {
            Kind::Positive
        } else {
            let primary = self.primary()?;
            return self.postfix(primary);
        };
        self.enter()?;
        let operand = self.signed()?;
        self.depth -= 1;
        let below = operand.height;
        self.node(kind(operand), line, below)
    }

    /// A filter's name and arguments.
    pub(super) fn named(&mut self) -> Result<Named, Fail> {
        let line = self.line();
        let name = self.name()?;
        let arguments = if self.eat_symbol("(") {
            self.arguments()?
        } else {
            Arguments::default()
        };
        Ok(Named {
            name,
            arguments,
            line,
        })
    }

    /// The same of a test, whose argument may stand without brackets.
    fn test(&mut self) -> Result<Named, Fail> {
        let mut test = self.named()?;
        let has_argument = match self.peek() {
            Token::Name(name) => !matches!(
                *name,
                "else" | "or" | "and" | "if" | "is" | "in" | "not" | "recursive"
            ),
            Token::Text(_) | Token::Int(_) | Token::Float(_) => true,
            Token::Symbol(symbol) => matches!(*symbol, "[" | "{"),
            _ => false,
        };
        if has_argument && test.arguments.height() == 0 {
            let argument = self.primary()?;
            test.arguments.positional = vec![self.postfix(argument)?];
        }
        Ok(test)
    }

    fn postfix(&mut self, mut expr: Expr) -> Result<Expr, Fail> {
        loop {
            let line = self.line();
            let below = expr.height;
            if self.eat_symbol(".") {
                if let Token::Int(index) = *self.peek() {
                    self.at += 1;
                    let index = self.node(Kind::Int(index), line, 0)?;
                    expr = self.node(Kind::Item(expr, index), line, below)?;
                } else {
                    let name = self.name()?;
                    expr = self.node(Kind::Attribute(expr, name), line, below)?;
                }
            } else if self.eat_symbol("[") {
                expr = self.subscript(expr, line)?;
            } else if self.eat_symbol("(") {
                let arguments = self.arguments()?;
                let below = below.max(arguments.height());
                expr = self.node(Kind::Call(expr, arguments), line, below)?;
            } else {
                return Ok(expr);
            }
        }
    }

    /// An index or a slice, after the bracket.
    fn subscript(&mut self, of: Expr, line: u32) -> Result<Expr, Fail> {
        let mut parts = [None, None, None];
        let mut colons = 0;
        while !self.is_symbol("]") {
            if self.eat_symbol(":") {
                colons += 1;
            } else if colons < parts.len() && parts[colons].is_none() {
                parts[colons] = Some(self.expression()?);
            } else {
                break;
            }
        }
        if self.is_symbol(",") {
            while !matches!(self.peek(), Token::BlockEnd | Token::OutputEnd | Token::End)
                && !self.is_symbol("]")
            {
                self.at += 1;
            }
            self.expect_symbol("]")?;
            return self.node(Kind::Unsupported("an index of several parts"), line, 0);
        }
        self.expect_symbol("]")?;
        let below = of.height.max(tallest(parts.iter().flatten()));
        let kind = match (colons, parts) {
            (0, [Some(index), None, None]) => Kind::Item(of, index),
            (1 | 2, parts) => Kind::Slice(of, Box::new(parts)),
            _ => return self.error(&["expected an index or a slice"]),
        };
        self.node(kind, line, below)
    }

    /// Arguments of a call, after the bracket.
    fn arguments(&mut self) -> Result<Arguments, Fail> {
        let mut arguments = Arguments::default();
        while !self.eat_symbol(")") {
            if self.is_symbol("*") || self.is_symbol("**") {
                return Err(at(unsupported(&["a list as arguments"]), self.line()));
            }
            let name = match (self.peek(), self.peek_at(1)) {
                (Token::Name(name), Token::Symbol("=")) => Some(Arc::from(*name)),
                _ => None,
            };
            if let Some(name) = name {
                self.at += 2;
                arguments.named.push((name, self.expression()?));
            } else if arguments.named.is_empty() {
                arguments.positional.push(self.expression()?);
            } else {
                return self.error(&["an argument without a name follows one with a name"]);
            }
            if !self.is_symbol(")") {
                self.expect_symbol(",")?;
            }
        }
        Ok(arguments)
    }

    fn primary(&mut self) -> Result<Expr, Fail> {
        let line = self.line();
        let kind = match self.peek() {
            Token::Name(name) => match *name {
                "true" | "True" => Kind::Bool(true),
                "false" | "False" => Kind::Bool(false),
                "none" | "None" => Kind::None,
                name => Kind::Name(Arc::from(name)),
            },
            Token::Int(value) => Kind::Int(*value),
            Token::Float(value) => Kind::Float(*value),
            Token::Text(_) => return self.texts(line),
            Token::Symbol("(") => return self.in_brackets(line),
            Token::Symbol("[") => return self.list(line),
            Token::Symbol("{") => return self.map(line),
            _ => return self.error(&["expected an expression"]),
        };
        self.at += 1;
        self.node(kind, line, 0)
    }

    /// Strings one after the other are one.
    fn texts(&mut self, line: u32) -> Result<Expr, Fail> {
        let mut all = String::new();
        while let Token::Text(text) = self.peek() {
            all.push_str(text);
            self.at += 1;
        }
        self.node(Kind::Text(Arc::from(all)), line, 0)
    }

    fn in_brackets(&mut self, line: u32) -> Result<Expr, Fail> {
        self.at += 1;
        if self.eat_symbol(")") {
            return self.node(Kind::Tuple(Vec::new()), line, 0);
        }
        let inner = self.tuple()?;
        self.expect_symbol(")")?;
        Ok(inner)
    }

    fn list(&mut self, line: u32) -> Result<Expr, Fail> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.eat_symbol("]") {
            items.push(self.expression()?);
            if !self.is_symbol("]") {
                self.expect_symbol(",")?;
            }
        }
        let below = tallest(items.iter());
        self.node(Kind::List(items), line, below)
    }

    fn map(&mut self, line: u32) -> Result<Expr, Fail> {
        self.at += 1;
        let mut entries = Vec::new();
        while !self.eat_symbol("}") {
            let key = self.expression()?;
            self.expect_symbol(":")?;
            entries.push((key, self.expression()?));
            if !self.is_symbol("}") {
                self.expect_symbol(",")?;
            }
        }
        let below = tallest(entries.iter().flat_map(|(key, value)| [key, value]));
        self.node(Kind::Map(entries), line, below)
    }
}

impl Arguments {
    fn height(&self) -> u32 {
        let named = self.named.iter().map(|(_, expr)| expr);
        tallest(self.positional.iter().chain(named))
    }
}
