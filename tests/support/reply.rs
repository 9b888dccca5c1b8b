//! Replies as values, and a client that sends requests in a row and reads them.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// The words of a command.
pub type Words = Vec<Vec<u8>>;

/// A reply, kept as it came: every type of RESP2 and RESP3 stays what it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Verbatim(Vec<u8>),
    /// `$-1`, `*-1` or `_`.
    Null(&'static str),
    Double(String),
    Bool(bool),
    BigNumber(String),
    Array(Vec<Reply>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
}

impl Reply {
    /// The bytes of a string.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Reply::Bulk(bytes) | Reply::Verbatim(bytes) => Some(bytes),
            Reply::Simple(text) | Reply::Error(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The elements of an array, a set or a push message.
    pub fn elements(&self) -> Option<&[Reply]> {
        match self {
            Reply::Array(elements) | Reply::Set(elements) | Reply::Push(elements) => Some(elements),
            _ => None,
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let indent = "  ".repeat(depth);
        let list = |f: &mut fmt::Formatter<'_>, open: &str, elements: &[Reply]| {
            write!(f, "{indent}{open}{}", elements.len())?;
            elements.iter().try_for_each(|element| {
                writeln!(f)?;
                element.write(f, depth + 1)
            })
        };
        match self {
            Reply::Simple(text) => write!(f, "{indent}+{text}"),
            Reply::Error(text) => write!(f, "{indent}-{text}"),
            Reply::Int(number) => write!(f, "{indent}:{number}"),
            Reply::Bulk(bytes) => write!(f, "{indent}{}", quoted(bytes)),
            Reply::Verbatim(bytes) => write!(f, "{indent}={}", quoted(bytes)),
            Reply::Null(kind) => write!(f, "{indent}nil {kind}"),
            Reply::Double(text) => write!(f, "{indent},{text}"),
            Reply::Bool(value) => write!(f, "{indent}#{value}"),
            Reply::BigNumber(text) => write!(f, "{indent}({text}"),
            Reply::Array(elements) => list(f, "*", elements),
            Reply::Set(elements) => list(f, "~", elements),
            Reply::Push(elements) => list(f, ">", elements),
            Reply::Map(pairs) => {
                write!(f, "{indent}%{}", pairs.len())?;
                pairs.iter().try_for_each(|(key, value)| {
                    writeln!(f)?;
                    key.write(f, depth + 1)?;
                    writeln!(f)?;
                    value.write(f, depth + 2)
                })
            }
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

/// Bytes as redis-cli takes them.
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend(['\\', byte as char]),
            b' '..=b'~' => out.push(byte as char),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out + "\""
}

/// Splits a line at its spaces.
pub fn words(text: &str) -> Words {
    text.split_whitespace().map(|word| word.as_bytes().to_vec()).collect()
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(port: u16) -> Client {
        Client::try_connect(port).expect("connected")
    }

    pub fn try_connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Client { stream, reader })
    }

    /// Sends commands in one piece.
    pub fn send<'a>(&mut self, commands: impl IntoIterator<Item = &'a Words>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for words in commands {
            bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
            for word in words {
                bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                bytes.extend_from_slice(word);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        self.stream.write_all(&bytes)
    }

    /// Sends a line of words between spaces and reads its reply.
    pub fn ask(&mut self, text: &str) -> io::Result<Reply> {
        self.send([&words(text)])?;
        self.read()
    }

    fn header(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        match line.strip_suffix(b"\r\n") {
            Some(line) if !line.is_empty() => Ok(String::from_utf8_lossy(line).into_owned()),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed")),
        }
    }

    fn blob(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length + 2];
        self.reader.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(bytes)
    }

    fn many(&mut self, count: i64) -> io::Result<Vec<Reply>> {
        (0..count).map(|_| self.read()).collect()
    }

    /// Reads one reply.
    pub fn read(&mut self) -> io::Result<Reply> {
        let line = self.header()?;
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, format!("not a reply: {line}"));
        let (kind, rest) = line.split_at_checked(1).ok_or_else(invalid)?;
        let number = || rest.parse::<i64>().map_err(|_| invalid());
        Ok(match kind {
            "+" => Reply::Simple(rest.into()),
            "-" => Reply::Error(rest.into()),
            ":" => Reply::Int(number()?),
            "," => Reply::Double(rest.into()),
            "(" => Reply::BigNumber(rest.into()),
            "#" => Reply::Bool(rest == "t"),
            "_" => Reply::Null("_"),
            "$" if rest == "-1" => Reply::Null("$"),
            "*" if rest == "-1" => Reply::Null("*"),
            "$" => Reply::Bulk(self.blob(number()? as usize)?),
            "=" => Reply::Verbatim(self.blob(number()? as usize)?),
            "*" => Reply::Array(self.many(number()?)?),
            "~" => Reply::Set(self.many(number()?)?),
            ">" => Reply::Push(self.many(number()?)?),
            "%" => {
                let pairs = (0..number()?).map(|_| Ok((self.read()?, self.read()?)));
                Reply::Map(pairs.collect::<io::Result<_>>()?)
            }
            _ => return Err(invalid()),
        })
    }
}
