//! Bounds of score ranges and of lexicographic ranges, and their parsing.

use crate::base::number::parse_f64_bound;

/// One end of a range of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreBound {
    /// Never NaN; the infinities are scores like others.
    pub score: f64,
    /// Whether `score` itself lies outside.
    pub exclusive: bool,
}

impl ScoreBound {
    /// The start of a range of all scores.
    pub const MIN: ScoreBound = ScoreBound::inclusive(f64::NEG_INFINITY);
    /// The end of a range of all scores.
    pub const MAX: ScoreBound = ScoreBound::inclusive(f64::INFINITY);

    /// A bound that includes the score.
    pub const fn inclusive(score: f64) -> Self {
        ScoreBound { score, exclusive: false }
    }

    /// A bound that excludes the score.
    pub const fn exclusive(score: f64) -> Self {
        ScoreBound { score, exclusive: true }
    }

    /// Parses `1.5`, `(1.5`, `-inf`; `None` if it is no float.
    pub fn parse(text: &[u8]) -> Option<Self> {
        match text.strip_prefix(b"(") {
            Some(rest) => parse_f64_bound(rest).map(ScoreBound::exclusive),
            None => parse_f64_bound(text).map(ScoreBound::inclusive),
        }
    }

    /// Whether a score lies below the range that begins here.
    #[inline(always)]
    pub fn starts_after(self, score: f64) -> bool {
        score < self.score || (self.exclusive && score == self.score)
    }

    /// Whether a score lies above the range that ends here.
    #[inline(always)]
    pub fn ends_before(self, score: f64) -> bool {
        score > self.score || (self.exclusive && score == self.score)
    }
}

/// One end of a range of members that all have the same score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// `-`: before every member.
    Min,
    /// `+`: after every member.
    Max,
    /// `[member`: with the member itself.
    Inclusive(&'a [u8]),
    /// `(member`: without the member itself.
    Exclusive(&'a [u8]),
}

impl<'a> LexBound<'a> {
    /// Parses `-`, `+`, `[member`, `(member`; `None` for any other text.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        match text {
            b"-" => Some(LexBound::Min),
            b"+" => Some(LexBound::Max),
            [b'[', member @ ..] => Some(LexBound::Inclusive(member)),
            [b'(', member @ ..] => Some(LexBound::Exclusive(member)),
            _ => None,
        }
    }

    /// Whether a member lies below the range that begins here.
    #[inline(always)]
    pub fn starts_after(self, member: &[u8]) -> bool {
        match self {
            LexBound::Min => false,
            LexBound::Max => true,
            LexBound::Inclusive(bound) => member < bound,
            LexBound::Exclusive(bound) => member <= bound,
        }
    }

    /// Whether a member lies above the range that ends here.
    #[inline(always)]
    pub fn ends_before(self, member: &[u8]) -> bool {
        match self {
            LexBound::Min => true,
            LexBound::Max => false,
            LexBound::Inclusive(bound) => member > bound,
            LexBound::Exclusive(bound) => member >= bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_redis_reads_them() {
        assert_eq!(ScoreBound::parse(b"1.5"), Some(ScoreBound::inclusive(1.5)));
        assert_eq!(ScoreBound::parse(b"(-3"), Some(ScoreBound::exclusive(-3.0)));
        assert_eq!(ScoreBound::parse(b"-inf"), Some(ScoreBound::MIN));
        assert_eq!(ScoreBound::parse(b"(+inf"), Some(ScoreBound::exclusive(f64::INFINITY)));
        for bad in [&b"foo"[..], b"nan", b"(nan", b"1 ", b"((1", b"1x"] {
            assert_eq!(ScoreBound::parse(bad), None, "{bad:?}");
        }
        assert_eq!(LexBound::parse(b"-"), Some(LexBound::Min));
        assert_eq!(LexBound::parse(b"+"), Some(LexBound::Max));
        assert_eq!(LexBound::parse(b"["), Some(LexBound::Inclusive(b"")));
        assert_eq!(LexBound::parse(b"(a\0"), Some(LexBound::Exclusive(b"a\0")));
        for bad in [&b""[..], b"a", b"-x", b"++"] {
            assert_eq!(LexBound::parse(bad), None, "{bad:?}");
        }
    }
}
