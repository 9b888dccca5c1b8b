//! Scripts over real sockets: slow ones and who may do what meanwhile, what other clients see of a script.

use crate::harness::{Client, Directory, Server, eventually, request};

/// A server on which a script is slow from ten milliseconds on.
fn server() -> Server {
    Server::start(&["--busy-reply-threshold", "10", "--enable-debug-command", "yes"])
}

const BUSY: &str = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
const ENDLESS: &str = "while true do end";
const WRITES: &str = "redis.call('SET', KEYS[1], 1) while true do end";

/// Sends an EVAL and waits until others are told that it is slow.
fn run_slow(client: &mut Client, other: &mut Client, script: &str) {
    client.raw(&request(&["EVAL", script, "1", "k"]));
    eventually("the script is slow", || other.ask("PING") == BUSY);
}

#[test]
fn what_others_may_do_while_a_script_is_slow() {
    let server = server();
    let (mut client, mut other) = (server.client(), server.client());
    run_slow(&mut client, &mut other, ENDLESS);
    for request in ["GET k", "CLIENT LIST", "INFO", "SHUTDOWN SAVE", "CONFIG GET save", "SUBSCRIBE c"] {
        assert!(other.ask(request).starts_with("-BUSY"), "{request}");
    }
    // A new connection can log in and be told.
    let mut late = server.client();
    assert!(late.ask("HELLO 3").starts_with("{$server: $redis"));
    assert_eq!(late.ask("MULTI"), "+OK");
    assert!(late.ask("GET k").starts_with("-BUSY"));
    assert!(late.ask("EXEC").starts_with("-EXECABORT Transaction discarded because of: BUSY Redis is busy"));
    assert_eq!(late.ask("RESET"), "+RESET");
    assert_eq!(
        late.ask("FUNCTION KILL"),
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
    );
    assert_eq!(other.ask("SCRIPT KILL"), "+OK");
    assert!(client.read().starts_with("-ERR Script killed by user with SCRIPT KILL... script: "));
    assert_eq!(client.ask("PING"), "+PONG");
    assert_eq!(other.ask("SCRIPT KILL"), "-NOTBUSY No scripts in execution right now.");
}

#[test]
fn a_client_that_leaves_its_slow_script() {
    let server = server();
    let mut other = server.client();
    let mut client = server.client();
    run_slow(&mut client, &mut other, ENDLESS);
    drop(client);
    assert_eq!(other.ask("PING"), BUSY);
    assert_eq!(other.ask("SCRIPT KILL"), "+OK");
    eventually("the server is free", || other.ask("PING") == "+PONG");
    eventually("its client is gone", || !other.ask("CLIENT LIST").contains("cmd=eval"));

    // One that ends by itself has its effects all the same.
    let mut client = server.client();
    let script = "local i = 0 while i < 5000000 do i = i + 1 end return redis.call('SET', KEYS[1], i)";
    client.raw(&request(&["EVAL", script, "1", "done"]));
    drop(client);
    eventually("its effects are there", || other.ask("GET done") == "$5000000");
}

#[test]
fn a_script_that_has_written_ends_with_the_server_only() {
    let mut server = server();
    let (mut client, mut other) = (server.client(), server.client());
    run_slow(&mut client, &mut other, WRITES);
    assert_eq!(
        other.ask("SCRIPT KILL"),
        "-UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script \
         termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."
    );
    other.send("SHUTDOWN NOSAVE");
    assert!(server.wait().success());
}

#[test]
fn monitor_shows_a_script_and_then_its_commands() {
    let server = server();
    let (mut client, mut monitor) = (server.client(), server.client());
    assert_eq!(monitor.ask("MONITOR"), "+OK");
    client.ask_words(&["EVAL", "redis.call('SET', 'a', 1) return redis.call('GET', 'a')", "0"]);
    let lines = monitor.read_many(3);
    let wanted = [" [0 127.0.0.1:", " [0 lua] \"SET\" \"a\" \"1\"", " [0 lua] \"GET\" \"a\""];
    for (line, wanted) in lines.iter().zip(wanted) {
        assert!(line.contains(wanted), "{lines:?}");
    }
    assert!(lines[0].contains("\"EVAL\""), "{lines:?}");
}

#[test]
fn the_slow_log_has_the_script_and_its_commands() {
    let server = server();
    let mut client = server.client();
    assert_eq!(client.ask("CONFIG SET slowlog-log-slower-than 0"), "+OK");
    assert_eq!(client.ask("SLOWLOG RESET"), "+OK");
    client.ask_words(&["EVAL", "redis.call('SET', 'a', 1)", "0"]);
    let log = client.ask("SLOWLOG GET -1");
    assert!(log.contains("[$EVAL, ") && log.contains("[$SET, $a, $1]"), "{log}");
}

#[test]
fn what_a_script_changes_fails_watches_and_is_announced_at_its_end() {
    let server = server();
    let (mut client, mut watching, mut subscribed) = (server.client(), server.client(), server.client());
    assert_eq!(client.ask("CONFIG SET notify-keyspace-events KEA"), "+OK");
    assert_eq!(subscribed.ask("PSUBSCRIBE __keyevent@0__:*"), "[$psubscribe, $__keyevent@0__:*, :1]");
    assert_eq!(watching.ask("WATCH b"), "+OK");
    assert_eq!(watching.ask("MULTI"), "+OK");
    assert_eq!(watching.ask("GET b"), "+QUEUED");
    let script = "redis.call('SET', 'a', 1) redis.call('DEL', 'a') redis.call('RPUSH', 'b', 1) return redis.call('TYPE', 'b')";
    assert_eq!(client.ask_words(&["EVAL", script, "0"]), "+list");
    assert_eq!(watching.ask("EXEC"), "nil");
    let events: Vec<String> = subscribed.read_many(3);
    for (event, (name, key)) in events.iter().zip([("set", "a"), ("del", "a"), ("rpush", "b")]) {
        let wanted = format!("[$pmessage, $__keyevent@0__:*, $__keyevent@0__:{name}, ${key}]");
        assert_eq!(*event, wanted, "{events:?}");
    }
}

#[test]
fn time_stands_still_in_a_script() {
    let server = server();
    let mut client = server.client();
    let wait = "local function wait(s) local t = os.clock() while os.clock() - t < s do end end ";
    let twice = format!(
        "{wait} local one = redis.call('TIME') wait(0.005) local two = redis.call('TIME') return {{one[1] == two[1], one[2] == two[2]}}"
    );
    assert_eq!(client.ask_words(&["EVAL", &twice, "0"]), "[:1, :1]");
    let expires = format!(
        "{wait} redis.call('SET', 'k', 'v', 'PX', 1) wait(0.005) return {{redis.call('GET', 'k'), redis.call('PTTL', 'k')}}"
    );
    assert_eq!(client.ask_words(&["EVAL", &expires, "0"]), "[$v, :1]");
    eventually("it expires afterwards", || client.ask("EXISTS k") == ":0");
    // A key whose time had come before is gone for the script.
    assert_eq!(client.ask("DEBUG SET-ACTIVE-EXPIRE 0"), "+OK");
    assert_eq!(client.ask("SET old v PX 1"), "+OK");
    std::thread::sleep(std::time::Duration::from_millis(3));
    assert_eq!(client.ask_words(&["EVAL", "return redis.call('EXISTS', 'old')", "0"]), ":0");
}

#[test]
fn the_log_has_what_a_script_lets_it_have() {
    let dir = std::env::temp_dir().join(format!("redloop-scripts-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a directory");
    let options = ["--dir", &dir.to_string_lossy(), "--appendonly", "yes", "--enable-debug-command", "yes"];
    let server = Server::start(&options);
    let mut client = server.client();
    let script = "redis.call('SET', 'all', 1)
        for name, targets in pairs({none = redis.REPL_NONE, log = redis.REPL_AOF, replica = redis.REPL_REPLICA}) do
            redis.set_repl(targets)
            redis.call('SET', name, 1)
        end
        redis.set_repl(redis.REPL_ALL)
        redis.call('SELECT', 3)
        return redis.call('SET', 'last', 1)";
    assert_eq!(client.ask_words(&["EVAL", script, "0"]), "+OK");
    // The next script begins with all targets, and in the client's own database.
    assert_eq!(client.ask_words(&["EVAL", "return redis.call('SET', 'next', 1)", "0"]), "+OK");
    assert_eq!(client.ask("EXISTS all none log replica next"), ":5");
    assert_eq!(client.ask("DEBUG LOADAOF"), "+OK");
    assert_eq!(client.ask("EXISTS all log next"), ":3");
    assert_eq!(client.ask("EXISTS none replica"), ":0");
    assert_eq!(client.ask("SELECT 3"), "+OK");
    assert_eq!(client.ask("KEYS *"), "[$last]");
    drop(server);
    let _ = std::fs::remove_dir_all(&dir);
}

/// Starts a server on a log of these commands, whose scripts are slow from ten milliseconds on.
fn start_on_log(directory: &Directory, commands: &[&[&str]]) -> Server {
    let log: Vec<u8> = commands.iter().flat_map(|words| request(words)).collect();
    std::fs::write(directory.0.join("appendonly.aof"), log).expect("a log");
    let dir = directory.0.to_string_lossy();
    let options = ["--dir", &dir, "--appendonly", "yes", "--busy-reply-threshold", "10"];
    Server::start_until("Slow script detected", &options)
}

#[test]
fn an_endless_script_of_the_log_leaves_a_server_that_answers_and_ends() {
    for stop in ["SHUTDOWN NOSAVE", "SIGTERM"] {
        let directory = Directory::new("log-script");
        let mut server = start_on_log(&directory, &[&["SET", "a", "1"], &["EVAL", "while true do end", "0"]]);
        let mut client = server.client();
        for line in ["PING", "GET a", "SET a 2", "EVAL return 0", "SCRIPT KILL"] {
            let reply = client.ask(line);
            assert!(reply.starts_with("-LOADING "), "{line}: {reply}");
        }
        let reply = client.ask("CONFIG GET save");
        assert!(reply.starts_with("-BUSY "), "{reply}");
        match stop {
            "SIGTERM" => server.signal("TERM"),
            _ => client.send(stop),
        }
        assert!(server.wait().success(), "{stop}");
    }
}

#[test]
fn what_is_behind_a_slow_script_of_the_log_is_loaded_after_it() {
    let directory = Directory::new("log-slow-script");
    let script = "redis.call('set', KEYS[1], '1') for n = 1, 200000 do redis.call('ping') end redis.call('incr', KEYS[1])";
    let commands: &[&[&str]] = &[
        &["MULTI"],
        &["EVAL", script, "1", "a"],
        &["INCR", "a"],
        &["EXEC"],
        &["EVAL", script, "1", "b"],
        &["INCR", "b"],
        &["SET", "c", "1"],
    ];
    let server = start_on_log(&directory, commands);
    let mut client = server.client();
    assert!(client.ask("GET a").starts_with("-LOADING "));
    server.wait_for_log(&["DB loaded from append only file"]);
    let values = ["INCRBY a 0", "INCRBY b 0", "INCRBY c 0"].map(|line| client.ask(line));
    assert_eq!(values, [":3", ":3", ":1"]);
}
