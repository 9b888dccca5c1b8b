//! Directive values: parsing and formatting by the type of the field (`standardConfig`).
//!
//! A [`Setting`] is the table's interface to a field: it can be assigned words, shown
//! as `CONFIG GET` shows it, and written as lines of a configuration file. The range, the unit or
//! an extra check come from the directive's [`Rule`]. Types with a grammar of their own live in
//! `enums`, `events` and `compound`.

use std::borrow::Cow;

use crate::base::number::{parse_i64, parse_memory};
use crate::base::quoting::{printable, push_quoted};

/// Why a value was rejected, as a text for the client or user that set it.
pub type InvalidValue = Cow<'static, str>;

/// The text for a wrong count of words, shared with the file parser.
pub const WRONG_COUNT: &str = "wrong number of arguments";

/// The rule of a directive's value beyond the field's type.
#[derive(Clone, Copy)]
pub enum Rule {
    Any,
    /// Inclusive bounds, and the unit of the number's text.
    Range {
        low: i128,
        high: i128,
        unit: Unit,
    },
    /// A check of a text.
    Check(fn(&str) -> Result<(), &'static str>),
}

/// The unit of a number's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Plain,
    /// `100mb`
    Bytes,
    /// Bytes, or a negative number with a meaning of its own.
    SignedBytes,
    /// Bytes, or `5%`, stored as -5.
    BytesOrPercent,
    Octal,
}

/// One line of a configuration file: what follows the directive's name.
#[derive(Debug, PartialEq, Eq)]
pub struct FileLine {
    pub value: Vec<u8>,
    /// Written even when the file had no such line, because it is not the default.
    pub forced: bool,
}

/// A configuration value that is parsed from text and formatted as text.
pub trait Setting {
    /// Parses and sets the value from the words after the directive's name.
    fn assign(&mut self, words: &[Vec<u8>], rule: &Rule) -> Result<(), InvalidValue>;

    /// The value's text in CONFIG GET.
    fn to_get(&self, rule: &Rule) -> Vec<u8>;

    /// The value's text in a configuration file; parsing it gives the same value.
    fn to_file(&self, rule: &Rule) -> Vec<u8> {
        self.to_get(rule)
    }

    /// The lines a configuration file needs for this value; none means that the directive must be absent.
    fn file_lines(&self, rule: &Rule, default: &dyn Setting) -> Vec<FileLine> {
        let forced = self.to_get(rule) != default.to_get(rule);
        vec![FileLine { value: self.to_file(rule), forced }]
    }

    /// The values allowed, for the reference page.
    fn domain(&self, rule: &Rule) -> String;
}

/// The only word, for values that take exactly one.
pub fn single(words: &[Vec<u8>]) -> Result<&[u8], InvalidValue> {
    match words {
        [word] => Ok(word),
        _ => Err(WRONG_COUNT.into()),
    }
}

/// A word as text; values that end up in paths and names must be UTF-8.
pub fn utf8(word: &[u8]) -> Result<&str, InvalidValue> {
    std::str::from_utf8(word).map_err(|_| "argument must be valid UTF-8".into())
}

impl Setting for bool {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule) -> Result<(), InvalidValue> {
        let word = single(words)?;
        *self = match () {
            () if word.eq_ignore_ascii_case(b"yes") => true,
            () if word.eq_ignore_ascii_case(b"no") => false,
            () => return Err("argument must be 'yes' or 'no'".into()),
        };
        Ok(())
    }

    fn to_get(&self, _rule: &Rule) -> Vec<u8> {
        if *self { b"yes".to_vec() } else { b"no".to_vec() }
    }

    fn domain(&self, _rule: &Rule) -> String {
        "`yes`, `no`".into()
    }
}

/// Parses a number in its unit and checks the bounds.
fn parse_number(word: &[u8], rule: &Rule) -> Result<i128, InvalidValue> {
    let Rule::Range { low, high, unit } = *rule else {
        return parse_plain(word);
    };
    let number = match unit {
        Unit::Plain => parse_plain(word)?,
        Unit::Bytes => parse_memory(word).map(i128::from).ok_or("argument must be a memory value")?,
        Unit::SignedBytes => parse_memory(word)
            .map(i128::from)
            .or_else(|| parse_i64(word).map(i128::from))
            .ok_or("argument must be a memory value")?,
        Unit::BytesOrPercent => match parse_percent(word) {
            Some(percent) if percent > -low => {
                return Err(format!("percentage argument must be less or equal to {}", -low).into());
            }
            Some(percent) => return Ok(-percent),
            None => parse_memory(word).map(i128::from).ok_or("argument must be a memory or percent value")?,
        },
        Unit::Octal => parse_octal(word).ok_or("argument couldn't be parsed as an octal number")?,
    };
    if (low..=high).contains(&number) {
        return Ok(number);
    }
    Err(match unit {
        Unit::Octal => format!("argument must be between {low:o} and {high:o} inclusive").into(),
        _ => format!("argument must be between {low} and {high} inclusive").into(),
    })
}

fn parse_plain(word: &[u8]) -> Result<i128, InvalidValue> {
    parse_i64(word).map(i128::from).ok_or("argument couldn't be parsed into an integer".into())
}

fn parse_percent(word: &[u8]) -> Option<i128> {
    let number = parse_i64(word.strip_suffix(b"%")?)?;
    (number >= 0).then_some(i128::from(number))
}

fn parse_octal(word: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(word).ok()?;
    i64::from_str_radix(text, 8).ok().map(i128::from)
}

/// The largest unit that divides `bytes`, as configuration files write amounts.
pub fn memory_text(bytes: i128) -> String {
    const UNITS: [(i128, &str); 3] = [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
    for (size, unit) in UNITS {
        if bytes != 0 && bytes % size == 0 {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

fn number_text(number: i128, rule: &Rule) -> String {
    match rule {
        Rule::Range { unit: Unit::BytesOrPercent, .. } if number < 0 => format!("{}%", -number),
        Rule::Range { unit: Unit::Octal, .. } => format!("{number:o}"),
        _ => number.to_string(),
    }
}

fn number_written(number: i128, rule: &Rule) -> String {
    match rule {
        Rule::Range { unit: Unit::Bytes | Unit::SignedBytes | Unit::BytesOrPercent, .. } if number >= 0 => {
            memory_text(number)
        }
        _ => number_text(number, rule),
    }
}

/// The largest values of C's integer types, which bound directives.
fn bound_text(bound: i128, unit: Unit) -> String {
    match (bound, unit) {
        (bound, _) if bound >= i128::from(i64::MAX) => "no limit".into(),
        (bound, Unit::Octal) => format!("{bound:o}"),
        (bound, Unit::Bytes | Unit::SignedBytes) => memory_text(bound),
        (bound, _) => bound.to_string(),
    }
}

fn number_domain(rule: &Rule) -> String {
    let Rule::Range { low, high, unit } = *rule else {
        return "integer".into();
    };
    let upper = bound_text(high, unit);
    match unit {
        Unit::BytesOrPercent => format!("memory, or 0% to {}%", -low),
        Unit::Plain => format!("{low} to {upper}"),
        Unit::Bytes | Unit::SignedBytes => format!("memory, {} to {upper}", bound_text(low, unit)),
        Unit::Octal => format!("octal, {low:o} to {upper}"),
    }
}

macro_rules! number_settings {
    ($($number:ty)*) => {$(
        impl Setting for $number {
            fn assign(&mut self, words: &[Vec<u8>], rule: &Rule) -> Result<(), InvalidValue> {
                let number = parse_number(single(words)?, rule)?;
                *self = <$number>::try_from(number)
                    .map_err(|_| InvalidValue::from("argument couldn't be parsed into an integer"))?;
                Ok(())
            }

            fn to_get(&self, rule: &Rule) -> Vec<u8> {
                number_text(*self as i128, rule).into_bytes()
            }

            fn to_file(&self, rule: &Rule) -> Vec<u8> {
                number_written(*self as i128, rule).into_bytes()
            }

            fn domain(&self, rule: &Rule) -> String {
                number_domain(rule)
            }
        }
    )*};
}

number_settings!(u8 u16 u32 u64 usize i32 i64);

/// A text; always quoted in files.
pub fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

fn checked<'a>(word: &'a [u8], rule: &Rule) -> Result<&'a str, InvalidValue> {
    let text = utf8(word)?;
    if let Rule::Check(check) = rule {
        check(text)?;
    }
    Ok(text)
}

impl Setting for String {
    fn assign(&mut self, words: &[Vec<u8>], rule: &Rule) -> Result<(), InvalidValue> {
        *self = checked(single(words)?, rule)?.to_owned();
        Ok(())
    }

    fn to_get(&self, _rule: &Rule) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn to_file(&self, _rule: &Rule) -> Vec<u8> {
        quoted(self.as_bytes())
    }

    fn domain(&self, _rule: &Rule) -> String {
        "text".into()
    }
}

/// An optional text: `None` is the empty text in CONFIG GET, and no line in a file.
impl Setting for Option<String> {
    fn assign(&mut self, words: &[Vec<u8>], rule: &Rule) -> Result<(), InvalidValue> {
        let text = checked(single(words)?, rule)?;
        *self = (!text.is_empty()).then(|| text.to_owned());
        Ok(())
    }

    fn to_get(&self, _rule: &Rule) -> Vec<u8> {
        self.as_deref().unwrap_or_default().as_bytes().to_vec()
    }

    fn file_lines(&self, _rule: &Rule, _default: &dyn Setting) -> Vec<FileLine> {
        self.iter().map(|text| FileLine { value: quoted(text.as_bytes()), forced: true }).collect()
    }

    fn domain(&self, _rule: &Rule) -> String {
        "text, empty for none".into()
    }
}

/// A secret: any bytes; only CONFIG GET shows it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Option<Vec<u8>>);

impl Secret {
    /// The bytes, if one is set.
    pub fn bytes(&self) -> Option<&[u8]> {
        self.0.as_deref()
    }

    /// Replaces the secret; an empty one is none.
    pub fn replace(&mut self, bytes: &[u8]) {
        self.0 = (!bytes.is_empty()).then(|| bytes.to_vec());
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Secret(set)" } else { "Secret(none)" })
    }
}

impl Setting for Secret {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule) -> Result<(), InvalidValue> {
        self.replace(single(words)?);
        Ok(())
    }

    fn to_get(&self, _rule: &Rule) -> Vec<u8> {
        self.bytes().unwrap_or_default().to_vec()
    }

    fn file_lines(&self, _rule: &Rule, _default: &dyn Setting) -> Vec<FileLine> {
        self.bytes().map(|bytes| FileLine { value: quoted(bytes), forced: true }).into_iter().collect()
    }

    fn domain(&self, _rule: &Rule) -> String {
        "any bytes, empty for none".into()
    }
}

/// Addresses to listen on. The default means that the directive need not be written.
impl Setting for Vec<String> {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule) -> Result<(), InvalidValue> {
        const MOST: usize = 16;
        if words.len() > MOST {
            return Err("Too many bind addresses specified.".into());
        }
        let words = if matches!(words, [only] if only.is_empty()) { &[] } else { words };
        let is_address = |word: &[u8]| {
            !word.is_empty() && word.iter().all(|byte| byte.is_ascii_graphic() && !b"\\\"'".contains(byte))
        };
        if !words.iter().all(|word| is_address(word)) {
            return Err("Failed to bind to specified addresses.".into());
        }
        *self = words.iter().map(|word| printable(word)).collect();
        Ok(())
    }

    fn to_get(&self, _rule: &Rule) -> Vec<u8> {
        self.join(" ").into_bytes()
    }

    fn file_lines(&self, rule: &Rule, default: &dyn Setting) -> Vec<FileLine> {
        if self.to_get(rule) == default.to_get(rule) {
            return Vec::new();
        }
        let value = if self.is_empty() { b"\"\"".to_vec() } else { self.to_get(rule) };
        vec![FileLine { value, forced: true }]
    }

    fn domain(&self, _rule: &Rule) -> String {
        "addresses".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: Rule = Rule::Range { low: 1 << 20, high: i64::MAX as i128, unit: Unit::Bytes };
    const SHARE: Rule = Rule::Range { low: -100, high: i64::MAX as i128, unit: Unit::BytesOrPercent };
    const MODE: Rule = Rule::Range { low: 0, high: 0o777, unit: Unit::Octal };

    fn set<T: Setting>(target: &mut T, word: &str, rule: &Rule) -> Result<String, String> {
        target.assign(&[word.as_bytes().to_vec()], rule).map_err(|refusal| refusal.into_owned())?;
        Ok(printable(&target.to_get(rule)))
    }

    #[test]
    fn numbers_in_their_units() {
        let mut bytes = 0i64;
        assert_eq!(set(&mut bytes, "10Mb", &BYTES), Ok("10485760".into()));
        assert_eq!(bytes.to_file(&BYTES), b"10mb");
        let low = "argument must be between 1048576 and 9223372036854775807 inclusive";
        assert_eq!(set(&mut bytes, "1k", &BYTES), Err(low.into()));
        assert_eq!(set(&mut bytes, "18446744073709551615", &BYTES), Err(low.into()));
        assert_eq!(set(&mut bytes, "-1", &BYTES), Err("argument must be a memory value".into()));
        assert_eq!(set(&mut bytes, "5%", &SHARE), Ok("5%".into()));
        assert_eq!((bytes, bytes.to_file(&SHARE)), (-5, b"5%".to_vec()));
        assert_eq!(
            set(&mut bytes, "200%", &SHARE),
            Err("percentage argument must be less or equal to 100".into())
        );
        assert_eq!(set(&mut bytes, "x", &SHARE), Err("argument must be a memory or percent value".into()));
        let mut mode = 0u32;
        assert_eq!(set(&mut mode, "770", &MODE), Ok("770".into()));
        assert_eq!(mode, 0o770);
        assert_eq!(set(&mut mode, "1000", &MODE), Err("argument must be between 0 and 777 inclusive".into()));
        assert_eq!(set(&mut mode, "8", &MODE), Err("argument couldn't be parsed as an octal number".into()));
    }

    #[test]
    fn booleans_and_texts() {
        let mut flag = false;
        assert_eq!(set(&mut flag, "YES", &Rule::Any), Ok("yes".into()));
        assert_eq!(set(&mut flag, "1", &Rule::Any), Err("argument must be 'yes' or 'no'".into()));
        let mut path = Some("x".to_string());
        assert_eq!(set(&mut path, "", &Rule::Any), Ok(String::new()));
        assert_eq!(path, None);
        assert_eq!(path.file_lines(&Rule::Any, &path), []);
        assert!(String::new().assign(&[vec![0xff]], &Rule::Any).is_err());
        assert_eq!(String::from("a\"b").to_file(&Rule::Any), br#""a\"b""#);
    }

    #[test]
    fn addresses() {
        let mut bind = vec!["*".to_string()];
        let words: Vec<Vec<u8>> = vec![b"127.0.0.1".to_vec(), b"-::1".to_vec()];
        assert!(bind.assign(&words, &Rule::Any).is_ok());
        assert_eq!(bind.to_get(&Rule::Any), b"127.0.0.1 -::1");
        assert!(bind.assign(&vec![b"::1".to_vec(); 17], &Rule::Any).is_err());
        assert!(bind.assign(&[b"a b".to_vec()], &Rule::Any).is_err());
        assert!(bind.assign(&[Vec::new()], &Rule::Any).is_ok());
        assert_eq!(bind, Vec::<String>::new());
    }

    #[test]
    fn secrets_do_not_print() {
        let mut secret = Secret::default();
        assert!(secret.assign(&[b"hush\xff".to_vec()], &Rule::Any).is_ok());
        assert_eq!(secret.bytes(), Some(&b"hush\xff"[..]));
        assert_eq!(format!("{secret:?}"), "Secret(set)");
    }
}
