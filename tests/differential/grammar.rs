//! The grammar of commands: lines of a small language, and sentences made from them.
//!
//! ```text
//! key           a generator of `atoms.rs`
//! SET           any other word stands for itself; '…' keeps brackets and stars
//! [ … ]         perhaps; neighbours in brackets may change places
//! ( … | … )     one of them
//! { … }         once to three times
//! {* … }        once to a dozen times
//! #{ … }        once to three times, behind its count (which is now and then wrong)
//! ; …           another command that belongs to it
//! ```

use redloop::base::rng::Rng;

use crate::atoms::{self, Context};
use crate::support::reply::Words;

/// A piece of a sentence.
#[derive(Clone, Debug)]
enum Node {
    Word(String),
    Atom(String),
    Perhaps(Vec<Node>),
    OneOf(Vec<Vec<Node>>),
    Many { most: u64, of: Vec<Node> },
    Counted(Vec<Node>),
}

/// A line of a grammar: commands that are sent together.
#[derive(Clone, Debug)]
pub struct Rule {
    commands: Vec<Vec<Node>>,
}

/// Commands that are sent together; shrinking keeps or drops them as one.
pub type Case = Vec<Words>;

impl Rule {
    pub fn parse(line: &str) -> Rule {
        let tokens = tokens(line);
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let commands = tokens.split(|token| *token == ";").map(|tokens| {
            let mut rest = tokens;
            let nodes = parse_nodes(&mut rest);
            assert!(rest.is_empty() && !nodes.is_empty(), "unbalanced: {line}");
            nodes
        });
        Rule { commands: commands.collect() }
    }

    /// A sentence.
    pub fn generate(&self, rng: &mut Rng, context: &Context) -> Case {
        let one = |nodes: &Vec<Node>, rng: &mut Rng| {
            let mut words = Words::new();
            emit(nodes, rng, context, &mut words);
            words
        };
        self.commands.iter().map(|nodes| one(nodes, rng)).collect()
    }
}

/// The words and brackets of a line; a quoted word begins with a quote.
fn tokens(line: &str) -> Vec<String> {
    let mut tokens = vec![String::new()];
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        let alone = match (c, next) {
            ('\'', _) => format!("'{}", chars.by_ref().take_while(|c| *c != '\'').collect::<String>()),
            ('#', Some('{')) | ('{', Some('*')) => format!("{c}{}", chars.next().expect("peeked")),
            ('[' | ']' | '(' | ')' | '{' | '}' | '|' | ';', _) => c.to_string(),
            (c, _) if c.is_whitespace() => String::new(),
            (c, _) => {
                tokens.last_mut().expect("one").push(c);
                continue;
            }
        };
        tokens.extend([alone, String::new()]);
    }
    tokens.retain(|token| !token.is_empty());
    tokens
}

fn parse_nodes(tokens: &mut &[&str]) -> Vec<Node> {
    let mut nodes = Vec::new();
    while let Some((&token, rest)) = tokens.split_first() {
        if ["]", ")", "}", "|"].contains(&token) {
            return nodes;
        }
        *tokens = rest;
        nodes.push(match token {
            "[" => Node::Perhaps(alternatives(tokens, "]")),
            "(" => one_of(tokens, ")"),
            "{" => Node::Many { most: 3, of: alternatives(tokens, "}") },
            "{*" => Node::Many { most: 12, of: alternatives(tokens, "}") },
            "#{" => Node::Counted(alternatives(tokens, "}")),
            _ => match token.strip_prefix('\'') {
                Some(quoted) => Node::Word(quoted.into()),
                None if atoms::is_known(token) => Node::Atom(token.into()),
                None => Node::Word(token.into()),
            },
        });
    }
    nodes
}

fn one_of(tokens: &mut &[&str], close: &str) -> Node {
    let mut choices = Vec::new();
    loop {
        choices.push(parse_nodes(tokens));
        let (&token, rest) = tokens.split_first().unwrap_or_else(|| panic!("{close} is missing"));
        *tokens = rest;
        if token == close {
            return Node::OneOf(choices);
        }
        assert_eq!(token, "|", "instead of {close}");
    }
}

fn alternatives(tokens: &mut &[&str], close: &str) -> Vec<Node> {
    match one_of(tokens, close) {
        Node::OneOf(mut choices) if choices.len() == 1 => choices.remove(0),
        node => vec![node],
    }
}

fn emit(nodes: &[Node], rng: &mut Rng, context: &Context, words: &mut Words) {
    let is_option = |node: &Node| matches!(node, Node::Perhaps(_));
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    // A few times: an option may go all the way.
    for at in (1..order.len()).chain(1..order.len()).filter(|_| rng.below(3) == 0) {
        if is_option(&nodes[order[at - 1]]) && is_option(&nodes[order[at]]) {
            order.swap(at - 1, at);
        }
    }
    for at in order {
        emit_node(&nodes[at], rng, context, words);
    }
}

fn emit_node(node: &Node, rng: &mut Rng, context: &Context, words: &mut Words) {
    match node {
        Node::Word(word) => {
            let lower = rng.below(12) == 0 && !words.is_empty();
            words.push(if lower { word.to_ascii_lowercase() } else { word.clone() }.into_bytes());
        }
        Node::Atom(name) => atoms::generate(name, rng, context, words),
        Node::Perhaps(of) => {
            if rng.below(3) == 0 {
                emit(of, rng, context, words);
            }
        }
        Node::OneOf(choices) => {
            emit(&choices[rng.below(choices.len() as u64) as usize], rng, context, words);
        }
        Node::Many { most, of } => {
            for _ in 0..times(rng, *most) {
                emit(of, rng, context, words);
            }
        }
        Node::Counted(of) => {
            let count = times(rng, 3);
            let said = match rng.below(40) {
                0 => "0".into(),
                1 => (count + 1).to_string(),
                2 => "-1".into(),
                3 => "x".into(),
                _ => count.to_string(),
            };
            words.push(said.into_bytes());
            for _ in 0..count {
                emit(of, rng, context, words);
            }
        }
    }
}

/// Once or more often, small numbers first.
fn times(rng: &mut Rng, most: u64) -> u64 {
    if most > 3 { 1 + rng.below(most) } else { 1 + rng.below(3) * rng.below(2) }
}

/// Words that stand in the place of others: nothing a deadline could be made of that comes soon.
const JUNK: &[&[u8]] = &[
    b"",
    b"junk",
    b"0",
    b"-1",
    b"1.5",
    b"nan",
    b"inf",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"99999999999999999999999999",
    b"18446744073709551615",
    b"1e400",
    b"(1",
    b"[a",
    b"-",
    b"+",
    b"$",
    b"*",
    b"\x00\xff\r\n",
    b"NX",
    b"COUNT",
    b"LIMIT",
    b"GET",
    b"STORE",
    b"STREAMS",
    b"FIELDS",
    b"MATCH",
    b"WITHSCORES",
    b"REPLACE",
];

/// Makes a command strange: a word too few or too many, or another one.
/// Commands that may wait get no number as a timeout.
pub fn mutate(command: &mut Words, rng: &mut Rng) {
    let waits = command.first().is_some_and(|name| name.starts_with(b"B") || name.starts_with(b"XREAD"));
    let junk: &[&[u8]] = if waits { &[b"", b"junk", b"-1", b"nan"] } else { JUNK };
    let mut junk = junk[rng.below(junk.len() as u64) as usize].to_vec();
    if junk == b"*" && command[0] == b"XADD" {
        // The identifier can't be known.
        junk = b"-".to_vec();
    }
    if command.len() < 2 {
        return command.push(junk);
    }
    let at = 1 + rng.below(command.len() as u64 - 1) as usize;
    match rng.below(6) {
        0 => drop(command.remove(at)),
        1 => command.truncate(at),
        2 if !waits => command.insert(at, command[at].clone()),
        3 => command.push(junk),
        4 if !waits => command.insert(at, junk),
        _ => command[at] = junk,
    }
}
