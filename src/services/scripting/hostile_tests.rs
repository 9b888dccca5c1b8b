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

/// Faults of Redis's Lua in public records, which are none here.
#[test]
fn recorded_faults_are_none_here() {
    fails(&[
        // CVE-2015-8080, CVE-2020-14147: sizes of struct beyond an `int`.
        ("return struct.pack('I99999999999', 1)", "integral size overflow"),
        ("return struct.unpack('c4294967297', 'abc')", "integral size overflow"),
        ("return struct.pack('!2147483648', 1)", "integral size overflow"),
        // CVE-2018-11219: places and sizes beyond the data.
        ("return struct.unpack('c2147483647', 'abc')", "data string too short"),
        ("return struct.unpack('I4', 'abcd', 2^31)", "data string too short"),
        ("return struct.unpack('I4', 'abcd', 2^63)", "data string too short"),
        ("return struct.unpack('I4', 'abcd', -1)", "data string too short"),
        ("return struct.unpack('Bc0', '\\255abc')", "data string too short"),
        ("return struct.unpack('c0', 'abc')", "format 'c0' needs a previous size"),
        // CVE-2018-11218, CVE-2021-32626: more than the stack has room for.
        (
            "return cmsgpack.unpack(('\\145'):rep(100000))",
            "stack overflow (in function mp_decode_to_lua_array)",
        ),
        ("return cmsgpack.unpack(('\\1'):rep(100000))", "too many return values"),
        ("return cjson.decode(('[{\"a\":'):rep(100000))", "nested"),
        ("cjson.decode_max_depth(2^31 - 1) return cjson.decode(('['):rep(100000))", "nested"),
        // CVE-2025-46817: numbers of results beyond an `int`.
        ("return unpack({}, -2147483648, 2147483647)", "too many results to unpack"),
        ("return unpack({1}, 2^31 - 8000, 2^31 - 1)", "too many results to unpack"),
        ("return unpack({1, 2, 3}, -2147483648, -2)", "too many results to unpack"),
        ("return unpack({1, 2, 3}, 1, 2147483647)", "too many results to unpack"),
        // CVE-2025-46819: brackets of long strings that don't end.
        ("return [==", "invalid long string delimiter"),
        ("return [=====[ x ]==== ]", "unfinished long string"),
        // CVE-2022-24735, CVE-2025-46818: what other scripts and functions see.
        ("getmetatable('').__index = function() return redis.call end", "Attempt to modify a readonly table"),
        ("string.format = nil", "Attempt to modify a readonly table"),
        ("getmetatable(cjson.decode('[]')).x = 1", "attempt to index a nil value"),
    ]);
    let mut scripts = Scripts::new();
    for (source, reply) in [
        // CVE-2024-31449: as many digits as the smallest `int`.
        ("return bit.tohex(65535, -2147483648)", "$8\r\n0000FFFF\r\n"),
        (
            "return tostring(getmetatable(0)) .. tostring(getmetatable(true)) .. tostring(getmetatable(type))",
            "$9\r\nnilnilnil\r\n",
        ),
        // CVE-2025-49844: the name of what is compiled is collected meanwhile.
        (
            "for i = 1, 300 do
                local name = ('n'):rep(60) .. i
                assert(loadstring(('local x = {} '):rep(190), name:sub(1, -1)))
                assert(not loadstring(('local y = \"' .. i .. '\" '):rep(300), ('m'):rep(60) .. i))
            end
            return 1",
            ":1\r\n",
        ),
        // Replies within replies.
        ("return redis.error_reply('a\\r\\n+OK\\r\\n')", "-ERR a  +OK\r\n"),
        ("return {err = 'MY a\\r\\n+OK'}", "-MY a  +OK\r\n"),
        ("return {ok = 'a\\r\\n+OK\\r\\n'}", "+a  +OK  \r\n"),
        ("redis.setresp(3) return {big_number = '1\\r\\n+OK'}", "$6\r\n1  +OK\r\n"),
    ] {
        assert_eq!(scripts.run(source), reply, "{source}");
    }
}

/// The collector can always be run, whatever is left to scripts.
#[test]
fn garbage_is_collected_when_little_memory_is_left() {
    let mut scripts = Scripts::new();
    let source =
        "local t = {} pcall(function() while true do t[#t + 1] = {#t, #t, #t, #t, #t, #t, #t, #t} end end)
        local full = collectgarbage('count') t = nil
        local done = collectgarbage() == 0
        return {tostring(done), tostring(full > 30000), tostring(collectgarbage('count') < 10000)}";
    assert_eq!(scripts.run(source), "*3\r\n$4\r\ntrue\r\n$4\r\ntrue\r\n$4\r\ntrue\r\n");
}

/// What takes long within one function lets the engine look at the clock.
#[test]
fn long_functions_are_interrupted() {
    let mut scripts = Scripts::new();
    let fill = "local t = {} for i = 1, 45000 do t[i] = i * 7919 % 50021 end ";
    assert_eq!(scripts.run(&format!("{fill} return 1")), ":1\r\n");
    let without = scripts.ticks;
    for (call, least) in [
        ("table.sort(t)", 20),
        ("table.sort(t, rawequal)", 2),
        ("table.concat(t)", 2),
        ("table.insert(t, 1, 0)", 2),
        ("table.remove(t, 1)", 2),
        ("string.gsub(('ab'):rep(50000), 'b', 'c')", 2),
        ("string.find(('ab'):rep(1000), '[ab]*c')", 20),
    ] {
        let reply = scripts.run(&format!("{fill} {call} return 1"));
        let ticks = scripts.ticks - without;
        assert!(reply == ":1\r\n" && ticks >= least, "{call}: {ticks} ticks, {reply}");
        scripts.patience = without + 1;
        let reply = scripts.run(&format!("{fill} pcall(function() {call} end) return 1"));
        assert!(reply.starts_with("-ERR Script killed by user"), "{call}: {reply}");
        scripts.patience = usize::MAX;
    }
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
        "local function f() coroutine.wrap(f)() end while true do pcall(f) end",
        "local function f(n) if n < 3 then for i = 1, 900 do coroutine.resume(coroutine.create(f), n + 1) end end end \
            for i = 1, 900 do f(1) end",
        "load(function() return ' ' end)",
        "load(function() while true do end end)",
        "while true do xpcall(error, error) end",
        "local t = setmetatable({}, {__index = function() while true do end end}) string.gsub('a', 'a', t)",
        "table.sort({1, 2, 3}, function() while true do end end)",
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
