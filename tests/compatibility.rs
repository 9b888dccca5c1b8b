//! docs/compatibility.md says which commands of Redis 8.6 and Valkey 9.1 are here, and this test keeps
//! it true: it writes the page from our own command table and from tests/data/peer-commands.txt, and
//! compares. `REDLOOP_BLESS=1 cargo test --test compatibility` writes it to disk.

use std::collections::BTreeSet;
use std::fmt::Write;

use redloop::commands;
use redloop::engine::command::keys;
use redloop::engine::command::spec::{category, flag};
use redloop::engine::command::table::{Command, CommandTable};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/compatibility.md");
const PEERS: &str = include_str!("data/peer-commands.txt");
const FACTS: &str = include_str!("data/command-facts.txt");

struct PeerCommand {
    name: &'static str,
    redis: bool,
    valkey: bool,
    note: Option<&'static str>,
}

struct Family {
    name: &'static str,
    commands: Vec<PeerCommand>,
}

fn families() -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for line in PEERS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            families.push(Family { name: name.trim_end_matches(']'), commands: Vec::new() });
            continue;
        }
        let (line, note) = match line.split_once(" : ") {
            Some((line, note)) => (line, Some(note)),
            None => (line, None),
        };
        let (who, name) = line.split_once(' ').expect("who has it, and its name");
        let command = PeerCommand { name, redis: who.starts_with('R'), valkey: who.ends_with('V'), note };
        families.last_mut().expect("a family before its commands").commands.push(command);
    }
    families
}

/// The tables of a server and of a sentinel.
fn tables() -> [CommandTable; 2] {
    [CommandTable::new(commands::FAMILIES), CommandTable::new(&commands::sentinel_families())]
}

/// Names of the commands that a client can call.
fn ours() -> BTreeSet<String> {
    let tables = tables();
    let all = tables.iter().flat_map(CommandTable::iter);
    let visible = all.filter(|command| command.flags & flag::INTERNAL == 0);
    visible.map(|command| command.name.to_ascii_lowercase()).collect()
}

fn shown(name: &str) -> String {
    name.replace('|', " ").to_ascii_uppercase()
}

fn share(here: usize, all: usize) -> String {
    format!("{here} of {all}")
}

fn summary(page: &mut String, families: &[Family], ours: &BTreeSet<String>) {
    page.push_str("| | Redis 8.6 | Valkey 9.1 |\n|---|---|---|\n");
    let mut row = |name: &str, commands: &[&PeerCommand]| {
        let count = |has: fn(&PeerCommand) -> bool| {
            let all = commands.iter().filter(|command| has(command));
            share(all.clone().filter(|command| ours.contains(command.name)).count(), all.count())
        };
        let (redis, valkey) = (count(|command| command.redis), count(|command| command.valkey));
        writeln!(page, "| {name} | {redis} | {valkey} |").expect("a String takes everything");
    };
    for family in families {
        row(family.name, &family.commands.iter().collect::<Vec<_>>());
    }
    row("**all**", &families.iter().flat_map(|family| &family.commands).collect::<Vec<_>>());
}

fn table(page: &mut String, family: &Family, ours: &BTreeSet<String>) {
    writeln!(page, "\n## {}\n", family.name).expect("a String takes everything");
    page.push_str("| command | Redis 8.6 | Valkey 9.1 | here |\n|---|---|---|---|\n");
    for command in &family.commands {
        let mark = |has| if has { "yes" } else { "" };
        let here = match (ours.contains(command.name), command.note) {
            (true, None) => "complete".to_string(),
            (true, Some(note)) => format!("partly: {note}"),
            (false, Some(note)) => format!("no: {note}"),
            (false, None) => "not there yet".to_string(),
        };
        let (redis, valkey) = (mark(command.redis), mark(command.valkey));
        writeln!(page, "| {} | {redis} | {valkey} | {here} |", shown(command.name))
            .expect("a String takes everything");
    }
}

fn page() -> String {
    let (families, ours) = (families(), ours());
    let mut page = String::from(
        "# Compatibility\n\n\
        Every command and subcommand that Redis 8.6 and Valkey 9.1 list, and whether it is here. Where\n\
        the two differ, Redis 8.6 is what we follow, with what Valkey has beyond it. Those of loadable\n\
        modules are left out, but for vector sets, which are part of Redis; SENTINEL is there in [Sentinel mode](sentinel.md) alone.\n\n\
        A test makes this page from the server's own command table and fails when they part\n\
        (`REDLOOP_BLESS=1 cargo test --test compatibility` writes it). COMMAND DOCS of a running server\n\
        tells the details. [The suites of Redis and Valkey](compatibility-suites.md) has what passes of theirs.\n\n",
    );
    summary(&mut page, &families, &ours);
    for family in &families {
        table(&mut page, family, &ours);
    }
    let theirs: BTreeSet<&str> =
        families.iter().flat_map(|family| &family.commands).map(|command| command.name).collect();
    let own: Vec<String> =
        ours.iter().filter(|name| !theirs.contains(name.as_str())).map(|name| shown(name)).collect();
    if !own.is_empty() {
        writeln!(page, "\n## Only here\n\n{}", own.join(", ")).expect("a String takes everything");
    }
    page
}

#[test]
fn the_page_is_up_to_date() {
    let page = page();
    if std::env::var_os("REDLOOP_BLESS").is_some() {
        std::fs::write(PAGE, page).expect("docs/ can be written");
        return;
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    let difference = page.lines().zip(written.lines()).find(|(ours, theirs)| ours != theirs);
    assert!(
        page == written,
        "docs/compatibility.md is out of date, first at {difference:?}: bless it with REDLOOP_BLESS=1"
    );
}

/// A command as a line of tests/data/command-facts.txt.
fn facts(command: &Command) -> String {
    let range = keys::legacy_range(command.spec.keys);
    let named = |bits: u64, names: &[(u64, &'static str)], before: &str| {
        let set: BTreeSet<String> = names
            .iter()
            .filter(|(bit, _)| bits & bit != 0)
            .map(|(_, name)| format!(" {before}{name}"))
            .collect();
        set.into_iter().collect::<String>()
    };
    let (first, last, step) = (range.first, range.last, range.step);
    let flags = named(command.flags & !flag::MODULE, flag::NAMES, "");
    let categories = named(command.spec.categories(), category::NAMES, "@");
    let name = command.name.to_ascii_lowercase();
    format!("{name} {} {first}:{last}:{step}{flags}{categories}", command.spec.arity)
}

#[test]
fn rows_say_what_the_peers_say() {
    let tables = tables();
    let mut differences = Vec::new();
    for theirs in FACTS.lines().filter(|line| !line.starts_with('#')) {
        let name = theirs.split(' ').next().expect("a name");
        let found = |table: &CommandTable| Some(facts(table.get(table.find_full(name.as_bytes())?)));
        let Some(ours) = tables.iter().find_map(found) else { continue };
        if ours != theirs {
            differences.push(format!("ours   {ours}\ntheirs {theirs}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
