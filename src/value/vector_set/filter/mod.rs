//! Filter expressions (`VSIM … FILTER`): compiled once, evaluated on the JSON attribute of each candidate.
//!
//! ```text
//! or, ||         and, &&        > >= < <= == != in        + -        * / %        **        ! not
//! lowest                                                                                    highest
//!
//! value     12.5 | -3 | "text" | 'text' | null | [1, "a"] | .field
//! in        an element of a tuple, or a part of a text
//! ```
//!
//! An expression becomes a program for a stack machine, without recursion. The fields that it names are looked for in one
//! pass over the attribute, which builds no tree (`json`). An element without one of the fields, or with an object as its value,
//! is not accepted, whatever the rest of the expression says.
//!
//! An expression may name up to 1,024 fields; Redis has no such limit.
//!
//! Values of different kinds are compared as numbers: a text that is no number is 0, as are tuples. Operators of one level are
//! taken from left to right, `**` from right to left.
//!
//! Source: https://redis.io/docs/latest/develop/data-types/vector-sets/filtered-search/

mod compile;
mod json;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::base::number;

/// Longest text that is taken for a number, bytes.
const MAX_NUMBER_TEXT: usize = 255;
/// Values up to which a program needs no allocation to run.
const SMALL: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Open,
    Close,
    Not,
    Power,
    Multiply,
    Divide,
    Remainder,
    Add,
    Subtract,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    In,
    And,
    Or,
}

/// What an operator works on.
#[derive(Clone, Debug, PartialEq)]
enum Operand<'a> {
    Number(f64),
    Text(Cow<'a, [u8]>),
    /// As an expression writes it.
    Tuple(Vec<Operand<'a>>),
    /// As an attribute writes it, from its bracket on; checked.
    Array(&'a [u8]),
    Null,
}

/// A step of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Puts this constant on the stack.
    Constant(usize),
    /// Puts the value of this field on the stack.
    Field(usize),
    /// Takes its operands off the stack, and puts the result there.
    Operator(Operator),
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Filter {
    steps: Vec<Step>,
    constants: Vec<Operand<'static>>,
    /// Names of fields, each once.
    fields: Vec<Box<[u8]>>,
    /// The most values that are on the stack.
    depth: usize,
}

/// A value on the stack.
#[derive(Clone, Copy)]
enum Slot<'s> {
    Number(f64),
    Operand(&'s Operand<'s>),
}

impl Filter {
    /// Compiles an expression, which ends at a zero byte; the error is where it is wrong.
    pub fn compile(text: &[u8]) -> Result<Filter, usize> {
        compile::compile(text)
    }

    /// Bytes held on the heap, about.
    pub fn memory_usage(&self) -> usize {
        self.steps.capacity() * size_of::<Step>()
            + self.constants.iter().map(|constant| constant.memory_usage()).sum::<usize>()
            + self.fields.iter().map(|name| name.len() + size_of::<Box<[u8]>>()).sum::<usize>()
    }

    /// About how long it takes to evaluate it for so many elements, whose attributes have so many bytes together, ns.
    pub fn nanos(&self, elements: usize, bytes: usize) -> usize {
        let tuple =
            |operand: &Operand<'_>| if let Operand::Tuple(elements) = operand { elements.len() } else { 0 };
        let compared = self.steps.len() + self.constants.iter().map(tuple).sum::<usize>();
        let ins = self.steps.iter().filter(|step| **step == Step::Operator(Operator::In)).count();
        let element = 150usize.saturating_add(5 * compared);
        let byte = 1 + self.fields.len() / 16 + 3 * ins;
        elements.saturating_mul(element).saturating_add(bytes.saturating_mul(byte))
    }

    /// Whether the expression holds for an element with this attribute.
    pub fn accepts(&self, attribute: &[u8]) -> bool {
        let mut small_fields = [const { None }; SMALL];
        let mut large_fields;
        let fields = if self.fields.len() <= SMALL {
            &mut small_fields[..self.fields.len()]
        } else {
            large_fields = vec![None; self.fields.len()];
            &mut large_fields[..]
        };
        if !json::find_fields(attribute, &self.fields, fields) {
            return false;
        }
        let mut small_stack = [Slot::Number(0.0); SMALL];
        let mut large_stack;
        let stack = if self.depth <= SMALL {
            &mut small_stack[..]
        } else {
            large_stack = vec![Slot::Number(0.0); self.depth];
            &mut large_stack[..]
        };
        self.run(fields, stack)
    }

    /// Runs the program on the fields' values, all of which are there.
    fn run<'s>(&'s self, fields: &'s [Option<Operand<'s>>], stack: &mut [Slot<'s>]) -> bool {
        let mut height = 0;
        for step in &self.steps {
            let value = match *step {
                Step::Constant(at) => Slot::Operand(&self.constants[at]),
                Step::Field(at) => match &fields[at] {
                    Some(value) => Slot::Operand(value),
                    None => return false,
                },
                Step::Operator(Operator::Not) => {
                    height -= 1;
                    Slot::Number(truth(!stack[height].is_true()))
                }
                Step::Operator(operator) => {
                    height -= 2;
                    Slot::Number(apply(operator, stack[height], stack[height + 1]))
                }
            };
            stack[height] = value;
            height += 1;
        }
        stack[0].is_true()
    }
}

fn truth(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// The result of an operator with two operands.
fn apply(operator: Operator, a: Slot<'_>, b: Slot<'_>) -> f64 {
    match operator {
        Operator::Power => a.number().powf(b.number()),
        Operator::Multiply => a.number() * b.number(),
        Operator::Divide => a.number() / b.number(),
        Operator::Remainder => a.number() % b.number(),
        Operator::Add => a.number() + b.number(),
        Operator::Subtract => a.number() - b.number(),
        Operator::Greater => truth(a.number() > b.number()),
        Operator::GreaterOrEqual => truth(a.number() >= b.number()),
        Operator::Less => truth(a.number() < b.number()),
        Operator::LessOrEqual => truth(a.number() <= b.number()),
        Operator::Equal => truth(a.equals(b)),
        Operator::NotEqual => truth(!a.equals(b)),
        Operator::In => truth(a.is_in(b)),
        Operator::And => truth(a.is_true() && b.is_true()),
        Operator::Or => truth(a.is_true() || b.is_true()),
        // These are no steps of a program.
        Operator::Open | Operator::Close | Operator::Not => 0.0,
    }
}

impl<'s> Slot<'s> {
    fn number(self) -> f64 {
        match self {
            Slot::Number(number) => number,
            Slot::Operand(Operand::Number(number)) => *number,
            Slot::Operand(Operand::Text(text)) => number_of(text),
            Slot::Operand(Operand::Tuple(_) | Operand::Array(_) | Operand::Null) => 0.0,
        }
    }

    fn is_true(self) -> bool {
        match self {
            Slot::Number(number) => number != 0.0,
            Slot::Operand(Operand::Number(number)) => *number != 0.0,
            Slot::Operand(Operand::Text(text)) => !text.is_empty(),
            Slot::Operand(Operand::Tuple(_) | Operand::Array(_)) => true,
            Slot::Operand(Operand::Null) => false,
        }
    }

    fn text(self) -> Option<&'s [u8]> {
        if let Slot::Operand(Operand::Text(text)) = self { Some(text) } else { None }
    }

    fn is_null(self) -> bool {
        matches!(self, Slot::Operand(Operand::Null))
    }

    fn equals(self, other: Slot<'_>) -> bool {
        match (self.text(), other.text()) {
            (Some(one), Some(other)) => one == other,
            _ if self.is_null() || other.is_null() => self.is_null() && other.is_null(),
            _ => self.number() == other.number(),
        }
    }

    fn is_in(self, other: Slot<'_>) -> bool {
        match other {
            Slot::Operand(Operand::Tuple(elements)) => {
                elements.iter().any(|element| self.equals(Slot::Operand(element)))
            }
            Slot::Operand(Operand::Array(raw)) => {
                json::elements(raw).any(|element| self.equals(Slot::Operand(&element)))
            }
            Slot::Operand(Operand::Text(whole)) => {
                self.text().is_some_and(|part| memchr::memmem::find(whole, part).is_some())
            }
            Slot::Number(_) | Slot::Operand(Operand::Number(_) | Operand::Null) => false,
        }
    }
}

impl Operand<'_> {
    fn memory_usage(&self) -> usize {
        size_of::<Self>()
            + match self {
                Operand::Text(text) => text.len(),
                Operand::Tuple(elements) => elements.iter().map(|element| element.memory_usage()).sum(),
                Operand::Number(_) | Operand::Array(_) | Operand::Null => 0,
            }
    }
}

/// The number that a text says, as C's `strtod` reads it; 0 if it is none as a whole.
fn number_of(text: &[u8]) -> f64 {
    if text.len() > MAX_NUMBER_TEXT {
        return 0.0;
    }
    let text = &text[..memchr::memchr(0, text).unwrap_or(text.len())];
    let start = text.iter().position(|byte| !number::is_c_space(*byte)).unwrap_or(text.len());
    let text = &text[start..];
    if text.eq_ignore_ascii_case(b"nan")
        || text.get(1..).is_some_and(|rest| rest.eq_ignore_ascii_case(b"nan"))
    {
        return f64::NAN;
    }
    number::parse_f64_bound(text).or_else(|| number::parse_f64(text)).unwrap_or(0.0)
}

/// A number of digits, signs, dots and exponents, as both grammars have it.
fn parse_number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Compiles `data` up to its first line end as an expression, and evaluates it on the rest, whatever both are. Nothing here may panic.
pub fn fuzz_filter(data: &[u8]) {
    let at = memchr::memchr(b'\n', data).unwrap_or(data.len());
    let (text, attribute) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    match Filter::compile(text) {
        Ok(filter) => drop(filter.accepts(attribute)),
        Err(offset) => assert!(offset <= text.len()),
    }
}
