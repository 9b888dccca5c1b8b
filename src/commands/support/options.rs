//! The option reader: goes through the arguments after a command's fixed ones, word by word.
//!
//! A loop asks for the next word, compares it with `args::is`, and takes the values of the option that it is:
//!
//! ```text
//! while let Some(word) = options.next() {
//!     if is(word, "COUNT") { count = options.integer()?; } else { return Err(CommandError::SYNTAX); }
//! }
//! ```

use crate::commands::support::args;
use crate::resp::{Args, CommandError};

/// The options of one request.
pub struct OptionReader<'a> {
    args: Args<'a>,
    /// The index of the next argument.
    at: usize,
}

impl<'a> OptionReader<'a> {
    /// Reads the arguments from index `first` on; there may be none.
    #[inline]
    pub fn new(args: Args<'a>, first: usize) -> Self {
        OptionReader { args, at: first }
    }

    /// The index of the next argument.
    #[inline]
    pub fn index(&self) -> usize {
        self.at
    }

    /// How many arguments are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.args.len().saturating_sub(self.at)
    }

    /// Goes on behind the next `count` arguments.
    #[inline]
    pub fn skip_words(&mut self, count: usize) {
        self.at += count;
    }

    /// The next argument as the value of an option; a syntax error if there is none.
    #[inline]
    pub fn value(&mut self) -> Result<&'a [u8], CommandError> {
        self.next().ok_or(CommandError::SYNTAX)
    }

    /// The next argument as a signed 64-bit integer.
    #[inline]
    pub fn integer(&mut self) -> Result<i64, CommandError> {
        args::integer(self.value()?)
    }

    /// The next argument as an integer of at least `least`; another argument is the error of text `error`.
    pub fn at_least(&mut self, least: i64, error: &'static str) -> Result<usize, CommandError> {
        args::at_least(self.value()?, least, error)
    }
}

impl<'a> Iterator for OptionReader<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let word = self.args.get(self.at)?;
        self.at += 1;
        Some(word)
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
