//! INFO: the sections and how they are asked for; [`sections`] and [`counters`] write them.

mod counters;
mod keysizes;
mod sections;
#[cfg(test)]
mod tests;

use std::fmt::{Display, Write};

use crate::engine::{ControlCall, Done, Engine, Outcome};

/// What a text of the default sections takes at most as a rule, bytes.
const USUAL_SIZE: usize = 8 * 1024;

/// The text, being written.
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

    fn field(&mut self, name: &str, value: impl Display) {
        self.named(&[name], value);
    }

    /// A field whose name is in parts.
    fn named(&mut self, name: &[&str], value: impl Display) {
        name.iter().for_each(|part| self.text.push_str(part));
        // Writing to a String does not fail.
        let _ = write!(self.text, ":{value}\r\n");
    }

    /// A number of bytes, and the same for people.
    fn bytes(&mut self, name: &str, bytes: usize) {
        self.field(name, bytes);
        self.named(&[name, "_human"], human(bytes as u64));
    }
}

/// Bytes with a unit.
pub(super) fn human(bytes: u64) -> String {
    const UNITS: [(u64, char); 4] = [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')];
    match UNITS.iter().find(|(shift, _)| bytes >= 1 << shift) {
        None => format!("{bytes}B"),
        Some((shift, unit)) => format!("{:.2}{unit}", bytes as f64 / (1u64 << shift) as f64),
    }
}

/// When a section is shown that was not asked for by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// By INFO without more.
    ByDefault,
    /// By `all` and `everything`.
    InAll,
    /// By `everything`.
    InEverything,
    /// Never.
    ByNameOnly,
}

struct Section {
    name: &'static str,
    title: &'static str,
    shown: Shown,
    write: fn(&mut Engine, &mut Page),
}

const fn section(
    name: &'static str,
    title: &'static str,
    shown: Shown,
    write: fn(&mut Engine, &mut Page),
) -> Section {
    Section { name, title, shown, write }
}

/// In the order in which they are shown.
const SECTIONS: &[Section] = &[
    section("server", "Server", Shown::ByDefault, sections::server),
    section("clients", "Clients", Shown::ByDefault, sections::clients),
    section("memory", "Memory", Shown::ByDefault, sections::memory),
    section("persistence", "Persistence", Shown::ByDefault, sections::persistence),
    section("threads", "Threads", Shown::ByDefault, sections::threads),
    section("stats", "Stats", Shown::ByDefault, counters::stats),
    section("replication", "Replication", Shown::ByDefault, sections::replication),
    section("cpu", "CPU", Shown::ByDefault, sections::cpu),
    section("modules", "Modules", Shown::InEverything, |_, _| {}),
    section("commandstats", "Commandstats", Shown::InAll, counters::commandstats),
    section("errorstats", "Errorstats", Shown::ByDefault, counters::errorstats),
    section("latencystats", "Latencystats", Shown::InAll, counters::latencystats),
    section("cluster", "Cluster", Shown::ByDefault, sections::cluster),
    section("keyspace", "Keyspace", Shown::ByDefault, sections::keyspace),
    section("keysizes", "Keysizes", Shown::ByDefault, keysizes::keysizes),
    section("debug", "Debug", Shown::ByNameOnly, counters::debug),
];

impl Section {
    fn is_wanted(&self, wanted: &[&[u8]]) -> bool {
        if wanted.is_empty() {
            return self.shown == Shown::ByDefault;
        }
        wanted.iter().any(|word| {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            is(self.name)
                || match self.shown {
                    Shown::ByDefault => is("default") || is("all") || is("everything"),
                    Shown::InAll => is("all") || is("everything"),
                    Shown::InEverything => is("everything"),
                    Shown::ByNameOnly => false,
                }
        })
    }
}

pub(in crate::commands) fn info(call: &mut ControlCall<'_>) -> Outcome {
    let wanted: Vec<&[u8]> = call.args.tail(1).iter().collect();
    let mut page = Page { text: String::with_capacity(USUAL_SIZE) };
    for section in SECTIONS.iter().filter(|section| section.is_wanted(&wanted)) {
        page.title(section.title);
        (section.write)(call.engine, &mut page);
    }
    call.reply.verbatim("txt", page.text.as_bytes());
    Ok(Done::Replied)
}
