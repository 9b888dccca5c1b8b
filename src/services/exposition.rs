//! Exposition: samples of metrics as text, in the format of Prometheus (0.0.4) and that of OpenMetrics (1.0.0).
//!
//! ```text
//! # HELP redis_db_keys Keys of a database.
//! # TYPE redis_db_keys gauge
//! redis_db_keys{db="db0"} 12
//! ```
//!
//! The samples of a family stand together. In OpenMetrics the family of a counter is named without `_total`, which its samples
//! have, and the text ends with `# EOF`.

use std::fmt::{self, Write};

/// Which of the formats is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// As HTTP names it.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a family's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    /// Its name ends with `_total`.
    Counter,
    Histogram,
    Summary,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        }
    }
}

/// A text that is being written.
#[derive(Debug)]
pub struct Exposition {
    format: Format,
    text: String,
}

/// Names and values.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    pub fn new(format: Format) -> Self {
        Exposition { format, text: String::with_capacity(32 * 1024) }
    }

    /// Begins a family, whose samples follow.
    pub fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        debug_assert!(kind != Kind::Counter || name.ends_with("_total"), "{name}");
        let is_short = self.format == Format::OpenMetrics && kind == Kind::Counter;
        let shown = if is_short { name.strip_suffix("_total").unwrap_or(name) } else { name };
        self.line(format_args!("# HELP {shown} {help}"));
        self.line(format_args!("# TYPE {shown} {}", kind.name()));
        Family { exposition: self, name }
    }

    /// A family of one sample without labels.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Amount) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.text.write_fmt(line);
        self.text.push('\n');
    }
}

/// A family whose samples are being written.
#[derive(Debug)]
pub struct Family<'a> {
    exposition: &'a mut Exposition,
    name: &'a str,
}

impl Family<'_> {
    pub fn sample(&mut self, labels: Labels<'_>, value: impl Amount) {
        self.part("", labels, value);
    }

    /// A sample whose name has a suffix: `_bucket`, `_sum`, `_count`.
    pub fn part(&mut self, suffix: &str, labels: Labels<'_>, value: impl Amount) {
        let text = &mut self.exposition.text;
        text.push_str(self.name);
        text.push_str(suffix);
        for (number, (name, value)) in labels.iter().enumerate() {
            text.push_str(if number == 0 { "{" } else { "," });
            text.push_str(name);
            text.push_str("=\"");
            escape(text, value);
            text.push('"');
        }
        text.push_str(if labels.is_empty() { " " } else { "} " });
        value.write(text);
        text.push('\n');
    }

    /// The buckets of a histogram, by their upper bounds, with as many samples as each has and those before it. Most lines of a text
    /// are such.
    pub fn buckets<'b>(&mut self, label: (&str, &str), counts: impl Iterator<Item = (&'b str, u64)>) {
        let text = &mut self.exposition.text;
        let start = text.len();
        for part in [self.name, "_bucket{", label.0, "=\""] {
            text.push_str(part);
        }
        escape(text, label.1);
        text.push_str("\",le=\"");
        let same = start..text.len();
        for (number, (bound, count)) in counts.enumerate() {
            if number > 0 {
                text.extend_from_within(same.clone());
            }
            text.push_str(bound);
            text.push_str("\"} ");
            count.write(text);
            text.push('\n');
        }
    }
}

/// A sample's value.
pub trait Amount {
    fn write(&self, text: &mut String);
}

impl Amount for u64 {
    fn write(&self, text: &mut String) {
        text.push_str(itoa::Buffer::new().format(*self));
    }
}

impl Amount for usize {
    fn write(&self, text: &mut String) {
        (*self as u64).write(text);
    }
}

/// A number as text.
impl Amount for str {
    fn write(&self, text: &mut String) {
        text.push_str(self);
    }
}

impl<A: Amount + ?Sized> Amount for &A {
    fn write(&self, text: &mut String) {
        (*self).write(text);
    }
}

impl Amount for f64 {
    fn write(&self, text: &mut String) {
        // Most are whole, and such a number is written as fast as it can be.
        if self.fract() == 0.0 && (0.0..1e15).contains(self) && self.is_sign_positive() {
            return (*self as u64).write(text);
        }
        // Writing to a String does not fail.
        let _ = write!(text, "{self}");
    }
}

/// A label's value may be of any characters.
fn escape(text: &mut String, value: &str) {
    if !value.bytes().any(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        return text.push_str(value);
    }
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(format: Format) -> String {
        let mut exposition = Exposition::new(format);
        exposition.single("up", Kind::Gauge, "It answers.", 1u64);
        let mut family = exposition.family("calls_total", Kind::Counter, "Calls.");
        family.sample(&[("cmd", "get"), ("odd", "a\"b\\c\nd")], 1.5);
        family.sample(&[("cmd", "set")], 2u64);
        let mut family = exposition.family("took_seconds", Kind::Histogram, "Time.");
        family.buckets(("cmd", "g\"t"), [("0.5", 2), ("+Inf", 3)].into_iter());
        family.part("_sum", &[("cmd", "g\"t")], 0.25);
        family.part("_count", &[], "3");
        exposition.finish()
    }

    #[test]
    fn both_formats() {
        let prometheus = "# HELP up It answers.\n# TYPE up gauge\nup 1\n\
            # HELP calls_total Calls.\n# TYPE calls_total counter\n\
            calls_total{cmd=\"get\",odd=\"a\\\"b\\\\c\\nd\"} 1.5\ncalls_total{cmd=\"set\"} 2\n\
            # HELP took_seconds Time.\n# TYPE took_seconds histogram\n\
            took_seconds_bucket{cmd=\"g\\\"t\",le=\"0.5\"} 2\ntook_seconds_bucket{cmd=\"g\\\"t\",le=\"+Inf\"} 3\n\
            took_seconds_sum{cmd=\"g\\\"t\"} 0.25\ntook_seconds_count 3\n";
        assert_eq!(example(Format::Prometheus), prometheus);
        let open = prometheus
            .replace("# HELP calls_total", "# HELP calls")
            .replace("# TYPE calls_total", "# TYPE calls");
        assert_eq!(example(Format::OpenMetrics), open + "# EOF\n");
    }

    #[test]
    fn numbers() {
        let text = |value: f64| {
            let mut text = String::new();
            value.write(&mut text);
            text
        };
        for value in
            [0.0, 1.0, 999_999_999_999_999.0, 0.1, 1.5e-7, -3.0, -0.0, 1e15, 1e300, f64::INFINITY, f64::NAN]
        {
            assert_eq!(text(value), value.to_string());
        }
    }
}
