//! Argument syntax of commands (`COMMAND DOCS`): parses an arguments' line of a specification into the tree that is replied.
//!
//! ```text
//! line     = item { ' ' item }
//! item     = ( value | token | oneof | block ) suffix… | '[' item ']'        brackets: optional
//! value    = [ word '=' ] name [ '{' text '}' ] ':' type [ '@' index ]
//!            type: key string integer double pattern unix-time; {text}: shown instead of the name;
//!            @index: its key specification, 0 for a key without it
//! token    = word [ '!' name ]                          a pure token, named by the word in lower case
//! oneof    = [ word '=' ] '<' name ': ' item { '|' item } '>'
//! block    = [ word '=' ] '(' name ': ' line ')'
//! suffix   = '...' (may repeat) | '*...' (repeats with its token) | '~' version (since)
//!          | '^' version (deprecated since)
//! word     = letters, digits, '-' | "'" any "'"         the token, `word=` the one that introduces an item
//! name     = letters, digits, '-', '_'
//!
//! key:key value:string [<condition: NX|XX|IFEQ=comparison-value:string~8.1.0>] [GET~6.2.0]
//!     [<expiration: EX=seconds:integer|PX=milliseconds:integer|KEEPTTL~6.0.0>]
//! ```
//!
//! The text is part of the binary and parsed by each COMMAND DOCS. A test parses that of every
//! command, so a client never meets an error in it.

use std::borrow::Cow;

/// One argument of a command, or a group of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    pub name: Cow<'static, str>,
    pub kind: Kind,
    /// What to show instead of the name.
    pub display: Option<&'static str>,
    /// The word that stands before the value, or for itself.
    pub token: Option<&'static str>,
    /// Index of the key specification that covers it.
    pub key_spec: Option<i32>,
    pub since: Option<&'static str>,
    pub deprecated_since: Option<&'static str>,
    pub optional: bool,
    pub multiple: bool,
    /// Repeats together with its token.
    pub multiple_token: bool,
    /// The parts of a block, the choices of a oneof.
    pub arguments: Vec<Argument>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl Kind {
    /// As COMMAND DOCS prints it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Integer => "integer",
            Kind::Double => "double",
            Kind::Key => "key",
            Kind::Pattern => "pattern",
            Kind::UnixTime => "unix-time",
            Kind::PureToken => "pure-token",
            Kind::OneOf => "oneof",
            Kind::Block => "block",
        }
    }

    fn of_value(name: &str) -> Option<Kind> {
        Some(match name {
            "string" => Kind::String,
            "integer" => Kind::Integer,
            "double" => Kind::Double,
            "key" => Kind::Key,
            "pattern" => Kind::Pattern,
            "unix-time" => Kind::UnixTime,
            _ => return None,
        })
    }

    /// Whether it consists of other arguments.
    pub fn is_group(self) -> bool {
        matches!(self, Kind::OneOf | Kind::Block)
    }
}

impl Argument {
    fn new(name: impl Into<Cow<'static, str>>, kind: Kind) -> Self {
        Argument {
            name: name.into(),
            kind,
            display: None,
            token: None,
            key_spec: None,
            since: None,
            deprecated_since: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            arguments: Vec::new(),
        }
    }

    /// The names of its flags in the order of COMMAND DOCS.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> {
        let flags = [
            (self.optional, "optional"),
            (self.multiple, "multiple"),
            (self.multiple_token, "multiple_token"),
        ];
        flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name)
    }
}

/// A text that does not follow the notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Byte offset in the text.
    pub at: usize,
    pub expected: &'static str,
}

/// Parses a command's whole line.
pub fn parse(text: &'static str) -> Result<Vec<Argument>, SyntaxError> {
    let mut parser = Parser { text, at: 0 };
    let mut arguments = Vec::new();
    while parser.at < text.len() {
        if !arguments.is_empty() {
            parser.expect(" ", "a space")?;
        }
        arguments.push(parser.item()?);
    }
    Ok(arguments)
}

struct Parser {
    text: &'static str,
    at: usize,
}

impl Parser {
    fn rest(&self) -> &'static str {
        &self.text[self.at..]
    }

    fn error<T>(&self, expected: &'static str) -> Result<T, SyntaxError> {
        Err(SyntaxError { at: self.at, expected })
    }

    fn accept(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn expect(&mut self, text: &str, what: &'static str) -> Result<(), SyntaxError> {
        if self.accept(text) { Ok(()) } else { self.error(what) }
    }

    /// The longest run of bytes that `wanted` likes; never empty.
    fn run(&mut self, what: &'static str, wanted: fn(u8) -> bool) -> Result<&'static str, SyntaxError> {
        let rest = self.rest();
        let len = rest.bytes().position(|byte| !wanted(byte)).unwrap_or(rest.len());
        if len == 0 {
            return self.error(what);
        }
        self.at += len;
        Ok(&rest[..len])
    }

    fn name(&mut self) -> Result<&'static str, SyntaxError> {
        self.run("a name", |byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    }

    /// Everything up to `end`, which is consumed.
    fn until(&mut self, end: char) -> Result<&'static str, SyntaxError> {
        let rest = self.rest();
        match rest.find(end) {
            Some(len) => {
                self.at += len + end.len_utf8();
                Ok(&rest[..len])
            }
            None => self.error("the closing mark"),
        }
    }

    fn item(&mut self) -> Result<Argument, SyntaxError> {
        if self.accept("[") {
            let mut argument = self.item()?;
            argument.optional = true;
            self.expect("]", "]")?;
            return Ok(argument);
        }
        let mut argument = self.bare_item()?;
        self.suffixes(&mut argument)?;
        Ok(argument)
    }

    fn bare_item(&mut self) -> Result<Argument, SyntaxError> {
        if self.rest().starts_with(['<', '(']) {
            return self.group();
        }
        let quoted = self.accept("'");
        let word = if quoted { self.until('\'')? } else { self.name()? };
        if self.accept("=") {
            let mut argument = if self.rest().starts_with(['<', '(']) {
                self.group()?
            } else {
                let name = self.name()?;
                self.value(name)?
            };
            argument.token = Some(word);
            return Ok(argument);
        }
        if !quoted && self.rest().starts_with(['{', ':']) {
            return self.value(word);
        }
        let mut argument = if self.accept("!") {
            Argument::new(self.name()?, Kind::PureToken)
        } else {
            Argument::new(word.to_ascii_lowercase(), Kind::PureToken)
        };
        argument.token = Some(word);
        Ok(argument)
    }

    fn value(&mut self, name: &'static str) -> Result<Argument, SyntaxError> {
        let display = if self.accept("{") { Some(self.until('}')?) } else { None };
        self.expect(":", "a type")?;
        let Some(kind) = Kind::of_value(self.name()?) else {
            return self.error("a known type");
        };
        let mut argument = Argument::new(name, kind);
        argument.display = display;
        if self.accept("@") {
            let digits = self.run("an index", |byte| byte.is_ascii_digit())?;
            argument.key_spec = digits.parse().ok();
        } else if kind == Kind::Key {
            argument.key_spec = Some(0);
        }
        Ok(argument)
    }

    fn group(&mut self) -> Result<Argument, SyntaxError> {
        let (kind, between, end) =
            if self.accept("<") { (Kind::OneOf, "|", ">") } else { (Kind::Block, " ", ")") };
        if kind == Kind::Block {
            self.expect("(", "a group")?;
        }
        let mut argument = Argument::new(self.name()?, kind);
        self.expect(": ", "a colon and a space")?;
        loop {
            argument.arguments.push(self.item()?);
            if self.accept(end) {
                return Ok(argument);
            }
            self.expect(between, "the next of the group or its end")?;
        }
    }

    fn suffixes(&mut self, argument: &mut Argument) -> Result<(), SyntaxError> {
        loop {
            if self.accept("*...") {
                argument.multiple = true;
                argument.multiple_token = true;
            } else if self.accept("...") {
                argument.multiple = true;
            } else if self.accept("~") {
                argument.since = Some(self.version()?);
            } else if self.accept("^") {
                argument.deprecated_since = Some(self.version()?);
            } else {
                return Ok(());
            }
        }
    }

    fn version(&mut self) -> Result<&'static str, SyntaxError> {
        self.run("a version", |byte| byte.is_ascii_digit() || byte == b'.')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &'static str) -> Argument {
        let mut arguments = parse(text).unwrap();
        assert_eq!(arguments.len(), 1);
        arguments.remove(0)
    }

    #[test]
    fn values_and_tokens() {
        assert_eq!(parse(""), Ok(vec![]));
        let key = one("key:key");
        assert_eq!((key.kind, key.key_spec, key.token), (Kind::Key, Some(0), None));
        let key = one("[STORE=storekey{key}:key@1]");
        assert_eq!((key.display, key.token, key.key_spec), (Some("key"), Some("STORE"), Some(1)));
        assert!(key.optional && key.name == "storekey");
        let token = one("GET~6.2.0");
        assert_eq!((token.kind, token.since, &*token.name), (Kind::PureToken, Some("6.2.0"), "get"));
        let token = one("'~'!approximately");
        assert_eq!((token.token, &*token.name), (Some("~"), "approximately"));
        let old = one("old-format{ip:port}:string^2.8.12");
        assert_eq!((old.display, old.deprecated_since), (Some("ip:port"), Some("2.8.12")));
    }

    #[test]
    fn groups_and_repetition() {
        let data = one("(data: [<condition: NX|XX>] field:string value:string)...~4.0.0");
        assert_eq!((data.kind, data.multiple, data.since), (Kind::Block, true, Some("4.0.0")));
        assert_eq!(data.arguments.len(), 3);
        assert_eq!(data.arguments[0].kind, Kind::OneOf);
        assert_eq!(data.arguments[0].arguments[1].token, Some("XX"));
        let get = one("[GET=get-pattern{pattern}:pattern@1*...]");
        assert!(get.multiple && get.multiple_token && get.optional);
        assert_eq!(get.flags().collect::<Vec<_>>(), ["optional", "multiple", "multiple_token"]);
        let limit = one("LIMIT=(limit: offset:integer count:integer)");
        assert_eq!((limit.token, limit.kind), (Some("LIMIT"), Kind::Block));
    }

    #[test]
    fn what_breaks_the_rules_is_told() {
        for text in ["key:", "key:colour", "[key:key", "<a: b", "(a b)", "a  b", "'x", "X~", "k{:key", "]"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
