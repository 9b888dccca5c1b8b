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
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl fmt::Display) {
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
    pub fn sample(&mut self, labels: Labels<'_>, value: impl fmt::Display) {
        self.part("", labels, value);
    }

    /// A sample whose name has a suffix: `_bucket`, `_sum`, `_count`.
    pub fn part(&mut self, suffix: &str, labels: Labels<'_>, value: impl fmt::Display) {
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
        if !labels.is_empty() {
            text.push('}');
        }
        self.exposition.line(format_args!(" {value}"));
    }
}

/// A label's value may be of any characters.
fn escape(text: &mut String, value: &str) {
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
        exposition.single("up", Kind::Gauge, "It answers.", 1);
        let mut family = exposition.family("calls_total", Kind::Counter, "Calls.");
        family.sample(&[("cmd", "get"), ("odd", "a\"b\\c\nd")], 1.5);
        family.sample(&[("cmd", "set")], 2);
        let mut family = exposition.family("took_seconds", Kind::Histogram, "Time.");
        family.part("_bucket", &[("le", "+Inf")], 3);
        family.part("_count", &[], 3);
        exposition.finish()
    }

    #[test]
    fn both_formats() {
        let prometheus = "# HELP up It answers.\n# TYPE up gauge\nup 1\n\
            # HELP calls_total Calls.\n# TYPE calls_total counter\n\
            calls_total{cmd=\"get\",odd=\"a\\\"b\\\\c\\nd\"} 1.5\ncalls_total{cmd=\"set\"} 2\n\
            # HELP took_seconds Time.\n# TYPE took_seconds histogram\n\
            took_seconds_bucket{le=\"+Inf\"} 3\ntook_seconds_count 3\n";
        assert_eq!(example(Format::Prometheus), prometheus);
        let open = prometheus
            .replace("# HELP calls_total", "# HELP calls")
            .replace("# TYPE calls_total", "# TYPE calls");
        assert_eq!(example(Format::OpenMetrics), open + "# EOF\n");
    }
}
