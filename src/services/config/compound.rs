//! Compound directives (`save`, `client-output-buffer-limit`, `oom-score-adj-values`, `latency-tracking-info-percentiles`,
//! `replicaof`): parses and formats those of several words.

use super::setting::{FileLine, InvalidValue, Rule, Setting, WRONG_COUNT, memory_text, utf8};
use crate::base::number::parse_memory;
use crate::base::quoting::{needs_quotes, quoted};

/// A decimal with an optional sign; nothing around it.
fn parse_int(word: &[u8]) -> Option<i64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// A save point: save when at least `changes` changes were made within `seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    pub seconds: u64,
    pub changes: u64,
}

/// The `save` directive: save points; without any, no snapshot is taken automatically.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavePoints(pub Vec<SavePoint>);

impl Default for SavePoints {
    fn default() -> Self {
        let point = |seconds, changes| SavePoint { seconds, changes };
        SavePoints(vec![point(3600, 1), point(300, 100), point(60, 10000)])
    }
}

impl SavePoints {
    /// Parses pairs of seconds and changes; a single empty word is no pair.
    pub fn parse(words: &[Vec<u8>]) -> Result<Vec<SavePoint>, InvalidValue> {
        const BAD: InvalidValue = InvalidValue::Borrowed("Invalid save parameters");
        if is_empty_word(words) {
            return Ok(Vec::new());
        }
        let (pairs, []) = words.as_chunks::<2>() else {
            return Err(BAD);
        };
        pairs
            .iter()
            .map(|[seconds, changes]| {
                let seconds = parse_int(seconds).filter(|seconds| *seconds >= 1).ok_or(BAD)?;
                let changes = parse_int(changes).ok_or(BAD)?;
                Ok(SavePoint {
                    seconds: seconds.unsigned_abs(),
                    changes: u64::try_from(changes).map_err(|_| BAD)?,
                })
            })
            .collect()
    }
}

/// The one empty word that stands for "none" where several words are taken.
pub fn is_empty_word(words: &[Vec<u8>]) -> bool {
    matches!(words, [only] if only.is_empty())
}

impl Setting for SavePoints {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule) -> Result<(), InvalidValue> {
        self.0 = SavePoints::parse(words)?;
        Ok(())
    }

    fn to_get(&self, _rule: &Rule) -> Vec<u8> {
        let points = self.0.iter().map(|point| format!("{} {}", point.seconds, point.changes));
        points.collect::<Vec<_>>().join(" ").into_bytes()
    }

    fn file_lines(&self, _rule: &Rule, _default: &dyn Setting) -> Vec<FileLine> {
        if self.0.is_empty() {
            return vec![FileLine { value: b"\"\"".to_vec(), forced: true }];
        }
        let line = |point: &SavePoint| format!("{} {}", point.seconds, point.changes).into_bytes();
        self.0.iter().map(|point| FileLine { value: line(point), forced: true }).collect()
    }

    fn domain(&self, _rule: &Rule) -> String {
        "pairs of seconds and changes, or `\"\"`".into()
    }
}

/// The output buffer limits of a client class: a client beyond them is closed. Zero is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputBufferLimit {
    /// The size in bytes at which the client is closed at once.
    pub hard: u64,
    /// The size in bytes at which the client is closed after `soft_seconds`.
    pub soft: u64,
    pub soft_seconds: u64,
}

/// The `client-output-buffer-limit` directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputBufferLimits {
    pub normal: OutputBufferLimit,
    pub replica: OutputBufferLimit,
    pub pubsub: OutputBufferLimit,
}

impl Default for OutputBufferLimits {
    fn default() -> Self {
        OutputBufferLimits {
            normal: OutputBufferLimit::default(),
            replica: OutputBufferLimit { hard: 256 << 20, soft: 64 << 20, soft_seconds: 60 },
            pubsub: OutputBufferLimit { hard: 32 << 20, soft: 8 << 20, soft_seconds: 60 },
        }
    }
}

impl OutputBufferLimits {
    fn class_mut(&mut self, class: &[u8]) -> Option<&mut OutputBufferLimit> {
        match class.to_ascii_lowercase().as_slice() {
            b"normal" => Some(&mut self.normal),
            b"slave" | b"replica" => Some(&mut self.replica),
            b"pubsub" => Some(&mut self.pubsub),
            _ => None,
        }
    }

    fn parse_limit(hard: &[u8], soft: &[u8], seconds: &[u8]) -> Option<OutputBufferLimit> {
        let soft_seconds = u64::try_from(parse_int(seconds)?).ok()?;
        Some(OutputBufferLimit { hard: parse_memory(hard)?, soft: parse_memory(soft)?, soft_seconds })
    }
}

/// Only the classes named change.
impl Setting for OutputBufferLimits {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule) -> Result<(), InvalidValue> {
        let (quads, []) = words.as_chunks::<4>() else {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        };
        let mut limits = *self;
        for [class, hard, soft, seconds] in quads {
            let slot = limits
                .class_mut(class)
                .ok_or("Invalid client class specified in buffer limit configuration.")?;
            *slot = Self::parse_limit(hard, soft, seconds)
                .ok_or("Error in hard, soft or soft_seconds setting in buffer limit configuration.")?;
        }
        *self = limits;
        Ok(())
    }

    fn to_get(&self, _rule: &Rule) -> Vec<u8> {
        let classes = [("normal", self.normal), ("slave", self.replica), ("pubsub", self.pubsub)];
        let texts = classes
            .map(|(class, limit)| format!("{class} {} {} {}", limit.hard, limit.soft, limit.soft_seconds));
        texts.join(" ").into_bytes()
    }

    fn file_lines(&self, _rule: &Rule, _default: &dyn Setting) -> Vec<FileLine> {
        let defaults = OutputBufferLimits::default();
        let classes = [
            ("normal", self.normal, defaults.normal),
            ("replica", self.replica, defaults.replica),
            ("pubsub", self.pubsub, defaults.pubsub),
        ];
        let line = |(class, limit, default): (&str, OutputBufferLimit, OutputBufferLimit)| {
            let (hard, soft) = (memory_text(limit.hard.into()), memory_text(limit.soft.into()));
            let value = format!("{class} {hard} {soft} {}", limit.soft_seconds).into_bytes();
            FileLine { value, forced: limit != default }
        };
        classes.map(line).into()
    }

    fn domain(&self, _rule: &Rule) -> String {
        "class, hard limit, soft limit, soft seconds".into()
    }
}

/// The `oom-score-adj-values` directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OomScores {
    pub primary: i32,
    pub replica: i32,
    pub background: i32,
}

impl Default for OomScores {
    fn default() -> Self {
        OomScores { primary: 0, replica: 200, background: 800 }
    }
}

impl Setting for OomScores {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule) -> Result<(), InvalidValue> {
        const BAD: &str = "Invalid oom-score-adj-values, elements must be between -2000 and 2000.";
        let [primary, replica, background] = words else {
            return Err(WRONG_COUNT.into());
        };
        let score = |word: &[u8]| {
            let score = parse_int(word).and_then(|score| i32::try_from(score).ok());
            score.filter(|score| (-2000..=2000).contains(score)).ok_or(BAD)
        };
        *self =
            OomScores { primary: score(primary)?, replica: score(replica)?, background: score(background)? };
        Ok(())
    }

    fn to_get(&self, _rule: &Rule) -> Vec<u8> {
        format!("{} {} {}", self.primary, self.replica, self.background).into_bytes()
    }

    fn domain(&self, _rule: &Rule) -> String {
        "three numbers, -2000 to 2000".into()
    }
}

/// The `latency-tracking-info-percentiles` directive.
#[derive(Clone, Debug, PartialEq)]
pub struct Percentiles(pub Vec<f64>);

impl Default for Percentiles {
    fn default() -> Self {
        Percentiles(vec![50.0, 99.0, 99.9])
    }
}

/// Six decimals at most, without trailing zeros.
fn percentile_text(percentile: f64) -> String {
    let text = format!("{percentile:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Setting for Percentiles {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule) -> Result<(), InvalidValue> {
        let words = if is_empty_word(words) { &[] } else { words };
        let mut percentiles = Vec::with_capacity(words.len());
        for word in words {
            let percentile = utf8(word).ok().and_then(|text| text.parse::<f64>().ok());
            let percentile = percentile.filter(|percentile| !percentile.is_nan());
            let percentile = percentile.ok_or("Invalid latency-tracking-info-percentiles parameters")?;
            if !(0.0..=100.0).contains(&percentile) {
                let range = "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
                return Err(range.into());
            }
            percentiles.push(percentile);
        }
        self.0 = percentiles;
        Ok(())
    }

    fn to_get(&self, _rule: &Rule) -> Vec<u8> {
        self.0.iter().copied().map(percentile_text).collect::<Vec<_>>().join(" ").into_bytes()
    }

    /// Always written, so that an empty list stays empty.
    fn file_lines(&self, rule: &Rule, _default: &dyn Setting) -> Vec<FileLine> {
        let value = if self.0.is_empty() { b"\"\"".to_vec() } else { self.to_get(rule) };
        vec![FileLine { value, forced: true }]
    }

    fn domain(&self, _rule: &Rule) -> String {
        "numbers, 0 to 100".into()
    }
}

/// The `replicaof` directive: host and port of the primary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaOf(pub Option<(String, u16)>);

impl Setting for ReplicaOf {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule) -> Result<(), InvalidValue> {
        let [host, port] = words else {
            return Err(WRONG_COUNT.into());
        };
        if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
            self.0 = None;
            return Ok(());
        }
        let port = parse_int(port).and_then(|port| u16::try_from(port).ok()).ok_or("Invalid master port")?;
        self.0 = Some((utf8(host)?.to_owned(), port));
        Ok(())
    }

    fn to_get(&self, _rule: &Rule) -> Vec<u8> {
        self.0.iter().map(|(host, port)| format!("{host} {port}")).collect::<String>().into_bytes()
    }

    fn file_lines(&self, _rule: &Rule, _default: &dyn Setting) -> Vec<FileLine> {
        let Some((host, port)) = &self.0 else {
            return Vec::new();
        };
        let bytes = host.as_bytes();
        let mut value = if needs_quotes(bytes) { quoted(bytes) } else { bytes.to_vec() };
        value.extend_from_slice(format!(" {port}").as_bytes());
        vec![FileLine { value, forced: true }]
    }

    fn domain(&self, _rule: &Rule) -> String {
        "host and port, or `no one`".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(target: &mut dyn Setting, line: &str) -> Result<String, String> {
        let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        target.assign(&words, &Rule::Any).map_err(|refusal| refusal.into_owned())?;
        Ok(String::from_utf8_lossy(&target.to_get(&Rule::Any)).into_owned())
    }

    #[test]
    fn save_points() {
        let mut save = SavePoints::default();
        assert_eq!(save.to_get(&Rule::Any), b"3600 1 300 100 60 10000");
        assert_eq!(set(&mut save, "900 1 60 0"), Ok("900 1 60 0".into()));
        for bad in ["900", "0 1", "900 -1", "x 1", "900 1x"] {
            assert_eq!(set(&mut save, bad), Err("Invalid save parameters".into()), "{bad}");
        }
        assert_eq!(set(&mut save, ""), Ok(String::new()));
        let lines = save.file_lines(&Rule::Any, &SavePoints::default());
        assert_eq!(lines, [FileLine { value: b"\"\"".to_vec(), forced: true }]);
    }

    #[test]
    fn output_buffer_limits() {
        let mut limits = OutputBufferLimits::default();
        let text = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        assert_eq!(limits.to_get(&Rule::Any), text.as_bytes());
        assert!(set(&mut limits, "Replica 1mb 2kb 3 normal 1 2 4").is_ok());
        assert_eq!(limits.replica, OutputBufferLimit { hard: 1 << 20, soft: 2048, soft_seconds: 3 });
        assert_eq!(limits.normal.soft_seconds, 4);
        let before = limits;
        for bad in
            ["normal 1 2", "master 1 2 3", "normal x 2 3", "normal 1 2 -3", "pubsub 1 2 3 normal 1 2 x"]
        {
            assert!(set(&mut limits, bad).is_err(), "{bad}");
        }
        assert_eq!(limits, before);
        let lines = limits.file_lines(&Rule::Any, &OutputBufferLimits::default());
        assert_eq!(lines[1], FileLine { value: b"replica 1mb 2kb 3".to_vec(), forced: true });
        assert!(!lines[2].forced);
    }

    #[test]
    fn scores_and_percentiles() {
        let mut scores = OomScores::default();
        assert_eq!(set(&mut scores, "1 -2 3"), Ok("1 -2 3".into()));
        assert!(set(&mut scores, "1 2").is_err() && set(&mut scores, "1 2 2001").is_err());
        let mut percentiles = Percentiles::default();
        assert_eq!(percentiles.to_get(&Rule::Any), b"50 99 99.9");
        assert_eq!(set(&mut percentiles, "0.100 100"), Ok("0.1 100".into()));
        assert!(set(&mut percentiles, "100.1").is_err());
        assert!(set(&mut percentiles, "nan").is_err() && set(&mut percentiles, "5 x").is_err());
        assert_eq!(set(&mut percentiles, ""), Ok(String::new()));
    }

    #[test]
    fn replica_of() {
        let mut target = ReplicaOf::default();
        assert_eq!(set(&mut target, "127.0.0.1 6380"), Ok("127.0.0.1 6380".into()));
        assert_eq!(set(&mut target, "h x"), Err("Invalid master port".into()));
        assert_eq!(set(&mut target, "h"), Err("wrong number of arguments".into()));
        assert_eq!(set(&mut target, "NO one"), Ok(String::new()));
        assert_eq!(target.file_lines(&Rule::Any, &ReplicaOf::default()), []);
    }
}
