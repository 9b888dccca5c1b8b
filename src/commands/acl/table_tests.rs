//! Each command of the table, as a user without the right to it, to its keys, or to its channels.

use crate::base::rng::Rng;
use crate::commands::support::testing::TestServer;
use crate::engine::command::keys;
use crate::engine::command::spec::{Channels, Handler, flag};
use crate::engine::command::table::Command;
use crate::engine::settings::Permission;
use crate::resp::OwnedArgs;

/// A server whose client is user `u` with these rights.
fn server_of(rights: &str) -> TestServer {
    let mut server = TestServer::new();
    server.engine.settings.debug_command = Permission::Yes;
    server.engine.settings.module_command = Permission::Yes;
    server.script(&format!("ACL SETUSER u on nopass {rights}\nAUTH u x"));
    server
}

fn commands(server: &TestServer) -> Vec<Command> {
    let is_checked = |command: &&Command| {
        !matches!(command.spec.handler, Handler::Container) && command.flags & flag::NO_AUTH == 0
    };
    let copy = |command: &Command| Command {
        id: command.id,
        spec: command.spec,
        parent: command.parent,
        word: command.word.clone(),
        name: command.name.clone(),
        flags: command.flags,
        first_key: command.first_key,
        on_collection: command.on_collection,
        subcommands: Vec::new(),
    };
    server.engine.commands.iter().filter(is_checked).map(copy).collect()
}

/// A request of the right arity; with keys, if it can have some.
fn request(command: &Command, rng: &mut Rng) -> Vec<String> {
    const WORDS: [&str; 6] = ["1", "1", "1", "k", "streams", "keys"];
    for _ in 0..5000 {
        let mut words: Vec<String> = command.name.split('|').map(String::from).collect();
        let count = u64::from(command.spec.arity.unsigned_abs());
        // A word behind a command that has subcommands must be one of them.
        let count = if command.spec.arity < 0 && command.spec.subcommands.is_empty() {
            count + rng.below(4)
        } else {
            count
        };
        while (words.len() as u64) < count {
            words.push(WORDS[rng.below(6) as usize].into());
        }
        let mut found = Vec::new();
        keys::find(command.spec, OwnedArgs::from_parts(&words).as_args(), &mut found);
        if !found.is_empty() || !keys::has_keys(command.spec) {
            return words;
        }
    }
    panic!("no request of {} has keys", command.name);
}

#[test]
fn no_command_runs_without_the_right_to_it() {
    let mut server = server_of("-@all ~* &*");
    let mut rng = Rng::new(1);
    let mut tried = 0;
    for command in commands(&server) {
        let reply = server.run_args(server.client, &request(&command, &mut rng));
        let name = &command.name;
        let reason = format!("NOPERM User u has no permissions to run the '{name}' command");
        // EXEC ends the transaction, whatever refuses it.
        let before = if name == "exec" { "-EXECABORT Transaction discarded because of: " } else { "-" };
        assert_eq!(reply, format!("{before}{reason}"));
        tried += 1;
    }
    assert!(tried > 250, "{tried}");
    assert_eq!(server.engine.acl.refused.commands, tried);
}

#[test]
fn each_command_runs_with_the_right_to_it_alone() {
    let mut server = TestServer::new();
    let mut rng = Rng::new(2);
    for command in commands(&server) {
        server.script(&format!("ACL SETUSER u reset ~* &* +{}", command.name));
        let request = request(&command, &mut rng).join(" ");
        server.script(&format!("ACL DRYRUN u {request}"));
    }
}

#[test]
fn no_command_reaches_keys_without_the_right_to_them() {
    let mut server = server_of("+@all &*");
    let mut rng = Rng::new(3);
    let mut tried = 0;
    for command in commands(&server).iter().filter(|command| keys::has_keys(command.spec)) {
        let request = request(command, &mut rng);
        let reply = server.run_args(server.client, &request);
        assert_eq!(reply, "-NOPERM No permissions to access a key", "{request:?}");
        tried += 1;
    }
    assert!(tried > 150, "{tried}");
    assert_eq!(server.engine.acl.refused.keys, tried);
}

#[test]
fn what_getkeysandflags_tells_is_what_is_checked() {
    let mut server = TestServer::new();
    let mut rng = Rng::new(4);
    for command in commands(&server).iter().filter(|command| keys::has_keys(command.spec)) {
        let request = request(command, &mut rng);
        let mut found = Vec::new();
        keys::find(command.spec, OwnedArgs::from_parts(&request).as_args(), &mut found);
        // Rights to just the keys that are found, in just the ways that the flags say.
        server.script("ACL SETUSER u reset +@all &*");
        for key in &found {
            let needs = crate::engine::acl::needs_of(key.flags);
            let prefix = ["%R", "%R", "%W", "%RW"][usize::from(needs)];
            server.script(&format!("ACL SETUSER u {prefix}~{}", request[key.index]));
        }
        server.script(&format!("ACL DRYRUN u {}", request.join(" ")));
    }
}

#[test]
fn no_command_reaches_channels_without_the_right_to_them() {
    let mut server = server_of("+@all ~*");
    let mut rng = Rng::new(5);
    let mut names = Vec::new();
    for command in commands(&server).iter().filter(|command| command.spec.channels != Channels::None) {
        let request = request(command, &mut rng);
        let reply = server.run_args(server.client, &request);
        assert_eq!(reply, "-NOPERM No permissions to access a channel", "{request:?}");
        names.push(command.name.clone());
    }
    assert_eq!(names, ["subscribe", "psubscribe", "ssubscribe", "publish", "spublish"]);
    assert_eq!(server.engine.acl.refused.channels, 5);
}
