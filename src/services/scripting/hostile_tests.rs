//! Scripts that try to break out, to stay, or to take the server with them.

use super::*;

/// Each must fail with an error whose text has this in it, and the interpreter go on.
fn fails(cases: &[(&str, &str)]) {
    let mut scripts = Scripts::new();
    for (source, part) in cases {
        let reply = scripts.run(source);
        let first: String = reply.chars().take(300).collect();
        assert!(!reply.starts_with(['+', ':', '$', '*']) && reply.contains(part), "{source}: {first}");
        assert_eq!(scripts.run("return 1"), ":1\r\n", "after {source}");
    }
}

#[test]
fn protected_tables_stay_as_they_are() {
    const READONLY: &str = "Attempt to modify a readonly table";
    fails(&[
        ("x = 1", READONLY),
        ("_G.x = 1", READONLY),
        ("string.rep = 1", READONLY),
        ("redis.call = function() end", READONLY),
        ("cjson.encode = nil", READONLY),
        ("server.x = 1", READONLY),
        ("rawset(_G, 'x', 1)", READONLY),
        ("rawset(redis, 'call', 1)", READONLY),
        ("table.insert(table, 1)", READONLY),
        ("table.remove(table)", READONLY),
        ("table.sort(math)", READONLY),
        ("setmetatable(_G, {})", READONLY),
        ("setmetatable(redis, nil)", READONLY),
        ("getmetatable(_G).__index = {}", READONLY),
        ("getmetatable('').__index = {}", READONLY),
        ("getmetatable('').x = 1", READONLY),
        ("local g = {} setmetatable(_G, g)", READONLY),
        ("for k, v in pairs(redis) do redis[k] = nil end", READONLY),
        ("for k, v in pairs(getmetatable('')) do v.x = 1 end", READONLY),
        ("rawget(_G, 'string').x = 1", READONLY),
        ("select(2, next(_G)).x = 1", ""),
    ]);
}

#[test]
fn nothing_breaks_out() {
    for name in [
        "print",
        "dofile",
        "loadfile",
        "require",
        "module",
        "package",
        "io",
        "debug",
        "newproxy",
        "setfenv",
        "getfenv",
        "jit",
        "ffi",
        "insecure",
        "visible",
        "scan",
        "__redis__err__handler_",
    ] {
        let text = format!("Script attempted to access nonexistent global variable '{name}'");
        fails(&[(&format!("return {name}"), &text)]);
    }
    fails(&[
        ("return os.execute('true')", "attempt to call field 'execute' (a nil value)"),
        ("return string.gmatch.x", "attempt to index field 'gmatch'"),
        // Code that was compiled elsewhere (CVE-2015-4335).
        ("return assert(loadstring(string.dump(function() end)))()", "unexpected symbol near 'char(27)'"),
        ("return assert(load(function() return nil end))() .. x", ""),
        ("loadstring('x = 1')()", "Attempt to modify a readonly table"),
        // The environment of a compiled text is the same view.
        ("return loadstring('return print')()", "nonexistent global variable 'print'"),
    ]);
}

#[test]
fn nothing_is_left_for_the_next_script() {
    let mut scripts = Scripts::new();
    for source in [
        "KEYS.x = 1 ARGV.x = 1 return 1",
        "setmetatable(KEYS, {__index = function() return 7 end}) return 1",
        "collectgarbage('stop') return 1",
        "redis.setresp(3) redis.set_repl(redis.REPL_NONE) return 1",
        "pcall(function() string.x = 1 end) return 1",
    ] {
        assert_eq!(scripts.run(source), ":1\r\n", "{source}");
    }
    assert_eq!(scripts.run("return {KEYS.x or 0, #KEYS, KEYS[5] or 0}"), "*3\r\n:0\r\n:0\r\n:0\r\n");
    assert_eq!(scripts.run("return true"), ":1\r\n");
    assert_eq!(scripts.run("return redis.call('x')"), "+OK\r\n");
}

#[test]
fn recursion_ends() {
    fails(&[
        ("local function f() return f() + 1 end f()", "stack overflow"),
        ("local function f() local ok = pcall(f) return ok end f() error('end')", "end"),
        (
            "local function f(n) return (string.gsub('a', 'a', function() return f(n + 1) end)) end f(1)",
            "overflow",
        ),
        ("local function f() table.sort({3, 2, 1}, function(a, b) f() return a < b end) end f()", "overflow"),
        (
            "local m = {} m.__index = function(t, k) return setmetatable({}, m)[k] end return setmetatable({}, m).x",
            "overflow",
        ),
        (
            "local m = {} m.__tostring = function() return tostring(setmetatable({}, m)) end tostring(setmetatable({}, m))",
            "overflow",
        ),
        (
            "local m = {} m.__eq = function(a, b) return setmetatable({}, m) == setmetatable({}, m) end return setmetatable({}, m) == setmetatable({}, m)",
            "overflow",
        ),
        (
            "local m = {} m.__concat = function(a, b) return setmetatable({}, m) .. 'x' end return setmetatable({}, m) .. 'x'",
            "overflow",
        ),
        // Each coroutine counts its calls anew: only the stack's end is common to them.
        ("local function f() coroutine.wrap(f)() end f()", "overflow"),
        (
            "local function f() local ok, e = coroutine.resume(coroutine.create(f)) if not ok then error(e, 0) end end f()",
            "overflow",
        ),
        ("local function f() coroutine.wrap(function() string.gsub('a', 'a', f) end)() end f()", "overflow"),
        ("assert(loadstring('return ' .. ('('):rep(100000) .. '1'))", "chunk has too many syntax levels"),
        ("assert(loadstring(('local function f() '):rep(10000)))", "chunk has too many syntax levels"),
        ("assert(loadstring('return ' .. ('{'):rep(100000)))", "chunk has too many syntax levels"),
        ("assert(loadstring('x = ' .. ('a ..'):rep(100000) .. 'a'))", "chunk has too many syntax levels"),
        ("return string.find(('a'):rep(100000), ('a?'):rep(50000))", "pattern too complex"),
        ("return string.find(('a'):rep(3000), ('(a'):rep(3000))", "too many captures"),
        ("local t = {} for i = 1, 5000 do t = {t} end return cjson.encode(t)", "nesting"),
        ("return cjson.decode(('['):rep(5000))", "nest"),
        ("return unpack({}, 0, 2147483647)", "too many results to unpack"),
        ("return unpack({}, -2147483648, 2147483647)", "too many results to unpack"),
        ("return unpack({}, 1, 1e8)", "too many results to unpack"),
        ("return redis.call(unpack({}, 1, 7990))", "must be strings or integers"),
        ("return struct.pack('>I2147483648', 10)", "integral size overflow"),
        ("return cmsgpack.unpack(('\\221\\255\\255\\255\\255'))", "Missing bytes"),
    ]);
    let mut scripts = Scripts::new();
    let deep = scripts.run("local t = {} for i = 1, 9000 do t = {t} end return t");
    assert!(deep.ends_with("-ERR reached lua stack limit\r\n"));
    let many = "local t = {} for i = 1, 7990 do t[i] = {} end ";
    for call in [
        "redis.call(unpack(t))",
        "redis.sha1hex(unpack(t))",
        "redis.log(unpack(t))",
        "cmsgpack.pack(unpack(t))",
    ] {
        let reply = scripts.run(&format!("{many} return {call}"));
        assert!(reply.starts_with(['-', '$']), "{call}: {reply}");
        assert_eq!(scripts.run("return 1"), ":1\r\n", "after {call}");
    }
    let cycle = scripts.run("local t = {} t[1] = t return t");
    assert!(cycle.ends_with("-ERR reached lua stack limit\r\n"));
}

#[test]
fn memory_ends() {
    fails(&[
        ("local s = 'x' while true do s = s .. s end", "not enough memory"),
        ("return ('x'):rep(2000000000)", "not enough memory"),
        ("local t = {} while true do t[#t + 1] = ('x'):rep(10000000) .. #t end", "not enough memory"),
        ("return ('x'):rep(100000):gsub('x', ('y'):rep(100000))", "not enough memory"),
    ]);
    let mut scripts = Scripts::new();
    assert_eq!(
        scripts
            .run("local ok, e = pcall(function() local s = 'x' while true do s = s .. s end end) return e"),
        "$17\r\nnot enough memory\r\n"
    );
    assert_eq!(scripts.run("return collectgarbage('count') < 32000"), ":1\r\n");
}

/// A script that doesn't end is stopped wherever it is.
#[test]
fn every_endless_script_can_be_killed() {
    let mut scripts = Scripts::new();
    scripts.patience = 2;
    for source in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do local co = coroutine.create(function() while true do end end) coroutine.resume(co) end",
        "while true do pcall(coroutine.wrap(function() while true do end end)) end",
        "local function f() pcall(f) f() end f()",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "return string.find(('a'):rep(40), ('a-'):rep(30) .. 'b')",
        "return string.find(('a'):rep(100000), '.-.-.-b')",
        "return string.gsub(('a'):rep(100000), '.-.-b', '')",
        "for w in string.gmatch(('a'):rep(100000), '.-.-.-b') do end",
        "while true do redis.call('x') end",
    ] {
        let reply = scripts.run(source);
        assert!(reply.starts_with("-ERR Script killed by user with SCRIPT KILL..."), "{source}: {reply}");
        scripts.patience = usize::MAX;
        assert_eq!(scripts.run("return 1"), ":1\r\n", "after {source}");
        scripts.patience = 2;
    }
}

#[test]
fn functions_that_break_out_are_there_only_by_configuration() {
    let mut scripts = Scripts::with(true);
    for (source, reply) in [
        ("local f = function() return x end setfenv(f, {x = 5}) return f()", ":5\r\n"),
        ("return getfenv() == _G", ":1\r\n"),
        ("return type(newproxy(true))", "$8\r\nuserdata\r\n"),
        ("getmetatable(newproxy(true)).__gc = function() return 1 end collectgarbage() return 1", ":1\r\n"),
        ("getmetatable(newproxy(true)).__len = function() return 1 end return 1", ":1\r\n"),
        ("local p = newproxy(true) getmetatable(p).__len = function() return 3 end return #p", ":3\r\n"),
        ("return getfenv(pcall) == _G", ":1\r\n"),
        (
            "local ok, e = pcall(function() getfenv(pcall).x = 1 end) return e:match('readonly')",
            "$8\r\nreadonly\r\n",
        ),
    ] {
        assert_eq!(scripts.run(source), reply, "{source}");
    }
}

/// An interpreter that is dropped while a script waits ends it.
#[test]
fn a_waiting_script_ends_with_its_interpreter() {
    let mut interpreter = Interpreter::new(Options {
        insecure: false,
        runs_functions: false,
        version: "8.0.0",
        memory: 1 << 20,
    })
    .expect("a stack");
    let mut exchange = interpreter.exchange();
    exchange.request = b"while true do pcall(redis.call, 'x') end".to_vec();
    let (event, exchange) = interpreter.resume(Input::Compile { name: "f".into() }, exchange);
    let Event::Compiled(Ok(function)) = event else { panic!("{event:?}") };
    let (event, _) = interpreter.resume(Input::Run { function, keys: 0, resp3: false }, exchange);
    assert!(matches!(event, Event::Call { .. }), "{event:?}");
    drop(interpreter);
}
