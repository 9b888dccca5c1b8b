use crate::commands::support::testing::TestServer;

const LIBRARY: &str = "#!lua name=lib\n\
    redis.register_function('set', function(keys, args) return redis.call('SET', keys[1], args[1]) end)\n\
    redis.register_function{function_name='get', callback=function(keys) return redis.call('GET', keys[1]) end,\n\
    description='reads', flags={'no-writes'}}";

fn library(name: &str, function: &str, body: &str) -> String {
    format!("#!lua name={name}\nredis.register_function('{function}', function(keys, args) {body} end)")
}

impl TestServer {
    fn ask(&mut self, args: &[&str]) -> String {
        self.run_args(self.client, args)
    }

    fn load(&mut self, source: &str) -> String {
        self.ask(&["FUNCTION", "LOAD", source])
    }
}

#[test]
fn libraries_are_loaded_listed_and_deleted() {
    let mut server = TestServer::new();
    assert_eq!(server.load(LIBRARY), "\"lib\"");
    assert_eq!(server.load(LIBRARY), "-ERR Library 'lib' already exists");
    assert_eq!(server.ask(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]), "\"lib\"");
    assert_eq!(server.ask(&["FUNCTION", "LOAD", "X", LIBRARY]), "-ERR Unknown option given: X");
    assert_eq!(server.load(&library("other", "SET", "")), "-ERR Function SET already exists");
    assert_eq!(server.load("#!lua name=a\n"), "-ERR No functions registered");
    assert_eq!(server.load("return 1"), "-ERR Missing library metadata");
    let shown = "[\"library_name\" \"lib\" \"engine\" \"LUA\" \"functions\" [[\"name\" \"set\" \"description\" nil \
        \"flags\" []] [\"name\" \"get\" \"description\" \"reads\" \"flags\" [+no-writes]]]";
    assert_eq!(server.run("FUNCTION LIST"), format!("[{shown}]]"));
    assert_eq!(server.run("FUNCTION LIST LIBRARYNAME L*"), format!("[{shown}]]"));
    assert!(server.run("FUNCTION LIST WITHCODE").contains("\"library_code\" \"#!lua name=lib"));
    server.script(
        "FUNCTION LIST LIBRARYNAME x => []
         FUNCTION LIST LIBRARYNAME => -ERR library name argument was not given
         FUNCTION LIST WITHCODE WITHCODE => -ERR Unknown argument WITHCODE
         FUNCTION STATS => [\"running_script\" nil \"engines\" [\"LUA\" [\"libraries_count\" :1 \"functions_count\" :2]]]
         FUNCTION DELETE LIB => -ERR Library not found
         FUNCTION DELETE lib => +OK
         FUNCTION LIST => []
         FUNCTION FLUSH x => -ERR FUNCTION FLUSH only supports SYNC|ASYNC option
         FUNCTION FLUSH ASYNC x => -ERR unknown subcommand or wrong number of arguments for 'FLUSH'. Try FUNCTION HELP.
         FUNCTION KILL => -NOTBUSY No scripts in execution right now.",
    );
}

#[test]
fn functions_are_called() {
    let mut server = TestServer::new();
    server.load(LIBRARY);
    server.script(
        "FCALL SET 1 k v => +OK
         FCALL get 1 k => \"v\"
         FCALL_RO get 1 k => \"v\"
         FCALL_RO set 1 k v => -ERR Can not execute a script with write flag using *_ro command.
         FCALL none 0 => -ERR Function not found
         FCALL get x => -ERR Bad number of keys provided
         FCALL get 2 k => -ERR Number of keys can't be greater than number of args
         FCALL get -1 k => -ERR Number of keys can't be negative
         FLUSHALL => +OK
         FCALL get 1 k => nil
         SCRIPT FLUSH => +OK
         FCALL get 1 k => nil
         FUNCTION FLUSH => +OK
         FCALL get 1 k => -ERR Function not found",
    );
    server.load(
        &library("w", "w", "return redis.call('INCR', keys[1])")
            .replace("('w', ", "{function_name='w', flags={'no-writes'}, callback=")
            .replace(" end)", " end}"),
    );
    assert_eq!(
        server.run("FCALL w 1 k"),
        "-ERR Write commands are not allowed from read-only scripts. script: w, on @user_function:2."
    );
}

#[test]
fn changes_of_libraries_are_propagated_and_effects_of_functions() {
    let mut server = TestServer::new();
    server.propagate();
    server.load(&library("l", "f", "redis.call('SET', keys[1], 1) return redis.call('INCR', keys[1])"));
    assert!(server.propagated().contains("FUNCTION LOAD"));
    server.run("FCALL f 1 k");
    let effects = server.propagated();
    assert!(
        effects.contains("MULTI") && effects.contains("INCR k") && !effects.contains("FCALL"),
        "{effects}"
    );
    server.run("FUNCTION DELETE none");
    assert_eq!(server.propagated(), "");
    server.run("FUNCTION DELETE l");
    assert!(server.propagated().contains("FUNCTION DELETE l"));
    server.run("FUNCTION FLUSH");
    assert!(server.propagated().contains("FUNCTION FLUSH"));
}

/// The payload of FUNCTION DUMP.
fn dump(server: &TestServer) -> Vec<u8> {
    server.engine.dump_libraries()
}

fn restore(server: &mut TestServer, payload: &[u8], policy: &[&str]) -> String {
    let words: Vec<&[u8]> = [b"FUNCTION".as_slice(), b"RESTORE", payload]
        .into_iter()
        .chain(policy.iter().map(|word| word.as_bytes()))
        .collect();
    server.run_args(server.client, &words)
}

#[test]
fn libraries_are_dumped_and_restored() {
    let mut server = TestServer::new();
    server.load(&library("a", "f", "return 1"));
    server.load(&library("b", "g", "return 2"));
    let payload = dump(&server);
    assert_eq!(restore(&mut server, &payload, &[]), "-ERR Library a already exists");
    assert_eq!(restore(&mut server, &payload, &["APPEND"]), "-ERR Library a already exists");
    assert_eq!(restore(&mut server, &payload, &["REPLACE"]), "+OK");
    server.run("FUNCTION DELETE a");
    server.load(&library("c", "F", "return 3"));
    assert_eq!(restore(&mut server, &payload, &["REPLACE"]), "-ERR Function f already exists");
    server.script("FCALL f 0 => :3\nFCALL g 0 => :2");
    assert_eq!(restore(&mut server, &payload, &["FLUSH"]), "+OK");
    server.script("FCALL f 0 => :1\nFCALL g 0 => :2\nFUNCTION DELETE c => -ERR Library not found");
    let wrong = "-ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.";
    assert_eq!(restore(&mut server, &payload, &["x"]), wrong);
    assert_eq!(restore(&mut server, b"x", &[]), "-ERR DUMP payload version or checksum are wrong");
    // What is refused leaves nothing behind.
    assert_eq!(dump(&server), payload);
}

#[test]
fn a_library_that_takes_too_long_is_refused() {
    let mut server = TestServer::new();
    server.engine.clock.set_reading_step(1_000_000);
    let text = "-ERR Error registering functions: ERR FUNCTION LOAD timeout";
    assert_eq!(server.load("#!lua name=a\nwhile true do end"), text);
    assert_eq!(server.load(&library("a", "f", "return 1")), "\"a\"");
    assert_eq!(server.run("FCALL f 0"), ":1");
}

#[test]
fn a_slow_function_is_shown_and_killed() {
    let mut server = TestServer::new();
    server.engine.config.busy_reply_threshold = 10;
    server.engine.clock.set_reading_step(1_000_000);
    server.load(&library("a", "f", "while true do end"));
    let other = server.connect();
    assert_eq!(server.run("FCALL f 0 x"), "(blocked)");
    let busy = "-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
    assert_eq!(server.run_as(other, "GET x"), busy);
    assert_eq!(server.run_as(other, "SCRIPT KILL"), busy);
    let stats = server.run_as(other, "FUNCTION STATS");
    let expected =
        "[\"running_script\" [\"name\" \"f\" \"command\" [\"FCALL\" \"f\" \"0\" \"x\"] \"duration_ms\" :";
    assert!(stats.starts_with(expected), "{stats}");
    assert_eq!(server.run_as(other, "FUNCTION KILL"), "+OK");
    server.engine.tick();
    let killed = server.posted(server.client);
    assert!(killed.starts_with("-ERR Script killed by user with SCRIPT KILL..."), "{killed}");
    // A script is none of FUNCTION KILL's.
    assert_eq!(server.ask(&["EVAL", "while true do end", "0"]), "(blocked)");
    let busy = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    assert_eq!(server.run_as(other, "FUNCTION KILL"), busy);
    assert_eq!(server.run_as(other, "FUNCTION STATS"), busy);
    assert_eq!(server.run_as(other, "SCRIPT KILL"), "+OK");
}
