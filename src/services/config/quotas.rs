//! The `quota` directive: limits of users and databases.
//!
//! ```text
//!   quota user alice requests 1000/s bytes 10mb/s over delay
//!   quota db 3 memory 1gb keys 100000
//! ```
//!
//! A line of a file adds a subject or takes the place of what was said of it before; CONFIG SET replaces all, as with `save`. A
//! subject without limits has no quota.

use super::compound::is_empty_word;
use super::setting::{FileLine, InvalidValue, Rule, Setting};
use crate::base::number::{parse_i64, parse_memory};
use crate::base::quoting::{needs_quotes, quoted};

/// What a quota is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaSubject {
    User(Vec<u8>),
    Database(u32),
}

/// What `over` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuotaOver {
    #[default]
    Error,
    Delay,
}

/// A quota; a limit of 0 is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaLine {
    pub subject: QuotaSubject,
    pub memory: u64,
    pub keys: u64,
    /// A second.
    pub requests: u64,
    pub bytes: u64,
    pub over: QuotaOver,
}

/// The `quota` directive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaLines(pub Vec<QuotaLine>);

/// The greatest limit of a rate.
const MAX_RATE: u64 = 1 << 40;

fn invalid(text: &'static str) -> InvalidValue {
    InvalidValue::Borrowed(text)
}

/// An amount that may end in `/s`.
fn rate(word: &[u8], parse: impl Fn(&[u8]) -> Option<u64>) -> Option<u64> {
    let amount = word.strip_suffix(b"/s").or_else(|| word.strip_suffix(b"/S")).unwrap_or(word);
    parse(amount).filter(|rate| *rate <= MAX_RATE)
}

fn count(word: &[u8]) -> Option<u64> {
    parse_i64(word).and_then(|count| u64::try_from(count).ok())
}

impl QuotaLine {
    fn new(subject: QuotaSubject) -> Self {
        QuotaLine { subject, memory: 0, keys: 0, requests: 0, bytes: 0, over: QuotaOver::Error }
    }

    fn is_unlimited(&self) -> bool {
        self.memory == 0 && self.keys == 0 && self.requests == 0 && self.bytes == 0
    }

    /// Sets the option of this name.
    fn set(&mut self, option: &[u8], value: &[u8]) -> Result<(), InvalidValue> {
        let bad = |text| Err(invalid(text));
        match option.to_ascii_lowercase().as_slice() {
            b"memory" => {
                self.memory =
                    parse_memory(value).ok_or(invalid("quota: memory must be an amount of memory"))?
            }
            b"keys" => self.keys = count(value).ok_or(invalid("quota: keys must be a number"))?,
            b"requests" => {
                self.requests =
                    rate(value, count).ok_or(invalid("quota: requests must be a number, as in 1000/s"))?;
            }
            b"bytes" => {
                let parsed = rate(value, parse_memory);
                self.bytes =
                    parsed.ok_or(invalid("quota: bytes must be an amount of memory, as in 10mb/s"))?;
            }
            b"over" => {
                self.over = match () {
                    () if value.eq_ignore_ascii_case(b"error") => QuotaOver::Error,
                    () if value.eq_ignore_ascii_case(b"delay") => QuotaOver::Delay,
                    () => return bad("quota: over must be error or delay"),
                };
            }
            _ => return bad("quota: options are memory, keys, requests, bytes and over, each with a value"),
        }
        Ok(())
    }

    /// As CONFIG GET and the file show it. `name`: how a user's name is written.
    fn text(&self, name: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let mut text = match &self.subject {
            QuotaSubject::User(user) => [b"user ".as_slice(), &name(user)].concat(),
            QuotaSubject::Database(number) => format!("db {number}").into_bytes(),
        };
        for (word, value, unit) in [
            ("memory", self.memory, ""),
            ("keys", self.keys, ""),
            ("requests", self.requests, "/s"),
            ("bytes", self.bytes, "/s"),
        ] {
            if value > 0 {
                text.extend_from_slice(format!(" {word} {value}{unit}").as_bytes());
            }
        }
        if self.over == QuotaOver::Delay {
            text.extend_from_slice(b" over delay");
        }
        text
    }
}

fn subject(kind: &[u8], name: &[u8]) -> Option<Result<QuotaSubject, InvalidValue>> {
    if kind.eq_ignore_ascii_case(b"user") {
        let is_name = !name.is_empty() && !name.iter().any(|byte| matches!(byte, b' ' | 0));
        return Some(match is_name {
            true => Ok(QuotaSubject::User(name.to_vec())),
            false => Err(invalid("quota: a user's name has no spaces and no null characters")),
        });
    }
    let number = count(name).and_then(|number| u32::try_from(number).ok());
    kind.eq_ignore_ascii_case(b"db").then(|| {
        number.map(QuotaSubject::Database).ok_or(invalid("quota: db must be followed by its number"))
    })
}

impl QuotaLines {
    /// Parses quotas one behind the other.
    fn parse(words: &[Vec<u8>]) -> Result<Vec<QuotaLine>, InvalidValue> {
        let mut lines: Vec<QuotaLine> = Vec::new();
        if words.is_empty() || is_empty_word(words) {
            return Ok(lines);
        }
        let (pairs, []) = words.as_chunks::<2>() else {
            return Err(invalid("quota: every word needs a value, as in user NAME requests 1000/s"));
        };
        for [word, value] in pairs {
            match (subject(word, value), lines.last_mut()) {
                (Some(subject), _) => lines.push(QuotaLine::new(subject?)),
                (None, Some(line)) => line.set(word, value)?,
                (None, None) => return Err(invalid("quota: it begins with user NAME or db NUMBER")),
            }
        }
        Ok(lines)
    }

    /// Adds the quotas of a line; each takes the place of what there was for its subject. An empty word drops all.
    pub fn add(&mut self, words: &[Vec<u8>]) -> Result<(), InvalidValue> {
        let lines = Self::parse(words)?;
        if is_empty_word(words) {
            self.0.clear();
        }
        for line in lines {
            self.0.retain(|known| known.subject != line.subject);
            if !line.is_unlimited() {
                self.0.push(line);
            }
        }
        Ok(())
    }

    /// Whether every database that has a quota exists.
    pub fn check(&self, databases: u32) -> Result<(), InvalidValue> {
        let is_missing =
            |line: &&QuotaLine| matches!(line.subject, QuotaSubject::Database(number) if number >= databases);
        match self.0.iter().find(is_missing) {
            None => Ok(()),
            Some(line) => {
                let name = String::from_utf8_lossy(&line.text(<[u8]>::to_vec)).into_owned();
                Err(format!(
                    "quota: there are {databases} databases, so there can't be a quota of this one: {name}"
                )
                .into())
            }
        }
    }
}

impl Setting for QuotaLines {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule) -> Result<(), InvalidValue> {
        let mut lines = QuotaLines::default();
        lines.add(words)?;
        *self = lines;
        Ok(())
    }

    fn to_get(&self, _rule: &Rule) -> Vec<u8> {
        self.0.iter().map(|line| line.text(<[u8]>::to_vec)).collect::<Vec<_>>().join(&b' ')
    }

    fn file_lines(&self, _rule: &Rule, _default: &dyn Setting) -> Vec<FileLine> {
        let name = |user: &[u8]| if needs_quotes(user) { quoted(user) } else { user.to_vec() };
        self.0.iter().map(|line| FileLine { value: line.text(name), forced: true }).collect()
    }

    fn domain(&self, _rule: &Rule) -> String {
        "`user` NAME or `db` NUMBER, then any of `memory`, `keys`, `requests`, `bytes`, `over`".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<u8>> {
        line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    fn shown(lines: &QuotaLines) -> String {
        String::from_utf8(lines.to_get(&Rule::Any)).expect("text")
    }

    #[test]
    fn a_value_is_read_back() {
        let mut lines = QuotaLines::default();
        let text = "user alice requests 1k/s bytes 10kb/S over Delay DB 3 memory 1mb keys 5 user user over error keys 1";
        assert!(lines.assign(&words(text), &Rule::Any).is_err(), "requests have no unit of memory");
        let text = text.replace("1k/s", "1000/s");
        assert_eq!(lines.assign(&words(&text), &Rule::Any), Ok(()));
        let canonical =
            "user alice requests 1000/s bytes 10240/s over delay db 3 memory 1048576 keys 5 user user keys 1";
        assert_eq!(shown(&lines), canonical);
        let mut again = QuotaLines::default();
        assert_eq!(again.assign(&words(canonical), &Rule::Any), Ok(()));
        assert_eq!(again, lines);
        let file: Vec<_> = lines.file_lines(&Rule::Any, &again).into_iter().map(|line| line.value).collect();
        assert_eq!(file[1], b"db 3 memory 1048576 keys 5");
    }

    #[test]
    fn lines_add_up_and_the_last_of_a_subject_counts() {
        let mut lines = QuotaLines::default();
        for line in ["user a keys 1", "db 1 keys 2", "user a keys 3 over delay", "user b requests 0"] {
            assert_eq!(lines.add(&words(line)), Ok(()));
        }
        assert_eq!(shown(&lines), "db 1 keys 2 user a keys 3 over delay");
        assert_eq!(lines.add(&words("db 1")), Ok(()));
        assert_eq!(shown(&lines), "user a keys 3 over delay");
        assert_eq!((lines.add(&words("")), shown(&lines)), (Ok(()), String::new()));
    }

    #[test]
    fn nonsense_changes_nothing() {
        let mut lines = QuotaLines::default();
        assert_eq!(lines.assign(&words("db 15 keys 1"), &Rule::Any), Ok(()));
        for bad in [
            "user",
            "user a keys",
            "keys 1",
            "db x keys 1",
            "db -1 keys 1",
            "user a keys -1",
            "user a memory x",
            "user a requests 1/m",
            "user a requests 9999999999999",
            "user a over never",
            "user a speed 3",
        ] {
            assert!(lines.assign(&words(bad), &Rule::Any).is_err(), "{bad}");
        }
        assert_eq!(shown(&lines), "db 15 keys 1");
        assert_eq!(lines.check(16), Ok(()));
        assert!(lines.check(15).is_err());
    }
}
