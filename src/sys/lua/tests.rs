use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, Value};
use proptest::prelude::*;

use super::{Error, Kind, Stack, State};

fn state() -> State<'static> {
    State::new(16 << 20, 1 << 20).expect("a state")
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
        let state = state();
        let pushed = shape.clone();
        let make = state.function(move |stack| push(stack, &pushed).map(|()| 1)).expect("a function");
        prop_assert_eq!(&of_value(&make.call::<Value>(()).expect("a value")), &shape);

        let found = Rc::new(Cell::new(Shape::Nil));
        let shown = found.clone();
        let look = state.function(move |stack| {
            shown.set(read(stack, 1));
            Ok(0)
        });
        look.expect("a function").call::<()>(to_value(state.lua(), &shape)).expect("a call");
        prop_assert_eq!(&found.replace(Shape::Nil), &shape);
    }
}

fn error_of(state: &State<'_>, code: &str) -> String {
    state.lua().load(code).exec().expect_err("an error").to_string()
}

#[test]
fn what_is_over_the_limit_is_an_error_and_the_state_goes_on() {
    let state = state();
    let fill = state.function(|stack| {
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
    state.lua().globals().set("fill", fill.expect("a function")).expect("set");
    for _ in 0..3 {
        assert!(error_of(&state, "fill()").contains("not enough memory"));
        assert!(error_of(&state, "local s = 'x' while true do s = s .. s end").contains("not enough memory"));
        // Lua 5.1 fails without having collected garbage.
        state.collect();
        let double = "local s = 'x' for i = 1, 16 do s = s .. s end return #s";
        assert_eq!(state.lua().load(double).eval::<i64>().expect("a value"), 65_536);
    }
    state.collect();
    assert!(state.used() < 1 << 20, "{}", state.used());
    assert_eq!(state.limit(), 16 << 20);
}

#[test]
fn a_function_has_8000_slots() {
    let state = state();
    let slots = Rc::new(Cell::new(0));
    let seen = slots.clone();
    let fill = state.function(move |stack| {
        loop {
            if let Err(error) = stack.push_boolean(true) {
                seen.set(stack.count());
                return Err(error);
            }
        }
    });
    state.lua().globals().set("fill", fill.expect("a function")).expect("set");
    assert!(error_of(&state, "fill(1, 2, 3)").contains("stack overflow"));
    assert_eq!(slots.get(), 8000);
}

#[test]
fn errors_are_raised_as_they_are() {
    let state = state();
    let fail = state.function(|stack| {
        stack.push_table(0, 1)?;
        stack.push_copy(1)?;
        stack.set_field(stack.count() - 1, b"err")?;
        Err(Error::Raised)
    });
    state.lua().globals().set("fail", fail.expect("a function")).expect("set");
    let caught =
        state.lua().load("local ok, e = pcall(fail, 'why') return tostring(ok) .. e.err").eval::<String>();
    assert_eq!(caught.expect("a value"), "falsewhy");
}

#[test]
fn nested_calls_end_before_a_finalizer_is_one_too_many() {
    let state = state();
    let make = state.function(|stack| {
        for _ in 0..50 {
            stack.push_text(&[b'y'; 100])?;
        }
        Ok(0)
    });
    state.lua().globals().set("make", make.expect("a function")).expect("set");
    // Errors of functions of `mlua` are userdata with finalizers, which the collector runs wherever memory is taken.
    let fail = state.lua().create_function(|_, ()| -> mlua::Result<()> { Err(mlua::Error::runtime("no")) });
    state.lua().globals().set("fail", fail.expect("a function")).expect("set");
    let code = "local deepest = 0
        local function down(n)
            deepest = math_max(deepest, n)
            make()
            return (pcall(down, n + 1))
        end
        for i = 1, 2000 do
            pcall(fail)
        end
        down(1)
        return deepest";
    let max =
        state.lua().create_function(|_, (one, other): (i64, i64)| Ok(one.max(other))).expect("a function");
    state.lua().globals().set("math_max", max).expect("set");
    for _ in 0..20 {
        assert!(state.lua().load(code).eval::<i64>().expect("a value") > 50);
    }
}

#[test]
fn functions_are_dropped_by_the_collector_or_with_the_state() {
    let held = Rc::new(());
    let state = state();
    for _ in 0..10 {
        let kept = held.clone();
        super::function(state.lua(), move |_| Ok(usize::from(Rc::strong_count(&kept) > 100)))
            .expect("a function");
    }
    state.collect();
    state.collect();
    assert_eq!(Rc::strong_count(&held), 1);
    let kept = held.clone();
    let function =
        super::function(state.lua(), move |_| Ok(Rc::strong_count(&kept) - 2)).expect("a function");
    state.lua().globals().set("f", function).expect("set");
    assert_eq!(Rc::strong_count(&held), 2);
    drop(state);
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn calls_from_between_functions() {
    let state = state();
    let (handler, function) = {
        let lua = state.lua();
        let handler = lua.load("local e = ... return 'handled ' .. e").into_function().expect("a function");
        let function = lua.load("local a, b = ... if a == b then error('same', 0) end return a .. b");
        let function = function.into_function().expect("a function");
        (state.keep(handler).expect("kept"), state.keep(function).expect("kept"))
    };
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
