//! Tests of ACL and of what a user may do.

use crate::commands::support::testing::TestServer;
use crate::engine::acl::rule_context;
use crate::engine::clients::session::state;

#[test]
fn users_and_their_rules() {
    let mut server = TestServer::new();
    server.script(
        "ACL WHOAMI => \"default\"
         ACL USERS => [\"default\"]
         ACL LIST => [\"user default on nopass sanitize-payload ~* &* +@all\"]
         ACL SETUSER bob on >x ~a* +get (%R~b &c +@write)
         ACL USERS => [\"bob\" \"default\"]
         ACL GETUSER nobody => nil
         ACL SETUSER \"b b\" => -ERR Usernames can't contain spaces or null characters
         ACL SETUSER bob +set +nosuch => -ERR Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in ACL
         ACL SETUSER bob (+get => -ERR Unmatched parenthesis in acl selector starting at '(+get'.
         ACL DELUSER default => -ERR The 'default' user cannot be removed
         ACL LOAD => -ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.
         ACL GENPASS 0 => -ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096
         ACL CAT nosuch => -ERR Unknown category 'nosuch'
         ACL LOG => []",
    );
    let shown = server.run("ACL GETUSER bob");
    assert!(shown.contains("\"commands\" \"-@all +get\" \"keys\" \"~a*\" \"channels\" \"\" \"selectors\" [[\"commands\" \"-@all +@write\" \"keys\" \"%R~b\" \"channels\" \"&c\"]]"), "{shown}");
    assert_eq!(server.run("ACL GENPASS 5").len(), 4);
    server.script("ACL DELUSER bob nobody => :1\nACL USERS => [\"default\"]");
}

#[test]
fn dryrun_says_what_is_missing_databases_included() {
    let mut server = TestServer::new();
    server.script(
        "ACL SETUSER u +@read +publish %W~w* %R~r* &news
         ACL DRYRUN nobody get r => -ERR User 'nobody' not found
         ACL DRYRUN u nosuch r => -ERR Command 'nosuch' not found
         ACL DRYRUN u get r r => -ERR wrong number of arguments for 'get' command
         ACL DRYRUN u get r1
         ACL DRYRUN u get w1 => \"User u has no permissions to access the 'w1' key\"
         ACL DRYRUN u set w1 v => \"User u has no permissions to run the 'set' command\"
         ACL DRYRUN u publish old m => \"User u has no permissions to access the 'old' channel\"
         ACL DRYRUN u publish news m
         ACL SETUSER u +copy +config|get +select|0
         ACL DRYRUN u copy r1 w1
         ACL DRYRUN u copy w1 r1 => \"User u has no permissions to access the 'w1' key\"
         ACL DRYRUN u config get x
         ACL DRYRUN u config set x y => \"User u has no permissions to run the 'config|set' command\"
         ACL DRYRUN u select 0
         ACL DRYRUN u select 1 => \"User u has no permissions to run the 'select' command\"
         ACL SETUSER u db=0,3
         ACL DRYRUN u get r1
         ACL SETUSER u db=3
         ACL DRYRUN u gEt r1 => \"User u has no permissions to access database gEt\"
         ACL DRYRUN u copy r1 w1 db 3 db 2 => \"User u has no permissions to access database 2\"
         ACL SETUSER d on nopass +@all ~* db=0,2 (+@read db=1)
         ACL GETUSER d => [\"flags\" [\"on\" \"nopass\" \"sanitize-payload\"] \"passwords\" [] \"commands\" \"+@all\" \"keys\" \"~*\" \"channels\" \"\" \"databases\" \"db=0,2\" \"selectors\" [[\"commands\" \"-@all +@read\" \"keys\" \"\" \"channels\" \"\" \"databases\" \"db=1\"]]]
         ACL SETUSER d clearselectors
         AUTH d x
         SELECT 1 => -NOPERM No permissions to access database
         SELECT 16 => -ERR DB index is out of range
         FLUSHALL => -NOPERM No permissions to access database
         SWAPDB 0 1 => -NOPERM No permissions to access database
         MOVE a 1 => -NOPERM No permissions to access database
         MULTI
         SELECT 2 => +QUEUED
         SET k v => +QUEUED
         SELECT 1 => -NOPERM No permissions to access database
         EXEC => -EXECABORT Transaction discarded because of previous errors.",
    );
    let log = server.run("ACL LOG");
    assert!(
        log.contains("\"reason\" \"database\" \"context\" \"toplevel\" \"object\" \"flushall\""),
        "{log}"
    );
    assert_eq!(server.engine.acl.refused.databases, 5);
}

#[test]
fn refusals_and_their_log() {
    let mut server = TestServer::new();
    server.script(
        "ACL SETUSER u on >pw +@all -set ~a* &*
         AUTH u bad => -WRONGPASS invalid username-password pair or user is disabled.
         AUTH u pw
         ACL WHOAMI => \"u\"
         GET a1 => nil
         GET b => -NOPERM No permissions to access a key
         GET b => -NOPERM No permissions to access a key
         SET a1 v => -NOPERM User u has no permissions to run the 'set' command
         MULTI
         GET b => -NOPERM No permissions to access a key
         EXEC => -EXECABORT Transaction discarded because of previous errors.",
    );
    let log = server.run("ACL LOG");
    for part in [
        "[\"count\" :1 \"reason\" \"key\" \"context\" \"multi\" \"object\" \"b\" \"username\" \"u\"",
        "[\"count\" :1 \"reason\" \"command\" \"context\" \"toplevel\" \"object\" \"set\" \"username\" \"u\"",
        "[\"count\" :2 \"reason\" \"key\" \"context\" \"toplevel\" \"object\" \"b\" \"username\" \"u\"",
        "[\"count\" :1 \"reason\" \"auth\" \"context\" \"toplevel\" \"object\" \"AUTH\" \"username\" \"u\"",
        "cmd=get user=u",
        "\"entry-id\" :3",
    ] {
        assert!(log.contains(part), "{part} in {log}");
    }
    assert!(!log.contains("bad"), "passwords are not logged");
    server.script("ACL LOG RESET\nACL LOG => []\nRESET => +RESET\nACL WHOAMI => \"default\"");
}

#[test]
fn rights_are_checked_again_at_exec() {
    let mut server = TestServer::new();
    server.script("ACL SETUSER u on nopass +@all ~a &*\nAUTH u x\nMULTI\nGET a => +QUEUED\nPING => +QUEUED");
    let admin = server.connect();
    assert_eq!(server.run_as(admin, "ACL SETUSER u resetkeys"), "+OK");
    assert_eq!(
        server.run("EXEC"),
        "[-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to touch the specified keys +PONG]"
    );
    server.script("RESET => +RESET");
    assert_eq!(server.run_as(admin, "ACL SETUSER u ~a"), "+OK");
    server.script("AUTH u x\nMULTI\nGET a => +QUEUED");
    assert_eq!(server.run_as(admin, "ACL SETUSER u -get"), "+OK");
    assert_eq!(
        server.run("EXEC"),
        "[-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to execute the command or subcommand]"
    );
}

#[test]
fn a_waiting_client_is_checked_when_it_is_woken() {
    let mut server = TestServer::new();
    server.script("ACL SETUSER u on nopass +@all ~a &*");
    let waiting = server.connect();
    server.run_as(waiting, "AUTH u x");
    assert_eq!(server.run_as(waiting, "BLPOP a 0"), "(blocked)");
    server.script("ACL SETUSER u resetkeys\nRPUSH a x => :1\nLLEN a => :1");
    assert_eq!(server.posted(waiting), "-NOPERM No permissions to access a key");
}

#[test]
fn changed_and_removed_users() {
    let mut server = TestServer::new();
    server.script("ACL SETUSER u on nopass +@all &c &p*");
    let [listener, reader] = [server.connect(), server.connect()];
    for client in [listener, reader] {
        assert_eq!(server.run_as(client, "AUTH u x"), "+OK");
    }
    server.run_as(listener, "SUBSCRIBE c");
    server.script("ACL SETUSER u +get ~x");
    assert!(server.engine.clients.sessions.get(listener).is_some(), "its channel is still allowed");
    server.script("ACL SETUSER u resetchannels &d");
    assert!(server.engine.clients.sessions.get(listener).is_none(), "the right to its channel has ended");
    assert_eq!(server.run_as(reader, "GET x"), "nil");
    server.script("ACL SETUSER u -get");
    assert!(server.run_as(reader, "GET x").starts_with("-NOPERM User u"));
    server.script("ACL SETUSER u off");
    assert_eq!(server.run_as(reader, "PING"), "+PONG", "a client that is logged in stays so");
    server.script("ACL DELUSER u => :1");
    assert!(server.engine.clients.sessions.get(reader).is_none());
}

#[test]
fn the_default_user_and_requirepass() {
    let mut server = TestServer::new();
    assert_eq!(server.run("CONFIG SET requirepass pw"), "+OK");
    let other = server.connect();
    assert_eq!(server.run_as(other, "GET a"), "-NOAUTH Authentication required.");
    assert_eq!(server.run_as(other, "AUTH pw"), "+OK");
    assert_eq!(server.run_as(other, "RESET"), "+RESET");
    assert_eq!(server.run_as(other, "GET a"), "-NOAUTH Authentication required.");
    assert_eq!(server.run_as(other, "AUTH default pw"), "+OK");
    server.script("ACL SETUSER default nopass -get");
    assert!(server.run_as(other, "GET a").starts_with("-NOPERM User default"));
    assert!(server.run("AUTH pw").starts_with("-ERR AUTH <password> called without any password configured"));
    server.script("AUTH default anything\nACL SETUSER default on resetpass");
    let third = server.connect();
    assert_eq!(server.run_as(third, "PING"), "-NOAUTH Authentication required.");
}

#[test]
fn sort_reads_keys_by_pattern_only_with_the_right_to_all() {
    let mut server = TestServer::new();
    server.script(
        "RPUSH a 2 1 => :2
         ACL SETUSER u on nopass +@all ~a %R~b* &*
         AUTH u x
         SORT a BY b* => -ERR BY option of SORT denied due to insufficient ACL permissions.
         SORT a LIMIT 0 1 GET # => -ERR GET option of SORT denied due to insufficient ACL permissions.
         SORT_RO a BY nosort => [\"2\" \"1\"]
         MULTI
         SORT a BY b* => +QUEUED
         EXEC => [-ERR BY option of SORT denied due to insufficient ACL permissions.]
         RESET => +RESET
         ACL SETUSER u %R~* +@all
         AUTH u x
         SORT a BY b* GET # => [\"1\" \"2\"]
         SORT x STORE y => -NOPERM No permissions to access a key",
    );
}

#[test]
fn many_users_are_removed_with_one_look_at_the_clients() {
    let mut server = TestServer::new();
    for number in 0..300 {
        server.run(&format!("ACL SETUSER u{number} on nopass"));
    }
    let clients: Vec<_> = (0..300).map(|_| server.connect()).collect();
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(server.run_as(*client, &format!("AUTH u{number} x")), "+OK");
    }
    let names: Vec<String> = (0..300).step_by(2).map(|number| format!("u{number}")).collect();
    assert_eq!(server.run(&format!("ACL DELUSER {} u0 nobody", names.join(" "))), ":150");
    for (number, client) in clients.iter().enumerate() {
        let is_open = server.engine.clients.sessions.get(*client).is_some();
        assert_eq!(is_open, number % 2 == 1, "{number}");
    }
    assert_eq!(
        server.run_as(clients[1], "ACL DELUSER u1"),
        "-NOPERM User u1 has no permissions to run the 'acl|deluser' command"
    );
}

#[test]
fn the_log_names_the_command_around_a_refused_one() {
    let mut server = TestServer::new();
    let other = server.connect();
    server.script(
        "ACL SETUSER u on nopass ~* +@all
         AUTH u x
         MULTI
         INCR a => +QUEUED",
    );
    server.run_as(other, "ACL SETUSER u -incr");
    assert_eq!(
        server.run("EXEC"),
        "[-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to execute the command or subcommand]"
    );
    server.run_args(server.client, &["EVAL", "redis.pcall('incr', 'a')", "0"]);
    server.script("INCR a => -NOPERM User u has no permissions to run the 'incr' command");
    let log = server.run("ACL LOG");
    for (context, command) in [("multi", "exec"), ("lua", "eval"), ("toplevel", "incr")] {
        let at =
            log.find(&format!("\"context\" \"{context}\"")).unwrap_or_else(|| panic!("{context} in {log}"));
        assert!(
            log[at..].split("\"entry-id\"").next().unwrap().contains(&format!("cmd={command} ")),
            "{context}: {log}"
        );
    }
    // A smaller limit holds from the next entry on.
    server.script("CONFIG SET acllog-max-len 1");
    assert_eq!(server.engine.acl.log.iter().len(), 3);
    server
        .script("ACL SETUSER u -decr\nDECR a => -NOPERM User u has no permissions to run the 'decr' command");
    assert_eq!(server.engine.acl.log.iter().len(), 1);
}

#[test]
fn the_last_of_several_destinations_is_checked() {
    let mut server = TestServer::new();
    server.script(
        "GEOADD geo:src 13.361389 38.115556 a => :1
         ACL SETUSER u on nopass +georadius +georadiusbymember %R~geo:* %W~ok:*
         AUTH u x
         GEORADIUS geo:src 13 38 500 km STORE ok:1 STORE no:1 => -NOPERM No permissions to access a key
         GEORADIUS geo:src 13 38 500 km STOREDIST ok:1 STORE ok:2 STOREDIST no:1 => -NOPERM No permissions to access a key
         GEORADIUSBYMEMBER geo:src a 500 km STORE ok:1 STORE no:1 => -NOPERM No permissions to access a key
         GEORADIUS geo:src 13 38 500 km STORE ok:1 STORE ok:2 => :1",
    );
}

#[test]
fn what_a_user_was_never_allowed_is_not_taken_from_its_clients() {
    let mut server = TestServer::new();
    let (other, default) = (server.connect(), server.connect());
    server.resp3();
    server.script(
        "ACL SETUSER amy on nopass &* +@all
         ACL SETUSER bob on nopass resetchannels +@all",
    );
    server.run_as(other, "HELLO 3");
    server.run_as(other, "AUTH amy x");
    server.run_as(other, "SUBSCRIBE c");
    assert_eq!(server.run_as(other, "AUTH bob x"), "+OK");
    server.script("ACL SETUSER bob &d\nACL SETUSER amy resetchannels");
    let is_there = |server: &TestServer, client| {
        server.engine.clients.sessions.get(client).is_some_and(|session| !session.is(state::CLOSING))
    };
    assert!(is_there(&server, other));
    server.script("ACL SETUSER bob &e");
    assert!(!is_there(&server, other));

    // ACL LOAD leaves clients of `default`, which the next rule ends.
    server.run_as(default, "SUBSCRIBE c");
    let context = rule_context(&server.engine.commands, &server.engine.config);
    let file = b"user default on nopass +@all ~* &d\nuser amy on nopass +@all\n";
    let users = crate::services::acl::file::read(file, "users.acl", &context).expect("users");
    server.engine.replace_users(users, None);
    assert!(is_there(&server, default));
    server.script("ACL SETUSER default &e");
    assert!(!is_there(&server, default));
}

#[test]
fn hello_wants_a_login_that_was_once_needed() {
    let mut server = TestServer::new();
    let other = server.connect();
    server.script("CONFIG SET requirepass one");
    server.run_as(other, "RESET");
    server.script("CONFIG SET requirepass \"\"");
    assert_eq!(server.run_as(other, "PING"), "+PONG");
    assert!(server.run_as(other, "HELLO").starts_with("-NOAUTH HELLO must be called"));
    assert_eq!(server.run_as(other, "AUTH default x"), "+OK");
    assert!(server.run_as(other, "HELLO").contains("proto"));
}

#[test]
fn a_number_that_names_no_database_is_the_commands_own_error() {
    let mut server = TestServer::new();
    let other = server.connect();
    server.script("ACL SETUSER u on nopass +@all ~* db=0");
    assert_eq!(server.run_as(other, "AUTH u x"), "+OK");
    let refused = "-NOPERM No permissions to access database";
    for (request, reply) in [
        ("SWAPDB 0 1", refused),
        ("SWAPDB 1 0", refused),
        ("SWAPDB 1 x", "-ERR invalid second DB index"),
        ("SWAPDB x 1", "-ERR invalid first DB index"),
        ("COPY a b DB 1", refused),
        ("COPY a b REPLACE DB 1", refused),
        ("COPY a b DB 1 DB 0", refused),
        ("COPY a b DB 1 nonsense", "-ERR syntax error"),
        ("COPY a b DB 99", "-ERR DB index is out of range"),
        ("COPY a b DB 1 DB", "-ERR syntax error"),
    ] {
        assert_eq!(server.run_as(other, request), reply, "{request}");
    }
}
