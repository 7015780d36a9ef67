//! Reads a pattern.

use super::run::Op;
use super::set::Set;
use crate::Error;
use crate::error::unsupported;
use crate::unicode::{ALL, Category, LETTER, NUMBER, PUNCTUATION, WORD, WORD_RANGES};

/// Steps of all alternatives together; the longest pattern that tokenizers use has some forty.
const MAX_OPS: usize = 1000;
/// Groups in each other.
const MAX_DEPTH: usize = 8;

/// What a pattern is made of.
#[derive(Debug)]
enum Node {
    Step(Op),
    /// One of several ways; or none of them, if it is optional.
    Group {
        ways: Vec<Vec<Node>>,
        optional: bool,
    },
}

/// That a pattern is not one of ours.
pub(super) fn refused(pattern: &str) -> Error {
    unsupported("the pattern", pattern)
}

/// The steps of a pattern's alternatives.
///
/// # Errors
/// [`Error::Unsupported`].
pub(super) fn parse(pattern: &str) -> Result<Vec<Vec<Op>>, Error> {
    let mut parser = Parser {
        rest: pattern.chars().collect(),
        fold: false,
        depth: 0,
    };
    // Read from the end, where it is cheap to take one off.
    parser.rest.reverse();
    let ways = parser.ways().filter(|_| parser.rest.is_empty());
    let ways = ways.ok_or_else(|| refused(pattern))?;
    let compiled = ways.into_iter().map(|way| {
        let mut ops = Vec::new();
        compile(way, &mut ops);
        ops
    });
    let compiled: Vec<Vec<Op>> = compiled.collect();
    match compiled.iter().map(Vec::len).sum::<usize>() > MAX_OPS {
        true => Err(refused(pattern)),
        false => Ok(compiled),
    }
}

fn compile(nodes: Vec<Node>, ops: &mut Vec<Op>) {
    for node in nodes {
        match node {
            Node::Step(op) => ops.push(op),
            Node::Group { ways, optional } => group(ways, optional, ops),
        }
    }
}

/// Each way, with a fork to the next one before it and a jump to what follows after it.
fn group(ways: Vec<Vec<Node>>, optional: bool, ops: &mut Vec<Op>) {
    let mut jumps = Vec::new();
    let count = ways.len();
    for (index, way) in ways.into_iter().enumerate() {
        let last = index + 1 == count && !optional;
        let fork = ops.len();
        if !last {
            ops.push(Op::Fork(0));
        }
        compile(way, ops);
        if !last {
            jumps.push(ops.len());
            ops.push(Op::Jump(0));
            ops[fork] = Op::Fork(ops.len());
        }
    }
    let end = ops.len();
    for jump in jumps {
        ops[jump] = Op::Jump(end);
    }
}

/// Reads what is ours; none for anything else.
struct Parser {
    /// What is left of the pattern, backwards.
    rest: Vec<char>,
    /// Whether letters stand for both of their forms.
    fold: bool,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.rest.last().copied()
    }

    /// Takes a text off, if it is next.
    fn take(&mut self, text: &str) -> bool {
        let left = self.rest.len().checked_sub(text.chars().count());
        let Some(left) =
            left.filter(|left| self.rest[*left..].iter().rev().copied().eq(text.chars()))
        else {
            return false;
        };
        self.rest.truncate(left);
        true
    }

    fn ways(&mut self) -> Option<Vec<Vec<Node>>> {
        let mut ways = vec![Vec::new()];
        while let Some(next) = self.peek().filter(|next| *next != ')') {
            if next == '|' {
                self.rest.pop();
                ways.push(Vec::new());
                continue;
            }
            let node = self.repeated()?;
            ways.last_mut()?.push(node);
        }
        Some(ways)
    }

    fn repeated(&mut self) -> Option<Node> {
        let node = self.single()?;
        let Some((least, most)) = self.counts()? else {
            return Some(node);
        };
        let possessive = self.take("+");
        if self.take("?") || matches!(self.peek(), Some('*' | '+' | '{')) {
            return None;
        }
        Some(match (node, least, most) {
            (Node::Step(Op::One(set)), ..) => Node::Step(Op::Run {
                set,
                least,
                most,
                possessive,
            }),
            (
                Node::Group {
                    ways,
                    optional: false,
                },
                0,
                1,
            ) if !possessive => Node::Group {
                ways,
                optional: true,
            },
            _ => return None,
        })
    }

    /// How often something may stand, if that is said; outer none for what is not ours.
    fn counts(&mut self) -> Option<Option<(usize, usize)>> {
        let counts = match self.peek() {
            Some('?') => (0, 1),
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some('{') => {
                self.rest.pop();
                let least = self.number()?;
                let most = match self.take(",") {
                    true if self.peek() == Some('}') => usize::MAX,
                    true => self.number()?,
                    false => least,
                };
                if self.peek() != Some('}') || most < least {
                    return None;
                }
                (least, most)
            }
            _ => return Some(None),
        };
        self.rest.pop();
        Some(Some(counts))
    }

    /// At most four digits.
    fn number(&mut self) -> Option<usize> {
        let mut number = None;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) else {
                break;
            };
            self.rest.pop();
            number = Some(number.unwrap_or(0) * 10 + digit as usize);
        }
        number
    }

    fn single(&mut self) -> Option<Node> {
        for (ahead, is) in [("(?!", false), ("(?=", true)] {
            if self.take(ahead) {
                // Of one character only, which is all that tokenizers ask for.
                let Node::Step(Op::One(set)) = self.single()? else {
                    return None;
                };
                let ahead = Node::Step(Op::Ahead { set, is });
                return self.take(")").then_some(ahead);
            }
        }
        let set = match self.rest.pop()? {
            '(' => return self.group(),
            '$' => return Some(Node::Step(Op::End)),
            '[' => self.class(0)?,
            '.' => {
                let mut set = Set::one('\n');
                set.negate();
                set
            }
            '\\' => self.escape()?,
            '^' | '*' | '+' | '?' | '{' | '}' | ']' => return None,
            literal => self.literal(literal)?,
        };
        Some(Node::Step(Op::One(set)))
    }

    /// One character, or both of its forms.
    fn literal(&self, character: char) -> Option<Set> {
        let mut set = Set::one(character);
        if self.fold {
            if !character.is_ascii() {
                return None;
            }
            set.fold();
        }
        Some(set)
    }

    /// What follows a parenthesis.
    fn group(&mut self) -> Option<Node> {
        let fold = self.fold;
        if self.take("?i:") {
            self.fold = true;
        } else if !self.take("?:") && self.peek() == Some('?') {
            return None;
        }
        self.depth += 1;
        let ways = (self.depth <= MAX_DEPTH).then(|| self.ways())??;
        self.depth -= 1;
        self.fold = fold;
        self.take(")").then_some(Node::Group {
            ways,
            optional: false,
        })
    }

    /// What follows a backslash outside of a class.
    fn escape(&mut self) -> Option<Set> {
        let mut set = Set::default();
        match self.rest.pop()? {
            'S' => {
                set.add_space();
                set.negate();
            }
            other => match self.shorthand(other, &mut set)? {
                Some(character) => set = self.literal(character)?,
                None if self.fold => return None,
                None => {}
            },
        }
        Some(set)
    }

    /// What a character after a backslash stands for: one character, or a class that is added to the set.
    fn shorthand(&mut self, escaped: char, set: &mut Set) -> Option<Option<char>> {
        match escaped {
            's' => set.add_space(),
            'd' => set.add_categories(Category::Digit.bit()),
            'w' => {
                set.add_categories(WORD);
                set.ranges.extend(WORD_RANGES);
            }
            'p' | 'P' => {
                let mask = self.property()?;
                set.add_categories(if escaped == 'p' { mask } else { ALL & !mask });
            }
            'n' => return Some(Some('\n')),
            'r' => return Some(Some('\r')),
            't' => return Some(Some('\t')),
            'f' => return Some(Some('\u{c}')),
            'v' => return Some(Some('\u{b}')),
            'x' => return self.code(2).map(Some),
            'u' => return self.code(4).map(Some),
            // A beginning and an end of a word.
            '<' | '>' => return None,
            other if other.is_ascii_punctuation() => return Some(Some(other)),
            _ => return None,
        }
        Some(None)
    }

    /// A character by its number, in so many digits or in braces.
    fn code(&mut self, digits: usize) -> Option<char> {
        let braces = self.take("{");
        let mut code = None;
        for _ in 0..if braces { 6 } else { digits } {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else {
                break;
            };
            self.rest.pop();
            code = Some(code.unwrap_or(0) << 4 | digit);
        }
        let closed = !braces || self.take("}");
        code.filter(|_| closed).and_then(char::from_u32)
    }

    /// The name of a category, in braces or by its letter.
    fn property(&mut self) -> Option<u16> {
        let name: String = match self.take("{") {
            true => {
                let end = self.rest.iter().rposition(|c| *c == '}')?;
                let name = self.rest.drain(end..).rev().collect::<String>();
                name.strip_suffix('}')?.to_owned()
            }
            false => self.rest.pop()?.into(),
        };
        Some(match name.as_str() {
            "L" => LETTER,
            "Lu" => Category::Upper.bit(),
            "Ll" => Category::Lower.bit(),
            "Lt" => Category::Title.bit(),
            "Lm" => Category::Modifier.bit(),
            "Lo" => Category::OtherLetter.bit(),
            "M" => Category::Mark.bit(),
            "N" => NUMBER,
            "Nd" => Category::Digit.bit(),
            "Nl" => Category::LetterNumber.bit(),
            "No" => Category::OtherNumber.bit(),
            "P" => PUNCTUATION,
            "Pc" => Category::Connector.bit(),
            "S" => Category::Symbol.bit(),
            _ => return None,
        })
    }

    /// What follows a bracket. A class inside of a class adds to it.
    fn class(&mut self, depth: usize) -> Option<Set> {
        let mut set = Set::default();
        let negated = self.take("^");
        if depth > MAX_DEPTH || negated && depth > 0 || self.peek() == Some(']') {
            return None;
        }
        let mut first_of_all = true;
        loop {
            // Differences and intersections of classes.
            if ["&&", "--", "~~"]
                .into_iter()
                .any(|operator| self.take(operator))
            {
                return None;
            }
            let next = self.rest.pop()?;
            let first = match next {
                ']' => break,
                '[' => {
                    let inner = self.class(depth + 1)?;
                    set.join(&inner);
                    None
                }
                '\\' => {
                    let escaped = self.rest.pop()?;
                    let found = self.shorthand(escaped, &mut set)?;
                    if found.is_none() && self.fold {
                        return None;
                    }
                    found
                }
                // Only where it cannot be meant as a range.
                '-' if !first_of_all && self.peek() != Some(']') => return None,
                other => Some(other),
            };
            first_of_all = false;
            let Some(first) = first else { continue };
            let last = self.range_end(first)?;
            if self.fold && !last.is_ascii() {
                return None;
            }
            set.add(first, last);
        }
        if self.fold {
            set.fold();
        }
        if negated {
            set.negate();
        }
        Some(set)
    }

    /// The last character of a range that begins with one; that one, if it is no range.
    fn range_end(&mut self, first: char) -> Option<char> {
        let is_range = self.peek() == Some('-') && self.rest.iter().rev().nth(1) != Some(&']');
        if !is_range {
            return Some(first);
        }
        self.rest.pop();
        let last = match self.rest.pop()? {
            '\\' => {
                let escaped = self.rest.pop()?;
                self.shorthand(escaped, &mut Set::default())??
            }
            '[' | '-' => return None,
            other => other,
        };
        (first <= last).then_some(last)
    }
}
