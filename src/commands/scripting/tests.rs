use crate::commands::support::testing::TestServer;
use crate::resp::{OwnedArgs, Reply};
use crate::services::config::{Config, ProtectedAction};
use crate::services::persist::status::LastAttempt;

#[test]
fn values_that_are_no_text() {
    let mut server = TestServer::new();
    server.script(
        r#"EVAL "return redis.call('ECHO', 0/0)" 0 => "-nan"
           EVAL "return redis.call('ECHO', -(0/0))" 0 => "nan"
           EVAL "return redis.call('ECHO', -1/0)" 0 => "-inf""#,
    );
    server.resp3();
    for (script, reply) in [
        ("return {big_number='1\\255\\n2'}", b"(1\xff 2\r\n".as_slice()),
        ("return {verbatim_string={format='\\nx', string='text'}}", b"=8\r\n\nx :text\r\n"),
    ] {
        let request = OwnedArgs::from_parts(["EVAL", script, "0"]);
        let mut written = Reply::new(Vec::new(), true);
        server.engine.execute_one(server.client, request.as_args(), &mut written);
        assert_eq!(written.bytes(), reply, "{script}");
    }
}

/// The texts are those of Redis 8.0.
#[test]
fn writes_of_scripts_are_refused_without_memory_or_disk() {
    const DISK: &str = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
        Commands that may modify the data set are disabled, because this instance is configured to report errors during \
        writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details \
        about the RDB error.";
    const MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";
    const GET: &str = "return redis.call('get','k')";
    const SET: &str = "return redis.call('set','k','v')";
    let mut server = TestServer::new();
    server.run("SET k v");
    let check = |server: &mut TestServer, script: &str, reply: &str| {
        let found = server.run_args(server.client, &["EVAL", script, "0"]);
        assert!(found.starts_with(reply), "{script}: {found}");
    };
    let refused = |text: &str| format!("-{text} script: ");
    server.run("CONFIG SET maxmemory 1");
    check(&mut server, GET, "\"v\"");
    check(&mut server, SET, &refused(MEMORY));
    check(&mut server, "return redis.pcall('set','k','v')", &format!("-{MEMORY}"));
    check(&mut server, &format!("#!lua\n{GET}"), &format!("-{MEMORY}"));
    check(&mut server, &format!("#!lua flags=no-writes\n{GET}"), "\"v\"");
    check(&mut server, &format!("#!lua flags=allow-oom\n{SET}"), "+OK");
    server.run("CONFIG SET maxmemory 0");
    server.run("CONFIG SET save '3600 1'");
    server.engine.persistence.rdb.last_attempt = LastAttempt::Failed;
    server.engine.persistence.refresh();
    check(&mut server, GET, "\"v\"");
    check(&mut server, SET, &refused(DISK));
    check(&mut server, "return redis.pcall('set','k','v')", &format!("-{DISK}"));
    check(&mut server, &format!("#!lua\n{GET}"), &format!("-{DISK}"));
    check(&mut server, &format!("#!lua flags=no-writes\n{GET}"), "\"v\"");
    let read_only = "ERR Write commands are not allowed from read-only scripts.";
    check(&mut server, &format!("#!lua flags=no-writes\n{SET}"), &refused(read_only));
}

/// What a large interpreter has is freed a slice at a time, and others are used meanwhile.
#[test]
fn flushed_interpreters_are_freed_in_slices() {
    let mut server = TestServer::new();
    let small = server.run("SCRIPT LOAD 'return 1'");
    server.script("SCRIPT FLUSH ASYNC => +OK");
    assert!(!server.engine.data.keyspace.lazy_free.has_work(true), "what is small is freed at once: {small}");
    for number in 0..300 {
        server.run(&format!("SCRIPT LOAD \"return {{{}}}\"", format!("'{number} is a text', ").repeat(200)));
    }
    server.run("FUNCTION LOAD \"#!lua name=l\\nlocal t = {} for i = 1, 100000 do t[i] = i .. ' is a text' end redis.register_function('f', function() return #t end)\"");
    server.script("FCALL f 0 => :100000\nSCRIPT FLUSH ASYNC => +OK\nFUNCTION FLUSH ASYNC => +OK");
    let mut slices = 0;
    while server.engine.data.keyspace.lazy_free.slice(true) {
        slices += 1;
        if slices % 50 == 0 {
            server.script("EVAL 'return #ARGV' 0 a b => :2");
        }
    }
    assert!(slices > 200, "{slices}");
    assert_eq!(server.engine.scripting.figures().cached, 1);
    server.run("FUNCTION LOAD \"#!lua name=l\\nlocal t = {} for i = 1, 100000 do t[i] = i .. ' is a text' end redis.register_function('f', function() return #t end)\"");
    server.script("FUNCTION FLUSH SYNC => +OK");
    assert!(!server.engine.data.keyspace.lazy_free.has_work(true));
}

#[test]
fn scripts_call_commands() {
    let mut server = TestServer::new();
    server.script(
        r#"EVAL "return redis.call('SET', KEYS[1], ARGV[1])" 1 k v => +OK
           EVAL "return redis.call('GET', KEYS[1])" 1 k => "v"
           EVAL_RO "return redis.call('GET', KEYS[1])" 1 k => "v"
           EVAL_RO "return redis.pcall('SET', KEYS[1], 1)" 1 k => -ERR Write commands are not allowed from read-only scripts.
           EVAL "return redis.call('SUBSCRIBE', 'x')" 0 => -ERR This Redis command is not allowed from script script: 66da8590b535ff549b00b9591d2de86f4bfd44f8, on @user_script:1.
           EVAL "return __redis__err__handler('x').err" 0 => "ERR x"
           EVAL "local e = __redis__err__handler({err = 'MY x'}) return {e.err, e.line}" 0 => ["MY x" :1]
           EVAL "local ok, e = xpcall(function() error('x') end, __redis__err__handler) return e.err" 0 => "ERR user_script:1: x"
           EVALSHA 1234567890123456789012345678901234567890 0 => -NOSCRIPT No matching script. Please use EVAL."#,
    );
}

/// A server on which each look at the clock takes a millisecond, and scripts are slow from ten on.
fn impatient() -> TestServer {
    let mut server = TestServer::new();
    server.engine.config.busy_reply_threshold = 10;
    server.engine.clock.set_reading_step(1_000_000);
    server
}

const ENDLESS: &str = "while true do end";
const LONG: &str = "local n = 0 while n < 3000000 do n = n + 1 end return redis.call('INCR', KEYS[1])";

#[test]
fn a_slow_script_lets_others_be_told() {
    let mut server = impatient();
    let other = server.connect();
    assert_eq!(server.run_args(server.client, &["EVAL", ENDLESS, "0"]), "(blocked)");
    let busy = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    for request in ["GET x", "PING", "EVAL 'return 1' 0", "SCRIPT EXISTS x", "INFO"] {
        assert_eq!(server.run_as(other, request), busy, "{request}");
    }
    server.engine.tick();
    assert_eq!(server.posted(server.client), "");
    assert_eq!(server.run_as(other, "SCRIPT KILL"), "+OK");
    server.engine.tick();
    let killed = server.posted(server.client);
    assert!(killed.starts_with("-ERR Script killed by user with SCRIPT KILL... script: "), "{killed}");
    assert_eq!(server.run_as(other, "SCRIPT KILL"), "-NOTBUSY No scripts in execution right now.");
    assert_eq!(server.run_as(other, "EVAL 'return 1' 0"), ":1");
}

#[test]
fn a_slow_script_in_a_transaction() {
    let mut server = impatient();
    let other = server.connect();
    server.script("MULTI\nINCR a => +QUEUED");
    for _ in 0..2 {
        assert_eq!(server.run_args(server.client, &["EVAL", LONG, "1", "a"]), "+QUEUED");
    }
    server.script("INCR a => +QUEUED\nEXEC => (blocked)");
    assert!(server.run_as(other, "GET a").starts_with("-BUSY"));
    let mut turns = 0;
    while server.engine.is_busy_with_script() {
        server.engine.tick();
        turns += 1;
        assert!(turns < 100_000);
    }
    assert_eq!(server.posted(server.client), "[:1 :2 :3 :4]");
    assert_eq!(server.run_as(other, "GET a"), "\"4\"");
    assert!(turns > 2, "{turns}");
}

/// Calls, refused calls and failed calls of a command.
fn calls(server: &TestServer, name: &[u8]) -> (u64, u64, u64) {
    let Ok(id) = server.engine.commands.resolve(name, None) else { panic!("no such command") };
    let stats = &server.engine.metrics.stats.commands[id.0 as usize];
    (stats.calls, stats.rejected, stats.failed)
}

#[test]
fn a_script_fails_with_its_reply_not_with_what_it_catches() {
    for (script, set, eval) in [
        ("redis.call('set', 'k', 1)", (0, 1, 0), (1, 0, 1)),
        ("redis.pcall('set', 'k', 1)", (0, 1, 0), (1, 0, 0)),
        ("return redis.pcall('set', 'k', 1)", (0, 1, 0), (1, 0, 1)),
        ("redis.call('subscribe', 'k')", (0, 0, 0), (1, 0, 1)),
        ("redis.pcall('lpush', 's', 1)", (0, 0, 0), (1, 0, 0)),
        ("redis.call('lpush', 's', 1)", (0, 0, 0), (1, 0, 1)),
        ("return redis.error_reply('MY error')", (0, 0, 0), (1, 0, 1)),
        ("return 1", (0, 0, 0), (1, 0, 0)),
    ] {
        let mut server = TestServer::new();
        server.script("SET s 1\nACL SETUSER u on nopass ~* +@all -set\nAUTH u x\nCONFIG RESETSTAT");
        server.run_args(server.client, &["EVAL", script, "0"]);
        assert_eq!((calls(&server, b"set"), calls(&server, b"eval")), (set, eval), "{script}");
        let errors = server.engine.metrics.stats.error_replies;
        assert_eq!(errors, u64::from(set.1 > 0 || eval.2 > 0 || script.contains("lpush")), "{script}");
    }
}

#[test]
fn a_set_that_a_script_sorts_by_nothing_is_in_order() {
    let mut server = TestServer::new();
    let members: Vec<String> = (0..50).map(|n| format!("m{n:02}")).collect();
    let mut request = vec!["SADD", "s"];
    request.extend(members.iter().rev().map(String::as_str));
    server.run_args(server.client, &request);
    let wanted: Vec<String> = members.iter().map(|member| format!("{member:?}")).collect();
    let wanted = format!("[{}]", wanted.join(" "));
    let sorted = |server: &mut TestServer, options: &str| {
        let script = format!("return redis.call('sort', 's', 'by', '_'{options})");
        server.run_args(server.client, &["EVAL", &script, "0"])
    };
    assert_eq!(sorted(&mut server, ""), wanted);
    assert_eq!(sorted(&mut server, ", 'limit', 1, 2"), "[\"m01\" \"m02\"]");
    assert_eq!(sorted(&mut server, ", 'desc', 'limit', 0, 1"), "[\"m49\"]");
}

#[test]
fn resetstat_forgets_evicted_scripts() {
    let mut server = TestServer::new();
    for n in 0..503 {
        server.run_args(server.client, &["EVAL", &format!("return {n}"), "0"]);
    }
    assert_eq!(server.engine.scripting.figures().evicted, 3);
    server.script("CONFIG RESETSTAT");
    assert_eq!(
        (server.engine.scripting.figures().evicted, server.engine.scripting.figures().cached),
        (0, 500)
    );
}

#[test]
fn debug_lets_scripts_call_what_they_may_not() {
    let mut server =
        TestServer::with(Config { enable_debug_command: ProtectedAction::Yes, ..Config::default() });
    server.script(
        r#"EVAL "return redis.pcall('debug', 'protocol', 'bignum')" 0 => -ERR This Redis command is not allowed from script
           DEBUG SET-DISABLE-DENY-SCRIPTS 1
           EVAL "return redis.call('debug', 'protocol', 'integer')" 0 => :12345
           EVAL "redis.setresp(3) return redis.call('debug', 'protocol', 'true')" 0 => :1
           DEBUG SET-DISABLE-DENY-SCRIPTS 0
           EVAL "return redis.pcall('debug', 'protocol', 'bignum')" 0 => -ERR This Redis command is not allowed from script"#,
    );
}

#[test]
fn scripts_that_a_cluster_could_not_run_are_counted_once() {
    let config = Config { cluster_compatibility_sample_ratio: 100, ..Config::default() };
    for (script, keys, counted) in [
        ("#!lua flags=no-cluster\nreturn 1", &[][..], 1),
        ("#!lua\nreturn 1", &[], 0),
        ("#!lua\nredis.call('mset', KEYS[1], 0, KEYS[2], 0)", &["foo", "bar"], 1),
        ("#!lua\nredis.call('mset', 'foo', 0, 'bar', 0)", &[], 1),
        (
            "#!lua\nredis.call('set', 'foo', 0) redis.call('set', 'bar', 0) redis.call('set', 'foo', 0)",
            &[],
            1,
        ),
        ("#!lua\nredis.call('set', 'foo', 0)", &["bar"], 1),
        (
            "#!lua flags=allow-cross-slot-keys\nredis.call('set', 'foo', 0) redis.call('set', 'bar', 0)",
            &["foo"],
            0,
        ),
        ("#!lua flags=allow-cross-slot-keys\nredis.call('mset', 'foo', 0, 'bar', 0)", &["foo", "x{foo}"], 1),
        ("redis.call('set', 'foo', 0) redis.call('set', 'bar', 0)", &[], 0),
        ("redis.call('mset', 'foo', 0, 'bar', 0)", &[], 1),
    ] {
        let mut server = TestServer::with(config.clone());
        let count = keys.len().to_string();
        let request: Vec<&str> = ["EVAL", script, &count].into_iter().chain(keys.iter().copied()).collect();
        let reply = server.run_args(server.client, &request);
        assert!(!reply.starts_with('-'), "{script}: {reply}");
        assert_eq!(server.engine.metrics.stats.cluster_incompatible, counted, "{script} {keys:?}");
    }
}

#[test]
fn a_client_that_waits_for_what_a_slow_script_pushes_gets_it_at_the_end() {
    let mut server = impatient();
    let waiting = server.connect();
    assert_eq!(server.run_as(waiting, "BLPOP x 0"), "(blocked)");
    let script = "redis.call('LPUSH', KEYS[1], 'y') local n = 0 while n < 3000000 do n = n + 1 end return redis.call('LPUSH', KEYS[1], 'z')";
    assert_eq!(server.run_args(server.client, &["EVAL", script, "1", "x"]), "(blocked)");
    assert_eq!(server.posted(waiting), "");
    while server.engine.is_busy_with_script() {
        server.engine.tick();
    }
    assert_eq!(server.posted(waiting), "[\"x\" \"z\"]");
    server.script("LRANGE x 0 -1 => [\"y\"]");
}
