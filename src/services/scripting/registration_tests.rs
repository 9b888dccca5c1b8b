use crate::services::scripting::{Event, Exchange, Function, Input, Interpreter, Options};

fn interpreter() -> Interpreter {
    Interpreter::new(Options { insecure: false, runs_functions: false, version: "8.0.1", memory: 64 << 20 })
        .expect("a stack")
}

/// Goes on with a library or function until it is over; kills it at its first tick.
fn finish(interpreter: &mut Interpreter, input: Input, exchange: Box<Exchange>) -> (Event, Box<Exchange>) {
    let (mut event, mut exchange) = interpreter.resume(input, exchange);
    loop {
        let input = match event {
            Event::Tick => Input::Kill,
            Event::Log { .. } => Input::Continue,
            Event::Call { .. } => {
                exchange.reply.clear();
                exchange.reply.extend_from_slice(b"+OK\r\n");
                Input::Reply
            }
            _ => return (event, exchange),
        };
        (event, exchange) = interpreter.resume(input, exchange);
    }
}

fn load(interpreter: &mut Interpreter, code: &str) -> Result<Vec<Function>, String> {
    let mut exchange = interpreter.exchange();
    exchange.request = format!("\n{code}").into_bytes();
    let (event, exchange) = finish(interpreter, Input::Load, exchange);
    interpreter.put_back(exchange);
    match event {
        Event::Loaded(loaded) => loaded.map_err(|text| String::from_utf8_lossy(&text).into_owned()),
        other => panic!("{other:?}"),
    }
}

fn call(interpreter: &mut Interpreter, function: &Function, keys: &[&str], arguments: &[&str]) -> String {
    let mut exchange = interpreter.exchange();
    exchange.begin_request(keys.len() + arguments.len());
    keys.iter().chain(arguments).for_each(|argument| exchange.push_argument(argument.as_bytes()));
    let input = Input::Run { function: function.id, keys: keys.len(), resp3: false };
    let (_, exchange) = finish(interpreter, input, exchange);
    let reply = String::from_utf8_lossy(&exchange.reply).into_owned();
    interpreter.put_back(exchange);
    reply
}

#[test]
fn a_library_registers_functions() {
    let mut interpreter = interpreter();
    let functions = load(
        &mut interpreter,
        "local function sum(a, b) return a + b end
         redis.register_function('one', function(keys, args) return {keys, args, sum(1, 2), redis.call('PING')} end)
         server.register_function{FUNCTION_NAME='two', callback=function() return redis.REDIS_VERSION end,
             description='d', flags={'no-writes', 'ALLOW-STALE'}}",
    )
    .expect("loaded");
    assert_eq!(functions[0].name, b"one");
    assert_eq!((&functions[1].name[..], functions[1].description.as_deref()), (&b"two"[..], Some(&b"d"[..])));
    assert_eq!(functions[1].flags.names().collect::<Vec<_>>(), ["no-writes", "allow-stale"]);
    let reply = call(&mut interpreter, &functions[0], &["k"], &["a", "b"]);
    assert_eq!(reply, "*4\r\n*1\r\n$1\r\nk\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n:3\r\n+OK\r\n");
    assert_eq!(call(&mut interpreter, &functions[1], &[], &[]), "$5\r\n8.0.1\r\n");
}

#[test]
fn what_is_no_library_is_refused_as_redis_refuses_it() {
    let mut interpreter = interpreter();
    for (code, text) in [
        ("x y", "Error compiling function: user_function:2: '=' expected near 'y'"),
        (
            "local s=string.format('%d',3)",
            "user_function:2: Script attempted to access nonexistent global variable 'string'",
        ),
        ("local s=pcall", "user_function:2: Script attempted to access nonexistent global variable 'pcall'"),
        ("foo=1", "user_function:2: Attempt to modify a readonly table"),
        ("redis.x=1", "user_function:2: Attempt to modify a readonly table"),
        (
            "redis.call('ping')",
            "user_function:2: Script attempted to access nonexistent global variable 'call'",
        ),
        ("while true do end", "Script killed by user with SCRIPT KILL..."),
        ("redis.register_function()", "wrong number of arguments to redis.register_function"),
        ("redis.register_function(1,2,3)", "wrong number of arguments to redis.register_function"),
        (
            "redis.register_function({},function() end)",
            "first argument to redis.register_function must be a string",
        ),
        ("redis.register_function('a','b')", "second argument to redis.register_function must be a function"),
        (
            "redis.register_function('a b',function() end)",
            "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
        ),
        (
            "for i=1,2 do redis.register_function('a',function() end) end",
            "Function already exists in the library",
        ),
        (
            "redis.register_function('a')",
            "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
        ),
        (
            "redis.register_function{callback=function() end}",
            "redis.register_function must get a function name argument",
        ),
        (
            "redis.register_function{function_name='a'}",
            "redis.register_function must get a callback argument",
        ),
        (
            "redis.register_function{function_name={}}",
            "function_name argument given to redis.register_function must be a string",
        ),
        (
            "redis.register_function{description={}}",
            "description argument given to redis.register_function must be a string",
        ),
        (
            "redis.register_function{callback=1}",
            "callback argument given to redis.register_function must be a function",
        ),
        (
            "redis.register_function{flags=1}",
            "flags argument to redis.register_function must be a table representing function flags",
        ),
        ("redis.register_function{flags={'x'}}", "unknown flag given"),
        ("redis.register_function{flags={{}}}", "unknown flag given"),
        ("redis.register_function{x=1}", "unknown argument given to redis.register_function"),
        (
            "redis.register_function{[{}]=1}",
            "named argument key given to redis.register_function is not a string",
        ),
    ] {
        let expected = match text.starts_with("Error") {
            true => text.to_string(),
            false => format!("Error registering functions: ERR {text}"),
        };
        assert_eq!(load(&mut interpreter, code), Err(expected), "{code}");
    }
    // None of that is left over.
    assert_eq!(load(&mut interpreter, "local a = 1"), Ok(Vec::new()));
}

#[test]
fn functions_have_the_globals_of_scripts_and_cannot_register() {
    let mut interpreter = interpreter();
    let functions = load(
        &mut interpreter,
        "local kept = redis.register_function
         redis.register_function('register', function() return redis.register_function('g', function() end) end)
         redis.register_function('kept', function() return kept('g', function() end) end)
         redis.register_function('json', function() return cjson.encode({1}) end)
         redis.register_function('set', function() x = 1 end)
         redis.register_function('keys', function() return KEYS end)
         redis.register_function('fail', function() error('x') end)",
    )
    .expect("loaded");
    let mut reply = |at: usize| call(&mut interpreter, &functions[at], &[], &[]);
    assert_eq!(
        reply(0),
        "-ERR user_function:3: attempt to call field 'register_function' (a nil value) script: register, on \
         @user_function:3.\r\n"
    );
    assert_eq!(
        reply(1),
        "-ERR redis.register_function can only be called on FUNCTION LOAD command script: kept, on @user_function:4.\r\n"
    );
    assert_eq!(reply(2), "$3\r\n[1]\r\n");
    assert_eq!(
        reply(3),
        "-ERR user_function:6: Attempt to modify a readonly table script: set, on @user_function:6.\r\n"
    );
    assert_eq!(
        reply(4),
        "-ERR user_function:7: Script attempted to access nonexistent global variable 'KEYS' script: keys, on \
         @user_function:7.\r\n"
    );
    assert_eq!(reply(5), "-ERR user_function:8: x script: fail, on @user_function:8.\r\n");
}
