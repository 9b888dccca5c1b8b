//! Tests of the stack and the state: values beside a safe twin, limits, errors, coroutines, the hook.

use std::cell::{Cell, RefCell};

use mlua::{Lua, Value};
use proptest::prelude::*;

use super::{Error, Kind, Resumed, Stack, State};

fn state<'f>() -> State<'f> {
    State::new(16 << 20, 1 << 20)
}

/// Sets a global function.
fn set_global<'f, F>(state: &State<'f>, name: &str, function: F)
where
    F: Fn(&mut Stack<'_>) -> super::Result<usize> + Copy + 'f,
{
    let mut stack = state.stack();
    stack.push_globals().expect("pushed");
    let globals = stack.count();
    state.push_function(&mut stack, 0, function).expect("a function");
    stack.set_field(globals, name.as_bytes()).expect("set");
}

/// The same function as the safe twin has it.
fn global(state: &State<'_>, name: &str) -> mlua::Function {
    state.lua().globals().get(name).expect("a function")
}

/// A Lua value without identity.
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Nil,
    Null,
    Boolean(bool),
    Number(f64),
    Text(Vec<u8>),
    /// Items, and fields by names that differ.
    Table(Vec<Shape>, Vec<(Vec<u8>, Shape)>),
}

fn shapes() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Null),
        any::<bool>().prop_map(Shape::Boolean),
        any::<i32>().prop_map(|number| Shape::Number(f64::from(number) / 4.0)),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Shape::Text),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let fields = proptest::collection::btree_map(
            proptest::collection::vec(any::<u8>(), 0..6),
            inner.clone(),
            0..5,
        );
        (proptest::collection::vec(inner, 0..6), fields)
            .prop_map(|(items, fields)| Shape::Table(items, fields.into_iter().collect()))
    })
}

fn push(stack: &mut Stack<'_>, shape: &Shape) -> super::Result<()> {
    match shape {
        Shape::Nil => stack.push_nil(),
        Shape::Null => stack.push_null(),
        Shape::Boolean(value) => stack.push_boolean(*value),
        Shape::Number(value) => stack.push_number(*value),
        Shape::Text(text) => stack.push_text(text),
        Shape::Table(items, fields) => {
            stack.push_table(items.len() / 2, fields.len() / 2)?;
            let table = stack.count();
            for (index, item) in (1..).zip(items) {
                push(stack, item)?;
                stack.set_item(table, index)?;
            }
            for (name, value) in fields {
                if name.len() % 2 == 0 {
                    push(stack, value)?;
                    stack.set_field(table, name)?;
                } else {
                    stack.push_text(name)?;
                    push(stack, value)?;
                    stack.set_pair(table)?;
                }
            }
            Ok(())
        }
    }
}

/// The shape of the value in a slot.
fn read(stack: &mut Stack<'_>, slot: usize) -> Shape {
    let count = stack.count();
    let shape = match stack.kind(slot) {
        Kind::Null => Shape::Null,
        Kind::Boolean => Shape::Boolean(stack.boolean(slot)),
        Kind::Number => Shape::Number(stack.number(slot).expect("a number")),
        Kind::Text => Shape::Text(stack.text(slot).expect("a text").to_vec()),
        Kind::Table => {
            let length = stack.length(slot);
            let mut items = Vec::new();
            for index in 1..=length {
                stack.push_item(slot, index as i32).expect("an item");
                items.push(read(stack, count + 1));
                stack.truncate(count);
            }
            let mut fields = Vec::new();
            let walked = stack.pairs(slot, |stack, key, value| {
                if stack.kind(key) == Kind::Text {
                    fields.push((stack.text(key).expect("a name").to_vec(), read(stack, value)));
                }
                Ok(true)
            });
            walked.expect("a walk");
            fields.sort_by(|one, other| one.0.cmp(&other.0));
            Shape::Table(items, fields)
        }
        _ => Shape::Nil,
    };
    assert_eq!(stack.count(), count);
    shape
}

/// The same with `mlua`, the safe twin.
fn to_value(lua: &Lua, shape: &Shape) -> Value {
    match shape {
        Shape::Nil => Value::Nil,
        Shape::Null => Value::NULL,
        Shape::Boolean(value) => Value::Boolean(*value),
        Shape::Number(value) => Value::Number(*value),
        Shape::Text(text) => Value::String(lua.create_string(text).expect("a string")),
        Shape::Table(items, fields) => {
            let table = lua.create_table().expect("a table");
            for (index, item) in (1..).zip(items) {
                table.raw_set(index, to_value(lua, item)).expect("an item");
            }
            for (name, value) in fields {
                let name = lua.create_string(name).expect("a name");
                table.raw_set(name, to_value(lua, value)).expect("a field");
            }
            Value::Table(table)
        }
    }
}

fn of_value(value: &Value) -> Shape {
    match value {
        Value::Boolean(value) => Shape::Boolean(*value),
        Value::Integer(value) => Shape::Number(*value as f64),
        Value::Number(value) => Shape::Number(*value),
        Value::String(text) => Shape::Text(text.as_bytes().to_vec()),
        Value::LightUserData(_) => Shape::Null,
        Value::Table(table) => {
            let items = (1..=table.raw_len()).map(|index| of_value(&table.raw_get(index).expect("an item")));
            let items = items.collect();
            let mut fields = Vec::new();
            for pair in table.pairs::<Value, Value>() {
                let (key, value) = pair.expect("a pair");
                if let Value::String(name) = key {
                    fields.push((name.as_bytes().to_vec(), of_value(&value)));
                }
            }
            fields.sort_by(|one, other| one.0.cmp(&other.0));
            Shape::Table(items, fields)
        }
        _ => Shape::Nil,
    }
}

proptest! {
    #[test]
    fn values_are_those_of_the_safe_twin(shape in shapes()) {
        let found = RefCell::new(Shape::Nil);
        let state = state();
        set_global(&state, "make", |stack| push(stack, &shape).map(|()| 1));
        prop_assert_eq!(&of_value(&global(&state, "make").call::<Value>(()).expect("a value")), &shape);

        set_global(&state, "look", |stack| {
            found.replace(read(stack, 1));
            Ok(0)
        });
        global(&state, "look").call::<()>(to_value(state.lua(), &shape)).expect("a call");
        prop_assert_eq!(&*found.borrow(), &shape);
    }
}

fn error_of(state: &State<'_>, code: &str) -> String {
    state.lua().load(code).exec().expect_err("an error").to_string()
}

#[test]
fn what_is_over_the_limit_is_an_error_and_the_state_goes_on() {
    let state = state();
    set_global(&state, "fill", |stack| {
        stack.push_table(0, 0)?;
        let table = stack.count();
        for index in 1.. {
            stack.push_text(&[b'x'; 1000])?;
            stack.push_number(f64::from(index))?;
            stack.set_item(table, index)?;
            if index % 100 == 0 {
                stack.truncate(table);
            }
            stack.push_text(index.to_string().as_bytes())?;
            stack.set_field(table, index.to_string().as_bytes())?;
        }
        Ok(0)
    });
    for _ in 0..3 {
        assert!(error_of(&state, "fill()").contains("not enough memory"));
        assert!(error_of(&state, "local s = 'x' while true do s = s .. s end").contains("not enough memory"));
        // Lua 5.1 fails without having collected garbage.
        state.stack().collect();
        let double = "local s = 'x' for i = 1, 16 do s = s .. s end return #s";
        assert_eq!(state.lua().load(double).eval::<i64>().expect("a value"), 65_536);
    }
    state.stack().collect();
    assert!(state.used() < 1 << 20, "{}", state.used());
    assert_eq!(state.limit(), 16 << 20);
}

#[test]
fn a_function_has_8000_slots() {
    let slots = Cell::new(0);
    let state = state();
    set_global(&state, "fill", |stack| {
        loop {
            if let Err(error) = stack.push_boolean(true) {
                slots.set(stack.count());
                return Err(error);
            }
        }
    });
    assert!(error_of(&state, "fill(1, 2, 3)").contains("stack overflow"));
    assert_eq!(slots.get(), 8000);
}

#[test]
fn errors_are_raised_as_they_are() {
    let state = state();
    set_global(&state, "fail", |stack| {
        stack.push_table(0, 1)?;
        stack.push_copy(1)?;
        stack.set_field(stack.count() - 1, b"err")?;
        Err(Error::Raised)
    });
    let caught =
        state.lua().load("local ok, e = pcall(fail, 'why') return tostring(ok) .. e.err").eval::<String>();
    assert_eq!(caught.expect("a value"), "falsewhy");
}

#[test]
fn functions_hold_closures_of_any_size_and_values_of_their_own() {
    let texts = [String::from("a"), String::from("b"), String::from("c")];
    let state = state();
    let [one, two, three] = &texts;
    set_global(&state, "none", |stack| stack.push_text(b"-").map(|()| 1));
    set_global(&state, "light", move |stack| stack.push_text(one.as_bytes()).map(|()| 1));
    set_global(&state, "heavy", move |stack| {
        stack.push_text([two.as_str(), three].concat().as_bytes()).map(|()| 1)
    });
    let count = |step: f64| {
        move |stack: &mut Stack<'_>| {
            stack.push_own(1)?;
            let next = stack.number(stack.count()).unwrap_or_default() + step;
            stack.push_number(next)?;
            stack.set_own(1);
            stack.push_own(0)?;
            stack.push_number(next)?;
            Ok(2)
        }
    };
    let light = state.prototype(count(1.0)).expect("a prototype");
    let small = state.prototype(|stack| stack.push_own(0).map(|()| 1)).expect("a prototype");
    set_global(&state, "counter", move |stack| {
        stack.push_copy(1)?;
        stack.push_number(10.0)?;
        stack.push_like(light, 2)?;
        stack.push_copy(1)?;
        stack.push_like(small, 1)?;
        Ok(2)
    });
    let code = "local c, own = counter('x') local d = counter('y') c() d() collectgarbage()
        local name, n = c() return none() .. light() .. heavy() .. name .. n .. own() .. select(2, d())";
    assert_eq!(state.lua().load(code).eval::<String>().expect("a text"), "-abcx12x12");
    // Of another state it is none of this one's functions.
    let other = self::state();
    assert_eq!(other.stack().push_like(light, 0), Err(Error::Slots));
    assert_eq!(state.push_function(&mut other.stack(), 0, |_| Ok(0)), Err(Error::Slots));
}

#[test]
fn data_is_what_it_was_made_as() {
    let state = state();
    let mut stack = state.stack();
    stack.push_globals().expect("pushed");
    stack.push_data([1u64, 2]).expect("pushed");
    stack
        .push_plain_function(1, |stack| {
            assert_eq!(stack.own_data::<[i64; 2]>(0), None);
            assert_eq!(stack.own_data::<u8>(0), None);
            assert_eq!(stack.own_data::<[u64; 2]>(1), None);
            let [one, other] = stack.own_data::<[u64; 2]>(0).unwrap_or_default();
            stack.set_own_data(0, [other, one + other]);
            stack.push_number(other as f64)?;
            Ok(1)
        })
        .expect("a function");
    stack.set_field(1, b"next_number").expect("set");
    assert_eq!(stack.own_data::<u64>(0), None);
    drop(stack);
    let sum = "local n = 0 for i = 1, 5 do n = n + next_number() end return n";
    assert_eq!(state.lua().load(sum).eval::<i64>().expect("a number"), 2 + 3 + 5 + 8 + 13);
}

#[test]
fn the_hook_runs_everywhere_and_its_error_ends_what_runs() {
    let hooked = &(Cell::new(0u32), Cell::new(false));
    let (runs, is_over) = hooked;
    let state = state();
    state.set_hook(100, move |stack| {
        hooked.0.set(hooked.0.get() + 1);
        if hooked.1.get() {
            stack.truncate(0);
            stack.push_text(b"over")?;
            return Err(Error::Raised);
        }
        Ok(())
    });
    let run = |code: &std::ffi::CStr| {
        let mut stack = state.stack();
        assert_eq!(stack.push_compiled(code.to_bytes(), c"=code"), Ok(true));
        let done = stack.call(0, 0).expect("a call");
        (done, stack.text(1).map(<[u8]>::to_vec))
    };
    let code = c"local t = {} for i = 1, 1000 do t[i % 7] = i end
        local co = coroutine.create(function() for i = 1, 1000 do t[i] = i .. '' end end)
        assert(coroutine.resume(co)) return t[1000] .. #t";
    assert_eq!(run(code), (true, Some(b"10001000".to_vec())));
    assert!(runs.get() > 40, "{}", runs.get());
    is_over.set(true);
    assert_eq!(run(c"while true do end"), (false, Some(b"over".to_vec())));
}

/// Calls of what may fail, in the middle of a function of Rust, which goes on.
#[test]
fn comparisons_fields_and_pairs_are_those_of_lua() {
    let state = state();
    set_global(&state, "less", |stack| {
        let is_less = stack.is_less(1, 2, 0)?;
        stack.push_boolean(is_less)?;
        Ok(1)
    });
    set_global(&state, "field", |stack| {
        stack.push_copy(2)?;
        stack.index_field(1, 0)?;
        Ok(1)
    });
    set_global(&state, "following", |stack| {
        let found = stack.push_next(1, 2)?;
        Ok(if found { 2 } else { 0 })
    });
    let code = "
        local ordered = setmetatable({n = 1}, {__lt = function(a, b) return a.n < b.n end})
        local other = setmetatable({n = 2}, getmetatable(ordered))
        local values = {1, 2, 'a', 'b', true, ordered, other, {}, print}
        local function same(one, two, ...)
            local ok, value = pcall(one, ...)
            local ok2, value2 = pcall(two, ...)
            value, value2 = tostring(value):gsub('^.-: ', ''), tostring(value2):gsub('^.-: ', '')
            assert(ok == ok2 and value == value2, value .. ' is not ' .. value2)
        end
        for _, a in ipairs(values) do for _, b in ipairs(values) do
            same(less, function(x, y) return x < y end, a, b)
        end end
        local inherited = setmetatable({a = 1}, {__index = {b = 2}})
        local failing = setmetatable({}, {__index = function(t, k) error(k .. '!', 0) end})
        for _, key in ipairs({'a', 'b', 'c', 1}) do
            same(field, function(t, k) return t[k] end, inherited, key)
            same(field, function(t, k) return t[k] end, failing, key)
        end
        local t, n = {1, 2, x = 3, [2.5] = 4}, 0
        for k, v in following, t do n = n + v; t[k] = nil end
        assert(n == 10)
        same(following, next, {}, 'none')
        return true";
    assert!(state.lua().load(code).eval::<bool>().expect("no difference"));
}

#[test]
fn coroutines_are_resumed_as_lua_resumes_them() {
    let state = state();
    set_global(&state, "resume_here", |stack| match stack.resume(1, 2)? {
        Ok(Resumed::Values(values)) => {
            stack.push_boolean(true)?;
            stack.move_top(2);
            Ok(values + 1)
        }
        Ok(Resumed::Failed) => {
            stack.push_boolean(false)?;
            stack.move_top(stack.count() - 1);
            Ok(2)
        }
        Err(text) => {
            stack.push_text(text.as_bytes())?;
            Err(Error::Raised)
        }
    });
    set_global(&state, "create_here", |stack| stack.push_thread(1).map(|()| 1));
    let code = "
        local function run(create, resume)
            local lines = {}
            local function note(...)
                for i = 1, select('#', ...) do lines[#lines + 1] = tostring((select(i, ...))) end
            end
            local function body(...)
                note(...)
                note(coroutine.yield(1, nil, 'x'))
                note(resume(coroutine.running()))
                error({}, 0)
            end
            local co = create(body)
            note(resume(co, 'a', nil))
            note(resume(co, unpack({}, 1, 300)))
            note((resume(co)))
            note(resume(co))
            note(resume(create(function() return unpack({}, 1, 500) end)))
            note(resume(create(function() error('no', 0) end)))
            note(pcall(resume, create(function() return 1 end), unpack({}, 1, 7000)))
            local outer
            outer = create(function() note(resume(create(function() return resume(outer) end))) end)
            note(resume(outer))
            local function deep(n) note(n) return resume(create(deep), n + 1) end
            local ok, message = deep(1)
            note(ok)
            return (table.concat(lines, ' '):gsub('table: 0x%x+', 'table'))
        end
        local one, other = run(coroutine.create, coroutine.resume), run(create_here, resume_here)
        assert(one == other, one .. ' is not ' .. other)
        return true";
    assert!(state.lua().load(code).eval::<bool>().expect("no difference"));
}

#[test]
fn only_texts_are_compiled_and_their_errors_are_caught() {
    let state = state();
    let mut stack = state.stack();
    for (code, done, text) in [
        ("return 'a' .. 1", true, "a1"),
        ("return", true, ""),
        ("x y", false, "name:1: '=' expected near 'y'"),
        ("return ((", false, "name:1: unexpected symbol near '<eof>'"),
    ] {
        let compiled = stack.push_compiled(code.as_bytes(), c"@name").expect("compiled");
        assert_eq!(compiled, done, "{code}");
        if compiled {
            assert_eq!(stack.call(0, 0), Ok(true));
        }
        assert_eq!(stack.text(1).unwrap_or_default(), text.as_bytes(), "{code}");
        stack.truncate(0);
    }
    let large = format!("return {{{}}}", "'0123456789',".repeat(2_000_000));
    assert_eq!(stack.push_compiled(large.as_bytes(), c"@name"), Ok(false));
    assert_eq!(stack.text(1), Some(&b"not enough memory"[..]));
}

#[test]
fn calls_from_between_functions() {
    let state = state();
    let keep = |code: &str| {
        let mut stack = state.stack();
        assert_eq!(stack.push_compiled(code.as_bytes(), c"=code"), Ok(true));
        stack.keep().expect("kept")
    };
    let handler = keep("local e = ... return 'handled ' .. e");
    let function = keep("local a, b = ... if a == b then error('same', 0) end return a .. b");
    for _ in 0..100 {
        let mut stack = state.stack();
        stack.push_kept(handler).expect("pushed");
        for (one, other, expected) in [("a", "b", "ab"), ("a", "a", "handled same")] {
            stack.push_kept(function).expect("pushed");
            stack.push_text(one.as_bytes()).expect("pushed");
            stack.push_text(other.as_bytes()).expect("pushed");
            assert_eq!(stack.call(2, 1), Ok(one != other));
            assert_eq!(stack.count(), 2);
            assert_eq!(stack.text(2), Some(expected.as_bytes()));
            stack.truncate(1);
        }
        assert_eq!(stack.call(0, 1), Err(Error::Slots), "the handler is no function to call");
    }
}

#[test]
fn keys_that_are_none_are_left_out_and_walks_end() {
    let state = state();
    let mut stack = state.stack();
    stack.push_table(0, 0).expect("pushed");
    for number in [1.0, f64::NAN, 2.0, 3.0] {
        stack.push_number(number).expect("pushed");
        stack.push_boolean(true).expect("pushed");
        stack.set_pair(1).expect("set");
    }
    stack.push_nil().expect("pushed");
    stack.push_boolean(true).expect("pushed");
    stack.set_pair(1).expect("set");
    assert_eq!(stack.count(), 1);
    let mut seen = 0;
    stack
        .pairs(1, |stack, key, _| {
            stack.truncate(0);
            assert!(stack.number(key).is_some(), "it stays while the table is walked");
            stack.push_text(b"more").expect("pushed");
            seen += 1;
            Ok(seen < 2)
        })
        .expect("walked");
    assert_eq!((seen, stack.count()), (2, 1));
    stack.push_nil().expect("pushed");
    assert_eq!(stack.set_item(2, 1), Ok(()), "no table is left alone");
    assert_eq!(stack.with_text(1, |_, _| ()), None);
}
