//! Error replies: a code, a space, a text.

use std::borrow::Cow;

/// An error reply without the leading `-` and the line end, for example `ERR syntax error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError(Cow<'static, [u8]>);

impl CommandError {
    /// What an error text quotes of a word: up to `most` bytes, and nothing behind a zero.
    pub fn quotable(word: &[u8], most: usize) -> &[u8] {
        let word = &word[..word.len().min(most)];
        &word[..memchr::memchr(0, word).unwrap_or(word.len())]
    }

    pub const SYNTAX: Self = Self::text("ERR syntax error");
    pub const WRONG_TYPE: Self =
        Self::text("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub const NOT_INTEGER: Self = Self::text("ERR value is not an integer or out of range");
    pub const NOT_FLOAT: Self = Self::text("ERR value is not a valid float");
    pub const NO_SUCH_KEY: Self = Self::text("ERR no such key");
    pub const OUT_OF_RANGE: Self = Self::text("ERR index out of range");
    pub const SAME_OBJECT: Self = Self::text("ERR source and destination objects are the same");
    pub const OVERFLOW: Self = Self::text("ERR increment or decrement would overflow");
    pub const DB_INDEX: Self = Self::text("ERR DB index is out of range");
    pub const TOO_LONG: Self = Self::text("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    pub const NO_REPLICAS: Self = Self::text("NOREPLICAS Not enough good replicas to write.");
    pub const OOM: Self = Self::text("OOM command not allowed when used memory > 'maxmemory'.");
    pub const KEYSPACE_FULL: Self = Self::text("OOM the keyspace has reached its maximum size");
    pub const READ_ONLY: Self = Self::text("READONLY You can't write against a read only replica.");
    pub const MASTER_DOWN: Self =
        Self::text("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.");
    pub const LOADING: Self = Self::text("LOADING Redis is loading the dataset in memory");
    /// A collection whose indexes end (`Value::is_full`, a group's consumers).
    pub const VALUE_FULL: Self = Self::text("ERR the value has reached its maximum size");

    /// A fixed text with its code.
    pub const fn text(text: &'static str) -> Self {
        CommandError(Cow::Borrowed(text.as_bytes()))
    }

    /// A text made for the occasion; bytes that would end the line become spaces, or go if they are the last.
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        let mut bytes = text.into();
        while matches!(bytes.last(), Some(b'\r' | b'\n')) {
            bytes.pop();
        }
        for byte in &mut bytes {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        CommandError(Cow::Owned(bytes))
    }

    /// `ERR invalid expire time in 'set' command`.
    pub fn invalid_expire(command: &str) -> Self {
        Self::new(format!("ERR invalid expire time in '{command}' command"))
    }

    /// `ERR wrong number of arguments for 'hset' command`.
    pub fn wrong_arity(command: &str) -> Self {
        Self::new(format!("ERR wrong number of arguments for '{command}' command"))
    }

    /// `ERR unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG HELP.` Both words are the client's.
    pub fn wrong_subcommand(container: &[u8], given: &[u8]) -> Self {
        let parts = [
            b"ERR unknown subcommand or wrong number of arguments for '".as_slice(),
            Self::quotable(given, 128),
            b"'. Try ",
            &container.to_ascii_uppercase(),
            b" HELP.",
        ];
        Self::new(parts.concat())
    }

    /// The bytes between `-` and the line end.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The code: the first word.
    pub fn code(&self) -> &[u8] {
        self.0.split(|b| *b == b' ').next().unwrap_or(b"ERR")
    }
}

impl std::fmt::Display for CommandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}
