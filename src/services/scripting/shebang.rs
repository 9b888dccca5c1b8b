//! The first line of a script, `#!lua flags=no-writes,allow-stale name=lib`: its engine, and what it declares.

use crate::base::quoting::split_words;

/// What a script declares about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    pub const NO_WRITES: Flags = Flags(1);
    pub const ALLOW_OOM: Flags = Flags(2);
    pub const ALLOW_STALE: Flags = Flags(4);
    pub const NO_CLUSTER: Flags = Flags(8);
    pub const ALLOW_CROSS_SLOT_KEYS: Flags = Flags(16);
    /// It has such a line; without one, each command it calls is checked by itself.
    pub const DECLARED: Flags = Flags(128);

    const NAMES: [(Flags, &'static str); 5] = [
        (Flags::NO_WRITES, "no-writes"),
        (Flags::ALLOW_OOM, "allow-oom"),
        (Flags::ALLOW_STALE, "allow-stale"),
        (Flags::NO_CLUSTER, "no-cluster"),
        (Flags::ALLOW_CROSS_SLOT_KEYS, "allow-cross-slot-keys"),
    ];

    pub fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    pub fn with(self, flag: Flags) -> Flags {
        Flags(self.0 | flag.0)
    }

    /// The flag with a name.
    pub fn named(name: &[u8]) -> Option<Flags> {
        Self::NAMES.iter().find(|(_, known)| known.as_bytes() == name).map(|(flag, _)| *flag)
    }

    /// The names of the flags that are set, in the order in which FUNCTION LIST shows them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| *name)
    }
}

/// The words of a script's first line.
type Words = Vec<Vec<u8>>;

/// The words of the first line, and its length without the line end; `None` if the script has no such line. The error is
/// a text without a code.
fn first_line(text: &[u8]) -> Result<Option<(Words, usize)>, Vec<u8>> {
    if !text.starts_with(b"#!") {
        return Ok(None);
    }
    let Some(len) = memchr::memchr(b'\n', text) else { return Err(b"Invalid script shebang".to_vec()) };
    match split_words(&text[..len]) {
        Ok(words) if !words.is_empty() => Ok(Some((words, len))),
        _ => Err(b"Invalid engine in script shebang".to_vec()),
    }
}

/// What a script of EVAL declares, and how many bytes its first line has. The error is a text without a code.
pub fn parse(text: &[u8]) -> Result<(Flags, usize), Vec<u8>> {
    let Some((words, len)) = first_line(text)? else { return Ok((Flags::default(), 0)) };
    if words[0] != b"#!lua" {
        return Err([b"Unexpected engine in script shebang: ", &words[0][..]].concat());
    }
    let mut flags = Flags::DECLARED;
    for word in &words[1..] {
        let Some(names) = word.strip_prefix(b"flags=") else {
            return Err([b"Unknown lua shebang option: ", &word[..]].concat());
        };
        if names.is_empty() {
            continue;
        }
        for name in names.split(|byte| *byte == b',') {
            let flag = Flags::named(name);
            flags = flags.with(flag.ok_or_else(|| [b"Unexpected flag in script shebang: ", name].concat())?);
        }
    }
    Ok((flags, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        let text = |error: Vec<u8>| String::from_utf8(error).expect("text");
        assert_eq!(parse(b"return 1"), Ok((Flags::default(), 0)));
        assert_eq!(parse(b"#!lua\nreturn 1"), Ok((Flags::DECLARED, 5)));
        let both = Flags::DECLARED.with(Flags::NO_WRITES).with(Flags::ALLOW_STALE);
        assert_eq!(parse(b"#!lua flags=no-writes,allow-stale\n"), Ok((both, 33)));
        assert_eq!(both.names().collect::<Vec<_>>(), ["no-writes", "allow-stale"]);
        for (script, error) in [
            ("#!lua", "Invalid script shebang"),
            ("#!lua 'x\n", "Invalid engine in script shebang"),
            ("#!js\n", "Unexpected engine in script shebang: #!js"),
            ("#!lua x=1\n", "Unknown lua shebang option: x=1"),
            ("#!lua flags=none\n", "Unexpected flag in script shebang: none"),
            ("#!lua flags=no-writes,\n", "Unexpected flag in script shebang: "),
        ] {
            assert_eq!(parse(script.as_bytes()).map_err(text), Err(error.to_string()), "{script}");
        }
    }
}
