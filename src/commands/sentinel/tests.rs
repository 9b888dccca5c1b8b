//! The SENTINEL command, and the others of Sentinel mode, without sockets.

use crate::commands::testing::{START_MS, TestServer};
use crate::engine::ServerAction;
use crate::services::sentinel::{ConfigLine, Sentinel};

/// A server in Sentinel mode with the lines of a configuration file.
fn server(lines: &str) -> TestServer {
    let mut service = Sentinel::new(START_MS, 7);
    let line = |(number, line): (usize, &str)| ConfigLine {
        number: number + 1,
        text: line.into(),
        words: crate::base::quoting::split_words(line.as_bytes()).expect("words"),
    };
    let lines: Vec<ConfigLine> = lines.lines().map(str::trim).enumerate().map(line).collect();
    service.load(&lines, |_| true).expect("a configuration");
    let mut server = TestServer::sentinel();
    server.engine.enter_sentinel_mode(service);
    server.engine.start_sentinel();
    server.engine.actions.clear();
    server
}

const ONE: &str = "myid 0123456789012345678901234567890123456789
    monitor mymaster 10.0.0.1 6379 2
    known-replica mymaster 10.0.0.2 6379
    known-sentinel mymaster 10.0.0.7 26379 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Runs a request whose reply follows when the state has been written, and completes it.
fn saved(server: &mut TestServer, line: &str) {
    assert_eq!(server.run(line), "(blocked)", "{line}");
    let client = server.client;
    let mut is_asked = false;
    while let Some(action) = server.engine.next_action() {
        is_asked |= matches!(action, ServerAction::PersistSentinel { client: Some(_) });
    }
    assert!(is_asked, "{line}");
    server.engine.complete_deferred(client, b"+OK\r\n");
}

#[test]
fn questions() {
    let mut server = server(ONE);
    server.script(
        "SENTINEL MYID => \"0123456789012345678901234567890123456789\"
         SENTINEL GET-MASTER-ADDR-BY-NAME mymaster => [\"10.0.0.1\" \"6379\"]
         SENTINEL GET-PRIMARY-ADDR-BY-NAME mymaster => [\"10.0.0.1\" \"6379\"]
         SENTINEL GET-PRIMARY-ADDR-BY-NAME other => nil-array
         SENTINEL MASTER other => -ERR No such master with that name
         SENTINEL SLAVES other => -ERR No such master with that name
         SENTINEL MASTER => -ERR wrong number of arguments for 'sentinel|master' command
         SENTINEL NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try SENTINEL HELP.
         CLIENT NO-TOUCH => -ERR unknown subcommand 'NO-TOUCH'. Try CLIENT HELP.
         CLIENT GETNAME => nil
         SENTINEL => -ERR wrong number of arguments for 'sentinel' command
         SENTINEL CKQUORUM mymaster => +OK 2 usable Sentinels. Quorum and failover authorization can be reached
         SENTINEL PENDING-SCRIPTS => []
         SENTINEL INFO-CACHE mymaster other => [\"mymaster\" [[:0 nil] [:0 nil]]]
         ROLE => [\"sentinel\" [\"mymaster\"]]
         PING => +PONG
         PUBLISH other x => -ERR Only HELLO messages are accepted by Sentinel instances.",
    );
    for (request, parts) in [
        (
            "SENTINEL MASTERS",
            vec!["\"name\" \"mymaster\"", "\"flags\" \"master,disconnected\"", "\"num-slaves\" \"1\""],
        ),
        ("SENTINEL PRIMARY mymaster", vec!["\"num-other-sentinels\" \"1\"", "\"quorum\" \"2\""]),
        (
            "SENTINEL REPLICAS mymaster",
            vec!["\"name\" \"10.0.0.2:6379\"", "\"master-host\" \"?\"", "\"slave-priority\" \"100\""],
        ),
        (
            "SENTINEL SENTINELS mymaster",
            vec!["\"ip\" \"10.0.0.7\"", "\"voted-leader\" \"?\"", "\"link-refcount\" \"1\""],
        ),
        (
            "INFO",
            vec![
                "redis_mode:sentinel",
                "# Sentinel\\r\\nsentinel_masters:1\\r\\n",
                "master0:name=mymaster,status=ok,address=10.0.0.1:6379,slaves=1,sentinels=2",
            ],
        ),
        ("HELLO 2", vec!["\"mode\" \"sentinel\" \"modules\""]),
    ] {
        let reply = server.run(request);
        for part in parts {
            assert!(reply.contains(part), "{request}: {reply} lacks {part}");
        }
    }
    assert_eq!(server.run("GET a"), "-ERR unknown command 'GET', with args beginning with: 'a' ");
    let info = server.run("INFO");
    assert!(!info.contains("# Keyspace") && !info.contains("# Memory"), "{info}");
    assert!(!server.run("INFO keyspace").contains('#'));
}

#[test]
fn without_enough_sentinels_there_is_no_quorum() {
    let mut server = server(
        "monitor a 10.0.0.1 6379 2\nknown-sentinel a 10.0.0.7 26379 x\nknown-sentinel a 10.0.0.8 26379 y",
    );
    server.script(
        "SENTINEL CKQUORUM a => +OK 3 usable Sentinels. Quorum and failover authorization can be reached",
    );
    server.advance(31_000);
    server.engine.tick();
    // The first tick after such a time is TILT's, which decides nothing.
    for _ in 0..700 {
        server.advance(100);
        server.engine.tick();
    }
    server.script("SENTINEL CKQUORUM a => -NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the specified quorum for this master. Not enough available Sentinels to reach the majority and authorize a failover");
}

#[test]
fn control_characters_are_refused() {
    let mut server = server(ONE);
    let client = server.client;
    for (words, command, index) in [
        (vec!["SENTINEL", "SET", "mymaster", "auth-pass", "pass\r\nsentinel x"], "SENTINEL SET", 4),
        (vec!["SENTINEL", "SET", "mymaster", "bad\noption", "1"], "SENTINEL SET", 3),
        (vec!["SENTINEL", "MONITOR", "has\ttab", "10.0.0.1", "6379", "2"], "SENTINEL MONITOR", 2),
        (vec!["SENTINEL", "CONFIG", "SET", "sentinel-pass", "pass\x7f"], "SENTINEL CONFIG SET", 4),
    ] {
        assert_eq!(
            server.run_args(client, &words),
            format!(
                "-ERR Invalid argument at index {index} for {command}: control characters are not allowed"
            )
        );
    }
}

#[test]
fn primaries_are_added_changed_and_removed() {
    let mut server = server(ONE);
    server.script(
        "SENTINEL MONITOR b 10.0.0.1 x 1 => -ERR Invalid port
         SENTINEL MONITOR b 10.0.0.1 1 x => -ERR Invalid quorum
         SENTINEL MONITOR b 10.0.0.1 1 0 => -ERR Quorum must be 1 or greater.
         SENTINEL MONITOR b host.example 1 1 => -ERR Invalid IP address or hostname specified
         SENTINEL MONITOR b 10.0.0.1 70000 1 => -ERR Invalid port number.
         SENTINEL MONITOR mymaster 10.0.0.1 1 1 => -ERR Duplicate master name.",
    );
    saved(&mut server, "SENTINEL MONITOR b 10.0.0.9 6380 1");
    server.script("ROLE => [\"sentinel\" [\"b\" \"mymaster\"]]");
    saved(
        &mut server,
        "SENTINEL SET b down-after-milliseconds 500 quorum 3 auth-pass secret rename-command CONFIG c0",
    );
    let shown = server.run("SENTINEL MASTER b");
    assert!(
        shown.contains("\"down-after-milliseconds\" \"500\"") && shown.contains("\"quorum\" \"3\""),
        "{shown}"
    );
    server.script(
        "SENTINEL SET other quorum 1 => -ERR No such master with that name
         SENTINEL SET b quorum 0 => -ERR Invalid argument '0' for SENTINEL SET 'quorum'
         SENTINEL SET b quorum 4 what => -ERR Unknown option or number of arguments for SENTINEL SET 'what'
         SENTINEL SET b rename-command CONFIG => -ERR Unknown option or number of arguments for SENTINEL SET 'rename-command'
         SENTINEL SET b notification-script /bin/x => -ERR Reconfiguration of scripts path is denied for security reasons. Check the deny-scripts-reconfig configuration directive in your Sentinel configuration",
    );
    assert!(server.run("SENTINEL MASTER b").contains("\"quorum\" \"4\""), "what came before the error holds");
    let written: Vec<String> = server
        .engine
        .sentinel
        .as_ref()
        .map(|mode| mode.service.statements())
        .unwrap_or_default()
        .iter()
        .map(|line| format!("{} {}", line.name, String::from_utf8_lossy(&line.value)))
        .collect();
    for line in [
        "sentinel monitor b 10.0.0.9 6380 4",
        "sentinel auth-pass b secret",
        "sentinel rename-command b CONFIG c0",
    ] {
        assert!(written.iter().any(|written| written == line), "{written:?} lacks {line}");
    }
    server.script("SENTINEL RESET * => :2\nSENTINEL SLAVES mymaster => []");
    saved(&mut server, "SENTINEL REMOVE b");
    saved(&mut server, "SENTINEL FLUSHCONFIG");
    server.script("SENTINEL REMOVE b => -ERR No such master with that name");
}

#[test]
fn secrets_are_not_logged() {
    let mut server = server(ONE);
    let mut config = server.engine.config.clone();
    config.set_many(&[(b"slowlog-log-slower-than", b"0")], Default::default()).expect("it may");
    server.engine.configure(config);
    saved(&mut server, "SENTINEL SET mymaster auth-pass secret");
    saved(&mut server, "SENTINEL CONFIG SET sentinel-pass secret");
    let entries = &server.engine.metrics.slowlog.log(crate::engine::metrics::slowlog::LogKind::Slow).entries;
    let words: Vec<String> = entries
        .iter()
        .flat_map(|entry| entry.args.iter())
        .map(|word| String::from_utf8_lossy(word.as_ref()).into_owned())
        .collect();
    assert!(
        words.iter().any(|word| word == "(redacted)") && !words.iter().any(|word| word == "secret"),
        "{words:?}"
    );
}

#[test]
fn parameters_of_all_primaries() {
    let mut server = server(ONE);
    server.script(
        "SENTINEL CONFIG GET announce-* => [\"announce-hostnames\" \"no\" \"announce-ip\" \"\" \"announce-port\" \"0\"]
         SENTINEL CONFIG GET nothing => []
         SENTINEL CONFIG GET => -ERR wrong number of arguments for 'sentinel|config' command
         SENTINEL CONFIG WHAT x => -ERR Only SENTINEL CONFIG GET <param> [<param> <param> ...] / SET <param> <value> [<param> <value> ...] are supported.
         SENTINEL CONFIG SET what 1 => -ERR Invalid argument 'what' to SENTINEL CONFIG SET
         SENTINEL CONFIG SET announce-port x => -ERR Invalid value 'x' to SENTINEL CONFIG SET 'announce-port'
         SENTINEL CONFIG SET announce-port 1 announce-ip => -ERR Missing argument 'announce-ip' value
         SENTINEL CONFIG SET announce-port 1 announce-port 2 => -ERR Duplicate argument 'announce-port' to SENTINEL CONFIG SET",
    );
    saved(
        &mut server,
        "SENTINEL CONFIG SET announce-ip 10.0.0.9 announce-port 7 resolve-hostnames yes loglevel debug",
    );
    server.script(
        "SENTINEL CONFIG GET announce-ip announce-port res* => [\"announce-ip\" \"10.0.0.9\" \"announce-port\" \"7\" \"resolve-hostnames\" \"yes\"]
         SENTINEL CONFIG GET loglevel => [\"loglevel\" \"debug\"]
         SENTINEL DEBUG ping-period 500 INFO-PERIOD 2000
         SENTINEL DEBUG ping-period 0 => -ERR Invalid argument '0' for SENTINEL DEBUG 'ping-period'
         SENTINEL DEBUG what 1 => -ERR Unknown option or number of arguments for SENTINEL DEBUG 'what'
         SENTINEL SIMULATE-FAILURE HELP => [\"crash-after-election\" \"crash-after-promotion\"]
         SENTINEL SIMULATE-FAILURE crash-after-election crash-after-promotion
         SENTINEL SIMULATE-FAILURE what => -ERR Unknown failure simulation specified",
    );
    assert!(server.run("SENTINEL DEBUG").starts_with("[\"INFO-PERIOD\" \"2000\" \"PING-PERIOD\" \"500\""));
}

#[test]
fn a_vote_is_given_once_an_epoch_and_written_before_it_is_told() {
    let mut server = server(ONE);
    server.script(
        "SENTINEL IS-MASTER-DOWN-BY-ADDR 10.0.0.1 x 0 * => -ERR value is not an integer or out of range
         SENTINEL IS-MASTER-DOWN-BY-ADDR 10.0.0.5 6379 9 me => [:0 \"*\" :0]
         SENTINEL IS-MASTER-DOWN-BY-ADDR 10.0.0.1 6379 0 * => [:0 \"*\" :0]",
    );
    assert!(server.engine.next_action().is_none());
    server.script("SENTINEL IS-MASTER-DOWN-BY-ADDR 10.0.0.1 6379 5 me => [:0 \"me\" :5]");
    assert!(matches!(server.engine.next_action(), Some(ServerAction::PersistSentinel { client: None })));
    server.script(
        "SENTINEL IS-PRIMARY-DOWN-BY-ADDR 10.0.0.1 6379 5 you => [:0 \"me\" :5]
         SENTINEL IS-PRIMARY-DOWN-BY-ADDR 10.0.0.1 6379 4 you => [:0 \"me\" :5]
         SENTINEL IS-PRIMARY-DOWN-BY-ADDR 10.0.0.1 6379 6 you => [:0 \"you\" :6]",
    );
}

#[test]
fn a_hello_message_brings_a_sentinel_an_epoch_and_a_configuration() {
    let mut server = server(ONE);
    let listener = server.connect();
    assert_ne!(server.run_as(listener, "SUBSCRIBE +switch-master"), "");
    let id = "b".repeat(40);
    server.script(&format!(
        "PUBLISH __sentinel__:hello 10.0.0.8,26379,{id},3,mymaster,10.0.0.2,6379,3 => :1
         SENTINEL GET-MASTER-ADDR-BY-NAME mymaster => [\"10.0.0.2\" \"6379\"]"
    ));
    let posted: Vec<String> = server
        .engine
        .clients
        .outbox
        .iter()
        .filter(|(to, _)| *to == listener)
        .map(|(_, message)| String::from_utf8_lossy(message).into_owned())
        .collect();
    assert!(posted.iter().any(|text| text.contains("mymaster 10.0.0.1 6379 10.0.0.2 6379")), "{posted:?}");
    let sentinels = server.run("SENTINEL SENTINELS mymaster");
    assert!(sentinels.contains(&id), "{sentinels}");
    let replicas = server.run("SENTINEL REPLICAS mymaster");
    assert!(replicas.contains("10.0.0.1:6379") && !replicas.contains("10.0.0.2:6379"), "{replicas}");
}

#[test]
fn a_failover_by_command_needs_a_fit_replica() {
    let mut server = server(ONE);
    server.script(
        "SENTINEL FAILOVER mymaster => -NOGOODSLAVE No suitable replica to promote
         SENTINEL FAILOVER mymaster COORDINATED => -NOGOODPRIMARY Primary does not support FAILOVER command
         SENTINEL FAILOVER mymaster what => -ERR Unknown failover option specified
         SENTINEL FAILOVER mymaster coordinated x => -ERR wrong number of arguments for 'sentinel|failover' command
         SENTINEL FAILOVER other => -ERR No such master with that name",
    );
}
