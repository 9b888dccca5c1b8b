//! What an older reference has not or does otherwise: cases that are left out when it is the one.

use crate::grammar::Case;

/// Before this version, a command that has all these words (the first as its name) is left out.
struct Skip {
    before: (u32, u32),
    words: &'static [&'static str],
    why: &'static str,
}

const fn skip(before: (u32, u32), words: &'static [&'static str], why: &'static str) -> Skip {
    Skip { before, words, why }
}

#[rustfmt::skip]
const SKIPS: &[Skip] = &[
    skip((8, 0), &["HGETEX"], "came with 8.0"),
    skip((8, 0), &["HSETEX"], "came with 8.0"),
    skip((8, 0), &["HGETDEL"], "came with 8.0"),
    skip((7, 4), &["HEXPIRE"], "came with 7.4"),
    skip((7, 4), &["HPEXPIRE"], "came with 7.4"),
    skip((7, 4), &["HEXPIREAT"], "came with 7.4"),
    skip((7, 4), &["HPEXPIREAT"], "came with 7.4"),
    skip((7, 4), &["HTTL"], "came with 7.4"),
    skip((7, 4), &["HPTTL"], "came with 7.4"),
    skip((7, 4), &["HEXPIRETIME"], "came with 7.4"),
    skip((7, 4), &["HPEXPIRETIME"], "came with 7.4"),
    skip((7, 4), &["HPERSIST"], "came with 7.4"),
    skip((7, 4), &["HSCAN", "NOVALUES"], "came with 7.4"),
];

/// Where ours goes beyond Redis, as Valkey does.
fn is_beyond(words: &[String]) -> bool {
    // A start without an end.
    words[0] == "BITCOUNT" && words.len() == 3
}

/// Why a case is left out, if it is.
pub fn skipped(case: &Case, version: (u32, u32), missing: &[String]) -> Option<String> {
    let upper = |word: &Vec<u8>| String::from_utf8_lossy(word).to_ascii_uppercase();
    case.iter().find_map(|command| {
        let words: Vec<String> = command.iter().map(upper).collect();
        let name = words.first()?;
        let with_sub = words.get(1).map(|sub| format!("{name}|{sub}")).unwrap_or_default();
        if let Some(name) = missing.iter().find(|missing| *missing == name || **missing == with_sub) {
            return Some(format!("{name} is not here"));
        }
        if is_beyond(&words) {
            return Some(format!("{name} goes beyond Redis"));
        }
        let old = SKIPS.iter().find(|skip| {
            version < skip.before
                && skip.words[0] == name
                && skip.words.iter().all(|word| words.iter().any(|w| w == word))
        })?;
        Some(format!("{} {}", old.words.join(" "), old.why))
    })
}
