//! The `bit` library of scripts: operations on 32-bit integers (Lua BitOp 1.0.2).

use mlua::{Error, Lua, Result, Table, Variadic};

use super::arguments;

/// Argument `number` reduced to 32 bits: added to 2^52 + 2^51, a double has its integer in its lowest bits.
fn bits(lua: &Lua, arguments: &[mlua::Value], number: usize) -> Result<u32> {
    const TO_LOWEST_BITS: f64 = 6_755_399_441_055_744.0;
    Ok((arguments::number(lua, arguments, number)? + TO_LOWEST_BITS).to_bits() as u32)
}

/// What the functions return: the bits as a signed number.
fn signed(bits: u32) -> f64 {
    f64::from(bits as i32)
}

/// `bit.tohex`: as many lowercase digits as the second argument says, uppercase ones if it is negative.
fn to_hex(lua: &Lua, arguments: Variadic<mlua::Value>) -> Result<String> {
    let value = bits(lua, &arguments, 1)?;
    let digits = if arguments.len() < 2 { 8 } else { bits(lua, &arguments, 2)? as i32 };
    let count = digits.unsigned_abs().min(8) as usize;
    let all = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    Ok(all[8 - count..].to_string())
}

/// The library's table.
pub fn open(lua: &Lua) -> Result<Table> {
    let table = lua.create_table()?;
    let unary = |name: &str, operation: fn(u32) -> u32| {
        let function = lua.create_function(move |lua, arguments: Variadic<mlua::Value>| {
            Ok(signed(operation(bits(lua, &arguments, 1)?)))
        })?;
        table.raw_set(name, function)
    };
    unary("tobit", |value| value)?;
    unary("bnot", |value| !value)?;
    unary("bswap", u32::swap_bytes)?;
    let folding = |name: &str, operation: fn(u32, u32) -> u32| {
        let function = lua.create_function(move |lua, arguments: Variadic<mlua::Value>| {
            let mut value = bits(lua, &arguments, 1)?;
            // From the last to the second: of two wrong arguments the later one is named.
            for number in (2..=arguments.len()).rev() {
                value = operation(value, bits(lua, &arguments, number)?);
            }
            Ok::<_, Error>(signed(value))
        })?;
        table.raw_set(name, function)
    };
    folding("band", |left, right| left & right)?;
    folding("bor", |left, right| left | right)?;
    folding("bxor", |left, right| left ^ right)?;
    let shifting = |name: &str, operation: fn(u32, u32) -> u32| {
        let function = lua.create_function(move |lua, arguments: Variadic<mlua::Value>| {
            let value = bits(lua, &arguments, 1)?;
            Ok(signed(operation(value, bits(lua, &arguments, 2)? & 31)))
        })?;
        table.raw_set(name, function)
    };
    shifting("lshift", |value, count| value << count)?;
    shifting("rshift", |value, count| value >> count)?;
    shifting("arshift", |value, count| (value as i32 >> count) as u32)?;
    shifting("rol", u32::rotate_left)?;
    shifting("ror", u32::rotate_right)?;
    table.raw_set("tohex", lua.create_function(to_hex)?)?;
    Ok(table)
}
