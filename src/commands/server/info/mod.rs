//! INFO: the table of sections and their selection; [`sections`] and [`counters`] write them.

mod counters;
mod keysizes;
mod persistence;
mod quotas;
mod replication;
mod sections;
mod sentinel;
#[cfg(test)]
mod tests;

use std::fmt::{Arguments, Display, Write};

use crate::engine::{ControlCall, Done, Engine, Outcome};

/// Room for the first sections, bytes. The text is in memory while the memory section tells how much is in use, so it has
/// no more room than it needs.
const FIRST_SECTIONS: usize = 1024;

/// What a field of INFO can have as its value.
trait FieldValue {
    fn write(self, text: &mut String);
}

impl FieldValue for &str {
    fn write(self, text: &mut String) {
        text.push_str(self);
    }
}

impl FieldValue for &String {
    fn write(self, text: &mut String) {
        text.push_str(self);
    }
}

impl FieldValue for String {
    fn write(self, text: &mut String) {
        text.push_str(&self);
    }
}

impl FieldValue for Arguments<'_> {
    fn write(self, text: &mut String) {
        // Writing to a String does not fail.
        let _ = text.write_fmt(self);
    }
}

/// Most fields are integers: without the machinery of `fmt` they cost a third.
macro_rules! integer_values {
    ($($integer:ty),*) => {$(
        impl FieldValue for $integer {
            fn write(self, text: &mut String) {
                text.push_str(itoa::Buffer::new().format(self));
            }
        }
    )*};
}

integer_values!(u8, u16, u32, u64, usize, i32, i64);

/// A writer of INFO's text.
struct Page {
    text: String,
}

impl Page {
    fn title(&mut self, title: &str) {
        if !self.text.is_empty() {
            self.text.push_str("\r\n");
        }
        self.line(format_args!("# {title}"));
    }

    fn line(&mut self, line: impl Display) {
        // Writing to a String does not fail.
        let _ = write!(self.text, "{line}\r\n");
    }

    fn field(&mut self, name: &str, value: impl FieldValue) {
        self.named(&[name], value);
    }

    /// Writes a field with a name of several parts.
    fn named(&mut self, name: &[&str], value: impl FieldValue) {
        name.iter().for_each(|part| self.text.push_str(part));
        self.text.push(':');
        value.write(&mut self.text);
        self.text.push_str("\r\n");
    }

    /// Writes an amount in bytes, and a second field with a unit.
    fn bytes(&mut self, name: &str, bytes: usize) {
        self.field(name, bytes);
        self.named(&[name, "_human"], human(bytes as u64));
    }
}

/// An amount of bytes with a binary unit: `12B`, `1.50K`.
pub(super) fn human(bytes: u64) -> String {
    const UNITS: [(u64, char); 4] = [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')];
    match UNITS.iter().find(|(shift, _)| bytes >= 1 << shift) {
        None => format!("{bytes}B"),
        Some((shift, unit)) => format!("{:.2}{unit}", bytes as f64 / (1u64 << shift) as f64),
    }
}

/// Which requests show a section, besides those that name it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visibility {
    /// INFO without arguments, `default`, `all`, `everything`.
    ByDefault,
    /// `all` and `everything`.
    InAll,
    /// None.
    ByNameOnly,
}

struct Section {
    name: &'static str,
    title: &'static str,
    visibility: Visibility,
    write: fn(&mut Engine, &mut Page),
}

const fn section(
    name: &'static str,
    title: &'static str,
    visibility: Visibility,
    write: fn(&mut Engine, &mut Page),
) -> Section {
    Section { name, title, visibility, write }
}

/// The sections, in the order of the reply.
const SECTIONS: &[Section] = &[
    section("server", "Server", Visibility::ByDefault, sections::server),
    section("tls", "TLS", Visibility::InAll, sections::tls),
    section("clients", "Clients", Visibility::ByDefault, sections::clients),
    section("memory", "Memory", Visibility::ByDefault, sections::memory),
    section("persistence", "Persistence", Visibility::ByDefault, persistence::persistence),
    section("threads", "Threads", Visibility::ByDefault, sections::threads),
    section("stats", "Stats", Visibility::ByDefault, counters::stats),
    section("replication", "Replication", Visibility::ByDefault, replication::replication),
    section("cpu", "CPU", Visibility::ByDefault, sections::cpu),
    section("hotkeys", "Hotkeys", Visibility::ByDefault, counters::hotkeys),
    section("modules", "Modules", Visibility::ByDefault, sections::modules),
    section("quotas", "Quotas", Visibility::InAll, quotas::quotas),
    section("commandstats", "Commandstats", Visibility::InAll, counters::commandstats),
    section("errorstats", "Errorstats", Visibility::ByDefault, counters::errorstats),
    section("latencystats", "Latencystats", Visibility::InAll, counters::latencystats),
    section("analysis", "Analysis", Visibility::InAll, counters::analysis),
    section("cluster", "Cluster", Visibility::ByDefault, sections::cluster),
    section("keyspace", "Keyspace", Visibility::ByDefault, sections::keyspace),
    section("keysizes", "Keysizes", Visibility::ByDefault, keysizes::keysizes),
    section("debug", "Debug", Visibility::ByNameOnly, counters::debug),
    section("sentinel", "Sentinel", Visibility::ByDefault, sentinel::sentinel),
];

/// The sections that Sentinel mode has.
const OF_SENTINEL: [&str; 5] = ["server", "clients", "stats", "cpu", "sentinel"];

impl Section {
    fn is_wanted(&self, wanted: &[&[u8]]) -> bool {
        if wanted.is_empty() {
            return self.visibility == Visibility::ByDefault;
        }
        wanted.iter().any(|word| {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            is(self.name)
                || match self.visibility {
                    Visibility::ByDefault => is("default") || is("all") || is("everything"),
                    Visibility::InAll => is("all") || is("everything"),
                    Visibility::ByNameOnly => false,
                }
        })
    }
}

pub(in crate::commands) fn info(call: &mut ControlCall<'_>) -> Outcome {
    let wanted: Vec<&[u8]> = call.args.tail(1).iter().collect();
    let text = info_text(call.engine, &wanted);
    call.reply.verbatim(b"txt", text.as_bytes());
    Ok(Done::Replied)
}

/// The text of the sections that are wanted; without any, of those that are shown by default.
pub fn info_text(engine: &mut Engine, wanted: &[&[u8]]) -> String {
    let mut page = Page { text: String::with_capacity(FIRST_SECTIONS) };
    let is_sentinel = engine.is_sentinel();
    let exists = |section: &&Section| match is_sentinel {
        true => OF_SENTINEL.contains(&section.name),
        false => section.name != "sentinel",
    };
    for section in SECTIONS.iter().filter(exists).filter(|section| section.is_wanted(wanted)) {
        page.title(section.title);
        (section.write)(engine, &mut page);
    }
    page.text
}
