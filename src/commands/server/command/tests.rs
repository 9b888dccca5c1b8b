//! Tests of COMMAND: every specification is whole, INFO, DOCS, LIST, COUNT and GETKEYS.

use crate::commands::FAMILIES;
use crate::commands::testing::TestServer;
use crate::engine::Engine;
use crate::engine::clients::session::Peer;
use crate::engine::command::doc_syntax;
use crate::engine::command::spec::{CommandSpec, flag};
use crate::engine::command::table::{Command, CommandTable};
use crate::resp::{OwnedArgs, Reply};
use crate::services::config::{Config, ProtectedAction};
use crate::sys::clock::Clock;

fn answer(resp3: bool, request: &str) -> String {
    let mut engine = Engine::new(FAMILIES, Config::default(), Clock::simulated(1_000_000), 1);
    let client = engine.connect(0, 0, Peer::Internal);
    let mut reply = Reply::new(Vec::new(), resp3);
    engine.execute_one(client, OwnedArgs::from_parts(request.split(' ')).as_args(), &mut reply);
    String::from_utf8(reply.into_bytes()).expect("text")
}

/// The words of a reply, without lengths.
fn words(request: &str) -> Vec<String> {
    let text = answer(false, request);
    text.split("\r\n")
        .filter(|line| !line.is_empty() && !line.starts_with(['$', '*']))
        .map(str::to_string)
        .collect()
}

#[test]
fn every_row_has_a_syntax_that_parses() {
    fn check(spec: &CommandSpec) {
        if let Err(error) = doc_syntax::parse(spec.syntax) {
            panic!("{}: {error:?} in {}", spec.name, spec.syntax);
        }
        spec.subcommands.iter().for_each(check);
    }
    FAMILIES.iter().flat_map(|family| family.iter()).for_each(check);
}

#[test]
fn every_row_is_whole() {
    for command in CommandTable::new(FAMILIES).iter() {
        let spec = command.spec;
        if command.flags & flag::INTERNAL != 0 {
            continue;
        }
        assert!(spec.arity != 0 && !spec.since.is_empty() && !spec.summary.is_empty(), "{}", command.name);
        assert!(!spec.name.bytes().any(|byte| byte.is_ascii_lowercase()), "{}", command.name);
    }
}

#[test]
fn info_describes_a_command_and_says_nothing_of_an_unknown_one() {
    assert_eq!(
        answer(true, "COMMAND INFO command|count nothing command|count|x"),
        "*3\r\n*10\r\n$13\r\ncommand|count\r\n:2\r\n~2\r\n+loading\r\n+stale\r\n:0\r\n:0\r\n:0\r\n\
        ~2\r\n+@slow\r\n+@connection\r\n~0\r\n~0\r\n~0\r\n_\r\n_\r\n"
    );
    assert_eq!(answer(false, "COMMAND INFO nothing"), "*1\r\n$-1\r\n");
    assert!(answer(false, "command info COMMAND").starts_with("*1\r\n*10\r\n$7\r\ncommand\r\n:-1\r\n"));
}

#[test]
fn docs_of_a_command() {
    let text = answer(true, "COMMAND DOCS command|info nothing");
    assert!(text.starts_with("%1\r\n$12\r\ncommand|info\r\n%6\r\n$7\r\nsummary\r\n"), "{text}");
    assert!(
        text.ends_with(
            "$9\r\narguments\r\n*1\r\n%4\r\n$4\r\nname\r\n$12\r\ncommand-name\r\n$4\r\ntype\r\n$6\r\nstring\r\n\
            $12\r\ndisplay_text\r\n$12\r\ncommand-name\r\n$5\r\nflags\r\n~2\r\n+optional\r\n+multiple\r\n"
        ),
        "{text}"
    );
    assert!(answer(false, "COMMAND DOCS").starts_with('*'));
}

#[test]
fn list_filters() {
    let all = words("COMMAND LIST");
    assert!(all.contains(&"command".into()) && all.contains(&"command|docs".into()));
    assert_eq!(
        words("COMMAND LIST FILTERBY pattern COMMAND|get*"),
        ["command|getkeys", "command|getkeysandflags"]
    );
    assert!(words("COMMAND LIST filterby aclcat CONNECTION").contains(&"command|info".into()));
    for nothing in ["aclcat nothing", "module nothing"] {
        assert_eq!(answer(false, &format!("COMMAND LIST FILTERBY {nothing}")), "*0\r\n");
    }
    for wrong in ["bad", "filterby", "filterby bad", "filterby bad bad", "filterby pattern a b"] {
        assert_eq!(answer(false, &format!("COMMAND LIST {wrong}")), "-ERR syntax error\r\n");
    }
}

#[test]
fn count_counts_containers_once() {
    let registry = CommandTable::new(FAMILIES);
    let top = registry.iter().filter(|command: &&Command| command.parent.is_none()).count();
    assert_eq!(answer(false, "COMMAND COUNT"), format!(":{top}\r\n"));
}

#[test]
fn keys_of_requests() {
    for (request, error) in [
        ("nothing k", "ERR Invalid command specified"),
        ("command|info k", "ERR Invalid command specified"),
        ("command count", "ERR The command has no key arguments"),
    ] {
        assert_eq!(answer(false, &format!("COMMAND GETKEYS {request}")), format!("-{error}\r\n"));
    }
    assert_eq!(
        answer(false, "COMMAND GETKEYS get"),
        "-ERR Invalid number of arguments specified for command\r\n"
    );
    assert_eq!(words("command getkeys SET k v"), ["k"]);
    assert_eq!(
        answer(true, "command getkeysandflags set k v GET"),
        "*1\r\n*2\r\n$1\r\nk\r\n~3\r\n+RW\r\n+access\r\n+update\r\n"
    );
}

#[test]
fn the_listing_is_kept_and_follows_renaming() {
    let mut engine = Engine::new(FAMILIES, Config::default(), Clock::simulated(1_000_000), 1);
    let client = engine.connect(0, 0, Peer::Internal);
    let ask = |engine: &mut Engine, resp3: bool, request: &str| {
        let mut reply = Reply::new(Vec::new(), resp3);
        engine.execute_one(client, OwnedArgs::from_parts(request.split(' ')).as_args(), &mut reply);
        String::from_utf8(reply.into_bytes()).expect("text")
    };
    for _ in 0..2 {
        let (resp2, resp3) = (ask(&mut engine, false, "COMMAND"), ask(&mut engine, true, "COMMAND"));
        let get = "*10\r\n$3\r\nget\r\n:2\r\n";
        assert!(resp2.contains(&format!("{get}*2\r\n+readonly\r\n")), "{resp2}");
        assert!(resp3.contains(&format!("{get}~2\r\n+readonly\r\n")), "{resp3}");
        assert_eq!(ask(&mut engine, false, "COMMAND INFO"), resp2);
    }
    let count = |listing: &str| listing[1..listing.find('\r').unwrap_or(1)].parse().unwrap_or(0);
    let before: usize = count(&ask(&mut engine, false, "COMMAND"));
    engine.commands.rename(b"get", b"").expect("it is there");
    let listing = ask(&mut engine, false, "COMMAND");
    assert_eq!(count(&listing), before - 1);
    assert!(!listing.contains("$3\r\nget\r\n"));
    assert!(!ask(&mut engine, true, "COMMAND").contains("$3\r\nget\r\n"));
}

#[test]
fn every_command_with_subcommands_explains_itself_by_its_present_name() {
    let config = Config { enable_debug_command: ProtectedAction::Yes, ..Config::default() };
    let mut server = TestServer::with(config);
    let explains = |command: &Command| {
        command.name.ends_with("|help") && &*command.name != "cluster|help"
            || &*command.name == "debug" && command.parent.is_none()
    };
    let helps: Vec<String> = server
        .engine
        .commands
        .iter()
        .filter(|command| explains(command))
        .map(|c| c.name.to_string())
        .collect();
    assert!(helps.len() > 12, "{helps:?}");
    for name in helps {
        let word = name.split('|').next().unwrap_or_default();
        server.engine.commands.rename(word.as_bytes(), b"other").expect("renamed");
        let reply = server.run("OTHER help");
        assert!(reply.starts_with("[+OTHER <subcommand> "), "{name}: {reply}");
        let reply = server.run("Other nosuch");
        assert!(reply.ends_with("'nosuch'. Try OTHER HELP."), "{name}: {reply}");
        server.engine.commands.rename(b"other", word.as_bytes()).expect("renamed");
    }
}
