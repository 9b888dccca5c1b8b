//! Compilation of filter expressions: text → tokens → program, by operator precedence (Dijkstra's shunting yard).

use std::borrow::Cow;

use super::{Filter, MAX_NUMBER_TEXT, Operand, Operator, Step, parse_number};
use crate::base::number::is_c_space;

/// Words and signs of operators; of those that match, the longest counts.
const WORDS: [(&[u8], Operator); 21] = [
    (b"(", Operator::Open),
    (b")", Operator::Close),
    (b"!", Operator::Not),
    (b"not", Operator::Not),
    (b"**", Operator::Power),
    (b"*", Operator::Multiply),
    (b"/", Operator::Divide),
    (b"%", Operator::Remainder),
    (b"+", Operator::Add),
    (b"-", Operator::Subtract),
    (b">", Operator::Greater),
    (b">=", Operator::GreaterOrEqual),
    (b"<", Operator::Less),
    (b"<=", Operator::LessOrEqual),
    (b"==", Operator::Equal),
    (b"!=", Operator::NotEqual),
    (b"in", Operator::In),
    (b"and", Operator::And),
    (b"&&", Operator::And),
    (b"or", Operator::Or),
    (b"||", Operator::Or),
];
const SIGNS: &[u8] = b"+-*%/!()<>=|&";

impl Operator {
    fn precedence(self) -> u8 {
        match self {
            Operator::Open | Operator::Close => 7,
            Operator::Not => 6,
            Operator::Power => 5,
            Operator::Multiply | Operator::Divide | Operator::Remainder => 4,
            Operator::Add | Operator::Subtract => 3,
            Operator::Greater | Operator::GreaterOrEqual | Operator::Less | Operator::LessOrEqual => 2,
            Operator::Equal | Operator::NotEqual | Operator::In => 2,
            Operator::And => 1,
            Operator::Or => 0,
        }
    }

    fn arity(self) -> usize {
        if self == Operator::Not { 1 } else { 2 }
    }
}

enum Token<'t> {
    Operator(Operator),
    Value(Operand<'t>),
    Field(&'t [u8]),
}

/// Reads an expression from its front.
struct Tokens<'t> {
    text: &'t [u8],
    at: usize,
    /// A minus before a digit is its sign: there is nothing yet to subtract from.
    minus_is_sign: bool,
}

/// Whether a byte may be in the name of a field.
fn is_field_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

impl<'t> Tokens<'t> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn skip_space(&mut self) {
        while self.peek(0).is_some_and(is_c_space) {
            self.at += 1;
        }
    }

    /// The bytes from here on that `belongs` accepts.
    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'t [u8] {
        let rest = &self.text[self.at..];
        let len = rest.iter().position(|byte| !belongs(*byte)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    /// The next token; `Ok(None)` at the end. The error is without a place: that is `at`.
    fn next(&mut self) -> Result<Option<Token<'t>>, ()> {
        self.skip_space();
        let Some(first) = self.peek(0) else { return Ok(None) };
        let is_digit = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_digit());
        let token = match first {
            b'0'..=b'9' => Token::Value(self.number()?),
            b'-' if self.minus_is_sign && is_digit(self.peek(1)) => Token::Value(self.number()?),
            b'"' | b'\'' => Token::Value(self.string(first)?),
            // A lone dot at the end is a field without a name, which nothing has.
            b'.' if self.peek(1).is_none_or(is_field_byte) => {
                self.at += 1;
                Token::Field(self.run(is_field_byte))
            }
            b'[' => Token::Value(self.tuple()?),
            _ if first.is_ascii_alphabetic() || SIGNS.contains(&first) => self.word()?,
            _ => return Err(()),
        };
        self.minus_is_sign = matches!(token, Token::Operator(operator) if operator != Operator::Close);
        Ok(Some(token))
    }

    /// An operator, or `null`. Words and signs that follow each other without space are one word, of which an operator is the front.
    fn word(&mut self) -> Result<Token<'t>, ()> {
        let start = self.at;
        let word = self.run(|byte| byte.is_ascii_alphabetic() || SIGNS.contains(&byte));
        if word == b"null" {
            return Ok(Token::Value(Operand::Null));
        }
        let matching = WORDS.iter().filter(|(name, _)| word.starts_with(name));
        let (name, operator) = matching.max_by_key(|(name, _)| name.len()).ok_or(())?;
        self.at = start + name.len();
        Ok(Token::Operator(*operator))
    }

    fn number(&mut self) -> Result<Operand<'t>, ()> {
        let start = self.at;
        self.at += usize::from(self.peek(0) == Some(b'-'));
        self.run(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E'));
        let text = &self.text[start..self.at];
        if text.len() > MAX_NUMBER_TEXT {
            self.at = start + MAX_NUMBER_TEXT;
            return Err(());
        }
        parse_number(text).map(Operand::Number).ok_or(())
    }

    /// Text between quotes, with its backslashes, which only keep a quote from ending it.
    fn string(&mut self, quote: u8) -> Result<Operand<'t>, ()> {
        self.at += 1;
        let start = self.at;
        while let Some(byte) = self.peek(0) {
            if byte == b'\\' && self.peek(1).is_some() {
                self.at += 2;
            } else if byte == quote {
                self.at += 1;
                return Ok(Operand::Text(Cow::Borrowed(&self.text[start..self.at - 1])));
            } else {
                self.at += 1;
            }
        }
        Err(())
    }

    /// `[1, "foo", 42]`: numbers and texts.
    fn tuple(&mut self) -> Result<Operand<'t>, ()> {
        self.at += 1;
        let mut elements = Vec::new();
        loop {
            self.skip_space();
            elements.push(match self.peek(0) {
                Some(b']') => break,
                Some(b'0'..=b'9' | b'-') => self.number()?,
                Some(quote @ (b'"' | b'\'')) => self.string(quote)?,
                _ => return Err(()),
            });
            self.skip_space();
            match self.peek(0) {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(()),
            }
        }
        self.at += 1;
        Ok(Operand::Tuple(elements))
    }
}

/// A program that is being made.
struct Program {
    filter: Filter,
    /// Operators whose operands have not all come.
    waiting: Vec<Operator>,
    /// Values on the stack after the steps so far.
    height: usize,
}

impl Program {
    fn value(&mut self, step: Step) {
        self.filter.steps.push(step);
        self.height += 1;
        self.filter.depth = self.filter.depth.max(self.height);
    }

    fn field(&mut self, name: &[u8]) {
        let fields = &mut self.filter.fields;
        let at = fields.iter().position(|field| **field == *name).unwrap_or_else(|| {
            fields.push(name.into());
            fields.len() - 1
        });
        self.value(Step::Field(at));
    }

    /// The operator's operands are on the stack.
    fn emit(&mut self, operator: Operator) -> Result<(), ()> {
        self.height =
            (self.height + 1).checked_sub(operator.arity()).filter(|height| *height > 0).ok_or(())?;
        self.filter.steps.push(Step::Operator(operator));
        Ok(())
    }

    fn operator(&mut self, operator: Operator) -> Result<(), ()> {
        match operator {
            Operator::Open => {}
            Operator::Close => loop {
                match self.waiting.pop() {
                    Some(Operator::Open) => return Ok(()),
                    Some(inner) => self.emit(inner)?,
                    None => return Err(()),
                }
            },
            _ => {
                while let Some(top) = self.waiting.last().copied().filter(|top| *top != Operator::Open) {
                    let (its, own) = (top.precedence(), operator.precedence());
                    if its < own || operator == Operator::Power && its == own {
                        break;
                    }
                    self.waiting.pop();
                    self.emit(top)?;
                }
            }
        }
        self.waiting.push(operator);
        Ok(())
    }
}

/// See [`Filter::compile`]. A mistake of grammar is at the place where reading stopped, one of structure at the beginning.
pub(super) fn compile(text: &[u8]) -> Result<Filter, usize> {
    const STRUCTURE: usize = 0;
    let text = &text[..memchr::memchr(0, text).unwrap_or(text.len())];
    let mut tokens = Tokens { text, at: 0, minus_is_sign: true };
    // What is no token is found before what tokens don't go together.
    let mut all = Vec::new();
    loop {
        match tokens.next() {
            Ok(Some(token)) => all.push(token),
            Ok(None) => break,
            Err(()) => return Err(tokens.at),
        }
    }
    let filter = Filter { steps: Vec::new(), constants: Vec::new(), fields: Vec::new(), depth: 0 };
    let mut program = Program { filter, waiting: Vec::new(), height: 0 };
    for token in all {
        match token {
            Token::Operator(operator) => program.operator(operator).map_err(|()| STRUCTURE)?,
            Token::Field(name) => program.field(name),
            Token::Value(value) => {
                let constants = &mut program.filter.constants;
                constants.push(owned(value));
                let at = constants.len() - 1;
                program.value(Step::Constant(at));
            }
        }
    }
    while let Some(operator) = program.waiting.pop() {
        if operator == Operator::Open {
            return Err(STRUCTURE);
        }
        program.emit(operator).map_err(|()| STRUCTURE)?;
    }
    if program.height == 1 { Ok(program.filter) } else { Err(STRUCTURE) }
}

fn owned(value: Operand<'_>) -> Operand<'static> {
    match value {
        Operand::Number(number) => Operand::Number(number),
        Operand::Text(text) => Operand::Text(Cow::Owned(text.into_owned())),
        Operand::Tuple(elements) => Operand::Tuple(elements.into_iter().map(owned).collect()),
        // Expressions have no arrays of attributes.
        Operand::Array(_) | Operand::Null => Operand::Null,
    }
}
