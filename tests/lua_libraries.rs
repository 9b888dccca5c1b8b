//! The Lua libraries of scripts compared with a real server's: random calls of cjson, cmsgpack, struct and bit must
//! return the same values, in the same order of `next`, and fail with the same texts.
//!
//! The peer is the Redis 8.6 that tests/compat/peers.sh builds below `$PEERS` (default `~/.cache/peers`); without it the
//! test says so and passes. `REDLOOP_FUZZ_SEED` repeats a run, `REDLOOP_FUZZ_CASES` says how many calls it makes.

#[path = "support/peer.rs"]
mod peer;

use peer::{Answer, Peer, built};
use redloop::base::rng::Rng;
use redloop::services::scripting::{bit, cjson, cmsgpack, lua_struct};
use redloop::sys::lua::State;

/// What shows values as text, in the order of `next`.
const SHOW: &str = "local function show(v,d) local t=type(v) \
    if t=='number' then return string.format('%.17g',v) \
    elseif t=='string' then return '\"'..string.gsub(v,'[^%w%p ]',function(c) return '\\\\'..string.byte(c) end)..'\"' \
    elseif t=='table' and d<40 then local p={} local n=0 for k,x in pairs(v) do n=n+1 \
      if n>200 then p[n]='...' break end p[n]=show(k,d+1)..'='..show(x,d+1) end \
      local m=getmetatable(v) return '{'..table.concat(p,',')..'}'..(m and ':'..tostring(m.__is_cjson_array) or '') \
    elseif t=='userdata' then return v==cjson.null and 'null' or 'userdata' \
    elseif t=='boolean' or t=='nil' then return tostring(v) else return t end end \
  local function all(...) local t={} for i=1,select('#',...) do t[i]=show((select(i,...)),0) end return table.concat(t,' ') end ";

/// Bytes of the stack on which calls are made: the deepest nest 8,000 tables.
const MACHINE_STACK: usize = 256 << 20;

/// Works on a stack of that size.
fn on_large_stack(work: fn()) {
    let thread = std::thread::Builder::new().stack_size(MACHINE_STACK).spawn(work).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A state with this server's libraries.
fn ours() -> State<'static> {
    let state = State::new(1 << 30, MACHINE_STACK / 2);
    let mut stack = state.stack();
    stack.push_globals().expect("pushed");
    cjson::open(&mut stack).expect("cjson");
    stack.set_field(1, b"cjson").expect("set");
    cmsgpack::open(&mut stack).expect("cmsgpack");
    stack.set_field(1, b"cmsgpack").expect("set");
    lua_struct::open(&mut stack).expect("struct");
    stack.set_field(1, b"struct").expect("set");
    bit::open(&mut stack).expect("bit");
    stack.set_field(1, b"bit").expect("set");
    drop(stack);
    state
}

fn script(call: &str) -> String {
    format!("{SHOW}\nreturn all(pcall(function()\n{call}\nend))")
}

/// What a script returns, a text; or the text of its error.
fn run(state: &State<'_>, script: &str) -> Vec<u8> {
    let mut stack = state.stack();
    if stack.push_compiled(script.as_bytes(), c"@user_script").expect("a place") {
        stack.call(0, 0).expect("a call");
    }
    stack.text(1).unwrap_or_default().to_vec()
}

/// Both results of a call.
fn both(state: &State<'_>, peer: &mut Peer, call: &str) -> (String, String) {
    let script = script(call);
    let answer = peer.ask(&["EVAL", &script, "0"]);
    let theirs = if matches!(answer, Answer::Bulk(_)) { answer.bytes() } else { answer.text().into_bytes() };
    (run(state, &script).escape_ascii().to_string(), theirs.escape_ascii().to_string())
}

/// Makes random calls.
struct Maker {
    rng: Rng,
}

impl Maker {
    fn below(&mut self, bound: u64) -> u64 {
        self.rng.below(bound)
    }

    fn one<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }

    fn number(&mut self) -> String {
        match self.below(9) {
            0 => self
                .one(&[
                    "0",
                    "-0",
                    "1e15",
                    "1e14",
                    "99999999999999",
                    "0.1",
                    "1/0",
                    "-1/0",
                    "0/0",
                    "1e308",
                    "5e-324",
                ])
                .to_string(),
            1 => self
                .one(&[
                    "2147483647",
                    "2147483648",
                    "-2147483649",
                    "4294967296",
                    "9007199254740993",
                    "2^53",
                    "2^63",
                    "-2^63",
                    "2^64",
                    "1e19",
                ])
                .to_string(),
            2 => f64::from_bits(self.rng.next_u64())
                .to_string()
                .replace("NaN", "0/0")
                .replace("-inf", "-1/0")
                .replace("inf", "1/0"),
            3 => format!("{}", self.rng.next_u64() as i64 >> self.below(63)),
            4 => format!("{:.*}", self.below(17) as usize, self.rng.unit()),
            5 => format!("{}e{}", self.below(100_000), self.below(40) as i64 - 20),
            6 => format!("{}", self.rng.unit() * 10f64.powi(self.below(20) as i32)),
            _ => (self.below(300) as i64 - 100).to_string(),
        }
    }

    /// A string of Lua in quotes, short enough that both servers hash all of it.
    fn string(&mut self) -> String {
        let length = self.below(9);
        let byte = |maker: &mut Maker| match maker.below(4) {
            0 => format!("\\{:03}", maker.below(256)),
            1 => maker.one(&["\\034", "\\092", "/", "\\127", "\\195\\164", "\\010", "\\000"]).to_string(),
            _ => char::from(b'a' + maker.below(26) as u8).to_string(),
        };
        format!("'{}'", (0..length).map(|_| byte(self)).collect::<String>())
    }

    fn value(&mut self, depth: u64) -> String {
        match self.below(if depth < 4 { 12 } else { 8 }) {
            0 => self.one(&["nil", "true", "false", "cjson.null", "pairs", "type"]).to_string(),
            1..=3 => self.number(),
            4..=7 => self.string(),
            8 => {
                let count = self.below(6);
                format!("{{{}}}", (0..count).map(|_| self.value(depth + 1)).collect::<Vec<_>>().join(","))
            }
            9 => {
                let count = self.below(40);
                let pairs = (0..count).map(|_| format!("{}={}", self.name(), self.value(depth + 2)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
            }
            10 => {
                let count = self.below(5);
                let pairs = (0..count).map(|_| format!("[{}]={}", self.key(), self.value(depth + 1)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
            }
            _ => {
                let count = self.below(5);
                let pairs = (0..count).map(|_| format!("[{}]={}", self.below(30), self.value(depth + 1)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
            }
        }
    }

    fn name(&mut self) -> String {
        format!("{}{}", self.one(&["a", "b", "name", "x_y", "value"]), self.below(1000))
    }

    fn key(&mut self) -> String {
        loop {
            let key = match self.below(3) {
                0 => self.number(),
                1 => self.string(),
                _ => self.one(&["true", "1", "2", "3", "1.5", "-1", "0", "2^40"]).to_string(),
            };
            if !key.contains("0/0") {
                return key;
            }
        }
    }

    fn json(&mut self, depth: u64) -> String {
        let space = self.one(&["", "", "", " ", "\\n", "\\t "]);
        match self.below(if depth < 5 { 11 } else { 7 }) {
            0 => format!(
                "{space}{}",
                self.one(&[
                    "null", "true", "false", "nan", "-inf", "Infinity", "nul", "0x1F", "01", "+1", "0x1.8p3",
                    "1e5", "-", "1.", ".5", "NaN(3)", "1e400"
                ])
            ),
            1..=3 => format!("{space}{}", self.number()),
            4..=6 => self.json_string(),
            7 | 8 => {
                let count = self.below(6);
                format!(
                    "{space}[{}{space}]",
                    (0..count).map(|_| self.json(depth + 1)).collect::<Vec<_>>().join(",")
                )
            }
            _ => {
                let count = self.below(20);
                let pairs =
                    (0..count).map(|_| format!("{}{space}:{}", self.json_string(), self.json(depth + 1)));
                format!("{{{}{space}}}", pairs.collect::<Vec<_>>().join(","))
            }
        }
    }

    fn json_string(&mut self) -> String {
        let length = self.below(8);
        let part = |maker: &mut Maker| match maker.below(8) {
            0 => maker
                .one(&[
                    "\\\\n",
                    "\\\\\"",
                    "\\\\/",
                    "\\\\\\\\",
                    "\\\\b\\\\f\\\\r\\\\t",
                    "\\\\x",
                    "\\255",
                    "\\195\\164",
                ])
                .to_string(),
            1 => maker
                .one(&[
                    "\\\\u0041",
                    "\\\\u00e4",
                    "\\\\u20AC",
                    "\\\\ud83d\\\\ude00",
                    "\\\\ud83d",
                    "\\\\ude00",
                    "\\\\u12g4",
                    "\\\\u0000",
                ])
                .to_string(),
            _ => char::from(b'a' + maker.below(26) as u8).to_string(),
        };
        format!("\"{}\"", (0..length).map(|_| part(self)).collect::<String>())
    }

    /// Text in a literal of Lua, perhaps damaged.
    fn damaged(&mut self, mut text: String) -> String {
        if self.below(4) == 0 && !text.is_empty() {
            let at = self.below(text.len() as u64) as usize;
            if text.is_char_boundary(at) {
                match self.below(3) {
                    0 => text.truncate(at),
                    1 => text.insert_str(
                        at,
                        self.one(&["{", "}", "[", "]", ",", ":", "\"", "\\000", "1", "x", "\\\\"]),
                    ),
                    _ => drop(text.remove(at)),
                }
            }
        }
        format!("'{}'", text.replace('\'', ""))
    }

    fn settings(&mut self) -> String {
        let convert = self.one(&["true", "false", "'on'", "'off'"]);
        // 0 would let one key make an array of thousands of millions.
        let ratio = self.one(&["1", "2", "2", "2"]);
        let invalid = self.one(&["false", "'on'", "'null'", "'off'"]);
        let decode_invalid = self.one(&["true", "true", "false"]);
        let depth = self.one(&["1000", "1000", "2", "5"]);
        let precision = self.one(&["14", "14", "14", "1", "3", "10"]);
        let array = self.one(&["true", "false", "false"]);
        let keep = self.one(&["true", "false"]);
        format!(
            "cjson.encode_sparse_array({convert},{ratio},10) cjson.encode_invalid_numbers({invalid}) \
             cjson.decode_invalid_numbers({decode_invalid}) cjson.encode_max_depth({depth}) cjson.decode_max_depth({depth}) \
             cjson.encode_number_precision({precision}) cjson.decode_array_with_array_mt({array}) \
             cjson.encode_keep_buffer({keep}) "
        )
    }

    fn format(&mut self) -> String {
        let count = self.below(6);
        let option = |maker: &mut Maker| {
            let option = maker.one(&[
                "b", "B", "h", "H", "l", "L", "i", "I", "T", "f", "d", "c", "s", "x", "<", ">", "!", " ", "q",
            ]);
            if matches!(option, "q") && maker.below(5) > 0 {
                return "d".to_string();
            }
            let number = match option {
                "i" | "I" | "c" | "!" => maker.one(&[
                    "",
                    "",
                    "0",
                    "1",
                    "2",
                    "3",
                    "4",
                    "5",
                    "7",
                    "8",
                    "16",
                    "32",
                    "33",
                    "2147483648",
                    "99999999999",
                ]),
                _ => "",
            };
            format!("{option}{number}")
        };
        (0..count).map(|_| option(self)).collect()
    }

    /// Any value, more often a number or a string.
    fn argument(&mut self) -> String {
        match self.below(8) {
            0..=3 => self.number(),
            4 => format!("'{}'", self.number()),
            5 | 6 => self.string(),
            _ => self.value(3),
        }
    }

    fn arguments(&mut self, most: u64) -> String {
        let count = self.below(most + 1);
        (0..count).map(|_| self.argument()).collect::<Vec<_>>().join(",")
    }

    fn call(&mut self) -> String {
        match self.below(13) {
            0..=2 => format!("{}return cjson.encode({})", self.settings(), self.value(0)),
            3..=5 => {
                let json = self.json(0);
                format!("{}return cjson.decode({})", self.settings(), self.damaged(json))
            }
            6 => format!(
                "return cmsgpack.pack({})",
                (0..=self.below(3)).map(|_| self.value(0)).collect::<Vec<_>>().join(",")
            ),
            7 => format!("return cmsgpack.unpack(cmsgpack.pack({}))", self.value(0)),
            8 => {
                let function =
                    self.one(&["cmsgpack.unpack(", "cmsgpack.unpack_one(", "cmsgpack.unpack_limit("]);
                let length = self.below(12);
                let bytes = (0..length).map(|_| match self.below(3) {
                    0 => format!("\\{:03}", 0x80 + self.below(0x30)),
                    1 => format!("\\{:03}", self.below(4)),
                    _ => format!("\\{:03}", self.below(256)),
                });
                let bytes: String = bytes.collect();
                let rest = self.one(&["", "", ",0", ",1", ",2,1", ",1,3", ",-1", ",0,0", ",'1'", ",100,100"]);
                format!("return {function}'{bytes}'{rest})")
            }
            9 => format!(
                "return struct.pack('{}',{})",
                self.format(),
                self.argument() + "," + &self.arguments(4)
            )
            .replace(",)", ")"),
            10 => {
                let data = self.string() + ".." + &self.string() + ".." + &self.string();
                let position = self.one(&["", "", ",1", ",3", ",0", ",-1", ",100"]);
                match self.below(3) {
                    0 => format!("return struct.size('{}')", self.format()),
                    _ => format!("return struct.unpack('{}',{data}{position})", self.format()),
                }
            }
            11 => {
                let name = self.one(&[
                    "tobit", "bnot", "bswap", "lshift", "rshift", "arshift", "rol", "ror", "tohex", "band",
                    "bor", "bxor",
                ]);
                format!("return bit.{name}({})", self.arguments(3))
            }
            _ => {
                let name = self.one(&[
                    "encode",
                    "decode",
                    "encode_sparse_array",
                    "encode_max_depth",
                    "decode_max_depth",
                    "encode_number_precision",
                    "encode_keep_buffer",
                    "encode_invalid_numbers",
                    "decode_invalid_numbers",
                    "decode_array_with_array_mt",
                ]);
                let arguments = match self.below(2) {
                    0 => self.arguments(4),
                    _ => self
                        .one(&[
                            "'on'", "'off'", "'null'", "'x'", "true", "false", "0", "15", "14", "true,3,4",
                        ])
                        .to_string(),
                };
                format!("return cjson.{name}({arguments})")
            }
        }
    }
}

fn start(test: &str) -> Option<Peer> {
    let mut peer = Peer::start(test, &[built("redis-8.6", "redis-server")], &[])?;
    assert_eq!(peer.ask_line("CONFIG SET proto-max-bulk-len 64mb").text(), "+OK");
    Some(peer)
}

fn number_of(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn random_calls_return_what_redis_returns() {
    on_large_stack(|| {
        let Some(mut peer) = start("lua-libraries") else { return };
        let seed = number_of("REDLOOP_FUZZ_SEED", 1);
        let cases = number_of("REDLOOP_FUZZ_CASES", 4000);
        let state = ours();
        let mut maker = Maker { rng: Rng::new(seed) };
        let mut differences = Vec::new();
        for _ in 0..cases {
            let call = maker.call();
            let (ours, theirs) = both(&state, &mut peer, &call);
            // Damage may have ended the literal's quotes.
            // An error's text is UTF-8 here, where Redis has whatever bytes the script gave.
            let ignored =
                ["Error compiling script", "(invalid option"].iter().any(|text| theirs.contains(text));
            if ours != theirs && !ignored {
                differences.push(format!("{call}\n    ours   {ours}\n    theirs {theirs}"));
            }
            if differences.len() == 12 {
                break;
            }
        }
        assert!(differences.is_empty(), "seed {seed}:\n{}", differences.join("\n"));
    });
}

/// Every setting as it is at the beginning.
const SETTINGS: &str = "cjson.encode_sparse_array(false,2,10) cjson.encode_max_depth(1000) \
    cjson.decode_max_depth(1000) cjson.encode_number_precision(14) cjson.encode_invalid_numbers(false) \
    cjson.decode_array_with_array_mt(false)\n";

#[test]
fn recorded_calls_return_what_redis_returned() {
    on_large_stack(|| {
        let state = ours();
        let lines: Vec<&str> =
            include_str!("data/lua_libraries.txt").lines().filter(|line| !line.starts_with('#')).collect();
        for pair in lines.chunks(2) {
            run(&state, SETTINGS);
            let shown = String::from_utf8(run(&state, &script(pair[0]))).expect("text");
            assert_eq!(shown, pair[1].trim_start(), "{}", pair[0]);
        }
        assert!(lines.len() > 100);
    });
}

#[test]
fn many_tables_in_a_table_need_few_handles() {
    let state = ours();
    let script = "local t={} for i=1,20000 do t['k'..i]={i} end t.list={} for i=1,20000 do t.list[i]={} end \
        local s=cjson.encode(t) local d=cjson.decode(s) local n=0 for k,v in pairs(d) do n=n+1 end \
        local u=cmsgpack.unpack(cmsgpack.pack(t)) \
        return n..' '..#d.list..' '..d.k777[1]..' '..#cjson.encode(d)-#s..' '..#u.list..' '..u.k20000[1]";
    assert_eq!(run(&state, script).escape_ascii().to_string(), "20001 20000 777 0 20000 20000");
}
