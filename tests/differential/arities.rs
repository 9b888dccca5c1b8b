//! Every command with too few arguments and with invalid ones: the errors of both servers are equal.

use crate::grammar::Case;
use crate::runner::{Pair, Setting};
use crate::support::reply::{Reply, Words};
use crate::{pair, versions};

/// Groups of commands, as COMMAND DOCS calls them.
const GROUPS: &[&str] = &[
    "string",
    "bitmap",
    "generic",
    "list",
    "set",
    "hash",
    "sorted-set",
    "geo",
    "stream",
    "hyperloglog",
    "transactions",
    "pubsub",
];
/// Commands that take too long, that have any number of replies, or that draw at random.
const LEFT_OUT: &[&str] = &[
    "PFSELFTEST",
    "SUBSCRIBE",
    "PSUBSCRIBE",
    "SSUBSCRIBE",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE",
    "SUNSUBSCRIBE",
    "RANDOMKEY",
];
/// Words behind the name, at most.
const MOST: usize = 8;
/// What they are: nothing that a command could wait for, no deadline that comes soon.
const WORDS: &[&[&str]] = &[
    &["x"],
    &["x", "y", "-1"],
    &["s", "200000", "x", "300000"],
    &["l", "0", "-1", "nan"],
    &["", "-9223372036854775808", "99999999999999999999", ""],
];
/// What lies there.
const FILL: &[&str] = &["SET s 1", "RPUSH l a b c", "HSET h a 1", "ZADD z 1 a", "SADD t a", "XADD x 1-1 a 1"];

/// The commands of the groups, and the subcommands of these: their words.
fn names(docs: &Reply, groups: bool) -> Vec<Vec<String>> {
    let field = |doc: &Reply, name: &str| -> Option<Reply> {
        let pairs = doc.elements()?.chunks(2);
        pairs.filter(|pair| pair[0].bytes() == Some(name.as_bytes())).map(|pair| pair[1].clone()).next()
    };
    let mut found = Vec::new();
    for command in docs.elements().unwrap_or(&[]).chunks(2) {
        let name = String::from_utf8_lossy(command[0].bytes().unwrap_or_default()).to_ascii_uppercase();
        let group = field(&command[1], "group");
        let group = group.as_ref().and_then(Reply::bytes).unwrap_or_default();
        if groups && !GROUPS.iter().any(|known| known.as_bytes() == group) || LEFT_OUT.contains(&&*name) {
            continue;
        }
        found.push(name.split('|').map(str::to_string).collect());
        if let Some(subcommands) = field(&command[1], "subcommands") {
            found.extend(names(&subcommands, false));
        }
    }
    found
}

fn cases(names: &[Vec<String>], words: &[&str]) -> Vec<Case> {
    let mut cases = Vec::new();
    for name in names {
        let waits = name[0].starts_with('B') && !name[0].starts_with("BIT") || name[0].starts_with("XREAD");
        for count in 0..=MOST {
            let behind = (0..count).map(|at| words[at % words.len()]);
            // A number could be the time to wait.
            let behind = behind.map(|word| if waits && word.parse::<f64>().is_ok() { "x" } else { word });
            let command: Words = name.iter().map(String::as_str).chain(behind).map(Into::into).collect();
            cases.push(vec![command]);
        }
    }
    cases
}

fn difference(pair: &mut Pair, cases: Vec<Case>) -> Option<String> {
    let setting = Setting { resp: 2, config: Vec::new(), many_replies: false, encodings: true };
    let mut history: Vec<Case> = FILL.iter().map(|line| vec![crate::support::reply::words(line)]).collect();
    history.extend(cases);
    let found = pair.run(&history, &setting)?;
    Some(format!("{}\nours    {}\ntheirs  {}\n", crate::line(&found.of), found.ours, found.theirs))
}

#[test]
fn arities() {
    let Some(mut pair) = pair("arities") else { return };
    let names = names(&pair.docs(), true);
    assert!(names.len() > 200, "{names:?}");
    let mut found = String::new();
    let mut done = 0;
    for words in WORDS {
        for name in &names {
            let mut cases = cases(std::slice::from_ref(name), words);
            cases.retain(|case| versions::skipped(case, &pair).is_none());
            done += cases.len();
            found += &difference(&mut pair, cases).unwrap_or_default();
        }
    }
    assert!(found.is_empty(), "{found}");
    assert!(done > 5000, "only {done} cases");
}
