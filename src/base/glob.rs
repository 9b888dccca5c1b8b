//! Glob matching, for KEYS, SCAN, PSUBSCRIBE, CONFIG GET and the ACL:
//!
//!     *  any bytes      ?  one byte      [abc] [a-z] [^a]  one byte of a set      \x  x itself
//!
//! The edge cases are those of Redis: an unclosed `[` reads to the pattern's end, a range
//! may run backwards, bytes in ranges compare as signed, nothing but the empty pattern matches the empty
//! text, and a pattern whose match needs more than a thousand stars matches nothing.
//!
//! A mismatch goes back to the last star only, so the time is at most the
//! product of the two lengths, whatever the pattern. No recursion.

/// The most stars that one match may pass; beyond, the pattern doesn't match.
const MAX_STARS: usize = 1000;

/// Whether the whole of `text` matches `pattern`, bytes compared as they are.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run::<false>(pattern, text)
}

/// Whether the whole of `text` matches `pattern`, ASCII letters compared without case.
pub fn matches_ignoring_case(pattern: &[u8], text: &[u8]) -> bool {
    run::<true>(pattern, text)
}

fn run<const NO_CASE: bool>(pattern: &[u8], text: &[u8]) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut rest, mut at) = (pattern, 0);
    // The pattern after the last star, and where in the text it is tried.
    let mut retry: Option<(&[u8], usize)> = None;
    let mut stars = 0;
    loop {
        if rest.first() == Some(&b'*') {
            rest = skip_stars(rest);
            if rest.is_empty() {
                return true;
            }
            stars += 1;
            if stars > MAX_STARS {
                return false;
            }
            let Some(next) = candidate::<NO_CASE>(rest, text, at) else { return false };
            at = next;
            retry = Some((rest, at));
            continue;
        }
        match one::<NO_CASE>(rest, text[at]) {
            Some(after) => {
                rest = after;
                at += 1;
                if at == text.len() {
                    // Behind the last star each item takes one byte: a later start cannot match either.
                    return skip_stars(rest).is_empty();
                }
            }
            None => {
                let Some((after_star, tried)) = retry else { return false };
                let Some(next) = candidate::<NO_CASE>(after_star, text, tried + 1) else { return false };
                rest = after_star;
                at = next;
                retry = Some((after_star, next));
            }
        }
    }
}

fn skip_stars(pattern: &[u8]) -> &[u8] {
    let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
    &pattern[stars..]
}

/// The first position from `at` on where `pattern` can begin; searched by `memchr` if it begins with a literal byte.
fn candidate<const NO_CASE: bool>(pattern: &[u8], text: &[u8], at: usize) -> Option<usize> {
    if at >= text.len() {
        return None;
    }
    match pattern.first() {
        Some(b'?' | b'[' | b'\\' | b'*') | None => Some(at),
        Some(_) if NO_CASE => Some(at),
        Some(byte) => memchr::memchr(*byte, &text[at..]).map(|found| at + found),
    }
}

/// Matches one item of the pattern, not a star, with one byte. Returns the pattern behind the item.
fn one<const NO_CASE: bool>(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', after @ ..] => Some(after),
        [b'[', after @ ..] => set::<NO_CASE>(after, byte),
        [b'\\', literal, after @ ..] | [literal, after @ ..] => {
            (fold::<NO_CASE>(*literal) == fold::<NO_CASE>(byte)).then_some(after)
        }
    }
}

/// Matches the inside of a bracket with one byte. Returns the pattern behind the bracket.
fn set<const NO_CASE: bool>(inside: &[u8], byte: u8) -> Option<&[u8]> {
    let (negated, mut rest) = match inside {
        [b'^', after @ ..] => (true, after),
        _ => (false, inside),
    };
    let mut found = false;
    loop {
        match rest {
            [b'\\', literal, after @ ..] => {
                found |= *literal == byte;
                rest = after;
            }
            [] => break,
            [b']', after @ ..] => {
                rest = after;
                break;
            }
            [from, b'-', to, after @ ..] => {
                let (from, to) = (*from as i8, *to as i8);
                let [low, high, value] =
                    [from.min(to), from.max(to), byte as i8].map(|edge| fold::<NO_CASE>(edge as u8) as i8);
                found |= (low..=high).contains(&value);
                rest = after;
            }
            [literal, after @ ..] => {
                found |= fold::<NO_CASE>(*literal) == fold::<NO_CASE>(byte);
                rest = after;
            }
        }
    }
    (found != negated).then_some(rest)
}

fn fold<const NO_CASE: bool>(byte: u8) -> u8 {
    if NO_CASE { byte.to_ascii_lowercase() } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn known_answers() {
        let cases: [(&str, &str, bool); 34] = [
            ("*", "anything", true),
            ("*", "", false),
            ("", "", true),
            ("", "a", false),
            ("h?llo", "hallo", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hello", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[^a-c]llo", "hbllo", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("[\\]]", "]", true),
            ("[abc", "c", true),
            ("[abc", "d", false),
            ("[", "[", false),
            ("[^", "x", true),
            ("[]", "]", false),
            ("[a-", "-", true),
            ("a**b***", "axxb", true),
            ("*a*b*c", "xaxbxc", true),
            ("*a*b*c", "xaxbxcx", false),
            ("a*", "a", true),
            ("a?*", "a", false),
            ("*aab", "aaab", true),
            ("*?", "a", true),
            ("**?", "", false),
            ("news.*", "news.art", true),
            ("news.*", "new", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern:?} {text:?}");
        }
        assert!(matches_ignoring_case(b"MAX[M-n]*y", b"maxMEMORY"));
        assert!(!matches(b"MAXM*", b"maxm"));
        // Signed bytes: from -1 to 1.
        assert!(matches(b"[\x01-\xff]", b"\x00") && !matches(b"[\x01-\xff]", b"\x02"));
    }

    #[test]
    fn too_many_stars_match_nothing() {
        let pattern = |stars: usize| [b"*a".repeat(stars), b"*".to_vec()].concat();
        assert!(matches(&pattern(1000), &b"a".repeat(2000)));
        assert!(!matches(&pattern(1001), &b"a".repeat(2000)));
    }

    #[test]
    fn no_pattern_takes_exponential_time() {
        let pattern = [b"*a".repeat(500), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &b"a".repeat(5000)));
    }

    /// The naive matcher, by recursion: the oracle.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            ([], _) | (_, []) => pattern.is_empty() && text.is_empty(),
            (_, [byte, tail @ ..]) => one::<false>(pattern, *byte).is_some_and(|after| naive(after, tail)),
        }
    }

    #[test]
    fn agrees_with_recursion() {
        let mut rng = Rng::new(5);
        for _ in 0..30_000 {
            let mut bytes = |alphabet: &[u8], most| -> Vec<u8> {
                (0..rng.below(most)).map(|_| alphabet[rng.below(alphabet.len() as u64) as usize]).collect()
            };
            let pattern = bytes(b"ab**?[]^-\\", 9);
            let text = bytes(b"aab]", 9);
            if !text.is_empty() {
                assert_eq!(matches(&pattern, &text), naive(&pattern, &text), "{pattern:?} {text:?}");
            }
        }
    }
}
