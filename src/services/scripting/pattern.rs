//! Lua's patterns: matches one at a place of a text, with captures.
//!
//! The functions of Lua 5.1's own library recurse once an item of the pattern, and a pattern can have any number of them;
//! and they take exponential time for some, during which nothing else runs. These here count both: too deep a pattern
//! is an error, and every so many steps the owner of the [`Matcher`] is asked whether to go on.

/// Captures of a pattern.
const MAX_CAPTURES: usize = 32;
/// Items that are matched within each other.
const MAX_DEPTH: usize = 1000;
/// Steps between two questions whether to go on.
const STEPS: u32 = 50_000;

/// What a capture has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// Its parenthesis isn't closed yet.
    Open {
        start: usize,
    },
    Text {
        start: usize,
        end: usize,
    },
    /// `()`: a place, counted from 0.
    Position(usize),
}

/// Why a match was given up: a wrong pattern, or what the owner said.
#[derive(Debug)]
pub enum Failure<E> {
    Pattern(&'static str),
    Stopped(E),
}

/// Matches a pattern against a text.
pub struct Matcher<'a, Tick> {
    text: &'a [u8],
    pattern: &'a [u8],
    captures: [Capture; MAX_CAPTURES],
    count: usize,
    depth: usize,
    steps: u32,
    tick: Tick,
}

type Found<E> = Result<Option<usize>, Failure<E>>;

impl<'a, E, Tick: FnMut() -> Result<(), E>> Matcher<'a, Tick> {
    /// `tick` is called now and then; its error ends the match. A pattern ends at its first zero.
    pub fn new(text: &'a [u8], pattern: &'a [u8], tick: Tick) -> Self {
        Matcher {
            text,
            pattern: ended_at_zero(pattern),
            captures: [Capture::Open { start: 0 }; MAX_CAPTURES],
            count: 0,
            depth: 0,
            steps: 0,
            tick,
        }
    }

    /// The first match that begins at `from` or, unless `anchored`, behind it: its begin and end.
    pub fn find(&mut self, from: usize, anchored: bool) -> Result<Option<(usize, usize)>, Failure<E>> {
        let first = if anchored { None } else { self.first_byte() };
        let mut start = from;
        while start <= self.text.len() {
            if let Some(first) = first {
                match memchr::memchr(first, &self.text[start..]) {
                    Some(skipped) => start += skipped,
                    None => return Ok(None),
                }
            }
            self.count = 0;
            self.step()?;
            if let Some(end) = self.match_here(start, 0)? {
                return Ok(Some((start, end)));
            }
            if anchored {
                break;
            }
            start += 1;
        }
        Ok(None)
    }

    /// The byte with which each match begins, if the pattern says so.
    fn first_byte(&self) -> Option<u8> {
        let first = self.pattern.first().copied()?;
        let is_plain = !b"%[(.)$".contains(&first) && !b"*?-".contains(&self.at(1));
        is_plain.then_some(first)
    }

    /// The captures of the last match.
    pub fn captures(&self) -> &[Capture] {
        &self.captures[..self.count]
    }

    /// The byte of the pattern; zero at its end.
    fn at(&self, place: usize) -> u8 {
        self.pattern.get(place).copied().unwrap_or(0)
    }

    #[inline]
    fn step(&mut self) -> Result<(), Failure<E>> {
        self.count_steps(1)
    }

    #[inline]
    fn count_steps(&mut self, steps: u32) -> Result<(), Failure<E>> {
        self.steps += steps;
        if self.steps >= STEPS {
            self.steps = 0;
            (self.tick)().map_err(Failure::Stopped)?;
        }
        Ok(())
    }

    /// Matches the pattern from `p` on at `s`: where the match ends.
    fn match_here(&mut self, s: usize, p: usize) -> Found<E> {
        if self.depth == MAX_DEPTH {
            return Err(Failure::Pattern("pattern too complex"));
        }
        self.depth += 1;
        let found = self.match_items(s, p);
        self.depth -= 1;
        found
    }

    /// Goes through the items that need no way back; any other goes on by itself.
    fn match_items(&mut self, mut s: usize, mut p: usize) -> Found<E> {
        loop {
            self.step()?;
            match (self.at(p), self.at(p + 1)) {
                (0, _) if p >= self.pattern.len() => return Ok(Some(s)),
                (b'(', b')') => return self.open(Capture::Position(s), s, p + 2),
                (b'(', _) => return self.open(Capture::Open { start: s }, s, p + 1),
                (b')', _) => return self.close(s, p + 1),
                (b'$', 0) if p + 1 == self.pattern.len() => {
                    return Ok((s == self.text.len()).then_some(s));
                }
                (b'%', b'b') => match self.match_balanced(s, p + 2)? {
                    Some(end) => (s, p) = (end, p + 4),
                    None => return Ok(None),
                },
                (b'%', b'f') => {
                    p += 2;
                    if self.at(p) != b'[' {
                        return Err(Failure::Pattern("missing '[' after '%f' in pattern"));
                    }
                    let end = self.item_end(p)?;
                    let before = if s == 0 { 0 } else { self.text[s - 1] };
                    let here = self.text.get(s).copied().unwrap_or(0);
                    if self.in_set(before, p, end - 1) || !self.in_set(here, p, end - 1) {
                        return Ok(None);
                    }
                    p = end;
                }
                (b'%', digit @ b'0'..=b'9') => match self.match_captured(s, digit)? {
                    Some(end) => (s, p) = (end, p + 2),
                    None => return Ok(None),
                },
                _ => {
                    let end = self.item_end(p)?;
                    let item = self.item(p, end);
                    let fits = self.text.get(s).is_some_and(|byte| self.fits(*byte, item));
                    match self.at(end) {
                        b'?' => {
                            if fits && let Some(found) = self.match_here(s + 1, end + 1)? {
                                return Ok(Some(found));
                            }
                            p = end + 1;
                        }
                        b'*' => return self.match_most(s, item, end),
                        b'+' if fits => return self.match_most(s + 1, item, end),
                        b'-' => return self.match_fewest(s, item, end),
                        _ if !fits => return Ok(None),
                        _ => (s, p) = (s + 1, end),
                    }
                }
            }
        }
    }

    /// How many bytes from `s` on an item stands for.
    fn span(&mut self, s: usize, item: Item) -> Result<usize, Failure<E>> {
        let text = self.text;
        let mut span = 0;
        loop {
            let rest = &text[(s + span).min(text.len())..];
            let rest = &rest[..rest.len().min(STEPS as usize)];
            let other = match item {
                Item::Any => None,
                Item::Byte(byte) => rest.iter().position(|other| *other != byte),
                Item::Class { bits, within } => {
                    rest.iter().position(|byte| (CLASSES[usize::from(*byte)] & bits != 0) != within)
                }
                Item::Set { begin, last } => rest.iter().position(|byte| !self.in_set(*byte, begin, last)),
            };
            let len = other.unwrap_or(rest.len());
            span += len;
            self.count_steps(len as u32)?;
            if other.is_some() || rest.is_empty() {
                return Ok(span);
            }
        }
    }

    /// Repeats an item as often as possible, then less often until the rest matches.
    fn match_most(&mut self, s: usize, item: Item, end: usize) -> Found<E> {
        let mut last = s + self.span(s, item)?;
        if end + 1 == self.pattern.len() {
            return Ok(Some(last));
        }
        loop {
            if let Some(found) = self.match_here(last, end + 1)? {
                return Ok(Some(found));
            }
            if last == s {
                return Ok(None);
            }
            last -= 1;
        }
    }

    /// Repeats an item only as often as the rest needs it.
    fn match_fewest(&mut self, mut s: usize, item: Item, end: usize) -> Found<E> {
        loop {
            if let Some(found) = self.match_here(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.text.get(s).is_some_and(|byte| self.fits(*byte, item)) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open(&mut self, capture: Capture, s: usize, p: usize) -> Found<E> {
        if self.count == MAX_CAPTURES {
            return Err(Failure::Pattern("too many captures"));
        }
        self.captures[self.count] = capture;
        self.count += 1;
        let found = self.match_here(s, p)?;
        if found.is_none() {
            self.count -= 1;
        }
        Ok(found)
    }

    fn close(&mut self, s: usize, p: usize) -> Found<E> {
        let is_open = |capture: &Capture| matches!(capture, Capture::Open { .. });
        let Some(last) = self.captures().iter().rposition(is_open) else {
            return Err(Failure::Pattern("invalid pattern capture"));
        };
        let opened = self.captures[last];
        if let Capture::Open { start } = opened {
            self.captures[last] = Capture::Text { start, end: s };
        }
        let found = self.match_here(s, p)?;
        if found.is_none() {
            self.captures[last] = opened;
        }
        Ok(found)
    }

    /// `%1` to `%9`: the text of an earlier capture.
    fn match_captured(&self, s: usize, digit: u8) -> Found<E> {
        let index = usize::from(digit).wrapping_sub(usize::from(b'1'));
        match self.captures().get(index) {
            Some(Capture::Text { start, end }) => {
                let captured = &self.text[*start..*end];
                Ok(self.text[s..].starts_with(captured).then(|| s + captured.len()))
            }
            // A position has no text: nothing is as long as it seems to be.
            Some(Capture::Position(_)) => Ok(None),
            Some(Capture::Open { .. }) | None => Err(Failure::Pattern("invalid capture index")),
        }
    }

    /// `%bxy`: from an x to its y.
    fn match_balanced(&mut self, s: usize, p: usize) -> Found<E> {
        let (begin, end) = (self.at(p), self.at(p + 1));
        if begin == 0 || end == 0 {
            return Err(Failure::Pattern("unbalanced pattern"));
        }
        if self.text.get(s) != Some(&begin) {
            return Ok(None);
        }
        let mut open = 1usize;
        for place in s + 1..self.text.len() {
            self.step()?;
            let byte = self.text[place];
            if byte == end {
                open -= 1;
                if open == 0 {
                    return Ok(Some(place + 1));
                }
            } else if byte == begin {
                open += 1;
            }
        }
        Ok(None)
    }

    /// Where the item at `p` ends, without what says how often it comes.
    fn item_end(&self, mut p: usize) -> Result<usize, Failure<E>> {
        let first = self.at(p);
        p += 1;
        match first {
            b'%' if self.at(p) == 0 => Err(Failure::Pattern("malformed pattern (ends with '%')")),
            b'%' => Ok(p + 1),
            b'[' => {
                if self.at(p) == b'^' {
                    p += 1;
                }
                // A bracket right at the begin is one of the set.
                loop {
                    let byte = self.at(p);
                    if byte == 0 {
                        return Err(Failure::Pattern("malformed pattern (missing ']')"));
                    }
                    p += 1;
                    if byte == b'%' && self.at(p) != 0 {
                        p += 1;
                    }
                    if self.at(p) == b']' {
                        return Ok(p + 1);
                    }
                }
            }
            _ => Ok(p),
        }
    }

    /// The item from `p` to `end`.
    fn item(&self, p: usize, end: usize) -> Item {
        match self.at(p) {
            b'.' => Item::Any,
            b'%' => class(self.at(p + 1)),
            b'[' => Item::Set { begin: p, last: end - 1 },
            exactly => Item::Byte(exactly),
        }
    }

    /// Whether a byte is one that the item stands for.
    #[inline]
    fn fits(&self, byte: u8, item: Item) -> bool {
        match item {
            Item::Set { begin, last } => self.in_set(byte, begin, last),
            item => item.has(byte),
        }
    }

    /// Whether a byte is in the set from the bracket at `p` to the one at `last`.
    fn in_set(&self, byte: u8, mut p: usize, last: usize) -> bool {
        let mut within = true;
        if self.at(p + 1) == b'^' {
            within = false;
            p += 1;
        }
        p += 1;
        while p < last {
            if self.at(p) == b'%' {
                p += 1;
                if class(self.at(p)).has(byte) {
                    return within;
                }
            } else if self.at(p + 1) == b'-' && p + 2 < last {
                if (self.at(p)..=self.at(p + 2)).contains(&byte) {
                    return within;
                }
                p += 2;
            } else if self.at(p) == byte {
                return within;
            }
            p += 1;
        }
        !within
    }
}

/// A pattern as C reads it.
pub fn ended_at_zero(pattern: &[u8]) -> &[u8] {
    &pattern[..memchr::memchr(0, pattern).unwrap_or(pattern.len())]
}

/// What one byte is compared with.
#[derive(Clone, Copy)]
enum Item {
    Any,
    Byte(u8),
    /// Bytes that are in one of these classes; those that aren't unless `within`.
    Class {
        bits: u16,
        within: bool,
    },
    /// The set from the bracket at one place of the pattern to that at the other.
    Set {
        begin: usize,
        last: usize,
    },
}

impl Item {
    /// Whether it stands for a byte, unless it is a set.
    #[inline]
    fn has(self, byte: u8) -> bool {
        match self {
            Item::Any => true,
            Item::Byte(exactly) => exactly == byte,
            Item::Class { bits, within } => (CLASSES[usize::from(byte)] & bits != 0) == within,
            Item::Set { .. } => false,
        }
    }
}

/// The letters of the classes, in the order of their bits.
const LETTERS: &[u8; 10] = b"acdlpsuwxz";

/// The classes that each byte is in.
static CLASSES: [u16; 256] = {
    let mut classes = [0u16; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        let within = [
            byte.is_ascii_alphabetic(),
            byte.is_ascii_control(),
            byte.is_ascii_digit(),
            byte.is_ascii_lowercase(),
            byte.is_ascii_punctuation(),
            matches!(byte, b' ' | b'\t'..=b'\r'),
            byte.is_ascii_uppercase(),
            byte.is_ascii_alphanumeric(),
            byte.is_ascii_hexdigit(),
            byte == 0,
        ];
        let mut class = 0;
        while class < within.len() {
            if within[class] {
                classes[at] |= 1 << class;
            }
            class += 1;
        }
        at += 1;
    }
    classes
};

/// The class `%a`, `%D` …; another letter than those of classes stands for itself.
fn class(letter: u8) -> Item {
    match memchr::memchr(letter.to_ascii_lowercase(), LETTERS) {
        Some(bit) => Item::Class { bits: 1 << bit, within: letter.is_ascii_lowercase() },
        None => Item::Byte(letter),
    }
}
