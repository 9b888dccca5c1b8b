//! Numeric arguments: integers, counts, timeouts and index ranges, with Redis's errors.

use crate::base::number::{self, Extended};
use crate::resp::CommandError;

/// A signed 64-bit integer.
#[inline]
pub fn integer(arg: &[u8]) -> Result<i64, CommandError> {
    number::parse_i64(arg).ok_or(CommandError::NOT_INTEGER)
}

/// A signed 64-bit integer other than the least one, so that its negative is an integer too.
pub fn signed(arg: &[u8]) -> Result<i64, CommandError> {
    const ERROR: CommandError = CommandError::text(
        "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    );
    if integer(arg)? == i64::MIN { Err(ERROR) } else { integer(arg) }
}

/// An integer that isn't negative; Redis's error says "must be positive", but 0 is valid.
pub fn positive(arg: &[u8]) -> Result<usize, CommandError> {
    const ERROR: CommandError = CommandError::text("ERR value is out of range, must be positive");
    number::parse_i64(arg).and_then(|n| usize::try_from(n).ok()).ok_or(ERROR)
}

/// An integer of at least `least`; anything else is the error of text `error`.
pub fn at_least(arg: &[u8], least: i64, error: &'static str) -> Result<usize, CommandError> {
    number::parse_i64(arg).filter(|n| *n >= least).map(|n| n as usize).ok_or(CommandError::text(error))
}

/// A blocking command's timeout, in seconds: the deadline in Unix ms, `None` for no timeout (0).
pub fn timeout(arg: &[u8], now: u64) -> Result<Option<u64>, CommandError> {
    const ERROR: CommandError = CommandError::text("ERR timeout is not a float or out of range");
    // Redis parses a long double: a number beyond a double's range is valid, but too long a time.
    let beyond = || Extended::parse(arg).map(|_| if arg.starts_with(b"-") { -f64::MAX } else { f64::MAX });
    let seconds = number::parse_f64(arg).or_else(beyond).ok_or(ERROR)?;
    if seconds < 0.0 {
        return Err(TIMEOUT_NEGATIVE);
    }
    let ms = (seconds * 1000.0).ceil();
    if ms > (i64::MAX as u64 - now) as f64 {
        return Err(TIMEOUT_TOO_LONG);
    }
    Ok((ms > 0.0).then_some(now + ms as u64))
}

const TIMEOUT_NEGATIVE: CommandError = CommandError::text("ERR timeout is negative");
const TIMEOUT_TOO_LONG: CommandError = CommandError::text("ERR timeout is out of range");

/// A blocking command's timeout, in milliseconds; the deadline as in [`timeout`].
pub fn timeout_ms(arg: &[u8], now: u64) -> Result<Option<u64>, CommandError> {
    const ERROR: CommandError = CommandError::text("ERR timeout is not an integer or out of range");
    match number::parse_i64(arg).ok_or(ERROR)? {
        ..0 => Err(TIMEOUT_NEGATIVE),
        ms if ms as u64 > i64::MAX as u64 - now => Err(TIMEOUT_TOO_LONG),
        0 => Ok(None),
        ms => Ok(Some(now + ms as u64)),
    }
}

/// The start and count of the items from index `start` to `stop`, both included, of `len`; negative indexes
/// count from the end.
pub fn range(start: i64, stop: i64, len: usize) -> (usize, usize) {
    let len = len as i64;
    let absolute = |index: i64| if index < 0 { len.saturating_add(index) } else { index };
    let (start, stop) = (absolute(start).max(0), absolute(stop).min(len - 1));
    if start > stop { (0, 0) } else { (start as usize, (stop - start + 1) as usize) }
}

/// Whether an argument is this option name, in any case.
#[inline]
pub fn is(arg: &[u8], name: &str) -> bool {
    arg.eq_ignore_ascii_case(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(range(0, -1, 5), (0, 5));
        assert_eq!(range(-2, 10, 5), (3, 2));
        assert_eq!(range(-100, 0, 5), (0, 1));
        assert_eq!(range(3, 2, 5), (0, 0));
        assert_eq!(range(5, 9, 5), (0, 0));
        assert_eq!(range(i64::MIN, i64::MAX, 0), (0, 0));
    }

    #[test]
    fn timeouts() {
        assert_eq!(timeout(b"0", 1000), Ok(None));
        assert_eq!(timeout(b"0.0001", 1000), Ok(Some(1001)));
        assert_eq!(timeout(b"1.5", 1000), Ok(Some(2500)));
        assert!(timeout(b"-1", 0).is_err() && timeout(b"x", 0).is_err() && timeout(b"1e300", 0).is_err());
    }
}
