//! The reference of directives in docs/configuration.md, generated from the table.

use std::fmt::Write;

use super::{Config, DIRECTIVES, Directive, Effect, flags};

/// The directives as Markdown: a table for each effect, rows in the order of names.
pub fn render_reference() -> String {
    let mut out = String::new();
    section(&mut out, "In effect", "", |effect| (*effect == Effect::Live).then_some(""));
    let later = "Kept, shown and rewritten; they take effect once the part named in the last column exists. The log \
                 names those that are set.";
    section(&mut out, "Not in effect yet", later, |effect| match effect {
        Effect::NotYet(part) => Some(*part),
        _ => None,
    });
    let moot = "Accepted for the sake of existing files and tools. The server behaves the same with every value, \
                for the reason in the last column.";
    section(&mut out, "Without need", moot, |effect| match effect {
        Effect::Ignored(reason) => Some(*reason),
        _ => None,
    });
    let absent = "A file may hold them, with a warning in the log. `CONFIG SET` refuses another value, because it \
                  would do nothing, for the reason in the last column.";
    section(&mut out, "Without effect", absent, |effect| match effect {
        Effect::Unsupported(reason) => Some(*reason),
        _ => None,
    });
    out
}

fn section(out: &mut String, title: &str, intro: &str, note: impl Fn(&Effect) -> Option<&'static str>) {
    let mut rows: Vec<(&Directive, &str)> =
        DIRECTIVES.iter().filter_map(|row| note(&row.effect).map(|note| (row, note))).collect();
    rows.sort_by_key(|(row, _)| row.name);
    let noted = rows.iter().any(|(_, note)| !note.is_empty());
    let (head, rule) = if noted { (" Note |", "---|") } else { ("", "") };
    // Writing to a String does not fail.
    let _ = write!(out, "### {title}\n\n");
    if !intro.is_empty() {
        let _ = write!(out, "{intro}\n\n");
    }
    let _ = writeln!(out, "| Directive | Default | Values | Change | Meaning |{head}");
    let _ = writeln!(out, "|---|---|---|---|---|{rule}");
    let defaults = Config::default();
    for (row, note) in rows {
        let alias = row.alias.map(|alias| format!(", `{alias}`")).unwrap_or_default();
        let domain = (row.get)(&defaults).domain(&row.rule);
        let _ = write!(
            out,
            "| `{}`{alias} | {} | {domain} | {} | {} |",
            row.name,
            default_text(row, &defaults),
            change_text(row),
            row.meaning
        );
        let _ = writeln!(out, "{}", if noted { format!(" {note} |") } else { String::new() });
    }
    out.push('\n');
}

pub(super) fn default_text(row: &Directive, defaults: &Config) -> String {
    let text = String::from_utf8_lossy(&(row.get)(defaults).to_file(&row.rule)).into_owned();
    match text.as_str() {
        "" | "\"\"" => "empty".into(),
        _ => format!("`{text}`"),
    }
}

pub(super) fn change_text(row: &Directive) -> &'static str {
    match row.flags {
        bits if bits & flags::IMMUTABLE != 0 => "start",
        bits if bits & flags::PROTECTED != 0 => "protected",
        _ => "any time",
    }
}
