//! Differences of older reference servers: the cases that are left out with each.

use crate::grammar::Case;
use crate::runner::Pair;

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
    skip((8, 6), &["VADD"], "before 8.6 vector sets differ"),
    skip((8, 6), &["VREM"], "before 8.6 vector sets differ"),
    skip((8, 6), &["VCARD"], "before 8.6 vector sets differ"),
    skip((8, 6), &["VDIM"], "before 8.6 vector sets differ"),
    skip((8, 6), &["VEMB"], "before 8.6 vector sets differ"),
    skip((8, 6), &["VISMEMBER"], "before 8.6 vector sets differ"),
    skip((8, 6), &["VSETATTR"], "before 8.6 vector sets differ"),
    skip((8, 6), &["VGETATTR"], "before 8.6 vector sets differ"),
    skip((8, 6), &["VRANGE"], "before 8.6 vector sets differ"),
    skip((8, 6), &["VRANDMEMBER"], "before 8.6 vector sets differ"),
    skip((8, 6), &["VSIM"], "before 8.6 vector sets differ"),
    skip((8, 6), &["VLINKS"], "before 8.6 vector sets differ"),
    skip((8, 6), &["VINFO"], "before 8.6 vector sets differ"),
    skip((8, 6), &["XADD", "IDMP"], "came with 8.6"),
    skip((8, 6), &["XADD", "IDMPAUTO"], "came with 8.6"),
    skip((8, 4), &["XREADGROUP", "CLAIM"], "came with 8.4"),
    skip((8, 4), &["SET", "IFEQ"], "came with 8.4"),
    skip((8, 4), &["SET", "IFNE"], "came with 8.4"),
    skip((8, 4), &["SET", "IFDEQ"], "came with 8.4"),
    skip((8, 4), &["SET", "IFDNE"], "came with 8.4"),
    skip((8, 2), &["XADD", "KEEPREF"], "came with 8.2"),
    skip((8, 2), &["XADD", "DELREF"], "came with 8.2"),
    skip((8, 2), &["XADD", "ACKED"], "came with 8.2"),
    skip((8, 2), &["XTRIM", "KEEPREF"], "came with 8.2"),
    skip((8, 2), &["XTRIM", "DELREF"], "came with 8.2"),
    skip((8, 2), &["XTRIM", "ACKED"], "came with 8.2"),
    skip((8, 2), &["BITOP", "DIFF"], "came with 8.2"),
    skip((8, 2), &["BITOP", "DIFF1"], "came with 8.2"),
    skip((8, 2), &["BITOP", "ANDOR"], "came with 8.2"),
    skip((8, 2), &["BITOP", "ONE"], "came with 8.2"),
    skip((7, 4), &["HSCAN", "NOVALUES"], "came with 7.4"),
];

/// Whether a word is a key of the family of vector sets.
fn is_vector_key(word: &str) -> bool {
    word.len() == 2 && word.starts_with('V')
}

/// Where ours goes its own way: beyond Redis, as Valkey does, or where what Redis does is no intention.
fn own_way(words: &[String]) -> Option<&'static str> {
    let number = |word: Option<&String>| word.and_then(|word| word.parse::<i64>().ok());
    let after = |name: &str| words.iter().position(|word| word == name).map(|at| number(words.get(at + 1)));
    match words[0].as_str() {
        "BITCOUNT" if words.len() == 3 => Some("a start without an end"),
        "COPY" if words.iter().skip(1).any(|word| is_vector_key(word)) => {
            Some("Redis doesn't copy values of modules")
        }
        "HSETEX" if words.get(1).is_some_and(|word| is_vector_key(word)) => {
            Some("Valkey's conditions on the key are looked at later")
        }
        "LSET" if number(words.get(2)).is_some_and(|index| i32::try_from(index).is_err()) => {
            Some("Redis looks at 32 bits of the index")
        }
        "VRANDMEMBER" if words.len() == 2 || number(words.get(2)).is_some_and(|count| count != 0) => {
            Some("elements are drawn at random")
        }
        "SET"
            if words.iter().skip(3).any(|word| word == "GET")
                && words
                    .windows(2)
                    .any(|pair| matches!(&*pair[0], "IFDEQ" | "IFDNE") && pair[1].len() != 16) =>
        {
            Some("Redis replies twice")
        }
        "HSETEX" if words.iter().any(|word| word == "NX" || word == "XX") => {
            Some("Valkey's conditions on the key")
        }
        "HSETEX" if after("FIELDS").flatten().is_some_and(|n| (words.len() as i64) > 4 + 2 * n) => {
            Some("Redis counts options behind the fields as fields when it chooses the encoding")
        }
        "SORT" | "SORT_RO"
            if !words.get(1).is_some_and(|key| key.starts_with('Z'))
                && words.windows(2).any(|pair| pair[0] == "BY" && !pair[1].contains('*')) =>
        {
            Some("it could be a set, which has no order")
        }
        name if name.starts_with('Z') && after("LIMIT").flatten().is_some_and(|offset| offset < 0) => {
            Some("from a skip list, Redis counts a negative offset from the end")
        }
        _ => None,
    }
}

/// Why a case is left out, if it is.
pub fn skipped(case: &Case, pair: &Pair) -> Option<String> {
    let upper = |word: &Vec<u8>| String::from_utf8_lossy(word).to_ascii_uppercase();
    case.iter().find_map(|command| {
        let words: Vec<String> = command.iter().map(upper).collect();
        let name = words.first()?;
        let with_sub = words.get(1).map(|sub| format!("{name}|{sub}")).unwrap_or_default();
        let asked_for = words.get(2).filter(|_| name == "COMMAND");
        let is_meant = |other: &&String| *other == name || **other == with_sub || Some(*other) == asked_for;
        if let Some(name) = pair.missing.iter().find(is_meant) {
            return Some(format!("{name} is not here"));
        }
        if let Some(name) = pair.beyond.iter().find(is_meant) {
            return Some(format!("{name} is not there"));
        }
        if let Some(why) = own_way(&words) {
            return Some(format!("{name}: {why}"));
        }
        let old = SKIPS.iter().find(|skip| {
            pair.version < skip.before
                && skip.words[0] == name
                && skip.words.iter().all(|word| words.iter().any(|w| w == word))
        })?;
        Some(format!("{} {}", old.words.join(" "), old.why))
    })
}
