//! The options of SET, GETEX, MSETEX and DELEX: conditions, GET, and the time to live.
//!
//! Options that exclude each other are a syntax error; the same one twice is not, and the last one counts. NX or XX behind a
//! comparison is taken, and both must hold; before it, it is an error, as in Redis.

use xxhash_rust::xxh3::xxh3_64;

use crate::commands::support::args::{self, is};
use crate::commands::support::options::OptionReader;
use crate::keyspace::{Text, Ttl};
use crate::resp::{Args, CommandError};

/// What IFEQ, IFNE, IFDEQ and IFDNE compare the string at a key with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison<'a> {
    /// IFEQ: this string.
    Equal(&'a [u8]),
    /// IFNE: another string.
    NotEqual(&'a [u8]),
    /// IFDEQ: a string of this digest.
    DigestEqual(&'a [u8]),
    /// IFDNE: a string of another digest.
    DigestNotEqual(&'a [u8]),
}

const MALFORMED_DIGEST: CommandError = CommandError::text("ERR must be exactly 16 hexadecimal characters");

impl<'a> Comparison<'a> {
    pub fn of_word(word: &[u8], value: &'a [u8]) -> Option<Self> {
        Some(match () {
            () if is(word, "IFEQ") => Comparison::Equal(value),
            () if is(word, "IFNE") => Comparison::NotEqual(value),
            () if is(word, "IFDEQ") => Comparison::DigestEqual(value),
            () if is(word, "IFDNE") => Comparison::DigestNotEqual(value),
            () => return None,
        })
    }

    /// Whether a key that isn't there meets it.
    pub fn holds_for_none(self) -> bool {
        matches!(self, Comparison::NotEqual(_) | Comparison::DigestNotEqual(_))
    }

    /// Whether a string meets it. A digest of another length is an error; one of other characters is no string's.
    pub fn holds_for(self, text: Text<'_>) -> Result<bool, CommandError> {
        let mut digits = itoa::Buffer::new();
        let bytes = text.bytes(&mut digits);
        Ok(match self {
            Comparison::Equal(expected) => bytes == expected,
            Comparison::NotEqual(expected) => bytes != expected,
            Comparison::DigestEqual(expected) => parse_digest(expected)? == Some(xxh3_64(bytes)),
            Comparison::DigestNotEqual(expected) => parse_digest(expected)? != Some(xxh3_64(bytes)),
        })
    }
}

fn parse_digest(text: &[u8]) -> Result<Option<u64>, CommandError> {
    if text.len() != 16 {
        return Err(MALFORMED_DIGEST);
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    Ok(text.iter().try_fold(0, |sum, byte| Some(sum << 4 | u64::from(digit(byte)?))))
}

/// The option about the time to live, its number not yet parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry<'a> {
    None,
    Keep,
    Persist,
    Seconds(&'a [u8]),
    Millis(&'a [u8]),
    AtSecond(&'a [u8]),
    AtMilli(&'a [u8]),
}

/// The options a command has beside EX, PX, EXAT and PXAT.
#[derive(Clone, Copy, Debug)]
pub struct AllowedOptions {
    /// NX and XX.
    conditions: bool,
    /// IFEQ, IFNE, IFDEQ, IFDNE and GET.
    old_value: bool,
    keepttl: bool,
    persist: bool,
}

impl AllowedOptions {
    pub const SET: AllowedOptions =
        AllowedOptions { conditions: true, old_value: true, keepttl: true, persist: false };
    pub const GETEX: AllowedOptions =
        AllowedOptions { conditions: false, old_value: false, keepttl: false, persist: true };
    pub const MSETEX: AllowedOptions =
        AllowedOptions { conditions: true, old_value: false, keepttl: true, persist: false };
}

/// The options of one request.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// NX: false, XX: true.
    pub must_exist: Option<bool>,
    pub comparison: Option<Comparison<'a>>,
    pub get: bool,
    pub expiry: Expiry<'a>,
}

impl<'a> Options<'a> {
    /// Parses the arguments from index `first` on.
    pub fn parse(args: Args<'a>, first: usize, allowed: AllowedOptions) -> Result<Self, CommandError> {
        let mut options = Options { must_exist: None, comparison: None, get: false, expiry: Expiry::None };
        let mut words = OptionReader::new(args, first);
        while let Some(word) = words.next() {
            options.parse_option(word, &mut words, allowed)?;
        }
        Ok(options)
    }

    /// Parses the option `word`, whose value is the next of `words`.
    fn parse_option(
        &mut self,
        word: &[u8],
        words: &mut OptionReader<'a>,
        allowed: AllowedOptions,
    ) -> Result<(), CommandError> {
        if allowed.conditions && (is(word, "NX") || is(word, "XX")) {
            let must_exist = is(word, "XX");
            if self.must_exist == Some(!must_exist) {
                return Err(CommandError::SYNTAX);
            }
            self.must_exist = Some(must_exist);
            return Ok(());
        }
        if allowed.old_value && is(word, "GET") {
            self.get = true;
            return Ok(());
        }
        if allowed.old_value && word.len() >= 4 && word[..2].eq_ignore_ascii_case(b"if") {
            return self.set_comparison(word, words);
        }
        if allowed.keepttl && is(word, "KEEPTTL") {
            return self.set_expiry(Expiry::Keep);
        }
        if allowed.persist && is(word, "PERSIST") {
            return self.set_expiry(Expiry::Persist);
        }
        let expiry = if is(word, "EX") {
            Expiry::Seconds(words.value()?)
        } else if is(word, "PX") {
            Expiry::Millis(words.value()?)
        } else if is(word, "EXAT") {
            Expiry::AtSecond(words.value()?)
        } else if is(word, "PXAT") {
            Expiry::AtMilli(words.value()?)
        } else {
            return Err(CommandError::SYNTAX);
        };
        self.set_expiry(expiry)
    }

    fn set_comparison(&mut self, word: &[u8], words: &mut OptionReader<'a>) -> Result<(), CommandError> {
        use std::mem::discriminant;
        let comparison = Comparison::of_word(word, words.value()?).ok_or(CommandError::SYNTAX)?;
        let clashes = |other| discriminant(&other) != discriminant(&comparison);
        if self.must_exist.is_some() || self.comparison.is_some_and(clashes) {
            return Err(CommandError::SYNTAX);
        }
        self.comparison = Some(comparison);
        Ok(())
    }

    fn set_expiry(&mut self, expiry: Expiry<'a>) -> Result<(), CommandError> {
        use std::mem::discriminant;
        if self.expiry != Expiry::None && discriminant(&self.expiry) != discriminant(&expiry) {
            return Err(CommandError::SYNTAX);
        }
        self.expiry = expiry;
        Ok(())
    }
}

impl Expiry<'_> {
    /// The deadline that a write at `now` (Unix ms) sets, keeps or clears. A time that isn't positive or is too
    /// far away is an error that names `command`.
    pub fn ttl(self, now: u64, command: &str) -> Result<Ttl, CommandError> {
        let (text, scale, base) = match self {
            Expiry::None | Expiry::Persist => return Ok(Ttl::Clear),
            Expiry::Keep => return Ok(Ttl::Keep),
            Expiry::Seconds(text) => (text, 1000, now),
            Expiry::Millis(text) => (text, 1, now),
            Expiry::AtSecond(text) => (text, 1000, 0),
            Expiry::AtMilli(text) => (text, 1, 0),
        };
        let amount = args::integer(text)?;
        let deadline = Some(amount)
            .filter(|amount| *amount > 0)
            .and_then(|amount| amount.checked_mul(scale)?.checked_add(i64::try_from(base).ok()?));
        match deadline {
            Some(deadline) => Ok(Ttl::At(deadline as u64)),
            None => Err(CommandError::invalid_expire(command)),
        }
    }
}
