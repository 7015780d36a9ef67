//! From tokens to a tree: statements. Expressions are in [`expression`].

mod expression;

use std::sync::Arc;

use crate::error::{Fail, at, syntax, unsupported};
use crate::lex::{Token, lex};
use crate::tree::{Body, CallBlock, For, Kind, Macro, Named, Parameter, Statement, Target, Tree};

/// How deep blocks, and expressions, may be inside of each other.
const DEEPEST: u32 = 100;

/// Reads a template whose lines end with `\n`.
pub(crate) fn parse(source: &str) -> Result<Tree, Fail> {
    let mut parser = Parser {
        tokens: lex(source)?,
        at: 0,
        depth: 0,
        loops: 0,
        macros: Vec::new(),
    };
    let (body, _) = parser.body("the template", &[])?;
    let macros = parser.macros;
    Ok(Tree { body, macros })
}

struct Parser<'s> {
    tokens: Vec<(Token<'s>, u32)>,
    at: usize,
    depth: u32,
    /// How many loops the place is in, for `break`.
    loops: usize,
    macros: Vec<Macro>,
}

impl<'s> Parser<'s> {
    fn peek(&self) -> &Token<'s> {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &Token<'s> {
        let token = self.tokens.get(self.at + ahead);
        token.map_or(&Token::End, |(token, _)| token)
    }

    fn line(&self) -> u32 {
        let token = self.tokens.get(self.at).or(self.tokens.last());
        token.map_or(1, |(_, line)| *line)
    }

    #[cold]
    fn error<T>(&self, what: &[&str]) -> Result<T, Fail> {
        Err(at(syntax(what), self.line()))
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(other) if *other == symbol)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Name(other) if *other == word)
    }

    fn eat_symbol(&mut self, symbol: &str) -> bool {
        let is_it = self.is_symbol(symbol);
        self.at += usize::from(is_it);
        is_it
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let is_it = self.is_word(word);
        self.at += usize::from(is_it);
        is_it
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<(), Fail> {
        if self.eat_symbol(symbol) {
            return Ok(());
        }
        self.error(&["expected `", symbol, "`"])
    }

    fn expect(&mut self, token: &Token<'static>, what: &str) -> Result<(), Fail> {
        if self.peek() != token {
            return self.error(&["expected ", what]);
        }
        self.at += 1;
        Ok(())
    }

    fn block_end(&mut self) -> Result<(), Fail> {
        self.expect(&Token::BlockEnd, "the end of the block")
    }

    fn name(&mut self) -> Result<Arc<str>, Fail> {
        let Token::Name(name) = self.peek() else {
            return self.error(&["expected a name"]);
        };
        let name = Arc::from(*name);
        self.at += 1;
        Ok(name)
    }

    /// Goes one level down; whoever does goes up again, unless there is an error.
    fn enter(&mut self) -> Result<(), Fail> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.error(&["this is nested too deeply"]);
        }
        Ok(())
    }

    /// Statements up to a block that begins with one of `ends`, which is passed and returned.
    fn body(&mut self, of: &str, ends: &[&'static str]) -> Result<(Body, &'static str), Fail> {
        let mut body = Vec::new();
        loop {
            let line = self.line();
            match self.peek() {
                Token::Data(text) => {
                    body.push((line, Statement::Text(Box::from(*text))));
                    self.at += 1;
                }
                Token::OutputBegin => {
                    self.at += 1;
                    body.push((line, Statement::Output(self.tuple()?)));
                    self.expect(&Token::OutputEnd, "the end of the expression")?;
                }
                Token::BlockBegin => {
                    self.at += 1;
                    let Token::Name(name) = *self.peek() else {
                        return self.error(&["expected the name of a block"]);
                    };
                    self.at += 1;
                    if let Some(end) = ends.iter().find(|end| **end == name) {
                        return Ok((body, end));
                    }
                    self.enter()?;
                    body.push((line, self.statement(name)?));
                    self.depth -= 1;
                    self.block_end()?;
                }
                _ if ends.is_empty() => return Ok((body, "")),
                _ => return self.error(&["`", of, "` is not closed"]),
            }
        }
    }

    /// The body of a block with one end and nothing else.
    fn block(&mut self, name: &str, end: &'static str) -> Result<Body, Fail> {
        self.block_end()?;
        Ok(self.body(name, &[end])?.0)
    }

    /// A statement after its name, up to the end of its last block.
    fn statement(&mut self, name: &str) -> Result<Statement, Fail> {
        match name {
            "if" => self.if_statement(),
            "for" => self.for_statement(),
            "set" => self.set_statement(),
            "macro" => self.macro_statement(),
            "call" => self.call_statement(),
            "with" => self.with_statement(),
            "filter" => {
                let filters = self.filters(true)?;
                let body = self.block(name, "endfilter")?;
                Ok(Statement::FilterBlock(filters, body))
            }
            "generation" => {
                let body = self.block(name, "endgeneration")?;
                Ok(Statement::With(Vec::new(), body))
            }
            "break" | "continue" if self.loops == 0 => {
                self.error(&["`", name, "` is not inside of a loop"])
            }
            "break" => Ok(Statement::Break),
            "continue" => Ok(Statement::Continue),
            "include" | "import" | "from" | "extends" => {
                while !matches!(self.peek(), Token::BlockEnd | Token::End) {
                    self.at += 1;
                }
                Ok(Statement::Unsupported(Box::from(name)))
            }
            "block" | "autoescape" | "trans" | "do" | "debug" => {
                Err(at(unsupported(&["`", name, "`"]), self.line()))
            }
            _ => self.error(&["there is no statement `", name, "` here"]),
        }
    }

    fn if_statement(&mut self) -> Result<Statement, Fail> {
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            let condition = self.tuple()?;
            self.block_end()?;
            let (body, end) = self.body("if", &["elif", "else", "endif"])?;
            branches.push((condition, body));
            if end == "else" {
                otherwise = self.block("if", "endif")?;
            }
            if end != "elif" {
                break;
            }
        }
        Ok(Statement::If {
            branches,
            otherwise,
        })
    }

    fn for_statement(&mut self) -> Result<Statement, Fail> {
        let target = self.target(true)?;
        if !self.eat_word("in") {
            return self.error(&["expected `in`"]);
        }
        let items = self.tuple_of(Self::or)?;
        let condition = if self.eat_word("if") {
            Some(self.expression()?)
        } else {
            None
        };
        if self.is_word("recursive") {
            return Err(at(unsupported(&["`recursive`"]), self.line()));
        }
        self.block_end()?;
        self.loops += 1;
        let (body, end) = self.body("for", &["else", "endfor"])?;
        self.loops -= 1;
        let otherwise = if end == "else" {
            self.block("for", "endfor")?
        } else {
            Vec::new()
        };
        Ok(Statement::For(Box::new(For {
            target,
            items,
            condition,
            body,
            otherwise,
        })))
    }

    fn set_statement(&mut self) -> Result<Statement, Fail> {
        let target = self.target(true)?;
        if self.eat_symbol("=") {
            return Ok(Statement::Set(target, self.tuple()?));
        }
        let filters = self.filters(false)?;
        let body = self.block("set", "endset")?;
        Ok(Statement::SetBlock(target, filters, body))
    }

    fn with_statement(&mut self) -> Result<Statement, Fail> {
        let mut variables = Vec::new();
        while !matches!(self.peek(), Token::BlockEnd) {
            let target = self.target(false)?;
            self.expect_symbol("=")?;
            variables.push((target, self.expression()?));
            if !self.eat_symbol(",") {
                break;
            }
        }
        let body = self.block("with", "endwith")?;
        Ok(Statement::With(variables, body))
    }

    fn macro_statement(&mut self) -> Result<Statement, Fail> {
        let name = self.name()?;
        self.expect_symbol("(")?;
        let parameters = self.parameters()?;
        let index = self.macro_body(name, parameters, "macro", "endmacro")?;
        Ok(Statement::Macro(index))
    }

    /// `{% call(a) f(b) %}`: the body is a macro, too.
    fn call_statement(&mut self) -> Result<Statement, Fail> {
        let parameters = if self.eat_symbol("(") {
            self.parameters()?
        } else {
            Vec::new()
        };
        let call = self.expression()?;
        let Kind::Call(callee, arguments) = call.into_kind() else {
            return self.error(&["expected a call"]);
        };
        let caller = self.macro_body(Arc::from("caller"), parameters, "call", "endcall")?;
        Ok(Statement::Call(Box::new(CallBlock {
            callee,
            arguments,
            caller,
        })))
    }

    /// The place of a macro in the table.
    fn macro_body(
        &mut self,
        name: Arc<str>,
        parameters: Vec<Parameter>,
        block: &str,
        end: &'static str,
    ) -> Result<usize, Fail> {
        let loops = std::mem::take(&mut self.loops);
        let body = self.block(block, end)?;
        self.loops = loops;
        self.macros.push(Macro {
            name,
            parameters,
            body,
        });
        Ok(self.macros.len() - 1)
    }

    /// Parameters of a macro, after the bracket.
    fn parameters(&mut self) -> Result<Vec<Parameter>, Fail> {
        let mut parameters = Vec::new();
        while !self.eat_symbol(")") {
            let name = self.name()?;
            let default = if self.eat_symbol("=") {
                Some(self.expression()?)
            } else {
                None
            };
            parameters.push((name, default));
            if !self.is_symbol(")") {
                self.expect_symbol(",")?;
            }
        }
        Ok(parameters)
    }

    /// What is assigned to: a name, an attribute of a namespace, or several of these.
    fn target(&mut self, tuple: bool) -> Result<Target, Fail> {
        let mut targets = vec![self.one_target()?];
        if !tuple || !self.is_symbol(",") {
            return Ok(targets.remove(0));
        }
        while self.eat_symbol(",") {
            if !matches!(self.peek(), Token::Name(name) if *name != "in") && !self.is_symbol("(") {
                break;
            }
            targets.push(self.one_target()?);
        }
        Ok(Target::Tuple(targets))
    }

    fn one_target(&mut self) -> Result<Target, Fail> {
        if self.eat_symbol("(") {
            self.enter()?;
            let target = self.target(true)?;
            self.depth -= 1;
            self.expect_symbol(")")?;
            return Ok(target);
        }
        let name = self.name()?;
        if !self.eat_symbol(".") {
            return Ok(Target::Name(name));
        }
        Ok(Target::Attribute(name, self.name()?))
    }

    /// Filters without what they are of: `upper | trim`, or with `first` false `| upper | trim`.
    fn filters(&mut self, first: bool) -> Result<Vec<Named>, Fail> {
        let mut filters = Vec::new();
        if first {
            filters.push(self.named()?);
        }
        while self.eat_symbol("|") {
            filters.push(self.named()?);
        }
        Ok(filters)
    }
}
