//! The options of SET, GETEX and MSETEX: a condition, GET, and the time to live.
//!
//! Options that exclude each other are a syntax error; the same one twice is not, and the last one counts.

use crate::commands::support::args::{self, is};
use crate::commands::support::options::OptionReader;
use crate::keyspace::Ttl;
use crate::resp::{Args, CommandError};

/// The condition of a write: NX, XX or IFEQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    None,
    /// NX: the key doesn't exist.
    Absent,
    /// XX: the key exists.
    Present,
    /// IFEQ: the key holds this string.
    Equal(&'a [u8]),
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
    /// IFEQ and GET.
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
    pub condition: Condition<'a>,
    pub get: bool,
    pub expiry: Expiry<'a>,
}

impl<'a> Options<'a> {
    /// Parses the arguments from index `first` on.
    pub fn parse(args: Args<'a>, first: usize, allowed: AllowedOptions) -> Result<Self, CommandError> {
        let mut options = Options { condition: Condition::None, get: false, expiry: Expiry::None };
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
            let condition = if is(word, "NX") { Condition::Absent } else { Condition::Present };
            if self.condition != Condition::None && self.condition != condition {
                return Err(CommandError::SYNTAX);
            }
            self.condition = condition;
            return Ok(());
        }
        if allowed.old_value && is(word, "GET") {
            self.get = true;
            return Ok(());
        }
        if allowed.old_value && is(word, "IFEQ") {
            if self.condition != Condition::None {
                return Err(CommandError::SYNTAX);
            }
            self.condition = Condition::Equal(words.value()?);
            return Ok(());
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
