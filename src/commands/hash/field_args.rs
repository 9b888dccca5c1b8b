//! Arguments of HEXPIRE and its kin, HGETEX and HSETEX: options and one `FIELDS numfields field…`, in any order.
//!
//! HGETDEL, HTTL and HPERSIST have FIELDS at its place ([`named_fields`]).

use crate::commands::support::args::{self, is};
use crate::commands::support::options::OptionReader;
use crate::engine::Call;
use crate::resp::{Args, CommandError};

/// The latest deadline of a field, Unix ms.
const MAX_DEADLINE: i64 = (1 << 46) - 1;

/// The unit of a command's times.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
}

/// Parses a time in `unit`, counted from `base` (Unix ms); returns the deadline as Unix ms.
pub(super) fn parse_deadline(text: &[u8], unit: Unit, base: u64, command: &str) -> Result<u64, CommandError> {
    let amount = args::integer(text)?;
    if amount < 0 {
        return Err(CommandError::text("ERR invalid expire time, must be >= 0"));
    }
    let ms = if unit == Unit::Seconds { amount.checked_mul(1000) } else { Some(amount) };
    let deadline = ms.and_then(|ms| ms.checked_add(base as i64)).filter(|deadline| *deadline <= MAX_DEADLINE);
    deadline.map(|deadline| deadline as u64).ok_or_else(|| CommandError::invalid_expire(command))
}

/// Parses `FIELDS numfields field…`, which begins at `index` and ends the request; returns the fields.
pub(super) fn named_fields(args: Args<'_>, index: usize) -> Result<Args<'_>, CommandError> {
    const NOT_A_COUNT: &str = "ERR Number of fields must be a positive integer";
    if !args.get(index).is_some_and(|word| is(word, "FIELDS")) {
        return Err(CommandError::text(
            "ERR Mandatory argument FIELDS is missing or not at the right position",
        ));
    }
    let count = args::at_least(args.get(index + 1).unwrap_or_default(), 1, NOT_A_COUNT)?;
    let fields = args.tail(index + 2);
    if count != fields.len() {
        return Err(CommandError::text("ERR The `numfields` parameter must match the number of arguments"));
    }
    Ok(fields)
}

const TWICE: CommandError = CommandError::text("ERR FIELDS keyword specified multiple times");
const MISSING: CommandError = CommandError::text("ERR missing FIELDS argument");
const WRONG_COUNT: CommandError = CommandError::text("ERR wrong number of arguments");

fn unknown(word: &[u8]) -> CommandError {
    CommandError::new([b"ERR unknown argument: ", CommandError::quotable(word, usize::MAX)].concat())
}

/// Takes the arguments of FIELDS: a number and as many fields, each of `words_each` words. Numbers that aren't positive are the error `too_few`.
fn take_fields<'a>(
    args: Args<'a>,
    words: &mut OptionReader<'a>,
    words_each: usize,
    too_few: &'static str,
) -> Result<Args<'a>, CommandError> {
    let count = words.at_least(1, too_few)?;
    if i32::try_from(count).is_err() {
        return Err(CommandError::text(too_few));
    }
    let fields = args.tail(words.index());
    let length = count * words_each;
    if length > fields.len() {
        return Err(WRONG_COUNT);
    }
    words.skip_words(length);
    Ok(fields.head(length))
}

/// The condition on which HEXPIRE changes a field's deadline: none, NX, XX, GT, LT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Always,
    Without,
    With,
    Later,
    Earlier,
}

impl Condition {
    fn parse(word: &[u8]) -> Option<Self> {
        let options = [
            ("NX", Condition::Without),
            ("XX", Condition::With),
            ("GT", Condition::Later),
            ("LT", Condition::Earlier),
        ];
        options.iter().find(|(name, _)| is(word, name)).map(|(_, condition)| *condition)
    }

    /// The word that stands for it in a request.
    pub(super) fn word(self) -> Option<&'static [u8]> {
        match self {
            Condition::Always => None,
            Condition::Without => Some(b"NX"),
            Condition::With => Some(b"XX"),
            Condition::Later => Some(b"GT"),
            Condition::Earlier => Some(b"LT"),
        }
    }

    /// Whether a field with deadline `old` gets deadline `new`; no deadline counts as later than any.
    pub(super) fn is_met(self, old: Option<u64>, new: u64) -> bool {
        match self {
            Condition::Always => true,
            Condition::Without => old.is_none(),
            Condition::With => old.is_some(),
            Condition::Later => old.is_some_and(|old| new > old),
            Condition::Earlier => old.is_none_or(|old| new < old),
        }
    }
}

/// Parses what HEXPIRE and its kin have behind the time.
pub(super) fn condition_and_fields(args: Args<'_>) -> Result<(Condition, Args<'_>), CommandError> {
    const TOO_FEW: &str = "ERR Parameter `numFields` should be greater than 0";
    let (mut condition, mut clashes, mut fields) = (Condition::Always, false, None);
    let mut words = OptionReader::new(args, 3);
    while let Some(word) = words.next() {
        if is(word, "FIELDS") {
            if fields.is_some() {
                return Err(TWICE);
            }
            if words.remaining() < 2 {
                return Err(CommandError::text(
                    "ERR FIELDS requires at least numfields and one field argument",
                ));
            }
            fields = Some(take_fields(args, &mut words, 1, TOO_FEW)?);
            continue;
        }
        let another = Condition::parse(word).ok_or_else(|| unknown(word))?;
        clashes |= condition != Condition::Always && condition != another;
        condition = another;
    }
    let fields = fields.ok_or(MISSING)?;
    if clashes {
        return Err(CommandError::text("ERR Multiple condition flags specified"));
    }
    Ok((condition, fields))
}

/// The option about the deadline: none, KEEPTTL, PERSIST, or one of EX, PX, EXAT, PXAT as Unix ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    None,
    Keep,
    Persist,
    At(u64),
}

/// The options of HGETEX or HSETEX, and its fields.
pub(super) struct Options<'a> {
    /// NX or XX: the key must not exist, or must.
    pub(super) key_exists: Option<bool>,
    /// FNX or FXX: none of the fields must exist, or all.
    pub(super) fields_exist: Option<bool>,
    pub(super) expiry: Expiry,
    /// HSETEX: fields and values, alternating.
    pub(super) fields: Args<'a>,
    /// The same with all words behind them: as in Redis, options there count as values that decide on the encoding.
    pub(super) fields_and_rest: Args<'a>,
}

/// Which of the two commands has the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OptionsOf {
    Hgetex,
    Hsetex,
}

impl<'a> Options<'a> {
    pub(super) fn parse(call: &Call<'a>, of: OptionsOf) -> Result<Self, CommandError> {
        let (args, words_each) = (call.args, if of == OptionsOf::Hsetex { 2 } else { 1 });
        let nothing = args.tail(args.len());
        let mut options = Options {
            key_exists: None,
            fields_exist: None,
            expiry: Expiry::None,
            fields: nothing,
            fields_and_rest: nothing,
        };
        let (mut has_fields, mut foreign) = (false, false);
        let mut words = OptionReader::new(args, 2);
        while let Some(word) = words.next() {
            if !is(word, "FIELDS") {
                foreign |= options.parse_option(call, of, word, &mut words)?;
                continue;
            }
            if has_fields {
                return Err(TWICE);
            }
            if words.remaining() == 0 {
                return Err(CommandError::wrong_arity(call.name));
            }
            options.fields_and_rest = args.tail(words.index() + 1);
            options.fields = take_fields(args, &mut words, words_each, "ERR invalid number of fields")?;
            has_fields = true;
        }
        match (has_fields, foreign) {
            (false, _) => Err(MISSING),
            (true, true) => Err(CommandError::text("ERR unknown argument")),
            (true, false) => Ok(options),
        }
    }

    /// Parses the option `word`, whose value is the next of `words`. Returns whether it is one of the other command's, which
    /// is an error once the rest is right.
    fn parse_option(
        &mut self,
        call: &Call<'_>,
        of: OptionsOf,
        word: &[u8],
        words: &mut OptionReader<'_>,
    ) -> Result<bool, CommandError> {
        if is(word, "FNX") || is(word, "FXX") {
            if self.fields_exist.replace(is(word, "FXX")).is_some() {
                return Err(CommandError::text("ERR Only one of FXX or FNX arguments can be specified"));
            }
            return Ok(of == OptionsOf::Hgetex);
        }
        // Valkey's.
        if of == OptionsOf::Hsetex && (is(word, "NX") || is(word, "XX")) {
            if self.key_exists.replace(is(word, "XX")).is_some() {
                return Err(CommandError::SYNTAX);
            }
            return Ok(false);
        }
        let one_of_several = || {
            CommandError::text(match of {
                OptionsOf::Hsetex => {
                    "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"
                }
                OptionsOf::Hgetex => {
                    "ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified"
                }
            })
        };
        let (expiry, is_foreign) = match () {
            () if is(word, "PERSIST") => (Expiry::Persist, of == OptionsOf::Hsetex),
            () if is(word, "KEEPTTL") => (Expiry::Keep, of == OptionsOf::Hgetex),
            () => {
                let (unit, base) = match () {
                    () if is(word, "EX") => (Unit::Seconds, call.now()),
                    () if is(word, "PX") => (Unit::Millis, call.now()),
                    () if is(word, "EXAT") => (Unit::Seconds, 0),
                    () if is(word, "PXAT") => (Unit::Millis, 0),
                    () => return Err(unknown(word)),
                };
                if self.expiry != Expiry::None {
                    return Err(one_of_several());
                }
                let text = words.next().ok_or(CommandError::text("ERR missing expire time"))?;
                self.expiry = Expiry::At(parse_deadline(text, unit, base, call.name)?);
                return Ok(false);
            }
        };
        // PERSIST and KEEPTTL together end as the foreign one of them.
        if self.expiry == expiry || matches!(self.expiry, Expiry::At(_)) {
            return Err(one_of_several());
        }
        self.expiry = expiry;
        Ok(is_foreign)
    }
}
