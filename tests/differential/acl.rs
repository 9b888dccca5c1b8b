//! ACL against a real server: random rules of a user must leave the same texts, and allow and refuse the same requests of
//! every command that both servers have.

use std::collections::BTreeSet;

use redloop::base::rng::Rng;

use crate::acl_sessions::settled;
use crate::process::Process;
use crate::support::programs::find_peer;
use crate::support::reply::{Client, Reply, Words};

/// Rounds: in each, rules are given to a user and every command is tried.
const DEFAULT_ROUNDS: u64 = 60;
/// A round is long: so many cases, where their number is given.
const CASES_A_ROUND: u64 = 5;
/// Rules of a round, at most.
const RULES: u64 = 14;

/// Rules as they are; `{c}` stands for a command, `{k}` for a category.
const RULES_OF_USERS: &[&str] = &[
    "on",
    "off",
    "nopass",
    "resetpass",
    "reset",
    ">one",
    ">two",
    "<one",
    "<two",
    "!zz",
    "#zz",
    "clearselectors",
    "#2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
    "sanitize-payload",
    "skip-sanitize-payload",
    "!2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
    "",
    "nonsense",
    "ON",
    "Reset",
    "(",
    "()",
];
const RULES_OF_SELECTORS: &[&str] = &[
    "~*",
    "allkeys",
    "resetkeys",
    "&*",
    "allchannels",
    "resetchannels",
    "+@all",
    "-@all",
    "allcommands",
    "nocommands",
    "~a",
    "~a*",
    "~?b",
    "~[ab]",
    "~\\*",
    "~",
    "%R~*",
    "%W~*",
    "%R~a",
    "%W~a",
    "%RW~b",
    "%WR~b*",
    "%r~b",
    "%~a",
    "%R",
    "%RR~a",
    "%X~a",
    "&a",
    "&a*",
    "&",
    "&[ab]",
    "+{c}",
    "+{c}",
    "+{c}",
    "-{c}",
    "-{c}",
    "+@{k}",
    "+@{k}",
    "-@{k}",
    "+{c}|x",
    "+select|0",
    "+SELECT|1",
    "-select|0",
    "+config|get",
    "+CONFIG|Set",
    "-config|get",
    "-config",
    "+config",
    "+config|get|x",
    "+client|nosuch",
    "+get|",
    "+|x",
    "+@",
    "+@nosuch",
    "-",
    "+",
    "%",
    "+object|freq",
    "+memory",
    "allKEYS",
    "+@ALL",
    "-@Read",
];
/// Rules of Valkey only.
const RULES_OF_DATABASES: &[&str] =
    &["db=0", "db=1", "db=0,2", "db=1,2,3", "alldbs", "resetdbs", "db=", "db=x", "db=99", "DB=0", "db=0,,1"];
/// What arguments of requests are taken from.
const ARGUMENTS: &[&str] = &[
    "a", "b", "ab", "ba", "*", "0", "1", "2", "3", "a*", "get", "by", "store", "streams", "limit", "db",
    "keys", "x",
];

fn pick<'a>(rng: &mut Rng, from: &'a [impl AsRef<str>]) -> &'a str {
    from[rng.below(from.len() as u64) as usize].as_ref()
}

fn ask(client: &mut Client, request: &Words) -> Reply {
    client.send([request]).expect("sent");
    client.read().expect("a reply")
}

fn words(parts: &[&str]) -> Words {
    parts.iter().map(|part| part.as_bytes().to_vec()).collect()
}

fn strings(reply: &Reply) -> Vec<String> {
    let text = |part: &Reply| String::from_utf8_lossy(part.bytes().unwrap_or_default()).into_owned();
    reply.elements().unwrap_or(&[]).iter().map(text).collect()
}

/// Names and arities.
fn commands(client: &mut Client) -> BTreeSet<(String, i64)> {
    let mut found = BTreeSet::new();
    let mut add = |row: &Reply| {
        if let Some([name, Reply::Int(arity), ..]) = row.elements() {
            found.insert((String::from_utf8_lossy(name.bytes().unwrap_or_default()).into_owned(), *arity));
        }
    };
    let listing = ask(client, &words(&["COMMAND"]));
    for row in listing.elements().unwrap_or(&[]) {
        add(row);
        let subcommands = row.elements().and_then(|row| row.get(9)).and_then(Reply::elements);
        subcommands.unwrap_or(&[]).iter().for_each(&mut add);
    }
    found
}

fn rule(rng: &mut Rng, of_selectors: &[&str], commands: &[(String, i64)], categories: &[String]) -> String {
    let plain = |rng: &mut Rng| {
        let name = &commands[rng.below(commands.len() as u64) as usize].0;
        pick(rng, of_selectors).replace("{c}", name).replace("{k}", pick(rng, categories))
    };
    match rng.below(12) {
        0..=1 => pick(rng, RULES_OF_USERS).to_string(),
        2 => {
            let count = rng.below(5);
            let rules: Vec<String> = (0..count).map(|_| plain(rng)).collect();
            format!("({})", rules.join(" "))
        }
        _ => plain(rng),
    }
}

/// A GEORADIUS with STORE where its unit should be: Redis routes it by the key behind that, and checks no rights for it. It is no valid
/// request; here the key counts for both.
fn store_without_unit(command: &Words) -> bool {
    let is = |at: usize, word: &[u8]| command.get(at).is_some_and(|given| given.eq_ignore_ascii_case(word));
    is(0, b"georadius") && (is(5, b"store") || is(5, b"storedist"))
}

/// A request of a command, of as many words as its arity asks for or a few more.
fn request(rng: &mut Rng, name: &str, arity: i64) -> Words {
    let mut request: Words = name.split('|').map(|word| word.as_bytes().to_vec()).collect();
    let extra = if arity < 0 { rng.below(5) } else { 0 };
    while (request.len() as u64) < arity.unsigned_abs() + extra {
        request.push(pick(rng, ARGUMENTS).as_bytes().to_vec());
    }
    request
}

#[test]
fn access_control() {
    compare("redis", "REDLOOP_REDIS_SERVER", RULES_OF_SELECTORS, &[]);
}

#[test]
fn access_control_of_valkey() {
    let rules = [RULES_OF_SELECTORS, RULES_OF_DATABASES].concat();
    compare("valkey", "REDLOOP_VALKEY_SERVER", &rules, &["--rdb-family", "valkey"]);
}

/// Compares with a real server, whose program is looked for in `tree` or named by `variable`.
fn compare(tree: &str, variable: &str, of_selectors: &[&str], options: &[&str]) {
    let Some(program) = find_peer(tree, &format!("{tree}-server"), variable) else {
        println!("SKIPPED: access_control, there is no {tree}-server to compare with");
        return;
    };
    let processes = [Process::ours(options), Process::start(&program, &[])];
    let [mut ours, mut theirs] = processes.each_ref().map(|process| Client::connect(process.port));
    let known = commands(&mut theirs);
    let common: Vec<(String, i64)> = commands(&mut ours).intersection(&known).cloned().collect();
    let lists = strings(&ask(&mut theirs, &words(&["ACL", "CAT"])));
    let own = strings(&ask(&mut ours, &words(&["ACL", "CAT"])));
    let categories: Vec<String> = own.into_iter().filter(|name| lists.contains(name)).collect();
    assert!(common.len() > 200 && categories.len() > 15, "the servers share commands and categories");
    for category in &categories {
        let of_category = |client: &mut Client| -> BTreeSet<String> {
            let names = strings(&ask(client, &words(&["ACL", "CAT", category])));
            names.into_iter().filter(|name| common.iter().any(|(known, _)| known == name)).collect()
        };
        assert_eq!(of_category(&mut ours), of_category(&mut theirs), "{category}");
    }
    let rounds = super::variable("REDLOOP_DIFF_CASES").map_or(DEFAULT_ROUNDS, |cases| cases / CASES_A_ROUND);
    let seed = super::seed();
    println!("access_control with {tree}: REDLOOP_DIFF_SEED={seed}, {rounds} rounds");
    let mut rng = Rng::new(seed);
    let mut differences = Vec::new();
    let outcomes = ["OK", "has no permissions to run", "' key", "' channel", "access database"];
    let outcomes = if tree == "valkey" { &outcomes[..] } else { &outcomes[..4] };
    let mut seen = vec![0; outcomes.len()];
    for round in 0..rounds {
        let mut given = Vec::new();
        let mut both = |request: &Words, given: &[String]| {
            let replies =
                [ask(&mut ours, request), ask(&mut theirs, request)].map(|reply| settled(reply).to_string());
            if replies[0] != replies[1] {
                let shown =
                    request.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ");
                differences.push(format!(
                    "round {round}: {shown}\nafter {given:?}\nours {}\ntheirs {}",
                    replies[0], replies[1]
                ));
            }
            replies[1].clone()
        };
        both(&words(&["ACL", "SETUSER", "u", "reset"]), &given);
        for _ in 0..1 + rng.below(RULES) {
            let rule = rule(&mut rng, of_selectors, &common, &categories);
            let reply = both(&words(&["ACL", "SETUSER", "u", &rule]), &given);
            if reply.contains("OK") {
                given.push(rule);
            }
        }
        both(&words(&["ACL", "LIST"]), &given);
        both(&words(&["ACL", "GETUSER", "u"]), &given);
        for (name, arity) in &common {
            let command = request(&mut rng, name, *arity);
            if store_without_unit(&command) {
                continue;
            }
            let request = [words(&["ACL", "DRYRUN", "u"]), command].concat();
            let reply = both(&request, &given);
            let outcome = outcomes.iter().position(|part| reply.contains(part));
            // A container by itself is no command.
            if let Some(outcome) = outcome {
                seen[outcome] += 1;
            }
        }
        if differences.len() > 20 {
            break;
        }
    }
    assert!(differences.is_empty(), "{} differences\n\n{}", differences.len(), differences.join("\n\n"));
    assert!(seen.iter().all(|count| *count > 2), "each outcome was tried: {seen:?}");
}
