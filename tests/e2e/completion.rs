//! Completions of shells, in those shells: what the tab key makes of a line.

use std::process::Command;

use crate::harness::Directory;

/// Lines, and what becomes of them.
const LINES: [(&str, &str); 5] = [
    ("redloop --appendfsy", "redloop --appendfsync"),
    ("redloop --appendfsync ev", "redloop --appendfsync everysec"),
    ("redloop --check-sys", "redloop --check-system"),
    ("redloop --completion z", "redloop --completion zsh"),
    ("redloop --no-such-opt", "redloop --no-such-opt"),
];

fn completion(shell: &str) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_redloop")).args(["--completion", shell]).output();
    output.expect("it runs").stdout
}

/// Whether a shell is there; says so if it isn't.
fn has(shell: &str) -> bool {
    let is_there = Command::new(shell).arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_there {
        println!("SKIPPED: completion of {shell}, which isn't installed");
    }
    is_there
}

#[test]
fn every_option_of_the_usage_is_completed() {
    let usage = Command::new(env!("CARGO_BIN_EXE_redloop")).arg("--help").output().expect("it runs").stdout;
    let (usage, bash) = (String::from_utf8_lossy(&usage), completion("bash"));
    let bash = String::from_utf8_lossy(&bash);
    let completed: Vec<&str> = bash.split([' ', '\'']).collect();
    let options = usage.split(|letter: char| letter != '-' && !letter.is_ascii_lowercase());
    let options: Vec<&str> = options.filter(|word| word.starts_with("--")).collect();
    assert!(options.len() > 10);
    for option in options {
        assert!(completed.contains(&option), "{option}");
    }
}

#[test]
fn zsh_completes_options_and_their_words() {
    if !has("zsh") {
        return;
    }
    let directory = Directory::new("completion-zsh");
    std::fs::write(directory.0.join("_redloop"), completion("zsh")).expect("written");
    let output = Command::new("zsh")
        .args(["-f", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/completion.zsh")])
        .arg(&directory.0)
        .args(LINES.map(|(typed, _)| typed))
        .output()
        .expect("zsh runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let said: Vec<&str> =
        said.lines().map(str::trim_end).skip_while(|line| *line != "ready").skip(1).collect();
    assert_eq!(said, LINES.map(|(_, wanted)| wanted), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn bash_completes_options_and_their_words() {
    if !has("bash") {
        return;
    }
    let directory = Directory::new("completion-bash");
    let file = directory.0.join("redloop");
    std::fs::write(&file, completion("bash")).expect("written");
    for (typed, wanted) in LINES {
        let script = "source \"$0\"; COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _redloop; \
            unset 'COMP_WORDS[COMP_CWORD]'; echo \"${COMP_WORDS[*]} ${COMPREPLY[*]:-$2}\"";
        let last = typed.rsplit(' ').next().expect("a word");
        let output = Command::new("bash").arg("-c").arg(script).arg(&file).args([typed, last]).output();
        let said = output.expect("bash runs").stdout;
        assert_eq!(String::from_utf8_lossy(&said).trim_end(), wanted);
    }
}
