//! Tests of the interpreter: what it runs, how calls are suspended and resumed, what errors say.

use super::*;
use crate::services::scripting::sha1_hex;

/// An interpreter and what its scripts' calls were.
struct Scripts {
    interpreter: Interpreter,
    calls: Vec<String>,
    log: Vec<String>,
    ticks: usize,
    /// Ticks after which a script is killed.
    patience: usize,
}

impl Scripts {
    fn new() -> Self {
        Self::with(false)
    }

    fn with(insecure: bool) -> Self {
        let interpreter =
            Interpreter::new(Options { insecure, runs_functions: false, version: "8.0.1", memory: 64 << 20 })
                .expect("a stack");
        Scripts { interpreter, calls: Vec::new(), log: Vec::new(), ticks: 0, patience: usize::MAX }
    }

    /// What the script replies, in RESP.
    fn run(&mut self, source: &str) -> String {
        self.run_with(source, &[], &[])
    }

    fn run_with(&mut self, source: &str, keys: &[&str], arguments: &[&str]) -> String {
        let mut exchange = self.interpreter.exchange();
        exchange.request = source.as_bytes().to_vec();
        let (event, exchange) = self.interpreter.resume(Input::Compile { name: "f00".into() }, exchange);
        let function = match event {
            Event::Compiled(Ok(function)) => function,
            Event::Compiled(Err(text)) => return String::from_utf8_lossy(&text).into_owned(),
            other => panic!("{other:?}"),
        };
        self.interpreter.put_back(exchange);
        let mut exchange = self.interpreter.exchange();
        exchange.begin_request(keys.len() + arguments.len());
        keys.iter().chain(arguments).for_each(|argument| exchange.push_argument(argument.as_bytes()));
        let input = Input::Run { function, keys: keys.len(), resp3: false };
        let (mut event, mut exchange) = self.interpreter.resume(input, exchange);
        self.ticks = 0;
        loop {
            let input = self.answer(&event, &mut exchange);
            let Some(input) = input else { break };
            (event, exchange) = self.interpreter.resume(input, exchange);
        }
        let reply = String::from_utf8_lossy(&exchange.reply).into_owned();
        self.interpreter.put_back(exchange);
        let exchange = self.interpreter.exchange();
        let (event, exchange) = self.interpreter.resume(Input::Release(function), exchange);
        assert!(matches!(event, Event::Ready), "{event:?}");
        self.interpreter.put_back(exchange);
        reply
    }

    fn answer(&mut self, event: &Event, exchange: &mut Exchange) -> Option<Input> {
        Some(match event {
            Event::Finished => return None,
            Event::Call { resp3, .. } => {
                let words: Vec<_> =
                    exchange.args().iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
                assert!(exchange.args().frame().is_some());
                exchange.reply.clear();
                let reply: &[u8] = match words[0].as_str() {
                    "REPLY" => words[1].as_bytes(),
                    "REFUSE" => {
                        exchange.reply.extend_from_slice(b"No.");
                        return Some(Input::Refuse);
                    }
                    _ if *resp3 => b"_\r\n",
                    _ => b"+OK\r\n",
                };
                exchange.reply.extend_from_slice(reply);
                self.calls.push(words.join(" "));
                Input::Reply
            }
            Event::CheckRights => Input::Rights(Some(exchange.args().at(0) == b"GET")),
            Event::Log { level } => {
                self.log.push(format!("{level} {}", String::from_utf8_lossy(&exchange.request)));
                Input::Continue
            }
            Event::Tick => {
                self.ticks += 1;
                if self.ticks > self.patience { Input::Kill } else { Input::Continue }
            }
            Event::Ready | Event::Compiled(_) | Event::Loaded(_) | Event::Freed { .. } => panic!("{event:?}"),
        })
    }
}

fn check(cases: &[(&str, &str)]) {
    let mut scripts = Scripts::new();
    for (source, reply) in cases {
        assert_eq!(scripts.run(source), *reply, "{source}");
    }
}

#[test]
fn values_become_replies() {
    check(&[
        ("return 1", ":1\r\n"),
        ("return 3.99", ":3\r\n"),
        ("return -3.99", ":-3\r\n"),
        ("return 'x'", "$1\r\nx\r\n"),
        ("return true", ":1\r\n"),
        ("return false", "$-1\r\n"),
        ("return", "$-1\r\n"),
        ("return {1,2,nil,4}", "*2\r\n:1\r\n:2\r\n"),
        ("return {1,{'a'}}", "*2\r\n:1\r\n*1\r\n$1\r\na\r\n"),
        ("return {ok='fine'}", "+fine\r\n"),
        ("return {err='ERR bad'}", "-ERR bad\r\n"),
        ("return redis.error_reply('MY ERR')", "-MY ERR\r\n"),
        ("return redis.error_reply('-oops')", "-ERR oops\r\n"),
        ("return redis.status_reply('a\\r\\nb')", "+a  b\r\n"),
        ("return redis.status_reply(1)", "-ERR wrong number or type of arguments\r\n"),
        ("return {double=3.5}", "$3\r\n3.5\r\n"),
        ("return {map={a=1}}", "*2\r\n$1\r\na\r\n:1\r\n"),
        ("return {set={a=true}}", "*1\r\n$1\r\na\r\n"),
        ("return {big_number='12'}", "$2\r\n12\r\n"),
        ("return {verbatim_string={format='txt',string='t'}}", "$1\r\nt\r\n"),
        ("return {verbatim_string={format='\\n',string='t'}}", "$1\r\nt\r\n"),
        // Numbers become a C integer: by way of 64 bits, where what doesn't fit is the smallest.
        ("return {unpack({1,2,3}, -1/0, 1)}", "*0\r\n"),
        ("return {unpack({1,2,3}, 100, 2^31)}", "*0\r\n"),
        ("return {unpack({1,2,3}, 2^32+2, 3.9)}", "*2\r\n:2\r\n:3\r\n"),
        ("redis.setresp(3) return true", ":1\r\n"),
        ("return redis.sha1hex('')", "$40\r\nda39a3ee5e6b4b0d3255bfef95601890afd80709\r\n"),
        ("return redis.REDIS_VERSION_NUM", ":524289\r\n"),
        ("return string.format('%.2f', os.clock() >= 0 and 1 or 0)", "$4\r\n1.00\r\n"),
        ("return {math.random(1,1), math.floor(math.random() * 0)}", "*2\r\n:1\r\n:0\r\n"),
    ]);
    assert_eq!(sha1_hex(b"abc"), *b"a9993e364706816aba3e25717850c26c9cd0d89d");
}

#[test]
fn replies_become_values() {
    let mut scripts = Scripts::new();
    for (reply, shown) in [
        (":5\\r\\n", "number:5"),
        ("$1\\r\\nx\\r\\n", "string:x"),
        ("$-1\\r\\n", "boolean:false"),
        ("*-1\\r\\n", "boolean:false"),
        ("_\\r\\n", "nil:nil"),
        ("#t\\r\\n", "boolean:true"),
    ] {
        let source = format!("local v = redis.call('REPLY', '{reply}') return type(v) .. ':' .. tostring(v)");
        assert_eq!(scripts.run(&source), format!("${}\r\n{shown}\r\n", shown.len()));
    }
    for (reply, field, shown) in [
        ("+OK\\r\\n", "ok", "OK"),
        (",1.5\\r\\n", "double", "1.5"),
        ("(123\\r\\n", "big_number", "123"),
        ("=5\\r\\ntxt:x\\r\\n", "verbatim_string.string", "x"),
        ("=5\\r\\ntxt:x\\r\\n", "verbatim_string.format", "txt"),
        ("%1\\r\\n$1\\r\\na\\r\\n:1\\r\\n", "map.a", "1"),
        ("~1\\r\\n$1\\r\\na\\r\\n", "set.a", "true"),
        ("*2\\r\\n:1\\r\\n*1\\r\\n:7\\r\\n", "[2][1]", "7"),
        ("|1\\r\\n+a\\r\\n+b\\r\\n*1\\r\\n:9\\r\\n", "[1]", "9"),
    ] {
        let dot = if field.starts_with('[') { "" } else { "." };
        let source = format!("return tostring(redis.call('REPLY', '{reply}'){dot}{field})");
        assert_eq!(scripts.run(&source), format!("${}\r\n{shown}\r\n", shown.len()), "{reply}");
    }
}

#[test]
fn keys_and_arguments() {
    let mut scripts = Scripts::new();
    let reply = scripts.run_with("return {#KEYS, KEYS[1], ARGV[2], #ARGV}", &["k"], &["a", "b"]);
    assert_eq!(reply, "*4\r\n:1\r\n$1\r\nk\r\n$1\r\nb\r\n:2\r\n");
    scripts.run("return redis.call('SET', 'key', 1, 1.5, 1e15, -0.0, 2^62, 1e20)");
    assert_eq!(scripts.calls, ["SET key 1 1.5 1000000000000000 0 4611686018427387904 1e+20"]);
    assert_eq!(scripts.run("return redis.acl_check_cmd('GET','x')"), ":1\r\n");
    assert_eq!(scripts.run("return redis.acl_check_cmd('SET','x')"), "$-1\r\n");
    scripts.run("redis.log(redis.LOG_WARNING, 'a', 1, {}, 'b')");
    assert_eq!(scripts.log, ["3 a 1 b"]);
}

#[test]
fn errors_say_where() {
    check(&[
        ("error('oops')", "-ERR user_script:1: oops script: f00, on @user_script:1.\r\n"),
        ("error({err='MY\\0oops'})", "-MY script: f00, on @user_script:1.\r\n"),
        ("error(1e17, 0)", "-ERR 1e+17 script: f00, on @user_script:1.\r\n"),
        ("error(nil)", "-ERR nil script: f00, on @user_script:1.\r\n"),
        ("error(cjson.null)", "-ERR userdata: (nil) script: f00, on @user_script:1.\r\n"),
        ("\nerror({err='MY oops'})", "-MY oops script: f00, on @user_script:2.\r\n"),
        (
            "return foo",
            "-ERR user_script:1: Script attempted to access nonexistent global variable 'foo' script: f00, on @user_script:1.\r\n",
        ),
        (
            "foo = 1",
            "-ERR user_script:1: Attempt to modify a readonly table script: f00, on @user_script:1.\r\n",
        ),
        (
            "local x = nil; return x.y",
            "-ERR user_script:1: attempt to index local 'x' (a nil value) script: f00, on @user_script:1.\r\n",
        ),
        (
            "return redis.call('REPLY', '-WRONGTYPE no\\r\\n')",
            "-WRONGTYPE no script: f00, on @user_script:1.\r\n",
        ),
        ("return redis.pcall('REPLY', '-WRONGTYPE no\\r\\n')", "-WRONGTYPE no\r\n"),
        ("return redis.call('REFUSE')", "-ERR No. script: f00, on @user_script:1.\r\n"),
        (
            "return redis.call()",
            "-ERR Please specify at least one argument for this redis lib call script: f00, on @user_script:1.\r\n",
        ),
        (
            "return redis.call({})",
            "-ERR Lua redis lib command arguments must be strings or integers script: f00, on @user_script:1.\r\n",
        ),
        (
            "local ok, e = pcall(redis.call, 'REPLY', '-WRONGTYPE no\\r\\n') return {tostring(ok), e}",
            "*2\r\n$5\r\nfalse\r\n$12\r\nWRONGTYPE no\r\n",
        ),
        ("local ok, e = pcall(error, {code=1}) return e.code", ":1\r\n"),
        (
            "local ok, e = pcall(string.rep) return e",
            "$54\r\nbad argument #1 to '?' (string expected, got no value)\r\n",
        ),
        (
            "string.rep()",
            "-ERR user_script:1: bad argument #1 to 'rep' (string expected, got no value) script: f00, on @user_script:1.\r\n",
        ),
        (
            "string.gsub('x')",
            "-ERR user_script:1: bad argument #2 to 'gsub' (string expected, got no value) script: f00, on @user_script:1.\r\n",
        ),
        (
            "string.gmatch('x')",
            "-ERR user_script:1: bad argument #2 to 'gmatch' (string expected, got no value) script: f00, on @user_script:1.\r\n",
        ),
        (
            "string.find('x', '%')",
            "-ERR user_script:1: malformed pattern (ends with '%') script: f00, on @user_script:1.\r\n",
        ),
        (
            "table.insert(nil, 1)",
            "-ERR user_script:1: bad argument #1 to 'insert' (table expected, got nil) script: f00, on @user_script:1.\r\n",
        ),
        (
            "for k in pairs(nil) do end",
            "-ERR user_script:1: bad argument #1 to 'pairs' (table expected, got nil) script: f00, on @user_script:1.\r\n",
        ),
        (
            "cjson.decode('{')",
            "-ERR user_script:1: Expected object key string but found T_END at character 2 script: f00, on @user_script:1.\r\n",
        ),
        (
            "return xpcall(function() redis.call('REFUSE') end, function(e) return e.err end) and 1 or 2",
            ":2\r\n",
        ),
        (
            "local _, e = xpcall(function() redis.call('REFUSE') end, function(e) return e.err end) return e",
            "$7\r\nERR No.\r\n",
        ),
        (
            "local co = coroutine.create(function() redis.call('REFUSE') end) local ok, e = coroutine.resume(co) return e.err",
            "$7\r\nERR No.\r\n",
        ),
        // As functions of C raise them: a call in tail position has its place, and so has what a function calls back.
        (
            "return string.rep()",
            "-ERR user_script:1: bad argument #1 to 'rep' (string expected, got no value) script: f00, on @user_script:1.\r\n",
        ),
        (
            "return setmetatable({})",
            "-ERR user_script:1: bad argument #2 to 'setmetatable' (nil or table expected) script: f00, on @user_script:1.\r\n",
        ),
        ("local ok, e = pcall(function() error('x', 3) end) return e", "$16\r\nuser_script:1: x\r\n"),
        ("local ok, e = pcall(error, 'x', 2) return e", "$16\r\nuser_script:1: x\r\n"),
        ("rawset({}, nil, 1)", "-ERR table index is nil script: f00, on @user_script:1.\r\n"),
        (
            "string.gsub('x', 'x',\nfunction() error({err='MY x'}) end)",
            "-MY x script: f00, on @user_script:2.\r\n",
        ),
        (
            "table.sort({1, 2},\nfunction() redis.call('REFUSE') end)",
            "-ERR No. script: f00, on @user_script:2.\r\n",
        ),
        (
            "pcall(string.gsub, 'x', 'x', function() error('a') end)\n\nredis.call('REFUSE')",
            "-ERR No. script: f00, on @user_script:3.\r\n",
        ),
        (
            "table.sort({1, 'x', 2})",
            "-ERR attempt to compare string with number script: f00, on @user_script:1.\r\n",
        ),
        ("return select(2, load(function() error('x', 0) end))", "-ERR x\r\n"),
        (
            "return select(2, load(function() return {} end))",
            "-ERR user_script:1: reader function must return a string\r\n",
        ),
        ("error()", "-ERR nil script: f00, on @user_script:1.\r\n"),
        ("x=", "user_script:1: unexpected symbol near '<eof>'"),
        ("\u{1b}Lua", "user_script:1: unexpected symbol near 'char(27)'"),
    ]);
}

#[test]
fn replies_and_errors_are_those_of_redis() {
    let mut scripts = Scripts::new();
    let recorded = include_str!("../../../tests/data/script_replies.txt");
    let lines: Vec<&str> = recorded.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines.len() > 600);
    for pair in lines.chunks(2) {
        let reply = scripts.run(pair[0]);
        let shown = reply.replace('\\', "\\\\").replace('\r', "\\r").replace('\n', "\\n");
        assert_eq!(shown, pair[1].trim_start(), "{}", pair[0]);
    }
}

#[path = "hostile_tests.rs"]
mod hostile;
