//! Tests of CLIENT TRACKING and what follows from it; the values are those of redis-server 8.6 and Valkey 9.1.

use crate::base::ids::ClientId;
use crate::commands::testing::TestServer;
use crate::services::config::Config;

/// A server whose first client speaks RESP3 and has sent this CLIENT TRACKING; and another client.
fn tracking(options: &str) -> (TestServer, ClientId) {
    let mut server = TestServer::new();
    server.resp3();
    assert_eq!(server.run(&format!("CLIENT TRACKING ON {options}")), "+OK");
    let other = server.connect();
    (server, other)
}

/// What a read of the key is told about, once `other` sets it.
fn told(server: &mut TestServer, other: ClientId, key: &str) -> String {
    server.run_as(other, &format!("SET {key} v"));
    server.posted(server.client)
}

fn invalidate(key: &str) -> String {
    format!(">[\"invalidate\" [\"{key}\"]]")
}

#[test]
fn a_reader_is_told_once_behind_its_own_reply() {
    let (mut server, other) = tracking("");
    assert_eq!(server.run("SET a 1"), "+OK");
    assert_eq!(server.run("GET a"), "\"1\"");
    assert_eq!(server.run("SET a 2"), format!("+OK {}", invalidate("a")));
    assert_eq!(server.run("SET a 3"), "+OK");
    assert_eq!(told(&mut server, other, "a"), "");
    server.run("GET a");
    assert_eq!(told(&mut server, other, "a"), invalidate("a"));
    assert_eq!(told(&mut server, other, "a"), "");
}

#[test]
fn what_a_transaction_reads_behind_its_writes_is_remembered() {
    let (mut server, other) = tracking("");
    server.script("MULTI\nGET a => +QUEUED\nSET a 5 => +QUEUED\nGET a => +QUEUED\nSET a 6 => +QUEUED");
    let twice = format!("[nil +OK \"5\" +OK] {0} {0}", invalidate("a"));
    assert_eq!(server.run("EXEC"), twice);
    assert_eq!(told(&mut server, other, "a"), "");
    server.script("MULTI\nSET a 5 => +QUEUED\nGET a => +QUEUED\nEXEC => [+OK \"5\"]");
    assert_eq!(told(&mut server, other, "a"), invalidate("a"));
}

#[test]
fn changes_of_vector_sets_are_told() {
    let (mut server, other) = tracking("");
    server.script("VADD v VALUES 2 1 0 one => #t");
    for change in [
        "VADD v VALUES 2 0 1 two",
        "VADD v VALUES 2 1 1 two",
        "VSETATTR v two {}",
        "VREM v two",
        "VREM v one",
    ] {
        server.run("VSIM v ELE one");
        assert!(server.run_as(other, change).starts_with([':', '#']));
        assert_eq!(server.posted(server.client), invalidate("v"), "{change}");
    }
}

#[test]
fn a_cached_count_changes_what_is_read_of_it() {
    let (mut server, other) = tracking("");
    server.run_as(other, "PFADD h a b");
    server.run("GET h");
    assert_eq!(server.run_as(other, "PFCOUNT h"), ":2");
    assert_eq!(server.posted(server.client), invalidate("h"));
    server.run("GET h");
    assert_eq!(server.run_as(other, "PFCOUNT h"), ":2");
    assert_eq!(server.posted(server.client), "");
}

#[test]
fn a_script_reads_with_its_calls_not_with_its_keys() {
    let (mut server, other) = tracking("");
    server.run("GET a");
    let script = "redis.call('set',KEYS[1],1) redis.call('get',KEYS[1]) return redis.call('get','z')";
    assert_eq!(server.run(&format!("EVAL \"{script}\" 1 a")), format!("nil {}", invalidate("a")));
    assert_eq!(told(&mut server, other, "a"), invalidate("a"));
    assert_eq!(told(&mut server, other, "z"), invalidate("z"));
    assert_eq!(server.run("EVAL_RO \"return redis.call('get','y')\" 1 a"), "nil");
    assert_eq!(told(&mut server, other, "a"), "");
    assert_eq!(told(&mut server, other, "y"), invalidate("y"));
}

#[test]
fn no_loop_spares_a_client_its_own_changes_and_no_others() {
    let (mut server, other) = tracking("NOLOOP");
    server.run("GET a");
    assert_eq!(server.run("SET a 8"), "+OK");
    assert_eq!(told(&mut server, other, "a"), "", "it has been forgotten all the same");
    server.run("GET a");
    assert_eq!(server.run("EVAL \"return redis.call('set',KEYS[1],1)\" 1 a"), "+OK");
    server.run("GET a");
    server.script("MULTI\nSET a 9 => +QUEUED\nEXEC => [+OK]");
    server.run("GET a");
    assert_eq!(told(&mut server, other, "a"), invalidate("a"));
    // Expiry is no client's change, even where a request finds the key expired.
    server.run("SET e 1 PX 50");
    server.run("GET e");
    server.advance(100);
    assert_eq!(server.run("GET e"), format!("nil {}", invalidate("e")));
}

#[test]
fn a_woken_clients_change_is_its_own() {
    for (waiter_options, pusher_options, to_waiter, to_pusher) in
        [("", "NOLOOP", true, true), ("NOLOOP", "NOLOOP", false, true), ("NOLOOP", "", false, true)]
    {
        let (mut server, pusher) = tracking(waiter_options);
        server.engine.clients.sessions.live_mut(pusher).resp3 = true;
        server.run_as(pusher, &format!("CLIENT TRACKING ON {pusher_options}"));
        server.run("LRANGE dst 0 -1");
        server.run_as(pusher, "LRANGE dst 0 -1");
        assert_eq!(server.run("BLMOVE src dst LEFT RIGHT 0"), "(blocked)");
        assert_eq!(server.run_as(pusher, "RPUSH src x"), ":1");
        let (mut waiters, mut pushers) = (String::new(), String::new());
        for (to, message) in server.all_posted() {
            let text = if to == pusher { &mut pushers } else { &mut waiters };
            text.push_str(&message);
        }
        // The push comes behind the reply.
        let push = invalidate("dst");
        assert_eq!(waiters, if to_waiter { format!("\"x\"{push}") } else { "\"x\"".into() });
        assert_eq!(pushers, if to_pusher { push } else { String::new() });
    }
}

#[test]
fn a_broadcast_comes_once_a_turn_and_a_prefix() {
    let (mut server, other) = tracking("BCAST PREFIX foo PREFIX bar");
    for key in ["foo1", "bar1", "foo0", "baz", "foo1"] {
        server.run_as(other, &format!("SET {key} 1"));
    }
    assert_eq!(server.posted(server.client), "");
    server.engine.finish_tracking();
    let expected = format!("{} >[\"invalidate\" [\"foo0\" \"foo1\"]]", invalidate("bar1"));
    assert_eq!(server.posted(server.client), expected);
    server.engine.finish_tracking();
    assert_eq!(server.posted(server.client), "");
    // Reads are not remembered.
    server.run("GET q");
    assert_eq!(told(&mut server, other, "q"), "");
}

#[test]
fn a_broadcast_to_many_is_stored_once() {
    let (mut server, other) = tracking("BCAST");
    let followers: Vec<ClientId> = (0..100).map(|_| server.connect()).collect();
    for follower in &followers {
        server.engine.clients.sessions.live_mut(*follower).resp3 = true;
        server.run_as(*follower, "CLIENT TRACKING ON BCAST NOLOOP");
    }
    server.run_as(other, "SET a 1");
    server.run_as(followers[0], "SET b 1");
    server.engine.finish_tracking();
    let stored = server.engine.clients.outbox.stored();
    let posted = server.all_posted();
    assert_eq!(posted.len(), 101);
    for (to, message) in posted {
        let expected = if to == followers[0] { "[\"a\"]" } else { "[\"a\" \"b\"]" };
        assert_eq!(message, format!(">[\"invalidate\" {expected}]"));
    }
    let [short, long] = [
        ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n",
        ">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n",
    ];
    assert_eq!(stored, short.len() + long.len());
}

#[test]
fn a_no_loop_broadcast_leaves_out_what_only_the_client_changed() {
    let (mut server, other) = tracking("BCAST NOLOOP");
    server.run("SET own 1");
    server.run("SET both 1");
    server.run_as(other, "SET both 1");
    server.run("SET both 1");
    server.engine.finish_tracking();
    assert_eq!(server.posted(server.client), invalidate("both"));
    // Set by the client, expired by itself within one turn.
    server.script("MULTI\nSET k v PX 1 => +QUEUED\nSET l v => +QUEUED\nEXEC => [+OK +OK]");
    server.advance(10);
    server.run("GET k");
    server.engine.finish_tracking();
    assert_eq!(server.posted(server.client), invalidate("k"));
}

#[test]
fn the_empty_prefix_takes_the_place_of_others() {
    let (mut server, other) = tracking("BCAST PREFIX foo PREFIX bar");
    server.run("CLIENT TRACKING ON BCAST");
    let info = "{\"flags\":~[\"on\" \"bcast\"] \"redirect\"::0 \"prefixes\":[\"\" \"bar\" \"foo\"]}";
    assert_eq!(server.run("CLIENT TRACKINGINFO"), info);
    server.run_as(other, "SET foo1 1");
    server.engine.finish_tracking();
    assert_eq!(server.posted(server.client), invalidate("foo1"));
    server.run("CLIENT TRACKING OFF");
    assert_eq!(server.engine.clients.tracking.prefixes.count(), 0);
}

#[test]
fn emptied_databases_are_told_as_null() {
    let all = ">[\"invalidate\" nil]";
    for options in ["", "NOLOOP", "BCAST", "BCAST NOLOOP PREFIX x"] {
        for request in ["FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "EVAL \"return redis.call('flushall')\" 0"] {
            let (mut server, other) = tracking(options);
            assert_eq!(server.run(request), format!("+OK {all}"), "{options} {request}");
            server.run_as(other, request);
            assert_eq!(server.posted(server.client), all, "{options} {request}");
        }
    }
    let (mut server, other) = tracking("");
    server.script("MULTI\nGET a => +QUEUED\nFLUSHALL => +QUEUED\nGET a => +QUEUED");
    assert_eq!(server.run("EXEC"), format!("[nil +OK nil] {all}"));
    assert_eq!(told(&mut server, other, "a"), invalidate("a"));
}

#[test]
fn expiry_and_eviction_are_told() {
    let (mut server, other) = tracking("");
    server.run_as(other, "SET e 1 PX 50");
    server.run("GET e");
    server.advance(1000);
    server.engine.tick();
    assert_eq!(server.posted(server.client), invalidate("e"));
    server.run_as(other, "HSET h f 1 g 1");
    server.run_as(other, "HPEXPIRE h 50 FIELDS 1 f");
    server.run("HGETALL h");
    server.advance(1000);
    server.engine.tick();
    assert_eq!(server.posted(server.client), invalidate("h"));
    // The change is in front of the reply of the request that made it necessary.
    server.run_as(other, "SET volatile 1 EX 1000");
    server.run("GET volatile");
    server.run_as(other, "CONFIG SET maxmemory-policy volatile-random");
    server.run_as(other, "CONFIG SET maxmemory 1");
    let reply = server.run("GET e");
    assert_eq!(reply, format!("{} nil", invalidate("volatile")));
}

#[test]
fn caching_decides_of_the_next_request_or_transaction() {
    let (mut server, other) = tracking("OPTIN");
    let requests = "GET a => nil\nCLIENT CACHING YES\nGET b => nil\nGET c => nil\nCLIENT CACHING YES\nCLIENT ID => :1\n\
                    GET d => nil\nCLIENT CACHING YES\nMULTI\nGET e => +QUEUED\nGET f => +QUEUED\nEXEC => [nil nil]\n\
                    GET g => nil\nMULTI\nCLIENT CACHING YES => +QUEUED\nGET h => +QUEUED\nEXEC => [+OK nil]\nGET i => nil\n\
                    CLIENT CACHING YES\nEVAL \"redis.call('get','j') return redis.call('get','k')\" 0 => nil\nGET l => nil";
    server.script(requests);
    let all = |server: &mut TestServer| {
        "abcdefghijkl"
            .chars()
            .filter(|key| !told(server, other, &key.to_string()).is_empty())
            .collect::<String>()
    };
    assert_eq!(all(&mut server), "bdefhjk");
    server.run_as(other, "FLUSHALL");
    server.script("CLIENT TRACKING OFF\nCLIENT TRACKING ON OPTOUT");
    server.script(&requests.replace("YES", "NO"));
    assert_eq!(all(&mut server), "acgil");
    server.run("CLIENT CACHING NO");
    assert!(server.run("NOSUCH").starts_with("-ERR unknown command"));
    server.run("GET a");
    assert_eq!(all(&mut server), "a");
}

#[test]
fn a_waiting_requests_caching_lasts() {
    let (mut server, other) = tracking("OPTIN");
    server.run("CLIENT CACHING YES");
    assert_eq!(server.run("XREAD BLOCK 0 STREAMS s $"), "(blocked)");
    server.run_as(other, "XADD s 1-1 f v");
    let posted = server.posted(server.client);
    assert!(posted.starts_with(&format!("{} {{\"s\"", invalidate("s"))), "{posted}");
    server.run_as(other, "XADD s 1-2 f v");
    assert_eq!(server.posted(server.client), invalidate("s"));
    server.run("GET a");
    assert_eq!(told(&mut server, other, "a"), "");
}

#[test]
fn a_redirection_is_followed_by_the_targets_protocol() {
    let (mut server, target) = tracking("");
    server.run("CLIENT TRACKING OFF");
    let other = server.connect();
    server.run("CLIENT TRACKING ON REDIRECT 2");
    assert_eq!(server.run("CLIENT GETREDIR"), ":2");
    // A RESP2 client that has no subscriptions can't be told.
    server.run("GET a");
    server.run_as(other, "SET a 1");
    assert_eq!(server.posted(target), "");
    server.run_as(target, "SUBSCRIBE any");
    server.run("GET a");
    assert_eq!(server.run("SET a 1"), "+OK");
    assert_eq!(server.posted(target), "[\"message\" \"__redis__:invalidate\" [\"a\"]]");
    server.run_as(other, "FLUSHALL");
    assert_eq!(server.posted(target), "[\"message\" \"__redis__:invalidate\" nil]");
    server.engine.clients.sessions.live_mut(target).resp3 = true;
    server.run("GET a");
    assert_eq!(server.run_as(target, "SET a 1"), format!("+OK {}", invalidate("a")));
    // The target goes: a RESP3 client is told so each time.
    server.run("GET a");
    server.run("GET b");
    server.engine.kill(target);
    let broken = ">[\"tracking-redir-broken\" :2]";
    assert_eq!(server.run("CLIENT TRACKINGINFO"), "{\"flags\":~[\"on\"] \"redirect\"::2 \"prefixes\":[]}");
    server.run_as(other, "SET a 1");
    assert_eq!(server.posted(server.client), broken);
    assert_eq!(server.run("SET b 1"), format!("+OK {broken}"));
    let info = server.run("CLIENT INFO");
    assert!(info.contains(" flags=tR ") && info.contains(" redir=2 "), "{info}");
    assert!(server.run("CLIENT TRACKINGINFO").contains("\"broken_redirect\""));
}

#[test]
fn resp2_without_redirection_is_not_told() {
    let (mut server, other) = tracking("");
    server.run("GET a");
    server.run("HELLO 2");
    assert_eq!(told(&mut server, other, "a"), "");
    server.run("GET a");
    server.run("HELLO 3");
    assert_eq!(told(&mut server, other, "a"), invalidate("a"));
}

#[test]
fn a_client_that_wants_no_replies_gets_the_messages() {
    let (mut server, _) = tracking("");
    server.run("GET a");
    assert_eq!(server.run("CLIENT REPLY OFF"), "");
    assert_eq!(server.run("SET a 1"), invalidate("a"));
    server.run("CLIENT REPLY ON");
    server.run("GET a");
    server.run("CLIENT REPLY SKIP");
    assert_eq!(server.run("SET a 1"), invalidate("a"));
}

#[test]
fn too_many_keys_are_forgotten_at_once() {
    let config = Config { tracking_table_max_keys: 2, ..Config::default() };
    let mut server = TestServer::with(config);
    server.resp3();
    server.run("CLIENT TRACKING ON");
    server.run("GET a");
    server.run("GET b");
    let reply = server.run("GET c");
    assert!(reply.starts_with("nil >[\"invalidate\" ["), "{reply}");
    let reply = server.run("MGET d e f");
    assert_eq!(reply.matches("invalidate").count(), 3, "{reply}");
    assert_eq!(server.engine.clients.tracking.readers.key_count(), 2);
    server.run("CONFIG SET tracking-table-max-keys 1");
    server.engine.finish_tracking();
    assert_eq!(server.posted(server.client).matches("invalidate").count(), 1);
    assert_eq!(server.engine.clients.tracking.readers.key_count(), 1);
}

#[test]
fn nothing_is_left_of_clients_that_went() {
    let (mut server, other) = tracking("");
    server.run("GET a");
    server.run_as(other, "CLIENT TRACKING ON");
    for number in 0..100 {
        server.run_as(other, &format!("GET k{number}"));
    }
    server.run_as(other, "GET a");
    let tracking = |server: &TestServer| {
        let tables = &server.engine.clients.tracking;
        (
            tables.client_count(),
            tables.readers.key_count(),
            tables.readers.item_count(),
            tables.prefixes.count(),
        )
    };
    assert_eq!(tracking(&server), (2, 101, 102, 0));
    server.engine.kill(other);
    server.advance(1000);
    server.engine.tick();
    assert_eq!(tracking(&server), (1, 1, 1, 0));
    let follower = server.connect();
    server.run_as(follower, "CLIENT TRACKING ON BCAST PREFIX a PREFIX b");
    assert_eq!(tracking(&server), (2, 1, 1, 2));
    server.engine.kill(follower);
    assert_eq!(server.run("RESET"), "+RESET");
    assert_eq!(tracking(&server), (0, 0, 0, 0));
    assert!(!server.engine.data.keyspace.journal.records_keys);
    // The table is freed with what else is removed.
    server.advance(1000);
    server.engine.tick();
    assert!(!server.engine.free_slice());
}

#[test]
fn a_transaction_that_begins_to_track_is_not_told_of_before() {
    let mut server = TestServer::new();
    server.resp3();
    let watcher = server.connect();
    server.run_as(watcher, "WATCH unrelated");
    server.script("MULTI\nSET a 1 => +QUEUED\nCLIENT TRACKING ON BCAST => +QUEUED\nSET b 1 => +QUEUED\nEXEC => [+OK +OK +OK]");
    server.engine.finish_tracking();
    assert_eq!(server.posted(server.client), invalidate("b"));
}

#[test]
fn only_requests_that_run_and_only_read_are_remembered() {
    let (mut server, other) = tracking("");
    for (request, keys) in [
        ("EXISTS a b", "ab"),
        ("SINTERCARD 2 a b", "ab"),
        ("MEMORY USAGE a", "a"),
        ("OBJECT ENCODING a", "a"),
        ("TOUCH a", "a"),
        ("SORT_RO a", "a"),
        ("XREAD STREAMS a 0", "a"),
        ("LRANGE a x y", "a"),
        ("PFCOUNT a", "a"),
        ("GETEX a", ""),
        ("WATCH a", ""),
        ("GET", ""),
        ("GET a b", ""),
        ("BITFIELD a GET u8 0", ""),
        ("SCAN 0", ""),
        ("PUBLISH a m", ""),
    ] {
        server.run(request);
        let found: String =
            "ab".chars().filter(|key| !told(&mut server, other, &key.to_string()).is_empty()).collect();
        assert_eq!(found, keys, "{request}");
        server.run_as(other, "DEL a b");
    }
}

#[test]
fn options_are_checked_in_order() {
    let mut server = TestServer::new();
    server.resp3();
    let bcast = "-ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with \
                 a different mode.";
    let opt = "-ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a \
               different mode.";
    for (options, expected) in [
        ("maybe", "-ERR syntax error"),
        ("on FOO", "-ERR syntax error"),
        ("on REDIRECT", "-ERR syntax error"),
        ("on PREFIX", "-ERR syntax error"),
        ("on REDIRECT x", "-ERR value is not an integer or out of range"),
        ("on REDIRECT 999", "-ERR The client ID you want redirect to does not exist"),
        ("on REDIRECT 0", "-ERR The client ID you want redirect to does not exist"),
        ("on REDIRECT -1", "-ERR The client ID you want redirect to does not exist"),
        ("off REDIRECT 1 REDIRECT 1", "-ERR A client can only redirect to a single other client"),
        ("on PREFIX a", "-ERR PREFIX option requires BCAST mode to be enabled"),
        ("on BCAST OPTIN", "-ERR OPTIN and OPTOUT are not compatible with BCAST"),
        ("on OPTIN OPTOUT", "-ERR You can't specify both OPTIN mode and OPTOUT mode"),
        ("on OPTIN", "+OK"),
        ("on OPTOUT", opt),
        ("on BCAST", bcast),
        ("on OPTIN", "+OK"),
        ("on", "+OK"),
        ("on OPTOUT", "+OK"),
        ("off", "+OK"),
        (
            "on BCAST PREFIX x PREFIX ab PREFIX a PREFIX xy",
            "-ERR Prefix 'x' overlaps with another provided prefix 'xy'. Prefixes for a single client must not overlap.",
        ),
        ("on BCAST PREFIX mno PREFIX mna", "+OK"),
        (
            "on BCAST PREFIX mno",
            "-ERR Prefix 'mno' overlaps with an existing prefix 'mno'. Prefixes for a single client must not overlap.",
        ),
        ("on", bcast),
        ("off PREFIX x", "+OK"),
        ("on BCAST PREFIX \"\"", "+OK"),
    ] {
        assert_eq!(server.run(&format!("CLIENT TRACKING {options}")), expected, "{options}");
    }
    server.script(
        "CLIENT CACHING NO => -ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.
         CLIENT CACHING YES => -ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.
         CLIENT CACHING MAYBE => -ERR syntax error
         CLIENT TRACKING OFF
         CLIENT GETREDIR => :-1
         CLIENT TRACKINGINFO => {\"flags\":~[\"off\"] \"redirect\"::-1 \"prefixes\":[]}
         CLIENT CACHING YES => -ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled
         CLIENT TRACKING ON OPTIN NOLOOP
         CLIENT CACHING YES
         CLIENT TRACKINGINFO => {\"flags\":~[\"on\" \"optin\" \"caching-yes\" \"noloop\"] \"redirect\"::0 \"prefixes\":[]}
         CLIENT TRACKING OFF
         CLIENT TRACKING ON OPTOUT
         CLIENT CACHING NO
         CLIENT TRACKINGINFO => {\"flags\":~[\"on\" \"optout\" \"caching-no\"] \"redirect\"::0 \"prefixes\":[]}",
    );
}
