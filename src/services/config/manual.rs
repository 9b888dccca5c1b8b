//! The manual page and the completions of shells, generated from the table of directives.

use std::fmt::Write;

use super::reference::{change_text, default_text};
use super::{Config, DIRECTIVES, Directive, Effect, REDIS_VERSION};

/// Options that are no directives: the words behind them, and what they do.
const OPTIONS: [(&str, &str, &str); 12] = [
    ("help", "", "Prints the usage."),
    ("version", "", "Prints the versions."),
    ("sentinel", "", "Starts as a sentinel, with the configuration file that is named."),
    ("cluster-local", "primaries", "Starts a cluster on this machine; a second number: replicas of each."),
    ("check-config", "", "Checks a configuration and starts nothing."),
    ("check-system", "", "Checks the machine, and tells what mends it; 1 if there is something."),
    ("check-rdb", "file", "Checks a snapshot."),
    ("check-aof", "file", "Checks an append-only file; mends it behind --fix."),
    ("man", "", "Prints this page."),
    ("completion", "bash, zsh or fish", "Prints the completion of a shell."),
    ("fix", "", "Has --check-aof cut off what is damaged at the end."),
    ("truncate-to-timestamp", "seconds", "Has --check-aof cut off what is later than this Unix time."),
];

/// The shells that there are completions for.
pub const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Directives that do something, in the order of names.
fn effective() -> Vec<&'static Directive> {
    let mut rows: Vec<_> = DIRECTIVES.iter().filter(|row| row.effect == Effect::Live).collect();
    rows.sort_by_key(|row| row.name);
    rows
}

/// The words that a directive takes, where they are a choice.
fn words(row: &Directive, defaults: &Config) -> Vec<String> {
    let domain = (row.get)(defaults).domain(&row.rule);
    domain.split('`').skip(1).step_by(2).map(String::from).collect()
}

/// A text as roff takes it.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('`', "");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// The manual page, for man(1).
pub fn render_manual(version: &str) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write!(
        out,
        ".TH REDLOOP 1 \"\" \"redloop {version}\" \"User Commands\"\n\
         .SH NAME\nredloop \\- in\\-memory data store that speaks Redis {REDIS_VERSION}\n\
         .SH SYNOPSIS\n.B redloop\n.RI [ file \" | \\-] [\" options ]\n\
         .SH DESCRIPTION\nredloop takes the configuration of Redis and Valkey: the same files, the same options. \
         Without any it listens on port 6379 and lets in clients of this machine only.\n.PP\n\
         A file has a directive a line;\n.B \\-\nreads them from standard input. An option is a directive with two dashes before it, and its \
         words; options override the file.\n\
         .SH OPTIONS\n"
    );
    for (name, argument, meaning) in OPTIONS {
        let _ = writeln!(out, ".TP\n.B \\-\\-{} \\fI{}\\fR\n{}", roff(name), roff(argument), roff(meaning));
    }
    out.push_str(".SH DIRECTIVES\n");
    let defaults = Config::default();
    for row in effective() {
        let alias = row.alias.map(|alias| format!(" (also {alias})")).unwrap_or_default();
        let domain = (row.get)(&defaults).domain(&row.rule);
        let (default, change) = (default_text(row, &defaults), change_text(row));
        let facts = format!("Values: {domain}. Default: {default}. Set: {change}.");
        let _ = writeln!(
            out,
            ".TP\n.B {}\\fR{}\n{}\n.br\n{}",
            roff(row.name),
            roff(&alias),
            roff(row.meaning),
            roff(&facts)
        );
    }
    out.push_str(
        ".SH SIGNALS\n.TP\n.B SIGTERM\\fR, \\fBSIGINT\nShuts down in order, with a snapshot if there are save points.\n\
         .TP\n.B SIGHUP\nReads the configuration file and the file of users again: all of it takes effect, or nothing.\n\
         .SH EXIT STATUS\n0 after an orderly end, 1 if the server can't start or a check has found something.\n\
         .SH SEE ALSO\n.BR redis\\-cli (1)\n",
    );
    out
}

/// The completion of a shell of [`SHELLS`]; none for another.
pub fn render_completion(shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash()),
        "zsh" => Some(zsh()),
        "fish" => Some(fish()),
        _ => None,
    }
}

fn bash() -> String {
    let defaults = Config::default();
    let mut out = String::from(
        "# bash completion of redloop: redloop --completion bash > /usr/share/bash-completion/completions/redloop\n\
         _redloop() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n    case $prev in\n",
    );
    let choice = |out: &mut String, name: &str, words: &str| {
        let _ = writeln!(out, "        --{name}) COMPREPLY=($(compgen -W '{words}' -- \"$cur\")); return ;;");
    };
    choice(&mut out, "completion", &SHELLS.join(" "));
    for row in effective() {
        let words = words(row, &defaults);
        if !words.is_empty() {
            choice(&mut out, row.name, &words.join(" "));
        }
    }
    let names = OPTIONS.iter().map(|option| option.0).chain(effective().into_iter().map(|row| row.name));
    let options: Vec<String> = names.map(|name| format!("--{name}")).collect();
    let _ = write!(
        out,
        "    esac\n    if [[ $cur == -* ]]; then\n        COMPREPLY=($(compgen -W '{}' -- \"$cur\"))\n    else\n        \
         COMPREPLY=($(compgen -f -- \"$cur\"))\n    fi\n}}\ncomplete -o filenames -F _redloop redloop\n",
        options.join(" ")
    );
    out
}

fn zsh() -> String {
    let defaults = Config::default();
    let plain =
        |text: &str| text.replace('\'', "").replace('[', "(").replace(']', ")").replace(['`', ':'], "");
    let mut out = String::from(
        "#compdef redloop\n# redloop --completion zsh > /usr/share/zsh/vendor-completions/_redloop\n_arguments \\\n",
    );
    for (name, argument, meaning) in OPTIONS {
        let action = match (name, argument) {
            ("completion", _) => format!(":shell:({})", SHELLS.join(" ")),
            (_, "") => String::new(),
            (_, "file") => ":file:_files".into(),
            (_, what) => format!(":{what}:"),
        };
        let _ = writeln!(out, "  '--{name}[{}]{action}' \\", plain(meaning));
    }
    for row in effective() {
        let words = words(row, &defaults);
        let action = if words.is_empty() { String::new() } else { format!("({})", words.join(" ")) };
        let _ = writeln!(out, "  '--{}[{}]:value:{action}' \\", row.name, plain(row.meaning));
    }
    out.push_str("  '*:file:_files'\n");
    out
}

fn fish() -> String {
    let defaults = Config::default();
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let mut out =
        String::from("# redloop --completion fish > /usr/share/fish/vendor_completions.d/redloop.fish\n");
    for (name, argument, meaning) in OPTIONS {
        let action = match (name, argument) {
            ("completion", _) => format!(" -x -a '{}'", SHELLS.join(" ")),
            (_, "") => String::new(),
            (_, "file") => " -r".into(),
            _ => " -x".into(),
        };
        let _ = writeln!(out, "complete -c redloop -l {name}{action} -d '{}'", quoted(meaning));
    }
    for row in effective() {
        let words = words(row, &defaults);
        let action = if words.is_empty() { " -r".into() } else { format!(" -x -a '{}'", words.join(" ")) };
        let _ = writeln!(out, "complete -c redloop -l {}{action} -d '{}'", row.name, quoted(row.meaning));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_has_an_effect_is_there() {
        let pages = SHELLS.map(|shell| render_completion(shell).expect("a shell"));
        let manual = render_manual("1.2.3");
        for row in effective() {
            assert!(manual.contains(&format!(".B {}\\fR", roff(row.name))), "{}", row.name);
            let forms = [format!("--{}", row.name), format!("'--{}[", row.name), format!("-l {} ", row.name)];
            for (page, form) in pages.iter().zip(forms) {
                assert!(page.contains(&form), "{form}");
            }
        }
        assert!(pages[0].contains("--appendfsync) COMPREPLY=($(compgen -W 'everysec always no'"));
        assert!(
            pages[1].contains("]:value:(everysec always no)'")
                && pages[2].contains("-a 'everysec always no'")
        );
        assert_eq!(render_completion("tcsh"), None);
        // A line that begins with a dot is a request to roff, and these are all that there are.
        let requests = [".TH", ".SH", ".B", ".BR", ".RI", ".TP", ".PP", ".br"];
        let is_known = |line: &str| requests.contains(&line.split(' ').next().unwrap_or(line));
        assert!(manual.lines().filter(|line| line.starts_with('.')).all(is_known));
        assert_eq!(roff(".a-b\\c"), "\\&.a\\-b\\ec");
    }
}
