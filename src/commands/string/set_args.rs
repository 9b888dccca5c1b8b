//! The words that may follow SET, GETEX and MSETEX: a condition, GET, and what becomes of the time
//! to live.
//!
//! Options that exclude each other are a syntax error; the same one twice is not, and the last counts.

use crate::commands::support::args;
use crate::keyspace::Ttl;
use crate::resp::{Args, CommandError};

/// When the write happens at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    None,
    Absent,
    Present,
    Equal(&'a [u8]),
}

/// What was said about the time to live; texts are not checked yet.
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

/// Which options a command takes, beyond the times to live.
#[derive(Clone, Copy, Debug)]
pub struct Takes {
    conditions: bool,
    /// IFEQ and GET.
    old_value: bool,
    keep: bool,
    persist: bool,
}

impl Takes {
    pub const SET: Takes = Takes { conditions: true, old_value: true, keep: true, persist: false };
    pub const GETEX: Takes = Takes { conditions: false, old_value: false, keep: false, persist: true };
    pub const MSETEX: Takes = Takes { conditions: true, old_value: false, keep: true, persist: false };
}

/// The options of one request.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    pub condition: Condition<'a>,
    pub get: bool,
    pub expiry: Expiry<'a>,
}

impl<'a> Options<'a> {
    /// Reads the arguments from `first` on.
    pub fn parse(args: Args<'a>, first: usize, takes: Takes) -> Result<Self, CommandError> {
        let mut options = Options { condition: Condition::None, get: false, expiry: Expiry::None };
        let mut index = first;
        while let Some(word) = args.get(index) {
            let value = args.get(index + 1);
            if !options.take(word, value, takes)? {
                index += 1;
            } else {
                index += 2;
            }
        }
        Ok(options)
    }

    /// Takes one option; true if it has used up `value` as well.
    fn take(&mut self, word: &[u8], value: Option<&'a [u8]>, takes: Takes) -> Result<bool, CommandError> {
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        if takes.conditions && (is(b"nx") || is(b"xx")) {
            let condition = if is(b"nx") { Condition::Absent } else { Condition::Present };
            if self.condition != Condition::None && self.condition != condition {
                return Err(CommandError::SYNTAX);
            }
            self.condition = condition;
            return Ok(false);
        }
        if takes.old_value && is(b"get") {
            self.get = true;
            return Ok(false);
        }
        if takes.old_value && is(b"ifeq") {
            if self.condition != Condition::None {
                return Err(CommandError::SYNTAX);
            }
            self.condition = Condition::Equal(value.ok_or(CommandError::SYNTAX)?);
            return Ok(true);
        }
        if takes.keep && is(b"keepttl") {
            return self.set_expiry(Expiry::Keep);
        }
        if takes.persist && is(b"persist") {
            return self.set_expiry(Expiry::Persist);
        }
        let value = value.ok_or(CommandError::SYNTAX)?;
        let expiry = if is(b"ex") {
            Expiry::Seconds(value)
        } else if is(b"px") {
            Expiry::Millis(value)
        } else if is(b"exat") {
            Expiry::AtSecond(value)
        } else if is(b"pxat") {
            Expiry::AtMilli(value)
        } else {
            return Err(CommandError::SYNTAX);
        };
        self.set_expiry(expiry)?;
        Ok(true)
    }

    fn set_expiry(&mut self, expiry: Expiry<'a>) -> Result<bool, CommandError> {
        use std::mem::discriminant;
        if self.expiry != Expiry::None && discriminant(&self.expiry) != discriminant(&expiry) {
            return Err(CommandError::SYNTAX);
        }
        self.expiry = expiry;
        Ok(false)
    }
}

impl Expiry<'_> {
    /// What a write does with the deadline. `command` is named in the error about times that are
    /// not positive or too far away.
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
