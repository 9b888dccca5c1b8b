//! Scripts and libraries in Lua, made at random: values in and out, error texts, calls of commands, RESP3.
//!
//! ```text
//! <name>        an alternative of that name in `ALTERNATIVES`, or one of
//! <command>     the words of a command of another family, as Lua strings
//! anything else stands for itself
//! ```

use std::sync::OnceLock;

use redloop::base::rng::Rng;

use crate::atoms::Context;
use crate::families::family;
use crate::grammar::Rule;
use crate::support::reply::Words;

/// Families whose commands scripts call.
const CALLED: &[&str] = &["strings", "lists", "sets", "hashes", "sorted_sets", "streams", "keys"];
/// Below this depth only what has no parts.
const DEPTH: u32 = 6;

/// The first half of the alternatives has no parts of the same kind.
#[rustfmt::skip]
const ALTERNATIVES: &[(&str, &[&str])] = &[
    ("script", &[
        "return <value>", "return <value>", "return <value>", "<statement> return <value>",
        "<statement> <statement> return <value>", "return <value>, <value>", "<statement>",
        "return redis.call(<command>)", "return redis.pcall(<command>)", "return redis.call(<command>)",
        "redis.setresp(3) return redis.call(<command>)", "redis.setresp(3) return redis.pcall(<command>)",
        "local r = redis.pcall(<command>) return <of_reply>", "redis.setresp(3) local r = redis.pcall(<command>) return <of_reply>",
        "local ok, r = pcall(function() <statement> return <value> end) return <of_reply>",
        "local ok, r = pcall(redis.call, <command>) return <of_reply>",
        "local ok, r = xpcall(function() <statement> return <value> end, function(e) return e end) return <of_reply>",
        "redis.breakpoint() return redis.replicate_commands()", "<broken>", "<shebang>return <value>", "<shebang><statement> return redis.pcall(<command>)",
        "local function f(n) if n == 0 then <statement> else return f(n - 1) end end return f(3)",
        "local c = coroutine.create(function() <statement> return <value> end) local a, r = coroutine.resume(c) return <of_reply>",
    ]),
    ("of_reply", &[
        "r", "{r}", "type(r)", "type(r) == 'table' and r.err", "type(r) == 'table' and r.ok", "type(r) == 'table' and #r",
        "type(r) == 'table' and {r.err, r.source, r.line, r.ignore_error_stats_update}",
        "type(r) == 'table' and type(r.map)", "type(r) == 'table' and type(r.set)", "type(r) == 'table' and r.double",
        "type(r) == 'table' and type(r[1])", "ok", "type(r) == 'table' and cjson.encode(r.err)",
        "(r)", "r == nil", "r == false", "{ok, r}", "type(r) == 'string' and #r",
    ]),
    ("scalar", &[
        "nil", "true", "false", "0", "1", "-1", "3.99", "-3.99", "1e15", "100000000000000", "2^53", "2^53 + 1", "-2^53",
        "1e17", "1e100", "0.1", "1/3", "-0", "'text'", "''", "'10'", "' 7 '", "'0x10'", "'1e2'", "'a b'", "'-'", "'+OK'", "'ERR x'",
        "'a\\r\\nb'", "'\\0\\255'", "'\\n'", "ARGV[1]", "KEYS[1]", "ARGV[9]", "#ARGV", "#KEYS", "[[long]]", "[==[a]]b]==]",
        "'MYERR some text'", "'-MYERR some text'", "'noperm'",
    ]),
    ("number", &[
        "0", "1", "-1", "2", "3", "3.99", "100", "1e15", "2^53", "2^63", "-2^63", "1e308", "1/0", "-1/0", "0/0", "5e-324", "123456789012345678",
        "0.1", "1.7976931348623157e308", "1e16", "3.0", "2^31", "2^32",
    ]),
    ("value", &[
        "<scalar>", "<scalar>", "<number>", "<number>", "<scalar>", "<scalar>", "{}", "print", "function() end", "cjson.null",
        "redis.REDIS_VERSION_NUM == nil", "redis.LOG_<level>", "redis.REPL_<repl>", "{ok='fine'}", "{err='bad'}", "{err='BAD it is', x=1}",
        "{double=<number>}", "{big_number=<scalar>}", "{ok=<scalar>}", "{err=<scalar>}", "{double=<scalar>}",
        "{verbatim_string={string=<scalar>, format=<scalar>}}", "{verbatim_string=<scalar>}",
        "{verbatim_string={string='some text', format='txt'}}", "{map=<scalar>}", "{set=<scalar>}", "{big_number='123\\r\\n45'}",
        "redis.status_reply(<scalar>)", "redis.error_reply(<scalar>)", "redis.sha1hex(<scalar>)", "tostring(<scalar>)", "tostring(<number>)",
        "tonumber(<scalar>)", "tonumber(<scalar>, <number>)", "type(<scalar>)", "cjson.encode(<scalar>)", "cjson.decode(<json>)",
        "redis.acl_check_cmd(<command>)", "redis.acl_check_cmd(<scalar>)", "redis.setresp(<number>)", "redis.setresp(<scalar>)",
        "redis.set_repl(<scalar>)", "redis.log(<scalar>, <scalar>)", "redis.call()",
        "redis.pcall()", "redis.call(<scalar>)", "redis.pcall(<scalar>, <scalar>)", "redis.pcall('set', KEYS[1], <scalar>)",
        "redis.pcall('set', 's0', <number>)", "redis.pcall('echo', <number>)", "redis.call('echo', <scalar>)", "redis.pcall(<command>)",
        "redis.call(<command>)", "string.format(<format>, <number>)", "string.format(<format>, <scalar>)", "string.rep('x', 3)",
        "('x'):upper()", "string.byte('abc', <number>)", "string.sub('hello', <number>, <number>)", "math.floor(<number>)",
        "math.max(<number>, <number>)", "bit.bor(<number>, <number>)", "bit.tohex(<number>)", "struct.pack('>I2', <number>)",
        "cmsgpack.pack(<scalar>)", "{unpack({1, 2, 3}, <number>, <number>)}", "table.concat({1, 'a', 2.5}, <scalar>)", "select(<number>, 'a', 'b')",
        "rawequal(<scalar>, <scalar>)", "pcall(error, <scalar>)", "os.clock() >= 0", "#{1, 2, nil, 4}",
        "{<value>}", "{<value>, <value>}", "{<value>, <value>, <value>}", "{<value>, nil, <value>}", "{nil, <value>}", "{[1]=<value>, [3]=<value>}",
        "{a=<value>}", "{ok=<value>}", "{err=<value>}", "{double=<value>}", "{map={<value>}}", "{map={a=<value>}}", "{map={[1]=<value>}}",
        "{set={<value>}}", "{set={a=<value>}}", "{map=<value>}", "{set=<value>}", "{map={}}", "{set={}}", "{[<value>]=<value>}",
        "{verbatim_string={string=<value>, format=<value>}}", "{<value>, ok='x'}", "{<value>, err='x'}", "{map={a={map={b=<value>}}}}",
        "redis.status_reply(<value>)", "redis.error_reply(<value>)", "redis.error_reply({err=<value>})", "(<value>) + 1", "-(<value>)", "#(<value>)",
        "(<value>) .. 'x'", "not <value>", "(<value>) == (<value>)", "(<value>) < (<value>)", "(<value>)[<value>]", "(<value>).ok", "(<value>)()",
        "cjson.encode(<value>)", "cjson.decode(cjson.encode(<value>))", "cmsgpack.unpack(cmsgpack.pack(<value>))", "type(<value>)",
        "(<value>) and (<value>)", "(<value>) or (<value>)", "pcall(function() return <value> end)", "redis.pcall('echo', <value>)",
        "setmetatable({}, {__index = function(t, k) return <value> end})", "setmetatable({<value>}, {__len = function() return 3 end})",
        "(function(...) return ... end)(<value>, <value>)", "next({<value>})", "redis.pcall(<value>)", "assert(<value>)", "assert(<value>, <value>)",
    ]),
    ("error_level", &["0", "1", "2", "nil", "'1'", "1.9", "'x'", "{}"]),
    ("level", &["DEBUG", "VERBOSE", "NOTICE", "WARNING", "NOTHING"]),
    ("repl", &["NONE", "AOF", "SLAVE", "REPLICA", "ALL"]),
    ("format", &["'%d'", "'%s'", "'%5.2f'", "'%g'", "'%x'", "'%q'", "'%c'", "'%i'", "'%u'", "'%.14g'", "'%.17g'", "'%5s|'", "'%-5s|'", "'%%'", "'%'", "'%y'"]),
    ("json", &["'[1,2.5,null,true]'", "'{\"a\":[]}'", "'{}'", "'[]'", "'nul'", "'\"x\"'", "'[1e400]'", "'{\"a\":{\"b\":1}}'", "''", "'1 2'", "'[1,]'", "'\"\\\\u00e9\"'"]),
    ("statement", &[
        "redis.setresp(3)", "redis.setresp(2)", "local a = <value>", "b = <value>", "redis.call(<command>)", "redis.pcall(<command>)",
        "redis.call('set', 's1', <scalar>)", "redis.log(redis.LOG_DEBUG, <value>)", "redis.set_repl(redis.REPL_<repl>)", "error({<value>})", "error({err=<value>})",
        "error(<scalar>)", "error(<scalar>, <error_level>)", "error({err=<scalar>})", "error()", "error(redis.error_reply(<scalar>))", "nosuch()", "local x = nosuch",
        "local x = nosuch.field", "nosuch.field = 1", "local x = nil; x.field = 1", "redis.nosuch()", "redis.call = 1", "string.nosuch = 1",
        "_G.x = 1", "rawset(_G, 'x', 1)", "setmetatable(_G, {})", "getmetatable('').__index = nil", "KEYS[1] = <scalar>", "ARGV = nil",
        "cjson.encode_max_depth(<number>)", "cjson.decode_max_depth(<number>)", "cjson.encode_sparse_array(<scalar>, <number>)",
        "cjson.encode_invalid_numbers(<scalar>)", "cjson.encode_number_precision(<number>)", "cjson.encode_keep_buffer(<scalar>)", "cjson.encode_number_precision(14)",
        "cjson.encode_max_depth(1000)", "cjson.decode_max_depth(1000)", "cjson.encode_invalid_numbers(false)", "cjson.encode_sparse_array(false, 2, 10)",
        "math.randomseed(<number>)", "loadstring('return 1')()", "load(function() return nil end)", "local f = loadstring('x =')", "dofile('x')", "require('x')",
        "os.exit()", "io.write('x')", "debug.traceback()", "collectgarbage()", "table.insert(KEYS, 'x')", "table.sort({3, 1, <scalar>})",
        "string.rep('x', -1)", "('x').y.z = 1", "redis.register_function('f', function() end)", "local t = setmetatable({}, {__newindex = function() <statement> end}) t.x = 1",
        "if <value> then <statement> end", "for i = 1, 2 do <statement> end", "do <statement> end", "local ok, e = pcall(function() <statement> end)",
        "pcall(function() error({err=<value>}) end)", "while true do <statement> break end", "repeat <statement> until true", "local f = function() <statement> end f()",
    ]),
    ("broken", &[
        "return (", "return 'x", "x =", "for", "return return 1", "end", "local", "return [[", "--[[", "return 1 1", "goto x", "return 0x", "return 1..2",
        "return '\\300'", "a.b:c = 1", "break", "", "return", "-- nothing", "return 1;", "return ~1", "return 1 // 2", "x", "f() = 1", "return {1,,2}", "if x then",
        "return 'a\nb'", "\u{1b}Lua", "return ...", "local x <const> = 1", "return function", "return \"\\", "<value>", "<statement> <broken>",
    ]),
    ("shebang", &[
        "#!lua\n", "#!lua flags=no-writes\n", "#!lua flags=allow-oom,no-writes\n", "#!lua flags=nosuch\n", "#!lua name=x\n", "#!lua2\n", "#!\n", "#!lua", "#!lua flags=\n",
        "#!lua flags=no-cluster\n", "#!lua  flags=allow-stale  \n", "#!lua flags=no-writes flags=no-writes\n", "#!LUA\n", "#!lua flags=no-writes,\n", "#! lua\n", "#!lua x=y\n",
    ]),
    ("head", &[
        "#!lua name=lib\n", "#!lua name=lib\n", "#!lua name=lib\n", "#!lua name=lib\n", "#!lua name=lib2\n", "#!lua name=lib\n", "#!lua\n", "#!lua name=\n", "#!lua name=a-b\n",
        "#!lua name=a name=b\n", "#!js name=lib\n", "#!lua name=lib flags=no-writes\n", "", "#!lua name=lib", "#!lua name=lib x=y\n",
    ]),
    ("library", &[
        "<head>redis.register_function('f', function(keys, args) <function> end)",
        "<head>redis.register_function{function_name='f', callback=function(keys, args) <function> end, flags={<flag>}}",
        "#!lua name=lib\nredis.register_function('f', function(keys, args) <function> end) redis.register_function('g', function(keys, args) return keys[1] end)",
        "<head>local n = 0 redis.register_function('f', function() n = n + 1 return n end)",
        "<head>redis.register_function{function_name='f', callback=function(keys, args) <function> end, description=<scalar>}",
        "<head>redis.register_function(<scalar>, function() end)", "<head>redis.register_function('f', <scalar>)", "<head>redis.register_function()",
        "<head>redis.register_function('f')", "<head>redis.register_function('f', function() end, <scalar>)", "<head>redis.register_function{}",
        "<head>redis.register_function{function_name=<scalar>, callback=<value>}", "<head>redis.register_function{function_name='f', callback=print, flags=<value>}",
        "<head>redis.register_function{function_name='f', callback=print, nosuch=<value>}", "<head><statement>", "<head><broken>",
        "<head><statement> redis.register_function('f', function() end)", "<head>redis.register_function('f', print) redis.register_function('f', print)",
        "<head>return 1", "<head>redis.register_function('a-b', print)", "<head>redis.register_function('', print)",
    ]),
    ("flag", &["'no-writes'", "'allow-oom'", "'allow-stale'", "'no-cluster'", "'allow-cross-slot-keys'", "'nosuch'", "1", "", "'no-writes', 'allow-oom'", "{}"]),
    ("function", &[
        "return <value>", "return {keys, args}", "return redis.call(<command>)", "return redis.pcall(<command>)", "<statement> return <value>", "redis.setresp(3) return redis.pcall(<command>)",
        "return keys[1]", "return #args", "return KEYS", "return redis.register_function", "local ok, r = pcall(function() <statement> end) return <of_reply>",
    ]),
];

/// Commands whose replies are equal only by chance, or that say when they were run.
const LEFT_OUT: &[&str] = &[
    "SPOP",
    "SRANDMEMBER",
    "HRANDFIELD",
    "ZRANDMEMBER",
    "RANDOMKEY",
    "DUMP",
    "TTL",
    "PTTL",
    "HTTL",
    "HPTTL",
    "XPENDING",
    "XINFO",
    "OBJECT",
    "SCAN",
    "SSCAN",
    "HSCAN",
    "ZSCAN",
    "KEYS",
    "SMEMBERS",
    "SINTER",
    "SUNION",
    "SDIFF",
    "HKEYS",
    "HVALS",
    "HGETALL",
    "EXPIRETIME",
    "PEXPIRETIME",
    "HEXPIRETIME",
    "HPEXPIRETIME",
    "XADD",
    "XCLAIM",
    "XAUTOCLAIM",
    "SORT",
    "SORT_RO",
    "SUNIONSTORE",
    "SDIFFSTORE",
    "BITCOUNT",
    "HSETEX",
    "DEBUG",
    "LSET",
];

fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.below(from.len() as u64) as usize]
}

/// Rules of the families of data.
fn commands() -> &'static [Rule] {
    static RULES: OnceLock<Vec<Rule>> = OnceLock::new();
    RULES.get_or_init(|| {
        let lines = CALLED.iter().flat_map(|name| family(name).rules.iter());
        let is_left_out = |line: &str| {
            LEFT_OUT.iter().any(|name| line.split_whitespace().any(|word| word == *name))
                || line.contains("LIMIT")
        };
        lines.filter(|line| !is_left_out(line)).map(|line| Rule::parse(line)).collect()
    })
}

/// A word as a Lua string.
fn quoted(word: &[u8]) -> String {
    let escaped = |byte: &u8| match byte {
        b'\'' | b'\\' => format!("\\{}", *byte as char),
        b' '..=b'~' => (*byte as char).to_string(),
        other => format!("\\{other:03}"),
    };
    format!("'{}'", word.iter().map(escaped).collect::<String>())
}

fn command(rng: &mut Rng) -> String {
    let letter = *pick(rng, &['s', 'l', 't', 'h', 'z', 'x']);
    let case = pick(rng, commands()).generate(rng, &Context { letter });
    let words: Vec<String> = case[0].iter().map(|word| quoted(word)).collect();
    words.join(", ")
}

fn expand(name: &str, rng: &mut Rng, depth: u32, out: &mut String) {
    if name == "command" {
        out.push_str(&command(rng));
        return;
    }
    let Some((_, alternatives)) = ALTERNATIVES.iter().find(|(known, _)| *known == name) else {
        panic!("<{name}> is unknown");
    };
    // Deep down only what ends soon.
    let shallow = if depth >= DEPTH && alternatives.len() > 20 { 8 } else { alternatives.len() };
    let mut rest = *pick(rng, &alternatives[..shallow]);
    while let Some(start) = rest.find('<') {
        let end = rest[start..].find('>').map(|length| start + length);
        let inner = end.map(|end| &rest[start + 1..end]);
        let inner = inner.filter(|inner| inner.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        match (inner.filter(|inner| !inner.is_empty() && *inner != "const"), end) {
            (Some(inner), Some(end)) => {
                out.push_str(&rest[..start]);
                expand(inner, rng, depth + 1, out);
                rest = &rest[end + 1..];
            }
            _ => {
                out.push_str(&rest[..=start]);
                rest = &rest[start + 1..];
            }
        }
    }
    out.push_str(rest);
}

/// A script, or a library; `name` says which.
pub fn generate(name: &str, rng: &mut Rng, words: &mut Words) {
    let mut text = String::new();
    expand(name, rng, 0, &mut text);
    words.push(text.into_bytes());
}
