//! The random numbers of scripts: a linear congruential generator of 48 bits (`lrand48`), so that a seed gives the same
//! numbers as in Redis.

use std::cell::RefCell;

use mlua::{Lua, Result, Value};

use super::arguments;

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
/// Numbers are below this, and it is a divisor.
const END: u64 = i32::MAX as u64;

pub struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Random(0x1234_ABCD_330E)
    }
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        self.0 >> 17
    }

    /// From 0 up to, but not including, 1.
    fn fraction(&mut self) -> f64 {
        (self.next() % END) as f64 / END as f64
    }

    fn seed(&mut self, seed: i32) {
        self.0 = u64::from(seed as u32) << 16 | 0x330E;
    }
}

/// `math.random`.
pub fn random(state: &RefCell<Random>, lua: &Lua, arguments: &[Value]) -> Result<f64> {
    let fraction = state.borrow_mut().fraction();
    let bound = |number| arguments::integer(lua, arguments, number).map(|value| value as i32);
    match arguments.len() {
        0 => Ok(fraction),
        1 => {
            let upper = bound(1)?;
            if upper < 1 {
                return Err(arguments::argument_error(lua, 1, "interval is empty"));
            }
            Ok((fraction * f64::from(upper)).floor() + 1.0)
        }
        2 => {
            let (lower, upper) = (bound(1)?, bound(2)?);
            if lower > upper {
                return Err(arguments::argument_error(lua, 2, "interval is empty"));
            }
            let width = upper.wrapping_sub(lower).wrapping_add(1);
            Ok((fraction * f64::from(width)).floor() + f64::from(lower))
        }
        _ => Err(arguments::error(lua, "wrong number of arguments")),
    }
}

/// `math.randomseed`.
pub fn seed(state: &RefCell<Random>, lua: &Lua, arguments: &[Value]) -> Result<()> {
    let seed = arguments::integer(lua, arguments, 1)? as i32;
    state.borrow_mut().seed(seed);
    Ok(())
}
