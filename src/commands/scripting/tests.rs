use crate::commands::support::testing::TestServer;

#[test]
fn scripts_call_commands() {
    let mut server = TestServer::new();
    server.script(
        r#"EVAL "return redis.call('SET', KEYS[1], ARGV[1])" 1 k v => +OK
           EVAL "return redis.call('GET', KEYS[1])" 1 k => "v"
           EVAL_RO "return redis.call('GET', KEYS[1])" 1 k => "v"
           EVAL_RO "return redis.pcall('SET', KEYS[1], 1)" 1 k => -ERR Write commands are not allowed from read-only scripts.
           EVAL "return redis.call('SUBSCRIBE', 'x')" 0 => -ERR This Redis command is not allowed from script script: 66da8590b535ff549b00b9591d2de86f4bfd44f8, on @user_script:1.
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
